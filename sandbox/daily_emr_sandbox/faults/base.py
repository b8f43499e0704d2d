"""What every named fault is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from ..loop import wait_until
from ..web import CHART, WAIT_S, probe

if TYPE_CHECKING:
    from ..world import World


class Fault(ABC):
    """A named fault. Both methods may be called at any time, also twice, and whatever a runbook did meanwhile.

    `break_` makes it and waits until it shows. `mend` takes it away; whether its effects are gone can be seen only
    when no other fault is left, so that is for the caller to wait for.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    part: ClassVar[str] = ""
    """Of the sandbox that it breaks, where that is an optional one."""
    alarm_min: ClassVar[float] = 0.0
    """AWS minutes after which an alarm rings, where only the metrics of the traffic show it."""
    against_usual: ClassVar[bool] = True
    """Whether that alarm compares with what the traffic of users usually is."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.settings = world.settings
        self.web = world.web
        self.primitives = world.primitives

    @abstractmethod
    def break_(self) -> None: ...

    @abstractmethod
    def mend(self) -> None: ...

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        wait_until(condition, what, WAIT_S)

    def some_running(self) -> list[Any]:
        """Tasks that run now; waits for the first, because no task shows nothing."""
        self.wait(lambda: bool(self.web.running()), "a task runs")
        return self.web.running()

    def read_status(self) -> int:
        """Status of reading a chart through the load balancer; 0 when it does not answer."""
        return probe(f"{self.settings.balancer_url}{CHART}")[0]
