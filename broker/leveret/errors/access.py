"""Errors about permissions and limits."""

from __future__ import annotations

from leveret.errors.kinds import AmqpError, exchange_name


def access_refused(kind: str, rendered: str, user: str, prefixed: bool) -> AmqpError:
    """No permission `kind` on a resource; since 3.12 (`prefixed`) the text starts with it."""
    prefix = f"{kind} " if prefixed else ""
    return AmqpError(403, f"{prefix}access to {rendered} refused for user '{user}'")


def topic_access_refused(
    kind: str, routing_key: str, exchange: str, vhost: str, user: str, prefixed: bool
) -> AmqpError:
    """No topic permission for a routing key."""
    where = exchange_name(exchange, vhost)
    return access_refused(kind, f"topic '{routing_key}' in {where}", user, prefixed)


def vhost_access_refused(vhost: str, user: str) -> AmqpError:
    """connection.open without permissions in the virtual host."""
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
    """channel.open beyond the user's max-channels; in some versions the number is in parentheses."""
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
    """Method arguments that cannot be decoded."""
    return AmqpError(501, f"cannot decode {detail}")
