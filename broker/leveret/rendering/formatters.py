"""RabbitMQ's formatters: table, pretty_table, json, csv, erlang and others.

A formatter gets the rows of a list one after another, or one value; it returns what is written to standard output.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from leveret.rendering.terms import Atom, Pid, Quoted, Row, erlang, erlang_line, inspect, text_of
from leveret.wire.erlang import number

Options = Mapping[str, object]


class FormatError(Exception):
    """A formatter cannot show a value; the text is that of RabbitMQ."""


class Formatter:
    """The formatter `string`. `raw`: the output has no line ends but its own."""

    def __init__(self, options: Options, raw: bool = False) -> None:
        self.options = options
        self.raw = raw

    def puts(self, text: str) -> str:
        """A line."""
        return text if self.raw else f"{text}\n"

    def value(self, value: object) -> str:
        """Show one value."""
        return self.puts(text_of(value))

    def row(self, row: object) -> str:
        """Show one row of a list."""
        return self.puts(text_of(row))

    def end(self) -> str:
        """End a list."""
        return ""


class Inspect(Formatter):
    """Elixir terms."""

    first = True

    def value(self, value: object) -> str:
        return self.puts(value if isinstance(value, str) else inspect(value))

    def row(self, row: object) -> str:
        start = self.puts("[") if self.first else ""
        comma = "" if self.first else ","
        self.first = False
        return start + self.puts(comma + (row if isinstance(row, str) else inspect(row)))

    def end(self) -> str:
        return (self.puts("[") if self.first else "") + self.puts("]")


class StringPerLine(Formatter):
    """Texts one after another: RabbitMQ puts no line end between them, and an empty line between rows."""

    first = True

    def value(self, value: object) -> str:
        items = value if isinstance(value, list) else [value]
        return self.puts("".join([text_of(item) for item in items]))

    def row(self, row: object) -> str:
        space = "" if self.first else "\n"
        self.first = False
        return space + self.value(row)


class Erlang(Formatter):
    """Erlang terms."""

    def __init__(self, options: Options, raw: bool = False) -> None:
        super().__init__(options, raw)
        self.rows: list[object] = []

    def value(self, value: object) -> str:
        return self.puts(erlang(value))

    def row(self, row: object) -> str:
        self.rows.append(row)
        return ""

    def end(self) -> str:
        return self.puts(erlang(self.rows))


class EncryptedConfValue(Formatter):
    """An encrypted value for rabbitmq.conf."""

    def value(self, value: object) -> str:
        return self.puts(f"encrypted:{text_of(value)}")

    def row(self, row: object) -> str:
        raise _no_text(row)


class Table(Formatter):
    """Columns separated by tabs, below their names."""

    first = True

    def value(self, value: object) -> str:
        return self._lines(value)

    def row(self, row: object) -> str:
        if self.first:
            self.first = False
            return self._lines(row)
        return self.puts(self._line(row))

    def _lines(self, value: object) -> str:
        names = _names(value)
        headed = self.options.get("table_headers", True) and not self.options.get("silent")
        return (self.puts("\t".join(names)) if headed and names else "") + self.puts(self._line(value))

    def _line(self, value: object) -> str:
        fields = _fields(value)
        if fields is None:
            return value if isinstance(value, str) else inspect(value)
        shown = [info_item(item) for _, item in fields]
        if self.options.get("pad_to_header"):
            shown = [text.ljust(len(name)) for text, (name, _) in zip(shown, fields, strict=True)]
        return "\t".join(shown)


def _fields(value: object) -> Row | None:
    """The pairs of a row or a map, None for other values."""
    if isinstance(value, dict):
        return sorted(value.items())
    if isinstance(value, list) and all(isinstance(one, tuple) and len(one) == 2 for one in value):
        return value
    return None


def _names(value: object) -> list[str]:
    return [str(name) for name, _ in _fields(value) or []]


def info_item(value: object) -> str:
    """A value in a table (rabbitmq_cli: formatter_helpers.ex)."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and not isinstance(value, Quoted):
        return str(value)
    if isinstance(value, dict):
        return "#{" + ", ".join([f"{key} => {info_item(item)}" for key, item in sorted(value.items())]) + "}"
    if isinstance(value, list) and value:
        if _is_table(value):
            return erlang_line(_prettified(value))
        return "[" + ", ".join([info_item(item) for item in value]) + "]"
    if isinstance(value, tuple) and len(value) in (4, 8) and all(type(part) is int for part in value):
        return _address(value)
    if isinstance(value, tuple) and len(value) == 2:
        return "{" + erlang_line(value[0]) + ", " + info_item(value[1]) + "}"
    return erlang_line(value)


