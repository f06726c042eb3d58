"""The state of a broker as text, for the report of a failed test."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leveret.testing import history
from leveret.testing.due import moment, seconds_until, what_is_due
from leveret.testing.eta import has_later_eta
from leveret.testing.idle_wait import IdleCheck
from leveret.testing.recorder import connection_name

if TYPE_CHECKING:
    from leveret.testing.scope import Scope

#: Events that are shown.
MOST_EVENTS = 20

#: Deliveries and queues that are shown.
MOST_SHOWN = 10


def state_text(scope: Scope) -> str:
    """Return what a moved clock shows, who is connected, what is in queues and not settled, and the last events; only
    in the broker's thread."""
    parts = (_clock, _connections, _queues, _unacked, _events)
    return "\n".join(line for part in parts for line in part(scope))


def _connections(scope: Scope) -> list[str]:
    found = [
        f"'{connection_name(each)}' (user {each.actor.user}, {_counted(len(each.channels), 'channel')},"
        f" {each.state_name})"
        for each in scope.engine.connections
        if each.vhost is not None and scope.covers(each.vhost.name)
    ]
    return [f"connected: {', '.join(found[:MOST_SHOWN]) or 'nobody'}"]


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _queues(scope: Scope) -> list[str]:
    found = [
        f"    '{queue.name}': {queue.ready} ready, {queue.unacked} unacknowledged,"
        f" {_counted(len(queue.consumers.members), 'consumer')}"
        for vhost in scope.engine.vhosts.values()
        if scope.covers(vhost.name)
        for queue in vhost.queues.values()
    ]
    more = [f"    and {len(found) - MOST_SHOWN} more queues"] if len(found) > MOST_SHOWN else []
    return ["queues:", *found[:MOST_SHOWN], *more] if found else ["queues: none"]


def _unacked(scope: Scope) -> list[str]:
    check = IdleCheck(scope.node, scope.only, 0.0)
    check.check()
    check.stop()
    held = [f"    {one.text}" for one in check.reasons if one.kind in ("unacked", "unread")]
    return ["unacknowledged:", *held[:MOST_SHOWN]] if held else ["unacknowledged: nothing"]


def _events(scope: Scope) -> list[str]:
    if scope.node.recorder is None:
        return []
    last = list(history.events(scope))[-MOST_EVENTS:]
    return (
        ["last events:", *(f"    {history.event_line(event)}" for event in last)]
        if last
        else ["events: none"]
    )


def _clock(scope: Scope) -> list[str]:
    """Return where the clock is, and what is due next, if it was moved or stopped."""
    clock = scope.node.message_clock
    if not clock.moved:
        return []
    how = "frozen" if clock.frozen else "moved, and runs"
    due = what_is_due(scope.engine.message_time)
    after = f"; due next, in {seconds_until(due[0], clock):g} s: {due[0].what}" if due else "; nothing is due"
    return [f"clock: {how}, at {moment(clock.read()).isoformat()}{after}", *_etas(scope)]


def _etas(scope: Scope) -> list[str]:
    """Return a line if a task of Celery waits for its ETA in a worker, which a moved clock does not shorten."""
    if scope.node.hold_eta or scope.node.recorder is None:
        return []
    tasks = [one for one in history.records(scope) if one.message is not None and has_later_eta(one.message)]
    if not tasks:
        return []
    return [
        f"message #{tasks[-1].id} is a task of Celery with a later ETA, for which a worker waits by its own clock; with"
        " clock.hold_eta = True it waits in the broker"
    ]
