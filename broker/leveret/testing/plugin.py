"""The pytest plugin: a broker for the session, a virtual host for each test, strict mode as part of the test.

`rabbitmq` is the fixture to use, or `leveret`, which is the same; docs/testing.md describes all fixtures, options and
the marker. Nothing of the broker is imported before a test asks for it.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from leveret.testing.errors import hides_frames

if TYPE_CHECKING:
    from leveret.testing.broker import AsyncBroker, Broker
    from leveret.testing.core import BrokerBase

__tracebackhide__ = hides_frames

#: Arguments of the marker and their defaults.
_MARKER = {
    "strict": None,
    "allow": (),
    "profile": None,
    "definitions": None,
    "clock": None,
    "lint": None,
    "http": None,
    "vhost": True,
}

_DESCRIPTION = (
    "rabbitmq(strict=None, allow=(), profile=None, definitions=None, clock=None, lint=None, http=None, vhost=True):"
    " how the broker of this test is made and what it checks; see docs/testing.md"
)

#: Characters that a virtual host named after a test keeps.
_UNNAMED = re.compile(r"[^\w.-]+")

_brokers: pytest.StashKey[Brokers] = pytest.StashKey()
_views: pytest.StashKey[list[BrokerBase]] = pytest.StashKey()


# --- options


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add options and ini values."""
    group = parser.getgroup("leveret", "RabbitMQ, by Leveret")
    group.addoption("--rabbitmq-url", metavar="URL", help="use this real RabbitMQ, amqp://...")
    group.addoption(
        "--rabbitmq-http-url", metavar="URL", help="its HTTP API (default: port 15672 of the same host)"
    )
    group.addoption("--leveret-profile", metavar="VERSION", help="RabbitMQ version to behave like")
    group.addoption(
        "--leveret-strict",
        metavar="RULES",
        nargs="?",
        const="true",
        help="fail tests that leave something behind: `true`, or rules separated by commas",
    )
    group.addoption(
        "--leveret-lint", metavar="VERSION", help="fail tests that this version, next or all would break"
    )
    parser.addini("leveret_profile", "RabbitMQ version to behave like", default="4.3")
    parser.addini("leveret_strict", "true, or rules separated by commas", default="")
    parser.addini("leveret_allow", "what strict allows, a line each: `rule:glob`", type="linelist")
    parser.addini("leveret_definitions", "path of a definitions document for each test", default="")
    parser.addini("leveret_clock", "real, frozen or skip", default="real")
    parser.addini("leveret_lint", "a later version, next or all", default="")


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """Show in what two snapshots differ."""
    snapshots = sys.modules.get("leveret.testing.snapshots")  # not imported for this
    if op != "==" or snapshots is None:
        return None
    if not (isinstance(left, snapshots.Snapshot) and isinstance(right, snapshots.Snapshot)):
        return None
    differences: list[str] = left._differences(right)
    return [f"{left} == {right}", "", *differences]


def pytest_configure(config: pytest.Config) -> None:
    """Describe the marker."""
    config.addinivalue_line("markers", _DESCRIPTION)


class Wishes:
    """What a test wants: its marker, then the command line, then the ini file."""

    def __init__(self, config: pytest.Config, node: pytest.Item | None) -> None:
        marker = node.get_closest_marker("rabbitmq") if node is not None else None
        given: dict[str, Any] = dict(marker.kwargs) if marker is not None else {}
        if marker is not None and marker.args:
            raise pytest.UsageError(f"the marker takes arguments by name: {_DESCRIPTION}")
        for name in given.keys() - _MARKER.keys():
            raise pytest.UsageError(f"the marker has no argument {name!r}: {_DESCRIPTION}")
        self.profile: str = _first(given.get("profile"), config.getoption("--leveret-profile")) or str(
            config.getini("leveret_profile")
        )
        self.strict = _rules(
            _first(given.get("strict"), config.getoption("--leveret-strict"), config.getini("leveret_strict"))
        )
        self.allow = [*config.getini("leveret_allow"), *given.get("allow", ())]
        self.lint = _first(
            given.get("lint"), config.getoption("--leveret-lint"), config.getini("leveret_lint") or None
        )
        self.definitions = _first(given.get("definitions"), config.getini("leveret_definitions") or None)
        self.clock: str = _first(given.get("clock"), config.getini("leveret_clock"))
        self.http: bool = bool(given.get("http"))
        self.vhost: bool = bool(given.get("vhost", True))


# Options of pytest and arguments of markers have no types: `Broker` checks them.
def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _rules(given: Any) -> Any:
    """Return `strict` from what an option or the ini file says."""
    if not isinstance(given, str):
        return given
    if given.strip().lower() in ("", "false", "no", "0"):
        return False
    if given.strip().lower() in ("true", "yes", "1"):
        return True
    return {rule.strip() for rule in given.split(",")}


# --- brokers of the session


