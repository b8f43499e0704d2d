# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The words for how a call and how a run ended."""

from __future__ import annotations

from enum import StrEnum


class CallOutcome(StrEnum):
    """How one call to AWS or a provider ended."""

    OK = "ok"
    FAILED = "failed"  # known not done
    UNKNOWN = "unknown"  # the reply was lost: maybe done


class StepOutcome(StrEnum):
    """How one step (one change) ended; planned only in check mode."""

    OK = "ok"
    NOOP = "noop"
    PLANNED = "planned"
    REFUSED = "refused"
    FAILED = "failed"
    UNKNOWN = "unknown"


class RunOutcome(StrEnum):
    """How a run ended: exactly one of these."""

    SUCCEEDED = "succeeded"
    NOOP = "noop"  # healthy already
    PLANNED = "planned"  # check mode
    REFUSED = "refused"  # a guard said no, nothing was changed
    FAILED_CLEAN = "failed_clean"  # nothing was changed
    FAILED_ROLLED_BACK = "failed_rolled_back"
    FAILED_PARTIAL = "failed_partial"  # something was changed and the goal was not reached
    UNKNOWN = "unknown"  # a person must look; the lease stays
    CANCELLED = "cancelled"


EXIT_CODES: dict[RunOutcome, int] = {
    RunOutcome.SUCCEEDED: 0,
    RunOutcome.NOOP: 0,
    RunOutcome.PLANNED: 0,
    RunOutcome.REFUSED: 3,
    RunOutcome.FAILED_CLEAN: 4,
    RunOutcome.FAILED_ROLLED_BACK: 5,
    RunOutcome.FAILED_PARTIAL: 6,
    RunOutcome.UNKNOWN: 7,
    RunOutcome.CANCELLED: 8,
}
