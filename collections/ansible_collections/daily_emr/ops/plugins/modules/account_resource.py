#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: account_resource
short_description: Have a part of an environment that no module of amazon.aws or community.aws can make
version_added: 0.1.0
description:
  - Makes it with one call when it is not there, and changes it with one call when it is not as described.
  - Never removes anything, and refuses what would lose data.
  - The documentation of the role that uses a kind says why there is no other module for it.
author:
  - Daily EMR operations (@daily-emr)
options:
  builder_role_pattern:
    description: Regular expression of the roles that may build the environment.
    type: str
    required: true
  kind:
    description: What it is.
    type: str
    required: true
    choices:
      - address_set
      - address_tags
      - alarm_health_check
      - balancer_zonal_shift
      - bucket
      - bucket_access
      - bucket_encryption
      - bucket_lock
      - bucket_ownership
      - bucket_policy
      - bucket_replication
      - bucket_tags
      - bucket_versions
      - cache_login
      - cache_parameter_group
      - cache_parameters
      - cache_subnets
      - cache_user
      - cache_user_group
      - canary
      - canary_run
      - cluster
      - container_service
      - dashboard
      - database_instance
      - database_parameters
      - database_replica
      - database_tags
      - delivery_stream
      - distribution
      - event_subscription
      - flow_log
      - image_lifecycle
      - image_replication
      - image_repository
      - image_scanning
      - listener_rule
      - log_delivery
      - log_destination
      - log_retention
      - log_source
      - mail_identity
      - origin_rule
      - ratio_alarm
      - replication_group
      - scalable_target
      - scaling_policy
      - search_domain
      - secret_value
      - table_protection
      - table_recovery
      - targets_alarm
      - task_definition
      - topic
      - web_acl
      - web_acl_association
      - web_acl_log
  name:
    description: The name that it has, or the name of what it is a part of.
    type: str
    required: true
  settings:
    description: How it should be; which settings a kind has stands in C(module_utils/_resources*.py).
    type: dict
    default: {}
  tags:
    description: Tags that it gets when it is made.
    type: dict
    default: {}
  state:
    description:
      - V(present) makes or changes it.
      - V(adopted) only verifies, because somebody else owns it; a difference is an error.
    type: str
    choices: [present, adopted]
    default: present
attributes:
  check_mode:
    description: Reports what would be made or changed.
    support: full
  diff_mode:
    description: Shows the compared settings before and after.
    support: full
extends_documentation_fragment:
  - daily_emr.ops.common
"""

EXAMPLES = r"""
- name: Have the table of the runbooks protected
  daily_emr.ops.account_resource:
    environment: "{{ emr_environment }}"
    builder_role_pattern: "{{ emr_builder_role_pattern }}"
    kind: table_protection
    name: "{{ emr_environment.table }}"
"""

RETURN = r"""
outcome:
  description: How the change ended, one of V(ok), V(planned), V(noop), V(refused), V(failed), V(unknown).
  returned: always
  type: str
  sample: ok
target:
  description: What the change is about.
  returned: always
  type: str
  sample: table_protection/daily-emr-staging-runbooks
"""

from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.daily_emr.ops.plugins.module_utils._account import builder_clients, builder_environment
from ansible_collections.daily_emr.ops.plugins.module_utils._changes import execute_change
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import (
    COMMON_SPEC,
    Context,
    Entry,
    Params,
    run_module,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._resources import KINDS as OTHER_KINDS
from ansible_collections.daily_emr.ops.plugins.module_utils._resources_audit import AUDIT_KINDS
from ansible_collections.daily_emr.ops.plugins.module_utils._resources_balancer import BALANCER_KINDS
from ansible_collections.daily_emr.ops.plugins.module_utils._resources_buckets import BUCKET_KINDS
from ansible_collections.daily_emr.ops.plugins.module_utils._resources_canary import CANARY_KINDS
from ansible_collections.daily_emr.ops.plugins.module_utils._resources_dashboard import DASHBOARD_KINDS
from ansible_collections.daily_emr.ops.plugins.module_utils._resources_edge import EDGE_KINDS
from ansible_collections.daily_emr.ops.plugins.module_utils._resources_login import LOGIN_KINDS
from ansible_collections.daily_emr.ops.plugins.module_utils._resources_recovery import RECOVERY_KINDS

KINDS = (
    OTHER_KINDS
    | BUCKET_KINDS
    | CANARY_KINDS
    | BALANCER_KINDS
    | EDGE_KINDS
    | AUDIT_KINDS
    | LOGIN_KINDS
    | DASHBOARD_KINDS
    | RECOVERY_KINDS
)

SPEC: dict[str, Any] = {
    "builder_role_pattern": {"type": "str", "required": True},
    "kind": {"type": "str", "required": True, "choices": sorted(KINDS)},
    "name": {"type": "str", "required": True},
    "settings": {"type": "dict", "default": {}},
    "tags": {"type": "dict", "default": {}},
    "state": {"type": "str", "choices": ["present", "adopted"], "default": "present"},
}


def run(params: Params, context: Context) -> dict[str, Any]:
    kind = KINDS[params["kind"]]
    checked = ArgumentSpecValidator(kind.spec).validate(params["settings"] or {})
    if checked.error_messages:
        raise Refused(f"The settings of the {kind.name} are not right: {'; '.join(checked.error_messages)}.")
    adopted = params["state"] == "adopted"
    clients = builder_clients(builder_environment(params["environment"], params["builder_role_pattern"]))
    change = kind({**params, "settings": checked.validated_parameters}, clients)
    result = execute_change(change, clients, None, check_mode=context.check_mode or adopted)
    if adopted and result["changed"]:
        sentence = f"{change.target} is not as this inventory wants it, and somebody else owns it (state adopted)."
        return {**result, "changed": False, "failed": True, "msg": sentence}
    return result


ENTRY = Entry({**SPEC, **COMMON_SPEC}, run)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
