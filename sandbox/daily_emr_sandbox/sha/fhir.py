"""The little of FHIR R4 that the claims API speaks."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

IDENTIFIER = "https://fhir.dha.go.ke/eclaims/Identifier/claim-number"
ISSUES = "https://fhir.dha.go.ke/eclaims/CodeSystem/issue"
NEEDED = ("Patient", "Organization", "Coverage", "Claim")
USES = ("claim", "preauthorization")


class Invalid(Exception):
    """A bundle that is none; the text goes to the sender only."""


@dataclass(frozen=True)
class Submission:
    """What is taken from a bundle."""

    identifier: str
    use: str
    patient: str


def read_bundle(body: Any) -> Submission:
    """Claim of a transaction bundle.

    Raises:
        Invalid: it is no bundle, a resource is missing, or the claim has no identifier.
    """
    if not isinstance(body, dict) or (body.get("resourceType"), body.get("type")) != ("Bundle", "transaction"):
        raise Invalid("a transaction Bundle is expected")
    resources = {entry["resource"]["resourceType"]: entry["resource"] for entry in body.get("entry", ())}
    if missing := [name for name in NEEDED if name not in resources]:
        raise Invalid(f"{missing[0]} is missing")
    claim = resources["Claim"]
    found = [one["value"] for one in claim.get("identifier", ()) if one.get("system") == IDENTIFIER]
    if len(found) != 1 or not found[0]:
        raise Invalid("Claim.identifier must hold one claim number")
    if claim.get("use") not in USES:
        raise Invalid("Claim.use is unknown")
    patient = resources["Patient"].get("identifier") or [{}]
    return Submission(str(found[0]), claim["use"], str(patient[0].get("value", "")))


def claim_response(response_id: str, submission: Submission, at: dt.datetime) -> dict[str, Any]:
    return {
        "resourceType": "ClaimResponse",
        "id": response_id,
        "status": "active",
        "use": submission.use,
        "created": at.isoformat(timespec="seconds"),
        "outcome": "complete",
        "request": {"type": "Claim", "identifier": {"system": IDENTIFIER, "value": submission.identifier}},
    }


def searchset(resources: list[dict[str, Any]], url: str) -> dict[str, Any]:
    """What was found. `url` is the search as it was made: what a client can tell an answer to its question by."""
    entries = [{"resource": resource, "search": {"mode": "match"}} for resource in resources]
    link = [{"relation": "self", "url": url}]
    return {"resourceType": "Bundle", "type": "searchset", "total": len(entries), "link": link, "entry": entries}


def operation_outcome(issue: str, code: str, diagnostics: str = "") -> dict[str, Any]:
    """An error. `diagnostics` may echo what was sent, as real servers do: it is for nobody's log."""
    found: dict[str, Any] = {
        "severity": "error",
        "code": issue,
        "details": {"coding": [{"system": ISSUES, "code": code}]},
    }
    if diagnostics:
        found["diagnostics"] = diagnostics
    return {"resourceType": "OperationOutcome", "issue": [found]}
