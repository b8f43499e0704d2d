"""A real database pair, and an AWS whose S3 locks, compares and copies: what a dump is taken from, and put into."""

from __future__ import annotations

import contextlib
import copy
import importlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Context, perform
from daily_emr_sandbox.aws.server import AwsServer
from daily_emr_sandbox.daemon import free_network
from daily_emr_sandbox.loop import LoopThread
from daily_emr_sandbox.postgres import DatabasePair
from daily_emr_sandbox.seed_audit import seed_audit
from daily_emr_sandbox.seed_dumps import seed_dumps
from daily_emr_sandbox.settings import Settings

Json = dict[str, Any]

SETUP = """
CREATE TABLE beds (id integer PRIMARY KEY, ward text NOT NULL);
CREATE TABLE stays (id integer PRIMARY KEY, bed integer REFERENCES beds (id), note text);
INSERT INTO beds SELECT number, 'ward ' || number FROM generate_series(1, 50) AS number;
INSERT INTO stays SELECT number, 1 + number % 50, md5(number::text) FROM generate_series(1, 20000) AS number;
CREATE UNLOGGED TABLE scratch (id integer);
INSERT INTO scratch VALUES (1);
"""
PLANTED = "PLANTED-PATIENT-NOTE"


@dataclass
class World:
    """A database with synthetic rows, its AWS, and the modules as Ansible would call them."""

    settings: Settings
    aws: AwsServer
    database: DatabasePair
    folder: Path
    work: Path
    told: list[str]

    @property
    def bucket(self) -> str:
        return self.settings.dumps_bucket

    @property
    def s3(self) -> Any:
        return self.aws.boto("s3")

    @property
    def dumps(self) -> Json:
        return {"component": "emr-dumps", "bucket": self.bucket, "retention_days": 35}

    def call(self, module: str, *, check: bool = False, **args: Any) -> Json:
        """Run a module with the environment, the lease and the options that a role gives it."""
        entry = importlib.import_module(f"ansible_collections.daily_emr.ops.plugins.modules.{module}").ENTRY
        settings = self.settings
        login = {"user": "emr_backup", "method": "passfile", "sslmode": "disable"}
        given = {
            "environment": {
                "name": "sandbox",
                "account_id": settings.account_id,
                "region": settings.region,
                "role_pattern": "daily-emr-sandbox-runbook-act",
                "table": "daily-emr-sandbox-runbooks",
                "fingerprint_parameter": "/daily-emr/sandbox/fingerprint",
                "endpoint_url": settings.endpoint_url,
                "credentials_file": str(settings.credentials_file),
            },
            "incident": {
                "id": "INC-1", "run": "run-1", "folder": str(self.folder), "component": "emr-dumps",
            },
            "dumps": self.dumps,
            "work_dir": str(self.work),
            "database": {
                "component": "emr-db",
                "instance": settings.database_name,
                "secret": settings.database_secret,
                "name": "emr",
                "application_role": "emr_application",
                "login": {**login, "passfile": str(settings.database_passfile)},
                "read_only_flag": "read-only",
            },
        }  # fmt: skip
        if hasattr(entry, "argument_spec") and self.lease:
            given["incident"] |= self.lease
        options = {name: value for name, value in given.items() if name in entry.argument_spec} | args
        checked = ArgumentSpecValidator(entry.argument_spec).validate(options)
        assert not checked.error_messages, checked.error_messages
        result = perform(
            module, entry, checked.validated_parameters, Context(check_mode=check, progress=self.told.append)
        )
        assert PLANTED not in json.dumps(result, default=str)
        return result

    lease: Json | None = None
    saved: dict[str, Json] | None = None
    manifest: Json = field(default_factory=dict)

    def mutations(self, since: int) -> list[str]:
        """What was written into S3."""
        return [
            call["operation"] for call in self.aws.calls.since(since) if call["mutating"] and call["service"] == "s3"
        ]

    def take(self, **args: Any) -> Json:
        """Dump and upload; what the role does."""
        dumped = self.call("database_dump", **args)
        assert not dumped.get("failed"), dumped["msg"]
        for upload in dumped["uploads"]:
            put = self.call("database_dump_part", name=dumped["name"], **upload)
            assert put["outcome"] == "ok", (put["msg"], put["diff"])
        return dumped

    def back_up(self, **args: Any) -> Json:
        """A whole backup; its manifest."""
        dumped = self.take(**args)
        made = self.call("database_dump_manifest", dump=dumped["dump"])
        assert made["outcome"] == "ok", made["msg"]
        shutil.rmtree(dumped["folder"])
        return dumped["dump"]

    def there(self) -> Json:
        """A backup that was made before: the same objects again, which costs no dump."""
        with self.aws.mutex:
            kept = self.saved
            for name, keys in (kept or {}).items():
                for key, versions in keys.items():
                    self.aws.backend("s3").get_bucket(name).keys.setlist(key, copy.deepcopy(versions))
        if kept is None:
            self.manifest = self.back_up()
            with self.aws.mutex:
                self.saved = {
                    name: {key: copy.deepcopy(bucket.keys.getlist(key)) for key in bucket.keys}
                    for name, bucket in self.aws.backend("s3").buckets.items()
                }
        return copy.deepcopy(self.manifest)

    def superuser(self, query: str) -> Any:
        with self.database.primary.connect() as session:
            answer = session.execute(query)
            return answer.fetchall() if answer.description else []

    def empty(self) -> None:
        """No dump lies in the buckets: past the lock, as only a test can."""
        with self.aws.mutex:
            for name in (self.bucket, self.settings.dumps_copy_bucket):
                self.aws.backend("s3").get_bucket(name).keys.clear()

    def stored(self, key: str) -> Any:
        """What moto keeps of the first version of an object, for a test that damages it."""
        with self.aws.mutex:
            return self.aws.backend("s3").get_bucket(self.bucket).keys.getlist(key)[0]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """For one file: the accounts of moto are those of the process, and the next file may begin with new ones."""
    with contextlib.ExitStack() as held:
        network = held.enter_context(free_network())
        settings = Settings(tmp_path_factory.mktemp("backup"), network, time_factor=40, parts=frozenset())
        loop = LoopThread()
        loop.start()
        held.callback(loop.stop)
        database = DatabasePair(settings, loop)
        held.callback(database.stop)
        database.start()
        aws = AwsServer(settings)
        aws.start()
        held.callback(aws.stop)
        # Where the account that servers run as can get to: the folders of pytest are for this account only.
        work = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="emr", dir="/tmp")))
        work.chmod(0o711)
        world = World(settings, aws, database, settings.state_dir, work, [])
        _seed(world)
        yield world


