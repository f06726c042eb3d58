"""Erlang terms as RabbitMQ prints them in texts: `~w` and `~tp` of io_lib.

`cannot decode <<0,0>>` is `~w` of the arguments of a method; `{longstr,<<"foo">>}` is `~tp` of a field. Terms are int,
float, bool, None (`undefined`), bytes (a binary), `Atom`, tuple, list and dict (a map). `~tp` breaks lines after 80
columns; this is not done here, because these texts have short values and are cut at 255 octets.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from typing import TypeAlias

#: An Erlang term as listed above; the functions that print or hash one examine its class.
Term: TypeAlias = object

#: Escapes of io_lib in a quoted string.
_ESCAPES = {
    '"': '\\"',
    "\\": "\\\\",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\b": "\\b",
    "\f": "\\f",
    "\x1b": "\\e",
}


class Atom(str):
    """An Erlang atom, such as `Atom("longstr")`."""

    __slots__ = ()


class Literal(str):
    """A term that is printed as it is, such as the name of a process."""

    __slots__ = ()


class Quoted(str):
    """An Erlang string, a list of characters: printed in double quotes."""

    __slots__ = ()


class Latin1(bytes):
    """A binary that is printed by `~p` rather than `~tp`: its octets are characters of Latin-1."""

    __slots__ = ()


def integer(digits: str) -> int:
    """Parse a number as `list_to_integer/1`: no spaces, no underscores. Raises ValueError."""
    if _INTEGER.fullmatch(digits) is None:
        raise ValueError(digits)
    return int(digits)


_INTEGER = re.compile(r"[+-]?[0-9]+")


def text(value: Term) -> str:
    """Format a value as `~ts` (binaries) or `~tp` (others): binaries without quotes."""
    if isinstance(value, bytes):
        return chars(value)
    return pretty(value)


def chars(raw: bytes) -> str:
    """Format a binary as `~ts`: UTF-8, or Latin-1 if it is not UTF-8 (io_lib_format:cdata_to_chars/1)."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def octets(raw: bytes) -> str:
    """Format a binary as `~w`: `<<0,255>>`."""
    return f"<<{','.join(map(str, raw))}>>"


def excerpt(raw: bytes) -> str:
    """Format the payload of a frame as in frame errors (rabbit_reader:maybe_truncate_payload)."""
    label = "all octets" if len(raw) <= 16 else "first 16 octets"
    return f"{label} = {pretty(raw[:16])}"


def pretty(term: Term) -> str:
    """Format a term as `~tp`."""
    if isinstance(term, bytes):
        return _binary(term)
    if isinstance(term, Atom):
        return _atom(term)
    if isinstance(term, Literal):
        return str(term)
    if isinstance(term, Quoted):
        return '"' + "".join([_ESCAPES.get(char, char) for char in term]) + '"'
    if term is None:
        return "undefined"
    if isinstance(term, bool):
        return "true" if term else "false"
    if isinstance(term, float):
        return number(term)
    if isinstance(term, tuple):
        return "{" + ",".join([pretty(item) for item in term]) + "}"
    if isinstance(term, list):
        return "[" + ",".join([pretty(item) for item in term]) + "]"
    if isinstance(term, dict):
        return "#{" + ",".join([f"{pretty(key)} => {pretty(item)}" for key, item in term.items()]) + "}"
    return str(term)


def _atom(name: str) -> str:
    """Format an atom, in single quotes unless it is a plain one."""
    if _PLAIN.fullmatch(name) and name not in _RESERVED:
        return str(name)
    escapes = {**_ESCAPES, "'": "\\'", '"': '"'}
    return "'" + "".join([escapes.get(char, char) for char in name]) + "'"


#: Letters are those of Latin-1.
_PLAIN = re.compile(r"[a-zß-öø-ÿ][a-zA-ZÀ-ÖØ-öø-ÿ0-9_@]*")

#: Words of the language, which are no atoms without quotes.
_WORDS = """
    after and andalso band begin bnot bor bsl bsr bxor case catch cond div else end fun if let maybe not of or orelse
    receive rem try when xor
"""
_RESERVED = frozenset(_WORDS.split())


def from_json(value: object) -> Term:
    """A JSON value as the term that RabbitMQ decodes it to."""
    if isinstance(value, Atom):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if isinstance(value, list):
        return [from_json(item) for item in value]
    if isinstance(value, dict):
        return {from_json(key): from_json(item) for key, item in value.items()}
    return Atom("null") if value is None else value


#: Values of a refused JSON document that its error text shows, and octets of each: RabbitMQ shows all of them, but ten
#: thousand take 50 ms.
MOST_SHOWN = 1000
MOST_SHOWN_OCTETS = 16_384


