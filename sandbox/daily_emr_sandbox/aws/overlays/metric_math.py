"""Metric math: the expressions of GetMetricData, as far as runbooks and alarms use them.

A value is a number, a time series, or an array of series. Series are joined by their timestamps: where one has no
value, neither has the result, which is why alarms fill first.
"""

from __future__ import annotations

import itertools
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .metric_store import Series

Value = float | Series | list[Series]
"""Number, time series, array of time series."""
TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)|(?P<name>[A-Za-z_]\w*)|(?P<text>\"[^\"]*\"|'[^']*')"
    r"|(?P<sign>>=|<=|==|!=|&&|\|\||[-+*/^<>()\[\],]))"
)
LEVELS: tuple[dict[str, Callable[[float, float], float]], ...] = (
    {"||": lambda a, b: float(bool(a) or bool(b)), "OR": lambda a, b: float(bool(a) or bool(b))},
    {"&&": lambda a, b: float(bool(a) and bool(b)), "AND": lambda a, b: float(bool(a) and bool(b))},
    {
        ">": lambda a, b: float(a > b), "<": lambda a, b: float(a < b), ">=": lambda a, b: float(a >= b),
        "<=": lambda a, b: float(a <= b), "==": lambda a, b: float(a == b), "!=": lambda a, b: float(a != b),
    },
    {"+": operator.add, "-": operator.sub},
    {"*": operator.mul, "/": operator.truediv},
)  # fmt: skip
"""Binary operators, the loosest first."""


class MathError(ValueError):
    """An expression that CloudWatch would refuse; the text says why."""


@dataclass(frozen=True)
class Scope:
    """What an expression may refer to."""

    series: Mapping[str, Value]
    """By id, expressions included."""
    metrics: Sequence[str]
    """Ids of metrics, in order: what METRICS() stands for."""
    times: Sequence[float]
    """Beginnings of all periods of the query."""


def evaluate(expression: str, scope: Scope) -> Value:
    """Value of an expression.

    Raises:
        MathError: it is no expression, or names something that is not there.
    """
    parser = _Parser(expression, scope)
    value = parser.binary(0)
    parser.expect_end()
    return value


class _Parser:
    """Recursive descent; evaluates while it reads."""

    def __init__(self, expression: str, scope: Scope) -> None:
        self._tokens = _tokens(expression)
        self._at = 0
        self._scope = scope

    def binary(self, level: int) -> Value:
        if level == len(LEVELS):
            return self._power()
        left = self.binary(level + 1)
        while self._peek() in LEVELS[level]:
            combine = LEVELS[level][self._next()]
            left = _combine(combine, left, self.binary(level + 1))
        return left

    def expect_end(self) -> None:
        if self._at < len(self._tokens):
            raise MathError(f"unexpected {self._peek()!r}")

    def _power(self) -> Value:
        base = self._unary()
        if self._peek() == "^":
            self._next()
            return _combine(math.pow, base, self._power())
        return base

    def _unary(self) -> Value:
        if self._peek() == "-":
            self._next()
            return _combine(operator.mul, -1.0, self._unary())
        return self._primary()

    def _primary(self) -> Value:
        word = self._next()
        if word == "(":
            inner = self.binary(0)
            self._expect(")")
            return inner
        if word == "[":
            return [one for value in self._list("]") for one in _as_series(value)]
        if word[0].isdigit() or word[0] == ".":
            return float(word)
        if self._peek() == "(":
            self._next()
            return self._function(word)
        if word not in self._scope.series:
            raise MathError(f"there is no {word!r}")
        return self._scope.series[word]

    def _function(self, name: str) -> Value:
        if name == "METRICS":
            texts = [] if self._peek() == ")" else [self._next().strip("\"'")]
            self._expect(")")
            found = [self._scope.series[one] for one in self._scope.metrics if not texts or texts[0] in one]
            return [one for one in found if isinstance(one, dict)]
        if name == "FILL":
            value = self.binary(0)
            self._expect(",")
            mode = self._next() if self._peek() in {"REPEAT", "LINEAR"} else self.binary(0)
            self._expect(")")
            return _fill(value, mode, self._scope.times)
        arguments = self._list(")")
        if name not in FUNCTIONS:
            raise MathError(f"the sandbox has no function {name}")
        low, high, function = FUNCTIONS[name]
        if not low <= len(arguments) <= high:
            raise MathError(f"{name} got {len(arguments)} arguments")
        result: Value = function(*arguments)
        return result

    def _list(self, end: str) -> list[Value]:
        values: list[Value] = []
        while self._peek() != end:
            if values:
                self._expect(",")
            values.append(self.binary(0))
        self._next()
        return values

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        if not token:
            raise MathError("it ends too early")
        self._at += 1
        return token

    def _expect(self, token: str) -> None:
        if self._next() != token:
            raise MathError(f"{token!r} is missing")


