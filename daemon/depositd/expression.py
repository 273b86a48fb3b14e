"""A safe question about columns: ``N_peptides < 500 or `MS/MS Identified [%]` < 30``.

Comparisons (also chained), ``and``, ``or``, ``not``, ``+ - * /``, parentheses, numbers, texts, ``true`` and ``false``;
names of columns as they are, or in backticks where they have spaces or signs.  Nothing of it is ever run: the text is
cut into tokens by one regular expression, only the precedence of what is left is asked of :mod:`ast`, and a whitelist
turns that into a small tree which is walked here.  Length, depth and size are bounded.

Whatever is not known stays unknown (SQL's three values): a column that is missing, a text where a number is needed, a
division by zero.  ``unknown or true`` is true, ``unknown and false`` is false, everything else with it is unknown.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Protocol

from depositd.units import printable

LONGEST_CHARACTERS = 1_000
MOST_TOKENS = 200
DEEPEST = 40
EXAMPLE = "N_peptides < 500"

Value = float | str | bool | None
"""What a column holds; None where it is not known."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A question that a table's row answers; ``columns`` are the names that it asks for, in their order."""

    text: str
    columns: tuple[str, ...]
    root: _Node

    @classmethod
    def parse(cls, text: str) -> Expression:
        """Return the question; raises ValueError with one clause that says what would be right."""
        if len(text) > LONGEST_CHARACTERS:
            raise ValueError(f"is longer than {LONGEST_CHARACTERS:,} characters (a shorter one, such as {EXAMPLE})")
        tokens = list(_tokens(text))
        if not tokens:
            raise ValueError(f"is empty (a comparison, such as {EXAMPLE})")
        root = _Builder(text, tokens).root()
        if not _may_answer(root):
            raise ValueError(f"{_quoted(text)} is a value and no question (a comparison, such as {EXAMPLE})")
        columns = tuple(dict.fromkeys(root.columns()))
        if not columns:
            raise ValueError(f"{_quoted(text)} names no column (a column without quotes, such as {EXAMPLE})")
        return cls(" ".join(text.split()), columns, root)

    def evaluate(self, values: Mapping[str, Any]) -> bool | None:
        """Return the answer, None where a column that matters is missing or not of a kind that can be compared."""
        return _truth(self.root.evaluate(values))

    def with_values(self, values: Mapping[str, Any]) -> str:
        """Return the question with what it was asked of, to be shown: ``N_peptides < 500 (412)``."""
        shown = [(name, show_value(values.get(name))) for name in self.columns]
        told = shown[0][1] if len(shown) == 1 else ", ".join(f"{printable(name)} {value}" for name, value in shown)
        return f"{printable(self.text)} ({told})"


def show_value(value: Any) -> str:
    """Return a column's value as people read it; what came from a server is harmless in it."""
    if value is None:
        return "not measured"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and abs(value) < 10**15:
        return str(value)
    if isinstance(value, int | float):
        return _short_number(value)
    return printable(str(value), 60)


def _short_number(value: float) -> str:
    try:
        return f"{float(value):.6g}"
    except OverflowError:
        return "a number beyond bounds"


# --- text to tokens -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Token:
    """A word of the question: a ``leaf`` with its node, or what stands between leaves."""

    text: str
    leaf: _Column | _Constant | None = None


_TOKEN = re.compile(
    r"""\s*(?:
        (?P<column> ` [^`]* ` )
      | (?P<text> ' [^']* ' | " [^"]* " )
      | (?P<number> (?: \d+ (?: \. \d* )? | \. \d+ ) (?: [eE] [+-]? \d+ )? (?! [\w.] ) )
      | (?P<name> [A-Za-z_] \w* )
      | (?P<sign> <= | >= | == | != | [<>+\-*/()] )
      | (?P<end> \Z )
    )""",
    re.VERBOSE | re.ASCII,
)
_WORDS = frozenset({"and", "or", "not"})
_RIGHT_SIGNS = {"=": "==", "&": "and", "|": "or", "!": "not"}


def _tokens(text: str) -> Iterator[_Token]:
    position = count = 0
    while True:
        match = _TOKEN.match(text, position)
        if match is None:
            # what the pattern takes for a blank, and nothing else: "\x85" is one to Python alone
            raise ValueError(_stray(text[position:].lstrip(" \t\n\r\f\v")))
        if match.lastgroup == "end":
            return
        position = match.end()
        count += 1
        if count > MOST_TOKENS:
            raise ValueError(f"has more than {MOST_TOKENS} words and signs (fewer, such as {EXAMPLE})")
        yield _token(match.lastgroup or "", match[match.lastgroup or 0])


