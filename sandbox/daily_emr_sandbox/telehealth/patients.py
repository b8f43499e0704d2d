"""Who joins consultations, and over which network. Every one of them is made up; nothing here names anybody."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from ..settings import Settings

T = TypeVar("T")


@dataclass(frozen=True)
class Isp:
    """An internet provider of Kenya, by its autonomous system."""

    name: str
    asn: int
    host: int
    """Last byte of the address from which its customers come: a fault can hit one of them."""
    share: int
    """Of twenty joins."""
    rtt_ms: int


ISPS = (
    Isp("safaricom", 33771, 251, 9, 35),
    Isp("airtel", 36926, 252, 5, 55),
    Isp("telkom", 12455, 253, 3, 60),
    Isp("faiba", 36866, 254, 3, 40),
)
CURRENT, OLDER, NEXT = "2026.47.1", "2026.45.3", "2026.48.0"
"""Versions of the application that browsers have loaded: the release that runs, one of open tabs, one to come."""
VERSIONS = (CURRENT,) * 7 + (OLDER,) * 3
TRANSPORTS = ("udp",) * 8 + ("tcp",) * 2
"""One in five sits in a network that lets no UDP out."""
NEEDS_RELAY = (True, False)
"""Whether a client on UDP is behind an address translation that only a relay gets through."""
LOSS_PCT, RTT_MS, JITTER_MS = 5, 400, 50
"""More than any of these makes a call poor (incident domain, A6.1)."""
BAD_LINE = 0.02
"""Share of calls with a line too bad for anything."""


@dataclass(frozen=True)
class Patient:
    """One join: the software, and the network."""

    isp: Isp
    source: str
    version: str
    transport: str
    needs_relay: bool


@dataclass(frozen=True)
class Line:
    """Quality of a call, as the browsers' getStats() would report it."""

    rtt_ms: int
    jitter_ms: int
    loss_pct: float

    @property
    def poor(self) -> bool:
        return self.loss_pct > LOSS_PCT or self.rtt_ms > RTT_MS or self.jitter_ms > JITTER_MS


class Patients:
    """Deals patients out: every network and version comes again soon.

    Attributes:
        versions: deck of what browsers have loaded.
        thin_lines: share of the lines that are too thin for a full picture, beside those that are bad anyway.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.versions: tuple[str, ...] = VERSIONS
        self.thin_lines = 0.0
        self._isps = _dealt(lambda: [isp for isp in ISPS for _ in range(isp.share)])
        self._versions = _dealt(lambda: list(self.versions))
        self._transports = _dealt(lambda: list(TRANSPORTS))
        self._relays = _dealt(lambda: list(NEEDS_RELAY))

    def next(self, *, relay_only: bool) -> Patient:
        isp, transport = next(self._isps), next(self._transports)
        return Patient(
            isp,
            self._settings.address(isp.host),
            next(self._versions),
            "tcp" if relay_only else transport,
            next(self._relays) or transport == "tcp" or relay_only,
        )


def line_of(patient: Patient, measured_s: float, thin_lines: float) -> Line:
    """What of the last mile is made up comes on top of what was measured to the provider."""
    if random.random() < BAD_LINE + thin_lines:
        return Line(patient.isp.rtt_ms + 120, 70, 7.5)
    rtt_ms = patient.isp.rtt_ms + round(1000 * measured_s + random.uniform(0, 25))
    return Line(rtt_ms, round(random.uniform(4, 18)), round(random.uniform(0, 1.2), 1))


def _dealt(deck: Callable[[], list[T]]) -> Iterator[T]:
    """The cards of a deck, shuffled anew each time it is used up; a changed deck counts from then on."""
    while True:
        cards = deck()
        yield from random.sample(cards, len(cards))
