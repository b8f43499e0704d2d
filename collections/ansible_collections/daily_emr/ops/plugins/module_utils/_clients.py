# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The only way to an AWS client. Every client stands behind the identity guard: account, role, region, endpoint and
the fingerprint of the environment, read once and at the same time, before the first call of any client is sent.
"""

from __future__ import annotations

import configparser
import ipaddress
import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache, partial
from typing import Any, Protocol
from urllib.parse import urlsplit

from ansible_collections.daily_emr.ops.plugins.module_utils._calls import (
    CALL_ERRORS,
    as_call_error,
    calling,
    error_code,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._environment import Environment
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError, Refused

try:
    import botocore.session
    from botocore.config import Config
except ImportError:  # only where modules are imported without boto3, as ansible-test does; Clients refuses to start
    botocore = None  # type: ignore[assignment]

THREADS = 32
CONNECT_SECONDS = 3
READ_SECONDS = 10
READ_ATTEMPTS = 5
# It changes nothing, but a lease passes meanwhile.
OWN_ROLE_ATTEMPTS = 2

READ_OPERATION = re.compile(
    r"(BatchGet|Describe|Get|Head|List|Lookup|Query|Scan|Search|Simulate|TransactGet)[A-Z].*|Query|Scan"
    # A query of CloudWatch Logs reads; its answer is fetched by GetQueryResults.
    r"|StartQuery"
)
# Reads by name, but what they return is a secret, or a new identity.
NOT_A_READ = re.compile(
    # How a bucket locks its objects is no object.
    r"GetSecretValue|BatchGetSecretValue|Get(Authorization|Federation|Session)Token|GetObject(?!LockConfiguration$).*"
    r"|GetPasswordData"
    r"|GetRandomPassword|GetLogEvents|GetCredentials.*|GetClusterCredentials.*"
)
AWS_HOST = re.compile(r"[a-z0-9.-]+\.(amazonaws\.com|api\.aws)")


# What may be read of the objects in buckets: the reports of restore checks and of rehearsals. Dumps lie beside them.
EVIDENCE_KEY = re.compile(
    r"(restore[-_]checks|rehearsals/[a-z0-9_]{1,60})(/[A-Za-z0-9][A-Za-z0-9_:+-]{0,60}){1,4}\.json"
)
EVIDENCE_BYTES = 65_536

# The gates besides read and write, with the one call that each lets through; the policies of IAM rest on it.
GATES = {
    "secret_value": "secretsmanager:GetSecretValue",
    "evidence": "s3:GetObject",
    "objects": "s3:GetObject",
    "own_role": "sts:AssumeRole",
    "signature": "kms:Sign",
}
SIGNING = "ECDSA_SHA_256"
SIGNED_BYTES = 4096
"""What KMS takes as a message."""


class Secret:
    """The value of a secret, in memory only: whatever shows, prints or serialises it gets three stars."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return "***"

    def reveal(self) -> str:
        """The value, for the request that it goes into and for nothing else."""
        return self._text


@dataclass(frozen=True)
class Identity:
    """Who calls, proven by STS and by the fingerprint of the environment."""

    account_id: str
    arn: str
    role: str
    operator: str

    @property
    def role_arn(self) -> str:
        """The role itself. Roles of the runbooks have no path: that of an assumed role would not say it."""
        return f"arn:aws:iam::{self.account_id}:role/{self.role}"


class CallScope(Protocol):
    """What the one mutating call of a change may be, and until when (see _scope.py)."""

    def check(self) -> None:
        """Raise Refused when it is too late."""

    def credentials(self, service: str, operation: str, region: str) -> dict[str, str]:
        """Keys that can do this and nothing else. Raises Refused."""


