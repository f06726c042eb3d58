"""The broker for tests of `unittest`.

    class OrderTest(BrokerMixin, TestCase):
        def test_it(self):
            pika.BlockingConnection(pika.URLParameters(self.broker.url))

One broker serves all tests of the process; each test has a virtual host of its own.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Awaitable, Callable, Collection, Iterable
from functools import wraps
from inspect import isawaitable, iscoroutinefunction
from typing import TYPE_CHECKING, ClassVar, ParamSpec

from leveret.testing.broker import Broker

if TYPE_CHECKING:
    from leveret.testing.inside import Definitions

    class _Base:
        """What `unittest.TestCase` has."""

        def __init__(self, methodName: str = "runTest") -> None: ...  # noqa: N803
        def setUp(self) -> None: ...
        def addCleanup(self, function: Callable[..., object], /) -> None: ...  # noqa: N802
        def fail(self, msg: object = None) -> None: ...
        def id(self) -> str: ...
else:
    _Base = object

P = ParamSpec("P")

_lock = threading.Lock()
_brokers: dict[str, Broker] = {}


class BrokerMixin(_Base):
    """Gives each test `self.broker`. `strict`, `allow`, `lint`, `profile`, `definitions`: as of `Broker`."""

    broker: Broker
    strict: ClassVar[bool | Collection[str]] = False
    allow: ClassVar[Iterable[str]] = ()
    lint: ClassVar[str | None] = None
    profile: ClassVar[str] = "4.3"
    definitions: ClassVar[Definitions | None] = None

    def __init__(self, methodName: str = "runTest") -> None:  # noqa: N803  as unittest names it
        super().__init__(methodName)
        method = getattr(self, methodName, None)
        if method is not None:
            setattr(self, methodName, self._checked(method))

    def _checked(self, method: Callable[P, object]) -> Callable[P, object]:
        """Return a test method that fails if the test breaks a rule: as part of the test, so that it fails once."""
        if iscoroutinefunction(method):

            @wraps(method)
            async def run_async(*arguments: P.args, **named: P.kwargs) -> object:
                return await self._awaited(method(*arguments, **named))

            return run_async

        @wraps(method)
        def run(*arguments: P.args, **named: P.kwargs) -> object:
            result = method(*arguments, **named)
            if isawaitable(result):
                return self._awaited(result)
            self._check()
            return result

        return run

    async def _awaited(self, result: Awaitable[object]) -> object:
        found = await result
        self._check()
        return found

    def setUp(self) -> None:
        """Make the virtual host of the test."""
        name = self.id().rpartition(".")[2]
        self.broker = _broker(self.profile)._for_test(_name(name), self.strict, self.allow, self.lint)
        if self.definitions is not None:
            self.broker.declare(self.definitions)
        self.addCleanup(self.broker._end_of_test)
        super().setUp()

    def _check(self) -> None:
        text = self.broker._violations(self.broker._rules)
        if text:
            self.fail(text)


_count = 0


def _name(test: str) -> str:
    global _count
    _count += 1
    return f"{test}-{_count}"


def _broker(profile: str) -> Broker:
    with _lock:
        found = _brokers.get(profile)
        if found is None:
            found = _brokers[profile] = Broker(profile=profile).start()
            atexit.register(found.stop)
        return found
