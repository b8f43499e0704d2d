#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: undo_verified
short_description: Verify that what an incident has done was taken back
version_added: 0.1.0
description:
  - Looks afresh at what every step was about that was taken back, and names what nothing can take back.
  - What cannot be read is not taken back.
author:
  - Daily EMR operations (@daily-emr)
options:
  components:
    description:
      - The components of the inventory that a step may be about, a list for each option that takes one. What the
        inventory says of a component counts more than what the journal says.
    type: dict
    default: {}
attributes:
  check_mode:
    description: Does in check mode exactly what it does without.
    support: full
  diff_mode:
    description: Changes nothing, so there is nothing to show.
    support: none
extends_documentation_fragment:
  - daily_emr.ops.common
"""

EXAMPLES = r"""
- name: Verify that everything is as it was
  daily_emr.ops.undo_verified:
    environment: "{{ emr_environment }}"
    incident: "{{ lease.incident }}"
    components:
      service: ["{{ web_service }}"]
"""

RETURN = r"""
verified:
  description: Whether everything that can be taken back is as it was; leaves it open when nobody can tell.
  returned: success
  type: bool
  sample: true
failing:
  description: What is not as it was, or cannot be read.
  returned: success
  type: list
  elements: str
  sample: []
sentence:
  description: The result in a sentence.
  returned: success
  type: str
  sample: Everything that can be taken back is as it was.
reached:
  description: What was reached, with what nothing can take back.
  returned: success
  type: str
  sample: "everything of INC-7 that can be taken back is as it was: feature_flag on flag/emr/staging/new-chart"
"""

from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import (
    Params,
    Progress,
    read_entry,
    run_module,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._undo import verified
from ansible_collections.daily_emr.ops.plugins.module_utils._undoing import COMPONENTS_SPEC, opened


def verify(params: Params, _clients: Clients, _progress: Progress) -> dict[str, Any]:
    return verified(opened(params))


ENTRY = read_entry(COMPONENTS_SPEC, verify)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
