"""Frames on an open connection, and the reply codes and texts of connection.close."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp.body import ContentBody
from pamqp.commands import Basic, Channel, Connection, Queue
from pamqp.frame import marshal
from pamqp.header import ContentHeader

from leveret.config import Settings
from leveret.errors import AmqpError
from leveret.testing.playbook import (
    Advance,
    Beat,
    Connect,
    Content,
    Do,
    Ended,
    Octets,
    Playbook,
    Say,
    Stage,
    content,
    delivery,
    publish,
    refusal,
    say,
)

PUBLISH = say(Basic.Publish, routing_key="q")
FIVE = (5).to_bytes(8, "big")
HEADER = b"\0\x3c\0\0" + FIVE + b"\0\0"


def frame(kind: int, channel: int, payload: bytes = b"", end: int = 0xCE) -> Octets:
    head = bytes((kind,)) + channel.to_bytes(2, "big") + len(payload).to_bytes(4, "big")
    return Octets(head + payload + bytes((end,)))


def closed(code: int, text: str, offender: Any = None) -> Say:
    names = {501: "FRAME_ERROR", 503: "COMMAND_INVALID", 504: "CHANNEL_ERROR", 505: "UNEXPECTED_FRAME"}
    return refusal(code, f"{names[code]} - {text}", offender, channel=0)


# --- frames (rabbit_reader, rabbit_command_assembler)


@pytest.mark.parametrize(
    ("wrong", "code", "text"),
    [
        (frame(9, 0), 501, "type 9, all octets = <<>>: unknown_frame"),
        (frame(0, 7, b"\1"), 501, "type 0, all octets = <<1>>: unknown_frame"),
        (frame(4, 1, b"ab\n"), 501, 'type 4, all octets = <<"ab\\n">>: unknown_frame'),
        (frame(1, 0), 501, "type 1, all octets = <<>>: unknown_frame"),
        (frame(1, 1, b"\0\x0a"), 501, "type 1, all octets = <<0,10>>: unknown_frame"),
        (frame(2, 1, b"abc"), 501, 'type 2, all octets = <<"abc">>: unknown_frame'),
        (frame(8, 0, b"abc"), 501, 'type 8, all octets = <<"abc">>: unknown_frame'),
        (frame(8, 1), 505, "type 8, all octets = <<>>"),
        (frame(3, 0, b"abc"), 505, 'type 3, all octets = <<"abc">>'),
        (frame(2, 0, HEADER), 505, "type 2, all octets = <<0,60,0,0,0,0,0,0,0,0,0,5,0,0>>"),
        (frame(3, 0, bytes(17)), 505, f"type 3, first 16 octets = <<{','.join('0' * 16)}>>"),
    ],
)
def test_unexpected_frames_close_the_connection(play: Playbook, wrong: Octets, code: int, text: str) -> None:
    assert play >> wrong << closed(code, text) >> say(Connection.CloseOk) << Ended("close")


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (frame(1, 1, b"\0\x14\0\x0a", 0xCD), "<<0,20,0,10>>: {invalid_frame_end_marker,205}"),
        (Octets(b"\1\0\1\0\2\0\1"), "<<>>: {frame_too_large,131073,131064}"),
        (Octets(b"\1\0\1\xff\xff\xff\xff"), "<<>>: {frame_too_large,4294967295,131064}"),
    ],
)
def test_octets_that_are_not_frames_close_the_connection(play: Playbook, wrong: Octets, text: str) -> None:
    """Nothing behind them can be read, so the broker does not wait for close-ok."""
    assert (
        play
        >> wrong
        << closed(501, f"type 1, all octets = {text}")
        >> say(Connection.CloseOk)
        >> Advance(2999)
        >> Advance(1)
        << Ended("reset")
    )


def test_frames_up_to_eight_octets_too_large_are_accepted(chunking: str) -> None:
    play = Playbook(chunking=chunking, first=[Connect("a", frame_max=8192)])
    limit = 8192
    body = frame(3, 1, bytes(limit))
    header = frame(2, 1, b"\0\x3c\0\0" + limit.to_bytes(8, "big") + b"\0\0")
    assert (
        play
        >> say(Queue.Declare, queue="q")
        << say(Queue.DeclareOk, queue="q")
        >> [PUBLISH, header, body]
        >> say(Queue.Declare, queue="q")
        << say(Queue.DeclareOk, queue="q", message_count=1)
        >> [PUBLISH, header, Octets(b"\3\0\1\0\0\x20\1")]
        << closed(501, "type 3, all octets = <<>>: {frame_too_large,8193,8184}")
    )


@pytest.mark.parametrize(
    ("lines", "code", "text", "offender"),
    [
        ([frame(2, 1, HEADER)], 505, "expected method frame, got non method frame instead", None),
        ([frame(3, 1, b"a")], 505, "expected method frame, got non method frame instead", None),
        ([frame(3, 5, b"a")], 505, "expected method frame, got non method frame instead", None),
        (
            [PUBLISH, PUBLISH],
            505,
            "expected content header for class 60, got non content header frame instead",
            Basic.Publish,
        ),
        (
            [PUBLISH, say(Basic.Ack, delivery_tag=1)],
            505,
            "expected content header for class 60, got non content header frame instead",
            Basic.Publish,
        ),
        (
            [PUBLISH, frame(3, 1, b"a")],
            505,
            "expected content header for class 60, got non content header frame instead",
            Basic.Publish,
        ),
        (
            [PUBLISH, frame(2, 1, b"\0\x3c\0\1" + FIVE + b"\0\0")],
            505,
            "expected content header for class 60, got non content header frame instead",
            Basic.Publish,
        ),
        (
            [PUBLISH, frame(2, 1, b"\0\x32\0\0" + FIVE + b"\0\0")],
            505,
            "expected content header for class 60, got one for class 50 instead",
            Basic.Publish,
        ),
        (
            [PUBLISH, frame(2, 1, HEADER), frame(2, 1, HEADER)],
            505,
            "expected content body, got non content body frame instead",
            Basic.Publish,
        ),
        (
            [PUBLISH, frame(2, 1, HEADER), frame(3, 1, b"abc"), PUBLISH],
            505,
            "expected content body, got non content body frame instead",
            Basic.Publish,
        ),
        (
            [PUBLISH, frame(2, 1, HEADER), frame(3, 1, b"abc"), frame(3, 1, b"def")],
            501,
            "content body frame exceeds remaining content size",
            Basic.Publish,
        ),
        (
            [PUBLISH, frame(2, 1, HEADER), frame(3, 1, b"abcdef")],
            501,
            "content body frame exceeds remaining content size",
            Basic.Publish,
        ),
        (
            [PUBLISH, frame(2, 1, b"\0\x3c\0\0\0\0\0\0\x20\0\0\1\0\0")],
            501,
            "content body size 536870913 exceeds maximum allowed size 536870912",
            Basic.Publish,
        ),
    ],
)
def test_content_frames_out_of_sequence_close_the_connection(
    play: Playbook, lines: list[Any], code: int, text: str, offender: Any
) -> None:
    assert play >> lines << closed(code, text, offender) >> say(Connection.CloseOk) << Ended("close")


def test_a_body_may_be_split_into_any_frames(play: Playbook) -> None:
    pieces = [frame(3, 1, piece) for piece in (b"", b"abc", b"", b"de")]
    assert (
        play
        >> say(Queue.Declare, queue="q")
        << say(Queue.DeclareOk, queue="q")
        >> [PUBLISH, frame(2, 1, HEADER), *pieces, say(Basic.Get, queue="q", no_ack=True)]
        << [say(Basic.GetOk, delivery_tag=1, routing_key="q"), content(b"abcde")]
    )


def test_an_empty_body_has_no_frame(play: Playbook) -> None:
    assert (
        play
        >> say(Queue.Declare, queue="q")
        << say(Queue.DeclareOk, queue="q")
        >> [*publish(b"", "q"), say(Basic.Get, queue="q")]
        << [say(Basic.GetOk, delivery_tag=1, routing_key="q"), Content(b"")]
    )


def test_contents_of_two_channels_interleave(chunking: str) -> None:
    play = Playbook(chunking=chunking, first=[Connect("a", channels=(1, 2))])
    assert (
        play
        >> say(Queue.Declare, queue="q")
        << say(Queue.DeclareOk, queue="q")
        >> [
            PUBLISH,
            say(Basic.Publish, routing_key="q", channel=2),
            frame(2, 1, HEADER),
            frame(2, 2, HEADER),
            frame(3, 1, b"ab"),
            Beat(),
            frame(3, 2, b"12345"),
            say(Basic.Get, queue="q", channel=2),
            frame(3, 1, b"cde"),
            say(Basic.Get, queue="q"),
        ]
        << [say(Basic.GetOk, delivery_tag=1, routing_key="q", channel=2), content(b"12345", channel=2)]
        << [say(Basic.GetOk, delivery_tag=1, routing_key="q"), content(b"abcde")]
    )


def test_large_bodies_are_split_by_the_frame_max_of_the_consumer(chunking: str) -> None:
    play = Playbook(chunking=chunking, first=[Connect("a"), Connect("b", frame_max=8192)])
    body = bytes(range(250)) * 40
    assert (
        play
        >> say(Queue.Declare, queue="q")
        << say(Queue.DeclareOk, queue="q")
        >> publish(body, "q")
        >> say(Basic.Consume, queue="q", consumer_tag="c", no_ack=True, by="b")
        << say(Basic.ConsumeOk, consumer_tag="c", by="b")
        << delivery(body, 1, by="b")
    )


# --- methods


@pytest.mark.parametrize(
    ("payload", "answer"),
    [
        (b"\0\x14\0\x28", closed(501, "cannot decode <<>>", Channel.Close)),
        (b"\0\x32\0\x0a\0\0", closed(501, "cannot decode <<0,0>>", Queue.Declare)),
        (b"\0\x3c\0\x50\0", closed(501, "cannot decode <<0>>", Basic.Ack)),
        (b"\0\x3c\0\x28\0\0\5q", closed(501, "cannot decode <<0,0,5,113>>", Basic.Publish)),
        (b"\0\x32\0\x0a\0\0\1\xff\0\0\0\0\0", closed(501, "Malformed UTF-8 in shortstr")),
        (b"\0\x32\0\x0a\0\0\1q\0\0\0\0\3abc", Ended("reset")),
        (b"\0\x0a\0\x99", Ended("reset")),
        (b"\0\x63\0\x0a", Ended("reset")),
    ],
)
def test_undecodable_methods_close_the_connection(play: Playbook, payload: bytes, answer: Any) -> None:
    assert play >> frame(1, 1, payload) << answer


def test_undecodable_methods_on_a_closed_channel_close_the_connection(play: Playbook) -> None:
    assert play >> frame(1, 7, b"\0\x14\0\x0a") << closed(501, "cannot decode <<>>", Channel.Open)


@pytest.mark.parametrize(
    ("payload", "answer"),
    [
        (b"\0\x0a\0\x32", refusal(541, "INTERNAL_ERROR", channel=0)),
        (b"\0\x0a\0\x0b\0\0\0\1a\0\0\0\0\0\0", refusal(541, "INTERNAL_ERROR", channel=0)),
        (b"\0\x0a\0\x46\0\0\0\1a\1\xff", closed(501, "Malformed UTF-8 in shortstr", Connection.UpdateSecret)),
        (b"\0\x0a\0\x99", Ended("reset")),
    ],
)
def test_undecodable_methods_on_channel_0_close_the_connection(
    play: Playbook, payload: bytes, answer: Any
) -> None:
    assert play >> frame(1, 0, payload) << answer


# --- the server's own failures, and its errors


def test_an_exception_is_an_internal_error(play: Playbook, monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[Any] = []

    def break_it(stage: Stage) -> None:
        broken = {"q": 5}
        stage.broker.vhosts["/"].queues = broken  # type: ignore[assignment]
        stage.checker = None  # it would fail, too
        stage.broker.faults.write = received.append

    assert (
        play
        >> Do("the broker breaks", break_it)
        >> [say(Queue.Purge, queue="q"), say(Queue.Declare, queue="other")]
        << refusal(541, "INTERNAL_ERROR", channel=0)
        >> say(Connection.CloseOk)
        << Ended("close")
    )
    assert {(fault.place, type(fault.error)) for fault in received} == {("frame", AttributeError)}


def test_long_reply_texts_are_cut(play: Playbook) -> None:
    name = "n" * 255
    text = f"NOT_FOUND - no queue '{name}' in vhost '/'"[:252] + "..."
    assert play >> say(Queue.Purge, queue=name) << refusal(404, text, Queue.Purge)
    assert AmqpError(404, "é" * 200).text == "NOT_FOUND - " + "é" * 120 + "..."


# --- what others do to it


def test_a_closed_connection_does_not_affect_others(play: Playbook) -> None:
    assert (
        play
        >> Connect("b")
        >> say(Queue.Declare, queue="q")
        << say(Queue.DeclareOk, queue="q")
        >> [*publish(b"1", "q", by="b"), PUBLISH, PUBLISH]
        << closed(
            505,
            "expected content header for class 60, got non content header frame instead",
            Basic.Publish,
        )
        >> say(Basic.Get, queue="q", by="b")
        << [say(Basic.GetOk, delivery_tag=1, routing_key="q", by="b"), content(b"1", by="b")]
    )


def test_octets_and_frames_are_counted(play: Playbook) -> None:
    assert play >> Connect("b") >> [Beat(), Beat()]
    connection = play.stage.clients["a"].connection
    before = connection.received, connection.sent, connection.frames_received
    play.stage.play([Beat(), say(Queue.Declare, queue="q")])
    declare, answer = 4 + 2 + 2 + 1 + 4 + 8, 4 + 2 + 4 + 4 + 8
    assert connection.received - before[0] == 8 + declare
    assert connection.sent - before[1] == answer
    assert connection.frames_received - before[2] == 2


@given(
    st.text(max_size=60).filter(lambda text: len(text.encode()) <= 255), st.binary(min_size=1, max_size=200)
)
def test_frames_of_pamqp_are_understood(key: str, payload: bytes) -> None:
    stage = Stage(Settings(), lambda data: (data,))
    stage.connect(Connect("a"))
    stage.play([say(Queue.Declare, queue="q"), say(Queue.Bind, queue="q", exchange="amq.fanout")])
    properties = ContentHeader(0, len(payload), Basic.Properties(correlation_id="c"))
    frames = (Basic.Publish(exchange="amq.fanout", routing_key=key), properties, ContentBody(payload))
    stage.play([Octets(b"".join(marshal(frame, 1) for frame in frames))])
    get_ok, message = stage.play([say(Basic.Get, queue="q")])
    assert isinstance(get_ok, Say) and get_ok.arguments["routing_key"] == key
    assert message == content(payload, correlation_id="c")
    queue = stage.broker.vhosts["/"].queues["q"]
    for method, ready in (
        (Basic.Nack(1, requeue=True), 1),
        (Basic.Reject(2, requeue=True), 1),
        (Basic.Ack(3), 0),
    ):
        assert stage.play([Octets(marshal(method, 1))]) == []
        assert (queue.ready, queue.unacked) == (ready, 0)
        if ready:
            stage.play([say(Basic.Get, queue="q")])
