"""Requests to the Prometheus endpoint: which page, for whom, compressed or not.

`/metrics` has sums over all objects, or single objects with `prometheus_per_object`; `/metrics/per-object`,
`/metrics/detailed?family=F&vhost=V&queue=R` and `/metrics/memory-breakdown` are pages of their own, `/metrics/default`
is the first one. What the process itself and scraping cost is measured and written by prometheus-client.
"""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Protocol
from urllib.parse import parse_qs, unquote

import prometheus_client
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import ContentCoding, Response, StreamResponse
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, Summary

from leveret.engine.patterns import Budget, PatternError, compile_pattern
from leveret.management.call import Call, Refusal
from leveret.management.http_server import METHODS, PiecewiseResponse, headers_of, path_of
from leveret.management.negotiation import MalformedHeader, chosen, entity_tags
from leveret.management.prometheus import node
from leveret.management.prometheus.memory import MemoryBreakdown
from leveret.management.prometheus.pages import Aggregated, Detailed, PerObject
from leveret.management.site import Site
from leveret.settings import Server as Settings

CONTENT_TYPE = "text/plain; version=0.0.4"

#: Octets of text that are written at once.
PIECE_BYTES = 64 * 1024

#: The longest regular expression for names of queues (rabbit_prometheus_handler).
MAX_QUEUE_FILTER_LENGTH = 2000

_NOT_FOUND = b'{"error":"Object Not Found","reason":"Not Found"}'

_VARY = {"Vary": "accept-encoding"}
_HEADERS = {"Allow": "HEAD, GET, OPTIONS", **_VARY}


def _refused(headers: Mapping[str, str]) -> int:
    """The status for a client that does not accept text, or has a condition: pages have no entity tag. 0: none.

    Raises `MalformedHeader`.
    """
    accepted, wanted, known = (headers.get(name) for name in ("Accept", "If-Match", "If-None-Match"))
    if accepted is not None and chosen(accepted, ("text/plain",), parameters=True) is None:
        return 406
    if wanted is not None and wanted != "*":
        return 412 if entity_tags(wanted) else 0
    if known is not None and known != "*":
        return 412 if entity_tags(known) else 0
    return 304 if known == "*" else 0


class Written(Protocol):
    """A page. `endpoint`: its name in `rabbitmq_identity_info`."""

    endpoint: str

    def write(self) -> AsyncIterator[str]:
        """Yield the page in pieces."""


