"""How long one client's work makes another one wait: the longest stall of a ping-pong beside each work.

A process of its own publishes a message to itself every millisecond and notes how long each takes. Meanwhile one
client does something large. Printed for each work: the longest stall beside Leveret and beside RabbitMQ 4.3.6 on the
same work in the same run, and the limit: 20 ms, or RabbitMQ's stall if that is longer. The row "nothing" is what this
machine does to a ping-pong anyway. "-": the work, or what prepares it, did not end within two minutes; the works after
it have a new node. Command:
`python -m benchmarks.stalls`; exit status 1 if a limit is not met, 2 if a broker does not start.
"""

import argparse
import contextlib
import functools
import itertools
import json
import multiprocessing
import os
import signal
import socket
import statistics
import sys
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from typing import cast
from urllib.parse import urlsplit

from pamqp import base, body, commands, frame, header
from pamqp.common import FieldTable

from benchmarks.link import Link, LinkError, delete_queues, publish_bytes
from benchmarks.load import LoadError
from benchmarks.peers import Peer, PeerError, exit_on_sigterm, fresh_rabbitmq, leveret
from conformance.rabbitmq import RefereeError

LIMIT_MS = 20.0
PING_S = 0.001
QUEUE = "bench.stalls"
DEAD = "bench.stalls.dead"
#: Seconds to wait for a work to end, and for the broker to be quiet after it.
PATIENCE_S = 120.0
SETTLE_S = 0.3
#: Time from the last publish of messages that expire together until they do.
EXPIRY_S = 3.0
ACK = frame.marshal(commands.Basic.Ack(0, True), 1)

Act = Callable[[], None]


# --- the client that is made to wait


