"""What is served over HTTP: the management API on one port, /metrics on the other.

`http_server` reads requests and writes responses. Here the path finds its resource in a table, the user logs in, and
the resource (a function of `Call`) answers from the engine's objects at that moment. Resources that walk long lists are
coroutines, so that they do not hold the loop (`slices.py`). The clock is moved before, and connections that have output
afterwards are sent at the end of the tick, as when an AMQP frame arrives. The body is read after login, and only for
methods that can have one. Responses to changes wait until these are durable.
"""

from __future__ import annotations

import asyncio
import logging
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from inspect import isawaitable
from typing import Protocol
from urllib.parse import parse_qsl, unquote

import msgspec
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import Response, StreamResponse

from leveret.errors import AmqpError
from leveret.management import page_login, resources
from leveret.management.call import (
    BERT,
    Call,
    ElsewhereError,
    Pieces,
    Refusal,
    Reply,
    Resource,
    Routes,
    Shows,
    bad_request,
    missing,
    refused,
    shown,
)
from leveret.management.call import Handler as ResourceHandler
from leveret.management.cli_files import cli_files
from leveret.management.file_types import file_type, moved
from leveret.management.forms import FORM_BYTES
from leveret.management.headers import ResponseHeaders, Stage
from leveret.management.http_server import (
    METHODS,
    Handler,
    HttpServer,
    PiecewiseResponse,
    bare,
    headers_of,
    path_of,
    read_body,
)
from leveret.management.json_pieces import AT_ONCE_BYTES, decode_body, forget_body
from leveret.management.lazy import imported
from leveret.management.negotiation import MalformedHeader, chosen, content_type, entity_tags
from leveret.management.page_files import page_files
from leveret.management.passing import Passing
from leveret.management.paths import Paths
from leveret.management.reference import reference
from leveret.management.site import Site
from leveret.settings import Server as Settings
from leveret.work import Suspended

log = logging.getLogger("leveret")

#: How long requests that are being served may take when the node stops.
SHUTDOWN_GRACE_S = 0.2

#: Methods that ask for something.
_READING = frozenset({"GET", "HEAD", "OPTIONS"})

#: Methods that have a body.
_WITH_BODY = frozenset({"PUT", "POST", "DELETE"})


def _nothing(call: Call) -> object:
    """GET: 404."""
    raise missing()


#: Characters in a segment of a path below which there is nothing: no file can have such a name (cowboy_static).
_RESERVED = re.compile(r"[/\\\0]")


#: What is answered below /api, and elsewhere, where there is nothing: RabbitMQ looks for a file of its web page there.
_NOWHERE = Resource({"GET": _nothing}, public=True, shows=Shows.FILE)

#: Bodies from this size on are compressed, and beside the event loop (cowboy_compress_h: compress_threshold).
COMPRESSED_BYTES = 300
THREAD_BYTES = 1 << 13

#: zlib's own level, as RabbitMQ's server has it. With level 9, 64 KiB of few different words take up to 230 ms, with
#: this one 10 ms, and their size differs by one percent.
_LEVEL = 6


class Accepting(Protocol):
    """Accepts connections until it is closed."""

    def close(self) -> None:
        """Accept no more."""


class Entrance(Protocol):
    """A listening socket, with or without TLS."""

    async def accept(self, make: Callable[[], asyncio.BaseProtocol]) -> Accepting:
        """Accept connections; `make`: makes the protocol of each."""