class Bad(Exception):  # noqa: N818  it is an answer, not a fault
    """A request that cannot be served: status and text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class Scrapes:
    """What prometheus-client measures for one page: how long scrapes take and how large they are, and on the big pages
    the process."""

    def __init__(self, page: str, process: bool) -> None:
        self.page = page
        self.registry = CollectorRegistry()
        if process:
            ProcessCollector(registry=self.registry)
            PlatformCollector(registry=self.registry)
            GCCollector(registry=self.registry)
        names = ("registry", "content_type")
        self.size = Summary(
            "telemetry_scrape_size_bytes", "Scrape size, not encoded", names, registry=self.registry
        )
        self.duration = Summary(
            "telemetry_scrape_duration_seconds", "Scrape duration", names, registry=self.registry
        )

    def text(self) -> str:
        """Write them."""
        return prometheus_client.generate_latest(self.registry).decode()

    def done(self, size: int, seconds: float) -> None:
        """Note a scrape."""
        self.size.labels(self.page, CONTENT_TYPE).observe(size)
        self.duration.labels(self.page, CONTENT_TYPE).observe(seconds)


class Endpoint:
    """The pages of the Prometheus port."""

    def __init__(self, site: Site, settings: Settings) -> None:
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
        self.site = site
        self.settings = settings
        self.prefix = settings.prometheus_path.strip("/")
        self.client_version = importlib.metadata.version("prometheus-client")
        self.scrapes = {
            page: Scrapes(page, process=page in ("default", "per-object"))
            for page in ("default", "per-object", "detailed", "memory-breakdown")
        }

    async def serve(self, request: BaseRequest) -> StreamResponse:
        """Answer a scrape."""
        path, query = path_of(request)
        name = self._page_name(path)
        if name is None:
            return Response(status=404, body=_NOT_FOUND, content_type="application/json", headers=_VARY)
        if request.method not in METHODS:
            return Response(status=501, headers=_VARY)
        if request.method == "OPTIONS":
            return Response(headers=_HEADERS)
        if request.method not in ("GET", "HEAD"):
            return Response(status=405, headers=_HEADERS)
        try:
            if self.settings.prometheus_authentication:
                await self._log_in(request)
            refusal_status = _refused(headers_of(request))
            if refusal_status:
                return Response(status=refusal_status, headers=_HEADERS)
            if request.method == "HEAD":
                return Response(status=204, headers=_VARY)
            page = self._page(name, parse_qs(query, keep_blank_values=True))
        except Bad as bad:
            headers = {**_HEADERS, "Content-Type": "text/plain"}
            return Response(status=bad.status, body=bad.text.encode(), headers=headers)
        except Refusal as refusal:
            return _unauthorised(refusal)
        except MalformedHeader:
            return Response(status=400, headers=_HEADERS)
        self.site.tick()
        pieces = self._pieces(name, page)
        # The first two are there before the response begins, so that a fault in them can be answered with 500.
        return self._response(request, await anext(pieces), await anext(pieces, None), pieces)

    def _page_name(self, path: str) -> str | None:
        """The name of the page of a path; None if the path is not below `prefix`."""
        path = path.strip("/")
        if path == self.prefix:
            return "default"
        start, _, name = path.rpartition("/")
        return unquote(name) if start == self.prefix else None

    async def _log_in(self, request: BaseRequest) -> None:
        """Log in a user with the tag monitoring or administrator. Raises `Refusal`, `MalformedHeader`."""
        call = Call(self.site, "GET", {}, {}, request.headers, address=request.remote or "")
        await call.logged_in(request.headers.get("Authorization"))
        call.need_monitor()

    def _page(self, name: str, query: dict[str, list[str]]) -> Written:
        """The page of that name. Raises `Bad`."""
        if name == "default":
            return PerObject(self.site) if self.settings.prometheus_per_object else Aggregated(self.site)
        if name == "per-object":
            return PerObject(self.site)
        if name == "memory-breakdown":
            return MemoryBreakdown(self.site)
        if name == "detailed":
            return Detailed(
                self.site, query.get("family", ()), query.get("vhost"), _filter(query.get("queue", []))
            )
        raise Bad(404, "Unknown Registry")

    async def _pieces(self, name: str, page: Written) -> AsyncIterator[bytes]:
        """Yield a page, versions and names, and what prometheus-client has measured."""
        scrapes = self.scrapes[name]
        started = time.perf_counter()
        size = 0
        kept: list[str] = []
        length = 0
        async for text in page.write():
            kept.append(text)
            length += len(text)
            if length >= PIECE_BYTES:
                piece = "".join(kept).encode("utf-8", "replace")
                size += len(piece)
                yield piece
                kept, length = [], 0
        kept += [node.info(self.site, page.endpoint, self.client_version), scrapes.text()]
        piece = "".join(kept).encode("utf-8", "replace")
        yield piece
        scrapes.done(size + len(piece), time.perf_counter() - started)

    def _response(
        self, request: BaseRequest, first: bytes, second: bytes | None, rest: AsyncIterator[bytes]
    ) -> StreamResponse:
        """The response to a scrape: of one piece, or of many."""
        headers = {**_HEADERS, "Content-Type": CONTENT_TYPE}
        response: StreamResponse
        if second is None:
            response = Response(body=first, headers=headers)
        else:
            response = PiecewiseResponse(_chained((first, second), rest), headers)
        if self.settings.prometheus_compress and "gzip" in request.headers.get("Accept-Encoding", ""):
            response.enable_compression(ContentCoding.gzip)
        return response


async def _chained(first: Iterable[bytes], rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield all pieces."""
    for piece in first:
        yield piece
    async for piece in rest:
        yield piece


def _filter(given: list[str]) -> Callable[[str], bool] | None:
    """What chooses queues by their names. Raises `Bad` for what is no regular expression."""
    if len(given) > 1:
        raise Bad(400, "Only one 'queue' query parameter is allowed")
    if not given or not given[0]:
        return None
    if len(given[0].encode("utf-8", "replace")) > MAX_QUEUE_FILTER_LENGTH:
        raise Bad(400, "'queue' regex too long")
    try:
        pattern = compile_pattern(given[0])
    except PatternError as error:
        raise Bad(400, f"Invalid 'queue' regex at position {error.position}: {error.reason}") from None
    budget = Budget()
    return lambda name: pattern.search(name.encode("utf-8", "surrogateescape"), budget)


def _unauthorised(refusal: Refusal) -> Response:
    """The answer to a failed login, with RabbitMQ's realm."""
    response = Response(status=refusal.status, headers=_HEADERS)
    if refusal.error:
        response = Response(
            status=refusal.status,
            body=f'{{"error":"{refusal.error}","reason":"{refusal.reason}"}}'.encode(),
            content_type="application/json",
            headers=_HEADERS,
        )
    elif refusal.status == 401:
        response.headers["WWW-Authenticate"] = 'Basic realm="RabbitMQ Prometheus"'
    return response
