"""Faults of the claims API: the payer is away, slow, refuses our key, our pace or our bundles, or does not say."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from ..sha.behaviour import RateLimit
from .base import Fault
from .spike import CLAIMS_DELAYS_S

if TYPE_CHECKING:
    from ..sha.part import ShaPart

SHOWS = 3
"""So many tries that failed in the same way are more than chance."""
BURST = 80
LIMIT_PER_S = 2.0
"""Twice what facilities make: a redrive at the usual pace passes."""
RETRY_AFTER_S = 2
UNAVAILABLE = 503


class ShaFault(Fault):
    """Breaks the payer, and waits until the workers have met it."""

    part = "claims"
    # The alarm looks at five minutes (incident domain, A5.1), and at calls of which there are few here.
    alarm_min = 5.0
    against_usual = False
    shows_as: ClassVar[str]
    """Outcome of a try that shows it."""

    @property
    def sha(self) -> ShaPart:
        return self.world.sha

    def break_(self) -> None:
        before = self.sha.outbox.answers(self.shows_as)
        self.sha.outbox.leave()
        self.sha.troubled = True
        self.spoil()
        self.wait(lambda: self.sha.outbox.answers(self.shows_as) >= before + SHOWS, f"claims meet {self.shows_as}")

    def mend(self) -> None:
        if self.sha.troubled:
            self.sha.mend()

    @abstractmethod
    def spoil(self) -> None: ...


class ShaDown(ShaFault):
    name = "sha_down"
    summary = "the claims API answers 503 to every operation; it still gives tokens"
    shows_as = "server_error"

    def spoil(self) -> None:
        self.sha.api.behaviour.down = True
        self.world.claims.fail(UNAVAILABLE)


class ShaSlow(ShaFault):
    name = "sha_slow"
    summary = (
        "the claims API answers three of four requests later than a worker waits, and takes the claims all the same"
    )
    shows_as = "timeout"

    def spoil(self) -> None:
        late_s = self.sha.timeout_s * 1.5
        self.sha.api.behaviour.slow(late_s, late_s, late_s, self.sha.timeout_s / 2)
        self.world.claims.slow(*CLAIMS_DELAYS_S)


class ShaTokenExpired(ShaFault):
    name = "sha_token_expired"
    summary = "the claims API refuses our key with 401; the new one lies in the secret as AWSPENDING"
    shows_as = "unauthorized"
    prepared: ClassVar[bool] = True

    def spoil(self) -> None:
        if self.sha.current_key() in self.sha.api.keys:
            key = self.sha.api.new_key()
            if self.prepared:
                self.sha.prepare_key(key)
            self.sha.api.accept_keys(key)


class ShaKeyRevoked(ShaTokenExpired):
    name = "sha_key_revoked"
    summary = "the claims API refuses our key with 401, and nobody has put a new one into the secret"
    prepared = False


class ShaCertificateExpired(ShaFault):
    name = "sha_certificate_expired"
    summary = "the certificate of the claims API has expired; not a byte of a claim is sent"
    shows_as = "connect"

    def spoil(self) -> None:
        self.sha.api.expire_certificate()


class ShaRateLimited(ShaFault):
    name = "sha_rate_limited"
    alarm_min = 0.0  # the pile is sent within minutes, and the first 429 is told at once
    summary = "a pile of claims was sent at once, and the claims API answers 429 to more than two requests a second"
    shows_as = "throttled"

    def spoil(self) -> None:
        self.sha.api.behaviour.limit = RateLimit(LIMIT_PER_S, RETRY_AFTER_S)
        self.sha.outbox.add([self.sha.facilities.new() for _ in range(BURST)])


class ShaSchemaRefused(ShaFault):
    name = "sha_schema_refused"
    summary = "the claims API wants another profile and answers 422 to every claim; reads work"
    shows_as = "rejected"

    def spoil(self) -> None:
        self.sha.api.behaviour.submissions("refuse")


class ShaCommitsThenTimesOut(ShaFault):
    name = "sha_commits_then_times_out"
    alarm_min = 10.0  # each call that fails takes as long as a worker waits
    summary = "the claims API does not answer submissions, and has taken every second one; reads work"
    shows_as = "timeout"

    def spoil(self) -> None:
        self.sha.api.behaviour.submissions("commit_silent", "silent")
