"""Plays: AMQP conversations in memory, on a clock that only the play moves.

    assert (
        Playbook()
        >> say(Queue.Declare, queue="q")
        << say(Queue.DeclareOk, queue="q")
        >> [*publish(b"hello", "q"), say(Basic.Get, queue="q")]
        << [say(Basic.GetOk, delivery_tag=1, routing_key="q"), Content(b"hello")]
    )

`>>` is what happens: a client's methods, contents or octets (in a list: read by the server in one piece), time that
passes, an alarm, a socket that is closed. `<<` is all that the server must send then; a mismatch prints the dialogue as
a diff. The play runs when its truth value is taken. `chunking` says in which pieces the server reads: `whole`, `bytes`
(each octet alone), or `split` (at points that Hypothesis chooses, several times).
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from msgspec.structs import replace
from pamqp import commands

from leveret.clock import VirtualClock
from leveret.config import Settings
from leveret.engine import startup
from leveret.engine.broker import Broker
from leveret.faults import Fault
from leveret.session import invariants
from leveret.session.connection import Connection
from leveret.session.reader import Reader
from leveret.testing.lines import (
    ANY,
    CAPABILITIES,
    FROM_CLIENTS,
    Advance,
    Anything,
    Arguments,
    Beat,
    Connect,
    Content,
    Do,
    Ended,
    HangUp,
    Kept,
    Line,
    Octets,
    Say,
    alarm,
    attributes_of,
    content,
    content_frames,
    delivery,
    publish,
    refusal,
    say,
)
from leveret.wire.frames import HEARTBEAT_FRAME
from leveret.wire.methods import decode_method, method_frame, name_of
from leveret.wire.properties import Properties, decode_properties

#: How the server may be fed.
CHUNKINGS = ("whole", "bytes", "split")

#: Octets of one step that are fed one at a time; the rest is fed in pieces of a prime length, to save time.
_ALONE, _PIECE = 600, 1009

#: Runs of a play at split points that Hypothesis chooses.
SPLITS = 4


# --- the stage


class LineParser:
    """Parses what a client receives. `received`: octets from the server that are not parsed. `partial`: incomplete
    contents by channel."""

    def __init__(self, name: str, frame_max: int) -> None:
        self.name = name
        self.frame_max = frame_max or 1 << 31  # 0: no limit
        self.received = b""
        self.partial: dict[int, tuple[bytes, bytes]] = {}

    def parse(self) -> Iterator[Line]:
        """Parse what was received into lines."""
        while self.received:
            if self.received[:4] == b"AMQP":
                yield Octets(self.received[:8], self.name)
                self.received = self.received[8:]
                continue
            size = int.from_bytes(self.received[3:7], "big")
            assert len(self.received) >= size + 8, f"{self.name}: half a frame was sent: {self.received!r}"
            frame, self.received = self.received[: size + 8], self.received[size + 8 :]
            assert frame[-1] == 0xCE and size + 8 <= self.frame_max, f"{self.name}: no frame: {frame!r}"
            yield from self._line(frame[0], int.from_bytes(frame[1:3], "big"), frame[7:-1])
        assert not self.partial, f"{self.name}: an incomplete content was sent"

    def _line(self, kind: int, channel: int, payload: bytes) -> Iterator[Line]:
        if kind == 8:
            yield Beat(self.name)
        elif kind == 1:
            assert not self.partial, "a method in the middle of a content"
            method = decode_method(payload)
            yield Say(type(method), attributes_of(type(method), method), channel, self.name)
        else:
            header, body = (payload, b"") if kind == 2 else self.partial.pop(channel)
            body += payload if kind == 3 else b""
            if len(body) == int.from_bytes(header[4:12], "big"):
                yield Content(body, _given(decode_properties(header)), channel, self.name)
            else:
                self.partial[channel] = (header, body)


class Client(LineParser):
    """The client of one connection. `unread`: octets that the server has not consumed. `over`: its socket is closed."""

    def __init__(self, name: str, connection: Connection, frame_max: int) -> None:
        super().__init__(name, frame_max)
        self.connection = connection
        self.reader = Reader(connection)
        self.unread = b""
        self.over = False


def _given(properties: Properties) -> Arguments:
    names = Properties.__struct_fields__
    return {name: value for name in names if (value := getattr(properties, name)) is not None}


class Stage:
    """One run of a play: a broker on virtual clocks, and its clients.

    `pieces`: divides what a client sends in one step. `said`: lines of the server since the last step. `kept`: the
    values of `Kept`. `fault`: the last fault that the broker has reported.
    """

    def __init__(self, settings: Settings, pieces: Callable[[bytes], Iterable[bytes]]) -> None:
        self.clock = VirtualClock()
        self.link_clock = VirtualClock()
        self.use(Broker(settings, self.clock, link_clock=self.link_clock))
        startup.seed(self.broker)
        self.checker = invariants.checker(self.broker)
        self.clients: dict[str, Client] = {}
        self.pieces = pieces
        self.said: list[Line] = []
        self.kept: Arguments = {}
        self.fault: Fault | None = None

    def use(self, broker: Broker) -> None:
        """Use this broker, on the stage's clocks."""
        self.broker = broker
        broker.faults.write = self._failed
        self.clock.agenda = broker.message_time
        self.link_clock.agenda = broker.link_time

    def _failed(self, fault: Fault) -> None:
        if not fault.dropped:
            self.fault = fault

    def play(self, lines: Sequence[Line]) -> list[Line]:
        """Play lines in one tick; returns the server's lines. Raises `AssertionError` for an internal error."""
        said = self._play(lines)
        if self.fault is not None:
            raise AssertionError(str(self.fault)) from self.fault.error
        return said

    def _play(self, lines: Sequence[Line]) -> list[Line]:
        sent: dict[str, bytes] = {}
        self.clock.tick_count += 1
        for line in lines:
            if isinstance(line, FROM_CLIENTS):
                sent[line.by] = sent.get(line.by, b"") + self._octets(line)
            else:
                self._apply(line)
        for name, data in sent.items():
            self.feed(self.clients[name], data)
        self.listen()
        said, self.said = self.said, []
        return said

    def _apply(self, line: Line) -> None:
        if isinstance(line, Advance):
            self.advance(line.milliseconds, line.only)
        elif isinstance(line, Connect):
            self.connect(line)
        elif isinstance(line, HangUp):
            self.hang_up(line.by)
        elif isinstance(line, Do):
            line.call(self)

    def _octets(self, line: Say | Content | Octets | Beat) -> bytes:
        if isinstance(line, Octets):
            return line.data
        if isinstance(line, Beat):
            return HEARTBEAT_FRAME
        if isinstance(line, Say):
            return method_frame(line.channel, line.command, **self._recalled(line.arguments))
        client = self.clients[line.by]
        return content_frames(line, self._recalled(line.properties), client.frame_max)

    def _recalled(self, arguments: Arguments) -> Arguments:
        return {
            name: self.kept[value.name] if isinstance(value, Kept) else value
            for name, value in arguments.items()
        }

    def feed(self, client: Client, data: bytes) -> None:
        """Pass octets of a client to the server in pieces; those that it does not consume are kept."""
        for piece in self.pieces(data) if data else (b"",):
            client.unread += piece
            if client.connection.blocked or client.over:
                continue
            taken = client.reader.receive(client.unread, len(client.unread))
            assert 0 <= taken <= len(client.unread), f"{client.name}: {taken} of {len(client.unread)} taken"
            client.unread = client.unread[taken:]
            if taken and self.checker is not None:
                self.checker.connection(client.connection)

    def listen(self) -> None:
        """Collect the server's output, as the edge does at the end of each tick, until there is none."""
        while True:
            while self.broker.dirty:
                dirty, self.broker.dirty[:] = list(self.broker.dirty), []
                for connection in dirty:
                    self._receive(connection)
            waiting = [one for one in self.clients.values() if one.unread and not one.connection.blocked]
            before = [len(one.unread) for one in waiting]
            for client in waiting:
                self.feed(client, b"")
            if before == [len(one.unread) for one in waiting] and not self.broker.dirty:
                break
        for client in self.clients.values():
            assert client.connection.outbox.size == 0 or client.connection.paused, (
                "output that is not to be sent"
            )

    def _receive(self, connection: Connection) -> None:
        client = next((one for one in self.clients.values() if one.connection is connection), None)
        assert client is not None, "a connection of no client"
        if not connection.paused:
            client.received += connection.take_output()
            self.said.extend(client.parse())
        if connection.ended and not client.over:
            self.said.append(Ended(connection.ended.value, client.name))
            client.over = True
            client.unread = b""
            connection.lost()
        elif connection.congested and not connection.paused:
            connection.drained()

    def advance(self, milliseconds: int, only: str = "") -> None:
        """Move the clocks; output is collected each time a call is due. `only`: see `Advance`."""
        clocks = {"": (self.clock, self.link_clock), "message": (self.clock,), "link": (self.link_clock,)}[
            only
        ]
        left = milliseconds
        while (step := min(clock.until_due() for clock in clocks)) <= left:
            left -= step
            for clock in clocks:
                clock.advance(step)
            if self.checker is not None:
                self.checker.all()
            self.listen()
        for clock in clocks:
            clock.advance(left)

    def connect(self, who: Connect) -> Client:
        """Connect a client."""
        client = Client(who.by, Connection(self.broker, who.peer, self.broker.dirty), who.frame_max)
        self.clients[who.by] = client
        if who.channels is None:
            return client
        for step in handshake(who):
            self.feed(client, step)
            self.listen()
        answers = [name_of(line.command) for line in self.said if isinstance(line, Say)]
        wanted = ["connection.start", "connection.tune", "connection.open-ok"]
        assert answers == wanted + ["channel.open-ok"] * len(who.channels), answers
        self.said.clear()
        return client

    def hang_up(self, name: str) -> None:
        """Close the socket of a client."""
        client = self.clients.pop(name)
        client.over = True
        client.connection.lost()
        if self.checker is not None:
            self.checker.all()
        self.broker.dirty[:] = [one for one in self.broker.dirty if one is not client.connection]


