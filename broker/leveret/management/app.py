"""HTTP on the engine: the management API on one port, /metrics on the other.

aiohttp's low-level server reads and writes HTTP; everything between is here and plain: the path finds its
resource in a table, the caller logs in, the resource (a synchronous function of `Call`) answers from the
engine's objects at that moment. The clock is moved before, and connections that have something to say
afterwards are sent at the end of the tick, exactly as when an AMQP frame arrives.

Only parts of aiohttp are imported: its application, router and file server would cost memory and serve
nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl, unquote

import msgspec
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import Response
from aiohttp.web_server import Server

from leveret.engine.names import generated_name
from leveret.engine.stats import Stats
from leveret.errors import AmqpError
from leveret.management import resources
from leveret.management.call import Call, Refusal, Reply, missing, refused
from leveret.management.paths import Paths
from leveret.management.sockets import Listener, listeners, open_socket

if TYPE_CHECKING:
    from leveret.management.prometheus import Metrics
    from leveret.server.node import Node

log = logging.getLogger("leveret")

#: The largest body taken (rabbit_mgmt: management.http.max_body_size).
MAX_BODY_BYTES = 20_000_000

#: Seconds between two looks at whether the disk has taken what a call has changed.
SAVE_RETRY_S = 0.1

#: Seconds given to requests that are being served when the node stops.
SHUTDOWN_GRACE_S = 0.2

#: What runs, as RabbitMQ's start-up lines and applications name it.
MANAGEMENT_PLUGINS = ["rabbitmq_management", "rabbitmq_management_agent", "rabbitmq_web_dispatch"]
PROMETHEUS_PLUGINS = ["rabbitmq_prometheus"]

_BARE = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "script-src 'self'; object-src 'self'",
    "Vary": "accept, accept-encoding, origin",
    "Server": "Leveret",
}
_JSON = {"Content-Type": "application/json", **_BARE}

Handler = Callable[[BaseRequest], Awaitable[Response]]
Result = TypeVar("Result")


class Http:
    """The HTTP listeners of one node. `logins`: successful and failed ones; `stats`: totals and rates."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.version = tuple(int(part) for part in node.broker.profile.version.split("."))
        self.node_name: str = node.settings.server.node_name
        self.erlang_version: str = node.broker.profile.platform.rpartition(" ")[2]
        self.stats = Stats(node.broker)
        node.broker.observers.add(self.stats)
        self.cluster_id = generated_name("rabbitmq-cluster-id")
        self.logins = {"succeeded": 0, "failed": 0}
        self.paths = Paths(resources.ROUTES)
        self.http: list[asyncio.Server] = []
        self.prometheus: list[asyncio.Server] = []
        self._servers: list[Server] = []
        self._metrics: Metrics | None = None

    async def start(self) -> list[str]:
        """Listen; returns the names of RabbitMQ's plugins that do the same."""
        settings = self.node.settings.server
        plugins: list[str] = []
        if settings.http_port >= 0:
            self.http = await self._listen(
                settings.http_host or settings.host, settings.http_port, self.serve
            )
            plugins += MANAGEMENT_PLUGINS
            for listener in listeners("http", _sockets(self.http)):
                log.info("Management plugin: HTTP (non-TLS) listener started on port %d", listener.port)
        if settings.prometheus_port >= 0:
            hosts = settings.prometheus_host or settings.host
            self.prometheus = await self._listen(hosts, settings.prometheus_port, self.scrape)
            plugins += PROMETHEUS_PLUGINS
            for listener in listeners("http/prometheus", _sockets(self.prometheus)):
                log.info("Prometheus metrics: HTTP (non-TLS) listener started on port %d", listener.port)
        return sorted(plugins)

    async def _listen(self, hosts: Sequence[str], port: int, handler: Handler) -> list[asyncio.Server]:
        loop = asyncio.get_running_loop()
        server = Server(handler, request_factory=_request, access_log=None, logger=log)
        self._servers.append(server)
        opened = []
        for host in hosts:
            opened.append(await loop.create_server(server, sock=open_socket(host, port)))
        return opened

    async def stop(self) -> None:
        """Listen no more; what is being served is finished first."""
        for listener in (*self.http, *self.prometheus):
            listener.close()
        for server in self._servers:
            server.pre_shutdown()
            await server.shutdown(SHUTDOWN_GRACE_S)

    def listeners(self) -> list[Listener]:
        """Everything the node listens on."""
        return [
            *listeners("amqp", _sockets(self.node.servers)),
            *listeners("http", _sockets(self.http)),
            *listeners("http/prometheus", _sockets(self.prometheus)),
        ]

    def count_login(self, succeeded: bool) -> None:
        """A caller has logged in, or tried to."""
        self.logins["succeeded" if succeeded else "failed"] += 1

    # --- one request

    async def scrape(self, request: BaseRequest) -> Response:
        """Answer one request to the Prometheus port; what that takes is imported for the first one."""
        if self._metrics is None:
            from leveret.management.prometheus import Metrics

            self._metrics = Metrics(self)
        try:
            return await self._metrics.serve(request)
        except Exception as error:
            self.node.broker.faults.report("metrics", error, path=request.raw_path)
            return Response(status=500)

    async def serve(self, request: BaseRequest) -> Response:
        """Answer one request to the API."""
        target, _, query = request.raw_path.partition("?")
        segments = [unquote(segment) for segment in target.split("/")[1:]]
        found = self.paths.find(segments[1:]) if segments[0] == "api" else None
        if found is None:
            return _refusal(missing(), "HEAD, GET, OPTIONS")
        methods, path, public = found
        allow = _allow(methods)
        method = "GET" if request.method == "HEAD" else request.method
        if method not in methods:
            return Response(status=200 if method == "OPTIONS" else 405, headers={**_BARE, "Allow": allow})
        call = Call(self, method, path, _first(query), request.headers)
        try:
            self._checked(call, _log_in, request, public)
            if request.can_read_body:
                call.content = await request.read()
            try:
                return self._checked(call, self._answer, methods[method], allow)
            finally:
                if method != "GET":
                    await self._saved(call)
        except Refusal as refusal:
            return _refusal(refusal, allow)

    def _checked(self, call: Call, step: Callable[..., Result], *arguments: Any) -> Result:
        """A step of serving a call: a fault in it is answered with 500, and reported. Raises `Refusal`."""
        try:
            return step(call, *arguments)
        except Refusal:
            raise
        except Exception as error:
            path = "/".join(call.path.values())
            self.node.broker.faults.report("http", error, method=call.method, path=path)
            raise Refusal(500, "", "") from None

    async def _saved(self, call: Call) -> None:
        """What a call has changed, refused in the end or not, is on the disk; while that refuses, the caller waits."""
        while not self._checked(call, _saved):  # noqa: ASYNC110  trying is the only way to know
            await asyncio.sleep(SAVE_RETRY_S)

    def _answer(self, call: Call, handler: Callable[[Call], Any], allow: str) -> Response:
        self.node.clock.tick()
        if call.caller is not None:
            self.node.broker.observers.actor = call.caller.name
            self.node.broker.observers.origin = "HTTP API"
        try:
            return _shown(handler(call), allow)
        except AmqpError as error:
            raise refused(error) from None
        finally:
            self.node.edge.touch()


