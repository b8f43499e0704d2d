"""The modules as a playbook calls them, and what the client factory lets them read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Context, perform
from ansible_collections.daily_emr.ops.plugins.module_utils._readiness_controls import AREAS, CHECKS, declared_calls
from ansible_collections.daily_emr.ops.plugins.module_utils._readiness_options import NAMES_SPEC, WANTED_SPEC
from ansible_collections.daily_emr.ops.plugins.module_utils._readiness_verdict import AREAS as TITLES
from ansible_collections.daily_emr.ops.plugins.modules import readiness_evidence, readiness_report

from tests.unit.content.test_content import ROOT, load
from tests.unit.core.conftest import ENVIRONMENT, REGION, account, aws, clients, wire
from tests.unit.readiness.world import NAMES, WANTED

__all__ = ["aws", "clients", "wire"]  # fixtures

REPORT_ROLE = ROOT / "roles/readiness"


def validated(entry: Any, params: dict[str, Any]) -> dict[str, Any]:
    checked = ArgumentSpecValidator(entry.argument_spec).validate(params)
    assert checked.error_messages == []
    return dict(checked.validated_parameters)


def test_names_and_desired_values_have_one_list_each():
    options = load(REPORT_ROLE / "meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    handed_over = load(REPORT_ROLE / "vars/main.yml")["__readiness_wanted"]
    named = load(ROOT / "inventories/common/readiness.yml")["readiness_names"]
    assert set(NAMES_SPEC) == set(NAMES) == set(options["readiness_names"]["options"]) == set(named)
    assert set(WANTED_SPEC) == set(handed_over) <= set(WANTED)
    assert handed_over == {name: f"{{{{ readiness_{name} }}}}" for name in WANTED_SPEC}


def test_every_desired_value_is_used_by_a_check():
    folder = ROOT / "collections/ansible_collections/daily_emr/ops/plugins/module_utils"
    text = "".join(path.read_text() for path in folder.glob("_readiness*.py")).replace("'", '"')
    assert [name for name in WANTED_SPEC if f'wanted["{name}"]' not in text] == []
    assert [name for name in NAMES_SPEC if f'names["{name}"]' not in text] == []


def test_every_area_has_a_title():
    assert {area.area for area in AREAS} | {"people"} == set(TITLES)
    wanted = load(REPORT_ROLE / "defaults/main.yml")["readiness_attestations"]
    assert {item["control"].partition(".")[0] for item in wanted} == {"people"}
    assert len({item["control"] for item in wanted}) == len(wanted)


@pytest.fixture
def report(wire, tmp_path, monkeypatch):  # noqa: ARG001  # for its effect
    """Both modules on an empty account, one after the other; AWS is moto."""
    monkeypatch.setenv("DAILY_EMR_RUNS", str(tmp_path / "runs"))
    # moto has nothing of some services, and would let their calls out.
    emulated = [check for check in CHECKS if check.area in ("state", "database", "cache", "runbooks")]
    monkeypatch.setattr(readiness_evidence, "CHECKS", emulated)

    def look(**params: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        wanted = {name: WANTED[name] for name in WANTED_SPEC}
        evidence = perform(
            "readiness_evidence",
            readiness_evidence.ENTRY,
            validated(readiness_evidence.ENTRY, {"environment": ENVIRONMENT, "names": NAMES, "wanted": wanted}),
            Context(project=tmp_path),
        )
        given = {
            "environment": ENVIRONMENT,
            "evidence": evidence["evidence"],
            "calls": evidence["calls"],
            "attestations": load(REPORT_ROLE / "defaults/main.yml")["readiness_attestations"],
            "waiver_role": "risk_owner",
            "page": str(REPORT_ROLE / "templates/report.html.j2"),
        } | params
        entry = readiness_report.ENTRY
        return evidence, perform("readiness_report", entry, validated(entry, given), Context(project=tmp_path))

    return look


def test_an_empty_account_is_not_ready_and_was_only_read(report, wire):
    evidence, made = report()
    assert {record["status"] for record in evidence["evidence"]} == {"fail", "unknown"}
    assert (evidence["changed"], made["changed"], made["ready"]) == (False, False, False)
    # Two calls prove who and where; the others are declared.
    operations = {call.partition(":")[2] for call in declared_calls()} | {"GetCallerIdentity", "GetParameter"}
    assert set(wire.sent) <= operations
    written = json.loads(Path(made["json_file"]).read_text())
    assert (written["sha256"], written["environment"]) == (made["sha256"], "staging")
    assert made["sha256"] in Path(made["html_file"]).read_text()


def test_a_second_look_at_the_same_account_finds_no_drift(report):
    report()
    _evidence, made = report()
    assert json.loads(Path(made["json_file"]).read_text())["drift"]["changes"] == []


def test_an_input_that_is_still_unset_is_named(report):
    evidence, _made = report(evidence=[], calls=0)
    assert evidence["evidence"]
    names = NAMES | {"domain": "UNSET"}
    params = {"environment": ENVIRONMENT, "names": names, "wanted": {name: WANTED[name] for name in WANTED_SPEC}}
    refused = perform("m", readiness_evidence.ENTRY, validated(readiness_evidence.ENTRY, params), Context())
    assert refused["refusals"] == ["names.domain is not set: put it into the group_vars of inventories/staging."]


def test_a_report_that_cannot_be_written_is_one_sentence(report, tmp_path):
    (tmp_path / "full").write_text("")
    _evidence, made = report(reports=str(tmp_path / "full"))
    assert made["failed"] is True
    assert made["msg"].startswith("The report cannot be written into")


def put(key: str, body: bytes = b'{"ok": true}') -> None:
    s3 = account("s3")
    if not s3.list_buckets()["Buckets"]:
        s3.create_bucket(Bucket="dumps", CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket="dumps", Key=key, Body=body)


@pytest.mark.parametrize(
    "key", ["restore_checks/2026/11/30/021500Z.json", "rehearsals/app_outage/20261101T080000Z.json"]
)
def test_reports_of_restore_checks_and_rehearsals_can_be_read(clients: Clients, key):
    put(key)
    assert clients.evidence("dumps", key) == '{"ok": true}'


@pytest.mark.parametrize(
    "key",
    [
        "2026/11/30/013000Z/0001.dump",
        "2026/11/30/013000Z/manifest.json",
        "restore_checks/../2026/0001.dump",
        "rehearsals/app_outage/../../2026/0001.json",
        "exports/patients.json",
        "restore_checks/x.csv",
    ],
)
def test_no_other_object_can_be_read(clients: Clients, wire, key):
    put(key)
    with pytest.raises(Refused, match="only reads reports of restore checks and rehearsals"):
        clients.evidence("dumps", key)
    assert "GetObject" not in wire.sent


def test_a_client_of_another_region_stands_behind_the_same_guard(clients: Clients, wire):
    sesv2 = clients.read("sesv2", "eu-west-1")
    assert sesv2.meta.region_name == "eu-west-1"
    assert clients.read("sesv2", "eu-west-1") is sesv2
    assert clients.read("sesv2").meta.region_name == REGION
    with pytest.raises(Refused, match="PutAccountDetails is not a read"):
        sesv2.put_account_details(MailType="TRANSACTIONAL", WebsiteURL="x")
    assert wire.sent == []
