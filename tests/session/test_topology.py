"""exchange.*, and bindings: names, equivalence, conditions, and what goes with what."""

from __future__ import annotations

from typing import Any

import pytest
from pamqp.commands import Basic, Channel, Exchange, Queue

from leveret.testing.playbook import (
    Kept,
    Playbook,
    Say,
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


# --- exchange.declare


def test_predeclared(play: Playbook) -> None:
    kinds = {
        "direct": "direct",
        "fanout": "fanout",
        "topic": "topic",
        "headers": "headers",
        "match": "headers",
    }
    lines = [exchange(f"amq.{name}", kind, durable=True) for name, kind in kinds.items()]
    assert play >> lines << [E_OK] * 5
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
            exchange(kind="fanout"),
            "'type' for exchange 'e' in vhost '/': received 'fanout' but current is 'direct'",
        ),
        (
            exchange(durable=True),
            "'durable' for exchange 'e' in vhost '/': received 'true' but current is 'false'",
        ),
        (
            exchange(auto_delete=True),
            "'auto_delete' for exchange 'e' in vhost '/': received 'true' but current is 'false'",
        ),
        (
            exchange(internal=True),
            "'internal' for exchange 'e' in vhost '/': received 'true' but current is 'false'",
        ),
        (
            exchange(arguments={"alternate-exchange": "x"}),
            "'alternate-exchange' for exchange 'e' in vhost '/': received the value 'x' of type 'longstr'"
            " but current is none",
        ),
    ],
)
def test_redeclaring_otherwise(play: Playbook, again: Say, text: str) -> None:
    same = exchange(arguments={"anything": 1})
    assert (
        play
        >> [exchange(), exchange(), same]
        << [E_OK, E_OK, E_OK]
        >> again
        << denied(406, f"inequivalent arg {text}", Exchange.Declare)
    )


@pytest.mark.parametrize("kind", ["foo", "", "x-delayed-message"])
def test_unknown_types(play: Playbook, kind: str) -> None:
    if kind == "x-delayed-message":
        pytest.skip("whether it is known is for the routing tests")
    text = f"invalid exchange type '{kind}'"
    assert play >> exchange(kind=kind) << denied(406, text, Exchange.Declare)


def test_reserved_names(play: Playbook) -> None:
    assert (
        play
        >> exchange("amq.foo")
        << denied(403, "exchange name 'amq.foo' contains reserved prefix 'amq.*'", Exchange.Declare)
        >> REOPEN
        << OPENED
        >> queue("amq.foo")
        << denied(403, "queue name 'amq.foo' contains reserved prefix 'amq.*'", Queue.Declare)
    )


def test_passive(play: Playbook) -> None:
    assert (
        play
        >> [
            exchange(durable=True),
            say(Exchange.Declare, exchange="e", exchange_type="nonsense", passive=True),
        ]
        << [E_OK, E_OK]
        >> [queue(), queue(passive=True, durable=True)]
        << [queue_ok(), queue_ok()]
        >> exchange("nope", passive=True)
        << denied(404, "no exchange 'nope' in vhost '/'", Exchange.Declare)
        >> REOPEN
        << OPENED
        >> queue("nope", passive=True)
        << denied(404, "no queue 'nope' in vhost '/'", Queue.Declare)
        >> REOPEN
        << OPENED
        >> queue("", passive=True)
        << denied(404, "no queue '' in vhost '/'", Queue.Declare)
    )


@pytest.mark.parametrize(
    "line",
    [
        exchange(""),
        exchange("", passive=True),
        say(Exchange.Delete, exchange=""),
        bind(""),
        say(Queue.Unbind, exchange="", queue="q"),
        say(Exchange.Bind, destination="amq.topic", source=""),
        say(Exchange.Bind, destination="", source="amq.topic"),
        say(Exchange.Unbind, destination="amq.topic", source=""),
    ],
)
def test_the_default_exchange_is_left_alone(play: Playbook, line: Say) -> None:
    text = "operation not permitted on the default exchange"
    assert play >> queue() << queue_ok() >> line << denied(403, text, line.command)


def test_alternate_exchanges_are_strings(play: Playbook) -> None:
    text = "invalid type 'signedint' for arg 'alternate-exchange' in exchange 'e' in vhost '/'"
    line = exchange(arguments={"alternate-exchange": 5})
    assert play >> line << denied(406, text, Exchange.Declare)


# --- exchange.delete, bind, unbind


