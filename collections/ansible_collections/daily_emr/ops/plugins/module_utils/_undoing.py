# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the three modules that take an incident's steps back share: their option, and the incident that is open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import connect
from ansible_collections.daily_emr.ops.plugins.module_utils._undo import Undoing

COMPONENTS_SPEC: dict[str, Any] = {"components": {"type": "dict", "default": {}}}


def opened(params: Mapping[str, Any]) -> Undoing:
    """The open incident of a run, proven to be in its environment. Raises Refused when none is open."""
    clients, session = connect({**params, "components": None})
    if session is None:
        raise Refused("There is no open incident to take back: run playbooks/undo.yml from its start.")
    clients.prove()
    return Undoing(clients, session, params["components"])
