"""An empty AWS account, and nothing else: `python -m daily_emr_sandbox.account up|inhabit|down|calls FOLDER`.

The control plane of the sandbox without the environment in it, for what builds one. It writes the same sandbox.json
and credentials as a whole sandbox, so that the inventory of the sandbox describes it; its operator may build.

When the environment is built, `inhabit` lets the real parts of a sandbox move into it: database, queues, application,
payer and providers take the places that bootstrap made for them, by name. From then on its operator runs runbooks.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import json
import logging
import os
import queue
import signal
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import trustme

from .aws.principals import write_profiles
from .aws.server import AwsServer
from .daemon import detach, free_network, owned
from .settings import ACCOUNT_ID, COPY_REGION, DEFAULT_TIME_FACTOR, TASK_PORT, Settings

BUILDER = "bootstrap"
READER, REMOVER = "readiness", "teardown"
RECOVERER = "region-failover"
DOMAIN = "app.daily-emr.test"
"""As the inventory of the sandbox has it."""
CERTIFIED = dt.timedelta(days=365)
END_S = 20.0
INHABITED_S = 180.0
Wish = Future[None] | None
"""To be inhabited; None: to end."""


def describe(settings: Settings, certificate: str) -> dict[str, Any]:
    """What the inventory of the sandbox reads, as far as an account without an environment can say it."""
    return {
        "name": settings.name,
        "pid": os.getpid(),
        "endpoint_url": settings.endpoint_url,
        "control_url": settings.control_url,
        "credentials_file": str(settings.credentials_file),
        "account_id": settings.account_id,
        "region": settings.region,
        "time_factor": settings.time_factor,
        "edge_url": settings.edge_url,
        "balancer_url": settings.balancer_url,
        "launchdarkly_url": settings.launchdarkly_url,
        "task_port": TASK_PORT,
        "database": {"passfile": str(settings.database_passfile)},
        "queues": {"passfile": str(settings.queue_passfile)},
        # Where a failover would find both regions' parts: nobody answers there.
        "second_region": {
            "name": COPY_REGION,
            "balancer_url": settings.balancer_url,
            "first_database": {"host": settings.database_address, "port": settings.database_port},
        },
        "certificate": certificate,
        "parts": [],
    }


def certify(aws: AwsServer) -> str:
    """The certificate of the domain, which its owner has to get; ARN. CloudFront looks for it in its own region."""
    made = trustme.CA().issue_cert(DOMAIN, not_after=dt.datetime.now(dt.UTC) + CERTIFIED)
    answer = aws.boto("acm", "us-east-1").import_certificate(
        Certificate=made.cert_chain_pems[0].bytes(), PrivateKey=made.private_key_pem.bytes()
    )
    return str(answer["CertificateArn"])


def let_in(aws: AwsServer, role: str, credentials: Path) -> None:
    """Give the operator who uses these credentials a role, beside the profiles that stand there."""
    write_profiles(credentials, {"default": aws.principals.assume(f"{aws.settings.prefix}-{role}", session=role)})


def let_build(aws: AwsServer) -> None:
    """Give the operator of this account the role that may build; who runs runbooks has a profile of its own."""
    let_in(aws, BUILDER, aws.settings.credentials_file)


def let_others_in(aws: AwsServer, name: str, role: str, certificate: str) -> None:
    """Another folder describes the same account to who acts in another role: DAILY_EMR_SANDBOX=FOLDER/NAME."""
    folder = aws.settings.state_dir / name
    folder.mkdir(mode=0o700, exist_ok=True)
    credentials = folder / "credentials"
    let_in(aws, role, credentials)
    description = {**describe(aws.settings, certificate), "credentials_file": str(credentials)}
    (folder / "sandbox.json").write_text(json.dumps(description, indent=2) + "\n")


def registered_zone(aws: AwsServer) -> str:
    """Id of the hosted zone of the domain, which its owner has from the registrar before anything is built."""
    made = aws.boto("route53").create_hosted_zone(Name=DOMAIN, CallerReference="registrar")
    return str(made["HostedZone"]["Id"].rpartition("/")[2])


@contextlib.contextmanager
def running(settings: Settings) -> Any:
    """A started, empty account, with its files."""
    from .compute import ecs_api

    aws = AwsServer(settings)
    # There is no database behind the instance: it is what RDS says of it.
    aws.database_status = lambda: "available"
    aws.start()
    ecs_api.install()
    let_build(aws)
    certificate, zone = certify(aws), registered_zone(aws)
    let_others_in(aws, READER, f"runbook-{READER}", certificate)
    let_others_in(aws, REMOVER, REMOVER, certificate)
    let_others_in(aws, RECOVERER, f"runbook-{RECOVERER}", certificate)
    draft = settings.file.with_suffix(".draft")
    draft.write_text(json.dumps({**describe(settings, certificate), "dns_zone": zone}, indent=2) + "\n")
    draft.rename(settings.file)
    try:
        yield aws
    finally:
        settings.file.unlink(missing_ok=True)
        aws.stop()


def inhabit(aws: AwsServer, settings: Settings) -> Any:
    """Let the parts of a sandbox move in; returns the started world, when everything in it is healthy."""
    from .world import World

    aws.database_status = aws.look_at_database
    world = World(settings, aws)
    world.start()
    aws.principals.write_file()
    world.publish()
    return world


def serve(state: Path, report: int, options: argparse.Namespace) -> None:
    wishes: queue.SimpleQueue[Wish] = queue.SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: wishes.put(None))

    def ask() -> None:
        wish: Future[None] = Future()
        wishes.put(wish)
        wish.result(INHABITED_S)

    with owned(state), free_network() as network, contextlib.ExitStack() as inhabited:
        settings = Settings(
            state, network, state.name, options.time_factor, account_id=options.account, environment=options.environment
        )
        with running(settings) as aws:
            aws.register("POST", "/inhabit", ask)
            os.write(report, b"ready")
            os.close(report)
            # In the main thread, which lives as long as the parts do.
            while (wish := wishes.get()) is not None:
                try:
                    inhabited.callback(inhabit(aws, settings).stop)
                    wish.set_result(None)
                except Exception as error:
                    logging.exception("nobody could move in")
                    wish.set_exception(error)
            inhabited.close()


def up(state: Path, options: argparse.Namespace) -> None:
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    reader, writer = os.pipe()
    if os.fork():
        os.close(writer)
        with os.fdopen(reader) as answer:
            if answer.read() != "ready":
                sys.exit(f"The account did not start: its log is {state / 'account.log'}.")
        return
    os.close(reader)
    detach()
    log = os.open(state / "account.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for number in (1, 2):
        os.dup2(log, number)
    logging.basicConfig(level=logging.INFO)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)  # its lines hold whole paths and queries
    serve(state, writer, options)
    os._exit(0)


def down(state: Path) -> None:
    try:
        pid = json.loads((state / "sandbox.json").read_text())["pid"]
        os.kill(pid, signal.SIGTERM)
    except (FileNotFoundError, ProcessLookupError):
        return
    deadline = time.monotonic() + END_S
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)


def calls(state: Path, since: int = 0) -> list[dict[str, Any]]:
    """The call log of the account in this folder."""
    url = json.loads((state / "sandbox.json").read_text())["control_url"]
    with urllib.request.urlopen(f"{url}/log?since={since}", timeout=30) as answer:  # noqa: S310  # our own address
        return list(json.load(answer)["calls"])


def ask_to_inhabit(state: Path) -> None:
    """Let the parts of a sandbox move into the environment that was built in the account of this folder."""
    url = json.loads((state / "sandbox.json").read_text())["control_url"]
    request = urllib.request.Request(f"{url}/inhabit", method="POST")  # noqa: S310  # our own address
    try:
        urllib.request.urlopen(request, timeout=INHABITED_S).close()  # noqa: S310
    except urllib.error.HTTPError as error:
        with error:
            sys.exit(f"Nobody could move in: {json.load(error)['error']} The log is {state / 'account.log'}.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("verb", choices=("up", "inhabit", "down", "calls"))
    parser.add_argument("state", type=Path)
    parser.add_argument("--environment", default="sandbox", help="whose names the account is for")
    parser.add_argument("--account", default=ACCOUNT_ID, help="number of the account")
    parser.add_argument("--time-factor", type=float, default=DEFAULT_TIME_FACTOR)
    arguments = parser.parse_args()
    state = arguments.state.absolute()
    if arguments.verb == "calls":
        print(json.dumps(calls(state)))  # noqa: T201
    elif arguments.verb == "up":
        up(state, arguments)
    else:
        (ask_to_inhabit if arguments.verb == "inhabit" else down)(state)


if __name__ == "__main__":
    main()
