"""Cuts what a connection carries into units: a method with its content, or another frame."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

#: Class and method ids of the methods that carry a content.
PUBLISH = 60 << 16 | 40
RETURN = 60 << 16 | 50
DELIVER = 60 << 16 | 60
GET_OK = 60 << 16 | 71
WITH_CONTENT = frozenset({PUBLISH, RETURN, DELIVER, GET_OK})

_HEAD = 7  # octets of a frame before its payload
_FRAME_END = 0xCE


class Unit(NamedTuple):
    """A method with its content, or another frame. `method`: class and method ids, 0 for what is no method; `payload`:
    that of the method frame; `content`: the frames that follow it."""

    channel: int
    method: int
    payload: bytes
    octets: bytes
    content: bytes = b""


class Splitter:
    """Cuts a stream into units. `passed`: the beginning of a frame that has been passed on already.

    What it does not understand is passed on as it is: refusing it is the engine's part.
    """

    def __init__(self, passed: bytes = b"", *, header_awaited: bool = False) -> None:
        self._buffer = bytearray(passed)
        self._passed = len(passed)
        self._header_awaited = header_awaited
        self._broken = False
        self._begun: dict[int, list[bytes]] = {}
        self._missing: dict[int, int] = {}

    def feed(self, data: bytes, limit: int) -> Iterator[Unit]:
        """Yield the units that are complete. Frames with more than `limit` octets of payload are not waited for."""
        self._buffer += data
        if self._header_awaited and len(self._buffer) >= 8:
            self._header_awaited = False
            yield self._raw(8)
        while not self._header_awaited and self._buffer:
            if self._broken:
                yield self._raw(len(self._buffer))
            elif len(self._buffer) < _HEAD:
                return
            else:
                size = int.from_bytes(self._buffer[3:_HEAD], "big")
                stop = _HEAD + size + 1
                if size > limit:
                    self._broken = True
                elif len(self._buffer) < stop:
                    return
                elif self._buffer[stop - 1] != _FRAME_END or self._passed:
                    self._broken = self._buffer[stop - 1] != _FRAME_END
                    yield self._raw(stop)
                else:
                    frame = bytes(self._buffer[:stop])
                    del self._buffer[:stop]
                    yield from self._units(frame)

    def _raw(self, size: int) -> Unit:
        octets = bytes(self._buffer[self._passed : size])
        del self._buffer[:size]
        self._passed = 0
        return Unit(0, 0, b"", octets)

    def _units(self, frame: bytes) -> Iterator[Unit]:
        kind, channel = frame[0], int.from_bytes(frame[1:3], "big")
        begun = self._begun.get(channel)
        if begun is not None and kind in (2, 3):
            begun.append(frame)
            self._count(channel, kind, frame)
            if self._missing[channel] <= 0:
                yield self._complete(channel)
            return
        if begun is not None and kind == 1:  # the client breaks off its content
            yield self._complete(channel)
        method = int.from_bytes(frame[_HEAD : _HEAD + 4], "big") if kind == 1 else 0
        if method in WITH_CONTENT:
            self._begun[channel], self._missing[channel] = [frame], 1
            return
        yield Unit(channel, method, frame[_HEAD:-1] if method else b"", frame)

    def _count(self, channel: int, kind: int, frame: bytes) -> None:
        if kind == 2:
            self._missing[channel] = int.from_bytes(frame[_HEAD + 4 : _HEAD + 12], "big")
        else:
            self._missing[channel] -= len(frame) - _HEAD - 1

    def _complete(self, channel: int) -> Unit:
        frames = self._begun.pop(channel)
        content = b"".join(frames[1:])
        method = int.from_bytes(frames[0][_HEAD : _HEAD + 4], "big")
        return Unit(channel, method, frames[0][_HEAD:-1], frames[0] + content, content)


def method_unit(frame: bytes) -> Unit:
    """Return a method frame as a unit."""
    payload = frame[_HEAD:-1]
    return Unit(int.from_bytes(frame[1:3], "big"), int.from_bytes(payload[:4], "big"), payload, frame)


def header_and_body(content: bytes) -> tuple[bytes, bytes]:
    """Return the payload of the header frame, and the body."""
    payloads = []
    at = 0
    while at < len(content):
        size = int.from_bytes(content[at + 3 : at + _HEAD], "big")
        payloads.append(content[at + _HEAD : at + _HEAD + size])
        at += _HEAD + size + 1
    return (payloads[0], b"".join(payloads[1:])) if payloads else (b"", b"")
