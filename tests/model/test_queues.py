"""Queues, consumers and channels are compared with a simple model after random operations.

The model has plain lists. It takes from the server's deliveries which of several consumers gets a message, and checks
that this was allowed: a delivery is the head of the queue, its consumer has credit, and no consumer of higher priority
could have got it. No message stays ready while a consumer has credit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby
from math import inf
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from pamqp.commands import Basic, Channel, Confirm, Queue

from leveret.config import Settings
from leveret.testing.playbook import Advance, Connect, Content, Line, Say, Stage, publish, say


@dataclass(frozen=True)
class Declaration:
    """A queue as it is declared. `message_ttl`: ms; a number of 0 means that there is no such argument."""

    max_priority: int = 0
    message_ttl: int = 0
    max_length: int = 0
    dead_letter_queue: str = ""
    single_active_consumer: bool = False

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of queue.declare."""
        given: dict[str, Any] = {
            "x-max-priority": self.max_priority,
            "x-message-ttl": self.message_ttl,
            "x-max-length": self.max_length,
            "x-dead-letter-routing-key": self.dead_letter_queue,
            "x-single-active-consumer": self.single_active_consumer,
        }
        given = {name: value for name, value in given.items() if value}
        return given | ({"x-dead-letter-exchange": ""} if self.dead_letter_queue else {})


#: Queues that get dead letters stand last.
QUEUES: dict[str, Declaration] = {
    "plain": Declaration(),
    "priority": Declaration(max_priority=3),
    "single": Declaration(single_active_consumer=True),
    "ttl": Declaration(message_ttl=500, dead_letter_queue="expired"),
    "short": Declaration(max_length=3, dead_letter_queue="dropped"),
    "expired": Declaration(),
    "dropped": Declaration(),
}
CHANNELS = [("a", 1), ("a", 2), ("b", 1), ("b", 2)]


@dataclass
class ModelMessage:
    """A message in a queue."""

    body: bytes
    position: int
    priority: int
    expires_at: int
    redelivered: bool = False
    failed: int = 0

    @property
    def order(self) -> tuple[int, int]:
        return (-self.priority, self.position)


@dataclass
class ModelConsumer:
    """A consumer."""

    tag: str
    queue: ModelQueue
    no_ack: bool
    limit: int
    priority: int
    held: int = 0

    @property
    def credit(self) -> float:
        """How many deliveries it may still get."""
        return inf if self.no_ack or self.limit == 0 else self.limit - self.held


@dataclass
class ModelQueue:
    """A queue. `batches`: what it delivered while deliveries of one channel were settled, step by step."""

    name: str
    ready: list[ModelMessage] = field(default_factory=list)
    consumers: list[ModelConsumer] = field(default_factory=list)
    active: ModelConsumer | None = None
    position: int = 0
    unacked: int = 0
    batches: list[list[ModelMessage]] = field(default_factory=list)

    @property
    def declaration(self) -> Declaration:
        return QUEUES[self.name]

    @property
    def with_credit(self) -> list[ModelConsumer]:
        if self.declaration.single_active_consumer:
            return [one for one in (self.active,) if one is not None and one.credit > 0]
        return [one for one in self.consumers if one.credit > 0]

    @property
    def credit(self) -> float:
        """How many messages can be delivered now."""
        return sum(one.credit for one in self.with_credit) - sum(map(len, self.batches))


@dataclass
class Unacked:
    """A delivery that is not settled. `consumer`: None for basic.get."""

    queue: ModelQueue
    message: ModelMessage
    consumer: ModelConsumer | None

    @property
    def queue_and_consumer(self) -> tuple[str, str]:
        """The order in which a channel settles deliveries (rabbit_channel:foreach_per_queue/3)."""
        return self.queue.name, self.consumer.tag if self.consumer is not None else ""


@dataclass
class ModelChannel:
    """A channel."""

    tag: int = 0
    prefetch: int = 0
    consumers: dict[str, ModelConsumer] = field(default_factory=dict)
    unacked: dict[int, Unacked] = field(default_factory=dict)
    confirms: int | None = None


@dataclass
class ModelDelivery:
    """A delivery."""

    by: str
    channel: ModelChannel
    tag: int
    consumer: ModelConsumer
    body: bytes
    redelivered: bool


