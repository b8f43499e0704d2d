#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: step_probe
short_description: Find out how steps ended that nobody saw the end of
version_added: 0.1.0
description:
  - Looks at what the steps in doubt were about, and says of each whether it was done, was not done, or that nobody can
    say. The steps are those that M(daily_emr.ops.incident) found when it opened the incident.
  - Reads only. A lease that a dead run has kept is watched for its whole length first, so that the dead run can send
    nothing more.
  - Refuses, with what was, what was intended and what is, when nobody can say. A person looks then, and answers.
  - What it saw is journalled, so that no later run asks again.
author:
  - Daily EMR operations (@daily-emr)
options:
  answer:
    description: What a person saw of the one step that nobody could say the end of.
    type: str
    choices: ["", done, not_done]
    default: ""
  options:
    description:
      - The components of the inventory that a step may be about, a list for each option that takes one. What the
        inventory says of a component counts more than what the journal says.
    type: dict
    default: {}
attributes:
  check_mode:
    description: Looks as ever, waits for no lease, and what it sees settles nothing.
    support: full
  diff_mode:
    description: Changes nothing, so there is nothing to show.
    support: none
extends_documentation_fragment:
  - daily_emr.ops.common
"""

EXAMPLES = r"""
- name: Find out how the step ended that the last run did not see the end of
  daily_emr.ops.step_probe:
    environment: "{{ emr_environment }}"
    incident: "{{ opened.incident }}"
    options:
      service: ["{{ web_service }}"]
  when: opened.in_doubt | length > 0
"""

RETURN = r"""
probed:
  description: What was seen of each step; O(ignore:word) is V(done), V(not_done) or V(ambiguous).
  returned: success
  type: list
  elements: dict
  sample: [{"step": "feature_flag", "target": "flag/emr/staging/new-chart", "word": "done"}]
done:
  description: Steps of this incident that were found to be done.
  returned: success
  type: list
  elements: dict
  sample: [{"run": "20261122-013000-77c1", "seq": 9, "step": "feature_flag", "target": "flag/emr/staging/new-chart"}]
msg:
  description: What was seen, in words.
  returned: always
  type: str
  sample: "feature_flag on flag/emr/staging/new-chart, in doubt since run 20261122-013000-77c1, was done."
"""

from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import (
    COMMON_SPEC,
    Context,
    Entry,
    Params,
    connect,
    run_module,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._probing import Probing

ARGUMENT_SPEC: dict[str, Any] = {
    "answer": {"type": "str", "choices": ["", "done", "not_done"], "default": ""},
    "options": {"type": "dict", "default": {}},
    **COMMON_SPEC,
}


def run(params: Params, context: Context) -> dict[str, Any]:
    # What the inventory says is looked at option by option, when a step takes it.
    clients, session = connect({**params, "options": None})
    if session is None:
        raise Refused("There is no open incident to look back from: run the runbook from its start.")
    clients.prove()
    probing = Probing(clients, session, params, check_mode=context.check_mode, progress=context.progress)
    return {"changed": False, **probing.run()}


ENTRY = Entry(ARGUMENT_SPEC, run)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
