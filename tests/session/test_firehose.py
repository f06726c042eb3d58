"""The firehose: amq.rabbitmq.trace gets copies of publishes and deliveries while tracing is on."""

from __future__ import annotations

from typing import Any

from pamqp.commands import Basic, Queue, Tx

from leveret.config import Settings
from leveret.session.peer import Peer
from leveret.settings import Server
from leveret.testing.playbook import ANY, Connect, Do, Line, Playbook, content, delivery, publish, say
from leveret.wire.tables import Field

SETTINGS = Settings(server=Server(node="rabbit@here"))


def tracing(on: bool = True) -> Do:
    def switch(stage: Any) -> None:
        stage.broker.vhosts["/"].tracing = on

    return Do("tracing", switch)


def declared(name: str, by: str = "a") -> Line:
    return say(Queue.DeclareOk, queue=name, message_count=0, consumer_count=0, by=by)


def traced(chunking: str) -> Playbook:
    """A play in which `t` consumes all traces, queue `q` exists, and tracing is on."""
    play = Playbook(SETTINGS, chunking, first=[Connect("a", channels=(1, 2)), Connect("t")])
    return (
        play
        >> [
            tracing(),
            say(Queue.Declare, queue="trace", by="t"),
            say(Queue.Bind, queue="trace", exchange="amq.rabbitmq.trace", routing_key="#", by="t"),
            say(Basic.Consume, queue="trace", consumer_tag="t", no_ack=True, by="t"),
            say(Queue.Declare, queue="q"),
        ]
        << [
            declared("trace", "t"),
            say(Queue.BindOk, by="t"),
            say(Basic.ConsumeOk, consumer_tag="t", by="t"),
            declared("q"),
        ]
    )


def given(
    tag: int, key: str, body: bytes, properties: dict[str, Any] | None = None, **headers: Any
) -> list[Any]:
    table = {
        "channel": 1,
        "connection": Peer().name,
        "exchange_name": "",
        "node": "rabbit@here",
        "properties": properties or {},
        "routing_keys": ["q"],
        "user": "guest",
        "vhost": "/",
    } | headers
    table = dict(sorted(table.items()))
    return delivery(body, tag, key, "amq.rabbitmq.trace", consumer="t", by="t", headers=table)


def published(
    tag: int, body: bytes, exchange: str = "", queues: tuple[str, ...] = ("q",), **more: Any
) -> Any:
    headers = {"exchange_name": exchange, "routed_queues": list(queues), **more}
    return given(tag, f"publish.{exchange}", body, **headers)


def delivered(tag: int, body: bytes, redelivered: int = 0, **more: Any) -> Any:
    return given(tag, "deliver.q", body, redelivered=redelivered, **more)


def test_a_publish_to_the_default_exchange_lists_the_keys_as_queues(chunking: str) -> None:
    play = traced(chunking) >> publish(b"1", "q") << published(1, b"1")
    play >> publish(b"2", "none") << published(2, b"2", queues=("none",), routing_keys=["none"])
    assert play


def test_a_publish_lists_the_queues_it_was_routed_to(chunking: str) -> None:
    play = traced(chunking) >> say(Queue.Bind, queue="q", exchange="amq.fanout") << say(Queue.BindOk)
    for tag in (1, 2):  # the route of the first is not remembered past the firehose
        play >> publish(b"1", "k", "amq.fanout") << published(tag, b"1", "amq.fanout", routing_keys=["k"])
    assert play


def test_properties_and_cc_are_in_the_trace(chunking: str) -> None:
    headers = {"BCC": ["a"], "CC": ["q", "r"]}
    play = traced(chunking) >> publish(b"1", "q", headers=headers, timestamp=5_000_000_000, message_id="m")
    assert play << published(
        1,
        b"1",
        queues=("a", "q", "r"),
        properties={"timestamp": 705032704, "message_id": "m", "headers": {"CC": ["q", "r"]}},
        routing_keys=["q", "q", "r", "a"],
    )


def test_empty_bodies_are_traced(chunking: str) -> None:
    assert traced(chunking) >> publish(b"", "q") << published(1, b"")


def test_large_bodies_are_traced_in_full(chunking: str) -> None:
    body = bytes(200_000)
    assert traced(chunking) >> publish(body, "q") << published(1, body)


