"""A parser of Erlang expressions, as far as one-line scripts use them: terms, calls, sums, a `.` at the end.

Terms become the values of `leveret.rendering`; other expressions are `Call`, `Sum` and `Match`.
"""

from __future__ import annotations

import re
from math import inf
from typing import NamedTuple

from leveret.rendering.terms import Atom, Quoted
from leveret.wire.erlang import pretty

_TOKEN = re.compile(
    r"""\s*(?:%[^\n]*\s*)*(?:
      (?P<float>\d+\.\d+(?:[eE][+-]?\d+)?) | (?P<int>\d+)
    | (?P<string>"(?:[^"\\]|\\.)*") | (?P<quoted>'(?:[^'\\]|\\.)*')
    | (?P<atom>[a-zß-öø-ÿ][A-Za-zÀ-ÖØ-öø-ÿ0-9_@]*) | (?P<variable>[A-ZÀ-ÖØ-Þ_][A-Za-zÀ-ÖØ-öø-ÿ0-9_@]*)
    | (?P<mark><<|>>|=>|->|\#\{|[()\[\]{},:;.+\-*/=|])
    )""",
    re.VERBOSE,
)

_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "s": " ", "e": "\x1b", "0": "\0"}

#: Nested brackets and signs, and operators in a row, at most.
DEEPEST = 100

#: Digits of a number at most.
_DIGITS = 4000


class Call(NamedTuple):
    """A call of a function, `module:name(arguments)`. `module`: empty for one without."""

    module: str
    name: str
    arguments: list[object]


class Sum(NamedTuple):
    """Numbers with an operator between them."""

    left: object
    operator: str
    right: object


class Match(NamedTuple):
    """`Variable = Expression`."""

    variable: str
    value: object


class Variable(str):
    """A variable."""

    __slots__ = ()


class SyntaxFault(ValueError):  # noqa: N818  what is wrong is the expression
    """No expression. The text is Erlang's."""


def parse(text: str) -> list[object]:
    """Return the expressions of a text. Raises SyntaxFault."""
    return _Parser(text).expressions()


class _Parser:
    def __init__(self, text: str) -> None:
        self.tokens: list[tuple[str, str]] = []
        at, end = 0, len(text.rstrip())
        while at < end:
            found = _TOKEN.match(text, at)
            if found is None or found.lastgroup is None:
                raise SyntaxFault(f"illegal characters at: {text[at:].strip()[:20]}")
            self.tokens.append((found.lastgroup, found[found.lastgroup]))
            at = found.end()
        self.at = 0
        self.depth = 0

    def expressions(self) -> list[object]:
        found = [self._expression()]
        while self._skip(","):
            found.append(self._expression())
        self._need(".")
        if self.at < len(self.tokens):
            raise self._wrong()
        return found

    def _wrong(self) -> SyntaxFault:
        kind, rest = self._peek()
        if kind == "quoted" or rest == ".":
            rest = pretty(Atom(_unescaped(rest) if kind == "quoted" else rest))
        return SyntaxFault(f"syntax error before: {rest}")

    def _peek(self) -> tuple[str, str]:
        return self.tokens[self.at] if self.at < len(self.tokens) else ("end", "")

    def _skip(self, mark: str) -> bool:
        if self._peek() == ("mark", mark):
            self.at += 1
            return True
        return False

    def _need(self, mark: str) -> None:
        if not self._skip(mark):
            raise self._wrong()

    def _expression(self) -> object:
        self.depth += 1
        if self.depth > DEEPEST:
            raise self._wrong()
        value = self._product()
        for _ in range(DEEPEST):
            if self._peek() not in (("mark", "+"), ("mark", "-")):
                self.depth -= 1
                return value
            operator = self._peek()[1]
            self.at += 1
            value = Sum(value, operator, self._product())
        raise self._wrong()

    def _product(self) -> object:
        value = self._term()
        for _ in range(DEEPEST):
            if not self._skip("*"):
                return value
            value = Sum(value, "*", self._term())
        raise self._wrong()

    def _term(self) -> object:
        kind, text = self._peek()
        if kind in ("end", ""):
            raise self._wrong()
        self.at += 1
        if kind in ("int", "float"):
            return _number(kind, text)
        if kind == "string":
            return Quoted(_unescaped(text))
        if kind in ("atom", "quoted"):
            return self._atom(text if kind == "atom" else _unescaped(text))
        if kind == "variable":
            return Match(text, self._expression()) if self._skip("=") else Variable(text)
        return self._bracket(text)

    def _atom(self, name: str) -> object:
        module = ""
        if self._skip(":"):
            module = name
            kind, name = self._peek()
            if kind not in ("atom", "quoted"):
                raise self._wrong()
            self.at += 1
            name = name if kind == "atom" else _unescaped(name)
        if self._skip("("):
            return Call(module, name, self._items(")"))
        if module:
            raise self._wrong()
        if name in ("true", "false"):
            return name == "true"
        return Atom(name)

    def _bracket(self, mark: str) -> object:
        if mark == "-":
            self.depth += 1
            if self.depth > DEEPEST:
                raise self._wrong()
            value = self._term()
            self.depth -= 1
            return -value if isinstance(value, int | float) else Sum(0, "-", value)
        if mark == "(":
            value = self._expression()
            self._need(")")
            return value
        if mark == "[":
            return self._items("]")
        if mark == "{":
            return tuple(self._items("}"))
        if mark == "<<":
            return _binary(self._items(">>"))
        if mark == "#{":
            return self._map()
        self.at -= 1
        raise self._wrong()

    def _items(self, end: str) -> list[object]:
        if self._skip(end):
            return []
        found = [self._expression()]
        while self._skip(","):
            found.append(self._expression())
        self._need(end)
        return found

    def _map(self) -> dict[object, object]:
        found: dict[object, object] = {}
        while not self._skip("}"):
            key = self._expression()
            self._need("=>")
            try:
                found[key] = self._expression()
            except TypeError:  # a list or a map, which cannot be a key here
                raise self._wrong() from None
            if not self._skip(","):
                self._need("}")
                break
        return found


def _number(kind: str, text: str) -> int | float:
    """Raises SyntaxFault for a number that is too large."""
    value = inf if len(text) > _DIGITS else float(text) if kind == "float" else int(text)
    if value == inf:
        raise SyntaxFault(f"illegal {'integer' if kind == 'int' else 'float'}")
    return value


def _binary(items: list[object]) -> str:
    """A binary of numbers and strings, of which each character is an octet."""
    octets = bytearray()
    for item in items:
        codes = [ord(char) for char in item] if isinstance(item, str) else [item]
        octets += bytes([code & 0xFF for code in codes if isinstance(code, int)])
    return octets.decode("utf-8", "surrogateescape")


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: _ESCAPED.get(found[1], found[1]), text[1:-1])
