"""A synchronous AMQP peer on a plain socket; everything that it sends and reads for a scenario goes into a transcript.

Frames are read only while something is awaited, and kept by channel until a scenario asks for them, so that a
transcript does not depend on how channels interleave. Within a channel the order is the broker's. Nothing sleeps: `ask`
waits for a reply, `expect` for a number of events, and `idle` makes a round trip on the channel (channel.flow, which
changes nothing), after which everything that the broker had to send has arrived.
"""

import contextlib
import os
import re
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from conformance import codec, transcript

#: Seconds until an awaited event counts as missing: no outcome depends on the machine. Only a scenario that fails waits
#: so long.
TIMEOUT_S = float(os.environ.get("CONFORMANCE_PATIENCE", "120"))
#: Headers of the protocols a server may answer with.
_PROTOCOL_HEADER = re.compile(rb"AMQP....", re.DOTALL)


class Event(NamedTuple):
    """What arrived: a method with its content if it has one, a heartbeat, a header, or `eof`."""

    channel: int
    name: str
    arguments: Mapping[str, Any] = {}
    properties: Mapping[str, Any] | None = None
    body: bytes = b""

    def __str__(self) -> str:
        if self.name not in codec.LAYOUTS:
            return self.name
        line = self.name + transcript.arguments(self.name, self.arguments, sent=False)
        return line if self.properties is None else f"{line} {transcript.content(self.properties, self.body)}"

    def text(self, argument: str) -> str:
        """A string argument."""
        return bytes(self.arguments[argument]).decode()


MISSING = Event(0, "(nothing)")
EOF = Event(0, "(connection dropped)")
_FATAL = ("connection.close", EOF.name)


