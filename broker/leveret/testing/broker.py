"""`Broker` and `AsyncBroker`: the two faces of one broker inside the test process.

Both have the same methods. Those that wait are blocking calls on `Broker` and coroutines on `AsyncBroker`; all others
are plain calls on both (`core.py`), and may be made from any thread.
"""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, TypeVar

from leveret.testing import restart, snapshots, waits
from leveret.testing.core import BrokerBase, ClockMode, Options, Shared, Where
from leveret.testing.durations import Duration, delay_s
from leveret.testing.errors import ToolkitError, hides_frames
from leveret.testing.faults import AsyncFaults, Faults
from leveret.testing.history import wanted_of
from leveret.testing.node import Wait, refuse_in_loop, result_of
from leveret.testing.strict import allowed_of, check_lint, rules_of

if TYPE_CHECKING:
    from leveret.config import Settings
    from leveret.testing.clock import AsyncClock, Clock
    from leveret.testing.inside import Definitions
    from leveret.testing.messages import Messages, QueueMessage
    from leveret.testing.recording import Recording
    from leveret.testing.replay import Replay
    from leveret.testing.values import Header

T = TypeVar("T")

__tracebackhide__ = hides_frames


class Broker(BrokerBase):
    """A broker in a thread of its own, ready when `with` is entered.

    `profile`: the RabbitMQ version that it behaves like. `port`: 0 for any free one. `unix`: path of a Unix socket to
    listen on as well. `definitions`: a definitions document, or its path. `settings`: as in config.toml,
    `{"amqp.heartbeat": 10}`. `clock`: see `Clock`. `http`, `toxiproxy`: a port for the HTTP API and for that of
    toxiproxy, True for any free one; without them, each starts when its URL is first read. `strict`: True, or names of
    rules; `allow`: what is allowed all the same; `lint`: a later version, "next" or "all". `history`: whether it
    remembers what happens. `data`: a data directory; without one all is in memory. `vhost`: the default virtual host.
    `seed`: of all that is random: generated names, faults, exchanges that choose by chance. Raises `ConfigError`,
    `UnknownProfile`, `ToolkitError`, `TypeError`, `ValueError` and `OSError` for bad arguments.
    """

    def __init__(
        self,
        *,
        profile: str = "4.3",
        host: str = "127.0.0.1",
        port: int = 0,
        unix: str | Path | None = None,
        definitions: Definitions | str | Path | None = None,
        settings: Mapping[str, object] | Settings | None = None,
        clock: ClockMode = "real",
        http: bool | int = False,
        toxiproxy: bool | int = False,
        strict: bool | Collection[str] = False,
        allow: Iterable[str] = (),
        lint: str | None = None,
        history: bool = True,
        data: str | Path | None = None,
        vhost: str = "/",
        seed: int = 0,
    ) -> None:
        options = Options(
            profile=profile,
            host=host,
            port=port,
            unix=unix,
            definitions=definitions,
            settings=settings,
            clock=clock,
            http=http,
            toxiproxy=toxiproxy,
            strict_rules=strict,
            allow=allow,
            lint=lint,
            history=history,
            data=data,
            vhost=vhost,
            seed=seed,
        )
        super().__init__(Shared(options))
        self._node.more_routes = self._control

    def _control(self) -> dict[str, dict[str, Callable[..., object]]]:
        """Return the resources of HTTP below /api/leveret."""
        control = importlib.import_module("leveret.testing.control")  # only if HTTP is used
        found: dict[str, dict[str, Callable[..., object]]] = control.routes(self.aio)
        return found

    @classmethod
    def _of(cls, other: BrokerBase) -> Broker:
        found = cls.__new__(cls)
        BrokerBase.__init__(found, other._shared, other._scope.only, other._rules, other._allow, other._lint)
        found._before = other._before
        return found

    @property
    def aio(self) -> AsyncBroker:
        """The same broker; methods that wait are coroutines."""
        return AsyncBroker._of(self)

    @property
    def sync(self) -> Broker:
        """The same broker; methods that wait are blocking calls."""
        return self

    def start(self) -> Broker:
        """Start it, unless it runs. Raises `OSError` if the address is in use."""
        self._start()
        return self

    def stop(self) -> None:
        """Abort all clients, free the port and end the thread."""
        self._node.stop()

    def __enter__(self) -> Broker:
        """Start it."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it, or delete the virtual host of a view. Raises `Unclean` if a rule of `strict` is broken."""
        self._leave(kind is not None)

    async def __aenter__(self) -> AsyncBroker:
        """Start it and return its other face."""
        return self.aio.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it, or delete the virtual host of a view. Raises `Unclean` if a rule of `strict` is broken."""
        self._leave(kind is not None)

    def vhost(self, name: str | None = None) -> Broker:
        """Return a view of one virtual host, which is made if need be; None: a new one. All that is asked, waited for,
        scripted or reset through a view concerns that virtual host alone. As a context manager it deletes it."""
        view = Broker.__new__(Broker)
        BrokerBase.__init__(view, self._shared, self._view(name), self._rules, self._allow, self._lint)
        return view

    @property
    def clock(self) -> Clock:
        """The broker's clock."""
        return self._shared.clock

    @property
    def faults(self) -> Faults:
        """Faults to be scripted."""
        return Faults(self._node, self._scope.only)

    def _for_test(
        self,
        name: str | None,
        strict: bool | Collection[str] | None,
        allow: Iterable[str],
        lint: str | None,
    ) -> Broker:
        """Return the broker of one test: a new virtual host, or without a name the whole broker, emptied."""
        rules, allowed = rules_of(strict), tuple(allowed_of(allow))
        check_lint(lint)
        view = Broker.__new__(Broker)
        if name is None:
            self.reset()
            BrokerBase.__init__(view, self._shared, None, rules, allowed, lint)
        else:
            BrokerBase.__init__(view, self._shared, self._view(name), rules, allowed, lint)
        view._before = view._inventory()
        return view

    def _block(self, method: str, wait: Wait[T]) -> T:
        """Wait in this thread. Raises `BlockingCall` if its event loop runs."""
        refuse_in_loop(method)
        return result_of(self._node.wait(wait))

    def wait_until(self, predicate: Callable[[], object], timeout: Duration = 5) -> None:
        """Wait until `predicate` returns something true; it is called in the broker's thread after each turn."""
        self._block("wait_until", waits.until(predicate, timeout))

    def wait_idle(self, timeout: Duration = 5, *, quiet: Duration = 0.01) -> None:
        """Wait until everything is done, and no octet came or went for `quiet` seconds. Raises `NotIdle` over what is
        left."""
        self._block("wait_idle", waits.for_idle(self._scope, timeout, quiet))

    def wait_for_messages(
        self,
        queue: str,
        count: int = 1,
        timeout: Duration = 5,
        *,
        where: Callable[[QueueMessage], object] | None = None,
    ) -> list[QueueMessage]:
        """Wait for ready messages in a queue, and return them."""
        return self._block("wait_for_messages", waits.for_messages(self._scope, queue, count, timeout, where))

    def wait_for_published(
        self,
        exchange: str | None = None,
        routing_key: str | None = None,
        *,
        queue: str | None = None,
        body: object = None,
        headers: Mapping[str, Header] | None = None,
        connection: str | None = None,
        where: Where | None = None,
        count: int = 1,
        timeout: Duration = 5,
    ) -> Messages:
        """Wait for messages that clients publish, and return them; see `published`."""
        wanted = wanted_of(exchange, routing_key, queue, body, headers, connection, where)
        return self._block("wait_for_published", waits.for_published(self._scope, wanted, count, timeout))

    def wait_for_acked(self, queue: str, count: int = 1, timeout: Duration = 5) -> None:
        """Wait until so many deliveries of a queue were acknowledged since the history began."""
        self._block("wait_for_acked", waits.for_acked(self._scope, queue, count, timeout))

    def wait_for_consumer(self, queue: str, count: int = 1, timeout: Duration = 5) -> None:
        """Wait until a queue has so many consumers."""
        self._block("wait_for_consumer", waits.for_consumer(self._scope, queue, count, timeout))

    def wait_for_queue(self, name: str, timeout: Duration = 5) -> None:
        """Wait until a queue exists; `name` is a shell glob."""
        self._block("wait_for_queue", waits.for_queue(self._scope, name, timeout))

    def wait_for_connection(self, name: str = "*", count: int = 1, timeout: Duration = 5) -> None:
        """Wait until so many connections are open; `name` is a shell glob for the name that clients give them."""
        self._block("wait_for_connection", waits.for_connection(self._scope, name, count, timeout))

    def restart(self, *, keep: bool = True, down: Duration = 0) -> None:
        """Stop and start the node: clients are closed, the port refuses for `down` real seconds; what is durable stays
        and unacknowledged messages come back, or (not `keep`) nothing stays."""
        refuse_in_loop("restart")
        down_s = delay_s(down, "down")
        if self._node.durability is not None and keep:
            restart.check_whole(self._scope)
            tasks = self._node.call(lambda: snapshots.held_tasks(self._scope))  # the store does not know them
            self._node.stop()
            time.sleep(down_s)
            self._node.start()
            self._node.call(lambda: snapshots.hold_tasks(self._scope, tasks))
        else:
            self._block("restart", restart.wait(self._scope, keep, down_s))

    def replay(
        self,
        path: str | Path | Recording,
        *,
        speed: float | Literal["virtual"] = "virtual",
        compare: bool = True,
        timeout: Duration = 30,
    ) -> Replay:
        """Play the clients' side of a recording with sockets of its own, and compare what the broker says. `speed`:
        "virtual" moves the broker's clock, which is frozen afterwards; a number sleeps, so many times as fast as it was
        recorded. Raises `ReplayMismatch`."""
        refuse_in_loop("replay")
        return self._player(path, speed, compare, timeout).play()


