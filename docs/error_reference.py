"""The error reference of the site: what is in the code, with the advice in `errors.toml`.

Reply texts come from the constructors in `leveret.errors`, called with placeholders; reasons of the HTTP API from the
calls that refuse; refusals at start from the classes and functions that make them. `tests/docs/test_error_reference.py`
fails if a text has no advice, or advice no text.
"""

from __future__ import annotations

import ast
import inspect
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from leveret.errors import AmqpError, access, arguments, declarations, messages, protocol
from leveret.errors.kinds import CODES
from leveret.store import errors as store_errors
from leveret.store.errors import StoreError

ADVICE = Path(__file__).with_name("errors.toml")
_MANAGEMENT = Path(store_errors.__file__).parents[1] / "management"

#: The functions that refuse an HTTP call -> the status, the error, and the position of the reason.
_REFUSING: Mapping[str, tuple[str, int]] = {
    "unavailable": ("503", 0),
    "bad_request": ("400", 0),
    "not_found": ("404", 0),
    "not_authorised": ("401", 0),
}


class _Number(int):
    """A number that is printed as a word."""

    word: str

    def __format__(self, spec: str) -> str:
        return self.word

    def __str__(self) -> str:
        return self.word


class ReplyText(NamedTuple):
    """One error of AMQP: its constructor, reply text with placeholders, and what it is about."""

    name: str
    code: int
    text: str
    scope: str
    meaning: str


def reply_texts() -> list[ReplyText]:
    """Return all errors of AMQP, by code and text."""
    modules = (access, arguments, declarations, messages, protocol)
    return sorted((one for module in modules for one in _of(module)), key=lambda one: (one.code, one.text))


def _of(module: ModuleType) -> Iterator[ReplyText]:
    for name, make in inspect.getmembers(module, inspect.isfunction):
        if make.__module__ != module.__name__ or make.__annotations__.get("return") != "AmqpError":
            continue
        error = make(**_filled(make.__annotations__))
        assert isinstance(error, AmqpError)
        yield ReplyText(name, error.code, str(error), error.scope, _meaning(inspect.getdoc(make) or ""))


def _filled(annotations: Mapping[str, str]) -> dict[str, object]:
    """A placeholder for each argument; what a backend adds is left out."""
    return {
        name: "" if name == "more" else _placeholder_of(name.upper(), kind)
        for name, kind in annotations.items()
        if name != "return"
    }


def _placeholder_of(word: str, kind: str) -> object:
    """What stands for an argument of a type."""
    if kind == "int":
        number = _Number()
        number.word = word
        return number
    return {"bool": True, "bytes": word.encode()}.get(kind, word)


def _meaning(docstring: str) -> str:
    """The first sentence of a docstring."""
    text = re.sub(r"\s*\(rabbit[^)]*\)", "", " ".join(docstring.split()))
    return re.split(r"[.;]\s|; `", text)[0].rstrip(".")