class Peer:
    """One connection. `note` gets transcript lines; methods return what arrived."""

    def __init__(self, name: str, address: tuple[str, int], note: Callable[[str], None]) -> None:
        self.name = name
        self.note = note
        self.frame_max = 131072
        self.missed = 0
        self.answer_closes = True
        self.opened = self.said_goodbye = False
        self.open_channels: set[int] = set()
        self.ended: Event | None = None
        self.declared: list[tuple[str, str | bytes]] = []  # ("queue" or "exchange", name), to delete later
        self._end_noted = False
        self._settled: dict[int, int] = {}
        self._pending: dict[int, deque[Event]] = {}
        self._content: dict[int, tuple[str, Mapping[str, Any], int, Mapping[str, Any] | None, bytes]] = {}
        self._in = b""
        self._socket = socket.create_connection(address, timeout=TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    # --- sending

    def raw(self, data: bytes, label: str) -> None:
        """Send bytes; `label` stands for them in the transcript."""
        self.note(f"{self.name} > {label}")
        self._write(data)

    def _write(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            self._socket.sendall(data)

    def send(self, name: str, channel: int = 1, /, **arguments: Any) -> None:
        """Send a method without waiting."""
        self.note(f"{self.name}.{channel} > {name}{transcript.arguments(name, arguments, sent=True)}")
        if name in ("queue.declare", "exchange.declare"):
            self._declared(name.split(".")[0], arguments)
        self._write(codec.frame(codec.METHOD, channel, codec.method_payload(name, arguments)))

    def _declared(self, kind: str, arguments: Mapping[str, Any]) -> None:
        name = arguments.get(kind, b"")
        if name and not (name if isinstance(name, bytes) else name.encode()).startswith(b"amq.d"):
            self.declared.append((kind, name))

    def publish(
        self, exchange: str | bytes = "", key: str | bytes = "", body: bytes = b"", channel: int = 1, /,
        mandatory: bool = False, immediate: bool = False, **properties: Any,
    ) -> None:  # fmt: skip
        """basic.publish with its content."""
        given = {"exchange": exchange, "routing_key": key, "mandatory": mandatory, "immediate": immediate}
        shown = transcript.arguments("basic.publish", given, sent=True)
        self.note(f"{self.name}.{channel} > basic.publish{shown} {transcript.content(properties, body)}")
        self._write(
            codec.frame(codec.METHOD, channel, codec.method_payload("basic.publish", given))
            + content_frames(channel, properties, body, self.frame_max)
        )

    # --- receiving

    def ask(self, name: str, channel: int = 1, /, **arguments: Any) -> Event:
        """Send a synchronous method and note its reply, or the close that came instead."""
        self.send(name, channel, **arguments)
        return self.reply(name, channel)

    def eventually(self, wanted: str, name: str, channel: int = 1, /, **arguments: Any) -> Event:
        """Ask again until the reply contains `wanted`, a method name or a text in its line; note that reply."""
        note, self.note = self.note, lambda line: None
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            self.send(name, channel, **arguments)
            event = self._reply(name, channel)
            if wanted in str(event) or event.name in _FATAL or time.monotonic() > deadline:
                break
            self._noted(event, channel)
            if event.name == "channel.close":
                self.ask("channel.open", channel)
        self.note = note
        self.note(f"{self.name}.{channel} > {name}{transcript.arguments(name, arguments, sent=True)}")
        return self._noted(event, channel)

    def reply(self, name: str, channel: int = 1) -> Event:
        """Note the reply to `name`; what came before it on the channel is kept."""
        return self._noted(self._reply(name, channel), channel)

    def _reply(self, name: str, channel: int) -> Event:
        wanted = (*codec.LAYOUTS[name].replies, "channel.close")
        early: deque[Event] = deque()
        while True:
            event = self._next(channel)
            if event.name in wanted or event.name in _FATAL or event is MISSING:
                self._pending.setdefault(channel, deque()).extendleft(reversed(early))
                return event
            early.append(event)

    def expect(self, count: int = 1, channel: int = 1) -> list[Event]:
        """Note the next `count` events of the channel in their order."""
        events = []
        for _ in range(count):
            event = self._noted(self._next(channel), channel)
            events.append(event)
            if event is MISSING or event.name in _FATAL:
                break
        return events

    def fileno(self) -> int:
        """The socket, for select."""
        return self._socket.fileno()

    def received(self) -> list[Event]:
        """Note everything that can be read from the socket now, on any channel."""
        before = -1
        while self.ended is None and before != (
            before := len(self._in) + sum(map(len, self._pending.values()))
        ):
            self._receive(time.monotonic() + 0.0005)
        return self.noted()

    def noted(self) -> list[Event]:
        """Note everything that has arrived, without reading more."""
        events = []
        for channel, pending in sorted(self._pending.items()):
            while pending:
                events.append(self._noted(pending.popleft(), channel))
        if self.ended is not None and not self._end_noted:
            events.append(self._noted(self.ended, 0))
        return events

    def idle(self, channel: int = 1) -> list[Event]:
        """Note everything that the broker has sent on the channel until now."""
        self._round_trip([channel])
        events = []
        for number in (channel, 0):
            while self._pending.get(number):
                events.append(self._noted(self._pending[number].popleft(), number))
        if self.ended is not None and not self._end_noted:
            events.append(self._noted(self.ended, 0))
        return events

    def silence(self, channel: int) -> None:
        """Note that the broker has sent nothing on the channel until now, or what it has sent."""
        if not self.idle(channel):
            self._noted(MISSING, channel)

    def hear_out(self) -> list[Event]:
        """Note everything that the broker has sent on any channel until now."""
        self._round_trip(sorted(self.open_channels))
        return self.noted()

    def await_reply(self, name: str, channel: int) -> None:
        """Wait for the reply to `name`, which is noted later."""
        event = self._reply(name, channel)
        if self.ended is None and event is not MISSING:
            self._pending[channel].append(event)

    def _round_trip(self, channels: list[int]) -> None:
        """Make a round trip on these channels, if they are open: everything that was sent before has arrived then."""
        asked = [channel for channel in channels if channel in self.open_channels and self.ended is None]
        payload = codec.method_payload("channel.flow", {"active": True})
        self._write(b"".join(codec.frame(codec.METHOD, channel, payload) for channel in asked))
        for channel in asked:
            event = self._reply("channel.flow", channel)
            if event.name != "channel.flow-ok" and self.ended is None:
                self._pending.setdefault(event.channel, deque()).append(event)

    def confirms(self, count: int, channel: int = 1) -> None:
        """Note which `count` publishes are acked and which nacked, without their batches."""
        before = self._settled.get(channel, 0)
        unsettled = set(range(before + 1, before + count + 1))
        self._settled[channel] = before + count
        found: dict[str, set[int]] = {}
        while unsettled:
            event = self._next(channel)
            if event.name not in ("basic.ack", "basic.nack"):
                self._noted(event, channel)
                if event is MISSING or event.name in (*_FATAL, "channel.close"):
                    break
                continue
            tag = event.arguments["delivery_tag"]
            covered = {t for t in unsettled if t == tag or (event.arguments["multiple"] and t <= tag)}
            unsettled -= covered
            label = event.name + (" requeue" if event.arguments.get("requeue") else "")
            found.setdefault(label, set()).update(covered)
        shown = [f"{name} {transcript.tags(settled)}" for name, settled in sorted(found.items())]
        self.note(f"{self.name}.{channel} < confirms: {'; '.join(shown) or 'none'}")

    def frames(self, count: int) -> None:
        """Note the next `count` frames as they are."""
        for _ in range(count):
            found = self._frame(time.monotonic() + TIMEOUT_S)
            if found is None or isinstance(found, Event):
                self.note(f"{self.name} < {found or MISSING}")
                return
            kind, channel, payload = found
            shown = codec.decode_method(payload)[0] if kind == codec.METHOD else ""
            self.note(
                f"{self.name} < frame type={kind} channel={channel} size={len(payload)} {shown}".rstrip()
            )

    def eof(self) -> None:
        """Note whether the broker closes the connection."""
        if self.ended is not None and self.ended is not EOF:
            self.ended = None
        self._noted(self._next(0), 0)

    def _noted(self, event: Event, channel: int) -> Event:
        number = 0 if event.name in _FATAL else channel
        self.note(f"{self.name}.{number} < {event}")
        if event is MISSING:
            self.missed += 1
        elif event.name == "queue.declare-ok":
            self._declared("queue", event.arguments)
        elif event.name == "channel.open-ok":
            self.open_channels.add(channel)
        elif event.name == "connection.open-ok":
            self.opened = True
        elif event.name == "connection.close-ok":
            self.said_goodbye = True
            self.open_channels.clear()
        elif event.name == "channel.close-ok":
            self.open_channels.discard(channel)
        elif event.name == "channel.close":
            self.open_channels.discard(channel)
            if self.answer_closes:
                self._write(codec.frame(codec.METHOD, channel, codec.method_payload("channel.close-ok", {})))
            self._settled.pop(channel, None)
        elif event is EOF:
            self._end_noted = True
        elif event.name == "connection.close":
            self._end_noted = True
            self._write(codec.frame(codec.METHOD, 0, codec.method_payload("connection.close-ok", {})))
        return event

    # --- the wire

    def _next(self, channel: int) -> Event:
        deadline = time.monotonic() + TIMEOUT_S
        mine = self._pending.setdefault(channel, deque())
        while not mine:
            if self.ended is not None:
                return self.ended
            self._receive(deadline)
            if self.ended is None and not mine and time.monotonic() >= deadline:
                return MISSING
        return mine.popleft()

    def _receive(self, deadline: float) -> None:
        found = self._frame(deadline)
        if found is None:
            return
        if isinstance(found, Event):
            if found is EOF:
                self.ended = EOF
            else:
                self._pending.setdefault(0, deque()).append(found)
            return
        event = self._event(*found)
        if event is None:
            return
        if event.name == "connection.close":
            self.ended = event
        else:
            self._pending.setdefault(event.channel, deque()).append(event)

    def _event(self, kind: int, channel: int, payload: bytes) -> Event | None:
        if kind == codec.HEARTBEAT:
            return Event(channel, "heartbeat")
        if kind == codec.METHOD:
            method, given = codec.decode_method(payload)
            if method not in codec.WITH_CONTENT:
                return Event(channel, method, given)
            self._content[channel] = (method, given, 0, None, b"")
            return None
        if channel not in self._content:
            raise ValueError(f"content without its method on channel {channel}")
        name, arguments, size, properties, body = self._content.pop(channel)
        if kind == codec.HEADER:
            size, properties = codec.decode_header(payload)
        else:
            body += payload
        if len(body) < size:
            self._content[channel] = (name, arguments, size, properties, body)
            return None
        return Event(channel, name, arguments, properties, body)

    def _frame(self, deadline: float) -> tuple[int, int, bytes] | Event | None:
        while True:
            if _PROTOCOL_HEADER.match(self._in):
                header, self._in = self._in[:8], self._in[8:]
                return Event(0, "protocol header AMQP " + " ".join(str(octet) for octet in header[4:]))
            if len(self._in) >= 7:
                kind, channel, size = struct.unpack_from(">BHI", self._in)
                if len(self._in) >= size + 8:
                    payload, self._in = self._in[7 : size + 7], self._in[size + 8 :]
                    return kind, channel, payload
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return None
            self._socket.settimeout(remaining)
            try:
                data = self._socket.recv(1 << 18)
            except TimeoutError:
                return None
            except OSError:
                return EOF
            if not data:
                return EOF
            self._in += data

    def drop(self) -> None:
        """Close the socket."""
        self.open_channels.clear()
        self.ended = EOF
        self._socket.close()


def content_frames(channel: int, properties: Mapping[str, Any], body: bytes, frame_max: int) -> bytes:
    """Header and body frames of a message."""
    out = [codec.frame(codec.HEADER, channel, codec.header_payload(len(body), properties))]
    step = (frame_max or 131072) - 8
    out += [codec.frame(codec.BODY, channel, body[at : at + step]) for at in range(0, len(body), step)]
    return b"".join(out)
