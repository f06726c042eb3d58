"""HTTP/1.1 on sockets, with limits on what a client can make the broker wait for, keep and do.

aiohttp parses requests and writes responses. The limits and answers around it are those of Cowboy, RabbitMQ's server:

- A request header has to arrive within `request_timeout_s`, also on a connection that is kept alive.
- A body is read by the handler if it needs it, as it was sent: compressed bodies are not inflated. The rest of it is
  skipped after the response, up to `SKIP_BYTES`; then the connection is closed.
- Malformed requests get a bare status and no log line.
- Octets are parsed, requests begun and lost connections removed a few in each turn of the event loop (`http_turns.py`).

At `max_connections` of a listener, the connection that has been idle longest is closed for a new one.
"""

from __future__ import annotations

import asyncio
import functools
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import BadHttpMethod, LineTooLong
from aiohttp.web_protocol import RequestHandler, RequestPayloadError
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import Response, StreamResponse
from aiohttp.web_server import Server
from multidict import CIMultiDict, CIMultiDictProxy

from leveret.faults import Faults
from leveret.management.http_turns import PORTION_BYTES, HttpTurns

Handler = Callable[[BaseRequest], Awaitable[StreamResponse]]

#: Longest request line, and header line or values of a header that is repeated (cowboy: max_request_line_length;
#: aiohttp's limit of header lines).
MAX_LINE_BYTES = 8000
MAX_HEADER_BYTES = 8190

#: Most headers of a request (cowboy: max_headers).
MAX_HEADERS = 100

#: How much of an unread body is skipped: a client that sends without waiting should be able to read the response.
SKIP_BYTES = 1 << 25

#: How long it is skipped, and how long a connection that is to be closed may still be read (cowboy: linger_timeout).
LINGER_S = 1.0

#: How long a client may take to read a response (ranch: send_timeout).
SEND_TIMEOUT_S = 30.0

#: Octets of responses that clients have not read yet, of all connections to a listener; one response in any case.
MAX_UNREAD_BYTES = 128 << 20

#: Octets of bodies that are received or handled, of all connections to a listener; one body in any case.
MAX_BODIES_BYTES = 128 << 20

#: Octets of a body that are kept together while it is received.
PART_BYTES = 1 << 16

#: A body from this size on is joined in a thread. Python lets the event loop go on meanwhile; the pages of ten
#: megabytes can take the system 15 ms.
JOINED_AT_ONCE_BYTES = 1 << 20

#: Methods that resources know (cowboy_rest: known_methods).
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

#: In every response, instead of the names and versions of libraries.
SERVER = "Leveret"


