"""What is served over HTTP: the management API on one port, /metrics on the other.

`http_server` reads requests and writes responses. Here the path finds its resource in a table, the user logs in, and
the resource (a function of `Call`) answers from the engine's objects at that moment. Resources that walk long lists are
coroutines, so that they do not hold the loop (`slices.py`). The clock is moved before, and connections that have output
afterwards are sent at the end of the tick, as when an AMQP frame arrives. The body is read after login, and only for
methods that can have one. Responses to changes wait until these are durable.
"""

from __future__ import annotations

import asyncio
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
from leveret.management.call import Call, Pieces, Refusal, Reply, bad_request, missing, refused
from leveret.management.call import Handler as Resource
from leveret.management.http_server import (
    SERVER,
    Handler,
    HttpServer,
    PiecewiseResponse,
    path_of,
    read_body,
)
from leveret.management.paths import Paths
from leveret.management.site import Site
from leveret.settings import Server as Settings
from leveret.work import Suspended

#: How long requests that are being served may take when the node stops.
SHUTDOWN_GRACE_S = 0.2

#: Methods that have a body.
_WITH_BODY = frozenset({"PUT", "POST", "DELETE"})

_BARE = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "script-src 'self'; object-src 'self'",
    "Vary": "accept, accept-encoding, origin",
    "Server": SERVER,
}
_JSON = {"Content-Type": "application/json", **_BARE}


class Http:
    """The HTTP servers of one node."""

    def __init__(self, site: Site, settings: Settings) -> None:
        self.site = site
        self.settings = settings
        self.paths = Paths(resources.ROUTES)
        self._accepting: list[asyncio.Server] = []
        self._servers: list[HttpServer] = []
        self._scrape: Handler | None = None

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
        segments = [unquote(segment) for segment in target.split("/")[1:]]
        found = self.paths.find(segments[1:]) if segments[:1] == ["api"] else None
        if found is None:
            return _refusal(missing(), "HEAD, GET, OPTIONS")
        methods, path, public = found
        allow = _allow(methods)
        method = "GET" if request.method == "HEAD" else request.method
        if method not in methods:
            return Response(status=200 if method == "OPTIONS" else 405, headers={**_BARE, "Allow": allow})
        call = Call(self.site, method, path, _first(query), request.headers)
        try:
            with self._guarded(call):
                _log_in(call, request, public)
            if method in _WITH_BODY:
                call.content = await self._body(request)
            try:
                return await self._answered(call, methods[method], allow)
            finally:
                if method != "GET":
                    await self._saved(call)
        except Refusal as refusal:
            return _refusal(refusal, allow)

    async def _answered(self, call: Call, handler: Resource, allow: str) -> StreamResponse:
        """Answer a call; again when the job that it must wait for has ended; and after the job that it has begun.
        Raises `Refusal`."""
        while True:
            try:
                answer = await self._answer(call, handler, allow)
            except Suspended as waiting:
                await self.site.ended(waiting.job)
                continue
            if call.job is not None:
                await self.site.ended(call.job)
            return answer

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
        except (Refusal, Suspended):
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

    async def _answer(self, call: Call, handler: Resource, allow: str) -> StreamResponse:
        """The response of a resource: at once, or when its coroutine is done. Raises `Refusal`."""
        with self._guarded(call):
            self.site.tick()
            try:
                answer = handler(call)
                if isawaitable(answer):
                    answer = await answer
                return _shown(answer, allow)
            finally:
                self.site.touch()


def _log_in(call: Call, request: BaseRequest, public: bool) -> None:
    """Log in, unless the path is `public`. Raises `Refusal`."""
    if not public:
        call.log_in(request.headers.get("Authorization"), _loopback(request))


def _shown(answer: object, allow: str) -> StreamResponse:
    """The response for what a resource returned: 204 for None, 200 with JSON for other values."""
    if isinstance(answer, Reply):
        return Response(
            status=answer.status, body=answer.body, headers={**_BARE, "Allow": allow, **answer.headers}
        )
    if answer is None:
        return Response(status=204, headers={**_BARE, "Allow": allow})
    if isinstance(answer, Pieces):
        return PiecewiseResponse(answer.json, headers={**_JSON, "Allow": allow})
    return Response(body=msgspec.json.encode(answer), headers={**_JSON, "Allow": allow})


def _refusal(refusal: Refusal, allow: str) -> Response:
    if refusal.error:
        body = msgspec.json.encode({"error": refusal.error, "reason": refusal.reason})
        return Response(status=refusal.status, body=body, headers={**_JSON, "Allow": allow})
    headers = {**_BARE, "Allow": allow}
    if refusal.status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="RabbitMQ Management"'
    return Response(status=refusal.status, headers=headers)


def _allow(methods: Mapping[str, Resource]) -> str:
    """The Allow header, in RabbitMQ's order: HEAD, GET, PUT, DELETE, POST, OPTIONS."""
    order = ("GET", "PUT", "DELETE", "POST")
    words = [method for method in order if method in methods]
    return ", ".join([*(["HEAD"] if "GET" in methods else []), *words, "OPTIONS"])


def _first(query: str) -> dict[str, str]:
    """The first value of each query parameter."""
    return dict(reversed(parse_qsl(query, keep_blank_values=True, errors="replace")))


def _loopback(request: BaseRequest) -> bool:
    """Whether the client is on this machine."""
    peer = request.remote or ""
    return peer == "::1" or peer.removeprefix("::ffff:").startswith("127.")
