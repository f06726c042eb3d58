"""Checks of a publish and their order, and the properties that are changed."""

from __future__ import annotations

from typing import Any

import pytest
from pamqp.commands import Basic, Channel, Exchange, Queue

from leveret.config import Settings
from leveret.errors import AmqpError
from leveret.session.publishing import MAX_EXPIRATION_MS, parse_expiration
from leveret.settings import Amqp
from leveret.settings import Profile as ProfileSettings
from leveret.testing.playbook import (
    Connect,
    Do,
    Playbook,
    Say,
    Stage,
    content,
    delivery,
    publish,
    refusal,
    say,
)
from leveret.wire.tables import Field

DECLARE = say(Queue.Declare, queue="q")
CONSUME = say(Basic.Consume, queue="q", consumer_tag="c", no_ack=True)
READY = [say(Queue.DeclareOk, queue="q"), say(Basic.ConsumeOk, consumer_tag="c")]


def no_route(key: str, exchange: str = "") -> Say:
    return say(Basic.Return, reply_code=312, reply_text="NO_ROUTE", exchange=exchange, routing_key=key)


def denied(text: str, code: int = 406) -> Say:
    names = {406: "PRECONDITION_FAILED", 403: "ACCESS_REFUSED", 404: "NOT_FOUND"}
    return refusal(code, f"{names[code]} - {text}", Basic.Publish)


# --- properties


ALL_PROPERTIES: dict[str, Any] = {
    "content_type": "text/plain",
    "content_encoding": "utf-8",
    "headers": {
        "a-int": 1,
        "b-long": 1 << 40,
        "c-bool": True,
        "d-text": "text",
        "e-void": None,
        "f-table": {"nested": [1, {"deep": "x"}]},
        "g-byte": Field("b", -5),
        "h-double": Field("d", 1.5),
        "i-float": Field("f", 0.25),
        "j-decimal": Field("D", (2, 314)),
        "k-time": Field("T", 1_600_000_000),
        "l-bytes": Field("x", b"\0\xff"),
        "m-short": Field("s", -2),
        "n-ushort": Field("u", 65535),
        "o-uint": Field("i", 4_000_000_000),
        "p-ubyte": Field("B", 255),
    },
    "delivery_mode": 2,
    "priority": 5,
    "correlation_id": "corr",
    "reply_to": "somewhere",
    "message_id": "id",
    "timestamp": 1_600_000_000,
    "type": "kind",
    "user_id": "guest",
    "app_id": "app",
    "cluster_id": "cluster",
}


def test_all_properties_are_delivered(play: Playbook) -> None:
    assert (
        play
        >> [DECLARE, CONSUME]
        << READY
        >> publish(b"x", "q", expiration="60000", **ALL_PROPERTIES)
        << delivery(b"x", 1, expiration="60000", **ALL_PROPERTIES)
    )


@pytest.mark.parametrize("mode", [0, 1, 2, 3, 255])
def test_any_delivery_mode_is_accepted(play: Playbook, mode: int) -> None:
    assert (
        play
        >> [DECLARE, CONSUME]
        << READY
        >> publish(b"", "q", delivery_mode=mode)
        << delivery(b"", 1, delivery_mode=mode)
    )


def test_until_3_12_an_unknown_delivery_mode_is_refused(chunking: str) -> None:
    play = Playbook(Settings(profile=ProfileSettings(version="3.10")), chunking)
    assert play >> publish(b"", "q", delivery_mode=3) << denied("invalid message: {delivery_mode_unknown,3}")


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("abc", "no_integer"),
        ("", "no_integer"),
        ("10s", '{leftover_string,"s"}'),
        ("1.5", '{leftover_string,".5"}'),
        ("-1", "{value_negative,-1}"),
        ("99999999999999", "{value_too_large,99999999999999}"),
        ("315360000001", "{value_too_large,315360000001}"),
        ("+", "no_integer"),
        (" 1", "no_integer"),
        ("1 ", '{leftover_string," "}'),
        ('1"\\', '{leftover_string,"\\"\\\\"}'),
        ("1\0", "{leftover_string,[0]}"),
        ("1\n", '{leftover_string,"\\n"}'),
        ("1\u00e9", '{leftover_string,"\u00c3\u00a9"}'),
    ],
)
def test_invalid_expirations_are_refused(play: Playbook, given: str, reason: str) -> None:
    text = f"invalid expiration '{given}': {reason}"
    assert play >> publish(b"", "q", expiration=given) << denied(text)