class HttpServer(Server):
    """Makes the connections of one listener. `handler`: answers a request. `faults`: counts what it raises."""

    def __init__(
        self, handler: Handler, faults: Faults, request_timeout_s: float, max_connections: int
    ) -> None:
        super().__init__(
            self._serve,
            access_log=None,
            keepalive_timeout=request_timeout_s,
            lingering_time=0,
            auto_decompress=False,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_HEADER_BYTES,
        )
        self.handler = handler
        self.faults = faults
        self.max_connections = max_connections
        self.turns = HttpTurns()
        #: Open connection -> whether a request of it is being served; the longest idle one comes first.
        self.open: dict[RequestHandler, bool] = {}
        #: Connection -> octets of the response that is sent to it; the one that takes longest comes first.
        self.sending: dict[RequestHandler, int] = {}
        #: Connection -> octets of the body that it has sent; the one that takes longest comes first.
        self.receiving: dict[RequestHandler, int] = {}
        #: Connection -> the task that reads something for it, and changes nothing.
        self.reading: dict[RequestHandler, asyncio.Task[object]] = {}

    def __call__(self) -> RequestHandler:
        return CONNECTION(self, loop=asyncio.get_running_loop(), **self._kwargs)

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Admit a connection; at the limit, one without a request gives way, or else this one."""
        super().connection_made(handler, transport)
        if len(self.open) >= self.max_connections:
            closing = next((one for one, serving in self.open.items() if not serving), handler)
            self.open.pop(closing, None)
            closing.force_close()
            if closing is handler:
                return
        self.open[handler] = False

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        """Forget a connection, and end what was being read for it: a long list takes time and memory."""
        self.open.pop(handler, None)
        self.sending.pop(handler, None)
        self.receiving.pop(handler, None)
        task = self.reading.pop(handler, None)
        if task is not None:
            task.cancel()
        super().connection_lost(handler, exc)

    async def _serve(self, request: BaseRequest) -> StreamResponse:
        """Answer one request, when its turn has come, and skip what is left of its body."""
        connection = request.protocol
        await self.turns.begin()
        if connection.transport is None and request.method in ("GET", "HEAD"):
            raise ConnectionResetError  # the client has not waited
        if connection in self.open:  # else it is closed already
            self.open[connection] = True
            task = asyncio.current_task()
            if request.method in ("GET", "HEAD") and task is not None:
                self.reading[connection] = task
        try:
            response = await self._answer(request)
            self.reading.pop(connection, None)
            self.receiving.pop(connection, None)
            self._make_room(self.sending, connection, _octets(response), MAX_UNREAD_BYTES)
            response.headers.setdefault("Server", SERVER)
            await response.prepare(request)
            if isinstance(response, PiecewiseResponse) and request.method != "HEAD":
                await response.write_pieces(request)
            await response.write_eof()
            if await _sent(request):
                await _skip(request)
            return response
        finally:
            self.sending.pop(connection, None)
            self.receiving.pop(connection, None)
            self.reading.pop(connection, None)
            if self.open.pop(connection, None) is not None:
                self.open[connection] = False

    def received(self, connection: RequestHandler, size: int) -> None:
        """Note how much of a body has arrived. Beyond `MAX_BODIES_BYTES`, the clients that have been sending theirs for
        the longest time lose their connections."""
        self._make_room(self.receiving, connection, size, MAX_BODIES_BYTES)

    def _make_room(
        self, held: dict[RequestHandler, int], connection: RequestHandler, size: int, most: int
    ) -> None:
        """Note what is held for a connection. Beyond `most`, those that have been there for the longest time are
        closed."""
        if connection not in self.open:
            return
        held[connection] = size
        total = sum(held.values())
        for slowest in list(held):
            if total <= most or slowest is connection:
                break
            total -= held.pop(slowest)
            if slowest.transport is not None:
                slowest.transport.abort()

    async def _answer(self, request: BaseRequest) -> StreamResponse:
        if request.version not in ((1, 0), (1, 1)):
            return bare(400 if request.version < (1, 0) else 505)
        if request.method in ("TRACE", "CONNECT"):
            return bare(501)
        if len(request.headers) > MAX_HEADERS or _repeats_too_much(request.headers):
            return bare(431)
        if request.version >= (1, 1) and not _is_host(request.headers.get("Host")):
            return bare(400)
        if (
            request.headers.get("Transfer-Encoding", "chunked").lower() != "chunked"
        ):  # nothing else is decoded
            return bare(400)
        if "://" in request.raw_path.partition("?")[0] and not _HTTP.match(request.raw_path):
            return bare(400)
        authority = _parts(request)[0]
        if authority is not None and authority != request.headers.get("Host"):
            return bare(400)
        try:
            return await self.handler(request)
        except (TimeoutError, RequestPayloadError) as error:
            return bare(408 if isinstance(error, TimeoutError) else 400)


#: The schemes of absolute URIs, and what a client may say that the host and port of the server are (cow_http_hd).
_HTTP = re.compile(r"https?://|/", re.IGNORECASE)
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]*\]|[\w!$&'()*+,.;=~%-]*)(?::([0-9]{0,5}))?", re.ASCII)


def _is_host(given: str | None) -> bool:
    """Whether the header Host has the form of one."""
    found = _HOST.fullmatch(given) if given is not None else None
    return found is not None and int(found[1] or 0) <= 65_535


def _repeats_too_much(headers: CIMultiDictProxy[str]) -> bool:
    """Whether the values of a header that is repeated are longer together than one may be: they mean the same as one
    list, which takes a while to be parsed."""
    if sum(map(len, headers.values())) <= MAX_HEADER_BYTES:
        return False
    lengths: Counter[str] = Counter()
    for name, value in headers.items():
        lengths[name.lower()] += len(value)
    return max(lengths.values()) > MAX_HEADER_BYTES


def _octets(response: StreamResponse) -> int:
    """Octets of a response that are in memory."""
    if isinstance(response, PiecewiseResponse):
        return (response.content_length or 0) if isinstance(response.pieces, Sequence) else 0
    body = response.body if isinstance(response, Response) else None
    return len(body) if isinstance(body, bytes | bytearray) else 0


class PiecewiseResponse(StreamResponse):
    """A response whose body is written in pieces, no faster than the client reads them."""

    def __init__(
        self, pieces: Sequence[bytes] | AsyncIterator[bytes], headers: Mapping[str, str], status: int = 200
    ) -> None:
        super().__init__(status=status, headers=headers)
        if isinstance(pieces, Sequence):
            self.content_length = sum(map(len, pieces))
        self.pieces = pieces

    async def write_pieces(self, request: BaseRequest) -> None:
        """Write the body, and let the loop run after each piece.

        A client that does not read for `SEND_TIMEOUT_S` loses the connection: raises `ConnectionResetError`.
        """
        async for piece in _each(self.pieces):
            try:
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    await self.write(piece)
                    await asyncio.sleep(0)
            except TimeoutError:
                if request.transport is not None:
                    request.transport.abort()
                raise ConnectionResetError from None


async def _each(pieces: Sequence[bytes] | AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield pieces that are there, or that come."""
    if isinstance(pieces, Sequence):
        for piece in pieces:
            yield piece
    else:
        async for piece in pieces:
            yield piece


