"""What very many connections do at the same moment is spread over several turns of the event loop."""

from __future__ import annotations

from itertools import count, pairwise
from pathlib import Path

import pytest
from pamqp.commands import Basic, Confirm, Queue

from leveret.queues.journal import WOKEN_TOGETHER
from leveret.server.sockets import (
    CLOSED_TOGETHER,
    LATE_READ_BYTES,
    REQUESTS_TOGETHER,
    SEND_S,
    SENT_TOGETHER,
    SMALL_READ_BYTES,
    TURN_S,
    Edge,
    Socket,
)
from leveret.testing.lines import Say
from leveret.wire.methods import method_frame
from tests.faults.test_isolation import message
from tests.faults.world import Transport, World


def clients_of(world: World, many: int) -> list[Transport]:
    clients = [world.connect(f"client {number}") for number in range(many)]
    world.loop.run(100)
    for client in clients:
        client.receive()
    return clients


def answered(clients: list[Transport]) -> int:
    """How many clients have something to read."""
    return sum(bool(client.parser.received) for client in clients)


def answers(client: Transport, command: type) -> int:
    """How many of these answers a client has received since the last look."""
    return sum(isinstance(line, Say) and line.command is command for line in client.receive())


def declare(size: int = 0) -> bytes:
    """Passive declares of a queue, so many octets of them at least."""
    frame = method_frame(1, Queue.Declare, queue="amq.none", passive=False)
    return frame * (size // len(frame) + 1)


def test_calls_that_waited_for_one_commit_run_in_portions(tmp_path: Path) -> None:
    world = World(tmp_path)
    journal, ran = world.store.journal, []
    for number in range(10 * WOKEN_TOGETHER):
        journal.when_settled(journal.open, lambda number=number: ran.append(number))
    world.broker.work.timer = count(1).__next__  # a portion uses up a slice
    seen: list[int] = []

    def look() -> None:
        seen.append(len(ran))
        if len(ran) < 10 * WOKEN_TOGETHER:
            world.loop.call_soon(look)

    look()
    world.loop.run(100)
    steps = sorted({*seen})
    assert ran == list(range(10 * WOKEN_TOGETHER))
    assert max(after - before for before, after in pairwise(steps)) <= WOKEN_TOGETHER


def test_a_call_that_fails_stops_no_other(tmp_path: Path) -> None:
    world = World(tmp_path)
    journal, ran = world.store.journal, []

    def broken() -> None:
        raise RuntimeError("broken")

    for number in range(2 * WOKEN_TOGETHER):
        journal.when_settled(journal.open, broken if number % 2 else lambda: ran.append(1))
    world.loop.run(100)
    assert len(ran) == WOKEN_TOGETHER and not journal.waking and not journal.due


def test_what_waits_for_a_later_commit_is_not_run(tmp_path: Path) -> None:
    world = World(tmp_path)
    journal, ran = world.store.journal, []
    for number in range(2 * WOKEN_TOGETHER):
        journal.when_settled(journal.open + number % 2, lambda number=number: ran.append(number % 2))
    journal.settle_up_to(journal.open)
    assert ran == [0] * WOKEN_TOGETHER
    journal.settle_up_to(journal.open + 1)
    assert ran == [0] * WOKEN_TOGETHER + [1] * WOKEN_TOGETHER


def test_confirms_of_many_channels_all_arrive(tmp_path: Path) -> None:
    world = World(tmp_path)
    clients = clients_of(world, 3 * WOKEN_TOGETHER)
    clients[0].feed(method_frame(1, Queue.Declare, queue="q", durable=True))
    for client in clients:
        client.feed(method_frame(1, Confirm.Select))
    world.loop.run(100)
    world.broker.work.timer = count(1).__next__
    for client in clients:
        client.receive()
        client.feed(message("", "q", b"x", delivery_mode=2))
    world.loop.run(100)
    assert [len(client.receive()) for client in clients] == [1] * len(clients)


def slow(world: World) -> None:
    """Let the time of a turn for sending pass whenever somebody looks."""
    seconds = count(0, SEND_S)
    world.edge.timer = lambda: next(seconds)


def flush(world: World, clients: list[Transport]) -> None:
    """Have something sent to each of these clients."""
    for client in clients:
        client.protocol.connection.send(method_frame(1, Basic.RecoverOk))
    world.edge.flush()


def test_output_of_many_connections_is_sent_in_several_turns(tmp_path: Path) -> None:
    world = World(tmp_path)
    clients = clients_of(world, 5 * SENT_TOGETHER)
    slow(world)
    flush(world, clients)
    assert answered(clients) == SENT_TOGETHER, "the time is over after the first ones"
    late = clients[-1]
    assert late.protocol.connection in world.edge.late and late.protocol.connection.flush_scheduled
    late.parser.received = b""
    new = clients[0]
    new.receive()
    flush(world, [new])
    assert answered([new]) and not answered([late]), "who comes later is not behind them"
    world.loop.run(100)
    assert answered(clients) == len(clients) and not world.edge.late


def test_late_output_has_its_time_although_there_is_always_new_output(tmp_path: Path) -> None:
    world = World(tmp_path)
    first, second = clients_of(world, 3 * SENT_TOGETHER), clients_of(world, 3 * SENT_TOGETHER)
    slow(world)
    for clients in (first, second, []):
        flush(world, clients)
    assert answered(first) == len(first)
    world.loop.run(100)
    assert answered(second) == len(second)


def test_output_of_a_socket_that_was_closed_meanwhile_is_dropped(tmp_path: Path) -> None:
    world = World(tmp_path)
    clients = clients_of(world, 2 * SENT_TOGETHER)
    slow(world)
    flush(world, clients)
    clients[-1].protocol.connection_lost(None)
    world.loop.run(100)
    assert answered(clients) == len(clients) - 1 and not world.edge.late


def test_late_output_is_held_until_what_it_reports_is_durable(tmp_path: Path) -> None:
    world = World(tmp_path)
    clients = clients_of(world, 2 * SENT_TOGETHER)
    world.store.journal.hold()
    slow(world)
    flush(world, clients)
    late = clients[-1]
    assert late.protocol.connection in world.edge.late
    late.unread = method_frame(1, Queue.Declare, queue="q", durable=True)
    read(late)
    assert "q" in world.broker.vhosts["/"].queues and late.protocol.connection in world.edge.late
    world.loop.run(100)
    assert not answers(late, Queue.DeclareOk)
    world.store.journal.let_go()
    world.loop.run(100)
    assert answers(late, Queue.DeclareOk)


def read(client: Transport) -> None:
    """The socket of a client is readable."""
    client._read()


def test_reads_beyond_the_time_of_a_turn_are_handled_in_the_next(tmp_path: Path) -> None:
    world = World(tmp_path)
    clients = clients_of(world, 6)
    seconds = count(0, TURN_S / 100)
    world.edge.timer = lambda: next(seconds)
    handled = [client.protocol.connection.frames_received for client in clients]
    for client in clients:
        client.unread = declare(2 * SMALL_READ_BYTES)
    read(clients[0])
    world.edge.turn_until = 0.0  # it has used the turn
    world.edge.read_at = 1e12
    for client in clients[1:]:
        read(client)
    now = [client.protocol.connection.frames_received for client in clients]
    assert now[0] > handled[0] and now[1:] == handled[1:], "the others wait"
    assert [client.paused for client in clients] == [False] + [True] * 5
    world.loop.run(100)
    assert all(client.receive() for client in clients)
    assert not world.edge.deferred and not any(client.paused for client in clients)


@pytest.mark.parametrize("late", [False, True])
def test_a_short_read_is_handled_unless_the_turn_is_very_late(tmp_path: Path, late: bool) -> None:
    world = World(tmp_path)
    clients = clients_of(world, 2)
    clients[0].unread = clients[1].unread = declare()
    read(clients[0])
    world.edge.turn_until = world.edge.timer() - (TURN_S if late else 0.0)
    world.edge.read_at = 1e12
    read(clients[1])
    assert clients[1].paused == late and len(world.edge.deferred) == late
    world.loop.run(100)
    assert all(client.receive() for client in clients) and not world.edge.deferred


def test_little_is_read_when_the_turn_is_used(tmp_path: Path) -> None:
    world = World(tmp_path)
    client = clients_of(world, 1)[0]
    assert len(client.protocol.get_buffer(-1)) == len(world.edge.buffer)
    world.edge.turn_used = True
    assert len(client.protocol.get_buffer(-1)) == LATE_READ_BYTES


def test_a_socket_that_is_read_again_begins_a_new_turn(tmp_path: Path) -> None:
    world = World(tmp_path)
    first, second = clients_of(world, 2)
    first.unread = declare()
    read(first)
    world.edge.turn_until = 0.0
    world.edge.read_at = 1e12
    second.unread = declare()
    read(second)
    assert world.edge.turn_used
    first.unread = declare(2 * SMALL_READ_BYTES)
    before = first.protocol.connection.frames_received
    read(first)
    assert first.protocol.connection.frames_received > before and not world.edge.turn_used


class Recorded(Socket):
    """A socket that notes when it goes on."""

    def __init__(self, edge: Edge, name: str, went_on: list[str]) -> None:
        super().__init__(edge)
        self.name, self.went_on = name, went_on

    def go_on(self) -> None:
        self.went_on.append(self.name)


def test_deferred_reads_and_unfinished_ones_take_turns(tmp_path: Path) -> None:
    world = World(tmp_path)
    seconds = count(0, TURN_S)
    world.edge.timer = lambda: next(seconds)
    went_on: list[str] = []
    for _ in range(3):
        world.edge.next_turn(Recorded(world.edge, "unfinished", went_on))
        world.edge.defer(Recorded(world.edge, "deferred", went_on))
    world.loop.run()
    assert went_on == ["deferred", "unfinished"] * 3


def test_requests_that_waited_for_one_commit_go_on_in_several_turns(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.store.journal.hold()
    world.store.journal.record_changed()
    waiting = [world.edge.settled() for _ in range(3 * REQUESTS_TOGETHER)]
    woken: list[int] = []

    def look() -> None:
        woken.append(sum(future.done() for future in waiting))
        if woken[-1] < len(waiting):
            world.loop.call_soon(look)

    world.loop.run(100)
    assert not any(future.done() for future in waiting)
    world.store.journal.let_go()
    look()
    world.loop.run(100)
    steps = sorted({*woken})
    assert steps == [0, REQUESTS_TOGETHER, 2 * REQUESTS_TOGETHER, 3 * REQUESTS_TOGETHER]


def test_sockets_that_clients_close_together_are_closed_in_several_turns(tmp_path: Path) -> None:
    world = World(tmp_path)
    clients = clients_of(world, 3 * CLOSED_TOGETHER + 1)
    clients[1].protocol.transport.abort()
    closed: list[int] = []

    def look() -> None:
        closed.append(sum(client.closing for client in clients))
        if closed[-1] < len(clients):
            world.loop.call_soon(look)

    for client in clients:
        client.protocol.fd = 1 << 20  # sockets of a loop have one, unless the transport encrypts
    stay_open = [client.protocol.eof_received() for client in clients]
    assert stay_open == [False] * CLOSED_TOGETHER + [True] * (2 * CLOSED_TOGETHER + 1)
    for client in clients[:CLOSED_TOGETHER]:
        client.protocol.transport.close()  # as the event loop does
    assert clients[-1].protocol.eof_received(), "it was read again meanwhile"
    look()
    world.loop.run(100)
    steps = sorted({*closed})
    assert max(after - before for before, after in pairwise(steps)) <= CLOSED_TOGETHER
    assert steps[-1] == len(clients) and not world.edge.sockets and not world.edge.closing


def test_tls_closes_a_socket_itself(tmp_path: Path) -> None:
    world = World(tmp_path)
    (client,) = clients_of(world, 1)
    client.protocol.fd = -1
    assert not client.protocol.eof_received() and not world.edge.closing
