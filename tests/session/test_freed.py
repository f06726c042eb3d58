"""What is deleted or closed is freed without the garbage collector, which would hold the loop after thousands."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest
from pamqp.commands import Basic, Channel, Confirm, Connection, Exchange, Queue, Tx

from leveret.config import Settings
from leveret.engine import vhost as vhost_module
from leveret.engine.vhost import VirtualHost
from leveret.queues.consumers import Consumer
from leveret.queues.context import VhostContext
from leveret.queues.queue import Queue as AnyQueue
from leveret.routing.exchanges import Exchange as AnyExchange
from leveret.session.channel import Channel as AnyChannel
from leveret.session.connection import Connection as AnyConnection
from leveret.testing.playbook import Connect, Line, Stage, publish, say
from leveret.wire.tables import Field

KINDS = (AnyQueue, AnyExchange, AnyChannel, AnyConnection, Consumer, VirtualHost, VhostContext)


@pytest.fixture(autouse=True)
def uncollected() -> Iterator[None]:
    """The collector does not run."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def stage() -> Stage:
    return Stage(Settings(), lambda data: (data,))


def living() -> list[str]:
    """Return the names of the classes of all objects that are to be freed."""
    return sorted(type(one).__name__ for one in gc.get_objects() if isinstance(one, KINDS))


def forget_deleted(stage: Stage) -> None:
    """Have the counts of exchanges forget deleted queues, as they do when these are many (`PublishTally.add`)."""
    for exchange in stage.broker.vhosts["/"].exchanges.values():
        if exchange.tally is not None:
            exchange.tally.queues = {
                one: count for one, count in exchange.tally.queues.items() if not one.gone
            }
    stage.said.clear()


def table(**arguments: Any) -> dict[str, Field]:
    return {
        "x-" + name.replace("_", "-"): Field("S", value.encode())
        if isinstance(value, str)
        else Field("l", value)
        for name, value in arguments.items()
    }


def queue(name: str = "q", **arguments: Any) -> Line:
    return say(Queue.Declare, queue=name, durable=True, arguments=table(**arguments))


def delete(name: str = "q") -> Line:
    return say(Queue.Delete, queue=name)


CONSUMED: list[Line] = [say(Basic.Qos, prefetch_count=10), say(Basic.Consume, queue="q", consumer_tag="c")]
GOT = say(Basic.Get, queue="q")
REJECTED = say(Basic.Reject, delivery_tag=1, requeue=True)
CLOSE = say(Connection.Close, channel=0, reply_code=200, reply_text="", class_id=0, method_id=0)
CLOSED = say(Channel.Close, reply_code=200, reply_text="", class_id=0, method_id=0)
MESSAGES = [line for body in (b"1", b"2", b"3") for line in publish(body, "q")]
LEAST_ONCE = {
    "queue_type": "quorum",
    "dead_letter_exchange": "nowhere",
    "dead_letter_strategy": "at-least-once",
    "overflow": "reject-publish",
}

PLAYS: dict[str, list[Line]] = {
    "classic": [queue(), *MESSAGES, delete()],
    "classic that expires": [queue(message_ttl=1000, expires=5000, max_priority=3), *MESSAGES, delete()],
    "classic with deliveries": [queue(), *MESSAGES, *CONSUMED, REJECTED, delete()],
    "classic with a basic.get": [queue(), *MESSAGES, GOT, delete()],
    "exclusive": [say(Queue.Declare, queue="q", exclusive=True), *MESSAGES, *CONSUMED],
    "auto-delete": [say(Queue.Declare, queue="q", auto_delete=True), *CONSUMED],
    "quorum": [queue(queue_type="quorum"), *MESSAGES, delete()],
    "quorum with timeouts": [
        queue(queue_type="quorum", consumer_timeout=10_000),
        *MESSAGES,
        *CONSUMED,
        delete(),
    ],
    "quorum with a basic.get": [queue(queue_type="quorum"), *MESSAGES, GOT, delete()],
    "quorum with a cancelled consumer": [
        queue(queue_type="quorum"),
        *MESSAGES,
        *CONSUMED,
        say(Basic.Cancel, consumer_tag="c"),
        delete(),
    ],
    "quorum with delayed retries": [
        queue(queue_type="quorum", delayed_retry_type="all", delayed_retry_min=1000, delayed_retry_max=1000),
        *MESSAGES,
        *CONSUMED,
        REJECTED,
        delete(),
    ],
    "quorum with dead letters": [
        queue(**LEAST_ONCE),
        *MESSAGES,
        *CONSUMED,
        say(Basic.Nack, delivery_tag=0, multiple=True, requeue=False),
        delete(),
    ],
    "stream": [queue(queue_type="stream"), *MESSAGES, *CONSUMED, delete()],
    "exchanges": [
        queue(),
        *(
            say(Exchange.Declare, exchange=kind, exchange_type=kind)
            for kind in ("topic", "headers", "fanout")
        ),
        say(Queue.Bind, queue="q", exchange="topic", routing_key="a.#.*"),
        say(Queue.Bind, queue="q", exchange="headers", arguments={"a": 1}),
        say(Exchange.Bind, destination="topic", source="fanout"),
        *publish(b"x", "a.b", "fanout"),
        *(say(Exchange.Delete, exchange=kind) for kind in ("fanout", "topic", "headers")),
        delete(),
    ],
    "channel": [queue(), say(Confirm.Select), *MESSAGES, *CONSUMED, CLOSED, say(Channel.Open), delete()],
    "channel with an error": [say(Queue.Declare, queue="none", passive=True), say(Channel.CloseOk)],
    "transaction": [queue(), say(Tx.Select), *MESSAGES, GOT, say(Tx.Commit), delete()],
    "direct replies": [
        say(Basic.Consume, queue="amq.rabbitmq.reply-to", no_ack=True),
        *publish(b"x", "q", reply_to="amq.rabbitmq.reply-to"),
    ],
}


