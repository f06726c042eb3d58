"""Channels: open and close, what is ignored in between, publishing and settling in the hot path."""

from __future__ import annotations

from typing import Any

import pytest
from pamqp.commands import Basic, Channel, Connection, Exchange, Queue

from leveret.config import Settings
from leveret.settings import Amqp
from leveret.settings import Profile as ProfileSettings
from leveret.testing.playbook import (
    ANY,
    Connect,
    Do,
    Ended,
    HangUp,
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
from leveret.wire.methods import Access
from tests.session.plays import DECLARE, declare_ok

CONSUME = say(Basic.Consume, queue="q", consumer_tag="c")
CONSUME_OK = say(Basic.ConsumeOk, consumer_tag="c")
REFUSED = refusal(404, "NOT_FOUND - no queue 'nope' in vhost '/'", Queue.Purge)
CLOSE = say(Channel.Close, reply_code=200, reply_text="bye")


# --- open and close


def test_open_ok_has_an_empty_channel_id(play: Playbook) -> None:
    assert play >> say(Channel.Open, channel=7) << say(Channel.OpenOk, channel_id=b"", channel=7)


def test_opening_a_channel_twice_closes_the_connection(play: Playbook) -> None:
    text = "CHANNEL_ERROR - second 'channel.open' seen"
    assert play >> say(Channel.Open) << refusal(504, text, Channel.Open, channel=0)


@pytest.mark.parametrize(
    "line", [say(Channel.Close, channel=3), say(Queue.Declare, channel=3), say(Channel.CloseOk, channel=3)]
)
def test_a_method_on_a_closed_channel_closes_the_connection(play: Playbook, line: Say) -> None:
    assert play >> line << refusal(504, "CHANNEL_ERROR - expected 'channel.open'", line.command, channel=0)


def test_channel_65535_can_be_opened(play: Playbook) -> None:
    assert play >> say(Channel.Open, channel=65535) << say(Channel.OpenOk, channel=65535)


@pytest.mark.parametrize("line", [say(Channel.Open, channel=9), say(Basic.Get, channel=9)])
def test_channel_max_counts_open_channels(chunking: str, line: Say) -> None:
    play = Playbook(chunking=chunking, first=[Connect("a", channels=(1, 5), channel_max=2)])
    text = "NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)"
    assert (
        play
        >> say(Channel.Close, channel=5)
        << say(Channel.CloseOk, channel=5)
        >> say(Channel.Open, channel=6)
        << say(Channel.OpenOk, channel=6)
        >> line
        << refusal(530, text, channel=0)
    )


@pytest.mark.parametrize(("version", "limit"), [("4.3", "1"), ("4.0", "(1)")])
def test_the_channel_limit_of_the_user_is_enforced(chunking: str, version: str, limit: str) -> None:
    play = Playbook(Settings(profile=ProfileSettings(version=version)), chunking)
    text = f"number of channels opened for user 'guest' has reached the maximum allowed user limit of {limit}"
    assert (
        play
        >> Do("one channel", lambda stage: stage.broker.access.users.set_limits("guest", {"max-channels": 1}))
        >> say(Channel.Open, channel=2)
        << refusal(530, f"NOT_ALLOWED - {text}", channel=0)
    )


def test_closing_a_channel_requeues_its_deliveries(play: Playbook) -> None:
    assert (
        play
        >> [DECLARE, *publish(b"1", "q"), *publish(b"2", "q"), CONSUME]
        << [declare_ok(), CONSUME_OK, *delivery(b"1", 1), *delivery(b"2", 2)]
        >> CLOSE
        << say(Channel.CloseOk)
        >> say(Channel.Open)
        << say(Channel.OpenOk)
        >> DECLARE
        << declare_ok(2, 0)
        >> say(Basic.Get, queue="q")
        << say(Basic.GetOk, delivery_tag=1, redelivered=True, routing_key="q", message_count=1)
        << content(b"1")
    )


def test_exclusive_queues_outlive_the_channel(play: Playbook) -> None:
    exclusive = say(Queue.Declare, queue="q", exclusive=True)
    assert (
        play
        >> [exclusive, CLOSE]
        << [declare_ok(), say(Channel.CloseOk)]
        >> say(Channel.Open)
        << say(Channel.OpenOk)
        >> say(Queue.Declare, queue="q", passive=True)
        << declare_ok()
    )


def test_after_a_refusal_methods_are_ignored_until_close_ok(play: Playbook) -> None:
    assert (
        play
        >> [DECLARE, CONSUME]
        << [declare_ok(), CONSUME_OK]
        >> Connect("b")
        >> say(Queue.Purge, queue="nope")
        << REFUSED
        >> [DECLARE, *publish(b"lost", "q"), say(Queue.DeclareOk), say(Basic.Ack, delivery_tag=9)]
        >> publish(b"no such exchange", "q", "nope")
        >> say(Queue.Declare, queue="q", by="b")
        << declare_ok(0, 0, by="b")
        >> [say(Channel.CloseOk), say(Channel.Open), DECLARE]
        << [say(Channel.OpenOk), declare_ok()]
    )


@pytest.mark.parametrize(
    ("lines", "answer"),
    [
        (
            [say(Channel.Open)],
            refusal(504, "CHANNEL_ERROR - second 'channel.open' seen", Channel.Open, channel=0),
        ),
        (
            [Octets(b"\3\0\1\0\0\0\1x\xce")],
            refusal(
                505,
                "UNEXPECTED_FRAME - expected method frame, got non method frame instead",
                channel=0,
            ),
        ),
        (
            [say(Basic.Publish), say(Channel.CloseOk)],
            refusal(
                505,
                "UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead",
                Basic.Publish,
                channel=0,
            ),
        ),
        (
            [Octets(b"\1\0\1\0\0\0\4\0\x32\0\x0a\xce")],
            refusal(501, "FRAME_ERROR - cannot decode <<>>", Queue.Declare, channel=0),
        ),
    ],
)
def test_frames_on_a_refused_channel_are_still_checked(play: Playbook, lines: list[Any], answer: Say) -> None:
    assert play >> say(Queue.Purge, queue="nope") << REFUSED >> lines << answer


def test_a_close_of_both_sides_is_answered(play: Playbook) -> None:
    assert (
        play
        >> say(Queue.Purge, queue="nope")
        << REFUSED
        >> CLOSE
        << say(Channel.CloseOk)
        >> DECLARE
        >> [say(Channel.CloseOk), say(Channel.Open)]
        << say(Channel.OpenOk)
    )


def test_the_content_of_a_refused_publish_is_ignored(play: Playbook) -> None:
    text = "NOT_FOUND - no exchange 'nope' in vhost '/'"
    assert (
        play
        >> [*publish(b"1", "q", "nope"), *publish(b"2", "q"), DECLARE]
        << refusal(404, text, Basic.Publish)
        >> [say(Channel.CloseOk), say(Channel.Open), DECLARE]
        << [say(Channel.OpenOk), declare_ok()]
    )


def test_a_refusal_does_not_affect_other_channels(chunking: str) -> None:
    play = Playbook(chunking=chunking, first=[Connect("a", channels=(1, 2))])
    assert (
        play
        >> [say(Queue.Purge, queue="nope"), say(Queue.Declare, queue="q", channel=2)]
        << REFUSED
        << declare_ok(channel=2)
    )


def test_flow_is_answered_only_when_active(play: Playbook) -> None:
    assert (
        play
        >> say(Channel.Flow, active=True)
        << say(Channel.FlowOk, active=True)
        >> say(Channel.Flow, active=False)
        << refusal(540, "NOT_IMPLEMENTED - active=false", Channel.Flow, channel=0)
    )


def test_access_request_is_answered(play: Playbook) -> None:
    assert play >> say(Access.Request, realm="/data") << say(Access.RequestOk, ticket=1)


@pytest.mark.parametrize(
    "line",
    [
        say(Queue.DeclareOk),
        say(Basic.ConsumeOk, consumer_tag="c"),
        say(Channel.CloseOk),
        say(Channel.FlowOk, active=True),
        say(Connection.Close, channel=1),
        say(Exchange.BindOk),
    ],
)
def test_methods_of_the_server_are_refused(play: Playbook, line: Say) -> None:
    assert play >> line << refusal(503, "COMMAND_INVALID - unimplemented method", line.command, channel=0)


# --- publish


def test_an_immediate_publish_is_not_implemented(play: Playbook) -> None:
    lines = [say(Basic.Publish, routing_key="q", immediate=True), content(b"x")]
    assert play >> lines << refusal(540, "NOT_IMPLEMENTED - immediate=true", Basic.Publish, channel=0)


@pytest.mark.parametrize(("size", "limit"), [(101, 100), (4096, 100), (1_100_000, 1_048_576)])
def test_a_message_above_the_size_limit_is_refused(size: int, limit: int) -> None:
    for chunking in ("whole", "split"):
        play = Playbook(Settings(amqp=Amqp(max_message_size=limit)), chunking)
        text = f"PRECONDITION_FAILED - message size {size} is larger than configured max size {limit}"
        assert (
            play
            >> [DECLARE, *publish(bytes(limit), "q")]
            << declare_ok()
            >> DECLARE
            << declare_ok(1)
            >> publish(bytes(size), "q")
            << refusal(406, text, Basic.Publish)
        )


def test_the_size_is_checked_first(chunking: str) -> None:
    play = Playbook(Settings(amqp=Amqp(max_message_size=10)), chunking)
    text = "PRECONDITION_FAILED - message size 11 is larger than configured max size 10"
    assert play >> publish(bytes(11), "q", "nope") << refusal(406, text, Basic.Publish)


@pytest.mark.parametrize(
    "header",
    [
        b"\0\x3c\0\0\0\0\0\0\0\0\0\0",
        b"\0\x3c\0\0\0\0\0\0\0\0\0\0\0",
        b"\0\x3c\0\0\0\0\0\0\0\0\0\0\x80\0",
        b"\0\x3c\0\0\0\0\0\0\0\0\0\0\x80\0\5ab",
        b"\0\x3c\0\0\0\0\0\0\0\0\0\0\0\0x",
        b"\0\x3c\0\0\0\0\0\0\0\0\0\0\x20\0\0\0\0\1",
        b"\0\x3c\0\0\0\0\0\0\0\0\0\0\x20\0\0\0\0\3\1aZ",
        b"\0\x3c\0\0\0\0\0\0\0\0\0\0\x20\0\0\0\0\x09\1aF\0\0\0\2\1b",
        b"\0\x3c\0\0\0\0\0\0\0\0\0\0\x20\0\0\0\0\x09\1aA\0\0\0\2Zz",
        b"\0\x3c\0\0\0\0\0\0\0\0\0\0\x20\0\0\0\0\x07\1af\x7f\xc0\0\0",
        b"\0\x3c\0\0\0\0\0\0\0\0\0\0\x20\0\0\0\0\x0b\1ad\x7f\xf0\0\0\0\0\0\0",
    ],
)
def test_malformed_headers_close_the_connection(play: Playbook, header: bytes) -> None:
    raw = Octets(b"\2\0\1" + len(header).to_bytes(4, "big") + header + b"\xce")
    line = say(Basic.Publish, routing_key="q")
    assert play >> [line, raw] << refusal(541, "INTERNAL_ERROR", channel=0)


def nested(levels: int) -> bytes:
    """The fields of a table with an array of arrays."""
    inner = b"V"
    for _ in range(levels):
        inner = b"A" + len(inner).to_bytes(4, "big") + inner
    return b"\1a" + inner


def header_of(table: bytes, flags: bytes = b"\x20\0", size: int = 0) -> Octets:
    payload = b"\0\x3c\0\0" + size.to_bytes(8, "big") + flags + len(table).to_bytes(4, "big") + table
    return Octets(b"\2\0\1" + len(payload).to_bytes(4, "big") + payload + b"\xce")


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (b"\1aV" * 8193, "headers of a message have more than 8192 fields, with those inside them"),
        (
            b"\1aA\0\0\x20\1" + b"V" * 8193,
            "headers of a message have more than 8192 fields, with those inside them",
        ),
        (nested(129), "headers of a message are nested on more than 128 levels"),
    ],
)
def test_headers_beyond_a_limit_are_refused_by_it(play: Playbook, table: bytes, reason: str) -> None:
    line = say(Basic.Publish, routing_key="q")
    refused = refusal(506, f"RESOURCE_ERROR - {reason}", Basic.Publish, channel=0)
    assert play >> [line, header_of(table)] << refused