def _address(parts: tuple[int, ...]) -> str:
    """An IP address, which RabbitMQ has as a tuple of numbers."""
    if len(parts) == 4:
        return ".".join(map(str, parts))
    from ipaddress import IPv6Address

    return f"[{IPv6Address(b''.join([part.to_bytes(2, 'big') for part in parts]))}]"


def _is_table(value: list[object]) -> bool:
    """Whether a list is a field table: names, types and values."""
    first = value[0]
    return isinstance(first, tuple) and len(first) == 3 and isinstance(first[1], Atom)


def _prettified(table: object) -> object:
    assert isinstance(table, list)
    return [(Quoted(name), _prettified_value(kind, item)) for name, kind, item in table]


def _prettified_value(kind: str, value: object) -> object:
    if kind == "longstr":
        return Quoted(value)
    if kind == "table":
        return _prettified(value)
    if kind == "array":
        assert isinstance(value, list)
        return [_prettified_value(each, item) for each, item in value]
    return value


class Csv(Formatter):
    """Values in double quotes, separated by commas."""

    first = True

    def value(self, value: object) -> str:
        if not isinstance(value, list | dict | Quoted):
            raise _has_no("Enumerable", value)
        names = _names(value)
        return self.puts((_quoted(names) + "\n" if names else "") + self._line(value))

    def row(self, row: object) -> str:
        names = _names(row) if self.first else []
        self.first = False
        head = self.puts(_quoted(names)) if names else ""
        try:
            return head + self.puts(self._line(row))
        except FormatError as error:
            error.add_note(head)
            raise

    def _line(self, value: object) -> str:
        fields = _fields(value)
        items = [item for _, item in fields] if fields else value
        return _quoted([_csv_text(item) for item in (items if isinstance(items, list) else [items])])


def _quoted(texts: list[str]) -> str:
    return ",".join(['"' + text.replace('"', '""') + '"' for text in texts])


#: What Elixir says of a list that is no text.
_NO_TEXT = (
    "cannot convert the given list to a string.\n\nTo be converted to a string, a list must either be empty or only\n"
    "contain the following elements:\n\n  * strings\n  * integers representing Unicode code points\n"
    "  * a list containing one of these three elements\n\nPlease check the given list or call inspect/1 to get the "
    "list representation, got:\n\n"
)


def _no_text(value: object) -> FormatError:
    """A value that is no text where there should be one."""
    message = inspect(f"{_NO_TEXT}{inspect(value)}\n")
    return FormatError(f"%ArgumentError{{message: {message}}}\n")


def _has_no(protocol: str, value: object) -> FormatError:
    """A value for which Elixir has no implementation of a protocol."""
    return FormatError(
        f'%Protocol.UndefinedError{{protocol: {protocol}, value: {inspect(value)}, description: ""}}\n'
    )


def _csv_text(value: object) -> str:
    if isinstance(value, list) and any(isinstance(one, Atom | tuple | dict) for one in value):
        raise _no_text(value)
    if isinstance(value, list):
        return "".join([str(item) for item in value])
    return text_of(value)


class Json(Formatter):
    """A JSON array, an object a line; or one object."""

    first = True

    def value(self, value: object) -> str:
        return self.puts(encoded({"message": value} if isinstance(value, str) else value))

    def row(self, row: object) -> str:
        start = self.puts("[") if self.first else ""
        comma = "" if self.first else ","
        self.first = False
        return start + self.puts(comma + encoded({"message": row} if isinstance(row, str) else row))

    def end(self) -> str:
        return (self.puts("[") if self.first else "") + self.puts("]")


class JsonStream(Formatter):
    """JSON objects one after another."""

    def value(self, value: object) -> str:
        return self.puts(encoded(value) if value != "" else "")

    def row(self, row: object) -> str:
        return self.puts(f"{encoded(row)}\n")


def encoded(value: object) -> str:
    """A term as JSON."""
    return json.dumps(plain(value), ensure_ascii=False, separators=(",", ":"))


def plain(value: object) -> object:
    """A term as JSON can express it (rabbitmq_cli: json.ex)."""
    if isinstance(value, Pid):
        return f"Pid({inspect(value)})"
    if isinstance(value, str):
        return str(value)
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list):
        if value and all(
            isinstance(one, tuple) and len(one) == 2 and isinstance(one[0], str) for one in value
        ):
            return {str(key): plain(item) for key, item in value}
        return [plain(item) for item in value]
    return value


