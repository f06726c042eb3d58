"""A broker in a thread of its own: engine, clocks, event loop and sockets, and how other threads call it.

Each call comes with a promise: it sees all that clients had sent before it was made. So a call first waits until the
sockets have been read that had something to read when it was made (`Drain`), then runs in the broker's thread.
"""

from __future__ import annotations

import asyncio
import os
import random
import threading
import weakref
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, TypeVar

from leveret.engine import startup
from leveret.engine.broker import Broker as Engine
from leveret.server.listeners import Protocol
from leveret.server.sockets import Edge
from leveret.testing.acceptor import Acceptor, bind_tcp, bind_unix
from leveret.testing.drain import Drain
from leveret.testing.errors import BlockingCall, Stopped, ToolkitError, hides_frames
from leveret.testing.eta import EtaHolding
from leveret.testing.event_loop import BrokerLoop
from leveret.testing.fault_board import AnyFault, FaultBoard
from leveret.testing.faulty_socket import FaultySocket
from leveret.testing.interception import Interception
from leveret.testing.message_clock import MessageClock
from leveret.testing.real_time import RealClock, monotonic_s
from leveret.testing.recorder import Recorder
from leveret.testing.time_travel import TimeTravel, Waiting
from leveret.work import Suspended

if TYPE_CHECKING:
    from leveret.config import Settings
    from leveret.server.durability import Durability
    from leveret.server.http_listeners import HttpListeners
    from leveret.testing.recording import FrameRecorder
    from leveret.testing.toxiproxy_http import ToxiproxyServer

T = TypeVar("T")

#: Seconds without an octet after which a clock that skips goes on.
SKIP_QUIET_S = 0.02

__tracebackhide__ = hides_frames

#: Seconds that `stop` waits for the thread.
STOP_TIMEOUT_S = 10.0


class Wait(Generic[T]):
    """Something that is waited for.

    `check` is asked in the broker's thread at once and after each turn of its loop; it returns the result, or None to
    wait on. `failure` makes the exception that is raised after `timeout` seconds; None waits for ever. `ended`: called
    when the wait is over, whatever its result.
    """

    def __init__(
        self,
        check: Callable[[], T | None],
        failure: Callable[[], Exception],
        timeout: float | None,
        ended: Callable[[], None] | None = None,
    ) -> None:
        self.check = check
        self.failure = failure
        self.timeout = timeout
        self.ended = ended


