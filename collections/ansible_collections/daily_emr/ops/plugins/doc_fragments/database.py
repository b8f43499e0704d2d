# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The option ``database``, the same for all modules of a database, and the thresholds of its diagnosis."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  database:
    description:
      - The database, as the inventory variable C(database) describes it.
      - Every module takes the whole variable, so that a step and its inverse name the same database.
    type: dict
    required: true
    suboptions:
      component:
        description: Name of the component, which is also its inventory host.
        type: str
        required: true
      instance:
        description: Identifier of the RDS instance.
        type: str
        required: true
      instance_class:
        description: Instance class of the RDS instance, which says how many vCPUs it has.
        type: str
        default: db.m6g.large
      secret:
        description: Name of the secret the application logs in with. Its value is never read.
        type: str
        required: true
      name:
        description: Name of the database within the instance.
        type: str
        required: true
      application_role:
        description: The role the application logs in as. Only its sessions may ever be ended.
        type: str
        required: true
      login:
        description: How the runbook itself logs in.
        type: dict
        required: true
        suboptions:
          user:
            description: Role of the runbook, which reads statistics and the schema C(ops), and no table of a patient.
            type: str
            required: true
          method:
            description: A token of IAM, or, only in the sandbox, a password file.
            type: str
            choices: [iam, passfile]
            default: iam
          passfile:
            description: Path of the password file. Only in the sandbox.
            type: path
          sslmode:
            description: How the server proves itself. V(disable) only in the sandbox.
            type: str
            choices: [disable, verify-full]
            default: verify-full
          sslrootcert:
            description: Path of the certificates of the authorities of RDS.
            type: path
      slots:
        description: Replication slots that feed something; those of read replicas of RDS need not be named.
        type: list
        elements: str
        default: []
      read_only_flag:
        description: Key of the feature flag that lets the application only read.
        type: str
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
      database_slow_ms:
        description: Milliseconds of a trivial query above which the database is slow.
        type: int
        required: true
      write_latency_ms:
        description: Milliseconds of a write above which the host of the primary looks impaired.
        type: int
        required: true
      connections_percent:
        description: Share of C(max_connections) in use, in percent, above which sessions are about to be refused.
        type: int
        required: true
      free_storage_percent:
        description: Free share of the storage, in percent, below which it is nearly full.
        type: int
        required: true
      slot_retained_percent:
        description: Share of the storage, in percent, that a replication slot nobody reads keeps back before it counts.
        type: int
        required: true
      victims:
        description: Sessions that wait for one other from which on locks are an incident.
        type: int
        required: true
      blocked_s:
        description: Seconds they must have waited, real ones.
        type: int
        required: true
      idle_transaction_s:
        description: Seconds, at the pace of AWS, after which a transaction in which nothing happens may be ended.
        type: int
        required: true
      failover_quiet_minutes:
        description: Minutes, at the pace of AWS, for which a failover counts as a recent one.
        type: int
        required: true
      restorable_minutes:
        description: Greatest age of the latest restorable time, in minutes at the pace of AWS.
        type: int
        required: true
      transaction_s:
        description: Seconds, at the pace of AWS, after which a transaction that has written is a long one.
        type: int
        required: true
      release_recent_minutes:
        description: Minutes during which a rotated secret is a suspect.
        type: int
        required: true
      probe_timeout_s:
        description: Seconds after which a probe without an answer has failed.
        type: int
        required: true
      connections_per_task:
        description: Connections that one task of the application opens at most.
        type: int
        required: true
"""