class Brokers:
    """The brokers of a session, one for each profile, or the real RabbitMQ. `worker`: the name of the xdist worker."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.worker: str = getattr(config, "workerinput", {}).get("workerid", "")
        self.real: str | None = config.getoption("--rabbitmq-url")
        self.by_profile: dict[str, Broker] = {}
        self.count = 0

    def broker(self, profile: str) -> Broker:
        """Return the broker of a profile, started when it is first asked for."""
        found = self.by_profile.get(profile if self.real is None else "")
        if found is None and self.real is not None:
            from leveret.testing.rabbitmq import RabbitMQ

            http = self.config.getoption("--rabbitmq-http-url")
            server: Any = RabbitMQ(self.real, http)  # with the calls of a `Broker` that it can serve
            found = self.by_profile[""] = server
        elif found is None:
            from leveret.testing import Broker

            found = self.by_profile[profile] = Broker(profile=profile).start()
        assert found is not None
        return found

    def vhost_name(self, test: str) -> str:
        """Return a new name for the virtual host of a test."""
        self.count += 1
        name = _UNNAMED.sub("-", test).strip("-")[:80]
        return "-".join(part for part in (self.worker, name, str(self.count)) if part)

    def stop(self) -> None:
        """Stop all brokers."""
        for broker in self.by_profile.values():
            broker.stop()
        self.by_profile.clear()


def _all_brokers(config: pytest.Config) -> Brokers:
    found = config.stash.get(_brokers, None)
    if found is None:
        found = config.stash[_brokers] = Brokers(config)
    return found


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the brokers of the session."""
    found = config.stash.get(_brokers, None)
    if found is not None:
        found.stop()


# --- fixtures


@pytest.fixture(scope="session")
def leveret_proc(pytestconfig: pytest.Config) -> Broker:
    """The broker of this session (and of this worker, with xdist), started when it is first asked for."""
    return _all_brokers(pytestconfig).broker(Wishes(pytestconfig, None).profile)


@pytest.fixture
def leveret(request: pytest.FixtureRequest, pytestconfig: pytest.Config) -> Iterator[Broker]:
    """The broker of this test: a view with a virtual host of its own, checked and deleted afterwards."""
    wishes = Wishes(pytestconfig, request.node)
    brokers = _all_brokers(pytestconfig)
    broker = brokers.broker(wishes.profile)
    name = brokers.vhost_name(request.node.name)
    if brokers.real is not None:
        view = broker.vhost(name)
    else:
        view = broker._for_test(name if wishes.vhost else None, wishes.strict, wishes.allow, wishes.lint)
    if wishes.http:
        assert view.http_url
    if wishes.definitions is not None:
        view.declare(wishes.definitions)
    if brokers.real is None:
        view._begin_clock(wishes.clock)
    elif wishes.clock != "real":
        pytest.skip("a test that moves the clock needs Leveret")
    request.node.stash.setdefault(_views, []).append(view)
    yield view
    request.node.stash[_views].remove(view)
    view._end_of_test()


@pytest.fixture
def leveret_aio(leveret: Broker) -> AsyncBroker:
    """The broker of this test; methods that wait are coroutines."""
    return leveret.aio


@pytest.fixture
def leveret_url(leveret: Broker) -> str:
    """The AMQP URL of the broker of this test."""
    return leveret.url


@pytest.fixture
def leveret_http_url(leveret: Broker) -> str:
    """The URL of its HTTP API."""
    return leveret.http_url


# pytest-rabbitmq defines fixtures of these names; a session with both uses ours by the names above.
if importlib.util.find_spec("pytest_rabbitmq") is None:

    @pytest.fixture(scope="session")
    def rabbitmq_proc(leveret_proc: Broker) -> Broker:
        """The broker of this session (and of this worker, with xdist), started when it is first asked for."""
        return leveret_proc

    @pytest.fixture
    def rabbitmq(leveret: Broker) -> Broker:
        """The broker of this test: a view with a virtual host of its own, checked and deleted afterwards."""
        return leveret

    @pytest.fixture
    def rabbitmq_aio(leveret_aio: AsyncBroker) -> AsyncBroker:
        """The broker of this test; methods that wait are coroutines."""
        return leveret_aio

    @pytest.fixture
    def rabbitmq_url(leveret_url: str) -> str:
        """The AMQP URL of the broker of this test."""
        return leveret_url

    @pytest.fixture
    def rabbitmq_http_url(leveret_http_url: str) -> str:
        """The URL of its HTTP API."""
        return leveret_http_url


# --- strict mode: part of the test


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a test that breaks a rule; describe the broker in the report of one that has failed already."""
    try:
        result = yield
    except pytest.skip.Exception:
        raise
    except BaseException as error:
        if type(error).__name__ == "Unsupported" and item.config.getoption("--rabbitmq-url"):
            pytest.skip(str(error))
        _each(item, lambda view: item.add_report_section("call", "leveret", view._state()))
        raise
    texts: list[str] = []
    _each(item, lambda view: texts.append(view._violations(view._rules)))
    text = "\n\n".join(filter(None, texts))
    if text:
        _each(item, lambda view: item.add_report_section("call", "leveret", view._state()))
        pytest.fail(text, pytrace=False)
    return result


def _each(item: pytest.Item, call: Callable[[BrokerBase], None]) -> None:
    for view in item.stash.get(_views, []):
        call(view)
