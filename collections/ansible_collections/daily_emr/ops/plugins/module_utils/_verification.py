# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: how a component is verified. May change without notice.

"""Look again and again until it was good often enough in a row."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Entry, read_entry
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, plural

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
    from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Context, Params, Progress, Read

_SPEC: Json = {
    "passes": {"type": "int", "required": True, "no_log": False},
    "interval": {"type": "int", "required": True},
    "timeout": {"type": "int", "required": True},
}


@dataclass(frozen=True)
class Clock:
    """Time, and a way to let it pass; seconds."""

    monotonic: Callable[[], float]
    sleep: Callable[[float], object]


@dataclass(frozen=True)
class Look:
    """One look: what was bad, what could not be read, and the tasks that ended by themselves."""

    bad: list[str]
    unread: list[str]
    ended: set[str] = field(default_factory=set)


def sort_out(symptoms: Iterable[Json]) -> tuple[list[str], list[str]]:
    """What was bad and what could not be read, of observations that should all be ok."""
    bad: list[str] = []
    unread: list[str] = []
    for item in symptoms:
        if item["status"] != "ok":
            (bad if item["status"] == "finding" else unread).append(f"{item['name']}: {item['seen']}")
    return bad, unread


def until_verified(
    params: Params,
    clients: Clients,
    progress: Progress,
    *,
    look: Callable[[Params, Clients], Look],
    clock: Clock,
    proof: str,
) -> dict[str, Any]:
    """Look until it was good often enough in a row, or until it cannot be any more before time is up.

    proof says what was part of each look, in a few words. Raises Refused when nothing would have to be good.
    """
    if params["passes"] < 1:
        raise Refused(f"{params['passes']} good looks prove nothing: set passes to at least 1.")
    started = clock.monotonic()
    deadline = started + clients.environment.seconds(params["timeout"])
    interval = clients.environment.seconds(params["interval"])
    passes, looks = 0, 0
    known: set[str] | None = None
    failing: list[str] = []
    state: bool | None = False
    while True:
        began = clock.monotonic()
        seen = look(params, clients)
        further = seen.ended - known if known is not None else set()
        known = (known or set()) | seen.ended
        bad = [*seen.bad, *([f"stopped_tasks: {plural(len(further), 'further task')} ended"] if further else [])]
        reasons = bad + seen.unread
        looks += 1
        passes = 0 if reasons else passes + 1
        if reasons:
            failing, state = reasons, False if bad else None
        progress(f"Look {looks}: {'; '.join(reasons) if reasons else f'good, {passes} in a row'}.")
        if passes >= params["passes"]:
            failing, state = [], True
            break
        pause = max(interval - (clock.monotonic() - began), 0.0)
        if clock.monotonic() + pause + (params["passes"] - passes - 1) * interval > deadline:
            break
        clock.sleep(pause)
    seconds = clock.monotonic() - started
    return {
        "verified": state,
        "passes": passes,
        "looks": looks,
        "seconds": round(seconds, 1),
        "failing": failing,
        "sentence": conclude(state, params["passes"], seconds, failing, proof),
    }


def conclude(state: bool | None, passes: int, seconds: float, failing: list[str], proof: str) -> str:
    """The result in one sentence."""
    if state:
        return f"Good {plural(passes, 'time')} in a row, each time with {proof}."
    words = "Not good" if state is False else "Nobody can tell whether it was good"
    why = "; ".join(failing) or "there was no time for that many looks"
    return f"{words} {plural(passes, 'time')} in a row; given up after {seconds:.0f} s: {why}."


def verified_entry(spec: Json, verify: Read) -> Entry:
    """The entry of a module that verifies; check mode changed nothing, so there is nothing to verify."""
    looks = read_entry({**spec, **_SPEC}, verify)

    def run(params: Params, context: Context) -> dict[str, Any]:
        if not context.check_mode:
            return looks.run(params, context)
        return {
            "changed": False,
            "verified": None,
            "passes": 0,
            "looks": 0,
            "seconds": 0.0,
            "failing": [],
            "sentence": "Not verified: check mode changed nothing.",
        }

    return replace(looks, run=run)
