"""exchange.* and bindings: names, equivalence, conditions, and what is deleted together."""

from __future__ import annotations

import pytest
from pamqp.commands import Basic, Channel, Exchange, Queue

from leveret.testing.playbook import (
    Kept,
    Playbook,
    Say,
    content,
    publish,
    say,
)
from tests.session.plays import DECLARE_EXCHANGE_OK, bind, declare, declare_exchange, declare_ok, refused

REOPEN = [say(Channel.CloseOk), say(Channel.Open)]
OPENED = say(Channel.OpenOk)


# --- exchange.declare


def test_predeclared_exchanges_can_be_declared_again(play: Playbook) -> None:
    kinds = {
        "direct": "direct",
        "fanout": "fanout",
        "topic": "topic",
        "headers": "headers",
        "match": "headers",
    }
    lines = [declare_exchange(f"amq.{name}", kind, durable=True) for name, kind in kinds.items()]
    assert play >> lines << [DECLARE_EXCHANGE_OK] * 5
    vhost = play.stage.broker.vhosts["/"]
    assert sorted(vhost.exchanges) == [
        "",
        *sorted([f"amq.{name}" for name in kinds] + ["amq.rabbitmq.trace"]),
    ]
    assert vhost.exchanges["amq.rabbitmq.trace"].internal


@pytest.mark.parametrize(
    ("again", "text"),
    [
        (
            declare_exchange(kind="fanout"),
            "'type' for exchange 'e' in vhost '/': received 'fanout' but current is 'direct'",
        ),
        (
            declare_exchange(durable=True),
            "'durable' for exchange 'e' in vhost '/': received 'true' but current is 'false'",
        ),
        (
            declare_exchange(auto_delete=True),
            "'auto_delete' for exchange 'e' in vhost '/': received 'true' but current is 'false'",
        ),
        (
            declare_exchange(internal=True),
            "'internal' for exchange 'e' in vhost '/': received 'true' but current is 'false'",
        ),
        (
            declare_exchange(arguments={"alternate-exchange": "x"}),
            "'alternate-exchange' for exchange 'e' in vhost '/': received the value 'x' of type 'longstr'"
            " but current is none",
        ),
    ],
)
def test_an_inequivalent_declaration_is_refused(play: Playbook, again: Say, text: str) -> None:
    same = declare_exchange(arguments={"anything": 1})
    assert (
        play
        >> [declare_exchange(), declare_exchange(), same]
        << [DECLARE_EXCHANGE_OK, DECLARE_EXCHANGE_OK, DECLARE_EXCHANGE_OK]
        >> again
        << refused(406, f"inequivalent arg {text}", Exchange.Declare)
    )


@pytest.mark.parametrize("kind", ["foo", "", "x-delayed-message"])
def test_unknown_exchange_types_are_refused(play: Playbook, kind: str) -> None:
    if kind == "x-delayed-message":
        pytest.skip("whether it is known is for the routing tests")
    text = f"invalid exchange type '{kind}'"
    assert play >> declare_exchange(kind=kind) << refused(406, text, Exchange.Declare)


def test_reserved_names_are_refused(play: Playbook) -> None:
    assert (
        play
        >> declare_exchange("amq.foo")
        << refused(403, "exchange name 'amq.foo' contains reserved prefix 'amq.*'", Exchange.Declare)
        >> REOPEN
        << OPENED
        >> declare("amq.foo")
        << refused(403, "queue name 'amq.foo' contains reserved prefix 'amq.*'", Queue.Declare)
    )