class Http:
    """The HTTP servers of one node."""

    def __init__(self, site: Site, settings: Settings) -> None:
        self.site = site
        self.settings = settings
        self.management = site.broker.settings.management
        api = site.broker.profile.api
        routes: Routes = {**resources.of_version(api), **site.more_routes()}
        self.paths = Paths({**routes, "index.html": self._reference()}, api.absent_paths)
        configured = site.broker.settings
        self.files = {
            **page_files(self.management.csp_policy, page_login.origins(configured)),
            **page_login.login_paths(configured),
            **cli_files(program_served=api.rabbitmqadmin_served),
        }
        self.prefix = [segment for segment in self.management.path_prefix.split("/") if segment]
        self.headers = ResponseHeaders(self.management, api)
        self.passing = (
            None if site.owners is None else Passing(site, site.owners, self._logged_in_here, self._body_of)
        )
        self._accepting: list[Accepting] = []
        self._servers: list[HttpServer] = []
        self._scrape: Handler | None = None

    def _reference(self) -> Resource:
        profile = self.site.broker.profile
        public = not self.management.require_auth_for_api_reference
        return reference(
            resources.of_version(profile.api), profile.api.absent_paths, profile.version, public=public
        )

    async def start(
        self,
        api: Sequence[Entrance],
        metrics: Sequence[Entrance],
        most_connections: Callable[[int], int],
    ) -> None:
        """Accept connections.

        `most_connections`: how many there may be at most, of so many as configured.
        """
        settings = self.settings
        most = most_connections(settings.http_max_connections)
        await self._accept(api, self.serve, most, settings.http_request_timeout)
        most = most_connections(settings.prometheus_max_connections)
        await self._accept(metrics, self.scrape, most, settings.prometheus_request_timeout)

    def api_protocol(self) -> asyncio.Protocol:
        """Return the protocol of a new connection to the API."""
        return self._servers[0]()

    async def _accept(
        self,
        entrances: Sequence[Entrance],
        handler: Handler,
        max_connections: int,
        request_timeout_ms: int,
    ) -> None:
        server = HttpServer(handler, self.site.broker.faults, request_timeout_ms / 1000, max_connections)
        self._servers.append(server)
        for entrance in entrances:
            self._accepting.append(await entrance.accept(server))

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
                module = await imported("leveret.management.prometheus.endpoint")
                self._scrape = module.Endpoint(self.site, self.settings).serve
            return await self._scrape(request)
        except Exception as error:
            self.site.broker.faults.report("metrics", error, path=request.raw_path)
            return Response(status=500)

    async def serve(self, request: BaseRequest) -> StreamResponse:
        """Answer a request to the API."""
        target, query = path_of(request)
        if "#" in request.raw_path:
            return bare(400)
        if _MALFORMED_PATH.search(target):
            return bare(400, self.headers.bare)
        if _MALFORMED_QUERY.search(query):
            return bare(400)
        segments = _segments(target)
        inside = segments[: len(self.prefix)] == self.prefix
        local = tuple(segments[len(self.prefix) :]) if inside else ()
        destination = moved(local)
        if destination is not None:
            return self._redirected(destination)
        if inside and not local and target != "*":
            return self._redirected("/")
        found = self.paths.find(local[1:]) if local[:1] == ("api",) else None
        resource, path = found or (self.files.get(_named(local), _NOWHERE), {})
        method = "GET" if request.method == "HEAD" and resource.head else request.method
        headers = headers_of(request)
        exchange = Exchange(resource, local, request.method, headers)
        call: Call | None = None
        try:
            if target == "*":  # OPTIONS for the server as a whole
                headers = {**self.headers.bare, "Content-Type": "application/json"}
                return Response(status=404, body=self._refusal(missing()).body, headers=headers)
            if found is None and method in _READING and any(map(_RESERVED.search, local)):
                return self._response(exchange, Refusal(400, "", ""))
            if request.method not in METHODS:
                return self._response(exchange, Reply(501))
            if method not in resource:
                return self._response(exchange, Reply(200 if method == "OPTIONS" else 405))
            call = Call(
                self.site,
                method,
                path,
                _first(query),
                headers,
                address=request.remote or "",
                secure=request.secure,
                target=target,
            )
            response = await self._answer(exchange, call, request)
        except MalformedHeader:
            return bare(400)
        finally:
            self.site.slices.end_request()
            if call is not None:
                forget_body(call)
        if self.management.compress:
            await _compress(response, request)
        return response

    async def _answer(
        self, exchange: Exchange, call: Call, request: BaseRequest
    ) -> Response | PiecewiseResponse:
        """Answer here, or have the node answer that has what the call is about. Raises `MalformedHeader`."""
        passing, resource = self.passing, exchange.resource
        if passing is None:
            return self._response(exchange, await self._answered(exchange, call, request))
        try:
            passed = await passing.to_owner(call, resource, request)
            while passed is None:
                try:
                    answer = await self._answered(exchange, call, request)
                    break
                except ElsewhereError as error:
                    passed = await passing.to_owner_of(error.vhost, call, request)
            if passed is not None:
                return passed
            if resource.found_by_name and isinstance(answer, Refusal) and answer.status == 404:
                passed = await passing.to_finder(call, request)
        except Refusal as refusal:
            return self._response(exchange, refusal)
        return passed or self._response(exchange, answer)

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
                if call.login is not None and refusal.status == 401:
                    log.warning("HTTP access denied: user '%s' - %s", call.login.name, refusal.reason)
            return refusal

    async def _handled(self, exchange: Exchange, call: Call, request: BaseRequest) -> object:
        """Log in, negotiate, read the body and call the handler, in Cowboy's order. Raises `Refusal`."""
        resource = exchange.resource
        await self._logged_in(call, resource)
        exchange.negotiate()
        if call.method in _WITH_BODY:
            exchange.check_body_type()
            call.content = call.content or await self._body(request, resource)
            if call.method != "DELETE" and not all(map(_is_text, call.path.values())):
                raise bad_request("names must be UTF-8")
            if len(call.content) > AT_ONCE_BYTES and "multipart/form-data" not in resource.accepts:
                await decode_body(call, call.content)
        if call.method != "GET" and exchange.is_conditional:
            await self._check_conditions(exchange, call)
        try:
            answer = await self._repeated(call, resource)
        finally:
            if call.method != "GET":
                await self._saved(call)
        return await self._in_bert(answer, exchange.path[1:]) if exchange.content_type == BERT else answer

    async def _in_bert(self, answer: object, path: Sequence[str]) -> object:
        """What a handler returned as an Erlang term, which is made beside the loop. `path`: segments below /api."""
        if not isinstance(answer, Reply | Pieces):
            answer = shown(answer) if answer is not None else Reply(204)
        if isinstance(answer, Reply) and not answer.shown:
            return answer
        module = await imported("leveret.management.bert")
        older = self.site.broker.profile.api.older_terms
        return await asyncio.to_thread(module.shown, answer, path, older=older)

    async def _check_conditions(self, exchange: Exchange, call: Call) -> None:
        """Check If-Match and If-None-Match of a change (cowboy_rest). What is changed is there if it can be shown, and
        if there is nothing to show. Raises `Refusal` (412)."""
        show = exchange.resource.get("GET")
        try:
            shown = await self._called(call, show) if show is not None else None
        except Refusal as refusal:
            if refusal.status != 404:
                raise
            forbidden = "If-Match" in exchange.headers
        else:
            tag = shown.headers.get("ETag", "") if isinstance(shown, Reply | Pieces) else ""
            forbidden = exchange.forbids_change(tag)
        if forbidden:
            raise Refusal(412, "", "")

    async def _logged_in(self, call: Call, resource: Resource) -> None:
        """Log in, as soon as the authentication backends have decided, and check that the user may use the resource.
        Raises `Refusal`."""
        await self._decided(call, lambda: _log_in(call, resource))

    async def _logged_in_here(self, call: Call, resource: Resource) -> None:
        """Log in for a resource of another node, which checks the rest. Raises `Refusal`, `MalformedHeader`."""
        if not resource.public:
            await self._decided(call, lambda: call.log_in(call.headers.get("Authorization")))

    async def _decided(self, call: Call, log_in: Callable[[], None]) -> None:
        """Log in, as soon as the authentication backends have decided. Raises `Refusal`."""
        while True:
            try:
                with self._guarded(call):
                    log_in()
                return
            except Suspended as waiting:
                await self.site.ended(waiting.job)

    async def _repeated(self, call: Call, resource: Resource) -> object:
        """Call the handler; again when the job that it must wait for has ended; and wait for the job that it has begun.
        Raises `Refusal`, `ElsewhereError`."""
        while True:
            if self.passing is not None:
                self.passing.check_here(call, resource)
            try:
                answer = await self._called(call, resource[call.method])
            except Suspended as waiting:
                await self.site.ended(waiting.job)
                continue
            if call.job is not None:
                await self.site.ended(call.job)
            return answer

    def _response(self, exchange: Exchange, answer: object) -> Response | PiecewiseResponse:
        """The response for what a handler returned: 204 for None, 200 with JSON for other values; or for a refusal."""
        pieces = answer.json if isinstance(answer, Pieces) else None
        if isinstance(answer, Pieces):
            answer = Reply(200, headers={"Content-Type": "application/json", **answer.headers}, shown=True)
        elif isinstance(answer, Refusal):
            answer = self._refusal(answer)
        elif not isinstance(answer, Reply):
            answer = Reply(204) if answer is None else shown(answer)
        if answer.status in (200, 404) and exchange.method in ("GET", "HEAD"):
            answer = exchange.conditional(answer)
        asked = answer.status == 405 or exchange.method == "OPTIONS"
        stage = Stage.SHOWN if answer.shown else exchange.stage
        headers = self.headers.of(exchange.resource, exchange.method, exchange.headers, stage)
        if answer.status != 501:
            headers |= self.headers.allow(exchange.resource, asked=asked)
        headers |= answer.headers
        if pieces is not None and answer.status == 200:
            return PiecewiseResponse(pieces, headers)
        return Response(status=answer.status, body=answer.body, headers=headers)

    def _refusal(self, refusal: Refusal) -> Reply:
        """The answer to a refused call, with a challenge (RFC 9110 11.6.1) where RabbitMQ has one."""
        headers, body = {}, b""
        if refusal.error:
            body = msgspec.json.encode({"error": refusal.error, "reason": refusal.reason, **refusal.more})
            headers["Content-Type"] = "application/json"
        wrong = refusal.error == "not_authorized"
        challenged = wrong and self.site.broker.profile.api.wrong_password_challenged
        if refusal.status == 401 and (challenged or not refusal.error):
            headers["WWW-Authenticate"] = 'Basic realm="RabbitMQ Management"'
        return Reply(refusal.status, body, headers)

    async def _body_of(self, request: BaseRequest) -> bytes:
        """The body of a request that may have none. Raises `Refusal` if it is too large."""
        return await self._body(request) if request.method in _WITH_BODY else b""

    async def _body(self, request: BaseRequest, resource: Resource | None = None) -> bytes:
        """The body. Raises `Refusal` if it is too large: of a resource that is public, it is a form."""
        settings, form = self.settings, resource is not None and resource.public
        most = min(settings.http_max_body_size, FORM_BYTES) if form else settings.http_max_body_size
        body = await read_body(request, most, settings.http_idle_timeout / 1000)
        if body is None:
            raise Refusal(413, "", "") if form else bad_request("Exceeded HTTP request body size limit")
        return body

    @contextmanager
    def _guarded(self, call: Call) -> Iterator[None]:
        """Turn what the engine refuses into RabbitMQ's answer, and report other exceptions: 500. Raises `Refusal`."""
        try:
            yield
        except (Refusal, MalformedHeader, Suspended, ElsewhereError):
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
            settled = self.site.settled(call.path.get("vhost"))
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
    """A request and how far it got. `path`: its segments below the prefix. `stage`: see `Stage`. `content_type`: the
    one that was negotiated, empty before."""

    def __init__(
        self, resource: Resource, path: Sequence[str], method: str, headers: Mapping[str, str]
    ) -> None:
        self.resource = resource
        self.path = path
        self.method = method
        self.headers = headers
        self.stage = Stage.REFUSED
        self.content_type = ""

    def negotiate(self) -> None:
        """Check that the client accepts what the resource shows. Raises `Refusal` (406, 400)."""
        shows = self.resource.shows
        offered = shows.value or (file_type(self.path[-1] if self.path else ""),)
        wanted = self.headers.get("Accept")
        try:
            preferred = chosen(wanted, offered) if wanted is not None else offered[0]
        except MalformedHeader:
            raise Refusal(400, "", "") from None
        if preferred is None:
            raise Refusal(406, "", "")
        self.content_type = preferred
        if shows is not Shows.FILE:
            self.stage = Stage.NEGOTIATED

    def conditional(self, answer: Reply) -> Reply:
        """The answer to If-Match and If-None-Match instead of the resource, if they say so (cowboy_rest).

        Resources without an entity tag match nothing, and fail both conditions; so does If-Match for what does not
        exist. Raises `MalformedHeader`.
        """
        tag = answer.headers.get("ETag", "")
        wanted, known = self.headers.get("If-Match"), self.headers.get("If-None-Match")
        if answer.status == 404:
            return Reply(412) if wanted is not None and self.resource.shows is not Shows.FILE else answer
        if wanted is not None and wanted != "*" and tag not in entity_tags(wanted):
            return Reply(412)
        if known is not None and (known == "*" or tag in entity_tags(known)):
            return Reply(304, headers={"ETag": tag} if tag else {})
        return Reply(412) if known is not None and not tag else answer

    @property
    def is_conditional(self) -> bool:
        """Whether the request has a condition."""
        return "If-Match" in self.headers or "If-None-Match" in self.headers

    def forbids_change(self, tag: str) -> bool:
        """Whether the conditions forbid a change of something that exists. `tag`: its entity tag, empty if it has none.

        Raises `MalformedHeader`.
        """
        wanted, known = self.headers.get("If-Match"), self.headers.get("If-None-Match")
        if wanted is not None and wanted != "*" and tag not in entity_tags(wanted):
            return True
        return known is not None and (known == "*" or tag in entity_tags(known) or not tag)

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


