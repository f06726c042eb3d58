"""Errors about publishing, consuming, settling, confirms and transactions."""

from __future__ import annotations

from leveret.errors.kinds import AmqpError, queue_name

# --- basic (0-9-1 1.8)


def immediate_not_supported() -> AmqpError:
    """basic.publish with immediate."""
    return AmqpError(540, "immediate=true")


def message_too_large(size: int, limit: int) -> AmqpError:
    """A body beyond max_message_size."""
    return AmqpError(406, f"message size {size} is larger than configured max size {limit}")


def malformed_properties() -> AmqpError:
    """A malformed property list: RabbitMQ's channel process crashes."""
    return AmqpError(541, anonymous=True)


def too_many_headers(limit: int) -> AmqpError:
    """More headers than a walk over them should take."""
    return AmqpError(506, f"headers of a message have more than {limit} fields, with those inside them")


def headers_too_deep(limit: int) -> AmqpError:
    """Tables and arrays in the headers of a message, on too many levels."""
    return AmqpError(506, f"headers of a message are nested on more than {limit} levels")


def unfinished_bodies(limit: int) -> AmqpError:
    """Half-received bodies on the channels of one connection, together too large."""
    return AmqpError(
        506, f"unfinished message bodies on this connection are larger than configured limit {limit}"
    )


def all_unfinished_bodies(limit: int) -> AmqpError:
    """Half-received bodies of all connections fill much of the memory; this one has sent most of them."""
    return AmqpError(506, f"unfinished message bodies of all connections are larger than {limit}")


def all_uncommitted(limit: int) -> AmqpError:
    """Publishes of open transactions fill much of the memory; this connection holds most of them."""
    return AmqpError(506, f"uncommitted messages of all connections are larger than {limit}")


def invalid_expiration(value: str, reason: str) -> AmqpError:
    """An `expiration` that is not a number of milliseconds."""
    return AmqpError(406, f"invalid expiration '{value}': {reason}")


def unknown_delivery_mode(mode: int) -> AmqpError:
    """A delivery_mode other than 1 and 2, if the profile refuses it."""
    return AmqpError(406, f"invalid message: {{delivery_mode_unknown,{mode}}}")


def unacceptable_header(name: str, kind: str) -> AmqpError:
    """CC or BCC that is not an array."""
    return AmqpError(406, f'invalid message: {{unacceptable_type_in_header,"{name}",{kind}}}')


def wrong_user_id(claimed: str, actual: str) -> AmqpError:
    """A property `user_id` that is not the user name of the connection."""
    return AmqpError(406, f"user_id property set to '{claimed}' but authenticated user was '{actual}'")


def consumer_tag_in_use(tag: str) -> AmqpError:
    """basic.consume with a consumer tag that the channel already uses."""
    return AmqpError(530, f"attempt to reuse consumer tag '{tag}'")


def exclusive_use(name: str, vhost: str) -> AmqpError:
    """An exclusive consumer of a queue with other consumers."""
    return AmqpError(403, f"{queue_name(name, vhost)} in exclusive use")


def delivery_timed_out(channel: int, timeout: int) -> AmqpError:
    """A delivery that was not settled in time (ms; in RabbitMQ's text -1 since 4.3)."""
    return AmqpError(
        406,
        f"delivery acknowledgement on channel {channel} timed out. Timeout value used: {timeout} ms. "
        "This timeout value can be configured, see consumers doc guide to learn more",
        anonymous=True,
    )


def unknown_consumer_tag(tag: str) -> AmqpError:
    """basic.credit for a consumer that does not exist."""
    return AmqpError(406, f"unknown consumer tag '{tag}'")


def unknown_delivery_tag(tag: int) -> AmqpError:
    """Settling a delivery tag that is not outstanding on this channel."""
    return AmqpError(406, f"unknown delivery tag {tag}")


def global_qos_not_supported(name: str, vhost: str) -> AmqpError:
    """Consuming from a quorum queue or stream with a limit for the whole channel."""
    return AmqpError(540, f"{queue_name(name, vhost)} does not support global qos")


def get_with_single_active_consumer(name: str, vhost: str, word: str) -> AmqpError:
    """basic.get from a quorum queue with single active consumer. `word`: the version's text for `quorum`."""
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
    """Consuming from a stream with no-ack. `old`: the text of 3.13 and older."""
    words = "stream queues" if old else "stream"
    return AmqpError(540, f"automatic acknowledgement not supported by {words} {queue_name(name, vhost)}")


def stream_needs_prefetch(name: str, vhost: str, old: bool) -> AmqpError:
    """Consuming from a stream without a prefetch count. `old`: the text of 3.13 and older."""
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
    """basic.get from a direct reply-to address in use."""
    return AmqpError(540, f"basic.get not supported by volatile {queue_name(name, vhost)}")


def consume_reply_address(name: str, vhost: str, own: bool) -> AmqpError:
    """basic.consume from a direct reply-to address in use. `own`: it belongs to this channel."""
    if own:
        return AmqpError(406, f"multiple consumers are unsupported for {queue_name(name, vhost)}")
    return AmqpError(406, f"only creator channel may consume from {queue_name(name, vhost)}")


def no_reply_consumer() -> AmqpError:
    """Publishing with the direct reply-to pseudo-queue as reply-to, without consuming it first."""
    return AmqpError(406, "fast reply consumer does not exist")


# --- confirm and tx


def cannot_switch(current: str, wanted: str) -> AmqpError:
    """confirm.select on a channel in transaction mode, or the reverse."""
    return AmqpError(406, f"cannot switch from {current} to {wanted} mode")


def not_transactional() -> AmqpError:
    """tx.commit or tx.rollback without tx.select."""
    return AmqpError(406, "channel is not transactional")


def queue_gone_at_commit(name: str, vhost: str) -> AmqpError:
    """A queue that was deleted after a publish of the transaction was routed to it."""
    resource = f'{{resource,<<"{vhost}">>,queue,<<"{name}">>}}'
    return AmqpError(506, f"failed to deliver message: {{not_found,{resource}}}")


def partial_commit() -> AmqpError:
    """A queue that refused a message of the transaction; the rest of the commit is done."""
    return AmqpError(406, "partial tx completion")
