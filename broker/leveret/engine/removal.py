"""Deleting queues and exchanges: their bindings go with them, and auto-delete exchanges with their last binding.

What is deleted has left its registry before this begins. Its bindings are removed by a job (`work.py`), since there can
be very many: until that has ended, nothing is routed to what is deleted, and its name cannot be declared again
(`Suspended`). RabbitMQ does all of it in one transaction, whose end the next one waits for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

from leveret.engine.actor import INTERNAL
from leveret.engine.changes import (
    BindingDeleted,
    Change,
    ConsumerDeleted,
    ExchangeDeleted,
    ExchangeUnregistered,
    QueueDeleted,
    QueueUnregistered,
)
from leveret.engine.clients import as_client
from leveret.routing.bindings import Sources
from leveret.work import Job, Suspended

if TYPE_CHECKING:
    from leveret.engine.actor import Actor
    from leveret.engine.context import EngineContext
    from leveret.queues.consumers import Consumer
    from leveret.queues.queue import Queue
    from leveret.routing.bindings import Binding, Destination
    from leveret.routing.exchanges import Exchange
    from leveret.routing.router import Router
    from leveret.work import Owner, Steps

#: Bindings that are removed before the job asks whether its slice is over.
PORTION = 64

#: Yields None after a portion of work, or steps that come next.
NestedSteps: TypeAlias = "Iterator[NestedSteps | None]"

#: The job of a deletion that has nothing to do.
NO_JOB = Job.ended()

#: Channels whose counts of publishes are added to those of an exchange before the job asks.
FOLDED_TOGETHER = 16

#: Deletions in one another that begin or end before the job asks whether its slice is over.
NESTED_TOGETHER = 8

#: Names the job where a fault is logged.
PLACE = "deletion"


class Removal:
    """One deletion. `job`: None while its first slice runs."""

    def __init__(self) -> None:
        self.job: Job | None = None


class Removals:
    """Deletions in one virtual host. `exchanges`: its registry; `sources`: which exchanges lead where; `names`: what is
    being deleted, by type and name; `count_gone`: called when an exchange is gone."""

    def __init__(
        self,
        engine: EngineContext,
        vhost: str,
        exchanges: dict[str, Exchange],
        router: Router,
        count_gone: Callable[[], None],
    ) -> None:
        self.engine = engine
        self.vhost = vhost
        self.exchanges = exchanges
        self.router = router
        self._count_gone = count_gone
        self.sources: Sources[Exchange] = Sources()
        self.names: dict[tuple[str, str], Removal] = {}

    def close(self) -> None:
        """Refer to the virtual host no more: it is gone."""
        self._count_gone = _nothing

    def check_name(self, kind: str, name: str) -> None:
        """Raise `Suspended` while a "queue" or "exchange" of that name is being deleted."""
        removal = self.names.get((kind, name)) if self.names else None
        if removal is not None and removal.job is not None:
            raise Suspended(removal.job)

    def remove_queue(
        self, queue: Queue, consumers: list[Consumer], actor: Actor, owner: Owner | None = None
    ) -> Job:
        """Remove the bindings of a queue that has left the registry, and had these consumers. `owner` waits for it."""
        if not consumers and not self.sources.any(queue):
            self.router.changed()
            self._notify(QueueUnregistered(actor, self.vhost, queue))
            self._notify(QueueDeleted(actor, self.vhost, queue))
            return NO_JOB
        removal = Removal()
        return self._begin(removal, self._queue_steps(removal, queue, consumers, actor), owner)

    def remove_exchange(self, exchange: Exchange, actor: Actor, owner: Owner | None = None) -> Job:
        """Remove the bindings from and to an exchange that has left the registry. `owner` waits for it."""
        tally = exchange.tally
        counted = tally is not None and tally.fold_parts(FOLDED_TOGETHER)
        if not exchange.bindings and not self.sources.any(exchange) and not counted:
            self.router.changed()
            self._unregistered(exchange, actor)
            self._notify(ExchangeDeleted(actor, self.vhost, exchange))
            self._end(exchange)
            return NO_JOB
        removal = Removal()
        return self._begin(removal, self._exchange_steps(removal, exchange, actor), owner)

    def unbound(self, source: Exchange, actor: Actor) -> None:
        """Delete an auto-delete exchange that has lost its last binding."""
        if self._unregister_unused(source):
            self.remove_exchange(source, actor)

    def _begin(self, removal: Removal, steps: NestedSteps, owner: Owner | None) -> Job:
        removal.job = self.engine.work.begin(flattened(steps), PLACE, owner, vhost=self.vhost)
        return removal.job

    def _notify(self, change: Change) -> None:
        self.engine.observers.notify(change)

    def _queue_steps(
        self, removal: Removal, queue: Queue, consumers: list[Consumer], actor: Actor
    ) -> NestedSteps:
        with self._leaving(removal, "queue", queue):
            self._notify(QueueUnregistered(actor, self.vhost, queue))
            for number, consumer in enumerate(consumers, 1):
                self._notify(ConsumerDeleted(actor, as_client(consumer)))
                if number % PORTION == 0:
                    yield None
            yield self._unbind_steps(removal, queue, INTERNAL)
            self._notify(QueueDeleted(actor, self.vhost, queue))

    def _exchange_steps(self, removal: Removal, exchange: Exchange, actor: Actor) -> NestedSteps:
        with self._leaving(removal, "exchange", exchange):
            self._unregistered(exchange, actor)
            yield from self._remove_steps(exchange, list(exchange.bindings.values()), actor)
            yield self._unbind_steps(removal, exchange, actor)
            while exchange.tally is not None and exchange.tally.fold_parts(FOLDED_TOGETHER):
                yield None
            self._notify(ExchangeDeleted(actor, self.vhost, exchange))
            self._end(exchange)

    def _end(self, exchange: Exchange) -> None:
        self.router.forget(exchange)
        exchange.end()
        self._count_gone()

    def _unregistered(self, exchange: Exchange, actor: Actor) -> None:
        """Report that an exchange has left the registry; its topic permissions go with it, depending on the version."""
        self._notify(ExchangeUnregistered(actor, self.vhost, exchange))
        engine = self.engine
        if engine.profile.topic_permissions_bound and engine.access.forget_exchange(
            self.vhost, exchange.name
        ):
            engine.access_changed()

    def _unbind_steps(self, removal: Removal, destination: Destination, actor: Actor) -> NestedSteps:
        """Remove all bindings to a destination, exchange by exchange in the order of their declaration."""
        for number, source in enumerate((yield from self.sources.in_order(destination)), 1):
            found = source.bindings_to(destination)
            bound = bool(found)
            yield from self._remove_steps(source, found, actor)
            self.router.changed()
            if bound and self._unregister_unused(source):
                yield self._exchange_steps(removal, source, actor)
            if number % PORTION == 0:  # most may have one binding
                yield None

    def _remove_steps(self, source: Exchange, bindings: list[Binding], actor: Actor) -> NestedSteps:
        """Remove bindings, and empty the list, so that they are freed one by one. Each argument of one may be in an
        index of its exchange, too."""
        removed = 0
        bindings.reverse()
        while bindings:
            binding = bindings.pop()
            self._remove_binding(source, binding, actor)
            removed += 1 + len(binding.arguments)
            if removed >= PORTION:
                removed = 0
                yield None

    def _remove_binding(self, source: Exchange, binding: Binding, actor: Actor) -> None:
        """Remove a binding, unless it was removed meanwhile."""
        if source.remove(binding) is not None:
            self.sources.note(source, binding.destination)
            self._notify(BindingDeleted(actor, self.vhost, source, binding))

    def _unregister_unused(self, exchange: Exchange) -> bool:
        """Take an auto-delete exchange without bindings from the registry; returns whether it was one that is there."""
        if not exchange.auto_delete or exchange.bindings:
            return False
        return self.exchanges.pop(exchange.name, None) is not None

    @contextmanager
    def _leaving(self, removal: Removal, kind: str, subject: Destination) -> Iterator[None]:
        """Route nothing to what is deleted, and keep its name, until its bindings are gone."""
        key = kind, subject.name
        self.names[key] = removal
        self.router.leaving[subject] = None
        self.router.changed()
        try:
            yield
        finally:
            del self.names[key], self.router.leaving[subject]
            self.router.changed()


def _nothing() -> None:
    """Nobody counts what is gone."""


def flattened(steps: NestedSteps) -> Steps:
    """Steps in which others are nested, to any depth: a chain of exchanges must not be a recursion. Where steps begin
    or end is the end of a portion, too, after so many of them: in a chain ten thousand end one after another."""
    running = [steps]
    turns = 0
    while running:
        for nested in running[-1]:
            if nested is None:
                yield None
            else:
                running.append(nested)
                break
        else:
            running.pop()
        turns += 1
        if turns % NESTED_TOGETHER == 0:
            yield None
