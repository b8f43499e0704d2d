"""Where the receiver listens, and which tokens it takes: what is unsafe is refused before anything listens."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import trustme

from daily_emr_runbooks.alerts.folder import require_plain
from daily_emr_runbooks.alerts.receiver import serve
from daily_emr_runbooks.alerts.settings import Settings
from daily_emr_runbooks.alerts.triggers import Triggers
from daily_emr_runbooks.errors import CommandError
from tests.alert_messages import TOPIC


def settings(secrets: Path, **options: Any) -> Settings:
    return Settings.of({"environment": "sandbox", "secrets": str(secrets), "topic": TOPIC, "port": "0", **options})


def test_it_listens_on_loopback_unless_told_otherwise(secrets: Path) -> None:
    made = settings(secrets)
    assert (made.host, made.port, made.tls) == ("127.0.0.1", 0, None)
    assert all(made.has(source) for source in ("alertmanager", "pagerduty", "cloudwatch"))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "alerts.example.org", ""])
def test_elsewhere_it_listens_only_with_tls(secrets: Path, tmp_path: Path, host: str) -> None:
    if not host:
        assert settings(secrets, host=host).host == "127.0.0.1"
        return
    with pytest.raises(CommandError, match="without TLS"):
        settings(secrets, host=host)
    issued = trustme.CA().issue_cert("alerts.example.org")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    assert settings(secrets, host=host, certfile=str(tmp_path / "cert.pem"), keyfile=str(tmp_path / "key.pem")).tls


def test_a_source_without_its_files_is_off(secrets: Path) -> None:
    for name in ("alertmanager_token", "cloudwatch_token"):
        (secrets / name).unlink()
    made = settings(secrets, topic="")
    assert [made.has(source) for source in ("alertmanager", "pagerduty", "cloudwatch")] == [False, True, False]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("pagerduty_secret", None, "pagerduty needs the files pagerduty_token and pagerduty_secret"),
        ("cloudwatch_token", None, "need both the file cloudwatch_token and the ARN"),
        ("alertmanager_token", "short", "must hold one secret of 16 to 256"),
        ("alertmanager_token", "two words of a token", "must hold one secret"),
    ],
)
def test_a_weak_or_missing_secret_is_refused(secrets: Path, name: str, value: str | None, words: str) -> None:
    (secrets / name).unlink() if value is None else (secrets / name).write_text(value)
    with pytest.raises(CommandError, match=words):
        settings(secrets)


def test_a_secret_that_others_can_read_is_refused(secrets: Path) -> None:
    (secrets / "alertmanager_token").chmod(0o644)
    with pytest.raises(CommandError, match="can be read by others: chmod 600"):
        settings(secrets)


@pytest.mark.parametrize("folder", ["/srv/run s", "/srv/{{ 1 }}", "/srv/é", f"/{'x' * 300}", "runs"])
def test_a_folder_that_the_filter_would_not_let_through_is_refused_at_the_start(secrets: Path, folder: str) -> None:
    require_plain(Path("/var/lib/daily-emr/runs"))
    with pytest.raises(CommandError, match="set DAILY_EMR_RUNS to a short path"):
        asyncio.run(serve(settings(secrets), Triggers({}), "", Path(folder), asyncio.Queue().put))


def test_without_any_secret_nobody_is_believed(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="There is no token"):
        settings(tmp_path, topic="")
