"""The language of CloudWatch Logs Insights, as far as runbooks use it.

A query is read once into a chain of stages; each takes rows and gives rows. What is not understood is refused, with
its place: an answer to another question than the one that was asked would mislead. A comparison with a field that an
event does not have is false.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import math
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Value = str | float | bool | None
Row = dict[str, Value]
Scalar = Callable[[Row], Value]
Stage = Callable[[list[Row]], list[Row]]

MOST_ROWS = 10_000
PTR = "@ptr"
"""Field that identifies an event; every row that is one event ends with it."""
TIMES = {"@timestamp", "@ingestionTime"}
TOKEN = re.compile(
    r"(?P<space>\s+|\#[^\n]*)"
    r"|(?P<period>\d+(?:ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d)\b)"
    r"|(?P<number>\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)"
    r"|(?P<name>@?[A-Za-z_][\w.@]*|`[^`]+`)"
    r"|(?P<text>\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')"
    r"|(?P<sign>=~|!=|<=|>=|[-+*%=<>()\[\],|])"
)
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
REGEX = re.compile(r"\s*/((?:[^/\\\n]|\\.)+)/")
KEYWORDS = {"as", "by", "and", "or", "not", "like", "in", "asc", "desc"}
MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
ARITHMETIC: tuple[dict[str, Callable[[float, float], float]], ...] = (
    {"+": operator.add, "-": operator.sub},
    {"*": operator.mul, "/": operator.truediv, "%": math.fmod},
)
"""Operators, the loosest first."""
ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


class QueryError(ValueError):
    """A query that is refused; says why and where."""

    def __init__(self, message: str, start: int, end: int) -> None:
        super().__init__(message)
        self.start, self.end = start, end


@dataclass(frozen=True)
class Token:
    kind: str
    text: str
    start: int
    end: int

    @property
    def word(self) -> str:
        """A keyword in lower case, everything else as it is."""
        return self.text.lower() if self.kind == "name" and self.text.lower() in KEYWORDS else self.text


@dataclass(frozen=True)
class Column:
    name: str
    value: Scalar
    is_time: bool = False


class Query:
    """A query that was understood.

    Raises:
        QueryError: it was not.
    """

    def __init__(self, text: str) -> None:
        parser = _Parser(text)
        self._stages = parser.stages()
        self._times = parser.times
        self._shown, self._grouped = parser.shown, parser.grouped

    def run(self, events: Iterable[Row], limit: int = MOST_ROWS) -> list[list[dict[str, str]]]:
        """Rows of fields and values as GetQueryResults gives them. Without a sort, the newest event is first."""
        rows = sorted(events, key=lambda row: _number(row.get("@timestamp")) or 0, reverse=True)
        for stage in self._stages:
            rows = stage(rows)
        names = self._shown or ["@timestamp", "@message"]
        names = names if self._grouped else [*names, PTR]
        return [
            [{"field": name, "value": self._text(name, row[name])} for name in names if row.get(name) is not None]
            for row in rows[: min(limit, MOST_ROWS)]
        ]

    def _text(self, name: str, value: Value) -> str:
        if name in self._times and isinstance(value, (int, float)):
            moment = dt.datetime.fromtimestamp(value / 1000, dt.UTC)
            return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d}"
        return _text(value)


def row_of(timestamp: int, message: str, **system: Value) -> Row:
    """An event with the fields that Insights discovers in a JSON message."""
    row: Row = {"@timestamp": timestamp, "@message": message}
    row |= {f"@{name}": value for name, value in system.items()}
    if message.startswith("{"):
        with contextlib.suppress(ValueError):
            row |= dict(_flat("", json.loads(message)))
    return row


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, Value]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(f"{prefix}.{key}" if prefix else key, inner)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _flat(f"{prefix}.{number}", inner)
    else:
        yield prefix, value


class _Parser:
    """Recursive descent; makes closures. In a `stats` a name outside of an aggregate makes no sense."""

    def __init__(self, text: str) -> None:
        self._source = text
        self._tokens = _tokens(text)
        self._at = 0
        self._in_group = False
        self.shown: list[str] = []
        self.grouped = False
        self.times = set(TIMES)

    def stages(self) -> list[Stage]:
        stages = [self._command()]
        while self._peek() == "|":
            self._next()
            stages.append(self._command())
        if self._at < len(self._tokens):
            raise self._unexpected()
        return stages

    # Commands.

    def _command(self) -> Stage:
        commands: dict[str, Callable[[], Stage]] = {
            "fields": self._fields, "display": self._display, "filter": self._filter, "stats": self._stats,
            "sort": self._sort, "limit": self._limit,
        }  # fmt: skip
        name = self._next()
        if name.text not in commands:
            raise self._refused(f"unknown command {name.text!r}: use one of {', '.join(commands)}", name)
        return commands[name.text]()

    def _fields(self) -> Stage:
        columns = self._columns()
        self.shown += [column.name for column in columns if column.name not in self.shown]
        return lambda rows: [{**row, **{column.name: column.value(row) for column in columns}} for row in rows]

    def _display(self) -> Stage:
        self.shown = []
        return self._fields()

    def _filter(self) -> Stage:
        test = self._boolean()
        return lambda rows: [row for row in rows if _true(test(row))]

    def _stats(self) -> Stage:
        self._in_group = True
        totals = self._columns()
        self._in_group = False
        by = []
        if self._word() == "by":
            self._next()
            by = self._columns()
        self.grouped, self.shown = True, [column.name for column in (*by, *totals)]
        return lambda rows: _grouped(rows, by, totals)

    def _sort(self) -> Stage:
        orders: list[tuple[Scalar, bool]] = []
        while not orders or self._peek() == ",":
            if orders:
                self._next()
            column = self._column()
            # What was grouped has its values under the names of its columns: `bin(60s)` is one there.
            value = _field(column.name) if self.grouped else column.value
            orders.append((value, self._next().word == "desc" if self._word() in {"asc", "desc"} else False))

        def sort(rows: list[Row]) -> list[Row]:
            for value, descending in reversed(orders):
                rows = sorted(rows, key=lambda row, value=value: _rank(value(row)), reverse=descending)  # type: ignore[misc]
            return rows

        return sort

    def _limit(self) -> Stage:
        token = self._next()
        if token.kind != "number" or not token.text.isdigit() or not 1 <= int(token.text) <= MOST_ROWS:
            raise self._refused(f"a limit is a number between 1 and {MOST_ROWS}", token)
        return lambda rows: rows[: int(token.text)]

    # Columns.

    def _columns(self) -> list[Column]:
        columns = [self._column()]
        while self._peek() == ",":
            self._next()
            columns.append(self._column())
        return columns

    def _column(self) -> Column:
        first = self._current()
        value = self._boolean()
        text = self._source[first.start : self._tokens[self._at - 1].end]
        is_time = text in self.times or first.text in {"bin", "datefloor"}
        name = text.strip("`")
        if self._word() == "as":
            self._next()
            name = self._next("name").text.strip("`")
        if is_time:
            self.times.add(name)
        return Column(name, value, is_time)

    # Expressions, the loosest operator first.

    def _boolean(self) -> Scalar:
        left = self._conjunction()
        while self._word() == "or":
            self._next()
            left = _either(left, self._conjunction())
        return left

    def _conjunction(self) -> Scalar:
        left = self._negation()
        while self._word() == "and":
            self._next()
            left = _both(left, self._negation())
        return left

    def _negation(self) -> Scalar:
        if self._word() == "not":
            self._next()
            return _negated(self._negation())
        return self._comparison()

    def _comparison(self) -> Scalar:
        left = self._sum(0)
        word, negated = self._word(), False
        if word == "not" and self._peek(1) in {"like", "in"}:
            self._next()
            word, negated = self._word(), True
        if word in ORDER:
            return _compared(ORDER[self._next().text], left, self._sum(0))
        if word in {"like", "=~"}:
            self._next()
            test = _matched(left, self._pattern())
        elif word == "in":
            self._next()
            test = _contained(left, self._list())
        else:
            return left
        return _negated(test) if negated else test

    def _sum(self, level: int) -> Scalar:
        if level == len(ARITHMETIC):
            return self._unary()
        left = self._sum(level + 1)
        while self._peek() in ARITHMETIC[level]:
            left = _computed(ARITHMETIC[level][self._next().text], left, self._sum(level + 1))
        return left

    def _unary(self) -> Scalar:
        if self._peek() == "-":
            self._next()
            return _computed(operator.sub, _constant(0), self._unary())
        return self._primary()

    def _primary(self) -> Scalar:
        token = self._next()
        if token.text == "(":
            inner = self._boolean()
            self._next(")")
            return inner
        if token.kind == "number":
            return _constant(float(token.text) if not token.text.isdigit() else int(token.text))
        if token.kind == "text":
            return _constant(_unquoted(token.text))
        if token.kind != "name" or token.word in KEYWORDS:
            raise self._refused(f"unexpected {token.text!r}", token)
        if self._peek() == "(" and not token.text.startswith("`"):
            return self._function(token)
        if self._in_group:
            raise self._refused(f"{token.text!r} needs an aggregate around it, such as max({token.text})", token)
        return _field(token.text.strip("`"))

    # Functions.

    def _function(self, name: Token) -> Scalar:
        self._next("(")
        if name.text in AGGREGATES:
            if not self._in_group:
                raise self._refused(f"{name.text}() belongs into a stats command", name)
            return self._aggregate(name)
        if name.text == "bin":
            floored = _floored(_field("@timestamp"), self._period())
        elif name.text == "datefloor":
            moment = self._boolean()
            self._next(",")
            floored = _floored(moment, self._period())
        elif name.text == "ispresent":
            present = self._boolean()
            floored = lambda row: present(row) is not None  # noqa: E731
        elif name.text == "coalesce":
            choices = self._arguments()
            floored = lambda row: next((found for one in choices if (found := one(row)) is not None), None)  # noqa: E731
        else:
            raise self._refused(f"unknown function {name.text!r}", name)
        self._next(")")
        return floored

    def _aggregate(self, name: Token) -> Scalar:
        """An aggregate is evaluated over a group, which stands in a row under this key."""
        self._in_group = False
        over: Scalar = _constant(1)
        if name.text == "count" and self._peek() == "*":
            self._next()
        elif not (name.text == "count" and self._peek() == ")"):
            over = self._boolean()
        rank = 0.0
        if name.text in {"pct", "percentile"}:
            self._next(",")
            rank = float(self._next("number").text)
        self._next(")")
        self._in_group = True
        total = AGGREGATES[name.text]

        def aggregate(group: Row) -> Value:
            rows: Sequence[Row] = group[GROUP]  # type: ignore[assignment]
            return total([value for row in rows if (value := over(row)) is not None], rank)

        return aggregate

    def _arguments(self) -> list[Scalar]:
        found = [self._boolean()]
        while self._peek() == ",":
            self._next()
            found.append(self._boolean())
        return found

    def _list(self) -> list[Scalar]:
        self._next("[")
        found = self._arguments()
        self._next("]")
        return found

    def _period(self) -> int:
        token = self._next("period")
        number, unit = re.fullmatch(r"(\d+)(\w+)", token.text).groups()  # type: ignore[union-attr]
        period = int(number) * MILLISECONDS["ms" if unit == "ms" else unit[0]]
        if not period:
            raise self._refused("a period is longer than nothing", token)
        return period

    def _pattern(self) -> re.Pattern[str]:
        token = self._next()
        if token.kind == "text":
            return re.compile(re.escape(_unquoted(token.text)))
        if token.kind != "regex":
            raise self._refused("like takes a text or a /pattern/", token)
        try:
            return re.compile(token.text)
        except re.error as error:
            raise self._refused(f"no pattern: {error}", token) from None

    # Tokens.

    def _peek(self, ahead: int = 0) -> str | None:
        place = self._at + ahead
        return self._tokens[place].word if place < len(self._tokens) else None

    def _word(self) -> str | None:
        return self._peek()

    def _current(self) -> Token:
        if self._at == len(self._tokens):
            raise self._unexpected()
        return self._tokens[self._at]

    def _next(self, wanted: str | None = None) -> Token:
        token = self._current()
        if wanted not in {None, token.kind, token.text}:
            raise self._refused(f"unexpected {token.text!r}, where {wanted!r} belongs", token)
        self._at += 1
        return token

    def _unexpected(self) -> QueryError:
        if self._at == len(self._tokens):
            return QueryError("unexpected end of the query", len(self._source), len(self._source))
        token = self._tokens[self._at]
        return self._refused(f"unexpected {token.text!r}", token)

    @staticmethod
    def _refused(message: str, token: Token) -> QueryError:
        return QueryError(message, token.start, token.end)


def _tokens(text: str) -> list[Token]:
    """A slash begins a pattern after `like` and `=~`; elsewhere it divides."""
    tokens: list[Token] = []
    at = 0
    while at < len(text):
        after_like = bool(tokens) and tokens[-1].word in {"like", "=~"}
        if after_like and (pattern := REGEX.match(text, at)):
            tokens.append(Token("regex", pattern[1].replace("\\/", "/"), pattern.start(1) - 1, pattern.end()))
            at = pattern.end()
        elif text[at] == "/":
            tokens.append(Token("sign", "/", at, at + 1))
            at += 1
        elif match := TOKEN.match(text, at):
            if match.lastgroup != "space":
                tokens.append(Token(str(match.lastgroup), match[0], at, match.end()))
            at = match.end()
        else:
            raise QueryError(f"unexpected {text[at]!r}", at, at + 1)
    return tokens


# Values.

GROUP = "@group"
"""Where the rows of a group stand while its totals are taken; no field of an event has this name."""


def _grouped(rows: list[Row], by: list[Column], totals: list[Column]) -> list[Row]:
    groups: dict[tuple[Value, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(column.value(row) for column in by), []).append(row)
    made: list[Row] = []
    for key, members in groups.items():
        group: Row = {GROUP: members}  # type: ignore[dict-item]
        values = {column.name: column.value(group) for column in totals}
        made.append({column.name: value for column, value in zip(by, key, strict=True)} | values)
    return made


def _numbers(values: list[Value]) -> list[float]:
    return [number for value in values if (number := _number(value)) is not None]


def _percentile(values: list[Value], rank: float) -> Value:
    """Nearest rank: the smallest value that at least `rank` percent do not exceed."""
    numbers = sorted(_numbers(values))
    return numbers[max(0, math.ceil(rank / 100 * len(numbers)) - 1)] if numbers else None


AGGREGATES: Mapping[str, Callable[[list[Value], float], Value]] = {
    "count": lambda values, _: len(values),
    "count_distinct": lambda values, _: len(set(values)),
    "sum": lambda values, _: sum(_numbers(values)),
    "avg": lambda values, _: sum(numbers) / len(numbers) if (numbers := _numbers(values)) else None,
    "min": lambda values, _: min(values, key=_rank, default=None),
    "max": lambda values, _: max(values, key=_rank, default=None),
    "pct": _percentile,
    "percentile": _percentile,
}


def _number(value: Value) -> float | None:
    """Number that a value is, or is written as."""
    if isinstance(value, str):
        return float(value) if NUMBER.fullmatch(value) else None
    return None if value is None else float(value) if isinstance(value, bool) else value


def _true(value: Value) -> bool:
    return bool(value)


def _rank(value: Value) -> tuple[int, float, str]:
    """Order of any two values: nothing, numbers, texts."""
    if value is None:
        return (0, 0.0, "")
    number = _number(value)
    return (1, number, "") if number is not None else (2, 0.0, str(value))


def _text(value: Value) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else f"{value:.4f}".rstrip("0")
    return str(value)


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1])


def _constant(value: Value) -> Scalar:
    return lambda _row: value


def _field(name: str) -> Scalar:
    return lambda row: row.get(name)


def _either(left: Scalar, right: Scalar) -> Scalar:
    return lambda row: _true(left(row)) or _true(right(row))


def _both(left: Scalar, right: Scalar) -> Scalar:
    return lambda row: _true(left(row)) and _true(right(row))


def _negated(test: Scalar) -> Scalar:
    return lambda row: not _true(test(row))


def _compared(holds: Callable[[Any, Any], bool], left: Scalar, right: Scalar) -> Scalar:
    def compare(row: Row) -> Value:
        a, b = left(row), right(row)
        if a is None or b is None:
            return False
        if isinstance(a, str) and isinstance(b, str) and holds in {operator.eq, operator.ne}:
            return holds(a, b)  # two ids of digits are not the same number
        first, second = _number(a), _number(b)
        return holds(first, second) if first is not None and second is not None else holds(str(a), str(b))

    return compare


def _matched(left: Scalar, pattern: re.Pattern[str]) -> Scalar:
    return lambda row: (value := left(row)) is not None and pattern.search(_text(value)) is not None


def _contained(left: Scalar, choices: list[Scalar]) -> Scalar:
    tests = [_compared(operator.eq, left, choice) for choice in choices]
    return lambda row: any(test(row) for test in tests)


def _computed(combine: Callable[[float, float], float], left: Scalar, right: Scalar) -> Scalar:
    def compute(row: Row) -> Value:
        a, b = _number(left(row)), _number(right(row))
        if a is None or b is None:
            return None
        try:
            return combine(a, b)
        except (ZeroDivisionError, ValueError):
            return None

    return compute


def _floored(moment: Scalar, period: int) -> Scalar:
    return lambda row: (value - value % period) if (value := _number(moment(row))) is not None else None
