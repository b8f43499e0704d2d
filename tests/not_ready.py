"""What of launch readiness an environment that was just built leaves open, and who has to close it."""

from __future__ import annotations

OF_THE_ORGANIZATION = {
    # Control Tower, the organization's policies and its trail, and what its security account switches on.
    "account.landing_zone", "account.controls", "account.service_control_policies", "account.region_deny",
    "account.root_mfa", "account.access_analyzer", "account.guardduty", "account.security_hub", "account.regions",
    "audit.trail",
}  # fmt: skip
OF_PEOPLE = {
    # Values of secrets, the address of who is on call, the payer's list, who may reach the load balancer, quotas.
    "secrets.present", "observability.heard", "network.nat_addresses", "network.reachability",
    "edge.origin_ingress",
    "messaging.sender", "messaging.out_of_sandbox",
    "capacity.fargate", "capacity.database", "capacity.addresses",
}  # fmt: skip
OF_A_RELEASE = {"service.tasks", "service.workers", "service.zones", "service.image_digest", "registry.findings"}
OF_A_RELEASE |= {"registry.rollback"}
OF_TRAFFIC = {
    # A dump, a restore, a rehearsal, a run of the canary, an event of the audit.
    "backups.fresh", "backups.size", "backups.sealed", "backups.copied", "backups.restored",
    "rehearsals.region_failover", "rehearsals.runbooks", "observability.canary", "audit.delivered",
}  # fmt: skip
LEFT = OF_THE_ORGANIZATION | OF_PEOPLE | OF_A_RELEASE | OF_TRAFFIC
