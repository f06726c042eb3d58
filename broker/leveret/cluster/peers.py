"""Connections between nodes: each passes on clients, requests and commands to the node that owns their virtual host.

The node that is called greets with a mark and a random number. The caller answers with what it wants (`Call`) and a
proof that it knows the secret of the cluster: an HMAC of both. When the other node serves that, it sends one octet.
Then the octets of the client follow. Without TLS between nodes (`peer_tls.py`) they are not encrypted.

A call for `WATCH` stays open and silent: it ends when the process at the other end does. One for `VHOST` has what its
client and the calling node have agreed on; its octets begin with connection.open.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import secrets
import struct
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple, TypeVar, cast

import msgspec
from msgspec import Struct

from leveret.server.listeners import bind
from leveret.server.proxy_protocol import Origin
from leveret.session.tuned import Tuned

if TYPE_CHECKING:
    from leveret.cluster.peer_tls import PeerTls

log = logging.getLogger("leveret")

#: The first octets of a greeting; the last one is the version.
MARK = b"LEVERET\x02"

NONCE_BYTES = 16
PROOF_BYTES = 32

#: Time that a peer has for greeting and call, seconds.
PREAMBLE_TIMEOUT_S = 3.0

#: Time for a connection to a peer, seconds. A machine that is gone does not refuse.
CONNECT_TIMEOUT_S = 2.0

#: Connections that wait to be accepted, at each listener of the cluster.
BACKLOG = 128

#: Time after which the reason of a refusal is logged again, seconds: callers try again ten times a second.
REFUSAL_INTERVAL_S = 60.0

#: Reasons that are remembered for that.
MOST_REASONS = 64

#: What a call may ask for. `WATCH`: nothing, as long as the process lives; `CONTROL`: to carry out a command, and
#: `HTTP`: to answer requests to the HTTP API; `VHOST`: to serve a client that has logged in and opens a virtual host;
#: `SHUT`: to close all of those that the calling node has passed on; `DIRECTORY`: to say when it has a revision of it;
#: `MOVE`: to hand a virtual host over to another node; `EVENTS`: to publish events; `TOTALS`: to say what it has of a
#: user.
WATCH = "watch"
CONTROL = "control"
HTTP = "http"
VHOST = "vhost"
SHUT = "shut"
DIRECTORY = "directory"
MOVE = "move"
EVENTS = "events"
TOTALS = "totals"

#: Octets of a call: what a client says of itself is at most a frame before its size is agreed on, and its certificate
#: some kilobytes.
CALL_LIMIT_BYTES = 256 * 1024

_SIZE = struct.Struct(">I")

#: The octet after which those of the client follow.
_GO = b"\x01"


class PeerRefused(Exception):  # noqa: N818  named by what happened
    """The other end is no node of this cluster, or does not answer as one."""


#: The origin of a call that is not for a client.
NOBODY = Origin("", 0, "", 0)


class Call(Struct, frozen=True, omit_defaults=True):
    """What a node asks of another one. `service`: the protocol of the listener that a client came to, `CONTROL` for a
    command, `WATCH`, `VHOST` or `SHUT`; `origin`: both addresses of the client.

    `vhost`: the virtual host that the client opens, and `tuned` what it has agreed on. `entry`: the calling node, for
    `VHOST` and `SHUT`; one that is started again has another one. `revision`: for `DIRECTORY`; `target`: the node that
    gets a virtual host, for `MOVE`; `user`: for `TOTALS`."""

    service: str
    origin: Origin
    vhost: str = ""
    tuned: Tuned | None = None
    entry: str = ""
    revision: int = 0
    target: str = ""
    user: str = ""

    def encode(self) -> bytes:
        """Return the call as JSON. Raises `PeerRefused` if it is too large for one."""
        data = msgspec.json.encode(self)
        if len(data) > CALL_LIMIT_BYTES:
            raise PeerRefused(f"a call of {len(data)} octets is too large")
        return data


def decode_call(data: bytes) -> Call:
    """Decode a call. Raises `PeerRefused`."""
    try:
        return msgspec.json.decode(data, type=Call)
    except msgspec.MsgspecError as error:
        raise PeerRefused(f"malformed call: {error}") from None


def proof(secret: bytes, nonce: bytes, body: bytes) -> bytes:
    """Return the proof that the caller knows the secret."""
    return hmac.new(secret, nonce + body, hashlib.sha256).digest()


class Refusals:
    """Logs why calls are refused, once a minute for each reason."""

    def __init__(self) -> None:
        self._logged: dict[str, float] = {}

    def log(self, text: str, level: int = logging.WARNING) -> None:
        """Log a refusal, unless that was done a short time ago."""
        now = asyncio.get_running_loop().time()
        if text in self._logged and now < self._logged[text] + REFUSAL_INTERVAL_S:
            return
        if len(self._logged) >= MOST_REASONS:
            self._logged.clear()
        self._logged[text] = now
        log.log(level, "cluster: %s", text)


#: Serves a client whose call was accepted, on a transport that is not read yet.
Service = Callable[[asyncio.Transport, Origin], Awaitable[None]]


class PeerListener:
    """Accepts calls of other nodes. `service`: returns what serves a call, once this node can; it is waited for.
    `tls`: between nodes, None without."""

    def __init__(
        self, secret: bytes, service: Callable[[Call], Awaitable[Service]], tls: PeerTls | None = None
    ) -> None:
        self.secret = secret
        self.service = service
        self.tls = tls
        self.callees: dict[_Callee, asyncio.Future[None] | None] = {}
        self._server: asyncio.Server | None = None
        self.refusals = Refusals()

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port. Raises `ListenError`."""
        sock = bind(host, port)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Callee(self),
            sock=sock,
            backlog=BACKLOG,
            ssl=self.tls.server if self.tls is not None else None,
            ssl_handshake_timeout=PREAMBLE_TIMEOUT_S if self.tls is not None else None,
        )
        return int(sock.getsockname()[1])

    def close(self) -> None:
        """Stop listening; calls that were not passed on yet end, and watches do."""
        if self._server is not None:
            self._server.close()
        for callee, serving in list(self.callees.items()):
            if serving is not None:
                serving.cancel()
            callee.transport.abort()

    async def serve(self, callee: _Callee, call: Call) -> None:
        """Serve a call whose caller knows the secret; whatever goes wrong ends only that."""
        try:
            if call.service == WATCH:
                callee.transport.write(_GO)
                callee.transport.resume_reading()
                return
            serve = await self.service(call)
            if callee.transport.is_closing():
                return
            self.callees.pop(callee, None)
            callee.transport.write(_GO)
            await serve(callee.transport, call.origin)
        except PeerRefused as error:
            self.refusals.log(f"a client of another node is refused: {error}")
            callee.transport.abort()
        except (OSError, TimeoutError):
            callee.transport.abort()
        except Exception:
            log.exception("cluster: a client of another node cannot be served")
            callee.transport.abort()