@pytest.mark.parametrize(
    ("sent", "received"),
    [
        (b"\1bt\1\1aI\0\0\0\1", {"a": 1, "b": True}),
        (b"\1at\1\1aI\0\0\0\1", {"a": True}),
        (b"\1at\2", {"a": True}),
        (b"\1at\xff\1bt\0", {"a": True, "b": False}),
    ],
)
def test_headers_are_delivered_in_sorted_order(play: Playbook, sent: bytes, received: dict[str, Any]) -> None:
    got = content(headers=received)
    assert (
        play
        >> [DECLARE, say(Basic.Publish, routing_key="q"), header_of(sent), say(Basic.Get, queue="q")]
        << [declare_ok(), say(Basic.GetOk, delivery_tag=1, routing_key="q"), got]
    )
    assert list(got.properties["headers"]) == list(received)


def test_booleans_inside_tables_are_encoded_again(play: Playbook) -> None:
    nested = b"\1aF\0\0\0\4\1bt\x07"
    assert (
        play
        >> [DECLARE, say(Basic.Publish, routing_key="q"), header_of(nested)]
        << declare_ok()
        >> say(Basic.Get, queue="q")
        << [say(Basic.GetOk, delivery_tag=1, routing_key="q"), content(headers={"a": {"b": True}})]
    )
    stage = play.stage
    stage.play([say(Basic.Nack, delivery_tag=1)])
    message = stage.broker.vhosts["/"].queues["q"].get(True)
    assert message is not None and b"\1bt\1" in message.message.content


