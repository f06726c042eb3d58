"""The PROXY protocol, versions 1 and 2: a proxy says whose connection it forwards (haproxy.org, proxy-protocol.txt)."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable
from typing import NamedTuple

#: The first octets of a header of version 2.
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"

#: Longest header of version 1, in octets. Longer ones of version 2 only add fields that are skipped.
MAX_TEXT_BYTES = 107

#: Time that a proxy has for its header (rabbit_networking:handshake), seconds.
HEADER_TIMEOUT_S = 3.0

_LOCAL, _PROXY = 0x20, 0x21

#: Family and transport of version 2 -> octets of an address.
_ADDRESS_BYTES = {0x11: 4, 0x21: 16}

#: Reads exactly so many octets, or up to the end of a line of at most so many. Raise `EOFError`.
ReadExactly = Callable[[int], Awaitable[bytes]]


class MalformedHeader(ValueError):  # noqa: N818  named by what the proxy sent
    """What was sent is no PROXY header."""


class Origin(NamedTuple):
    """Both ends of the connection that is forwarded."""

    peer_host: str
    peer_port: int
    host: str
    port: int


async def read_header(read: ReadExactly) -> Origin | None:
    """Read a header; None if the proxy speaks for itself or does not know for whom. Raises `MalformedHeader`."""
    start = await read(len(SIGNATURE))
    if start == SIGNATURE:
        return await _binary(read)
    if start.startswith(b"PROXY "):
        return await _text(start, read)
    raise MalformedHeader(repr(start))


async def _binary(read: ReadExactly) -> Origin | None:
    command, family, *size = await read(4)
    body = await read(int.from_bytes(bytes(size), "big"))
    if command not in (_LOCAL, _PROXY):
        raise MalformedHeader("unknown version or command")
    octets = _ADDRESS_BYTES.get(family)
    if command == _LOCAL or octets is None:
        return None
    if len(body) < 2 * octets + 4:
        raise MalformedHeader("addresses are missing")
    ports = body[2 * octets : 2 * octets + 4]
    return Origin(
        str(ipaddress.ip_address(body[:octets])),
        int.from_bytes(ports[:2], "big"),
        str(ipaddress.ip_address(body[octets : 2 * octets])),
        int.from_bytes(ports[2:], "big"),
    )


async def _text(start: bytes, read: ReadExactly) -> Origin | None:
    line = start
    while not line.endswith(b"\r\n"):
        if len(line) >= MAX_TEXT_BYTES:
            raise MalformedHeader("too long")
        line += await read(1)
    words = line[:-2].decode("latin-1").split(" ")
    if words[1] == "UNKNOWN":
        return None
    if len(words) != 6 or words[1] not in ("TCP4", "TCP6"):
        raise MalformedHeader(line.decode("latin-1"))
    try:
        hosts = [ipaddress.ip_address(word) for word in words[2:4]]
        ports = [int(word) for word in words[4:]]
    except ValueError:
        raise MalformedHeader(line.decode("latin-1")) from None
    if any(host.version != int(words[1][-1]) for host in hosts) or not all(
        0 <= port < 65536 for port in ports
    ):
        raise MalformedHeader(line.decode("latin-1"))
    return Origin(str(hosts[0]), ports[0], str(hosts[1]), ports[1])
