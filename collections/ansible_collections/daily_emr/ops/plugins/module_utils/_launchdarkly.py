# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: the LaunchDarkly REST API, as far as a runbook needs it. May change without notice.

"""Read a flag, preview a change of it, change it once.

https://launchdarkly.com/docs/api/feature-flags/patch-feature-flag (semantic patch, dryRun).
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from ansible_collections.daily_emr.ops.plugins.module_utils._calls import calling
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import is_loopback
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import CallUnknown, OpsError, Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, http_date, iso

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ansible_collections.daily_emr.ops.plugins.module_utils._environment import Environment

TOKEN_VARIABLE = "LAUNCHDARKLY_ACCESS_TOKEN"  # noqa: S105  # the name of a variable, not a token
TURN_ON: Json = {"kind": "turnFlagOn"}
TURN_OFF: Json = {"kind": "turnFlagOff"}
_SEMANTIC_PATCH = "application/json; domain-model=launchdarkly.semanticpatch"
_TIMEOUT_S = 10
_NOT_FOUND, _APPROVAL_REQUIRED = 404, 405
_PAGE = 100  # the most a list of flags gives
_AUDIT_PAGE = 20  # the most a list of audit entries gives
_AUDIT_PAGES = 10


def serving(variation: str) -> Json:
    """The instruction that a flag, as long as it is on, serves the variation of this id to everybody."""
    return {"kind": "updateFallthroughVariationOrRollout", "variationId": variation}


class _NoRedirects(HTTPRedirectHandler):
    """A redirect would carry the token somewhere else."""

    def redirect_request(self, *_args: Any, **_keywords: Any) -> None:
        return None


class LaunchDarkly:
    """One project and environment of LaunchDarkly. Every HTTP fault leaves as CallFailed or CallUnknown."""

    def __init__(self, environment: Environment, settings: Json, environ: Mapping[str, str] | None = None) -> None:
        self._url, self._project = str(settings["api_url"]).rstrip("/"), str(settings["project"])
        self.environment = str(settings["environment"])
        allowed = is_loopback(self._url) if environment.sandbox else urlsplit(self._url).scheme == "https"
        if not allowed:
            wanted = "a loopback address" if environment.sandbox else "an https address"
            raise Refused(f"feature_flags.api_url of {environment.name} is not {wanted}: correct web_service.")
        self._token = _token(environment, os.environ if environ is None else environ)
        # Only the sandbox is reached past a proxy that the surroundings may name.
        proxies = [ProxyHandler({})] if environment.sandbox else []
        self._opener = build_opener(_NoRedirects, *proxies)

    def flag(self, key: str) -> Json | None:
        """The flag and when LaunchDarkly answered, None when there is no such flag."""
        status, found, stamp = self._send("GetFeatureFlag", key, {"env": self.environment}, expected=(_NOT_FOUND,))
        return None if status == _NOT_FOUND else {"flag": found, "read_at": iso(http_date(stamp))}

    def flags(self) -> list[Json]:
        """Every flag of the project: key, tags, whether it is on in this environment, and since when."""
        items: list[Json] = []
        total = 1
        while len(items) < total:
            query = {"env": self.environment, "limit": _PAGE, "offset": len(items)}
            _status, page, _stamp = self._send("GetFeatureFlags", "", query)
            items += page["items"]
            total = page.get("totalCount", len(items)) if page["items"] else len(items)
        return [
            {
                "key": item["key"],
                "tags": item.get("tags", []),
                "on": item["environments"][self.environment]["on"],
                "changed_at": _moment(item["environments"][self.environment]["lastModified"]),
            }
            for item in items
        ]

    def changes(self, since: datetime) -> list[Json]:
        """The flags of this environment that were changed since then, as {key, at}, the newest first.

        Who changed them, and the words they left, stay there. Raises OpsError when there are too many to be read.
        """
        resource = f"proj/{self._project}:env/{self.environment}:flag/"
        entries: dict[str, Json] = {}
        before: Json = {}
        for _page in range(_AUDIT_PAGES):
            query = {"after": _milliseconds(since), "limit": _AUDIT_PAGE, "spec": f"{resource}*", **before}
            _status, page, _stamp = self._send("GetAuditLogEntries", "", query, collection="auditlog")
            fresh = {item["_id"]: item for item in page["items"] if item["_id"] not in entries}
            entries |= fresh
            if not fresh or len(page["items"]) < _AUDIT_PAGE:
                break
            before = {"before": min(item["date"] for item in page["items"])}
        else:
            raise OpsError(f"LaunchDarkly has more than {_AUDIT_PAGES * _AUDIT_PAGE} changes since {iso(since)}.")
        return [
            {"key": name.removeprefix(resource).partition(";")[0], "at": _moment(item["date"])}
            for item in entries.values()
            for name in item.get("target", {}).get("resources", [])
            if name.startswith(resource)
        ]

    def needs_approval(self, key: str, instruction: Json) -> bool:
        """Preview the change (nothing is changed). True when the environment wants an approval for it."""
        patch, expected = self._patch(instruction, "preview"), (_APPROVAL_REQUIRED,)
        status, _preview, _stamp = self._send("PreviewFeatureFlag", key, {"dryRun": "true"}, patch, expected)
        return status == _APPROVAL_REQUIRED

    def change(self, key: str, instruction: Json, comment: str) -> None:
        """Send the change, once. instruction: one of a semantic patch, such as TURN_ON, TURN_OFF or serving()."""
        self._send("PatchFeatureFlag", key, {}, self._patch(instruction, comment))

    def _patch(self, instruction: Json, comment: str) -> Json:
        return {"environmentKey": self.environment, "comment": comment, "instructions": [instruction]}

    def _send(
        self,
        call: str,
        key: str,
        query: Json,
        patch: Json | None = None,
        expected: tuple[int, ...] = (),
        collection: str = "",
    ) -> tuple[int, Json, str]:
        """Status, body and Date header. A status of 400 and more is an error, unless it is expected."""
        flag = "/".join(quote(part, safe="") for part in (self._project, key) if part)
        url = f"{self._url}/api/v2/{collection or f'flags/{flag}'}?{urlencode(query)}"
        headers = {"Authorization": self._token}
        data = None
        if patch is not None:
            data, headers["Content-Type"] = json.dumps(patch).encode(), _SEMANTIC_PATCH
        method = "GET" if patch is None else "PATCH"
        request = Request(url, data=data, method=method, headers=headers)  # noqa: S310  # scheme checked
        with calling(f"LaunchDarkly:{call}"):
            try:
                with self._opener.open(request, timeout=_TIMEOUT_S) as answer:
                    text, stamp = answer.read(), str(answer.headers.get("Date", ""))
            except HTTPError as error:
                if error.code in expected:
                    return error.code, {}, ""
                raise
        try:
            return 200, json.loads(text), stamp
        except ValueError:
            raise CallUnknown(f"LaunchDarkly:{call} was answered with something that is not JSON.") from None


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _moment(milliseconds: int) -> str:
    return str(iso(datetime.fromtimestamp(milliseconds / 1000, UTC)))


def _token(environment: Environment, environ: Mapping[str, str]) -> str:
    if environment.sandbox:
        path = Path(str(environment.credentials_file)).parent / "launchdarkly_token"
        try:
            return path.read_text(encoding="utf-8").strip()
        except OSError:
            raise Refused(f"The sandbox has no LaunchDarkly token at {path}: start a sandbox.") from None
    token = environ.get(TOKEN_VARIABLE, "")
    if not token:
        raise Refused(f"{TOKEN_VARIABLE} is not set: set it to a LaunchDarkly access token, an SDK key does not do.")
    return token
