"""Isolates, counts and reports unexpected exceptions (faults).

One process serves all clients. Code that runs something for one of many (a timer, a connection, an observer, a message)
catches its exceptions, passes them to `Faults.report`, and goes on with the others. A message that cannot be delivered
where it was routed, and that has no publisher to answer, is passed to `Faults.drop`. Both are counted by place. The
first fault of each kind is logged with its context; those that follow within `LOG_INTERVAL_MS` are only counted, so
that a repeated fault cannot flood the log.

A violation of the protocol is no fault: `AmqpError` is answered to the client.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct, field

if TYPE_CHECKING:
    from leveret.clock import Clock

#: Time after a log line during which further faults of that kind are only counted, ms.
LOG_INTERVAL_MS = 60_000

#: Kinds of faults that are remembered; the oldest one is removed if there are more.
MAX_KINDS = 256


class Fault(Struct, frozen=True):
    """One fault, as it is logged. `place`: the work that failed; `context`: for which object, as far as known;
    `repeats`: faults of this kind that were not logged since the last one; `dropped`: a message was dropped, and
    nothing else failed."""

    place: str
    error: Exception
    context: dict[str, object] = field(default_factory=dict)
    repeats: int = 0
    dropped: bool = False

    def __str__(self) -> str:
        """Format it as one line: `internal error in timer (queue: q, vhost: /)`."""
        known = ", ".join(f"{name}: {value}" for name, value in self.context.items())
        text = f"{self.place}{f' ({known})' if known else ''}"
        text = (
            f"message dropped by {text}: {self.error.__cause__ or self.error}"
            if self.dropped
            else f"internal error in {text}"
        )
        return f"{text} (and {self.repeats} more of the kind before)" if self.repeats else text


class Faults:
    """The faults of one broker. `write`: logs one. `errors`, `drops`: how many there were, by place."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.write: Callable[[Fault], None] = _not_written
        self.errors: Counter[str] = Counter()
        self.drops: Counter[str] = Counter()
        self._written: dict[tuple[object, ...], tuple[int, int]] = {}

    def report(self, place: str, error: Exception, **context: object) -> None:
        """Count an unexpected exception and log it. Raises nothing."""
        self.errors[place] += 1
        self._note(Fault(place, error, context), (place, type(error), _origin(error)))

    def drop(self, place: str, error: Exception, **context: object) -> None:
        """Count and log a message that cannot be delivered and is dropped. Raises nothing."""
        self.drops[place] += 1
        self._note(Fault(place, error, context, dropped=True), (place, type(error), str(error)))

    def guard(self, place: str, call: Callable[..., object], *arguments: object, **context: object) -> bool:
        """Run `call` with `arguments` and report an exception. Returns whether there was none."""
        try:
            call(*arguments)
        except Exception as error:
            self.report(place, error, **context)
            return False
        return True

    def _note(self, fault: Fault, kind: tuple[object, ...]) -> None:
        now = self.clock.now
        at, repeats = self._written.get(kind, (now - LOG_INTERVAL_MS, 0))
        if now - at < LOG_INTERVAL_MS:
            self._written[kind] = (at, repeats + 1)
            return
        self._written.pop(kind, None)
        self._written[kind] = (now, 0)
        if len(self._written) > MAX_KINDS:
            del self._written[next(iter(self._written))]
        try:
            self.write(Fault(fault.place, fault.error, fault.context, repeats, fault.dropped))
        except Exception:
            self.errors["log"] += 1


class Served(Protocol):
    """The connection that a fault ends."""

    def fail(self, place: str, error: Exception) -> None:
        """Report the exception and end the connection. Raises nothing."""


def serve(served: Served, place: str, call: Callable[..., object], *arguments: object) -> None:
    """Run `call` with `arguments` for one connection: an exception ends only that one."""
    try:
        call(*arguments)
    except Exception as error:
        served.fail(place, error)


def context_of(call: Callable[..., object]) -> dict[str, object]:
    """Return what is known about a call on the agenda or in the journal: the queue or exchange whose method it is."""
    owner = getattr(call, "__self__", None)
    owner = getattr(owner, "queue", owner)
    context: dict[str, object] = {"call": getattr(call, "__qualname__", repr(call))}
    kind, name, vhost = (getattr(owner, attribute, None) for attribute in ("kind", "name", "vhost"))
    if isinstance(kind, str) and isinstance(name, str):
        context["queue"] = name
        context["vhost"] = vhost
    return context


def _origin(error: Exception) -> tuple[str, int]:
    """Return file and line where an exception was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return (trace.tb_frame.f_code.co_filename, trace.tb_lineno) if trace is not None else ("", 0)


def _not_written(fault: Fault) -> None:
    """Do nothing: no log is set."""
