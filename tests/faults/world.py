"""A node whose loop, sockets, disk thread and time belong to the test: everything runs in `Loop.run`.

An exception of a callback ends in the loop's exception handler, and a transport whose protocol has raised is closed, as
with a real loop.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from leveret.clock import Clock
from leveret.config import Settings
from leveret.engine import startup
from leveret.engine.auth_attempts import AuthAttempts
from leveret.engine.broker import Broker
from leveret.engine.samples import Sampler
from leveret.engine.stats import Stats
from leveret.faults import Fault
from leveret.management.app import Http
from leveret.management.prometheus import endpoint  # noqa: F401  imported by the first scrape, in a thread
from leveret.management.site import Site
from leveret.management.slices import Slices
from leveret.queues.backlog.paging import Pager
from leveret.server.alarms import ResourceMonitor
from leveret.server.background import Background, tried
from leveret.server.descriptors import descriptors
from leveret.server.listeners import Protocol
from leveret.server.send_barrier import SendBarrier
from leveret.server.sockets import WRITE_LIMIT_BYTES, Edge
from leveret.session.invariants import Checker
from leveret.settings import Amqp, Memory, Plugins, Server
from leveret.settings import Profile as ProfileSettings
from leveret.store.disk import DiskStore
from leveret.store.files import Files
from leveret.store.paging_file import FilePager
from leveret.testing.playbook import Connect, Line, LineParser, handshake


class Loop:
    """Callbacks in the order of their time, in ms since the epoch. `failed`: exceptions they have raised."""

    def __init__(self) -> None:
        self.now = 1_600_000_000_000
        self.order = 0
        self.calls: list[tuple[int, int, SimpleNamespace]] = []
        self.failed: list[BaseException] = []
        self.on_failed: Callable[[Exception], None] = lambda error: None

    def call_at(self, at: int, call: Callable[..., object], *arguments: Any) -> Any:
        self.order += 1
        handle = SimpleNamespace(call=call, arguments=arguments, over=False)
        handle.cancel = lambda: setattr(handle, "over", True)
        heapq.heappush(self.calls, (at, self.order, handle))
        return handle

    def call_soon(self, call: Callable[..., object], *arguments: Any, context: Any = None) -> Any:
        return self.call_at(self.now, call, *arguments)

    call_soon_threadsafe = call_soon

    def create_future(self) -> Any:
        return LoopFuture(self)

    def call_later(self, seconds: float, call: Callable[..., object], *arguments: Any) -> Any:
        return self.call_at(self.now + round(seconds * 1000), call, *arguments)

    def run(self, milliseconds: int = 0) -> None:
        """Let time pass, and run the callbacks that are due."""
        end = self.now + milliseconds
        while self.calls and self.calls[0][0] <= end:
            at, _, handle = heapq.heappop(self.calls)
            self.now = max(self.now, at)
            if not handle.over:
                try:
                    handle.call(*handle.arguments)
                except Exception as error:
                    self.on_failed(error)
        self.now = end


class LoopFuture:
    """A future of the loop."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.over = False

    def get_loop(self) -> Loop:
        return self.loop

    def done(self) -> bool:
        return self.over

    def set_result(self, result: None) -> None:
        self.over = True

    def __await__(self) -> Generator[None, None, None]:
        while not self.over:
            yield


class LoopClock(Clock):
    """The loop's time, with the interface of `WallClock`."""

    def __init__(self, loop: Loop) -> None:
        super().__init__(loop.now)
        self.loop = loop

    def read(self) -> int:
        return self.loop.now

    def tick(self) -> None:
        self.now = self.loop.now
        self.tick_count += 1

    def delay_s(self, at: int) -> float:
        return max(0, at - self.read()) / 1000


