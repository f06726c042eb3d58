"""Whether a Leveret answers a command line as RabbitMQ does: the same but for what must differ.

Lists have no order in RabbitMQ (that of a hash table), objects in JSON have none either. `known.py` names the lines
that differ on purpose, and the commands of whose output only the first line is compared.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from enum import Enum

from conformance.commands.known import BANNER_ONLY, DIFFERENT, NO_COMMAND_LINE, WORDS_ONLY
from conformance.commands.lines import Line
from conformance.commands.players import Played


class Verdict(Enum):
    """How two answers compare."""

    SAME = "same"
    KNOWN = "known difference"
    DIFFERENT = "DIFFERENT"


#: Commands whose lines have no order.
_UNORDERED = re.compile(r"\blist_|\bpurge|\bfeature_flag|\benvironment|\bstatus\b")

#: Pattern -> what stands for it in both answers.
_MASKS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.MULTILINE), mask)
    for pattern, mask in (
        (r"<\{node\}\.\d+\.\d+\.\d+>|\{pid:\w+\}", "<pid>"),
        (r"(127\.0\.0\.1\t)\d{4,5}\b", r"\1{port}"),
        (r"\b\d\.\d+e-\d+\b|\b0\.\d+\b|\b1\.0\b", "{share}"),  # a small one is 7.9e-4
        (r"^.*\{dist\}.*protocol: clustering.*\n", ""),
        (r"^Will connect to .*:\{dist\}\n", ""),
        (r", \{dist\}|\bclustering, ", ""),
        (r"^\"\{node\}\",\"clustering\".*\n", ""),
        # RabbitMQ names epmd, the nodes that it knows, and the hash of the cookie; Leveret the control socket.
        (r"(DIAGNOSTICS\n=+\n)(.|\n)*", r"\1"),
        (r"<pid>_-\S+", "{reference}"),
        (
            r"^Closed [1-9]\d* connections",
            "Closed {count} connections",
        ),  # those that are being closed count, or not
        (r"Platform.*|\"platform.{0,40}Python [0-9.]+", "{platform}"),
        (r"available CPU cores: \d+|cores available cluster-wide: \d+", "{cores}"),
    )
)

#: Columns that are unknown, in any order.
_UNKNOWN_KEYS = re.compile(r"(?<=Info key\(s\) )(\S+)")

#: A port in JSON, and several in a sentence, in any order.
_PORT = re.compile(r"(?<=[:\[,])\{(amqp|http|prometheus|dist|os_pid)\}")
_PORTS = re.compile(r"\{(?:amqp|http|prometheus)\}(?:, \{(?:amqp|http|prometheus)\})+")

_BORDERS = re.compile(r"\x1b\(0[a-z]+\x1b\(B")


def compare(line: Line, expected: Played, actual: Played) -> Verdict:
    """Compare the answers to a line."""
    if normal(line, expected) == normal(line, actual):
        return Verdict.SAME
    if known(line) is not None:
        return Verdict.KNOWN
    return Verdict.DIFFERENT


def known(line: Line) -> str | None:
    """Why a line is known to differ, None if it is not."""
    return next((reason for pattern, reason in DIFFERENT if re.search(pattern, line.text)), None)


def normal(line: Line, played: Played) -> Played:
    """An answer without what may differ."""
    if any(re.search(pattern, line.text) for pattern in NO_COMMAND_LINE):
        return Played("", "", played.code)
    if any(re.search(pattern, line.text) for pattern in BANNER_ONLY):
        shown = _words(played.stdout) if played.stdout[:1] == "{" else played.stdout.partition("\n")[0]
        return Played(shown, "", played.code)
    if any(re.search(pattern, line.text) for pattern in WORDS_ONLY):
        return Played(_words(played.stdout), _text(line, played.stderr), played.code)
    if played.code == 70 and "csv" in line.text:  # it fails at the first row that has a list
        return Played(played.stdout.partition("\n")[0], played.stderr.partition(", got:")[0], played.code)
    return Played(_text(line, played.stdout), _text(line, played.stderr), played.code)


def _text(line: Line, text: str) -> str:
    for pattern, mask in _MASKS:
        text = pattern.sub(mask, text)
    text = _PORT.sub(r'"{\1}"', text)
    text = _PORTS.sub(lambda found: ", ".join(sorted(found[0].split(", "))), text)
    text = _UNKNOWN_KEYS.sub(lambda found: ",".join(sorted(found[1].split(","))), text)
    try:
        return json.dumps(_sorted(json.loads(text)), sort_keys=True, indent=1)
    except ValueError:
        pass
    if "\x1b(0" in text:
        text = _BORDERS.sub("", text)
    if _UNORDERED.search(line.text):
        return "\n".join(sorted(_terms(text)))
    return "\n".join([_canonical(each) for each in text.split("\n")])


def _canonical(text: str) -> str:
    """A line that is a JSON object, or that and the comma before it, sorted."""
    comma = text[: text.startswith(",")]
    if text[len(comma) :][:1] == "{":
        with suppress(ValueError):
            return comma + json.dumps(_sorted(json.loads(text[len(comma) :])), sort_keys=True)
    return text


def _words(text: str) -> str:
    """The words before colons, or the names of a JSON object."""
    with suppress(ValueError):
        return " ".join(sorted(json.loads(text)))
    return "\n".join(sorted({line.partition(":")[0] for line in text.split("\n") if line[:2] != " *"}))


def _terms(text: str) -> list[str]:
    """The lines of a list; brackets and commas between rows do not count. Of an Erlang term its words."""
    if re.search(r"^ *\[*\{\w+,", text, re.MULTILINE):
        return [word for word in re.split(r"[\s,\[\]{}]+", text) if word]
    found = []
    for each in text.split("\n"):
        row = each.strip().lstrip("[,").rstrip("],}")
        with suppress(ValueError):
            row = json.dumps(json.loads(each.lstrip(",")), sort_keys=True)
        if row:
            found.append(re.sub(r"\s+", " ", row))
    return found


def _sorted(value: object) -> object:
    """JSON whose lists are sorted, without the listener of clusters."""
    if isinstance(value, dict):
        return {name: _sorted(item) for name, item in value.items()}
    if isinstance(value, list):
        items = [_sorted(item) for item in value if not _clustering(item)]
        return sorted(items, key=lambda item: json.dumps(item, sort_keys=True))
    return value


def _clustering(item: object) -> bool:
    return item in ("clustering", "{dist}") or (
        isinstance(item, dict) and item.get("protocol") == "clustering"
    )
