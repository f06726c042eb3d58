"""Plays the clients' side of a recording, and compares what the broker says.

The lines are taken in the order of the recording: what a client has said is sent, what the broker has said is waited
for. Frames of one channel are compared in order. Confirms are not: the broker joins them as it happens, so only the
confirmed publishes are compared. Names that the broker generates, tags of messages and times are matched by what they
stand for.
"""

from __future__ import annotations

import base64
import difflib
import re
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Literal

from msgspec import Struct
from pamqp import commands, frame

from leveret.testing.errors import ReplayMismatch, ToolkitError
from leveret.testing.recording import Line, Recording, described, frames

#: Names that the broker generates.
_GENERATED = re.compile(r"amq\.(?:gen|ctag)-[\w-]{22}|amq\.rabbitmq\.reply-to\.[\w.=+/-]+")

#: Methods whose arguments say something about the broker and not about the dialogue.
_INTRODUCTIONS = {"connection.start", "connection.tune"}

_CONFIRMS = {"basic.ack", "basic.nack"}

#: Lines of the dialogue that a mismatch shows.
MOST_SHOWN = 12

#: Seconds by which the broker's times may differ: `x-death` has whole seconds.
TIME_TOLERANCE_S = 1.0


class Replay(Struct, frozen=True):
    """What a replay has done. `sent`, `compared`: frames; `took`: real seconds."""

    sent: int
    compared: int
    took: float


class Player:
    """Plays one recording. `address`: host and port; `credentials`: user and password; `vhost`: opened instead of the
    recorded one if the recording has only one. `move`: brings the broker's time forward to so many seconds since the
    begin."""

    def __init__(
        self,
        recording: Recording,
        address: tuple[str, int],
        credentials: tuple[str, str],
        vhost: str,
        move: Callable[[float], None],
        *,
        compare: bool,
        timeout: float,
    ) -> None:
        self.recording = recording
        self.address = address
        self.credentials = credentials
        self.vhost = vhost if len(recording.vhosts()) <= 1 else None
        self.move = move
        self.compare = compare
        self.end = time.monotonic() + timeout
        self.timeout = timeout
        self.names: dict[str, str] = {}
        self.links: dict[int, Link] = {}
        self.dialogue: list[str] = []
        self.sent = self.compared = 0
        self.offset: float | None = None

    def play(self) -> Replay:
        """Play it. Raises `ReplayMismatch`, `ToolkitError`, `OSError`."""
        began = time.monotonic()
        try:
            for line in self.recording.lines:
                self.move(line["at"])
                if line["from"] == "client":
                    self._send(line)
                else:
                    self._expect(line)
            if self.compare:
                for link in self.links.values():
                    self._compare_confirms(link)
        finally:
            for link in self.links.values():
                link.socket.close()
        return Replay(self.sent, self.compared, time.monotonic() - began)

    def _link(self, line: Line) -> Link:
        link = self.links.get(line["connection"])
        if link is None:
            link = self.links[line["connection"]] = Link(socket.create_connection(self.address, self.timeout))
        return link

    # --- the clients

    def _send(self, line: Line) -> None:
        link = self._link(line)
        if line["method"] == "heartbeat":
            return
        octets = self._octets(line)
        self._note(line, "->")
        try:
            link.socket.sendall(octets)
        except OSError as error:
            raise self._mismatch(line, f"the broker has closed the connection: {error}") from None
        self.sent += 1

    def _octets(self, line: Line) -> bytes:
        method = line["method"]
        if method == "connection.start-ok":
            user, password = self.credentials
            properties = line["arguments"].get("client_properties") or {}
            start_ok = commands.Connection.StartOk(properties, "PLAIN", f"\0{user}\0{password}")
            return frame.marshal(start_ok, 0)
        if method == "connection.open" and self.vhost is not None:
            return frame.marshal(commands.Connection.Open(virtual_host=self.vhost), 0)
        if "octets" not in line:
            raise ToolkitError(f"a frame of a recording has no octets and cannot be sent: {line}")
        octets = base64.b64decode(line["octets"])
        for recorded, actual in self.names.items():
            octets = octets.replace(recorded.encode(), actual.encode())
        return octets

    # --- the broker

    def _expect(self, line: Line) -> None:
        if line["method"] == "heartbeat":
            return
        link = self._link(line)
        if line["method"] in _CONFIRMS:
            link.expected.append(line)
            return
        found = self._next(link, line)
        if line["method"] not in _INTRODUCTIONS:
            other = {name: line.get(name) for name in ("method", "arguments", "body")}
            mine = {name: found.get(name) for name in ("method", "arguments", "body")}
            if not self._same(other, mine) and self.compare:
                raise self._mismatch(line, "the broker has said something else", found)
        self._note(line, "<-")
        self.compared += 1

    def _next(self, link: Link, line: Line) -> Line:
        """Return the next frame on a channel, confirms and heartbeats left out."""
        waiting = link.channels.setdefault(line["channel"], deque())
        while not waiting:
            self._read(link, line)
        return waiting.popleft()

    def _read(self, link: Link, line: Line | None) -> None:
        left = self.end - time.monotonic()
        link.socket.settimeout(max(left, 0.001))
        try:
            data = link.socket.recv(1 << 16)
        except TimeoutError:
            raise self._mismatch(line, f"the broker has said nothing within {self.timeout:g} s") from None
        except OSError as error:
            raise self._mismatch(line, f"the broker has closed the connection: {error}") from None
        if not data:
            raise self._mismatch(line, "the broker has closed the connection")
        link.buffer += data
        for octets in frames(link.buffer):
            found = described(octets)
            if found["method"] in _CONFIRMS:
                link.confirmed.append(found)
            elif found["method"] != "heartbeat":
                link.channels.setdefault(found["channel"], deque()).append(found)

    def _compare_confirms(self, link: Link) -> None:
        expected = confirmed_by(link.expected)
        while confirmed_by(link.confirmed).keys() < expected.keys():
            self._read(link, link.expected[-1])
        actual = confirmed_by(link.confirmed)
        for place, how in expected.items():
            if actual.get(place) != how:
                channel, number = place
                raise ReplayMismatch(
                    f"publish {number} on channel {channel} was confirmed with {how}, now with {actual.get(place)}"
                )
        self.compared += len(link.expected)

    def _same(self, recorded: object, actual: object) -> bool:
        """Return whether two values are equal, but for what is generated; notes which names stand for which."""
        if isinstance(recorded, dict) and isinstance(actual, dict):
            if recorded.keys() == {"time"} == actual.keys():
                return self._same_time(recorded["time"], actual["time"])
            return recorded.keys() == actual.keys() and all(
                self._same(value, actual[name]) for name, value in recorded.items()
            )
        if isinstance(recorded, list) and isinstance(actual, list):
            return len(recorded) == len(actual) and all(map(self._same, recorded, actual))
        if isinstance(recorded, str) and isinstance(actual, str):
            return self._same_text(recorded, actual)
        return bool(recorded == actual)

    def _same_text(self, recorded: str, actual: str) -> bool:
        ours, theirs = _GENERATED.findall(actual), _GENERATED.findall(recorded)
        if len(ours) != len(theirs):
            return False
        for old, new in zip(theirs, ours, strict=True):
            if self.names.setdefault(old, new) != new:
                return False
        return _GENERATED.sub("?", recorded) == _GENERATED.sub("?", actual)

    def _same_time(self, recorded: float, actual: float) -> bool:
        """Return whether two times are as far from each other as the first two were."""
        if self.offset is None:
            self.offset = actual - recorded
        return abs(actual - recorded - self.offset) <= TIME_TOLERANCE_S

    # --- the text of a mismatch

    def _note(self, line: Line, arrow: str) -> None:
        self.dialogue.append(said(line, arrow))

    def _mismatch(self, line: Line | None, why: str, found: Line | None = None) -> ReplayMismatch:
        shown = self.dialogue[-MOST_SHOWN:]
        expected = [said(line, "<-" if line["from"] == "server" else "->")] if line is not None else []
        actual = [said({**line, **found}, "<-")] if line is not None and found is not None else []
        diff = list(difflib.ndiff(expected, actual)) if actual else [f"- {one}" for one in expected]
        text = "\n".join([f"  {one}" for one in shown] + [one.rstrip("\n") for one in diff])
        return ReplayMismatch(f"{why}; the dialogue, with `-` as recorded and `+` as it is now:\n{text}")


