"""Errors about exchanges, queues and bindings, and those of exchange types."""

from __future__ import annotations

from leveret.errors.kinds import AmqpError, exchange_name, queue_name

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
    """Publishing to an internal exchange."""
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


def queue_crashed(name: str, vhost: str) -> AmqpError:
    """A queue whose backlog could not be read back (rabbit_amqqueue:priv_absent)."""
    return AmqpError(404, f"{queue_name(name, vhost)} has crashed and failed to restart")


def no_previous_queue() -> AmqpError:
    """An empty queue name on a channel that has declared none."""
    return AmqpError(404, "no previously declared queue")


def queue_reserved(name: str) -> AmqpError:
    """Declaring a new queue named amq.*."""
    return AmqpError(403, f"queue name '{name}' contains reserved prefix 'amq.*'")


def queue_locked(name: str, vhost: str) -> AmqpError:
    """An exclusive queue of another connection, or a declaration with a different exclusive property."""
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


# --- routing (rabbit_exchange_type_*)


def invalid_x_match(value: str) -> AmqpError:
    """A headers binding with an invalid x-match; `value` as Erlang prints it."""
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
    """x-consistent-hash with a property that it does not hash."""
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
    """A binding of x-local-random to another queue type."""
    return AmqpError(406, f"Queue type rabbit_{kind}_queue not valid for this exchange type")


def local_random_destination() -> AmqpError:
    """A binding of x-local-random to an exchange."""
    return AmqpError(406, "Destination not found")


def delayed_type_missing() -> AmqpError:
    """x-delayed-message without x-delayed-type."""
    return AmqpError(406, "Invalid argument, 'x-delayed-type' must be an existing exchange type")


def delayed_type_recursive() -> AmqpError:
    """x-delayed-message with itself as x-delayed-type."""
    return AmqpError(406, "Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'")


def delayed_type_unknown(kind: str) -> AmqpError:
    """x-delayed-message with an x-delayed-type that does not exist (rabbit_exchange:check_type/1)."""
    return AmqpError(406, f"unknown exchange type '{kind}'")


def recent_history_length(value: object) -> AmqpError:
    """x-recent-history with an invalid length."""
    return AmqpError(406, f"Invalid argument {value}, 'x-recent-history-length' must be a positive integer")


def too_many_wildcards(key: bytes, count: int) -> AmqpError:
    """A topic pattern with more `#` than RabbitMQ allows since 4.3.5."""
    text = key.decode("utf-8", "replace")
    return AmqpError(406, f"Topic binding key '{text}' uses {count} '#' wildcards, at most 2 are allowed")


def history_lost() -> AmqpError:
    """A message of x-recent-history that is not routed by the exchange that was bound to it."""
    return AmqpError(541, "could not find queue/exchange ''")