def shown_json(value: object) -> str:
    """Format a refused JSON value as `~tp`; of one with very many values, the first of them and `...`."""
    return pretty(_beginning(value, [MOST_SHOWN]))


def terms_of(fields: Mapping[str, object]) -> list[Term]:
    """The fields of a refused JSON object as pairs, in the order of their names; of very many, the first and `...`."""
    left = [MOST_SHOWN]
    found: list[Term] = []
    for name in sorted(fields):
        if left[0] <= 0:
            return [*found, Literal("...")]
        found.append((_beginning(name, left), _beginning(fields[name], left)))
    return found


def _beginning(value: object, left: list[int]) -> Term:
    """`from_json`, as long as there are values `left`."""
    left[0] -= 1
    if isinstance(value, list):
        items: list[Term] = [_beginning(item, left) for item in value[: max(left[0], 0)]]
        return items if len(items) == len(value) else [*items, Literal("...")]
    if isinstance(value, dict):
        shown: dict[Term, Term] = {}
        for name, item in value.items():
            if left[0] <= 0:
                break
            shown[_beginning(name, left)] = _beginning(item, left)
        return shown
    term = from_json(value)
    return term[:MOST_SHOWN_OCTETS] if isinstance(term, bytes) else term


def string(raw: bytes) -> str:
    """Format octets as `~tp` formats a list of numbers: as a string if all of them are printable."""
    decoded = raw.decode("latin-1")
    if not _printable().fullmatch(decoded):
        return f"[{','.join(map(str, raw))}]"
    return '"' + "".join([_ESCAPES.get(char, char) for char in decoded]) + '"'


def _binary(raw: bytes) -> str:
    """Format a binary as `~tp`: as a string if it is printable, in UTF-8 or else Latin-1."""
    if not raw:
        return "<<>>"
    decoded = _characters(raw)
    if decoded is None:
        return octets(raw)
    quoted = "".join([_ESCAPES.get(char, char) for char in decoded])
    return f'<<"{quoted}"/utf8>>' if len(decoded) < len(raw) else f'<<"{quoted}">>'


def _characters(raw: bytes) -> str | None:
    """The characters of a binary, None if they are not printable."""
    decoded = raw.decode("latin-1") if isinstance(raw, Latin1) else chars(raw)
    return decoded if _printable().fullmatch(decoded) else None


@cache
def _printable() -> re.Pattern[str]:
    """Return the pattern of io_lib:printable_unicode_list/1; RabbitMQ runs with `+pc unicode`. Its class of characters
    takes 3 ms to compile, so that this is not done at import."""
    return re.compile("[ -~\xa0-\ufffd\U00010000-\U0010ffff\n\r\t\v\b\f\x1b]*")


def number(value: float) -> str:
    """Format a float as `~p`: shortest digits, with an exponent only if that is shorter.

    From 2**53 on there always is an exponent (io_lib_format:fwrite_g/1).
    """
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)  # tables contain no NaN and no infinity
    figures = "".join(map(str, digits))
    minus = "-" if sign else ""
    if figures == "0":
        return minus + "0.0"
    place = len(figures) + exponent
    if 0 < place < len(figures):
        return f"{minus}{figures[:place]}.{figures[place:]}"
    scientific = f"{figures[0]}.{figures[1:] or '0'}e{place - 1}"
    if place <= 0:
        plain = "0." + "0" * -place + figures
    else:
        plain = figures + "0" * (place - len(figures)) + ".0"
    shorter = len(plain) <= len(scientific) and abs(value) < 2**53
    return minus + (plain if shorter else scientific)


#: Columns that `~tp` fills, and half of them (io_lib:format, io_lib_pretty).
LINE_COLUMNS = 80
HALF_LINE_COLUMNS = 40

#: How far elements after the tag of a tuple are indented, the first that fits; -1: they stand beside the tag.
_INDENTS = (-1, 4)


class _TooNarrowError(Exception):
    """Elements after the tag of a tuple would begin in the second half of the line."""


def wrapped(term: Term, column: int = 0) -> str:
    """A term under `~tp` with its line breaks (io_lib_pretty). `column`: where it begins.

    Of a tuple or list that does not fit on a line, simple elements fill lines, and others begin new ones. They stand
    below each other; those of a tuple that begins with an atom beside it, or, where that is too narrow, on lines of
    their own. Strings are never broken.
    """
    for indent in _INDENTS:
        try:
            return _Layout(indent).term(term, column + 1, column, 0)
        except _TooNarrowError:
            continue
    return _Layout(1, forced=True).term(term, column + 1, column, 0)


