"""What the tests of a failover to the second region need: modules there, people who approve, a writer, a prober."""

from __future__ import annotations

import importlib
import secrets
import threading
import time
import urllib.error
import urllib.request
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import psycopg
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
from ansible_collections.daily_emr.ops.plugins.module_utils._environment import Environment
from ansible_collections.daily_emr.ops.plugins.module_utils._lease import LeaseStore
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Context, perform
from daily_emr_sandbox.client import Sandbox

from tests.integration.modules import PREFIX, database_of, environment_of

Json = dict[str, Any]
COMPONENT = "emr-region"
REPLICA = f"{PREFIX}-db-replica"
TABLE = f"{PREFIX}-runbooks"
PEOPLE = ("wanjiru", "otieno")
EVERY_S = 0.05


def second(sandbox: Sandbox, service: str) -> Any:
    """A client of the second region, as an operator has it."""
    return sandbox.boto(service, region_name=sandbox.description["second_region"]["name"])


def environment(sandbox: Sandbox, credentials: str = "") -> Json:
    here = sandbox.description
    return environment_of(
        sandbox,
        region=here["second_region"]["name"],
        role_pattern=f"{PREFIX}-runbook-act",
        credentials_file=credentials or here["credentials_file"],
    )


class RegionRunner:
    """Runs a module in this process, in the second region, under a lease that is really held."""

    def __init__(self, sandbox: Sandbox, folder: Path, incident: str) -> None:
        here = sandbox.description
        region = here["second_region"]
        self.environment = environment(sandbox)
        run = f"run-{secrets.token_hex(4)}"
        self._store = LeaseStore(Clients(Environment.from_params(self.environment)), TABLE)
        self.lease = self._store.acquire(COMPONENT, "test@here", incident, run, self._store.peek(COMPONENT).fence, 600)
        self.incident = {"id": incident, "run": run, "folder": str(folder), "component": COMPONENT}
        self.incident |= {"fence": self.lease.fence, "owner": "test@here", "lease_seconds": 600, "plan": "planned_work"}
        self.options = {
            "environment": self.environment,
            "incident": self.incident,
            "recovery": {
                "component": COMPONENT,
                "first_region": here["region"],
                "first_address": region["first_database"]["host"],
                "first_port": region["first_database"]["port"],
                "first_url": here["balancer_url"],
                "second_url": region["balancer_url"],
                "edge_url": here["edge_url"],
                "canary_alarm": f"{PREFIX}-first-region-unreachable",
                "source_secret": "daily-emr/sandbox/DATABASE_URL",
                "secret": "daily-emr/sandbox/recovery/DATABASE_URL",
            },
            "database": database_of(sandbox, component=COMPONENT, instance=REPLICA),
        }

    def release(self) -> None:
        """Give the lease back; nothing happens when it was given back before."""
        if self._store.peek(COMPONENT).run == self.lease.run and self._store.peek(COMPONENT).held:
            self._store.release(self.lease)

    def __call__(self, module: str, *, check: bool = False, **args: Any) -> Json:
        return call(module, self.options | args, check=check)


def call(module: str, options: Json, *, check: bool = False) -> Json:
    """Run a module as Ansible would, with those of the options that it has."""
    entry = importlib.import_module(f"ansible_collections.daily_emr.ops.plugins.modules.{module}").ENTRY
    checked = ArgumentSpecValidator(entry.argument_spec).validate(
        {name: value for name, value in options.items() if name in entry.argument_spec}
    )
    assert not checked.error_messages, checked.error_messages
    return perform(module, entry, checked.validated_parameters, Context(check_mode=check))


def approve(sandbox: Sandbox, incident: str, people: tuple[str, ...] = PEOPLE, max_loss_s: int = 300) -> None:
    """Each of them approves, under their own name."""
    for person in people:
        file = f"{sandbox.description['second_region']['people']}/{person}/credentials"
        asked = {"incident_id": incident, "replica": REPLICA, "max_loss_s": max_loss_s}
        asked["approver_role_pattern"] = f"{PREFIX}-runbook-approver"
        given = call("region_approval", {"environment": environment(sandbox, file), **asked})
        assert given["outcome"] in ("ok", "noop"), given["msg"]


