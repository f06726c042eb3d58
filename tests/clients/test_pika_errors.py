"""The errors that pika reports when the broker closes a channel or connection, with the exact texts."""

from collections.abc import Callable, Iterator

import pika
import pika.exceptions
import pytest
from pika.adapters.blocking_connection import BlockingChannel

Ask = Callable[[BlockingChannel, str], object]


@pytest.fixture
def connection(broker_url: str) -> Iterator[pika.BlockingConnection]:
    connection = pika.BlockingConnection(pika.URLParameters(broker_url))
    yield connection
    if connection.is_open:
        connection.close()


def bound_queue(channel: BlockingChannel, name: str) -> str:
    channel.queue_declare(name, exclusive=True)
    return name


def redeclare_longer(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name, exclusive=True)
    channel.queue_declare(name, exclusive=True, arguments={"x-max-length": 3})


def redeclare_durable(channel: BlockingChannel, name: str) -> None:
    channel.queue_declare(name, durable=True, auto_delete=True, arguments={"x-expires": 60_000})
    channel.queue_declare(name, durable=True, arguments={"x-expires": 60_000})


def consume_twice(channel: BlockingChannel, name: str) -> None:
    channel.basic_consume(bound_queue(channel, name), lambda *_: None, exclusive=True)
    channel.basic_consume(name, lambda *_: None)


def delete_used(channel: BlockingChannel, name: str) -> None:
    channel.basic_consume(bound_queue(channel, name), lambda *_: None)
    channel.queue_delete(name, if_unused=True)


def delete_filled(channel: BlockingChannel, name: str) -> None:
    channel.confirm_delivery()
    channel.basic_publish("", bound_queue(channel, name), b"")
    channel.queue_delete(name, if_empty=True)


def delete_bound_exchange(channel: BlockingChannel, name: str) -> None:
    channel.exchange_declare(name, "fanout", auto_delete=True)
    channel.queue_bind(bound_queue(channel, name), name, "")
    channel.exchange_delete(name, if_unused=True)


def publish_and_wait(
    channel: BlockingChannel, exchange: str, properties: pika.BasicProperties | None
) -> None:
    channel.confirm_delivery()
    channel.basic_publish(exchange, "k", b"", properties)


def settle(channel: BlockingChannel, _name: str) -> None:
    channel.basic_ack(99)
    channel.queue_declare("", exclusive=True)