def boottime() -> float:
    """Seconds on a clock that goes on while the machine sleeps (where there is one)."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Clients:
    """Clients of one environment. Safe to share between threads.

    Refused is raised by the constructor when the surroundings point elsewhere, and by the first use of any client
    when the caller turns out not to be who, or where, the inventory says.
    """

    def __init__(self, environment: Environment, *, environ: Mapping[str, str] | None = None) -> None:
        if botocore is None:
            raise Refused("boto3 is not installed in the Python that runs Ansible: install the project's lock file.")
        reasons = ambient_refusals(environment, os.environ if environ is None else environ)
        if reasons:
            raise Refused(*reasons)
        self.environment = environment
        self._lock = threading.RLock()
        self._readers: dict[tuple[str, str, int, int], Any] = {}
        self._identity: Identity | None = None
        # When STS answered, as it says itself: the header Date. Empty until the caller is proven.
        self.proven_at = ""
        # Every mutating request that went onto the wire or was declared, as "service:Operation".
        self.sent: list[str] = []
        self._scope: CallScope | None = None
        # What AWS's clock said last, and what ours said then.
        self._aws_time: tuple[datetime, float] | None = None

    def read(
        self, service: str, region: str = "", attempts: int = READ_ATTEMPTS, *, patience: int = READ_SECONDS
    ) -> Any:
        """A client that refuses every operation that is not a read; retries what is safe to retry.

        region: another one than the environment's, such as that of the copies. attempts: 1 where a region that does
        not answer is an answer. patience: seconds for which an answer is awaited.
        """
        key = (service, region, attempts, patience)
        with self._lock:
            if key not in self._readers:
                client = self._create(service, attempts=attempts, region=region, patience=patience)
                client.meta.events.register_first("provide-client-params.*.*", self._only_reads)
                self._readers[key] = client
            return self._readers[key]

    def write(self, service: str, operation: str, region: str = "", *, patience: int = READ_SECONDS) -> Any:
        """A client that lets exactly this operation through, once, and never sends it again by itself.

        region and patience: as in `read`. Within `scoped` its credentials can do
        nothing else, and end with the lease; without them Refused is raised.
        """
        scope = self._scope
        keys = scope.credentials(service, operation, region or self.environment.region) if scope else None
        client = self._create(service, attempts=1, region=region, keys=keys, patience=patience)
        gate = _Once(service, operation, self.sent, scope)
        client.meta.events.register_first("provide-client-params.*.*", partial(self._only_declared, gate))
        client.meta.events.register_first("before-send.*.*", gate.sending)
        return client

    def declare(self, service: str, operation: str) -> None:
        """Count a mutating request that is not one to AWS, right before it is sent. Refused the second time."""
        self.prove()
        name = f"{service}:{operation}"
        with self._lock:
            if self._scope:
                self._scope.check()
            if name in self.sent:
                raise Refused(f"{name} was already sent: it is never sent twice.")
            self.sent.append(name)

    @contextmanager
    def scoped(self, scope: CallScope) -> Iterator[None]:
        """Bound every mutating request that is made within: what it is, and until when."""
        with self._lock:
            self._scope = scope
        try:
            yield
        finally:
            with self._lock:
                self._scope = None

    def own_role(self) -> Any:
        """A client that asks for sessions of our own role, each with a policy that takes away from what it may do."""
        mine = self.prove().role_arn

        def fits(params: Any) -> bool:
            return bool(params.get("RoleArn") == mine and params.get("Policy"))

        return self._gated("own_role", "this client only narrows the role that runs", fits, OWN_ROLE_ATTEMPTS)

    def aws_time(self) -> datetime:
        """What AWS's clock says at least, by its last answer: ours may be wrong. Raises Refused where it never said."""
        heard = self._aws_time
        if heard is None:
            raise Refused("AWS has not said what time it is, so nobody can say when the lease ends: run again.")
        said, ours = heard
        return said + timedelta(seconds=boottime() - ours)

    def _hear_time(self, http_response: Any, **_event: Any) -> None:
        try:
            said = parsedate_to_datetime(str(http_response.headers.get("Date", ""))).astimezone(UTC)
        except ValueError:
            return
        # Without the lock, which who proves the identity holds while these answers arrive.
        self._aws_time = (said, boottime())

    def secret_value(self, name: str, *, stage: str = "", version: str = "") -> Secret:
        """The value of a secret in a stage, which may move, or of one version of it, to try it out. Never part of a
        result, an error or a journal.
        """
        which = {"VersionId": version} if version else {"VersionStage": stage}
        client = self._gated("secret_value", "this client only reads the value of a secret")
        with calling(GATES["secret_value"]):
            return Secret(str(client.get_secret_value(SecretId=name, **which)["SecretString"]))

    def evidence(self, bucket: str, key: str) -> str:
        """The text of a report that a restore check or a rehearsal left in a bucket, and of no other object."""
        only = "this client only reads reports of restore checks and rehearsals"
        client = self._gated("evidence", only, lambda params: EVIDENCE_KEY.fullmatch(str(params.get("Key", ""))))
        with calling(GATES["evidence"]):
            found = client.get_object(Bucket=bucket, Key=key)
            return bytes(found["Body"].read(EVIDENCE_BYTES)).decode(errors="replace")

    def signature(self, key: str, message: bytes) -> bytes:
        """The signature of a message by a key of KMS, DER, as openssl verifies it. It changes nothing.

        key: its alias, "alias/…". Raises Refused for a message that is longer than KMS takes.
        """
        if len(message) > SIGNED_BYTES:
            raise Refused(f"The message has {len(message)} bytes, and KMS signs at most {SIGNED_BYTES}: shorten it.")
        only = f"this client only signs with {key}"
        client = self._gated("signature", only, lambda params: params.get("KeyId") == key)
        with calling(GATES["signature"]):
            found = client.sign(KeyId=key, Message=message, MessageType="RAW", SigningAlgorithm=SIGNING)
            return bytes(found["Signature"])

    def objects(self, bucket: str) -> Any:
        """A client that reads the content of objects of this bucket, and does nothing else."""
        only = f"this client only reads objects of {bucket}"
        return self._gated("objects", only, lambda params: params.get("Bucket") == bucket)

    def prove(self) -> Identity:
        """Prove account, role, region and environment, with two concurrent calls; later answers come from memory."""
        with self._lock:
            if self._identity is None:
                self._identity = self._prove()
            return self._identity

    def _prove(self) -> Identity:
        environment = self.environment
        sts, ssm = self._create("sts", attempts=READ_ATTEMPTS), self._create("ssm", attempts=READ_ATTEMPTS)
        found = gather(
            caller=sts.get_caller_identity,
            fingerprint=partial(ssm.get_parameter, Name=environment.fingerprint_parameter),
        )
        caller, fingerprint = found["caller"], found["fingerprint"]
        if isinstance(caller, OpsError):
            raise Refused(f"Nobody can say who is calling, so nothing was done: {caller.sentence}")
        self.proven_at = str(caller.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", ""))
        identity, reasons = identify(environment, caller)
        reasons = reasons or self._fingerprint_reasons(fingerprint)
        if reasons:
            raise Refused(*reasons)
        return identity

    def _fingerprint_reasons(self, found: Any) -> list[str]:
        """Why the answer to the question for the fingerprint does not prove the environment."""
        environment = self.environment
        if error_code_of(found) == "ParameterNotFound":
            return [
                f"Account {environment.account_id} has no fingerprint {environment.fingerprint_parameter} in "
                f"region {environment.region}: this is not the {environment.name} environment, or it was never "
                "bootstrapped."
            ]
        if isinstance(found, OpsError):
            return [f"The fingerprint of {environment.name} cannot be read, so nothing was done: {found.sentence}"]
        return fingerprint_refusals(environment, found["Parameter"]["Value"])

    def _create(
        self,
        service: str,
        attempts: int,
        region: str = "",
        keys: dict[str, str] | None = None,
        patience: int = READ_SECONDS,
    ) -> Any:
        environment = self.environment
        settings: dict[str, Any] = {
            "connect_timeout": CONNECT_SECONDS,
            "read_timeout": patience,
            "retries": {"mode": "standard", "total_max_attempts": attempts},
            "max_pool_connections": THREADS,
            "ignore_configured_endpoint_urls": True,
            "user_agent_extra": "daily-emr-runbooks",
        }
        if environment.sandbox:
            settings["proxies"] = {}
            keys = keys or sandbox_credentials(str(environment.credentials_file))
        with self._lock, calling(f"the client of {service}"):
            client = session().create_client(
                service,
                region_name=region or environment.region,
                endpoint_url=environment.endpoint_url,
                config=Config(**settings),
                **(keys or {}),
            )
        client.meta.events.register_last("after-call.*.*", self._hear_time)
        host = urlsplit(client.meta.endpoint_url).hostname or ""
        if not environment.sandbox and not AWS_HOST.fullmatch(host):
            raise Refused(
                f"The client of {service} would call {host}, which is not AWS: look at the AWS configuration."
            )
        return client

    def _only_reads(self, params: Any, model: Any, **_event: Any) -> None:
        name = model.name
        if not READ_OPERATION.fullmatch(name) or NOT_A_READ.fullmatch(name) or params.get("WithDecryption"):
            raise Refused(f"{name} is not a read, so the client for reads did not send it.")
        self.prove()

    def _gated(self, gate: str, only: str, fits: Callable[[Any], object] = bool, attempts: int = READ_ATTEMPTS) -> Any:
        """A client that lets the one call of a gate through, and that only with parameters that fit."""
        service, operation = GATES[gate].split(":")
        client = self._create(service, attempts=attempts)

        def look(params: Any, model: Any, **_event: Any) -> None:
            if model.name != operation or not fits(params):
                raise Refused(f"{model.name} was not declared: {only}.")
            self.prove()

        client.meta.events.register_first("provide-client-params.*.*", look)
        return client

    def _only_declared(self, gate: _Once, model: Any, **_event: Any) -> None:
        gate.calling(model.name)
        self.prove()


class _Once:
    """Lets one declared operation through, once; counts what goes onto the wire, not what was asked for."""

    def __init__(self, service: str, operation: str, wire: list[str], scope: CallScope | None) -> None:
        self.service, self.operation = service, operation
        self._wire, self._scope = wire, scope
        self._lock = threading.Lock()
        self._called = self._sent = False

    def calling(self, name: str) -> None:
        with self._lock:
            if name != self.operation:
                raise Refused(f"{self.service}:{name} was not declared: this step may only call {self.operation}.")
            if self._called:
                raise Refused(f"{self.service}:{name} was already called: a step makes one change, once.")
            self._called = True

    def sending(self, **_event: Any) -> None:
        with self._lock:
            if self._sent:
                raise Refused(f"{self.service}:{self.operation} was already sent: it is never sent twice.")
            if self._scope:
                self._scope.check()
            self._sent = True
            self._wire.append(f"{self.service}:{self.operation}")


def gather(**calls: Callable[[], Any]) -> dict[str, Any]:
    """Run named callables at the same time; what AWS or the network did to one of them becomes its value.

    Returns name -> value, or the CallFailed or CallUnknown of that call. Refused and faults of our own code are
    raised, after every call has ended.
    """
    if not calls:
        return {}
    with ThreadPoolExecutor(max_workers=min(THREADS, len(calls)), thread_name_prefix="gather") as pool:
        futures = {name: pool.submit(call) for name, call in calls.items()}
    return {name: _value(future.result) for name, future in futures.items()}


def _value(result: Callable[[], Any]) -> Any:
    try:
        return result()
    except Refused:
        raise
    except OpsError as error:
        return error
    except CALL_ERRORS as error:
        made = as_call_error(error)
        made.__cause__ = error
        return made


def error_code_of(value: object) -> str:
    """The AWS error code of a value that gather() returned; empty when the call succeeded."""
    return error_code(value) if isinstance(value, BaseException) else ""


@lru_cache(maxsize=1)
def session() -> Any:
    """The one botocore session of this process: a second one would read every service model again."""
    return botocore.session.Session()


def preload() -> None:
    """Read the service models that every task needs, in the process that workers are forked from; calls nobody."""
    if botocore is not None:
        for service in ("sts", "ssm", "dynamodb"):
            # Keys are given so that no credentials are looked for, which could ask the network.
            session().create_client(
                service,
                region_name="af-south-1",
                aws_access_key_id="-",
                aws_secret_access_key="-",  # noqa: S106  # not a key: it only stops the search for one
            )


@lru_cache(maxsize=4)
def sandbox_credentials(path: str) -> dict[str, str]:
    """The keys in the sandbox's own file, and nothing else: the ambient chain is never asked."""
    file = configparser.ConfigParser(interpolation=None)
    if not file.read(path) or not file.has_section("default"):
        raise Refused(f"The sandbox has no credentials in {path}: start a sandbox with `runbook sandbox up`.")
    names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
    return {name: file["default"][name] for name in names if name in file["default"]}


def ambient_refusals(environment: Environment, environ: Mapping[str, str]) -> list[str]:
    """Why the variables and endpoints around this process do not fit the environment; pure."""
    reasons = [
        f"{name} is {environ[name]}, but environment {environment.name} is in {environment.region}: unset {name}."
        for name in ("AWS_REGION", "AWS_DEFAULT_REGION")
        if environ.get(name) and environ[name] != environment.region
    ]
    if environment.sandbox and not is_loopback(environment.endpoint_url or ""):
        reasons.append("endpoint_url of the sandbox is not a loopback address: the sandbox never leaves this machine.")
    if environment.endpoint_url and not environment.sandbox:
        reasons.append(f"endpoint_url is set in environment {environment.name}: only the sandbox may have one.")
    place = f"its own endpoint {environment.endpoint_url}" if environment.sandbox else "AWS itself"
    reasons += [
        f"{name} is set, and environment {environment.name} only talks to {place}: unset {name}."
        for name in sorted(environ)
        if name.startswith("AWS_ENDPOINT_URL") and environ[name] and environ[name] != environment.endpoint_url
    ]
    return reasons


def is_loopback(url: str) -> bool:
    """Whether an address is a literal loopback address; a name could resolve to anything, so it is not."""
    parts = urlsplit(url)
    try:
        return parts.scheme == "http" and ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False


def identify(environment: Environment, caller: Mapping[str, Any]) -> tuple[Identity, list[str]]:
    """Who the reply of GetCallerIdentity describes, and why that is not who may act here; pure."""
    account, arn = str(caller["Account"]), str(caller["Arn"])
    assumed = re.fullmatch(r"arn:[a-z-]+:sts::\d{12}:assumed-role/([^/]+)/([^/]+)", arn)
    role, operator = assumed.groups() if assumed else ("", arn.rpartition("/")[2])
    reasons = []
    if account != environment.account_id:
        reasons.append(
            f"The credentials belong to account {account}, but environment {environment.name} is account "
            f"{environment.account_id}: switch to the profile of {environment.name}."
        )
    elif not re.fullmatch(environment.role_pattern, role):
        who = f"role {role}" if assumed else f"{arn.rpartition(':')[2]}, which is not a role"
        reasons.append(
            f"The credentials are those of {who}, but only {environment.role_pattern} may act in {environment.name}: "
            f"assume a runbook role."
        )
    return Identity(account, arn, role, operator), reasons


def fingerprint_refusals(environment: Environment, text: str) -> list[str]:
    """Why the fingerprint found in the account is not the one of this environment; pure."""
    name = environment.fingerprint_parameter
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        return [f"The fingerprint {name} is not a JSON object: bootstrap the environment again."]
    wanted = {
        "environment": environment.name,
        "account_id": environment.account_id,
        "region": environment.region,
    }
    return [
        f"The fingerprint {name} says {key} {found.get(key)!r}, but the inventory says {value!r}: "
        f"this inventory does not describe the environment the credentials are for."
        for key, value in wanted.items()
        if str(found.get(key)) != value
    ]
