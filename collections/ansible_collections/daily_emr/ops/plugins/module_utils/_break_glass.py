# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: rules that a person lifts, one by one, with a reason. May change without notice.

"""Break-glass: for whoever is alone at night. It names each rule that it lifts and why, and is written down.

It lifts who has to approve, a closed calendar, a component's rest, and the table of the leases where that gives no
answer. It never lifts who acts, where, the plan as contract, its budget, or what the table does say: a lease that
somebody holds, a switch that stops everything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused

LEASE_TABLE = "lease_table"
RULES = ("approvals", "cooldown", "freeze/CALENDAR", LEASE_TABLE)
# Where one person may go on without the table. Everywhere else that takes a second person, and what proves a second
# person stands in the same table: an environment that is not named here is as strict as production.
WITHOUT_TABLE = frozenset({"sandbox", "development", "staging"})
# As narrow as every word that comes in: a reason is a ticket or a few words with dashes, and is shown as it is.
ENTRY = re.compile(
    r"(approvals|cooldown|lease_table|freeze/[A-Za-z0-9._:/-]{1,200}):([A-Za-z0-9][A-Za-z0-9._/@-]{2,200})"
)


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


def how_without_table(environment: str) -> str:
    """How a person goes on whom the table of the leases gives no answer: a sentence."""
    if environment in WITHOUT_TABLE:
        return how_to_break(LEASE_TABLE)
    return (
        f"There is no glass to break for it in {environment}: to go on without it takes a second person, and what "
        "proves one stands in that table. Mend the way to DynamoDB; what cannot wait is done by hand, by two people."
    )


class BreakGlass:
    """What was lifted, and what of it was needed: only that is written down as broken.

    environment: its name, once the fingerprint has proven it.
    """

    def __init__(self, rules: Mapping[str, str], environment: str) -> None:
        self._rules, self._environment = dict(rules), environment
        self.broken: dict[str, str] = {}

    def lifts(self, rule: str) -> bool:
        """Whether the rule, which says no, is lifted."""
        if rule not in self._rules or (rule == LEASE_TABLE and self._environment not in WITHOUT_TABLE):
            return False
        self.broken[rule] = self._rules[rule]
        return True