class Link:
    """One socket of the replay. `channels`: frames that have come, by channel; `expected`, `confirmed`: confirms as
    recorded and as they have come."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.buffer = bytearray()
        self.channels: dict[int, deque[Line]] = {}
        self.expected: list[Line] = []
        self.confirmed: list[Line] = []


def confirmed_by(lines: list[Line]) -> dict[tuple[int, int], Literal["ack", "nack"]]:
    """Return how each publish was confirmed: (channel, number) -> ack or nack."""
    found: dict[tuple[int, int], Literal["ack", "nack"]] = {}
    last: dict[int, int] = {}
    for line in lines:
        channel, arguments = line["channel"], line["arguments"]
        tag = arguments["delivery_tag"]
        first = last.get(channel, 0) + 1 if arguments.get("multiple") else tag
        for number in range(first, tag + 1):
            found[channel, number] = "ack" if line["method"] == "basic.ack" else "nack"
        last[channel] = max(last.get(channel, 0), tag)
    return found


def said(line: Line, arrow: str) -> str:
    """Return a frame in one line of text."""
    what = line.get("body") if line["method"] == "content-body" else line.get("arguments")
    if isinstance(what, dict):
        what = ", ".join(
            f"{name}={value!r}" for name, value in what.items() if value not in ("", {}, False, None)
        )
    else:
        what = repr(what)
    return f"connection {line['connection']} {arrow} channel {line['channel']} {line['method']}({what})"
