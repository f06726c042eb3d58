"""What happens in the broker, told to whoever wants to know: the log, the event exchange, history, the management API.

Nothing on the hot path is told here; counters are read on demand. Every listener has the methods of `Observer` it cares
about; one that raises does not keep the others from being told.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from leveret.engine.names import INTERNAL_USER
from leveret.faults import Faults


class Observer:
    """Listens; each method does nothing unless overridden. `essential`: what it raises is raised again once all others
    were told, because what happened must not be answered as done; otherwise it is reported."""

    essential = False

    def notify(self, event: str, *subjects: Any) -> None:
        """Any event by name, for those who want them all."""


class Observers:
    """The port: `observers.queue_created(vhost, queue)` tells every observer of `queue.created`.

    `actor`: the user by whose doing things happen now; `origin`: the connection they came by, or what else did it.
    """

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.all: list[Observer] = []
        self.actor = INTERNAL_USER
        self.origin = ""

    def add(self, observer: Observer) -> None:
        """From now on `observer` is told."""
        self.all.append(observer)

    @contextmanager
    def acting(self, user: str) -> Iterator[None]:
        """What happens meanwhile is that user's doing."""
        before, self.actor = self.actor, user
        try:
            yield
        finally:
            self.actor = before

    def changed(self, event: str, **fields: object) -> None:
        """A change that is not to objects of the engine, with what there is to say of it: `user.created`."""
        self._notify(event, fields)

    def _notify(self, event: str, *subjects: Any) -> None:
        failed: Exception | None = None
        for observer in self.all:
            try:
                observer.notify(event, *subjects)
            except Exception as error:
                if observer.essential:
                    failed = error
                else:
                    self.faults.report("observer", error, observer=type(observer).__name__, event=event)
        if failed is not None:
            raise failed

    def connection_opened(self, connection: Any) -> None:
        """connection.open went through."""
        self._notify("connection.created", connection)

    def connection_closed(self, connection: Any) -> None:
        """The socket of a connection is gone."""
        self._notify("connection.closed", connection)

    def connection_refused(self, connection: Any, error: Exception) -> None:
        """connection.close was sent."""
        self._notify("connection.refused", connection, error)

    def channel_refused(self, connection: Any, channel: Any, error: Exception) -> None:
        """channel.close was sent."""
        self._notify("channel.refused", connection, channel, error)

    def channel_opened(self, channel: Any) -> None:
        """channel.open went through."""
        self._notify("channel.created", channel)

    def channel_closed(self, channel: Any, consumers: int) -> None:
        """A channel has ended, by whoever's doing, and so many consumers with it."""
        self._notify("channel.closed", channel, consumers)

    def connection_blocked(self, connection: Any) -> None:
        """A publisher is not read from while an alarm is on."""
        self._notify("connection.blocked", connection)

    def connection_unblocked(self, connection: Any) -> None:
        """It is read from again."""
        self._notify("connection.unblocked", connection)

    def logged_in(self, connection: Any) -> None:
        """A login went through."""
        self._notify("user.authentication.success", connection)

    def login_failed(self, connection: Any, reason: str) -> None:
        """A login was refused."""
        self._notify("user.authentication.failure", connection, reason)

    def refused_tuning(self, connection: Any, reason: str) -> None:
        """tune-ok was out of bounds."""
        self._notify("connection.tuning.refused", connection, reason)

    def heartbeat_missed(self, connection: Any) -> None:
        """Nothing was heard for two intervals."""
        self._notify("connection.heartbeat.missed", connection)

    def exchange_created(self, vhost: Any, exchange: Any) -> None:
        """An exchange was declared."""
        self._notify("exchange.created", vhost, exchange)

    def exchange_deleted(self, vhost: Any, exchange: Any) -> None:
        """An exchange is gone."""
        self._notify("exchange.deleted", vhost, exchange)

    def queue_created(self, vhost: Any, queue: Any) -> None:
        """A queue was declared."""
        self._notify("queue.created", vhost, queue)

    def queue_deleted(self, vhost: Any, queue: Any) -> None:
        """A queue is gone."""
        self._notify("queue.deleted", vhost, queue)

    def queue_crashed(self, vhost: Any, queue: Any) -> None:
        """What a queue held could not be read back."""
        self._notify("queue.crashed", vhost, queue)

    def stream_unreadable(self, vhost: Any, queue: Any, reason: str) -> None:
        """A stream could not be read."""
        self._notify("stream.unreadable", vhost, queue, reason)

    def binding_created(self, vhost: Any, binding: Any) -> None:
        """A binding was made."""
        self._notify("binding.created", vhost, binding)

    def binding_repeated(self, vhost: Any, binding: Any) -> None:
        """A binding was asked for that is there."""
        self._notify("binding.repeated", vhost, binding)

    def binding_deleted(self, vhost: Any, binding: Any) -> None:
        """A binding is gone."""
        self._notify("binding.deleted", vhost, binding)

    def consumer_created(self, channel: Any, consumer: Any) -> None:
        """A consumer subscribed."""
        self._notify("consumer.created", channel, consumer)

    def consumer_deleted(self, channel: Any, consumer: Any) -> None:
        """A consumer left."""
        self._notify("consumer.deleted", channel, consumer)

    def consumer_cancelled(self, channel: Any, consumer: Any) -> None:
        """A channel has heard that its consumer's queue is gone."""
        self._notify("consumer.cancelled", channel, consumer)

    def vhost_created(self, vhost: Any) -> None:
        """A virtual host was added."""
        self._notify("vhost.created", vhost)

    def vhost_updated(self, vhost: Any) -> None:
        """A virtual host's description, tags or the like were set."""
        self._notify("vhost.updated", vhost)

    def vhost_deleted(self, vhost: Any) -> None:
        """A virtual host is gone."""
        self._notify("vhost.deleted", vhost)

    def lint_found(self, finding: Any) -> None:
        """Something was declared that will not do for long."""
        self._notify("lint.found", finding)

    def alarm_set(self, source: str) -> None:
        """A resource alarm went on."""
        self._notify("alarm.set", source)

    def alarm_cleared(self, source: str) -> None:
        """A resource alarm went off."""
        self._notify("alarm.cleared", source)
