"""Toxiproxy's proxies and toxics on the broker's own sockets (Shopify/toxiproxy, API version 2).

The proxy `rabbitmq` is the AMQP listener itself. Another proxy whose upstream is the broker gets a listener of its own,
and toxics of its own. There is no other process, and no octet is copied.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct, field

from leveret.testing.acceptor import Acceptor, bind_tcp
from leveret.testing.fault_board import NetworkFault
from leveret.testing.fault_rules import Rule
from leveret.testing.faulty_socket import FaultySocket
from leveret.testing.running import RunningNode
from leveret.testing.toxics import (
    Bandwidth,
    Blackhole,
    Latency,
    LimitData,
    ResetPeer,
    Slicer,
    SlowClose,
    Toxic,
)

if TYPE_CHECKING:
    from leveret.testing.fault_board import FaultBoard


class FaultyNode(RunningNode, Protocol):
    """A node that runs, with the board of its faults."""

    fault_board: FaultBoard


#: The proxy that is the AMQP listener.
OWN = "rabbitmq"

#: The version whose API this is.
VERSION = "2.12.0"

_STREAMS = {"upstream": "up", "downstream": "down"}

#: Octets in a kilobyte of `rate`.
KB = 1000


class ToxiproxyError(Exception):
    """A call is refused: with a status, and toxiproxy's text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


#: Type of a toxic -> its attributes with their defaults (toxics/*.go).
ATTRIBUTES: dict[str, dict[str, int]] = {
    "latency": {"latency": 0, "jitter": 0},
    "bandwidth": {"rate": 0},
    "slow_close": {"delay": 0},
    "timeout": {"timeout": 0},
    "reset_peer": {"timeout": 0},
    "slicer": {"average_size": 0, "size_variation": 0, "delay": 0},
    "limit_data": {"bytes": 0},
}


class ProxyToxic(Struct, eq=False):
    """One toxic of a proxy. `kind`: its type in toxiproxy's words; `stream`: likewise; `fault`: what does it."""

    name: str
    kind: str
    stream: str
    toxicity: float
    attributes: dict[str, int]
    fault: NetworkFault

    def to_json(self) -> dict[str, object]:
        """Return it as toxiproxy shows it."""
        return {
            "attributes": dict(self.attributes),
            "name": self.name,
            "type": self.kind,
            "stream": self.stream,
            "toxicity": self.toxicity,
        }


class Proxy(Struct, eq=False):
    """One proxy. `acceptors`: its listeners."""

    name: str
    listen: str
    upstream: str
    enabled: bool
    acceptors: list[Acceptor]
    toxics: dict[str, ProxyToxic] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """Return it as toxiproxy shows it."""
        return {
            "name": self.name,
            "listen": self.listen,
            "upstream": self.upstream,
            "enabled": self.enabled,
            "toxics": [toxic.to_json() for toxic in self.toxics.values()],
        }


