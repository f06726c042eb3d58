"""Faults that a test scripts: of the network, at methods of clients, at confirms and at deliveries.

    broker.faults.on("basic.publish", nth=3, queue="jobs").reset()

docs/testing/faults.md has the details.
"""

from __future__ import annotations

import asyncio
import random
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Generic, NoReturn, TypeVar, Unpack, cast

from leveret.testing import checks
from leveret.testing.durations import Duration, delay_s
from leveret.testing.errors import WaitTimeout, hides_frames
from leveret.testing.fault_board import (
    AnyFault,
    Armed,
    ChaosFault,
    ConfirmFault,
    ConfirmVerb,
    DeliveryFault,
    DeliveryVerb,
    MethodFault,
    MethodVerb,
    NetworkFault,
)
from leveret.testing.fault_rules import GLOBS, ChaosArguments, Occasion, Rule, RuleArguments, When
from leveret.testing.near_miss import closest
from leveret.testing.node import Wait, refuse_in_loop, result_of
from leveret.testing.toxics import (
    Bandwidth,
    Blackhole,
    Latency,
    LimitData,
    ResetPeer,
    Slicer,
    SlowClose,
    Stream,
    Toxic,
)
from leveret.wire.methods import METHOD_NAMES

if TYPE_CHECKING:
    from leveret.testing.node import EmbeddedNode

__all__ = ["AsyncFault", "AsyncFaults", "Fault", "Faults", "Occasion"]

__tracebackhide__ = hides_frames

#: Methods that only the broker sends.
_OF_BROKER = frozenset(
    {"basic.return", "basic.deliver", "basic.get-empty", "connection.start", "connection.secure"}
    | {"connection.tune", "connection.blocked", "connection.unblocked", "basic.credit-drained"}
)

#: Methods that a fault may be at.
METHODS = sorted(
    name
    for name in METHOD_NAMES.values()
    if name not in _OF_BROKER
    and (
        not name.endswith("-ok")
        or name in ("connection.start-ok", "connection.tune-ok", "connection.secure-ok")
        or name in ("connection.close-ok", "channel.close-ok", "basic.cancel-ok", "channel.flow-ok")
    )
)

#: What a rule of a fault may say.
_RULE = frozenset({*GLOBS, "where", "nth", "times", "chance"})

#: What chaos may do.
KINDS = ("reset", "drop", "latency", "nack")

_STREAMS = ("up", "down", "both")