class PrettyTable(Formatter):
    """A table with borders (stdout_formatter), drawn by DEC's special graphics."""

    def __init__(self, options: Options, raw: bool = False) -> None:
        super().__init__(options, raw)
        self.rows: list[Row] = []

    def value(self, value: object) -> str:
        shown = value if isinstance(value, str) else erlang(value)
        return self.puts(bordered([["Output"], [shown]]))

    def row(self, row: object) -> str:
        fields = _fields(row)
        assert fields is not None
        self.rows.append(fields)
        return ""

    def end(self) -> str:
        if not self.rows:
            return ""
        lines = [[str(name) for name, _ in self.rows[0]]]
        lines += [[cell(item) for _, item in fields] for fields in self.rows]
        return self.puts(bordered(lines))


def cell(value: object) -> str:
    """A value in a table with borders."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "nil"
    if isinstance(value, str):
        return str(value)
    if isinstance(value, float):
        return f"{value:f}"
    if isinstance(value, list):
        return "".join([cell(item) for item in value])
    return erlang(value)


def bordered(rows: list[list[str]]) -> str:
    """Draw a table; the first row is its titles."""
    cells = [[[line.expandtabs(8) for line in text.split("\n")] for text in row] for row in rows]
    count = max(map(len, cells))
    for row in cells:
        row += [[""]] * (count - len(row))
    widths = [max(len(line) for row in cells for line in row[at]) for at in range(count)]
    drawn: list[str] = []
    for number_, row in enumerate(cells):
        drawn.append(_border("lwk" if number_ == 0 else "tnu", widths))
        for at in range(max(map(len, row))):
            drawn.append(_drawn(row, at, widths, title=number_ == 0))
    return "\n".join([*drawn, _border("mvj", widths)])


def _border(corners: str, widths: list[int]) -> str:
    left, middle, right = list(corners)
    return f"\x1b(0{left}{middle.join(['q' * (width + 2) for width in widths])}{right}\x1b(B"


def _drawn(row: list[list[str]], at: int, widths: list[int], *, title: bool) -> str:
    edge = "\x1b(0x\x1b(B"
    texts = []
    for lines, width in zip(row, widths, strict=True):
        text = lines[at] if at < len(lines) else ""
        bold = f"\x1b[1m{text}\x1b[0m" if title and at < len(lines) else text
        texts.append(f" {bold}{' ' * (width - len(text))} ")
    return edge + edge.join(texts) + edge


class Memory(Formatter):
    """The memory breakdown."""

    def value(self, value: object) -> str:
        assert isinstance(value, list)
        unit = str(self.options["unit"]).lower()
        lines = [
            f"{name}: {converted(share['bytes'], unit)} {unit} ({number(share['percentage'])}%)\n"
            for name, share in value
        ]
        return self.puts("".join(lines))


#: Units -> octets (rabbitmq_cli: information_unit.ex).
UNITS = {"bytes": 1} | {
    unit: size
    for units, size in (
        ("k kb kilobytes", 10**3), ("ki kib", 2**10), ("m mb megabytes", 10**6), ("mi mib", 2**20),
        ("g gb gi gib gigabytes", 10**9), ("t tb terabytes", 10**12), ("ti tib", 2**40),
        ("p pb petabytes", 10**15), ("pi pib", 2**50),
    )
    for unit in units.split()
}  # fmt: skip


def converted(octets: int, unit: str) -> str:
    """A size in a unit, with four digits after the point."""
    if unit == "bytes":
        return str(octets)
    return number(round(octets / UNITS[unit.lower()], 4))


class Plugins(Formatter):
    """What `rabbitmq-plugins` says of changes and lists: the lines are in the value."""

    def value(self, value: object) -> str:
        return self._lines(value)

    def row(self, row: object) -> str:
        return self._lines(row)

    def _lines(self, value: object) -> str:
        if isinstance(value, list) and value and isinstance(value[0], tuple):
            raise _has_no("String.Chars", value[0])
        from leveret.rendering.plugins import lines

        return "".join([self.puts(line) for line in lines(value, self.options)])


class OneCommand(Formatter):
    """A formatter that RabbitMQ has for what a single command shows; it fails over the rows of a list."""

    def row(self, row: object) -> str:
        raise FormatError(f"Error:\nthe formatter {self.options['formatter']} does not show lists\n")


FORMATTERS: dict[str, type[Formatter]] = {
    "string": Formatter,
    "string_per_line": StringPerLine,
    "inspect": Inspect,
    "erlang": Erlang,
    "encrypted_conf_value": EncryptedConfValue,
    "table": Table,
    "csv": Csv,
    "json": Json,
    "json_stream": JsonStream,
    "pretty_table": PrettyTable,
    "plugins": Plugins,
    "memory": Memory,
    "report": OneCommand,
    "msacc": OneCommand,
}

#: Formatters that suppress what a command prints first.
MACHINE_READABLE = frozenset({"csv", "json", "json_stream"})

#: Formatters that users can ask for by name.
KNOWN = frozenset(FORMATTERS) - {"memory"}
