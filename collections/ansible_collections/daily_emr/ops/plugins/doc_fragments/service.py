# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The option ``service``, the same for all modules of a web service."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  service:
    description:
      - The web service, as the inventory variable C(web_service) describes it.
      - Every module takes the whole variable, so that a step and its inverse name the same service.
    type: dict
    required: true
    suboptions:
      component:
        required: true
        description: Name of the component, which is also its inventory host.
        type: str
      cluster:
        required: true
        description: Name of the ECS cluster.
        type: str
      service:
        required: true
        description: Name of the ECS service.
        type: str
      load_balancer:
        required: true
        description: Name of the Application Load Balancer.
        type: str
      target_group:
        required: true
        description: Name of the target group the tasks are registered in.
        type: str
      alternate_target_group:
        description:
          - Name of the other target group, where ECS deploys with a canary. Each release takes the one that is free, so
            either may be the one that carries the traffic.
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
        required: true
        description: Name of the ECR repository of the image.
        type: str
      log_group:
        description:
          - Name of the CloudWatch log group with one JSON object for each request. C(route) is a template, C(tenant) a
            hash; nothing in it names a patient.
        type: str
      web_acl:
        required: true
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
        required: true
        description: Identifier of the RDS instance.
        type: str
      cache:
        required: true
        description: Identifier of the ElastiCache replication group of the sessions.
        type: str
      secrets:
        description: Names of the secrets the tasks get when they start. Their values are never read.
        type: list
        elements: str
        default: []
      probes:
        required: true
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
        required: true
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