@pytest.mark.parametrize("flags", [b"\x80\1", b"\x80\2", b"\x80\3"])
def test_the_lowest_flags_are_cleared(play: Playbook, flags: bytes) -> None:
    payload = b"\0\x3c\0\0\0\0\0\0\0\0\0\0" + flags + b"\4text"
    raw = Octets(b"\2\0\1" + len(payload).to_bytes(4, "big") + payload + b"\xce")
    assert (
        play
        >> [DECLARE, say(Basic.Publish, routing_key="q"), raw, say(Basic.Get, queue="q", no_ack=True)]
        << [declare_ok(), say(Basic.GetOk, delivery_tag=1, routing_key="q"), content(content_type="text")]
    )

    def look(stage: Stage) -> bytes:
        stage.play([say(Basic.Publish, routing_key="q"), raw])
        entry = stage.broker.vhosts["/"].queues["q"].get(True)
        assert entry is not None
        return entry.message.header

    assert look(play.stage) == payload[:12] + b"\x80\0" + payload[14:]


def test_names_need_not_be_utf_8(play: Playbook) -> None:
    def raw(exchange: bytes, key: bytes) -> Octets:
        payload = b"\0\x3c\0\x28\0\0" + b"".join(bytes((len(one),)) + one for one in (exchange, key)) + b"\0"
        return Octets(b"\1\0\1" + len(payload).to_bytes(4, "big") + payload + b"\xce")

    bind = say(Queue.Bind, queue="q", exchange="amq.fanout")
    got = say(Basic.GetOk, delivery_tag=1, exchange="amq.fanout", routing_key=ANY)
    assert (
        play
        >> [DECLARE, bind, raw(b"amq.fanout", b"\xff\xfe"), content(b"x"), say(Basic.Get, queue="q")]
        << [declare_ok(), say(Queue.BindOk), got, content(b"x")]
        >> [raw(b"\xff\xe9", b"q"), content(b"x")]
        << refusal(404, "NOT_FOUND - no exchange '\xff\xe9' in vhost '/'", Basic.Publish)
    )


