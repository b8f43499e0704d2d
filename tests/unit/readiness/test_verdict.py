"""Ready only when everything is known and good, or a named person owns what is not."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils._readiness import sealed
from ansible_collections.daily_emr.ops.plugins.module_utils._readiness_controls import CHECKS
from ansible_collections.daily_emr.ops.plugins.module_utils._readiness_pages import Shelf, page
from ansible_collections.daily_emr.ops.plugins.module_utils._readiness_verdict import Place, judge, table

from tests.unit.content.test_content import ROOT
from tests.unit.readiness.breaks import BREAKS
from tests.unit.readiness.world import ACCOUNT, NOW, REGION, Answers, AwsError, ready, run

PLACE = Place("production", ACCOUNT, REGION, NOW)
BOARD = {
    "control": "people.change_board",
    "title": "Board",
    "roles": ["clinical_safety_lead", "medical_lead"],
    "days": 90,
    "artifact": False,
}
TEMPLATE = (ROOT / "roles/readiness/templates/report.html.j2").read_text()


def evidence(*broken: str, answers: Answers | None = None) -> list[dict[str, Any]]:
    world = answers or ready()
    for control in broken:
        BREAKS[control](world)
    return run(world)[0].evidence(CHECKS)[0]


@pytest.fixture(scope="module")
def good() -> list[dict[str, Any]]:
    return evidence()


def verdict(records: list[dict[str, Any]], signing=None, *, people=(), before=None, place=PLACE) -> dict[str, Any]:
    desk = signing.desk() if signing else None
    return judge(
        CHECKS,
        records,
        list(people),
        desk.attestations() if desk else [],
        desk.waivers() if desk else [],
        "risk_owner",
        before,
        place,
        130,
    )


def why(made: dict[str, Any], control: str) -> str:
    return next(record["why"] for record in made["controls"] if record["control"] == control)


def status(made: dict[str, Any], control: str) -> str:
    return next(record["status"] for record in made["controls"] if record["control"] == control)


def test_an_environment_in_which_everything_is_right_is_ready(good):
    made = verdict(good)
    assert (made["ready"], made["blockers"]) == (True, [])
    assert made["valid_until"] == "2026-12-01T07:00:00Z"
    assert made["sentence"] == (
        f"production is ready: {len(CHECKS)} of {len(CHECKS)} controls are met. This holds until 2026-12-01T07:00:00Z."
    )


def test_one_that_fails_is_enough_not_to_be_ready():
    made = verdict(evidence("database.backups"))
    assert (made["ready"], made["blockers"]) == (False, ["database.backups"])
    assert made["sentence"] == f"production is not ready: of {len(CHECKS)} controls 1 failed."
    assert "fail     database.backups: wanted: automated backups are kept for at least 7 days; seen: days 1" in table(
        made
    )


def test_one_that_is_unknown_is_enough_not_to_be_ready():
    answers = ready() | {"securityhub:DescribeHub": AwsError("AccessDeniedException")}
    made = verdict(evidence(answers=answers))
    assert (made["ready"], made["blockers"]) == (False, ["account.security_hub"])
    assert made["sentence"] == f"production is not ready: of {len(CHECKS)} controls 1 unknown."


def test_no_evidence_is_not_ready():
    made = verdict([])
    assert made["ready"] is False
    assert made["counts"] == {"fail": 0, "unknown": len(CHECKS), "waived": 0, "pass": 0}
    assert why(made, "database.backups") == "This check was not run."


def test_evidence_that_was_changed_does_not_count(good):
    records = [
        record | ({"status": "pass", "title": "x"} if record["control"] == "cache.spare" else {}) for record in good
    ]
    assert why(verdict(records), "cache.spare") == "The evidence was changed after it was taken."


def test_evidence_of_another_account_does_not_count(good):
    made = verdict(good, place=replace(PLACE, account="999999999999"))
    assert made["counts"]["pass"] == 0


def test_old_evidence_does_not_count(good):
    made = verdict(good, place=replace(PLACE, now=NOW + timedelta(hours=25)))
    assert why(made, "database.backups") == "The evidence is too old."
    assert status(made, "network.nat") == "pass", "that one holds for a week"
    assert verdict(good, place=replace(PLACE, now=NOW - timedelta(hours=1)))["counts"]["pass"] == 0


def test_what_nobody_has_signed_is_unknown(good):
    made = verdict(good, people=[BOARD])
    assert (made["ready"], status(made, "people.change_board")) == (False, "unknown")
    assert why(made, "people.change_board") == (
        "Nobody has signed it as clinical safety lead. Nobody has signed it as medical lead."
    )


def test_one_signature_of_two_is_not_enough(good, signing):
    signing.attest()
    made = verdict(good, signing, people=[BOARD])
    assert (made["ready"], why(made, "people.change_board")) == (False, "Nobody has signed it as medical lead.")


def test_two_people_in_two_roles_are_enough(good, signing):
    signing.attest()
    signing.attest("medical", signer="baraka@example.org", role="medical_lead")
    made = verdict(good, signing, people=[BOARD])
    assert (made["ready"], made["blockers"]) == (True, [])
    (record,) = [record for record in made["controls"] if record["method"] == "attest"]
    assert {role: item["signer"] for role, item in record["observed"].items()} == {
        "clinical_safety_lead": "amina@example.org",
        "medical_lead": "baraka@example.org",
    }


def test_one_person_in_two_roles_is_not_enough(good, signing):
    signing.attest(signer="baraka@example.org")
    signing.attest("medical", signer="baraka@example.org", role="medical_lead")
    made = verdict(good, signing, people=[BOARD])
    assert (made["ready"], why(made, "people.change_board")) == (
        False,
        "baraka@example.org has signed for two roles: another person has to sign for one of them.",
    )


def test_a_verdict_ends_with_the_first_signature_that_ends(good, signing):
    signing.attest(expires=NOW.date())
    signing.attest("medical", signer="baraka@example.org", role="medical_lead")
    assert verdict(good, signing, people=[BOARD])["valid_until"] == "2026-11-30T23:59:59Z"


ONE = BOARD | {"roles": ["clinical_safety_lead"]}


@pytest.mark.parametrize(
    ("values", "wanted", "sentence"),
    [
        ({"expires": date(2026, 11, 29)}, ONE, "board.yml expired on 2026-11-29"),
        ({"key": "baraka@example.org"}, ONE, "board.yml is not signed with a key of amina@example.org"),
        ({"key": "stranger@example.org"}, ONE, "board.yml is signed with an unknown key"),
        ({"role": "medical_lead"}, BOARD | {"roles": ["medical_lead"]}, "who has not the role medical_lead"),
        ({"signer": "chebet@example.org", "role": "ciso"}, ONE, "which is not a role that this control asks for"),
        ({"artifact": "a.pdf", "artifact_sha256": "0" * 64}, ONE, "names an artifact that is not in the folder"),
        ({}, ONE | {"artifact": True}, "board.yml names no artifact"),
        ({}, ONE | {"days": 60}, "board.yml is meant to hold for 73 days: 60 days are the most"),
    ],
)
def test_a_signature_that_is_not_right_is_not_ready_and_says_why(good, signing, values, wanted, sentence):
    signing.attest(**values)
    made = verdict(good, signing, people=[wanted])
    assert (made["ready"], status(made, "people.change_board")) == (False, "fail")
    assert sentence in why(made, "people.change_board")


def test_a_good_signature_beside_an_old_one_is_enough(good, signing):
    signing.attest("old", expires=date(2026, 11, 29))
    signing.attest("new")
    assert verdict(good, signing, people=[ONE])["ready"] is True


def test_a_waiver_of_an_owner_makes_ready_and_is_said(signing):
    signing.waive()
    made = verdict(evidence("database.multi_az"), signing)
    assert (made["ready"], status(made, "database.multi_az")) == (True, "waived")
    assert made["sentence"].startswith(
        f"production is ready: {len(CHECKS)} of {len(CHECKS)} controls are met, 1 of them"
    )
    assert "database.multi_az: The second zone is built next week. (amina@example.org, until 2026-12-20)" in table(made)


def test_a_waiver_ends(signing):
    signing.waive(date=date(2026, 11, 1), expires=date(2026, 11, 29))
    made = verdict(evidence("database.multi_az"), signing)
    assert made["blockers"] == ["database.multi_az"]
    assert made["refused"] == ["risk.yml expired on 2026-11-29: look again at what it says, and sign a new one."]


def test_a_waiver_that_is_too_long_is_refused(signing):
    signing.waive(expires=date(2027, 1, 1))
    made = verdict(evidence("database.multi_az"), signing)
    assert (made["ready"], made["refused"]) == (
        False,
        ["risk.yml waives for 42 days: a waiver holds for 30 days at most, mend it meanwhile."],
    )


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"control": "database.multi"}, "risk.yml waives database.multi, which is no control: correct its name."),
        ({"control": "people.change_board"}, "which people have to sign: that cannot be waived."),
        ({"role": "clinical_safety_lead"}, "only a risk_owner may own a risk."),
        ({"key": "stranger@example.org"}, "risk.yml is signed with an unknown key"),
    ],
)
def test_a_waiver_that_is_not_right_is_refused(signing, values, sentence):
    signing.waive(**values)
    made = verdict(evidence("database.multi_az"), signing, people=[BOARD])
    assert (made["ready"], status(made, "database.multi_az")) == (False, "fail")
    assert sentence in made["refused"][0]


def test_a_waiver_changes_nothing_of_what_passes(good, signing):
    signing.waive()
    assert status(verdict(good, signing), "database.multi_az") == "pass"


def test_what_was_signed_for_no_control_is_said(good, signing):
    signing.attest(control="people.nobody")
    assert verdict(good, signing)["refused"] == [
        "board.yml attests people.nobody, which nobody asked for: correct its name."
    ]


def test_the_first_report_has_nothing_to_compare_with(good):
    assert verdict(good)["drift"] is None


def test_the_same_environment_has_not_drifted(good):
    made = verdict(evidence(), before=verdict(good))
    assert made["drift"]["changes"] == []


def test_what_changes_all_the_time_is_no_drift(good):
    answers = ready()
    answers["rds:DescribeDBInstances"]["DBInstances"][0]["LatestRestorableTime"] = NOW - timedelta(minutes=1)
    assert verdict(evidence(answers=answers), before=verdict(good))["drift"]["changes"] == []


def test_drift_names_the_controls_that_changed_and_what_was_seen(good):
    made = verdict(evidence("database.backups", "database.instance_class"), before=verdict(good))
    assert made["drift"]["changes"] == [
        {
            "control": "database.instance_class",
            "title": "Size of the instance",
            "before": "pass",
            "after": "fail",
            "facts": [{"name": "instance_class", "before": "db.m6g.large", "after": "db.t4g.micro"}],
        },
        {
            "control": "database.backups",
            "title": "Automated backups",
            "before": "pass",
            "after": "fail",
            "facts": [{"name": "days", "before": 7, "after": 1}],
        },
    ]
    assert "database.backups: pass -> fail; days 7 -> 1" in table(made)


def test_drift_is_seen_where_the_status_stays(good):
    answers = ready()
    answers["rds:DescribeDBInstances"]["DBInstances"][0]["BackupRetentionPeriod"] = 14
    (change,) = verdict(evidence(answers=answers), before=verdict(good))["drift"]["changes"]
    assert (change["control"], change["before"], change["after"]) == ("database.backups", "pass", "pass")


def test_a_control_that_is_new_or_gone_is_drift(good):
    before = verdict(good)
    with_people = verdict(good, people=[BOARD], before=before)
    assert [(item["control"], item["before"]) for item in with_people["drift"]["changes"]] == [
        ("people.change_board", "not there")
    ]
    (gone,) = verdict(good, before=with_people)["drift"]["changes"]
    assert (gone["control"], gone["after"]) == ("people.change_board", "not there")


def test_a_shelf_gives_the_newest_report_that_nobody_changed(good, tmp_path):
    shelf = Shelf(tmp_path / "production")
    assert shelf.last(PLACE) is None
    first = verdict(good)
    later = verdict(evidence("cache.spare"), place=replace(PLACE, now=NOW + timedelta(hours=1)))
    shelf.put(first, "")
    json_file, html_file = shelf.put(later, "<p>")
    assert shelf.last(PLACE) == later
    assert [path.stat().st_mode & 0o077 for path in (json_file, html_file, json_file.parent)] == [0, 0, 0]
    json_file.write_text(json_file.read_text().replace("production is", "staging is"))
    assert shelf.last(PLACE) == first
    assert shelf.last(replace(PLACE, account="999999999999")) is None
    (tmp_path / "production/20990101-000000-0/report.json").parent.mkdir()
    (tmp_path / "production/20990101-000000-0/report.json").write_text("[]")
    assert shelf.last(PLACE) == first


def test_the_page_stands_alone_and_says_it_on_top(signing):
    signing.waive()
    signing.attest(**signing.artifact())
    made = verdict(evidence("database.multi_az", "cache.spare"), signing, people=[BOARD])
    text = page(TEMPLATE, made)
    assert "Not ready: production" in text
    for outside in ("http://", "https://", "<script", "<img", "<link", "url(", "@import"):
        assert outside not in text.replace("http-equiv", "")
    assert text.index("What is in the way") < text.index("Signatures of the board") < text.index("Evidence</h2>")
    assert made["sha256"] in text
    assert all(record["title"] in text for record in made["controls"])


def test_the_page_of_a_ready_environment_says_so(good):
    text = page(TEMPLATE, verdict(good))
    assert "Ready: production" in text
    assert "What is in the way" not in text
    assert "01 December 2026<br>07:00 UTC, 10:00 EAT" in text


def test_nothing_that_was_read_becomes_markup(good):
    nasty = '<script>alert("x")</script>{{ 7 * 7 }}'
    records = [
        sealed(record | {"observed": {"name": nasty}, "status": "fail"})
        if record["control"] == "cache.spare"
        else record
        for record in good
    ]
    made = verdict(records)
    text = page(TEMPLATE, made)
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "{{ 7 * 7 }}" in text


def test_the_report_is_json_that_says_everything(good):
    made = verdict(good)
    assert json.loads(json.dumps(made)) == made
