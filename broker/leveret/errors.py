"""Every sentence a client can read, written once.

`AmqpError` is the one exception for a broken rule. It carries what a Close frame needs: reply code, reply text, and
whether it ends the channel or the whole connection. It is raised anywhere below and caught in one place only
(`session/connection.py`), which turns it into `channel.close` or `connection.close` and fills in the class and method
of the offender.

Reply texts are `NAME - explanation`, or the bare NAME where there is no explanation, as RabbitMQ writes them
(rabbit_binary_generator / rabbit_misc:protocol_error). Constructors below are grouped by AMQP class and hold
RabbitMQ's exact texts.
"""

from __future__ import annotations

from typing import Literal

Scope = Literal["channel", "connection"]

#: Reply code -> (name, scope), AMQP 0-9-1 section 1.1 with RabbitMQ's choice of scope.
CODES: dict[int, tuple[str, Scope]] = {
    311: ("CONTENT_TOO_LARGE", "channel"),
    312: ("NO_ROUTE", "channel"),
    313: ("NO_CONSUMERS", "channel"),
    320: ("CONNECTION_FORCED", "connection"),
    402: ("INVALID_PATH", "connection"),
    403: ("ACCESS_REFUSED", "channel"),
    404: ("NOT_FOUND", "channel"),
    405: ("RESOURCE_LOCKED", "channel"),
    406: ("PRECONDITION_FAILED", "channel"),
    501: ("FRAME_ERROR", "connection"),
    502: ("SYNTAX_ERROR", "connection"),
    503: ("COMMAND_INVALID", "connection"),
    504: ("CHANNEL_ERROR", "connection"),
    505: ("UNEXPECTED_FRAME", "connection"),
    506: ("RESOURCE_ERROR", "connection"),
    530: ("NOT_ALLOWED", "connection"),
    540: ("NOT_IMPLEMENTED", "connection"),
    541: ("INTERNAL_ERROR", "connection"),
}

#: A shortstr holds 255 bytes; RabbitMQ cuts longer reply texts to 252 and adds an ellipsis.
REPLY_TEXT_LIMIT = 255


class AmqpError(Exception):
    """A rule of AMQP or RabbitMQ that the client broke.

    `code`: AMQP reply code. `explanation`: what follows `NAME - ` (empty: the bare name). `scope`: "channel" or
    "connection", by default what the code implies. `anonymous`: the Close names class and method 0/0 instead of the
    offending method's.
    """

    def __init__(
        self, code: int, explanation: str = "", *, scope: Scope | None = None, anonymous: bool = False
    ) -> None:
        name, default_scope = CODES[code]
        super().__init__(f"{name} - {explanation}" if explanation else name)
        self.code = code
        self.name = name
        self.explanation = explanation
        self.scope: Scope = scope or default_scope
        self.anonymous = anonymous

    @property
    def text(self) -> str:
        """The reply text as it goes on the wire, cut to a shortstr as RabbitMQ cuts it."""
        text = str(self)
        raw = text.encode("utf-8", "surrogateescape")
        if len(raw) <= REPLY_TEXT_LIMIT:
            return text
        return raw[: REPLY_TEXT_LIMIT - 3].decode("utf-8", "ignore") + "..."

    @property
    def bursts(self) -> bool:
        """Whether RabbitMQ 4 cannot say it: it cuts to 255 characters, which may be more octets than fit."""
        text = str(self)
        raw = len(text.encode("utf-8", "surrogateescape"))
        return raw > REPLY_TEXT_LIMIT and not text[: REPLY_TEXT_LIMIT - 3].isascii()


def queue_name(name: str, vhost: str) -> str:
    """A queue as RabbitMQ renders it in texts (rabbit_misc:rs/1)."""
    return f"queue '{name}' in vhost '{vhost}'"


def exchange_name(name: str, vhost: str) -> str:
    """An exchange as RabbitMQ renders it in texts (rabbit_misc:rs/1)."""
    return f"exchange '{name}' in vhost '{vhost}'"


# --- frames and content (AMQP 0-9-1 2.3.5, 4.2; rabbit_reader, rabbit_command_assembler)


def frame_too_large(kind: int, size: int, limit: int) -> AmqpError:
    """A frame's payload exceeds what was negotiated."""
    return AmqpError(
        501, f"type {kind}, all octets = <<>>: {{frame_too_large,{size},{limit}}}", anonymous=True
    )


def invalid_frame_end(kind: int, octets: str, end: int) -> AmqpError:
    """A frame does not end with 0xCE. `octets`: its payload, as `wire.erlang.excerpt` shows it."""
    return AmqpError(501, f"type {kind}, {octets}: {{invalid_frame_end_marker,{end}}}", anonymous=True)


