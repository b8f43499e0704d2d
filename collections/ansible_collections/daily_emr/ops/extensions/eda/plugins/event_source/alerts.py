# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""An event source of ansible-rulebook. What it does is in the package of the command, daily_emr_runbooks.alerts."""

from __future__ import annotations

import asyncio
from typing import Any

from daily_emr_runbooks.alerts.receiver import serve
from daily_emr_runbooks.alerts.settings import Settings
from daily_emr_runbooks.alerts.triggers import Triggers, alarm_prefix
from daily_emr_runbooks.project import Project

DOCUMENTATION = r"""
---
short_description: Receive alerts of Alertmanager, PagerDuty and CloudWatch.
description:
  - An event source of ansible-rulebook. It answers C(POST /alertmanager), C(POST /pagerduty) and C(POST /cloudwatch),
    verifies token and signature before it reads a body, and passes on plain words only, which runbook on which
    component. The source C(eda.builtin.webhook) gives no filter the bytes that a signature is about.
  - The alert itself is written into the folder of its incident; the event names that file.
  - A source is on when its files are in O(secrets).
options:
  environment:
    description: The environment whose components the alerts are about, a folder of C(inventories).
    type: str
    required: true
  secrets:
    description:
      - Folder with the files C(alertmanager_token), C(pagerduty_token) and C(pagerduty_secret), C(cloudwatch_token),
        those that are wanted. The credentials of a unit of systemd are such a folder.
    type: path
    required: true
  topic:
    description: ARN of the only topic of SNS that is listened to. Needed for CloudWatch.
    type: str
    default: ""
  host:
    description: The address to listen on. Another one than loopback needs TLS.
    type: str
    default: 127.0.0.1
  port:
    description: The port to listen on.
    type: int
    required: true
  certfile:
    description: The certificate for TLS.
    type: path
  keyfile:
    description: The key of O(certfile).
    type: path
"""

EXAMPLES = r"""
- daily_emr.ops.alerts:
    environment: staging
    secrets: "{{ CREDENTIALS_DIRECTORY }}"
    port: 5000
"""


async def main(queue: asyncio.Queue[Any], args: dict[str, Any]) -> None:
    """Receive alerts until ansible-rulebook ends. Raises CommandError, OSError: it cannot listen, or should not."""
    project = Project.find()
    project.make_importable()
    settings = Settings.of(args)
    triggers = Triggers.of(project, settings.environment)
    await serve(settings, triggers, alarm_prefix(project, settings.environment), project.runs_dir, queue.put)
