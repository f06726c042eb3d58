"""pika's BlockingConnection: the message patterns of applications."""

import time
from collections.abc import Iterator

import pika
import pika.exceptions
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from tests.hang import HANG_SECONDS

WAIT = HANG_SECONDS

Delivery = tuple[pika.spec.Basic.Deliver, pika.BasicProperties, bytes]


@pytest.fixture
def connection(broker_url: str) -> Iterator[pika.BlockingConnection]:
    connection = pika.BlockingConnection(pika.URLParameters(broker_url))
    yield connection
    if connection.is_open:
        connection.close()


@pytest.fixture
def channel(connection: pika.BlockingConnection) -> BlockingChannel:
    return connection.channel()


@pytest.fixture
def other(broker_url: str) -> Iterator[BlockingChannel]:
    """A channel of a second connection."""
    connection = pika.BlockingConnection(pika.URLParameters(broker_url))
    yield connection.channel()
    if connection.is_open:
        connection.close()


def declare(channel: BlockingChannel, name: str = "", **arguments: object) -> str:
    """Declare an exclusive queue; keyword ``x_max_length`` is the argument ``x-max-length``."""
    table = {key.replace("_", "-"): value for key, value in arguments.items()}
    return channel.queue_declare(name, exclusive=True, arguments=table).method.queue


def ready(channel: BlockingChannel, queue: str) -> int:
    return channel.queue_declare(queue, passive=True).method.message_count


def take(channel: BlockingChannel, queue: str, count: int = 1, **options: object) -> list[Delivery]:
    """Consume exactly ``count`` messages, and acknowledge them unless ``auto_ack`` is set."""
    taken: list[Delivery] = []
    for method, properties, body in channel.consume(queue, inactivity_timeout=WAIT, **options):
        assert method is not None, f"{len(taken)} of {count} messages within {WAIT} s"
        if not options.get("auto_ack"):
            channel.basic_ack(method.delivery_tag)
        taken.append((method, properties, body))
        if len(taken) == count:
            break
    channel.cancel()
    return taken


def await_messages(channel: BlockingChannel, queue: str, count: int) -> None:
    """Wait until ``queue`` holds ``count`` ready messages."""
    end = time.monotonic() + WAIT
    while ready(channel, queue) != count:
        assert time.monotonic() < end, f"{queue} holds {ready(channel, queue)} messages, not {count}"
        channel.connection.process_data_events(time_limit=0.02)


def test_a_work_queue_confirms_and_delivers_with_prefetch(
    channel: BlockingChannel, other: BlockingChannel, name: str
) -> None:
    channel.queue_declare(name, durable=True, auto_delete=True)
    channel.confirm_delivery()
    for number in range(10):
        channel.basic_publish(
            "",
            name,
            b"%d" % number,
            pika.BasicProperties(delivery_mode=2, message_id=str(number)),
            mandatory=True,
        )
    assert ready(channel, name) == 10
    other.basic_qos(prefetch_count=3)
    taken = take(other, name, 10)
    assert [body for _, _, body in taken] == [b"%d" % number for number in range(10)]
    assert [method.delivery_tag for method, _, _ in taken] == list(range(1, 11))
    assert {(p.delivery_mode, m.redelivered, m.exchange, m.routing_key) for m, p, _ in taken} == {
        (2, False, "", name)
    }


def test_prefetch_limits_deliveries_until_an_ack(connection: pika.BlockingConnection, name: str) -> None:
    channel = connection.channel()
    declare(channel, name)
    for number in range(5):
        channel.basic_publish("", name, b"%d" % number)
    await_messages(channel, name, 5)
    seen: list[int] = []
    channel.basic_qos(prefetch_count=2)
    channel.basic_consume(name, lambda _c, method, _p, _b: seen.append(method.delivery_tag))
    for expected in (2, 3, 4, 5):
        end = time.monotonic() + WAIT
        while len(seen) < expected:
            assert time.monotonic() < end
            connection.process_data_events(time_limit=0.1)
        assert len(seen) == expected
        assert ready(channel, name) == 5 - expected
        channel.basic_ack(seen[expected - 2])


