# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What Ansible may show, whoever shows it: nothing of a task with `no_log`, no control characters, and not too much.

With `no_log: true`, ansible-core 2.19 to 2.21 hide the result of a task and still print its error and its warnings, and
at -vvv the lines of its connection. The guards here stand below every callback, so they also hold for the one that
ansible-runner and AWX put in the place of the configured one, and for the events that it writes:

- what a callback gets of such a task has no exception, no warning and no deprecation, as a whole and item by item;
- what the worker of such a task shows by itself is dropped before it leaves the worker, but for sentences of ours;
- what is displayed or logged has no control characters and no marks that hide or reorder letters;
- a text is cut at LONGEST, and a run shows at most ALTOGETHER; what is cut is marked.

They lean on internals of ansible-core. Where these are missing, install() refuses.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from ansible.utils import color as colors
from ansible.utils.display import Display
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.plugin_utils.secrecy import current_task

try:
    from ansible._internal._task import TaskContext
    from ansible.executor.task_queue_manager import FinalQueue
    from ansible.executor.task_result import CallbackTaskResult
except ImportError:  # another ansible-core: install() refuses
    CallbackTaskResult = FinalQueue = TaskContext = None

# Characters of one text (a result, a message), and of all texts of a run. What follows then is only shown when it is
# short, such as the recap, and only REST of it.
LONGEST = 1_000_000
ALTOGETHER = 50_000_000
REST, SHORT = 1_000_000, 2_000

# Cc control, Cf invisible and bidirectional marks, Cs halves of pairs, Co private use, Zl and Zp line breaks.
UNSAFE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
# A colour that Ansible itself gives to a part of a line, as in the recap; none that moves, erases or hides.
COLOUR = re.compile(r"(\x1b\[(?:0|[01];3[1-7])m)")
# Whether what is being shown is a sentence of our own (say).
_OURS: ContextVar[bool] = ContextVar("ours", default=False)
HIDDEN_PARTS = ("exception", "warnings", "deprecations")


def install() -> None:
    """Put the guards in place, once in a process and in all that are forked from it. Raises Refused."""
    if getattr(Display.display, "quiet", False):
        return
    parts = ("result", *HIDDEN_PARTS)
    known = CallbackTaskResult is not None and TaskContext is not None
    if not known or not hasattr(FinalQueue, "send_display") or not all(hasattr(CallbackTaskResult, it) for it in parts):
        raise Refused(
            "This ansible-core is built in another way than those that were tried, so what `no_log` hides could be "
            "shown: use a version that pyproject.toml names."
        )
    _hide_results(CallbackTaskResult)
    FinalQueue.send_display = _discreet(FinalQueue.send_display)
    Display.display = _harmless(Display.display, Volume())


def _hide_results(kind: Any) -> None:
    whole = kind.result.func

    def result(self: Any) -> Any:
        return _without_words(whole(self))

    kind.result = functools.cached_property(result)
    kind.result.__set_name__(kind, "result")
    for name in HIDDEN_PARTS:
        setattr(kind, name, property(_hidden(getattr(kind, name).fget, None if name == "exception" else ())))


def _hidden(part: Callable[[Any], Any], nothing: object) -> Callable[[Any], Any]:
    return lambda self: nothing if "censored" in self.result else part(self)


def _without_words(result: Any) -> Any:
    """A result of which ansible-core hides the values, without the words that may hold them."""
    if not isinstance(result, dict):
        return result
    if isinstance(items := result.get("results"), list):
        result["results"] = [_without_words(item) for item in items]
    if "censored" in result:
        for name in HIDDEN_PARTS:
            result.pop(name, None)
    return result


def _discreet(send: Callable[..., Any]) -> Callable[..., Any]:
    """The way of a worker's words to the parent, closed while its task has no_log."""

    def send_display(self: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        task = current_task()
        if task is not None and task.no_log and not _OURS.get():  # a template of which nobody knows the value yet, too
            return None
        return send(self, method, *args, **kwargs)

    return send_display


def say(sentence: str) -> None:
    """Show why a plugin of ours gave nothing, though its task has no_log. The sentence must not hold any value."""
    if not getattr(Display.display, "quiet", False):  # then Ansible says it by itself
        return
    token = _OURS.set(True)
    try:
        Display().display(f"[ERROR]: {sentence}", color="red", stderr=True)
    finally:
        _OURS.reset(token)


class Volume:
    """How much a run has shown, in characters."""

    def __init__(self) -> None:
        self.shown = 0

    def admit(self, text: str) -> str:
        """The text, or what may be shown of it; empty when nothing."""
        if len(text) > LONGEST:
            text = f"{text[:LONGEST]}\n(truncated: {len(text) - LONGEST} more characters are not shown)"
        before, self.shown = self.shown, self.shown + len(text)
        if self.shown <= ALTOGETHER:
            return text
        if before <= ALTOGETHER:
            return f"(truncated: this run has shown {ALTOGETHER} characters; from here on only short lines are shown)"
        return text if len(text) <= SHORT and self.shown <= ALTOGETHER + REST else ""


def _harmless(display: Callable[..., Any], volume: Volume) -> Callable[..., Any]:
    @functools.wraps(display)
    def shown(self: Display, msg: str, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(msg, str):
            return display(self, msg, *args, **kwargs)
        if getattr(self, "_final_q", None):
            return display(self, harmless(msg), *args, **kwargs)
        text = volume.admit(msg)
        if msg and not text:
            return None
        own_colours = colors.ANSIBLE_COLOR and not args and not kwargs.get("color")
        return display(self, harmless(text, own_colours=own_colours), *args, **kwargs)

    shown.quiet = True  # type: ignore[attr-defined]
    return shown


def harmless(text: str, *, own_colours: bool = False) -> str:
    """The text with whatever could move a cursor, hide or reorder letters written as an escape; lines stay lines."""
    if all(line.isprintable() for line in text.split("\n")):
        return text
    text = text.replace("\r\n", "\n")
    if not own_colours:
        return _escaped(text)
    return "".join(part if COLOUR.fullmatch(part) else _escaped(part) for part in COLOUR.split(text))


def _escaped(text: str) -> str:
    unsafe = {letter for letter in set(text) - {"\n", "\t"} if unicodedata.category(letter) in UNSAFE_CATEGORIES}
    escapes = {ord(letter): letter.encode("unicode_escape", "surrogatepass").decode("ascii") for letter in unsafe}
    return text.translate(escapes)
