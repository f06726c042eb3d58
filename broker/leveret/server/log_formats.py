"""The formats of log records: RabbitMQ's text and JSON, with the details of `log.*.formatter.*` in rabbitmq.conf."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime

#: Octets in names of clients that are not UTF-8 -> characters, as Erlang's `~ts` prints them: the log is UTF-8. Control
#: characters, which clients can have in names, would steer the terminal of who reads the log. RabbitMQ writes them.
_OCTETS = {0xDC00 + octet: chr(octet) for octet in range(0xA0, 0x100)} | {
    place + octet: f"\\x{octet:02x}"
    for octet in [*range(0x20), *range(0x7F, 0xA0)]
    for place in ((0, 0xDC00) if octet >= 0x80 else (0,))
    if octet not in b"\t\n"
}

#: RabbitMQ's default of `log.console.formatter.plaintext.format`.
PLAINTEXT = "$time [$level] $pid $msg"

#: Characters of a record: a description or a definition from a client may have millions.
MOST_CHARACTERS = 64 * 1024

#: Logger -> RabbitMQ's domain, which JSON records have.
_DOMAINS = {"leveret.connection": "rabbitmq.connection", "leveret.channel": "rabbitmq.channel"}

#: Four letters of a level, for level_format lc4 and uc4; lc3 and uc3 are the first three of them.
_SHORT = {
    "debug": "dbug",
    "info": "info",
    "notice": "noti",
    "warning": "warn",
    "error": "eror",
    "critical": "crit",
    "alert": "alrt",
    "emergency": "emgc",
}
_SHORT_3 = {
    "debug": "dbg",
    "info": "inf",
    "notice": "ntc",
    "warning": "wrn",
    "error": "err",
    "critical": "crt",
    "alert": "alt",
    "emergency": "emg",
}


def formatter(kind: str, details: Mapping[str, str]) -> logging.Formatter:
    """Return the formatter for `plaintext` or `json`. `details`: time_format, level_format, single_line, plaintext,
    field_map, verbosity_map."""
    return JsonFormatter(details) if kind == "json" else TextFormatter(details)


def _time(record: logging.LogRecord, form: str) -> str | int:
    if form == "epoch_usecs":
        return int(record.created * 1_000_000)
    if form == "epoch_secs":
        return int(record.created)
    separator = "T" if form == "rfc3339_T" else " "
    moment = datetime.fromtimestamp(record.created, UTC)
    if form == "lager_default":
        return moment.strftime("%Y-%m-%d %H:%M:%S.") + f"{moment.microsecond // 1000:03d}"
    return moment.isoformat(sep=separator, timespec="microseconds")


def _level(record: logging.LogRecord, form: str) -> str:
    name = record.levelname.lower()
    if form.endswith("3"):
        name = _SHORT_3.get(name, name)
    elif form.endswith("4"):
        name = _SHORT.get(name, name)
    return name.upper() if form.startswith("uc") else name


def _pid(record: logging.LogRecord) -> str:
    """Return the process of a record in Erlang's form: that of a connection, or of the broker itself."""
    return str(getattr(record, "pid", f"<0.{record.process}.0>"))


class _Formatter(logging.Formatter):
    """The details that both formats have."""

    def __init__(self, details: Mapping[str, str]) -> None:
        super().__init__()
        self.time_format = details.get("time_format", "rfc3339_space")
        self.level_format = details.get("level_format", "lc")
        self.single_line = details.get("single_line", "off") == "on"

    def message(self, record: logging.LogRecord) -> str:
        """Return the text of a record, with the traceback of its exception."""
        text = record.getMessage()
        if len(text) > MOST_CHARACTERS:
            text = text[:MOST_CHARACTERS] + "..."
        text = text.replace("\r\n", "\n").translate(_OCTETS)
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return ", ".join(text.splitlines()) if self.single_line else text


class TextFormatter(_Formatter):
    """Formats `2026-11-23 07:16:45.274524+00:00 [info] <0.7.0> MSG`, with the prefix on each line."""

    def __init__(self, details: Mapping[str, str] = {}) -> None:
        super().__init__(details)
        self.pattern = details.get("plaintext", PLAINTEXT)

    def format(self, record: logging.LogRecord) -> str:
        """Format a record as one or more lines."""
        return self.prefixed(record, self.message(record))

    def prefixed(self, record: logging.LogRecord, message: str) -> str:
        """Format a message, each line of it with the details of a record."""
        fields = {
            "time": str(_time(record, self.time_format)),
            "level": _level(record, self.level_format),
            "pid": _pid(record),
        }

        def line(text: str) -> str:
            return re.sub(
                r"\$(\w+)",
                lambda match: text if match[1] == "msg" else fields.get(match[1], f"<unknown {match[1]}>"),
                self.pattern,
            )

        return "\n".join(map(line, message.splitlines() or [""]))


class JsonFormatter(_Formatter):
    """Formats one JSON object on one line: `{"time":"...","level":"info","msg":"...","pid":"<0.7.0>",...}`.

    `field_map`: `time:ts level msg *:-` renames fields, leaves out those with `-`, and gives their order.
    `verbosity_map`: `info:1 *:0` replaces the level by a field `verbosity`.
    """

    def __init__(self, details: Mapping[str, str]) -> None:
        super().__init__(details)
        self.fields = [_pair(word) for word in details.get("field_map", "time level msg").split()]
        self.verbosity = dict(_pair(word) for word in details.get("verbosity_map", "").split())

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        found: dict[str, object] = {
            "time": _time(record, self.time_format),
            "level": _level(record, self.level_format),
            "msg": self.message(record),
            "line": record.lineno,
            "pid": _pid(record),
            "file": record.filename,
            "domain": _DOMAINS.get(record.name, "rabbitmq"),
        }
        level = record.levelname.lower()
        if self.verbosity:
            words = self.verbosity.get(level, self.verbosity.get("*", "0"))
            found["verbosity"] = int(words) if words.isdigit() else words
        return json.dumps(self._mapped(found), ensure_ascii=False, separators=(",", ":"))

    def _mapped(self, found: dict[str, object]) -> dict[str, object]:
        """Return the fields in the order and by the names of the map; others follow unless it has `*:-`."""
        mapped: dict[str, object] = {}
        others = True
        for name, shown in self.fields:
            if name == "*":
                others = shown != "-"
            elif name in found:
                value = found.pop(name)
                if shown != "-":
                    mapped[shown] = value
        return mapped | found if others else mapped


def _pair(word: str) -> tuple[str, str]:
    name, colon, shown = word.partition(":")
    return name, shown if colon else name
