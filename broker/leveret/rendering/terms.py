"""Terms as Erlang (`~p`) and Elixir (`inspect`) print them."""

from __future__ import annotations

from leveret.wire.erlang import Atom, Latin1, Literal, Quoted, number, pretty, wrapped

__all__ = ["Atom", "Pid", "Quoted", "Row", "erlang", "inspect", "row", "text_of"]


class Pid(str):
    """An Erlang process, as RabbitMQ prints it: `<rabbit@host.1.2.3>`."""

    __slots__ = ()


#: One line of a list: names and values.
Row = list[tuple[str, object]]


def row(**fields: object) -> Row:
    """A row whose names are atoms."""
    return [(Atom(name.replace("__", "-")), value) for name, value in fields.items()]


def _term(value: object) -> object:
    """The value for `leveret.wire.erlang`, where binaries are bytes."""
    if isinstance(value, Pid):
        return Literal(value)
    if isinstance(value, Atom | Quoted):
        return value
    if isinstance(value, str):
        return Latin1(value.encode("utf-8", "surrogateescape"))
    if isinstance(value, tuple):
        return tuple(_term(item) for item in value)
    if isinstance(value, list):
        if value and all(type(item) is int and _is_printable(item) for item in value):
            return Quoted("".join(map(chr, value)))
        return [_term(item) for item in value]
    if isinstance(value, dict):
        return {_term(key): _term(item) for key, item in value.items()}
    return Atom("nil") if value is None else value


def _is_printable(number: int) -> bool:
    """Whether a number in a list is shown as a character (io_lib:printable_latin1_list/1)."""
    return 32 <= number <= 126 or 160 <= number <= 255 or 8 <= number <= 13 or number == 27


def erlang(value: object) -> str:
    """Print a term as `~p`, with line breaks."""
    return wrapped(_term(value))


def erlang_line(value: object) -> str:
    """Print a term as `~p` on one line."""
    return pretty(_term(value))


def text_of(value: object) -> str:
    """Elixir's `to_string`, or `inspect` of what has none."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    if isinstance(value, float):
        return number(value)
    if isinstance(value, int | str):
        return str(value)
    if isinstance(value, list) and all(
        isinstance(item, str) and not isinstance(item, Atom) for item in value
    ):
        return "".join(value)
    return inspect(value)


_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\x1b": "\\e"}


def _quoted(text: str) -> str:
    return '"' + "".join([_ESCAPES.get(char, char) for char in text]).replace("#{", "\\#{") + '"'


def inspect(value: object) -> str:
    """Print a term as Elixir does, on one line."""
    if value is None:
        return "nil"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, Pid):
        return f"#PID{value}"
    if isinstance(value, Atom):
        return f":{_atom(value)}"
    if isinstance(value, Quoted):
        return f"~c{_quoted(value)}"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, tuple):
        return "{" + ", ".join([inspect(item) for item in value]) + "}"
    if isinstance(value, list):
        if value and all(
            isinstance(one, tuple) and len(one) == 2 and isinstance(one[0], Atom) for one in value
        ):
            return "[" + ", ".join([f"{_atom(key)}: {inspect(item)}" for key, item in value]) + "]"
        return "[" + ", ".join([inspect(item) for item in value]) + "]"
    if isinstance(value, dict):
        pairs = [
            f"{_atom(key)}: {inspect(item)}"
            if isinstance(key, Atom)
            else f"{inspect(key)} => {inspect(item)}"
            for key, item in value.items()
        ]
        return "%{" + ", ".join(pairs) + "}"
    return str(value)


def _atom(name: str) -> str:
    """The name of an atom, in quotes unless it is an identifier."""
    return name if name.replace("@", "_").isidentifier() and name[0] != "@" else _quoted(name)