def _token(kind: str, found: str) -> _Token:
    if kind == "sign" or found in _WORDS:
        return _Token(found)
    if kind == "column":
        if not found[1:-1].strip():
            raise ValueError("has a name of no characters in backticks (the name of a column)")
        return _Token(found, _Column(found[1:-1]))
    if kind == "text":
        return _Token(found, _Constant(found[1:-1]))
    if kind == "number":
        return _Token(found, _Constant(_finite(float(found))))
    return _Token(found, _Constant(found.lower() == "true") if found.lower() in ("true", "false") else _Column(found))


def _stray(rest: str) -> str:
    sign = rest[0]
    if sign in "`'\"":
        return f"has {_quoted(rest)}, which is not closed (another {sign})"
    if sign in _RIGHT_SIGNS:
        return f"has {_quoted(sign)} ({_RIGHT_SIGNS[sign]})"
    return f"has {_quoted(rest)}, which cannot stand here (a name with spaces or signs in backticks: `MS/MS [%]` > 1)"


def _quoted(text: str) -> str:
    return f"'{printable(text, 40)}'"


# --- a tree, and what it makes of a row ---------------------------------------------------------------------------


class _Node(Protocol):
    """A part of a question."""

    def columns(self) -> Iterator[str]:
        """Give the names that it asks for."""

    def evaluate(self, values: Mapping[str, Any]) -> Value:
        """Return what it is for a row; never raises."""


@dataclass(frozen=True, slots=True)
class _Column:
    name: str

    def columns(self) -> Iterator[str]:
        yield self.name

    def evaluate(self, values: Mapping[str, Any]) -> Value:
        return _known(values.get(self.name))


@dataclass(frozen=True, slots=True)
class _Constant:
    value: Value

    def columns(self) -> Iterator[str]:
        return iter(())

    def evaluate(self, values: Mapping[str, Any]) -> Value:
        del values
        return self.value


@dataclass(frozen=True, slots=True)
class _Negative:
    part: _Node

    def columns(self) -> Iterator[str]:
        return self.part.columns()

    def evaluate(self, values: Mapping[str, Any]) -> Value:
        number = _number(self.part.evaluate(values))
        return None if number is None else -number


@dataclass(frozen=True, slots=True)
class _Arithmetic:
    act: Callable[[float, float], float]
    left: _Node
    right: _Node

    def columns(self) -> Iterator[str]:
        yield from self.left.columns()
        yield from self.right.columns()

    def evaluate(self, values: Mapping[str, Any]) -> Value:
        left, right = _number(self.left.evaluate(values)), _number(self.right.evaluate(values))
        if left is None or right is None:
            return None
        try:
            return _finite(self.act(left, right))
        except (ZeroDivisionError, OverflowError):
            return None


@dataclass(frozen=True, slots=True)
class _Comparison:
    """A chain: each part is compared with the one before it."""

    parts: tuple[_Node, ...]
    how: tuple[Callable[[Any, Any], bool], ...]

    def columns(self) -> Iterator[str]:
        for part in self.parts:
            yield from part.columns()

    def evaluate(self, values: Mapping[str, Any]) -> Value:
        found = [part.evaluate(values) for part in self.parts]
        return _joined(list(map(_compare, self.how, found[:-1], found[1:])), decided_by=False)


@dataclass(frozen=True, slots=True)
class _Not:
    part: _Node

    def columns(self) -> Iterator[str]:
        return self.part.columns()

    def evaluate(self, values: Mapping[str, Any]) -> Value:
        truth = _truth(self.part.evaluate(values))
        return None if truth is None else not truth


@dataclass(frozen=True, slots=True)
class _Junction:
    """``and``, decided by the first false part, or ``or``, decided by the first true one."""

    decided_by: bool
    parts: tuple[_Node, ...]

    def columns(self) -> Iterator[str]:
        for part in self.parts:
            yield from part.columns()

    def evaluate(self, values: Mapping[str, Any]) -> Value:
        return _joined([_truth(part.evaluate(values)) for part in self.parts], decided_by=self.decided_by)


def _joined(answers: list[bool | None], *, decided_by: bool) -> bool | None:
    if decided_by in answers:
        return decided_by
    return None if None in answers else not decided_by


def _may_answer(node: _Node) -> bool:
    """Say whether a part can be a question by itself; a column can hold an answer."""
    is_switch = isinstance(node, _Constant) and isinstance(node.value, bool)
    return is_switch or isinstance(node, (_Column, _Comparison, _Not, _Junction))


