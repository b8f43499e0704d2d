# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

# ruff: noqa: E402  # documentation first, as Ansible wants it

from __future__ import annotations

DOCUMENTATION = r"""
name: quiet
type: aggregate
short_description: Show nothing of a task with no_log, no control characters, and not too much
version_added: 0.3.0
description:
  - With C(no_log), ansible-core 2.19 and later hide the result of a task, and still print its error, its warnings and,
    at C(-vvv), the lines of its connection. With this callback none of it is shown, logged or written into an event.
  - Control characters, terminal escapes and marks that hide or reorder letters are shown as escapes.
  - A text is cut at 1,000,000 characters, and a run shows 50,000,000; what is cut is marked.
  - It holds for every callback that shows something, also for the one of ansible-runner and AWX.
requirements:
  - Enable it with C(callbacks_enabled = daily_emr.ops.quiet) in C(ansible.cfg).
"""

import sys
from typing import Any

from ansible.plugins.callback import CallbackBase
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._outcomes import EXIT_CODES, RunOutcome
from ansible_collections.daily_emr.ops.plugins.plugin_utils.quiet import install


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Puts the guards in place before the first task. Exceptions of callbacks are swallowed by Ansible; SystemExit is
    not."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "daily_emr.ops.quiet"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        try:
            install()
        except Refused as error:
            sys.stderr.write(f"ERROR: {error.sentence}\n")
            raise SystemExit(EXIT_CODES[RunOutcome.REFUSED]) from None
