"""The dashboard: four steps, and what somebody moved is put back."""

from __future__ import annotations

import json
from pathlib import Path

from tests.sandbox.building import NAME, building

BODY = {"widgets": [{"type": "text", "x": 0, "y": 0, "width": 6, "height": 3, "properties": {"markdown": "queues"}}]}


def test_a_dashboard_is_made_and_put_back(tmp_path: Path) -> None:
    with building(tmp_path) as builder:
        builder.four_steps("dashboard", NAME, "PutDashboard", body=BODY)
        moved = {"widgets": [{**BODY["widgets"][0], "x": 6}]}
        builder.aws.client("cloudwatch").put_dashboard(DashboardName=NAME, DashboardBody=json.dumps(moved))
        assert builder.steps("dashboard", NAME, body=BODY)[:3] == [
            ("planned", []), ("ok", ["PutDashboard"]), ("noop", []),
        ]  # fmt: skip
