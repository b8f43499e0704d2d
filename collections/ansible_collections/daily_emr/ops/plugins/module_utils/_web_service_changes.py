# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: what the changes of a web service share. May change without notice.

"""The option ``service``, fresh evidence with its gaps, and the sentences for both."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._changes import Change
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import gather
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Json = dict[str, Any]
# East Africa Time. Kenya has no summer time, so no table of zones is needed.
NAIROBI = timezone(timedelta(hours=3), "EAT")

# The option ``service`` of every module of a web service: the whole inventory variable.
SERVICE_OPTION: Json = {
    "type": "dict",
    "required": True,
    "options": {
        "component": {"type": "str", "required": True},
        "cluster": {"type": "str", "required": True},
        "service": {"type": "str", "required": True},
        "load_balancer": {"type": "str", "required": True},
        "target_group": {"type": "str", "required": True},
        "alternate_target_group": {"type": "str"},
        "container": {"type": "str", "default": "web"},
        "port": {"type": "int", "default": 8080},
        "repository": {"type": "str", "required": True},
        "log_group": {"type": "str"},
        "web_acl": {
            "type": "dict",
            "required": True,
            "options": {"name": {"type": "str"}, "scope": {"type": "str", "default": "REGIONAL"}},
        },
        "database": {"type": "str", "required": True},
        "cache": {"type": "str", "required": True},
        # Names of secrets, never values.
        "secrets": {"type": "list", "elements": "str", "default": [], "no_log": False},
        "probes": {
            "type": "dict",
            "required": True,
            "options": {
                "edge_url": {"type": "str"},
                "balancer_url": {"type": "str"},
                "host": {"type": "str"},
                "timeout_s": {"type": "float", "default": 3.0},
            },
        },
        "feature_flags": {
            "type": "dict",
            "required": True,
            "options": {"api_url": {"type": "str"}, "project": {"type": "str"}, "environment": {"type": "str"}},
        },
    },
}


class Readings:
    """Values read just now, and for each that could not be read the sentence why.

    A missing reading is not an error here: it becomes a refusal, so that the plan can show all of them at once.
    """

    def __init__(self) -> None:
        self.values: Json = {}
        self.unread: dict[str, str] = {}

    def take(self, **calls: Callable[[], Any]) -> None:
        """Run the named reads concurrently."""
        for name, value in gather(**calls).items():
            if isinstance(value, Exception):
                self.unread[name] = str(value)
            else:
                self.values[name] = value

    def need(self, name: str) -> Any:
        """The value of a reading without which the state itself is not known. Raises OpsError with the reason."""
        if name in self.unread:
            raise OpsError(f"Could not read the {_words(name)}: {self.unread[name]}")
        return self.values[name]

    def context(self) -> Json:
        return {**self.values, "unread": self.unread}


def unread(context: Json) -> list[str]:
    """One refusal for each reading that is missing."""
    return [
        f"Could not read the {_words(name)}: {why.rstrip('.')}. Unknown is never ok: make it readable and run again."
        for name, why in sorted(context["unread"].items())
    ]


def _words(name: str) -> str:
    return name.replace("_", " ")


class WebServiceChange(Change):
    """A change of one web service, named by the option ``service``."""

    @property
    def service(self) -> Json:
        found: Json = self.params["service"]
        return found

    @property
    def ecs_target(self) -> str:
        """The target every change of the ECS service itself shares, so that their leases exclude each other."""
        return f"service/{self.service['cluster']}/{self.service['service']}"

    def resources(self, before: Json) -> list[str]:
        """The ECS service, which most of these changes are about."""
        return [self.clients.environment.arn("ecs", self.ecs_target)]

    def aws_seconds(self, seconds: float) -> float:
        """A period of AWS's own pace, as long as it is in this environment."""
        return float(self.clients.environment.seconds(seconds))

    def step_back(self, module: str, **args: Any) -> Json:
        """An inverse: the same service given to ``module`` with other arguments."""
        return {"module": f"daily_emr.ops.{module}", "args": {"service": given(self.service), **args}}


def target_groups(service: Json) -> list[str]:
    """Where the tasks may be registered: after each release with a canary ECS has them in the other group."""
    return [name for name in (service["target_group"], service.get("alternate_target_group")) if name]


def given(value: Any) -> Any:
    """The option as it was written: what nobody set (None) is left out at every depth."""
    if isinstance(value, dict):
        return {key: given(item) for key, item in value.items() if item is not None}
    return value


def short_revision(arn: str) -> str:
    """``P-web:3`` of ``arn:aws:ecs:...:task-definition/P-web:3``."""
    return arn.rsplit("/", 1)[-1]


def iso(moment: datetime | None) -> str | None:
    """UTC with milliseconds, as the journal has it."""
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_utc(text: str) -> datetime:
    """Raises OpsError unless the text is a timestamp that names its zone."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise OpsError(f"{text!r} is not a UTC timestamp: write it as 2026-11-22T01:30:00Z.")
    return moment.astimezone(UTC)


def answered_at(answer: Json) -> datetime:
    """When AWS answered, by AWS's clock: the laptop's may be wrong by more than a cool-down."""
    return http_date(answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", ""))


def http_date(text: str) -> datetime:
    """The time of a Date header; our own clock when the server sent none."""
    try:
        return parsedate_to_datetime(text).astimezone(UTC)
    except ValueError:
        return datetime.now(UTC)


def since(earlier: str, now: str) -> timedelta:
    return parse_utc(now) - parse_utc(earlier)


def spoken(span: timedelta) -> str:
    """``90 s``, ``12 min``, ``3 h`` or ``2 days``."""
    seconds = span.total_seconds()
    for size, unit in ((172_800, "days"), (7_200, "h"), (120, "min")):
        if seconds >= size:
            return f"{seconds / {'days': 86_400, 'h': 3_600, 'min': 60}[unit]:.0f} {unit}"
    return f"{seconds:.0f} s"


def listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def digest_of(image: str) -> str | None:
    """``sha256:...`` of an image that is pinned by digest, None of one that is named by a tag."""
    found = re.search(r"@(sha256:[0-9a-f]{64})$", image)
    return found.group(1) if found else None
