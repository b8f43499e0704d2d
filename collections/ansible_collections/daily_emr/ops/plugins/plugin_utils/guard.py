# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Judges the extra vars of a run against what the roles of its play declare. Used by every action and by the gate."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.utils.vars import load_extra_vars
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._inputs import input_refusals

LIFE_CYCLE_ROLE = "incident"


def refuse_inputs(loader: DataLoader, project: Path, roles: Iterable[str]) -> None:
    """Raise Refused, with one sentence for each fault, unless all extra vars are declared and plain.

    Ansible has parsed the extra vars when it started and not yet used them as templates; nothing here does.
    """
    given = load_extra_vars(loader)
    if not given:
        return
    reasons = input_refusals(given, declared_options(project, {LIFE_CYCLE_ROLE, *roles}))
    if reasons:
        raise Refused(*reasons)


def given_inputs(loader: DataLoader, project: Path, roles: Iterable[str]) -> dict[str, Any]:
    """The extra vars that are declared inputs, as plain data; those that controllers add are none."""
    given = load_extra_vars(loader)
    if not given:
        return {}
    declared = declared_options(project, {LIFE_CYCLE_ROLE, *roles})
    plain: dict[str, Any] = json.loads(json.dumps({name: given[name] for name in declared if name in given}))
    return plain


def declared_options(project: Path, roles: Iterable[str]) -> dict[str, Mapping[str, Any]]:
    """The options in the main argument specs of the project's roles of these names."""
    options: dict[str, Mapping[str, Any]] = {}
    for role in sorted(roles):
        for path in (
            project / "roles" / role / "meta" / name for name in ("argument_specs.yml", "argument_specs.yaml")
        ):
            if path.is_file():
                specs = yaml.safe_load(path.read_text(encoding="utf-8")).get("argument_specs", {})
                options |= specs.get("main", {}).get("options", {})
    return options
