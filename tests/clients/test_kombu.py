"""kombu over py-amqp: entities, producers, consumers, SimpleQueue, mailbox."""

import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import amqp.exceptions
import kombu
import pytest
from kombu import Connection, Consumer, Exchange, Producer, Queue, binding
from kombu.mixins import ConsumerProducerMixin
from kombu.pidbox import Mailbox
from kombu.pools import connections, producers

from tests.hang import HANG_SECONDS

WAIT = HANG_SECONDS
Deadline = Callable[[], Callable[[], float]]


@pytest.fixture
def connection(broker_url: str) -> Iterator[Connection]:
    with Connection(broker_url, transport_options={"confirm_publish": True}) as connection:
        yield connection


def drain(connection: Connection, deadline: Deadline, done: Callable[[], bool]) -> None:
    """Let ``connection`` handle events until ``done()`` returns True."""
    left = deadline()
    while not done():
        connection.drain_events(timeout=left())


def collect(
    connection: Connection, deadline: Deadline, queues: list[Queue], count: int, **options: Any
) -> list[tuple[Any, kombu.Message]]:
    """Consume ``count`` messages from ``queues`` and acknowledge them."""
    got: list[tuple[Any, kombu.Message]] = []

    def on_message(body: Any, message: kombu.Message) -> None:
        got.append((body, message))
        message.ack()

    with connection.Consumer(queues, callbacks=[on_message], **options):
        drain(connection, deadline, lambda: len(got) == count)
    return got


def exclusive(name: str, *args: Any, **options: Any) -> Queue:
    return Queue(name, *args, exclusive=True, durable=False, auto_delete=True, **options)


def test_a_producer_declares_its_queue_and_a_consumer_gets_the_messages(
    connection: Connection, deadline: Deadline, name: str
) -> None:
    exchange = Exchange(name, "direct", durable=False, auto_delete=True)
    queue = exclusive(name, exchange, routing_key="k")
    with Producer(connection, exchange=exchange, routing_key="k", serializer="json") as producer:
        producer.publish({"n": 1}, declare=[queue], headers={"h": "x"}, expiration=60, priority=3)
        producer.publish({"n": 2}, compression="zlib", content_encoding="utf-8")
        got = collect(connection, deadline, [queue], 2, accept=["json"])
    assert [body for body, _ in got] == [{"n": 1}, {"n": 2}]
    first = got[0][1]
    assert first.headers["h"] == "x"
    assert (first.properties["priority"], first.properties["expiration"]) == (3, "60000")
    assert (first.delivery_info["exchange"], first.delivery_info["routing_key"]) == (name, "k")
    assert first.content_type == "application/json"


@pytest.mark.parametrize(
    ("kind", "key", "arguments", "sent", "expected"),
    [
        ("direct", "a", None, ["a", "b"], ["a"]),
        ("fanout", "", None, ["a", "b"], ["a", "b"]),
        ("topic", "a.#", None, ["a", "a.b", "b.a"], ["a", "a.b"]),
        ("headers", "", {"x-match": "any", "key": "a"}, ["b", "a"], ["a"]),
    ],
)
def test_each_exchange_type_routes_as_kombu_expects(
    connection: Connection,
    deadline: Deadline,
    name: str,
    kind: str,
    key: str,
    arguments: dict[str, str] | None,
    sent: list[str],
    expected: list[str],
) -> None:
    exchange = Exchange(name, kind, durable=False, auto_delete=True)
    queue = exclusive(name, exchange, routing_key=key, binding_arguments=arguments)
    with connection.Producer(exchange=exchange) as producer:
        for word in sent:
            producer.publish(word, routing_key=word, headers={"key": word}, declare=[queue])
        got = collect(connection, deadline, [queue], len(expected))
    assert [body for body, _ in got] == expected


