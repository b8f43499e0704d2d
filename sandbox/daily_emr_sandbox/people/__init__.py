"""Stand-ins of those by whom people are told: PagerDuty, Slack, Statuspage and Grafana."""
