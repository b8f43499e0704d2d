# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The option ``telehealth``, the same for all modules of telehealth, and the thresholds of its diagnosis."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  telehealth:
    description:
      - Telehealth, as the inventory variable C(telehealth) describes it.
      - Every module takes the whole variable, so that a step and its inverse name the same providers.
    type: dict
    required: true
    suboptions:
      component:
        description: Name of the component, which is also its inventory host.
        type: str
        required: true
      log_group:
        description:
          - Name of the CloudWatch log group with one JSON object for each join and each booking. It names versions,
            networks and regions; nothing in it names a patient.
        type: str
        required: true
      notice_topic:
        description: Name of the SNS topic that the facilities are told by.
        type: str
        required: true
      clinic_lead:
        description: Who of the clinic has agreed that visits are held by phone when no provider is well.
        type: str
        default: ""
      feature_flags:
        description: Where LaunchDarkly is.
        type: dict
        required: true
        suboptions:
          api_url:
            description: Address of the REST API.
            type: str
          project:
            description: Key of the project.
            type: str
          environment:
            description: Key of the environment.
            type: str
      flags:
        description: Keys of the flags that say how consultations are held.
        type: dict
        required: true
        suboptions:
          provider:
            description: Which provider new sessions go to, V(primary) or V(secondary).
            type: str
            required: true
          media_region:
            description: Which region new sessions are relayed in.
            type: str
            required: true
          relay_only:
            description: Whether new sessions go through a relay over TCP or TLS.
            type: str
            required: true
          audio_only:
            description: Whether consultations have no picture.
            type: str
            required: true
          bitrate_cap:
            description: Whether pictures are small.
            type: str
            required: true
          bookings_by_phone:
            description: Whether visits are booked by phone.
            type: str
            required: true
      providers:
        description: The two providers.
        type: dict
        required: true
        suboptions:
          primary: &provider
            description: One of them.
            type: dict
            required: true
            suboptions:
              api_url:
                description: Address of its control API; https everywhere but in the sandbox.
                type: str
                required: true
              turn_host:
                description: Host of its STUN and TURN server, which answers over UDP and TCP.
                type: str
                required: true
              turn_port:
                description: Port of its STUN and TURN server.
                type: int
                required: true
              secret:
                description: Name of the secret with the application's key. Its value is never read.
                type: str
                required: true
              processor_approved:
                description:
                  - Whether it is approved as a processor of data, with a contract and the consent text of patients.
                  - New sessions never go to one that is not.
                type: bool
                default: false
              regions:
                description: The regions it relays in, each with the server to measure the distance to.
                type: list
                elements: dict
                default: []
                suboptions:
                  name:
                    description: Name of the region, which is a variation of the flag C(media_region).
                    type: str
                    required: true
                  turn_host:
                    description: Host of the server in the region.
                    type: str
                    required: true
                  turn_port:
                    description: Port of the server in the region.
                    type: int
                    required: true
          secondary: *provider
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
      join_success:
        description: Share of joins below which patients are not seen, 0 to 1.
        type: float
        required: true
      explains_share:
        description: Share of the failures from which on one version, network or region explains them, 0 to 1.
        type: float
        required: true
      poor_share:
        description: Share of consultations with poor quality above which something is wrong, 0 to 1.
        type: float
        required: true
      min_joins:
        description: Joins below which a share says nothing.
        type: int
        required: true
      min_failures:
        description: Failures below which there is no pattern in them.
        type: int
        required: true
      api_slow_ms:
        description: Milliseconds above which an answer of the control API is slow.
        type: int
        required: true
      media_slow_ms:
        description: Milliseconds (P95) to sound and pictures above which joins are slow.
        type: int
        required: true
      relay_rtt_ms:
        description: Milliseconds to the relay and back above which its region is too far.
        type: int
        required: true
      webhook_silent_minutes:
        description: Minutes, at the pace of AWS, without an event of a consultation while there are some.
        type: int
        required: true
      clock_skew_s:
        description: Seconds, real ones, by which the clock of a provider may be wrong.
        type: int
        required: true
      rotation_recent_minutes:
        description: Minutes, at the pace of AWS, during which a new key is a suspect.
        type: int
        required: true
      probe_timeout_s:
        description: Seconds after which a probe without an answer has failed.
        type: int
        required: true
"""
