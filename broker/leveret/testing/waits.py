"""What a test can wait for. Each function makes a `Wait`, whose checks run in the broker's thread."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal

from msgspec.structs import replace

from leveret.testing import checks, history, inside
from leveret.testing.due_text import due_hint
from leveret.testing.durations import Duration, delay_s
from leveret.testing.errors import NotIdle, WaitTimeout
from leveret.testing.idle_wait import IdleCheck
from leveret.testing.messages import Messages, QueueMessage, Wanted
from leveret.testing.node import Wait
from leveret.testing.recorder import connection_name
from leveret.testing.socket_queues import unread_by_clients

if TYPE_CHECKING:
    from leveret.testing.reasons import Reason
    from leveret.testing.scope import Scope

#: Reasons that a text of `NotIdle` names.
MOST_REASONS = 8

Done = Literal[True]


def until(predicate: Callable[[], object], timeout: Duration) -> Wait[Done]:
    """Wait until a predicate is true."""
    timeout_s = delay_s(timeout, "timeout")
    checks.callable_(predicate, "predicate")

    def late() -> Exception:
        name = getattr(predicate, "__qualname__", repr(predicate))
        asked = "it was asked after each turn of the broker's loop"
        return WaitTimeout(f"{name} was not true within {timeout_s:g} s; {asked}")

    return Wait(lambda: True if predicate() else None, late, timeout_s)


def for_idle(scope: Scope, timeout: Duration, quiet: Duration) -> Wait[Done]:
    """Wait until everything is done. Raises `NotIdle` over what is left."""
    timeout_s = delay_s(timeout, "timeout")
    quiet_s = delay_s(quiet, "quiet")
    idle: list[IdleCheck] = []

    def check() -> Done | None:
        if not idle:
            idle.append(IdleCheck(scope.node, scope.only, quiet_s))
        return True if idle[0].check() else None

    def late() -> Exception:
        reasons = with_unread(scope, idle[0].reasons)
        return NotIdle(not_idle_text(f"not idle after {timeout_s:.1f} s", reasons), reasons)

    def ended() -> None:
        for one in idle:
            one.stop()

    return Wait(check, late, timeout_s, ended)


def with_unread(scope: Scope, reasons: list[Reason]) -> list[Reason]:
    """Return the reasons; a delivery that its client has not even read is `unread`."""
    unread = {
        connection_name(each.connection) for each in unread_by_clients(scope.node.edge.sockets.values())
    }
    why = ", which has not read it: does the client run in the thread that waits?"
    return [
        replace(one, kind="unread", text=one.text + why)
        if one.kind == "unacked" and one.connection in unread and one.consumer is not None
        else one
        for one in reasons
    ]


def not_idle_text(start: str, reasons: list[Reason]) -> str:
    """Return a text that names the reasons."""
    if len(reasons) == 1:
        return f"{start}: {reasons[0]}"
    lines = [f"  - {reason}" for reason in reasons[:MOST_REASONS]]
    if len(reasons) > MOST_REASONS:
        lines.append(f"  - and {len(reasons) - MOST_REASONS} more")
    return "\n".join([f"{start}:", *lines])


def for_messages(
    scope: Scope, name: str, count: int, timeout: Duration, where: Callable[[QueueMessage], object] | None
) -> Wait[list[QueueMessage]]:
    """Wait for ready messages in a queue."""
    timeout_s = delay_s(timeout, "timeout")
    checks.count(count)
    checks.text(name, "queue")

    def ready() -> list[QueueMessage]:
        queue = scope.queue(name)
        if queue is None or queue.ready < count:
            return []
        found = [one for one in inside.messages(scope, name) if one.state == "ready"]
        return [one for one in found if where is None or where(one)]

    def check() -> list[QueueMessage] | None:
        found = ready()
        return found if len(found) >= count else None

    def late() -> Exception:
        return WaitTimeout(_messages_text(scope, name, count, timeout_s, where, len(ready())))

    return Wait(check, late, timeout_s)


def _messages_text(
    scope: Scope,
    name: str,
    count: int,
    timeout_s: float,
    where: Callable[[QueueMessage], object] | None,
    fitting: int,
) -> str:
    queue = scope.queue(name)
    start = f"wanted {count} ready in queue '{name}' within {timeout_s:g} s"
    if queue is None:
        return f"{start}: {inside.no_such_queue(scope, name)}{_errors(scope)}"
    parts = [
        f"{queue.ready} ready, {queue.unacked} unacknowledged, {_consumers(len(queue.consumers.members))}"
    ]
    if where is not None:
        parts.append(f"`where` holds for {fitting}")
    if queue.unacked and queue.ready < count:
        parts.append("clients have taken them: ready messages are those that nobody has")
    elif queue.consumers.members and queue.acked + queue.delivered_no_ack:
        parts.append(f"consumers have had {queue.acked + queue.delivered_no_ack} already")
    elif not queue.published:
        parts.append("nothing was ever published to it")
        lost = _last_unroutable(scope)
        if lost:
            parts.append(lost)
    return f"{start}: {'; '.join(parts)}{due_hint(scope)}{_errors(scope)}"


def _consumers(count: int) -> str:
    return "no consumer" if count == 0 else "1 consumer" if count == 1 else f"{count} consumers"


def _last_unroutable(scope: Scope) -> str:
    if scope.node.recorder is None:
        return ""
    lost = [record for record in history.records(scope) if record.nearest is not None]
    return f"a message was unroutable: {lost[-1].nearest}" if lost else ""


def _errors(scope: Scope) -> str:
    found = history.error_texts(scope)
    return "\n" + "\n".join(found) if found else ""


def for_published(scope: Scope, wanted: Wanted, count: int, timeout: Duration) -> Wait[Messages]:
    """Wait for published messages."""
    timeout_s = delay_s(timeout, "timeout")
    checks.count(count)

    seen = matched = 0

    def check() -> Messages | None:
        nonlocal seen, matched
        if wanted.where is None:  # what a message is does not change: only new ones are looked at
            new = history.records_after(scope, seen)
            seen = max(seen, *(record.id for record in new)) if new else seen
            matched += len(history.matching(new, wanted))
            if matched < count:
                return None
        found = history.published(scope, wanted)
        return found if len(found) >= count else None

    def late() -> Exception:
        found = history.published(scope, wanted)
        text = f"wanted {count} within {timeout_s:g} s, found {len(found)}: {wanted}"
        parts = [text, *history.stories(found), history.nearest_text(scope, wanted)]
        return WaitTimeout("\n\n".join(parts) + due_hint(scope))

    return Wait(check, late, timeout_s)


def for_acked(scope: Scope, name: str, count: int, timeout: Duration) -> Wait[Done]:
    """Wait for acknowledgements of deliveries from a queue, automatic ones included."""
    timeout_s = delay_s(timeout, "timeout")
    checks.count(count)
    checks.text(name, "queue")

    def acked() -> int:
        if scope.node.recorder is not None:
            return scope.node.recorder.acks[scope.default, name]
        queue = scope.queue(name)
        return queue.acked + queue.delivered_no_ack + queue.got_no_ack if queue is not None else 0

    def late() -> Exception:
        start = f"wanted {count} acknowledged from queue '{name}' within {timeout_s:g} s, found {acked()}"
        queue = scope.queue(name)
        if queue is None:
            return WaitTimeout(f"{start}: {inside.no_such_queue(scope, name)}{_errors(scope)}")
        state = (
            f"{queue.ready} ready, {queue.unacked} unacknowledged, {_consumers(len(queue.consumers.members))}"
        )
        holding = [
            reason.text
            for reason in _reasons(scope)
            if reason.kind in ("unacked", "unread") and reason.queue == name
        ]
        lines = [f"{start}: {state}{_outcomes(scope, name)}", *holding[:MOST_REASONS]]
        return WaitTimeout("\n  - ".join(lines) + due_hint(scope) + _errors(scope))

    return Wait(lambda: True if acked() >= count else None, late, timeout_s)


def _outcomes(scope: Scope, name: str) -> str:
    """Return what has become of the messages that were routed to a queue: `; its messages: 1 rejected, 2 ready`."""
    if scope.node.recorder is None:
        return ""
    counts = history.outcomes(scope, name)
    if not counts:
        return "; nothing was ever published to it"
    return "; its messages: " + ", ".join(f"{count} {outcome}" for outcome, count in counts.items())


def _reasons(scope: Scope) -> list[Reason]:
    check = IdleCheck(scope.node, scope.only, 0.0)
    check.check()
    check.stop()
    return check.reasons


def for_consumer(scope: Scope, name: str, count: int, timeout: Duration) -> Wait[Done]:
    """Wait until a queue has consumers."""
    timeout_s = delay_s(timeout, "timeout")
    checks.count(count)
    checks.text(name, "queue")

    def there() -> int:
        queue = scope.queue(name)
        return len(queue.consumers.members) if queue is not None else 0

    def late() -> Exception:
        start = f"wanted {_consumers(count)} of queue '{name}' within {timeout_s:g} s, found {there()}"
        if scope.queue(name) is None:
            return WaitTimeout(f"{start}: {inside.no_such_queue(scope, name)}{_errors(scope)}")
        others = [
            f"'{queue.name}' has {len(queue.consumers.members)}"
            for queue in scope.vhost().queues.values()
            if queue.consumers.members and queue.name != name
        ]
        there_are = f"; queue {', '.join(others[:5])}" if others else "; no queue of its virtual host has one"
        return WaitTimeout(f"{start}{there_are}{_connections(scope)}{_errors(scope)}")

    return Wait(lambda: True if there() >= count else None, late, timeout_s)


def for_queue(scope: Scope, name: str, timeout: Duration) -> Wait[Done]:
    """Wait until a queue exists. `name`: a shell glob."""
    timeout_s = delay_s(timeout, "timeout")
    checks.text(name, "name")

    def there() -> bool:
        vhost = scope.engine.vhosts.get(scope.default)
        return vhost is not None and any(fnmatchcase(each, name) for each in vhost.queues)

    def late() -> Exception:
        text = f"wanted queue '{name}' within {timeout_s:g} s: {inside.no_such_queue(scope, name)}"
        return WaitTimeout(f"{text}{_connections(scope)}{_errors(scope)}")

    return Wait(lambda: True if there() else None, late, timeout_s)


def for_connection(scope: Scope, name: str, count: int, timeout: Duration) -> Wait[Done]:
    """Wait for open connections. `name`: a shell glob for the client-provided name, or RabbitMQ's."""
    timeout_s = delay_s(timeout, "timeout")
    checks.count(count)
    checks.text(name, "name")

    def there() -> int:
        return sum(
            fnmatchcase(each.name, name) or fnmatchcase(connection_name(each), name)
            for each in scope.engine.connections
            if each.is_open and each.vhost is not None and scope.covers(each.vhost.name)
        )

    def late() -> Exception:
        text = f"wanted {count} connection{'s' if count > 1 else ''} '{name}' within {timeout_s:g} s, found {there()}"
        return WaitTimeout(f"{text}{_connections(scope)}{_errors(scope)}")

    return Wait(lambda: True if there() >= count else None, late, timeout_s)


def _connections(scope: Scope) -> str:
    found = [
        f"'{connection_name(each)}'" + ("" if each.is_open else f" ({each.state_name})")
        for each in scope.engine.connections
        if each.vhost is None or scope.covers(each.vhost.name)
    ]
    return f"\nconnected: {', '.join(found[:10])}" if found else "\nnobody is connected"
