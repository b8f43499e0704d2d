"""The stand-in of the Social Health Authority, over HTTPS as a worker and a runbook use it."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import urllib.error
import urllib.parse
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from daily_emr_sandbox.loop import LoopThread
from daily_emr_sandbox.settings import Settings
from daily_emr_sandbox.sha import Sha
from daily_emr_sandbox.sha.behaviour import RateLimit
from daily_emr_sandbox.sha.fhir import IDENTIFIER

TIMEOUT_S = 0.5
NAME = "Wanjiku-Canary-29481733"
LOST = (TimeoutError, ConnectionError, urllib.error.URLError, http.client.HTTPException)


@pytest.fixture(scope="module")
def running(settings: Settings, loop: LoopThread) -> Iterator[Sha]:
    built = Sha(settings, loop)
    built.start()
    yield built
    built.stop()


@pytest.fixture
def sha(running: Sha) -> Iterator[Sha]:
    yield running
    running.mend()


def bundle(number: str, **claim: Any) -> dict[str, Any]:
    claim = {"identifier": [{"system": IDENTIFIER, "value": number}], "use": "claim"} | claim
    patient = {"resourceType": "Patient", "identifier": [{"value": NAME}]}
    others = [{"resourceType": name} for name in ("Organization", "Coverage")]
    resources = [patient, *others, {"resourceType": "Claim", **claim}]
    entries = [{"resource": resource} for resource in resources]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


class Client:
    """Trusts the authority's certificate and nothing else."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.trust = ssl.create_default_context(cafile=str(settings.sha_ca_file))
        self.trust.verify_flags |= ssl.VERIFY_X509_STRICT  # what Python 3.13 asks for
        self.token = ""

    def send(
        self,
        path: str,
        body: bytes | None = None,
        agent: str = "worker",
        timeout_s: float = 10,
        authorization: str = "",
    ) -> tuple[int, dict[str, Any], dict[str, str]]:
        headers = {"Authorization": authorization or f"Bearer {self.token}", "User-Agent": agent}
        request = urllib.request.Request(self._settings.sha_url + path, body, headers)
        try:
            with urllib.request.urlopen(request, timeout=timeout_s, context=self.trust) as answer:
                return answer.status, json.load(answer), dict(answer.headers)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error), dict(error.headers)

    def log_in(self, key: str) -> int:
        found = json.loads(key)
        basic = b64encode(f"{found['key']}:{found['secret']}".encode()).decode()
        status, answer, _ = self.send(
            "/v1/oauth2/token", b"grant_type=client_credentials", authorization=f"Basic {basic}"
        )
        self.token = answer.get("access_token", self.token)
        return status

    def facility(self, fid: str | None = None, agent: str = "worker") -> tuple[int, dict[str, Any]]:
        return self.send(f"/v1/facility-search?id={fid or self._settings.sha_facility}", agent=agent)[:2]

    def submit(self, number: str, timeout_s: float = 10, **claim: Any) -> tuple[int, dict[str, Any]]:
        return self.send("/v1/shr-med/bundle", json.dumps(bundle(number, **claim)).encode(), timeout_s=timeout_s)[:2]

    def known(self, number: str) -> int:
        query = urllib.parse.urlencode({"request.identifier": f"{IDENTIFIER}|{number}"})
        return int(self.send(f"/fhir/ClaimResponse?{query}")[1]["total"])


@pytest.fixture
def client(sha: Sha, settings: Settings) -> Client:
    built = Client(settings)
    assert built.log_in(sha.key) == 200
    return built


def test_a_claim_is_accepted_and_found_by_its_own_number(client: Client) -> None:
    assert client.known("one") == 0
    status, response = client.submit("one")

    assert (status, response["resourceType"], response["outcome"]) == (201, "ClaimResponse", "complete")
    assert response["request"]["identifier"] == {"system": IDENTIFIER, "value": "one"}
    assert client.known("one") == 1


def test_an_answer_about_a_claim_repeats_what_was_asked_for(client: Client) -> None:
    """By that a client tells it from an answer to another question."""
    client.submit("mine")
    query = urllib.parse.urlencode({"request.identifier": f"{IDENTIFIER}|mine"})
    _status, found, _headers = client.send(f"/fhir/ClaimResponse?{query}")
    [link] = found["link"]
    assert (found["type"], link["relation"]) == ("searchset", "self")
    asked_for = urllib.parse.parse_qs(urllib.parse.urlsplit(link["url"]).query)["request.identifier"]
    assert asked_for == [f"{IDENTIFIER}|mine"]
    [entry] = found["entry"]
    assert (entry["resource"]["status"], entry["resource"]["request"]["identifier"]["value"]) == ("active", "mine")


