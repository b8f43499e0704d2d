# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The errors of the core. Each carries one clear sentence: what is wrong, where, and what to do."""

from __future__ import annotations


class OpsError(Exception):
    """Something a person can act on. Its text is shown as it is, so it must hold no secret."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class Refused(OpsError):
    """A guard said no. Nothing was changed."""

    def __init__(self, *reasons: str) -> None:
        super().__init__(" ".join(reasons))
        self.reasons = list(reasons)


class Unanswered(Refused):
    """The table of the environment gave no answer at all. Whatever it answers, a no above all, is a plain Refused."""


class CallFailed(OpsError):
    """A call to AWS or a provider failed and is known not to have been done."""


class CallUnknown(OpsError):
    """No usable answer came: the call may have been done. Probe the state, never send it again."""