class _Callee(asyncio.Protocol):
    """The end that is called, until it serves."""

    def __init__(self, listener: PeerListener) -> None:
        self.listener = listener
        self.transport: asyncio.Transport
        self._nonce = secrets.token_bytes(NONCE_BYTES)
        self._received = b""
        self._called = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        self.transport = cast(asyncio.Transport, transport)
        self.listener.callees[self] = None
        self._timer = asyncio.get_running_loop().call_later(PREAMBLE_TIMEOUT_S, self.transport.abort)
        self.transport.write(MARK + self._nonce)

    def data_received(self, data: bytes) -> None:
        """Take the call; nothing may follow it before it is served."""
        if self._called:
            self.transport.abort()
            return
        self._received += data
        size = PROOF_BYTES + _SIZE.size
        if len(self._received) < size:
            return
        called = int(_SIZE.unpack_from(self._received, PROOF_BYTES)[0])
        end = size + called
        if called > CALL_LIMIT_BYTES:
            log.warning("cluster: a connection to the peer port is refused: a call of %d octets", called)
            self.transport.abort()
        elif len(self._received) >= end:
            self._called = True
            self._take(self._received[:PROOF_BYTES], self._received[size:end])

    def _take(self, given: bytes, body: bytes) -> None:
        assert self._timer is not None
        self._timer.cancel()
        try:
            if not hmac.compare_digest(given, proof(self.listener.secret, self._nonce, body)):
                raise PeerRefused("it does not know the secret (cluster.secret) of this node")
            call = decode_call(body)
        except PeerRefused as error:
            self.listener.refusals.log(f"a connection to the peer port is refused: {error}")
            self.transport.abort()
            return
        self.transport.pause_reading()
        self.listener.callees[self] = asyncio.ensure_future(self.listener.serve(self, call))

    def connection_lost(self, error: Exception | None) -> None:
        """The caller has gone."""
        if self._timer is not None:
            self._timer.cancel()
        serving = self.listener.callees.pop(self, None)
        if serving is not None:
            serving.cancel()