class BaseFault:
    """A fault that was armed. As a context manager it is removed at the end."""

    def __init__(self, node: EmbeddedNode, armed: Armed, remove: Callable[[], None] | None = None) -> None:
        self._node = node
        self._armed = armed
        self._removed = False
        self._more = remove

    def __repr__(self) -> str:
        """Return what it does, and how often it has."""
        return f"<Fault {self._armed.described}: hit {self.hits} times>"

    @property
    def described(self) -> str:
        """What it does, as it was called."""
        return self._armed.described

    @property
    def hits(self) -> int:
        """How often it has happened."""
        return self._node.call(lambda: self._armed.rule.hits)

    @property
    def armed(self) -> bool:
        """Whether it can still happen."""
        return not self._removed and not self._node.call(lambda: self._armed.rule.spent)

    def remove(self) -> None:
        """Remove it; what it holds back goes on."""
        if not self._removed:
            self._removed = True
            self._node.call(self._remove)

    def _remove(self) -> None:
        if self._more is not None:
            self._more()
        self._node.disarm(self)

    def release(self, n: int | None = None) -> int:
        """Send the oldest `n` confirms that it holds, or all. Returns how many."""
        armed = self._armed
        if not isinstance(armed, ConfirmFault) or armed.verb != "hold":
            raise TypeError(f"{self.described} holds nothing: release() is for confirms(...).hold()")
        return self._node.call(lambda: self._node.fault_board.release(armed, n))

    def assert_hit(self, times: int | None = None) -> None:
        """Raise `AssertionError` unless it has happened, so many times if `times` is given."""
        hits = self.hits
        if hits == times or (times is None and hits):
            return
        raise AssertionError(
            f"{self.described} was hit {hits} times, and not {'at all' if times is None else times}"
            if times is not None
            else f"{self.described} was never hit; {self._why()}"
        )

    def _why(self) -> str:
        rule, name = self._armed.rule, self._armed.concerned
        if rule.seen and rule.seen < rule.nth:
            return f"{rule.seen} matched, and it is for the one with number {rule.nth}"
        if rule.seen:
            return f"{rule.seen} matched, and chance={rule.chance:g} was against it"
        if rule.other is None:
            only = ", and only channels in confirm mode have any" if name == "confirm" else ""
            return f"no {name} came since it was armed{only}"
        wanted = f"{rule.described() or 'where'}{rule.hint()}"
        return f"nothing matched {wanted}; the last {name} was {rule.other}"

    def _hit(self, timeout: Duration) -> Wait[bool]:
        timeout_s = delay_s(timeout, "timeout")

        def late() -> Exception:
            return WaitTimeout(f"{self.described} was not hit within {timeout_s:g} s; {self._why()}")

        return Wait(lambda: True if self._armed.rule.hits else None, late, timeout_s)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove it."""
        self.remove()


class Fault(BaseFault):
    """A fault that was armed; `wait` blocks."""

    def wait(self, timeout: Duration = 5) -> None:
        """Wait until it has happened."""
        refuse_in_loop("wait", "await fault.wait()` of a fault of `broker.aio.faults")
        result_of(self._node.wait(self._hit(timeout)))

    def __enter__(self) -> Fault:
        """Return itself."""
        return self


class AsyncFault(BaseFault):
    """A fault that was armed; `wait` is a coroutine."""

    async def wait(self, timeout: Duration = 5) -> None:
        """Wait until it has happened."""
        await asyncio.wrap_future(self._node.wait(self._hit(timeout)))

    def __enter__(self) -> AsyncFault:
        """Return itself."""
        return self


F = TypeVar("F", bound=BaseFault)


class BaseFaults(Generic[F]):
    """The faults of one broker, or those of one virtual host if `vhost` is given."""

    def __init__(self, node: EmbeddedNode, vhost: str | None, make: Callable[..., F]) -> None:
        self._node = node
        self._vhost = vhost
        self._make = make

    # --- the network

    def drop(self, *, connection: str | None = None, user: str | None = None) -> F:
        """End the connections that there are, with a FIN."""
        return self._end("drop", connection, user, reset=False)

    def reset(self, *, connection: str | None = None, user: str | None = None) -> F:
        """End the connections that there are, with a RST."""
        return self._end("reset", connection, user, reset=True)

    def _end(self, verb: str, connection: str | None, user: str | None, *, reset: bool) -> F:
        rule = self._rule(connection=connection, user=user, times=None)
        armed = Armed(rule, _called(verb, rule), self._node.wake)
        board = self._node
        self._node.call(lambda: board.fault_board.end_all(rule, _nothing, reset=reset))
        return self._make(self._node, armed)

    def refuse(self) -> F:
        """Refuse new connections; the port stays the broker's."""
        armed = NetworkFault(Rule(times=None), "refuse()", self._node.wake)

        def listen() -> None:
            for acceptor in self._node.acceptors:
                acceptor.listen()

        def refuse() -> None:
            for acceptor in self._node.acceptors:
                acceptor.refuse()

        self._node.call(refuse)
        return self._armed(armed, listen)

    def blackhole(
        self, stream: Stream = "both", *, connection: str | None = None, user: str | None = None
    ) -> F:
        """Pass nothing; sockets stay open. Connections that have lost octets are reset when it is removed."""
        return self._toxic("blackhole", Blackhole(_stream(stream)), connection, user)

    def latency(
        self,
        s: Duration,
        jitter: Duration = 0,
        stream: Stream = "down",
        *,
        connection: str | None = None,
        user: str | None = None,
        chance: float = 1.0,
    ) -> F:
        """Delay everything by `s` real seconds, more or less by up to `jitter`."""
        toxic = Latency(_stream(stream), latency_s=delay_s(s), jitter_s=delay_s(jitter))
        return self._toxic("latency", toxic, connection, user, chance)

    def bandwidth(
        self,
        octets_per_s: float,
        stream: Stream = "down",
        *,
        connection: str | None = None,
        user: str | None = None,
        chance: float = 1.0,
    ) -> F:
        """Pass so many octets in a real second."""
        if octets_per_s <= 0:
            raise ValueError(f"octets_per_s must be more than 0, not {octets_per_s!r}: use blackhole()")
        toxic = Bandwidth(_stream(stream), octets_per_s=octets_per_s)
        return self._toxic("bandwidth", toxic, connection, user, chance)

    def slicer(
        self,
        size: int,
        pause: Duration = 0,
        variation: int = 0,
        stream: Stream = "down",
        *,
        connection: str | None = None,
        user: str | None = None,
        chance: float = 1.0,
    ) -> F:
        """Cut into pieces of `size` octets, more or less by up to `variation`, with a pause after each."""
        if size < 1:
            raise ValueError(f"size must be at least 1, not {size!r}")
        toxic = Slicer(_stream(stream), size=size, variation=variation, pause_s=delay_s(pause))
        return self._toxic("slicer", toxic, connection, user, chance)

    def limit_data(
        self,
        octets: int,
        stream: Stream = "down",
        *,
        connection: str | None = None,
        user: str | None = None,
        chance: float = 1.0,
    ) -> F:
        """End each connection once so many octets have passed."""
        return self._toxic("limit_data", LimitData(_stream(stream), octets=octets), connection, user, chance)

    def slow_close(
        self,
        s: Duration,
        *,
        connection: str | None = None,
        user: str | None = None,
        chance: float = 1.0,
    ) -> F:
        """Put off the end of each connection by so many real seconds."""
        return self._toxic("slow_close", SlowClose(delay_s=delay_s(s)), connection, user, chance)

    def reset_peer(
        self, s: Duration = 0, *, connection: str | None = None, user: str | None = None, chance: float = 1.0
    ) -> F:
        """Pass nothing, and reset each connection, also new ones, after so many real seconds."""
        return self._toxic("reset_peer", ResetPeer("both", timeout_s=delay_s(s)), connection, user, chance)

    def _toxic(
        self, verb: str, toxic: Toxic, connection: str | None, user: str | None, chance: float = 1.0
    ) -> F:
        rule = self._rule(connection=connection, user=user, times=None, chance=chance)
        toxic.random = self._random()
        return self._armed(NetworkFault(rule, _called(verb, rule), self._node.wake, toxic))

    # --- methods, confirms, deliveries

    def on(
        self,
        method: str,
        *,
        nth: int = 1,
        times: int | None = 1,
        chance: float = 1.0,
        connection: str | None = None,
        user: str | None = None,
        vhost: str | None = None,
        queue: str | None = None,
        exchange: str | None = None,
        routing_key: str | None = None,
        where: Callable[[Occasion], object] | None = None,
    ) -> MethodStep[F]:
        """Return a step that waits to be given what happens at a method of clients. Raises `ValueError`."""
        _check_method(method)
        rule = self._rule(
            connection=connection,
            user=user,
            vhost=vhost,
            queue=queue,
            exchange=exchange,
            routing_key=routing_key,
            where=where,
            nth=nth,
            times=times,
            chance=chance,
        )
        return MethodStep(self, method, rule)

    def confirms(self, **rule: Unpack[RuleArguments]) -> ConfirmStep[F]:
        """Return a step that waits to be given what happens to confirms of publishes. It takes what `on` takes."""
        given = self._rule(**rule)
        return ConfirmStep(self, given, f"confirms({_more(given).removeprefix(', ')})")

    def deliveries(self, **rule: Unpack[RuleArguments]) -> DeliveryStep[F]:
        """Return a step that waits to be given what happens to deliveries. It takes what `on` takes."""
        given = self._rule(**rule)
        return DeliveryStep(self, given, f"deliveries({_more(given).removeprefix(', ')})")

    # --- many

    def chaos(
        self,
        seed: int,
        rate: float,
        kinds: Sequence[str] = ("reset", "latency", "nack"),
        **rule: Unpack[ChaosArguments],
    ) -> F:
        """Do any of `kinds` at any method of clients, with probability `rate`; the same for the same seed."""
        unknown = [kind for kind in kinds if kind not in KINDS]
        if unknown or not kinds:
            raise ValueError(
                f"kinds of chaos are {', '.join(KINDS)}, not {', '.join(map(repr, unknown)) or 'none'}"
            )
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate <= 1:
            raise ValueError(f"rate is a probability, between 0 and 1, and is {rate!r}")
        given = self._rule(times=None, chance=rate, **rule)
        given.random = random.Random(seed)
        described = f"chaos(seed={seed}, rate={rate:g}, kinds={tuple(kinds)!r})"
        return self._armed(ChaosFault(given, described, self._node.wake, tuple(kinds)))

    def plan(self, faults: Iterable[Mapping[str, object]]) -> list[F]:
        """Arm many faults, in the form of the HTTP API: `{"on": "basic.publish", "nth": 3, "do": "reset"}`. Raises
        `ValueError`; then none is armed."""
        from leveret.testing.fault_specs import arm

        armed: list[F] = []
        try:
            for fault in faults:
                armed.append(cast(F, arm(self, fault)))
        except Exception:
            for one in armed:
                one.remove()
            raise
        return armed

    def clear(self) -> None:
        """Remove all faults; what they hold back goes on."""
        for fault in self.list():
            fault.remove()

    def list(self) -> list[F]:
        """Return the faults that were armed and not removed."""
        return self._node.call(lambda: [each for each in self._node.faults if self._mine(each)])  # type: ignore[misc]

    def _mine(self, fault: object) -> bool:
        rule = fault._armed.rule if isinstance(fault, BaseFault) else None
        return rule is not None and (self._vhost is None or rule.vhost == self._vhost)

    # --- arming

    def _rule(self, **given: Unpack[RuleArguments]) -> Rule:
        for name in given.keys() - _RULE:
            near = closest(name, sorted(_RULE))
            hint = f" ({near!r}?)" if near else ""
            raise TypeError(f"a fault has no argument {name!r}{hint}: it is for {', '.join(sorted(_RULE))}")
        of_view = given.get("vhost") is None and self._vhost is not None
        if of_view:
            given["vhost"] = self._vhost
        return Rule(**given, random=self._random(), of_view=of_view)

    def _random(self) -> random.Random:
        return random.Random(self._node.fault_board.random.random())

    def _armed(self, armed: AnyFault, remove: Callable[[], None] | None = None) -> F:
        fault = self._make(self._node, armed, remove)
        self._node.call(lambda: self._node.arm(fault, armed))
        return fault


