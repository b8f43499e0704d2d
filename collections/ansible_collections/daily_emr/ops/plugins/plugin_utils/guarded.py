# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Runs modules of amazon.aws and community.aws behind our identity guard, in the Ansible worker itself.

Their modules act on whatever account the ambient credentials are for. As the `normal` action of the folder playbooks/
this proves account, role, region and fingerprint first, in the same process and right before the module, so that
neither --start-at-task nor --tags can go around it. The module is the collection's own, unchanged; it runs in the
worker, as ansible.netcommon does it, which saves the start of a Python and the import of boto3 for each item of a loop.

Where a role says `emr_state: adopted` for its block, the module only verifies: it runs in check mode, and a difference
is an error. Modules of awx.awx change a controller and no account, so they only run in the worker; those of other
collections run as they always do.
"""

from __future__ import annotations

import gc
import json
from functools import lru_cache
from importlib import import_module
from typing import Any

from ansible.module_utils import basic
from ansible.module_utils.common import json as profiles
from ansible.plugins.action import ActionBase
from ansible_collections.daily_emr.ops.plugins.module_utils._account import (
    builder_clients,
    builder_environment,
    surround,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._changes import where
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError, Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import failure

try:
    import botocore.session
except ImportError:  # only where plugins are imported without boto3, as ansible-test does; Clients refuses to start
    botocore = None  # type: ignore[assignment]

COLLECTIONS = ("amazon.aws.", "community.aws.")
UNGUARDED = "awx.awx."
PROFILE = "legacy"
ADOPTED = "adopted"
# Used by most tasks, or so big that reading it takes longer than the calls of a task.
MODULES = ("amazon.aws.plugins.modules.ec2_vpc_subnet",)
SERVICES = ("ec2", "iam", "s3", "sts", "ssm")


class ActionModule(ActionBase):  # type: ignore[misc]
    """The action of every module that has none of its own."""

    _supports_check_mode = True
    _supports_async = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        variables = task_vars or {}
        name = str(self._task.resolved_action or self._task.action)
        result: dict[str, Any] = super().run(tmp, variables)
        del tmp
        if name.startswith(UNGUARDED) and self._is_local():
            return {**result, **self._perform(name, variables)}
        if not name.startswith(COLLECTIONS):
            waits = bool(self._task.async_val)
            return {**result, **self._execute_module(task_vars=variables, wrap_async=waits)}
        try:
            if not self._is_local():
                raise Refused(f"{name} only runs on the controller itself: use a local connection, without become.")
            adopted = self._value("emr_state", variables) == ADOPTED
            environment = builder_environment(
                self._value("emr_environment", variables) or {}, self._value("emr_builder_role_pattern", variables)
            )
            builder_clients(environment).prove()
        except OpsError as error:
            return {**result, **failure(error)}
        surround(environment)
        if adopted:
            self._task.check_mode = True
        done = self._perform(name, variables)
        return {**result, **(judged(done, name) if adopted else done)}

    def _is_local(self) -> bool:
        return self._connection.transport in ("local", "ansible.builtin.local") and not self._play_context.become

    def _value(self, name: str, variables: dict[str, Any]) -> Any:
        return self._templar.resolve_variable_expression(name) if name in variables else None

    def _perform(self, name: str, variables: dict[str, Any]) -> dict[str, Any]:
        """The work of the collection's module, with the arguments that it would get as a process."""
        arguments = dict(self._task.args)
        self._update_module_args(name, arguments, variables)
        encoder = profiles.get_module_encoder(PROFILE, profiles.Direction.CONTROLLER_TO_MODULE)
        basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": arguments}, cls=encoder).encode()
        basic._ANSIBLE_PROFILE = PROFILE
        recorded: list[str] = []
        basic.AnsibleModule._record_module_result = lambda _self, result: recorded.append(_encoded(result))
        _share_models()
        collection, module = name.rsplit(".", 1)
        try:
            import_module(f"ansible_collections.{collection}.plugins.modules.{module}").main()
        except SystemExit:
            pass
        except Exception as error:  # noqa: BLE001  # of the collection's module: its text could hold values
            return {"failed": True, "changed": False, "msg": f"{name} broke: {where(error)}."}
        if not recorded:
            return {"failed": True, "changed": False, "msg": f"{name} ended without a result."}
        decoder = profiles.get_module_decoder(PROFILE, profiles.Direction.MODULE_TO_CONTROLLER)
        return dict(json.loads(recorded[-1], cls=decoder))


def judged(done: dict[str, Any], name: str) -> dict[str, Any]:
    """The result of a task whose resource belongs to somebody else: a difference is an error, and nothing was done."""
    if done.get("failed") or not done.get("changed"):
        return done
    return {
        **done,
        "failed": True,
        "changed": False,
        "msg": f"What {name.rpartition('.')[2]} looks at is not as this inventory wants it, and the role is told that "
        "somebody else owns it (state adopted): change it where it is defined, or correct the inventory.",
    }


def _encoded(result: dict[str, Any]) -> str:
    return json.dumps(result, cls=profiles.get_module_encoder(PROFILE, profiles.Direction.MODULE_TO_CONTROLLER))


@lru_cache(maxsize=1)
def _loader() -> Any:
    return botocore.session.Session().get_component("data_loader")


def _share_models() -> None:
    """Modules make a session for each client; the models of the services are the same in all of them."""
    loader = _loader()
    botocore.session.create_loader = lambda *_path: loader


def preload() -> None:
    """Load in the process that workers are forked from what each of their tasks needs; calls nobody."""
    if botocore is None:
        return
    _share_models()
    for name in MODULES:
        import_module(f"ansible_collections.{name}")
    for service in SERVICES:
        for kind in ("service-2", "endpoint-rule-set-1"):
            _loader().load_service_model(service, kind)
    gc.collect()
    gc.freeze()
