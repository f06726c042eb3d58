"""Passes the octets of a client on to another node, and back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, cast

from leveret.cluster.peers import Call, PeerRefused, Refusals, Served, dial

if TYPE_CHECKING:
    from leveret.cluster.peer_tls import PeerTls

log = logging.getLogger("leveret")

#: Unsent octets in one direction at which the other side is not read.
WRITE_LIMIT_BYTES = 256 * 1024

#: Seconds between two attempts to reach an owner that does not accept.
RETRY_INTERVAL_S = 0.1


class End(asyncio.Protocol):
    """One end of a splice. `other`: the other one, once it is connected; `early`: octets that came before that;
    `silent`: nothing more comes."""

    def __init__(self, lost: Callable[[], None]) -> None:
        self.transport: asyncio.Transport
        self.other: End | None = None
        self.early = b""
        self.silent = False
        self.lost = lost

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open; it is read when the other one is open, too."""
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=WRITE_LIMIT_BYTES, low=WRITE_LIMIT_BYTES // 4)
        self.transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        """Pass octets on. uvloop begins to read even if `connection_made` has paused it: what comes early is kept."""
        if self.other is not None:
            self.other.transport.write(data)
        else:
            self.early += data
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        """Pass the end of a direction on; the other one stays open, unless it has ended before."""
        self.silent = True
        if self.other is None or self.other.silent or not self.other.transport.can_write_eof():
            return False  # this end is closed, and then the other one
        self.other.transport.write_eof()
        return True

    def pause_writing(self) -> None:
        """This side does not read what it gets: do not read the other one."""
        if self.other is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        """This side reads again."""
        if self.other is not None and not self.other.transport.is_closing():
            self.other.transport.resume_reading()

    def connect(self, served: Served, other: End) -> None:
        """Connect it with `other`, the end of a call that is served: what came early goes first."""
        self.other, other.other = other, self
        served.begin(other)
        other.transport.write(self.early)
        self.early = b""
        self.transport.resume_reading()

    def reset(self) -> None:
        """End both sides."""
        self.transport.abort()
        if self.other is not None:
            self.other.transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """End the other side as this one ended: what was received is still sent, unless it was a reset."""
        if self.other is not None:
            if error is None:
                self.other.transport.close()
            else:
                self.other.transport.abort()
        self.lost()


async def reach(
    address_of: Callable[[], Awaitable[str]],
    secret: bytes,
    call: Call,
    tls: PeerTls | None,
    refusals: Refusals,
) -> tuple[str, Served]:
    """Call the owner, as soon as there is one that accepts; returns its address, too. `address_of`: waits for that of
    the owner, and is asked again after each attempt. `refusals`: logs them. Raises what it raises."""
    while True:
        address = await address_of()
        try:
            return address, await dial(address, secret, call, tls)
        except PeerRefused as error:
            refusals.log(f"the node at {address} refuses this one: {error}", logging.ERROR)
        except (OSError, TimeoutError):
            log.debug("cluster: the node at %s cannot be reached", address)
        await asyncio.sleep(RETRY_INTERVAL_S)


def nothing() -> None:
    """Nobody is interested."""