class Step(Generic[F]):
    """A fault that does nothing until it is given what to do. One that is let go of before warns."""

    #: What it can be given to do.
    VERBS = ""

    def __init__(self, faults: BaseFaults[F], rule: Rule, described: str) -> None:
        self._faults = faults
        self._rule = rule
        self._described = described
        self._wake = faults._node.wake
        self._used = False

    def _described_with(self, verb: str) -> str:
        """Return what it does, in words, once it was given what."""
        self._used = True
        return f"{self._described}.{verb}()"

    def __getattr__(self, name: str) -> NoReturn:
        """Raise `AttributeError` for what only an armed fault has."""
        described = self.__dict__.get("_described", "a fault")
        self.__dict__["_used"] = True  # it does not warn besides
        raise AttributeError(f"{described} does nothing yet, and has no {name!r}: add {self.VERBS}")

    def __enter__(self) -> NoReturn:
        """Raise `TypeError`: only an armed fault is a context manager."""
        self._used = True
        raise TypeError(
            f"{self._described} does nothing yet, and cannot be used with `with`: add {self.VERBS}"
        )

    def __exit__(self, *_: object) -> None:
        """Do nothing: it was never entered."""

    def __del__(self) -> None:
        """Warn if it was never given what to do: the test would pass without its fault."""
        if not self.__dict__.get("_used", True):
            warnings.warn(f"{self._described} does nothing: add {self.VERBS}", RuntimeWarning, stacklevel=2)


