"""Telehealth: two providers with control APIs and TURN servers, and the application's side of it with its patients."""

from __future__ import annotations
