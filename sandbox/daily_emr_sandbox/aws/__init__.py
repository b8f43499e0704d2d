"""The AWS control plane: moto in one process, behind one mutex and a fault layer, with overlays where it lacks.

`server` is what the other parts use, `gateway` what a request passes through, `wire` what it reads and writes,
`faults` and `calllog` what tests use, `control` the API under /_sandbox, `overlays` what AWS does and moto does not.
"""

from __future__ import annotations
