"""A small blocking AMQP connection for set-up: handshake, declarations, consumers.

The load does not go through it. Frames are built and read by pamqp here, where speed does not matter; `publish_bytes`
makes the bytes of one publish, which the generator sends many times. What a socket receives after set-up is read by
load.py.
"""

import socket
import ssl
import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import cast
from urllib.parse import unquote, urlsplit

from pamqp import base, body, commands, frame, header

PIPELINE = 500  # synchronous methods on their way at once
TIMEOUT = 60.0
CLOSE_TIMEOUT = 20.0


class LinkError(Exception):
    """The broker refused something, closed, or sent an unexpected answer."""


class Link:
    """An open AMQP connection with channel 1; `sock` is blocking, `product` is the product that the server names."""

    def __init__(self, url: str, heartbeat: int = 0) -> None:
        parts = urlsplit(url)
        self.sock = socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 5672), TIMEOUT)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if parts.scheme == "amqps":
            self.sock = encrypted(self.sock)
        self._pending = bytearray()
        user, password = unquote(parts.username or "guest"), unquote(parts.password or "guest")
        vhost = unquote(parts.path[1:]) if len(parts.path) > 1 else "/"
        self.sock.sendall(b"AMQP\0\0\x09\x01")
        start = cast(commands.Connection.Start, self._expect(0, "Connection.Start"))
        self.product = str((start.server_properties or {}).get("product", ""))
        self._send(0, commands.Connection.StartOk({}, "PLAIN", f"\0{user}\0{password}", "en_US"))
        tune = cast(commands.Connection.Tune, self._expect(0, "Connection.Tune"))
        self.frame_max = tune.frame_max or 131072
        self._send(0, commands.Connection.TuneOk(tune.channel_max, self.frame_max, heartbeat))
        self._send(0, commands.Connection.Open(virtual_host=vhost))
        self._expect(0, "Connection.OpenOk")
        self.call(commands.Channel.Open())

    def call(self, method: base.Frame) -> base.Frame:
        """Send a synchronous method on channel 1 and return its answer; raises LinkError."""
        self._send(1, method)
        return self._expect(1, method.name + "Ok")

    def pipeline(self, methods: Iterable[base.Frame]) -> None:
        """Send many synchronous methods, up to PIPELINE unanswered, and read every answer."""
        waiting = iter(methods)
        while batch := list(islice(waiting, PIPELINE)):
            self.sock.sendall(b"".join(frame.marshal(method, 1) for method in batch))
            for method in batch:
                self._expect(1, method.name + "Ok")

    def close(self) -> None:
        """Close the connection (the broker has deleted exclusive queues when this returns) and the socket."""
        try:
            self.sock.setblocking(True)
            self.sock.settimeout(CLOSE_TIMEOUT)
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)  # the generator may have raised it
            self._send(0, commands.Connection.Close(200, "bye", 0, 0))
            self._until_close_ok()
        except OSError:
            pass
        finally:
            self.sock.close()

    def _until_close_ok(self) -> None:
        for channel, payload in self._frames():
            if channel == 0 and payload[1:5] == struct.pack(">HH", 10, 51):
                return

    def _send(self, channel: int, method: base.Frame) -> None:
        self.sock.sendall(frame.marshal(method, channel))

    def _expect(self, channel: int, name: str) -> base.Frame:
        for got_channel, raw in self._frames():
            if raw[0] == 8:
                continue
            method = frame.unmarshal(self._whole(got_channel, raw))[2]
            if got_channel == channel and method.name == name:
                return cast(base.Frame, method)
            code, text = getattr(method, "reply_code", ""), getattr(method, "reply_text", "")
            raise LinkError(f"expected {name}, got {method.name} {code} {text}".strip())
        raise LinkError(f"expected {name}, the connection was closed")

    @staticmethod
    def _whole(channel: int, raw: bytes) -> bytes:
        return struct.pack(">BHI", raw[0], channel, len(raw) - 1) + raw[1:] + b"\xce"

    def _frames(self) -> Iterator[tuple[int, bytes]]:
        """Yield (channel, frame type byte + payload) until the peer closes the connection."""
        while True:
            if len(self._pending) >= 7:
                size = int.from_bytes(self._pending[3:7], "big")
                if len(self._pending) >= size + 8:
                    channel = int.from_bytes(self._pending[1:3], "big")
                    raw = bytes(self._pending[0:1] + self._pending[7 : 7 + size])
                    del self._pending[: size + 8]
                    yield channel, raw
                    continue
            data = self.sock.recv(1 << 16)
            if not data:
                return
            self._pending += data


def encrypted(sock: socket.socket) -> socket.socket:
    """Return the socket with TLS. The certificate is not verified: it is the work that is measured."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(sock)


def publish_bytes(exchange: str, key: str, payload: bytes, *, persistent: bool = False) -> bytes:
    """Return the frames of one basic.publish on channel 1; transient messages have no properties."""
    properties = commands.Basic.Properties(delivery_mode=2) if persistent else commands.Basic.Properties()
    frames = (
        commands.Basic.Publish(exchange=exchange, routing_key=key),
        header.ContentHeader(0, len(payload), properties),
        *([body.ContentBody(payload)] if payload else []),
    )
    return b"".join(frame.marshal(each, 1) for each in frames)


def declare_queues(link: Link, names: Sequence[str], *, durable: bool = False, kind: str = "") -> None:
    """Declare queues: exclusive to `link`, or durable and shared; `kind`: their x-queue-type, if it matters."""
    arguments = {"x-queue-type": kind} if kind else {}
    link.pipeline(
        commands.Queue.Declare(queue=name, durable=durable, exclusive=not durable, arguments=arguments)
        for name in names
    )


def delete_queues(link: Link, names: Sequence[str]) -> None:
    """Delete queues whether or not they exist."""
    link.pipeline(commands.Queue.Delete(queue=name) for name in names)