def test_a_passive_declaration_only_checks_existence(play: Playbook) -> None:
    assert (
        play
        >> [
            declare_exchange(durable=True),
            say(Exchange.Declare, exchange="e", exchange_type="nonsense", passive=True),
        ]
        << [DECLARE_EXCHANGE_OK, DECLARE_EXCHANGE_OK]
        >> [declare(), declare(passive=True, durable=True)]
        << [declare_ok(), declare_ok()]
        >> declare_exchange("nope", passive=True)
        << refused(404, "no exchange 'nope' in vhost '/'", Exchange.Declare)
        >> REOPEN
        << OPENED
        >> declare("nope", passive=True)
        << refused(404, "no queue 'nope' in vhost '/'", Queue.Declare)
        >> REOPEN
        << OPENED
        >> declare("", passive=True)
        << refused(404, "no queue '' in vhost '/'", Queue.Declare)
    )


@pytest.mark.parametrize(
    "line",
    [
        declare_exchange(""),
        declare_exchange("", passive=True),
        say(Exchange.Delete, exchange=""),
        bind(""),
        say(Queue.Unbind, exchange="", queue="q"),
        say(Exchange.Bind, destination="amq.topic", source=""),
        say(Exchange.Bind, destination="", source="amq.topic"),
        say(Exchange.Unbind, destination="amq.topic", source=""),
    ],
)
def test_operations_on_the_default_exchange_are_refused(play: Playbook, line: Say) -> None:
    text = "operation not permitted on the default exchange"
    assert play >> declare() << declare_ok() >> line << refused(403, text, line.command)


def test_an_alternate_exchange_that_is_not_a_string_is_refused(play: Playbook) -> None:
    text = "invalid type 'signedint' for arg 'alternate-exchange' in exchange 'e' in vhost '/'"
    line = declare_exchange(arguments={"alternate-exchange": 5})
    assert play >> line << refused(406, text, Exchange.Declare)


# --- exchange.delete, bind, unbind


def test_exchanges_are_deleted_with_if_unused_checked(play: Playbook) -> None:
    delete = say(Exchange.Delete, exchange="e")
    assert (
        play
        >> [delete, declare_exchange(), declare(), bind()]
        << [say(Exchange.DeleteOk), DECLARE_EXCHANGE_OK, declare_ok(), say(Queue.BindOk)]
        >> say(Exchange.Delete, exchange="e", if_unused=True)
        << refused(406, "exchange 'e' in vhost '/' in use", Exchange.Delete)
        >> REOPEN
        << OPENED
        >> [delete, declare_exchange(), *publish(b"x", "", "e"), declare()]
        << [say(Exchange.DeleteOk), DECLARE_EXCHANGE_OK, declare_ok()]
        >> say(Exchange.Delete, exchange="amq.direct")
        << refused(403, "deletion of system exchange 'amq.direct' in vhost '/' not allowed", Exchange.Delete)
    )


def test_an_auto_delete_exchange_is_deleted_with_its_last_binding(play: Playbook) -> None:
    gone = refused(404, "no exchange 'e' in vhost '/'", Exchange.Declare)
    assert (
        play
        >> [declare_exchange(auto_delete=True), declare(), bind(key="1"), bind(key="2")]
        << [DECLARE_EXCHANGE_OK, declare_ok(), say(Queue.BindOk), say(Queue.BindOk)]
        >> say(Queue.Unbind, exchange="e", queue="q", routing_key="1")
        << say(Queue.UnbindOk)
        >> declare_exchange(passive=True)
        << DECLARE_EXCHANGE_OK
        >> say(Queue.Delete, queue="q")
        << say(Queue.DeleteOk)
        >> declare_exchange(passive=True)
        << gone
    )


def test_deleting_a_queue_deletes_a_chain_of_auto_delete_exchanges(play: Playbook) -> None:
    assert (
        play
        >> [declare_exchange("a", auto_delete=True), declare_exchange("b", auto_delete=True)]
        << [DECLARE_EXCHANGE_OK, DECLARE_EXCHANGE_OK]
        >> [declare(), say(Exchange.Bind, source="a", destination="b"), bind("b")]
        << [declare_ok(), say(Exchange.BindOk), say(Queue.BindOk)]
        >> say(Queue.Delete, queue="q")
        << say(Queue.DeleteOk)
        >> declare_exchange("a", passive=True)
        << refused(404, "no exchange 'a' in vhost '/'", Exchange.Declare)
    )