class EmbeddedNode:
    """One broker in one thread.

    `host`, `port`, `unix`: where it listens. `engine`: the broker itself; `edge`: its sockets; `message_clock` and
    `link_clock`: its two clocks. All of these belong to the thread: other threads use `call` and `wait`. `protocol`:
    makes the protocol of an accepted client. `watchers`: called after each turn of the loop until they return True.
    `travel`: moves message time; `clock_mode`: how the clock runs from the start (`broker.ClockMode`); `waits`: how
    many callers wait for something. `hold_eta`: whether `eta_holding` is plugged into the `interception` of publishes.
    `faults`: those that were armed and not removed (`Fault`), on the `fault_board`.
    `random_octets`: what generated names are made from, with a seed.
    `recording`: gets what new connections carry. `recorder`: the history, None if there is none. `seeds`: fill an empty
    broker, at the start and after a reset. `restored`: it was not empty, because its data directory had something.
    """

    def __init__(
        self,
        settings: Settings,
        host: str,
        port: int,
        unix: str | None,
        history: bool = True,
        seed: int = 0,
    ) -> None:
        self.settings = settings
        self.history = history
        self.host = host
        self.port = port
        self.unix = unix
        self.loop: BrokerLoop
        self.engine: Engine
        self.edge: Edge
        self.message_clock = MessageClock()
        self.link_clock = RealClock()
        self.travel = TimeTravel(self)
        self.clock_mode = "real"
        self.hold_eta = False
        self.interception: Interception
        self.eta_holding: EtaHolding
        self.fault_board = FaultBoard(seed)
        self.random_octets = random.Random(seed).randbytes
        self.faults: list[object] = []
        self._armed: dict[object, AnyFault] = {}
        self.travel.idleness.extra.append(self.fault_board.reasons)
        self.travel.idleness.withheld = self.fault_board.withheld
        self.travel.with_copies = self.fault_board.with_copies
        self.waits = 0
        self.recorder: Recorder | None = None
        self.recording: FrameRecorder | None = None
        self.durability: Durability | None = None
        self.restored = False
        self.http: HttpListeners | None = None
        self.http_port = 0
        self.toxiproxy: ToxiproxyServer | None = None
        self.toxiproxy_port = 0
        self.more_routes: Callable[[], dict[str, dict[str, Callable[..., object]]]] = dict
        self.acceptors: list[Acceptor] = []
        self.seeds: list[Callable[[Engine], None]] = []
        self.protocol: Callable[[], Protocol] = self._protocol
        self.watchers: list[Callable[[], bool]] = []
        self.running = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._stopping: asyncio.Event

    # --- start and stop

    def start(self) -> None:
        """Start the thread and return when clients can connect. Raises `OSError` if the address is in use."""
        with self._lock:
            if self.running:
                return
            ready: Future[None] = Future()
            self._thread = threading.Thread(
                target=self._run, args=(ready,), name="leveret-testing", daemon=True
            )
            self._thread.start()
            try:
                ready.result()
            except BaseException:
                self._thread.join(STOP_TIMEOUT_S)
                raise
            self.running = True
            _nodes.add(self)

    def stop(self) -> None:
        """Abort all clients, free the port and end the thread. Waits that are under way raise `Stopped`."""
        with self._lock:
            thread = self._thread
            if not self.running or thread is None:
                return
            self.running = False
            _nodes.discard(self)
            self.loop.call_soon_threadsafe(self._stopping.set)
            if thread is not threading.current_thread():
                thread.join(STOP_TIMEOUT_S)

    def _run(self, ready: Future[None]) -> None:
        loop = BrokerLoop()
        try:
            loop.run_until_complete(self._serve(loop, ready))
        finally:
            loop.close()

    async def _serve(self, loop: BrokerLoop, ready: Future[None]) -> None:
        self.loop = loop
        self._stopping = asyncio.Event()
        try:
            self._open()
        except BaseException as error:
            self._close()
            await self._close_store()
            ready.set_exception(error)
            return
        loop.turns.turn_ended = self._turn_ended
        ready.set_result(None)
        await self._stopping.wait()
        self._close()
        if self.http is not None:
            await self.http.stop()
            self.http = None
        if self.toxiproxy is not None:
            await self.toxiproxy.stop()
            self.toxiproxy = None
        await asyncio.sleep(0)  # connections learn that their sockets are closed
        await asyncio.sleep(0)
        await self._close_store()
        self._turn_ended()
        loop.turns.turn_ended = None

    def _open(self) -> None:
        self.engine = self._engine()
        self.interception = Interception(self.engine)
        self.eta_holding = EtaHolding(self.engine)
        self.engine.observers.add(self.eta_holding)
        self.plug_eta()
        self.edge = Edge(self.engine, self.link_clock, self.loop, self.message_clock, monotonic_s)
        self.fault_board.attach(self.engine, self.edge)
        self._plug_faults()
        if self.history:
            self.recorder = Recorder(self.engine)
            self.travel.idleness.number_of = self.recorder.number_of
            self.engine.observers.add(self.recorder)
            self.recorder.begin()
        self.restored = self.durability is not None and self.durability.start(self.engine, self.edge)
        if not self.restored:
            self.seed()
        sock = bind_tcp(self.host, self.port)
        self.acceptors.append(Acceptor(self.loop, sock, self._make))
        self.port = int(sock.getsockname()[1])
        if self.unix is not None:
            self.acceptors.append(Acceptor(self.loop, bind_unix(self.unix), self._make))
        for acceptor in self.acceptors:
            acceptor.listen()
        if self.clock_mode != "real":
            self.message_clock.freeze()
        if self.clock_mode == "skip":
            self.skip_in_waits()

    def _engine(self) -> Engine:
        """Make the engine; with a data directory it has a store."""
        if self.settings.store.engine != "disk":
            return Engine(
                self.settings,
                self.message_clock,
                link_clock=self.link_clock,
                random_octets=self.random_octets,
            )
        from leveret.server.durability import Durability  # imported only if it is used

        self.durability = Durability(self.settings)
        store = self.durability.store
        journal = store.journal if store is not None else None
        return Engine(
            self.settings,
            self.message_clock,
            journal,
            self.durability.pager,
            self.link_clock,
            self.random_octets,
        )

    async def _close_store(self) -> None:
        """Write everything to the data directory, if there is one."""
        durability, self.durability = self.durability, None
        if durability is not None:
            self.engine.work.finish(STOP_TIMEOUT_S)
            await durability.stop()

    def start_http(self) -> int:
        """Start the HTTP API, unless it runs; returns its port. Raises `OSError`."""
        if self.http is None:
            from leveret.management.site import Listener  # imported only if it is used
            from leveret.testing import http

            amqp = Listener("amqp", self.host, self.port)
            self.http, self.http_port = http.start(self.edge, amqp, self.http_port, self.more_routes)
        return self.http_port

    def start_toxiproxy(self) -> int:
        """Start toxiproxy's HTTP API, unless it runs; returns its port. Raises `OSError`."""
        if self.toxiproxy is None:
            from leveret.testing.toxiproxy_http import ToxiproxyServer  # imported only if it is used

            self.toxiproxy = ToxiproxyServer(self, self.host, self.toxiproxy_port)
            self.toxiproxy_port = self.toxiproxy.port
        return self.toxiproxy_port

    def skip_in_waits(self) -> None:
        """Move the frozen clock to what is due next whenever everything is idle and somebody waits for something."""
        self.travel.begin_skipping(Waiting(quiet_s=SKIP_QUIET_S), lambda: self.waits > 0)

    def seed(self) -> None:
        """Fill the empty broker: default virtual host and user, and what it was made with."""
        startup.seed(self.engine)
        for fill in self.seeds:
            fill(self.engine)

    def _close(self) -> None:
        self.travel.end_skipping()
        for task in self._tasks:
            task.cancel()
        for acceptor in self.acceptors:
            acceptor.close()
        self.acceptors.clear()
        if hasattr(self, "edge"):
            for each in list(self.edge.sockets.values()):
                each.transport.abort()

    def _make(self) -> Protocol:
        protocol = self.protocol()
        if self.recording is not None and isinstance(protocol, FaultySocket):
            protocol.tap = self.recording.tap()
        return protocol

    def _protocol(self) -> Protocol:
        return FaultySocket(self.edge, self.fault_board)

    # --- calls from any thread

    def call(self, function: Callable[[], T]) -> T:
        """Run `function` in the broker's thread once all that clients had sent is handled; return its result, or raise
        its exception. Raises `Stopped`."""
        if threading.current_thread() is self._thread:
            return function()
        return result_of(self.begin(function))

    def begin(self, function: Callable[[], T]) -> Future[T]:
        """Like `call`, for a caller that waits for the result itself."""
        future: Future[T] = Future()
        self._soon(lambda: self._begin(function, future), future)
        return future

    def wait(self, wait: Wait[T]) -> Future[T]:
        """Begin to wait for something."""
        future: Future[T] = Future()
        self._soon(lambda: self._wait(wait, future), future)
        return future

    def run(self, call: Callable[[], Coroutine[object, object, T]]) -> Future[T]:
        """Run a coroutine in the broker's thread once all that clients had sent is handled. Raises `Stopped`."""
        future: Future[T] = Future()

        def begin() -> None:
            task = self.loop.create_task(self._running(call, future))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        self._soon(begin, future)
        return future

    async def _running(self, call: Callable[[], Coroutine[object, object, T]], future: Future[T]) -> None:
        try:
            await self.until(Drain(self.edge, self.acceptors).done)
            self.edge.tick()
            _succeed(future, await call())
        except asyncio.CancelledError:
            _fail(future, Stopped("the broker was stopped during the call"))
        except Exception as error:
            _fail(future, error)
        finally:
            self.edge.touch()

    def wake(self) -> None:
        """Have the loop make a turn, so that everything that waits looks again; from any thread."""
        if self.running:
            with suppress(RuntimeError):  # the loop was closed in this moment
                self.loop.call_soon_threadsafe(_nothing)

    def _soon(self, begin: Callable[[], None], future: Future[T]) -> None:
        if not self.running:
            raise Stopped(self._stopped_text())

        def checked() -> None:
            try:
                begin()
            except BaseException as error:  # else the caller would wait for ever
                _fail(future, error)

        try:
            self.loop.call_soon_threadsafe(checked)
        except RuntimeError:  # the loop was closed in this moment
            raise Stopped(f"the broker on port {self.port} was stopped") from None

    def _stopped_text(self) -> str:
        if self._thread is None:
            return "the broker was not started: call start(), or use `with`"
        return f"the broker on port {self.port} was stopped: start() starts it again"

    def owns_thread(self, thread: threading.Thread) -> bool:
        """Return whether a thread is the broker's."""
        return thread is self._thread

    def _begin(self, function: Callable[[], T], future: Future[T]) -> None:
        drain = Drain(self.edge, self.acceptors)

        def step() -> bool:
            if self._stopping.is_set():
                _fail(future, Stopped("the broker was stopped during the call"))
                return True
            if not drain.done():
                return False
            self._answer(function, future)
            return True

        self.watch(step)

    def _answer(self, function: Callable[[], T], future: Future[T]) -> None:
        self.edge.tick()
        try:
            _succeed(future, function())
        except Suspended as waiting:  # a long operation is under way there, and this one had no effect
            waiting.job.when_done(lambda: self._answer(function, future))
        except BaseException as error:
            _fail(future, error)
        finally:
            self.edge.touch()

    def _wait(self, wait: Wait[T], future: Future[T]) -> None:
        drain = Drain(self.edge, self.acceptors)
        late = False
        self.waits += 1
        future.add_done_callback(self._waited)

        def time_is_up() -> None:
            nonlocal late
            late = True

        timer = self.loop.call_later(wait.timeout, time_is_up) if wait.timeout is not None else None

        def step() -> bool:
            if not (future.cancelled() or self._stopping.is_set()):
                if not drain.done() and not late:
                    return False
                if not _tried(wait, future, late):
                    return False
            if self._stopping.is_set():
                _fail(future, Stopped("the broker was stopped during the wait"))
            if timer is not None:
                timer.cancel()
            if wait.ended is not None:
                wait.ended()
            return True

        self.watch(step)

    def _waited(self, future: Future[T]) -> None:
        self.waits -= 1

    # --- in the broker's thread

    async def until(self, check: Callable[[], bool], timeout_s: float | None = None) -> bool:
        """Wait until `check` returns True, asked now and after each turn of the loop. Returns False after `timeout_s`
        seconds."""
        if check():
            return True
        future: asyncio.Future[bool] = self.loop.create_future()

        def step() -> bool:
            if not future.done():
                try:
                    if not check():
                        return False
                    future.set_result(True)
                except Exception as error:
                    future.set_exception(error)
            return True

        def late() -> None:
            if not future.done():
                future.set_result(False)

        timer = self.loop.call_later(timeout_s, late) if timeout_s is not None else None
        self.watchers.append(step)
        try:
            return await future
        finally:
            if timer is not None:
                timer.cancel()

    def watch(self, step: Callable[[], bool]) -> None:
        """Call `step` now and after each turn of the loop, until it returns True."""
        if not step():
            self.watchers.append(step)

    def _turn_ended(self) -> bool:
        if not self.watchers:
            return False
        before = list(self.watchers)
        done = [step for step in before if step()]
        if done:
            self.watchers = [step for step in self.watchers if step not in done]
        return bool(done)

    def plug_eta(self) -> None:
        """Hold tasks until their ETA, or stop doing that."""
        self.interception.plug(self.eta_holding, self.hold_eta)

    def arm(self, fault: object, armed: AnyFault) -> None:
        """Arm a fault, and list it among the faults."""
        self.faults.append(fault)
        self._armed[fault] = armed
        self.fault_board.arm(armed)
        self._plug_faults()

    def disarm(self, fault: object) -> None:
        """Remove a fault."""
        if fault in self.faults:
            self.faults.remove(fault)
            self.fault_board.disarm(self._armed.pop(fault))
            self._plug_faults()

    def _plug_faults(self) -> None:
        self.interception.plug(self.fault_board, self.fault_board.intercepts)

    def after_fork(self) -> None:
        """Close the sockets in a process that was forked: clients would not see them closed here otherwise."""
        self.running = False
        for acceptor in self.acceptors:
            acceptor.forget()