def test_deliveries_are_traced_with_the_redelivered_flag(chunking: str) -> None:
    play = traced(chunking) >> say(Basic.Consume, queue="q", consumer_tag="c", channel=2)
    play << say(Basic.ConsumeOk, consumer_tag="c", channel=2)
    (
        play
        >> publish(b"1", "q")
        << [
            *delivery(b"1", 1, channel=2),
            *published(1, b"1"),
            *delivered(2, b"1", channel=2),
        ]
    )
    (
        play
        >> say(Basic.Nack, delivery_tag=1, requeue=True, channel=2)
        << [
            *delivery(b"1", 2, redelivered=True, channel=2),
            *delivered(3, b"1", 1, channel=2),
        ]
    )
    play >> say(Basic.Ack, delivery_tag=2, channel=2) << []
    assert (
        play
        >> publish(b"2", "q")
        << [
            *delivery(b"2", 3, channel=2),
            *published(4, b"2"),
            *delivered(5, b"2", channel=2),
        ]
    )


def test_get_ok_is_traced_and_get_empty_is_not(chunking: str) -> None:
    play = traced(chunking) >> publish(b"1", "q") << published(1, b"1")
    ok = say(Basic.GetOk, delivery_tag=1, routing_key="q", message_count=0)
    play >> say(Basic.Get, queue="q") << [ok, content(b"1"), *delivered(2, b"1")]
    assert play >> say(Basic.Get, queue="q") << say(Basic.GetEmpty)


def test_a_transaction_is_traced_when_it_is_published(chunking: str) -> None:
    play = traced(chunking) >> say(Tx.Select) << say(Tx.SelectOk)
    play >> publish(b"1", "q") << published(1, b"1")
    assert play >> say(Tx.Rollback) << say(Tx.RollbackOk)


def test_switching_tracing_applies_to_open_channels(chunking: str) -> None:
    play = traced(chunking) >> [
        tracing(False),
        say(Basic.Consume, queue="q", consumer_tag="c", no_ack=True),
    ]
    play << say(Basic.ConsumeOk, consumer_tag="c")
    play >> [*publish(b"1", "q"), *publish(b"2", "q")] << [*delivery(b"1", 1), *delivery(b"2", 2)]
    (
        play
        >> [tracing(), *publish(b"3", "q")]
        << [
            *delivery(b"3", 3),
            *published(1, b"3"),
            *delivered(2, b"3"),
        ]
    )
    assert play >> [tracing(False), *publish(b"4", "q")] << delivery(b"4", 4)


def test_traces_are_not_traced(chunking: str) -> None:
    """Neither the deliveries to `t`, nor dead letters of traces, although these have another exchange."""
    arguments = {"x-max-length": Field("I", 0), "x-dead-letter-exchange": Field("S", b"amq.fanout")}
    play = traced(chunking) >> [
        say(Queue.Declare, queue="full", arguments=arguments),
        say(Queue.Bind, queue="full", exchange="amq.rabbitmq.trace", routing_key="publish.#"),
        say(Queue.Declare, queue="dead"),
        say(Queue.Bind, queue="dead", exchange="amq.fanout"),
        say(Basic.Consume, queue="dead", consumer_tag="c", no_ack=True),
    ]
    play << [
        declared("full"), say(Queue.BindOk), declared("dead"), say(Queue.BindOk),
        say(Basic.ConsumeOk, consumer_tag="c"),
    ]  # fmt: skip
    headers = {"headers": ANY}
    assert (
        play
        >> publish(b"1", "q")
        << [
            *delivery(b"1", 1, "publish.", "amq.fanout", **headers),
            *published(1, b"1"),
        ]
    )


def test_dead_letters_are_traced_only_when_delivered(chunking: str) -> None:
    arguments = {"x-max-length": Field("I", 0), "x-dead-letter-exchange": Field("S", b"amq.fanout")}
    play = traced(chunking) >> [
        say(Queue.Declare, queue="full", arguments=arguments),
        say(Queue.Bind, queue="q", exchange="amq.fanout"),
    ]
    play << [declared("full"), say(Queue.BindOk)]
    more = {"queues": ("full",), "routing_keys": ["full"]}
    assert play >> publish(b"1", "full") << published(1, b"1", **more)
