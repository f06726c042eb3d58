"""Errors about permissions and limits."""

from __future__ import annotations

from leveret.errors.kinds import AmqpError, exchange_name


def access_refused(kind: str, rendered: str, user: str, prefixed: bool, more: str = "") -> AmqpError:
    """No permission `kind` on a resource; since 3.12 (`prefixed`) the text starts with it. `more`: what a backend has
    said."""
    prefix = f"{kind} " if prefixed else ""
    return AmqpError(403, f"{prefix}access to {rendered} refused for user '{user}'{more}")


def topic_access_refused(
    kind: str, routing_key: str, exchange: str, vhost: str, user: str, prefixed: bool, more: str = ""
) -> AmqpError:
    """No topic permission for a routing key."""
    where = exchange_name(exchange, vhost)
    return access_refused(kind, f"topic '{routing_key}' in {where}", user, prefixed, more)


def vhost_access_refused(vhost: str, user: str, more: str = "") -> AmqpError:
    """connection.open without permissions in the virtual host. `more`: what a backend has said."""
    return AmqpError(530, f"access to vhost '{vhost}' refused for user '{user}'{more}")


def secret_refused(failed: bool) -> AmqpError:
    """connection.update-secret with a secret that is not accepted. `failed`: it cannot even be read."""
    return AmqpError(
        530, "Secret update failed" if failed else "New secret was refused by one of the backends"
    )


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


def node_channel_limit(node: str, limit: int) -> AmqpError:
    """channel.open beyond channel_max_per_node."""
    text = f"number of channels opened on node '{node}' has reached the maximum allowed limit of {limit}"
    return AmqpError(530, text, anonymous=True)


def consumer_limit(limit: int) -> AmqpError:
    """basic.consume beyond consumer_max_per_channel."""
    return AmqpError(530, f"reached maximum ({limit}) of consumers per channel")


def vhost_queue_limit(queue: str, vhost: str, limit: int) -> AmqpError:
    """queue.declare beyond the virtual host's max-queues."""
    text = f"cannot declare queue '{queue}': queue limit in vhost '{vhost}' ({limit}) is reached"
    return AmqpError(406, text)


def node_queue_limit(queue: str, limit: int) -> AmqpError:
    """queue.declare beyond the node's limit of queues."""
    return AmqpError(406, f"cannot declare queue '{queue}': queue limit in cluster ({limit}) is reached")


def node_exchange_limit(exchange: str, vhost: str, limit: int) -> AmqpError:
    """exchange.declare beyond the node's limit of exchanges."""
    where = exchange_name(exchange, vhost)
    return AmqpError(406, f"cannot declare {where}: exchange limit of {limit} is reached")


def transaction_full(limit: int) -> AmqpError:
    """basic.publish beyond channel_tx_message_max."""
    return AmqpError(406, f"transaction has reached the maximum of {limit} uncommitted publishes")


def queue_type_disabled(rendered: str, kind: str, node: str) -> AmqpError:
    """queue.declare of a type that the settings disable."""
    text = (
        f"Cannot declare a queue '{rendered}' of type 'rabbit_{kind}_queue' on node '{node}': the corresponding "
        "feature flag is disabled"
    )
    return AmqpError(541, text)


def local_random_disabled() -> AmqpError:
    """exchange.declare of x-local-random while the settings disable it."""
    return AmqpError(406, "x-local-random exchange is disabled by configuration")


def undecodable(detail: str) -> AmqpError:
    """Method arguments that cannot be decoded."""
    return AmqpError(501, f"cannot decode {detail}")
