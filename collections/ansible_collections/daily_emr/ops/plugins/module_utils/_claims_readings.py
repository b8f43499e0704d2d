# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: everything a diagnosis of a claims API reads. May change without notice.

"""Read the API from here, and what the application's workers and users see of it, in chains that run at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from ansible_collections.daily_emr.ops.plugins.module_utils._chains import Chains
from ansible_collections.daily_emr.ops.plugins.module_utils._claims_api import ClaimsApi, Reach, Reply
from ansible_collections.daily_emr.ops.plugins.module_utils._claims_ledger import (
    LastSent,
    read_last_sent,
    read_ledger,
    settle_seconds,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Secret, gather
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError
from ansible_collections.daily_emr.ops.plugins.module_utils._health_readings import read_flags
from ansible_collections.daily_emr.ops.plugins.module_utils._request_log import ask, utc_now
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, Readings, iso, parse_utc

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients

T = TypeVar("T")

# One failure is an accident; three in a row are not (A5.1).
TRIES = 3
# Below it a window holds too few submissions, however fast the clock runs.
LEAST_WINDOW_S = 15.0
ELIGIBILITY = "/api/claims/eligibility"
_ANSWERS = (
    f'filter route = "{ELIGIBILITY}" and status >= 100 | stats count(*) as requests by status | sort requests desc'
)


def read_all(
    clients: Clients,
    claims_api: Json,
    database: Json,
    service: Json,
    thresholds: Json,
    *,
    window_s: float | None = None,
) -> Readings:
    """Every reading a diagnosis needs; what could not be read is named with its reason.

    window_s: how far back submissions are looked at, where it is another time than that of the thresholds.
    """
    return _Look(clients, claims_api, database, service, thresholds, window_s).everything()


def window_seconds(clients: Clients, thresholds: Json) -> float:
    return max(float(clients.environment.seconds(thresholds["window_minutes"] * 60)), LEAST_WINDOW_S)


class _Look(Chains):
    def __init__(
        self,
        clients: Clients,
        claims_api: Json,
        database: Json,
        service: Json,
        thresholds: Json,
        window_s: float | None,
    ) -> None:
        super().__init__()
        self.clients, self.claims_api, self.database = clients, claims_api, database
        self.service, self.thresholds = service, thresholds
        self.usual_s = window_seconds(clients, thresholds)
        self.window_s = window_s or self.usual_s

    def everything(self) -> Readings:
        gather(api=self.api, others=self.others)
        return self.readings

    def api(self) -> None:
        """As far as each answer leads: a connection, a token, our own facility."""
        api = ClaimsApi(self.clients.environment, self.claims_api, float(self.thresholds["probe_timeout_s"]))
        limit_s = float(self.thresholds["probe_timeout_s"])
        self.take(
            reach=lambda: tried(api.reach, lambda reach: not reach.stage, limit_s),
            key=lambda: self.clients.secret_value(self.claims_api["secret"], stage="AWSCURRENT"),
        )
        key = self.readings.values.pop("key", None)
        if not self.known("reach", "token", "facility"):
            return
        reach: Reach = self.readings.values["reach"]
        if reach.stage:
            why = f"nobody was asked, because a connection ends with {reach.trouble}"
            self.readings.unread |= dict.fromkeys(("token", "facility"), why)
            return
        if key is None:
            why = self.readings.unread.pop("key")
            self.readings.unread |= dict.fromkeys(("token", "facility"), why)
            return
        self.take(login=lambda: tried(lambda: api.token(key), lambda found: not found[0].failing, limit_s))
        if not self.known("login", "token", "facility"):
            del self.readings.unread["login"]
            return
        reply, token = self.readings.values.pop("login")
        self.readings.values["token"] = reply
        if not reply.ok:
            self.readings.unread["facility"] = f"nobody was asked, because there is no token ({reply.seen})"
            return
        self.take(facility=lambda: self._facility(api, token, limit_s))

    @staticmethod
    def _facility(api: ClaimsApi, token: Secret, limit_s: float) -> Reply:
        return tried(lambda: api.facility(token), lambda reply: not reply.failing, limit_s)

    def others(self) -> None:
        settle_after_s = settle_seconds(self.clients, self.thresholds["settle_after_s"])
        self.take(
            ledger=lambda: read_ledger(
                self.clients,
                self.database,
                window_s=self.window_s,
                due_hours=self.thresholds["due_hours"],
                settle_after_s=settle_after_s,
            ),
            flags=lambda: read_switches(self.clients, self.service["feature_flags"], self.claims_api),
            eligibility=lambda: read_eligibility(self.clients, self.service, self.usual_s),
            versions=lambda: read_versions(self.clients, self.claims_api["secret"]),
        )
        if self.known("flags", "last_sent"):
            self.take(last_sent=lambda: self.last_sent(self.readings.values["flags"]["circuit"]))

    def last_sent(self, circuit: Json) -> LastSent | None:
        """Claims are held for longer than a window: what was sent last is older than the breaker, or a redrive's."""
        if not circuit["on"]:
            return None
        held_s = (utc_now() - parse_utc(circuit["changed_at"])).total_seconds()
        return read_last_sent(self.clients, self.database, held_s + self.usual_s)


def tried(call: Callable[[], T], good: Callable[[T], bool], limit_s: float) -> T:
    """The first good answer of three, or the last one; a slow failure counts for all of them."""
    began = time.monotonic()
    found = call()
    for _more in range(TRIES - 1):
        if good(found) or time.monotonic() - began >= limit_s:
            break
        found = call()
    return found


def read_switches(clients: Clients, settings: Json, claims_api: Json) -> Json:
    """Whether claims are kept back, and whether eligibility is answered without the payer; and since when."""
    known = {
        flag["key"]: {"on": flag["on"], "changed_at": flag["changed_at"]} for flag in read_flags(clients, settings)
    }
    missing = [claims_api[name] for name in ("circuit_flag", "cached_flag") if claims_api[name] not in known]
    if missing:
        raise OpsError(f"LaunchDarkly has no flag {missing[0]}")
    return {"circuit": known[claims_api["circuit_flag"]], "cached": known[claims_api["cached_flag"]]}


def read_eligibility(clients: Clients, service: Json, window_s: float) -> Json:
    """How many requests for eligibility users made, and how many were not served; from the request log."""
    if not service.get("log_group"):
        raise OpsError("service.log_group is not set")
    now = utc_now()
    rows = ask(clients, service["log_group"], _ANSWERS, now - timedelta(seconds=window_s), now)
    counts = {int(float(row["status"])): int(float(row["requests"])) for row in rows}
    bad = sum(number for status, number in counts.items() if status >= 500)  # noqa: PLR2004  # a class of statuses
    return {"requests": sum(counts.values()), "bad": bad}


def read_versions(clients: Clients, secret: str) -> Json:
    """When the current key was written, and when the pending one was, if there is one. No value is read."""
    found = clients.read("secretsmanager").list_secret_version_ids(SecretId=secret)["Versions"]
    dated: dict[str, Any] = {
        stage: iso(version["CreatedDate"]) for version in found for stage in version.get("VersionStages", [])
    }
    return {"current": dated.get("AWSCURRENT"), "pending": dated.get("AWSPENDING")}
