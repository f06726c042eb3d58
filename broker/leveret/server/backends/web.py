"""Requests to authentication servers over HTTP, by one client that keeps connections alive."""

from __future__ import annotations

import asyncio
import ssl
from urllib.parse import urlsplit

import aiohttp

from leveret.wire.erlang import string

#: Largest answer that is read. Those of RabbitMQ's contract are words; sets of keys are larger.
MAX_ANSWER_BYTES = 1 << 20


class Unanswered(Exception):  # noqa: N818  named by what happened
    """There is no answer. The text is the reason as an Erlang term, as RabbitMQ shows it. `status`: that of an answer
    that is none."""

    def __init__(self, reason: str, status: int = 0) -> None:
        super().__init__(reason)
        self.status = status


class WebClient:
    """Asks authentication servers. `connection_timeout_s`, `request_timeout_s`: how long that may take."""

    def __init__(
        self, context: ssl.SSLContext | None, connection_timeout_s: float, request_timeout_s: float
    ) -> None:
        self.context = context
        self.timeout = aiohttp.ClientTimeout(total=request_timeout_s, sock_connect=connection_timeout_s)
        self._session: aiohttp.ClientSession | None = None

    async def get(self, url: str, query: str = "") -> str:
        """Return the body of the answer. Raises `Unanswered`."""
        return await self._request("GET", f"{url}?{query}" if query else url, None)

    async def post(self, url: str, query: str) -> str:
        """Send a form, and return the body of the answer. Raises `Unanswered`."""
        return await self._request("POST", url, query)

    async def _request(self, method: str, url: str, form: str | None) -> str:
        if self._session is None:
            connector = aiohttp.TCPConnector(ssl=self.context if self.context is not None else True)
            self._session = aiohttp.ClientSession(connector=connector, timeout=self.timeout)
        headers = {"Content-Type": "application/x-www-form-urlencoded"} if form is not None else {}
        try:
            async with self._session.request(method, url, data=form, headers=headers) as response:
                body = await response.content.read(MAX_ANSWER_BYTES)
        except TimeoutError:
            raise Unanswered("timeout") from None
        except aiohttp.ClientConnectorError as error:
            parts = urlsplit(url)
            problem = getattr(error.os_error, "strerror", None) or str(error)
            raise Unanswered(
                f'{{failed_connect,[{{to_address,{{"{parts.hostname}",{parts.port or 80}}}}},{problem}]}}'
            ) from None
        except (aiohttp.ClientError, asyncio.IncompleteReadError, ValueError) as error:
            raise Unanswered(str(error) or type(error).__name__) from None
        if response.status not in (200, 201):
            raise Unanswered(f"{{{response.status},{string(body[:200])}}}", response.status)
        return body.decode("utf-8", "replace").strip()

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()


def client_context(
    cacertfile: str, certfile: str, keyfile: str, verify: str, *, check_host: bool
) -> ssl.SSLContext:
    """Return which servers are trusted: without a file, those of the system's authorities.

    Raises `OSError`, `ssl.SSLError`.
    """
    context = ssl.create_default_context(cafile=cacertfile or None)
    # The default since Python 3.13; Erlang and older ones are less strict.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if certfile:
        context.load_cert_chain(certfile, keyfile or None)
    if verify == "verify_none":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif not check_host:
        context.check_hostname = False
    return context
