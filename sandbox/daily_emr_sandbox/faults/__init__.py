"""What can be broken by name, one class each."""

from __future__ import annotations