def unknown_frame(kind: int, octets: str) -> AmqpError:
    """A frame type that AMQP 0-9-1 does not have, or a frame too short to be of its type."""
    return AmqpError(501, f"type {kind}, {octets}: unknown_frame", anonymous=True)


def unexpected_frame(kind: int, octets: str) -> AmqpError:
    """A frame where it must not stand, such as a heartbeat on a channel."""
    return AmqpError(505, f"type {kind}, {octets}", anonymous=True)


def expected_method() -> AmqpError:
    """Content without a method before it."""
    return AmqpError(505, "expected method frame, got non method frame instead", anonymous=True)


def expected_header() -> AmqpError:
    """Something else between basic.publish and its content header."""
    return AmqpError(505, "expected content header for class 60, got non content header frame instead")


def wrong_header_class(class_id: int) -> AmqpError:
    """A content header of another class."""
    return AmqpError(505, f"expected content header for class 60, got one for class {class_id} instead")


def expected_body() -> AmqpError:
    """Something else before the body is complete."""
    return AmqpError(505, "expected content body, got non content body frame instead")


def body_exceeds_size() -> AmqpError:
    """More body than the header announced."""
    return AmqpError(501, "content body frame exceeds remaining content size")


def body_size_exceeds(size: int) -> AmqpError:
    """A header announces more than any message may have (rabbit_misc:max_message_size)."""
    return AmqpError(501, f"content body size {size} exceeds maximum allowed size 536870912")


def malformed_utf8() -> AmqpError:
    """A shortstr that is not UTF-8."""
    return AmqpError(501, "Malformed UTF-8 in shortstr", anonymous=True)


def internal_error() -> AmqpError:
    """The broker failed while serving a method; the client learns nothing more (rabbit_reader)."""
    return AmqpError(541, anonymous=True)


# --- connection (0-9-1 1.4)


def login_refused(mechanism: str) -> AmqpError:
    """Bad credentials, to clients with authentication_failure_close."""
    return AmqpError(
        403,
        f"Login was refused using authentication mechanism {mechanism}. For details see the broker logfile.",
        scope="connection",
        anonymous=True,
    )


def unexpected_method(state: str) -> AmqpError:
    """A method that does not fit the connection's state."""
    return AmqpError(504, f"unexpected method in connection state {state}")


def unimplemented_method() -> AmqpError:
    """A method only a server sends, or one on the wrong channel."""
    return AmqpError(503, "unimplemented method")


def connection_forced(reason: str) -> AmqpError:
    """The broker ends a connection for reasons of its own."""
    return AmqpError(320, reason, anonymous=True)


def vhost_not_found(name: str) -> AmqpError:
    """connection.open to a virtual host that does not exist."""
    return AmqpError(530, f"vhost {name} not found")


# --- channel (0-9-1 1.5)


def channel_not_open() -> AmqpError:
    """A method on a channel number that is not open."""
    return AmqpError(504, "expected 'channel.open'")


def second_channel_open() -> AmqpError:
    """channel.open on an open channel."""
    return AmqpError(504, "second 'channel.open' seen")


def too_many_channels(count: int) -> AmqpError:
    """More open channels than were negotiated."""
    return AmqpError(
        530,
        f"number of channels opened ({count}) has reached the negotiated channel_max ({count})",
        anonymous=True,
    )


def flow_not_supported() -> AmqpError:
    """channel.flow(active=false)."""
    return AmqpError(540, "active=false")


def unexpected_command(name: str) -> AmqpError:
    """Another method while one is not answered yet."""
    return AmqpError(504, f"unexpected command while processing '{name}'")


# --- exchange (0-9-1 1.6)


def exchange_not_found(name: str, vhost: str) -> AmqpError:
    """No such exchange."""
    return AmqpError(404, f"no {exchange_name(name, vhost)}")


def exchange_reserved(name: str) -> AmqpError:
    """Declaring a new exchange named amq.*."""
    return AmqpError(403, f"exchange name '{name}' contains reserved prefix 'amq.*'")


def exchange_in_use(name: str, vhost: str) -> AmqpError:
    """exchange.delete with if-unused while it has bindings."""
    return AmqpError(406, f"{exchange_name(name, vhost)} in use")


def exchange_internal(name: str, vhost: str) -> AmqpError:
    """A client publishes to an internal exchange."""
    return AmqpError(403, f"cannot publish to internal {exchange_name(name, vhost)}")


def exchange_not_deletable(name: str, vhost: str) -> AmqpError:
    """Deleting one of the predeclared exchanges."""
    return AmqpError(403, f"deletion of system {exchange_name(name, vhost)} not allowed")


