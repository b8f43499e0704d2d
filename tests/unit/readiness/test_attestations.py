"""What people sign counts only when the right person signed exactly that, for here, and not too long ago."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils._attestations import ATTESTATION, WAIVER, Desk

from tests.unit.readiness.conftest import TODAY, public


def faults(signing, **desk: Any) -> list[str]:
    return [fault for item in signing.desk(**desk).attestations() for fault in item.faults]


def test_what_was_signed_by_who_may_sign_it_counts(signing):
    signing.attest(**signing.artifact())
    (found,) = signing.desk().attestations()
    assert found.faults == ()
    assert (found.control, found.signer, found.role) == (
        "people.change_board", "amina@example.org", "clinical_safety_lead"
    )  # fmt: skip


def test_it_counts_on_its_last_day_and_not_on_the_next(signing):
    signing.attest(expires=TODAY)
    assert faults(signing) == []
    assert faults(signing, today=TODAY + timedelta(days=1)) == [
        "board.yml expired on 2026-11-30: look again at what it says, and sign a new one."
    ]


def test_one_of_the_future_does_not_count(signing):
    signing.attest(date=TODAY + timedelta(days=1))
    assert "is dated 2026-12-01, which is in the future" in faults(signing)[0]


def test_one_that_was_changed_after_it_was_signed_does_not_count(signing):
    path = signing.attest()
    path.write_text(path.read_text().replace("2027-02-01", "2027-03-01"))
    assert faults(signing) == [
        "board.yml has a wrong signature: it was changed after it was signed, or signed as something else."
    ]


def test_one_with_the_signature_of_another_does_not_count(signing):
    other = signing.attest("other", statement="Something else.").read_text().partition("signature: |\n")[2]
    path = signing.attest()
    path.write_text(path.read_text().partition("signature: |\n")[0] + "signature: |\n" + other)
    assert "wrong signature" in faults(signing)[0]


def test_a_waiver_is_not_taken_for_an_attestation(signing):
    path = signing.attest()
    signing.sign(path, "amina@example.org", "waiver")
    assert "wrong signature" in faults(signing)[0]


def test_an_unknown_key_does_not_count(signing):
    signing.attest(key="stranger@example.org")
    assert faults(signing) == [
        "board.yml is signed with an unknown key, or one that is no longer valid: it is not in allowed_signers."
    ]


def test_a_key_that_is_no_longer_valid_does_not_count(signing):
    signing.attest()
    line = " ".join(public(signing.keys["amina@example.org"]))
    (signing.folder / "allowed_signers").write_text(
        f'amina@example.org,role:clinical_safety_lead valid-before="20200101" {line}\n'
    )
    assert "no longer valid" in faults(signing)[0]


def test_a_key_that_may_sign_other_things_only_does_not_count(signing):
    signing.attest()
    line = " ".join(public(signing.keys["amina@example.org"]))
    (signing.folder / "allowed_signers").write_text(
        f'amina@example.org,role:clinical_safety_lead namespaces="git" {line}\n'
    )
    assert len(faults(signing)) == 1


def test_nobody_signs_for_another(signing):
    signing.attest(key="baraka@example.org")
    assert faults(signing) == [
        "board.yml is not signed with a key of amina@example.org: who signs must be who it names."
    ]


def test_a_role_that_the_signer_has_not_does_not_count(signing):
    signing.attest(role="medical_lead")
    assert faults(signing) == [
        "board.yml is signed by amina@example.org, who has not the role medical_lead: ask who has it."
    ]


def test_an_artifact_that_was_changed_does_not_count(signing):
    signing.attest(**signing.artifact())
    signing.artifact("another risk log")
    assert faults(signing) == [
        "board.yml is about another version of its artifact: the digest does not match, so it has to be signed again."
    ]


@pytest.mark.parametrize("name", ["missing.txt", "../allowed_signers", "/etc/hostname", "."])
def test_an_artifact_that_is_not_in_its_folder_does_not_count(signing, name):
    signing.attest(**signing.artifact() | {"artifact": name})
    assert faults(signing) == ["board.yml names an artifact that is not in the folder artifacts: put it there."]


def test_one_of_another_environment_does_not_count(signing):
    signing.attest()
    assert faults(signing, environment="staging") == [
        "board.yml was made for another environment than staging: make one for it."
    ]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"statement": None}, "board.yml does not say its statement: add it, and sign it again."),
        ({"more": "x"}, "board.yml says more than it may"),
        ({"expires": "soon"}, "board.yml has a expires that is not a day such as 2026-11-30"),
        ({"role": "a b; c"}, "board.yml has a role that is not a plain word"),
        ({"statement": " "}, "board.yml has a statement that is not a text"),
        ({"artifact": "risks.txt"}, "board.yml does not say its artifact_sha256"),
        ({"artifact_sha256": "0"}, "board.yml does not say its artifact:"),
    ],
)
def test_one_that_does_not_say_what_it_has_to_say_does_not_count(signing, change, sentence):
    signing.attest(key="amina@example.org", **change)
    (found,) = faults(signing)
    assert found.startswith(sentence)


def test_what_stands_below_the_signature_does_not_count(signing):
    path = signing.attest()
    path.write_text(path.read_text() + "expires: 2036-01-01\n")
    assert faults(signing) == [
        "board.yml has something else than an SSH signature at its end: sign it again with bin/attest."
    ]


def test_nothing_is_said_twice(signing):
    path = signing.attest()
    path.write_text("expires: 2026-12-01\n" + path.read_text())
    signing.sign(path, "amina@example.org")
    assert faults(signing) == ["board.yml says expires twice: say it once, and sign it again."]


@pytest.mark.parametrize("text", ["", "control: x\n", "- 1\n", "a: [\n", "\x00\n"])
def test_a_file_that_is_none_does_not_count(signing, text):
    path = signing.attest()
    path.write_text(text)
    assert len(faults(signing)) == 1


def test_nothing_counts_without_allowed_signers(signing):
    signing.attest()
    (signing.folder / "allowed_signers").unlink()
    assert "cannot be verified" in faults(signing)[0]


def test_nothing_counts_without_ssh_keygen(signing, monkeypatch):
    signing.attest()
    monkeypatch.setenv("PATH", "")
    assert faults(signing) == ["board.yml cannot be verified, because ssh-keygen is not installed: install OpenSSH."]


def test_a_waiver_of_thirty_days_counts_and_one_of_thirty_one_does_not(signing):
    signing.waive()
    signing.waive("longer", expires=date(2026, 12, 21))
    longer, right = signing.desk().waivers()
    assert right.faults == ()
    assert longer.faults == ("longer.yml waives for 31 days: a waiver holds for 30 days at most, mend it meanwhile.",)


def test_an_empty_folder_has_nothing(tmp_path):
    desk = Desk(tmp_path / "nowhere", "production", TODAY)
    assert (desk.attestations(), desk.waivers()) == ([], [])


def test_the_namespaces_are_fixed():
    assert (ATTESTATION, WAIVER) == ("attestation.readiness.daily-emr", "waiver.readiness.daily-emr")
