"""What the commands of `rabbitmqadmin` (version 2) have in common: their options, results and tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import NamedTuple

from leveret.admin.http import Api, segment
from leveret.admin.tables import STYLES, cell, compact, drawn, plain

#: Exit codes (sysexits.h), and that of a command line that cannot be read.
WRONG, DATA, UNAVAILABLE, USAGE = 64, 65, 69, 2

Given = dict[str, str]


class Failed(Exception):  # noqa: N818  it is an answer
    """The command has failed; the text is for standard error."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class Command(NamedTuple):
    """One command. `needs`, `takes`: options with values; `flags`: without. `words`: arguments. `short`: letters."""

    action: Callable[[Run, Given], None]
    needs: str = ""
    takes: str = ""
    flags: str = ""
    words: str = ""
    short: Mapping[str, str] = {}


class Run(NamedTuple):
    """The API, and how results are shown."""

    api: Api
    vhost: str
    style: str
    scripted: bool
    quiet: bool

    def table(self, rows: list[list[str]], title: str = "") -> None:
        """Print a table whose first row are its titles."""
        if not rows[0]:
            print()
        elif self.scripted:
            print(plain([[rows[0][0], *[""] * (len(rows[0]) - 1)], *rows[1:]] if title else rows[1:]))
        else:
            print(drawn(rows, STYLES.get(self.style, STYLES["modern"]), title))

    def where(self) -> str:
        """The virtual host as a part of a path."""
        return segment(self.vhost)


def show_rows(run: Run, found: list[dict[str, object]], columns: str, chosen: str = "") -> None:
    """Print a table. `columns`: titles (`~` is a space), with the names of their fields if these differ. `chosen`: the
    titles that are wanted, separated by commas; unknown ones are left out."""
    names = [
        (name, field or name) for name, _, field in (column.partition("=") for column in columns.split())
    ]
    if chosen:
        wanted = [word for part in chosen.lower().split(",") if (word := part.strip())]
        names = [(name, dict(names)[name]) for name in wanted if name in dict(names)]
    rows = [[shown(each, field) for _, field in names] for each in found]
    run.table([[name.replace("~", " ") for name, _ in names], *rows])


def shown(each: Mapping[str, object], field: str) -> str:
    """Return a field in a table. What follows its name: `+`: the tool puts a line end behind it, of an object behind
    each of its values; `?`: 0 if it is missing; `*`: a list, an item a line; `!`: as JSON, with a line end."""
    mark = field[-1:] if field[-1:] in ("+", "?", "*", "!") else ""
    value = field_of(each, field.removesuffix(mark))
    if mark == "?" and value is None:
        return "0"
    if mark == "*" and isinstance(value, list):
        return "\n".join([f"* {cell(item)}" for item in value])
    if mark == "!":
        return compact(value) + "\n"
    text = cell(value)
    return text + "\n" if mark == "+" and value not in ({}, []) else text


def field_of(each: Mapping[str, object], name: str) -> object:
    """Return a field; a dot leads into an object."""
    head, _, rest = name.partition(".")
    value = each.get(head)
    return field_of(value, rest) if rest and isinstance(value, dict) else value


def boolean(text: str | None, default: bool) -> bool:
    """Return the value of an option."""
    return default if text is None else text == "true"


def json_of(text: str) -> object:
    """Return JSON. Raises `Failed`."""
    try:
        return json.loads(text)
    except ValueError as error:
        problem = f"`{text}` is not a valid JSON: {json_problem(error)}"
        raise Failed(DATA, f"Failed to parse JSON argument: {problem}") from None


def failed(text: str) -> Failed:
    """Return the failure of a command that was under way."""
    return Failed(DATA, f"Command execution failed: {text}")


def object_of(text: str) -> dict[str, object]:
    """Return a JSON object, an empty one for null. Raises `Failed`."""
    found = json_of(text)
    if found is None:
        return {}
    if isinstance(found, dict):
        return dict(found)
    kind = {bool: f"boolean `{compact(found)}`", int: f"integer `{found}`", str: f"string {compact(found)}"}
    kind |= {list: "sequence", float: f"floating point `{found}`"}
    column = 0 if isinstance(found, list) else len(text)
    problem = f"invalid type: {kind[type(found)]}, expected a map at line 1 column {column}"
    raise Failed(DATA, f"Failed to parse JSON argument: `{text}` is not a valid JSON: {problem}")


def whole(given: Given, option: str, default: int) -> int:
    """Return a number of an option. Raises `Failed`."""
    text = given.get(option, str(default))
    if not text.isascii() or not text.isdigit():
        raise Failed(WRONG, f"Invalid value for argument '{option}': invalid digit found in string")
    return int(text)


#: What Python's parser of JSON says -> what the original's (serde_json) says.
_PROBLEMS = {
    "Expecting property name enclosed in double quotes": "key must be a string",
    "Expecting value": "expected value",
    "Expecting ':' delimiter": "expected `:`",
    "Expecting ',' delimiter": "expected `,` or `}`",
    "Extra data": "trailing characters",
    "Unterminated string starting at": "EOF while parsing a string",
}


def json_problem(error: ValueError) -> str:
    """Return what is wrong with a text that is no JSON, in the words of the original."""
    if not isinstance(error, json.JSONDecodeError):
        return str(error)
    words = _PROBLEMS.get(error.msg, error.msg)
    if error.pos >= len(error.doc):
        words = "EOF while parsing a value" if words == "expected value" else "EOF while parsing an object"
        return f"{words} at line {error.lineno} column {error.colno - 1}"
    if words == "expected value" and error.doc[error.pos] in "tfn":
        return f"expected ident at line {error.lineno} column {error.colno + 1}"
    return f"{words} at line {error.lineno} column {error.colno}"