def default_exchange_refused() -> AmqpError:
    """Declaring, deleting or binding the default exchange."""
    return AmqpError(403, "operation not permitted on the default exchange")


# --- queue (0-9-1 1.7)


def queue_not_found(name: str, vhost: str) -> AmqpError:
    """No such queue."""
    return AmqpError(404, f"no {queue_name(name, vhost)}")


def no_previous_queue() -> AmqpError:
    """An empty queue name on a channel that has declared none."""
    return AmqpError(404, "no previously declared queue")


def queue_reserved(name: str) -> AmqpError:
    """Declaring a new queue named amq.*."""
    return AmqpError(403, f"queue name '{name}' contains reserved prefix 'amq.*'")


def queue_locked(name: str, vhost: str) -> AmqpError:
    """Another connection's exclusive queue, or a declare that disagrees about exclusiveness."""
    return AmqpError(
        405,
        f"cannot obtain exclusive access to locked {queue_name(name, vhost)}. It could be originally declared on "
        "another connection or the exclusive property value does not match that of the original declaration.",
    )


def queue_in_use(name: str, vhost: str) -> AmqpError:
    """queue.delete with if-unused while it has consumers."""
    return AmqpError(406, f"{queue_name(name, vhost)} in use")


def queue_not_empty(name: str, vhost: str) -> AmqpError:
    """queue.delete with if-empty while messages are ready."""
    return AmqpError(406, f"{queue_name(name, vhost)} not empty")


def reply_queue_binding() -> AmqpError:
    """Binding a direct reply-to address."""
    return AmqpError(403, "cannot bind or unbind to a volatile (direct reply-to) queue")


# --- basic (0-9-1 1.8)


def immediate_not_supported() -> AmqpError:
    """basic.publish with immediate."""
    return AmqpError(540, "immediate=true")


def message_too_large(size: int, limit: int) -> AmqpError:
    """A body beyond max_message_size."""
    return AmqpError(406, f"message size {size} is larger than configured max size {limit}")


def malformed_properties() -> AmqpError:
    """A property list that does not decode: RabbitMQ's channel process dies of it."""
    return AmqpError(541, anonymous=True)


def invalid_expiration(value: str, reason: str) -> AmqpError:
    """An `expiration` that is not a number of milliseconds."""
    return AmqpError(406, f"invalid expiration '{value}': {reason}")


def unknown_delivery_mode(mode: int) -> AmqpError:
    """A delivery_mode other than 1 and 2, where the profile refuses it."""
    return AmqpError(406, f"invalid message: {{delivery_mode_unknown,{mode}}}")


def unacceptable_header(name: str, kind: str) -> AmqpError:
    """CC or BCC that is not an array."""
    return AmqpError(406, f'invalid message: {{unacceptable_type_in_header,"{name}",{kind}}}')


def wrong_user_id(claimed: str, actual: str) -> AmqpError:
    """A `user_id` property that is not the publisher's login."""
    return AmqpError(406, f"user_id property set to '{claimed}' but authenticated user was '{actual}'")


def consumer_tag_in_use(tag: str) -> AmqpError:
    """basic.consume with a tag the channel already uses."""
    return AmqpError(530, f"attempt to reuse consumer tag '{tag}'")


def exclusive_use(name: str, vhost: str) -> AmqpError:
    """An exclusive consumer among others."""
    return AmqpError(403, f"{queue_name(name, vhost)} in exclusive use")


def delivery_timed_out(channel: int, timeout: int) -> AmqpError:
    """A delivery was not settled in time (ms; -1 is what RabbitMQ says since 4.3)."""
    return AmqpError(
        406,
        f"delivery acknowledgement on channel {channel} timed out. Timeout value used: {timeout} ms. "
        "This timeout value can be configured, see consumers doc guide to learn more",
        anonymous=True,
    )


def unknown_consumer_tag(tag: str) -> AmqpError:
    """basic.credit for a consumer that is not there."""
    return AmqpError(406, f"unknown consumer tag '{tag}'")


def unknown_delivery_tag(tag: int) -> AmqpError:
    """Settling what is not outstanding on this channel."""
    return AmqpError(406, f"unknown delivery tag {tag}")


def global_qos_not_supported(name: str, vhost: str) -> AmqpError:
    """A quorum queue or stream consumed under a limit for the whole channel."""
    return AmqpError(540, f"{queue_name(name, vhost)} does not support global qos")


