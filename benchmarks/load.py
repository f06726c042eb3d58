"""The load generator: publishes and consumes through raw sockets, with so little CPU that it measures the broker.

One thread, non-blocking sockets and poll. Publishing is `send` of a prepared block of publishes, again and again;
consuming is `recv_into` one large buffer. All deliveries of a work have the same size (a delivery tag has eight bytes),
so after the first one deliveries are counted by bytes; the tag of the last delivery of each read is compared with the
count. At most `window` messages are in flight, so that no backlog grows. The kernel wakes consumers only for several
deliveries (SO_RCVLOWAT). After the measured time the generator drains: every message must have arrived exactly as often
as it was routed. Command: `python -m benchmarks.load amqp://... --pid PID`.
"""

import argparse
import os
import select
import socket
import struct
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.link import Link
from benchmarks.works import WORKS, Setup, Work, set_up

CONFIRM = struct.Struct(">BHIHHQBB")  # a whole frame with basic.ack or basic.nack
ACK = struct.Struct(">BHIHHQBB")
STALLED_SECONDS = 10.0
SEND_MOST = 1 << 18
BUFFER = bytearray(1 << 20)
VIEW = memoryview(BUFFER)


class LoadError(Exception):
    """A broker lost, repeated or refused messages, or stopped."""


@dataclass
class Result:
    """One measured run. messages: deliveries; cpu_seconds: the broker's, None when its process is unknown."""

    work: str
    messages: int
    seconds: float
    cpu_seconds: float | None

    @property
    def rate(self) -> float:
        """Deliveries a second."""
        return self.messages / self.seconds

    @property
    def cpu_us(self) -> float | None:
        """Broker CPU, microseconds a delivery."""
        return None if self.cpu_seconds is None else self.cpu_seconds * 1e6 / self.messages


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, all its threads, in seconds (resolution: a clock tick, 10 ms)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass
class Publisher:
    """Sends a prepared block again and again, up to a limit, and counts confirms."""

    sock: socket.socket
    block: memoryview
    size: int
    sent: int = 0  # bytes
    blocked: bool = False
    confirmed: int = 0  # every tag up to this one
    _early: set[int] = field(default_factory=set)
    _rest: bytes = b""

    def send_up_to(self, messages: int) -> None:
        """Send until `messages` were sent in total, or the socket is full."""
        limit = messages * self.size
        length = len(self.block)
        self.blocked = False
        while self.sent < limit:
            start = self.sent % length
            end = min(length, start + limit - self.sent, start + SEND_MOST)
            try:
                self.sent += self.sock.send(self.block[start:end])
            except BlockingIOError:
                self.blocked = True
                return

    def read(self) -> None:
        """Read confirms, single or multiple, in any order; a nack or a close is an error."""
        count = receive(self.sock)
        data = self._rest + VIEW[:count]
        whole = len(data) - len(data) % CONFIRM.size
        self._rest = data[whole:]
        for kind, _, size, class_id, method, tag, multiple, _ in CONFIRM.iter_unpack(data[:whole]):
            if (kind, size, class_id, method) != (1, 13, 60, 80):
                raise LoadError(f"expected basic.ack, got {data[:200]!r}")
            if multiple or tag == self.confirmed + 1:
                self.confirmed = max(self.confirmed, tag)
                while self._early and self.confirmed + 1 in self._early:
                    self.confirmed += 1
                    self._early.discard(self.confirmed)
            else:
                self._early.add(tag)


@dataclass
class Consumer:
    """Counts deliveries by bytes; acknowledges every `ack_every` of them together (0: automatic acks)."""

    sock: socket.socket
    size: int
    tag_at: int  # where the delivery tag stands in a delivery
    ack_every: int
    checked: bool
    received: int = 0  # bytes
    deliveries: int = 0
    acked: int = 0

    def read(self) -> int:
        """Read what is there; returns the number of deliveries that were completed."""
        count = receive(self.sock)
        self.received += count
        deliveries, partial = divmod(self.received, self.size)
        start = count - partial - self.size
        if self.checked and start >= 0:
            tag = int.from_bytes(VIEW[start + self.tag_at : start + self.tag_at + 8], "big")
            if tag != deliveries or BUFFER[start] != 1:
                raise LoadError(f"delivery {deliveries} bears {BUFFER[start : start + 60]!r}")
        new = deliveries - self.deliveries
        self.deliveries = deliveries
        if self.ack_every and deliveries - self.acked >= self.ack_every:
            self.ack(self.ack_every)
        return new

    def ack(self, step: int) -> None:
        """Acknowledge with multiple=true after every `step` deliveries; this always fits into the socket."""
        last = self.deliveries - self.deliveries % step
        tags = range(self.acked + step, last + 1, step)
        if tags:
            self.sock.send(b"".join(ACK.pack(1, 1, 13, 60, 80, tag, 1, 0xCE) for tag in tags))
            self.acked = last