def test_deleting_exchanges(play: Playbook) -> None:
    delete = say(Exchange.Delete, exchange="e")
    assert (
        play
        >> [delete, exchange(), queue(), bind()]
        << [say(Exchange.DeleteOk), E_OK, queue_ok(), say(Queue.BindOk)]
        >> say(Exchange.Delete, exchange="e", if_unused=True)
        << denied(406, "exchange 'e' in vhost '/' in use", Exchange.Delete)
        >> REOPEN
        << OPENED
        >> [delete, exchange(), *publish(b"x", "", "e"), queue()]
        << [say(Exchange.DeleteOk), E_OK, queue_ok()]
        >> say(Exchange.Delete, exchange="amq.direct")
        << denied(403, "deletion of system exchange 'amq.direct' in vhost '/' not allowed", Exchange.Delete)
    )


def test_auto_delete_exchanges(play: Playbook) -> None:
    gone = denied(404, "no exchange 'e' in vhost '/'", Exchange.Declare)
    assert (
        play
        >> [exchange(auto_delete=True), queue(), bind(key="1"), bind(key="2")]
        << [E_OK, queue_ok(), say(Queue.BindOk), say(Queue.BindOk)]
        >> say(Queue.Unbind, exchange="e", queue="q", routing_key="1")
        << say(Queue.UnbindOk)
        >> exchange(passive=True)
        << E_OK
        >> say(Queue.Delete, queue="q")
        << say(Queue.DeleteOk)
        >> exchange(passive=True)
        << gone
    )


def test_auto_delete_goes_from_exchange_to_exchange(play: Playbook) -> None:
    assert (
        play
        >> [exchange("a", auto_delete=True), exchange("b", auto_delete=True)]
        << [E_OK, E_OK]
        >> [queue(), say(Exchange.Bind, source="a", destination="b"), bind("b")]
        << [queue_ok(), say(Exchange.BindOk), say(Queue.BindOk)]
        >> say(Queue.Delete, queue="q")
        << say(Queue.DeleteOk)
        >> exchange("a", passive=True)
        << denied(404, "no exchange 'a' in vhost '/'", Exchange.Declare)
    )


def test_exchanges_to_exchanges_in_circles(play: Playbook) -> None:
    bindings = [
        say(Exchange.Bind, source=source, destination=destination, routing_key="k")
        for source, destination in ("ab", "ba", "aa")
    ]
    assert (
        play
        >> [exchange("a"), exchange("b"), queue(), *bindings, bind("a", key="k"), bind("b", key="k")]
        << [E_OK, E_OK, queue_ok(), *[say(Exchange.BindOk)] * 3, say(Queue.BindOk), say(Queue.BindOk)]
        >> [*publish(b"x", "k", "a"), queue()]
        << queue_ok("q", 1)
    )


def test_binding_what_is_not_there(play: Playbook) -> None:
    cases: list[tuple[Say, str]] = [
        (bind("nopex", "nope"), "no exchange 'nopex' in vhost '/'"),
        (bind("amq.direct", "nope"), "no queue 'nope' in vhost '/'"),
        (say(Exchange.Bind, source="s", destination="d"), "no exchange 's' in vhost '/'"),
        (say(Exchange.Bind, source="amq.topic", destination="d"), "no exchange 'd' in vhost '/'"),
    ]
    for line, text in cases:
        play = play >> line << denied(404, text, line.command) >> REOPEN << OPENED
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
        >> [queue(), bind("amq.topic", key="k"), bind("amq.topic", key="k", arguments={"a": 1})]
        << [queue_ok(), say(Queue.BindOk), say(Queue.BindOk)]
        >> [say(Queue.Unbind, queue="q", exchange="amq.topic", routing_key="k", arguments={"a": 2})]
        << say(Queue.UnbindOk)
        >> [say(Queue.Unbind, queue="q", exchange="amq.topic", routing_key="k")]
        << say(Queue.UnbindOk)
        >> [*publish(b"x", "k", "amq.topic"), queue()]
        << queue_ok("q", 1)
        >> [say(Queue.Unbind, queue="q", exchange="amq.topic", routing_key="k", arguments={"a": 1})]
        << say(Queue.UnbindOk)
        >> [*publish(b"x", "k", "amq.topic"), queue()]
        << queue_ok("q", 1)
    )


def test_the_last_queue_is_name_and_key(play: Playbook) -> None:
    name = Kept("name", r"amq\.gen-[A-Za-z0-9_-]{22}")
    assert (
        play
        >> queue("", exclusive=True)
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
