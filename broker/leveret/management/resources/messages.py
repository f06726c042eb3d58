"""`exchanges/VHOST/NAME/publish` and `queues/VHOST/NAME/get`: single messages, for tests and by hand."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager

from leveret import errors
from leveret.engine import operations
from leveret.engine.operations import AckMode, DirectClient, Outcome
from leveret.engine.vhost import VirtualHost
from leveret.errors import AmqpError
from leveret.management.call import (
    Call,
    Refusal,
    Resource,
    Routes,
    bad_request,
    not_found,
    table_from_json,
)
from leveret.management.payloads import Row, base64_steps, messages_in_slices
from leveret.management.views.messages import got
from leveret.wire.erlang import integer
from leveret.wire.properties import Properties

#: What RabbitMQ's client says of a property that AMQP cannot carry.
TOO_LONG = "506 failed to deliver message: content_properties_shortstr_overflow"

_NUMBERS = ("delivery_mode", "priority", "timestamp")


async def publish(call: Call) -> object:
    """POST {routing_key, properties, payload, payload_encoding}: publish a message; says whether it was routed."""
    name = call.path["name"]
    exchange = "" if name == "amq.default" else name
    vhost = _vhost(call)
    if exchange not in vhost.exchanges:
        raise not_found("exchange_not_found")
    fields = ("routing_key", "properties", "payload", "payload_encoding")
    key, given, text, encoding = call.needed(call.fields(), fields)
    if not isinstance(text, str):
        raise bad_request("payload_not_string")
    _client_of(call, vhost)  # refuses users first
    slices = call.site.slices
    properties = await slices.run(_properties_steps(given))
    body = await slices.run(payload_steps(text, encoding))
    if not isinstance(key, str):
        raise bad_request(["not_string", "routing_key"])
    with _closing_errors():
        content = await slices.run(operations.content_steps(call.broker, properties, body))
    client = direct_client(call)  # of the virtual host that is there now
    with _closing_errors():
        publishing = operations.begin_publish(client, exchange, key, content)
    await call.site.ended(publishing.job)
    outcome = publishing.outcome
    if outcome is None:  # a fault, which was reported
        raise errors.internal_error()
    if outcome is Outcome.REFUSED:
        raise bad_request("rejected Unable to publish message. Check queue limits.")
    return {"routed": outcome is Outcome.ROUTED}


async def get(call: Call) -> object:
    """POST {count, ackmode, encoding, truncate}: get messages, and put them back or not, as `ackmode` says."""
    name = present_queue(call)
    fields = call.fields()
    mode, count, encoding = call.needed(fields, ("ackmode", "count", "encoding"))
    client = direct_client(call)
    ack_mode, number = _ack_mode(mode), whole(count)
    if encoding not in ("auto", "base64"):
        raise bad_request("Unsupported encoding. Please use auto or base64.")
    cut = whole(fields["truncate"]) if "truncate" in fields else None
    if cut is not None and cut < 0:  # RabbitMQ fails over that
        raise bad_request(["not_positive", cut])
    try:
        getting = operations.get_messages(client, name, number, ack_mode)
        await call.site.ended(getting.job)
        found = getting.messages()
    except AmqpError as error:
        raise named(error) from None
    rows = (Row(got(one), one.message.header, one.message.body[:cut]) for one in found)
    return await messages_in_slices(call.site.slices, rows, as_text=encoding == "auto")


def _ack_mode(mode: object) -> AckMode:
    try:
        return AckMode(mode)
    except ValueError:
        known = ", ".join(one.value for one in AckMode)
        raise bad_request(f"Invalid ackmode value: {mode}. Valid values are: {known}") from None


def _vhost(call: Call) -> VirtualHost:
    vhost = call.broker.vhosts.get(call.path["vhost"])
    if vhost is None:
        raise not_found("vhost_not_found")
    return vhost


def present_queue(call: Call) -> str:
    """The name of the queue in the path, which must exist. Raises `Refusal`."""
    name = call.path["name"]
    if name not in _vhost(call).queues:
        raise not_found("queue_not_found")
    return name


def direct_client(call: Call) -> DirectClient:
    """The user as a client in the virtual host in the path. Raises AmqpError, `Refusal`."""
    return _client_of(call, _vhost(call))


def _client_of(call: Call, vhost: VirtualHost) -> DirectClient:
    """The user as a client. An administrator who has no permissions in the virtual host is refused here."""
    return DirectClient(call.broker, vhost, call.user, call.caller.actor)


@contextmanager
def _closing_errors() -> Iterator[None]:
    """Raise `Refusal` for what closes the channel while a publish is waited for."""
    try:
        yield
    except AmqpError as error:
        raise _coded(error) from None
    except ValueError:
        raise bad_request(TOO_LONG) from None


def _coded(error: AmqpError) -> Refusal:
    """An error that closes the channel while a publish is waited for: with its code."""
    return bad_request(f"{error.code} {error.text}")


def named(error: AmqpError) -> Refusal:
    """An error that closes the channel during a call."""
    if error.code == 404:
        return not_found(error.text)
    if error.code == 403:
        return Refusal(401, "not_authorised", error.text)
    if error.code == 540:  # RabbitMQ's client has no name for it
        return bad_request(f"{error.code} {error.explanation}")
    return _coded(error)


def whole(value: object) -> int:
    """A whole number, which may be a string or a float. Raises `Refusal`."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return int(value)
    try:
        if isinstance(value, str):
            return integer(value)
    except ValueError:
        pass
    raise bad_request(["not_integer", value])


def payload_steps(text: str, encoding: object) -> Generator[None, None, bytes]:
    """The octets of a payload, in portions. Raises `Refusal`."""
    if encoding == "string":
        return text.encode("utf-8", "surrogatepass")
    if encoding != "base64":
        raise bad_request(["unsupported_encoding", encoding])
    try:
        return (yield from base64_steps(text))
    except ValueError:
        raise bad_request(["not_base64", text]) from None


def _properties_steps(given: object) -> Generator[None, None, Properties]:
    """The properties of a message; others are ignored. Raises `Refusal`."""
    if not isinstance(given, dict):
        raise bad_request("properties_not_an_object")
    made = Properties()
    for name in Properties.__struct_fields__:
        if name in given:
            setattr(made, name, _property(name, given[name]))
            yield
    return made


def _property(name: str, value: object) -> object:
    if name == "headers":
        return table_from_json(value, "headers_not_an_object")
    if name in _NUMBERS:
        if not isinstance(value, int) or isinstance(value, bool):
            raise bad_request(["not_int", name])
    elif not isinstance(value, str):
        raise bad_request(["not_string", name])
    return value


def _resource(handler: Callable[[Call], object]) -> Resource:
    return Resource({"POST": handler}, may=Call.need_vhost)


ROUTES: Routes = {
    "exchanges/{vhost}/{name}/publish": _resource(publish),
    "queues/{vhost}/{name}/get": _resource(get),
}
