"""What is served over HTTP: the management API on one port, /metrics on the other.

`http_server` reads requests and writes responses. Here the path finds its resource in a table, the user logs in, and
the resource (a function of `Call`) answers from the engine's objects at that moment. Resources that walk long lists are
coroutines, so that they do not hold the loop (`slices.py`). The clock is moved before, and connections that have output
afterwards are sent at the end of the tick, as when an AMQP frame arrives. The body is read after login, and only for
methods that can have one. Responses to changes wait until these are durable.
"""

from __future__ import annotations

import asyncio
import gzip
import re
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from inspect import isawaitable
from urllib.parse import parse_qsl, unquote

import msgspec
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import Response, StreamResponse

from leveret.errors import AmqpError
from leveret.management import resources
from leveret.management.call import (
    Call,
    Pieces,
    Refusal,
    Reply,
    Resource,
    Shows,
    bad_request,
    missing,
    refused,
    shown,
)
from leveret.management.call import Handler as ResourceHandler
from leveret.management.headers import ResponseHeaders, Stage
from leveret.management.http_server import (
    Handler,
    HttpServer,
    PiecewiseResponse,
    bare,
    path_of,
    read_body,
)
from leveret.management.negotiation import MalformedHeader, acceptable, content_type, entity_tags
from leveret.management.paths import Paths
from leveret.management.reference import REDIRECTED, reference
from leveret.management.site import Site
from leveret.settings import Server as Settings
from leveret.work import Suspended

#: How long requests that are being served may take when the node stops.
SHUTDOWN_GRACE_S = 0.2

#: Methods that have a body.
_WITH_BODY = frozenset({"PUT", "POST", "DELETE"})


def _nothing(call: Call) -> object:
    """GET: 404."""
    raise missing()


#: What is answered below /api, and elsewhere, where there is nothing: RabbitMQ looks for a file of its web page there.
_NOWHERE = Resource({"GET": _nothing}, public=True, shows=Shows.FILE)

#: Bodies from this size on are compressed, and beside the event loop (cowboy_compress_h: compress_threshold).
COMPRESSED_BYTES = 300
THREAD_BYTES = 1 << 16

#: Pieces of a compressed list, as they are written.
PIECE_BYTES = 1 << 16