def _named(path: tuple[str, ...]) -> tuple[str, ...]:
    """The path of a file: a slash at the end does not count."""
    return path[:-1] if len(path) > 1 and not path[-1] else path


def _segments(target: str) -> list[str]:
    """The decoded segments of a path, without `.` and `..` (RFC 3986 5.2.4; cow_uri)."""
    found: list[str] = []
    for raw in target.split("/")[1:]:
        segment = unquote(raw, errors="surrogateescape")
        if segment == "..":
            del found[-1:]
        elif segment != ".":
            found.append(segment)
    return found


def _is_text(name: str) -> bool:
    """Whether a name in a path is UTF-8. RabbitMQ makes objects with other names, and cannot show them in JSON."""
    return not any("\udc80" <= character <= "\udcff" for character in name)


def _log_in(call: Call, resource: Resource) -> None:
    """Log in, unless the resource is public, and check that the user may use it. Raises `Refusal`."""
    if not resource.public:
        call.log_in(call.headers.get("Authorization"))
    if resource.may is not None:
        resource.may(call)


async def _compress(response: Response | PiecewiseResponse, request: BaseRequest) -> None:
    """Compress a body for a client that accepts gzip, unless it is short; beside the event loop if it takes long."""
    pieces = response.pieces if isinstance(response, PiecewiseResponse) else [response.body]
    present = [piece for piece in pieces if isinstance(piece, bytes)] if isinstance(pieces, Sequence) else []
    size = sum(map(len, present))
    if size < COMPRESSED_BYTES or not _accepts_gzip(request):
        return
    if size < THREAD_BYTES:
        compressed = _gzipped(present)
    else:
        compressed = await asyncio.to_thread(_gzipped, present)
    if isinstance(response, PiecewiseResponse):
        response.pieces = compressed
        response.content_length = sum(map(len, compressed))
    else:
        response.body = b"".join(compressed)
    response.headers["Content-Encoding"] = "gzip"