class MethodStep(Step[F]):
    """A fault at a method of clients. `when`: "before", it has no effect, and nothing behind it has if the connection
    ends; or "after": it has its effect, and its answer is not sent."""

    VERBS = ".reset(), .drop(), .blackhole(), .ignore(), .delay(s), .call(f), .close_channel() or .close_connection()"

    def __init__(self, faults: BaseFaults[F], method: str, rule: Rule) -> None:
        super().__init__(faults, rule, f"on({method!r}{_more(rule)})")
        self._method = method

    def drop(self, *, when: When = "before") -> F:
        """End the connection with a FIN."""
        return self._do("drop", when)

    def reset(self, *, when: When = "before") -> F:
        """End the connection with a RST."""
        return self._do("reset", when)

    def blackhole(self, *, when: When = "before") -> F:
        """Pass nothing from now on; the socket stays open."""
        return self._do("blackhole", when)

    def close_channel(self, code: int = 541, text: str | None = None, *, when: When = "before") -> F:
        """Close the channel."""
        return self._do("close_channel", when, code=code, text=text)

    def close_connection(self, code: int = 320, text: str | None = None, *, when: When = "before") -> F:
        """Close the connection with connection.close."""
        return self._do("close_connection", when, code=code, text=text)

    def ignore(self, *, when: When = "before") -> F:
        """Give no answer."""
        return self._do("ignore", when)

    def delay(self, s: Duration, *, when: When = "before") -> F:
        """Handle it, and what comes behind it, so many real seconds later; or send its answer later."""
        return self._do("delay", when, delay=s)

    def call(self, function: Callable[[Occasion], object], *, when: When = "before") -> F:
        """Call a function in the broker's thread."""
        return self._do("call", when, function=function)

    def _do(
        self,
        verb: MethodVerb,
        when: When,
        *,
        code: int = 541,
        text: str | None = None,
        delay: Duration = 0,
        function: Callable[[Occasion], object] | None = None,
    ) -> F:
        described = self._described_with(verb)
        checks.reply_code(code)
        wait_s = delay_s(delay)
        if when not in ("before", "after"):
            raise ValueError(f"when is 'before' or 'after', not {when!r}")
        if self._method == "connect" and verb in ("close_channel", "close_connection"):
            raise ValueError(
                f"{verb} needs a connection that is open: a fault at 'connect' can drop or reset"
            )
        fault = MethodFault(
            self._rule,
            described,
            self._wake,
            method=self._method,
            verb=verb,
            when=when,
            code=code,
            text=text,
            delay_s=wait_s,
            function=function,
        )
        return self._faults._armed(fault)


