"""queue.*: equivalence, ownership, deletion, conditions, limits and permissions."""

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
from tests.session.plays import (
    DECLARE_EXCHANGE_OK,
    bind,
    declare,
    declare_exchange,
    declare_ok,
    refused,
)

REOPEN = [say(Channel.CloseOk), say(Channel.Open)]
OPENED = say(Channel.OpenOk)


# --- queue.declare


@pytest.mark.parametrize(
    ("again", "text"),
    [
        (
            declare(durable=True),
            "'durable' for queue 'q' in vhost '/': received 'true' but current is 'false'",
        ),
        (
            declare(auto_delete=True),
            "'auto_delete' for queue 'q' in vhost '/': received 'true' but current is 'false'",
        ),
        (
            declare(arguments={"x-expires": 9000}),
            "'x-expires' for queue 'q' in vhost '/': received the value '9000' of type 'signedint'"
            " but current is none",
        ),
    ],
)
def test_an_inequivalent_declaration_is_refused(play: Playbook, again: Say, text: str) -> None:
    assert (
        play
        >> [declare(), declare(arguments={"x-unknown": 1}), again]
        << [declare_ok(), declare_ok(), refused(406, f"inequivalent arg {text}", Queue.Declare)]
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
def test_arguments_are_checked_in_the_order_of_rabbitmq(
    play: Playbook, arguments: dict[str, Any], text: str
) -> None:
    """Arguments of the type, those of other types, limits of the type (rabbit_amqqueue:check_declare_arguments)."""
    assert play >> declare(durable=True, arguments=arguments) << refused(406, text, Queue.Declare)


def test_declare_ok_counts_ready_messages(play: Playbook) -> None:
    assert (
        play
        >> [declare(), *publish(b"1", "q"), *publish(b"2", "q"), say(Basic.Get, queue="q"), declare()]
        << [declare_ok(), say(Basic.GetOk, delivery_tag=1, routing_key="q", message_count=1), content(b"1")]
        << declare_ok(1)
    )


def test_line_ends_are_stripped_from_names(play: Playbook) -> None:
    assert (
        play
        >> [declare("q\r\n1"), declare_exchange("e\n"), bind("e", "q1"), declare("q1", passive=True)]
        << [declare_ok(name="q1"), DECLARE_EXCHANGE_OK, say(Queue.BindOk), declare_ok(name="q1")]
    )


def test_any_other_name_is_accepted(play: Playbook) -> None:
    names = ["é", "=", "*", " ", "a/b", "x" * 255, "\0"]
    assert play >> [declare(name) for name in names] << [declare_ok(name=name) for name in names]


def test_with_nowait_only_errors_are_answered(play: Playbook) -> None:
    silent = [
        declare(nowait=True),
        declare_exchange(nowait=True),
        bind(nowait=True),
        say(Exchange.Bind, source="amq.topic", destination="e", nowait=True),
        say(Queue.Purge, queue="q", nowait=True),
        say(Exchange.Delete, exchange="e", nowait=True),
        say(Queue.Delete, queue="q", nowait=True),
    ]
    text = "no queue 'q' in vhost '/'"
    assert play >> silent >> declare(passive=True, nowait=True) << refused(404, text, Queue.Declare)


# --- exclusive


LOCKED = (
    "cannot obtain exclusive access to locked queue 'x' in vhost '/'. It could be originally declared on "
    "another connection or the exclusive property value does not match that of the original declaration."
)


@pytest.mark.parametrize(
    "line",
    [
        declare("x", by="b"),
        declare("x", exclusive=True, by="b"),
        declare("x", passive=True, by="b"),
        say(Basic.Consume, queue="x", by="b"),
        say(Basic.Get, queue="x", by="b"),
        say(Queue.Purge, queue="x", by="b"),
        say(Queue.Delete, queue="x", by="b"),
        bind("amq.direct", "x", by="b"),
        say(Queue.Unbind, exchange="amq.fanout", queue="x", routing_key="", by="b"),
    ],
)
def test_an_exclusive_queue_is_locked_for_other_connections(play: Playbook, line: Say) -> None:
    assert (
        play
        >> Connect("b")
        >> [declare("x", exclusive=True), bind("amq.fanout", "x")]
        << [declare_ok(name="x"), say(Queue.BindOk)]
        >> [say(Queue.Unbind, exchange="amq.direct", queue="x", routing_key="", by="b")]
        << say(Queue.UnbindOk, by="b")
        >> line
        << refused(405, LOCKED, line.command, by="b")
    )


def test_other_connections_may_publish_to_an_exclusive_queue(play: Playbook) -> None:
    assert (
        play
        >> Connect("b")
        >> declare("x", exclusive=True)
        << declare_ok(name="x")
        >> publish(b"1", "x", by="b")
        >> declare("x", exclusive=True, durable=True)
        << declare_ok(name="x", ready=1)
        >> declare("x")
        << refused(405, LOCKED, Queue.Declare)
    )


@pytest.mark.parametrize("how", ["close", "hang up", "refusal"])
def test_exclusive_queues_are_deleted_with_their_connection(play: Playbook, how: str) -> None:
    play = play >> Connect("b") >> declare("x", exclusive=True) << declare_ok(name="x")
    if how == "close":
        play = play >> say(Connection.Close) << say(Connection.CloseOk)
    elif how == "hang up":
        play = play >> HangUp("a")
    else:
        text = "CHANNEL_ERROR - second 'channel.open' seen"
        play = play >> say(Channel.Open) << refusal(504, text, Channel.Open, channel=0)
    assert play >> declare("x", by="b") << declare_ok(name="x", by="b")


# --- auto-delete queues


def test_auto_delete_queues_are_deleted_with_their_last_consumer(play: Playbook) -> None:
    first, second = (say(Basic.Consume, queue="q", consumer_tag=tag) for tag in "12")
    gone = refused(404, "no queue 'q' in vhost '/'", Queue.Declare)
    assert (
        play
        >> [declare(auto_delete=True), *publish(b"1", "q"), say(Basic.Get, queue="q", no_ack=True)]
        << [declare_ok(), say(Basic.GetOk, delivery_tag=1, routing_key="q"), content(b"1")]
        >> [first, second, say(Basic.Cancel, consumer_tag="1"), declare(passive=True)]
        << [say(Basic.ConsumeOk, consumer_tag="1"), say(Basic.ConsumeOk, consumer_tag="2")]
        << [say(Basic.CancelOk, consumer_tag="1"), declare_ok(0, 1)]
        >> say(Basic.Cancel, consumer_tag="2")
        << say(Basic.CancelOk, consumer_tag="2")
        >> declare(passive=True)
        << gone
    )


@pytest.mark.parametrize("how", ["close", "hang up"])
def test_auto_delete_queues_are_deleted_with_channel_and_connection(play: Playbook, how: str) -> None:
    play = (
        play
        >> Connect("b")
        >> [declare(auto_delete=True, by="b"), say(Basic.Consume, queue="q", consumer_tag="c", by="b")]
        << [declare_ok(by="b"), say(Basic.ConsumeOk, consumer_tag="c", by="b")]
    )
    if how == "close":
        play = play >> say(Channel.Close, by="b") << say(Channel.CloseOk, by="b")
    else:
        play = play >> HangUp("b")
    assert play >> declare(passive=True) << refused(404, "no queue 'q' in vhost '/'", Queue.Declare)


# --- purge and delete


def test_purge_drops_ready_messages(play: Playbook) -> None:
    three = [line for _ in range(3) for line in publish(b"x", "q")]
    assert (
        play
        >> [declare(), *three, say(Basic.Get, queue="q"), say(Queue.Purge, queue="q"), declare()]
        << [declare_ok(), say(Basic.GetOk, delivery_tag=1, routing_key="q", message_count=2), content(b"x")]
        << [say(Queue.PurgeOk, message_count=2), declare_ok()]
        >> [say(Basic.Nack, delivery_tag=1), declare()]
        << declare_ok(1)
        >> say(Queue.Purge, queue="nope")
        << refused(404, "no queue 'nope' in vhost '/'", Queue.Purge)
    )


def test_delete_checks_if_unused_and_if_empty(play: Playbook) -> None:
    consume = say(Basic.Consume, queue="q", consumer_tag="c")
    assert (
        play
        >> [say(Queue.Delete, queue="nope"), declare(), consume]
        << [say(Queue.DeleteOk), declare_ok(), say(Basic.ConsumeOk, consumer_tag="c")]
        >> say(Queue.Delete, queue="q", if_unused=True)
        << refused(406, "queue 'q' in vhost '/' in use", Queue.Delete)
        >> REOPEN
        << OPENED
        >> publish(b"1", "q")
        >> say(Queue.Delete, queue="q", if_empty=True)
        << refused(406, "queue 'q' in vhost '/' not empty", Queue.Delete)
        >> REOPEN
        << OPENED
        >> say(Basic.Get, queue="q")
        << [say(Basic.GetOk, delivery_tag=1, routing_key="q"), content(b"1")]
        >> say(Queue.Delete, queue="q", if_empty=True, if_unused=True)
        << say(Queue.DeleteOk)
        >> say(Basic.Ack, delivery_tag=1)
        >> say(Basic.Nack, delivery_tag=1)
        << refused(406, "unknown delivery tag 1", Basic.Nack)
    )


def test_delete_ok_counts_ready_messages(play: Playbook) -> None:
    assert (
        play
        >> [declare(), *publish(b"", "q"), *publish(b"", "q"), say(Queue.Delete, queue="q"), declare()]
        << [declare_ok(), say(Queue.DeleteOk, message_count=2), declare_ok()]
    )


def test_deliveries_of_a_deleted_queue_can_be_settled(play: Playbook) -> None:
    """This has no effect on a new queue of the same name."""
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
        >> [declare(), *three, *[say(Basic.Get, queue="q")] * 3]
        << [declare_ok(), *got]
        >> [say(Queue.Delete, queue="q"), declare()]
        << [say(Queue.DeleteOk), declare_ok()]
        >> [say(Basic.Nack, delivery_tag=1), say(Basic.Ack, delivery_tag=2), say(Channel.Close)]
        << say(Channel.CloseOk)
        >> say(Channel.Open)
        << OPENED
        >> declare()
        << declare_ok()
    )