def http_reasons() -> dict[str, str]:
    """Return the reasons that the HTTP API gives -> status; arguments in texts are shown as <name>."""
    found: dict[str, str] = {}
    for path in sorted(_MANAGEMENT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                status, reason = _refusal(node)
                if reason:
                    found[reason] = status
    return found


def _refusal(node: ast.Call) -> tuple[str, str]:
    """The status and the reason of a call that refuses; empty if it does not, or has no text of its own."""
    assert isinstance(node.func, ast.Name)
    if node.func.id == "Refusal" and len(node.args) >= 3 and isinstance(node.args[0], ast.Constant):
        return str(node.args[0].value), _template(node.args[2])
    if node.func.id in _REFUSING and node.args:
        status, position = _REFUSING[node.func.id]
        return status, _template(node.args[position])
    return "", ""


def _template(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return " ".join(node.value.split())
    if isinstance(node, ast.List):
        first = _template(node.elts[0])
        return f'["{first}", ...]' if first else ""
    if isinstance(node, ast.JoinedStr):
        parts = [
            str(part.value) if isinstance(part, ast.Constant) else _placeholder(part) for part in node.values
        ]
        own = any(part.strip() and not part.startswith("<") for part in parts)
        return " ".join("".join(parts).split()) if own else ""
    return ""


def _placeholder(part: ast.expr) -> str:
    text = ast.unparse(part.value) if isinstance(part, ast.FormattedValue) else ""
    words = re.findall(r"\w+", text)
    return f"<{words[-1]}>" if words else "<>"


def store_refusals() -> dict[str, str]:
    """Return what a data directory is refused for: constructor -> text with placeholders."""
    found = {}
    for name, make in inspect.getmembers(store_errors, inspect.isfunction):
        if make.__annotations__.get("return") != "StoreError":
            continue
        given = {"path": Path("FILE"), "error": OSError("REASON"), "owner": " OWNER"}
        error = make(
            **{name: given.get(name, name.upper()) for name in make.__annotations__ if name != "return"}
        )
        assert isinstance(error, StoreError)
        found[name] = str(error)
    return found


def advice() -> dict[str, dict[str, str]]:
    """Return section -> name or text -> what to do."""
    with ADVICE.open("rb") as file:
        return tomllib.load(file)


def page() -> str:
    """Return the page, in Markdown."""
    given = advice()
    lines = [_HEAD]
    code = 0
    for one in reply_texts():
        if one.code != code:
            code = one.code
            name, scope = CODES[code]
            lines += ["", f"### {code} {name}", "", f"{given['codes'][str(code)]} It closes the {scope}.", ""]
            lines += ["| reply text | cause | what to do |", "|---|---|---|"]
        closes = "" if one.scope == CODES[code][1] else f" Closes the {one.scope}."
        lines.append(_row(f"`{_cell(one.text)}`", f"{one.meaning}.{closes}", given["amqp"][one.name]))
    lines += ["", "## HTTP API", "", _HTTP, "", "| status | reason | what to do |", "|---|---|---|"]
    for reason, status in sorted(http_reasons().items(), key=lambda item: (item[1], item[0].lower())):
        lines.append(_row(status, f"`{_cell(reason)}`", given["http"][reason]))
    for status, text in given["status"].items():
        lines.append(_row(status, "none", text))
    lines += ["", "## Refusals at start", "", _START, "", "| text | what to do |", "|---|---|"]
    for text, what in given["start"].items():
        lines.append(_row(f"`{_cell(text)}`", what))
    lines += ["", "### A data directory that cannot be used", "", _STORE, "", "| text | cause |", "|---|---|"]
    for name, text in store_refusals().items():
        lines.append(_row(f"`{_cell(text)}`", given["store"][name]))
    return "\n".join(lines) + "\n"


def links(page: str) -> list[str]:
    """Return the targets of the links of a page."""
    return re.findall(r"\]\(([^)\s]+)\)", page)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("`", "'")


_HEAD = """# Errors

What the broker answers, what it means, and what to do. The texts are RabbitMQ's 4.3.6, made from the code; words in
capitals stand for names and numbers. Older [profiles](../features/profiles.md) have other texts for some.

## AMQP

An error closes the channel or the connection, with a reply code and a reply text. Clients show both, as in pika:
`ChannelClosedByBroker: (404, "NOT_FOUND - no queue 'orders' in vhost '/'")`. Texts of more than 255 octets are cut."""

_HTTP = """A refused call has a status and a JSON object: `{"error": "bad_request", "reason": "..."}`. Calls that change
queues, exchanges and bindings have the explanations of AMQP errors as reasons, too, such as `inequivalent arg 'durable'
for queue 'orders' in vhost '/': received 'false' but current is 'true'`."""

_START = """`leveret serve` ends with a line on standard error that begins with `leveret: `, and an exit code: 78 for
a wrong configuration or wrong definitions, 1 for everything else. `leveret config check` finds wrong settings without a
start."""

_STORE = """Nothing in the directory is changed, so that it can still be repaired."""
