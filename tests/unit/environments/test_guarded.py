"""Modules of other collections in the Ansible worker itself."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible.module_utils import basic
from ansible_collections.daily_emr.ops.plugins.plugin_utils import guarded


def test_a_module_says_in_the_worker_what_it_says_as_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """With every supported version of ansible-core, each of which has another inside for results."""
    monkeypatch.setattr(basic.AnsibleModule, "_record_module_result", basic.AnsibleModule._record_module_result)
    monkeypatch.setattr(guarded, "_share_models", lambda: None)
    action = guarded.ActionModule.__new__(guarded.ActionModule)
    action._task = SimpleNamespace(args={"state": "absent"})
    action._update_module_args = lambda *_arguments: None
    result = action._perform("community.general.sudoers", {})
    assert (result["failed"], result["msg"]) == (True, "missing required arguments: name")
