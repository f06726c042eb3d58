"""Erlang terms as RabbitMQ prints them in texts: `~w` and `~tp` of io_lib.

`cannot decode <<0,0>>` is `~w` of the arguments of a method; `{longstr,<<"foo">>}` is `~tp` of a field. Terms are int,
float, bool, None (`undefined`), bytes (a binary), `Atom`, tuple, list and dict (a map). `~tp` breaks lines after 80
columns; this is not done here, because these texts have short values and are cut at 255 octets.
"""

from __future__ import annotations

from decimal import Decimal
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
    """An Erlang atom, such as `Atom("longstr")`. It is printed without quotes, so only for lower-case words."""

    __slots__ = ()


class Quoted(str):
    """An Erlang string, a list of characters: printed in double quotes."""

    __slots__ = ()


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


def string(raw: bytes) -> str:
    """Format octets as `~tp` formats a list of numbers: as a string if all of them are printable."""
    decoded = raw.decode("latin-1")
    if not all(map(_printable, decoded)):
        return f"[{','.join(map(str, raw))}]"
    return '"' + "".join([_ESCAPES.get(char, char) for char in decoded]) + '"'


def _binary(raw: bytes) -> str:
    """Format a binary as `~tp`: as a string if it is printable, in UTF-8 or else Latin-1."""
    if not raw:
        return "<<>>"
    decoded = chars(raw)
    if not all(map(_printable, decoded)):
        return octets(raw)
    quoted = "".join([_ESCAPES.get(char, char) for char in decoded])
    return f'<<"{quoted}"/utf8>>' if len(decoded) < len(raw) else f'<<"{quoted}">>'


def _printable(char: str) -> bool:
    """Return io_lib:printable_unicode_list/1 of a character; RabbitMQ runs with `+pc unicode`."""
    return " " <= char <= "~" or (char >= "\xa0" and char not in "\ufffe\uffff") or char in _ESCAPES


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


class _TooNarrowError(Exception):
    """Elements after the tag of a tuple would begin in the second half of the line."""


def wrapped(term: Term, column: int = 0) -> str:
    """A term under `~tp` with its line breaks. `column`: where it begins.

    Elements of a tuple or list that does not fit on a line stand below each other; those of a tuple that begins with
    an atom after it, or, where that is too narrow, on lines of their own. Strings are never broken.
    """
    try:
        return _laid_out(term, column, 0, beside=True)
    except _TooNarrowError:
        return _laid_out(term, column, 0, beside=False)


def _laid_out(term: Term, column: int, closing: int, *, beside: bool) -> str:
    """`column`: where the term begins. `closing`: how much follows it on its last line."""
    line = pretty(term)
    if not isinstance(term, tuple | list) or column + len(line) + closing < LINE_COLUMNS:
        return line
    opened, closed = "{}" if isinstance(term, tuple) else "[]"
    items = list(term)
    if isinstance(term, tuple) and isinstance(term[0], Atom) and len(term) > 1:
        opened, items = f"{{{term[0]},", items[1:]
        if beside and column + len(opened) >= HALF_LINE_COLUMNS:
            raise _TooNarrowError
        if not beside:
            opened += f"\n{' ' * (column + 4)}"
            column += 4
        else:
            column += len(opened)
    else:
        column += 1
    last = len(items) - 1
    shown = [
        _laid_out(item, column, closing + 1 if number == last else 1, beside=beside)
        for number, item in enumerate(items)
    ]
    return opened + f",\n{' ' * column}".join(shown) + closed
