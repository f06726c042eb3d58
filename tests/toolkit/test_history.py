"""The history: what was published, what became of it, and how assertions fail."""

from __future__ import annotations

import json
from pathlib import Path

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from leveret.testing import Broker

from .conftest import connect


@pytest.fixture
def orders(channel: BlockingChannel) -> BlockingChannel:
    """A channel on a broker with exchange `orders` and queue `jobs`."""
    channel.exchange_declare("orders", "topic")
    channel.queue_declare("jobs", durable=True)
    channel.queue_bind("jobs", "orders", "eu.new.*")
    return channel


def test_a_published_message_is_known_with_all_it_has(broker: Broker, orders: BlockingChannel) -> None:
    properties = pika.BasicProperties(headers={"n": 1, "who": "ü"}, content_type="text/plain", priority=3)
    orders.basic_publish("orders", "eu.new.1", b"hello", properties)
    message = broker.published("orders").one()
    assert (message.exchange, message.routing_key, message.body) == ("orders", "eu.new.1", b"hello")
    assert message.headers == {"n": 1, "who": "ü"}
    assert message.properties.content_type == "text/plain" and message.properties.priority == 3
    assert message.connection == "worker" and message.user == "guest" and message.queues == ["jobs"]
    assert message.outcome() == message.outcome("jobs") == "ready"
    assert message.at.tzinfo is not None and message.confirmed is None


def test_filters_are_globs_bodies_and_headers(broker: Broker, orders: BlockingChannel) -> None:
    orders.basic_publish("orders", "eu.new.1", b'{"id": 1}')
    orders.basic_publish("orders", "eu.new.2", b'{"id": 2}', pika.BasicProperties(headers={"a": 1}))
    orders.basic_publish("", "jobs", b"x")
    assert len(broker.published()) == 3
    assert broker.published("ord*", "eu.new.*").bodies == [b'{"id": 1}', b'{"id": 2}']
    assert broker.published("").one().body == b"x"
    assert broker.published(body={"id": 2}).one().routing_key == "eu.new.2"
    assert broker.published(headers={"a": 1}).one().json() == {"id": 2}
    assert broker.published(queue="job*").last.body == b"x"
    assert len(broker.published(connection="work*", where=lambda message: message.id > 1)) == 2
    assert broker.published(connection="other") == []


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_outcomes_follow_the_life_of_a_message(broker: Broker, channel: BlockingChannel, kind: str) -> None:
    channel.queue_declare("q", durable=True, arguments={"x-queue-type": kind})

    def publish(body: bytes) -> None:
        channel.basic_publish("", "q", body)

    def outcome(body: bytes) -> str:
        return broker.published(body=body).one().outcome()

    publish(b"acked")
    assert outcome(b"acked") == "ready"
    tag = channel.basic_get("q")[0].delivery_tag
    assert outcome(b"acked") == "unacked"
    channel.basic_ack(tag)
    assert outcome(b"acked") == "acked"
    publish(b"rejected")
    channel.basic_reject(channel.basic_get("q")[0].delivery_tag, requeue=False)
    assert outcome(b"rejected") == "rejected"
    publish(b"automatic")
    channel.basic_get("q", auto_ack=True)
    assert outcome(b"automatic") == "acked"
    publish(b"back")
    channel.basic_nack(channel.basic_get("q")[0].delivery_tag, requeue=True)
    assert outcome(b"back") == "requeued"
    channel.queue_purge("q")
    assert outcome(b"back") == "purged"
    publish(b"deleted")
    channel.queue_delete("q")
    assert outcome(b"deleted") == "purged"


def test_a_consumer_that_acknowledges_automatically_settles_at_once(
    broker: Broker, channel: BlockingChannel
) -> None:
    channel.queue_declare("q")
    channel.basic_consume("q", lambda *_: None, auto_ack=True, consumer_tag="c")
    channel.basic_publish("", "q", b"x")
    message = broker.published().one()
    assert message.outcome() == "acked"
    assert [event.kind for event in message.events] == ["published", "queued", "delivered"]
    assert message.events[-1].consumer == "c" and message.events[-1].tag == 1


