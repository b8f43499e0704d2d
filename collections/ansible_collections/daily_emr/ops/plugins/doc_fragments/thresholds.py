# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The option ``thresholds``: the numbers that turn a reading into a finding. Their home is the role's defaults."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  thresholds:
    description:
      - The numbers that turn a reading into a finding.
      - They have no defaults here; their home, with their reasons, is the defaults of the runbook's role.
    type: dict
    required: true
    suboptions:
      error_ratio:
        description: Ratio of 5xx among requests above which users are not served, 0 to 1.
        type: float
        required: true
      p95_ms:
        description: P95 latency in milliseconds above which the service is slow.
        type: int
        required: true
      database_slow_ms:
        description: Milliseconds of a trivial query above which the database is the bottleneck.
        type: int
        required: true
      release_recent_minutes:
        description: Minutes during which a new release, a rotated secret or another change is a suspect.
        type: int
        required: true
      flag_recent_hours:
        description: Hours during which a changed feature flag is a suspect.
        type: int
        required: true
      good_after_hours:
        description: Hours a release must have run to be known good.
        type: int
        required: true
      min_healthy_targets:
        description: Healthy targets the service needs.
        type: int
        required: true
      min_zones:
        description: Availability zones the healthy targets must cover.
        type: int
        required: true
      probe_timeout_s:
        description: Seconds after which a probe without an answer has failed.
        type: int
        required: true
      cpu_percent:
        description: CPU utilisation of the service, in percent, above which it is short of capacity.
        type: int
        required: true
"""