class Toxiproxy:
    """All proxies of one broker. Belongs to the broker's thread."""

    def __init__(self, node: FaultyNode) -> None:
        self.node = node
        address = _shown(node.acceptors[0].socket)
        own = [each for each in node.acceptors if each.socket.family != socket.AF_UNIX]
        self.proxies: dict[str, Proxy] = {OWN: Proxy(OWN, address, address, True, own)}

    # --- proxies

    def proxy(self, name: str) -> Proxy:
        """Return a proxy. Raises `ToxiproxyError`."""
        if name not in self.proxies:
            raise ToxiproxyError(404, "proxy not found")
        return self.proxies[name]

    def create(self, given: Mapping[str, object]) -> Proxy:
        """Make a proxy. Raises `ToxiproxyError`."""
        name = _text(given, "name", needed=True)
        upstream = _text(given, "upstream", needed=True)
        if name in self.proxies:
            raise ToxiproxyError(409, "proxy already exists")
        self._check_upstream(upstream)
        acceptors = [self._listener(name, _text(given, "listen") or "localhost:0")]
        proxy = Proxy(name, _shown(acceptors[0].socket), upstream, False, acceptors)
        self.proxies[name] = proxy
        if given.get("enabled", True):
            self._enable(proxy)
        return proxy

    def populate(self, given: list[object]) -> list[Proxy]:
        """Make proxies; those that are there are replaced if they differ. Raises `ToxiproxyError`."""
        wanted: list[tuple[str, Mapping[str, object]]] = []
        for one in given:
            if not isinstance(one, dict):
                raise ToxiproxyError(400, "bad request body")
            wanted.append((_text(one, "name", needed=True), one))
            self._check_upstream(_text(one, "upstream", needed=True))
        made = []
        for name, each in wanted:
            known = self.proxies.get(name)
            if known is not None and (known.name == OWN or _same(known, each)):
                self.update(known, each)
                made.append(known)
                continue
            if known is not None:
                self.delete(known)
            made.append(self.create(each))
        return made

    def update(self, proxy: Proxy, given: Mapping[str, object]) -> None:
        """Change a proxy. Raises `ToxiproxyError`."""
        upstream, listen = _text(given, "upstream"), _text(given, "listen")
        if upstream:
            self._check_upstream(upstream)
            proxy.upstream = upstream
        if listen and listen != proxy.listen and proxy.name != OWN:
            self._disable(proxy)
            self._close(proxy)
            proxy.acceptors = [self._listener(proxy.name, listen)]
            proxy.listen = _shown(proxy.acceptors[0].socket)
            self._enable(proxy)
        enabled = given.get("enabled", proxy.enabled)
        if enabled and not proxy.enabled:
            self._enable(proxy)
        elif not enabled and proxy.enabled:
            self._disable(proxy)

    def delete(self, proxy: Proxy) -> None:
        """Remove a proxy with its toxics; its connections are closed. The broker's listener stays, without toxics."""
        for name in list(proxy.toxics):
            self.remove(proxy, name)
        self._disable(proxy)
        if proxy.name == OWN:
            self._enable(proxy)
            return
        self._close(proxy)
        del self.proxies[proxy.name]

    def reset(self) -> None:
        """Enable all proxies and remove all toxics."""
        for proxy in self.proxies.values():
            for name in list(proxy.toxics):
                self.remove(proxy, name)
            if not proxy.enabled:
                self._enable(proxy)

    def _check_upstream(self, upstream: str) -> None:
        port = upstream.rpartition(":")[2]
        ports = {int(each.socket.getsockname()[1]) for each in self.proxies[OWN].acceptors}
        if not port.isdigit() or int(port) not in ports:
            known = ", ".join(map(str, sorted(ports)))
            raise ToxiproxyError(400, f"upstream {upstream} is not a listener of this broker (port {known})")

    def _listener(self, name: str, listen: str) -> Acceptor:
        host, _, port = listen.rpartition(":")
        if not port.isdigit():
            raise ToxiproxyError(400, f"listen {listen!r} is no address")
        try:
            sock = bind_tcp(host.strip("[]") or "0.0.0.0", int(port))
        except OSError as error:
            raise ToxiproxyError(500, f"listen tcp {listen}: {error.strerror}") from None
        node = self.node
        acceptor = Acceptor(node.loop, sock, lambda: FaultySocket(node.edge, node.fault_board, name))
        node.acceptors.append(acceptor)
        return acceptor

    def _close(self, proxy: Proxy) -> None:
        for acceptor in proxy.acceptors:
            acceptor.close()
            self.node.acceptors.remove(acceptor)

    def _enable(self, proxy: Proxy) -> None:
        proxy.enabled = True
        for acceptor in proxy.acceptors:
            acceptor.listen()

    def _disable(self, proxy: Proxy) -> None:
        proxy.enabled = False
        for acceptor in proxy.acceptors:
            acceptor.refuse()
        for each in self.node.fault_board.sockets():
            if each.proxy == proxy.name:
                each.cut(reset=False)

    # --- toxics

    def toxic(self, proxy: Proxy, name: str) -> ProxyToxic:
        """Return a toxic. Raises `ToxiproxyError`."""
        if name not in proxy.toxics:
            raise ToxiproxyError(404, "toxic not found")
        return proxy.toxics[name]

    def add(self, proxy: Proxy, given: Mapping[str, object]) -> ProxyToxic:
        """Add a toxic. Raises `ToxiproxyError`."""
        kind = _text(given, "type")
        stream = _text(given, "stream") or "downstream"
        if stream not in _STREAMS:
            raise ToxiproxyError(400, "stream was invalid, can be either upstream or downstream")
        if kind not in ATTRIBUTES:
            raise ToxiproxyError(400, "invalid toxic type")
        name = _text(given, "name") or f"{kind}_{stream}"
        if name in proxy.toxics:
            raise ToxiproxyError(409, "toxic already exists")
        attributes = _attributes(kind, given, ATTRIBUTES[kind])
        toxicity = _toxicity(given, 1.0)
        board = self.node.fault_board
        fault = NetworkFault(
            Rule(times=None, chance=toxicity, random=board.random),
            f"toxic {name} of proxy {proxy.name}",
            self.node.wake,
            _toxic(kind, stream, attributes),
            proxy.name,
        )
        toxic = ProxyToxic(name, kind, stream, toxicity, attributes, fault)
        proxy.toxics[name] = toxic
        board.arm(fault)
        return toxic

    def change(self, proxy: Proxy, name: str, given: Mapping[str, object]) -> ProxyToxic:
        """Change the attributes of a toxic, also for connections that there are. Raises `ToxiproxyError`."""
        toxic = self.toxic(proxy, name)
        toxic.attributes = _attributes(toxic.kind, given, toxic.attributes)
        toxicity = _toxicity(given, toxic.toxicity)
        if toxicity != toxic.toxicity:
            toxic.toxicity = toxic.fault.rule.chance = toxicity
            toxic.fault.decided.clear()
        new = _toxic(toxic.kind, toxic.stream, toxic.attributes)
        assert toxic.fault.toxic is not None
        for field_name in new.__struct_fields__:
            setattr(toxic.fault.toxic, field_name, getattr(new, field_name))
        return toxic

    def remove(self, proxy: Proxy, name: str) -> None:
        """Remove a toxic. Raises `ToxiproxyError`."""
        toxic = self.toxic(proxy, name)
        del proxy.toxics[name]
        self.node.fault_board.disarm(toxic.fault)


