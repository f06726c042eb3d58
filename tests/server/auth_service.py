"""A web service that decides about logins, by RabbitMQ's contract, and one that serves keys."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

#: Path and fields of a question -> the answer.
Decide = Callable[[str, dict[str, str]], str]


def allow(path: str, fields: dict[str, str]) -> str:
    return "allow"


class AuthService:
    """Records each question, and answers what `decide` returns. `closed`: answers wait while this is not set."""

    def __init__(self) -> None:
        self.decide: Decide = allow
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.status = 200
        self.open = asyncio.Event()
        self.open.set()
        self.port = 0
        self._runner: web.AppRunner

    async def answer(self, request: web.Request) -> web.Response:
        fields = dict(await request.post() if request.method == "POST" else request.query)
        self.asked.append(
            (request.method, request.path, {name: str(value) for name, value in fields.items()})
        )
        await self.open.wait()
        return web.Response(text=self.decide(request.path, self.asked[-1][2]), status=self.status)

    def paths(self) -> list[str]:
        return [path for _, path, _ in self.asked]

    async def start(self, port: int = 0, context: ssl.SSLContext | None = None) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.answer)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port, ssl_context=context)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        self.open.set()
        await self._runner.cleanup()


@asynccontextmanager
async def serving(context: ssl.SSLContext | None = None) -> AsyncIterator[AuthService]:
    service = AuthService()
    await service.start(context=context)
    try:
        yield service
    finally:
        await service.stop()
