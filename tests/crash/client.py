"""A publisher and a consumer on raw sockets, fast enough that a broker is busy when it is killed.

A body is `publisher number(8 digits)`. A `Record` keeps what was sent, confirmed, delivered and acknowledged; it
outlives the connections. An acknowledgement has no answer, but basic.qos behind it has: then the broker has handled the
acknowledgement. A message that is published after that to a queue without consumers comes later in the log: when it is
confirmed, the acknowledgement is on the disk, too. `Record.moment` numbers these events; nothing is measured in
seconds.
"""

from __future__ import annotations

import random
import struct
from collections import defaultdict, deque
from dataclasses import dataclass, field

from pamqp import commands, frame

from benchmarks.link import Link, publish_bytes

Name = tuple[str, int]


@dataclass
class Delivery:
    """One delivery while one broker process ran, over the connection `to` (where, and its number) with a tag.
    `acked_at`: the moment when its ack was sent; `handled_at`: when the broker was known to have handled it; 0 for
    none."""

    name: Name
    life: int
    redelivered: bool
    to: str = ""
    tag: int = 0
    acked_at: int = 0
    handled_at: int = 0


@dataclass
class Record:
    """What the clients know. `confirmed`: publisher -> numbers; `deliveries`: queue -> in order of arrival.

    `safe_to`: for each broker process, what was handled by this moment is on the disk.
    """

    life: int = 0
    moment: int = 0
    sent: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    confirmed: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    deliveries: dict[str, list[Delivery]] = field(default_factory=lambda: defaultdict(list))
    safe_to: dict[int, int] = field(default_factory=lambda: defaultdict(int))

    def tick(self) -> int:
        """Return the next moment."""
        self.moment += 1
        return self.moment

    def confirms(self) -> int:
        """Return how many publishes were confirmed."""
        return sum(len(numbers) for numbers in self.confirmed.values())


class Publisher:
    """Publishes persistent messages with confirms, at most `window` of them unconfirmed.

    `fence`: no consumer gets its messages, so that they are on the disk when they are confirmed.
    """

    def __init__(
        self, url: str, record: Record, name: str, exchange: str, key: str, window: int, fence: bool = False
    ) -> None:
        self.fence = fence
        self.record = record
        self.name = name
        self.window = window
        self.link = Link(url)
        self.link.call(commands.Confirm.Select())
        self.link.sock.setblocking(False)
        template = publish_bytes(exchange, key, b"#" * (len(name) + 9), persistent=True)
        self.before, self.after = template.split(b"#" * (len(name) + 9))
        self.base = record.sent[name]
        self.confirmed_to = 0
        self.early: set[int] = set()
        self.sent_at: deque[tuple[int, int]] = (
            deque()
        )  # (last number of a batch, moment at which it was sent)
        self.unsent = b""
        self.rest = b""

    def fileno(self) -> int:
        return self.link.sock.fileno()

    def push(self) -> None:
        """Send as much as window and socket allow. Raises OSError if the broker is gone."""
        if not self.unsent:
            last = self.base + self.confirmed_to + self.window
            first = self.record.sent[self.name]
            names = range(first + 1, min(last, first + 200) + 1)
            self.unsent = b"".join(
                self.before + b"%s %08d" % (self.name.encode(), number) + self.after for number in names
            )
            self.record.sent[self.name] = first + len(names)
            if self.fence and names:
                self.sent_at.append((first + len(names), self.record.tick()))
        if self.unsent:
            try:
                count = self.link.sock.send(self.unsent)
            except BlockingIOError:
                return
            self.unsent = self.unsent[count:]

    def read(self) -> None:
        """Read confirms. Raises OSError if the broker is gone."""
        data = self.rest + _read(self.link)
        whole = len(data) - len(data) % 21
        self.rest = data[whole:]
        for kind, _, _, _, method, tag, multiple, _ in struct.iter_unpack(">BHIHHQBB", data[:whole]):
            assert (kind, method) == (1, 80), data[:100]
            self._confirm(tag, multiple)

    def _confirm(self, tag: int, multiple: int) -> None:
        confirmed = self.record.confirmed[self.name]
        tags = range(self.confirmed_to + 1, tag + 1) if multiple else (tag,)
        confirmed.update(self.base + each for each in tags)
        self.early.update(tags)
        while self.confirmed_to + 1 in self.early:
            self.confirmed_to += 1
            self.early.discard(self.confirmed_to)
        while self.sent_at and self.sent_at[0][0] <= self.base + self.confirmed_to:
            _, moment = self.sent_at.popleft()
            self.record.safe_to[self.record.life] = moment


