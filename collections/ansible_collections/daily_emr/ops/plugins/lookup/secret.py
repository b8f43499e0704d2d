# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

# ruff: noqa: E402  # documentation first, as Ansible wants it

from __future__ import annotations

DOCUMENTATION = r"""
name: secret
short_description: The value of a secret, from the backend that the inventory names
version_added: 0.3.0
description:
  - Reads a secret from AWS Secrets Manager, from HashiCorp Vault or from a file of SOPS. Whoever uses it does not
    know which one it is.
  - The value is only handed to a task with C(no_log=true), and never to one that would keep or show it
    (M(ansible.builtin.set_fact), M(ansible.builtin.debug), an C(environment) with a template, C(async), the name of
    a task).
  - Whatever that task sends back, such as its result, its errors and its verbose lines, has the value, the
    password in its URL and the texts in its JSON replaced by three stars. A registered result holds stars, too.
  - An error says in one sentence what is wrong and what to do; it never holds a value or the words of a backend.
author:
  - Daily EMR operations (@daily-emr)
options:
  _terms:
    description: Names of keys, such as V(SHA_API_KEY), without the prefix of the environment.
    type: list
    elements: str
    required: true
  field:
    description: The field to take out of a value that is a JSON object. Without it the whole value is returned.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Give the application's role its password
  community.postgresql.postgresql_user:
    name: emr_application
    password: "{{ lookup('daily_emr.ops.secret', 'DATABASE_PASSWORD') }}"
  no_log: true
"""

RETURN = r"""
_raw:
  description: The values, in the order of the names. They are no templates, whatever they hold.
  type: list
  elements: str
"""

import json
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.lookup import LookupBase
from ansible_collections.daily_emr.ops.plugins.module_utils._changes import where
from ansible_collections.daily_emr.ops.plugins.module_utils._environment import Environment
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError, Refused
from ansible_collections.daily_emr.ops.plugins.plugin_utils.quiet import say
from ansible_collections.daily_emr.ops.plugins.plugin_utils.secrecy import current_task, hand_out, refusal
from ansible_collections.daily_emr.ops.plugins.plugin_utils.secret_stores import NAME, SETTINGS, open_store


class LookupModule(LookupBase):  # type: ignore[misc]
    """Checks who asks, opens the store of the inventory, and hands the value out."""

    def run(self, terms: list[Any], variables: Mapping[str, Any] | None = None, **kwargs: Any) -> list[str]:
        self.set_options(var_options=variables, direct=kwargs)
        try:
            return [self._value(str(term), variables or {}) for term in terms]
        except OpsError as error:
            say(error.sentence)  # the task has no_log, which would hide the reason too
            raise AnsibleError(error.sentence) from None
        except AnsibleError:
            raise
        except Exception as error:  # noqa: BLE001  # what an error of our own says may hold a value
            raise AnsibleError(f"internal error in daily_emr.ops.secret: {where(error)}.") from None

    def _value(self, name: str, variables: Mapping[str, Any]) -> str:
        if not NAME.fullmatch(name):
            raise Refused("The name of a secret is in capitals, such as SHA_API_KEY: correct it.")
        # Before anybody is asked: a value that is not handed out is not read either.
        if why := refusal(current_task()):
            raise Refused(f"The secret {name} is not handed out, because {why}.")
        environment = Environment.from_params(self._variable(variables, "emr_environment"))
        store = open_store(self._settings(variables), environment, str(self._variable(variables, "emr_secret_prefix")))
        return hand_out(name, self._field(name, store.held(name).secret.reveal()))

    def _field(self, name: str, value: str) -> str:
        field = self.get_option("field")
        if not field:
            return value
        hand_out(name, value)
        try:
            found = json.loads(value)[field]
        except (ValueError, KeyError, TypeError):
            raise Refused(f"The secret {name} is not a JSON object with a field {field}: look at its shape.") from None
        return str(found)

    def _settings(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        given = self._variable(variables, "emr_secrets", {})
        checked = ArgumentSpecValidator(SETTINGS).validate(dict(given))
        if checked.error_messages:
            raise Refused(f"emr_secrets is not right: {'; '.join(checked.error_messages)}.")
        found: dict[str, Any] = checked.validated_parameters
        return found

    def _variable(self, variables: Mapping[str, Any], name: str, default: Any = None) -> Any:
        if name not in variables:
            if default is None:
                raise Refused(f"{name} is not set: run with one of the inventories.")
            return default
        return self._templar.template(variables[name])