def test_an_unroutable_mandatory_message_is_returned(channel: BlockingChannel, name: str) -> None:
    channel.confirm_delivery()
    with pytest.raises(pika.exceptions.UnroutableError) as caught:
        channel.basic_publish("amq.direct", name, b"lost", pika.BasicProperties(app_id="me"), mandatory=True)
    (message,) = caught.value.messages
    assert (message.method.reply_code, message.method.reply_text) == (312, "NO_ROUTE")
    assert (message.method.exchange, message.method.routing_key) == ("amq.direct", name)
    assert (message.properties.app_id, message.body) == ("me", b"lost")
    channel.basic_publish("amq.direct", name, b"dropped")  # confirmed, though it goes nowhere


def test_a_return_without_confirms_calls_the_callback(connection: pika.BlockingConnection, name: str) -> None:
    channel = connection.channel()
    returned: list[tuple[int, bytes]] = []
    channel.add_on_return_callback(lambda _c, method, _p, body: returned.append((method.reply_code, body)))
    channel.basic_publish("", name, b"back", mandatory=True)
    connection.process_data_events(time_limit=WAIT)
    assert returned == [(312, b"back")]


def test_a_publish_to_a_full_queue_is_nacked(channel: BlockingChannel, name: str) -> None:
    declare(channel, name, x_max_length=1, x_overflow="reject-publish")
    channel.confirm_delivery()
    channel.basic_publish("", name, b"fits", mandatory=True)
    with pytest.raises(pika.exceptions.NackError):
        channel.basic_publish("", name, b"does not", mandatory=True)
    assert take(channel, name)[0][2] == b"fits"
    channel.basic_publish("", name, b"fits again", mandatory=True)


def test_rpc_over_an_exclusive_reply_queue_is_answered(
    channel: BlockingChannel, other: BlockingChannel, name: str
) -> None:
    other.queue_declare(name, auto_delete=True, durable=True)
    replies = declare(channel)
    assert replies.startswith("amq.gen-")
    channel.basic_publish("", name, b"6", pika.BasicProperties(reply_to=replies, correlation_id="c1"))
    ((_, request, body),) = take(other, name)
    assert request.reply_to == replies
    other.basic_publish("", replies, b"%d" % (int(body) * 7), pika.BasicProperties(correlation_id="c1"))
    ((_, reply, body),) = take(channel, replies)
    assert (reply.correlation_id, body) == ("c1", b"42")


def test_rpc_over_direct_reply_to_is_answered(
    channel: BlockingChannel, other: BlockingChannel, name: str
) -> None:
    other.queue_declare(name, auto_delete=True, durable=True)
    got: list[tuple[str, str | None, bytes]] = []
    channel.basic_consume(
        "amq.rabbitmq.reply-to",
        lambda _c, m, p, body: got.append((m.exchange, p.correlation_id, body)),
        auto_ack=True,
    )
    channel.basic_publish(
        "", name, b"6", pika.BasicProperties(reply_to="amq.rabbitmq.reply-to", correlation_id="c1")
    )
    ((_, request, body),) = take(other, name)
    address = request.reply_to
    assert address.startswith("amq.rabbitmq.reply-to.")
    assert other.queue_declare(address, passive=True).method.consumer_count == 1
    other.basic_publish("", address, body * 3, pika.BasicProperties(correlation_id="c1"))
    end = time.monotonic() + WAIT
    while not got:
        assert time.monotonic() < end
        channel.connection.process_data_events(time_limit=0.1)
    assert got == [("", "c1", b"666")]


def test_a_topic_log_delivers_by_pattern(channel: BlockingChannel, name: str) -> None:
    channel.exchange_declare(name, "topic", auto_delete=True)
    queues = {key: declare(channel) for key in ("#", "kern.*", "*.critical", "a.#.z")}
    for key, queue in queues.items():
        channel.queue_bind(queue, name, key)
    channel.confirm_delivery()
    for key in ("kern.info", "kern.critical", "cron.critical", "a.z", "a.b.c.z", "kern.a.b"):
        channel.basic_publish(name, key, key.encode())
    got = {
        key: [body.decode() for _, _, body in take(channel, queue, ready(channel, queue), auto_ack=True)]
        for key, queue in queues.items()
    }
    assert got == {
        "#": ["kern.info", "kern.critical", "cron.critical", "a.z", "a.b.c.z", "kern.a.b"],
        "kern.*": ["kern.info", "kern.critical"],
        "*.critical": ["kern.critical", "cron.critical"],
        "a.#.z": ["a.z", "a.b.c.z"],
    }


