"""What is due on the agenda of message time: when, and in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from msgspec import Struct

from leveret.clock import NEVER, effective_at
from leveret.engine.at_least_once import DeadLetterWorker
from leveret.engine.delayed import DelayedMessages
from leveret.queues.expiry import QueueExpiry
from leveret.queues.queue import Queue
from leveret.queues.quorum.ack_timeouts import AckTimeouts
from leveret.queues.quorum.delayed_retry import DelayedRetries
from leveret.session.delivery_timeouts import ChannelTick
from leveret.testing.eta import HeldTask

if TYPE_CHECKING:
    from leveret.clock import Agenda, ScheduledCall
    from leveret.testing.message_clock import MessageClock


#: How texts begin about what brings no message to a queue.
_UNUSED = "unused queue"
_DELIVERY = "a delivery"


class DueEvent(Struct, frozen=True, order=True):
    """Something that the broker will do. `queue`: the queue concerned, if there is one."""

    at: datetime
    what: str
    queue: str | None = None

    def __str__(self) -> str:
        """Return the moment and what is due."""
        return f"{self.at.isoformat()}: {self.what}"


def moment(milliseconds: int) -> datetime:
    """Return a time in ms since the epoch as a datetime in UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def what_is_due(agenda: Agenda) -> list[DueEvent]:
    """Return what is due, in order. Checks that will find nothing are left out."""
    found = [(at, what, queue) for due in agenda.scheduled() for at, what, queue in _described(due)]
    for due in agenda.polling():
        at = effective_at(due)
        if at < NEVER:
            found.append((at, *_poll_described(due.poll)))
    found.sort(key=lambda one: one[0])
    return [DueEvent(moment(at), what, queue) for at, what, queue in found]


def may_bring_messages(due: DueEvent) -> bool:
    """Return whether messages may reach a queue by it."""
    return not due.what.startswith((_UNUSED, _DELIVERY))


def seconds_until(due: DueEvent, clock: MessageClock) -> float:
    """Return how long it takes until something is due, s."""
    return (due.at - moment(clock.read())).total_seconds()


def _described(due: ScheduledCall) -> Iterator[tuple[int, str, str | None]]:
    owner: object = getattr(due.call, "__self__", None)
    match owner:
        case DelayedMessages():
            for one in sorted(owner.waiting.values(), key=lambda one: one.due_at):
                yield one.due_at, f"a message that exchange '{one.exchange}' delays is published", None
        case QueueExpiry():
            if not owner.queue.consumers.members:
                at = owner.used_at + owner.queue.limits.expires
                yield max(at, due.at), *_queue_expires(owner)
        case DelayedRetries() | AckTimeouts():
            what = (
                "delayed retries return to" if isinstance(owner, DelayedRetries) else "deliveries time out of"
            )
            queue = _queue_of(owner._check)
            yield due.at, f"{what} queue '{queue}'", queue
        case DeadLetterWorker():
            yield due.at, f"dead letters of queue '{owner.queue.name}' are published again", owner.queue.name
        case Queue():
            yield due.at, f"head of queue '{owner.name}' expires", owner.name
        case _:
            named: object = getattr(due.call, "described", None) or getattr(
                due.call, "__qualname__", due.call
            )
            yield due.at, str(named), due.call.name if isinstance(due.call, HeldTask) else None


def _queue_expires(owner: QueueExpiry) -> tuple[str, str | None]:
    name = _queue_of(owner.check)
    return f"{_UNUSED} '{name}' expires", name


def _poll_described(poll: object) -> tuple[str, str | None]:
    if isinstance(poll, QueueExpiry):
        return _queue_expires(poll)
    if isinstance(poll, ChannelTick):
        channel = poll.channel
        return f"{_DELIVERY} on channel {channel.number} of '{channel.connection.name}' times out", None
    return type(poll).__name__, None


def _queue_of(call: Callable[[], object]) -> str | None:
    owner: object = getattr(call, "__self__", None)
    queue: object = getattr(owner, "queue", owner)
    return queue.name if isinstance(queue, Queue) else None