def handshake(who: Connect) -> list[bytes]:
    """Return the octets of login and of opening channels, step by step."""
    stated = {"capabilities": dict.fromkeys(who.capabilities, True)}
    lines = [
        say(
            commands.Connection.StartOk,
            client_properties=stated,
            mechanism="PLAIN",
            response=f"\0{who.user}\0{who.password}",
            locale="en_US",
        ),
        say(
            commands.Connection.TuneOk,
            channel_max=who.channel_max,
            frame_max=who.frame_max,
            heartbeat=who.heartbeat,
        ),
        say(commands.Connection.Open, virtual_host=who.vhost),
        *(say(commands.Channel.Open, channel=number) for number in who.channels or ()),
    ]
    return [
        b"AMQP\0\0\x09\x01",
        *(method_frame(line.channel, line.command, **line.arguments) for line in lines),
    ]


# --- the book


class Playbook:
    """A conversation that is written first, and played when its truth value is taken.

    `chunking`: one of `CHUNKINGS`. `first`: the clients that are connected at the beginning. `stage`: that of the last
    run.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        chunking: str = "whole",
        first: Sequence[Connect] = (Connect("a"),),
    ) -> None:
        self.settings = settings or Settings()
        self.chunking = chunking
        self.first = first
        self.steps: list[tuple[list[Line], list[Line]]] = []
        self.played = False
        self.stage: Stage

    def __rshift__(self, what: Line | Iterable[Line]) -> Playbook:
        self.steps.append(([what] if isinstance(what, Line) else list(what), []))
        return self

    def __lshift__(self, what: Line | Iterable[Line]) -> Playbook:
        self.steps[-1][1].extend([what] if isinstance(what, Line) else list(what))
        return self

    def __bool__(self) -> bool:
        """Play it. Raises `AssertionError` with the conversation if the server sends something else."""
        __tracebackhide__ = True  # pytest shows the dialogue alone
        self.played = True
        if self.chunking == "split":
            self._run_split()
        else:
            self.run(_octet_by_octet if self.chunking == "bytes" else _whole)
        return True

    def _run_split(self) -> None:
        __tracebackhide__ = True
        from hypothesis import HealthCheck, Phase, given, settings
        from hypothesis import strategies as st

        @settings(
            max_examples=SPLITS,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(st.lists(st.integers(1, 64), min_size=1, max_size=24))
        def run_split(sizes: list[int]) -> None:
            __tracebackhide__ = True
            self.run(lambda data: _cut(data, sizes))

        run_split()

    def run(self, pieces: Callable[[bytes], Iterable[bytes]]) -> None:
        """Play it once. `pieces`: divides what clients send."""
        __tracebackhide__ = True
        stage = self.stage = Stage(self.settings, _whole)
        for who in self.first:
            stage.connect(who)
        stage.pieces = pieces
        stated: list[str] = []
        for lines, expected in self.steps:
            stated += [f"  >> {line}" for line in lines]
            said = _by_client(stage.play(lines))
            wanted = [_recall(line, stage.kept) for line in _by_client(expected)]
            if not _alike(wanted, said, stage.kept):
                stated += _difference(wanted, said, stage.kept)
                raise AssertionError(
                    f"the server departs from the play ({self.chunking}):\n" + "\n".join(stated)
                )
            stated += [f"  << {line}" for line in said]


def _whole(data: bytes) -> Iterable[bytes]:
    return (data,)


def _octet_by_octet(data: bytes) -> Iterable[bytes]:
    yield from (data[i : i + 1] for i in range(min(len(data), _ALONE)))
    yield from (data[i : i + _PIECE] for i in range(_ALONE, len(data), _PIECE))


def _cut(data: bytes, sizes: list[int]) -> Iterable[bytes]:
    at = 0
    scale = 1 + len(data) // 4096
    for size in itertools.cycle(sizes):
        yield data[at : at + size * scale]
        at += size * scale
        if at >= len(data):
            return


def _recall(line: Line, kept: Arguments) -> Line:
    """Return a line with the known values of `Kept`."""
    if isinstance(line, Say):
        return replace(line, arguments={name: _known(value, kept) for name, value in line.arguments.items()})
    if isinstance(line, Content):
        return replace(
            line, properties={name: _known(value, kept) for name, value in line.properties.items()}
        )
    return line


def _known(value: object, kept: Arguments) -> object:
    return kept.get(value.name, value) if isinstance(value, Kept) else value


def _by_client(lines: list[Line]) -> list[Line]:
    """Sort lines by client, in their order; lines of different sockets have no order."""
    return sorted(lines, key=lambda line: str(getattr(line, "by", "")))


def _alike(wanted: list[Line], said: list[Line], kept: Arguments) -> bool:
    return len(wanted) == len(said) and all(
        _same(_recall(one, kept), other, kept) for one, other in zip(wanted, said, strict=True)
    )


def _same(wanted: Line, said: Line, kept: Arguments) -> bool:
    if type(wanted) is not type(said):
        return False
    if isinstance(wanted, Say) and isinstance(said, Say):
        where = (wanted.command, wanted.channel, wanted.by) == (said.command, said.channel, said.by)
        return where and _same_values(wanted.arguments, said.arguments, kept)
    if isinstance(wanted, Content) and isinstance(said, Content):
        where = (wanted.body, wanted.channel, wanted.by) == (said.body, said.channel, said.by)
        return where and _same_values(wanted.properties, said.properties, kept)
    return wanted == said


def _same_values(wanted: Arguments, said: Arguments, kept: Arguments) -> bool:
    if wanted.keys() != said.keys():
        return False
    for name, value in wanted.items():
        if isinstance(value, Kept):
            if not re.fullmatch(value.pattern, str(said[name]), re.DOTALL):
                return False
            kept[value.name] = said[name]
        elif not isinstance(value, Anything) and value != said[name]:
            return False
    return True


def _difference(wanted: list[Line], said: list[Line], kept: Arguments) -> list[str]:
    """Lines marked `-` for the play and `+` for the server; matching lines are shown as the server sent them."""
    left = [str(line) for line in wanted]
    right = [str(line) for line in said]
    for i, line in enumerate(wanted):
        if i < len(said) and _same(line, said[i], dict(kept)):
            left[i] = right[i]
    lines = difflib.ndiff(left, right)
    return [f"{line[:2]}<< {line[2:]}" for line in lines if not line.startswith("?")]


__all__ = [
    "ANY",
    "CAPABILITIES",
    "CHUNKINGS",
    "Advance",
    "Beat",
    "Client",
    "Connect",
    "Content",
    "Do",
    "Ended",
    "HangUp",
    "Kept",
    "Line",
    "Octets",
    "Playbook",
    "Say",
    "Stage",
    "alarm",
    "content",
    "content_frames",
    "delivery",
    "handshake",
    "publish",
    "refusal",
    "say",
]
