"""Whatever octets arrive, in whatever pieces: nothing is raised, nothing is invented, nobody else is harmed."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pamqp.commands import Basic, Channel, Confirm, Connection, Exchange, Queue, Tx

from leveret.config import Settings
from leveret.settings import Amqp
from leveret.testing.playbook import Connect, Octets, Say, Stage, content, publish, say
from leveret.wire.frames import HEARTBEAT_FRAME
from leveret.wire.methods import _PLANS, method_frame


def stage_with(*clients: Connect, pieces: Any = lambda data: (data,)) -> Stage:
    stage = Stage(Settings(amqp=Amqp(max_message_size=100_000)), lambda data: (data,))
    for client in clients:
        stage.connect(client)
    stage.pieces = pieces
    return stage


def cut(sizes: list[int]) -> Any:
    """Pieces of these sizes, over and over."""

    def pieces(data: bytes) -> list[bytes]:
        found, at = [], 0
        for size in itertools.cycle(sizes):
            found.append(data[at : at + size])
            at += size
            if at >= len(data):
                return found
        return found

    return pieces


SIZES = st.lists(st.integers(1, 300), min_size=1, max_size=10)


def frame(kind: int, channel: int, payload: bytes) -> bytes:
    head = bytes((kind,)) + channel.to_bytes(2, "big") + len(payload).to_bytes(4, "big")
    return head + payload + b"\xce"


FRAMES = st.one_of(
    st.builds(
        frame,
        st.sampled_from([1, 1, 1, 2, 3, 8, 0, 4, 255]),
        st.sampled_from([0, 1, 1, 1, 2, 65535]),
        st.one_of(
            st.binary(max_size=40),
            st.builds(
                lambda command, rest: command.index.to_bytes(4, "big") + rest,
                st.sampled_from(list(_PLANS)),
                st.binary(max_size=30),
            ),
            st.builds(
                lambda size, flags, rest: b"\0\x3c\0\0" + size.to_bytes(8, "big") + flags + rest,
                st.integers(0, 30) | st.integers(0, 2**64 - 1),
                st.binary(min_size=2, max_size=2),
                st.binary(max_size=30),
            ),
        ),
    ),
    st.just(HEARTBEAT_FRAME),
    st.binary(max_size=12),
)

NAMES = st.sampled_from(["q", "r", "", "amq.topic", "e", "amq.rabbitmq.reply-to", "é", "x" * 255])
BOOL = st.booleans()
METHODS = st.one_of(
    st.builds(
        lambda name, **bits: (Queue.Declare, {"queue": name, **bits}),
        NAMES,
        durable=BOOL,
        exclusive=BOOL,
        auto_delete=BOOL,
        passive=BOOL,
        nowait=BOOL,
    ),
    st.builds(
        lambda name, **bits: (Queue.Delete, {"queue": name, **bits}), NAMES, if_unused=BOOL, if_empty=BOOL
    ),
    st.builds(lambda name: (Queue.Purge, {"queue": name}), NAMES),
    st.builds(
        lambda name, e, key: (Queue.Bind, {"queue": name, "exchange": e, "routing_key": key}),
        NAMES,
        NAMES,
        NAMES,
    ),
    st.builds(
        lambda name, e, key: (Queue.Unbind, {"queue": name, "exchange": e, "routing_key": key}),
        NAMES,
        NAMES,
        NAMES,
    ),
    st.builds(
        lambda name, kind, **bits: (Exchange.Declare, {"exchange": name, "exchange_type": kind, **bits}),
        NAMES,
        st.sampled_from(["direct", "topic", "headers", "x"]),
        auto_delete=BOOL,
        internal=BOOL,
    ),
    st.builds(lambda name: (Exchange.Delete, {"exchange": name}), NAMES),
    st.builds(lambda a, b: (Exchange.Bind, {"source": a, "destination": b}), NAMES, NAMES),
    st.builds(
        lambda name, tag, **bits: (Basic.Consume, {"queue": name, "consumer_tag": tag, **bits}),
        NAMES,
        NAMES,
        no_ack=BOOL,
        exclusive=BOOL,
    ),
    st.builds(lambda tag: (Basic.Cancel, {"consumer_tag": tag}), NAMES),
    st.builds(lambda name, no_ack: (Basic.Get, {"queue": name, "no_ack": no_ack}), NAMES, BOOL),
    st.builds(
        lambda tag, multiple: (Basic.Ack, {"delivery_tag": tag, "multiple": multiple}),
        st.integers(0, 9),
        BOOL,
    ),
    st.builds(
        lambda tag, **bits: (Basic.Nack, {"delivery_tag": tag, **bits}),
        st.integers(0, 9),
        multiple=BOOL,
        requeue=BOOL,
    ),
    st.builds(
        lambda tag, requeue: (Basic.Reject, {"delivery_tag": tag, "requeue": requeue}),
        st.integers(0, 9),
        BOOL,
    ),
    st.builds(
        lambda count, many: (Basic.Qos, {"prefetch_count": count, "global_": many}), st.integers(0, 3), BOOL
    ),
    st.sampled_from(
        [
            (Basic.Recover, {"requeue": True}),
            (Tx.Select, {}),
            (Tx.Commit, {}),
            (Tx.Rollback, {}),
            (Confirm.Select, {}),
            (Channel.Open, {}),
            (Channel.Close, {}),
            (Channel.CloseOk, {}),
            (Channel.Flow, {"active": True}),
        ]
    ),
)
#: Good frames, so that something deep is reached before it goes wrong.
SENSIBLE = st.one_of(
    st.builds(
        lambda method, channel: method_frame(channel, method[0], **method[1]),
        METHODS,
        st.sampled_from([1, 1, 1, 2]),
    ),
    st.builds(
        lambda exchange, key, body, mandatory: (
            method_frame(1, Basic.Publish, exchange=exchange, routing_key=key, mandatory=mandatory)
            + frame(2, 1, b"\0\x3c\0\0" + len(body).to_bytes(8, "big") + b"\0\0")
            + (frame(3, 1, body) if body else b"")
        ),
        NAMES,
        NAMES,
        st.binary(max_size=20),
        BOOL,
    ),
)


def survives(stage: Stage, octets: bytes) -> None:
    """Feed them to `a`; everything said must parse, and `b` must find the broker in order."""
    stage.play([Octets(octets)])
    stage.play([Say(Queue.Declare, say(Queue.Declare, queue="mine", exclusive=True).arguments, 1, "b")])
    said = stage.play(
        [*publish(b"still here", "mine", by="b"), say(Basic.Get, queue="mine", no_ack=True, by="b")]
    )
    mine = [line for line in said if getattr(line, "by", "") == "b"]
    assert mine[-1] == content(b"still here", by="b"), mine
    assert stage.fault is None, stage.fault
    if "a" in stage.clients:
        stage.hang_up("a")
    stage.listen()
    assert [one.name for one in stage.broker.vhosts["/"].queues.values() if one.owner is not None] == ["mine"]
    for queue in stage.broker.vhosts["/"].queues.values():
        assert queue.unacked == 0 and queue.ready == queue.backlog.length >= 0


@given(st.binary(max_size=300), SIZES)
def test_any_octets_at_the_door(octets: bytes, sizes: list[int]) -> None:
    stage = stage_with(Connect("a", channels=None), Connect("b"), pieces=cut(sizes))
    survives(stage, octets)


@given(st.lists(FRAMES, max_size=8), SIZES)
def test_any_frames_while_opening(frames: list[bytes], sizes: list[int]) -> None:
    stage = stage_with(Connect("a", channels=None), Connect("b"), pieces=cut(sizes))
    stage.play([Octets(b"AMQP\0\0\x09\x01")])
    survives(stage, b"".join(frames))


@given(st.lists(FRAMES | SENSIBLE, max_size=12), SIZES)
@settings(max_examples=150)
def test_any_frames_on_a_running_connection(frames: list[bytes], sizes: list[int]) -> None:
    stage = stage_with(Connect("a"), Connect("b"), pieces=cut(sizes))
    survives(stage, b"".join(frames))


@given(st.lists(SENSIBLE, max_size=40), SIZES)
@settings(max_examples=150)
def test_methods_in_any_order(frames: list[bytes], sizes: list[int]) -> None:
    stage = stage_with(Connect("a"), Connect("b"), pieces=cut(sizes))
    survives(stage, b"".join(frames))


@given(st.lists(SENSIBLE, max_size=20), SIZES)
@settings(max_examples=60)
def test_the_pieces_make_no_difference(frames: list[bytes], sizes: list[int]) -> None:
    """What is answered, and what is left behind, is the same for one read as for many."""
    outcomes = []
    for pieces in (lambda data: (data,), cut(sizes)):
        stage = stage_with(Connect("a"), pieces=pieces)
        said = [_comparable(line) for line in stage.play([Octets(b"".join(frames))])]
        vhost = stage.broker.vhosts["/"]
        state = sorted(
            (name, one.ready, one.unacked, len(one.consumers.members))
            for name, one in vhost.queues.items()
            if not name.startswith("amq.")
        )
        outcomes.append((said, state, sorted(vhost.exchanges)))
    assert outcomes[0] == outcomes[1]


def _comparable(line: Any) -> Any:
    """A line without the names that the server made up."""
    if not isinstance(line, Say):
        return line
    arguments = {
        name: "made up" if isinstance(value, str) and value.startswith(("amq.gen-", "amq.ctag-")) else value
        for name, value in line.arguments.items()
    }
    return line.command, line.channel, arguments


@given(st.data())
def test_hot_frames_in_from_pamqp(data: st.DataObject) -> None:
    """What pamqp marshals is understood: publish, ack, nack, reject."""
    from pamqp import body, frame, header

    stage = stage_with(Connect("a"))
    stage.play([say(Queue.Declare, queue="q"), say(Queue.Bind, queue="q", exchange="amq.fanout")])
    key = data.draw(st.text(max_size=60).filter(lambda text: len(text.encode()) <= 255))
    payload = data.draw(st.binary(min_size=1, max_size=200))
    octets = frame.marshal(Basic.Publish(exchange="amq.fanout", routing_key=key), 1)
    octets += frame.marshal(header.ContentHeader(0, len(payload), Basic.Properties(correlation_id="c")), 1)
    octets += frame.marshal(body.ContentBody(payload), 1)
    stage.play([Octets(octets)])
    got, stated = stage.play([say(Basic.Get, queue="q")])
    assert isinstance(got, Say) and got.arguments["routing_key"] == key
    assert stated == content(payload, correlation_id="c")
    queue = stage.broker.vhosts["/"].queues["q"]
    for method, ready in (
        (Basic.Nack(1, requeue=True), 1),
        (Basic.Reject(2, requeue=True), 1),
        (Basic.Ack(3), 0),
    ):
        assert stage.play([Octets(frame.marshal(method, 1))]) == []
        assert (queue.ready, queue.unacked) == (ready, 0)
        if ready:
            stage.play([say(Basic.Get, queue="q")])


@given(st.integers(0, 12), st.lists(st.integers(0, 400), min_size=1, max_size=12))
def test_a_connection_lost_at_any_octet(which: int, cuts: list[int]) -> None:
    """The socket may go in the middle of anything; nothing of it stays behind."""
    stage = stage_with(Connect("b"))
    script = b"".join(
        [
            method_frame(1, Queue.Declare, queue="x", exclusive=True),
            method_frame(1, Queue.Declare, queue="q", auto_delete=True),
            method_frame(1, Basic.Consume, queue="q", consumer_tag="c"),
            method_frame(1, Confirm.Select),
            method_frame(1, Basic.Publish, routing_key="q"),
            frame(2, 1, b"\0\x3c\0\0" + (5).to_bytes(8, "big") + b"\0\0"),
            frame(3, 1, b"hello"),
            method_frame(1, Basic.Get, queue="x"),
            method_frame(2, Channel.Open),
            method_frame(2, Tx.Select),
            method_frame(2, Basic.Consume, queue="q", consumer_tag="d"),
            method_frame(0, Connection.Close, reply_code=200, reply_text="", class_id=0, method_id=0),
        ]
    )
    for at in cuts:
        stage.connect(Connect("a"))
        stage.play([Octets(script[:at])])
        stage.hang_up("a")
        stage.listen()
        vhost = stage.broker.vhosts["/"]
        assert not vhost.queues.get("x")
        assert len(vhost.connections) == 1 and len(stage.broker.connections) == 1
        left = vhost.queues.get("q")
        assert left is None or (not left.consumers.members and left.unacked == 0)