def give_lease_back(sandbox: Sandbox) -> None:
    """What a person does who knows that the run is dead; the wait for it is tested elsewhere."""
    second(sandbox, "dynamodb").update_item(
        TableName=TABLE,
        Key={"pk": {"S": f"lease#{COMPONENT}"}, "sk": {"S": "lease"}},
        UpdateExpression="SET held = :no",
        ExpressionAttributeValues={":no": {"BOOL": False}},
    )


def survivor(sandbox: Sandbox, query: str, values: Json | None = None) -> Any:
    """Ask the second region's server past everything."""
    place = sandbox.description["second_region"]
    return _ask(place["replica_host"], place["replica_port"], query, values)


def _ask(host: str, port: int, query: str, values: Json | None = None) -> Any:
    with psycopg.connect(host=host, port=port, user="postgres", dbname="emr", connect_timeout=3) as session:
        return session.execute(query, values).fetchall()


class Background:
    """Something that is done again and again beside a test."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def go(self, *rounds: Any) -> None:
        for one in rounds:
            thread = threading.Thread(target=self._again, args=(one,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _again(self, one: Any) -> None:
        while not self._stop.wait(EVERY_S):
            one()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


class Writer(Background):
    """A user who writes charts where users go, and keeps what was acknowledged, and when."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(sandbox)
        self.acknowledged: dict[str, datetime] = {}
        self._url = f"{sandbox.description['edge_url']}/api/charts"
        self.go(self._write)

    def _write(self) -> None:
        headers = {"Idempotency-Key": secrets.token_hex(8), "Content-Type": "application/json"}
        body = b'{"tenant": "synthetic", "note": "synthetic note"}'
        asked = urllib.request.Request(self._url, data=body, headers=headers, method="POST")
        with suppress(OSError), urllib.request.urlopen(asked, timeout=3) as answer:
            if answer.status == 201:
                self.acknowledged[_id(answer.read())] = datetime.now(UTC)

    def lost(self) -> dict[str, datetime]:
        """What was acknowledged and is not on the promoted server."""
        promised = dict(self.acknowledged)
        found = survivor(self.sandbox, "SELECT id FROM charts WHERE id = ANY(%(ids)s)", {"ids": list(promised)})
        there = {row[0] for row in found}
        return {chart: at for chart, at in promised.items() if chart not in there}


def _id(text: bytes) -> str:
    import json

    return str(json.loads(text)["id"])


class Prober(Background):
    """Tries to write as the application on both sides, past balancers and endpoints, and notes when it was let."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(sandbox)
        here = sandbox.description
        network, region = here["network"], here["second_region"]
        url = second(sandbox, "secretsmanager").get_secret_value(SecretId="daily-emr/sandbox/DATABASE_URL")
        self._password = url["SecretString"].split("://")[1].split("@")[0].split(":")[1]
        self.first: list[float] = []
        self.second: list[float] = []
        hosts = [(f"{network}.7", 26101), (f"{network}.8", 26102)]
        self.go(
            *(lambda place=place: self._try(self.first, place) for place in hosts),
            lambda: self._try(self.second, (region["replica_host"], region["replica_port"])),
        )

    def _try(self, noted: list[float], place: tuple[str, int]) -> None:
        login = {"user": "emr_application", "password": self._password, "dbname": "emr"}
        with (
            suppress(psycopg.Error),
            psycopg.connect(host=place[0], port=place[1], connect_timeout=2, autocommit=True, **login) as session,
        ):
            session.execute("SET statement_timeout = 2000")
            session.execute("UPDATE charts SET note = 'probed' WHERE id = 'probe'")
            noted.append(time.monotonic())

    @property
    def never_both(self) -> bool:
        """Whether the second side let nobody write before the first one had let the last."""
        return not (self.first and self.second) or max(self.first) < min(self.second)