# --- values -----------------------------------------------------------------------------------------------------------

_NUMERIC_TEXT = re.compile(r"\s*[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?\s*", re.ASCII)
_LONGEST_NUMBER = 400


def _known(value: Any) -> Value:
    """Return a column's value as one that can be compared; what is neither number, text nor answer is not known."""
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int | float):
        try:
            return _finite(float(value))
        except OverflowError:
            return None
    return None


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _number(value: Value) -> float | None:
    if isinstance(value, str):
        is_number = len(value) <= _LONGEST_NUMBER and _NUMERIC_TEXT.fullmatch(value)
        return _finite(float(value)) if is_number else None
    return None if isinstance(value, bool) else value


def _truth(value: Value) -> bool | None:
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower())
    return value if isinstance(value, bool) else None


def _compare(how: Callable[[Any, Any], bool], left: Value, right: Value) -> bool | None:
    """Compare two values of one kind; a text is a number, or an answer, beside one where it can be."""
    if isinstance(left, bool) or isinstance(right, bool):
        one, other = _truth(left), _truth(right)
        # what is not true is not more or less than what is
        is_order = how not in (operator.eq, operator.ne)
        return None if is_order or one is None or other is None else how(one, other)
    one_number, other_number = _number(left), _number(right)
    if one_number is not None and other_number is not None:
        return how(one_number, other_number)
    return how(left, right) if isinstance(left, str) and isinstance(right, str) else None


# --- tokens to a tree -----------------------------------------------------------------------------------------------

_ACTS: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


class _Builder:
    """Makes the tree of a text's tokens: to :mod:`ast` every leaf is a name of our own."""

    def __init__(self, text: str, tokens: list[_Token]) -> None:
        self._shown = _quoted(text)
        self._leaves = {f"leaf{index}": token.leaf for index, token in enumerate(tokens) if token.leaf is not None}
        self._masked = [token.text if token.leaf is None else f"leaf{index}" for index, token in enumerate(tokens)]

    def root(self) -> _Node:
        # before ast sees it: parentheses cost its parser a stack
        depths = accumulate((word == "(") - (word == ")") for word in self._masked)
        if max(depths) > DEEPEST:
            raise self._too_deep()
        try:
            tree = ast.parse(" ".join(self._masked), mode="eval")
        except SyntaxError:
            raise self._no_expression() from None
        return self._node(tree.body, 1)

    def _node(self, node: ast.expr, depth: int) -> _Node:
        if depth > DEEPEST:
            raise self._too_deep()
        match node:
            case ast.Name(id=name):
                return self._leaves[name]
            case ast.UnaryOp(op=op, operand=part):
                return self._signed(op, part, depth)
            case ast.BinOp(left=left, op=op, right=right):
                return _Arithmetic(_ACTS[type(op)], self._value(left, depth), self._value(right, depth))
            case ast.Compare(left=left, ops=ops, comparators=others):
                parts = tuple(self._value(part, depth) for part in (left, *others))
                return _Comparison(parts, tuple(_COMPARISONS[type(op)] for op in ops))
            case ast.BoolOp(op=op, values=parts):
                return _Junction(isinstance(op, ast.Or), tuple(self._answer(part, depth) for part in parts))
            case _:
                raise self._no_expression()

    def _signed(self, op: ast.unaryop, part: ast.expr, depth: int) -> _Node:
        if isinstance(op, ast.Not):
            return _Not(self._answer(part, depth))
        value = self._value(part, depth)
        return _Negative(value) if isinstance(op, ast.USub) else value

    def _answer(self, node: ast.expr, depth: int) -> _Node:
        built = self._node(node, depth + 1)
        if not _may_answer(built):
            raise ValueError(f"{self._shown} joins values with and, or, not (comparisons, such as {EXAMPLE})")
        return built

    def _value(self, node: ast.expr, depth: int) -> _Node:
        built = self._node(node, depth + 1)
        if isinstance(built, (_Comparison, _Not, _Junction)):
            # all that can be wrong with a text is a ValueError
            raise ValueError(f"{self._shown} calculates with an answer (and, or, not between comparisons)")  # noqa: TRY004
        return built

    def _no_expression(self) -> ValueError:
        right = f"such as {EXAMPLE}, with and, or, not, + - * / and parentheses"
        return ValueError(f"{self._shown} is no comparison of columns ({right})")

    def _too_deep(self) -> ValueError:
        return ValueError(f"{self._shown} is nested more than {DEEPEST} deep (flatter)")
