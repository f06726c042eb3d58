"""A node with listeners on free ports, and a client for its HTTP API."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any
from urllib.parse import quote

import msgspec
import pika
import pytest
from aiohttp import ClientSession

from leveret.config import Settings
from leveret.server.node import Node
from leveret.settings import AccessSettings, Management, Profile, Server

GUEST = ("guest", "guest")


def authorization(name: str, password: str) -> dict[str, str]:
    """The header of HTTP Basic."""
    return {"Authorization": f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"}


class Api:
    """The management API of a node. `headers`: those of the last response."""

    def __init__(self, node: Node, session: ClientSession) -> None:
        self.node = node
        self.session = session
        ports = {listener.protocol: listener.port for listener in node.listeners()}
        self.amqp, self.port, self.prometheus = ports["amqp"], ports["http"], ports["http/prometheus"]
        self.headers: Any = {}

    async def __call__(
        self,
        method: str,
        path: str,
        body: object = None,
        auth: tuple[str, str] | None = GUEST,
        kind: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Any]:
        """Make a request; returns status and decoded body (None for an empty one)."""
        data = body if isinstance(body, bytes) or body is None else msgspec.json.encode(body)
        async with self.session.request(
            method,
            f"http://127.0.0.1:{self.port}/api/{path}",
            data=data,
            headers={
                "Content-Type": kind,
                **(authorization(*auth) if auth is not None else {}),
                **(headers or {}),
            },
        ) as response:
            content = await response.read()
            self.headers = response.headers
            return response.status, msgspec.json.decode(content) if content else None

    async def get(self, path: str, auth: tuple[str, str] = GUEST) -> Any:
        """Return what exists at a path; the request must succeed."""
        status, shown = await self("GET", path, auth=auth)
        assert status == 200, (status, shown)
        return shown

    async def user(self, name: str, tags: str, vhost: str | None = "/") -> tuple[str, str]:
        """Create a user with password `pw` and, in a virtual host, all permissions."""
        assert (await self("PUT", f"users/{name}", {"password": "pw", "tags": tags}))[0] == 201
        if vhost is not None:
            everything = {"configure": ".*", "write": ".*", "read": ".*"}
            assert (await self("PUT", f"permissions/{quote(vhost, safe='')}/{name}", everything))[0] == 201
        return name, "pw"

    async def metrics(self, path: str = "metrics") -> str:
        """Return a page of the Prometheus port."""
        async with self.session.get(f"http://127.0.0.1:{self.prometheus}/{path}") as response:
            self.headers = response.headers
            assert response.status == 200
            return await response.text()

    async def conversation(self, talk: Callable[[str], Any]) -> Any:
        """Run a blocking AMQP conversation in a thread; it gets the broker's URL."""
        return await asyncio.to_thread(talk, f"amqp://guest:guest@127.0.0.1:{self.amqp}/")


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    """A running node."""
    server = Server(host=("127.0.0.1",), port=0, http_port=0, prometheus_port=0, node="rabbit@test")
    running = Node(Settings(server=server))
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
async def api(node: Node) -> AsyncIterator[Api]:
    """Its HTTP API."""
    async with ClientSession() as session:
        yield Api(node, session)


class Nodes:
    """Starts nodes with settings, and stops them."""

    def __init__(self, session: ClientSession) -> None:
        self.session = session
        self.running: list[Node] = []

    async def __call__(
        self,
        management: Management | None = None,
        version: str = "4.3",
        access: Mapping[str, Any] | None = None,
        **sections: Any,
    ) -> Api:
        """The API of a new node."""
        server = Server(host=("127.0.0.1",), port=0, http_port=0, prometheus_port=0, node="rabbit@test")
        settings = Settings(
            server=server,
            management=management or Management(),
            profile=Profile(version),
            access=AccessSettings(**(access or {})),
            **sections,
        )
        node = Node(settings)
        await node.start()
        self.running.append(node)
        return Api(node, self.session)


@pytest.fixture
async def nodes() -> AsyncIterator[Nodes]:
    """Starts nodes with settings; all are stopped in the end."""
    async with ClientSession() as session:
        starter = Nodes(session)
        yield starter
        for node in starter.running:
            await node.stop()


def busy(url: str) -> pika.BlockingConnection:
    """Publish ten messages to `q`, consume five and acknowledge two of them; one basic.get finds nothing."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.confirm_delivery()
    channel.queue_declare("q", durable=True)
    channel.queue_declare("mine", exclusive=True)
    for _ in range(10):
        channel.basic_publish("", "q", b"0123456789", pika.BasicProperties(timestamp=1234567890))
    taken = connection.channel()
    taken.basic_qos(prefetch_count=3)
    assert taken.basic_get("mine")[0] is None
    for count, (method, _, _) in enumerate(taken.consume("q"), 1):
        if count <= 2:
            taken.basic_ack(method.delivery_tag)
        if count == 5:
            break
    # An answer to this proves that the acknowledgements before it have been handled.
    taken.queue_declare("q", passive=True)
    return connection
