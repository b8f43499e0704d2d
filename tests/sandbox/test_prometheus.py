"""What a real Prometheus knows about the application."""

from __future__ import annotations

from pathlib import Path

from daily_emr_sandbox.client import Sandbox
from daily_emr_sandbox.loop import wait_until

from tests.sandbox.prometheus import needs_prometheus, running_prometheus

RATE = "sum by (http_route, service_version) (rate(http_server_request_duration_seconds_count{%s}[10s])) > 0"
P95 = "histogram_quantile(0.95, sum by (le) (rate(http_server_request_duration_seconds_bucket[10s])))"


@needs_prometheus
def test_prometheus_sees_which_route_fails(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.mend()
    with running_prometheus(sandbox, tmp_path) as prometheus:
        wait_until(lambda: len(prometheus.query(RATE % "")) == 6, "every route has requests", 60)
        assert {labels["service_version"] for labels, _ in prometheus.query(RATE % "")} == {"2026.47.1"}
        bad = RATE % 'http_response_status_code=~"5.."'
        assert prometheus.query(bad) == []
        [(_, p95)] = prometheus.query(P95)
        assert 0 < p95 < 10

        sandbox.break_("one_route_fails")
        try:
            wait_until(lambda: bool(prometheus.query(bad)), "requests fail", 60)
            assert {labels["http_route"] for labels, _ in prometheus.query(bad)} == {"/api/reports"}
        finally:
            sandbox.mend()