class HttpConnection(RequestHandler):
    """One accepted socket."""

    def __init__(self, server: HttpServer, **options: Any) -> None:
        super().__init__(server, **options)
        self._turns = server.turns

    async def start(self) -> None:
        """Serve requests. The client may have gone before this begins."""
        if self._manager is not None:
            await super().start()

    def eof_received(self) -> bool:  # type: ignore[override]  # as asyncio has it
        """Close the socket, because the client has closed its side: soon, if many have; TLS does at once."""
        if self.transport is None or self.transport.get_extra_info("sslcontext") is not None:
            return False
        self._turns.end(self.transport.close)
        return True

    def connection_lost(self, exc: BaseException | None) -> None:
        """End what is done for the client: soon, if many are lost at the same moment."""
        self._turns.end(functools.partial(super().connection_lost, exc))

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> StreamResponse:
        """Answer what is not HTTP, as Cowboy does: a status without a text, then the end of the connection."""
        if isinstance(exc, LineTooLong):
            status = 414 if exc.args[1] == MAX_LINE_BYTES else 431
        elif isinstance(exc, BadHttpMethod):
            status = 501
        elif status == 500 and not (isinstance(exc, ConnectionError) and self._lost):
            self.log_exception(exc_info=exc)
        return bare(status)

    @property
    def _lost(self) -> bool:
        """Whether the client has gone: it cannot be answered."""
        return self.transport is None or self.transport.is_closing()

    def log_exception(self, *words: object, **options: object) -> None:
        """Report an exception that nobody expected."""
        error = options.get("exc_info")
        if isinstance(error, Exception) and isinstance(self._manager, HttpServer):
            self._manager.faults.report("http", error)

    def force_close(self) -> None:
        """Close the socket; a client that does not read the rest of a response has `LINGER_S` for it."""
        transport = self.transport
        # Asked before: a transport of asyncio's TLS that was closed twice raises an exception.
        unsent = 0 if transport is None else transport.get_write_buffer_size()
        super().force_close()
        if transport is not None and unsent:
            asyncio.get_running_loop().call_later(LINGER_S, transport.abort)