def test_the_names_of_the_previous_publish_are_not_confused(play: Playbook) -> None:
    """Exchange and key are compared with those of the publish before; permission, route and names must be those of the
    new one."""
    two = say(Queue.Declare, queue="q2")
    get = [say(Basic.Get, queue=name, no_ack=True) for name in ("q", "q2", "q2")]
    assert (
        play
        >> [DECLARE, two, say(Queue.Bind, queue="q2", exchange="amq.direct", routing_key="q")]
        << [declare_ok(), say(Queue.DeclareOk, queue="q2"), say(Queue.BindOk)]
        >> [*publish(b"1", "q"), *publish(b"2", "q", "amq.direct"), *publish(b"3", "q2"), *get]
        << [say(Basic.GetOk, delivery_tag=1, routing_key="q"), content(b"1")]
        << say(Basic.GetOk, delivery_tag=2, routing_key="q", exchange="amq.direct", message_count=1)
        << content(b"2")
        << [say(Basic.GetOk, delivery_tag=3, routing_key="q2"), content(b"3")]
    )


def test_a_route_ends_with_its_binding(play: Playbook) -> None:
    bind = say(Queue.Bind, queue="q", exchange="amq.direct", routing_key="k")
    unbind = say(Queue.Unbind, queue="q", exchange="amq.direct", routing_key="k")
    assert (
        play
        >> [DECLARE, *publish(b"0", "k", "amq.direct"), bind, *publish(b"1", "k", "amq.direct")]
        << [declare_ok(), say(Queue.BindOk)]
        >> [unbind, *publish(b"2", "k", "amq.direct"), DECLARE]
        << [say(Queue.UnbindOk), declare_ok(1)]
        >> say(Queue.Delete, queue="q")
        << say(Queue.DeleteOk, message_count=1)
        >> [DECLARE, *publish(b"3", "k", "amq.direct"), *publish(b"4", "k"), DECLARE]
        << [declare_ok(), declare_ok()]
    )