class AsyncBroker(BrokerBase):
    """The same broker for code that runs in an event loop: methods that wait are coroutines."""

    @classmethod
    def _of(cls, other: BrokerBase) -> AsyncBroker:
        found = cls(other._shared, other._scope.only, other._rules, other._allow, other._lint)
        found._before = other._before
        return found

    @property
    def aio(self) -> AsyncBroker:
        """The same broker; methods that wait are coroutines."""
        return self

    @property
    def sync(self) -> Broker:
        """The same broker; methods that wait are blocking calls."""
        return Broker._of(self)

    def start(self) -> AsyncBroker:
        """Start it, unless it runs. Raises `OSError` if the address is in use."""
        self._start()
        return self

    def stop(self) -> None:
        """Abort all clients, free the port and end the thread."""
        self._node.stop()

    async def __aenter__(self) -> AsyncBroker:
        """Start it."""
        return self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it, or delete the virtual host of a view. Raises `Unclean` if a rule of `strict` is broken."""
        self._leave(kind is not None)

    def vhost(self, name: str | None = None) -> AsyncBroker:
        """Return a view of one virtual host; see `Broker.vhost`."""
        return AsyncBroker(self._shared, self._view(name), self._rules, self._allow, self._lint)

    @property
    def clock(self) -> AsyncClock:
        """The broker's clock."""
        return self._shared.async_clock

    @property
    def faults(self) -> AsyncFaults:
        """Faults to be scripted."""
        return AsyncFaults(self._node, self._scope.only)

    async def _wait(self, wait: Wait[T]) -> T:
        try:
            return await asyncio.wrap_future(self._node.wait(wait))
        except (ToolkitError, AssertionError) as error:
            raise error.with_traceback(None) from None

    async def wait_until(self, predicate: Callable[[], object], timeout: Duration = 5) -> None:
        """Wait until `predicate` returns something true; it is called in the broker's thread after each turn."""
        await self._wait(waits.until(predicate, timeout))

    async def wait_idle(self, timeout: Duration = 5, *, quiet: Duration = 0.01) -> None:
        """Wait until everything is done, and no octet came or went for `quiet` seconds. Raises `NotIdle` over what is
        left."""
        await self._wait(waits.for_idle(self._scope, timeout, quiet))

    async def wait_for_messages(
        self,
        queue: str,
        count: int = 1,
        timeout: Duration = 5,
        *,
        where: Callable[[QueueMessage], object] | None = None,
    ) -> list[QueueMessage]:
        """Wait for ready messages in a queue, and return them."""
        return await self._wait(waits.for_messages(self._scope, queue, count, timeout, where))

    async def wait_for_published(
        self,
        exchange: str | None = None,
        routing_key: str | None = None,
        *,
        queue: str | None = None,
        body: object = None,
        headers: Mapping[str, Header] | None = None,
        connection: str | None = None,
        where: Where | None = None,
        count: int = 1,
        timeout: Duration = 5,
    ) -> Messages:
        """Wait for messages that clients publish, and return them; see `published`."""
        wanted = wanted_of(exchange, routing_key, queue, body, headers, connection, where)
        return await self._wait(waits.for_published(self._scope, wanted, count, timeout))

    async def wait_for_acked(self, queue: str, count: int = 1, timeout: Duration = 5) -> None:
        """Wait until so many deliveries of a queue were acknowledged since the history began."""
        await self._wait(waits.for_acked(self._scope, queue, count, timeout))

    async def wait_for_consumer(self, queue: str, count: int = 1, timeout: Duration = 5) -> None:
        """Wait until a queue has so many consumers."""
        await self._wait(waits.for_consumer(self._scope, queue, count, timeout))

    async def wait_for_queue(self, name: str, timeout: Duration = 5) -> None:
        """Wait until a queue exists; `name` is a shell glob."""
        await self._wait(waits.for_queue(self._scope, name, timeout))

    async def wait_for_connection(self, name: str = "*", count: int = 1, timeout: Duration = 5) -> None:
        """Wait until so many connections are open; `name` is a shell glob for the name that clients give them."""
        await self._wait(waits.for_connection(self._scope, name, count, timeout))

    async def restart(self, *, keep: bool = True, down: Duration = 0) -> None:
        """Stop and start the node; see `Broker.restart`."""
        await asyncio.to_thread(self.sync.restart, keep=keep, down=down)

    async def replay(
        self,
        path: str | Path | Recording,
        *,
        speed: float | Literal["virtual"] = "virtual",
        compare: bool = True,
        timeout: Duration = 30,
    ) -> Replay:
        """Play the clients' side of a recording; see `Broker.replay`."""
        return await asyncio.to_thread(self.sync.replay, path, speed=speed, compare=compare, timeout=timeout)
