"""Errors about the arguments of queue.declare, exchange.declare and basic.consume.

`rendered`: the queue or exchange in reply texts (`queue_name`, `exchange_name`). `reason`: an Erlang term, as
RabbitMQ prints it.
"""

from __future__ import annotations

from leveret.errors.kinds import AmqpError


def invalid_argument(name: str, rendered: str, reason: str) -> AmqpError:
    """An argument with an invalid value."""
    return AmqpError(406, f"invalid arg '{name}' for {rendered}: {reason}")


def argument_of_other_type(name: str, rendered: str, kind: str) -> AmqpError:
    """An argument that queues of this type (`kind`) do not have."""
    return AmqpError(406, f"invalid arg '{name}' for {rendered} of queue type rabbit_{kind}_queue")


def argument_kind(name: str, rendered: str, kind: str) -> AmqpError:
    """A value of another AMQP type (`kind`) than string (rabbit_misc:r_arg)."""
    return AmqpError(406, f"invalid type '{kind}' for arg '{name}' in {rendered}")


def argument_beyond_limit(text: str) -> AmqpError:
    """A value beyond a limit that a stream checks itself, after all other arguments."""
    return AmqpError(406, text)


def inequivalent_argument(name: str, rendered: str, difference: str) -> AmqpError:
    """A declaration that is not equivalent to the existing queue or exchange."""
    return AmqpError(406, f"inequivalent arg '{name}' for {rendered}: {difference}")


def invalid_property(name: str, rendered: str) -> AmqpError:
    """A property that a quorum queue or stream cannot have."""
    return AmqpError(406, f"invalid property '{name}' for {rendered}")


def server_named_refused(kind: str) -> AmqpError:
    """A queue declared without a name that is not classic."""
    return AmqpError(406, f"Cannot declare a server-named queue for type rabbit_{kind}_queue")


def feature_denied(feature: str, permitted_by_default: bool) -> AmqpError:
    """A deprecated feature that is not permitted (rabbit_deprecated_features:get_warning)."""
    if permitted_by_default:
        text = (
            f"Feature `{feature}` is deprecated.\n"
            "Its use is not permitted per the configuration (overriding the default, which is permitted):\n"
            f'    "deprecated_features.permit.{feature} = false"\n'
            "Its use will not be permitted by default in a future minor RabbitMQ version and the feature will be "
            "removed from a future major RabbitMQ version; actual versions to be determined."
        )
    else:
        text = (
            f"Feature `{feature}` is deprecated.\n"
            "By default, this feature is not permitted anymore.\n"
            "The feature will be removed from a future major RabbitMQ version, regardless of the configuration; "
            "actual version to be determined.\nTo continue using this feature when it is not permitted by default, "
            f'set the following parameter in your configuration:\n    "deprecated_features.permit.{feature} = true"'
        )
    return AmqpError(541, text)


def exchange_type_refused(kind: str, known: bool, closes_connection: bool) -> AmqpError:
    """An exchange type that does not exist. `known`: RabbitMQ's VM knows the word from elsewhere
    (rabbit_registry: binary_to_existing_atom)."""
    word = "invalid" if known else "unknown"
    return AmqpError(503 if closes_connection else 406, f"{word} exchange type '{kind}'")
