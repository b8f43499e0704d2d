# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The option ``claims_api``, the same for all modules of it, and the thresholds of its diagnosis."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  claims_api:
    description:
      - The claims API of the payer, as the inventory variable C(claims_api) describes it.
      - Every module takes the whole variable, so that a step and its inverse name the same API.
    type: dict
    required: true
    suboptions:
      component:
        description: Name of the component, which is also its inventory host.
        type: str
        required: true
      secret:
        description:
          - Name of the secret with the key of the API, JSON with C(key) and C(secret).
          - Its value is used in memory to ask for a token, and is never shown.
        type: str
        required: true
      base_url:
        description: Address of the API, https.
        type: str
        required: true
      ca_file:
        description: File of the authorities that may have signed its certificate. Without it those of the system.
        type: path
      facility_id:
        description: Our own facility id at the payer, which is what the harmless read asks for.
        type: str
        required: true
      identifier_system:
        description: System of the identifiers of our claims.
        type: str
        required: true
      circuit_flag:
        description: Key of the feature flag that keeps claims back, so that they are stored and not sent.
        type: str
        required: true
      cached_flag:
        description: Key of the feature flag that lets eligibility be answered without the payer, as unverified.
        type: str
        required: true
      normal_per_minute:
        description: Claims that are sent in a minute of a usual day, at most 600.
        type: float
        required: true
      normal_p95_ms:
        description: P95 of a submission on a usual day, in milliseconds.
        type: int
        required: true
"""

    # The thresholds of a diagnosis. Not named for them: Ansible would take the fragment of that name.
    DIAGNOSIS = r"""
options:
  thresholds:
    description:
      - The numbers that turn a reading into a finding.
      - They have no defaults here; their home, with their reasons, is the defaults of the runbook's role.
    type: dict
    required: true
    suboptions:
      failing_ratio:
        description: Share of submissions without an answer, or with one of 5xx, above which they fail, 0 to 1.
        type: float
        required: true
      refused_ratio:
        description: Share of submissions answered with 401, 403, 400 or 422 above which it is no accident, 0 to 1.
        type: float
        required: true
      min_calls:
        description: Submissions below which a share says nothing.
        type: int
        required: true
      submission_slow_ms:
        description: P95 of a submission, in milliseconds, above which the payer is slow.
        type: int
        required: true
      read_slow_ms:
        description: Milliseconds of the harmless read above which the payer is slow.
        type: int
        required: true
      waiting_minutes:
        description: Minutes, at the pace of AWS, that a claim may wait to be sent.
        type: int
        required: true
      due_hours:
        description: Hours within which a deadline counts as near.
        type: int
        required: true
      window_minutes:
        description: Minutes, at the pace of AWS, of submissions that are looked at.
        type: int
        required: true
      settle_after_s:
        description: Seconds, at the pace of AWS, after which a claim in doubt may be asked for.
        type: int
        required: true
      certificate_days:
        description: Days before its end from which on a certificate is mentioned.
        type: int
        required: true
      clock_s:
        description: Seconds by which our clock and that of the payer may differ.
        type: int
        required: true
      probe_timeout_s:
        description: Seconds after which a probe without an answer has failed.
        type: int
        required: true
"""
