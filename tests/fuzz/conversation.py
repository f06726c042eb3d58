"""Plays the events of a conversation on a whole node in memory, and checks what must hold afterwards.

Another client takes no part in the conversation. It gets its confirms and deliveries, its messages expire in time, and
no internal error is counted. Names that the broker generates come from a seed, so that the same events have the same
outcome.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pamqp.commands import Basic, Channel, Confirm, Connection, Queue, Tx

from leveret.store.paging_file import FilePager
from leveret.testing.playbook import Content, Line, Say, content_frames
from leveret.wire.methods import method_frame
from leveret.wire.tables import Field
from tests.faults.world import Transport, World
from tests.fuzz.events import Case, Event
from tests.stores.faults import FaultyFiles

#: Message time in which a store that could not write tries again, and everything it owes is sent, ms.
RECOVERY_MS = 3000

#: Memory for ready messages, octets: little, so that queues are paged out.
PAGING_BYTES = 20_000

#: Where data directories are: in memory, where the machine has that.
SHARED_MEMORY = Path("/dev/shm")

#: Prefetch of the channels of a conversation, unless it sets another.
PREFETCH = 5

INNOCENT = "innocent"
FRAME_MAX = 131072


class Finding(AssertionError):  # noqa: N818  it is the outcome that is looked for
    """Something that must not happen. The first line describes it without anything that differs from run to run."""


class ChannelState:
    """What a client of the conversation knows about one of its channels.

    `closed`: it must be opened again, `close_ok_due`: after an answer to channel.close; `mode`: `tx`, `confirm` or
    nothing; `tags`: unacknowledged deliveries.
    """

    def __init__(self) -> None:
        self.closed = self.close_ok_due = False
        self.mode = ""
        self.tags: list[int] = []

    def close(self, by_server: bool) -> None:
        """Forget everything about it."""
        self.closed, self.close_ok_due = True, by_server
        self.mode, self.tags = "", []


class Play:
    """One conversation. `clients`: those of the conversation, `channels`: by client and number; `ended`: clients that
    the broker has disconnected."""

    def __init__(self, directory: Path, version: str) -> None:
        self.directory = directory
        self.version = version
        self.files = FaultyFiles()
        self.files.calm = True
        self.clients: dict[str, Transport] = {}
        self.channels: dict[tuple[str, int], ChannelState] = {}
        self.ended: set[str] = set()
        self.reply_to = b""
        self.published = 0
        self._start(0)

    def _start(self, now: int) -> None:
        pager = FilePager(PAGING_BYTES, str(self.directory))
        self.world = World(
            self.directory, version=self.version, files=self.files, pager=pager, now=now, check=True
        )
        self.innocent = self.world.connect(INNOCENT, channels=(1,))
        expiring = {
            "x-dead-letter-exchange": Field("S", b""),
            "x-dead-letter-routing-key": Field("S", b"innocent"),
        }
        for octets in (
            method_frame(1, Confirm.Select),
            method_frame(1, Queue.Declare, queue="innocent", exclusive=True),
            method_frame(1, Queue.Declare, queue="innocent.expiring", exclusive=True, arguments=expiring),
            method_frame(1, Basic.Consume, queue="innocent", consumer_tag="c", no_ack=True),
        ):
            self.innocent.feed(octets)
        self.published = 0
        self.world.loop.run(RECOVERY_MS)
        self.innocent.receive()

    # --- events

    def apply(self, event: Event) -> None:
        """Play an event, and read the broker's answers. Raises `Finding`."""
        getattr(self, "_" + event.kind.replace("-", "_"))(event)
        self.world.loop.run()
        for name, client in self.clients.items():
            for line in client.receive():
                self._heard(name, line)
        self._no_faults()

    def _connect(self, event: Event) -> None:
        self._hang_up(event)
        self.clients[event.by] = self.world.connect(event.by)
        for number in (1, 2):
            self.channels[event.by, number] = ChannelState()
            self.clients[event.by].feed(method_frame(number, Basic.Qos, prefetch_count=PREFETCH))
        self.clients[event.by].feed(method_frame(2, Confirm.Select))

    def _dial(self, event: Event) -> None:
        self._hang_up(event)
        self.clients[event.by] = Transport(self.world, event.by)

    def _octets(self, event: Event) -> None:
        client = self.clients.get(event.by)
        for piece in event.pieces():
            # The shared buffer has room for two frames: what a client keeps unread must fit, as in the socket.
            if client is not None and not client.closing:
                client.feed(piece)
                self.world.loop.run()

    def _hang_up(self, event: Event) -> None:
        self.ended.discard(event.by)
        client = self.clients.pop(event.by, None)
        if client is not None:
            client.close()
        for key in [key for key in self.channels if key[0] == event.by]:
            del self.channels[key]

    def _pause(self, event: Event) -> None:
        if event.by in self.clients and not self.clients[event.by].closing:
            self.clients[event.by].protocol.pause_writing()

    def _resume(self, event: Event) -> None:
        if event.by in self.clients and not self.clients[event.by].closing:
            self.clients[event.by].protocol.resume_writing()

    def _advance(self, event: Event) -> None:
        self.world.loop.run(event.milliseconds)

    def _disk(self, event: Event) -> None:
        self.files.calm = event.text == "works"

    def _restart(self, event: Event) -> None:
        if event.text == "stop":
            self._settle()
            self.world.store.close()
        else:
            self.world.store.release()
        self.files.calm = True
        self.clients.clear()
        self.channels.clear()
        self.ended.clear()
        self._start(self.world.loop.now)

    def _http(self, event: Event) -> None:
        method, _, path = event.text.partition(" ")
        try:
            answer = self.world.get(path, method, path.startswith("/metrics"), event.octets)
        except RuntimeError as error:
            if str(error) != "no running event loop":
                raise
            return  # the change is made, and the response would wait for the disk
        if answer is not None and answer.status >= 500 and answer.status != 503:
            raise Finding(f"HTTP {answer.status} to {event.text}")

    def _heard(self, name: str, line: Line) -> None:
        if not isinstance(line, Say):
            if isinstance(line, Content) and str(line.properties.get("reply_to", "")).startswith(
                "amq.rabbitmq"
            ):
                self.reply_to = str(line.properties["reply_to"]).encode()
            return
        channel = self.channels.get((name, line.channel))
        if line.command is Connection.Close:
            self.ended.add(name)
        elif channel is None:
            return
        elif line.command in (Channel.Close, Channel.CloseOk):
            channel.close(line.command is Channel.Close)
        elif line.command in (Tx.SelectOk, Confirm.SelectOk):
            channel.mode = "tx" if line.command is Tx.SelectOk else "confirm"
        elif line.command in (Basic.Deliver, Basic.GetOk):
            channel.tags.append(line.arguments["delivery_tag"])

    # --- what must hold

    def _no_faults(self) -> None:
        errors = self.world.broker.faults.errors
        if errors:
            said = [fault for fault in self.world.written if not fault.dropped]
            first = f"{said[0].place}: {said[0].error!r}" if said else str(dict(errors))
            raise Finding(f"internal error in {first}") from (said[0].error if said else None)

    def _settle(self) -> None:
        """Repair the disk, and do everything that is due."""
        self.files.calm = True
        self.world.loop.run(RECOVERY_MS)
        for client in self.clients.values():
            client.receive()
        self._no_faults()

    def check(self) -> None:
        """Check that the other client is served. Raises `Finding`."""
        self._settle()
        self.innocent.receive()
        wanted = []
        for key, properties in (("innocent", {}), ("innocent.expiring", {"expiration": "5"})):
            self.published += 1
            wanted.append(b"%s %d" % (key.encode(), self.published))
            body = Content(wanted[-1], {"delivery_mode": 2, **properties})
            self.innocent.feed(
                method_frame(1, Basic.Publish, routing_key=key)
                + content_frames(body, body.properties, FRAME_MAX)
            )
        self.world.loop.run(RECOVERY_MS)
        said = self.innocent.receive()
        if [line.body for line in said if isinstance(line, Content)] != wanted:
            raise Finding(f"the innocent client has not got its messages: {said}")
        acks = [
            line.arguments["delivery_tag"]
            for line in said
            if isinstance(line, Say) and line.command is Basic.Ack
        ]
        if not acks or max(acks) != self.published:
            raise Finding(f"the innocent client has not got its confirms: {said}")
        self._no_faults()

    def finish(self) -> None:
        """Disconnect the clients, and check that nothing of theirs is left. Raises `Finding`."""
        self.check()
        for name in list(self.clients):
            self._hang_up(Event("hang-up", name))
        self._settle()
        broker = self.world.broker
        if len(broker.connections) != 1:
            raise Finding(f"{len(broker.connections) - 1} connections are left")
        for queue in broker.vhosts["/"].queues.values():
            if queue.owner is not None and not queue.name.startswith("innocent"):
                raise Finding("an exclusive queue is left")
            if queue.unacked:
                raise Finding("unacknowledged messages are left")
        checker = self.world.edge.checker
        assert checker is not None
        checker.all()
        self.check()

    def close(self) -> None:
        """Release the data directory."""
        self.world.store.release()


@contextmanager
def seeded_names(seed: int) -> Iterator[None]:
    """Names that the broker generates come from a seed meanwhile."""
    urandom = os.urandom
    os.urandom = random.Random(seed).randbytes
    try:
        yield
    finally:
        os.urandom = urandom


@contextmanager
def playing(version: str, seed: int) -> Iterator[Play]:
    """Make a play in its own data directory."""
    place = SHARED_MEMORY if SHARED_MEMORY.is_dir() else None
    directory = Path(tempfile.mkdtemp(prefix="leveret-fuzz-", dir=place))
    try:
        with seeded_names(seed):
            play = Play(directory / "data", version)
            try:
                yield play
            finally:
                play.close()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def replay(case: Case, on_event: Callable[[Event], None] = lambda event: None) -> None:
    """Play a conversation. Raises what it finds."""
    with playing(case.version, case.seed) as play:
        for event in case.events:
            on_event(event)
            play.apply(event)
        play.finish()
