"""What all nodes have of a user with a limit: each connection.open and channel.open of such a user asks the others, as
in RabbitMQ, where each node counts what it has.

A node that does not answer counts nothing: its connections are about to end, or to be served again.
"""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING

from leveret.cluster.peers import NOBODY, TOTALS, Call, PeerRefused, dial
from leveret.engine.other_nodes import UserTotals

if TYPE_CHECKING:
    from collections.abc import Iterable

    from leveret.cluster.peer_tls import PeerTls

log = logging.getLogger("leveret")

#: Seconds that a node has for its answer.
ANSWER_TIMEOUT_S = 2.0


async def totals_of(addresses: Iterable[str], user: str, secret: bytes, tls: PeerTls | None) -> UserTotals:
    """Return what the nodes at these addresses have of a user, all together."""
    found = await asyncio.gather(*(_totals(address, user, secret, tls) for address in addresses))
    return UserTotals(sum(one.connections for one in found), sum(one.channels for one in found))


async def _totals(address: str, user: str, secret: bytes, tls: PeerTls | None) -> UserTotals:
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            served = await dial(address, secret, Call(TOTALS, NOBODY, user=user), tls)
            answer = _Answer()
            try:
                served.begin(answer)
                return decoded(await answer.ended)
            finally:
                served.transport.abort()
    except (OSError, TimeoutError, PeerRefused, ValueError) as error:
        log.debug("cluster: the node at %s does not say what it has of user '%s': %s", address, user, error)
        return UserTotals(0, 0)


def encoded(totals: UserTotals) -> bytes:
    """Return an answer."""
    return json.dumps(totals).encode()


def decoded(data: bytes) -> UserTotals:
    """Return what an answer says. Raises `ValueError`."""
    found = json.loads(data)
    if not isinstance(found, list) or len(found) != 2 or not all(isinstance(one, int) for one in found):
        raise ValueError(f"not an answer: {data!r}")
    return UserTotals(*found)


class _Answer(asyncio.Protocol):
    """Reads an answer. `ended`: done with it when the other end has closed."""

    def __init__(self) -> None:
        self.ended: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._received = b""

    def data_received(self, data: bytes) -> None:
        """Keep it."""
        self._received += data

    def connection_lost(self, error: Exception | None) -> None:
        """That was all."""
        if not self.ended.done():
            self.ended.set_result(self._received)
