"""From a decoded method to the function that serves it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pamqp import commands

from leveret import errors
from leveret.errors import AmqpError
from leveret.session import basic, handshake, lifetime, states, topology, transaction
from leveret.wire.erlang import excerpt
from leveret.wire.methods import (
    Access,
    Credit,
    MalformedArguments,
    UndecodableMethod,
    UnknownMethod,
    decode_method,
    method_frame,
    name_of,
)

if TYPE_CHECKING:
    from leveret.session.channel import Channel
    from leveret.session.connection import Connection

Handler = Callable[["Channel", Any], None]

#: Channel methods that `channel.py` does not take itself.
HANDLERS: dict[type[Any], Handler] = {
    Access.Request: lifetime.access_request,
    commands.Channel.Flow: lifetime.channel_flow,
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
    commands.Confirm.Select: transaction.confirm_select,
    commands.Tx.Select: transaction.tx_select,
    commands.Tx.Commit: transaction.tx_commit,
    commands.Tx.Rollback: transaction.tx_rollback,
}


def on_protocol_header(connection: Connection, header: bytes) -> None:
    """The first eight octets."""
    handshake.on_protocol_header(connection, header)


def before_running(connection: Connection, kind: int, number: int, payload: bytes) -> None:
    """A frame in any state but running."""
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
    """connection.close was sent: only its answer matters, and a close that crossed it."""
    if kind != 1 or number != 0:
        return
    if payload[:4] == b"\x00\x0a\x00\x33":
        lifetime.closed_ok(connection)
    elif payload[:4] == b"\x00\x0a\x00\x32":
        connection.send(method_frame(0, commands.Connection.CloseOk))


def _decoded(connection: Connection, number: int, payload: bytes) -> Any:
    """The method, or None where the connection is dropped for it.

    On channel 0 it is RabbitMQ's reader that decodes, and survives what its channels die of.
    """
    try:
        return decode_method(payload)
    except (MalformedArguments, UndecodableMethod) as error:
        if number == 0:
            if connection.state == states.RUNNING:
                raise errors.internal_error() from None
            connection.drop()
        elif isinstance(error, UndecodableMethod):
            raise errors.undecodable(str(error)) from None
        else:
            lifetime.reset(connection)
    except UnknownMethod:
        lifetime.reset(connection)
    except AmqpError as error:
        error.anonymous = number != 0 or len(payload) < 4
        raise
    return None


def on_method(connection: Connection, number: int, channel: Channel | None, payload: bytes) -> None:
    """A method frame on a running connection that the hot path does not take."""
    connection.method = int.from_bytes(payload[:4], "big")
    method = _decoded(connection, number, payload)
    if method is None:
        return
    if number == 0:
        handshake.while_running(connection, method)
    elif channel is None:
        if not isinstance(method, commands.Channel.Open):
            lifetime.admit_channel(connection)
            raise errors.channel_not_open()
        lifetime.channel_open(connection, number)
    elif isinstance(method, commands.Channel.Open):
        raise errors.second_channel_open()
    elif channel.closing:
        _on_closing_channel(connection, channel, method)
    elif isinstance(method, commands.Channel.Close):
        lifetime.channel_close(connection, channel)
    else:
        _on_channel(channel, method)


def _on_closing_channel(connection: Connection, channel: Channel, method: Any) -> None:
    """channel.close was sent: everything is ignored but its answer and a close that crossed it."""
    if isinstance(method, commands.Channel.CloseOk):
        connection.channel_gone(channel.number)
    elif isinstance(method, commands.Channel.Close):
        connection.send(method_frame(channel.number, commands.Channel.CloseOk))


def _on_channel(channel: Channel, method: Any) -> None:
    if channel.transaction is not None and channel.transaction.committing:
        raise errors.unexpected_command("tx.commit")
    handler = HANDLERS.get(type(method))
    if handler is None:
        raise errors.unimplemented_method()
    handler(channel, method)
    if channel.context.dead_letters:
        channel.vhost.publish_dead_letters()


def cancel_frame(number: int, tag: str) -> bytes:
    """basic.cancel from the server; no answer is awaited (docs: consumer-cancel)."""
    return method_frame(number, commands.Basic.Cancel, consumer_tag=tag, nowait=True)


__all__ = ["AmqpError", "before_running", "cancel_frame", "name_of", "on_method", "on_protocol_header"]