def test_cycles_of_exchanges_deliver_once(play: Playbook) -> None:
    bindings = [
        say(Exchange.Bind, source=source, destination=destination, routing_key="k")
        for source, destination in ("ab", "ba", "aa")
    ]
    assert (
        play
        >> [
            declare_exchange("a"),
            declare_exchange("b"),
            declare(),
            *bindings,
            bind("a", key="k"),
            bind("b", key="k"),
        ]
        << [
            DECLARE_EXCHANGE_OK,
            DECLARE_EXCHANGE_OK,
            declare_ok(),
            *[say(Exchange.BindOk)] * 3,
            say(Queue.BindOk),
            say(Queue.BindOk),
        ]
        >> [*publish(b"x", "k", "a"), declare()]
        << declare_ok(1)
    )


def test_binding_missing_exchanges_and_queues_is_refused(play: Playbook) -> None:
    cases: list[tuple[Say, str]] = [
        (bind("nopex", "nope"), "no exchange 'nopex' in vhost '/'"),
        (bind("amq.direct", "nope"), "no queue 'nope' in vhost '/'"),
        (say(Exchange.Bind, source="s", destination="d"), "no exchange 's' in vhost '/'"),
        (say(Exchange.Bind, source="amq.topic", destination="d"), "no exchange 'd' in vhost '/'"),
    ]
    for line, text in cases:
        play = play >> line << refused(404, text, line.command) >> REOPEN << OPENED
    assert (
        play
        >> [
            say(Queue.Unbind, exchange="nope", queue="nope", routing_key=""),
            say(Exchange.Unbind, source="nope", destination="nope"),
            say(Exchange.Unbind, source="amq.topic", destination="amq.direct", routing_key="k"),
        ]
        << [say(Queue.UnbindOk), say(Exchange.UnbindOk), say(Exchange.UnbindOk)]
    )


def test_bindings_differ_by_key_and_arguments(play: Playbook) -> None:
    assert (
        play
        >> [declare(), bind("amq.topic", key="k"), bind("amq.topic", key="k", arguments={"a": 1})]
        << [declare_ok(), say(Queue.BindOk), say(Queue.BindOk)]
        >> [say(Queue.Unbind, queue="q", exchange="amq.topic", routing_key="k", arguments={"a": 2})]
        << say(Queue.UnbindOk)
        >> [say(Queue.Unbind, queue="q", exchange="amq.topic", routing_key="k")]
        << say(Queue.UnbindOk)
        >> [*publish(b"x", "k", "amq.topic"), declare()]
        << declare_ok(1)
        >> [say(Queue.Unbind, queue="q", exchange="amq.topic", routing_key="k", arguments={"a": 1})]
        << say(Queue.UnbindOk)
        >> [*publish(b"x", "k", "amq.topic"), declare()]
        << declare_ok(1)
    )


def test_an_empty_queue_and_key_mean_the_last_declared_queue(play: Playbook) -> None:
    name = Kept("name", r"amq\.gen-[A-Za-z0-9_-]{22}")
    assert (
        play
        >> declare("", exclusive=True)
        << say(Queue.DeclareOk, queue=name)
        >> say(Queue.Bind, exchange="amq.direct")
        << say(Queue.BindOk)
        >> [say(Basic.Publish, exchange="amq.direct", routing_key=name), content(b"x")]
        >> say(Queue.Purge)
        << say(Queue.PurgeOk, message_count=1)
        >> say(Queue.Unbind, exchange="amq.direct")
        << say(Queue.UnbindOk)
        >> say(Queue.Delete)
        << say(Queue.DeleteOk)
        >> say(Queue.Declare, queue=name, passive=True)
        << say(Channel.Close, reply_code=404, reply_text=Kept("text"), class_id=50, method_id=10)
    )