class Http:
    """The HTTP servers of one node."""

    def __init__(self, site: Site, settings: Settings) -> None:
        self.site = site
        self.settings = settings
        self.management = site.broker.settings.management
        api = site.broker.profile.api
        self.paths = Paths({**resources.ROUTES, "index.html": self._reference()}, api.absent_paths)
        self.prefix = [segment for segment in self.management.path_prefix.split("/") if segment]
        self.headers = ResponseHeaders(self.management, api)
        self._accepting: list[asyncio.Server] = []
        self._servers: list[HttpServer] = []
        self._scrape: Handler | None = None

    def _reference(self) -> Resource:
        profile = self.site.broker.profile
        public = not self.management.require_auth_for_api_reference
        return reference(resources.ROUTES, profile.api.absent_paths, profile.version, public=public)

    async def start(
        self,
        api: Sequence[socket.socket],
        metrics: Sequence[socket.socket],
        most_connections: Callable[[int], int],
    ) -> None:
        """Accept connections on listening sockets.

        `most_connections`: how many there may be at most, of so many as configured.
        """
        settings = self.settings
        most = most_connections(settings.http_max_connections)
        await self._accept(api, self.serve, most, settings.http_request_timeout)
        most = most_connections(settings.prometheus_max_connections)
        await self._accept(metrics, self.scrape, most, settings.prometheus_request_timeout)

    async def _accept(
        self,
        sockets: Sequence[socket.socket],
        handler: Handler,
        max_connections: int,
        request_timeout_ms: int,
    ) -> None:
        loop = asyncio.get_running_loop()
        server = HttpServer(handler, self.site.broker.faults, request_timeout_ms / 1000, max_connections)
        self._servers.append(server)
        for sock in sockets:
            self._accepting.append(await loop.create_server(server, sock=sock))

    async def stop(self) -> None:
        """Stop listening; requests that are being served are finished first."""
        for listener in self._accepting:
            listener.close()
        for server in self._servers:
            server.pre_shutdown()
            await server.shutdown(SHUTDOWN_GRACE_S)

    # --- one request

    async def scrape(self, request: BaseRequest) -> StreamResponse:
        """Answer a request to the Prometheus port; the modules for that are imported for the first one."""
        try:
            if self._scrape is None:
                from leveret.management.prometheus.endpoint import Endpoint

                self._scrape = Endpoint(self.site, self.settings).serve
            return await self._scrape(request)
        except Exception as error:
            self.site.broker.faults.report("metrics", error, path=request.raw_path)
            return Response(status=500)

    async def serve(self, request: BaseRequest) -> StreamResponse:
        """Answer a request to the API."""
        target, query = path_of(request)
        if _MALFORMED_ESCAPE.search(target):
            return bare(400, self.headers.bare)
        if _MALFORMED_ESCAPE.search(query):
            return bare(400)
        segments = _segments(target)
        inside = segments[: len(self.prefix)] == self.prefix
        local = tuple(segments[len(self.prefix) :]) if inside else ()
        if local in REDIRECTED:
            return self._redirected("/api/index.html")
        found = self.paths.find(local[1:]) if local[:1] == ("api",) else None
        resource, path = found or (_NOWHERE, {})
        method = "GET" if request.method == "HEAD" and resource.head else request.method
        exchange = Exchange(resource, request.method, request.headers)
        try:
            if target == "*":  # OPTIONS for the server as a whole
                return self._response(exchange, missing())
            if method not in resource:
                return self._response(exchange, Reply(200 if method == "OPTIONS" else 405))
            call = Call(self.site, method, path, _first(query), request.headers, address=request.remote or "")
            response = self._response(exchange, await self._answered(exchange, call, request))
        except MalformedHeader:
            return bare(400)
        if self.management.compress:
            await _compress(response, request)
        return response

    def _redirected(self, path: str) -> Response:
        location = "".join(f"/{segment}" for segment in self.prefix) + path
        return Response(status=301, headers={**self.headers.bare, "Location": location})

    async def _answered(self, exchange: Exchange, call: Call, request: BaseRequest) -> object:
        """What a handler returns, or the refusal. Raises `MalformedHeader`."""
        try:
            return await self._handled(exchange, call, request)
        except Refusal as refusal:
            if refusal.early:
                exchange.stage = Stage.REFUSED
            return refusal

    async def _handled(self, exchange: Exchange, call: Call, request: BaseRequest) -> object:
        """Log in, negotiate, read the body and call the handler, in Cowboy's order. Raises `Refusal`."""
        resource = exchange.resource
        with self._guarded(call):
            _log_in(call, request, resource)
        exchange.negotiate()
        if call.method in _WITH_BODY:
            exchange.check_body_type()
            call.content = await self._body(request)
        try:
            return await self._repeated(call, resource[call.method])
        finally:
            if call.method != "GET":
                await self._saved(call)

    async def _repeated(self, call: Call, handler: ResourceHandler) -> object:
        """Call the handler; again when the job that it must wait for has ended; and wait for the job that it has begun.
        Raises `Refusal`."""
        while True:
            try:
                answer = await self._called(call, handler)
            except Suspended as waiting:
                await self.site.ended(waiting.job)
                continue
            if call.job is not None:
                await self.site.ended(call.job)
            return answer

    def _response(self, exchange: Exchange, answer: object) -> Response | PiecewiseResponse:
        """The response for what a handler returned: 204 for None, 200 with JSON for other values; or for a refusal."""
        pieces = answer.json if isinstance(answer, Pieces) else None
        if pieces is not None:
            answer = Reply(200, headers={"Content-Type": "application/json"}, shown=True)
        elif isinstance(answer, Refusal):
            answer = _refusal(answer)
        elif not isinstance(answer, Reply):
            answer = Reply(204) if answer is None else shown(answer)
        if answer.status == 200 and exchange.method in ("GET", "HEAD"):
            answer = exchange.conditional(answer)
        asked = answer.status == 405 or exchange.method == "OPTIONS"
        stage = Stage.SHOWN if answer.shown else exchange.stage
        headers = self.headers.of(exchange.resource, exchange.method, exchange.headers, stage)
        headers |= self.headers.allow(exchange.resource, asked=asked) | answer.headers
        if pieces is not None and answer.status == 200:
            return PiecewiseResponse(pieces, headers)
        return Response(status=answer.status, body=answer.body, headers=headers)

    async def _body(self, request: BaseRequest) -> bytes:
        """The body. Raises `Refusal` if it is too large."""
        settings = self.settings
        body = await read_body(request, settings.http_max_body_size, settings.http_idle_timeout / 1000)
        if body is None:
            raise bad_request("Exceeded HTTP request body size limit")
        return body

    @contextmanager
    def _guarded(self, call: Call) -> Iterator[None]:
        """Turn what the engine refuses into RabbitMQ's answer, and report other exceptions: 500. Raises `Refusal`."""
        try:
            yield
        except (Refusal, MalformedHeader, Suspended):
            raise
        except AmqpError as error:
            raise refused(error) from None
        except Exception as error:
            path = "/".join(call.path.values())
            self.site.broker.faults.report("http", error, method=call.method, path=path)
            raise Refusal(500, "", "") from None

    async def _saved(self, call: Call) -> None:
        """Wait until what a call has changed, even one that was refused in the end, is durable."""
        with self._guarded(call):
            settled = self.site.settled()
        await settled

    async def _called(self, call: Call, handler: ResourceHandler) -> object:
        """What a handler returns: at once, or when its coroutine is done. Raises `Refusal`."""
        with self._guarded(call):
            self.site.tick()
            try:
                answer = handler(call)
                return await answer if isawaitable(answer) else answer
            finally:
                self.site.touch()


