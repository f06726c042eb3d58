"""The event exchange: which events are published, when, and that none is built without a binding."""

from __future__ import annotations

from typing import Any

import pytest
from pamqp.commands import Basic, Channel, Queue

from leveret.clock import VirtualClock
from leveret.config import Settings
from leveret.engine import startup
from leveret.engine.actor import Actor
from leveret.engine.broker import Broker
from leveret.engine.events import EventExchange, _address
from leveret.engine.names import EVENT_EXCHANGE
from leveret.settings import Plugins
from leveret.testing.playbook import ANY, Advance, Connect, Playbook, delivery, say
from leveret.wire.properties import decode_properties

ON = Settings(plugins=Plugins(event_exchange=True))


class EventHarness:
    """A broker with its event exchange, and a queue `events` bound to it."""

    def __init__(self, key: str = "#", settings: Settings = ON) -> None:
        self.clock = VirtualClock()
        self.broker = Broker(settings, self.clock)
        self.clock.agenda = self.broker.message_time
        startup.seed(self.broker)
        self.vhost = self.broker.vhosts["/"]
        self.queue = self.declare("events")
        self.vhost.bind(self.vhost.exchanges[EVENT_EXCHANGE], self.queue, key, {})
        self.received()

    def declare(self, name: str, **more: Any) -> Any:
        given = {
            "durable": True,
            "auto_delete": False,
            "owner": None,
            "arguments": {},
            "user": "guest",
            **more,
        }
        return self.vhost.declare_queue(name, **given)

    def received(self) -> list[tuple[str, dict[str, Any]]]:
        """Return routing keys and headers of the events so far."""
        self.clock.advance(0)
        given = []
        while (entry := self.queue.get(True)) is not None:
            headers = decode_properties(entry.message.header).headers or {}
            given.append((entry.message.routing_key.decode(), {name: f.value for name, f in headers.items()}))
        return given

    def names(self) -> list[str]:
        return [name for name, _ in self.received()]


def test_without_the_plugin_there_is_no_event_exchange() -> None:
    broker = Broker()
    startup.seed(broker)
    assert EVENT_EXCHANGE not in broker.vhosts["/"].exchanges
    assert not any(isinstance(one, EventExchange) for one in broker.observers.all)


def test_the_event_exchange_is_durable_and_internal() -> None:
    exchange = EventHarness().vhost.exchanges[EVENT_EXCHANGE]
    assert (exchange.type, exchange.durable, exchange.internal) == ("topic", True, True)


def test_the_event_exchange_can_be_in_a_vhost_that_is_added_later() -> None:
    broker = Broker(Settings(plugins=Plugins(event_exchange=True, event_exchange_vhost="v")))
    startup.seed(broker)
    assert EVENT_EXCHANGE not in broker.vhosts["/"].exchanges
    assert EVENT_EXCHANGE in broker.add_vhost("v").exchanges


def test_turning_the_plugin_off_deletes_the_exchange_and_its_bindings() -> None:
    harness = EventHarness()
    harness.broker.settings = Settings()
    startup.plug_in(harness.broker)
    assert EVENT_EXCHANGE not in harness.vhost.exchanges
    assert harness.vhost.bindings_to(harness.queue) == []


def test_an_event_is_an_empty_persistent_message_with_headers() -> None:
    harness = EventHarness("queue.*")
    harness.declare("q")
    harness.clock.advance(0)
    entry = harness.queue.get(True)
    properties = decode_properties(entry.message.header)
    assert entry.message.body == b"" and entry.message.persistent
    assert properties.delivery_mode == 2 and properties.timestamp == harness.clock.now // 1000
    assert properties.headers is not None
    assert list(properties.headers) == sorted(properties.headers)
    assert properties.headers["timestamp_in_ms"].kind == "l"


def test_events_are_published_in_order_after_their_changes() -> None:
    harness = EventHarness()
    queue = harness.declare("q")
    harness.vhost.bind(harness.vhost.exchanges["amq.fanout"], queue, "", {})
    assert harness.queue.ready == 0
    harness.vhost.delete_queue(queue)
    assert harness.names() == ["queue.created", "binding.created", "binding.deleted", "queue.deleted"]


