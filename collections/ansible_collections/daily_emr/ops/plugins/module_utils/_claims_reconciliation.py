# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: asking the payer what became of claims. May change without notice.

"""Ask for one claim after the other, slowly, and stop at the first sign that it is too much."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ansible_collections.daily_emr.ops.plugins.module_utils._claims_api import Fate
from ansible_collections.daily_emr.ops.plugins.module_utils._verification import Clock
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json

# A question a second at the pace of AWS (A5.4, M6).
INTERVAL_S = 1.0
# The lease lasts two minutes and is not renewed while a change is under way.
LIMIT_S = 45.0
MOST_PER_STEP = 100


@dataclass
class Asked:
    """What came of the questions: an entry for each claim that the payer told about, and why it was stopped."""

    answers: list[Json] = field(default_factory=list)
    stopped: str = ""

    def count(self, answer: str) -> int:
        return sum(item["answer"] == answer for item in self.answers)

    @property
    def duplicates(self) -> int:
        return sum(item["copies"] > 1 for item in self.answers)


def ask_all(claims: Iterable[Json], ask: Callable[[str], Fate], clock: Clock, interval_s: float) -> Asked:
    """Ask for each claim, {claim, identifier, since}, at most one in interval_s, until one is not answered.

    The first question waits, too: the last one of the batch before may have been asked just now.
    """
    asked = Asked()
    began = clock.monotonic()
    next_at = began + interval_s
    for claim in claims:
        if clock.monotonic() - began > LIMIT_S:
            break
        clock.sleep(max(next_at - clock.monotonic(), 0.0))
        next_at = clock.monotonic() + interval_s
        fate = ask(claim["identifier"])
        if not fate.answer:
            asked.stopped = (
                "the payer asks for less (429)" if fate.throttled else f"the payer did not tell: {fate.seen}"
            )
            break
        asked.answers.append(
            {
                "claim": claim["claim"],
                "since": claim["since"],
                "answer": fate.answer,
                "response": fate.response or None,
                "copies": max(fate.copies, 1),
            }
        )
    return asked