def test_expirations_are_parsed_as_erlang_does() -> None:
    assert [parse_expiration(given) for given in (b"0", b"+5", b"007", b"315360000000")] == [
        0,
        5,
        7,
        MAX_EXPIRATION_MS,
    ]
    with pytest.raises(AmqpError):
        parse_expiration("٣".encode())  # digits, but not Erlang's


def test_the_user_id_must_be_the_user_of_the_connection(play: Playbook) -> None:
    text = "user_id property set to 'bob' but authenticated user was 'guest'"
    assert (
        play
        >> [DECLARE, CONSUME]
        << READY
        >> publish(b"", "q", user_id="guest")
        << delivery(b"", 1, user_id="guest")
        >> publish(b"", "q", user_id="bob")
        << denied(text)
    )


def test_an_impersonator_may_set_any_user_id(play: Playbook) -> None:
    def tag(stage: Stage) -> None:
        stage.broker.access.users.set_tags("guest", ["impersonator"])

    assert (
        play
        >> Do("guest becomes an impersonator", tag)
        >> Connect("b")
        >> [DECLARE, CONSUME]
        << READY
        >> publish(b"", "q", user_id="bob", by="b")
        << delivery(b"", 1, user_id="bob")
    )


# --- CC and BCC


def declare(*names: str) -> list[Say]:
    return [say(Queue.Declare, queue=name) for name in names]


def declared(*names: str) -> list[Say]:
    return [say(Queue.DeclareOk, queue=name) for name in names]


def get(name: str) -> Say:
    return say(Basic.Get, queue=name, no_ack=True)


def test_cc_and_bcc_add_routing_keys(play: Playbook) -> None:
    headers = {"BCC": ["c"], "CC": ["b", "a", 5], "z": 1}
    shown = content(b"x", headers={"CC": ["b", "a", 5], "z": 1})
    assert (
        play
        >> declare("a", "b", "c")
        << declared("a", "b", "c")
        >> publish(b"x", "a", headers=headers)
        >> [get("a"), get("b"), get("c"), get("a")]
        << [say(Basic.GetOk, delivery_tag=1, routing_key="a"), shown]
        << [say(Basic.GetOk, delivery_tag=2, routing_key="a"), shown]
        << [say(Basic.GetOk, delivery_tag=3, routing_key="a"), shown, say(Basic.GetEmpty)]
    )


def test_a_message_is_routable_by_its_bcc_alone(play: Playbook) -> None:
    assert (
        play
        >> declare("a")
        << declared("a")
        >> [*publish(b"x", "nowhere", headers={"BCC": ["a"]}, mandatory=True), get("a")]
        << [say(Basic.GetOk, delivery_tag=1, routing_key="nowhere"), content(b"x", headers={})]
    )


@pytest.mark.parametrize("name", ["CC", "BCC"])
@pytest.mark.parametrize(("value", "kind"), [("text", "longstr"), (5, "signedint"), ({}, "table")])
def test_a_cc_or_bcc_that_is_not_an_array_is_refused(
    play: Playbook, name: str, value: Any, kind: str
) -> None:
    text = f'invalid message: {{unacceptable_type_in_header,"{name}",{kind}}}'
    assert play >> publish(b"", "q", headers={name: value}) << denied(text)


# --- the order of checks


