# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Keeps the value of a secret inside the process of the task that asked for it.

`no_log` alone does not. With it, ansible-core 2.19 to 2.21 still print the error of a module that quotes a value, the
error of a template that fails on one, and, at -vvv, the `environment` of a task in its EXEC line; a fact that was set
in such a task is shown by the next one. So there are two nets here:

- `refusal` says why a task may not have a value at all: the wrong place, or no `no_log`, which hides what is made of a
  value (its hash, its base64, its length) and keeps a module from writing its arguments into the system's log.
- `Outgoing` stands before the queue through which a worker sends everything it has to say (results, facts, errors,
  warnings, verbose lines): whatever form of a value goes out becomes three stars. A fact or a registered result
  therefore holds stars, which is on purpose: a value is asked for where it is used.

Both lean on internals of ansible-core (the context of a task and the queue of a worker). Where these are missing
nothing is handed out.
"""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote, quote_plus

from ansible.utils.display import Display
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._secret_shapes import sensitive_parts

try:
    from ansible._internal._task import TaskContext
except ImportError:  # another ansible-core: hand_out() refuses
    TaskContext = None

STARS = "***"
# How shlex.quote() writes an apostrophe.
QUOTED_QUOTE = "'\"'\"'"
# A shorter text cannot be told from chance: replacing it would garble what has nothing to do with it.
SHORTEST = 8
# What these do with a value outlives the task, or is its very output.
_KEEPERS = frozenset({"add_host", "debug", "group_by", "include_role", "include_tasks", "include_vars", "set_fact"})


def current_task() -> Any:
    """The task that this worker executes; None outside of one."""
    context = TaskContext.current(optional=True) if TaskContext is not None else None
    return context.task if context else None


def refusal(task: Any) -> str:
    """Why this task may not have the value of a secret; empty when it may."""
    if task is None:
        return "it is asked for outside of a task, as in a task's name, where what it holds is printed"
    if task.no_log is not True:
        return "its task has no `no_log: true`"
    action = str(task.action).rpartition(".")[2]
    if action in _KEEPERS:
        return f"{action} would keep or show it: ask for it in the task that uses it"
    if task.async_val:
        return "an asynchronous task leaves its result in a file: leave `async` out"
    if "{{" in str(task.environment or ""):
        return "its task has a template in `environment`, which is printed at -vvv: pass it in an option of the module"
    return ""


def hand_out(name: str, value: str) -> str:
    """The value, once nothing that leaves this process can hold it. Raises Refused."""
    if why := refusal(current_task()):
        raise Refused(f"The secret {name} is not handed out, because {why}.")
    queue = getattr(Display(), "_final_q", None)
    if queue is None or not callable(getattr(queue, "put", None)):
        raise Refused(f"The secret {name} is not handed out: this ansible-core has no queue that could be watched.")
    if len(value) < SHORTEST:
        raise Refused(f"The secret {name} is shorter than {SHORTEST} characters, so it cannot be kept out of outputs.")
    if not isinstance(queue.put, Outgoing):
        queue.put = Outgoing(queue.put)
    queue.put.keep(value)
    return value


class Outgoing:
    """The `put` of a worker's queue. Everything that is put loses the values that are kept."""

    def __init__(self, put: Callable[[Any], None]) -> None:
        self._put = put
        self._forms: list[str] = []

    def keep(self, value: str) -> None:
        found = {form for part in sensitive_parts(value) if len(part) >= SHORTEST for form in forms(part)}
        # The longest first, so that no half of one stays.
        self._forms = sorted({*self._forms, *found}, key=len, reverse=True)

    def __call__(self, item: Any) -> None:
        self._put(self.scrub(item))

    def scrub(self, item: Any) -> Any:
        """The item without any kept value; the very same object when it held none."""
        if isinstance(item, str):
            return self._text(item)
        if isinstance(item, bytes):
            text = item.decode("utf-8", "surrogateescape")
            return item if (cleaned := self._text(text)) is text else cleaned.encode("utf-8", "surrogateescape")
        if isinstance(item, dict):
            return self._mapping(item)
        if isinstance(item, (list, tuple, set, frozenset)):
            made = [self.scrub(part) for part in item]
            if all(new is old for new, old in zip(made, item, strict=True)):
                return item
            kind = next(kind for kind in (list, tuple, set, frozenset) if isinstance(item, kind))
            return kind(made)
        return self._object(item)

    def _text(self, text: str) -> str:
        cleaned = text
        for form in self._forms:
            if form in cleaned:
                cleaned = str(cleaned).replace(form, STARS)
        return cleaned if cleaned is not text else text

    def _mapping(self, item: dict[Any, Any]) -> dict[Any, Any]:
        made = {self.scrub(key): self.scrub(value) for key, value in item.items()}
        same = all(a is b and c is d for (a, c), (b, d) in zip(made.items(), item.items(), strict=False))
        return item if same and len(made) == len(item) else made

    def _object(self, item: Any) -> Any:
        """What Ansible wraps results, errors and lines in: dataclasses, and objects with plain attributes."""
        if dataclasses.is_dataclass(item) and not isinstance(item, type):
            fields = {field.name: getattr(item, field.name) for field in dataclasses.fields(item) if field.init}
            changed = {name: new for name, old in fields.items() if (new := self.scrub(old)) is not old}
            return dataclasses.replace(item, **changed) if changed else item
        if type(item).__module__.startswith("ansible.executor"):
            for name, old in vars(item).items():
                if (new := self.scrub(old)) is not old:
                    setattr(item, name, new)
        return item


def forms(value: str) -> Iterable[str]:
    """A value as it is, and as what prints it would write it."""
    raw = value.encode()
    yield value
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield repr(value)[1:-1]
    # In a command line of a shell, and in one that is an argument of another, as in an EXEC line.
    quoted = value.replace("'", QUOTED_QUOTE)
    yield quoted
    yield quoted.replace("'", QUOTED_QUOTE)
    yield quote(value, safe="")
    yield quote_plus(value)
    yield quote(value)
    yield base64.b64encode(raw).decode()
    yield base64.urlsafe_b64encode(raw).decode()
