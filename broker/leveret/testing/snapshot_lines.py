"""The lines of a snapshot: objects with their `kind`, as they are in its file."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from typing import ClassVar

import msgspec
from msgspec import Struct

from leveret.queues.encoding import EntryReader
from leveret.queues.message import Entry, Source
from leveret.testing.values import shown

#: The version of the format.
VERSION = 2

#: Sections of a definitions document that are part of a snapshot.
SECTIONS = (
    "users",
    "vhosts",
    "permissions",
    "topic_permissions",
    "parameters",
    "global_parameters",
    "policies",
)


class Head(Struct, kw_only=True, tag_field="kind", tag="snapshot"):
    """The first line. `vhost`: the virtual host that the snapshot is of, None for all; `now`: of the broker's clock."""

    version: int
    vhost: str | None
    profile: str
    now: int
    frozen: bool


class Definition(Struct):
    """An item of a definitions document. `section`: where it is there."""

    kind: ClassVar[str] = "definition"
    section: str
    item: Mapping[str, object]

    def title(self) -> str:
        """Return it in words."""
        names = [f"{name}={self.item[name]!r}" for name in ("name", "user", "component") if name in self.item]
        place = f" in vhost '{self.item['vhost']}'" if "vhost" in self.item else ""
        return f"{self.section}: {', '.join(names)}{place}"


class InVhost(Struct, kw_only=True, omit_defaults=True, tag_field="kind"):
    """A line about something in a virtual host."""

    vhost: str

    @property
    def kind(self) -> str:
        """Its kind."""
        return str(self.__struct_config__.tag)

    def title(self) -> str:
        """Return it in words."""
        return f"{self.words()} in vhost '{self.vhost}'"

    def words(self) -> str:
        """Return it in words, without the virtual host."""
        return self.kind


class ExchangeLine(InVhost, tag="exchange"):
    """An exchange. `arguments`: a field table in base64."""

    name: str
    type: str
    durable: bool
    auto_delete: bool
    internal: bool
    arguments: str

    def words(self) -> str:
        """Return it in words."""
        return f"exchange '{self.name}'"


class QueueLine(InVhost, tag="queue"):
    """A queue without its messages. `arguments`: a field table in base64; `used_at`: ms, for `x-expires`."""

    name: str
    type: str
    durable: bool
    auto_delete: bool
    arguments: str
    position: int
    had_consumer: bool
    used_at: int

    def words(self) -> str:
        """Return it in words."""
        return f"queue '{self.name}'"


class BindingLine(InVhost, tag="binding"):
    """A binding. `key`: octets that are not UTF-8 are surrogates; `arguments`: a field table in base64."""

    source: str
    destination_type: str
    destination: str
    key: str
    arguments: str

    def words(self) -> str:
        """Return it in words."""
        return f"binding of {self.destination_type} '{self.destination}' to '{self.source}'"


class RecordLine(Struct, kw_only=True, omit_defaults=True):
    """A record of a stream. `exchange`, `key`: octets that are not UTF-8 are surrogates; all else in base64."""

    exchange: str
    key: str
    filter: str | None = None
    header: str
    body: str


class ChunkLine(Struct):
    """Records of a stream that were written at once. `time`: ms."""

    time: int
    records: list[RecordLine]


class StreamLine(InVhost, tag="stream"):
    """The records of a stream. `segments`: the first offset of each; `end`: the next offset."""

    queue: str
    segments: list[int]
    end: int
    chunks: list[ChunkLine]

    def words(self) -> str:
        """Return it in words."""
        return f"records of stream '{self.queue}'"


class EntryLine(InVhost):
    """A message. `entry`: it with what its queue knows about it, in base64."""

    entry: str

    def where(self) -> str:
        """Return what it is in."""
        return ""

    def words(self) -> str:
        """Return it in words."""
        return f"{self.kind} of '{self.where()}'"

    def title(self) -> str:
        """Return it in words."""
        return f"{super().title()}: body {shown(entry_in(self.entry, Source()).message.body)}"


class MessageLine(EntryLine, tag="message"):
    """A message in a queue. `state`: ready, returned or delayed; `due`: when it is delivered again, ms."""

    queue: str
    state: str
    persistent: bool
    due: int = 0

    def where(self) -> str:
        """Return its queue."""
        return self.queue


class DelayedLine(EntryLine, tag="delayed"):
    """A message that a delayed exchange holds."""

    exchange: str

    def where(self) -> str:
        """Return the exchange."""
        return self.exchange


class HeldTaskLine(EntryLine, tag="held-task"):
    """A task of Celery that waits for its ETA. `due`: when it goes on, ms."""

    queues: list[str]
    persistent: bool
    due: int

    def where(self) -> str:
        """Return its queues."""
        return ", ".join(self.queues)


_Tagged = ExchangeLine | QueueLine | BindingLine | StreamLine | MessageLine | DelayedLine | HeldTaskLine

#: A line behind the first one.
Line = Definition | _Tagged


def entry_in(text: str, source: Source) -> Entry:
    """Return the entry in a line. `source`: of the entry."""
    data = b64decode(text)
    return EntryReader(data, 0, len(data)).entry(source)


def encoded(line: Head | Line) -> dict[str, object]:
    """Return a line as it is in the file."""
    if isinstance(line, Definition):
        return {"kind": line.kind, "section": line.section, **line.item}
    found: dict[str, object] = msgspec.to_builtins(line)
    return found


def decoded(given: object) -> Line:
    """Return a line of a file. Raises `ValueError`."""
    if isinstance(given, dict) and given.get("kind") == "definition":
        section = given.get("section")
        if section not in SECTIONS:
            raise ValueError(f"a definition has no section {section!r}")
        item = {name: value for name, value in given.items() if name not in ("kind", "section")}
        return Definition(section, item)
    found: _Tagged = msgspec.convert(given, _Tagged)
    return found
