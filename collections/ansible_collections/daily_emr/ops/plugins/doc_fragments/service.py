# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The option ``service``: one text for all modules; each names what it needs (``daily_emr.ops.service.release``)."""

from __future__ import annotations

_TEXT = """
options:
  service:
    description:
      - The web service, as the inventory variable C(web_service) describes it.
      - The whole variable is accepted; each module requires only what it uses.
    type: dict
    required: true
    suboptions:
      component:
        description: Name of the component, which is also its inventory host.
        type: str
      cluster:
        description: Name of the ECS cluster.
        type: str
      service:
        description: Name of the ECS service.
        type: str
      load_balancer:
        description: Name of the Application Load Balancer.
        type: str
      target_group:
        description: Name of the target group the tasks are registered in.
        type: str
      container:
        description: Name of the application's container in the task definition.
        type: str
        default: web
      port:
        description: Port the container listens on.
        type: int
        default: 8080
      repository:
        description: Name of the ECR repository of the image.
        type: str
      web_acl:
        description: The web ACL in front of the load balancer.
        type: dict
        suboptions:
          name:
            description: Name of the web ACL.
            type: str
          scope:
            description: Scope of the web ACL.
            type: str
            default: REGIONAL
      database:
        description: Identifier of the RDS instance.
        type: str
      cache:
        description: Identifier of the ElastiCache replication group of the sessions.
        type: str
      secrets:
        description: Names of the secrets the tasks get when they start. Their values are never read.
        type: list
        elements: str
        default: []
      probes:
        description: Where and how to probe the service over HTTP.
        type: dict
        suboptions:
          edge_url:
            description: URL users come in by.
            type: str
          balancer_url:
            description: URL of the load balancer.
            type: str
          host:
            description: Value of the Host header at the load balancer and at a task.
            type: str
          timeout_s:
            description: Seconds one probe may take.
            type: float
            default: 3.0
      feature_flags:
        description: Where the feature flags of the service live.
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
"""


def _requiring(*names: str) -> str:
    """The text with ``component`` and the named suboptions marked as required."""
    text = _TEXT
    for name in ("component", *names):
        head = f"      {name}:\n"
        if text.count(head) != 1:
            raise ValueError(f"The option service has no suboption {name}.")
        text = text.replace(head, f"{head}        required: true\n")
    return text


class ModuleDocFragment:
    DOCUMENTATION = _requiring()
    COUNT = _requiring("cluster", "service")
    FLAG = _requiring("feature_flags")
    HEALTH = _requiring(
        "cluster",
        "service",
        "load_balancer",
        "target_group",
        "repository",
        "web_acl",
        "database",
        "cache",
        "probes",
        "feature_flags",
    )
    RELEASE = _requiring("cluster", "service", "repository", "database")
    SCALING = _requiring("cluster", "service", "database", "cache")
    TASKS = _requiring("cluster", "service", "repository", "database", "cache")
    WAF = _requiring("web_acl")
    ZONE = _requiring("cluster", "service", "load_balancer", "target_group", "database")
