# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: rules that a person lifts, one by one, with a reason. May change without notice.

"""Break-glass: for whoever is alone at night. It names each rule that it lifts and why, and is written down.

It lifts who has to approve, a closed calendar and a component's rest. It never lifts who acts, where, the plan as
contract, its budget, the lease, or the switch that stops everything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused

RULES = ("approvals", "cooldown", "freeze/CALENDAR")
# As narrow as every word that comes in: a reason is a ticket or a few words with dashes, and is shown as it is.
ENTRY = re.compile(r"(approvals|cooldown|freeze/[A-Za-z0-9._:/-]{1,200}):([A-Za-z0-9][A-Za-z0-9._/@-]{2,200})")


def lifted_rules(given: Iterable[Any]) -> dict[str, str]:
    """Rule -> reason. Raises Refused for what names no rule or has no reason; the value is not repeated."""
    rules = {}
    for number, text in enumerate(given, 1):
        # The name of a calendar may be an ARN, which has colons: the reason is behind the last one.
        found = ENTRY.fullmatch(str(text))
        if not found:
            raise Refused(
                f"Entry {number} of break_glass names no rule with a reason: write it as RULE:REASON, the rule one of "
                f"{', '.join(RULES)}, the reason one word such as a ticket number or words-with-dashes."
            )
        rules[found[1]] = found[2]
    return rules


def how_to_break(rule: str) -> str:
    """How a person who is alone goes on all the same: a sentence."""
    return (
        f"Alone, and it cannot wait? --break-glass {rule}:REASON (ansible-playbook: "
        f'-e \'{{"break_glass": ["{rule}:REASON"]}}\') lifts this rule, and is written into the record.'
    )


class BreakGlass:
    """What was lifted, and what of it was needed: only that is written down as broken."""

    def __init__(self, rules: Mapping[str, str]) -> None:
        self._rules = dict(rules)
        self.broken: dict[str, str] = {}

    def lifts(self, rule: str) -> bool:
        """Whether the rule, which says no, is lifted."""
        if rule not in self._rules:
            return False
        self.broken[rule] = self._rules[rule]
        return True
