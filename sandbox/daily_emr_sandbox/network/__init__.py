"""The way in: edge, balancer, target health, web ACL, zonal shift, and the metrics they make.

`routing` is the picture of the load balancer taken from the control plane, `balancer` and `edge` carry
requests, `health` probes targets, `waf` judges requests, `metrics` counts, `elbv2_api` is what a client sees.
"""

from __future__ import annotations

from .balancer import Balancer
from .edge import Edge

__all__ = ["Balancer", "Edge"]
