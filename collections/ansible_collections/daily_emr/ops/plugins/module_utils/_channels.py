# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: how people are told. May change without notice.

"""The ways to tell people, behind one small interface: what a channel wants to know, and one notice sent.

A notice may have to be sent again after an answer was lost. So each channel has a key by which the provider, or a look
at what it has, tells whether it has it already.

PagerDuty is spoken to without its own client, which sleeps through HTTP 429 by itself and does not read Retry-After
(pagerduty 7.2, api_client.py); Statuspage has none.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._http import Answer, request
from ansible_collections.daily_emr.ops.plugins.module_utils._notices import Notice, Told, checked, moment
from ansible_collections.daily_emr.ops.plugins.module_utils._outcomes import RunOutcome

try:
    from slack_sdk import WebClient
    from slack_sdk.errors import SlackApiError, SlackClientError
except ImportError:  # only where modules are imported without their libraries, as ansible-test does
    WebClient = None  # type: ignore[assignment,misc]

Json = dict[str, Any]
Settings = Mapping[str, Any]
Story = Sequence[Notice]
# A template by name, filled with a story; what it returns has been looked through.
Render = Callable[[str, Story], str]

# An answer that takes longer is none: the next notice waits behind it.
TIMEOUT_S = 10
# Nothing will change by itself while the key is wrong, and it may be put right within the run.
WRONG_KEY_S = 30.0
WRONG_KEY = (401, 403)
# Those after which the same request may succeed: RFC 9110 and 6585; 420 is Statuspage's.
LATER = (408, 420, 425, 429)
BAD_REQUEST, SERVER_ERRORS = 400, 500
MAJOR = ("SEV1", "SEV2")
WELL = (RunOutcome.SUCCEEDED, RunOutcome.NOOP)


class Later(Exception):
    """It was not taken now and may be later; after_s: how long to wait, None where nobody says."""

    def __init__(self, reason: str, after_s: float | None = None) -> None:
        super().__init__(reason)
        self.after_s = after_s


class Never(Exception):
    """It will not be taken, however often it is sent."""


def expect(answer: Answer, *good: int) -> Answer:
    """The answer when it is one of these. Raises Later or Never."""
    if answer.status in good:
        return answer
    if answer.status in WRONG_KEY:
        raise Later(f"the key is not accepted ({answer.status})", WRONG_KEY_S)
    if answer.status is None or answer.status in LATER or answer.status >= SERVER_ERRORS:
        raise Later(answer.seen, answer.retry_after)
    raise Never(f"the provider refuses it: {answer.seen}")


class Channel(ABC):
    """One way to tell people. `tokens` are the names of the secrets that it has to be given."""

    name: ClassVar[str]
    tokens: ClassVar[tuple[str, ...]]

    def __init__(self, settings: Settings, tokens: Mapping[str, str], render: Render) -> None:
        self.settings, self.given, self.render = settings, tokens, render

    @abstractmethod
    def wants(self, notice: Notice, story: Story) -> bool:
        """Whether this channel tells it; story: all notices up to and with it."""

    @abstractmethod
    def send(self, notice: Notice, story: Story) -> str:
        """Tell it, once, however often it is called; returns what the provider calls it. Raises Later, Never, and
        LooksLikeAPatient before anything is sent."""

    def call(self, method: str, url: str, headers: Json | None = None, body: Json | None = None) -> Answer:
        return request(method, url, timeout_s=TIMEOUT_S, headers=headers, body=body)


class PagerDuty(Channel):
    """Events API v2: an alert for a symptom, an event for each change. REST API v2, where it has a token: notes.

    https://developer.pagerduty.com/docs/events-api-v2/trigger-events/ and …/send-change-events/
    """

    name = "pagerduty"
    tokens = ("PAGERDUTY_ROUTING_KEY", "PAGERDUTY_API_TOKEN")
    SEVERITY: ClassVar[dict[str, str]] = {"SEV1": "critical", "SEV2": "error", "SEV3": "warning", "SEV4": "info"}

    def wants(self, notice: Notice, story: Story) -> bool:
        if notice.told is Told.CHANGED:
            return bool(self.given.get("PAGERDUTY_API_TOKEN"))
        return notice.told in (Told.OPENED, Told.FINDING, Told.CHANGING, Told.CLOSED, Told.ESCALATED)

    def send(self, notice: Notice, story: Story) -> str:
        if notice.told is Told.CHANGED:
            return self._note(notice, story)
        if notice.told is Told.CHANGING:
            change = {"summary": self.render("pagerduty_change", story), "timestamp": notice.at, "source": self._source}
            self._enqueue("/v2/change/enqueue", {"payload": change})
            return notice.key
        symptom = self._symptom(notice)
        if notice.told is Told.OPENED:
            # Somebody works on it. Where no alert is open PagerDuty takes this and does nothing.
            return self._event("acknowledge", symptom)
        if notice.told is Told.CLOSED:
            well = notice.facts["outcome"] in WELL and notice.facts["reached"] == "health"
            return self._event("resolve", symptom) if well else symptom
        severity = self.SEVERITY.get(notice.facts["severity"], "critical")
        if notice.told is Told.ESCALATED:
            # An alert of its own: the one of the symptom may be acknowledged, and then calls nobody any more.
            symptom, severity = f"{symptom}/{notice.facts['incident']}/needs-a-person", "critical"
        payload = {
            "summary": self.render("pagerduty_alert", story),
            "severity": severity,
            "source": self._source,
            "timestamp": notice.at,
            "component": notice.facts["component"],
            "group": "daily-emr",
            "class": notice.facts["runbook"],
            "custom_details": {"incident": notice.facts["incident"], "run": notice.facts["run"]},
        }
        return self._event("trigger", symptom, payload=payload)

    @property
    def _source(self) -> str:
        return str(self.settings.get("source") or "daily-emr")

    def _symptom(self, notice: Notice) -> str:
        """The same for the same trouble, so that a second run updates the alert of the first."""
        return checked(
            "/".join(["daily-emr", *(notice.facts[name] for name in ("environment", "component", "runbook"))])
        )

    def _event(self, action: str, symptom: str, **more: Any) -> str:
        self._enqueue("/v2/enqueue", {"event_action": action, "dedup_key": symptom, **more})
        return symptom

    def _enqueue(self, path: str, body: Json) -> None:
        key = {"routing_key": self.given["PAGERDUTY_ROUTING_KEY"]}
        answer = self.call("POST", f"{self.settings['url']}{path}", body={**key, **body})
        # A wrong key is part of a bad request there: {"status": "invalid event", "errors": ["Invalid routing key"]}.
        if answer.status == BAD_REQUEST and "routing" in str(answer.body.get("errors")).lower():
            raise Later("the key is not accepted (400)", WRONG_KEY_S)
        expect(answer, 202)

    def _note(self, notice: Notice, story: Story) -> str:
        """A note on the incident of the symptom; none where PagerDuty has no incident of it."""
        headers = {
            "Authorization": f"Token token={self.given['PAGERDUTY_API_TOKEN']}",
            "Accept": "application/vnd.pagerduty+json;version=2",
            "From": str(self.settings.get("from") or ""),
        }
        incidents = f"{self.settings['api_url']}/incidents"
        where = f"?incident_key={self._symptom(notice)}&statuses[]=triggered&statuses[]=acknowledged"
        found = expect(self.call("GET", f"{incidents}{where}", headers), 200).body.get("incidents") or []
        if not found:
            return ""
        notes, text = f"{incidents}/{found[0]['id']}/notes", self.render("pagerduty_note", story)
        there = expect(self.call("GET", notes, headers), 200).body.get("notes") or []
        if all(note.get("content") != text for note in there):
            expect(self.call("POST", notes, headers, {"note": {"content": text}}), 200, 201)
        return str(found[0]["id"])


class Slack(Channel):
    """One card for each incident, which says what is so now. https://docs.slack.dev/reference/methods/chat.update"""

    name = "slack"
    tokens = ("SLACK_BOT_TOKEN",)
    EVENT = "daily_emr_incident"
    SECTION = 3000
    """Characters of a section: https://docs.slack.dev/reference/block-kit/blocks/section-block"""

    def wants(self, notice: Notice, story: Story) -> bool:
        return True

    def send(self, notice: Notice, story: Story) -> str:
        card = self._card(notice, story)
        client = WebClient(self.given["SLACK_BOT_TOKEN"], base_url=self.settings["url"], timeout=TIMEOUT_S)
        channel = str(self.settings["channel"])
        try:
            there = self._find(client, channel, notice.facts["incident"])
            said = (
                client.chat_update(channel=channel, ts=there, **card)
                if there
                else client.chat_postMessage(channel=channel, unfurl_links=False, **card)
            )
        except SlackApiError as error:
            raise self._sorted_out(error.response) from None
        except (SlackClientError, OSError, ValueError) as error:
            raise Later(type(error).__name__) from None
        return str(said.get("ts", ""))

    def _find(self, client: WebClient, channel: str, incident: str) -> str:
        """The time stamp by which Slack knows the card; empty where there is none."""
        messages = client.conversations_history(channel=channel, include_all_metadata=True, limit=100)["messages"]
        for message in messages:
            about = message.get("metadata") or {}
            if about.get("event_type") == self.EVENT and about.get("event_payload", {}).get("incident") == incident:
                return str(message["ts"])
        return ""

    def _card(self, notice: Notice, story: Story) -> Json:
        head = checked(f"{notice.facts['severity']} {notice.facts['incident']}")
        text = self.render("slack_card", story)
        return {
            "text": self.render("pagerduty_alert", story),
            "blocks": [
                {"type": "header", "text": {"type": "plain_text", "text": head[:150]}},
                {"type": "section", "text": {"type": "mrkdwn", "text": text[: self.SECTION]}},
            ],
            "metadata": {"event_type": self.EVENT, "event_payload": {"incident": notice.facts["incident"]}},
        }

    @staticmethod
    def _sorted_out(response: Any) -> Later | Never:
        """What Slack's answer means. Its errors come with HTTP 200 too: https://docs.slack.dev/apis/web-api/#errors"""
        word, status = str(response.get("error") or ""), int(response.status_code)
        wait = str({name.lower(): value for name, value in response.headers.items()}.get("retry-after", ""))
        if word in ("invalid_auth", "not_authed", "token_revoked", "token_expired", "account_inactive"):
            return Later(f"the key is not accepted ({word})", WRONG_KEY_S)
        if (
            status in LATER
            or status >= SERVER_ERRORS
            or word in ("ratelimited", "internal_error", "service_unavailable")
        ):
            return Later(word or str(status), float(wait) if re.fullmatch(r"\d+(\.\d+)?", wait) else None)
        return Never(f"Slack refuses it: {re.sub(r'[^a-z_]', '', word) or status}")