class Transport:
    """One socket: the server's transport, and the client at the other end. `stuck`: the client does not read."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.protocol = Protocol(world.edge)
        self.parser = LineParser(name, 131072)
        self.lines: list[Line] = []
        self.closing = self.lost = self.paused = self.stuck = False
        self.unread = self.unsent = b""
        self._event(self.protocol.connection_made, self)

    def _event(self, call: Callable[..., object], *arguments: Any) -> None:
        self.world.loop.call_soon(self._run, call, *arguments)

    def _run(self, call: Callable[..., object], *arguments: Any) -> None:
        try:
            call(*arguments)
        except Exception:
            self.abort()
            raise

    def get_extra_info(self, name: str) -> Any:
        known = {
            "socket": SimpleNamespace(fileno=lambda: -1),
            "peername": ("127.0.0.1", 1),
            "sockname": ("127.0.0.1", 2),
        }
        return known.get(name)

    def set_write_buffer_limits(self, high: int, low: int) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return len(self.unsent)

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False
        self.feed(b"")

    def write(self, data: bytes) -> None:
        if not self.stuck:
            self.parser.received += data
            return
        below = len(self.unsent) <= WRITE_LIMIT_BYTES
        self.unsent += data
        if below and len(self.unsent) > WRITE_LIMIT_BYTES:
            self._event(self.protocol.pause_writing)

    def read(self) -> None:
        """The client reads everything."""
        self.stuck = False
        full = len(self.unsent) > WRITE_LIMIT_BYTES
        self.parser.received += self.unsent
        self.unsent = b""
        if full:
            self._event(self.protocol.resume_writing)

    def close(self) -> None:
        if not self.closing:
            self.closing = True
            self._event(self._lose)

    abort = close

    def _lose(self) -> None:
        self.lost = True
        self.protocol.connection_lost(None)

    def feed(self, data: bytes) -> None:
        """Send octets of the client."""
        self.unread += data
        self._event(self._read)

    def _read(self) -> None:
        if not self.paused and not self.closing and self.unread:
            room = self.protocol.get_buffer(-1)
            data, self.unread = self.unread[: len(room)], self.unread[len(room) :]
            room[: len(data)] = data
            if self.unread:
                self._event(self._read)
            self.protocol.buffer_updated(len(data))

    def receive(self) -> list[Line]:
        """Return what the server has sent since the last call."""
        return list(self.parser.parse())


class Threadless(Background):
    """Writes and syncs files in the loop instead of a thread. `hanging`: reads that hang until `come`, None if none
    do."""

    def __init__(self, loop: Loop, faults: Any) -> None:
        super().__init__()
        self.loop, self.faults = loop, faults  # type: ignore[assignment]
        self.hanging: list[tuple[Any, Any]] | None = None

    def now(self) -> float:
        return 0.0  # nothing takes long

    def sync(self, write: Any, wait: Any, done: Any) -> None:
        self.loop.call_soon(self._finish, done, tried(write) or tried(wait))

    def offload(self, step: Any, done: Any) -> None:
        self.loop.call_soon(self._finish, done, tried(step))

    def read(self, step: Any, done: Any) -> None:
        if self.hanging is None:
            self.offload(step, done)
        else:
            self.hanging.append((step, done))

    def come(self) -> None:
        """Reads hang no more."""
        reads, self.hanging = self.hanging or [], None
        for step, done in reads:
            self.offload(step, done)

    def briefly(self, step: Any, done: Any) -> None:
        self._finish(done, tried(step))


class World:
    """One node. `version`: its profile. `check`: whether counters are compared with what they count."""

    def __init__(
        self,
        directory: Path,
        *,
        version: str = "4.3",
        files: Files | None = None,
        pager: Pager | None = None,
        now: int = 0,
        check: bool = False,
        memory: Memory | None = None,
        amqp: Amqp | None = None,
    ) -> None:
        self.loop: Any = Loop()
        self.loop.now = now or self.loop.now
        self.clock: Any = LoopClock(self.loop)
        self.written: list[Fault] = []
        server = Server(host=("127.0.0.1",), port=-1, http_port=-1, prometheus_port=-1)
        settings = Settings(
            plugins=Plugins(event_exchange=True),
            server=server,
            profile=ProfileSettings(version=version),
            memory=memory or Memory(),
            amqp=amqp or Amqp(),
        )
        self.background = background = Threadless(self.loop, None)
        self.store = DiskStore(directory, background, files)
        self.store.writing.slow_write_s = float("inf")  # the machine may be busy
        self.broker = Broker(settings, self.clock, self.store.journal, pager)
        background.faults = self.broker.faults
        self.broker.faults.write = self.written.append
        self.loop.on_failed = lambda error: self.broker.faults.report("event loop", error)
        self.edge = Edge(self.broker, self.clock, self.loop, timer=lambda: self.loop.now / 1000)
        # A function that is made to raise leaves its counters wrong: they are not checked then.
        self.edge.checker = Checker(self.broker) if check else None
        self.store.restore(self.broker)
        if isinstance(pager, FilePager):
            pager.begin(background)
        self.store.on_settled = self._settled
        self.store.on_failing = self.edge.touch
        self.store.on_writable = self.edge.send_soon
        self.edge.send_barrier = SendBarrier(
            self.store, self.store.journal, self.loop.call_later, self.edge.send_soon, self.broker.faults
        )
        if self.broker.vhosts:
            startup.plug_in(self.broker)
        else:
            startup.seed(self.broker)
        self.watch = ResourceMonitor(self.edge, self.store, background.offload)
        self.watch.memory_limit, self.watch.disk_limit, self.watch.data_dir = 1 << 60, 0, str(directory)
        stats = Stats(self.broker)
        sampler = Sampler(stats)
        attempts = AuthAttempts(settings.access.track_auth_attempt_source)
        for observer in (stats, sampler, attempts):
            self.broker.observers.add(observer)
        sampler.start()
        site = Site(
            self.broker,
            stats,
            sampler,
            node_name=settings.server.node_name,
            cluster_id="",
            tick=self.clock.tick,
            touch=self.edge.touch,
            settled=self.edge.settled,
            ended=self.edge.ended,
            listeners=list,
            memory=self.watch.memory,
            disk=self.watch.disk,
            descriptors=descriptors,
            file_operations=lambda: self.store.files.done,
            plugins=list,
            started_at=self.clock.now,
            attempts=attempts,
            slices=Slices(lambda: 0.0, self.loop),
        )
        self.http = Http(site, settings.server)

    def _settled(self) -> None:
        self.clock.tick()
        self.edge.touch()

    def connect(
        self,
        name: str,
        heartbeat: int = 0,
        vhost: str = "/",
        channels: Sequence[int] = (1, 2),
        frame_max: int = 131072,
    ) -> Transport:
        """Connect a client that does the handshake."""
        transport = Transport(self, name)
        transport.parser.frame_max = max(frame_max, 131072)
        who = Connect(name, heartbeat=heartbeat, vhost=vhost, channels=channels, frame_max=frame_max)
        for step in handshake(who):
            transport.feed(step)
            self.loop.run()
        transport.receive()
        return transport

    def get(self, path: str, method: str = "GET", scrape: bool = False, body: bytes = b"") -> Any:
        """Make an HTTP request; what it waits for happens when the loop runs."""

        rest = [body] if body else []
        content = SimpleNamespace(at_eof=lambda: not rest, is_eof=lambda: True, read_nowait=rest.pop)
        request: Any = SimpleNamespace(
            raw_path=path,
            method=method,
            headers={"Authorization": "Basic Z3Vlc3Q6Z3Vlc3Q="},
            content_length=len(body),
            content=content,
            remote="127.0.0.1",
            secure=False,
        )
        handling = (self.http.scrape if scrape else self.http.serve)(request)
        for _ in range(10):
            try:
                handling.send(None)
            except StopIteration as over:
                return over.value
            self.loop.run()
        handling.close()
        return None