def test_a_queue_with_several_bindings_gets_all_of_its_messages(
    connection: Connection, deadline: Deadline, name: str
) -> None:
    channel = connection.default_channel
    source = Exchange(name + "-source", "topic", durable=False, auto_delete=True)(channel)
    inner = Exchange(name, "topic", durable=False, auto_delete=True)(channel)
    source.declare()
    inner.declare()
    inner.bind_to(source, routing_key="#")
    queue = exclusive(name, [binding(inner, routing_key="a"), binding(inner, routing_key="*.z")])
    with connection.Producer(exchange=source, auto_declare=False) as producer:
        queue(channel).declare()
        for key in ("a", "b", "b.z"):
            producer.publish(key, routing_key=key)
        got = collect(connection, deadline, [queue], 2)
    assert [body for body, _ in got] == ["a", "b.z"]


def test_unroutable_mandatory_messages_are_returned(
    connection: Connection, deadline: Deadline, name: str
) -> None:
    returned: list[tuple[int, str, str]] = []

    def on_return(exception: Any, exchange: str, routing_key: str, _message: Any) -> None:
        returned.append((exception.reply_code, exception.reply_text, routing_key))

    with Producer(connection, exchange=Exchange(""), on_return=on_return) as producer:
        producer.publish("lost", routing_key=name, mandatory=True)
        drain(connection, deadline, lambda: bool(returned))
    assert returned == [(312, "NO_ROUTE", name)]


def test_a_publish_to_a_full_queue_is_nacked(connection: Connection, name: str) -> None:
    queue = exclusive(name, max_length=1, queue_arguments={"x-overflow": "reject-publish"})
    with connection.Producer() as producer:
        producer.publish("fits", routing_key=name, declare=[queue])
        with pytest.raises(amqp.exceptions.MessageNacked):
            producer.publish("does not", routing_key=name)


def test_messages_are_rejected_requeued_and_acknowledged(
    connection: Connection, deadline: Deadline, name: str
) -> None:
    queue = exclusive(name)(connection.default_channel)
    queue.declare()
    with connection.Producer() as producer:
        for word in ("reject", "requeue", "ack"):
            producer.publish(word, routing_key=name)
    seen: list[tuple[str, bool]] = []

    def on_message(body: str, message: kombu.Message) -> None:
        seen.append((body, message.delivery_info["redelivered"]))
        if body == "requeue" and not message.delivery_info["redelivered"]:
            message.requeue()
        elif body == "reject":
            message.reject()
        else:
            message.ack()

    with connection.Consumer([queue], callbacks=[on_message], prefetch_count=1):
        drain(connection, deadline, lambda: len(seen) == 4)
        assert queue.queue_declare(passive=True).message_count == 0
    assert seen == [("reject", False), ("requeue", False), ("requeue", True), ("ack", False)]


def test_a_queue_is_read_purged_and_deleted(connection: Connection, name: str) -> None:
    queue = Queue(name, durable=True)(connection.default_channel)
    queue.declare()
    assert queue.get() is None
    with connection.Producer(serializer="pickle") as producer:
        for number in range(3):
            producer.publish({number}, routing_key=name)
    message = queue.get(accept=["pickle"])
    assert message.decode() == {0}
    message.ack()
    assert queue.purge() == 2
    assert queue.delete() == 0
    with pytest.raises(amqp.exceptions.NotFound, match=f"NOT_FOUND - no queue '{name}' in vhost") as caught:
        queue.queue_declare(passive=True)
    assert (caught.value.reply_code, caught.value.method_name) == (404, "Queue.declare")


def test_an_inequivalent_redeclaration_is_refused(connection: Connection, name: str) -> None:
    exclusive(name, max_priority=3)(connection.default_channel).declare()
    with pytest.raises(amqp.exceptions.PreconditionFailed) as caught:
        exclusive(name)(connection.channel()).declare()
    assert caught.value.reply_text.startswith(
        f"PRECONDITION_FAILED - inequivalent arg 'x-max-priority' for queue '{name}'"
    )
    assert caught.value.reply_text.endswith("received none but current is the value '3' of type 'signedint'")


