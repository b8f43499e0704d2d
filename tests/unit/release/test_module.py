"""The gate as a task runs it: what it reads, what it signs, and what it says when nothing can be read."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.daily_emr.ops.plugins.doc_fragments import slo
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import SIGNED_BYTES, Clients
from ansible_collections.daily_emr.ops.plugins.module_utils._environment import Environment
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._slo_days import Day, item_of
from ansible_collections.daily_emr.ops.plugins.modules import release_gate
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from tests.unit.core.conftest import ENVIRONMENT, ROLE, TABLE, account, stamp
from tests.unit.release.conftest import COMMIT, KEY, LIMITS, House, documented, midnight
from tests.unit.release.test_gate import AT

Json = dict[str, Any]
INCIDENT = "INC-20261201-170000-9f3a"


def put_days(bad: dict[int, int] | None = None) -> None:
    """Eighty whole days of the ledger; days ago -> minutes of it that failed."""
    for ago in range(1, 80):
        down = (bad or {}).get(ago, 0)
        words = ["1000/1000"] * down + ["1000"] * (1440 - down)
        item = item_of("emr-web", Day(midnight(ago).date(), f"0:{','.join(words)}", ""), "then")
        account("dynamodb").put_item(TableName=TABLE, Item=item)


@pytest.fixture
def healthy(house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    """A month without an outage, and a key. It is always a Tuesday night in Kenya."""
    from ansible_collections.daily_emr.ops.plugins.module_utils import _release_gate

    given = _release_gate.closed
    monkeypatch.setattr(_release_gate, "closed", lambda _at, limits: given(AT, limits))
    house.key()
    put_days()
    # Today, also a bit further than now: the clock goes on while the test runs. Ten minutes of silence are no gap.
    house.count(midnight(), range(0, 1440, 10), 1000)
    return house


def ask(house: House, kind: str = "release", **given: Any) -> Json:
    house.as_person("wanjiru", ROLE)
    made = house("release_gate", kind=kind, folder=str(house.folder / "gate"), **{"commit": COMMIT, **given})
    assert not made.get("failed"), made.get("msg")
    return made


def public_key() -> bytes:
    return bytes(account("kms").get_public_key(KeyId=KEY)["PublicKey"])


def test_a_release_of_a_healthy_service_is_allowed_and_nothing_is_changed(healthy: House) -> None:
    made = ask(healthy)
    assert (made["allowed"], made["state"], made["signed"], made["changed"]) == (True, "open", True, False), made
    assert made["sentence"] == "The release is allowed, the state is open: 0.0 min of the month are spent."
    assert made["answer"]["budget"]["known"] is True
    assert made["answer"]["commit"] == COMMIT
    assert made["answer"]["conditions"]["canary_minutes"] == 30
    assert healthy.wire.count("PutItem") == 0
    assert {one for one in healthy.wire.sent if one.startswith(("Put", "Update", "Delete", "Transact"))} == set()


def test_check_mode_answers_the_same(healthy: House) -> None:
    assert healthy("release_gate", check=True, kind="release", commit=COMMIT)["allowed"] is True


def test_the_signature_is_verified_with_the_public_key_and_fails_for_a_changed_byte(healthy: House) -> None:
    made = ask(healthy)
    message, signature = Path(made["json_file"]).read_bytes(), Path(made["signature_file"]).read_bytes()
    assert json.loads(message) == made["answer"]
    key = load_der_public_key(public_key())
    assert isinstance(key, ec.EllipticCurvePublicKey)
    key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
    changed = message.replace(b'"allowed":true', b'"allowed":True')
    assert len(changed) == len(message)
    with pytest.raises(InvalidSignature):
        key.verify(signature, changed, ec.ECDSA(hashes.SHA256()))


def test_openssl_verifies_it_as_the_documentation_says(healthy: House) -> None:
    made = ask(healthy)
    folder = healthy.folder
    (folder / "public.der").write_bytes(public_key())
    subprocess.run(
        ["openssl", "pkey", "-pubin", "-inform", "DER", "-in", "public.der", "-out", "public.pem"],
        cwd=folder,
        check=True,
    )
    verify = ["openssl", "dgst", "-sha256", "-verify", "public.pem", "-signature", made["signature_file"]]
    good = subprocess.run([*verify, made["json_file"]], cwd=folder, check=False, capture_output=True, text=True)
    assert (good.returncode, good.stdout) == (0, "Verified OK\n")
    text = Path(made["json_file"]).read_text()
    (folder / "changed.json").write_text(text.replace(COMMIT, "0" * 40))
    bad = subprocess.run([*verify, "changed.json"], cwd=folder, check=False, capture_output=True, text=True)
    assert bad.returncode == 1


def test_an_outage_of_yesterday_freezes_releases_and_not_a_rollback(healthy: House) -> None:
    put_days({1: 40})
    made = ask(healthy)
    assert (made["allowed"], made["state"]) == (False, "freeze"), made["sentence"]
    # Yesterday was of the month before on the first of a month.
    assert set(made["answer"]["codes"]) <= {"budget_spent", "freeze_of_the_month_before"}
    assert ask(healthy, "rollback", commit="")["allowed"] is True


def lease(component: str, held: bool, outcome: str, severity: str = "SEV1") -> None:
    texts = {"rvn": "1", "owner": "otieno@desk", "host": "desk", "incident": INCIDENT, "run": "r1", "since": "then"}
    account("dynamodb").put_item(
        TableName=TABLE,
        Item={
            "pk": {"S": f"lease#{component}"},
            "sk": {"S": "lease"},
            "held": {"BOOL": held},
            "fence": {"N": "1"},
            **{name: {"S": text} for name, text in texts.items()},
        },
    )
    at = midnight().isoformat(timespec="milliseconds").replace("+00:00", "Z")
    lines = [{"kind": "opened", "severity": severity}]
    lines += [{"kind": "closed", "outcome": outcome}] if outcome else []
    for number, body in enumerate(lines, 1):
        line = {"incident": INCIDENT, "run": "r1", "seq": number, "at": at, **body}
        keys = {"pk": {"S": f"incident#{INCIDENT}"}, "sk": {"S": f"journal#r1#{number:06d}"}}
        account("dynamodb").put_item(TableName=TABLE, Item={**keys, "line": {"S": json.dumps(line)}})


@pytest.mark.parametrize(
    ("held", "outcome", "severity", "allowed"),
    [
        (True, "", "SEV2", False),
        (False, "failed_partial", "SEV1", False),
        (False, "succeeded", "SEV1", True),
        (True, "", "SEV3", True),
    ],
)
def test_an_open_incident_of_any_component_denies_a_release(
    healthy: House, held: bool, outcome: str, severity: str, allowed: bool
) -> None:
    lease("emr-db", held, outcome, severity)
    made = ask(healthy)
    assert made["allowed"] is allowed
    assert (f"{INCIDENT} on emr-db" in made["sentence"]) is (not allowed)
    assert ask(healthy, "mitigation", commit="")["allowed"] is True


def test_an_override_of_two_people_lets_a_release_out_of_a_freeze(healthy: House) -> None:
    put_days({1: 40})
    healthy.as_person("wanjiru")
    digest = healthy("release_override", reason="The payer changes its API tonight")["request"]
    assert ask(healthy)["allowed"] is False
    healthy.as_person("otieno")
    assert healthy("release_override", request=digest)["outcome"] == "ok"
    made = ask(healthy)
    assert (made["allowed"], made["state"], made["signed"]) == (True, "freeze", True)
    assert made["answer"]["conditions"]["override"]["approved_by"] == ["otieno"]
    assert made["answer"]["conditions"]["canary_minutes"] == 60


def test_overdue_actions_need_two_approvals_and_their_names_stand_in_the_answer(healthy: House) -> None:
    made = ask(healthy, overdue_p0=2)
    assert (made["state"], made["allowed"]) == ("caution", False)
    assert f"release_override_commit={COMMIT}" in made["sentence"]
    for person in ("otieno", "achieng"):
        healthy.as_person(person)
        assert healthy("release_override", commit=COMMIT)["outcome"] == "ok"
    made = ask(healthy, overdue_p0=2)
    assert (made["allowed"], made["answer"]["conditions"]["approved_by"]) == (True, ["achieng", "otieno"])
    assert ask(healthy, overdue_p0=2, commit="0" * 40)["allowed"] is False


def test_a_closed_or_unreadable_calendar_is_not_open(healthy: House) -> None:
    healthy.wire.unreachable("GetCalendarState")
    made = ask(healthy, calendars=["elections"])
    assert (made["allowed"], made["state"]) == (False, "freeze")
    assert "A change calendar is not open (elections" in made["sentence"]


@pytest.mark.parametrize("operation", ["GetMetricData", "Query", "GetItem", "DescribeLoadBalancers"])
@pytest.mark.parametrize(("kind", "allowed"), [("release", False), ("rollback", True), ("mitigation", True)])
def test_what_cannot_be_read_is_unknown_and_holds_up_no_rollback(
    healthy: House, operation: str, kind: str, allowed: bool
) -> None:
    healthy.wire.unreachable(operation, 200)
    made = ask(healthy, kind)
    assert (made["allowed"], made["state"], made["signed"]) == (allowed, "unknown", True)
    assert "Could not read the" in made["sentence"]


@pytest.mark.parametrize(("kind", "allowed"), [("release", False), ("security", False), ("rollback", True)])
def test_without_a_key_there_is_no_signature_and_none_of_an_earlier_answer_stays(
    healthy: House, kind: str, allowed: bool
) -> None:
    assert ask(healthy)["signed"]
    made = ask(healthy, kind, signing_key="alias/another")
    assert (made["allowed"], made["signed"], made["state"]) == (allowed, False, "unknown")
    assert "could not be signed" in made["sentence"]
    assert made["signature_file"] == ""
    assert not (healthy.folder / "gate/release_gate.sig").exists()


@pytest.mark.parametrize(("kind", "allowed"), [("release", False), ("rollback", True), ("mitigation", True)])
def test_in_an_account_that_is_not_the_environment_a_rollback_goes_out_all_the_same(
    healthy: House, kind: str, allowed: bool
) -> None:
    stamp("{}")
    made = ask(healthy, kind)
    assert (made["allowed"], made["state"], made["signed"]) == (allowed, "unknown", False)


def test_a_fault_of_the_gate_itself_is_unknown_and_holds_up_no_rollback(
    healthy: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ansible_collections.daily_emr.ops.plugins.module_utils import _release_facts

    def broken(*_args: Any) -> None:
        raise KeyError("a value of somebody")

    monkeypatch.setattr(_release_facts, "month_budget", broken)
    assert (ask(healthy)["allowed"], ask(healthy, "rollback")["allowed"]) == (False, True)
    assert "a value of somebody" not in ask(healthy)["sentence"]


@pytest.mark.parametrize("commit", ["", "main", COMMIT[:7], COMMIT.upper(), "'; rm -rf / #"])
def test_a_release_names_a_whole_commit_and_a_rollback_need_not(healthy: House, commit: str) -> None:
    made = healthy("release_gate", kind="release", commit=commit)
    assert made["failed"]
    assert "is no commit" in made["msg"]
    found = ask(healthy, "rollback", commit=commit)
    assert (found["allowed"], found["answer"]["commit"]) == (True, "")


def test_the_gate_signs_with_its_key_alone_and_a_short_message_alone(healthy: House) -> None:
    clients = Clients(Environment.from_params(ENVIRONMENT), environ={})
    with pytest.raises(Refused, match="shorten it"):
        clients.signature(KEY, b"x" * (SIGNED_BYTES + 1))
    assert healthy.wire.count("Sign") == 0
    clients.signature(KEY, b"x" * SIGNED_BYTES)
    assert healthy.wire.count("Sign") == 1


def test_an_answer_with_many_reasons_is_still_short_enough_to_be_signed(healthy: House) -> None:
    components = [f"component-{number:03d}" for number in range(30)]
    for component in components:
        lease(component, True, "")
    healthy.wire.unreachable("GetCalendarState")
    made = ask(healthy, components=components, calendars=[f"{number}" * 200 for number in range(9)], overdue_p0=7)
    assert (made["signed"], made["state"]) == (True, "freeze")
    assert "and 26 more" in made["sentence"]


def test_the_options_are_those_of_the_documentation() -> None:
    options = documented(release_gate)
    for part in (slo.ModuleDocFragment.DOCUMENTATION, slo.ModuleDocFragment.CANARIES):
        options |= yaml.safe_load(part)["options"]
    own = {name for name in release_gate.GATE_SPEC if name != "service"}
    assert options.keys() == own
    assert options["limits"]["suboptions"].keys() == release_gate.GATE_SPEC["limits"]["options"].keys() == LIMITS.keys()
