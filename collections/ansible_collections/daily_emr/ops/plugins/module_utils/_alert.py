# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The alert that a run was started by: what of its file gets into the record. Everything here is pure."""

from __future__ import annotations

import json
import re
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused

LONGEST = 8192
_MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)"
# The form of each field. Its text is left out: what people wrote about an incident may name a patient.
FIELDS = {
    "source": r"alertmanager|pagerduty|cloudwatch",
    "name": r"[A-Za-z0-9][A-Za-z0-9 ._:/-]{0,199}",
    "component": r"[a-z0-9][a-z0-9-]{0,62}",
    "reference": r"[A-Za-z0-9 ._:/-]{0,500}",
    "started_at": _MOMENT,
    "received_at": _MOMENT,
}


def read_alert(text: str, component: str) -> dict[str, str]:
    """The fields of an alert for the record, from the text of its file. Raises Refused with what is wrong with it.

    component: the one that the run is about; an alert of another one does not belong here.
    """
    found: Any = None
    if len(text) <= LONGEST:
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            found = None
    if not isinstance(found, dict):
        raise Refused("The file of incident_alert holds no alert: give the one that the receiver of alerts wrote.")
    for name, form in FIELDS.items():
        if not (isinstance(found.get(name), str) and re.fullmatch(form, found[name], re.ASCII)):
            raise Refused(f"The {name} of the alert is missing or not plain: look at who sent it.")
    if found["component"] != component:
        raise Refused(f"The alert in incident_alert is about another component than {component}: correct --limit.")
    return {name: found[name] for name in FIELDS}