def get_with_single_active_consumer(name: str, vhost: str, word: str) -> AmqpError:
    """basic.get from a quorum queue with single active consumer. `word`: how the version writes `quorum`."""
    return AmqpError(
        405,
        f"cannot obtain access to locked {queue_name(name, vhost)}. basic.get operations are not supported by "
        f"{word} queues with single active consumer",
    )


def conditional_delete_not_supported(name: str, vhost: str, condition: str) -> AmqpError:
    """queue.delete with a condition that quorum queues do not have."""
    return AmqpError(
        540,
        f"cannot delete {queue_name(name, vhost)}. queue.delete operations with {condition} flag set are not "
        "supported by quorum queues",
    )


def stream_does_not(name: str, vhost: str, method: str) -> AmqpError:
    """A method that streams do not have."""
    return AmqpError(540, f"{method} not supported by stream queues {queue_name(name, vhost)}")


def stream_nack_not_supported(name: str, vhost: str) -> AmqpError:
    """basic.nack or basic.reject of a stream's delivery, before 3.13."""
    return stream_does_not(name, vhost, "basic.nack and basic.reject")


def stream_needs_acknowledgements(name: str, vhost: str, old: bool) -> AmqpError:
    """A stream consumed with no-ack. `old`: as 3.13 and older word it."""
    words = "stream queues" if old else "stream"
    return AmqpError(540, f"automatic acknowledgement not supported by {words} {queue_name(name, vhost)}")


def stream_needs_prefetch(name: str, vhost: str, old: bool) -> AmqpError:
    """A stream consumed without a prefetch count. `old`: as 3.13 and older word it."""
    rendered = queue_name(name, vhost)
    shown = f"'{rendered}'" if old else f"stream {rendered}"
    return AmqpError(406, f"consumer prefetch count is not set for {shown}")


def recover_not_supported() -> AmqpError:
    """basic.recover(requeue=false)."""
    return AmqpError(540, "requeue=false")


def prefetch_size_not_supported(size: int) -> AmqpError:
    """basic.qos with a prefetch-size."""
    return AmqpError(540, f"prefetch_size!=0 ({size})")


def reply_consumer_acknowledges() -> AmqpError:
    """Consuming the direct reply-to pseudo-queue without no-ack."""
    return AmqpError(406, "reply consumer cannot acknowledge")


def reply_consumer_set() -> AmqpError:
    """A second direct reply-to consumer on a channel."""
    return AmqpError(406, "reply consumer already set")


def get_from_reply_address(name: str, vhost: str) -> AmqpError:
    """basic.get on a living direct reply-to address."""
    return AmqpError(540, f"basic.get not supported by volatile {queue_name(name, vhost)}")


def consume_reply_address(name: str, vhost: str) -> AmqpError:
    """basic.consume on a living direct reply-to address."""
    return AmqpError(406, f"only creator channel may consume from {queue_name(name, vhost)}")


def no_reply_consumer() -> AmqpError:
    """Publishing with the direct reply-to pseudo-queue as reply-to, without consuming it first."""
    return AmqpError(406, "fast reply consumer does not exist")


# --- confirm and tx


def cannot_switch(current: str, wanted: str) -> AmqpError:
    """confirm.select on a transactional channel, or the reverse."""
    return AmqpError(406, f"cannot switch from {current} to {wanted} mode")


def not_transactional() -> AmqpError:
    """tx.commit or tx.rollback without tx.select."""
    return AmqpError(406, "channel is not transactional")


def queue_gone_at_commit(name: str, vhost: str) -> AmqpError:
    """A queue that a publish of the transaction was routed to is there no more."""
    resource = f'{{resource,<<"{vhost}">>,queue,<<"{name}">>}}'
    return AmqpError(506, f"failed to deliver message: {{not_found,{resource}}}")


def partial_commit() -> AmqpError:
    """A queue refused a message of the transaction; what was done stays."""
    return AmqpError(406, "partial tx completion")


# --- access


def access_refused(kind: str, rendered: str, user: str, prefixed: bool) -> AmqpError:
    """No `kind` permission on a resource; from 3.12 (`prefixed`) the text starts with the kind."""
    prefix = f"{kind} " if prefixed else ""
    return AmqpError(403, f"{prefix}access to {rendered} refused for user '{user}'")


def topic_access_refused(
    kind: str, routing_key: str, exchange: str, vhost: str, user: str, prefixed: bool
) -> AmqpError:
    """No topic permission for a routing key."""
    where = exchange_name(exchange, vhost)
    return access_refused(kind, f"topic '{routing_key}' in {where}", user, prefixed)


def vhost_access_refused(vhost: str, user: str) -> AmqpError:
    """connection.open without a permission entry."""
    return AmqpError(530, f"access to vhost '{vhost}' refused for user '{user}'")


