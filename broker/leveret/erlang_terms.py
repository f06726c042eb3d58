"""Erlang terms in files: `advanced.config`, `enabled_plugins`, and values on Erlang's command line.

Numbers, booleans and texts are Python's. An atom is an `Atom`, a string or binary a `str`, a tuple a tuple, a map a
dict. What no configuration has (functions, process ids, bit syntax) is an error.
"""

from __future__ import annotations

import re

Term = object


class Atom(str):
    """An Erlang atom; `true` and `false` are, too."""

    __slots__ = ()


class TermError(Exception):
    """The text is no Erlang term. `line`: where."""

    def __init__(self, line: int, near: str) -> None:
        super().__init__(f"syntax error in line {line} before: {near!r}")
        self.line = line


_TOKEN = re.compile(
    r"""(?P<space>(?:\s|%[^\n]*)+)
    | (?P<float>[+-]?\d+\.\d+(?:[eE][+-]?\d+)?)
    | (?P<based>\d+\#[0-9a-zA-Z]+)
    | (?P<integer>[+-]?\d[\d_]*)
    | (?P<letter>\$(?:\\.|.))
    | (?P<string>"(?:\\.|[^"\\])*")
    | (?P<quoted>'(?:\\.|[^'\\])*')
    | (?P<atom>[a-z][\w@]*)
    | (?P<mark>\#\{|=>|<<|>>|[\[\]{}(),|.])
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "s": " ", "0": "\0", "e": "\x1b"}


def parse(text: str) -> Term:
    """Return the only term of a text, with or without the dot at its end. Raises `TermError`."""
    return _Parser(text).only()


def parse_file(text: str) -> Term:
    """Return the only term of a file, which ends with a dot. Raises `TermError`."""
    return _Parser(text).only(ended=True)


class _Parser:
    """A parser by recursive descent. `_tokens`: kind, text and line number of what is left, last first."""

    def __init__(self, text: str) -> None:
        found: list[tuple[str, str, int]] = []
        position, line = 0, 1
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None or match.lastgroup is None:
                raise TermError(line, text[position : position + 10])
            if match.lastgroup != "space":
                found.append((match.lastgroup, match[0], line))
            line += match[0].count("\n")
            position = match.end()
        self._tokens = [("end", "", line), *reversed(found)]

    def only(self, *, ended: bool = False) -> Term:
        term = self._term()
        if not self._skip(".") and ended:
            raise self._error()
        if self._tokens[-1][0] != "end":
            raise self._error()
        return term

    def _error(self) -> TermError:
        _, text, line = self._tokens[-1]
        return TermError(line, text)

    def _skip(self, mark: str) -> bool:
        """Take a mark if it is next; returns whether it was."""
        if self._tokens[-1][:2] != ("mark", mark):
            return False
        self._tokens.pop()
        return True

    def _need(self, mark: str) -> None:
        if not self._skip(mark):
            raise self._error()

    def _term(self) -> Term:
        kind, text, _ = self._tokens[-1]
        if kind == "mark":
            return self._compound(text)
        if kind == "end":
            raise self._error()
        self._tokens.pop()
        return self._joined(text) if kind == "string" else _scalar(kind, text)

    def _joined(self, text: str) -> str:
        """Adjacent strings are one."""
        whole = _unquoted(text)
        while self._tokens[-1][0] == "string":
            whole += _unquoted(self._tokens.pop()[1])
        return whole

    def _compound(self, mark: str) -> Term:
        if self._skip("["):
            return self._items("]")
        if self._skip("{"):
            return tuple(self._items("}"))
        if self._skip("#{"):
            return self._map()
        if self._skip("<<"):
            return self._binary()
        raise self._error()

    def _items(self, end: str) -> list[Term]:
        items: list[Term] = []
        while not self._skip(end):
            if items:
                self._need(",")
            items.append(self._term())
        return items

    def _map(self) -> dict[Term, Term]:
        found: dict[Term, Term] = {}
        while not self._skip("}"):
            if found:
                self._need(",")
            key = self._term()
            self._need("=>")
            found[key if isinstance(key, str | int | float) else str(key)] = self._term()
        return found

    def _binary(self) -> str:
        parts: list[str] = []
        while not self._skip(">>"):
            if parts:
                self._need(",")
            part = self._term()
            if isinstance(part, Atom) or not isinstance(part, str | int):
                raise self._error()
            parts.append(part if isinstance(part, str) else chr(part))
        return "".join(parts)


def _scalar(kind: str, text: str) -> Term:
    if kind == "float":
        return float(text)
    if kind == "integer":
        return int(text)
    if kind == "based":
        base, _, digits = text.partition("#")
        return int(digits, int(base))
    if kind == "letter":
        return ord(text[1:] if len(text) == 2 else _ESCAPES.get(text[2], text[2]))
    return Atom(_unquoted(text) if kind == "quoted" else text)


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), text[1:-1], flags=re.DOTALL)