def _seed(world: World) -> None:
    settings, aws = world.settings, world.aws
    world.database.admit_runbooks()
    world.superuser(SETUP)
    world.superuser(f"UPDATE stays SET note = '{PLANTED}' WHERE id = 7")
    for seed in (seed_dumps, seed_audit):
        seed(settings, aws, [{"Key": "app", "Value": "daily-emr"}])
    about = {"environment": "sandbox", "account_id": settings.account_id, "region": settings.region}
    aws.boto("ssm").put_parameter(Name="/daily-emr/sandbox/fingerprint", Type="String", Value=json.dumps(about))
    aws.boto("dynamodb").create_table(
        TableName="daily-emr-sandbox-runbooks", BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
    )  # fmt: skip
    aws.boto("rds").create_db_instance(
        DBInstanceIdentifier=settings.database_name, DBInstanceClass="db.m6g.large", Engine="postgres",
        Port=settings.database_port, AllocatedStorage=100, MasterUsername="postgres", MasterUserPassword="postgres",
    )  # fmt: skip


@pytest.fixture
def world(stack: World) -> World:
    """The stack with empty buckets, and the lease on them."""
    stack.empty()
    stack.told.clear()
    for left in stack.work.iterdir():
        shutil.rmtree(left)
    if stack.lease is None:
        opened = stack.call(
            "incident", state="open", component="emr-dumps", runbook="backup", runs_dir=str(stack.folder), incident=None
        )
        taken = stack.call(
            "incident", state="mitigating", incident=opened["incident"], lease_seconds=3600, contract=False
        )
        assert not taken.get("failed"), taken
        stack.lease = taken["incident"]
    return stack


@contextlib.contextmanager
def standby_as_replica(world: World) -> Iterator[str]:
    """RDS has a read replica, and it is the standby of the real pair."""
    name = f"{world.settings.database_name}-replica"
    world.aws.boto("rds").create_db_instance_read_replica(
        DBInstanceIdentifier=name, SourceDBInstanceIdentifier=world.settings.database_name
    )
    standby = world.database.standby
    with world.aws.mutex:
        replica = world.aws.backend("rds").databases[name]
        kind = type(replica)
        before = kind.address
        kind.address = property(lambda self: standby.address if self is replica else before.fget(self))
        replica.port = standby.port
    try:
        yield name
    finally:
        with world.aws.mutex:
            kind.address = before
        world.aws.boto("rds").delete_db_instance(DBInstanceIdentifier=name, SkipFinalSnapshot=True)