def _log_in(call: Call, request: BaseRequest, public: bool) -> None:
    """Unless anybody may ask."""
    if not public:
        call.log_in(request.headers.get("Authorization"), _loopback(request))


def _saved(call: Call) -> bool:
    return call.broker.save()


def _shown(answer: Any, allow: str) -> Response:
    """The answer of a resource as HTTP: 204 for nothing, 200 for what is JSON."""
    if isinstance(answer, Reply):
        return Response(
            status=answer.status, body=answer.body, headers={**_BARE, "Allow": allow, **answer.headers}
        )
    if answer is None:
        return Response(status=204, headers={**_BARE, "Allow": allow})
    return Response(body=msgspec.json.encode(answer), headers={**_JSON, "Allow": allow})


def _refusal(refusal: Refusal, allow: str) -> Response:
    if refusal.error:
        body = msgspec.json.encode({"error": refusal.error, "reason": refusal.reason})
        return Response(status=refusal.status, body=body, headers={**_JSON, "Allow": allow})
    headers = {**_BARE, "Allow": allow}
    if refusal.status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="RabbitMQ Management"'
    return Response(status=refusal.status, headers=headers)


def _allow(methods: dict[str, Any]) -> str:
    """RabbitMQ's order: HEAD, GET, PUT, DELETE, POST, OPTIONS."""
    order = ("GET", "PUT", "DELETE", "POST")
    words = [method for method in order if method in methods]
    return ", ".join([*(["HEAD"] if "GET" in methods else []), *words, "OPTIONS"])


def _first(query: str) -> dict[str, str]:
    """The first value of each parameter."""
    return dict(reversed(parse_qsl(query, keep_blank_values=True, errors="replace")))


def _loopback(request: BaseRequest) -> bool:
    """Whether the caller is on this machine."""
    peer = request.remote or ""
    return peer == "::1" or peer.removeprefix("::ffff:").startswith("127.")


def _request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> BaseRequest:
    loop = asyncio.get_running_loop()
    return BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=MAX_BODY_BYTES)


def _sockets(servers: Sequence[asyncio.Server]) -> list[Any]:
    return [sock for server in servers for sock in server.sockets]
