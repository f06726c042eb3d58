"""Decodes a method and calls its handler."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pamqp import commands
from pamqp.base import Frame

from leveret import errors
from leveret.errors import AmqpError
from leveret.session import basic, channels, handshake, states, topology, tx
from leveret.wire.erlang import excerpt
from leveret.wire.methods import (
    Access,
    Credit,
    MalformedArguments,
    UndecodableMethod,
    UnknownMethod,
    decode_method,
    method_frame,
)

if TYPE_CHECKING:
    from leveret.session.channel import Channel
    from leveret.session.connection import Connection

#: `Any`: each handler has a parameter of the class of its method.
Handler = Callable[["Channel", Any], None]

#: Channel methods and their handlers, except those on the hot path.
HANDLERS: dict[type[Frame], Handler] = {
    Access.Request: topology.access_request,
    commands.Channel.Flow: channels.flow,
    commands.Exchange.Declare: topology.exchange_declare,
    commands.Exchange.Delete: topology.exchange_delete,
    commands.Exchange.Bind: topology.exchange_bind,
    commands.Exchange.Unbind: topology.exchange_unbind,
    commands.Queue.Declare: topology.queue_declare,
    commands.Queue.Bind: topology.queue_bind,
    commands.Queue.Unbind: topology.queue_unbind,
    commands.Queue.Purge: topology.queue_purge,
    commands.Queue.Delete: topology.queue_delete,
    commands.Basic.Qos: basic.qos,
    commands.Basic.Consume: basic.consume,
    commands.Basic.Cancel: basic.cancel,
    commands.Basic.CancelOk: basic.cancel_ok,
    commands.Basic.Get: basic.get,
    Credit.Credit: basic.credit,
    commands.Basic.Recover: basic.recover,
    commands.Basic.RecoverAsync: basic.recover,
    commands.Confirm.Select: tx.confirm_select,
    commands.Tx.Select: tx.tx_select,
    commands.Tx.Commit: tx.tx_commit,
    commands.Tx.Rollback: tx.tx_rollback,
}


def on_protocol_header(connection: Connection, header: bytes) -> None:
    """Handle the first eight octets."""
    handshake.on_protocol_header(connection, header)


def before_running(connection: Connection, kind: int, number: int, payload: bytes) -> None:
    """Handle a frame in any state but running."""
    if connection.state == states.CLOSING:
        _while_closing(connection, kind, number, payload)
        return
    if kind not in (1, 2, 3, 8) or (kind == 8 and payload) or (kind == 2 and len(payload) < 12):
        raise errors.unknown_frame(kind, excerpt(payload))
    if number != 0 or kind in (2, 3):
        raise errors.unexpected_frame(kind, excerpt(payload))
    if kind == 8:
        return
    connection.method = int.from_bytes(payload[:4], "big")
    method = _decoded(connection, number, payload)
    if method is not None:
        handshake.on_method(connection, method)


def _while_closing(connection: Connection, kind: int, number: int, payload: bytes) -> None:
    """Handle a frame after connection.close was sent: only the answer and a close that has crossed it matter. Their
    arguments are not read."""
    command = commands.INDEX_MAPPING.get(int.from_bytes(payload[:4], "big"))
    if (
        kind == 1
        and number == 0
        and command is not None
        and (states.CLOSING, command) in handshake.TRANSITIONS
    ):
        handshake.on_method(connection, command())


def _decoded(connection: Connection, number: int, payload: bytes) -> Frame | None:
    """Return the method, or None if the connection is dropped because of it.

    RabbitMQ's reader decodes methods on channel 0; it tolerates errors that crash its channels.
    """
    try:
        method: Frame = decode_method(payload)
        return method
    except (MalformedArguments, UndecodableMethod) as error:
        if number == 0:
            if connection.state == states.RUNNING:
                raise errors.internal_error() from None
            connection.drop()
        elif isinstance(error, UndecodableMethod):
            raise errors.undecodable(str(error)) from None
        else:
            connection.reset()
    except UnknownMethod:
        connection.reset()
    except AmqpError as error:
        error.anonymous = number != 0 or len(payload) < 4
        raise
    return None


def on_method(connection: Connection, number: int, channel: Channel | None, payload: bytes) -> None:
    """Handle a method frame of a running connection that is not on the hot path."""
    connection.method = int.from_bytes(payload[:4], "big")
    method = _decoded(connection, number, payload)
    if method is None:
        return
    if number == 0:
        handshake.on_method(connection, method)
    elif channel is None:
        if not isinstance(method, commands.Channel.Open):
            channels.check_limits(connection)
            raise errors.channel_not_open()
        channels.open_channel(connection, number)
    elif isinstance(method, commands.Channel.Open):
        raise errors.second_channel_open()
    elif channel.closing:
        _on_closing_channel(connection, channel, method)
    elif isinstance(method, commands.Channel.Close):
        channels.close_channel(connection, channel)
    else:
        _on_channel(connection, channel, method)


def _on_closing_channel(connection: Connection, channel: Channel, method: Frame) -> None:
    """Handle a method after channel.close was sent: only the answer and a close that has crossed it matter."""
    if isinstance(method, commands.Channel.CloseOk):
        connection.remove_channel(channel.number)
    elif isinstance(method, commands.Channel.Close):
        connection.send(method_frame(channel.number, commands.Channel.CloseOk))


def _on_channel(connection: Connection, channel: Channel, method: Frame) -> None:
    if channel.transaction is not None and channel.transaction.committing:
        raise errors.unexpected_command("tx.commit")
    handler = HANDLERS.get(type(method))
    if handler is None:
        raise errors.unimplemented_method()
    handler(channel, method)