def test_an_unroutable_message_names_what_would_have_taken_it(
    broker: Broker, orders: BlockingChannel
) -> None:
    orders.basic_publish("orders", "eu.nwe.1", b"x")
    message = broker.unroutable().one()
    assert message.outcome() == "unroutable" and message.nearest is not None
    assert message.nearest.destination == "jobs" and message.nearest.binding == "eu.new.*"
    assert "has 'nwe' in word 2" in message.nearest.why
    orders.basic_publish("orders", "us", b"y", mandatory=True)
    assert broker.returned().one().body == b"y"


@pytest.mark.parametrize(
    ("exchange", "key", "headers", "why"),
    [
        ("direct", "order.creatd", None, "key 'order.created', not 'order.creatd'"),
        ("empty", "order.created", None, "exchange 'empty' has no binding; queue 'q' is bound to exchange"),
        ("lonely", "zzz", None, "exchange 'lonely' has no binding"),
        ("heads", "", {"a": 2}, "x-match=all: header 'b' is missing, headers differ in 'a'"),
        ("", "Q", None, "there is no queue 'Q', but 'q'"),
        ("", "elsewhere", None, "queue 'elsewhere' is in vhost 'other', not in '/'"),
        ("topic", "a.b.c.d", None, "pattern 'a.*': it has 2 words, the key 'a.b.c.d' has 4"),
    ],
)
def test_near_misses(
    broker: Broker,
    channel: BlockingChannel,
    exchange: str,
    key: str,
    headers: dict[str, int] | None,
    why: str,
) -> None:
    broker.vhost("other").declare({"queues": [{"name": "elsewhere"}]})
    kinds = {"direct": "direct", "empty": "direct", "lonely": "fanout", "heads": "headers", "topic": "topic"}
    broker.declare(
        {
            "queues": [{"name": "q"}],
            "exchanges": [{"name": name, "type": kind} for name, kind in kinds.items()],
            "bindings": [
                {"source": "direct", "destination": "q", "routing_key": "order.created"},
                {"source": "topic", "destination": "q", "routing_key": "a.*"},
                {"source": "heads", "destination": "q", "arguments": {"a": 1, "b": 1, "x-match": "all"}},
            ],
        }
    )
    channel.basic_publish(exchange, key, b"x", pika.BasicProperties(headers=headers))
    nearest = broker.unroutable().one().nearest
    assert nearest is not None and why in str(nearest)


def test_dead_lettered_copies_and_their_origin_know_each_other(
    broker: Broker, channel: BlockingChannel
) -> None:
    broker.declare(
        {
            "queues": [
                {
                    "name": "wait",
                    "arguments": {
                        "x-message-ttl": 1,
                        "x-dead-letter-exchange": "",
                        "x-dead-letter-routing-key": "q",
                    },
                },
                {"name": "q"},
            ]
        }
    )
    channel.basic_publish("", "wait", b"x")
    broker.wait_for_messages("q")
    message = broker.published().one()
    assert message.outcome() == "dead-lettered"
    (copy,) = message.copies
    assert copy.origin is message and copy.queues == ["q"] and copy.outcome() == "ready"
    assert broker.dead_lettered("wait", "expired").one().id == message.id
    assert broker.dead_lettered("wait", "rejected") == []
    assert "queue 'wait': dead-lettered (expired)" in message.story()


def test_what_expires_without_a_dead_letter_exchange_leaves_a_trace(
    broker: Broker, channel: BlockingChannel
) -> None:
    channel.queue_declare("q", arguments={"x-message-ttl": 1, "x-max-length": 1})
    channel.basic_publish("", "q", b"x")
    broker.wait_until(lambda: broker.published().one().outcome() == "expired")