# --- the socket goes


def test_a_lost_connection_requeues_and_deletes(play: Playbook) -> None:
    assert (
        play
        >> Connect("b")
        >> [say(Queue.Declare, queue="x", exclusive=True, by="b"), say(Queue.Declare, queue="q", by="b")]
        << [say(Queue.DeclareOk, queue="x", by="b"), declare_ok(by="b")]
        >> [*publish(b"1", "q"), say(Basic.Get, queue="q", by="b")]
        << [say(Basic.GetOk, delivery_tag=1, routing_key="q", by="b"), content(b"1", by="b")]
        >> HangUp("b")
        >> DECLARE
        << declare_ok(1)
        >> say(Queue.Declare, queue="x", passive=True)
        << refusal(404, "NOT_FOUND - no queue 'x' in vhost '/'", Queue.Declare)
    )


def test_a_connection_lost_in_the_middle_of_a_content_publishes_nothing(play: Playbook) -> None:
    assert (
        play
        >> Connect("b")
        >> [DECLARE, say(Basic.Publish, routing_key="q", by="b"), Octets(b"\2\0\1\0\0\0\x0e\0\x3c", "b")]
        << declare_ok()
        >> HangUp("b")
        >> DECLARE
        << declare_ok()
    )


def test_a_closing_connection_gets_no_deliveries(play: Playbook) -> None:
    assert (
        play
        >> Connect("b")
        >> [DECLARE, say(Basic.Consume, queue="q", consumer_tag="c", no_ack=True, by="b")]
        << [declare_ok(), say(Basic.ConsumeOk, consumer_tag="c", by="b")]
        >> say(Connection.Close, reply_code=200, by="b")
        << say(Connection.CloseOk, by="b")
        >> [*publish(b"1", "q"), DECLARE]
        << declare_ok(1)
        >> Do("nothing ended", lambda stage: stage.clients["b"].connection.ended and 1 / 0)
        >> say(Queue.Delete, queue="q", if_unused=True)
        << say(Queue.DeleteOk, message_count=1)
    )


def test_a_refused_connection_gets_no_deliveries(play: Playbook) -> None:
    assert (
        play
        >> Connect("b")
        >> [DECLARE, say(Basic.Consume, queue="q", consumer_tag="c", no_ack=True, by="b")]
        << [declare_ok(), say(Basic.ConsumeOk, consumer_tag="c", by="b")]
        >> [say(Channel.Open, by="b"), say(Queue.Declare, queue="z", by="b")]
        << refusal(504, "CHANNEL_ERROR - second 'channel.open' seen", Channel.Open, channel=0, by="b")
        >> [*publish(b"1", "q"), DECLARE]
        << declare_ok(1)
        >> say(Connection.CloseOk, by="b")
        << Ended("close", by="b")
    )