def _tokens(expression: str) -> list[str]:
    tokens, at, text = [], 0, expression.rstrip()
    while at < len(text):
        match = TOKEN.match(text, at)
        if match is None:
            raise MathError(f"{text[at:].strip()[:20]!r} is not understood")
        tokens.append(match[match.lastgroup or 0])
        at = match.end()
    return tokens


def _combine(how: Callable[[float, float], float], left: Value, right: Value) -> Value:
    """Number by number; by timestamp where both are series; for each series of an array."""
    if isinstance(left, list):
        if isinstance(right, list):
            raise MathError("two arrays cannot be combined")
        return [one for item in left for one in _as_series(_combine(how, item, right))]
    if isinstance(right, list):
        return [one for item in right for one in _as_series(_combine(how, left, item))]
    if isinstance(left, dict):
        pairs = ((at, value, right[at] if isinstance(right, dict) else right) for at, value in left.items()
                 if not isinstance(right, dict) or at in right)  # fmt: skip
    elif isinstance(right, dict):
        pairs = ((at, left, value) for at, value in right.items())
    else:
        try:
            return how(left, right)
        except (ZeroDivisionError, OverflowError, ValueError):
            raise MathError("it divides a number by 0") from None
    result: Series = {}
    for at, one, other in pairs:
        try:
            result[at] = how(one, other)
        except (ZeroDivisionError, OverflowError, ValueError):
            continue  # CloudWatch has no value there
    return result


def _as_series(value: Value) -> list[Series]:
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        return [value]
    raise MathError("an array holds time series only")


def _over(fold: Callable[[Sequence[float]], float]) -> Callable[[Value], Value]:
    """Over an array: at each timestamp, over the series that have a value there. Over one series: one number."""

    def function(value: Value) -> Value:
        if isinstance(value, list):
            times = sorted({at for series in value for at in series})
            return {at: fold([series[at] for series in value if at in series]) for at in times}
        values = list(value.values()) if isinstance(value, dict) else [value]
        if not values:
            return {}
        return fold(values)

    return function


def _each(how: Callable[[float], float]) -> Callable[[Value], Value]:
    return lambda value: _combine(lambda a, _: float(how(a)), value, 0.0)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _if(condition: Value, then: Value, otherwise: Value | None = None) -> Value:
    """Where the condition has a value: that of `then` or `otherwise`, if it has one there."""
    if isinstance(condition, list) or isinstance(then, list) or isinstance(otherwise, list):
        raise MathError("IF takes no array")
    if not isinstance(condition, dict):
        chosen = then if condition else otherwise
        return chosen if chosen is not None else {}
    result: Series = {}
    for at, told in condition.items():
        chosen = then if told else otherwise
        value = chosen.get(at) if isinstance(chosen, dict) else chosen
        if value is not None:
            result[at] = value
    return result


def _fill(value: Value, mode: Value | str, times: Sequence[float]) -> Value:
    if isinstance(value, list):
        return [one for item in value for one in _as_series(_fill(item, mode, times))]
    if not isinstance(value, dict):
        raise MathError("FILL takes a time series")
    if isinstance(mode, list):
        raise MathError("FILL takes no array as its second argument")
    filled = {at: value[at] if at in value else _missing(value, mode, at) for at in times}
    return {at: one for at, one in filled.items() if one is not None}


def _missing(series: Series, mode: float | Series | str, at: float) -> float | None:
    """Value for a period that has none; None when there is nothing to take it from."""
    if isinstance(mode, float):
        return mode
    if isinstance(mode, dict):
        return mode.get(at)
    earlier, later = [one for one in series if one < at], [one for one in series if one > at]
    if not earlier or (mode == "LINEAR" and not later):
        return None
    if mode == "REPEAT":
        return series[max(earlier)]
    left, right = max(earlier), min(later)
    return series[left] + (at - left) / (right - left) * (series[right] - series[left])


def _rate(value: Value) -> Value:
    """Change per second since the value before."""
    if isinstance(value, list):
        return [one for item in value for one in _as_series(_rate(item))]
    if not isinstance(value, dict):
        raise MathError("RATE takes a time series")
    known = sorted(value)
    return {at: (value[at] - value[before]) / (at - before) for before, at in itertools.pairwise(known)}


FUNCTIONS: dict[str, tuple[int, int, Callable[..., Any]]] = {
    "ABS": (1, 1, _each(abs)),
    "AVG": (1, 1, _over(_mean)),
    "CEIL": (1, 1, _each(math.ceil)),
    "FLOOR": (1, 1, _each(math.floor)),
    "IF": (2, 3, _if),
    "MAX": (1, 1, _over(max)),
    "MIN": (1, 1, _over(min)),
    "RATE": (1, 1, _rate),
    "SUM": (1, 1, _over(math.fsum)),
}
"""Fewest and most arguments, and what it does."""