@pytest.mark.parametrize("name", PLAYS)
def test_what_a_client_has_deleted_is_freed(stage: Stage, name: str) -> None:
    before = living()
    for _ in range(2):
        stage.connect(Connect("a", channels=(1,)))
        stage.play(PLAYS[name])
        stage.hang_up("a")
    forget_deleted(stage)
    assert living() == before


@pytest.mark.parametrize(
    "said", [[], [CLOSE], [say(Basic.Ack, delivery_tag=99)]], ids=["lost", "closed", "refused"]
)
def test_a_closed_connection_is_freed(stage: Stage, said: list[Line]) -> None:
    before = living()
    stage.connect(Connect("a", channels=(1, 2, 3), heartbeat=10))
    stage.play([queue(), *CONSUMED, *MESSAGES, *said])
    stage.hang_up("a")
    stage.said.clear()
    vhost = stage.broker.vhosts["/"]
    vhost.delete_queue(vhost.queues["q"])
    forget_deleted(stage)
    assert living() == before


def test_a_deleted_virtual_host_is_freed_with_what_is_in_it(stage: Stage) -> None:
    before = living()
    stage.broker.add_vhost("v")
    stage.broker.access.set_permissions("guest", "v", ".*", ".*", ".*")
    stage.connect(Connect("a", vhost="v"))
    stage.play([queue(), *MESSAGES, *CONSUMED, queue("k", queue_type="quorum")])
    stage.broker.delete_vhost("v")
    stage.listen()
    stage.hang_up("a")
    stage.said.clear()
    assert living() == before


def test_counts_of_open_channels_keep_no_deleted_queues(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that do nothing any more, too."""
    monkeypatch.setattr(vhost_module, "FORGOTTEN_TOGETHER", 20)
    stage.connect(Connect("a", channels=(1,)))
    before = living()
    for number in range(20):
        stage.play(
            [
                say(Queue.Declare, queue=f"q{number}"),
                *publish(b"x", f"q{number}"),
                say(Basic.Get, queue=f"q{number}", no_ack=True),
            ]
        )
    vhost = stage.broker.vhosts["/"]
    (channel,) = (channel for connection in vhost.connections for channel in connection.channels.values())
    exchange = vhost.exchanges[""]
    assert exchange.tally is not None
    exchange.tally.fold()
    assert len(exchange.tally.queues) == len(channel.delivery_tallies) == 20
    for number in range(20):
        stage.play([say(Queue.Delete, queue=f"q{number}")])
    stage.said.clear()
    assert living().count("Queue") <= before.count("Queue") + 1, "of the route that the channel remembers"
    assert not exchange.tally.queues and not channel.delivery_tallies
    total = vhost.context.delivery_total("classic").sum()
    assert total.got_no_ack == 20 and exchange.tally.publishes() == 20, "what was counted stays in the totals"
    assert channel.ended_tally is not None and channel.ended_tally.got_no_ack == 20


def test_counts_of_open_channels_keep_no_deleted_exchanges(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vhost_module, "FORGOTTEN_TOGETHER", 10)
    stage.connect(Connect("a", channels=(1,)))
    before = living()
    names = [f"e{number}" for number in range(10)]
    for name in names:
        stage.play([say(Exchange.Declare, exchange=name, exchange_type="fanout"), *publish(b"x", "k", name)])
    vhost = stage.broker.vhosts["/"]
    (channel,) = (channel for connection in vhost.connections for channel in connection.channels.values())
    assert len(channel.publish_tallies) == 10
    stage.play([say(Exchange.Delete, exchange=name) for name in names])
    stage.said.clear()
    assert not channel.publish_tallies
    assert channel.ended_publishes is not None and channel.ended_publishes.publishes() == 10
    assert living().count("Fanout") <= before.count("Fanout") + 1, "the channel remembers its last one"