def test_deleting_a_queue_cancels_its_consumer(
    channel: BlockingChannel, other: BlockingChannel, name: str
) -> None:
    channel.queue_declare(name, durable=True)
    cancelled: list[str] = []
    channel.add_on_cancel_callback(lambda method: cancelled.append(method.method.consumer_tag))
    tag = channel.basic_consume(name, lambda *_: None)
    other.queue_delete(name)
    end = time.monotonic() + WAIT
    while not cancelled:
        assert time.monotonic() < end
        channel.connection.process_data_events(time_limit=0.1)
    assert cancelled == [tag]
    assert channel.is_open
    assert channel.consumer_tags == []


def test_basic_get_returns_messages_one_by_one(channel: BlockingChannel, name: str) -> None:
    declare(channel, name)
    assert channel.basic_get(name) == (None, None, None)
    channel.confirm_delivery()
    channel.basic_publish("", name, b"one", pika.BasicProperties(headers={"k": [1, {"deep": True}]}))
    channel.basic_publish("", name, b"two")
    method, properties, body = channel.basic_get(name)
    assert (method.message_count, method.redelivered, body) == (1, False, b"one")
    assert properties.headers == {"k": [1, {"deep": True}]}
    channel.basic_nack(method.delivery_tag)
    method, _, body = channel.basic_get(name)
    assert (method.message_count, method.redelivered, body) == (1, True, b"one")
    channel.basic_reject(method.delivery_tag, requeue=False)
    method, _, body = channel.basic_get(name, auto_ack=True)
    assert (method.message_count, method.redelivered, body) == (0, False, b"two")
    assert channel.basic_get(name) == (None, None, None)


def test_requeueing_restores_the_order(channel: BlockingChannel, name: str) -> None:
    declare(channel, name)
    channel.confirm_delivery()
    for number in range(4):
        channel.basic_publish("", name, b"%d" % number)
    tags = [channel.basic_get(name)[0].delivery_tag for _ in range(3)]
    channel.basic_nack(tags[-1], multiple=True)
    await_messages(channel, name, 4)
    taken = take(channel, name, 4)
    assert [(body, method.redelivered) for method, _, body in taken] == [
        *((b"0", True), (b"1", True), (b"2", True), (b"3", False))
    ]


def test_recover_and_closing_a_channel_requeue(connection: pika.BlockingConnection, name: str) -> None:
    first, second = connection.channel(), connection.channel()
    declare(first, name)
    first.confirm_delivery()
    first.basic_publish("", name, b"again")
    first.basic_get(name)
    first.basic_recover(requeue=True)
    method, _, _ = first.basic_get(name)
    assert method.redelivered
    first.close()
    await_messages(second, name, 1)
    assert second.basic_get(name, auto_ack=True)[0].redelivered


def test_an_ack_of_tag_0_acknowledges_everything(channel: BlockingChannel, name: str) -> None:
    declare(channel, name)
    channel.confirm_delivery()
    for _ in range(5):
        channel.basic_publish("", name, b"x")
    for _ in range(5):
        channel.basic_get(name)
    channel.basic_ack(0, multiple=True)
    channel.basic_recover(requeue=True)
    assert ready(channel, name) == 0


