# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The service level, as the modules that count requests by it take it."""

from __future__ import annotations


class ModuleDocFragment:
    """The option ``slo``."""

    DOCUMENTATION = r"""
options:
  slo:
    description: The numbers of the service level and of what follows from it.
    type: dict
    default: {}
    suboptions:
      target:
        description: Part of the requests that must be good in a month.
        type: float
        default: 0.999
      month_minutes:
        description:
          - Minutes that the budget is for, counted back from now, for example 40320 for four weeks.
          - The default is the calendar month in UTC, from its first minute until now; 30 days have a budget of 43.2
            minutes, and a month of 28 days has 40.32.
        type: int
      freeze_minutes:
        description:
          - Minutes in either ledger at which releases freeze.
          - Well before the whole budget is spent, 65 % of it in a month of 30 days, so that something is left for an
            incident that nobody chose.
        type: float
        default: 28
      caution_left_minutes:
        description: Minutes left to the freeze from which releases need more care; a quarter of it.
        type: float
        default: 7
      down_ratio:
        description:
          - Part of the requests of a minute that must fail for the minute to count as down.
          - Fewer are trouble for some, which the other ledger counts; from here on it is an outage for the facilities.
        type: float
        default: 0.05
      down_requests:
        description:
          - Requests that a minute needs to be judged by them.
          - Of 50, three must fail. With fewer, the failures that the target allows would now and then make a minute
            count as down.
        type: int
        default: 50
      min_bad:
        description: Failed requests that the long window of a pair needs to call somebody; one or two are no trend.
        type: int
        default: 10
      min_valid:
        description: Requests that the short window of a pair needs; one failure among 50 is 2 % and would call.
        type: int
        default: 50
      stale_minutes:
        description:
          - Minutes without any request after which nothing is known; CloudWatch is up to 3 minutes late, and a quiet
            night has gaps, too.
        type: int
        default: 15
      forecast_hours:
        description: Hours to the freeze, at the pace of the last hour, from which somebody is called to prevent it.
        type: int
        default: 6
      slow_seconds:
        description:
          - Seconds after which a request is slow, the limit that the P95 has.
          - Prometheus needs a bucket that ends exactly here.
        type: float
        default: 0.6
      slow_ratio:
        description: Part of the requests that may be slow; a P95 below the limit is the same as at most 5 %.
        type: float
        default: 0.05
"""

    CANARIES = r"""
options:
  canaries:
    description:
      - Names of the CloudWatch Synthetics canaries that try the service, at least two, each in another place.
      - A minute is down when they fail from two places; one place alone may have its own trouble.
    type: list
    elements: str
    default: []
"""