def test_confirms_are_known(broker: Broker, channel: BlockingChannel) -> None:
    channel.queue_declare("q", arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    channel.confirm_delivery()
    channel.basic_publish("", "q", b"1")
    with pytest.raises(pika.exceptions.NackError):
        channel.basic_publish("", "q", b"2")
    assert [message.confirmed for message in broker.published()] == ["ack", "nack"]
    assert broker.published().last.outcome() == "rejected"


def test_a_message_in_a_stream_is_kept(broker: Broker, channel: BlockingChannel) -> None:
    channel.queue_declare("s", durable=True, arguments={"x-queue-type": "stream"})
    channel.basic_publish("", "s", b"x")
    message = broker.published().one()
    assert message.outcome() == "kept"


def test_what_transactions_publish_is_known_when_they_are_committed(
    broker: Broker, channel: BlockingChannel
) -> None:
    channel.queue_declare("q")
    channel.tx_select()
    channel.basic_publish("", "q", b"x")
    assert broker.published() == []
    channel.tx_commit()
    assert broker.published().one().outcome() == "ready"


def test_a_delayed_message_is_one_message(broker: Broker, channel: BlockingChannel) -> None:
    broker.clock.freeze()
    channel.exchange_declare("later", "x-delayed-message", arguments={"x-delayed-type": "fanout"})
    channel.queue_declare("q")
    channel.queue_bind("q", "later")
    channel.basic_publish("later", "", b"x", pika.BasicProperties(headers={"x-delay": 20}))
    assert broker.published().one().outcome() == "delayed"
    broker.clock.advance(0.02)
    assert broker.published().one().outcome() == "ready"


def test_a_delayed_message_is_returned_at_once_and_may_be_unroutable_when_it_is_due(
    channel: BlockingChannel, broker: Broker
) -> None:
    broker.clock.freeze()
    channel.exchange_declare("later", "x-delayed-message", arguments={"x-delayed-type": "direct"})
    channel.basic_publish("later", "k", b"x", pika.BasicProperties(headers={"x-delay": 20}), mandatory=True)
    message = broker.returned().one()
    assert message.outcome() == "delayed" and broker.unroutable() == []
    broker.clock.advance(0.02)
    message = broker.unroutable().one()
    assert message.outcome() == "unroutable" and broker.returned().one().id == message.id
    assert "delayed (20 ms by exchange 'later'; returned)" in message.story()


def test_events_are_in_order_and_can_be_filtered(broker: Broker, orders: BlockingChannel) -> None:
    orders.basic_publish("orders", "eu.new.1", b"x")
    kinds = [event.kind for event in broker.history.events()]
    assert kinds.index("connection-opened") < kinds.index("queue-created") < kinds.index("published")
    assert [event.kind for event in broker.history.events(queue="jobs", kind="q*")] == [
        "queue-created",
        "queued",
    ]
    with pytest.raises(ValueError, match="no time zone"):
        broker.history.events(since=broker.published().one().at.replace(tzinfo=None))
    assert broker.history.events("published", since=broker.published().one().at)
    with pytest.raises(pika.exceptions.ChannelClosedByBroker):
        orders.queue_declare("jobs", passive=False, durable=False)
    (error,) = broker.history.events("channel-error")
    assert error.reason is not None and error.reason.startswith("406 PRECONDITION_FAILED")


def test_clear_and_pause(broker: Broker, orders: BlockingChannel) -> None:
    orders.basic_publish("orders", "eu.new.1", b"1")
    broker.history.clear()
    with broker.history.pause():
        orders.basic_publish("orders", "eu.new.1", b"2")
        assert broker.messages("jobs")[1].body == b"2"
    orders.basic_publish("orders", "eu.new.1", b"3")
    assert broker.published().bodies == [b"3"]


def test_saved_history_is_json_lines(broker: Broker, orders: BlockingChannel, tmp_path: Path) -> None:
    orders.basic_publish("orders", "eu.new.1", b"\xff")
    broker.history.save(tmp_path / "history.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert lines[0]["body"] == {"base64": "/w=="} and lines[0]["queues"] == ["jobs"]
    assert {line["kind"] for line in lines[1:]} >= {"connection-opened", "queue-created"}


def test_a_view_sees_its_virtual_host_alone(broker: Broker, orders: BlockingChannel) -> None:
    orders.basic_publish("orders", "eu.new.1", b"x")
    with broker.vhost() as view, connect(view) as connection:
        channel = connection.channel()
        channel.queue_declare("jobs")
        channel.basic_publish("", "jobs", b"y")
        assert view.published().bodies == [b"y"]
        assert list(view.queues) == ["jobs"] and len(view.connections) == 1
        assert len(broker.published()) == 2 and len(broker.connections) == 2


# --- assertions


def test_a_failed_assertion_shows_the_nearest_messages(broker: Broker, orders: BlockingChannel) -> None:
    orders.basic_publish("orders", "eu.nwe.1", b'{"id": 7}')
    orders.basic_publish("orders", "eu.new.1", b'{"id": 8}')
    with pytest.raises(AssertionError) as caught:
        broker.assert_published("orders", "eu.new.*", body={"id": 7})
    text = str(caught.value)
    assert text.startswith("wanted at least one, found 0: messages to exchange 'orders' with key 'eu.new.*'")
    assert "body is b'{\"id\": 8}', not {'id': 7}" in text
    assert "routing key is 'eu.nwe.1', not 'eu.new.*'" in text
    assert "routed to queue 'jobs'" in text and "has 'nwe' in word 2" in text


def test_a_wrong_exchange_is_named(broker: Broker, orders: BlockingChannel) -> None:
    with pytest.raises(AssertionError, match="there is no exchange 'ordres', but 'orders'"):
        broker.assert_published("ordres")


def test_the_error_that_a_client_got_is_part_of_the_text(broker: Broker, orders: BlockingChannel) -> None:
    with pytest.raises(pika.exceptions.ChannelClosedByBroker):
        orders.basic_publish("no-such", "k", b"x")
        orders.queue_declare("z")
    with pytest.raises(AssertionError, match="channel 1 of connection 'worker' was closed: 404 NOT_FOUND"):
        broker.assert_published("no-such")


def test_assertions_that_hold_return_the_messages(broker: Broker, orders: BlockingChannel) -> None:
    orders.basic_publish("orders", "eu.new.1", b"x")
    assert broker.assert_published("orders", count=1).bodies == [b"x"]
    broker.assert_not_published("other")
    broker.assert_queue("jobs", ready=1, unacked=0, consumers=0)
    with pytest.raises(AssertionError, match=r"1 of 1 messages to exchange 'orders' are not acked:"):
        broker.assert_acked("orders")
    orders.basic_get("jobs", auto_ack=True)
    broker.assert_acked("orders")


def test_counts_that_differ_are_named(broker: Broker, orders: BlockingChannel) -> None:
    orders.basic_publish("orders", "eu.new.1", b"x")
    with pytest.raises(AssertionError, match=r"queue 'jobs' has 1 ready, wanted 2; 0 consumers, wanted 1"):
        broker.assert_queue("jobs", ready=2, consumers=1)
    with pytest.raises(AssertionError, match="queue 'job' does not exist in vhost '/'; there is 'jobs'"):
        broker.assert_queue("job", ready=0)
    with pytest.raises(AssertionError, match="wanted none, found 1: messages to exchange 'orders'"):
        broker.assert_not_published("orders")
    with pytest.raises(AssertionError, match="wanted 2, found 1"):
        broker.published().assert_count(2)
    with pytest.raises(TypeError, match="routing_key is a shell glob"):
        broker.published("orders", 5)  # type: ignore[arg-type]


def test_a_broker_without_history_says_so() -> None:
    with (
        Broker(history=False) as broker,
        pytest.raises(Exception, match=r"made with Broker\(history=False\)"),
    ):
        broker.published()