class ConfirmStep(Step[F]):
    """A fault at confirms of publishes, in the broker's time."""

    VERBS = ".nack(), .hold(), .lose() or .delay(d)"

    def nack(self, effect: bool = False) -> F:
        """Answer basic.nack; with `effect` the message is enqueued all the same."""
        return self._do("nack", effect=effect)

    def hold(self) -> F:
        """Hold the confirm until `release`."""
        return self._do("hold")

    def lose(self) -> F:
        """Never send the confirm."""
        return self._do("lose")

    def delay(self, d: Duration) -> F:
        """Send the confirm later, by the broker's clock."""
        return self._do("delay", delay=d)

    def _do(self, verb: ConfirmVerb, delay: Duration = 0, *, effect: bool = False) -> F:
        described, delay_ms = self._described_with(verb), round(delay_s(delay) * 1000)
        fault = ConfirmFault(self._rule, described, self._wake, verb=verb, effect=effect, delay_ms=delay_ms)
        return self._faults._armed(fault)


class DeliveryStep(Step[F]):
    """A fault at deliveries to consumers, in the broker's time."""

    VERBS = ".duplicate(), .reorder(), .delay(d), .corrupt() or .lose_ack()"

    def duplicate(self) -> F:
        """Deliver it twice."""
        return self._do("duplicate")

    def reorder(self) -> F:
        """Deliver it after the next delivery of its channel."""
        return self._do("reorder")

    def delay(self, d: Duration) -> F:
        """Deliver it later, by the broker's clock."""
        return self._do("delay", delay=d)

    def corrupt(self) -> F:
        """Invert the first octet of its body."""
        return self._do("corrupt")

    def lose_ack(self) -> F:
        """Swallow its acknowledgement and drop the connection, so that it is redelivered."""
        return self._do("lose_ack")

    def _do(self, verb: DeliveryVerb, delay: Duration = 0) -> F:
        described, delay_ms = self._described_with(verb), round(delay_s(delay) * 1000)
        fault = DeliveryFault(self._rule, described, self._wake, verb=verb, delay_ms=delay_ms)
        return self._faults._armed(fault)


class Faults(BaseFaults[Fault]):
    """The faults of one broker; methods of faults that wait block."""

    def __init__(self, node: EmbeddedNode, vhost: str | None) -> None:
        super().__init__(node, vhost, Fault)


class AsyncFaults(BaseFaults[AsyncFault]):
    """The faults of one broker; methods of faults that wait are coroutines."""

    def __init__(self, node: EmbeddedNode, vhost: str | None) -> None:
        super().__init__(node, vhost, AsyncFault)


def _check_method(method: str) -> None:
    if method in ("connect", "*", *METHODS):
        return
    if method in METHOD_NAMES.values():
        raise ValueError(f"{method!r} is sent by the broker: use confirms() or deliveries()")
    near = closest(method, ["connect", *METHODS])
    raise ValueError(
        f"{method!r} is no method that a client sends{f': {near!r}?' if near else ''}"
        " (basic.publish, queue.declare, ..., or connect)"
    )


def _stream(stream: Stream) -> Stream:
    if stream not in _STREAMS:
        raise ValueError(f"stream is 'up', 'down' or 'both', not {stream!r}")
    return stream


def _called(verb: str, rule: Rule) -> str:
    return f"{verb}({rule.described()})"


def _more(rule: Rule) -> str:
    parts = [f"nth={rule.nth}"] if rule.nth > 1 else []
    parts += [f"times={rule.times}"] if rule.times != 1 else []
    parts += [rule.described()] if rule.described() else []
    return "".join(f", {part}" for part in parts)


def _nothing() -> None:
    """Do nothing."""
