# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The options that every module of this collection shares. They arrive through module_defaults."""

from __future__ import annotations


class ModuleDocFragment:
    """Options, and what check and diff mode mean."""

    DOCUMENTATION = r"""
options:
  environment:
    description:
      - The environment to work in, as its inventory describes it.
      - Every call is refused unless account, role, region, endpoint and fingerprint are the ones named here.
    type: dict
    required: true
    suboptions:
      name:
        description: Name of the environment, for example V(sandbox), V(staging) or V(production).
        type: str
        required: true
      account_id:
        description: The 12 digits of the AWS account.
        type: str
        required: true
      region:
        description: The AWS region.
        type: str
        required: true
      role_pattern:
        description: Regular expression that the whole name of the assumed role must match.
        type: str
        required: true
      table:
        description: Name of the DynamoDB table that holds the leases and the mirror of the journal.
        type: str
        required: true
      audit_region:
        description: The AWS region of the bucket that keeps heads of journals, where it is another one.
        type: str
      domain:
        description: Public name of the application, which its addresses are made of.
        type: str
      fingerprint_parameter:
        description:
          - Name of the SSM parameter that says which environment this is.
          - Its value is JSON with C(environment), C(account_id) and C(region).
        type: str
        required: true
      endpoint_url:
        description: Address of the stand-in for AWS, on a loopback address. Only in the sandbox.
        type: str
      credentials_file:
        description: File with the credentials of the sandbox; nothing else is used there. Only in the sandbox.
        type: path
      time_factor:
        description: How many times faster than AWS the clock of the sandbox runs; V(1) everywhere else.
        type: float
        default: 1.0
  incident:
    description:
      - The session of the open incident, as M(daily_emr.ops.incident) returned it.
      - Without it a module reads or plans, but it changes nothing.
    type: dict
    suboptions:
      id:
        description: Id of the incident.
        type: str
        required: true
      run:
        description: Id of this run.
        type: str
        required: true
      folder:
        description: Folder of this run, which holds its journal and its record.
        type: path
        required: true
      component:
        description: The inventory host that the incident is about, which is also what the lease is on.
        type: str
        required: true
      fence:
        description: Number of the lease, once it is taken.
        type: int
      owner:
        description: Who holds the lease, as C(operator@host).
        type: str
      lease_seconds:
        description: Length of the lease in seconds, once it is taken.
        type: int
      plan:
        description: Digest of the plan of the run, once there is one.
        type: str
"""

    # The attributes of a module that reads.
    READ = r"""
attributes:
  check_mode:
    description: Does in check mode exactly what it does without, because it only reads.
    support: full
  diff_mode:
    description: Changes nothing, so there is nothing to show.
    support: none
"""

    # The attributes and the return values of a module that changes something.
    CHANGE = r"""
attributes:
  check_mode:
    description: Reads the live state, applies every refusal, and reports what would be changed. Sends no mutating call.
    support: full
  diff_mode:
    description: Shows the live value before and the intended or reached value after.
    support: full
"""