REFUSALS: dict[str, tuple[Ask, int, str]] = {
    "no queue": (
        lambda channel, name: channel.queue_declare(name, passive=True),
        404,
        "NOT_FOUND - no queue '{name}' in vhost '{vhost}'",
    ),
    "no exchange": (
        lambda channel, name: channel.exchange_declare(name, passive=True),
        404,
        "NOT_FOUND - no exchange '{name}' in vhost '{vhost}'",
    ),
    "get from no queue": (
        lambda channel, name: channel.basic_get(name),
        404,
        "NOT_FOUND - no queue '{name}' in vhost '{vhost}'",
    ),
    "consume from no queue": (
        lambda channel, name: channel.basic_consume(name, lambda *_: None),
        404,
        "NOT_FOUND - no queue '{name}' in vhost '{vhost}'",
    ),
    "bind to no exchange": (
        lambda channel, name: channel.queue_bind(bound_queue(channel, name), name, "k"),
        404,
        "NOT_FOUND - no exchange '{name}' in vhost '{vhost}'",
    ),
    "publish to no exchange": (
        lambda channel, name: publish_and_wait(channel, name, None),
        404,
        "NOT_FOUND - no exchange '{name}' in vhost '{vhost}'",
    ),
    "reserved queue name": (
        lambda channel, _name: channel.queue_declare("amq.mine"),
        403,
        "ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'",
    ),
    "reserved exchange name": (
        lambda channel, _name: channel.exchange_declare("amq.mine"),
        403,
        "ACCESS_REFUSED - exchange name 'amq.mine' contains reserved prefix 'amq.*'",
    ),
    "default exchange binding": (
        lambda channel, name: channel.queue_bind(bound_queue(channel, name), "", "k"),
        403,
        "ACCESS_REFUSED - operation not permitted on the default exchange",
    ),
    "exclusive consumer": (
        consume_twice,
        403,
        "ACCESS_REFUSED - queue '{name}' in vhost '{vhost}' in exclusive use",
    ),
    "other exchange type": (
        lambda channel, _name: channel.exchange_declare("amq.topic", "direct", durable=True),
        406,
        "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'amq.topic' in vhost '{vhost}': "
        "received 'direct' but current is 'topic'",
    ),
    "other queue argument": (
        redeclare_longer,
        406,
        "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue '{name}' in vhost '{vhost}': "
        "received the value '3' of type 'signedint' but current is none",
    ),
    "other queue property": (
        redeclare_durable,
        406,
        "PRECONDITION_FAILED - inequivalent arg 'auto_delete' for queue '{name}' in vhost '{vhost}': "
        "received 'false' but current is 'true'",
    ),
    "queue in use": (
        delete_used,
        406,
        "PRECONDITION_FAILED - queue '{name}' in vhost '{vhost}' in use",
    ),
    "queue not empty": (
        delete_filled,
        406,
        "PRECONDITION_FAILED - queue '{name}' in vhost '{vhost}' not empty",
    ),
    "exchange in use": (
        delete_bound_exchange,
        406,
        "PRECONDITION_FAILED - exchange '{name}' in vhost '{vhost}' in use",
    ),
    "unknown delivery tag": (settle, 406, "PRECONDITION_FAILED - unknown delivery tag 99"),
    "bad argument": (
        lambda channel, name: channel.queue_declare(name, exclusive=True, arguments={"x-message-ttl": -1}),
        406,
        "PRECONDITION_FAILED - invalid arg 'x-message-ttl' for queue '{name}' in vhost '{vhost}': "
        "{{value_negative,-1}}",
    ),
    "bad expiration": (
        lambda channel, _name: publish_and_wait(channel, "", pika.BasicProperties(expiration="soon")),
        406,
        "PRECONDITION_FAILED - invalid expiration 'soon': no_integer",
    ),
    "the user id of another user": (
        lambda channel, _name: publish_and_wait(channel, "", pika.BasicProperties(user_id="nobody")),
        406,
        "PRECONDITION_FAILED - user_id property set to 'nobody' but authenticated user was 'guest'",
    ),
    "reply without a consumer": (
        lambda channel, _n: publish_and_wait(
            channel, "", pika.BasicProperties(reply_to="amq.rabbitmq.reply-to")
        ),
        406,
        "PRECONDITION_FAILED - fast reply consumer does not exist",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_channel_closes_with_the_exact_text(
    connection: pika.BlockingConnection, broker: object, name: str, case: str
) -> None:
    ask, code, text = REFUSALS[case]
    channel = connection.channel()
    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as caught:
        ask(channel, name)
    assert caught.value.reply_code == code
    assert caught.value.reply_text == text.format(name=name, vhost=broker.vhost)  # type: ignore[attr-defined]
    assert channel.is_closed
    assert connection.channel().is_open  # the connection stays open


def test_a_locked_queue(connection: pika.BlockingConnection, broker: object, name: str) -> None:
    connection.channel().queue_declare(name, exclusive=True)
    text = (
        f"RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{name}' in vhost "
        f"'{broker.vhost}'. It could be originally declared on another connection or the exclusive "  # type: ignore[attr-defined]
        "property value does not match that of the original declaration."
    )
    with pika.BlockingConnection(pika.URLParameters(broker.url)) as other:  # type: ignore[attr-defined]
        for ask in (
            lambda channel: channel.queue_declare(name, exclusive=True),
            lambda channel: channel.basic_get(name),
            lambda channel: channel.queue_delete(name),
        ):
            with pytest.raises(pika.exceptions.ChannelClosedByBroker) as caught:
                ask(other.channel())
            assert (caught.value.reply_code, caught.value.reply_text) == (405, text)


def test_an_exclusive_queue_is_deleted_with_its_connection(
    connection: pika.BlockingConnection, broker_url: str
) -> None:
    with pika.BlockingConnection(pika.URLParameters(broker_url)) as other:
        queue = other.channel().queue_declare("", exclusive=True).method.queue
    with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="no queue"):
        connection.channel().queue_declare(queue, passive=True)


def test_deleting_a_missing_queue_or_exchange_succeeds(
    connection: pika.BlockingConnection, name: str
) -> None:
    channel = connection.channel()
    assert channel.queue_delete(name).method.message_count == 0
    channel.exchange_delete(name)
    assert channel.is_open


def test_a_wrong_password_is_refused_with_the_exact_text(broker_url: str) -> None:
    parameters = pika.URLParameters(broker_url)
    parameters.credentials = pika.PlainCredentials("guest", "wrong")
    with pytest.raises(pika.exceptions.ProbableAuthenticationError) as caught:
        pika.BlockingConnection(parameters)
    assert (
        "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. "
        "For details see the broker logfile." in str(caught.value)
    )


def test_an_unknown_vhost_is_refused_with_the_exact_text(broker_url: str) -> None:
    parameters = pika.URLParameters(broker_url)
    parameters.virtual_host = "nowhere"
    with pytest.raises(pika.exceptions.ProbableAccessDeniedError) as caught:
        pika.BlockingConnection(parameters)
    assert "NOT_ALLOWED - vhost nowhere not found" in str(caught.value)


def test_a_body_above_the_limit_is_refused(connection: pika.BlockingConnection) -> None:
    channel = connection.channel()
    channel.confirm_delivery()
    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as caught:
        channel.basic_publish("", "anywhere", bytes((16 << 20) + 1))
    assert caught.value.reply_code == 406
    assert caught.value.reply_text == (
        "PRECONDITION_FAILED - message size 16777217 is larger than configured max size 16777216"
    )


def test_immediate_is_not_implemented(broker_url: str) -> None:
    """A connection error; RabbitMQ does not implement this part of the specification."""
    connection = pika.BlockingConnection(pika.URLParameters(broker_url))
    channel = connection.channel()
    publish = pika.spec.Basic.Publish(exchange="", routing_key="x", immediate=True)
    channel._impl._send_method(publish, (pika.BasicProperties(), b""))
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker) as caught:
        channel.queue_declare("", exclusive=True)
    assert (caught.value.reply_code, caught.value.reply_text) == (540, "NOT_IMPLEMENTED - immediate=true")
    assert connection.is_closed