class PortionedConnection(HttpConnection):
    """One accepted socket, of which no more is parsed in a turn than others can wait for.

    What it sends is given to aiohttp in portions, and only while aiohttp has not paused it: otherwise its parser would
    keep the rest, and parse that at once later.
    """

    def __init__(self, server: HttpServer, **options: Any) -> None:
        super().__init__(server, **options)
        self._faults = server.faults
        #: What was read and not parsed.
        self._unparsed = bytearray()
        #: Whether this connection waits for a turn.
        self._in_line = False

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived; what takes too long waits for the next turn, and nothing is read meanwhile.

        aiohttp itself calls this without data, to go on with what its parser has kept.
        """
        if not data:
            super().data_received(data)
            return
        if self._force_close or self._close:
            return
        self._unparsed += data
        if not self._in_line:
            self._parse_in_turns()

    def parse(self) -> bool:
        """Parse a portion. Returns whether there is more, and aiohttp takes it. Raises nothing."""
        try:
            if self._unparsed and not self._held:
                portion = bytes(self._unparsed[:PORTION_BYTES])
                del self._unparsed[:PORTION_BYTES]
                super().data_received(portion)
                self._end_body_of_malformed()
        except Exception as error:
            self._faults.report("http", error)
            self.force_close()
        if self.transport is None or self._force_close or self._close:
            self._unparsed.clear()
        if self._unparsed and not self._held:
            return True
        if self._in_line:
            self._in_line = False
            if not self._held:
                super()._resume_transport_reading()
        return False

    def _end_body_of_malformed(self) -> None:
        """If what was parsed is not HTTP, end the body that it belonged to: aiohttp would leave it open for ever."""
        if self._messages and not isinstance(self._messages[-1][0], RawRequestMessage):
            current = self._current_request
            bodies = [body for _, body in self._messages]
            for body in [current.content, *bodies] if current is not None else bodies:
                if not body.is_eof():
                    body.set_exception(RequestPayloadError("malformed body"))

    @property
    def _held(self) -> bool:
        """Whether aiohttp takes nothing at the moment: a body is not read, or enough requests wait."""
        return self._reading_paused or self._buffer_paused

    def _parse_in_turns(self) -> None:
        if not self._turns.parse(self):
            self._in_line = True
            self._pause_transport_reading()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Go on, if reading was paused: aiohttp calls this for each chunk of a body that is read, even of an octet."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def _resume_transport_reading(self) -> None:
        """Go on reading when aiohttp does, unless something that was read before waits."""
        if self._in_line:
            return
        if self._unparsed:
            self._in_line = True
            self._turns.wait(self)
        else:
            super()._resume_transport_reading()


#: What `PortionedConnection` needs of aiohttp besides its public names. Releases before 3.14.4 do not have it; with one
#: that has it not, the octets of a socket are parsed as they come.
_HOLDS = ("_reading_paused", "_buffer_paused", "_pause_transport_reading", "_resume_transport_reading")
CONNECTION = PortionedConnection if all(hasattr(RequestHandler, name) for name in _HOLDS) else HttpConnection


def bare(status: int, headers: Mapping[str, str] | None = None) -> Response:
    """A response without a body that ends the connection."""
    response = Response(status=status, headers=headers or {"Server": SERVER})
    response.force_close()
    return response


def headers_of(request: BaseRequest) -> Mapping[str, str]:
    """The headers of a request: one that is repeated has all its values, separated by commas (RFC 9110 5.3)."""
    given = request.headers
    names = {name.lower() for name in given}
    if len(names) == len(given):
        return given
    return CIMultiDict((name, ", ".join(given.getall(name))) for name in names)


def path_of(request: BaseRequest) -> tuple[str, str]:
    """The path and the query of a request, also of one with an absolute URI (RFC 9112 3.2.2)."""
    return _parts(request)[1:]


def _parts(request: BaseRequest) -> tuple[str | None, str, str]:
    """Authority (None unless the URI is absolute), path and query."""
    target, _, query = request.raw_path.partition("?")
    if target.startswith("/"):
        return None, target, query
    authority, _, path = target.partition("://")[2].partition("/")
    return authority or None, "/" + path if authority else target, query


async def read_body(request: BaseRequest, most: int, idle_timeout_s: float) -> bytes | None:
    """Read the body as it was sent; None if it has more than `most` octets.

    Raises `TimeoutError` if nothing arrives for `idle_timeout_s`, `RequestPayloadError` if it is not HTTP.
    """
    if (request.content_length or 0) > most:
        return None
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the response itself has not begun
    body, content = _Body(), request.content
    connection = getattr(request, "protocol", None)  # a test may have none
    server = getattr(connection, "_manager", None)
    while not content.at_eof():
        if content.is_eof():  # all of it has arrived
            body.add(content.read_nowait())
        else:
            async with asyncio.timeout(idle_timeout_s):
                body.add(await _next_part(request))
        if body.size > most:
            return None
        if isinstance(server, HttpServer) and connection is not None:
            server.received(connection, body.size)
    return await body.joined()


class _Body:
    """A body of `size` octets, as far as it has been received."""

    def __init__(self) -> None:
        self.size = 0
        self._parts: list[bytes] = []
        self._part = bytearray()  # a client can send an octet at a time

    def add(self, octets: bytes) -> None:
        """Append what has arrived."""
        self.size += len(octets)
        self._part += octets
        if len(self._part) >= PART_BYTES:
            self._parts.append(bytes(self._part))
            self._part.clear()

    async def joined(self) -> bytes:
        """All of it; a large one is joined in a thread."""
        self._parts.append(bytes(self._part))
        if self.size < JOINED_AT_ONCE_BYTES:
            return b"".join(self._parts)
        return await asyncio.to_thread(b"".join, self._parts)


async def _next_part(request: BaseRequest) -> bytes:
    """What has arrived of a body. Raises `ConnectionResetError` if the client has gone."""
    connection = getattr(request, "protocol", None)
    if isinstance(connection, RequestHandler) and not connection.connected:
        raise ConnectionResetError
    return await request.content.readany()


async def _sent(request: BaseRequest) -> bool:
    """Wait until the response has been sent, nearly; a client that does not read it loses the connection."""
    try:
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await request.writer.drain()
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
        return False
    return True


async def _skip(request: BaseRequest) -> None:
    """Skip the rest of a body; the connection ends where that is too long, not HTTP, or does not arrive."""
    left = SKIP_BYTES
    try:
        async with asyncio.timeout(LINGER_S):
            while not request.content.at_eof():
                if left <= 0:
                    await asyncio.sleep(LINGER_S)
                left -= len(await _next_part(request))
    except (TimeoutError, RequestPayloadError, ConnectionError):
        return
