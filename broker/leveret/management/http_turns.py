"""Shares each turn of the event loop among the connections to an HTTP listener.

A client can have much done for few octets: aiohttp calls Python for each chunk of a body, which may have one octet, and
for each request, before anybody has logged in. Up to two megabytes of a socket are read in one turn. What was read is
therefore parsed in portions, and requests begin a few at a time; the rest waits for the next turn, and sockets whose
octets wait are not read. Connections end a few at a time, too: a client that dies closes thousands at once, each with a
request that fails then.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

#: Octets that are parsed at once: a millisecond, if they are the most expensive ones.
PORTION_BYTES = 4096

#: How long parsing may take in one turn, seconds.
PARSING_S = 0.002

#: Requests that begin in one turn. Most are answered without a pause, in a third of a millisecond.
REQUESTS_TOGETHER = 4

#: Ends of connections in one turn, of the socket and of what is done for the client: a request that waits for its body
#: takes a tenth of a millisecond to fail.
ENDED_TOGETHER = 16


class Parsing(Protocol):
    """A connection whose octets wait to be parsed."""

    def parse(self) -> bool:
        """Parse a portion. Returns whether there is more that can be parsed. Raises nothing."""


class HttpTurns:
    """The turns of one listener. `clock`: seconds, of any origin."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._left = PARSING_S
        self._begun = 0
        self._ended = 0
        self._scheduled = False
        self._parsing: deque[Parsing] = deque()
        self._beginning: deque[asyncio.Future[None]] = deque()
        self._ending: deque[Callable[[], None]] = deque()

    def parse(self, connection: Parsing) -> bool:
        """Parse what a connection has, as far as this turn has time; the rest follows in later turns. Returns whether
        all of it was parsed that can be."""
        if not self._parsing and self._parse(connection):
            return True
        self.wait(connection)
        return False

    def wait(self, connection: Parsing) -> None:
        """Parse what a connection has in the next turns."""
        self._parsing.append(connection)
        self._schedule()

    async def begin(self) -> None:
        """Wait until a request may begin."""
        self._schedule()
        if self._begun < REQUESTS_TOGETHER and not self._beginning:
            self._begun += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._beginning.append(turn)
        await turn

    def end(self, call: Callable[[], None]) -> None:
        """End a connection with `call`, in order: in a later turn if many have ended in this one."""
        self._schedule()
        if self._ended < ENDED_TOGETHER and not self._ending:
            self._ended += 1
            call()
        else:
            self._ending.append(call)

    def _parse(self, connection: Parsing) -> bool:
        """Parse portions of one connection while there is time."""
        self._schedule()
        while self._left > 0:
            before = self._clock()
            more = connection.parse()
            self._left -= self._clock() - before
            if not more:
                return True
        return False

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        """Begin a turn: connections parse a portion each, in rotation."""
        self._scheduled = False
        self._left, self._begun, self._ended = PARSING_S, 0, 0
        while self._parsing and self._left > 0:
            self._schedule()
            connection = self._parsing.popleft()
            before = self._clock()
            if connection.parse():
                self._parsing.append(connection)
            self._left -= self._clock() - before
        while self._beginning and self._begun < REQUESTS_TOGETHER:
            self._schedule()
            turn = self._beginning.popleft()
            if not turn.done():  # the client may be gone
                turn.set_result(None)
                self._begun += 1
        while self._ending and self._ended < ENDED_TOGETHER:
            self._schedule()
            self._ended += 1
            self._ending.popleft()()
