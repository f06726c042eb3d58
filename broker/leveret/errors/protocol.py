"""Errors about frames, content, connections and channels."""

from __future__ import annotations

from leveret.errors.kinds import AmqpError

# --- frames and content (AMQP 0-9-1 2.3.5, 4.2; rabbit_reader, rabbit_command_assembler)


def frame_too_large(kind: int, size: int, limit: int) -> AmqpError:
    """A frame whose payload exceeds the negotiated size."""
    return AmqpError(
        501, f"type {kind}, all octets = <<>>: {{frame_too_large,{size},{limit}}}", anonymous=True
    )


def invalid_frame_end(kind: int, octets: str, end: int) -> AmqpError:
    """A frame that does not end with 0xCE. `octets`: its payload, as `wire.erlang.excerpt` formats it."""
    return AmqpError(501, f"type {kind}, {octets}: {{invalid_frame_end_marker,{end}}}", anonymous=True)


def unknown_frame(kind: int, octets: str) -> AmqpError:
    """A frame type that AMQP 0-9-1 does not have, or a frame too short to be of its type."""
    return AmqpError(501, f"type {kind}, {octets}: unknown_frame", anonymous=True)


def unexpected_frame(kind: int, octets: str) -> AmqpError:
    """A frame in a wrong place, such as a heartbeat on a channel."""
    return AmqpError(505, f"type {kind}, {octets}", anonymous=True)


def expected_method() -> AmqpError:
    """Content without a method before it."""
    return AmqpError(505, "expected method frame, got non method frame instead", anonymous=True)


def expected_header() -> AmqpError:
    """Another frame between basic.publish and its content header."""
    return AmqpError(505, "expected content header for class 60, got non content header frame instead")


def wrong_header_class(class_id: int) -> AmqpError:
    """A content header of another class."""
    return AmqpError(505, f"expected content header for class 60, got one for class {class_id} instead")


def expected_body() -> AmqpError:
    """Another frame before the body is complete."""
    return AmqpError(505, "expected content body, got non content body frame instead")


def body_exceeds_size() -> AmqpError:
    """A body that is larger than its header announced."""
    return AmqpError(501, "content body frame exceeds remaining content size")


def body_size_exceeds(size: int) -> AmqpError:
    """A header that announces a body larger than any message may be (rabbit_misc:max_message_size)."""
    return AmqpError(501, f"content body size {size} exceeds maximum allowed size 536870912")


def malformed_utf8() -> AmqpError:
    """A shortstr that is not UTF-8."""
    return AmqpError(501, "Malformed UTF-8 in shortstr", anonymous=True)


def internal_error() -> AmqpError:
    """A failure of the broker while it handles a method; the client gets no details (rabbit_reader)."""
    return AmqpError(541, anonymous=True)


# --- connection (0-9-1 1.4)


def login_refused(mechanism: str) -> AmqpError:
    """Wrong credentials; sent to clients with authentication_failure_close."""
    return AmqpError(
        403,
        f"Login was refused using authentication mechanism {mechanism}. For details see the broker logfile.",
        scope="connection",
        anonymous=True,
    )


def unexpected_method(state: str) -> AmqpError:
    """A method that is not accepted in the connection's state."""
    return AmqpError(504, f"unexpected method in connection state {state}")


def unimplemented_method() -> AmqpError:
    """A method that only a server sends, or one on the wrong channel."""
    return AmqpError(503, "unimplemented method")


def connection_forced(reason: str) -> AmqpError:
    """The broker ends a connection for a reason of its own."""
    return AmqpError(320, reason, anonymous=True)


def vhost_not_found(name: str) -> AmqpError:
    """connection.open to a virtual host that does not exist."""
    return AmqpError(530, f"vhost {name} not found")


def vhost_down(name: str, user: str) -> AmqpError:
    """connection.open to a virtual host that exists, and that nobody serves (rabbit_reader: is_vhost_alive)."""
    return AmqpError(541, f"access to vhost '{name}' refused for user '{user}': vhost '{name}' is down")


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
    """Another method while the answer to one is awaited."""
    return AmqpError(504, f"unexpected command while processing '{name}'")
