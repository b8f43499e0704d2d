# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: what is said about secrets. May change without notice.

"""Each key of the inventory against what is known of it: one observation for each question. Pure.

A question whose answer could not be read is unknown, and unknown is never ok.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, parse_utc, plural, spoken

OK, FINDING, UNKNOWN = "ok", "finding", "unknown"
CHECKS = ("present", "value", "encrypted", "shape", "age", "rotation", "replica", "readers", "policy", "recipients")
# A value that waits longer than this was forgotten, or its rotation stopped halfway.
WAITING_DAYS = 7
# Two people, so that one can be away, and the pipeline.
RECIPIENTS = 3


@dataclass
class Known:
    """What was read about one key. A reading that failed is the exception that says why.

    allowed: role -> whether IAM lets it read the secret.
    """

    secret: Json | Exception | None = None
    versions: Json | Exception = field(default_factory=dict)
    shape: str | Exception = ""
    policy: str | Exception = ""
    allowed: dict[str, bool | Exception] = field(default_factory=dict)


class Book:
    """The observations of one run, for keys at a time."""

    def __init__(self, at: str) -> None:
        self.at = at
        self.observations: list[Json] = []

    def note(self, name: str, subject: str, status: str, expected: str, seen: str, call: str) -> None:
        self.observations.append(
            {
                "name": name,
                "subject": subject,
                "status": status,
                "symptom": True,
                "expected": expected,
                "seen": seen,
                "at": self.at,
                "call": call,
            }
        )

    def judge(self, name: str, subject: str, wrong: str, right: str, expected: str, call: str) -> None:
        """Note a finding when something is wrong, else ok."""
        self.note(name, subject, FINDING if wrong else OK, expected, wrong or right, call)


def healthy(observations: list[Json]) -> bool | None:
    """Whether all is ok; None when nothing is wrong and something is not known."""
    statuses = {item["status"] for item in observations}
    return False if FINDING in statuses else None if UNKNOWN in statuses or not statuses else True


def sentence(observations: list[Json]) -> str:
    """What is not ok, by key."""
    parts = [
        f"{item['subject']}: {item['seen']}{' (unknown)' if item['status'] == UNKNOWN else ''}"
        for item in observations
        if item["status"] != OK
    ]
    keys = len({item["subject"] for item in observations})
    return f"{'; '.join(parts)}." if parts else f"All is as it should be with {plural(keys, 'secret')}."


def judge_aws(book: Book, entry: Json, store: Json, known: Known, checks: set[str]) -> None:
    """Everything about one key in AWS Secrets Manager."""
    name, secret = entry["name"], known.secret
    call = "secretsmanager:DescribeSecret"
    if isinstance(secret, Exception):
        _unread(book, name, checks, secret, call)
        return
    gone = secret is None or secret["deleted"]
    if "present" in checks or gone:
        wrong = "it does not exist" if secret is None else "it is scheduled for deletion" if gone else ""
        book.judge("present", name, wrong, "it exists", "the secret exists", call)
    if secret is None or gone:
        return
    if "encrypted" in checks:
        own = secret["kms_key"] and not secret["kms_key"].endswith("alias/aws/secretsmanager")
        wrong = "" if own else "it is encrypted by the key of AWS, not by ours"
        book.judge("encrypted", name, wrong, "it is encrypted by our own key", "a KMS key of our own", call)
    _judge_versions(book, entry, secret, known, checks)
    if "replica" in checks and entry["replicated"]:
        status = secret["replicas"].get(store["copy_region"])
        place = store["copy_region"]
        seen = f"its replica in {place} is {status}" if status else f"it has no replica in {place}"
        book.judge("replica", name, "" if status == "InSync" else seen, seen, f"a replica InSync in {place}", call)
    if "policy" in checks:
        _judge_policy(book, entry, store, known.policy)
    if "readers" in checks:
        _judge_readers(book, entry, store, known.allowed)


def _judge_versions(book: Book, entry: Json, secret: Json, known: Known, checks: set[str]) -> None:
    name, versions, call = entry["name"], known.versions, "secretsmanager:ListSecretVersionIds"
    about = checks & {"value", "age", "rotation", "shape"}
    if isinstance(versions, Exception):
        _unread(book, name, about, versions, call)
        return
    current = versions.get("AWSCURRENT")
    if "value" in checks:
        book.judge("value", name, "" if current else "it has no value yet", "it has a value", "a current version", call)
    if current is None:
        return
    if "shape" in checks:
        judge_shape(book, entry, known.shape, "secretsmanager:GetSecretValue")
    if "age" in checks:
        judge_age(book, entry, current["at"], call)
    if "rotation" in checks:
        _judge_rotation(book, entry, secret, versions)


def judge_shape(book: Book, entry: Json, shape: str | Exception, call: str) -> None:
    kind = f"a value of the kind {entry['shape']['kind']}"
    if isinstance(shape, Exception):
        book.note("shape", entry["name"], UNKNOWN, kind, f"its value was not read: {shape}", call)
    else:
        wrong = f"its value {shape}" if shape else ""
        book.judge("shape", entry["name"], wrong, "its value has the shape of its kind", kind, call)


def judge_age(book: Book, entry: Json, made_at: str, call: str) -> None:
    name, days = entry["name"], entry["max_age_days"]
    expected = f"at most {days} days old"
    if not made_at:
        book.note("age", name, UNKNOWN, expected, "the store does not say when its value was made", call)
        return
    age = parse_utc(book.at) - moment(made_at)
    seen = f"its value is {spoken(age)} old"
    book.judge("age", name, seen if age > timedelta(days=days) else "", seen, expected, call)


def _judge_rotation(book: Book, entry: Json, secret: Json, versions: Json) -> None:
    name, call = entry["name"], "secretsmanager:DescribeSecret"
    waiting, current = versions.get("AWSPENDING"), versions["AWSCURRENT"]
    if waiting and waiting["id"] != current["id"]:
        age = parse_utc(book.at) - parse_utc(waiting["at"])
        wrong = f"a new value waits since {spoken(age)}: promote it, or put another one in"
        if age > timedelta(days=WAITING_DAYS) or parse_utc(waiting["at"]) < parse_utc(current["at"]):
            book.note("rotation", name, FINDING, "no rotation that stopped halfway", wrong, call)
            return
    if not entry["rotated_by_aws"]:
        wrong = "AWS rotates it, and the inventory says that we do" if secret["rotates"] else ""
        book.judge("rotation", name, wrong, "it is rotated by us", "rotated by playbooks/secrets.yml", call)
        return
    days = secret["rotation_days"]
    wrong = "AWS does not rotate it" if not secret["rotates"] else ""
    if not wrong and days and days > entry["max_age_days"]:
        wrong = f"AWS rotates it every {days} days only"
    book.judge("rotation", name, wrong, "AWS rotates it", f"rotated by AWS within {entry['max_age_days']} days", call)


def _judge_policy(book: Book, entry: Json, store: Json, policy: str | Exception) -> None:
    """Whom the policy of the secret itself lets in: nobody by a star, nobody of another account."""
    name, call, expected = entry["name"], "secretsmanager:GetResourcePolicy", "a policy that lets nobody else in"
    if isinstance(policy, Exception):
        book.note("policy", name, UNKNOWN, expected, f"its policy was not read: {policy}", call)
        return
    try:
        statements = json.loads(policy)["Statement"] if policy else []
    except (ValueError, KeyError, TypeError):
        book.note("policy", name, UNKNOWN, expected, "its policy is not a policy that can be read", call)
        return
    statements = statements if isinstance(statements, list) else [statements]
    let_in = sorted({who for item in statements if item.get("Effect") == "Allow" for who in _principals(item)})
    strange = [who for who in let_in if not _is_ours(who, str(store.get("account_id") or ""))]
    wrong = f"its policy lets in {', '.join(strange)}" if strange else ""
    book.judge("policy", name, wrong, "its policy lets nobody else in", expected, call)


def _principals(statement: Json) -> list[str]:
    if "NotPrincipal" in statement:
        return ["everybody but some"]
    found = statement.get("Principal")
    if isinstance(found, str):
        return ["everybody" if found == "*" else found]
    texts: list[str] = []
    for value in (found or {}).values():
        texts += value if isinstance(value, list) else [value]
    return ["everybody" if text == "*" else text for text in texts]


def _is_ours(principal: str, account: str) -> bool:
    return principal == account or (principal.startswith("arn:") and principal.split(":")[4:5] == [account])


def _judge_readers(book: Book, entry: Json, store: Json, allowed: dict[str, bool | Exception]) -> None:
    """Both ways: who needs it may read it, who must not may not."""
    name, call = entry["name"], "iam:SimulatePrincipalPolicy"
    readers, strangers = set(entry["readers"]), set(store["strangers"]) - set(entry["readers"])
    expected = (
        f"read by {', '.join(sorted(readers)) or 'nobody'}, and not by {', '.join(sorted(strangers)) or 'others'}"
    )
    if not readers | strangers:
        book.note("readers", name, UNKNOWN, expected, "the inventory does not say who may read it", call)
        return
    unread = {role: found for role, found in sorted(allowed.items()) if isinstance(found, Exception)}
    wrong = [f"{role} cannot read it" for role in sorted(readers) if allowed.get(role) is False]
    wrong += [f"{role} can read it" for role in sorted(strangers) if allowed.get(role) is True]
    if unread and not wrong:
        why = "; ".join(f"{role}: {error}" for role, error in unread.items())
        book.note("readers", name, UNKNOWN, expected, f"who may read it is not known: {why}", call)
        return
    book.judge("readers", name, ", ".join(wrong), "who needs it may read it, nobody else", expected, call)


def judge_held(book: Book, entry: Json, found: str | Exception, made_at: str, call: str, checks: set[str]) -> None:
    """A key in Vault or SOPS. found: what is wrong with its shape, or why it was not read."""
    name = entry["name"]
    if isinstance(found, Exception):
        status = FINDING if isinstance(found, OpsError) and " is not in " in found.sentence else UNKNOWN
        book.note("present", name, status, "the secret exists", str(found), call)
        return
    if "present" in checks:
        book.judge("present", name, "", "it exists", "the secret exists", call)
    if "shape" in checks:
        judge_shape(book, entry, found, call)
    if "age" in checks:
        judge_age(book, entry, made_at, call)


def judge_recipients(book: Book, subject: str, recipients: list[str] | Exception) -> None:
    """Who can open a file of SOPS: enough people that one can be away, and the pipeline."""
    expected, call = f"at least {RECIPIENTS} recipients of age", "sops metadata"
    if isinstance(recipients, Exception):
        book.note("recipients", subject, UNKNOWN, expected, str(recipients), call)
        return
    seen = f"it has {len(set(recipients))} recipients"
    book.judge("recipients", subject, seen if len(set(recipients)) < RECIPIENTS else "", seen, expected, call)


def moment(text: str) -> datetime:
    """A date of a store; Vault writes nanoseconds."""
    head, dot, tail = text.rstrip("Z").partition(".")
    return parse_utc(f"{head}{dot}{tail[:6]}+00:00" if text.endswith("Z") else text)


def _unread(book: Book, name: str, checks: set[str], error: Exception, call: str) -> None:
    for check in CHECKS:
        if check in checks:
            book.note(check, name, UNKNOWN, "can be read", f"it was not read: {error}", call)
