"""The AWS control plane alone: no database, no tasks, no balancer; and clients as operators have them."""

from __future__ import annotations

import contextlib
import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import botocore.loaders
import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError
from daily_emr_sandbox.aws.server import AwsServer
from daily_emr_sandbox.daemon import free_network
from daily_emr_sandbox.settings import Settings

LOADER = botocore.loaders.create_loader()
"""Shared, because reading the service models takes longer than most tests."""


@dataclass(frozen=True)
class Aws:
    """A running server, and ways to call it from outside."""

    settings: Settings
    server: AwsServer

    def client(self, service: str, profile: str = "default", *, region: str | None = None, **config: Any) -> Any:
        """A client with the credentials of the sandbox's file; keywords are those of botocore's Config."""
        session = botocore.session.Session(profile=profile)
        session.register_component("data_loader", LOADER)
        session.set_config_variable("credentials_file", str(self.settings.credentials_file))
        session.set_config_variable("config_file", os.devnull)
        wanted = {"proxies": {}, "s3": {"addressing_style": "path"}, "max_pool_connections": 32} | config
        return session.create_client(
            service, region_name=region or self.settings.region, endpoint_url=self.settings.endpoint_url,
            config=Config(**wanted),
        )  # fmt: skip

    def control(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Status and answer of the control API."""
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"{self.settings.control_url}{path}", data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def calls(self, since: int, operation: str) -> list[dict[str, Any]]:
        """Logged calls of an operation after the one numbered `since`."""
        return [call for call in self.server.calls.since(since) if call["operation"] == operation]


@contextlib.contextmanager
def running_aws(state_dir: Path) -> Iterator[Aws]:
    """A started, empty AWS."""
    with free_network() as network:
        settings = Settings(state_dir, network, time_factor=40, parts=frozenset())
        server = AwsServer(settings)
        server.start()
        try:
            yield Aws(settings, server)
        finally:
            server.stop()


def refusal(error: ClientError) -> tuple[str, int]:
    """Code and status of what AWS refused."""
    return error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
