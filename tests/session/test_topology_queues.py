"""queue.*: equivalence, ownership, lifetimes, conditions, limits and permissions."""

from __future__ import annotations

from typing import Any

import pytest
from pamqp.commands import Basic, Channel, Connection, Exchange, Queue

from leveret.testing.playbook import (
    Connect,
    Do,
    HangUp,
    Kept,
    Playbook,
    Say,
    Stage,
    content,
    publish,
    refusal,
    say,
)

REOPEN = [say(Channel.CloseOk), say(Channel.Open)]
OPENED = say(Channel.OpenOk)
E_OK = say(Exchange.DeclareOk)
NAMES = {403: "ACCESS_REFUSED", 404: "NOT_FOUND", 405: "RESOURCE_LOCKED", 406: "PRECONDITION_FAILED"}


def denied(code: int, text: str, offender: Any, **where: Any) -> Say:
    return refusal(code, f"{NAMES[code]} - {text}", offender, **where)


def exchange(name: str = "e", kind: str = "direct", **arguments: Any) -> Say:
    return say(Exchange.Declare, exchange=name, exchange_type=kind, **arguments)


def queue(name: str = "q", **arguments: Any) -> Say:
    return say(Queue.Declare, queue=name, **arguments)


def queue_ok(name: str = "q", ready: int = 0, consumers: int = 0, **where: Any) -> Say:
    return say(Queue.DeclareOk, queue=name, message_count=ready, consumer_count=consumers, **where)


def bind(source: str = "e", name: str = "q", key: str = "", **arguments: Any) -> Say:
    return say(Queue.Bind, exchange=source, queue=name, routing_key=key, **arguments)


# --- queue.declare


@pytest.mark.parametrize(
    ("again", "text"),
    [
        (queue(durable=True), "'durable' for queue 'q' in vhost '/': received 'true' but current is 'false'"),
        (
            queue(auto_delete=True),
            "'auto_delete' for queue 'q' in vhost '/': received 'true' but current is 'false'",
        ),
        (
            queue(arguments={"x-expires": 9000}),
            "'x-expires' for queue 'q' in vhost '/': received the value '9000' of type 'signedint'"
            " but current is none",
        ),
    ],
)
def test_redeclaring_a_queue_otherwise(play: Playbook, again: Say, text: str) -> None:
    assert (
        play
        >> [queue(), queue(arguments={"x-unknown": 1}), again]
        << [queue_ok(), queue_ok(), denied(406, f"inequivalent arg {text}", Queue.Declare)]
    )


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            {"x-queue-type": "quorum", "x-max-priority": 3, "x-overflow": "drop"},
            "invalid arg 'x-overflow' for queue 'q' in vhost '/': invalid_overflow",
        ),
        (
            {"x-queue-type": "stream", "x-max-priority": 3, "x-stream-max-segment-size-bytes": 3_000_000_001},
            "invalid arg 'x-max-priority' for queue 'q' in vhost '/' of queue type rabbit_stream_queue",
        ),
    ],
)
def test_arguments_of_the_kind_are_looked_at_before_others(
    play: Playbook, arguments: dict[str, Any], text: str
) -> None:
    """rabbit_amqqueue:check_declare_arguments: its own values, foreign arguments, its own limits."""
    assert play >> queue(durable=True, arguments=arguments) << denied(406, text, Queue.Declare)


def test_counts_are_of_what_is_ready(play: Playbook) -> None:
    assert (
        play
        >> [queue(), *publish(b"1", "q"), *publish(b"2", "q"), say(Basic.Get, queue="q"), queue()]
        << [queue_ok(), say(Basic.GetOk, delivery_tag=1, routing_key="q", message_count=1), content(b"1")]
        << queue_ok("q", 1)
    )


def test_line_ends_are_stripped(play: Playbook) -> None:
    assert (
        play
        >> [queue("q\r\n1"), exchange("e\n"), bind("e", "q1"), queue("q1", passive=True)]
        << [queue_ok("q1"), E_OK, say(Queue.BindOk), queue_ok("q1")]
    )


def test_any_other_name_will_do(play: Playbook) -> None:
    names = ["é", "=", "*", " ", "a/b", "x" * 255, "\0"]
    assert play >> [queue(name) for name in names] << [queue_ok(name) for name in names]


def test_nowait(play: Playbook) -> None:
    silent = [
        queue(nowait=True),
        exchange(nowait=True),
        bind(nowait=True),
        say(Exchange.Bind, source="amq.topic", destination="e", nowait=True),
        say(Queue.Purge, queue="q", nowait=True),
        say(Exchange.Delete, exchange="e", nowait=True),
        say(Queue.Delete, queue="q", nowait=True),
    ]
    text = "no queue 'q' in vhost '/'"
    assert play >> silent >> queue(passive=True, nowait=True) << denied(404, text, Queue.Declare)


# --- exclusive


LOCKED = (
    "cannot obtain exclusive access to locked queue 'x' in vhost '/'. It could be originally declared on "
    "another connection or the exclusive property value does not match that of the original declaration."
)


