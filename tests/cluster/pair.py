"""Two nodes in one process: one serves the virtual host `v`, the other one passes its clients on. Without NATS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from msgspec.structs import replace

from leveret.cluster import received
from leveret.cluster.peer_tls import PeerTls
from leveret.cluster.peers import Call, PeerListener, Service
from leveret.cluster.vhost_entry import Down, Here, VhostEntry
from leveret.config import Settings
from leveret.engine.vhost import VhostProperties
from leveret.server.node import Node
from leveret.settings import Server
from leveret.tls_settings import Tls
from tests.certificates import LOCALHOST, Authority, name
from tests.edges.test_sockets import SocketClient
from tests.hang import HANG_SECONDS

SECRET = b"a secret"
VHOST = "v"

SETTINGS = Settings(
    server=Server(
        host=("127.0.0.1",),
        port=0,
        http_port=-1,
        prometheus_port=-1,
        control_socket="none",
        handshake_timeout=int(HANG_SECONDS * 1000),
    )
)


def encrypted(authority: Authority, settings: Settings = SETTINGS) -> Settings:
    """Settings with a listener for TLS, too."""
    certfile, keyfile = authority.issue("server", name("localhost"), alternatives=LOCALHOST)
    return replace(settings, tls=Tls(port=0, certfile=str(certfile), keyfile=str(keyfile)))


class Pair:
    """`owner` serves `v`, `entry` passes clients on to it (`passing`). `known`: set while `entry` knows the owner;
    `gone`: `v` is not elsewhere any more; `down`: it is damaged."""

    def __init__(self, entry: Settings, owner: Settings, between: PeerTls | None, vhost: str) -> None:
        self.owner = Node(owner)
        self.entry = Node(entry)
        self.vhost = vhost
        self.between = between
        self.peers = PeerListener(SECRET, self.service, between)
        self.passing: VhostEntry
        self.known = asyncio.Event()
        self.known.set()
        self.gone = False
        self.down = False
        self.address_of = ""

    async def service(self, call: Call) -> Service:
        """What the owner serves."""
        return received.service_of(self.owner, call)

    async def address(self, vhost: str) -> str:
        """Where the owner is."""
        await self.known.wait()
        if self.gone:
            raise Here
        if self.down:
            raise Down
        return self.address_of

    def is_down(self, vhost: str) -> bool:
        """Whether it is damaged."""
        return self.down

    def other_addresses(self) -> list[str]:
        """The owner."""
        return [self.address_of]

    async def start(self) -> None:
        """Start both nodes."""
        await self.owner.start()
        await self.entry.start()
        if self.vhost in self.entry.broker.vhosts:
            self.entry.broker.delete_vhost(self.vhost)
        if self.vhost not in self.owner.broker.vhosts:
            self.owner.broker.add_vhost(self.vhost)
        self.entry.broker.elsewhere[self.vhost] = VhostProperties()
        for node in (self.owner, self.entry):
            node.broker.access.set_permissions("guest", self.vhost, ".*", ".*", ".*")
        self.address_of = f"127.0.0.1:{await self.peers.start('127.0.0.1', 0)}"
        self.passing = VhostEntry(self.entry.edge, self, SECRET, self.between)
        self.passing.start()

    async def stop(self) -> None:
        """Stop both nodes."""
        await self.passing.close(0)
        await self.entry.stop()
        await self.owner.stop()
        self.peers.close()
        for _ in range(50):
            await asyncio.sleep(0)

    def port(self, node: Node | None = None) -> int:
        """Where a node accepts clients: the entry, if none is given."""
        return int((node or self.entry).servers[0].sockets[0].getsockname()[1])

    def tls_port(self) -> int:
        """Where the entry accepts clients with TLS."""
        return int(self.entry.tls_servers[0].sockets[0].getsockname()[1])

    async def connect(self, node: Node | None = None) -> SocketClient:
        """A client of a node, of the entry if none is given, that has sent nothing yet."""
        return SocketClient(*await asyncio.open_connection("127.0.0.1", self.port(node)))

    async def open(self, **more: Any) -> SocketClient:
        """A client of the entry that has opened `v` and channel 1."""
        return await (await self.connect()).open(vhost=self.vhost, **more)

    def adopt(self) -> None:
        """The virtual host comes to the entry."""
        self.entry.broker.adopt(self.vhost, None, lambda vhost: None)

    def share_directory(self) -> None:
        """Both nodes have the same users, and the owner serves all virtual hosts."""
        entry, owner = self.entry.broker, self.owner.broker
        entry.access = owner.access
        entry.vhosts.clear()
        entry.elsewhere = cast("dict[str, VhostProperties]", owner.vhosts)  # only asked for names


@asynccontextmanager
async def running(
    entry: Settings = SETTINGS,
    owner: Settings = SETTINGS,
    between: PeerTls | None = None,
    vhost: str = VHOST,
) -> AsyncIterator[Pair]:
    """Both nodes, started."""
    made = Pair(entry, owner, between, vhost)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()