def test_a_transaction_commits_or_rolls_back(connection: pika.BlockingConnection, name: str) -> None:
    plain, tx = connection.channel(), connection.channel()
    declare(plain, name)
    tx.tx_select()
    tx.basic_publish("", name, b"one")
    tx.basic_publish("", name, b"two")
    assert ready(tx, name) == 0
    tx.tx_commit()
    assert ready(plain, name) == 2
    tx.basic_publish("", name, b"never")
    method, _, body = tx.basic_get(name)
    assert body == b"one"
    tx.basic_ack(method.delivery_tag)
    tx.tx_rollback()
    assert ready(plain, name) == 1  # the publish is gone; so is the ack, the message stays unacknowledged
    tx.basic_ack(method.delivery_tag)
    tx.tx_commit()
    tx.close()
    assert plain.basic_get(name, auto_ack=True)[2] == b"two"
    assert plain.basic_get(name) == (None, None, None)


def test_rejected_and_expired_messages_are_dead_lettered(channel: BlockingChannel, name: str) -> None:
    dead = declare(channel, name + "-dead")
    declare(channel, name, x_message_ttl=30, x_dead_letter_exchange="", x_dead_letter_routing_key=dead)
    channel.basic_publish("", name, b"late", pika.BasicProperties(headers={"mine": 1}))
    ((method, properties, body),) = take(channel, dead)
    assert (body, method.exchange, method.routing_key) == (b"late", "", dead)
    (death,) = properties.headers["x-death"]
    assert death.pop("time") is not None
    assert death == {"count": 1, "reason": "expired", "queue": name, "exchange": "", "routing-keys": [name]}
    assert {key: value for key, value in properties.headers.items() if key != "x-death"} == {
        "mine": 1,
        "x-first-death-exchange": "",
        "x-first-death-queue": name,
        "x-first-death-reason": "expired",
        "x-last-death-exchange": "",
        "x-last-death-queue": name,
        "x-last-death-reason": "expired",
    }


def test_dead_lettering_removes_the_expiration(channel: BlockingChannel, name: str) -> None:
    dead = declare(channel, name + "-dead")
    declare(channel, name, x_dead_letter_exchange="amq.direct", x_dead_letter_routing_key=name)
    channel.queue_bind(dead, "amq.direct", name)
    channel.basic_publish("", name, b"late", pika.BasicProperties(expiration="20"))
    ((_, properties, _),) = take(channel, dead)
    assert properties.expiration is None
    assert properties.headers["x-death"][0]["original-expiration"] == "20"
    assert properties.headers["x-death"][0]["reason"] == "expired"


def test_dead_letters_carry_their_reason(channel: BlockingChannel, name: str) -> None:
    dead = declare(channel, name + "-dead")
    declare(channel, name, x_max_length=2, x_dead_letter_exchange="", x_dead_letter_routing_key=dead)
    channel.confirm_delivery()
    for body in (b"pushed out", b"refused", b"stays"):
        channel.basic_publish("", name, body)
    method, _, body = channel.basic_get(name)
    assert body == b"refused"
    channel.basic_nack(method.delivery_tag, requeue=False)
    taken = take(channel, dead, 2)
    assert [(body, p.headers["x-death"][0]["reason"]) for _, p, body in taken] == [
        *((b"pushed out", "maxlen"), (b"refused", "rejected"))
    ]


def test_higher_priorities_are_delivered_first(channel: BlockingChannel, name: str) -> None:
    declare(channel, name, x_max_priority=5)
    channel.confirm_delivery()
    for priority in (None, 1, 5, 3, 9, 1):
        channel.basic_publish("", name, str(priority).encode(), pika.BasicProperties(priority=priority))
    taken = take(channel, name, 6)
    assert [body for _, _, body in taken] == [b"5", b"9", b"3", b"1", b"1", b"None"]


