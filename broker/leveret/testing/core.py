"""What both faces of a broker have in common: where it is, its parts, and calls that do not wait."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar
from urllib.parse import quote

from leveret import config, profiles
from leveret.engine.broker import ALARM_TEXTS
from leveret.server.listeners import ListenError
from leveret.testing import checks, history, inside, report, reset, snapshots, strict
from leveret.testing.browse import (
    ConnectionsByName,
    ConnectionView,
    ExchangeView,
    Named,
    QueueView,
    connections_by_name,
    exchange_view,
    queue_view,
)
from leveret.testing.clock import AsyncClock, Clock
from leveret.testing.durations import Duration, delay_s
from leveret.testing.errors import ClockError, Stopped, Unclean, hides_frames
from leveret.testing.fault_board import NetworkFault
from leveret.testing.faults import Faults
from leveret.testing.faulty_socket import FaultySocket
from leveret.testing.history import History, wanted_of
from leveret.testing.messages import Messages, PublishedMessage, QueueMessage
from leveret.testing.node import EmbeddedNode
from leveret.testing.scope import Scope
from leveret.testing.snapshots import Snapshot
from leveret.testing.strict import Inventory, LintView

if TYPE_CHECKING:
    from collections.abc import Iterator

    from leveret.testing.recording import FrameRecorder, Recording, Redact
    from leveret.testing.replay import Player
    from leveret.testing.values import Header

T = TypeVar("T")

__tracebackhide__ = hides_frames

#: How the clock runs from the start: with real time, stopped, or stopped and jumping to what is due next whenever a
#: test waits for something.
ClockMode = Literal["real", "frozen", "skip"]

Where = Callable[[PublishedMessage], object]


class Options:
    """What a broker was made with; see `Broker`."""

    def __init__(
        self,
        *,
        profile: str,
        host: str,
        port: int,
        unix: str | Path | None,
        definitions: inside.Definitions | str | Path | None,
        settings: Mapping[str, object] | config.Settings | None,
        clock: ClockMode,
        http: bool | int,
        toxiproxy: bool | int,
        strict_rules: bool | Collection[str],
        allow: Iterable[str],
        lint: str | None,
        history: bool,
        data: str | Path | None,
        vhost: str,
        seed: int,
    ) -> None:
        if not isinstance(profile, str):
            raise TypeError(f"profile is a version of RabbitMQ as a str, '4.3', not {profile!r}")
        profiles.profile(profile)
        checks.text(host, "host")
        checks.port(port, "port")
        checks.choice(clock, ClockMode, "clock")
        checks.text(vhost, "vhost")
        if settings is not None and not isinstance(settings, config.Settings):
            checks.settings(settings)
        overrides = {
            **({"store.engine": "disk", "store.data_dir": str(data)} if data is not None else {}),
            "profile.version": profile,
            "access.default_vhost": vhost,
            "server.prometheus_port": -1,
            **(settings if isinstance(settings, Mapping) else {}),
        }
        self.settings = (
            settings
            if isinstance(settings, config.Settings)
            else config.load(None, overrides, {}, "settings")
        )
        self.host = host
        self.port = port
        self.unix = checks.unix_path(unix)
        self.definitions = inside.read_definitions(definitions) if definitions is not None else None
        self.clock = clock
        self.http = http
        self.toxiproxy = toxiproxy
        self.rules = strict.rules_of(strict_rules)
        self.allow = tuple(strict.allowed_of(allow))
        self.lint = lint
        strict.check_lint(lint)
        self.history = history
        self.vhost = vhost
        self.seed = seed


class Shared:
    """What all handles of one broker share: the broker itself, its clock, and what it was made with. `views`: how many
    virtual hosts without a name were made."""

    def __init__(self, options: Options) -> None:
        self.options = options
        where = (options.host, options.port, options.unix)
        self.node = EmbeddedNode(options.settings, *where, options.history, options.seed)
        self.node.clock_mode = options.clock
        self.clock = Clock(self.node)
        self.async_clock = AsyncClock(self.node)
        self.views = 0
        if options.definitions is not None:
            document = options.definitions
            whole = Scope(self.node, None, options.vhost)
            self.node.seeds.append(lambda engine: inside.declare(whole, document))


class BrokerBase:
    """What `Broker` and `AsyncBroker` have in common.

    A handle stands for the whole broker, or for one virtual host of it (`vhost`).
    """

    def __init__(
        self,
        shared: Shared,
        only: str | None = None,
        rules: frozenset[str] | None = None,
        allow: tuple[strict.Allowed, ...] | None = None,
        lint: str | None = None,
    ) -> None:
        self._shared = shared
        self._node = shared.node
        self._scope = Scope(shared.node, only, only if only is not None else shared.options.vhost)
        self._rules = shared.options.rules if rules is None else rules
        self._allow = shared.options.allow if allow is None else allow
        self._lint = lint or shared.options.lint
        self._before = Inventory(frozenset(), frozenset(), frozenset())

    def __repr__(self) -> str:
        """Return a short description."""
        state = self.url if self._node.running else "not running"
        return f"<{type(self).__name__} {state}>"

    # --- where it is

    @property
    def host(self) -> str:
        """The address that it listens on."""
        return self._node.host

    @property
    def port(self) -> int:
        """The port that it listens on. Raises `Stopped` before the start if any port is to be taken."""
        if not self._node.port:
            raise Stopped("the broker has no port before it is started: call start(), or use `with`")
        return self._node.port

    @property
    def url(self) -> str:
        """The URL of the virtual host, with user and password."""
        access = self._shared.options.settings.access
        who = f"{quote(access.default_user, '')}:{quote(access.default_pass, '')}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"amqp://{who}@{host}:{self.port}/{quote(self._scope.default, '')}"

    @property
    def http_url(self) -> str:
        """The URL of the HTTP API, with user and password; it is started when this is first read."""
        access = self._shared.options.settings.access
        who = f"{quote(access.default_user, '')}:{quote(access.default_pass, '')}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{who}@{host}:{self._node.call(self._node.start_http)}"

    @property
    def toxiproxy_url(self) -> str:
        """The URL of toxiproxy's API; it is started when this is first read."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self._node.call(self._node.start_toxiproxy)}"

    # --- parts

    @property
    def history(self) -> History:
        """What has happened."""
        return History(self._scope)

    @property
    def lint(self) -> LintView:
        """What later versions of RabbitMQ refuse, what is deprecated or without effect."""
        return LintView(self._scope)

    @property
    def queues(self) -> Mapping[str, QueueView]:
        """The queues of the virtual host, by name; each access looks anew."""

        def find() -> Mapping[str, Callable[[], QueueView]]:
            there = self._scope.vhost().queues
            return {name: (lambda queue=queue: queue_view(queue)) for name, queue in there.items()}  # type: ignore[misc]

        return Named(self._node, "queue", find)

    @property
    def exchanges(self) -> Mapping[str, ExchangeView]:
        """The exchanges of the virtual host, by name; each access looks anew."""

        def find() -> Mapping[str, Callable[[], ExchangeView]]:
            vhost = self._scope.vhost()
            return {
                name: (lambda exchange=exchange: exchange_view(vhost.name, exchange))  # type: ignore[misc]
                for name, exchange in vhost.exchanges.items()
            }

        return Named(self._node, "exchange", find)

    @property
    def connections(self) -> Mapping[str, ConnectionView]:
        """The connections, by RabbitMQ's names `peer -> host`; `[]` also finds the name that a client has given."""
        return ConnectionsByName(
            self._node,
            "connection",
            lambda: connections_by_name(self._node, list(self._scope.engine.connections), self._scope.only),
        )

    # --- what is done inside

    def declare(self, definitions: inside.Definitions | str | Path) -> None:
        """Declare exchanges, queues, bindings and policies from a definitions document, or its path. Objects that name
        no virtual host belong to this one. Raises `AmqpError` for one that is there and unequal."""
        document = inside.read_definitions(definitions)
        self._node.call(lambda: inside.declare(self._scope, document))

    def publish(
        self,
        exchange: str,
        routing_key: str,
        body: object,
        *,
        mandatory: bool = True,
        **properties: Header,
    ) -> None:
        """Publish a message from inside. `body`: octets, text, or anything else as JSON; `properties`: those of AMQP,
        `headers={...}` among them. Raises `Unroutable` if it is mandatory and reaches no queue."""
        self._node.call(
            lambda: inside.publish(self._scope, exchange, routing_key, body, mandatory, properties)
        )

    def messages(self, queue: str) -> list[QueueMessage]:
        """Return what is in a queue, ready and unacknowledged, oldest first; nothing is consumed."""
        return self._node.call(lambda: inside.messages(self._scope, queue))

    # --- alarms

    def alarm(self, source: Literal["memory", "disk"]) -> AbstractContextManager[None]:
        """Set a resource alarm within the `with` block."""
        checks.one_of(source, ALARM_TEXTS, f"alarm({source!r})")
        return self._alarm(source)

    @contextmanager
    def _alarm(self, source: str) -> Iterator[None]:
        self._node.call(lambda: self._scope.engine.set_alarm(source))
        try:
            yield
        finally:
            self._node.call(lambda: self._scope.engine.clear_alarm(source))

    def block(self, reason: str = "low on memory") -> None:
        """Set the resource alarm with this reason in connection.blocked: `low on memory` or `low on disk`."""
        sources = {text: source for source, text in ALARM_TEXTS.items()}
        checks.one_of(reason, sources, f"block({reason!r})")
        self._node.call(lambda: self._scope.engine.set_alarm(sources[reason]))

    def unblock(self) -> None:
        """Clear all resource alarms."""

        def clear() -> None:
            for source in list(self._scope.engine.alarms):
                self._scope.engine.clear_alarm(source)

        self._node.call(clear)

    # --- history

    def published(
        self,
        exchange: str | None = None,
        routing_key: str | None = None,
        *,
        queue: str | None = None,
        body: object = None,
        headers: Mapping[str, Header] | None = None,
        connection: str | None = None,
        where: Where | None = None,
    ) -> Messages:
        """Return the messages that clients have published. Exchange, key, queue and connection are shell globs;
        `headers`: those that must be there; `body`: octets, text, or anything else as JSON."""
        wanted = wanted_of(exchange, routing_key, queue, body, headers, connection, where)
        return self._node.call(lambda: history.published(self._scope, wanted))

    def unroutable(self) -> Messages:
        """Return the messages of clients that reached no queue."""

        def fits(message: PublishedMessage) -> bool:
            return not message.queues and message.outcome() in ("unroutable", "returned")

        return self._node.call(lambda: history.where_outcome(self._scope, "unroutable messages", fits))

    def returned(self) -> Messages:
        """Return the mandatory messages that were returned to their publishers, delayed ones among them."""

        def fits(message: PublishedMessage) -> bool:
            return message.was_returned

        return self._node.call(lambda: history.where_outcome(self._scope, "returned messages", fits))

    def dead_lettered(self, queue: str | None = None, reason: str | None = None) -> Messages:
        """Return the messages that a queue (a shell glob) has dead-lettered, for a reason: expired, rejected, maxlen,
        delivery_limit. Copies of messages are among them. Raises `ToolkitError` for another reason."""
        if reason is not None:
            checks.one_of(reason, history.DEAD_LETTER_REASONS, f"dead_lettered(reason={reason!r})")
        return self._node.call(lambda: history.dead_lettered(self._scope, queue, reason))

    def delivered(self, queue: str) -> Messages:
        """Return the messages that a queue (a shell glob) has delivered."""
        return self._node.call(lambda: history.delivered(self._scope, queue))

    def unacked(self, queue: str | None = None) -> Messages:
        """Return the messages that clients have and have not settled."""
        return self._node.call(lambda: history.unacked(self._scope, queue))

    # --- assertions

    def assert_published(
        self,
        exchange: str | None = None,
        routing_key: str | None = None,
        *,
        queue: str | None = None,
        body: object = None,
        headers: Mapping[str, Header] | None = None,
        connection: str | None = None,
        where: Where | None = None,
        count: int | None = None,
    ) -> Messages:
        """Return the messages of `published`. Raises `AssertionError` unless there are `count` (None: any)."""
        wanted = wanted_of(exchange, routing_key, queue, body, headers, connection, where)

        def check() -> Messages:
            found = history.published(self._scope, wanted)
            history.check_published(found, wanted, count, lambda: history.nearest_text(self._scope, wanted))
            return found

        return self._node.call(check)

    def assert_not_published(
        self,
        exchange: str | None = None,
        routing_key: str | None = None,
        *,
        queue: str | None = None,
        body: object = None,
        headers: Mapping[str, Header] | None = None,
        connection: str | None = None,
        where: Where | None = None,
    ) -> None:
        """Raise `AssertionError` if `published` finds any."""
        wanted = wanted_of(exchange, routing_key, queue, body, headers, connection, where)
        self._node.call(lambda: history.check_not_published(history.published(self._scope, wanted), wanted))

    def assert_acked(
        self,
        exchange: str | None = None,
        routing_key: str | None = None,
        *,
        queue: str | None = None,
        body: object = None,
        headers: Mapping[str, Header] | None = None,
        connection: str | None = None,
        where: Where | None = None,
    ) -> Messages:
        """Return the messages of `published`. Raises `AssertionError` unless there are some, all acknowledged."""
        wanted = wanted_of(exchange, routing_key, queue, body, headers, connection, where)

        def check() -> Messages:
            found = history.published(self._scope, wanted)
            history.check_acked(found, wanted, lambda: history.nearest_text(self._scope, wanted))
            return found

        return self._node.call(check)

    def assert_queue(
        self,
        name: str,
        ready: int | None = None,
        unacked: int | None = None,
        consumers: int | None = None,
    ) -> None:
        """Raise `AssertionError` unless a queue has so many messages and consumers."""
        wanted = {"ready": ready, "unacked": unacked, "consumers": consumers}
        self._node.call(
            lambda: history.check_queue(
                self._scope, name, wanted, lambda: inside.no_such_queue(self._scope, name)
            )
        )

    def assert_clean(self) -> None:
        """Raise `Unclean` if a rule of strict mode is broken, or lint has found what it is to fail for. Without
        `strict`, all rules but `leaks` are checked."""
        found = self._violations(self._rules or strict.DEFAULT_RULES)
        if found:
            raise Unclean(found)

    def _violations(self, rules: frozenset[str]) -> str:
        """Return one paragraph for each broken rule, empty if there is none."""
        broken, lint = self._node.call(
            lambda: (
                strict.violations(self._scope, rules, self._allow, self._before),
                strict.findings(self._scope) if self._lint else [],
            )
        )
        if "unhit" in rules:
            broken += self._unhit()
        texts = [strict.unclean_text(broken)] if broken else []
        texts += [str(one) for one in strict.lint_failures(lint, self._lint)]
        return "\n\n".join(texts)

    def _unhit(self) -> list[strict.Violation]:
        """Return the faults that were armed for something and have never hit."""
        faults = Faults(self._node, self._scope.only).list()
        return [
            strict.Violation(
                "unhit", (each.described,), f"{each.described} was armed and never hit: {each._why()}"
            )
            for each in faults
            if not isinstance(each._armed, NetworkFault) and not each.hits
        ]

    # --- life

    def reset(self, *, keep: Collection[str] = ()) -> None:
        """Empty the broker, or the virtual host of a view, but for `keep` of users, vhosts, topology, policies, history
        and clock. Clients are closed with 320."""
        names = reset.checked(keep)

        def empty() -> None:
            reset.reset(self._scope, names)
            if self._scope.only is None and "clock" not in names:
                self._end_clock()

        self._node.call(empty)

    def _start(self) -> None:
        try:
            self._node.start()
        except ListenError as error:
            error.add_note("In a test, port=0 takes any free port; it is the default.")
            raise
        http = self._shared.options.http
        if http is not False and self._scope.only is None and self._node.http is None:
            self._node.http_port = 0 if http is True else http
            self._node.call(self._node.start_http)
        toxiproxy = self._shared.options.toxiproxy
        if toxiproxy is not False and self._scope.only is None and self._node.toxiproxy is None:
            self._node.toxiproxy_port = 0 if toxiproxy is True else toxiproxy
            self._node.call(self._node.start_toxiproxy)
        self._before = self._inventory()

    def _inventory(self) -> Inventory:
        return self._node.call(lambda: strict.inventory(self._scope))

    def _view(self, name: str | None) -> str:
        """Make a virtual host, if need be, and return its name."""
        if name is None:
            self._shared.views += 1
            name = f"test-{self._shared.views}"
        made = name
        self._node.call(lambda: inside.add_vhost(self._scope.engine, made))
        return made

    def _leave(self, failed: bool) -> None:
        """Leave the `with` block: check the rules unless the test has failed, then stop, or delete the virtual host."""
        try:
            if not failed and self._rules | ({self._lint} if self._lint else set()):
                text = self._violations(self._rules)
                if text:
                    raise Unclean(text)
        finally:
            if self._scope.only is None:
                self._node.stop()
            elif self._node.running:
                only = self._scope.only
                self._node.call(lambda: inside.delete_vhost(self._scope.engine, only))
                self._node.call(lambda: self._forget(only))

    def snapshot(self) -> Snapshot:
        """Return all state but connections, of the broker or the virtual host of a view: users, policies, topology,
        messages. What a client has and has not settled counts as returned."""
        return self._node.call(lambda: snapshots.take(self._scope))

    def restore(self, snapshot: Snapshot) -> None:
        """Replace the state by that of a snapshot. Clients are closed with 320. Raises `ToolkitError` if it is one of a
        virtual host and this is a whole broker, or the other way round, `TypeError` if it is none."""
        if not isinstance(snapshot, Snapshot):
            hint = f": Snapshot.load({snapshot!r}) reads a file" if isinstance(snapshot, str | Path) else ""
            raise TypeError(f"restore() takes a Snapshot, as snapshot() returns it, not {snapshot!r}{hint}")
        self._node.call(lambda: snapshots.restore(self._scope, snapshot))

    # --- recordings

    @contextmanager
    def record(self, path: str | Path, *, redact: Redact | None = None) -> Iterator[None]:
        """Within the `with` block, write the frames of all connections that are opened in it to a file of JSON lines.
        Credentials are left out; `redact` returns the body that is written instead of one."""
        from leveret.testing.recording import FrameRecorder

        with Path(path).open("w", encoding="utf-8") as file:
            recorder = FrameRecorder(file, self._scope.engine.clock, redact)
            self._node.call(lambda: self._set_recording(recorder))
            try:
                yield
            finally:
                self._node.call(lambda: self._set_recording(None))

    def _set_recording(self, recorder: FrameRecorder | None) -> None:
        self._node.recording = recorder
        if recorder is None:
            for each in self._node.edge.sockets.values():
                if isinstance(each, FaultySocket):
                    each.tap = None

    def _player(
        self,
        path: str | Path | Recording,
        speed: float | Literal["virtual"],
        compare: bool,
        timeout: Duration,
    ) -> Player:
        """Return what plays a recording. Raises `ToolkitError`, `OSError`, `TypeError`, `ValueError`."""
        from leveret.testing.recording import Recording
        from leveret.testing.replay import Player

        recording = path if isinstance(path, Recording) else Recording.load(path)
        access = self._shared.options.settings.access
        return Player(
            recording,
            (self.host, self.port),
            (access.default_user, access.default_pass),
            self._scope.default,
            self._mover(speed),
            compare=compare,
            timeout=delay_s(timeout, "timeout"),
        )

    def _mover(self, speed: float | Literal["virtual"]) -> Callable[[float], None]:
        """Return what brings time forward in a replay: the broker's clock, or sleep."""
        began = time.monotonic()
        if speed != "virtual":
            if isinstance(speed, bool) or not isinstance(speed, int | float):
                raise TypeError(f'speed is "virtual" or a number, how many times as fast, not {speed!r}')
            if not speed > 0:
                raise ValueError(f"speed must be more than 0, not {speed!r}")
            return lambda at: time.sleep(max(0.0, began + at / speed - time.monotonic()))
        node = self._node

        def start() -> int:
            node.message_clock.freeze()
            return node.message_clock.now

        first = node.call(start)

        def move(at: float) -> None:
            target = first + round(at * 1000)
            if target > node.message_clock.read():
                node.call(lambda: node.travel.jump(target))

        return move

    # --- tests of pytest and unittest

    def _end_of_test(self) -> None:
        """Leave nothing of a test behind: faults, a moved clock, its virtual host, its history."""
        if not self._node.running:
            return
        self._node.call(self._clean_up)

    def _clean_up(self) -> None:
        Faults(self._node, None).clear()
        only = self._scope.only
        if only is None:
            self.reset()
            return
        inside.delete_vhost(self._scope.engine, only)
        self._end_clock()
        self._forget(only)

    def _begin_clock(self, mode: str) -> None:
        """Have the clock run as a test wants it: real, frozen or skip. Raises `ToolkitError`."""
        checks.choice(mode, ClockMode, "clock")
        if mode != "real":
            self._shared.clock.freeze()
        if mode == "skip":
            self._node.call(self._node.skip_in_waits)

    def _end_clock(self) -> None:
        """Have the clock show real time again, unless other messages are left, or it was made another way; only in the
        broker's thread."""
        clock = self._shared.clock
        if self._shared.options.clock != "skip":
            self._node.travel.end_skipping()
        clock.hold_eta = False
        clock.heartbeats = "real"
        if self._shared.options.clock == "real" and (clock.frozen or self._node.message_clock.moved):
            with suppress(ClockError):
                clock.back_to_real()

    def _state(self) -> str:
        """Return who is connected, what is not settled, and the last events."""
        if not self._node.running:
            return "the broker is not running"
        return self._node.call(lambda: report.state_text(self._scope))

    def _forget(self, vhost: str) -> None:
        if self._node.recorder is not None:
            self._node.recorder.clear(vhost)