def test_expired_messages_are_dead_lettered_by_priority(
    connection: Connection, deadline: Deadline, name: str
) -> None:
    dead = exclusive(name + "-dead")
    queue = exclusive(
        name,
        max_priority=9,
        message_ttl=0.05,
        expires=60,
        queue_arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead.name},
    )
    with connection.Producer() as producer:
        for priority in (0, 7, 2, 9):
            producer.publish(priority, routing_key=name, priority=priority, declare=[queue, dead])
        got = collect(connection, deadline, [dead], 4)
    assert sorted(body for body, _ in got) == [0, 2, 7, 9]
    assert {message.headers["x-first-death-reason"] for _, message in got} == {"expired"}


def test_a_simple_queue_delivers_in_order(connection: Connection, name: str) -> None:
    with connection.SimpleQueue(name) as queue:
        for number in range(3):
            queue.put({"n": number})
        assert queue.qsize() == 3
        for number in range(3):
            message = queue.get(timeout=WAIT)
            assert message.payload == {"n": number}
            message.ack()
        with pytest.raises(queue.Empty):
            queue.get(timeout=0.05)
        declared = queue.queue
    declared(connection.default_channel).delete()
    declared.exchange(connection.default_channel).delete()


def test_a_simple_buffer_delivers(connection: Connection, name: str) -> None:
    with connection.SimpleBuffer(name) as buffer:
        buffer.put("x")
        assert buffer.get(timeout=WAIT).payload == "x"
        with pytest.raises(buffer.Empty):
            buffer.get_nowait()


def test_deleting_a_queue_cancels_its_consumer(
    connection: Connection, deadline: Deadline, broker_url: str, name: str
) -> None:
    queue = Queue(name, durable=True)
    with Connection(broker_url) as other, Consumer(connection, [queue], callbacks=[print]):
        queue(other.default_channel).delete()
        with pytest.raises(amqp.exceptions.ConsumerCancelled):
            drain(connection, deadline, lambda: False)


def test_pooled_connections_and_producers_work(broker_url: str, deadline: Deadline, name: str) -> None:
    template = Connection(broker_url)
    with connections[template].acquire(block=True) as connection:
        queue = exclusive(name)(connection.default_channel)
        queue.declare()
        with producers[template].acquire(block=True) as producer:
            producer.publish("x", routing_key=name, retry=True, retry_policy={"max_retries": 2})
        assert collect(connection, deadline, [queue], 1)[0][0] == "x"
    kombu.pools.reset()


def test_server_properties_and_heartbeat_are_negotiated(broker_url: str) -> None:
    with Connection(broker_url, heartbeat=10) as connection:
        connection.ensure_connection()
        assert connection.connection.heartbeat == 10
        assert connection.connection.server_properties["product"] == "RabbitMQ"
        connection.heartbeat_check()
        assert connection.supports_heartbeats
        assert connection.is_evented


def test_draining_an_empty_queue_times_out(connection: Connection, name: str) -> None:
    with connection.Consumer([exclusive(name)], callbacks=[print]), pytest.raises(socket.timeout):
        connection.drain_events(timeout=0.05)


def test_large_bodies_and_many_channels_work(connection: Connection, deadline: Deadline, name: str) -> None:
    queue = exclusive(name)
    with connection.Producer() as producer:
        for fill in "ab":
            producer.publish(fill * (1 << 20), routing_key=name, declare=[queue])
        got = collect(connection, deadline, [queue], 2)
    assert [(len(body), body[0]) for body, _ in got] == [(1 << 20, "a"), (1 << 20, "b")]
    channels = [connection.channel() for _ in range(100)]
    for channel in channels:
        channel.close()


class Echo(ConsumerProducerMixin):
    """An RPC server as in kombu's documentation."""

    def __init__(self, connection: Connection, queue: Queue) -> None:
        self.connection = connection
        self.queue = queue
        self.ready = threading.Event()

    def get_consumers(self, consumer: Callable[..., Consumer], channel: Any) -> list[Consumer]:
        return [consumer([self.queue], on_message=self.on_request, prefetch_count=1)]

    def on_consume_ready(self, *_args: Any, **_options: Any) -> None:
        self.ready.set()

    def on_request(self, message: kombu.Message) -> None:
        self.producer.publish(
            {"echo": message.payload},
            exchange="",
            routing_key=message.properties["reply_to"],
            correlation_id=message.properties["correlation_id"],
        )
        message.ack()