def receive(sock: socket.socket) -> int:
    """Read into BUFFER; returns the number of bytes. Raises LoadError at the end of the connection."""
    count = sock.recv_into(BUFFER)
    if count == 0:
        raise LoadError("the broker closed a connection")
    return count


class Traffic:
    """A work with its sockets: warm up, measure, drain."""

    def __init__(self, setup: Setup) -> None:
        work = setup.work
        self.work = work
        self.copies = setup.copies
        self.publisher = Publisher(setup.publisher.sock, memoryview(setup.block), setup.publish_size)
        self.delivered = 0
        self.consumers: dict[int, Consumer] = {}
        self.publisher.sock.setblocking(False)
        self.poll = select.poll()
        checked = not setup.publisher.product.startswith("floor")
        first = self._first_delivery(setup.consumers)
        size, tag_at = delivery_shape(first)
        wake = max(1, min(100, work.window // (4 * len(setup.consumers))))
        for link in setup.consumers:
            consumer = Consumer(link.sock, size, tag_at, 100 if work.acks else 0, checked)
            link.sock.setblocking(False)
            link.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, wake * size)
            self.consumers[link.sock.fileno()] = consumer
            self.poll.register(link.sock, select.POLLIN)
        self.publishing = self.publisher.sock.fileno()
        self.poll.register(self.publishing, select.POLLIN)
        self._collect(1)

    def _first_delivery(self, links: list[Link]) -> bytes:
        """Publish one message and peek at its delivery."""
        self.publisher.send_up_to(1)
        poll = select.poll()
        by_descriptor = {link.sock.fileno(): link.sock for link in links}
        for descriptor in by_descriptor:
            poll.register(descriptor, select.POLLIN)
        deadline = time.monotonic() + STALLED_SECONDS
        while time.monotonic() < deadline:
            for descriptor, _ in poll.poll(1000):
                data = by_descriptor[descriptor].recv(1 << 16, socket.MSG_PEEK)
                if not data or delivery_shape(data)[0]:
                    return data
        raise LoadError("the first message did not arrive")

    def run(self, seconds: float, warm_up: float, pid: int | None, least: int = 0) -> Result:
        """Warm up, measure for `seconds` and at least `least` deliveries, drain. Raises LoadError if the counts are not
        exact."""
        self._flow(warm_up, 0)
        cpu = cpu_seconds(pid) if pid else 0.0
        started, before = time.perf_counter(), self.delivered
        self._flow(seconds, before + least)
        spent = time.perf_counter() - started
        used = cpu_seconds(pid) - cpu if pid else None
        result = Result(self.work.name, self.delivered - before, spent, used)
        self._drain()
        return result

    def _flow(self, seconds: float, least: int) -> None:
        """Publish and consume for `seconds`, and until there were `least` deliveries in total."""
        window, publisher, clock = self.work.window, self.publisher, time.perf_counter
        chunk = window // 8
        moved = clock()
        deadline = moved + seconds
        while (now := clock()) < deadline or self.delivered < least:
            done = self.delivered // self.copies
            if self.work.confirms:
                done = min(done, publisher.confirmed)
            published = -(-publisher.sent // publisher.size)
            if done > published:
                raise LoadError(self._counts("more deliveries than were due"))
            if done + window - published >= chunk:
                before = publisher.sent
                publisher.send_up_to(done + window)
                if publisher.sent != before:
                    moved = now
            if self._exchange(publisher.blocked):
                moved = now
            elif now - moved > STALLED_SECONDS:
                raise LoadError(self._counts("no progress"))

    def _exchange(self, blocked: bool, wait: int = 50) -> bool:
        """Wait for a socket and read or write it; False if nothing came within `wait` milliseconds."""
        self.poll.modify(self.publishing, select.POLLIN | (select.POLLOUT if blocked else 0))
        events = self.poll.poll(wait)
        for descriptor, event in events:
            if descriptor == self.publishing:
                if event & ~select.POLLOUT:
                    self.publisher.read()
            else:
                self.delivered += self.consumers[descriptor].read()
        return bool(events) or self._take_all()

    def _take_all(self) -> bool:
        """Read what is below the wake-up mark of every consumer."""
        before = self.delivered
        for consumer in self.consumers.values():
            try:
                self.delivered += consumer.read()
            except BlockingIOError:
                continue
        return self.delivered != before

    def _drain(self) -> None:
        """Finish a message that was sent in part, and wait until all messages have arrived and are confirmed."""
        published = -(-self.publisher.sent // self.publisher.size)
        self.publisher.send_up_to(published)
        for consumer in self.consumers.values():
            consumer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        self._collect(published)
        for consumer in self.consumers.values():
            if consumer.ack_every:
                consumer.ack(1)

    def _collect(self, published: int) -> None:
        wanted = published * self.copies
        moved = time.monotonic()
        while self.delivered < wanted or (self.work.confirms and self.publisher.confirmed < published):
            if self.publisher.sent < published * self.publisher.size:
                self.publisher.send_up_to(published)
            if self._exchange(self.publisher.blocked):
                moved = time.monotonic()
            elif time.monotonic() - moved > STALLED_SECONDS:
                raise LoadError(self._counts(f"lost messages: {wanted} deliveries were due"))
        if self.delivered > wanted:
            raise LoadError(self._counts(f"more than the {wanted} deliveries that were due"))

    def _counts(self, what: str) -> str:
        sent = self.publisher.sent // self.publisher.size
        return f"{what}: {sent} published, {self.publisher.confirmed} confirmed, {self.delivered} delivered"


def delivery_shape(data: bytes) -> tuple[int, int]:
    """(size, place of the delivery tag) of the delivery at the beginning of `data`; size 0 if it is incomplete."""
    tag_at = 12 + data[11] if len(data) > 11 else 0
    position, missing = 0, 1
    frames = 0
    while missing > 0 or frames < 2:
        if len(data) < position + 7:
            return 0, tag_at
        kind, _, size = struct.unpack_from(">BHI", data, position)
        if len(data) < position + size + 8:
            return 0, tag_at
        if kind == 2:
            missing = int(struct.unpack_from(">Q", data, position + 11)[0])
        elif kind == 3:
            missing -= size
        elif data[position + 7 : position + 11] != b"\0\x3c\0\x3c":
            raise LoadError(f"expected basic.deliver, got {data[:200]!r}")
        position += size + 8
        frames += 1
    return position, tag_at


def measure(
    url: str, work: Work, *, seconds: float, warm_up: float, pid: int | None, least: int = 0
) -> Result:
    """Set up a work on a broker, run it once and clean up."""
    setup = set_up(url, work)
    try:
        return Traffic(setup).run(seconds, warm_up, pid, least)
    finally:
        setup.close()


def main() -> int:
    """Measure one address; prints a line for each work."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__.split("\n")[0])
    parser.add_argument("url")
    parser.add_argument("--pid", type=int, help="process id of the broker, to read its CPU time")
    parser.add_argument("--work", action="append", choices=list(WORKS), help="default: all")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--warm-up", type=float, default=1.0)
    parser.add_argument("--window", type=int, help="largest number of messages in flight")
    chosen = parser.parse_args()
    for name in chosen.work or list(WORKS):
        work = WORKS[name].with_window(chosen.window)
        own = time.process_time()
        result = measure(chosen.url, work, seconds=chosen.seconds, warm_up=chosen.warm_up, pid=chosen.pid)
        busy = (time.process_time() - own) / (chosen.seconds + chosen.warm_up)
        cpu = "" if result.cpu_us is None else f"{result.cpu_us:9.3f} us/message"
        print(f"{name:12} {result.rate:12,.0f} messages/s {cpu}   generator busy {busy:.0%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
