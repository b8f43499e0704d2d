"""Send the actions of a post-mortem to Jira: what is there already is found by its label, only the rest is made."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ..errors import CommandError
from ..text import clean
from .document import Document
from .draft import POSTMORTEM
from .issues import actions_of, label, payload
from .lint import lint

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .incident import Incident

TIMEOUT_SECONDS = 15.0
SETTINGS = ("JIRA_URL", "JIRA_PROJECT", "JIRA_USER", "JIRA_TOKEN_FILE")
HERE = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Site:
    """Where issues are made, and as whom."""

    url: str
    project: str
    user: str
    token: str
    issue_type: str = "Task"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Site:
        """Raises CommandError when a setting is missing, the token cannot be read, or would travel in the clear."""
        if missing := [name for name in SETTINGS if not environment.get(name)]:
            raise CommandError(f"{missing[0]} is not set: Jira needs {', '.join(SETTINGS)} in the environment.")
        url = urlsplit(environment["JIRA_URL"])
        if url.scheme != "https" and url.hostname not in HERE:
            raise CommandError("JIRA_URL has no https://, so the token would travel in the clear: correct it.")
        file = Path(environment["JIRA_TOKEN_FILE"])
        try:
            token = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{file} cannot be read: name the file of the token in JIRA_TOKEN_FILE.") from error
        if not token:
            raise CommandError(f"{file} is empty: put the API token of {environment['JIRA_USER']} into it.")
        kind = environment.get("JIRA_ISSUE_TYPE") or "Task"
        return cls(url.geturl(), environment["JIRA_PROJECT"], environment["JIRA_USER"], token, kind)


def send(incident: Incident, site: Site) -> Iterator[str]:
    """Make an issue of each action that has none; a sentence for each. Raises CommandError at the first that fails.

    A post-mortem in which the lint finds something is refused: Jira is read by more people, and keeps what it got.
    """
    document = Document.read(incident.folder / POSTMORTEM)
    if findings := lint(incident, document):
        raise CommandError(
            f"{len(findings)} places of the post-mortem are to be written otherwise before its actions go to Jira: "
            f"`runbook postmortem {incident.name} --lint` names them."
        )
    client = _connect(site)
    for action in actions_of(document):
        name = f"AI-{action.number}"
        wanted = label(incident.name, action)
        if action.issue:
            yield f"{name}: {action.issue} stands in the post-mortem."
        elif found := _find(client, wanted):
            yield f"{name}: {found} was there already."
        else:
            body = payload(incident, action, site.project, site.issue_type)
            yield f"{name}: {_create(client, body, name, wanted)} was made."


def _connect(site: Site) -> Any:
    try:
        from jira import JIRA
    except ImportError as error:
        raise CommandError("Jira needs `pip install daily-emr-runbooks[jira]`.") from error
    return _asked(
        lambda: JIRA(
            server=site.url,
            basic_auth=(site.user, site.token),
            options={"rest_api_version": "3", "check_update": False},
            # A lost reply is not asked for again: making an issue twice cannot be told from making two.
            max_retries=0,
            timeout=TIMEOUT_SECONDS,
            logging=False,
        ),
        "Jira was not reached",
    )


def _find(client: Any, wanted: str) -> str:
    found = _asked(
        lambda: client.enhanced_search_issues(
            f'labels = "{wanted}"', maxResults=1, fields=["key"], json_result=True, use_post=True
        ),
        "Jira could not be searched, so nothing more was made",
    )
    issues = found.get("issues") if isinstance(found, dict) else None
    if not isinstance(issues, list):
        raise CommandError("Jira could not be searched, so nothing more was made: its answer has no issues.")
    return clean(issues[0].get("key")) if issues else ""


def _create(client: Any, body: dict[str, Any], name: str, wanted: str) -> str:
    issue = _asked(
        lambda: client.create_issue(fields=body["fields"], prefetch=False),
        f"{name} may not have been made: look for the label {wanted} in Jira",
    )
    return clean(issue.key)


def _asked(call: Any, sentence: str) -> Any:
    """Ask; every way to fail is one sentence, without what Jira wrote: an answer may repeat what was sent."""
    from jira.exceptions import JIRAError
    from requests.exceptions import RequestException

    try:
        return call()
    except JIRAError as error:
        code = error.status_code
        fields = ", ".join(sorted(_refused_fields(error)))
        why = f"it answered {code}" + (f" about {fields}" if fields else "") if code else "it did not answer"
        raise CommandError(f"{sentence}: {why}; look at the JIRA_ settings and the rights of the user.") from error
    except (RequestException, ValueError, KeyError, AttributeError, TypeError) as error:
        raise CommandError(f"{sentence}: {type(error).__name__}; look at JIRA_URL and at the network.") from error


def _refused_fields(error: Any) -> set[str]:
    """Names of the fields that Jira refused."""
    try:
        found = error.response.json()["errors"]
    except (AttributeError, ValueError, KeyError, TypeError):
        return set()
    return {clean(name, 40) for name in found} if isinstance(found, dict) else set()
