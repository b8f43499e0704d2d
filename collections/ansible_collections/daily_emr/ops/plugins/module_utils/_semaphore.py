# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: the API of Semaphore UI. May change without notice.

"""The API of Semaphore UI 2.16 or newer: one request, its answer or one sentence, and never the token."""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from ansible.module_utils.basic import env_fallback
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import CallFailed, CallUnknown, OpsError, Refused

try:
    import urllib3
except ImportError:  # only where modules are imported without boto3, as ansible-test does; Semaphore refuses to start
    urllib3 = None  # type: ignore[assignment]

Json = dict[str, Any]

OLDEST = (2, 16)
AGAIN = "run again, it goes on from there"
"""What to do when nobody can say whether a request was done, where a second one changes nothing."""
LOOPBACK = ("127.0.0.1", "::1", "localhost")
TOKEN_VARIABLE = "SEMAPHORE_API_TOKEN"  # noqa: S105  # the name of the variable, not its value

# The options of the doc fragment daily_emr.ops.semaphore.
CONNECTION_SPEC: Json = {
    "url": {"type": "str", "required": True},
    "token": {"type": "str", "required": True, "no_log": True, "fallback": (env_fallback, [TOKEN_VARIABLE])},
    "timeout_s": {"type": "float", "default": 30.0},
}


class Semaphore:
    """A server, asked as the user that the token belongs to."""

    def __init__(self, url: str, token: str, timeout_s: float) -> None:
        place = urlsplit(url)
        if place.scheme != "https" and place.hostname not in LOOPBACK:
            raise Refused(f"The token would be readable on its way to {url}: give the https address of Semaphore.")
        if urllib3 is None:
            raise Refused("The Python package urllib3 is not where Ansible runs: run `make setup`.")
        self.url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        self._pool = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(total=timeout_s))

    @classmethod
    def of(cls, params: Json) -> Semaphore:
        """The server that the options of a module name. Refused when it is older than what is written here for."""
        server = cls(params["url"], params["token"], params["timeout_s"])
        server.prove()
        return server

    def prove(self) -> None:
        """Raise Refused unless the server says that it is new enough."""
        said = str(self.read("info", "its version").get("version", ""))
        found = re.match(r"v?(\d+)\.(\d+)", said)
        if not found or (int(found[1]), int(found[2])) < OLDEST:
            raise Refused(
                f"Semaphore at {self.url} is version {said[:40]!a}: 2.16 or newer is needed, because older ones know "
                "no limit in a template."
            )

    def read(self, path: str, what: str) -> Json:
        """The object at a path below /api. what: words for a sentence, such as "the template x"."""
        found = self._read(path, what)
        if not isinstance(found, dict):
            raise CallFailed(f"Nothing was changed: {self._foreign(what)}")
        return found

    def listed(self, path: str, what: str) -> list[Json]:
        """The objects that a path below /api lists; Go writes an empty list as null."""
        found = self._read(path, what)
        if found is None:
            return []
        if not isinstance(found, list):
            raise CallFailed(f"Nothing was changed: {self._foreign(what)}")
        return found

    def _read(self, path: str, what: str) -> Any:
        status, found = self._send("GET", path, None, what, f"Nothing was changed: {what} could not be read")
        if status >= HTTPStatus.MULTIPLE_CHOICES:
            raise CallFailed(f"Nothing was changed: {self._trouble(status, what)}")
        return found

    def write(self, method: str, path: str, body: Json, what: str, again: str = AGAIN) -> Any:
        """Send the one request of a task that changes something; never sent again by itself.

        again: what to do when nobody can say whether it was done.

        Raises:
            CallFailed: it was not done.
            CallUnknown: nobody can say whether it was.
        """
        status, found = self._send(method, path, body, what, f"Nobody can say whether {what} was changed", again)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise CallUnknown(f"Nobody can say whether {what} was changed: {self._trouble(status, what, again)}")
        if status >= HTTPStatus.MULTIPLE_CHOICES:
            raise CallFailed(f"{what[:1].upper()}{what[1:]} was not changed: {self._trouble(status, what)}")
        return found

    def _send(
        self, method: str, path: str, body: Json | None, what: str, trouble: str, again: str = AGAIN
    ) -> tuple[int, Any]:
        kind: type[OpsError] = CallFailed if method == "GET" else CallUnknown
        try:
            reply = self._pool.request(
                method, f"{self.url}/api/{path}", headers=self._headers, json=body, redirect=False
            )
            return reply.status, json.loads(reply.data) if reply.data else None
        except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.SSLError):
            raise CallFailed(
                f"There is no connection to Semaphore at {self.url}, so {what} was neither read nor changed: check the "
                "address, its certificate and that it runs."
            ) from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            timeout = isinstance(error, (urllib3.exceptions.TimeoutError, TimeoutError))
            why = "did not answer in time" if timeout else "broke the connection off"
            raise kind(f"{trouble}, because Semaphore at {self.url} {why}: {again}.") from None
        except ValueError:
            unknown = f" Then {again}." if again != AGAIN else ""
            raise kind(f"{trouble}: {self._foreign(what)}{unknown}") from None

    def _foreign(self, what: str) -> str:
        return f"what {self.url} answered about {what} is not from Semaphore's API; check the address."

    def _trouble(self, status: int, what: str, again: str = AGAIN) -> str:
        """What an answer means. Its text is left out: it may quote what was sent."""
        known = {
            HTTPStatus.BAD_REQUEST: f"Semaphore does not accept the values of {what} (400); its own log says which.",
            HTTPStatus.UNAUTHORIZED: "Semaphore does not accept the token (401): make a new one under API tokens of a "
            f"user, and put it into {TOKEN_VARIABLE}.",
            HTTPStatus.FORBIDDEN: "the user of the token may not do this (403): it has to be owner or manager of the "
            "project, and administrator to make one.",
            HTTPStatus.NOT_FOUND: f"Semaphore at {self.url} does not know {what} (404): check the address, and whether "
            "somebody removed it meanwhile.",
            HTTPStatus.CONFLICT: f"something else in the project is in the way of {what} (409): look for another of "
            "that name, or for what uses it.",
        }
        if status in known:
            return known[HTTPStatus(status)]
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return f"Semaphore at {self.url} failed ({status}): look at its log and {again}."
        return f"Semaphore at {self.url} answered with status {status}."
