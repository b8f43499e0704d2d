# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The options ``names`` and ``wanted``: where the checks look, and what they want to see."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  names:
    description: What to look at, by the names of the convention.
    type: dict
    required: true
    suboptions:
      prefix:
        description: What the names of the environment begin with.
        type: str
        required: true
      copy_region:
        description: Region that holds the copies.
        type: str
        required: true
      domain:
        description: Public name of the application, and of the sender of mail.
        type: str
        required: true
      organizational_unit:
        description: ARN of the organizational unit that the account is in; empty where nobody has filled it in.
        type: str
        required: true
      state_bucket:
        description: Bucket of the Terraform state; empty where nobody has filled it in.
        type: str
        required: true
      state_table:
        description: Lock table of the Terraform state; empty where nobody has filled it in.
        type: str
        required: true
      runbooks_table:
        description: Table of leases and journal.
        type: str
        required: true
      vpc:
        description: Tag Name of the VPC.
        type: str
        required: true
      database:
        description: Database instance.
        type: str
        required: true
      sessions:
        description: Replication group of the sessions.
        type: str
        required: true
      queues:
        description: Replication group of the queues.
        type: str
        required: true
      cluster:
        description: ECS cluster.
        type: str
        required: true
      service:
        description: ECS service of the application.
        type: str
        required: true
      workers:
        description: ECS services of the workers.
        type: list
        elements: str
        required: true
      load_balancer:
        description: Load balancer.
        type: str
        required: true
      repository:
        description: Repository of images.
        type: str
        required: true
      web_acl:
        description: Web ACL of the load balancer.
        type: str
        required: true
      secrets:
        description: Secrets that must be there.
        type: list
        elements: str
        required: true
      trail:
        description: Name or ARN of the trail.
        type: str
        required: true
      delivery_stream:
        description: Delivery stream of audit events.
        type: str
        required: true
      log_group_prefixes:
        description: What the names of log groups begin with.
        type: list
        elements: str
        required: true
      canary:
        description: Canary of CloudWatch Synthetics.
        type: str
        required: true
      dumps_bucket:
        description: Bucket of dumps, restore checks and rehearsals.
        type: str
        required: true
      restore_checks:
        description: Folder of the reports of restore checks in that bucket.
        type: str
        required: true
      buckets:
        description: Buckets with data of patients.
        type: list
        elements: str
        required: true
  wanted:
    description:
      - What the checks want to see.
      - The values have no defaults here; their home, with their reasons, is the defaults of the role C(readiness).
    type: dict
    required: true
    suboptions:
      allowed_regions:
        description: Regions in which anything may be done.
        type: list
        elements: str
        required: true
      required_controls:
        description: ARNs of the controls of Control Tower that must be enabled.
        type: list
        elements: str
        required: true
      min_zones:
        description: Availability zones that subnets, NAT gateways, tasks and replicas must cover.
        type: int
        required: true
      endpoints:
        description: Services that need an endpoint inside the VPC.
        type: list
        elements: str
        required: true
      analysis_days:
        description: Days that an analysis of a network path counts.
        type: int
        required: true
      payer_allow_list:
        description: Public addresses that the payer has on its allow list.
        type: list
        elements: str
        required: true
      database_class:
        description: Class of the database instance.
        type: str
        required: true
      database_backup_days:
        description: Days that automated backups are kept.
        type: int
        required: true
      database_restorable_minutes:
        description: Minutes that the latest restorable time may lag.
        type: int
        required: true
      database_minor_upgrades:
        description: Whether minor versions are installed automatically.
        type: bool
        required: true
      database_growth_percent:
        description: Percent by which storage may at least grow.
        type: int
        required: true
      database_log_exports:
        description: Logs that must go to CloudWatch.
        type: list
        elements: str
        required: true
      certificate_days:
        description: Days that a certificate must still be valid.
        type: int
        required: true
      snapshot_days:
        description: Days that snapshots of the caches are kept.
        type: int
        required: true
      min_tasks:
        description: Tasks that the application must have at least.
        type: int
        required: true
      min_healthy_percent:
        description: Percent of the tasks that stay healthy during a deployment.
        type: int
        required: true
      canary_percent:
        description: Percent of the traffic that a release takes first.
        type: int
        required: true
      canary_minutes:
        description: Minutes before a release takes all traffic.
        type: int
        required: true
      cpu_target:
        description: Percent of CPU that scaling aims at.
        type: int
        required: true
      stop_timeout_s:
        description: Seconds that a container gets to stop.
        type: int
        required: true
      kept_images:
        description: Images that the lifecycle policy must keep.
        type: int
        required: true
      secret_days:
        description: Age in days of a secret that does not rotate by itself.
        type: int
        required: true
      trail_minutes:
        description: Minutes since the trail was last delivered.
        type: int
        required: true
      log_days:
        description: Days that logs are kept.
        type: int
        required: true
      required_alarms:
        description: Alarms that must exist.
        type: list
        elements: str
        required: true
      canary_minutes_ago:
        description: Minutes since the last run of the canary.
        type: int
        required: true
      dump_hours:
        description: Age in hours of the newest dump.
        type: int
        required: true
      dump_size_percent:
        description: Percent by which the newest dump may differ from the median of the week.
        type: int
        required: true
      restore_check_days:
        description: Days since the last restore check.
        type: int
        required: true
      lock_days:
        description: Days that object lock keeps a dump.
        type: int
        required: true
      rehearsal_days:
        description: Days that a rehearsal counts.
        type: int
        required: true
      rto_minutes:
        description: Minutes in which it must be done.
        type: int
        required: true
      rpo_minutes:
        description: Minutes of data that may be lost by it.
        type: int
        required: true
      runbooks:
        description: Runbooks that must have been rehearsed.
        type: list
        elements: str
        required: true
      session_minutes:
        description: Minutes that a session of a runbook role may last.
        type: int
        required: true
      quota_times:
        description: How many times what is needed a quota must be.
        type: int
        required: true
      needed_vcpus:
        description: Fargate vCPUs at the highest scale.
        type: int
        required: true
      needed_databases:
        description: Database instances in one Region.
        type: int
        required: true
      needed_addresses:
        description: Elastic IP addresses in one Region.
        type: int
        required: true
"""