class Queues(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.stage = Stage(Settings(), lambda data: (data,))
        self.queues = {name: ModelQueue(name) for name in QUEUES}
        self.channels = {where: ModelChannel() for where in CHANNELS}
        self.number = 0
        self.now = 0

    @initialize()
    def declare(self) -> None:
        for by in "ab":
            self.stage.connect(Connect(by, channels=(1, 2)))
        for name, declaration in QUEUES.items():
            self.stage.play([say(Queue.Declare, queue=name, arguments=declaration.arguments)])

    # --- acting

    def act(self, *lines: Line) -> list[Line]:
        """Play lines and return what the server sends, without deliveries; those are checked against the model."""
        said = self.stage.play(lines)
        other: list[Line] = []
        deliveries: list[ModelDelivery] = []
        delivery: Say | None = None
        for line in said:
            if isinstance(line, Say) and line.command is Basic.Deliver:
                delivery = line
            elif isinstance(line, Content) and delivery is not None:
                deliveries.append(self.delivered(delivery, line))
                delivery = None
            else:
                other.append(line)
        self.check(deliveries)
        return other

    def delivered(self, given: Say, given_content: Content) -> ModelDelivery:
        channel = self.channels[given.by, given.channel]
        consumer = channel.consumers[given.arguments["consumer_tag"]]
        model = consumer.queue
        channel.tag += 1
        assert given.arguments["delivery_tag"] == channel.tag
        assert consumer in model.with_credit
        if not consumer.no_ack:
            consumer.held += 1
            model.unacked += 1
        return ModelDelivery(
            given.by, channel, channel.tag, consumer, given_content.body, given.arguments["redelivered"]
        )

    def check(self, deliveries: list[ModelDelivery]) -> None:
        """Check that each delivery is the head of its queue, and that each connection got them in order."""
        for model in self.queues.values():
            mine = [one for one in deliveries if one.consumer.queue is model]
            # By body: the message, and the step in which it is delivered.
            expected: dict[bytes, tuple[int, ModelMessage]] = {}
            for step, batch in enumerate([*model.batches, None]):
                for message in batch if batch is not None else self.heads(model, len(mine) - len(expected)):
                    expected[message.body] = (step, message)
            model.batches.clear()
            assert set(expected) == {one.body for one in mine}
            for one in mine:
                message = expected[one.body][1]
                assert message.redelivered in (None, one.redelivered)
                if not one.consumer.no_ack:
                    one.channel.unacked[one.tag] = Unacked(model, message, one.consumer)
            for by in "ab":
                order = [(expected[one.body][0], expected[one.body][1].order) for one in mine if one.by == by]
                assert order == sorted(order)
            self.limit(model)
            lowest = min((one.consumer.priority for one in mine), default=None)
            if lowest is not None and model.ready:
                assert not [one for one in model.with_credit if one.priority > lowest]

    def heads(self, model: ModelQueue, count: float) -> list[ModelMessage]:
        """Take at most so many messages from the head."""
        taken: list[ModelMessage] = []
        self.expire(model)
        while model.ready and len(taken) < count:
            taken.append(model.ready.pop(0))
            self.expire(model)
        return taken

    def enter(self, model: ModelQueue, body: bytes, priority: int, expires_at: int) -> None:
        model.position += 1
        top = model.declaration.max_priority
        model.ready.append(ModelMessage(body, model.position, min(max(priority, 0), top), expires_at))

    def expire(self, model: ModelQueue) -> None:
        """Remove expired messages at the head; those behind one that is not expired stay."""
        model.ready.sort(key=lambda one: one.order)
        while model.ready and 0 < model.ready[0].expires_at <= self.now:
            self.dead_letter(model, model.ready.pop(0))

    def limit(self, model: ModelQueue) -> None:
        """Drop messages from the head until the length limit holds."""
        self.expire(model)
        most = model.declaration.max_length
        while most and len(model.ready) > most:
            self.dead_letter(model, model.ready.pop(0))
            self.expire(model)

    def dead_letter(self, model: ModelQueue, message: ModelMessage, rejected: bool = False) -> None:
        """Dead letters are redelivered if they had to wait and were rejected by basic.reject, not by basic.nack or by
        the end of their channel (RabbitMQ 4.3)."""
        if model.declaration.dead_letter_queue:
            target = self.queues[model.declaration.dead_letter_queue]
            waits = len(target.ready) >= target.credit
            self.enter(target, message.body, 0, 0)
            target.ready[-1].failed = message.failed + rejected
            target.ready[-1].redelivered = target.ready[-1].failed > 0 and waits

    def requeue(self, unacked: Iterable[Unacked], failed: bool) -> None:
        """Requeue deliveries that belong together; their queues deliver at once to consumers that have credit then."""
        for delivery in unacked:
            model, message = delivery.queue, delivery.message
            model.unacked -= 1
            message.redelivered = True
            message.failed += failed
            model.ready.append(message)
            if delivery.consumer is not None:
                delivery.consumer.held -= 1
        for model in self.queues.values():
            self.limit(model)
            model.batches.append(self.heads(model, model.credit))

    def requeue_by_consumer(self, unacked: list[Unacked], failed: bool) -> None:
        """Requeue deliveries, those of each consumer together."""
        unacked.sort(key=lambda one: one.queue_and_consumer)
        for _, group in groupby(unacked, key=lambda one: one.queue_and_consumer):
            self.requeue(group, failed)

    def end_channel(self, channel: ModelChannel) -> None:
        """End a channel."""
        for consumer in channel.consumers.values():
            self.end_consumer(consumer)
        held = [channel.unacked[tag] for tag in sorted(channel.unacked)]
        channel.unacked.clear()
        channel.consumers.clear()
        self.requeue(held, True)

    def end_consumer(self, consumer: ModelConsumer) -> None:
        model = consumer.queue
        model.consumers.remove(consumer)
        if model.active is consumer:
            rest = model.consumers
            best = max((one.priority for one in rest), default=0)
            model.active = next((one for one in rest if one.priority == best), None)

    # --- rules

    names = st.sampled_from(["plain", "priority", "ttl", "short", "single"])
    where = st.sampled_from(CHANNELS)

    @rule(
        where=where,
        name=names,
        messages=st.lists(
            st.tuples(st.integers(-1, 5), st.sampled_from([0, 0, 0, 100, 300, 700])), min_size=1, max_size=5
        ),
    )
    def publish(self, where: tuple[str, int], name: str, messages: list[tuple[int, int]]) -> None:
        for priority, ttl in messages:
            self.publish_one(where, name, priority, ttl)

    def publish_one(self, where: tuple[str, int], name: str, priority: int, ttl: int) -> None:
        self.number += 1
        body = b"%d" % self.number
        properties: dict[str, Any] = {"priority": priority} if priority >= 0 else {}
        ahead = [one.priority for one in self.queues[name].ready]
        top = QUEUES[name].max_priority
        if top and ahead and min(max(priority, 0), top) > max(ahead):
            ttl = 0  # RabbitMQ does not check a new head of higher priority before the next operation
        if ttl:
            properties["expiration"] = str(ttl)
        limits = [one for one in (ttl, QUEUES[name].message_ttl) if one]
        self.enter(self.queues[name], body, priority, self.now + min(limits) if limits else 0)
        lines = publish(body, name, by=where[0], channel=where[1], **properties)
        others = self.act(*lines)
        channel = self.channels[where]
        if channel.confirms is not None:
            channel.confirms += 1
            assert others == [say(Basic.Ack, delivery_tag=channel.confirms, by=where[0], channel=where[1])]
        else:
            assert others == []

    @precondition(lambda self: any(model.ready for model in self.queues.values()))
    @rule(where=where, data=st.data(), no_ack=st.sampled_from([False, False, True]), count=st.integers(1, 3))
    def get(self, where: tuple[str, int], data: st.DataObject, no_ack: bool, count: int) -> None:
        name = data.draw(st.sampled_from([name for name, model in self.queues.items() if model.ready]))
        for _ in range(count):
            self.get_one(where, name, no_ack)

    def get_one(self, where: tuple[str, int], name: str, no_ack: bool) -> None:
        model, channel = self.queues[name], self.channels[where]
        line = say(Basic.Get, queue=name, no_ack=no_ack, by=where[0], channel=where[1])
        if not model.ready:
            assert self.act(line) == [say(Basic.GetEmpty, by=where[0], channel=where[1])]
            return
        self.expire(model)
        message = model.ready.pop(0)
        channel.tag += 1
        tag = channel.tag
        said = self.act(line)
        got, given = said
        assert isinstance(got, Say) and isinstance(given, Content)
        assert got.arguments["delivery_tag"] == tag and given.body == message.body
        assert message.redelivered in (None, got.arguments["redelivered"])
        assert got.arguments["message_count"] == len(model.ready)
        if not no_ack:
            model.unacked += 1
            channel.unacked[tag] = Unacked(model, message, None)

    @rule(
        where=where,
        name=st.sampled_from(list(QUEUES)),
        no_ack=st.sampled_from([False, False, True]),
        priority=st.integers(-1, 1),
    )
    def consume(self, where: tuple[str, int], name: str, no_ack: bool, priority: int) -> None:
        model, channel = self.queues[name], self.channels[where]
        if len(model.consumers) > 4:
            return
        self.number += 1
        consumer = ModelConsumer(
            f"c{self.number}", model, no_ack, 0 if no_ack else channel.prefetch, priority
        )
        channel.consumers[consumer.tag] = consumer
        model.consumers.append(consumer)
        model.active = model.active or consumer
        given = {"x-priority": priority}
        line = say(Basic.Consume, queue=name, consumer_tag=consumer.tag, no_ack=no_ack, arguments=given,
                   by=where[0], channel=where[1])  # fmt: skip
        assert self.act(line) == [
            say(Basic.ConsumeOk, consumer_tag=consumer.tag, by=where[0], channel=where[1])
        ]

    def cancel(self, where: tuple[str, int], data: st.DataObject) -> None:
        channel = self.channels[where]
        if not channel.consumers:
            return
        tag = data.draw(st.sampled_from(sorted(channel.consumers)))
        self.end_consumer(channel.consumers[tag])
        del channel.consumers[tag]
        line = say(Basic.Cancel, consumer_tag=tag, by=where[0], channel=where[1])
        assert self.act(line) == [say(Basic.CancelOk, consumer_tag=tag, by=where[0], channel=where[1])]

    def qos(self, where: tuple[str, int], count: int) -> None:
        self.channels[where].prefetch = count
        line = say(Basic.Qos, prefetch_count=count, by=where[0], channel=where[1])
        assert self.act(line) == [say(Basic.QosOk, by=where[0], channel=where[1])]

    def confirm(self, where: tuple[str, int]) -> None:
        channel = self.channels[where]
        channel.confirms = channel.confirms or 0
        line = say(Confirm.Select, by=where[0], channel=where[1])
        assert self.act(line) == [say(Confirm.SelectOk, by=where[0], channel=where[1])]

    @precondition(lambda self: any(channel.unacked for channel in self.channels.values()))
    @rule(
        data=st.data(),
        command=st.sampled_from([Basic.Ack, Basic.Nack, Basic.Reject]),
        multiple=st.booleans(),
        requeue=st.booleans(),
    )
    def settle(self, data: st.DataObject, command: Any, multiple: bool, requeue: bool) -> None:
        where = data.draw(st.sampled_from([where for where in CHANNELS if self.channels[where].unacked]))
        channel = self.channels[where]
        known = sorted(channel.unacked)
        tag = data.draw(st.sampled_from([*known * 4, 0, channel.tag + 1]))
        multiple = multiple and command is not Basic.Reject
        bits = {} if command is Basic.Ack else {"requeue": requeue}
        if command is not Basic.Reject:
            bits["multiple"] = multiple
        line = say(command, delivery_tag=tag, by=where[0], channel=where[1], **bits)
        if tag not in channel.unacked and not (multiple and tag == 0):
            self.end_channel(channel)
            (refused,) = self.act(line)
            assert isinstance(refused, Say) and refused.command is Channel.Close
            assert refused.arguments["reply_text"] == f"PRECONDITION_FAILED - unknown delivery tag {tag}"
            self.reopen(where, [say(Channel.CloseOk, by=where[0], channel=where[1])])
            return
        tags = [one for one in known if tag in (0, one) or one <= tag] if multiple else [tag]
        held = [channel.unacked.pop(one) for one in tags]
        if command is not Basic.Ack and requeue:
            self.requeue_by_consumer(held, command is Basic.Reject)
        else:
            for delivery in held:
                delivery.queue.unacked -= 1
                if delivery.consumer is not None:
                    delivery.consumer.held -= 1
            held.sort(key=lambda one: one.queue_and_consumer)
            for delivery in held if command is not Basic.Ack else []:
                self.dead_letter(delivery.queue, delivery.message, command is Basic.Reject)
        assert self.act(line) == []

    def recover(self, where: tuple[str, int]) -> None:
        channel = self.channels[where]
        held = [channel.unacked[tag] for tag in sorted(channel.unacked)]
        channel.unacked.clear()
        self.requeue_by_consumer(held, False)
        said = self.act(say(Basic.Recover, requeue=True, by=where[0], channel=where[1]))
        assert said == [say(Basic.RecoverOk, by=where[0], channel=where[1])]

    def reopen(self, where: tuple[str, int], before: list[Line]) -> None:
        self.channels[where] = ModelChannel()
        said = self.act(*before, say(Channel.Open, by=where[0], channel=where[1]))
        assert say(Channel.OpenOk, by=where[0], channel=where[1]) in said

    def close_channel(self, where: tuple[str, int]) -> None:
        self.end_channel(self.channels[where])
        said = self.act(say(Channel.Close, by=where[0], channel=where[1]))
        assert said == [say(Channel.CloseOk, by=where[0], channel=where[1])]
        self.reopen(where, [])

    def lose_connection(self, by: str) -> None:
        gone = [channel for (who, _), channel in self.channels.items() if who == by]
        for channel in gone:  # all its consumers are removed before anything is delivered again
            for consumer in channel.consumers.values():
                consumer.limit, consumer.held, consumer.no_ack = 1, 1, False
        for channel in gone:
            self.end_channel(channel)
        for where in CHANNELS:
            if where[0] == by:
                self.channels[where] = ModelChannel()
        self.stage.clients[by].connection.lost()
        del self.stage.clients[by]
        self.act()
        self.stage.connect(Connect(by, channels=(1, 2)))

    def purge(self, name: str) -> None:
        count = len(self.queues[name].ready)
        self.queues[name].ready.clear()
        assert self.act(say(Queue.Purge, queue=name)) == [say(Queue.PurgeOk, message_count=count)]

    @rule(data=st.data(), where=where, name=names, count=st.integers(0, 3))
    def disturb(self, data: st.DataObject, where: tuple[str, int], name: str, count: int) -> None:
        """Do something that would leave an empty broker if it happened often."""
        kinds = ["qos", "qos", "cancel", "cancel", "recover", "confirm", "purge", "close", "lose"]
        match data.draw(st.sampled_from(kinds)):
            case "qos":
                self.qos(where, count)
            case "cancel":
                self.cancel(where, data)
            case "recover":
                self.recover(where)
            case "confirm":
                self.confirm(where)
            case "purge":
                self.purge(name)
            case "close":
                self.close_channel(where)
            case _:
                self.lose_connection(where[0])

    @rule(milliseconds=st.sampled_from([1, 99, 100, 101, 250, 1000]))
    def wait(self, milliseconds: int) -> None:
        self.now += milliseconds
        assert self.act(Advance(milliseconds)) == []

    # --- what must always hold

    @invariant()
    def counts_agree(self) -> None:
        queues = self.stage.broker.vhosts["/"].queues
        for name, model in self.queues.items():
            if name not in queues:
                continue
            queue = queues[name]
            assert queue.ready == len(model.ready), name
            assert queue.ready_bytes == sum(len(one.body) for one in model.ready)
            assert queue.unacked == model.unacked, name
            assert len(queue.consumers.members) == len(model.consumers)

    @invariant()
    def nothing_is_ready_while_there_is_credit(self) -> None:
        for model in self.queues.values():
            assert not (model.ready and model.with_credit), model

    @precondition(lambda self: len(self.stage.clients) == 2)
    @invariant()
    def heads_agree(self) -> None:
        for name, model in self.queues.items():
            queue = self.stage.broker.vhosts["/"].queues.get(name)
            first = queue.backlog.first() if queue is not None else None
            head = min(model.ready, key=lambda one: one.order, default=None)
            assert (first.message.body if first else None) == (head.body if head else None)


TestQueues = Queues.TestCase
TestQueues.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
