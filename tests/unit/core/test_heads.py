"""The head of a journal in the bucket of the audit: put last, locked, and never in the way of anything."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.daily_emr.ops.plugins.module_utils._audit import anchors_of, audit
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
from ansible_collections.daily_emr.ops.plugins.module_utils._environment import Environment
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import CallFailed, OpsError
from ansible_collections.daily_emr.ops.plugins.module_utils._heads import heads_of, keep_head
from ansible_collections.daily_emr.ops.plugins.module_utils._journal import JOURNAL, Journal, Session
from ansible_collections.daily_emr.ops.plugins.module_utils._lease import LeaseStore
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Context, perform
from ansible_collections.daily_emr.ops.plugins.module_utils._record import announced
from ansible_collections.daily_emr.ops.plugins.modules.audit import ENTRY as AUDIT
from botocore.awsrequest import AWSResponse
from daily_emr_sandbox.aws.overlays import s3 as sandbox_s3

from tests import journals

from .conftest import ACCOUNT, ENVIRONMENT, REGION, TABLE, Wire, account
from .test_incident import Run, decided, record, step

BUCKET = f"daily-emr-staging-audit-{ACCOUNT}"
LINE = {"seq": 14, "at": "2026-11-22T01:30:00.000Z", "hash": "a" * 64, "incident": "INC-1", "run": "run-1"}
DAYS = 35


def make_bucket(*, locked: bool = True, days: int = DAYS) -> None:
    s3, where = account("s3"), {"LocationConstraint": REGION}
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=where, ObjectLockEnabledForBucket=locked)
    if locked and days:
        rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": days}}
        s3.put_object_lock_configuration(
            Bucket=BUCKET, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule}
        )


@pytest.fixture(autouse=True)
def lock() -> None:
    """S3 as the sandbox has it, which locks as AWS does."""
    sandbox_s3.install(None)  # type: ignore[arg-type]


@pytest.fixture
def bucket(wire: Wire) -> None:
    make_bucket()
    assert wire.sent == [], "it is made beside the core"


@pytest.fixture
def run(wire: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.delenv("DAILY_EMR_RUNS", raising=False)
    wire.sent.clear()
    return Run(tmp_path)


def answers(code: str, status: int) -> Callable[[Any], AWSResponse]:
    """A fault of the wire: what S3 says instead."""

    class Raw(io.BytesIO):
        def stream(self, **_options: Any) -> Any:
            yield self.getvalue()

    text = f"<Error><Code>{code}</Code><Message>not for anybody's eyes</Message></Error>"
    return lambda request: AWSResponse(request.url, status, {}, Raw(text.encode()))


def keys() -> list[str]:
    return [one["Key"] for one in account("s3").list_objects_v2(Bucket=BUCKET).get("Contents", ())]


def changed(run: Run, outcome: str = "ok") -> dict[str, Any]:
    """A run with the lease that announced a change, up to its end."""
    session: dict[str, Any] = run("mitigating", incident=run.opened(incident_id="INC-1"))["incident"]
    journal = decided(session, "cause")
    step(journal, outcome)
    journal.append("verified", verified=True, sentence="20 of 20.")
    return session


@pytest.mark.usefixtures("bucket")
def test_a_head_says_whose_it_is_and_nobody_can_remove_it(clients: Clients) -> None:
    until = keep_head(clients, {**LINE, "kind": "closed", "sentence": "It is healthy again."})

    s3, key = account("s3"), "heads/INC-1/run-1/14.json"
    found = s3.get_object(Bucket=BUCKET, Key=key)
    assert json.loads(found["Body"].read()) == {**LINE, "environment": "staging"}
    assert (found["ObjectLockMode"], found["ObjectLockRetainUntilDate"]) == ("GOVERNANCE", until)
    assert abs(until - datetime.now(UTC) - timedelta(days=DAYS)) < timedelta(minutes=5)
    with pytest.raises(s3.exceptions.ClientError, match="AccessDenied"):
        s3.delete_object(Bucket=BUCKET, Key=key, VersionId=found["VersionId"])
    assert clients.sent == ["s3:PutObject"]


def test_the_bucket_is_the_one_that_bootstrap_makes_and_locks() -> None:
    root = Path(__file__).resolve().parents[3]
    storage = yaml.safe_load((root / "roles/storage/vars/main.yml").read_text())
    assert storage["__storage_audit"] == "{{ storage_prefix }}-audit-{{ storage_account }}"
    assert "{{ __storage_audit }}" in storage["__storage_locked"]
    assert yaml.safe_load((root / "inventories/common/all.yml").read_text())["emr_prefix"] == "daily-emr-{{ emr_name }}"
    assert Environment.from_params(ENVIRONMENT).audit_bucket == BUCKET


@pytest.mark.usefixtures("bucket")
def test_two_calls_with_little_patience_make_a_head(clients: Clients, wire: Wire) -> None:
    clients.prove()
    wire.sent.clear()
    wire.lose_request("GetObjectLockConfiguration")

    with pytest.raises(OpsError):
        keep_head(clients, LINE)
    keep_head(clients, LINE)

    assert wire.sent == ["GetObjectLockConfiguration"] * 2 + ["PutObject"], "nothing is asked twice by itself"
    s3 = clients.read("s3", attempts=1, patience=3)
    assert s3.meta.config.read_timeout == 3
    assert clients.read("s3").meta.config.read_timeout == 10


@pytest.mark.parametrize(("locked", "days"), [(False, 0), (True, 0)])
def test_a_bucket_that_does_not_lock_gets_none(clients: Clients, locked: bool, days: int) -> None:
    make_bucket(locked=locked, days=days)

    with pytest.raises(CallFailed):
        keep_head(clients, LINE)
    assert keys() == []


@pytest.mark.usefixtures("bucket")
def test_the_bucket_may_be_in_another_region_than_the_run(wire: Wire) -> None:
    """A failover works in the second region."""
    asked: list[str] = []
    wire.faults["PutObject"] = [lambda request: asked.append(request.url)]
    keep_head(Clients(Environment.from_params({**ENVIRONMENT, "audit_region": "eu-west-1"}), environ={}), LINE)

    assert "eu-west-1" in asked[0]


@pytest.mark.usefixtures("bucket")
def test_a_run_that_changed_something_leaves_its_head_in_the_end(run: Run, wire: Wire) -> None:
    session = changed(run)
    wire.sent.clear()

    result = run("closed", incident=session)

    line = Journal.of(Session.from_params(session)).read()[-1]  # type: ignore[arg-type]
    assert keys() == [f"heads/INC-1/{session['run']}/{line['seq']}.json"]
    assert "is in the bucket, locked until" in record(result)["anchor"]
    assert "warnings" not in result
    order = ["PutItem", "UpdateItem", "GetObjectLockConfiguration", "PutObject"]
    assert [name for name in wire.sent if name in order] == order, "the lease is given back first"


FAULTS: dict[str, tuple[Callable[[Wire], None], str]] = {
    "access denied": (
        lambda wire: wire.faults.update(PutObject=[answers("AccessDenied", 403)]),
        "is not anchored in the bucket: s3:PutObject was answered with AccessDenied (HTTP 403).",
    ),
    "500": (
        lambda wire: wire.faults.update(PutObject=[answers("InternalError", 500)]),
        "may not be anchored in the bucket: s3:PutObject was answered with InternalError (HTTP 500).",
    ),
    "timeout": (
        lambda wire: wire.lose_reply("PutObject"),
        "may not be anchored in the bucket: s3:PutObject got no usable answer (ReadTimeoutError).",
    ),
    "unreachable": (
        lambda wire: wire.unreachable("GetObjectLockConfiguration"),
        "is not anchored in the bucket: s3:GetObjectLockConfiguration was not sent: no connection could be made "
        "(EndpointConnectionError).",
    ),
}


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_head_that_cannot_be_put_changes_nothing_of_a_run_and_is_said(
    run: Run, wire: Wire, clients: Clients, fault: str
) -> None:
    breaks, says = FAULTS[fault]
    session = changed(run)
    breaks(wire)

    result = run("closed", incident=session)

    assert (result["outcome"], result["exit_code"]) == ("succeeded", 0)
    assert "failed" not in result
    (warning,) = result["warnings"]
    assert warning.endswith(says)
    assert record(result)["anchor"] == warning
    assert "anybody's eyes" not in json.dumps(record(result))
    assert not LeaseStore(clients, TABLE).peek("emr-web").held
    assert wire.count("PutObject") <= 1


def test_without_the_bucket_a_run_ends_as_it_would_and_says_so(run: Run) -> None:
    result = run("closed", incident=changed(run))

    assert result["outcome"] == "succeeded"
    assert "is not anchored in the bucket: s3:GetObjectLockConfiguration was answered" in result["warnings"][0]


def test_who_cannot_prove_where_the_run_is_at_its_end_is_told_both_and_keeps_the_record(run: Run, wire: Wire) -> None:
    session = changed(run)
    wire.faults["GetCallerIdentity"] = [answers("AccessDenied", 403)]

    result = run("closed", incident=session)

    assert [" ".join(text.split()[:2]) for text in result["warnings"]] == ["The lease", "The head"]
    assert record(result)["outcome"] == "succeeded"
    assert wire.count("PutObject") == 0


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize("outcome", ["unknown", "failed", "intent"])
def test_also_a_run_that_ended_badly_leaves_its_head(run: Run, outcome: str) -> None:
    run("closed", incident=changed(run, outcome))

    assert len(keys()) == 1


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize("outcome", ["refused", "noop", "planned"])
def test_a_run_that_announced_nothing_puts_none(run: Run, wire: Wire, outcome: str) -> None:
    session = run("mitigating", incident=run.opened())["incident"]
    journal = decided(session, "cause")
    if outcome == "noop":
        journal.append("outcome", step="release", target="service/web", outcome="noop", msg="As wanted already.")
    else:
        step(journal, outcome)

    result = run("closed", incident=session)

    assert keys() == []
    assert "anchor" not in record(result)
    assert {"GetObjectLockConfiguration", "PutObject"}.isdisjoint(wire.sent)


@pytest.mark.usefixtures("bucket")
def test_a_check_run_puts_none(run: Run, wire: Wire) -> None:
    opened = run("open", check_mode=True)["incident"]
    session = run("mitigating", check_mode=True, incident=opened)["incident"]
    step(decided(session, "cause"), "planned")

    run("closed", check_mode=True, incident=session)

    assert "PutObject" not in wire.sent


def test_an_announcement_counts_unless_it_was_refused_right_behind() -> None:
    about = {"step": "release", "target": "service/web"}
    intent, ok, refused = ({"kind": kind, **about} for kind in ("intent", "outcome", "refused"))
    other = {"kind": "intent", "step": "flag", "target": "flag/x"}

    assert all(
        announced(lines) for lines in ([intent], [intent, ok, intent, refused], [refused, intent], [other, refused])
    )
    assert not any(announced(lines) for lines in ([], [ok], [refused], [intent, refused], [intent, refused, ok]))


# ---- the audit


def looked(run: Run, incident: str = "INC-1") -> dict[str, Any]:
    params = {"environment": ENVIRONMENT, "incident_id": incident, "runs_dir": None}
    return perform("audit", AUDIT, params, Context(project=run.project))


def faults(result: dict[str, Any]) -> str:
    return " ".join(fault for one in result["runs"] for fault in one["faults"])


def rewrite(session: dict[str, Any]) -> None:
    """The journal and the lines in the table written anew together, with hashes that fit."""
    path = Path(session["folder"]) / JOURNAL
    path.write_bytes(journals.rewritten(path.read_bytes()))
    table = account("dynamodb")
    new = {line["seq"]: line for line in journals.lines(path.read_bytes())}
    for item in table.scan(TableName=TABLE)["Items"]:
        if item["sk"]["S"].startswith("journal#"):
            line = new[int(item["sk"]["S"].rpartition("#")[2])]
            table.put_item(TableName=TABLE, Item={**item, "line": {"S": json.dumps(line)}})


@pytest.mark.usefixtures("bucket")
def test_a_journal_that_both_witnesses_know_is_believed(run: Run) -> None:
    run("closed", incident=changed(run))

    result = looked(run)

    assert "failed" not in result
    (found,) = result["runs"]
    assert (found["heads"], found["faults"]) == (1, [])
    assert found["sentence"].endswith("as they are here and its head is in the bucket.")


@pytest.mark.usefixtures("bucket")
def test_journal_and_table_written_anew_together_are_found_by_the_bucket(run: Run) -> None:
    session = changed(run)
    run("closed", incident=session)
    rewrite(session)

    result = looked(run)

    assert result["failed"] is True
    seq = len(Journal.of(Session.from_params(session)).read())  # type: ignore[arg-type]
    assert faults(result) == f"Line {seq} is another one than the bucket of the audit holds."


@pytest.mark.usefixtures("bucket")
def test_without_the_bucket_they_are_not_found(run: Run, clients: Clients) -> None:
    """The control of the test above: what the bucket is for."""
    session = changed(run)
    run("closed", incident=session)
    rewrite(session)

    (found,) = audit(run.project / ".runs", "INC-1", anchors_of(clients, "INC-1"))
    assert found.faults == []


@pytest.mark.usefixtures("bucket")
def test_a_version_in_front_of_a_head_hides_nothing(run: Run, clients: Clients) -> None:
    session = changed(run)
    run("closed", incident=session)
    rewrite(session)
    line = Journal.of(Session.from_params(session)).read()[-1]  # type: ignore[arg-type]
    keep_head(clients, line)
    account("s3").delete_object(Bucket=BUCKET, Key=keys()[0])

    result = looked(run)

    assert result["runs"][0]["heads"] == 2
    assert f"Line {line['seq']} is another one than the bucket of the audit holds." in faults(result)


@pytest.mark.usefixtures("bucket")
def test_a_run_that_was_removed_here_and_in_the_table_is_known_to_the_bucket(run: Run) -> None:
    session = changed(run)
    run("closed", incident=session)
    Path(session["folder"], JOURNAL).unlink()
    table = account("dynamodb")
    for item in table.scan(TableName=TABLE)["Items"]:
        table.delete_item(TableName=TABLE, Key={"pk": item["pk"], "sk": item["sk"]})

    result = looked(run)

    assert (result["runs"][0]["lines"], result["runs"][0]["heads"]) == (0, 1)
    assert faults(result).startswith("Lines of this run are in the bucket, and its journal is not here")


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize("body", [b"", b"[]", b'{"hash": null}', b'{"run": "another", "seq": 1, "hash": "x"}'])
def test_a_head_that_says_nothing_is_like_no_line(clients: Clients, body: bytes) -> None:
    account("s3").put_object(Bucket=BUCKET, Key="heads/INC-1/run-1/1.json", Body=body)
    account("s3").put_object(Bucket=BUCKET, Key="heads/INC-1/readme", Body=b"no head")
    account("s3").put_object(Bucket=BUCKET, Key="heads/INC-12/run-1/1.json", Body=b"of another incident")

    assert heads_of(clients, "INC-1") == {"run-1": [{"seq": 1, "hash": None}]}


@pytest.mark.usefixtures("bucket")
def test_a_head_that_was_not_put_is_said_and_is_no_fault(run: Run, wire: Wire) -> None:
    wire.unreachable("PutObject")
    run("closed", incident=changed(run))

    result = looked(run)

    assert "failed" not in result
    assert "It is not anchored in the bucket" in result["runs"][0]["sentence"]


def test_a_bucket_that_does_not_answer_is_a_fault_because_nobody_can_say(run: Run) -> None:
    run("closed", incident=changed(run))

    result = looked(run)

    assert result["failed"] is True
    assert result["runs"][0]["heads"] is None
    assert "Nobody can say what the bucket of the audit holds: s3:ListObjectVersions was answered with" in faults(
        result
    )


def test_a_head_alone_is_believed_where_the_table_has_no_line(tmp_path: Path) -> None:
    """As of a failover, whose table is that of the second region."""
    data = journals.write(tmp_path / journals.INCIDENT / journals.RUN, 5)

    (found,) = audit(tmp_path, journals.INCIDENT, {}, {journals.RUN: journals.heads(data)})

    assert found.sentence == "Its chain is whole, and its head is in the bucket. The table holds no line of it."