# --- limits and permissions


def test_the_queue_limit_of_the_vhost_is_enforced(play: Playbook) -> None:
    def limit(stage: Stage) -> None:
        stage.broker.access.set_vhost_limits("/", {"max-queues": 1})

    text = "cannot declare queue 'r': queue limit in vhost '/' (1) is reached"
    assert (
        play
        >> Do("one queue", limit)
        >> [declare(), declare(), declare("r")]
        << [declare_ok(), declare_ok(), refused(406, text, Queue.Declare)]
    )


@pytest.mark.parametrize(
    ("line", "kind", "what"),
    [
        (declare("q"), "configure", "queue 'q'"),
        (declare_exchange("e"), "configure", "exchange 'e'"),
        (say(Queue.Delete, queue="there"), "configure", "queue 'there'"),
        (say(Queue.Purge, queue="there"), "read", "queue 'there'"),
        (say(Basic.Get, queue="there"), "read", "queue 'there'"),
        (say(Basic.Consume, queue="there"), "read", "queue 'there'"),
        (bind("amq.direct", "there"), "write", "queue 'there'"),
        (say(Exchange.Delete, exchange="e"), "configure", "exchange 'e'"),
        (say(Exchange.Bind, source="amq.topic", destination="amq.fanout"), "write", "exchange 'amq.fanout'"),
    ],
)
def test_operations_without_permission_are_refused(play: Playbook, line: Say, kind: str, what: str) -> None:
    def forbid(stage: Stage) -> None:
        stage.broker.access.set_permissions("guest", "/", "^$", "^$", "^$")
        stage.broker.access_changed()

    text = f"{kind} access to {what} in vhost '/' refused for user 'guest'"
    assert (
        play
        >> declare("there")
        << declare_ok(name="there")
        >> Do("no permissions", forbid)
        >> line
        << refused(403, text, line.command)
    )


def test_a_name_of_only_line_ends_is_stripped_before_it_is_looked_up(play: Playbook) -> None:
    """It does not mean the last declared queue, as the empty name does."""
    made = say(Queue.DeclareOk, queue=Kept("made", r"amq\.gen-[A-Za-z0-9_-]{22}"))
    assert (
        play
        >> [declare("q"), say(Queue.Delete, queue="\n"), declare("q", passive=True), declare("\r\n")]
        << [declare_ok(), say(Queue.DeleteOk), declare_ok(), made]
        >> bind("amq.direct", "\n")
        << refusal(404, "NOT_FOUND - no queue '' in vhost '/'", Queue.Bind)
    )


def test_purge_does_not_strip_line_ends(play: Playbook) -> None:
    text = "NOT_FOUND - no queue 'q\n' in vhost '/'"
    assert (
        play
        >> [declare("q"), say(Queue.Purge, queue="q\n")]
        << [declare_ok(), refusal(404, text, Queue.Purge)]
    )