def test_a_publish_is_checked_in_the_order_of_rabbitmq(chunking: str) -> None:
    """Size, write permission, existence, internal, reply-to, expiration, CC, user-id."""
    settings = Settings(amqp=Amqp(max_message_size=4))

    def limit(stage: Stage) -> None:
        stage.broker.access.set_permissions("guest", "/", ".*", "^(amq|in|nope).*", ".*")
        stage.broker.access_changed()

    wrong: dict[str, Any] = {
        "reply_to": "amq.rabbitmq.reply-to",
        "expiration": "x",
        "headers": {"CC": 5},
        "user_id": "bob",
    }
    ok = [say(Channel.CloseOk), say(Channel.Open)]
    opened = say(Channel.OpenOk)
    play = Playbook(settings, chunking)
    play = (
        play
        >> say(Exchange.Declare, exchange="in", exchange_type="direct", internal=True)
        << say(Exchange.DeclareOk)
        >> Do("less write permission", limit)
        >> publish(b"12345", "", "secret", **wrong)
        << denied("message size 5 is larger than configured max size 4")
        >> ok
        << opened
        >> publish(b"", "", "secret", **wrong)
        << denied("write access to exchange 'secret' in vhost '/' refused for user 'guest'", 403)
        >> ok
        << opened
        >> publish(b"", "", "nope", **wrong)
        << denied("no exchange 'nope' in vhost '/'", 404)
        >> ok
        << opened
        >> publish(b"", "", "in", **wrong)
        << denied("cannot publish to internal exchange 'in' in vhost '/'", 403)
    )
    for text, gone in (
        ("fast reply consumer does not exist", "reply_to"),
        ("invalid expiration 'x': no_integer", "expiration"),
        ('invalid message: {unacceptable_type_in_header,"CC",signedint}', "headers"),
        ("user_id property set to 'bob' but authenticated user was 'guest'", "user_id"),
    ):
        play = play >> ok << opened >> publish(b"", "", "amq.direct", **wrong) << denied(text)
        del wrong[gone]
    assert play >> ok << opened >> publish(b"", "", "amq.direct", **wrong)


def test_changed_permissions_apply_to_the_next_publish(play: Playbook) -> None:
    def forbid(stage: Stage) -> None:
        stage.broker.access.set_permissions("guest", "/", ".*", "^$", ".*")
        stage.broker.access_changed()

    text = "write access to exchange 'amq.default' in vhost '/' refused for user 'guest'"
    assert (
        play
        >> [DECLARE, CONSUME]
        << READY
        >> publish(b"1", "q")
        << delivery(b"1", 1)
        >> Do("no write permission", forbid)
        >> publish(b"2", "q")
        << denied(text, 403)
    )


def test_topic_permissions_are_checked_on_publish(play: Playbook) -> None:
    def limit(stage: Stage) -> None:
        stage.broker.access.set_topic_permissions("guest", "/", "amq.topic", "^ok", ".*")
        stage.broker.access_changed()

    text = "write access to topic 'no.way' in exchange 'amq.topic' in vhost '/' refused for user 'guest'"
    assert (
        play
        >> [DECLARE, say(Queue.Bind, queue="q", exchange="amq.topic", routing_key="#")]
        << [say(Queue.DeclareOk, queue="q"), say(Queue.BindOk)]
        >> Do("topic permission", limit)
        >> [*publish(b"1", "ok.then", "amq.topic"), get("q")]
        << [say(Basic.GetOk, delivery_tag=1, exchange="amq.topic", routing_key="ok.then"), content(b"1")]
        >> publish(b"2", "no.way", "amq.topic")
        << denied(text, 403)
    )


# --- returns


def test_an_unroutable_message_is_returned_if_mandatory_and_dropped_if_not(play: Playbook) -> None:
    assert (
        play
        >> publish(b"back", "nope", mandatory=True, correlation_id="7")
        << [no_route("nope"), content(b"back", correlation_id="7")]
        >> publish(b"back", "k", "amq.topic", mandatory=True)
        << [no_route("k", "amq.topic"), content(b"back")]
        >> publish(b"dropped", "nope")
    )


def test_an_alternate_exchange_counts_as_a_route(play: Playbook) -> None:
    declare_ae = say(
        Exchange.Declare,
        exchange="e",
        exchange_type="direct",
        arguments={"alternate-exchange": "amq.fanout"},
    )
    assert (
        play
        >> [DECLARE, declare_ae, say(Queue.Bind, queue="q", exchange="amq.fanout"), CONSUME]
        << [say(Queue.DeclareOk, queue="q"), say(Exchange.DeclareOk), say(Queue.BindOk), READY[1]]
        >> publish(b"x", "k", "e", mandatory=True)
        << delivery(b"x", 1, "k", "e")
    )


def test_returned_and_dropped_messages_are_counted(play: Playbook) -> None:
    assert play >> publish(b"", "nope", mandatory=True) << [no_route("nope"), content()] >> publish(b"", "n")
    channel = play.stage.clients["a"].connection.channels[1]
    (tally,) = channel.publish_tallies.values()
    tally.fold()
    assert (tally.published, tally.returned, tally.dropped, tally.routed) == (2, 1, 1, 0)
    assert (tally.total.published, tally.total.returned, tally.total.dropped) == (2, 1, 1)