class Statuspage(Channel):
    """What facilities read, in English and Swahili: https://developer.statuspage.io/#tag/incidents"""

    name = "statuspage"
    tokens = ("STATUSPAGE_API_KEY",)

    def wants(self, notice: Notice, story: Story) -> bool:
        if notice.facts["severity"] not in MAJOR or not self._status(notice):
            return False
        # One post for each state, not one for each step.
        return all(self._status(one) != self._status(notice) for one in story[:-1])

    @staticmethod
    def _status(notice: Notice) -> str:
        # What is only contained is not over for facilities.
        if notice.facts.get("reached") == "health":
            if notice.told is Told.CLOSED and notice.facts["outcome"] == RunOutcome.SUCCEEDED:
                return "resolved"
            if notice.told is Told.VERIFIED:
                return "monitoring"
        return {Told.FINDING: "investigating", Told.CHANGING: "identified"}.get(notice.told, "")

    def send(self, notice: Notice, story: Story) -> str:
        status, incident = self._status(notice), notice.facts["incident"]
        text, name = self.render(f"statuspage_{status}", story), self.render("statuspage_name", story)
        headers = {"Authorization": f"OAuth {self.given['STATUSPAGE_API_KEY']}"}
        page = f"{self.settings['url']}/v1/pages/{self.settings['page']}/incidents"
        open_ = expect(self.call("GET", f"{page}/unresolved", headers), 200).items
        there = next((one for one in open_ if _of(one) == incident), None)
        body: Json = {"status": status, "body": text}
        if components := list(self.settings.get("components") or []):
            state = "operational" if status == "resolved" else "major_outage"
            body |= {"component_ids": components, "components": dict.fromkeys(components, state)}
        if there is None:
            if status == "resolved":
                return ""  # nobody was told that it was broken, or a person has closed it
            body |= {"name": name, "impact_override": "critical", "deliver_notifications": True}
            body |= {"metadata": {"runbook": {"incident": checked(incident)}}}
            made = expect(self.call("POST", page, headers, {"incident": body}), 201)
            return str(made.body.get("id", ""))
        said = there.get("incident_updates") or [{}]
        if said[0].get("body") != text:
            expect(self.call("PATCH", f"{page}/{there['id']}", headers, {"incident": body}), 200)
        return str(there["id"])