class Consumer:
    """Consumes with acks. `pace`: how many of its deliveries it acknowledges at a time, and how likely."""

    def __init__(self, url: str, record: Record, queue: str, prefetch: int, pace: float, seed: int) -> None:
        self.record = record
        self.queue = queue
        self.to = f"{url}#{seed}"
        self.pace = pace
        self.dice = random.Random(seed)
        self.link = Link(url)
        self.barrier = frame.marshal(commands.Basic.Qos(prefetch_count=prefetch), 1)
        self.link.call(commands.Basic.Qos(prefetch_count=prefetch))
        self.link.call(commands.Basic.Consume(queue=queue, consumer_tag="c"))
        self.link.sock.setblocking(False)
        self.outstanding: dict[int, Delivery] = {}
        self.unhandled: deque[list[Delivery]] = deque()  # acknowledged, for each barrier that is not answered
        self.unsent = b""
        self.rest = bytes(self.link._pending)
        self.tag = 0
        self.redelivered = False
        self._take(self.rest)

    def fileno(self) -> int:
        return self.link.sock.fileno()

    def read(self) -> None:
        """Read deliveries. Raises OSError if the broker is gone."""
        self._take(self.rest + _read(self.link))

    def _take(self, data: bytes) -> None:
        at = 0
        while len(data) - at >= 7:
            kind, _, size = struct.unpack_from(">BHI", data, at)
            if len(data) - at < size + 8:
                break
            payload = data[at + 7 : at + 7 + size]
            at += size + 8
            if kind == 1 and payload[:4] == b"\0\x3c\0\x3c":
                start = 5 + payload[4]
                self.tag, self.redelivered = struct.unpack_from(">Q?", payload, start)
            elif kind == 1 and payload[:4] == b"\0\x3c\0\x0b":
                moment = self.record.tick()
                for delivery in self.unhandled.popleft():
                    delivery.handled_at = moment
            elif kind == 3:
                publisher, number = payload.split()
                name = (publisher.decode(), int(number))
                delivery = Delivery(name, self.record.life, self.redelivered, self.to, self.tag)
                self.record.deliveries[self.queue].append(delivery)
                self.outstanding[self.tag] = delivery
        self.rest = data[at:]

    def push(self) -> None:
        """Acknowledge some deliveries: one, or all up to one. Raises OSError if the broker is gone."""
        if not self.unsent and self.outstanding and self.dice.random() <= self.pace:
            tags = list(self.outstanding)
            tag = self.dice.choice(tags)
            multiple = self.dice.random() < 0.5
            ack = struct.pack(">BHIHHQBB", 1, 1, 13, 60, 80, tag, multiple, 0xCE)
            self.say(
                ack, [self.outstanding.pop(each) for each in tags if each == tag or (multiple and each < tag)]
            )
        if self.unsent:
            try:
                count = self.link.sock.send(self.unsent)
            except BlockingIOError:
                return
            self.unsent = self.unsent[count:]

    def say(self, ack: bytes, deliveries: list[Delivery]) -> None:
        """Acknowledge deliveries, or none, and send basic.qos, which is answered."""
        self.unsent += ack + self.barrier
        moment = self.record.tick()
        for delivery in deliveries:
            delivery.acked_at = moment
        self.unhandled.append(deliveries)


def _read(link: Link) -> bytes:
    data = link.sock.recv(1 << 16)
    if not data:
        raise ConnectionResetError("the broker is gone")
    return data