def test_a_claim_that_comes_twice_is_taken_twice_and_the_ledger_says_so(client: Client, sha: Sha) -> None:
    before = sha.ledger.summary()["duplicates"]
    client.submit("once")
    assert sha.ledger.summary()["duplicates"] == before

    client.submit("twice")
    client.submit("twice")

    assert sha.ledger.summary()["duplicates"] == before + 1
    assert client.known("twice") == 2


@pytest.mark.parametrize("broken", [{"identifier": []}, {"use": "predetermination"}])
def test_a_bundle_without_what_it_needs_is_refused_and_not_kept(client: Client, sha: Sha, broken: Any) -> None:
    accepted = sha.ledger.summary()["accepted"]
    status, outcome = client.submit("broken", **broken)

    assert (status, outcome["resourceType"]) == (400, "OperationOutcome")
    assert sha.ledger.summary()["accepted"] == accepted


def test_our_own_facility_is_found_and_another_is_not(client: Client, settings: Settings) -> None:
    assert client.facility()[1]["id"] == settings.sha_facility
    assert client.facility("FID-00-000000-0")[0] == 404


def test_a_key_that_the_authority_took_back_ends_its_tokens_too(client: Client, sha: Sha) -> None:
    old, new = sha.key, sha.new_key()
    sha.accept_keys(new)
    assert client.log_in(old) == 401
    assert client.facility()[0] == 401
    assert client.log_in(new) == 200

    sha.accept_keys(new, old)
    assert client.facility()[0] == 200, "a token lasts where no key was taken back"
    assert client.log_in(old) == 200


def test_an_expired_certificate_ends_handshakes_until_it_is_renewed(client: Client, sha: Sha) -> None:
    sha.expire_certificate()
    with pytest.raises(urllib.error.URLError, match="certificate has expired"):
        client.facility()

    sha.mend()
    assert client.facility()[0] == 200


def test_a_client_that_does_not_know_the_authority_refuses_it(client: Client) -> None:
    client.trust = ssl.create_default_context()
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        client.facility()


def test_when_it_is_down_tokens_are_given_and_nothing_else(client: Client, sha: Sha) -> None:
    sha.behaviour.down = True

    assert client.log_in(sha.key) == 200
    assert (client.facility()[0], client.submit("down")[0]) == (503, 503)
    sha.mend()
    assert client.known("down") == 0


def test_a_refused_connection_is_refused_until_it_listens_again(client: Client, sha: Sha, settings: Settings) -> None:
    sha.refuse()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((settings.claims_address, settings.sha_port))

    sha.mend()
    assert client.facility()[0] == 200


def test_more_than_the_limit_is_told_when_to_come_again(client: Client, sha: Sha) -> None:
    sha.behaviour.limit = RateLimit(0.5, retry_after_s=7)

    assert client.facility()[0] == 200
    status, _, headers = client.send("/v1/shr-med/bundle", b"{}")
    assert (status, headers["Retry-After"]) == (429, "7")


def test_a_refused_schema_is_named_by_a_code_and_echoes_what_was_sent(client: Client, sha: Sha) -> None:
    sha.behaviour.submissions("refuse")
    status, outcome = client.submit("refused")

    [issue] = outcome["issue"]
    assert (status, issue["details"]["coding"][0]["code"]) == (422, "profile-required")
    assert NAME in issue["diagnostics"], "real servers do that: it is what a worker must not log"
    assert (client.facility()[0], client.known("refused")) == (200, 0)


@pytest.mark.parametrize(
    ("how", "kept"),
    [("commit_silent", 1), ("silent", 0), ("commit_reset", 1), ("commit_unavailable", 1), ("unavailable", 0)],
)
def test_an_answer_that_is_lost_hides_whether_the_claim_was_taken(
    client: Client, sha: Sha, how: Any, kept: int
) -> None:
    sha.behaviour.submissions(how)
    if how.endswith("unavailable"):
        assert client.submit(how)[0] == 503
    else:
        with pytest.raises(LOST):
            client.submit(how, timeout_s=TIMEOUT_S)

    assert client.known(how) == kept


def test_a_slow_one_has_taken_the_claim_when_the_sender_gives_up(client: Client, sha: Sha) -> None:
    sha.behaviour.slow(2 * TIMEOUT_S * 0.9)
    with pytest.raises(LOST):
        client.submit("slow", timeout_s=TIMEOUT_S)
    sha.mend()
    assert client.known("slow") == 1


def test_requests_are_logged_with_who_asked_and_never_with_what(client: Client, sha: Sha) -> None:
    seen = len(sha.ledger.requests())
    client.facility(agent="daily-emr-runbook")
    client.submit("logged")

    found = sha.ledger.requests()[seen:]
    assert [(one["operation"], one["status"], one["runbook"]) for one in found] == [
        ("facility", 200, True),
        ("submit", 201, False),
    ]
    assert all(earlier["at"] <= later["at"] for earlier, later in pairwise(found))
    assert NAME not in json.dumps(found)
