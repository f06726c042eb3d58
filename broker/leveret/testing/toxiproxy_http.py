"""Toxiproxy's HTTP API, version 2, on a port of its own, so that its clients drive the broker unchanged."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable

from aiohttp import web

from leveret.server import listeners
from leveret.testing.toxiproxy import VERSION, FaultyNode, Proxy, Toxiproxy, ToxiproxyError

#: Connections that wait to be accepted.
BACKLOG = 128


class ToxiproxyServer:
    """Serves the API of one broker. Belongs to the broker's thread."""

    def __init__(self, node: FaultyNode, host: str, port: int) -> None:
        self.toxiproxy = Toxiproxy(node)
        self.node = node
        self.socket: socket.socket = listeners.bind(host, port)
        self.socket.listen(BACKLOG)
        self.port = int(self.socket.getsockname()[1])
        self._runner = web.AppRunner(self._application(), access_log=None, handle_signals=False)
        self._starting: asyncio.Task[None] = node.loop.create_task(self._serve())

    async def _serve(self) -> None:
        await self._runner.setup()
        await web.SockSite(self._runner, self.socket).start()

    async def stop(self) -> None:
        """Stop listening."""
        self._starting.cancel()
        await asyncio.gather(self._starting, return_exceptions=True)
        await self._runner.cleanup()
        self.socket.close()

    def _application(self) -> web.Application:
        application = web.Application()
        add = application.router.add_route
        for method, path, handler in (
            ("GET", "/proxies", self._proxies),
            ("POST", "/proxies", self._create),
            ("POST", "/populate", self._populate),
            ("GET", "/proxies/{proxy}", self._proxy),
            ("POST", "/proxies/{proxy}", self._update),
            ("PATCH", "/proxies/{proxy}", self._update),
            ("DELETE", "/proxies/{proxy}", self._delete),
            ("GET", "/proxies/{proxy}/toxics", self._toxics),
            ("POST", "/proxies/{proxy}/toxics", self._add),
            ("GET", "/proxies/{proxy}/toxics/{toxic}", self._toxic),
            ("POST", "/proxies/{proxy}/toxics/{toxic}", self._change),
            ("PATCH", "/proxies/{proxy}/toxics/{toxic}", self._change),
            ("DELETE", "/proxies/{proxy}/toxics/{toxic}", self._remove),
            ("POST", "/reset", self._reset),
            ("GET", "/version", self._version),
            ("GET", "/metrics", self._metrics),
        ):
            add(method, path, self._guarded(handler))
        return application

    def _guarded(
        self, handler: Callable[[web.Request, object], object]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            if request.headers.get("User-Agent", "").startswith(
                "Mozilla/"
            ):  # as toxiproxy does, against pages
                return web.Response(status=403, text="User agent not allowed\n")
            try:
                self.node.edge.tick()
                answer = handler(request, await _body(request))
            except ToxiproxyError as error:
                return _json({"error": str(error), "status": error.status}, error.status)
            finally:
                self.node.edge.touch()
            if isinstance(answer, web.Response):
                return answer
            return web.Response(status=204) if answer is None else _json(answer)

        return handle

    def _of(self, request: web.Request) -> Proxy:
        return self.toxiproxy.proxy(request.match_info["proxy"])

    def _proxies(self, request: web.Request, body: object) -> object:
        return {name: proxy.to_json() for name, proxy in self.toxiproxy.proxies.items()}

    def _create(self, request: web.Request, body: object) -> object:
        return _json(self.toxiproxy.create(_object(body)).to_json(), 201)

    def _populate(self, request: web.Request, body: object) -> object:
        if not isinstance(body, list):
            raise ToxiproxyError(400, "bad request body")
        return _json({"proxies": [each.to_json() for each in self.toxiproxy.populate(body)]}, 201)

    def _proxy(self, request: web.Request, body: object) -> object:
        return self._of(request).to_json()

    def _update(self, request: web.Request, body: object) -> object:
        proxy = self._of(request)
        self.toxiproxy.update(proxy, _object(body))
        return proxy.to_json()

    def _delete(self, request: web.Request, body: object) -> None:
        self.toxiproxy.delete(self._of(request))

    def _toxics(self, request: web.Request, body: object) -> object:
        return [each.to_json() for each in self._of(request).toxics.values()]

    def _add(self, request: web.Request, body: object) -> object:
        return self.toxiproxy.add(self._of(request), _object(body)).to_json()

    def _toxic(self, request: web.Request, body: object) -> object:
        return self.toxiproxy.toxic(self._of(request), request.match_info["toxic"]).to_json()

    def _change(self, request: web.Request, body: object) -> object:
        return self.toxiproxy.change(self._of(request), request.match_info["toxic"], _object(body)).to_json()

    def _remove(self, request: web.Request, body: object) -> None:
        self.toxiproxy.remove(self._of(request), request.match_info["toxic"])

    def _reset(self, request: web.Request, body: object) -> None:
        self.toxiproxy.reset()

    def _version(self, request: web.Request, body: object) -> object:
        return {"version": VERSION}

    def _metrics(self, request: web.Request, body: object) -> object:
        return web.Response(text="")


async def _body(request: web.Request) -> object:
    """Return the body as JSON, None without one. Raises `ToxiproxyError`."""
    octets = await request.read()
    if not octets:
        return None
    try:
        body: object = json.loads(octets)
    except ValueError:
        raise ToxiproxyError(400, "bad request body") from None
    return body


def _object(body: object) -> dict[str, object]:
    if not isinstance(body, dict):
        raise ToxiproxyError(400, "bad request body")
    return body


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(status=status, text=json.dumps(value), content_type="application/json")