def test_events_name_the_actor() -> None:
    harness = EventHarness("queue.*")
    queue = harness.declare("q", actor=Actor("ann"))
    harness.vhost._remove(queue, "auto-delete")
    assert [given["user_who_performed_action"] for _, given in harness.received()] == [
        b"ann",
        b"rmq-internal",
    ]


def test_the_queue_that_gets_the_events_may_be_deleted() -> None:
    harness = EventHarness()
    harness.vhost.delete_queue(harness.queue)
    harness.clock.advance(0)
    assert harness.queue.ready == 0


def test_without_bindings_no_event_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    harness = EventHarness()
    harness.vhost.delete_queue(harness.queue)
    harness.clock.advance(0)
    monkeypatch.setattr(EventExchange, "_add", lambda *_: pytest.fail("described"))
    harness.declare("q")
    harness.broker.set_alarm("memory")


def test_alarms_and_virtual_hosts_have_events() -> None:
    harness = EventHarness()
    harness.broker.set_alarm("memory")
    harness.broker.clear_alarm("memory")
    assert [(name, given["source"]) for name, given in harness.received()] == [
        ("alarm.set", b"memory"),
        ("alarm.cleared", b"memory"),
    ]
    harness.broker.add_vhost("v", "what it is for", ("a", "b"))
    given = harness.received()
    assert [name for name, _ in given] == ["exchange.created"] * 7 + ["vhost.created"]
    assert given[-1][1]["metadata"] == (
        b'#{description => <<"what it is for">>,tags => [a,b],default_queue_type => <<"classic">>}'
    )
    harness.broker.delete_vhost("v")
    assert harness.names() == ["exchange.deleted"] * 7 + ["vhost.deleted", "vhost.down"]


def test_connections_channels_and_consumers_have_events(chunking: str) -> None:
    """Client `t` gets the events of client `b`. The event of a closed channel has its number of consumers."""
    play = Playbook(ON, chunking, first=[Connect("t")])
    (
        play
        >> [
            say(Queue.Declare, queue="events", by="t"),
            *(
                say(Queue.Bind, queue="events", exchange=EVENT_EXCHANGE, routing_key=key, by="t")
                for key in ("connection.*", "channel.*", "user.#", "consumer.*")
            ),
            say(Basic.Consume, queue="events", consumer_tag="t", no_ack=True, by="t"),
        ]
        << [
            say(Queue.DeclareOk, queue="events", message_count=0, consumer_count=0, by="t"),
            *[say(Queue.BindOk, by="t")] * 4,
            say(Basic.ConsumeOk, consumer_tag="t", by="t"),
        ]
    )

    def given(tag: int, key: str) -> list[Any]:
        properties = {"headers": ANY, "delivery_mode": 2, "timestamp": ANY}
        return delivery(b"", tag, key, EVENT_EXCHANGE, consumer="t", by="t", **properties)

    play >> Advance(0) << given(1, "consumer.created")
    (
        play
        >> [Connect("b"), Advance(0)]
        << [
            *given(2, "user.authentication.success"),
            *given(3, "connection.created"),
            *given(4, "channel.created"),
        ]
    )
    play >> [say(Channel.Close, reply_code=200, by="b"), Advance(0)] << [say(Channel.CloseOk, by="b")]
    assert play >> Advance(0) << given(5, "channel.closed")


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("127.0.0.1", "{127,0,0,1}"),
        ("::1", "{0,0,0,0,0,0,0,1}"),
        ("2001:db8::ff00:42:8329", "{8193,3512,0,0,0,65280,66,33577}"),
        ("1:2:3:4:5:6:7:8", "{1,2,3,4,5,6,7,8}"),
    ],
)
def test_addresses_are_shown_as_erlang_tuples(host: str, shown: str) -> None:
    assert _address(host) == shown