def _gzipped(pieces: Sequence[bytes]) -> list[bytes]:
    """Compress pieces as one file. Joined, they would be copied with the interpreter held: 130 ms for 80 MB."""
    compressor = zlib.compressobj(level=_LEVEL, wbits=31)
    found = [compressor.compress(piece) for piece in pieces]
    found.append(compressor.flush())
    return [piece for piece in found if piece]


def _accepts_gzip(request: BaseRequest) -> bool:
    for word in request.headers.get("Accept-Encoding", "").split(","):
        name, _, weight = word.partition(";")
        if name.strip().lower() == "gzip":
            return re.fullmatch(r"\s*q=0(\.0*)?\s*", weight) is None
    return False


def _first(query: str) -> dict[str, str]:
    """The first value of each query parameter."""
    return dict(reversed(parse_qsl(query, keep_blank_values=True, errors="replace")))


#: Octets that no path has (RFC 3986 3.3), and percent signs that are not followed by two hexadecimal digits.
_MALFORMED_PATH = re.compile(r"[^\w!$%&'()*+,./:;=?@~-]|%(?![0-9A-Fa-f]{2})", re.ASCII)

#: The same percent signs in a query, and parameters without a name.
_MALFORMED_QUERY = re.compile(r"%(?![0-9A-Fa-f]{2})|(?:^|&)=")
