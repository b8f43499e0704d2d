"""Hostile values and names, made by chance from a seed. Believed, they would be executed or fool somebody."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

KEYS = (
    "ansible_python_interpreter",
    "ansible_connection",
    "ansible_check_mode",
    "ansible_become",
    "ansible_shell_executable",
    "ansible_playbook_python",
    "hostvars",
    "groups",
    "vars",
    "omit",
    "environment",
    "emr_environment",
    "incident_runbook",
    "__ansible_unsafe",
    "__ansible_type",
    "__ansible_vault",
    "inventory_hostname",
    "playbook_dir",
    "role_path",
    "lookup",
    "toy_helthy",
    "incident_idd",
    "toy_healthy\u200b",
    "{{ 1 }}",
    "",
    " ",
    "a\x1b[2J",
    "semaphore_vars",
    "awx_x{{ 1 }}",
)
CONTROLS = (
    "\x00",
    "\x07",
    "\x1b]0;owned\x07",
    "\x1b[2J",
    "\r",
    "\r\n",
    "\x9b31m",
    "\u202e",
    "\u2066",
    "\u200b",
    "\u2028",
    "\x7f",
)
WORDS = ("emr-web", "INC-1", "true", "0x1f", "yes", "null", "~", "1e999", "NaN", "é", "日本語", "😀", "\u0430dmin", "")
MARKUP = (
    "<script>1</script>",
    "<img src=x onerror=1>",
    "[x](javascript:1)",
    "](http://evil.test)",
    "| `x` |",
    "&#60;a&#62;",
)


class Payloads:
    """An endless, repeatable stream. sentinel: the file that appears when one of them is executed."""

    def __init__(self, seed: int, sentinel: Path) -> None:
        self._chance = random.Random(seed)
        self._touch = f"touch {sentinel}"

    def value(self) -> Any:
        """A text in most cases, else something that JSON or YAML make of one."""
        make = self._chance.choices(
            (self.text, self._tagged, self._nested, self._deep, self._huge), weights=(70, 12, 12, 3, 3)
        )[0]
        return make()

    def number(self, below: int) -> int:
        """A number from 0."""
        return self._chance.randrange(below)

    def _markup(self) -> str:
        return self._chance.choice(MARKUP)

    def text(self) -> str:
        """A template, a tag, a control character, an option or a path, with or without words around it."""
        core = self._chance.choice((self._template, self._yaml, self._control, self._option, self._markup))()
        before, behind = (self._chance.choice(("", "", *WORDS)) for _ in range(2))
        return f"{before}{core}{behind}"

    def of(self, choices: Sequence[str]) -> str:
        return self._chance.choice(choices)

    def key(self) -> str:
        key = self._chance.choice(KEYS)
        return key if self._chance.random() < 0.8 else f"{key}{self._chance.choice(CONTROLS)}"

    def harmless(self) -> str:
        """A value that is what it should be: it has to arrive as it is."""
        return self._chance.choice(("INC-20261122-013000-9f3a", "INC-1", "INC-a-b-c"))

    def document(self) -> str:
        """The text of a file: JSON, YAML, what is nearly one of them, or neither."""
        value = self.value()
        text = self._chance.choice(
            (
                json.dumps({"incident_id": value}),
                json.dumps({"incident_id": value, "b": {"__ansible_type": "x"}}),
                json.dumps({"incident_id": {"__ansible_unsafe": value}, "b": {"__ansible_unsafe": 5}}),
                json.dumps({"incident_id": value})[:-1] + ",}",
                json.dumps({"incident_id": {"__ansible_vault": str(value)[:200]}}),
                f"incident_id: {json.dumps(str(value)[:5000])}\n",
                f"incident_id: !unsafe {json.dumps(str(value)[:5000])}\n",
                f"incident_id: {self._yaml()}\n",
                f"{json.dumps(self.key())}: {json.dumps(str(value)[:5000])}\n",
            )
        )
        return str(text)

    def pipe(self) -> str:
        """A template that surely makes the sentinel, for the control."""
        return f"{{{{ lookup('pipe', '{self._touch}') }}}}"

    def _template(self) -> str:
        call = self._chance.choice(
            (
                f"lookup('pipe', '{self._touch}')",
                f"query('pipe', '{self._touch}')",
                f"lookup('ansible.builtin.pipe','{self._touch}')",
            )
        )
        return self._chance.choice(
            (
                f"{{{{ {call} }}}}",
                f"{{{{{call}}}}}",
                f"{{%- set x = {call} -%}}",
                f"{{% if {call} %}}x{{% endif %}}",
                f"{{#x#}}{{{{ {call} }}}}",
                f"#jinja2: variable_start_string:'[%', variable_end_string:'%]'\n[% {call} %]",
                f"#JINJA2:trim_blocks:False\n{{{{ {call} }}}}",
                f"{{{{ '{{{{' }}}} {call} }}}}",
                "{{ ''.__class__.__mro__[1].__subclasses__() }}",
            )
        )

    def _yaml(self) -> str:
        return self._chance.choice(
            (
                f"!!python/object/apply:os.system ['{self._touch}']",
                f'!unsafe \'{{{{ lookup("pipe", "{self._touch}") }}}}\'',
                "!vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  00",
                "&a [*a, *a]",
                "<<: *x",
                "? [a]\n: b",
                "- a\n- b: {c: d",
                '"\\ud800"',
                "!!binary //8=",
            )
        )

    def _control(self) -> str:
        return self._chance.choice(CONTROLS)

    def _option(self) -> str:
        return self._chance.choice(
            (
                "@/etc/passwd",
                "--extra-vars=@/etc/passwd",
                "-e",
                "--limit=all",
                "../../../../etc/passwd",
                "/proc/self/environ",
                f"; {self._touch}",
                f"$({self._touch})",
                f"`{self._touch}`",
                f"| {self._touch}",
                f"x' || {self._touch} #",
                "%0a%0d",
                "\\x1b[2J",
                "file:///etc/passwd",
                "http://169.254.169.254/",
                "' OR 1=1 --",
                "<script>alert(1)</script>",
            )
        )

    def _tagged(self) -> Any:
        name = self._chance.choice(("__ansible_unsafe", "__ansible_type", "__ansible_vault", self.key()))
        return {name: self.text()}

    def _nested(self) -> Any:
        return self._chance.choice(
            ([self.text()], {"a": [self.text(), {"b": self.text()}]}, [[], {}, None, 1.5, self.text()])
        )

    def _deep(self) -> Any:
        made: Any = self.text()
        for _ in range(self._chance.choice((9, 40, 150))):
            made = [made] if self._chance.random() < 0.5 else {"a": made}
        return made

    def _huge(self) -> str:
        return self._chance.choice(("A", "é", "{", "[")) * 200_000
