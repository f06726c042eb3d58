"""Requests to another node, which may end at any moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from multidict import CIMultiDict

from leveret.management.node_client import Answer, ask, end_to_end
from leveret.management.owners import NodeDownError, NodeLostError


class Scripted:
    """Another node that answers with given octets, and then ends the connection. `asked`: what it was sent."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.asked = b""

    def of(self, vhost: str) -> str | None:
        """No node."""
        return None

    def names(self) -> list[str]:
        """One node."""
        return ["other"]

    async def served(self, vhost: str) -> None:
        """Return at once."""

    async def call(self, node: str, service: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to it."""
        if not self.answer:
            raise ConnectionRefusedError
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        reader, writer = await asyncio.open_connection(host, port)
        server.close()
        return reader, writer

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked += await reader.readuntil(b"\r\n\r\n")
        writer.write(self.answer)
        await writer.drain()
        writer.close()


async def asked(node: Scripted, method: str = "GET", body: bytes = b"") -> Answer:
    return await ask(node, "other", method, "/api/queues", CIMultiDict({"Host": "h", "X-Reason": "é"}), body)


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", b"abc"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n", b"abc"),
        (b"HTTP/1.1 200 OK\r\n\r\nabc", b"abc"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
    ],
)
async def test_a_body_comes_in_each_form_of_http(answer: bytes, body: bytes) -> None:
    found = await asked(Scripted(answer))
    assert await found.body(60) == body


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno\r\n",
    ],
)
async def test_a_body_that_is_cut_off_is_not_taken_for_the_whole(answer: bytes) -> None:
    found = await asked(Scripted(answer))
    with pytest.raises(NodeLostError):
        await found.body(60)


@pytest.mark.parametrize("answer", [b"H", b"HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\n", b"x" * 200_000])
async def test_a_node_that_ends_before_it_answers_is_lost(answer: bytes) -> None:
    with pytest.raises(NodeLostError):
        await asked(Scripted(answer))


async def test_a_node_that_refuses_is_down() -> None:
    with pytest.raises(NodeDownError):
        await asked(Scripted(b""))


async def test_a_request_is_marked_and_ends_its_connection() -> None:
    node = Scripted(b"HTTP/1.1 204 No Content\r\n\r\n")
    (await asked(node, "PUT", b"{}")).close()
    lines = node.asked.decode().split("\r\n")
    assert lines[0] == "PUT /api/queues HTTP/1.1"
    assert {"Host: h", "X-Reason: é", "X-Leveret-Hop: 1", "Connection: close", "Content-Length: 2"} < {*lines}


async def test_the_answer_to_head_has_the_length_and_no_body() -> None:
    found = await asked(Scripted(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"), "HEAD")
    assert (await found.body(60), found.headers["Content-Length"]) == (b"", "3")


def test_headers_of_one_connection_are_not_passed_on() -> None:
    given = [
        ("Connection", "keep-alive"),
        ("Transfer-Encoding", "chunked"),
        ("Expect", "100-continue"),
        ("ETag", "x"),
    ]
    assert [*end_to_end(given).items()] == [("ETag", "x")]


async def _pieces(pieces: AsyncIterator[bytes]) -> list[bytes]:
    return [piece async for piece in pieces]


async def test_a_long_body_is_passed_on_in_pieces() -> None:
    body = b"x" * 300_000
    found = await asked(Scripted(b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + body))
    pieces = await _pieces(found.pieces())
    found.close()
    assert b"".join(pieces) == body
    assert len(pieces) > 1