class _Layout:
    """Lays out one term. `indent`: of elements after a tag, see `_INDENTS`.

    Columns begin at 1. `depth`: how many brackets are closed after an element.
    """

    def __init__(self, indent: int, *, forced: bool = False) -> None:
        self.indent = indent
        self.forced = forced

    def term(self, term: Term, column: int, margin: int, depth: int) -> str:
        """Lay out a term. `margin`: spaces before its next lines."""
        line = pretty(term)
        if _is_simple(term) or len(line) < LINE_COLUMNS - column - depth:
            return line
        if isinstance(term, bytes):
            return _octets_wrapped(term, column + 2, margin + 2, depth)
        if isinstance(term, dict):
            return "#{" + self._elements(_pairs(term), column + 2, margin + 2, depth) + "}"
        assert isinstance(term, tuple | list)
        if isinstance(term, tuple) and len(term) > 1 and _is_atom(term[0]):
            return "{" + self._tagged(term, column + 1, margin + 1, depth) + "}"
        opened, closed = "{}" if isinstance(term, tuple) else "[]"
        return opened + self._elements(list(term), column + 1, margin + 1, depth) + closed

    def _tagged(self, term: tuple[Term, ...], column: int, margin: int, depth: int) -> str:
        tag, items = pretty(term[0]), list(term[1:])
        beside = len(tag) + 1
        if 0 < self.indent < beside + 1:
            below = column - 1 + self.indent
            self._check_room(below)
            return tag + self._rest(items, below, margin - 1 + self.indent, depth, column + beside)
        self._check_room(column + beside)
        return f"{tag}," + self._elements(items, column + beside, margin + beside, depth)

    def _check_room(self, column: int) -> None:
        if column > HALF_LINE_COLUMNS and not self.forced:
            raise _TooNarrowError

    def _elements(self, items: list[Term], column: int, margin: int, depth: int) -> str:
        first, *rest = items
        text, width = self._element(first, column, margin, 0 if rest else depth + 1)
        return text + self._rest(rest, column, margin, depth, column + width)

    def _rest(self, items: list[Term], column: int, margin: int, depth: int, at: int) -> str:
        """Lay out elements after the first. `at`: the column behind what is there."""
        found = []
        for number, item in enumerate(items, 1):
            inside = depth + 1 if number == len(items) else 0
            length = 1 + len(_element_line(item))
            if _is_simple(item) and length < LINE_COLUMNS - at - max(inside, 1):
                found.append(f",{_element_line(item)}")
                at += length
            else:
                text, width = self._element(item, column, margin, inside)
                found.append(f",\n{' ' * margin}{text}")
                at = column + width
        return "".join(found)

    def _element(self, item: Term, column: int, margin: int, depth: int) -> tuple[str, int]:
        """An element, and how much of the line it fills."""
        line = _element_line(item)
        fits = len(line) < LINE_COLUMNS - column - depth
        if fits and _is_simple(item):
            return line, len(line)
        if not isinstance(item, _Pair):
            return self.term(item, column, margin, depth), LINE_COLUMNS
        if fits:
            return line, LINE_COLUMNS
        inner = self.indent if self.indent > 0 else 4
        key = self.term(item.key, column, margin, depth)
        value = self.term(item.value, column + inner, margin + inner, depth)
        return f"{key} =>\n{' ' * (margin + inner)}{value}", LINE_COLUMNS


class _Pair:
    """A key of a map with its value."""

    def __init__(self, key: Term, value: Term) -> None:
        self.key = key
        self.value = value


def _pairs(term: dict[Term, Term]) -> list[Term]:
    return [_Pair(key, value) for key, value in term.items()]


def _element_line(item: Term) -> str:
    return f"{pretty(item.key)} => {pretty(item.value)}" if isinstance(item, _Pair) else pretty(item)


def _octets_wrapped(raw: bytes, column: int, margin: int, depth: int) -> str:
    """A binary that is shown as numbers, on several lines. `column`: of the first number (io_lib_pretty:pp_binary)."""
    room = left = max(8, LINE_COLUMNS - column - depth)
    found = []
    for number, octet in enumerate(raw, 1):
        word = f"{octet}," if number < len(raw) else str(octet)
        if len(word) > left:
            found.append("\n" + " " * margin)
            left = room
        found.append(word)
        left -= len(word)
    return f"<<{''.join(found)}>>"


def _is_simple(term: Term) -> bool:
    """Whether a term is never broken: it has no elements."""
    if isinstance(term, _Pair):
        return _is_simple(term.key) and _is_simple(term.value)
    if isinstance(term, bytes):
        return not term or _characters(term) is not None
    return not (isinstance(term, tuple | list | dict) and term)


def _is_atom(term: Term) -> bool:
    return term is None or isinstance(term, Atom | bool)
