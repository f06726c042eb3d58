"""Messages, entries (a message in one queue), and the two sides of a queue, `Source` and `Destination`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import cython

if cython.compiled:
    from cython.cimports.leveret.queues.collector import PyObject_GC_UnTrack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from leveret.work import Job

#: A `Consumer`, or None for basic.get. `Any`, because its module imports this one.
AnyConsumer: TypeAlias = Any

#: Why entries are requeued (`Source.requeue`). Quorum queues count them differently.
NACKED = 1
REJECTED = 2
RECOVERED = 3
CHANNEL_CLOSED = 4  # the channel or connection that held them is gone
TIMED_OUT = 5

#: Freed objects of a class that Cython keeps for the next ones.
_KEPT = 4096

#: Freed lists, and dicts, that Python keeps (PyList_MAXFREELIST, PyDict_MAXFREELIST).
_KEPT_OF_PYTHON = 80

#: `Destination.push`: the message was not taken (x-overflow reject-publish); the publisher gets basic.nack.
REFUSED = -1


# Cython reads these directives here only, not in the .pxd. The collector does not visit messages and entries: a million
# of them would make it stop the event loop, and a queue or channel that ends lets go of its own.
@cython.freelist(4096)
@cython.no_gc
@cython.cclass
class Message:
    """A published message. Immutable once routed, and shared by all its queues.

    `exchange`, `routing_key`: as published. `content`: the header frame and, unless the body is empty, one body frame;
    whole frames with their end octet. `head`: octets of the header frame; `size`: octets of the body. `expiration`: its
    own TTL in ms, or -1. `priority`: -1 without one. `shares`: number of queues that it was pushed into. `extra`: what
    few messages have (`Extra`), or None.
    """

    def __init__(
        self,
        exchange: bytes = b"",
        routing_key: bytes = b"",
        content: bytes = b"",
        head: int = 0,
        size: int = 0,
    ) -> None:
        self.exchange: bytes = exchange
        self.routing_key: bytes = routing_key
        self.content: bytes = content
        self.head: int = head
        self.size: int = size
        self.persistent: bool = False
        self.priority: int = -1
        self.shares: int = 0
        self.expiration: int = -1
        self.extra: Extra | None = None

    @property
    def body(self) -> bytes:
        """The body's octets."""
        return self.content[self.head + 7 : self.head + 7 + self.size] if self.size else b""

    @property
    def header(self) -> bytes:
        """The payload of the header frame: class, weight, body size, flags, properties."""
        return self.content[7 : self.head - 1]


#: Octets of a header that cost as much as a message when it is decoded and encoded.
_HEADER_PORTION = 512


def header_work(message: Message) -> int:
    """Return how much work it is to change the headers of a message: 1 for most, more for large ones."""
    return 1 + message.head // _HEADER_PORTION


def new_message(
    exchange: bytes, routing_key: bytes, content: bytes, head: cython.uint, size: cython.uint
) -> Message:
    """Make a message; for the hot path, where `__init__` costs too much."""
    message: Message = Message.__new__(Message)
    message.exchange = exchange
    message.routing_key = routing_key
    message.content = content
    message.head = head
    message.size = size
    message.persistent = False
    message.priority = -1
    message.shares = 1
    message.expiration = -1
    message.extra = None
    return message


@dataclass(frozen=True, slots=True)
class Death:
    """One entry of the death history. `time`: of the first death of this queue and reason, seconds since the epoch.
    `keys`: routing keys without BCC."""

    queue: str
    reason: str
    count: int
    time: int
    exchange: bytes
    keys: tuple[bytes, ...]
    expiration: bytes | None


class Extra:
    """Data of a message that few messages have.

    `more`: additional routing keys (CC, BCC). `deaths`: the death history, newest first. `redelivered`, `acquired`,
    `failed`: values with which a dead-lettered copy enters its next queue.
    """

    __slots__ = ("acquired", "deaths", "failed", "more", "redelivered")

    def __init__(self) -> None:
        self.more: list[bytes] = []
        self.deaths: list[Death] = []
        self.redelivered = False
        self.acquired = 0
        self.failed = 0


@cython.freelist(4096)
@cython.no_gc
@cython.cclass
class Entry:
    """One message in one queue, ready or unacknowledged.

    `position`: its order in the queue, from 1; kept when it is requeued. `expires_at`: ms since the epoch, 0 for never.
    `tag`, `consumer`: delivery tag and consumer (None for basic.get) while it is unacknowledged. `acquired`, `failed`:
    how often it was returned, and how often that counts towards a delivery limit. `stored`: a number of the store, 0 if
    it is not stored. `delivered_at`: time of the last delivery, ms since the epoch.
    """

    def __init__(self, message: Message, position: int, expires_at: int, source: Source) -> None:
        self.message: Message = message
        self.position: int = position
        self.expires_at: int = expires_at
        self.tag: int = 0
        self.source: Source = source
        self.consumer: AnyConsumer = None
        self.acquired: int = 0
        self.failed: int = 0
        self.redelivered: bool = False
        self.stored: int = 0
        self.delivered_at: int = 0