class Exchange:
    """A request and how far it got. `stage`: see `Stage`."""

    def __init__(self, resource: Resource, method: str, headers: Mapping[str, str]) -> None:
        self.resource = resource
        self.method = method
        self.headers = headers
        self.stage = Stage.REFUSED

    def negotiate(self) -> None:
        """Check that the client accepts what the resource shows. Raises `Refusal` (406, 400)."""
        if self.resource.shows is Shows.FILE:
            return
        wanted = self.headers.get("Accept")
        try:
            if wanted is not None and not acceptable(wanted, self.resource.shows.value.strip()):
                raise Refusal(406, "", "")
        except MalformedHeader:
            raise Refusal(400, "", "") from None
        self.stage = Stage.NEGOTIATED

    def conditional(self, answer: Reply) -> Reply:
        """The answer to If-Match and If-None-Match instead of the resource, if they say so (cowboy_rest).

        Resources without an entity tag match nothing, and fail both conditions. Raises `MalformedHeader`.
        """
        tag = answer.headers.get("ETag", "")
        wanted, known = self.headers.get("If-Match"), self.headers.get("If-None-Match")
        if wanted is not None and wanted != "*" and tag not in entity_tags(wanted):
            return Reply(412)
        if known is not None and (known == "*" or tag in entity_tags(known)):
            return Reply(304, headers={"ETag": tag} if tag else {})
        return Reply(412) if known is not None and not tag else answer

    def check_body_type(self) -> None:
        """Check the content type of the body. Raises `Refusal` (415)."""
        if self.method == "DELETE":
            return
        given, accepts = self.headers.get("Content-Type"), self.resource.accepts
        try:
            kind = content_type(given)[0] if given is not None else ""
        except MalformedHeader:
            raise Refusal(415, "", "") from None
        if accepts and kind not in accepts:
            raise Refusal(415, "", "")


def _segments(target: str) -> list[str]:
    """The decoded segments of a path, without `.` and `..` (RFC 3986 5.2.4; cow_uri)."""
    found: list[str] = []
    for raw in target.split("/")[1:]:
        if raw == "..":
            del found[-1:]
        elif raw != ".":
            found.append(unquote(raw, errors="surrogateescape"))
    return found


def _log_in(call: Call, request: BaseRequest, resource: Resource) -> None:
    """Log in, unless the resource is public, and check that the user may use it. Raises `Refusal`."""
    if not resource.public:
        call.log_in(request.headers.get("Authorization"))
    if resource.may is not None:
        resource.may(call)


def _refusal(refusal: Refusal) -> Reply:
    if refusal.error:
        body = msgspec.json.encode({"error": refusal.error, "reason": refusal.reason, **refusal.more})
        return Reply(refusal.status, body, {"Content-Type": "application/json"})
    unknown = refusal.status == 401
    return Reply(
        refusal.status, b"", {"WWW-Authenticate": 'Basic realm="RabbitMQ Management"'} if unknown else {}
    )


async def _compress(response: Response | PiecewiseResponse, request: BaseRequest) -> None:
    """Compress a large body for a client that accepts gzip; a very large one beside the event loop."""
    pieces = response.pieces if isinstance(response, PiecewiseResponse) else [response.body]
    present = [piece for piece in pieces if isinstance(piece, bytes)] if isinstance(pieces, Sequence) else []
    size = sum(map(len, present))
    if size < COMPRESSED_BYTES or not _accepts_gzip(request):
        return
    body = b"".join(present)
    if size < THREAD_BYTES:
        compressed = gzip.compress(body, mtime=0)
    else:
        compressed = await asyncio.to_thread(gzip.compress, body, mtime=0)
    if isinstance(response, PiecewiseResponse):
        response.pieces = [compressed[at : at + PIECE_BYTES] for at in range(0, len(compressed), PIECE_BYTES)]
        response.content_length = len(compressed)
    else:
        response.body = compressed
    response.headers["Content-Encoding"] = "gzip"


def _accepts_gzip(request: BaseRequest) -> bool:
    for word in request.headers.get("Accept-Encoding", "").split(","):
        name, _, weight = word.partition(";")
        if name.strip().lower() == "gzip":
            return re.fullmatch(r"\s*q=0(\.0*)?\s*", weight) is None
    return False


def _first(query: str) -> dict[str, str]:
    """The first value of each query parameter."""
    return dict(reversed(parse_qsl(query, keep_blank_values=True, errors="replace")))


#: A percent sign that is not followed by two hexadecimal digits.
_MALFORMED_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