def vhost_connection_limit(vhost: str, user: str, limit: int) -> AmqpError:
    """connection.open beyond the virtual host's max-connections."""
    text = f"access to vhost '{vhost}' refused for user '{user}': connection limit ({limit}) is reached"
    return AmqpError(530, text)


def node_connection_limit(limit: int) -> AmqpError:
    """The node's limit on connections is reached."""
    return AmqpError(530, f"connection refused: node connection limit ({limit}) is reached")


def user_connection_limit(user: str, limit: int) -> AmqpError:
    """connection.open beyond the user's max-connections."""
    text = f"connection refused for user '{user}': user connection limit ({limit}) is reached"
    return AmqpError(530, text)


def user_channel_limit(user: str, limit: int, parentheses: bool) -> AmqpError:
    """channel.open beyond the user's max-channels; until 4.1 the number stands in parentheses."""
    number = f"({limit})" if parentheses else f"{limit}"
    text = (
        f"number of channels opened for user '{user}' has reached the maximum allowed user limit of {number}"
    )
    return AmqpError(530, text, anonymous=True)


def vhost_queue_limit(queue: str, vhost: str, limit: int) -> AmqpError:
    """queue.declare beyond the virtual host's max-queues."""
    text = f"cannot declare queue '{queue}': queue limit in vhost '{vhost}' ({limit}) is reached"
    return AmqpError(406, text)


def undecodable(detail: str) -> AmqpError:
    """Method arguments that do not decode."""
    return AmqpError(501, f"cannot decode {detail}")


# --- routing (rabbit_exchange_type_*)


def invalid_x_match(value: str) -> AmqpError:
    """A headers binding with an x-match that is no mode; `value` as Erlang prints it."""
    return AmqpError(
        406, f"Invalid x-match field value {value}; expected all, any, all-with-x, or any-with-x"
    )


def invalid_x_match_type(kind: str, value: object) -> AmqpError:
    """A headers binding with an x-match that is no string."""
    return AmqpError(406, f"Invalid x-match field type {kind} (value {value}); expected longstr")


def hash_sources_exclusive() -> AmqpError:
    """x-consistent-hash with both hash-header and hash-property."""
    return AmqpError(406, "hash-header and hash-property are mutually exclusive")


def unsupported_hash_property(name: str) -> AmqpError:
    """x-consistent-hash over a property that it does not hash."""
    return AmqpError(406, f"Unsupported property: {name}")


def weight_not_integer(key: str) -> AmqpError:
    """A binding key of x-consistent-hash that is no number; `key` as Erlang prints it."""
    return AmqpError(406, f"The binding key must be an integer: {key}")


def weight_not_positive() -> AmqpError:
    """A binding key of x-consistent-hash below 1."""
    return AmqpError(406, "The binding key must be greater than 0")


def weight_too_large(limit: int) -> AmqpError:
    """A binding key of x-consistent-hash beyond what the profile allows."""
    return AmqpError(406, f"The binding key must not exceed {limit}")


def local_random_key(key: bytes) -> AmqpError:
    """A binding of x-local-random with a key."""
    return AmqpError(406, f"Non empty binding '{key.decode('utf-8', 'replace')}' key not permitted")


def local_random_queue_type(kind: str) -> AmqpError:
    """A binding of x-local-random to another kind of queue."""
    return AmqpError(406, f"Queue type rabbit_{kind}_queue not valid for this exchange type")


def local_random_destination() -> AmqpError:
    """A binding of x-local-random to an exchange."""
    return AmqpError(406, "Destination not found")


def delayed_type_missing() -> AmqpError:
    """x-delayed-message without a type to route as."""
    return AmqpError(406, "Invalid argument, 'x-delayed-type' must be an existing exchange type")


def delayed_type_recursive() -> AmqpError:
    """x-delayed-message that would route as itself."""
    return AmqpError(406, "Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'")


def delayed_type_unknown(kind: str) -> AmqpError:
    """x-delayed-message over a type that does not exist (rabbit_exchange:check_type/1)."""
    return AmqpError(406, f"unknown exchange type '{kind}'")


def recent_history_length(value: object) -> AmqpError:
    """x-recent-history with a length that is none."""
    return AmqpError(406, f"Invalid argument {value}, 'x-recent-history-length' must be a positive integer")


def too_many_wildcards(key: bytes, count: int) -> AmqpError:
    """A topic pattern with more `#` than RabbitMQ 4.3.5 and later allow."""
    text = key.decode("utf-8", "replace")
    return AmqpError(406, f"Topic binding key '{text}' uses {count} '#' wildcards, at most 2 are allowed")
