"""What the application needs for telehealth in AWS: empty secrets, the log group, the topic that clinics listen to."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..aws.server import AwsServer
    from ..settings import Settings

LOGS_KEPT_DAYS = 30


def seed_telehealth(settings: Settings, aws: AwsServer, tags: dict[str, str]) -> None:
    """Make it, as bootstrap would. Not with the mutex held."""
    listed = [{"Key": key, "Value": value} for key, value in tags.items()]
    secrets, logs, sns = (aws.boto(name) for name in ("secretsmanager", "logs", "sns"))
    for provider in ("primary", "secondary"):
        secrets.create_secret(Name=settings.telehealth_secret(provider), Tags=listed)
    logs.create_log_group(logGroupName=settings.telehealth_logs, tags=tags)
    logs.put_retention_policy(logGroupName=settings.telehealth_logs, retentionInDays=LOGS_KEPT_DAYS)
    sns.create_topic(Name=settings.telehealth_topic, Tags=listed)