def _nothing() -> None:
    """Do nothing."""


def _tried(wait: Wait[T], future: Future[T], late: bool) -> bool:
    """Ask whether a wait has its result, or fails now. Returns whether it is over."""
    try:
        found = wait.check()
        if found is not None:
            _succeed(future, found)
        elif late:
            _fail(future, wait.failure())
        else:
            return False
    except BaseException as error:
        _fail(future, error)
    return True


def _succeed(future: Future[T], result: T) -> None:
    """Set the result, unless the caller has given up."""
    with suppress(InvalidStateError):
        future.set_result(result)


def _fail(future: Future[T], error: BaseException) -> None:
    """Set the exception, unless the caller has given up."""
    with suppress(InvalidStateError):
        future.set_exception(error)


def result_of(future: Future[T]) -> T:
    """Wait for a result and return it, or raise its exception; that of an assertion without the frames of the broker's
    thread."""
    try:
        return future.result()
    except (ToolkitError, AssertionError) as error:
        raise error.with_traceback(None) from None


def refuse_in_loop(method: str, instead: str | None = None) -> None:
    """Raise `BlockingCall` in a thread whose event loop runs. `instead`: what to use."""
    if asyncio._get_running_loop() is None:
        return
    thread = threading.current_thread()
    if any(node.owns_thread(thread) for node in list(_nodes)):
        raise BlockingCall(
            f"{method}() waits, and this is the broker's own thread, which calls predicates, `where` and the functions"
            " of faults: these can look at `queues` or `messages`, and cannot wait"
        )
    raise BlockingCall(
        f"{method}() waits, and the event loop of this thread would stand still meanwhile, with the clients in"
        f" it: use `{instead or f'await broker.aio.{method}(...)'}`"
    )


#: All running brokers of the process.
_nodes: weakref.WeakSet[EmbeddedNode] = weakref.WeakSet()


def _after_fork() -> None:
    for node in list(_nodes):
        node.after_fork()
    _nodes.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
