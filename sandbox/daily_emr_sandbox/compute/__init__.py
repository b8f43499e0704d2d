"""ECS as it behaves: services, deployments and one real process for each task.

`model` holds the state, `deployments` decides (pure), `scheduler` acts, `ecs_api` is what a client sees,
`tasks` starts and ends processes, `history` lets the past of a service be written before it starts.
"""

from __future__ import annotations

from .history import Past, seed_history
from .model import TaskView
from .scheduler import EcsScheduler

__all__ = ["EcsScheduler", "Past", "TaskView", "seed_history"]
