"""Encodes the `Extra` of a message: additional keys, death history, counts.

It follows the message in packed backlogs and in the store (`encoding.py`). The format is MessagePack arrays, because
only this module reads them; new fields are added at the end.
"""

from __future__ import annotations

import msgspec

from leveret.queues.message import Death, Extra


class _Death(msgspec.Struct, array_like=True):
    queue: bytes  # names may hold octets that are not UTF-8
    reason: str
    count: int
    time: int
    exchange: bytes
    keys: tuple[bytes, ...]
    expiration: bytes | None


class _Extra(msgspec.Struct, array_like=True):
    more: list[bytes]
    deaths: list[_Death]
    redelivered: bool
    acquired: int
    failed: int


class _LooseExtra(msgspec.Struct, array_like=True):
    more: list[bytes]
    deaths: list[object]
    redelivered: bool
    acquired: int
    failed: int


_decoder = msgspec.msgpack.Decoder(_Extra)
_loose_decoder = msgspec.msgpack.Decoder(_LooseExtra)


def encode(extra: Extra) -> bytes:
    """Encode an `Extra`."""
    deaths = [
        _Death(
            death.queue.encode("utf-8", "surrogateescape"),
            # The reason may come from a client, and is not always text.
            death.reason.encode("utf-8", "replace").decode(),
            death.count,
            death.time,
            death.exchange,
            death.keys,
            death.expiration,
        )
        for death in extra.deaths
    ]
    return msgspec.msgpack.encode(
        _Extra(extra.more, deaths, bool(extra.redelivered), extra.acquired, extra.failed)
    )


def decode(data: bytes) -> Extra:
    """Decode what `encode` has written. Raises `msgspec.DecodeError`."""
    try:
        given = _decoder.decode(data)
    except msgspec.ValidationError:
        # Written by a version that kept a client's x-death as the broker's own: the message is complete, its history is
        # not.
        loose = _loose_decoder.decode(data)
        given = _Extra(loose.more, [], loose.redelivered, loose.acquired, loose.failed)
    extra = Extra()
    extra.more = given.more
    extra.deaths = [
        Death(
            death.queue.decode("utf-8", "surrogateescape"),
            death.reason,
            death.count,
            death.time,
            death.exchange,
            death.keys,
            death.expiration,
        )
        for death in given.deaths
    ]
    extra.redelivered = given.redelivered
    extra.acquired = given.acquired
    extra.failed = given.failed
    return extra
