"""Requests to the HTTP API of another node, over a connection that `Owners` has made: one request in each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

from multidict import CIMultiDict

from leveret.management.owners import HOP, HTTP, NodeDownError, NodeLostError, Owners

#: Octets of a body that are passed on at once.
PIECE_BYTES = 1 << 16

#: Headers that are about one connection (RFC 9110 7.6.1), and those that each node writes for itself.
_OF_CONNECTION = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "expect",
    }
)

_HEAD_END = b"\r\n\r\n"


def end_to_end(headers: Iterable[tuple[str, str]]) -> CIMultiDict[str]:
    """Return the headers that are passed on."""
    return CIMultiDict((name, value) for name, value in headers if name.lower() not in _OF_CONNECTION)


class Answer:
    """An answer that another node has begun. `headers`: those that are passed on; `length`: octets of the body, None if
    that is not known before its end."""

    def __init__(
        self,
        node: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        head: bytes,
        *,
        bare: bool,
    ) -> None:
        self.node = node
        self._reader = reader
        self._writer = writer
        status, *lines = head.removesuffix(_HEAD_END).decode().split("\r\n")
        self.status = int(status.partition(" ")[2][:3])
        fields = CIMultiDict(_field(line) for line in lines)
        self._chunked = fields.get("Transfer-Encoding", "").lower() == "chunked"
        self.headers = end_to_end(fields.items())
        self.length = 0 if bare or self.status in (204, 304) else _length(fields)

    def close(self) -> None:
        """End the connection; the other node then makes no more of a list."""
        self._writer.close()

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body. Raises `NodeLostError`."""
        try:
            async for piece in self._chunks() if self._chunked else self._octets(self.length):
                yield piece
        except (OSError, EOFError, ValueError):
            raise NodeLostError(self.node) from None

    async def body(self, idle_timeout_s: float) -> bytes:
        """Return the whole body, and end the connection. Raises `NodeLostError`, also if nothing comes for so long."""
        pieces, body = aiter(self.pieces()), bytearray()
        try:
            while True:
                async with asyncio.timeout(idle_timeout_s):
                    body += await anext(pieces)
        except StopAsyncIteration:
            return bytes(body)
        except TimeoutError:
            raise NodeLostError(self.node) from None
        finally:
            self.close()

    async def _octets(self, left: int | None) -> AsyncIterator[bytes]:
        """Yield so many octets, or with None all until the end of the connection."""
        while left is None or left > 0:
            piece = await self._reader.read(PIECE_BYTES if left is None else min(left, PIECE_BYTES))
            if not piece:
                if left is None:
                    return
                raise EOFError
            yield piece
            left = None if left is None else left - len(piece)

    async def _chunks(self) -> AsyncIterator[bytes]:
        """Yield the octets of a chunked body (RFC 9112 7.1); there are no trailers."""
        while size := int((await self._reader.readuntil(b"\r\n")).partition(b";")[0], 16):
            async for piece in self._octets(size):
                yield piece
            await self._reader.readexactly(2)


def _field(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name, value.strip(" \t")


def _length(fields: CIMultiDict[str]) -> int | None:
    length = fields.get("Content-Length")
    return None if length is None else int(length)


async def ask(
    owners: Owners, node: str, method: str, target: str, headers: CIMultiDict[str], body: bytes = b""
) -> Answer:
    """Send a request to another node, and return its answer as soon as that begins. `headers`: end to end.

    Raises `NodeDownError`, `NodeLostError`.
    """
    try:
        reader, writer = await owners.call(node, HTTP)
    except (OSError, TimeoutError):
        raise NodeDownError(node) from None
    try:
        writer.write(_head(method, target, headers, len(body)) + body)
        await writer.drain()
        head = await reader.readuntil(_HEAD_END)
        return Answer(node, reader, writer, head, bare=method == "HEAD")
    except BaseException as error:
        writer.close()
        if isinstance(error, OSError | EOFError | ValueError | asyncio.LimitOverrunError):
            raise NodeLostError(node) from None
        raise


def _head(method: str, target: str, headers: CIMultiDict[str], size: int) -> bytes:
    """The request line and the headers."""
    sent = CIMultiDict(headers)
    sent.setdefault("Host", "localhost")
    sent.update({HOP: "1", "Connection": "close"})
    if size or method in ("PUT", "POST"):
        sent["Content-Length"] = str(size)
    else:
        sent.popall("Content-Length", None)
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items())]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + _HEAD_END
