"""Actions become issues of Jira once: valid, found again by their label, and never made on a doubt."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from daily_emr_runbooks.errors import CommandError
from daily_emr_runbooks.postmortem.document import Document
from daily_emr_runbooks.postmortem.draft import POSTMORTEM
from daily_emr_runbooks.postmortem.incident import Incident, read_incident
from daily_emr_runbooks.postmortem.issues import Action, actions_of, label, payload
from daily_emr_runbooks.postmortem.jira import SETTINGS, Site, send
from daily_emr_runbooks.postmortem.people import Names

from .incidents import FULL, NAME, record, write_incident
from .test_postmortem_lint import ACTIONS, filled_in

SCHEMA = json.loads((Path(__file__).parent / "jira_issue.schema.json").read_text(encoding="utf-8"))
HOSTILE = 'Add "quotes" \\| a pipe, <b>HTML</b>, [~accountid:1] and \u202e letters that turn'


def valid(body: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(SCHEMA, format_checker=jsonschema.FormatChecker()).validate(body)


@pytest.fixture
def incident(tmp_path: Path) -> Incident:
    folder = write_incident(tmp_path, record())
    one = read_incident(tmp_path / NAME, Names.of_runs(tmp_path))
    (folder / POSTMORTEM).write_text(filled_in(one), encoding="utf-8")
    return one


def actions(incident: Incident, *rows: str) -> list[Action]:
    return list(actions_of(Document(filled_in(incident, actions=rows or ACTIONS))))


def test_an_action_is_a_valid_issue_with_everything_that_it_says(incident: Incident) -> None:
    first = actions(incident)[0]

    body = payload(incident, first, "REL")

    valid(body)
    fields = body["fields"]
    assert fields["summary"] == f"Alert on the pool at 80 % ({NAME} AI-1)"
    assert fields["priority"] == {"name": "Highest"}
    assert fields["duedate"] == "2026-12-06"
    assert fields["labels"] == [
        "postmortem",
        "sev1",
        "sev1_20261123",
        NAME.lower(),
        label(NAME, first),
        "detect",
        "team-platform",
    ]
    text = json.dumps(fields["description"])
    assert "Done when: A drill pages within 2 min" in text
    assert "Owner: platform." in text


@pytest.mark.parametrize(
    "row",
    [
        f"| P2 | process | {HOSTILE} | a team / with * signs | 2026-12-06 | {HOSTILE} | |",
        f"| P2 | process | Add {'x' * 3000} | web | 2026-12-06 | {'y' * 3000} | |",
    ],
)
def test_hostile_and_long_words_are_a_valid_issue(incident: Incident, row: str) -> None:
    body = payload(incident, actions(incident, row)[0], "REL")

    valid(body)
    assert "\u202e" not in json.dumps(body, ensure_ascii=False)


def test_an_issue_of_an_incident_without_times_is_valid(tmp_path: Path) -> None:
    write_incident(tmp_path, record(times=dict.fromkeys(FULL["times"])))
    one = read_incident(tmp_path / NAME, Names())

    valid(payload(one, actions(one)[0], "REL"))


def test_the_schema_refuses_what_jira_does() -> None:
    with pytest.raises(jsonschema.ValidationError):
        valid({"fields": {"project": {"key": "REL"}, "summary": "x", "description": "plain text"}})


def test_a_label_is_the_same_for_the_same_words_of_the_same_incident(incident: Incident) -> None:
    first, second = actions(incident)
    (again,) = actions(incident, ACTIONS[0].replace("Alert on  the", "alert on the").replace("P0", "P1"))

    assert label(NAME, first) == label(NAME, again)
    assert label(NAME, first) != label(NAME, second)
    assert label(NAME, first) != label("INC-2", first)


class Jira:
    """A stand-in for Jira Cloud: searches by label, makes issues, and answers badly when it is told to."""

    def __init__(self) -> None:
        self.issues: dict[str, dict[str, Any]] = {}
        self.asked: list[tuple[str, str]] = []
        self.answers: dict[str, tuple[int, str]] = {}
        jira = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer({"deploymentType": "Cloud", "versionNumbers": [1001, 0, 0]})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.path.startswith("/rest/api/3/search/jql"):
                    wanted = body["jql"].removeprefix('labels = "').removesuffix('"')
                    found = [key for key, issue in jira.issues.items() if wanted in issue["fields"]["labels"]]
                    self.answer({"issues": [{"key": key} for key in found]})
                else:
                    valid(body)
                    key = f"REL-{len(jira.issues) + 1}"
                    jira.issues[key] = body
                    self.answer({"id": "1", "key": key, "self": "x"}, 201)

            def answer(self, body: dict[str, Any], code: int = 200) -> None:
                jira.asked.append((self.command, self.path.partition("?")[0]))
                code, text = jira.answers.get(self.path.partition("?")[0], (code, json.dumps(body)))
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def jira(monkeypatch: pytest.MonkeyPatch) -> Iterator[Jira]:
    pytest.importorskip("jira")
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    stand_in = Jira()
    thread = threading.Thread(target=stand_in.server.serve_forever, args=(0.02,))
    thread.start()
    yield stand_in
    stand_in.server.shutdown()
    thread.join()
    stand_in.server.server_close()


def site(jira: Jira) -> Site:
    return Site(jira.url, "REL", "robot@daily-emr.example", "secret-token")


def test_each_action_is_made_once(incident: Incident, jira: Jira) -> None:
    first = list(send(incident, site(jira)))
    second = list(send(incident, site(jira)))

    assert first == ["AI-1: REL-1 was made.", "AI-2: REL-2 was made."]
    assert second == ["AI-1: REL-1 was there already.", "AI-2: REL-2 was there already."]
    assert len(jira.issues) == 2


def test_an_action_whose_key_stands_in_the_table_is_left_alone(incident: Incident, jira: Jira) -> None:
    rows = (ACTIONS[0].replace("| |", "| REL-9 |"), ACTIONS[1])
    (incident.folder / POSTMORTEM).write_text(filled_in(incident, actions=rows), encoding="utf-8")

    assert list(send(incident, site(jira))) == ["AI-1: REL-9 stands in the post-mortem.", "AI-2: REL-1 was made."]


def test_a_post_mortem_with_findings_is_not_sent(incident: Incident, jira: Jira) -> None:
    (incident.folder / POSTMORTEM).write_text(filled_in(incident, "It was a human error."), encoding="utf-8")

    with pytest.raises(CommandError, match="1 places of the post-mortem are to be written otherwise"):
        list(send(incident, site(jira)))
    assert jira.asked == []


SEARCH, ISSUE, INFO = "/rest/api/3/search/jql", "/rest/api/3/issue", "/rest/api/3/serverInfo"
REFUSED = json.dumps({"errorMessages": [], "errors": {"priority": "secret-token is no priority"}})


@pytest.mark.parametrize(
    ("path", "code", "text", "sentence"),
    [
        (SEARCH, 401, "secret-token", "Jira could not be searched, so nothing more was made: it answered 401"),
        (SEARCH, 200, "{}", "Jira could not be searched, so nothing more was made"),
        (SEARCH, 200, "<html>", "Jira could not be searched, so nothing more was made"),
        (ISSUE, 400, REFUSED, "AI-1 may not have been made: look for the label ai-"),
        (ISSUE, 400, REFUSED, "it answered 400 about priority"),
        (ISSUE, 500, "oops", "it answered 500"),
        (ISSUE, 201, "{}", "AI-1 may not have been made"),
        (INFO, 404, "no", "Jira was not reached: it answered 404"),
    ],
)
def test_a_bad_answer_is_one_sentence_and_ends_it(
    incident: Incident, jira: Jira, path: str, code: int, text: str, sentence: str
) -> None:
    jira.answers[path] = (code, text)

    with pytest.raises(CommandError) as refusal:
        list(send(incident, site(jira)))

    assert sentence in refusal.value.sentence
    assert "secret-token" not in refusal.value.sentence
    assert [one for one in jira.asked if one == ("POST", ISSUE)] == ([("POST", ISSUE)] if path == ISSUE else [])


@pytest.mark.usefixtures("jira")
def test_an_address_where_nobody_is_is_one_sentence(incident: Incident) -> None:
    gone = Site("http://127.0.0.1:1", "REL", "robot", "secret-token")

    with pytest.raises(CommandError, match="Jira was not reached"):
        list(send(incident, gone))


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        *(({name: ""}, f"{name} is not set") for name in SETTINGS),
        ({"JIRA_URL": "http://jira.example"}, "the token would travel in the clear"),
        ({"JIRA_TOKEN_FILE": "/nowhere"}, "/nowhere cannot be read"),
        ({"JIRA_TOKEN_FILE": "/dev/null"}, "/dev/null is empty"),
    ],
)
def test_a_setting_that_is_missing_or_unsafe_is_one_sentence(
    tmp_path: Path, changed: dict[str, str], sentence: str
) -> None:
    (tmp_path / "token").write_text("secret-token\n", encoding="utf-8")
    good = {
        "JIRA_URL": "https://daily-emr.atlassian.net",
        "JIRA_PROJECT": "REL",
        "JIRA_USER": "robot@daily-emr.example",
        "JIRA_TOKEN_FILE": str(tmp_path / "token"),
    }

    assert Site.from_environment(good).token == "secret-token"
    with pytest.raises(CommandError, match=sentence):
        Site.from_environment({**good, **changed})
