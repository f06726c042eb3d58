"""Clients that do not read, or do not finish what they send: what the broker keeps for them is bounded."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from pamqp.commands import Basic, Confirm, Queue, Tx

from leveret.server.sockets import LOOK_BYTES, SLOW_FRAME_BYTES, WRITE_LIMIT_BYTES
from leveret.settings import Amqp, Memory
from leveret.testing.lines import Content, Line, Say, content_frames
from leveret.wire.methods import method_frame
from tests.faults.test_isolation import message, table
from tests.faults.world import Transport, World

LIMIT = 300_000


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, memory=Memory(unread=LIMIT, unfinished=LIMIT), check=True)


def declare(queue: str, *, passive: bool = False) -> bytes:
    return method_frame(1, Queue.Declare, queue=queue, passive=passive)


def get(queue: str) -> bytes:
    return method_frame(1, Basic.Get, queue=queue, no_ack=False) + method_frame(
        1, Basic.RecoverAsync, requeue=True
    )


def held(client: Transport) -> int:
    """Octets that the broker keeps for a client."""
    return client.protocol.connection.outbox.size + len(client.unsent)


def says(lines: list[Line], name: str) -> int:
    return sum(isinstance(line, Say) and line.command.name == name for line in lines)


def test_unread_answers_are_limited(world: World) -> None:
    """basic.get of the same message again and again, 8 octets for 100,000."""
    client = world.connect("client")
    client.feed(declare("q") + message("", "q", b"x" * 100_000))
    world.loop.run()
    client.receive()
    client.stuck = True
    for _ in range(40):
        client.feed(get("q"))
    world.loop.run()
    connection = client.protocol.connection
    assert client.paused and connection.stuffed
    assert held(client) < WRITE_LIMIT_BYTES + LIMIT + 3 * 100_100
    client.read()
    world.loop.run()
    lines = client.receive()
    assert sum(isinstance(line, Content) for line in lines) == 40
    assert not client.paused and not connection.halted


def test_octets_of_one_read_are_limited_too(world: World) -> None:
    client = world.connect("client")
    client.feed(declare("q") + message("", "q", b"x" * 100_000))
    world.loop.run()
    client.receive()
    client.stuck = True
    client.feed(get("q") * 40)
    world.loop.run()
    assert held(client) < WRITE_LIMIT_BYTES + LIMIT + 3 * 100_100
    client.read()
    world.loop.run()
    assert sum(isinstance(line, Content) for line in client.receive()) == 40


def test_unread_returned_messages_are_limited(world: World) -> None:
    client = world.connect("client")
    client.stuck = True
    publish = method_frame(1, Basic.Publish, exchange="", routing_key="nowhere", mandatory=True)
    content = message("", "", b"x" * 50_000)[len(method_frame(1, Basic.Publish)) :]
    for _ in range(50):
        client.feed(publish + content)
    world.loop.run()
    assert client.paused
    assert held(client) < WRITE_LIMIT_BYTES + LIMIT + 3 * 50_100
    client.read()
    world.loop.run()
    assert says(client.receive(), "Basic.Return") == 50


def test_unread_nacks_are_limited(world: World) -> None:
    """Each has a basic.nack of its own; they are written although the socket takes no more, so that they count."""
    client = world.connect("client")
    client.feed(
        method_frame(1, Confirm.Select)
        + method_frame(1, Queue.Declare, queue="q", arguments=table(max_length=0, overflow="reject-publish"))
    )
    world.loop.run()
    client.receive()
    client.stuck = True
    for _ in range(40):
        client.feed(message("", "q", b"") * 1000)
        world.loop.run()
    assert client.paused
    assert held(client) < WRITE_LIMIT_BYTES + 2 * LIMIT
    client.read()
    world.loop.run()
    assert says(client.receive(), "Basic.Nack") == 40_000


def test_a_client_that_does_not_read_is_silent(world: World) -> None:
    """Its heartbeats are not read either; what counts is whether it takes anything."""
    client = world.connect("client", heartbeat=1)
    client.feed(declare("q") + message("", "q", b"x" * 100_000))
    world.loop.run()
    client.stuck = True
    client.feed(get("q") * 40)
    world.loop.run()
    assert not client.lost
    world.loop.run(5000)
    assert client.lost


def test_unread_replies_are_limited(world: World) -> None:
    """They are dropped, with one line in the log: RabbitMQ 4.3.6 keeps all of them in memory."""
    requester, responder = world.connect("requester"), world.connect("responder")
    requester.feed(method_frame(1, Basic.Consume, queue="amq.rabbitmq.reply-to", no_ack=True))
    world.loop.run()
    (address,) = world.broker.reply_addresses
    requester.stuck = True
    for _ in range(40):
        responder.feed(message("", address, b"x" * 50_000))
    world.loop.run()
    assert not responder.paused
    assert held(requester) < WRITE_LIMIT_BYTES + LIMIT + 3 * 50_100
    kept = 40 - world.broker.reply_addresses[address].dropped
    assert 0 < kept < 20
    requester.read()
    world.loop.run()
    responder.feed(message("", address, b"late"))
    world.loop.run()
    bodies = [line.body for line in requester.receive() if isinstance(line, Content)]
    assert len(bodies) == kept + 1 and bodies[-1] == b"late"


def unfinished(channel: int, size: int, *frames: bytes) -> bytes:
    """A publish whose body is not complete."""
    head = method_frame(channel, Basic.Publish, exchange="", routing_key="nowhere")
    header = struct.pack(">BHIHHQHB", 2, channel, 14, 60, 0, size, 0, 0xCE)
    return (
        head
        + header
        + b"".join(struct.pack(">BHI", 3, channel, len(frame)) + frame + b"\xce" for frame in frames)
    )


def test_unfinished_bodies_are_limited(world: World) -> None:
    limit = world.broker.unfinished_limit
    assert limit == world.broker.max_message_size, "one message may always be as large as allowed"
    client = world.connect("client")
    connection = client.protocol.connection
    connection.unfinished_limit = 300_000
    client.feed(
        unfinished(1, 1_000_000, b"x" * 100_000) + unfinished(2, 1_000_000, b"x" * 100_000, b"x" * 100_000)
    )
    world.loop.run()
    assert connection.unfinished == 300_000 and not client.receive()
    client.feed(struct.pack(">BHI", 3, 1, 1) + b"x\xce")
    world.loop.run()
    (refused,) = client.receive()
    assert isinstance(refused, Say)
    assert refused.arguments["reply_text"] == (
        "RESOURCE_ERROR - unfinished message bodies on this connection are larger than configured limit 300000"
    )
    assert connection.unfinished == 0


def test_the_unfinished_bodies_of_all_connections_are_limited_during_the_alarm(world: World) -> None:
    world.watch.memory_limit = 2000
    clients = [world.connect(f"client {number}") for number in range(3)]
    for client, size in zip(clients, (500, 501, 500), strict=True):
        client.feed(unfinished(1, 1000, b"x" * size))
    world.loop.run()
    world.watch.check()
    world.loop.run()
    world.watch.check()
    world.loop.run()
    assert world.broker.alarms
    (refused,) = clients[1].receive()
    assert isinstance(refused, Say)
    assert refused.arguments["reply_text"] == (
        "RESOURCE_ERROR - unfinished message bodies of all connections are larger than 1000"
    )
    assert [client.protocol.connection.unfinished for client in clients] == [500, 0, 500]
    assert not clients[0].receive() and not clients[2].receive()


def test_the_uncommitted_messages_of_all_connections_are_limited_during_the_alarm(world: World) -> None:
    """A client that is not read during the alarm cannot commit them, and its end is not noticed."""
    clients = [world.connect(f"client {number}") for number in range(3)]
    for client, size in zip(clients, (100, 301, 100), strict=True):
        client.feed(method_frame(1, Tx.Select) + unfinished(1, size, b"x" * size))
    world.loop.run()
    assert all(says(client.receive(), "Tx.SelectOk") for client in clients)
    uncommitted = world.broker.uncommitted
    assert list(uncommitted.values()) == [600, 801, 600]
    world.watch.memory_limit = 4000
    world.watch.check()
    world.loop.run()
    (refused,) = clients[1].receive()
    assert isinstance(refused, Say)
    assert refused.arguments["reply_text"] == (
        "RESOURCE_ERROR - uncommitted messages of all connections are larger than 2000"
    )
    world.watch.check()
    world.loop.run()
    assert list(uncommitted.values()) == [600, 600] and not clients[0].receive()


def test_messages_that_are_committed_or_rolled_back_do_not_count(world: World) -> None:
    client = world.connect("client")
    for end in (Tx.Commit, Tx.Rollback):
        client.feed(method_frame(1, Tx.Select) + unfinished(1, 10, b"x" * 10))
        world.loop.run()
        assert list(world.broker.uncommitted.values()) == [510]
        client.feed(method_frame(1, end))
        world.loop.run()
        assert not world.broker.uncommitted


def test_finished_and_dropped_bodies_do_not_count(world: World) -> None:
    client = world.connect("client")
    connection = client.protocol.connection
    client.feed(unfinished(1, 6, b"abc") + unfinished(2, 6, b"abc"))
    world.loop.run()
    assert connection.unfinished == 6
    client.feed(struct.pack(">BHI", 3, 1, 3) + b"def\xce")
    world.loop.run()
    assert connection.unfinished == 3
    client.feed(method_frame(2, Queue.Declare, queue="q"))  # 505
    world.loop.run()
    assert connection.unfinished == 0


def header_frame(channel: int, octets: int) -> bytes:
    """basic.publish and the header of a body that is awaited, with a property of so many octets."""
    head = method_frame(channel, Basic.Publish, exchange="", routing_key="nowhere")
    return (
        head
        + struct.pack(">BHIHHQHB", 2, channel, 15 + octets, 60, 0, 1, 0x8000, octets)
        + b"x" * octets
        + b"\xce"
    )


def test_properties_of_unfinished_contents_count(world: World) -> None:
    client = world.connect("client")
    connection = client.protocol.connection
    client.feed(header_frame(1, 100))
    world.loop.run()
    assert connection.unfinished == 101
    client.feed(struct.pack(">BHI", 3, 1, 1) + b"y\xce")
    world.loop.run()
    assert connection.unfinished == 0


def test_properties_of_unfinished_contents_are_limited(world: World) -> None:
    client = world.connect("client")
    connection = client.protocol.connection
    connection.unfinished_limit = 300
    client.feed(header_frame(1, 149) + header_frame(2, 149))
    world.loop.run()
    assert connection.unfinished == 300 and not client.receive()
    client.feed(struct.pack(">BHI", 3, 1, 0) + b"\xce")
    world.loop.run()
    assert connection.unfinished == 300 and not client.receive()
    connection.unfinished_limit = 299
    client.feed(struct.pack(">BHI", 3, 1, 0) + b"\xce")
    world.loop.run()
    (refused,) = client.receive()
    assert isinstance(refused, Say) and refused.arguments["reply_code"] == 506
    assert connection.unfinished == 0


def test_one_content_may_be_as_large_as_allowed_whatever_its_properties(world: World) -> None:
    client = world.connect("client")
    connection = client.protocol.connection
    connection.unfinished_limit = 100
    client.feed(header_frame(1, 200))
    world.loop.run()
    assert connection.unfinished == 201 and not client.receive()


def test_a_body_frame_is_not_read_during_an_alarm(world: World) -> None:
    """As in RabbitMQ: contents of which half is there are blocked by the next frame."""
    client = world.connect("client")
    client.feed(unfinished(1, 1000, b"abc"))
    world.loop.run()
    world.broker.set_alarm("memory")
    client.feed(struct.pack(">BHI", 3, 1, 3) + b"def\xce")
    client.feed(struct.pack(">BHI", 3, 1, 3) + b"ghi\xce")
    world.loop.run()
    assert client.paused and client.protocol.connection.unfinished == 6
    world.broker.clear_alarm("memory")
    world.edge.touch()
    world.loop.run()
    assert not client.paused and client.protocol.connection.unfinished == 9


def test_a_frame_may_arrive_octet_by_octet(world: World) -> None:
    """It is not moved with each octet: reads go into a buffer of its own, behind what is there."""
    client = world.connect("client")
    client.feed(declare("q"))
    world.loop.run()
    client.receive()
    data = message("", "q", bytes(range(256)) * 200)
    client.feed(data[: SLOW_FRAME_BYTES + 1000])
    world.loop.run()
    for at in range(SLOW_FRAME_BYTES + 1000, len(data)):
        client.feed(data[at : at + 1])
        world.loop.run()
        if at == SLOW_FRAME_BYTES + 2000:
            assert client.protocol.frame is not None and not client.protocol.rest
    assert client.protocol.frame is None
    client.feed(method_frame(1, Basic.Get, queue="q"))
    world.loop.run()
    (_, content) = client.receive()
    assert isinstance(content, Content) and content.body == bytes(range(256)) * 200


@pytest.mark.parametrize("chunk", [1000, 100_000, 300_000])
def test_a_frame_may_be_larger_than_the_buffer_of_all_sockets(tmp_path: Path, chunk: int) -> None:
    world = World(tmp_path, amqp=Amqp(frame_max=0), check=True)
    client = world.connect("client", frame_max=4_000_000)
    client.feed(declare("q"))
    world.loop.run()
    client.receive()
    body = bytes(range(256)) * 8000
    publish = method_frame(1, Basic.Publish, exchange="", routing_key="q")
    data = publish + content_frames(Content(body), {}, 4_000_000) + declare("q", passive=True)
    largest = 0
    for at in range(0, len(data), chunk):
        client.feed(data[at : at + chunk])
        world.loop.run()
        largest = max(largest, len(client.protocol.frame or b""))
        assert len(client.protocol.rest) < len(world.edge.buffer)
    assert largest == len(body) + 8 and client.protocol.frame is None
    client.feed(method_frame(1, Basic.Get, queue="q"))
    world.loop.run()
    content = client.receive()[-1]
    assert isinstance(content, Content) and content.body == body


def test_a_large_frame_that_was_announced_takes_memory_only_as_it_arrives(tmp_path: Path) -> None:
    world = World(tmp_path, amqp=Amqp(frame_max=0), check=True)
    client = world.connect("client", frame_max=16_000_000)
    publish = method_frame(1, Basic.Publish, exchange="", routing_key="q")
    data = publish + content_frames(Content(bytes(15_000_000)), {}, 16_000_000)
    client.feed(data[:200_000])
    world.loop.run()
    assert client.protocol.frame is not None
    assert len(client.protocol.frame) < 500_000


def test_half_of_a_large_frame_is_kept_during_an_alarm(tmp_path: Path) -> None:
    world = World(tmp_path, amqp=Amqp(frame_max=0), check=True)
    client = world.connect("client", frame_max=4_000_000)
    client.feed(declare("q"))
    publish = method_frame(1, Basic.Publish, exchange="", routing_key="q")
    data = publish + content_frames(Content(bytes(2_000_000)), {}, 4_000_000)
    client.feed(data[:1_500_000])
    world.loop.run()
    world.broker.set_alarm("memory")
    client.feed(data[1_500_000:1_600_000])
    client.feed(data[1_600_000:])
    world.loop.run()
    world.broker.clear_alarm("memory")
    world.edge.touch()
    world.loop.run()
    client.feed(declare("q", passive=True))
    world.loop.run()
    last = client.receive()[-1]
    assert isinstance(last, Say) and last.arguments["message_count"] == 1


def test_the_memory_is_looked_at_whenever_very_much_was_read(world: World) -> None:
    """A second of reading can be gigabytes, and half-received bodies count as all memory does."""
    client = world.connect("client")
    world.watch.memory_limit = 1000
    world.edge.look = world.watch.look
    client.feed(unfinished(1, 1000, b"abc"))
    world.loop.run()
    assert not world.broker.alarms
    world.edge.octets_read = LOOK_BYTES
    client.feed(struct.pack(">BHI", 3, 1, 3) + b"def\xce")
    world.loop.run()
    assert "memory" in world.broker.alarms and world.edge.octets_read == 0
    client.feed(struct.pack(">BHI", 3, 1, 3) + b"ghi\xce")
    client.feed(struct.pack(">BHI", 3, 1, 3) + b"jkl\xce")
    world.loop.run()
    assert client.paused and client.protocol.connection.unfinished == 9
