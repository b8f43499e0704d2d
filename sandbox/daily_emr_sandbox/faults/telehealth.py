"""Faults of telehealth: of a provider, of the way to it, or of our own key, application and consumer of webhooks.

In none of them does a running consultation end: what breaks is how new ones begin.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, ClassVar

from ..telehealth.part import PROVIDERS
from ..telehealth.patients import CURRENT, ISPS, NEXT, OLDER, VERSIONS
from ..telehealth.provider import REGIONS, nobody
from .base import Fault

if TYPE_CHECKING:
    from ..telehealth.provider import Provider
    from ..world import World

JOINS_MIN, SHARE_MIN, SILENCE_MIN = 5.0, 15.0, 11.0
"""Join success is looked at over 15 minutes: an outage shows soon, a share of the patients later. Webhooks are missed
after ten minutes (incident domain, A6.1)."""

DETOUR_S = 0.32
"""Real seconds: more than a relay may be away (incident domain, A6.3)."""
THIN = 0.5


class TelehealthFault(Fault):
    part = "telehealth"
    alarm_min = JOINS_MIN
    against_usual = False

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.telehealth = world.telehealth

    @property
    def primary(self) -> Provider:
        return self.telehealth.providers["primary"]

    def wait_failed(self) -> None:
        """Wait until one more patient could not join."""
        before = self.telehealth.sessions.ledger()["failed"]
        self.wait(lambda: self.telehealth.sessions.ledger()["failed"] > before, "a patient cannot join")


class TelehealthApiDown(TelehealthFault):
    name = "telehealth_api_down"
    summary = "the control API of the primary telehealth provider answers 503; its TURN servers work"
    providers: ClassVar[tuple[str, ...]] = ("primary",)

    def break_(self) -> None:
        for name in self.providers:
            self.telehealth.providers[name].refuses_all = HTTPStatus.SERVICE_UNAVAILABLE
            self.telehealth.providers[name].in_trouble()
        self.wait_failed()

    def mend(self) -> None:
        for name in self.providers:
            self.telehealth.providers[name].refuses_all = None
            self.telehealth.providers[name].well()


class TelehealthBothDown(TelehealthApiDown):
    name = "telehealth_both_down"
    summary = "the control APIs of both telehealth providers answer 503"
    providers = PROVIDERS


class TelehealthMediaDown(TelehealthFault):
    name = "telehealth_media_down"
    summary = "the TURN servers of the primary telehealth provider are silent in both regions; its control API works"

    def break_(self) -> None:
        self.primary.media_silent = lambda _transport, _address: True
        self.primary.in_trouble()
        self.wait_failed()

    def mend(self) -> None:
        self.primary.media_silent = nobody
        self.primary.well()


class TelehealthUdpBlocked(TelehealthFault):
    name = "telehealth_udp_blocked"
    summary = "no UDP gets through to either telehealth provider, TCP does"

    def break_(self) -> None:
        for provider in self.telehealth.providers.values():
            provider.media_silent = lambda transport, _address: transport == "udp"
        self.wait_failed()

    def mend(self) -> None:
        for provider in self.telehealth.providers.values():
            provider.media_silent = nobody


class TelehealthOneIsp(TelehealthUdpBlocked):
    name = "telehealth_one_isp"
    summary = "the customers of one internet provider, airtel, reach no TURN server of any telehealth provider"
    alarm_min = SHARE_MIN

    def break_(self) -> None:
        [host] = [isp.host for isp in ISPS if isp.name == "airtel"]
        cut_off = self.settings.address(host)
        for provider in self.telehealth.providers.values():
            provider.media_silent = lambda _transport, address: address == cut_off
        self.wait_failed()


class TelehealthQuota(TelehealthFault):
    name = "telehealth_quota"
    summary = "the quota at the primary telehealth provider is used up: it answers 429, to whichever key"

    def break_(self) -> None:
        self.primary.quota_used_up = True
        self.wait_failed()

    def mend(self) -> None:
        self.primary.quota_used_up = False


class TelehealthOurKey(TelehealthFault):
    name = "telehealth_our_key"
    summary = "the secret TELEHEALTH_PRIMARY_KEY was rotated to a key that the provider does not know"

    def break_(self) -> None:
        self.telehealth.replace_key("primary")
        self.wait_failed()

    def mend(self) -> None:
        self.telehealth.restore_key("primary")


class TelehealthAppVersion(TelehealthFault):
    name = "telehealth_app_version"
    summary = "half of the browsers have a new version of the application, which asks TURN servers wrongly"
    alarm_min = SHARE_MIN

    def break_(self) -> None:
        self.telehealth.sessions.patients.versions = (NEXT,) * 5 + (CURRENT,) * 3 + (OLDER,) * 2
        self.wait_failed()

    def mend(self) -> None:
        self.telehealth.sessions.patients.versions = VERSIONS


class TelehealthWebhookSilent(TelehealthFault):
    name = "telehealth_webhook_silent"
    summary = "the application takes no webhooks of telehealth providers; patients join as always"
    alarm_min = SILENCE_MIN

    def break_(self) -> None:
        self.telehealth.desk.takes_webhooks = False
        self.wait(lambda: self.primary.waiting_events > 1, "webhooks wait")

    def mend(self) -> None:
        self.telehealth.desk.takes_webhooks = True


class TelehealthFarRegion(TelehealthFault):
    name = "telehealth_far_region"
    summary = "what goes to the near media region of the primary telehealth provider takes a detour of 320 ms"
    alarm_min = SHARE_MIN

    def break_(self) -> None:
        self.primary.turn[REGIONS[0]].delay_s = DETOUR_S
        self.wait(lambda: self.telehealth.sessions.last_rtt_ms > 1000 * DETOUR_S, "a patient is far away")

    def mend(self) -> None:
        self.primary.turn[REGIONS[0]].delay_s = 0.0


class TelehealthThinLines(TelehealthFault):
    name = "telehealth_thin_lines"
    summary = "half of the lines are too thin for a full picture; patients join as always"
    alarm_min = SHARE_MIN

    def break_(self) -> None:
        self.telehealth.sessions.patients.thin_lines = THIN

    def mend(self) -> None:
        self.telehealth.sessions.patients.thin_lines = 0.0
