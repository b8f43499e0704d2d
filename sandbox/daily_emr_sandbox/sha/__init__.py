"""The part `claims`: the API of the Social Health Authority, facilities that make claims, and the outbox between."""

from __future__ import annotations

from .part import ShaPart
from .service import Sha

__all__ = ["Sha", "ShaPart"]
