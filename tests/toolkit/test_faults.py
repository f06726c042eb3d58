"""Faults of the network, at methods, confirms and deliveries, with real clients."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import aio_pika
import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import (
    AMQPError,
    ChannelClosedByBroker,
    ConnectionClosedByBroker,
    NackError,
    StreamLostError,
)

from leveret.testing import Broker, WaitTimeout
from tests.toolkit.clients import RESET_WHILE_CONNECTING, ack, connect, consumer


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker(clock="frozen") as broker:
        yield broker


@pytest.fixture
def channel(broker: Broker) -> Iterator[BlockingChannel]:
    """A channel with the queue `jobs`."""
    connection = connect(broker)
    channel = connection.channel()
    channel.queue_declare("jobs", durable=True)
    yield channel
    if connection.is_open:
        connection.close()


def ready(broker: Broker, queue: str = "jobs") -> int:
    found: int = broker._node.call(lambda: broker._node.engine.vhosts["/"].queues[queue].ready)
    return found


def bodies(channel: BlockingChannel, queue: str = "jobs") -> list[bytes]:
    found = []
    while (got := channel.basic_get(queue, auto_ack=True))[0] is not None:
        found.append(got[2])
    return found


def read_until_the_end(channel: BlockingChannel) -> None:
    """Read until the connection ends, which raises an exception."""
    while True:
        channel.connection.process_data_events(0.01)


# --- methods


@pytest.mark.parametrize("verb", ["drop", "reset"])
@pytest.mark.parametrize(("when", "left"), [("before", 2), ("after", 3)])
def test_the_third_publish_ends_the_connection(
    broker: Broker, channel: BlockingChannel, verb: str, when: str, left: int
) -> None:
    channel.confirm_delivery()
    fault = getattr(broker.faults.on("basic.publish", nth=3, queue="jobs"), verb)(when=when)
    for _ in range(2):
        channel.basic_publish("", "jobs", b"")
    with pytest.raises(StreamLostError):
        channel.basic_publish("", "jobs", b"")
    assert fault.hits == 1 and not fault.armed
    fault.assert_hit(1)
    assert ready(broker) == left


def test_what_comes_behind_a_reset_has_no_effect(broker: Broker, channel: BlockingChannel) -> None:
    broker.faults.on("basic.publish", nth=3).reset()
    with pytest.raises(AMQPError):
        for number in range(100):
            channel.basic_publish("", "jobs", str(number).encode())
        channel.connection.process_data_events(1)
    with connect(broker) as connection:
        assert bodies(connection.channel()) == [b"0", b"1"]


@pytest.mark.parametrize(("when", "declared"), [("before", False), ("after", True)])
def test_a_channel_is_closed_at_a_method(
    broker: Broker, channel: BlockingChannel, when: Any, declared: bool
) -> None:
    broker.faults.on("queue.declare", queue="new").close_channel(406, "no", when=when)
    with pytest.raises(ChannelClosedByBroker) as caught:
        channel.queue_declare("new", durable=True)
    assert (caught.value.reply_code, caught.value.reply_text) == (406, "PRECONDITION_FAILED - no")
    names = broker._node.call(lambda: set(broker._node.engine.vhosts["/"].queues))
    assert ("new" in names) is declared


def test_a_connection_is_closed_at_a_method(broker: Broker, channel: BlockingChannel) -> None:
    broker.faults.on("basic.get").close_connection()
    with pytest.raises(ConnectionClosedByBroker) as caught:
        channel.basic_get("jobs")
    assert caught.value.reply_code == 320


def test_a_channel_is_closed_at_a_publish(broker: Broker, channel: BlockingChannel) -> None:
    channel.confirm_delivery()
    broker.faults.on("basic.publish").close_channel()
    with pytest.raises(ChannelClosedByBroker) as caught:
        channel.basic_publish("", "jobs", b"")
    assert caught.value.reply_code == 541 and ready(broker) == 0


def test_an_answer_is_delayed(broker: Broker, channel: BlockingChannel) -> None:
    before = broker.faults.on("queue.declare", queue="a").delay(0.01)
    after = broker.faults.on("queue.declare", queue="b").delay(0.01, when="after")
    channel.queue_declare("a", durable=True)
    channel.queue_declare("b", durable=True)
    assert before.hits == after.hits == 1


def test_a_publish_is_delayed(broker: Broker, channel: BlockingChannel) -> None:
    channel.confirm_delivery()
    for when in ("before", "after"):
        with broker.faults.on("basic.publish").delay(0.01, when=when):  # type: ignore[arg-type]
            channel.basic_publish("", "jobs", when.encode())
    assert bodies(channel) == [b"before", b"after"]


def test_a_function_is_called_with_the_occasion(broker: Broker, channel: BlockingChannel) -> None:
    seen: list[Any] = []
    for when in ("before", "after"):
        broker.faults.on("basic.publish", times=None).call(
            lambda occasion, when=when: seen.append(
                (when, occasion.queue, occasion.body, occasion.properties.type)
            ),  # type: ignore[misc]
            when=when,  # type: ignore[arg-type]
        )
    broker.faults.on("queue.purge").call(lambda occasion: seen.append(occasion.arguments))
    channel.basic_publish("", "jobs", b"body", pika.BasicProperties(type="t"))
    channel.queue_purge("jobs")
    assert seen[0] == ("before", "jobs", b"body", "t")
    assert seen[-1].queue == "jobs"


def test_an_acknowledgement_is_ignored(broker: Broker, channel: BlockingChannel) -> None:
    fault = broker.faults.on("basic.ack", queue="jobs").ignore()
    channel.basic_publish("", "jobs", b"")
    method, _, _ = channel.basic_get("jobs")
    channel.basic_ack(method.delivery_tag)
    fault.wait()
    queue = broker._node.engine.vhosts["/"].queues["jobs"]
    assert broker._node.call(lambda: queue.unacked) == 1


def test_a_client_is_refused_while_it_connects(broker: Broker) -> None:
    with broker.faults.on("connect", times=None).reset() as fault, pytest.raises(RESET_WHILE_CONNECTING):
        connect(broker)
    assert fault._armed.rule.hits >= 1
    connect(broker).close()


def test_a_rule_names_a_connection_and_a_user(broker: Broker) -> None:
    parameters = pika.URLParameters(broker.url)
    parameters.client_properties = {"connection_name": "worker-7"}
    fault = broker.faults.on("channel.open", connection="worker-*", user="guest").reset()
    with connect(broker) as connection:
        connection.channel()
    with pytest.raises(AMQPError):
        pika.BlockingConnection(parameters).channel()
    fault.assert_hit(1)


def test_the_text_for_a_pattern_of_topics_or_a_regular_expression_names_the_shell_glob(
    broker: Broker, channel: BlockingChannel
) -> None:
    of_topics = broker.faults.on("basic.publish", routing_key="jo.#").reset()
    regular = broker.faults.on("basic.publish", queue="^jobs.*$").reset()
    other = broker.faults.on("basic.publish", queue="mails.*").reset()
    channel.basic_publish("", "jobs", b"")
    with pytest.raises(
        AssertionError, match=re.escape("queue='^jobs.*$' (patterns are shell globs: 'jobs*' matches)")
    ):
        regular.assert_hit()
    for fault in (of_topics, other):
        with pytest.raises(AssertionError, match=r"nothing matched \w+='[^']+'; the last"):
            fault.assert_hit()
    with pytest.raises(
        AssertionError, match=re.escape("not 'job#' (patterns are shell globs: 'job*' matches)")
    ):
        broker.assert_published(routing_key="job#")


def test_a_fault_that_was_not_hit_says_why(broker: Broker, channel: BlockingChannel) -> None:
    fault = broker.faults.on("basic.publish", nth=2, queue="j*").reset()
    with pytest.raises(
        AssertionError,
        match=r"on\('basic.publish', nth=2, queue='j\*'\).reset\(\) was never hit; no basic.publish",
    ):
        fault.assert_hit()
    channel.basic_publish("", "jobs", b"")
    with pytest.raises(AssertionError, match="1 matched, and it is for the one with number 2"):
        fault.assert_hit()
    with pytest.raises(WaitTimeout, match=r"was not hit within 0\.01 s"):
        fault.wait(0.01)
    assert [each.described for each in broker.faults.list()] == [fault.described]
    broker.faults.clear()
    assert broker.faults.list() == [] and not fault.armed


@pytest.mark.parametrize(
    ("arm", "text"),
    [
        (lambda faults: faults.on("basic.publsh"), "no method that a client sends: 'basic.publish'?"),
        (lambda faults: faults.on("basic.deliver"), "is sent by the broker: use confirms"),
        (lambda faults: faults.on("basic.get", nth=0), "nth counts from 1"),
        (lambda faults: faults.on("basic.get", times=0), "times is at least 1"),
        (lambda faults: faults.on("basic.get", chance=2), "chance is between 0 and 1"),
        (lambda faults: faults.on("basic.get").drop(when="later"), "when is 'before' or 'after'"),
        (lambda faults: faults.on("basic.get").close_channel(999), "999 is no reply code"),
        (lambda faults: faults.on("connect").close_channel(), "needs a connection that is open"),
        (lambda faults: faults.latency(1, stream="in"), "stream is 'up', 'down' or 'both'"),
        (lambda faults: faults.bandwidth(0), "use blackhole"),
        (lambda faults: faults.slicer(0), "size must be at least 1"),
        (lambda faults: faults.chaos(1, 0.1, kinds=("boom",)), "kinds of chaos are"),
    ],
)
def test_a_wrong_fault_is_refused(broker: Broker, arm: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text.replace("(", r"\(").replace("?", r"\?")):
        arm(broker.faults)


# --- confirms


@pytest.mark.parametrize("effect", [False, True])
def test_a_publish_is_nacked(broker: Broker, channel: BlockingChannel, effect: bool) -> None:
    channel.confirm_delivery()
    broker.faults.confirms(queue="jobs", nth=2).nack(effect=effect)
    channel.basic_publish("", "jobs", b"1")
    with pytest.raises(NackError):
        channel.basic_publish("", "jobs", b"2")
    channel.basic_publish("", "jobs", b"3")
    assert bodies(channel) == ([b"1", b"2", b"3"] if effect else [b"1", b"3"])


class Confirming:
    """An asynchronous publisher: which publishes were confirmed, in order."""

    def __init__(self, channel: BlockingChannel) -> None:
        self.channel = channel
        self.seen: list[tuple[str, int, bool]] = []
        channel._impl.confirm_delivery(self._on, lambda frame: None)
        channel.connection.process_data_events(0.01)

    def _on(self, frame: Any) -> None:
        self.seen.append((frame.method.NAME, frame.method.delivery_tag, frame.method.multiple))

    def publish(self, count: int) -> None:
        for _ in range(count):
            self.channel._impl.basic_publish("", "jobs", b"")
        self.channel.connection.process_data_events(0)

    def wait(self, *numbers: int) -> None:
        """Read until these publishes are confirmed, and see that no others are."""
        while not confirmed(self.seen) >= set(numbers):
            self.channel.connection.process_data_events(0.01)
        assert confirmed(self.seen) == set(numbers)


def confirmed(seen: list[tuple[str, int, bool]]) -> set[int]:
    found: set[int] = set()
    for _, tag, multiple in seen:
        found |= set(range(1, tag + 1)) if multiple else {tag}
    return found


def test_confirms_are_held_and_released(broker: Broker, channel: BlockingChannel) -> None:
    confirming = Confirming(channel)
    fault = broker.faults.confirms(nth=2, times=2).hold()
    confirming.publish(5)
    confirming.wait(1, 4, 5)
    assert fault.release(1) == 1
    confirming.wait(1, 2, 4, 5)
    assert fault.release() == 1
    confirming.wait(1, 2, 3, 4, 5)


def test_a_confirm_is_lost_and_never_implied_by_a_later_one(broker: Broker, channel: BlockingChannel) -> None:
    confirming = Confirming(channel)
    broker.faults.confirms(nth=2).lose()
    confirming.publish(3)
    confirming.wait(1, 3)
    confirming.publish(3)
    confirming.wait(1, 3, 4, 5, 6)


def test_a_confirm_is_delayed_by_the_broker_s_clock(broker: Broker, channel: BlockingChannel) -> None:
    confirming = Confirming(channel)
    broker.faults.confirms().delay(timedelta(hours=1))
    confirming.publish(2)
    confirming.wait(2)
    due = broker.clock.next()
    assert due is not None and due.what == "a confirm that a fault delays"
    broker.clock.advance(3600)
    confirming.wait(1, 2)


# --- deliveries


def consumed(channel: BlockingChannel, count: int) -> list[tuple[int, bytes]]:
    """Consume so many deliveries and acknowledge each."""
    found: list[tuple[int, bytes]] = []
    for method, _, body in channel.consume("jobs", inactivity_timeout=None):
        found.append((method.delivery_tag, body))
        channel.basic_ack(method.delivery_tag)
        if len(found) == count:
            break
    return found


def publish(channel: BlockingChannel, *bodies: bytes) -> None:
    for body in bodies:
        channel.basic_publish("", "jobs", body)


def unacked(broker: Broker) -> int:
    queue = broker._node.engine.vhosts["/"].queues["jobs"]
    count: int = broker._node.call(lambda: queue.unacked)
    return count


def test_a_delivery_is_duplicated(broker: Broker, channel: BlockingChannel) -> None:
    broker.faults.deliveries(queue="jobs", nth=2).duplicate()
    publish(channel, b"a", b"b", b"c")
    assert consumed(channel, 4) == [(1, b"a"), (2, b"b"), (3, b"b"), (4, b"c")]
    assert unacked(broker) == 0 and channel.is_open


def test_deliveries_are_reordered(broker: Broker, channel: BlockingChannel) -> None:
    broker.faults.deliveries().reorder()
    publish(channel, b"a", b"b", b"c")
    assert consumed(channel, 3) == [(1, b"b"), (2, b"a"), (3, b"c")]
    assert unacked(broker) == 0


def test_all_deliveries_are_acknowledged_at_once_in_spite_of_other_tags(
    broker: Broker, channel: BlockingChannel
) -> None:
    broker.faults.deliveries(nth=2).duplicate()
    broker.faults.deliveries(nth=3).reorder()
    publish(channel, b"a", b"b", b"c", b"d", b"e")
    found = []
    for method, _, body in channel.consume("jobs", inactivity_timeout=None):
        found.append(body)
        if len(found) == 6:
            channel.basic_ack(method.delivery_tag, multiple=True)
            break
    assert found == [b"a", b"b", b"b", b"d", b"c", b"e"]
    assert unacked(broker) == 0 and channel.is_open


def test_a_delivery_is_delayed_by_the_broker_s_clock(broker: Broker, channel: BlockingChannel) -> None:
    seen = []
    broker.faults.deliveries().delay(60)

    def handle(channel: BlockingChannel, method: Any, properties: Any, body: bytes) -> None:
        seen.append((broker.clock.now, body))
        channel.basic_ack(method.delivery_tag)

    began = broker.clock.now
    with consumer(broker, "jobs", handle):
        publish(channel, b"a", b"b")
        broker.clock.advance(60)
    assert seen == [(began, b"b"), (began + timedelta(seconds=60), b"a")]


def test_a_delivery_is_corrupted(broker: Broker, channel: BlockingChannel) -> None:
    broker.faults.deliveries().corrupt()
    publish(channel, b"{}", b"{}", b"")
    assert [body for _, body in consumed(channel, 3)] == [b"\x84}", b"{}", b""]


def test_an_acknowledgement_is_lost_and_the_message_redelivered(
    broker: Broker, channel: BlockingChannel
) -> None:
    broker.faults.deliveries(queue="jobs").lose_ack()
    publish(channel, b"a")
    method, _, _ = next(iter(channel.consume("jobs")))
    channel.basic_ack(method.delivery_tag)
    with pytest.raises(AMQPError):
        read_until_the_end(channel)
    with connect(broker) as connection:
        method, _, body = connection.channel().basic_get("jobs", auto_ack=True)
        assert (method.redelivered, body) == (True, b"a")


# --- the network


@pytest.mark.parametrize("verb", ["drop", "reset"])
def test_connections_that_there_are_end(broker: Broker, channel: BlockingChannel, verb: str) -> None:
    assert getattr(broker.faults, verb)(connection="nobody").hits == 0
    assert getattr(broker.faults, verb)().hits == 1
    with pytest.raises(StreamLostError):
        channel.queue_declare("q", durable=True)
    connect(broker).close()


def test_new_connections_are_refused_and_the_port_is_kept(broker: Broker) -> None:
    with broker.faults.refuse(), pytest.raises(ConnectionRefusedError):
        socket.create_connection((broker.host, broker.port))
    connect(broker).close()


def test_nothing_passes_a_blackhole(broker: Broker, channel: BlockingChannel) -> None:
    with broker.faults.blackhole("up"):
        channel.basic_publish("", "jobs", b"")
        channel.connection.process_data_events(0)
        assert ready(broker) == 0 and channel.is_open
    with pytest.raises(StreamLostError):  # octets are missing
        read_until_the_end(channel)
    assert ready(broker) == 0


@pytest.mark.parametrize("stream", ["up", "down", "both"])
def test_toxics_keep_the_octets_in_order(broker: Broker, stream: Any) -> None:
    faults = broker.faults
    faults.latency(0.001, jitter=0.001, stream=stream)
    faults.slicer(7, pause=0, variation=3, stream=stream)
    faults.bandwidth(1_000_000, stream)
    with connect(broker) as connection:
        channel = connection.channel()
        channel.queue_declare("jobs", durable=True)
        channel.confirm_delivery()
        for number in range(20):
            channel.basic_publish("", "jobs", b"%d" % number * 10)
        assert bodies(channel) == [b"%d" % number * 10 for number in range(20)]
        faults.clear()
        assert channel.queue_declare("jobs", passive=True).method.message_count == 0


def test_a_connection_ends_after_so_many_octets(broker: Broker) -> None:
    fault = broker.faults.limit_data(600, "up")
    with pytest.raises(AMQPError):
        channel = connect(broker).channel()
        channel.queue_declare("jobs", durable=True)
        channel.confirm_delivery()
        for _ in range(100):
            channel.basic_publish("", "jobs", b"x" * 20)
    fault.assert_hit()


def test_a_connection_closes_slowly(broker: Broker) -> None:
    with broker.faults.slow_close(0.01):
        connect(broker).close()


def test_each_connection_is_reset_by_reset_peer(broker: Broker) -> None:
    with broker.faults.reset_peer(), pytest.raises(RESET_WHILE_CONNECTING):
        connect(broker)


async def test_a_robust_connection_comes_back_after_each_fault() -> None:
    async with Broker() as broker:
        connection = await aio_pika.connect_robust(broker.url, reconnect_interval=0.01)
        async with connection:
            channel = await connection.channel()
            queue = await channel.declare_queue("jobs", durable=True)
            for number, fault in enumerate(
                [
                    lambda: broker.faults.drop(),
                    lambda: broker.faults.reset(),
                    lambda: broker.faults.on("basic.publish").reset(),
                    lambda: broker.faults.on("basic.publish").drop(when="after"),
                    lambda: broker.faults.on("basic.publish").close_connection(),
                ]
            ):
                fault()
                while True:
                    try:
                        await channel.default_exchange.publish(aio_pika.Message(b"%d" % number), "jobs")
                        break
                    except (aio_pika.exceptions.AMQPError, ConnectionError, RuntimeError):
                        engine = broker._node.engine
                        await broker.wait_until(
                            lambda engine=engine: any(each.channels for each in engine.connections)  # type: ignore[misc]
                        )
            got = {(await queue.get(fail=True)).body for _ in range(6)}  # one came twice
            assert got == {b"0", b"1", b"2", b"3", b"4"}


# --- many


def test_a_plan_arms_all_or_nothing(broker: Broker, channel: BlockingChannel) -> None:
    faults = broker.faults
    armed = faults.plan(
        [
            {"on": "basic.publish", "nth": 3, "queue": "jobs", "do": "reset", "when": "before"},
            {"on": "confirms", "do": "nack", "effect": True},
            {"on": "deliveries", "do": "delay", "seconds": 5},
            {"do": "latency", "seconds": 0.001, "stream": "up"},
        ]
    )
    assert [each.described for each in armed] == [
        "on('basic.publish', nth=3, queue='jobs').reset()",
        "confirms().nack()",
        "deliveries().delay()",
        "latency()",
    ]
    faults.clear()
    for wrong, text in [
        ({"on": "basic.get", "do": "explode"}, "'do' is 'explode'; at basic.get it is one of: blackhole"),
        ({"on": "basic.get", "do": "reset", "queu": "q"}, "'queu' is unknown for 'reset': 'queue'?"),
        ({"on": "basic.get", "do": "reset", "nth": "3"}, "'nth' is '3', and must be int"),
        ({"do": "latency"}, "'seconds' is missing for 'latency'"),
    ]:
        with pytest.raises(ValueError) as caught:
            faults.plan([{"do": "refuse"}, wrong])
        assert text in str(caught.value) and faults.list() == []


def test_chaos_is_the_same_for_the_same_seed() -> None:
    def run(seed: int) -> list[bool]:
        nacked = []
        with Broker() as broker, connect(broker) as connection:
            channel = connection.channel()
            channel.queue_declare("jobs", durable=True)
            channel.confirm_delivery()
            broker.faults.chaos(seed, 0.3, ("nack", "latency"))
            for _ in range(30):
                try:
                    channel.basic_publish("", "jobs", b"")
                    nacked.append(False)
                except NackError:
                    nacked.append(True)
        return nacked

    assert run(1) == run(1) != run(2)
    assert any(run(1))


def test_faults_cost_nothing_once_they_are_gone(broker: Broker, channel: BlockingChannel) -> None:
    broker.faults.on("basic.publish").reset()
    broker.faults.clear()
    assert broker._node.engine.context.interceptor is None
    channel.confirm_delivery()
    for _ in range(3):
        channel.basic_publish("", "jobs", b"")
    with consumer(broker, "jobs", ack):
        assert broker.clock.advance(1).kept == []


def test_a_negative_delay_is_refused(broker: Broker) -> None:
    with pytest.raises(ValueError, match="a delay is at least 0, not -1"):
        broker.faults.latency(-1)
    with pytest.raises(ValueError, match="a delay is at least 0, not -1"):
        broker.faults.deliveries().delay(-1)
    with pytest.raises(ValueError, match="a delay is at least 0, not -1"):
        broker.faults.plan([{"do": "latency", "seconds": -1}])
    assert broker.faults.list() == []