@pytest.mark.parametrize("size", [0, 1, 131_063, 131_064, 131_065, 1 << 20, 5_000_011])
def test_bodies_of_any_size_arrive_unchanged(channel: BlockingChannel, name: str, size: int) -> None:
    declare(channel, name)
    body = (bytes(range(256)) * (size // 256 + 1))[:size]
    channel.confirm_delivery()
    channel.basic_publish("", name, body, mandatory=True)
    got = channel.basic_get(name, auto_ack=True)[2]
    assert len(got) == size
    assert got == body


def test_every_property_arrives_unchanged(channel: BlockingChannel, name: str) -> None:
    declare(channel, name)
    sent = pika.BasicProperties(
        content_type="text/plain",
        content_encoding="utf-8",
        headers={
            "s": "é",
            "i": -5,
            "big": 1 << 40,
            "t": {"b": True, "none": None},
            "l": [1, "2", b"\x00\xff"],
        },
        delivery_mode=1,
        priority=7,
        correlation_id="c",
        reply_to="r",
        expiration="60000",
        message_id="m",
        timestamp=1_700_000_000,
        type="t",
        user_id="guest",
        app_id="a",
        cluster_id="cl",
    )
    channel.confirm_delivery()
    channel.basic_publish("", name, b"", sent)
    got = channel.basic_get(name, auto_ack=True)[1]
    assert {key: value for key, value in vars(got).items() if value is not None} == vars(sent)


def test_two_hundred_channels_work(connection: pika.BlockingConnection, name: str) -> None:
    channels = [connection.channel() for _ in range(200)]
    assert len({channel.channel_number for channel in channels}) == 200
    declare(channels[0], name)
    for number, channel in enumerate(channels):
        channel.confirm_delivery()
        channel.basic_publish("", name, b"%d" % number, mandatory=True)
    assert ready(channels[-1], name) == 200
    for channel in channels[1:]:
        channel.close()
    taken = take(channels[0], name, 200)
    assert [int(body) for _, _, body in taken] == list(range(200))
    again = connection.channel()
    assert again.is_open


def test_heartbeats_keep_an_idle_connection_open(broker_url: str) -> None:
    parameters = pika.URLParameters(broker_url)
    parameters.heartbeat = 2
    with pika.BlockingConnection(parameters) as connection:
        channel = connection.channel()
        before, end = connection._impl.frames_received, time.monotonic() + WAIT
        # Five of the broker's heartbeats take more than two intervals: it would have closed a silent client.
        while connection._impl.frames_received < before + 5:
            assert time.monotonic() < end
            connection.process_data_events(time_limit=1)
        assert channel.queue_declare("", exclusive=True).method.message_count == 0


def test_update_secret_is_answered(connection: pika.BlockingConnection, channel: BlockingChannel) -> None:
    connection.update_secret("guest", "rotation")
    assert declare(channel).startswith("amq.gen-")


def test_server_capabilities_are_announced(connection: pika.BlockingConnection) -> None:
    assert connection.basic_nack_supported
    assert connection.consumer_cancel_notify_supported
    assert connection.exchange_exchange_bindings_supported
    assert connection.publisher_confirms_supported


def test_two_consumers_get_messages_in_turn(connection: pika.BlockingConnection, name: str) -> None:
    channel = connection.channel()
    declare(channel, name)
    seen: list[str] = []
    for tag in ("left", "right"):
        channel.basic_consume(name, lambda _c, m, _p, _b: seen.append(m.consumer_tag), True, consumer_tag=tag)
    for _ in range(6):
        channel.basic_publish("", name, b"")
    end = time.monotonic() + WAIT
    while len(seen) < 6:
        assert time.monotonic() < end
        connection.process_data_events(time_limit=0.1)
    assert sorted(seen) == ["left"] * 3 + ["right"] * 3


def test_a_second_thread_stops_a_consumer(connection: pika.BlockingConnection, name: str) -> None:
    """``start_consuming`` with ``add_callback_threadsafe``: how other threads acknowledge messages."""
    channel = connection.channel()
    declare(channel, name)
    bodies: list[bytes] = []

    def on_message(ch: BlockingChannel, method: pika.spec.Basic.Deliver, _p: object, body: bytes) -> None:
        def settle() -> None:
            ch.basic_ack(method.delivery_tag)
            bodies.append(body)
            if len(bodies) == 3:
                ch.stop_consuming()

        connection.add_callback_threadsafe(settle)

    channel.basic_consume(name, on_message)
    for number in range(3):
        channel.basic_publish("", name, b"%d" % number)
    connection.call_later(WAIT, channel.stop_consuming)
    channel.start_consuming()
    assert bodies == [b"0", b"1", b"2"]
    assert ready(channel, name) == 0