@pytest.mark.parametrize(
    "line",
    [
        queue("x", by="b"),
        queue("x", exclusive=True, by="b"),
        queue("x", passive=True, by="b"),
        say(Basic.Consume, queue="x", by="b"),
        say(Basic.Get, queue="x", by="b"),
        say(Queue.Purge, queue="x", by="b"),
        say(Queue.Delete, queue="x", by="b"),
        bind("amq.direct", "x", by="b"),
        say(Queue.Unbind, exchange="amq.fanout", queue="x", routing_key="", by="b"),
    ],
)
def test_exclusive_queues_are_their_connections_own(play: Playbook, line: Say) -> None:
    assert (
        play
        >> Connect("b")
        >> [queue("x", exclusive=True), bind("amq.fanout", "x")]
        << [queue_ok("x"), say(Queue.BindOk)]
        >> [say(Queue.Unbind, exchange="amq.direct", queue="x", routing_key="", by="b")]
        << say(Queue.UnbindOk, by="b")
        >> line
        << denied(405, LOCKED, line.command, by="b")
    )


def test_anyone_may_publish_to_an_exclusive_queue(play: Playbook) -> None:
    assert (
        play
        >> Connect("b")
        >> queue("x", exclusive=True)
        << queue_ok("x")
        >> publish(b"1", "x", by="b")
        >> queue("x", exclusive=True, durable=True)
        << queue_ok("x", 1)
        >> queue("x")
        << denied(405, LOCKED, Queue.Declare)
    )


@pytest.mark.parametrize("how", ["close", "hang up", "refusal"])
def test_exclusive_queues_go_with_their_connection(play: Playbook, how: str) -> None:
    play = play >> Connect("b") >> queue("x", exclusive=True) << queue_ok("x")
    if how == "close":
        play = play >> say(Connection.Close) << say(Connection.CloseOk)
    elif how == "hang up":
        play = play >> HangUp("a")
    else:
        text = "CHANNEL_ERROR - second 'channel.open' seen"
        play = play >> say(Channel.Open) << refusal(504, text, Channel.Open, channel=0)
    assert play >> queue("x", by="b") << queue_ok("x", by="b")


# --- auto-delete queues


def test_auto_delete_queues_go_with_their_last_consumer(play: Playbook) -> None:
    first, second = (say(Basic.Consume, queue="q", consumer_tag=tag) for tag in "12")
    gone = denied(404, "no queue 'q' in vhost '/'", Queue.Declare)
    assert (
        play
        >> [queue(auto_delete=True), *publish(b"1", "q"), say(Basic.Get, queue="q", no_ack=True)]
        << [queue_ok(), say(Basic.GetOk, delivery_tag=1, routing_key="q"), content(b"1")]
        >> [first, second, say(Basic.Cancel, consumer_tag="1"), queue(passive=True)]
        << [say(Basic.ConsumeOk, consumer_tag="1"), say(Basic.ConsumeOk, consumer_tag="2")]
        << [say(Basic.CancelOk, consumer_tag="1"), queue_ok("q", 0, 1)]
        >> say(Basic.Cancel, consumer_tag="2")
        << say(Basic.CancelOk, consumer_tag="2")
        >> queue(passive=True)
        << gone
    )


@pytest.mark.parametrize("how", ["close", "hang up"])
def test_auto_delete_queues_go_with_channel_and_connection(play: Playbook, how: str) -> None:
    play = (
        play
        >> Connect("b")
        >> [queue(auto_delete=True, by="b"), say(Basic.Consume, queue="q", consumer_tag="c", by="b")]
        << [queue_ok(by="b"), say(Basic.ConsumeOk, consumer_tag="c", by="b")]
    )
    if how == "close":
        play = play >> say(Channel.Close, by="b") << say(Channel.CloseOk, by="b")
    else:
        play = play >> HangUp("b")
    assert play >> queue(passive=True) << denied(404, "no queue 'q' in vhost '/'", Queue.Declare)


# --- purge and delete


def test_purge_drops_what_is_ready(play: Playbook) -> None:
    three = [line for _ in range(3) for line in publish(b"x", "q")]
    assert (
        play
        >> [queue(), *three, say(Basic.Get, queue="q"), say(Queue.Purge, queue="q"), queue()]
        << [queue_ok(), say(Basic.GetOk, delivery_tag=1, routing_key="q", message_count=2), content(b"x")]
        << [say(Queue.PurgeOk, message_count=2), queue_ok()]
        >> [say(Basic.Nack, delivery_tag=1), queue()]
        << queue_ok("q", 1)
        >> say(Queue.Purge, queue="nope")
        << denied(404, "no queue 'nope' in vhost '/'", Queue.Purge)
    )


