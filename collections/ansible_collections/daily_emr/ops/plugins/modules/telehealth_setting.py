#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: telehealth_setting
short_description: Change how consultations by video are held
version_added: 0.1.0
description:
  - Changes one of the six flags of telehealth, with one semantic patch. The application follows within seconds.
  - Never drops or moves a running consultation. Its provider, its region and its way are chosen by flags that the
    application promises to ask for new sessions only (tag C(telehealth:new-sessions)); without the promise the change
    is refused.
  - The provider is switched only away from one at which patients cannot join, or, where too few tried, the bot of the
    application; a probe of our own is no reason. It is switched only to one that answers in the same read (status, a
    token, a relay, the region and the way that are set), that the bot could join just now, and whose contract as a
    processor of data is approved; not within 60 minutes of the last switch, and back to the primary only when that was
    well for 60 minutes.
  - Relays are forced only when the provider has one over TCP and a tenth of its quota left; the region is changed only
    to one that is nearer, by the best of three bindings each; both need one provider for all new sessions. Visits are
    booked by phone only when the clinic lead agreed and neither provider answers nor lets the bot in, and online again
    only when one does both.
  - Refuses where some sessions get another value than others, and where the environment wants an approval;
    LaunchDarkly's own preview (C(dryRun)) says so before anything is sent.
  - Needs the environment variables C(LAUNCHDARKLY_ACCESS_TOKEN), C(TELEHEALTH_PRIMARY_PROBE_KEY) and
    C(TELEHEALTH_SECONDARY_PROBE_KEY). The sandbox has its own.
author:
  - Daily EMR operations (@daily-emr)
options:
  setting:
    description: What is changed.
    type: str
    choices: [provider, media_region, relay_only, audio_only, bitrate_cap, bookings_by_phone]
    required: true
  value:
    description:
      - V(on) or V(off); for O(setting=provider) V(primary) or V(secondary); for O(setting=media_region) the name of a
        region.
    type: str
    required: true
attributes:
  check_mode:
    description: Asks LaunchDarkly for a preview and reports every reason why the setting may not be changed.
    support: full
  diff_mode:
    description: Shows what is served before and after.
    support: full
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.telehealth
"""

EXAMPLES = r"""
- name: Let new sessions begin at the other provider
  daily_emr.ops.telehealth_setting:
    telehealth: "{{ telehealth }}"
    setting: provider
    value: secondary

- name: Let new sessions go through a relay, because networks block UDP
  daily_emr.ops.telehealth_setting:
    telehealth: "{{ telehealth }}"
    setting: relay_only
    value: "on"
"""

RETURN = r"""
outcome:
  description: How the change ended, one of V(ok), V(noop), V(refused), V(failed), V(unknown).
  returned: always
  type: str
  sample: ok
refusals:
  description: Why the change was refused, and what to do instead.
  returned: always
  type: list
  elements: str
  sample: ["The provider was switched 12 min ago, and not again within 60 min: it would flap."]
prediction:
  description: What the change will lead to, for whoever has to approve it.
  returned: always
  type: list
  elements: str
  sample: ["The 14 consultations that run at primary stay there until they end."]
undo:
  description: The module and arguments that would undo the change, or a sentence why nothing can.
  returned: always
  type: raw
  sample:
    module: daily_emr.ops.telehealth_setting
    args:
      setting: provider
      value: primary
target:
  description: What the change is about.
  returned: always
  type: str
  sample: flag/daily-emr/staging/telehealth-provider
