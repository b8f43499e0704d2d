"""Stand-in of the Social Health Authority: its FHIR API over HTTPS, with an authority of its own for certificates."""

from __future__ import annotations

from .service import Sha

__all__ = ["Sha"]