def test_delete_with_conditions(play: Playbook) -> None:
    consume = say(Basic.Consume, queue="q", consumer_tag="c")
    assert (
        play
        >> [say(Queue.Delete, queue="nope"), queue(), consume]
        << [say(Queue.DeleteOk), queue_ok(), say(Basic.ConsumeOk, consumer_tag="c")]
        >> say(Queue.Delete, queue="q", if_unused=True)
        << denied(406, "queue 'q' in vhost '/' in use", Queue.Delete)
        >> REOPEN
        << OPENED
        >> publish(b"1", "q")
        >> say(Queue.Delete, queue="q", if_empty=True)
        << denied(406, "queue 'q' in vhost '/' not empty", Queue.Delete)
        >> REOPEN
        << OPENED
        >> say(Basic.Get, queue="q")
        << [say(Basic.GetOk, delivery_tag=1, routing_key="q"), content(b"1")]
        >> say(Queue.Delete, queue="q", if_empty=True, if_unused=True)
        << say(Queue.DeleteOk)
        >> say(Basic.Ack, delivery_tag=1)
        >> say(Basic.Nack, delivery_tag=1)
        << denied(406, "unknown delivery tag 1", Basic.Nack)
    )


def test_delete_tells_how_much_was_lost(play: Playbook) -> None:
    assert (
        play
        >> [queue(), *publish(b"", "q"), *publish(b"", "q"), say(Queue.Delete, queue="q"), queue()]
        << [queue_ok(), say(Queue.DeleteOk, message_count=2), queue_ok()]
    )


def test_late_settlements_of_a_deleted_queue(play: Playbook) -> None:
    """They are accepted, and do nothing to a queue of the same name."""
    three = [line for _ in range(3) for line in publish(b"x", "q")]
    got = [
        line
        for tag in (1, 2, 3)
        for line in (
            say(Basic.GetOk, delivery_tag=tag, routing_key="q", message_count=3 - tag),
            content(b"x"),
        )
    ]
    assert (
        play
        >> [queue(), *three, *[say(Basic.Get, queue="q")] * 3]
        << [queue_ok(), *got]
        >> [say(Queue.Delete, queue="q"), queue()]
        << [say(Queue.DeleteOk), queue_ok()]
        >> [say(Basic.Nack, delivery_tag=1), say(Basic.Ack, delivery_tag=2), say(Channel.Close)]
        << say(Channel.CloseOk)
        >> say(Channel.Open)
        << OPENED
        >> queue()
        << queue_ok()
    )


# --- limits and permissions


def test_the_vhosts_limit_of_queues(play: Playbook) -> None:
    def limit(stage: Stage) -> None:
        stage.broker.access.set_vhost_limits("/", {"max-queues": 1})

    text = "cannot declare queue 'r': queue limit in vhost '/' (1) is reached"
    assert (
        play
        >> Do("one queue", limit)
        >> [queue(), queue(), queue("r")]
        << [queue_ok(), queue_ok(), denied(406, text, Queue.Declare)]
    )


@pytest.mark.parametrize(
    ("line", "kind", "what"),
    [
        (queue("q"), "configure", "queue 'q'"),
        (exchange("e"), "configure", "exchange 'e'"),
        (say(Queue.Delete, queue="there"), "configure", "queue 'there'"),
        (say(Queue.Purge, queue="there"), "read", "queue 'there'"),
        (say(Basic.Get, queue="there"), "read", "queue 'there'"),
        (say(Basic.Consume, queue="there"), "read", "queue 'there'"),
        (bind("amq.direct", "there"), "write", "queue 'there'"),
        (say(Exchange.Delete, exchange="e"), "configure", "exchange 'e'"),
        (say(Exchange.Bind, source="amq.topic", destination="amq.fanout"), "write", "exchange 'amq.fanout'"),
    ],
)
def test_without_permission(play: Playbook, line: Say, kind: str, what: str) -> None:
    def forbid(stage: Stage) -> None:
        stage.broker.access.set_permissions("guest", "/", "^$", "^$", "^$")
        stage.broker.access_changed()

    text = f"{kind} access to {what} in vhost '/' refused for user 'guest'"
    assert (
        play
        >> queue("there")
        << queue_ok("there")
        >> Do("no permissions", forbid)
        >> line
        << denied(403, text, line.command)
    )


def test_a_name_of_line_ends_alone(play: Playbook) -> None:
    """It is not the empty name, which means the last declared queue, until its line ends are stripped."""
    made = say(Queue.DeclareOk, queue=Kept("made", r"amq\.gen-[A-Za-z0-9_-]{22}"))
    assert (
        play
        >> [queue("q"), say(Queue.Delete, queue="\n"), queue("q", passive=True), queue("\r\n")]
        << [queue_ok("q"), say(Queue.DeleteOk), queue_ok("q"), made]
        >> bind("amq.direct", "\n")
        << refusal(404, "NOT_FOUND - no queue '' in vhost '/'", Queue.Bind)
    )


def test_purge_takes_names_as_they_are(play: Playbook) -> None:
    text = "NOT_FOUND - no queue 'q\n' in vhost '/'"
    assert (
        play
        >> [queue("q"), say(Queue.Purge, queue="q\n")]
        << [queue_ok("q"), refusal(404, text, Queue.Purge)]
    )
