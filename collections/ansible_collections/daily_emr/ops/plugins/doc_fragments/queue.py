# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The option ``queue``, the same for all modules of a queue, its flow, and the thresholds of its diagnosis."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  queue:
    description:
      - The queue, as the inventory variable C(queue) describes it.
      - Every module takes the whole variable, so that a step and its inverse name the same queue.
    type: dict
    required: true
    suboptions:
      component:
        description: Name of the component, which is also its inventory host.
        type: str
        required: true
      name:
        description: Name of the queue.
        type: str
        required: true
      kind:
        description: Whether it is a queue of BullMQ or of SQS.
        type: str
        choices: [bullmq, sqs]
        required: true
      prefix:
        description: Prefix of the keys of BullMQ.
        type: str
        default: bull
      dead_letters:
        description: Name of the dead-letter queue, for SQS.
        type: str
      replication_group:
        description: Identifier of the ElastiCache replication group that a queue of BullMQ is in.
        type: str
        required: true
      secret:
        description: Name of the secret that workers and producers log in with. Its value is never read.
        type: str
      login:
        description: How the runbook itself logs in.
        type: dict
        suboptions:
          user:
            description: User of the runbooks at the replication group; with IAM its id and its name are the same.
            type: str
            required: true
          method:
            description: A token of IAM, or, only in the sandbox, a password file.
            type: str
            choices: [iam, passfile]
            default: iam
          passfile:
            description: Path of the file that holds the password. Only in the sandbox.
            type: path
          tls:
            description: Whether the connection is encrypted and the server proves itself. V(false) only in the sandbox.
            type: bool
            default: true
      worker_cluster:
        description: Name of the ECS cluster of the workers.
        type: str
        required: true
      worker_service:
        description: Name of the ECS service of the workers.
        type: str
        required: true
      worker_expected:
        description: Workers that run when nothing is wrong.
        type: int
        required: true
      worker_maximum:
        description: Most workers that may ever run.
        type: int
        required: true
      pool_per_worker:
        description: Connections of the database that one worker opens at most.
        type: int
        required: true
      jobs_per_worker:
        description: Jobs that one worker works at at the same time.
        type: int
        default: 1
      database:
        description: Identifier of the RDS instance that the workers use.
        type: str
        required: true
      max_connections:
        description: C(max_connections) of that instance, where its parameter group has a formula instead of a number.
        type: int
      idempotent:
        description: Whether a job may run twice without harm, because its business key in the database decides.
        type: bool
        default: false
      oldest_s:
        description: Age of the oldest waiting job from which on it is an incident, in seconds at the pace of AWS.
        type: int
        required: true
      usual_job_ms:
        description: What a job usually takes, in milliseconds.
        type: int
        required: true
      provider_rate:
        description: Jobs a second that the provider behind the queue accepts; V(0) where there is no limit.
        type: int
        default: 0
      usual_concurrency:
        description: Global concurrency that stands on the queue when nothing is wrong; V(0) for none.
        type: int
        default: 0
      usual_rate:
        description: Global rate limit, in jobs a second, that stands on it when nothing is wrong; V(0) for none.
        type: int
        default: 0
      downstream_runbook:
        description: The runbook of what the jobs call, which alone may send again what failed. Empty for none.
        type: str
        default: ""
      circuit_flag:
        description: Key of the feature flag that stops what the jobs do on purpose; empty where there is none.
        type: str
        default: ""
"""

    # What a diagnosis has measured, for the sentences that a plan shows.
    FLOW = r"""
options:
  flow:
    description:
      - What the diagnosis has measured, as M(daily_emr.ops.queue_health) returns it in C(facts.flow).
      - A change only says from it what it will lead to; what it may do rests on what it reads itself.
    type: dict
    default: {}
    suboptions:
      depth:
        description: Jobs that wait.
        type: int
      arrivals:
        description: Jobs that arrive a second.
        type: float
      completions:
        description: Jobs that are done a second.
        type: float
      workers:
        description: Workers at the queue.
        type: int
      connections:
        description: Connections of the database in use.
        type: int
      usable_connections:
        description: Connections of the database that may be used.
        type: int
"""

    # What sends jobs again.
    RECONCILED = r"""
options:
  reconciled:
    description:
      - Whether it is known of each job that repeating it does no harm, although jobs of the queue may not run twice.
    type: bool
    default: false
"""

    # What a reading module takes beside the queue. Not named for the thresholds: Ansible would take that fragment.
    DIAGNOSIS = r"""
options:
  feature_flags:
    description: Where the feature flags of the application live; only needed where the queue has a C(circuit_flag).
    type: dict
    suboptions:
      api_url:
        description: Base URL of the LaunchDarkly REST API.
        type: str
      project:
        description: Key of the LaunchDarkly project.
        type: str
      environment:
        description: Key of the LaunchDarkly environment.
        type: str
  thresholds:
    description:
      - The numbers that turn a reading into a finding.
      - They have no defaults here; their home, with their reasons, is the defaults of the runbook's role.
    type: dict
    required: true
    suboptions:
      look_s:
        description: Seconds between the two looks, at the pace of AWS, but at least two real ones.
        type: int
        required: true
      drain_minutes:
        description: Minutes, at the pace of AWS, in which a backlog has to drain.
        type: int
        required: true
      deep_jobs:
        description: Waiting jobs below which a queue has no backlog.
        type: int
        required: true
      failed_percent:
        description: Share of the jobs, in percent, that may fail.
        type: int
        required: true
      class_failures:
        description: Failures of one class from which on they are an incident.
        type: int
        required: true
      burst_percent:
        description: By how many percent arrivals must exceed completions to be a burst.
        type: int
        required: true
      slow_factor:
        description: How many times longer than usual a job must take to be slow.
        type: int
        required: true
      connections_percent:
        description: Share of the connections of the database, in percent, above which it is at its limit.
        type: int
        required: true
      database_cpu_percent:
        description: CPU of the database, in percent, above which it is at its limit.
        type: int
        required: true
      memory_percent:
        description: Share of its memory, in percent, at which the server is full.
        type: int
        required: true
      engine_cpu_percent:
        description: CPU of the engine, in percent, above which the server is short of it.
        type: int
        required: true
      failover_recent_minutes:
        description: Minutes, at the pace of AWS, for which a failover of the replication group counts as a recent one.
        type: int
        required: true
      quiet_minutes:
        description: Minutes, at the pace of AWS, without a further failure after which a class has stopped failing.
        type: int
        required: true
"""
