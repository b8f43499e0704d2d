# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: what the changes of telehealth share. May change without notice.

"""The option ``telehealth``, fresh probes of the providers, and the sentences for both."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._changes import Change
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_provider import (
    PROVIDERS,
    ProviderLook,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_readings import look_at
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_steady import Samples, read_samples
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, given

if TYPE_CHECKING:
    from collections.abc import Callable

# A probe without an answer has failed after this. No option: a guard is as strict for everybody.
PROBE_TIMEOUT_S = 3.0


class TelehealthChange(Change):
    """A change of how consultations are held, with everything named by the option ``telehealth``."""

    @property
    def telehealth(self) -> Json:
        found: Json = self.params["telehealth"]
        return found

    def provider_looks(self) -> dict[str, Callable[[], Any]]:
        """Named reads of both providers. No test room: what is asked here is asked in check mode too."""
        look = partial(look_at, self.clients, self.telehealth, timeout_s=PROBE_TIMEOUT_S, rooms=False)
        return {f"{name}_provider": partial(look, name=name) for name in PROVIDERS}

    def bots(self) -> dict[str, Callable[[], Any]]:
        """Named reads of what the application's own bot saw at both providers."""
        return {f"bot_at_{name}": partial(read_samples, self.clients, name) for name in PROVIDERS}

    def step_back(self, module: str, **args: Any) -> Json:
        """An inverse: the same telehealth given to ``module`` with other arguments."""
        return {"module": f"daily_emr.ops.{module}", "args": {"telehealth": given(self.telehealth), **args}}


def unusable(context: Json, name: str) -> list[str]:
    """Why the provider may not be given new sessions, one sentence; none where it was probed well just now.

    What could not be read is said elsewhere, once.
    """
    look: ProviderLook | None = context.get(f"{name}_provider")
    if look is None:
        return []
    reasons = look.unusable()
    return [f"The {name} provider is not well ({'; '.join(reasons)})."] if reasons else []


def usable(context: Json, name: str) -> bool:
    look: ProviderLook | None = context.get(f"{name}_provider")
    return look is not None and not look.unusable()


def bot_at(context: Json, name: str) -> tuple[bool | None, str]:
    """Whether the application's own bot could join there just now; None when nobody knows."""
    samples: Samples | None = context.get(f"bot_at_{name}")
    return (None, "the bot could not be read") if samples is None else samples.newest()


def still_there(context: Json) -> list[str]:
    """Why visits need not be held by phone: a provider that is well, or that nobody but our own probe sees fail.

    Both probes fail where our own place has no way out, and where our own keys are bad.
    """
    reasons = []
    for name in PROVIDERS:
        joined, seen = bot_at(context, name)
        if usable(context, name):
            reasons.append(f"The {name} provider is well: let new sessions go there instead.")
        elif joined is not False:
            reasons.append(
                f"The bot of the application does not say that {name} fails ({seen}): look at the key and the place "
                "that we probe from before visits are held by phone."
            )
    return reasons


def running(context: Json, name: str) -> str:
    """How many consultations run at a provider, in a sentence's beginning: by the provider, else by the application."""
    look: ProviderLook | None = context.get(f"{name}_provider")
    count = look.sessions if look is not None and look.sessions is not None else context.get("running_consultations")
    if count is None:
        return f"How many consultations run at {name} could not be read; all of them"
    return f"The {count} consultations that run at {name}"