def _toxic(kind: str, stream: str, given: Mapping[str, int]) -> Toxic:
    """Return what does a toxic: toxiproxy counts in ms, us and KB."""
    toxics: dict[str, Callable[[], Toxic]] = {
        "latency": lambda: Latency(latency_s=given["latency"] / 1000, jitter_s=given["jitter"] / 1000),
        "bandwidth": lambda: Bandwidth(octets_per_s=max(1, given["rate"] * KB)),
        "slow_close": lambda: SlowClose(delay_s=given["delay"] / 1000),
        "timeout": lambda: Blackhole(timeout_s=given["timeout"] / 1000),
        "reset_peer": lambda: ResetPeer(timeout_s=given["timeout"] / 1000),
        "slicer": lambda: Slicer(
            size=max(1, given["average_size"]),
            variation=given["size_variation"],
            pause_s=given["delay"] / 1_000_000,
        ),
        "limit_data": lambda: LimitData(octets=given["bytes"]),
    }
    toxic = toxics[kind]()
    toxic.stream = "up" if stream == "upstream" else "down"
    return toxic


def _attributes(kind: str, given: Mapping[str, object], known: Mapping[str, int]) -> dict[str, int]:
    found = dict(known)
    attributes = given.get("attributes") or {}
    if not isinstance(attributes, dict):
        raise ToxiproxyError(400, "bad request body")
    for name, value in attributes.items():
        if name in ATTRIBUTES[kind]:
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise ToxiproxyError(400, "bad request body")
            found[name] = value
    return found


def _toxicity(given: Mapping[str, object], known: float) -> float:
    value = given.get("toxicity")
    if value is None:
        return known
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ToxiproxyError(400, "bad request body")
    return float(value)


def _text(given: Mapping[str, object], name: str, *, needed: bool = False) -> str:
    value = given.get(name, "")
    if not isinstance(value, str):
        raise ToxiproxyError(400, "bad request body")
    if needed and not value:
        raise ToxiproxyError(400, f"missing required field: {name}")
    return value


def _same(proxy: Proxy, given: Mapping[str, object]) -> bool:
    return proxy.listen == given.get("listen") and proxy.upstream == given.get("upstream")


def _shown(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