def test_rpc_with_the_consumer_mixin_is_answered(
    connection: Connection, broker_url: str, deadline: Deadline, name: str
) -> None:
    with Connection(broker_url) as serving:
        echo = Echo(serving, Queue(name, durable=True, auto_delete=True))
        thread = threading.Thread(target=echo.run, kwargs={"safety_interval": 0.05, "timeout": 0.1})
        thread.start()
        try:
            assert echo.ready.wait(WAIT)
            replies = exclusive(name + "-replies")
            with connection.Producer() as producer:
                for word in ("one", "two"):
                    producer.publish(
                        word, routing_key=name, reply_to=replies.name, correlation_id=word, declare=[replies]
                    )
                got = collect(connection, deadline, [replies], 2)
        finally:
            echo.should_stop = True
            thread.join(WAIT)
    assert [(body["echo"], m.properties["correlation_id"]) for body, m in got] == [
        ("one", "one"),
        ("two", "two"),
    ]


def test_the_mailbox_of_remote_control_is_answered(
    connection: Connection, broker_url: str, name: str
) -> None:
    """Celery's remote control: a fanout exchange, an auto-delete queue for each node, and replies with a ticket."""
    mailbox = Mailbox(name, type="fanout", queue_exclusive=True)
    ready = threading.Barrier(3, timeout=WAIT)
    cast_to: list[str] = []
    ended: set[str] = set()

    def serve(hostname: str) -> None:
        with Connection(broker_url) as own:
            node = mailbox(own).Node(hostname, state=hostname)
            node.handlers["add"] = lambda state, a, b: {"node": state, "sum": a + b}
            node.handlers["note"] = lambda state: cast_to.append(state)
            node.handlers["end"] = lambda state: ended.add(state)
            node.channel = own.default_channel
            with node.listen(callback=node.handle_message):
                ready.wait()
                while hostname not in ended:
                    own.drain_events(timeout=WAIT)  # a reply that waits for its exchange has as long

    nodes = ["n1.example", "n2.example"]
    threads = [threading.Thread(target=serve, args=(node,)) for node in nodes]
    for thread in threads:
        thread.start()
    try:
        ready.wait()
        box = mailbox(connection)
        answers = box.multi_call("add", {"a": 2, "b": 3}, limit=2, timeout=WAIT)
        assert sorted(answer["node"] for one in answers for answer in one.values()) == nodes
        assert {answer["sum"] for one in answers for answer in one.values()} == {5}
        box.cast(["n1.example"], "note")
        (one,) = box.call(["n1.example"], "add", {"a": 1, "b": 1}, timeout=WAIT)
        assert one == {"n1.example": {"node": "n1.example", "sum": 2}}
        assert cast_to == ["n1.example"]
    finally:
        mailbox(connection).cast(nodes, "end")
        for thread in threads:
            thread.join(WAIT)
    for exchange in (mailbox.exchange, mailbox.reply_exchange):
        exchange(connection.default_channel).delete()


def test_consumers_of_two_channels_share_a_queue(
    connection: Connection, deadline: Deadline, name: str
) -> None:
    """Two consumers of one connection, each on its own channel, are served round robin."""
    queue = exclusive(name)
    seen: dict[int, list[int]] = {1: [], 2: []}
    with connection.channel() as one, connection.channel() as two:
        consumers = [
            Consumer(channel, [queue], on_message=lambda m, key=key: (seen[key].append(m.payload), m.ack()))
            for key, channel in ((1, one), (2, two))
        ]
        for consumer in consumers:
            consumer.consume()
        with connection.Producer() as producer:
            for number in range(10):
                producer.publish(number, routing_key=name)
        drain(connection, deadline, lambda: sum(map(len, seen.values())) == 10)
    assert sorted(itertools.chain(*seen.values())) == list(range(10))
    assert len(seen[1]) == len(seen[2]) == 5
