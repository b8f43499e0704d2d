# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""An event filter of ansible-rulebook: what enters the rules is a handful of plain words, whatever the source is."""

from __future__ import annotations

import re
from typing import Any

DOCUMENTATION = r"""
---
short_description: Let nothing but plain words in.
description:
  - ansible-rulebook hands the whole event to Ansible as an extra var, and Ansible executes extra vars as templates. So
    an event is built anew here, of five words of a narrow alphabet, and dropped when one of them is missing or is none.
"""

EXAMPLES = r"""
- daily_emr.ops.alerts:
    port: 5000
  filters:
    - daily_emr.ops.plain_words:
"""

WORDS = {
    "runbook": r"[a-z][a-z0-9_]{0,63}",
    # A host of the inventory: never a pattern.
    "component": r"(?!all$|ungrouped$|localhost$)[a-z0-9][a-z0-9-]{0,62}",
    "environment": r"[a-z][a-z0-9_]{0,31}",
    "incident": r"INC-[A-Za-z0-9-]{1,60}",
    "file": r"/[A-Za-z0-9._/-]{1,254}",
}


def main(event: dict[str, Any]) -> dict[str, Any] | list[dict[str, Any]]:
    """The five words of an event, or no event."""
    alert = event.get("alert")
    words = {name: alert.get(name) if isinstance(alert, dict) else None for name in WORDS}
    if not all(isinstance(word, str) and re.fullmatch(WORDS[name], word, re.ASCII) for name, word in words.items()):
        return []
    return {"alert": words}
