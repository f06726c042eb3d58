"""A virtual host: its exchanges, queues and bindings, and how they are created, deleted and connected.

Operations (`engine/operations`) check permissions and ownership, then call this; restoring from a store calls it
directly. The consequences of a change are part of it: deleting a queue or an exchange deletes its bindings, deleting
the last binding of an auto-delete exchange deletes the exchange, and policies are applied again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from leveret import errors
from leveret.engine import arguments as declared
from leveret.engine import equivalence, merge_policy
from leveret.engine.actor import INTERNAL, Actor
from leveret.engine.at_least_once import DeadLetterWorker
from leveret.engine.catalogue import Kind
from leveret.engine.changes import (
    BindingCreated,
    BindingDeleted,
    BindingRepeated,
    Change,
    ConsumerDeleted,
    ExchangeCreated,
    QueueCrashed,
    QueueCreated,
    StreamUnreadable,
)
from leveret.engine.clients import as_client
from leveret.engine.deadlettering import DeadLettering
from leveret.engine.delayed import DelayedMessages
from leveret.engine.firehose import TRACE, Firehose
from leveret.engine.names import INTERNAL_USER, generated_name
from leveret.engine.patterns import Budget
from leveret.engine.publisher import Publisher
from leveret.engine.queue_types import make_queue
from leveret.engine.removal import NO_JOB, PORTION, Removals
from leveret.queues.context import VhostContext
from leveret.queues.limits import Limits
from leveret.queues.queue import Queue
from leveret.routing.exchanges import Declaration, Exchange
from leveret.routing.router import Router
from leveret.routing.types import make_exchange
from leveret.shrinking import shrink
from leveret.wire.tables import Table
from leveret.work import Job, Suspended, in_order, one_by_one, portions

if TYPE_CHECKING:
    from leveret.engine.clients import ClientConnection, ClientConnectionBase
    from leveret.engine.context import EngineContext
    from leveret.engine.policies import Effective
    from leveret.queues.consumers import Consumer
    from leveret.queues.journal import Journal
    from leveret.queues.message import Destination, Message
    from leveret.routing.bindings import Binding
    from leveret.work import Owner, Steps

#: Exchanges that every virtual host has (rabbit_vhost:default_exchanges): name, type, internal.
PREDECLARED = (
    ("", "direct", False),
    ("amq.direct", "direct", False),
    ("amq.fanout", "fanout", False),
    ("amq.headers", "headers", False),
    ("amq.match", "headers", False),
    (TRACE, "topic", True),
    ("amq.topic", "topic", False),
)

#: Queues and exchanges that are deleted before what was counted of them is forgotten; more if there are more others.
FORGOTTEN_TOGETHER = 1000


class TakenQueue(NamedTuple):
    """A queue that was removed: the consumers it had, and the job that removes its bindings."""

    consumers: list[Consumer]
    job: Job


class VhostProperties(NamedTuple):
    """What a virtual host is, apart from what is in it. Fields as those of `VirtualHost`."""

    description: str = ""
    tags: tuple[str, ...] = ()
    default_queue_type: str | None = None
    tracing: bool = False
    protected: bool | None = None

    @classmethod
    def of(cls, vhost: VirtualHost) -> VhostProperties:
        """Return those of a virtual host."""
        return cls(vhost.description, vhost.tags, vhost.default_queue_type, vhost.tracing, vhost.protected)

    def shown(self) -> tuple[str, tuple[str, ...], str | None, bool, bool]:
        """Return the fields of a `VhostChange` behind the name."""
        return self.description, self.tags, self.default_queue_type, self.tracing, bool(self.protected)


class VirtualHost:
    """One virtual host.

    `journal`: the store's port for its persistent messages and its declarations, None without a store. `protected`: it
    cannot be deleted; None until somebody has set it. `connections`: those that have opened it. `deletion`: the job
    that deletes it or has it leave this node, or None.
    """

    def __init__(
        self,
        engine: EngineContext,
        name: str,
        description: str = "",
        tags: tuple[str, ...] = (),
        actor: Actor = INTERNAL,
        journal: Journal | None = None,
    ) -> None:
        self.engine = engine
        self.profile = engine.profile
        self.name = name
        self.description = description
        self.tags = tags
        self.journal = journal
        self.default_queue_type: str | None = None
        self.protected: bool | None = None
        self._serial = 0
        self.exchanges: dict[str, Exchange] = {}
        self.queues: dict[str, Queue] = {}
        self.routes: dict[bytes, Queue] = {}
        self.connections: set[ClientConnection] = set()
        self._gone = 0
        self._forgetting = Job.ended()
        self.deletion: Job | None = None
        self.context = VhostContext(
            engine.clock,
            engine.message_time,
            self._remove,
            self.publish_dead_letters,
            journal,
            engine.pager,
            engine.work,
        )
        self.context.interceptor = engine.interceptor
        self.context.history = engine.history
        self.context.crashed = self._crashed
        self.context.unreadable = self._unreadable
        self.context.consumer_timeout = engine.settings.amqp.consumer_timeout or -1
        self.router = Router(self.exchanges, self.routes, self._reply_address)
        self.removals = Removals(engine, name, self.exchanges, self.router, self._count_gone)
        self.publisher = Publisher(name, self.context, self.router, engine.faults)
        self.dead_lettering = DeadLettering(
            engine, self.context, self.exchanges, self.publisher, DeadLetterWorker
        )
        self.delayed = DelayedMessages(self.context, name, self.exchanges, self.publisher)
        self.router.postpone = self.delayed.hold
        for exchange, kind, internal in PREDECLARED:
            self.declare_exchange(
                exchange,
                kind,
                durable=True,
                auto_delete=False,
                internal=internal,
                arguments={},
                user=actor.user,
                actor=actor,
            )

    def check_kept(self) -> None:
        """Raise `Suspended` while the virtual host is being deleted, or leaves this node."""
        if self.deletion is not None:
            raise Suspended(self.deletion)

    def when_committed(self, call: Callable[[], None]) -> None:
        """Run `call` when everything that was published and declared here so far is safe: at once if it is."""
        if self.journal is None or self.journal.settled >= self.journal.ticket:
            call()
        else:
            self.journal.when_settled(self.journal.ticket, call)

    def close(self) -> None:
        """Drop the delayed messages of a virtual host that is gone, and forget what would keep it in memory until the
        garbage collector runs. Observers have been notified."""
        self.delayed.clear()
        self.context.end()
        self.router.postpone = self.router.fallback = None
        self.removals.close()

    def end_exchanges(self) -> Steps:
        """Forget all exchanges after `close`, one after another."""
        while self.exchanges:
            self.exchanges.popitem()[1].end()
            yield None

    def _notify(self, change: Change) -> None:
        self.engine.observers.notify(change)

    def properties(self) -> tuple[str, str, tuple[str, ...], str | None, bool, bool]:
        """Return the fields of a `VhostChange`."""
        return self.name, *VhostProperties.of(self).shown()

    @property
    def tracing(self) -> bool:
        """Whether publishes and deliveries are copied to the exchange amq.rabbitmq.trace; may be set."""
        return self.context.firehose is not None

    @tracing.setter
    def tracing(self, on: bool) -> None:
        if on == self.tracing:
            return
        self._trace(on)
        self.engine.changed(Kind.VHOST, (self.name,))
        # Consumers check tracing only when the names of a delivery change (`Subscription.take`). Comparing a revision
        # would cost something with every delivery.
        self.engine.work.begin(self._tracing_steps(), "tracing", vhost=self.name)

    def _trace(self, on: bool) -> None:
        self.context.firehose = (
            Firehose(self.engine, self.name, self.exchanges[TRACE], self.publisher) if on else None
        )
        self.router.changed()

    def restore(self, properties: VhostProperties) -> None:
        """Set the properties that it had elsewhere. This is no change."""
        self.description = properties.description
        self.tags = properties.tags
        self.default_queue_type = properties.default_queue_type
        self.protected = properties.protected
        self._trace(properties.tracing)

    def _tracing_steps(self) -> Steps:
        for connection in one_by_one(list(self.connections)):
            for channel in one_by_one(list(connection.channels.values())):
                channel.tracing_changed()
                yield None

    def update(self, description: str, tags: tuple[str, ...], default_queue_type: str | None) -> None:
        """Set the properties."""
        self.description = description
        self.tags = tags
        self.default_queue_type = default_queue_type
        self.engine.changed(Kind.VHOST, (self.name,))

    def protect(self, on: bool) -> None:
        """Protect it from deletion, or remove the protection."""
        self.protected = on
        self.engine.changed(Kind.VHOST, (self.name,))

    def _reply_address(self, key: bytes) -> Destination | None:
        return self.reply_address(key.decode("utf-8", "replace"))

    def reply_address(self, name: str) -> Destination | None:
        """Return the direct reply-to address of that name if it is in use and can be reached from here, or None."""
        address = self.engine.reply_addresses.get(name)
        if address is not None and self.profile.volatile_reply_queues and address.vhost != self.name:
            # Where reply addresses are queues, they belong to one virtual host; in older versions they were processes.
            return None
        return address

    # --- exchanges

    def alternate_of(self, name: str, arguments: Table) -> str | None:
        """Return the argument alternate-exchange. Raises AmqpError if it is invalid."""
        return declared.alternate_exchange(errors.exchange_name(name, self.name), arguments)

    def declare_internal_exchange(self, name: str) -> None:
        """Declare a topic exchange to which the broker itself publishes."""
        self.declare_exchange(
            name, "topic", durable=True, auto_delete=False, internal=True, arguments={}, user=INTERNAL_USER
        )

    def declare_exchange(
        self,
        name: str,
        kind: str,
        *,
        durable: bool,
        auto_delete: bool,
        internal: bool,
        arguments: Table,
        user: str,
        actor: Actor = INTERNAL,
        may_wait: bool = False,
    ) -> Exchange:
        """Create an exchange, or return the one that exists. Raises 406 if that is not equivalent. `may_wait`: the call
        is repeated after `Suspended`."""
        exchange = self.exchanges.get(name)
        if exchange is not None:
            equivalence.exchange_equivalence(
                errors.exchange_name(name, self.name),
                exchange,
                kind=kind,
                durable=durable,
                auto_delete=auto_delete,
                internal=internal,
                arguments=arguments,
            )
            return exchange
        declaration = Declaration(name, kind, durable, auto_delete, internal, arguments, user)
        exchange = make_exchange(declaration, self.profile, self.engine.random_octets)
        exchange.alternate = self.alternate_of(name, arguments)
        if may_wait:
            self._find_policies(name, "exchange", "exchange")
        self._serial += 1
        exchange.serial = self._serial
        self.exchanges[name] = exchange
        self.apply_exchange_policy(exchange)
        self.router.changed()
        self._notify(ExchangeCreated(actor, self.name, exchange))
        return exchange

    def delete_exchange(self, exchange: Exchange, actor: Actor = INTERNAL, owner: Owner | None = None) -> Job:
        """Delete an exchange with all bindings from it and to it, as a job; `owner` waits for it."""
        if self.exchanges.pop(exchange.name, None) is None:
            return NO_JOB
        shrink(self.exchanges)
        return self.removals.remove_exchange(exchange, actor, owner)

    # --- bindings

    def check_binding(
        self, source: Exchange, destination: Queue | Exchange, key: str, arguments: Table
    ) -> None:
        """Raise 406 for a binding that the exchange does not accept."""
        source.check_binding(source.binding(destination, _wire(key), arguments))

    def bind(
        self,
        source: Exchange,
        destination: Queue | Exchange,
        key: str,
        arguments: Table,
        actor: Actor = INTERNAL,
        owner: Owner | None = None,
    ) -> None:
        """Add a binding. One that exists is not changed, but reported as repeated. `owner` waits for a long history
        that is published to the destination."""
        binding = source.binding(destination, _wire(key), arguments)
        self.engine.lint.binding(actor, self.name, source, key, arguments)
        if source.add(binding):
            self.removals.sources.note(source, destination)
            self.router.changed()
            self._notify(BindingCreated(actor, self.name, source, binding))
            try:
                self._replay(source, destination, owner)
            except errors.AmqpError:
                if self.profile.failed_binding_undone:
                    source.remove(binding)
                    self.removals.sources.note(source, destination)
                    self.router.changed()
                    self._notify(BindingDeleted(actor, self.name, source, binding))
                    raise errors.internal_error() from None
                raise
            finally:
                self.publish_dead_letters()
        else:
            self._notify(BindingRepeated(actor, self.name, source, binding))

    def _replay(self, source: Exchange, destination: Queue | Exchange, owner: Owner | None) -> None:
        """Publish the messages that `source` keeps to a destination that was just bound, as a job: to a queue in order,
        to an exchange newest first. Raises 541 if one of them reaches no queue there
        (rabbit_exchange_type_recent_history:add_binding); in a long history only the newest are examined."""
        messages = source.replay()
        if not messages:
            return
        if not isinstance(destination, Queue):
            messages.reverse()
            for message in messages[:PORTION]:
                queues = self.publisher.route(destination, message)
                if not queues:
                    raise errors.history_lost()
                self.publisher.push(message, queues)
            messages = messages[PORTION:]
        self.engine.work.begin(self._replay_steps(destination, messages), "history", owner, vhost=self.name)

    def _replay_steps(self, destination: Queue | Exchange, messages: list[Message]) -> Steps:
        for number, message in enumerate(messages, 1):
            if not isinstance(destination, Queue):
                self.publisher.push(message, self.publisher.route(destination, message))
            elif not destination.gone:
                self.publisher.push(message, [destination])
            if number % PORTION == 0:
                self.publish_dead_letters()
                yield None
        self.publish_dead_letters()

    def unbind(
        self,
        source: Exchange,
        destination: Queue | Exchange,
        key: str,
        arguments: Table,
        actor: Actor = INTERNAL,
    ) -> bool:
        """Remove a binding. Returns whether it existed."""
        binding = source.remove(source.binding(destination, _wire(key), arguments))
        if binding is None:
            return False
        self.removals.sources.note(source, destination)
        self.router.changed()
        self._notify(BindingDeleted(actor, self.name, source, binding))
        self.removals.unbound(source, actor)
        return True

    def has_binding(
        self, source: Exchange, destination: Queue | Exchange, key: str, arguments: Table
    ) -> bool:
        """Return whether exactly this binding exists."""
        return source.binding(destination, _wire(key), arguments).identity in source.bindings

    def bindings_to(self, destination: Queue | Exchange) -> list[Binding]:
        """Return all explicit bindings of a destination."""
        sources = self.removals.sources.of(destination)
        return [binding for exchange in sources for binding in exchange.bindings_to(destination)]

    # --- queues

    def new_queue_name(self, arguments: Table) -> str:
        """Return a name for a queue that is declared without one."""
        while True:
            name = generated_name("amq.gen", self.engine.random_octets)
            if (
                name not in self.queues
            ):  # there may be one if the random octets have a seed, and the queues a store
                return name

    def declare_queue(
        self,
        name: str,
        *,
        durable: bool,
        auto_delete: bool,
        owner: ClientConnectionBase | None,
        arguments: Table,
        user: str,
        server_named: bool = False,
        actor: Actor = INTERNAL,
        default_type: str | None = None,
        restored: bool = False,
        may_wait: bool = False,
    ) -> Queue:
        """Create a queue, or return the one that exists. Raises 406 if that is not equivalent. `owner`: the connection
        of an exclusive queue; `default_type`: the queue type without x-queue-type, None for the default of the virtual
        host. `restored`: it was there before, so limits of the node do not apply. `may_wait`: the call is repeated
        after `Suspended`."""
        default_type = default_type or self.default_queue_type or self.engine.settings.amqp.default_queue_type
        rendered = errors.queue_name(name, self.name)
        profile = self.profile
        self.engine.counters.queues_declared += 1
        queue = self.queues.get(name)
        if queue is not None:
            queue.check_crashed()
            equivalence.queue_equivalence(
                rendered,
                queue,
                durable=durable if owner is None else queue.durable,
                auto_delete=auto_delete,
                arguments=arguments,
                profile=profile,
                default_queue_type=default_type,
                relaxed=self.engine.settings.amqp.relaxed_redeclaration,
            )
            queue.queue_expiry.declared()
            self.engine.lint.queue(actor, queue)
            return queue
        if server_named:
            declared.check_server_named(arguments)
        options, stored = declared.queue_options(
            rendered,
            arguments,
            durable=durable,
            exclusive=owner is not None,
            auto_delete=auto_delete,
            profile=profile,
            permitted=self.engine.permits,
            default_queue_type=default_type,
            check_type=lambda kind: None if restored else self._check_type(rendered, kind),
        )
        if server_named and options.queue_type != "classic":
            raise errors.server_named_refused(options.queue_type)
        self.engine.access.check_vhost_queues(self.name, name, len(self.queues))
        if not restored:
            self.engine.node_limits.check_queue(name)
        if may_wait:
            self._find_policies(name, options.queue_type, "queue")
        queue = make_queue(self.name, name, options, self.context, profile)
        queue.durable = durable and owner is None
        queue.auto_delete = auto_delete
        queue.owner = owner
        queue.user = user
        queue.arguments = stored
        queue.options = options
        self.queues[name] = queue
        self.routes[_wire(name)] = queue
        if owner is not None:
            owner.exclusive_queues = owner.exclusive_queues or {}
            owner.exclusive_queues[name] = queue
        self.engine.counters.queues_created += 1
        self.apply_queue_policy(queue)
        self.router.changed()
        self._notify(QueueCreated(actor, self.name, queue))
        self.engine.lint.queue(actor, queue)
        return queue

    def _check_type(self, rendered: str, kind: str) -> None:
        """Raise 541 for a queue type that the settings disable (rabbit_amqqueue:declare)."""
        settings = self.engine.settings
        if kind in settings.amqp.disabled_queue_types:
            raise errors.queue_type_disabled(rendered, kind, settings.server.node_name)

    def take_queue(self, queue: Queue, actor: Actor = INTERNAL, owner: Owner | None = None) -> TakenQueue:
        """Delete a queue, and its bindings as a job; `owner` waits for it. The caller cancels its consumers."""
        if self.queues.pop(queue.name, None) is None:
            return TakenQueue([], NO_JOB)
        self.routes.pop(_wire(queue.name), None)
        shrink(self.queues)
        shrink(self.routes)
        if queue.owner is not None and queue.owner.exclusive_queues:
            queue.owner.exclusive_queues.pop(queue.name, None)
        consumers = queue.close()
        self.engine.counters.queues_deleted += 1
        self._count_gone()
        return TakenQueue(consumers, self.removals.remove_queue(queue, consumers, actor, owner))

    def _count_gone(self) -> None:
        """Count a queue or exchange that is gone. When they are many, what was counted of them is forgotten, as a job:
        it keeps them in memory."""
        self._gone += 1
        kept = len(self.queues) + len(self.exchanges)
        if self._gone >= max(FORGOTTEN_TOGETHER, kept) and self._forgetting.done:
            self._gone = 0
            self._forgetting = self.engine.work.begin(self._forget_steps(), "counts", vhost=self.name)

    def _forget_steps(self) -> Steps:
        """Forget what was counted of queues and exchanges that are gone."""
        for exchange in one_by_one(list(self.exchanges.values())):
            if exchange.tally is not None:
                yield from exchange.tally.forget_steps()
            yield None
        for connection in one_by_one(list(self.connections)):
            for channel in one_by_one(list(connection.channels.values())):
                yield from channel.forget_steps()
                yield None

    def cancel_consumers(self, consumers: list[Consumer]) -> None:
        """Notify consumers that their queue was deleted, in the order of consumer tags (rabbit_channel: queue_consumers
        is an ordered set), as a job."""
        if consumers:
            self.engine.work.begin(_cancel_steps(consumers), "consumer cancellation", vhost=self.name)

    def delete_queue(self, queue: Queue, actor: Actor = INTERNAL) -> Job:
        """Delete a queue and cancel its consumers. Returns the job that removes its bindings."""
        taken = self.take_queue(queue, actor)
        taken.job.when_done(lambda: self.cancel_consumers(taken.consumers))
        return taken.job

    def _remove(self, queue: Queue, reason: str) -> None:
        """Delete a queue for itself, because of auto-delete or x-expires."""
        self.delete_queue(queue)

    def _crashed(self, queue: Queue) -> None:
        """Cancel the consumers of a queue whose backlog could not be read back, as RabbitMQ does when a queue's process
        has ended (rabbit_channel:handle_consuming_queue_down_or_eol)."""
        self._notify(QueueCrashed(INTERNAL, self.name, queue))
        consumers = list(queue.consumers.members)
        for consumer in consumers:
            queue.detach(consumer)
            self._notify(ConsumerDeleted(INTERNAL, as_client(consumer)))
        self.cancel_consumers(consumers)

    def _unreadable(self, queue: Queue, consumer: Consumer | None, reason: str) -> None:
        """End a consumer of a stream that cannot be read on: it is cancelled, or its connection is closed if the client
        does not support basic.cancel. RabbitMQ's channel crashes in that case."""
        self._notify(StreamUnreadable(INTERNAL, self.name, queue, reason))
        if consumer is None or consumer.gone:
            return
        queue.detach(consumer)
        client = as_client(consumer)
        self._notify(ConsumerDeleted(INTERNAL, client))
        connection = client.channel.connection
        if connection.cancels_consumers:
            consumer.cancelled()
        else:
            connection.shut(errors.internal_error())

    # --- policies

    def apply_policies(self, owner: Owner | None = None) -> Job:
        """Apply all policies again after one was set or cleared, as a job. `owner` waits for it."""
        return self.engine.work.begin(self._policy_steps(), "policies", owner, vhost=self.name)

    def _policy_steps(self) -> Steps:
        budget, policies = Budget(), self.engine.policies
        for exchange in one_by_one(list(self.exchanges.values())):
            self.apply_exchange_policy(
                exchange,
                (yield from policies.search(self.name, exchange.name, "exchange", "exchange", budget)),
            )
            yield None
        for queue in one_by_one(list(self.queues.values())):
            if not queue.gone:
                found = yield from policies.search(self.name, queue.name, queue.kind, "queue", budget)
                if not queue.gone:
                    self.apply_queue_policy(queue, found)
                yield queue.busy
        self.router.changed()
        self.publish_dead_letters()

    def _find_policies(self, name: str, kind: str, target: str) -> None:
        """Raise `Suspended` while the policies for a new object are looked for, if they are many."""
        steps = self.engine.policies.prepared(self.name, name, kind, target)
        if steps is None:
            return
        job = self.engine.work.begin(steps, "policies", vhost=self.name)
        if not job.done:
            if target == "queue":
                self.engine.counters.queues_declared -= 1  # it is declared again
            raise Suspended(job)

    def apply_exchange_policy(self, exchange: Exchange, found: Effective | None = None) -> None:
        """Set the alternate exchange of an exchange; the argument takes precedence over the policy (docs: ae). `found`:
        what applies; None: it is looked for."""
        found = found or self.engine.policies.for_exchange(self.name, exchange.name)
        exchange.policy = found
        argument = self.alternate_of(exchange.name, exchange.arguments)
        exchange.alternate = argument if argument is not None else found.definition.get("alternate-exchange")

    def apply_queue_policy(self, queue: Queue, found: Effective | None = None) -> None:
        """Set limits and dead letter target of a queue from arguments, policy and operator policy (docs:
        parameters#policies). `found`: what applies; None: it is looked for."""
        found = found or self.engine.policies.for_queue(self.name, queue.name, queue.kind)
        queue.policy = found
        options = merge_policy.merge(queue.options, queue.arguments, found.definition)
        queue.effective = options
        queue.configure(
            Limits(
                _or_none(options.message_ttl),
                _or_none(options.expires),
                _or_none(options.max_length),
                _or_none(options.max_length_bytes),
                options.overflow or "drop-head",
            ),
            options.dead_letter_exchange,
            options.dead_letter_routing_key,
        )

    # --- dead letters

    def publish_dead_letters(self) -> Job | None:
        """Publish the messages that died in the last operation. Returns the job that does so if they are many."""
        return self.dead_lettering.publish_all()


def _wire(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _or_none(limit: int | None) -> int:
    return -1 if limit is None else limit


def _cancel_steps(consumers: list[Consumer]) -> Steps:
    cancelled = yield from in_order(consumers, lambda one: one.tag.encode("utf-8", "surrogateescape"))
    consumers.clear()  # each is freed with its portion
    for portion in portions(cancelled, PORTION):
        for consumer in portion:
            try:
                consumer.cancelled()
            except Exception as error:
                consumer.failed(error)
        yield None