"""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._clients import gather
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._launchdarkly import LaunchDarkly
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import change_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_changes import (
    PROBE_TIMEOUT_S,
    TelehealthChange,
    bot_at,
    running,
    still_there,
    unusable,
    usable,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_flags import (
    AUDIO,
    BITRATE,
    OFF,
    ON,
    PHONE,
    PROMISES,
    PROVIDER,
    REGION,
    RELAY,
    SETTINGS,
    SWITCHES,
    Setting,
    setting_reads,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_joins import Joins, read_joins, succeed
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_options import TELEHEALTH_OPTION
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_provider import (
    PRIMARY,
    PROVIDERS,
    accepted,
    other,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_readings import sole_provider, window_start
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_steady import (
    FLAP_MINUTES,
    STEADY_MINUTES,
    read_running,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._turn import Transport, probe
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import (
    Json,
    Readings,
    listed,
    since,
    spoken,
    unread,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_provider import ProviderLook
    from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_steady import Samples
    from ansible_collections.daily_emr.ops.plugins.module_utils._turn import Relay

# Relayed minutes are paid for, and a quota that runs out ends all new sessions (A6.4, M3).
QUOTA_LEFT = 0.1
# Patients join well (A6.1). Here too no options: an input must not make a switch of a provider that is well.
JOIN_SUCCESS = 0.97
MIN_JOINS = 10
# One binding may have waited for a datagram that was lost.
BINDINGS = 3
# Other flags without which nobody knows what the change of a setting would do.
_BESIDE = {PROVIDER: (REGION, RELAY), REGION: (PROVIDER,), RELAY: (PROVIDER,)}
# The flags in which a consultation could be caught: those that are asked for once, when it begins.
_ASKED_ONCE = (PROVIDER, REGION, RELAY)


class TelehealthSetting(TelehealthChange):
    """What one flag of telehealth serves to everybody."""

    name: ClassVar[str] = "telehealth_setting"
    imperative: ClassVar[bool] = False
    spec: ClassVar[Json] = {
        "telehealth": TELEHEALTH_OPTION,
        "setting": {"type": "str", "choices": list(SETTINGS), "required": True},
        "value": {"type": "str", "required": True},
    }

    @property
    def target(self) -> str:
        where = self.telehealth["feature_flags"]
        return f"flag/{where['project']}/{where['environment']}/{self._key}"

    @property
    def _setting(self) -> str:
        return str(self.params["setting"])

    @property
    def _value(self) -> str:
        return str(self.params["value"])

    @property
    def _key(self) -> str:
        return str(self.telehealth["flags"][self._setting])

    @property
    def _launchdarkly(self) -> LaunchDarkly:
        return LaunchDarkly(self.clients.environment, self.telehealth["feature_flags"])

    def observe(self) -> Json:
        self._check_value()
        readings = Readings()
        beside = _BESIDE.get(self._setting, ())
        readings.take(**setting_reads(self.clients, self.telehealth, self._setting, *beside))
        flag: Setting = readings.need(f"{self._setting}_flag")
        if flag.value != self._value:
            readings.take(approval_rule=partial(self._needs_approval, flag), **self._evidence(readings.values))
        return {"value": flag.value, "context": {**readings.values, "flag": flag, "unread": readings.unread}}

    def _check_value(self) -> None:
        known = (ON, OFF) if self._setting in SWITCHES else PROVIDERS if self._setting == PROVIDER else ()
        if known and self._value not in known:
            raise Refused(f"{self._setting} has no value {self._value}: use one of {listed(known)}.")

    def _needs_approval(self, flag: Setting) -> bool:
        return self._launchdarkly.needs_approval(self._key, flag.instruction(self._value))

    def _evidence(self, flags: Json) -> dict[str, Callable[[], Any]]:
        """What the change of this setting rests on, read in the same moment as the flags."""
        if self._setting == PROVIDER:
            now = datetime.now(UTC)
            window = (window_start(self.clients, now), now)
            return {
                **self.provider_looks(),
                **self.bots(),
                "joins": partial(read_joins, self.clients, self.telehealth["log_group"], *window),
                "running_consultations": partial(read_running, self.clients, other(self._value)),
                "relays_of_the_regions": partial(self._bindings, self._value),
            }
        if self._setting == REGION:
            active = sole_provider(flags[f"{PROVIDER}_flag"]) if f"{PROVIDER}_flag" in flags else None
            near = {"relays_of_the_regions": partial(self._bindings, active)} if active else {}
            return {**self.provider_looks(), **near}
        if self._setting == PHONE:
            return {**self.provider_looks(), **self.bots()}
        return self.provider_looks() if self._setting == RELAY else {}

    def _bindings(self, provider: str) -> dict[str, dict[Transport, Relay]]:
        """The relays of each region of a provider, by way: the best of a few bindings, which are one way and back."""

        def best(region: Json, way: Transport) -> Relay:
            place = (region["turn_host"], region["turn_port"])
            seen = [probe(*place, way, credential=None, timeout_s=PROBE_TIMEOUT_S)]
            while seen[-1].bound and len(seen) < BINDINGS:
                seen.append(probe(*place, way, credential=None, timeout_s=PROBE_TIMEOUT_S))
            return min(seen, key=lambda relay: (not relay.bound, relay.ms))

        regions = self.telehealth["providers"][provider]["regions"]
        places = [(region, way) for region in regions for way in Transport]
        found = gather(**{f"{region['name']} {way}": partial(best, region, way) for region, way in places})
        for value in found.values():
            if isinstance(value, Exception):
                raise value
        return {region["name"]: {way: found[f"{region['name']} {way}"] for way in Transport} for region in regions}

    def wanted(self, before: Json) -> Json:
        return {"value": self._value}

    def refusals(self, before: Json) -> list[str]:
        context = before["context"]
        flag: Setting = context["flag"]
        guards = {
            PROVIDER: self._switching,
            REGION: self._moving,
            RELAY: self._relaying,
            PHONE: self._phoning,
        }
        reasons = [*unread(context), *self._unfit(flag)]
        if context.get("approval_rule"):
            where = self.telehealth["feature_flags"]["environment"]
            reasons.append(f"LaunchDarkly wants an approval for changes in {where}: ask for it there.")
        guard = guards.get(self._setting)
        return [*reasons, *(guard(context) if guard else [])]

    def _unfit(self, flag: Setting) -> list[str]:
        """Why the flag would not do what is wanted, or would do more."""
        reasons = []
        promise = PROMISES[self._setting]
        if promise not in flag.tags:
            why = "running consultations could be moved or dropped" if self._setting in _ASKED_ONCE else "nobody knows"
            reasons.append(f"{flag.key} has no tag {promise}, so {why}: let its owner promise it first.")
        if flag.archived:
            reasons.append(f"{flag.key} is archived, so nobody asks for it: look for another way.")
        if flag.targeted or flag.value is None:
            reasons.append(f"{flag.key} serves some another value than others: let its owner remove the targeting.")
        if self._setting not in SWITCHES and not flag.on:
            reasons.append(f"{flag.key} is off, so that its variations are not served: turn it on first.")
        return reasons

    def _switching(self, context: Json) -> list[str]:
        """A6.4, M5: only to a provider that is allowed, well in this read, and not too soon after the last switch."""
        flag: Setting = context["flag"]
        reasons = []
        if not self.telehealth["providers"][self._value]["processor_approved"]:
            reasons.append(
                f"The {self._value} provider is not approved as a processor of data: set processor_approved when the "
                "contract and the consent of patients cover it."
            )
        if unwell := unusable(context, self._value):
            reasons.append(f"{unwell[0].rstrip('.')}, so new sessions would fail there: book visits by phone instead.")
        ago = since(flag.changed_at, flag.read_at)
        pace = self.clients.environment.time_factor
        if ago < timedelta(minutes=FLAP_MINUTES) / pace:
            reasons.append(
                f"The provider was switched {spoken(ago * pace)} ago, and not again within {FLAP_MINUTES} min, because "
                "it would flap: wait, or book visits by phone."
            )
        samples: Samples | None = context.get(f"bot_at_{self._value}")
        if samples is not None:
            back = self._value == PRIMARY
            good, seen = samples.steady() if back else samples.newest()
            if not good and back:
                reasons.append(
                    f"The primary provider was not well for {STEADY_MINUTES} min ({seen}): new sessions go back when "
                    "it was."
                )
            elif not good:
                reasons.append(
                    f"The application itself cannot use the {self._value} provider ({seen}): look at its key and its "
                    "bot first."
                )
        return [*reasons, *self._leaving(context), *self._arriving(context)]

    def _leaving(self, context: Json) -> list[str]:
        """Why the provider of now is left alone: those who use it join there. Back to the primary is always allowed."""
        joins: Joins | None = context.get("joins")
        if joins is None or self._value == PRIMARY:
            return []
        here = other(self._value)
        figures, (joined, seen) = joins.of(provider=here).total, bot_at(context, here)
        well = succeed(figures, MIN_JOINS, JOIN_SUCCESS)
        if well is False or (well is None and joined is False):
            return []
        return [
            f"Neither patients nor the bot say that {here} fails ({figures.seen}; {seen}): leave new sessions there, "
            "and look at the key and the place that we probe it from."
        ]

    def _arriving(self, context: Json) -> list[str]:
        """Why new sessions would not get through at the other provider, in the region and by the way that are set."""
        look: ProviderLook | None = context.get(f"{self._value}_provider")
        region, relay = (context.get(f"{name}_flag") for name in (REGION, RELAY))
        reasons = []
        relayed = relay is not None and (relay.targeted or relay.value != OFF)
        if relayed and look is not None:
            reasons += _relay_refusals(look)
        if region is not None and (region.targeted or region.value is None):
            reasons.append(f"{region.key} serves some another region than others: let its owner remove the targeting.")
        elif region is not None and (relays := context.get("relays_of_the_regions")) is not None:
            ways = relays.get(region.value, {}).values()
            if not any(way.bound for way in ways if way.transport is Transport.TCP or not relayed):
                reasons.append(
                    f"New sessions are relayed in {region.value}, and no relay of {self._value} answers there: change "
                    f"{region.key} first."
                )
        return reasons

    def _relaying(self, context: Json) -> list[str]:
        """A6.4, M3: relays have to be there, and their cost within the quota."""
        if self._value == OFF:
            return []
        look, reasons = self._active(context)
        return _relay_refusals(look) if look is not None else reasons

    def _moving(self, context: Json) -> list[str]:
        """A6.4, M4: only to a region that was measured to be nearer."""
        (look, reasons), found = self._active(context), context.get("relays_of_the_regions")
        flag: Setting = context["flag"]
        if look is None or found is None:
            return reasons
        here, there = (found.get(str(name), {}).get(Transport.UDP) for name in (flag.value, self._value))
        if there is None or not there.bound:
            return [f"No relay of {look.name} answers in {self._value}: leave the region as it is."]
        if here is None or not here.bound:
            return [
                f"No relay of {look.name} answers in {flag.value}, so nobody can say what is nearer: leave the region "
                "as it is."
            ]
        if here.ms <= there.ms:
            return [
                f"{self._value} is {there.ms:.0f} ms away and {flag.value} {here.ms:.0f} ms: leave the region as it is."
            ]
        return []

    def _phoning(self, context: Json) -> list[str]:
        """A6.4, M6: with the agreement of the clinic, when no provider can hold a consultation; back when one can."""
        if self._value == OFF:
            well = [name for name in PROVIDERS if usable(context, name) and bot_at(context, name)[0]]
            return [] if well else ["Neither provider is well, so visits could not be held online: leave it on."]
        reasons = []
        if not self.telehealth["clinic_lead"]:
            reasons.append("No clinic lead has agreed to visits by phone: name who has as telehealth.clinic_lead.")
        return [*reasons, *still_there(context)]

    def _active(self, context: Json) -> tuple[ProviderLook | None, list[str]]:
        """The provider that all new sessions go to, as it was probed; else why there is none.

        What could not be read is said elsewhere, once.
        """
        flag: Setting | None = context.get(f"{PROVIDER}_flag")
        if flag is None:
            return None, []
        active = sole_provider(flag)
        if active is None:
            return None, [
                f"{flag.key} serves no single provider to everybody, so nobody knows whose relays are meant: let its "
                "owner remove the division."
            ]
        return context.get(f"{active}_provider"), []

    def prediction(self, before: Json) -> list[str]:
        context, turned_on = before["context"], self._value == ON
        if self._setting == PROVIDER:
            return [
                f"New sessions begin at {self._value} within seconds.",
                f"{running(context, other(self._value))} stay there until they end.",
                f"The next switch is possible after {FLAP_MINUTES} min.",
            ]
        if self._setting == REGION:
            return [f"New sessions are relayed in {self._value}; running ones keep their region."]
        words = {
            RELAY: ("go through a relay over TCP or TLS, which costs quota", "find their way by themselves"),
            AUDIO: ("have no picture: examinations that need one are flagged to the clinician", "have a picture again"),
            BITRATE: ("get a smaller picture, at a sixth of the bits or less", "get the full picture"),
            PHONE: ("are booked by phone instead of online", "are booked online again"),
        }[self._setting][0 if turned_on else 1]
        who = {PHONE: "New visits", RELAY: "New sessions"}.get(self._setting, "New and running consultations")
        return [f"{who} {words}."]

    def apply(self, before: Json) -> None:
        incident = (self.params.get("incident") or {}).get("id", "")
        flag: Setting = before["context"]["flag"]
        self.clients.declare("launchdarkly", "PatchFeatureFlag")
        self._launchdarkly.change(self._key, flag.instruction(self._value), f"{incident} {self.name}".strip())

    def inverse(self, before: Json) -> Json | str:
        if before["value"] is None:
            return "The flag served no single value before, so there is nothing to put back."
        return self.step_back(self.name, setting=self._setting, value=before["value"])


def _relay_refusals(look: ProviderLook) -> list[str]:
    """Why nobody should be made to go through the relays of a provider."""
    reasons = []
    tcp = look.relay(Transport.TCP)
    if not (tcp and tcp.allocated):
        seen = tcp.seen if tcp else "it was not asked"
        reasons.append(f"The {look.name} provider has no relay over TCP ({seen}): nobody could join through it.")
    used, limit = look.quota
    if not accepted(look.status):
        reasons.append(
            f"How much of the quota of {look.name} is used could not be read (status: {look.status.seen}), and relays "
            "cost more of it: look there first."
        )
    elif limit and used > (1 - QUOTA_LEFT) * limit:
        reasons.append(
            f"{used:.0f} of {limit:.0f} of the quota of {look.name} are used, and relays cost more of it: raise it."
        )
    return reasons


ENTRY = change_entry(TelehealthSetting)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