class PingPong:
    """A process that plays ping-pong with one broker. Stalls are in milliseconds."""

    def __init__(self, url: str) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would keep the sockets of the works open
        self._longest: Synchronized[float] = context.Value("d", 0.0)
        self._played: Synchronized[int] = context.Value("L", 0)
        self._process = context.Process(target=play, args=(url, self._longest, self._played), daemon=True)
        self._process.start()
        self._wait(100)

    def _wait(self, more: int) -> None:
        """Wait until so many more messages have come back."""
        until = self._played.value + more
        deadline = time.monotonic() + PATIENCE_S
        while self._played.value < until:
            if not self._process.is_alive() or time.monotonic() > deadline:
                raise LoadError("the ping-pong has ended")
            time.sleep(0.01)

    def longest_during(self, act: Act) -> float:
        """Do something and return the longest stall until it is over and a few more messages have come back."""
        self._wait(20)
        self._longest.value = 0.0
        act()
        time.sleep(SETTLE_S)
        self._wait(20)
        return self._longest.value

    def stop(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.join()


def play(url: str, longest: "Synchronized[float]", played: "Synchronized[int]") -> None:
    """Publish a message to a consumer of one's own every millisecond, and note the longest time one took."""
    with contextlib.suppress(OSError):  # the broker is measured, not the scheduler
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    link = Link(url)
    name = f"bench.ping.{os.getpid()}"
    link.call(commands.Queue.Declare(queue=name, exclusive=True))
    link.call(commands.Basic.Consume(queue=name, no_ack=True))
    ping = publish_bytes("", name, b"ping")
    frames = link._frames()
    while True:
        began = time.perf_counter()
        link.sock.sendall(ping)
        for _, raw in frames:
            if raw[0] == 3:
                break
        took = time.perf_counter() - began
        longest.value = max(longest.value, took * 1000)
        played.value += 1
        time.sleep(max(0.0, PING_S - took))


# --- what clients do


@dataclass(frozen=True)
class Work:
    """One work. `make`: prepares it on a peer and gives, for as long as the context lasts, what is to be measured.
    `count`: how many objects, at scale 1."""

    title: str
    count: int
    make: Callable[[Peer, int], contextlib.AbstractContextManager[Act]]


WORKS: dict[str, Work] = {}
Make = Callable[[Peer, int], Iterator[Act]]


def work(name: str, title: str, count: int) -> Callable[[Make], Make]:
    """Register a work: a generator that prepares, yields what is measured, and cleans up."""

    def register(make: Make) -> Make:
        WORKS[name] = Work(title, count, contextlib.contextmanager(make))
        return make

    return register


def call_api(peer: Peer, method: str, path: str, document: object = None) -> bytes:
    """A call of the HTTP API."""
    parts = urlsplit(peer.http)
    login = b64encode(f"{parts.username}:{parts.password}".encode()).decode()
    body = None if document is None else json.dumps(document, separators=(",", ":")).encode()
    request = urllib.request.Request(
        f"http://{parts.hostname}:{parts.port}/api/{path}",
        body,
        {"Authorization": f"Basic {login}", "Content-Type": "application/json"},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        return cast(bytes, answer.read())


def until(done: Callable[[], bool]) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        if time.monotonic() > deadline:
            raise LoadError("the broker does not finish")
        time.sleep(0.05)


def ready(link: Link, queue: str) -> int:
    """Count the ready messages of a queue."""
    answer = link.call(commands.Queue.Declare(queue=queue, passive=True))
    return cast(commands.Queue.DeclareOk, answer).message_count or 0


def publish_many(link: Link, queue: str, count: int) -> None:
    """Publish transient messages of 16 octets, and wait until they are in the queue."""
    block = publish_bytes("", queue, b"x" * 16) * 1000
    for _ in range(count // 1000):
        link.sock.sendall(block)
    until(lambda: ready(link, queue) >= count // 1000 * 1000)


@contextlib.contextmanager
def filled(peer: Peer, count: int, arguments: FieldTable | None = None) -> Iterator[Link]:
    """A link to a queue with `count` messages."""
    link = Link(peer.url)
    link.sock.settimeout(PATIENCE_S)
    delete_queues(link, [QUEUE, DEAD])
    link.call(commands.Queue.Declare(queue=QUEUE, arguments=arguments or {}))
    publish_many(link, QUEUE, count)
    try:
        yield link
    finally:
        delete_queues(link, [QUEUE, DEAD])
        link.close()


def hold_all(url: str, count: int) -> Link:
    """A link that holds `count` unacknowledged messages of the queue."""
    link = Link(url)
    link.sock.settimeout(PATIENCE_S)
    link._send(1, commands.Basic.Consume(queue=QUEUE, consumer_tag="c"))
    seen = 0
    tail = b""
    while seen < count:
        data = tail + link.sock.recv(1 << 20)
        seen += data.count(b"x" * 16 + b"\xce")
        tail = data[-16:] if not data.endswith(b"x" * 16 + b"\xce") else b""
    link._pending.clear()
    return link


@work("nothing", "nothing", 0)
def nothing(peer: Peer, count: int) -> Iterator[Act]:
    """The stalls that the machine itself causes."""
    yield lambda: time.sleep(1)


@work("first-request", "the first HTTP request of a process", 0)
def first_request(peer: Peer, count: int) -> Iterator[Act]:
    """What serves HTTP is imported. Only the first time that it is measured in a run."""
    yield lambda: void(call_api(peer, "GET", "overview"))


@work("purge", "purge of a queue", 3_000_000)
def purge(peer: Peer, count: int) -> Iterator[Act]:
    """queue.purge of many messages."""
    with filled(peer, count) as link:
        yield lambda: void(link.call(commands.Queue.Purge(queue=QUEUE)))


@work("delete", "deleting a queue with messages", 1_000_000)
def delete(peer: Peer, count: int) -> Iterator[Act]:
    """queue.delete of a long queue."""
    with filled(peer, count) as link:
        yield lambda: void(link.call(commands.Queue.Delete(queue=QUEUE)))


@work("close", "closing a channel that holds unacknowledged messages", 1_000_000)
def close(peer: Peer, count: int) -> Iterator[Act]:
    """channel.close with everything unacknowledged."""
    with filled(peer, count) as link:
        holder = hold_all(peer.url, count)

        def act() -> None:
            holder._send(1, commands.Channel.Close(200, "", 0, 0))
            until(lambda: ready(link, QUEUE) >= count)

        yield act
        holder.sock.close()


@work("lose", "losing a connection that holds unacknowledged messages", 1_000_000)
def lose(peer: Peer, count: int) -> Iterator[Act]:
    """A connection with everything unacknowledged is cut."""
    with filled(peer, count) as link:
        holder = hold_all(peer.url, count)

        def act() -> None:
            holder.sock.close()
            until(lambda: ready(link, QUEUE) >= count)

        yield act


def settled(peer: Peer, count: int, method: base.Frame, left: int) -> Iterator[Act]:
    """Settle everything at once; `left` messages are ready then."""
    with filled(peer, count) as link:
        holder = hold_all(peer.url, count)
        # Nothing is to be delivered again to the same client, which does not read.
        holder._send(1, commands.Basic.Cancel("c", nowait=True))

        def act() -> None:
            holder._send(1, method)
            holder.call(commands.Basic.Qos(prefetch_count=1))
            until(lambda: ready(link, QUEUE) >= left)

        yield act
        holder.sock.close()


@work("ack", "basic.ack of all unacknowledged messages", 1_000_000)
def ack(peer: Peer, count: int) -> Iterator[Act]:
    """basic.ack, multiple."""
    yield from settled(peer, count, commands.Basic.Ack(0, True), 0)


@work("requeue", "basic.nack of all unacknowledged messages, requeued", 1_000_000)
def requeue(peer: Peer, count: int) -> Iterator[Act]:
    """basic.nack, multiple, requeue."""
    yield from settled(peer, count, commands.Basic.Nack(0, True, True), count)


@work("drop", "basic.nack of all unacknowledged messages, dropped", 1_000_000)
def drop(peer: Peer, count: int) -> Iterator[Act]:
    """basic.nack, multiple, without requeue."""
    yield from settled(peer, count, commands.Basic.Nack(0, True, False), 0)


@work("recover", "basic.recover of all unacknowledged messages", 1_000_000)
def recover(peer: Peer, count: int) -> Iterator[Act]:
    """basic.recover-async, which has no answer."""
    yield from settled(peer, count, commands.Basic.RecoverAsync(requeue=True), count)


def closed(peer: Peer, count: int, arguments: FieldTable, publishes: list[bytes]) -> Iterator[Act]:
    """channel.close with everything unacknowledged, in a queue with arguments."""
    with filled(peer, 0, arguments) as link:
        for _ in range(count // len(publishes)):
            link.sock.sendall(b"".join(publishes))
        until(lambda: ready(link, QUEUE) >= count // len(publishes) * len(publishes))
        holder = hold_all(peer.url, count // len(publishes) * len(publishes))

        def act() -> None:
            holder._send(1, commands.Channel.Close(200, "", 0, 0))
            until(lambda: ready(link, QUEUE) >= count // len(publishes) * len(publishes))

        yield act
        holder.sock.close()


@work("close-priorities", "closing a channel that holds messages of 255 priorities", 1_000_000)
def close_priorities(peer: Peer, count: int) -> Iterator[Act]:
    """Each message returns to its place among those of its priority."""
    publishes = [
        b"".join(
            frame.marshal(each, 1)
            for each in (
                commands.Basic.Publish(routing_key=QUEUE),
                header.ContentHeader(0, 16, commands.Basic.Properties(priority=number)),
                body.ContentBody(b"x" * 16),
            )
        )
        for number in range(250)
    ]
    yield from closed(peer, count, {"x-max-priority": 255}, publishes)


def expiring(peer: Peer, count: int, arguments: FieldTable, left: int, where: str) -> Iterator[Act]:
    """Messages that expire all at the same time; `left` are ready in `where` after that."""
    with filled(peer, 0, arguments) as link:
        link.call(commands.Queue.Declare(queue=DEAD))
        due = time.time() + EXPIRY_S + count / 50_000
        for _ in range(count // 1000):
            link.sock.sendall(expiring_bytes(due) * 1000)
        until(lambda: ready(link, QUEUE) >= count // 1000 * 1000)
        time.sleep(max(0.0, due - time.time() - 1))
        yield lambda: until(
            lambda: time.time() > due and ready(link, QUEUE) == 0 and ready(link, where) >= left
        )


def expiring_bytes(due: float) -> bytes:
    """A publish of 16 octets that expires at a time, seconds since the epoch."""
    properties = commands.Basic.Properties(expiration=str(max(0, round((due - time.time()) * 1000))))
    frames = (
        commands.Basic.Publish(routing_key=QUEUE),
        header.ContentHeader(0, 16, properties),
        body.ContentBody(b"x" * 16),
    )
    return b"".join(frame.marshal(each, 1) for each in frames)


@work("expire", "expiry of all messages at once", 1_000_000)
def expire(peer: Peer, count: int) -> Iterator[Act]:
    """Messages with an expiration."""
    yield from expiring(peer, count, {}, 0, QUEUE)


@work("expire-dead", "expiry with dead lettering", 200_000)
def expire_dead(peer: Peer, count: int) -> Iterator[Act]:
    """Messages with an expiration, in a queue with a dead letter exchange."""
    arguments: FieldTable = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": DEAD}
    yield from expiring(peer, count, arguments, count, DEAD)


@work("limit", "a max-length policy on a long queue", 1_000_000)
def limit(peer: Peer, count: int) -> Iterator[Act]:
    """A policy with max-length."""
    with filled(peer, count) as link:

        def act() -> None:
            policy = {"pattern": f"^{QUEUE}$", "definition": {"max-length": 10}}
            call_api(peer, "PUT", "policies/%2F/bench", policy)
            until(lambda: ready(link, QUEUE) == 10)

        yield act
        call_api(peer, "DELETE", "policies/%2F/bench")


@contextlib.contextmanager
def open_transaction(peer: Peer, count: int) -> Iterator[Link]:
    """A link with `count` publishes in a transaction."""
    with filled(peer, 0) as link:
        link.call(commands.Tx.Select())
        block = publish_bytes("", QUEUE, b"x" * 16) * 1000
        for _ in range(count // 1000):
            link.sock.sendall(block)
        link.call(commands.Queue.Declare(queue=QUEUE, passive=True))
        yield link


@work("commit", "tx.commit of many publishes", 300_000)
def commit(peer: Peer, count: int) -> Iterator[Act]:
    """tx.commit."""
    with open_transaction(peer, count) as link:
        yield lambda: void(link.call(commands.Tx.Commit()))


@work("rollback", "tx.rollback of many publishes", 300_000)
def rollback(peer: Peer, count: int) -> Iterator[Act]:
    """tx.rollback."""
    with open_transaction(peer, count) as link:
        yield lambda: void(link.call(commands.Tx.Rollback()))


@work("commit-acks", "tx.commit of many acknowledgements", 300_000)
def commit_acks(peer: Peer, count: int) -> Iterator[Act]:
    """tx.commit of single acknowledgements."""
    with filled(peer, count):
        holder = hold_all(peer.url, count)
        holder.call(commands.Tx.Select())
        for first in range(1, count + 1, 1000):
            tags = range(first, min(first + 1000, count + 1))
            holder.sock.sendall(b"".join(frame.marshal(commands.Basic.Ack(tag), 1) for tag in tags))
        holder.call(commands.Basic.Qos(prefetch_count=1))
        yield lambda: void(holder.call(commands.Tx.Commit()))
        holder.sock.close()


# --- many objects


@contextlib.contextmanager
def many_queues(peer: Peer, count: int, *, exclusive: bool = False) -> Iterator[tuple[Link, list[str]]]:
    """So many queues without messages."""
    link = Link(peer.url)
    link.sock.settimeout(PATIENCE_S)
    names = [f"{QUEUE}.{number}" for number in range(count)]
    link.pipeline(commands.Queue.Declare(queue=name, exclusive=exclusive) for name in names)
    try:
        yield link, names
    finally:
        with contextlib.suppress(OSError, LinkError):
            if not exclusive:
                delete_queues(link, names)
            link.close()


@work("policy", "a policy that matches many queues", 50_000)
def policy_for_all(peer: Peer, count: int) -> Iterator[Act]:
    """PUT of a policy for all queues."""
    with many_queues(peer, count):
        policy = {"pattern": "^bench", "definition": {"max-length": 1000}}
        yield lambda: void(call_api(peer, "PUT", "policies/%2F/bench", policy))
        call_api(peer, "DELETE", "policies/%2F/bench")


@work("list", "listing many queues", 50_000)
def list_queues(peer: Peer, count: int) -> Iterator[Act]:
    """GET /api/queues."""
    with many_queues(peer, count):
        yield lambda: void(call_api(peer, "GET", "queues"))


@work("export", "export of definitions with many queues", 50_000)
def export(peer: Peer, count: int) -> Iterator[Act]:
    """GET /api/definitions."""
    with many_queues(peer, count):
        yield lambda: void(call_api(peer, "GET", "definitions"))


@work("refused", "an import of definitions that is refused at its end", 20_000)
def refused_import(peer: Peer, count: int) -> Iterator[Act]:
    """Leveret takes back what it has imported; RabbitMQ keeps it."""
    names = [f"{QUEUE}.{number}" for number in range(count)]
    document = {
        "queues": [{"name": name, "vhost": "/", "arguments": {}} for name in names],
        "bindings": [{"vhost": "/", "source": "amq.direct", "destination": "", "destination_type": "queue"}],
    }

    def act() -> None:
        with contextlib.suppress(urllib.error.HTTPError):
            call_api(peer, "POST", "definitions", document)

    yield act
    link = Link(peer.url)
    link.sock.settimeout(PATIENCE_S)
    delete_queues(link, names)
    link.close()


@work("json", "a JSON body of many numbers over HTTP", 4_000_000)
def json_body(peer: Peer, count: int) -> Iterator[Act]:
    """POST /api/definitions, with a section that nobody knows."""
    document = {"unknown": [0] * count}
    yield lambda: void(call_api(peer, "POST", "definitions", document))


@work("scrape", "scraping metrics beside many queues", 50_000)
def scrape(peer: Peer, count: int) -> Iterator[Act]:
    """GET /metrics."""
    with many_queues(peer, count):
        yield lambda: void(urllib.request.urlopen(peer.metrics, timeout=PATIENCE_S).read())


@work("scrape-objects", "scraping metrics of each of many queues", 50_000)
def scrape_objects(peer: Peer, count: int) -> Iterator[Act]:
    """GET /metrics/per-object."""
    with many_queues(peer, count):
        yield lambda: void(urllib.request.urlopen(f"{peer.metrics}/per-object", timeout=PATIENCE_S).read())


@work("delete-queues", "deleting many queues", 50_000)
def delete_many(peer: Peer, count: int) -> Iterator[Act]:
    """queue.delete, pipelined."""
    with many_queues(peer, count) as (link, names):
        yield lambda: delete_queues(link, names)


@work("exclusive", "losing a connection with exclusive queues", 10_000)
def lose_exclusive(peer: Peer, count: int) -> Iterator[Act]:
    """The connection of exclusive queues is cut."""
    with many_queues(peer, count, exclusive=True) as (link, names):
        other = Link(peer.url)

        def act() -> None:
            link.sock.close()
            until(lambda: is_gone(peer, names[-1]))

        yield act
        other.close()


@work("hang-up", "losing many connections at once", 1_500)
def hang_up(peer: Peer, count: int) -> Iterator[Act]:
    """The process of many clients is killed."""
    context = multiprocessing.get_context("spawn")
    connected = context.Event()
    clients = context.Process(target=be_connected, args=(peer.url, count, connected), daemon=True)
    clients.start()
    connected.wait(PATIENCE_S)

    def act() -> None:
        clients.kill()
        until(lambda: is_gone(peer, f"{QUEUE}.{count - 1}"))

    yield act
    clients.join()


def be_connected(url: str, count: int, connected: Event) -> None:
    """Open so many connections, each with an exclusive queue, and stay."""
    links = [Link(url) for _ in range(count)]
    for number, link in enumerate(links):
        link.call(commands.Queue.Declare(queue=f"{QUEUE}.{number}", exclusive=True))
    connected.set()
    signal.pause()


@work("passive", "passive declares, pipelined", 1_000_000)
def passive(peer: Peer, count: int) -> Iterator[Act]:
    """queue.declare with passive."""
    with filled(peer, 0) as link:
        block = frame.marshal(commands.Queue.Declare(queue=QUEUE, passive=True), 1) * 1000
        size = len(frame.marshal(commands.Queue.DeclareOk(QUEUE, 0, 0), 1))

        def act() -> None:
            link.sock.setblocking(False)
            sent = got = 0
            while got < count * size:
                with contextlib.suppress(BlockingIOError):
                    if sent < count * len(block) // 1000:
                        sent += link.sock.send(block[sent % len(block) :])
                with contextlib.suppress(BlockingIOError):
                    got += len(link.sock.recv(1 << 20))
            link.sock.settimeout(PATIENCE_S)

        yield act


@work("fanout", "fanout of 100 messages to many queues", 10_000)
def fanout(peer: Peer, count: int) -> Iterator[Act]:
    """100 publishes in one write."""
    with many_queues(peer, count) as (link, names):
        link.call(commands.Exchange.Declare(exchange=QUEUE, exchange_type="fanout"))
        link.pipeline(commands.Queue.Bind(queue=name, exchange=QUEUE) for name in names)

        def act() -> None:
            link.sock.sendall(publish_bytes(QUEUE, "", b"x" * 16) * 100)
            until(lambda: ready(link, names[-1]) == 100)

        yield act
        link.call(commands.Exchange.Delete(exchange=QUEUE))


@work("channels", "opening and closing channels at once", 2_000)
def channels(peer: Peer, count: int) -> Iterator[Act]:
    """channel.open and channel.close."""
    link = Link(peer.url)
    link.sock.settimeout(PATIENCE_S)

    def ask(method: base.Frame) -> None:
        """Ask on each channel; RabbitMQ's answer in any order."""
        numbers = range(2, count + 2)
        link.sock.sendall(b"".join(frame.marshal(method, number) for number in numbers))
        waiting, frames = set(numbers), link._frames()
        while waiting:
            number, _ = next(frames)
            waiting.discard(number)

    def act() -> None:
        ask(commands.Channel.Open())
        ask(commands.Channel.Close(200, "", 0, 0))

    yield act
    link.close()


@work("vhost", "deleting a virtual host with many queues", 20_000)
def delete_vhost(peer: Peer, count: int) -> Iterator[Act]:
    """DELETE /api/vhosts."""
    call_api(peer, "PUT", "vhosts/bench", {})
    link = Link(peer.url + "bench")
    link.sock.settimeout(PATIENCE_S)
    link.pipeline(commands.Queue.Declare(queue=f"{QUEUE}.{number}") for number in range(count))
    yield lambda: void(call_api(peer, "DELETE", "vhosts/bench"))
    link.sock.close()


@work("exchanges", "declaring and deleting exchanges and queues beside many exchanges", 20_000)
def beside_exchanges(peer: Peer, count: int) -> Iterator[Act]:
    """exchange.delete and queue.delete look for bindings."""
    link = Link(peer.url)
    link.sock.settimeout(PATIENCE_S)
    names = [f"{QUEUE}.{number}" for number in range(count)]
    link.pipeline(commands.Exchange.Declare(exchange=name) for name in names)

    def act() -> None:
        for kind in (commands.Queue.Declare, commands.Queue.Delete):
            link.pipeline(kind(queue=f"{QUEUE}.{number}") for number in range(1000))
        link.pipeline(commands.Exchange.Delete(exchange=name) for name in names)

    yield act
    link.close()


@work("bindings", "deleting a queue with many bindings", 20_000)
def delete_bound(peer: Peer, count: int) -> Iterator[Act]:
    """queue.delete of a queue that is bound to a topic exchange."""
    with filled(peer, 0) as link:
        link.pipeline(
            commands.Queue.Bind(queue=QUEUE, exchange="amq.topic", routing_key=f"k.{number}")
            for number in range(count)
        )
        yield lambda: void(link.call(commands.Queue.Delete(queue=QUEUE)))


@work("sources", "deleting a queue that many exchanges lead to", 50_000)
def delete_sources(peer: Peer, count: int) -> Iterator[Act]:
    """queue.delete of a queue with one binding of each exchange."""
    names = [f"{QUEUE}.{number}" for number in range(count)]
    with filled(peer, 0) as link:
        link.pipeline(commands.Exchange.Declare(exchange=name) for name in names)
        link.pipeline(commands.Queue.Bind(queue=QUEUE, exchange=name) for name in names)
        yield lambda: void(link.call(commands.Queue.Delete(queue=QUEUE)))
        link.pipeline(commands.Exchange.Delete(exchange=name) for name in names)


@work("routes", "publishes with many keys to a fanout of many queues", 5_000)
def many_routes(peer: Peer, count: int) -> Iterator[Act]:
    """Each key is a route to all of the queues."""
    with many_queues(peer, count) as (link, names):
        limit = {"pattern": f"^{QUEUE}", "definition": {"max-length": 1}}
        call_api(peer, "PUT", "policies/%2F/bench", limit)
        link.call(commands.Exchange.Declare(exchange=QUEUE, exchange_type="fanout"))
        link.pipeline(commands.Queue.Bind(queue=name, exchange=QUEUE) for name in names)

        def act() -> None:
            for number in range(2_000):
                link.sock.sendall(publish_bytes(QUEUE, f"k{number}", b"x"))
            ready(link, names[-1])

        yield act
        link.call(commands.Exchange.Delete(exchange=QUEUE))
        call_api(peer, "DELETE", "policies/%2F/bench")


@work("burst", "many connections that publish at the same moment", 500)
def burst(peer: Peer, count: int) -> Iterator[Act]:
    """What all of them send arrives in one turn of the event loop."""
    with filled(peer, 0) as link:
        links = [Link(peer.url) for _ in range(count)]
        block = publish_bytes("", QUEUE, b"x" * 16) * 200
        before = ready(link, QUEUE)

        def act() -> None:
            for one in links:
                one.sock.sendall(block)
            until(lambda: ready(link, QUEUE) >= before + 200 * count)

        yield act
        for one in links:
            one.close()


@work("topic", "publishes to a topic exchange with hostile patterns", 8_192)
def topic_patterns(peer: Peer, count: int) -> Iterator[Act]:
    """Patterns that all match the end of a key of 126 words, and branch at every word."""
    with filled(peer, 0) as link:
        words = max(1, count.bit_length() - 1)
        patterns = itertools.islice(itertools.product("*a", repeat=words), count)
        link.pipeline(
            commands.Queue.Bind(queue=QUEUE, exchange="amq.topic", routing_key=f"#.{'.'.join(each)}")
            for each in patterns
        )

        def act() -> None:
            keys = (".".join(["a"] * 125) + f".{number}" for number in range(20))
            link.sock.sendall(b"".join(publish_bytes("amq.topic", key, b"") for key in keys))
            ready(link, QUEUE)

        yield act


@work("headers", "publishes to a headers exchange with many bindings", 50_000)
def headers_bindings(peer: Peer, count: int) -> Iterator[Act]:
    """Bindings with a header in common."""
    with filled(peer, 0) as link:
        link.pipeline(
            commands.Queue.Bind(
                queue=QUEUE, exchange="amq.headers", arguments={"x-match": "all", "k": "v", "i": number}
            )
            for number in range(count)
        )
        properties = commands.Basic.Properties(headers={"k": "v", "i": -1})
        frames = (commands.Basic.Publish(exchange="amq.headers"), header.ContentHeader(0, 0, properties))
        publish = b"".join(frame.marshal(each, 1) for each in frames)

        def act() -> None:
            link.sock.sendall(publish * 100)
            ready(link, QUEUE)

        yield act


@work("mesh", "a dead letter that goes to and fro between queues", 7)
def mesh(peer: Peer, count: int) -> Iterator[Act]:
    """n queues without room, all bound to the exchange that they dead-letter to: n! copies."""
    link = Link(peer.url)
    link.sock.settimeout(PATIENCE_S)
    names = [f"{QUEUE}.mesh.{number}" for number in range(max(2, count))]
    arguments: FieldTable = {"x-max-length": 0, "x-dead-letter-exchange": QUEUE}
    link.call(commands.Exchange.Declare(exchange=QUEUE, exchange_type="fanout"))
    link.pipeline(commands.Queue.Declare(queue=name, arguments=arguments) for name in names)
    link.pipeline(commands.Queue.Bind(queue=name, exchange=QUEUE) for name in names)

    def act() -> None:
        link.sock.sendall(publish_bytes(QUEUE, "", b"x"))
        ready(link, names[0])
        time.sleep(2)

    yield act
    delete_queues(link, names)
    link.call(commands.Exchange.Delete(exchange=QUEUE))
    link.close()


def is_gone(peer: Peer, queue: str) -> bool:
    """Whether a queue does not exist."""
    link = Link(peer.url)
    try:
        link.call(commands.Queue.Declare(queue=queue, passive=True))
    except LinkError as error:
        return "404" in str(error)
    finally:
        with contextlib.suppress(OSError):
            link.sock.shutdown(socket.SHUT_RDWR)
        link.sock.close()
    return False


def void(result: object) -> None:
    """Forget a result."""


# --- the table


def stall(peer: Peer, chosen: Work, count: int) -> float:
    """The longest stall beside one work, ms."""
    with chosen.make(peer, count) as act:
        client = PingPong(peer.url)
        try:
            return client.longest_during(act)
        finally:
            client.stop()


class Renewed:
    """A broker that is replaced by a new one when a work did not end: what is left of it would delay the next one."""

    def __init__(self, begin: Callable[[], contextlib.AbstractContextManager[Peer]]) -> None:
        self._begin = begin
        self._stack = contextlib.ExitStack()
        self.peer = self._stack.enter_context(begin())

    def renew(self) -> None:
        """Begin with a new one."""
        self.stop()
        self.peer = self._stack.enter_context(self._begin())

    def stop(self) -> None:
        """Stop the broker."""
        self._stack.close()


def measured(peer: Peer, chosen: Work, count: int, say: Callable[[str], None]) -> float | None:
    """The longest stall beside one work, ms; None if the work does not end in time. The other works go on."""
    try:
        return stall(peer, chosen, count)
    except (LinkError, LoadError, OSError) as error:
        say(f"{chosen.title}, {peer.name}: {error}")
        return None


def one_round(
    ours: Peer, theirs: Renewed | None, chosen: Work, count: int, say: Callable[[str], None]
) -> list[float | None]:
    """The longest stalls beside one work: Leveret's, and RabbitMQ's if it is measured."""
    found = [measured(ours, chosen, count, say)]
    if theirs is not None:
        found.append(measured(theirs.peer, chosen, count, say))
        if found[1] is None:
            theirs.renew()
    return found


def middle(found: Sequence[float | None]) -> float | None:
    """The median of some rounds; None if one did not end."""
    done = [each for each in found if each is not None]
    return statistics.median(done) if len(done) == len(found) else None


def row(title: str, ours: float | None, *theirs: float | None) -> tuple[str, bool]:
    """One line of the table, and whether the limit is met. `theirs`: RabbitMQ's stall, if it was measured."""
    most = max([LIMIT_MS, *(each or 0.0 for each in theirs)])
    cells = ["-" if each is None else f"{each:,.1f}" for each in (ours, *theirs)]
    their = cells[1] if theirs else ""
    met = ours is not None and ours <= most
    return f"| {title} | {cells[0]} | {their} | {most:,.1f} | {'yes' if met else 'no'} |", met


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print Markdown; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stalls", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--work", action="append", choices=WORKS, help="one work (repeat for more); all of them"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="multiply the number of objects")
    parser.add_argument("--alone", action="store_true", help="without RabbitMQ")
    parser.add_argument(
        "--rounds", type=int, default=1, help="how often each work is done; medians are printed"
    )
    chosen = parser.parse_args(arguments)
    exit_on_sigterm()
    say = functools.partial(print, file=sys.stderr, flush=True)
    print("| work | Leveret, ms | RabbitMQ, ms | limit, ms | met |")
    print("|---|---:|---:|---:|---|", flush=True)
    all_met = True
    try:
        with contextlib.ExitStack() as stack:
            with (
                leveret() as before
            ):  # its modules are compiled to bytecode, as those of an installed broker are
                call_api(before, "GET", "overview")
            ours = stack.enter_context(leveret())
            if chosen.work and "first-request" not in chosen.work:
                call_api(ours, "GET", "overview")
            theirs = None if chosen.alone else Renewed(fresh_rabbitmq)
            if theirs is not None:
                stack.callback(theirs.stop)
            for name in chosen.work or WORKS:
                each = WORKS[name]
                count = int(each.count * chosen.scale)
                found = [one_round(ours, theirs, each, count, say) for _ in range(max(1, chosen.rounds))]
                title = f"{each.title} ({count:,})" if each.count else each.title
                line, met = row(title, *(middle(column) for column in zip(*found, strict=True)))
                print(line, flush=True)
                all_met = all_met and met
    except (PeerError, LinkError, LoadError, RefereeError, OSError) as error:
        say(f"benchmarks.stalls: {error}")
        return 2
    return 0 if all_met else 1


if __name__ == "__main__":
    sys.exit(main())