def new_entry(
    message: Message, position: cython.ulonglong, expires_at: cython.longlong, source: Source
) -> Entry:
    """Make an entry; for the hot path, where `__init__` costs too much."""
    entry: Entry = Entry.__new__(Entry)
    entry.message = message
    entry.position = position
    entry.expires_at = expires_at
    entry.tag = 0
    entry.source = source
    entry.consumer = None
    entry.acquired = 0
    entry.failed = 0
    entry.redelivered = False
    entry.stored = 0
    entry.delivered_at = 0
    return entry


class Source:
    """Where a delivery came from, and is settled, requeued or rejected."""

    def settle(self, entry: Entry) -> None:
        """Acknowledge a delivery."""
        raise NotImplementedError

    def requeue(self, entries: list[Entry], why: cython.int) -> None:
        """Requeue deliveries, each to its original position."""
        raise NotImplementedError

    def reject(self, entry: Entry, why: cython.int) -> None:
        """Dead-letter or drop a delivery after basic.nack or basic.reject (`why`)."""
        raise NotImplementedError

    def admit_recover(self) -> None:
        """Raise an error if deliveries cannot be recovered."""

    def crash(self, reason: str) -> None:
        """Stop serving: the backlog cannot be read back."""
        raise NotImplementedError

    def detach(self, consumer: AnyConsumer) -> None:
        """Remove a consumer; `detached` follows."""
        raise NotImplementedError

    def detached(self) -> None:
        """Act on the removal of consumers."""
        raise NotImplementedError

    def unsubscribe(self, consumer: AnyConsumer) -> None:
        """Remove a consumer and act on it."""
        raise NotImplementedError

    def unblock(self, consumer: AnyConsumer) -> None:
        """Put a blocked consumer back into the rotation without serving it."""

    def wake(self, consumer: AnyConsumer) -> None:
        """Serve a consumer that may have credit again."""
        raise NotImplementedError


class Destination(Source):
    """Where routed messages go: a queue, or a direct reply-to address. `vhost`: name of its virtual host; `gone`: it
    was deleted; `busy`: the job that is at work on it, which others wait for."""

    def __init__(self, name: str, vhost: str) -> None:
        self.name: str = name
        self.vhost: str = vhost
        self.gone: bool = False
        self.busy: Job | None = None

    def push(self, message: Message) -> int:
        """Take a routed message. Returns the journal ticket to wait for before confirming (0: none), or REFUSED."""
        raise NotImplementedError


def frame_content(header: bytes, body: bytes) -> tuple[bytes, int]:
    """Return the frames of a content from a header payload and a body, and the octets of the header frame."""
    frames = [b"\x02\x00\x00", len(header).to_bytes(4, "big"), header, b"\xce"]
    if body:
        frames += [b"\x03\x00\x00", len(body).to_bytes(4, "big"), body, b"\xce"]
    return b"".join(frames), len(header) + 8


def unvisited(entries: list[Any]) -> list[Any]:
    """Take a list of entries (with gaps: None) out of the garbage collector's lists, and return it.

    Entries form no cycles that it could find, and to visit a million of them would hold the loop for 25 ms. Compiled
    only: otherwise it visits each entry anyway.
    """
    if cython.compiled:
        PyObject_GC_UnTrack(entries)
    return entries


def compact_free_lists() -> Iterator[None]:
    """Have freed objects that are kept for the next ones lie close together, messages and entries by Cython, lists and
    dicts by Python. A generator that yields after a few milliseconds: after a load, none of them is in a cache of the
    processor.

    They lie in many places, and each keeps a megabyte from being given back to the operating system.
    """
    _compact([Message.__new__(Message) for _ in range(3 * _KEPT)])
    yield
    _compact([Entry.__new__(Entry) for _ in range(3 * _KEPT)])
    yield
    _compact([[] for _ in range(3 * _KEPT_OF_PYTHON)])
    _compact([{} for _ in range(3 * _KEPT_OF_PYTHON)])


def _compact(objects: list[Any]) -> None:
    """Free objects of any class, those with the highest addresses first: these are kept, and lie where most of what
    lives is."""
    objects.sort(key=id)
    while objects:
        objects.pop()
