"""Recordings of what clients and the broker say to each other, as JSON lines: one for each frame.

A line has `at` (seconds since the begin, by the broker's clock), `connection` (a number), `from` (client or server),
`channel`, `method`, and `arguments`; the frames of a content have the methods `content-header` and `content-body`, the
latter with `body` instead of arguments. `octets` is the frame itself, so that it can be played again exactly.
Credentials are left out.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TextIO

from pamqp import base, frame, header, heartbeat
from pamqp import body as content_body

from leveret.clock import Clock
from leveret.testing.errors import ToolkitError

#: One line. `Any`: JSON; `arguments` has other fields for each method.
Line = dict[str, Any]

#: Returns the body that is written instead of one.
Redact = Callable[[bytes], bytes]

_HEAD = 7
PROTOCOL_HEADER = b"AMQP"

#: Methods whose arguments have credentials: name -> argument.
_SECRETS = {
    "connection.start-ok": "response",
    "connection.secure-ok": "response",
    "connection.update-secret": "new_secret",
}


class FrameRecorder:
    """Writes a recording. `write`: the file; `clock`: the broker's; `redact`: changes bodies."""

    def __init__(self, write: TextIO, clock: Clock, redact: Redact | None) -> None:
        self.write = write
        self.clock = clock
        self.redact = redact
        self.began = clock.now
        self.connections = 0

    def tap(self) -> Tap:
        """Return the tap of a new connection."""
        self.connections += 1
        return Tap(self, self.connections)

    def note(self, connection: int, sender: str, octets: bytes) -> None:
        """Write one frame, or a protocol header."""
        line: Line = {
            "at": round((self.clock.now - self.began) / 1000, 3),
            "connection": connection,
            "from": sender,
            **described(octets),
        }
        if line["method"] == "content-body" and self.redact is not None:
            size = len(octets) - _HEAD - 1
            # The header frame has been written, with the size.
            body = self.redact(octets[_HEAD:-1])[:size].ljust(size, b"*")
            octets = octets[:_HEAD] + body + octets[-1:]
            line["body"] = shown_body(body)
        if line["method"] not in _SECRETS:
            line["octets"] = base64.b64encode(octets).decode()
        self.write.write(json.dumps(line) + "\n")


class Tap:
    """Cuts the octets of one connection into frames and has them written."""

    def __init__(self, recorder: FrameRecorder, connection: int) -> None:
        self.recorder = recorder
        self.connection = connection
        self.buffers = {"client": bytearray(), "server": bytearray()}

    def received(self, octets: bytes) -> None:
        """The client has sent octets."""
        self._cut("client", octets)

    def sent(self, octets: bytes) -> None:
        """The broker has sent octets."""
        self._cut("server", octets)

    def _cut(self, sender: str, octets: bytes) -> None:
        buffer = self.buffers[sender]
        buffer += octets
        for one in frames(buffer):
            self.recorder.note(self.connection, sender, one)


def frames(buffer: bytearray) -> Iterator[bytes]:
    """Yield the whole frames at the beginning of a buffer, and remove them from it."""
    while True:
        if buffer.startswith(PROTOCOL_HEADER):
            size = 8
        elif len(buffer) >= _HEAD:
            size = _HEAD + int.from_bytes(buffer[3:_HEAD], "big") + 1
        else:
            return
        if len(buffer) < size:
            return
        yield bytes(buffer[:size])
        del buffer[:size]


def described(octets: bytes) -> Line:
    """Return channel, method and arguments of a frame."""
    if octets.startswith(PROTOCOL_HEADER):
        return {"channel": 0, "method": "protocol-header", "arguments": {"version": list(octets[4:])}}
    channel = int.from_bytes(octets[1:3], "big")
    try:
        found = frame.unmarshal(octets)[2]
    except Exception:  # pamqp has no common base class for what it cannot decode
        return {"channel": channel, "method": "unknown", "arguments": {}}
    if isinstance(found, heartbeat.Heartbeat):
        return {"channel": channel, "method": "heartbeat", "arguments": {}}
    if isinstance(found, content_body.ContentBody):
        return {"channel": channel, "method": "content-body", "body": shown_body(octets[_HEAD:-1])}
    if isinstance(found, header.ContentHeader):
        given = dict(found.properties)
        properties = {name: plain(value) for name, value in given.items() if value not in (None, "")}
        return {
            "channel": channel,
            "method": "content-header",
            "arguments": {"body_size": found.body_size, **properties},
        }
    if not isinstance(found, base.Frame):
        return {"channel": channel, "method": "unknown", "arguments": {}}
    name = amqp_name(found.name)
    arguments = {key: plain(value) for key, value in dict(found).items()}
    if name in _SECRETS:
        arguments[_SECRETS[name]] = ""
    return {"channel": channel, "method": name, "arguments": arguments}


def amqp_name(name: str) -> str:
    """Return AMQP's name of a method as pamqp names it: `Queue.DeclareOk` -> `queue.declare-ok`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower()


def plain(value: object) -> object:
    """Return a value as JSON has it: times as text, octets that are no text in base64."""
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bytes | bytearray):
        return shown_body(bytes(value))
    if isinstance(value, datetime):
        return {"time": (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()}
    if isinstance(value, Decimal):
        return str(value)
    return value


def shown_body(body: bytes) -> str | dict[str, str]:
    """Return octets as text, or in base64."""
    try:
        return body.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(body).decode()}


class Recording:
    """A recording that was read. `lines`: as they are in the file."""

    def __init__(self, lines: list[Line]) -> None:
        self.lines = lines

    @classmethod
    def load(cls, path: str | Path) -> Recording:
        """Read a file. Raises `OSError`, `ToolkitError`."""
        lines: list[Line] = []
        for number, text in enumerate(Path(path).read_text().splitlines(), 1):
            try:
                line = json.loads(text)
            except ValueError as error:
                raise ToolkitError(f"{path}:{number} is not JSON: {error}") from None
            missing = {"at", "connection", "from", "channel", "method"} - set(
                line if isinstance(line, dict) else ()
            )
            if missing:
                raise ToolkitError(f"{path}:{number} is no line of a recording: it has no {min(missing)!r}")
            lines.append(line)
        return cls(lines)

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.lines)

    def vhosts(self) -> list[str]:
        """Return the virtual hosts that clients have opened."""
        opened = [line for line in self.lines if line["method"] == "connection.open"]
        return sorted({str(line["arguments"]["virtual_host"]) for line in opened})