class _Caller(asyncio.Protocol):
    """The calling end, until the other one serves. `called`: done when the call is sent; `served`: when the other end
    serves it. The socket is not read after that; `received`: what has come after that octet."""

    def __init__(self, secret: bytes, call: Call) -> None:
        self.secret = secret
        self.call = call
        self.transport: asyncio.Transport
        loop = asyncio.get_running_loop()
        self.called: asyncio.Future[None] = loop.create_future()
        self.served: asyncio.Future[None] = loop.create_future()
        self.received = b""
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the greeting."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Answer the greeting with the call, and wait for the octet that says that it is served."""
        self._received += data
        size = len(MARK) + NONCE_BYTES
        if not self._received.startswith(MARK[: len(self._received)]):
            self._fail(PeerRefused("it is no node of a cluster, or of another version"))
        elif len(self._received) > size and not self.served.done():
            self.transport.pause_reading()
            self.received = self._received[size + 1 :]
            self.served.set_result(None)
        elif len(self._received) == size:
            try:
                body = self.call.encode()
            except PeerRefused as error:
                self._fail(error)
                return
            self.transport.write(
                proof(self.secret, self._received[len(MARK) :], body) + _SIZE.pack(len(body)) + body
            )
            self.called.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        """It was closed before it was served."""
        self._fail(
            error if isinstance(error, OSError) else ConnectionAbortedError("closed by the other node")
        )

    def _fail(self, error: Exception) -> None:
        for future in (self.called, self.served):
            if not future.done():
                future.set_exception(error)
                future.exception()  # nobody may wait for it
        self.transport.abort()


class Served(NamedTuple):
    """A call that is served: a transport, not read, on which the octets of the client are to follow. `received`: what
    the other end has sent already."""

    transport: asyncio.Transport
    received: bytes

    def begin(self, protocol: asyncio.Protocol) -> None:
        """Let a protocol go on with it."""
        self.transport.set_protocol(protocol)
        protocol.connection_made(self.transport)
        if self.received:
            protocol.data_received(self.received)
        if not self.transport.is_closing():
            self.transport.resume_reading()


async def dial(address: str, secret: bytes, call: Call, tls: PeerTls | None = None) -> Served:
    """Call another node; returns when it serves. `address`: host:port.

    Raises `PeerRefused`, OSError, `TimeoutError`.
    """
    async with asyncio.timeout(CONNECT_TIMEOUT_S):
        caller = await _connect(address, lambda: _Caller(secret, call), tls)
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await caller.called
        await caller.served
    except BaseException:
        caller.transport.abort()
        raise
    return Served(caller.transport, caller.received)


P = TypeVar("P", bound=asyncio.Protocol)


async def _connect(address: str, make: Callable[[], P], tls: PeerTls | None = None) -> P:
    """Connect to an address. Raises OSError."""
    host, _, port = address.rpartition(":")
    context = tls.client if tls is not None else None
    _, protocol = await asyncio.get_running_loop().create_connection(
        make, host.strip("[]"), int(port), ssl=context
    )
    return protocol


class _Watch(asyncio.Protocol):
    """The end of a call for `WATCH`. `closed`: done when the other end has closed it."""

    def __init__(self) -> None:
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_lost(self, error: Exception | None) -> None:
        """The other end has closed the connection, or is gone."""
        if not self.closed.done():
            self.closed.set_result(None)


async def watch(address: str, secret: bytes, tls: PeerTls | None = None) -> None:
    """Return when the process at that address has ended its side of a call, or cannot be called."""
    try:
        served = await dial(address, secret, Call(WATCH, NOBODY), tls)
    except (PeerRefused, OSError, TimeoutError):
        return
    if served.transport.is_closing():
        return
    watching = _Watch()
    served.begin(watching)
    try:
        await watching.closed
    finally:
        served.transport.abort()


async def is_refused(address: str) -> bool:
    """Return whether nobody listens at an address any more: its machine answers, and refuses."""
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            watching = await _connect(address, _Nothing)
    except ConnectionRefusedError:
        return True
    except (OSError, TimeoutError):
        return False
    watching.transport.abort()
    return False


class _Nothing(asyncio.Protocol):
    """A connection that is closed at once."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport, to close it."""
        self.transport = cast(asyncio.Transport, transport)