class Grafana(Channel):
    """A mark on the dashboards for each change: https://grafana.com/docs/grafana/latest/developers/http_api/annotations/"""

    name = "grafana"
    tokens = ("GRAFANA_TOKEN",)

    def wants(self, notice: Notice, story: Story) -> bool:
        return notice.told is Told.CHANGED

    def send(self, notice: Notice, story: Story) -> str:
        headers = {"Authorization": f"Bearer {self.given['GRAFANA_TOKEN']}"}
        where, tag = f"{self.settings['url']}/api/annotations", checked(f"action:{notice.key}")
        there = expect(self.call("GET", f"{where}?tags={tag}&type=annotation", headers), 200).items
        if there:
            return str(there[0].get("id", ""))
        body = {
            "time": round(moment(notice.at).timestamp() * 1000),
            "tags": ["incident", checked(notice.facts["incident"]), tag],
        }
        made = expect(self.call("POST", where, headers, {**body, "text": self.render("grafana", story)}), 200)
        return str(made.body.get("id", ""))


def _of(incident: Json) -> str:
    """Which of our incidents one of Statuspage is about."""
    about = incident.get("metadata") or {}
    return str((about.get("runbook") or {}).get("incident") or "")


CHANNELS: tuple[type[Channel], ...] = (PagerDuty, Slack, Statuspage, Grafana)
