"""Queues, consumers and channels against a naive model, step by step in any order.

The model keeps plain lists. What it cannot know (whose turn it is) it takes from what was said, and checks that it was
allowed: deliveries are the head of the queue, to consumers with credit, none of a lower priority than one that could
have had it; and nothing waits while anyone could take it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from pamqp.commands import Basic, Channel, Confirm, Queue

from leveret.config import Settings
from leveret.testing.playbook import Advance, Connect, Content, Line, Say, Stage, publish, say

#: name -> (arguments, highest priority, TTL, maximum length, where dead letters go, one active consumer). Those that
#: dead letters go to stand last.
QUEUES: dict[str, tuple[dict[str, Any], int, int, int, str, bool]] = {
    "plain": ({}, 0, 0, 0, "", False),
    "levels": ({"x-max-priority": 3}, 3, 0, 0, "", False),
    "single": ({"x-single-active-consumer": True}, 0, 0, 0, "", True),
    "mortal": ({"x-message-ttl": 500}, 0, 500, 0, "expired", False),
    "short": ({"x-max-length": 3}, 0, 0, 3, "pushed", False),
    "expired": ({}, 0, 0, 0, "", False),
    "pushed": ({}, 0, 0, 0, "", False),
}
CHANNELS = [("a", 1), ("a", 2), ("b", 1), ("b", 2)]


@dataclass
class Letter:
    """A message in a queue."""

    body: bytes
    position: int
    priority: int
    expires_at: int
    redelivered: bool = False

    @property
    def order(self) -> tuple[int, int]:
        return (-self.priority, self.position)


@dataclass
class Eater:
    """A consumer."""

    tag: str
    queue: Shelf
    no_ack: bool
    limit: int
    priority: int
    held: int = 0

    @property
    def able(self) -> bool:
        return self.no_ack or self.limit == 0 or self.held < self.limit


@dataclass
class Shelf:
    """A queue."""

    name: str
    ready: list[Letter] = field(default_factory=list)
    eaters: list[Eater] = field(default_factory=list)
    active: Eater | None = None
    position: int = 0
    unacked: int = 0

    @property
    def able(self) -> list[Eater]:
        if QUEUES[self.name][5]:
            return [one for one in (self.active,) if one is not None and one.able]
        return [one for one in self.eaters if one.able]


@dataclass
class Room:
    """A channel."""

    tag: int = 0
    prefetch: int = 0
    eaters: dict[str, Eater] = field(default_factory=dict)
    held: dict[int, tuple[Shelf, Letter, Eater | None]] = field(default_factory=dict)
    confirms: int | None = None


@dataclass
class Served:
    """A delivery."""

    by: str
    room: Room
    tag: int
    eater: Eater
    body: bytes
    redelivered: bool


class Queues(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.stage = Stage(Settings(), lambda data: (data,))
        self.shelves = {name: Shelf(name) for name in QUEUES}
        self.rooms = {where: Room() for where in CHANNELS}
        self.number = 0
        self.now = 0

    @initialize()
    def declare(self) -> None:
        for by in "ab":
            self.stage.connect(Connect(by, channels=(1, 2)))
        for name, (arguments, _, _, _, dies, _) in QUEUES.items():
            told = dict(arguments)
            if dies:
                told |= {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dies}
            self.stage.play([say(Queue.Declare, queue=name, arguments=told)])

    # --- acting

    def act(self, *lines: Line) -> list[Line]:
        """What the server says beside deliveries; those are checked against the model."""
        said = self.stage.play(lines)
        other: list[Line] = []
        served: list[Served] = []
        delivery: Say | None = None
        for line in said:
            if isinstance(line, Say) and line.command is Basic.Deliver:
                delivery = line
            elif isinstance(line, Content) and delivery is not None:
                served.append(self.served(delivery, line))
                delivery = None
            else:
                other.append(line)
        self.check(served)
        return other

    def served(self, told: Say, told_content: Content) -> Served:
        room = self.rooms[told.by, told.channel]
        eater = room.eaters[told.arguments["consumer_tag"]]
        shelf = eater.queue
        room.tag += 1
        assert told.arguments["delivery_tag"] == room.tag
        assert eater.able and (eater is shelf.active or not QUEUES[shelf.name][5])
        if not eater.no_ack:
            eater.held += 1
            shelf.unacked += 1
        return Served(told.by, room, room.tag, eater, told_content.body, told.arguments["redelivered"])

    def check(self, served: list[Served]) -> None:
        """What was delivered is the head of its queue; each connection saw it in order."""
        for shelf in self.shelves.values():
            mine = [one for one in served if one.eater.queue is shelf]
            head = {}
            for _ in mine:
                self.expire(shelf)
                letter = shelf.ready.pop(0)
                head[letter.body] = letter
            assert set(head) == {one.body for one in mine}
            for one in mine:
                letter = head[one.body]
                assert one.redelivered == letter.redelivered
                if not one.eater.no_ack:
                    one.room.held[one.tag] = (shelf, letter, one.eater)
            for by in "ab":
                seen = [head[one.body].order for one in mine if one.by == by]
                assert seen == sorted(seen)
            self.limit(shelf)
            lowest = min((one.eater.priority for one in mine), default=None)
            if lowest is not None and shelf.ready:
                assert not [one for one in shelf.able if one.priority > lowest]

    def enter(self, shelf: Shelf, body: bytes, priority: int, expires_at: int) -> None:
        shelf.position += 1
        top = QUEUES[shelf.name][1]
        shelf.ready.append(Letter(body, shelf.position, min(max(priority, 0), top), expires_at))

    def expire(self, shelf: Shelf) -> None:
        """Heads that are due go; what is behind a living one stays."""
        shelf.ready.sort(key=lambda one: one.order)
        while shelf.ready and 0 < shelf.ready[0].expires_at <= self.now:
            self.die(shelf, shelf.ready.pop(0))

    def limit(self, shelf: Shelf) -> None:
        """Then what is too much goes, from the head."""
        self.expire(shelf)
        most = QUEUES[shelf.name][3]
        while most and len(shelf.ready) > most:
            self.die(shelf, shelf.ready.pop(0))
            self.expire(shelf)

    def die(self, shelf: Shelf, letter: Letter, rejected: bool = False) -> None:
        """Dead letters of basic.reject, not those of basic.nack, are redelivered if they had to wait (RabbitMQ 4.3)."""
        if QUEUES[shelf.name][4]:
            grave = self.shelves[QUEUES[shelf.name][4]]
            waits = bool(grave.ready) or not grave.able
            self.enter(grave, letter.body, 0, 0)
            grave.ready[-1].redelivered = rejected and waits

    def give_back(self, held: list[tuple[Shelf, Letter, Eater | None]]) -> None:
        for shelf, letter, eater in held:
            shelf.unacked -= 1
            letter.redelivered = True
            shelf.ready.append(letter)
            if eater is not None:
                eater.held -= 1
        for shelf in self.shelves.values():
            self.limit(shelf)

    def leave(self, room: Room) -> None:
        """A channel ends."""
        for eater in room.eaters.values():
            self.depart(eater)
        held = [room.held[tag] for tag in sorted(room.held)]
        room.held.clear()
        room.eaters.clear()
        self.give_back(held)

    def depart(self, eater: Eater) -> None:
        shelf = eater.queue
        shelf.eaters.remove(eater)
        if shelf.active is eater:
            rest = shelf.eaters
            best = max((one.priority for one in rest), default=0)
            shelf.active = next((one for one in rest if one.priority == best), None)

    # --- rules

    names = st.sampled_from(["plain", "levels", "mortal", "short", "single"])
    where = st.sampled_from(CHANNELS)

    @rule(
        where=where,
        name=names,
        letters=st.lists(
            st.tuples(st.integers(-1, 5), st.sampled_from([0, 0, 0, 100, 300, 700])), min_size=1, max_size=5
        ),
    )
    def publish(self, where: tuple[str, int], name: str, letters: list[tuple[int, int]]) -> None:
        for priority, ttl in letters:
            self.publish_one(where, name, priority, ttl)

    def publish_one(self, where: tuple[str, int], name: str, priority: int, ttl: int) -> None:
        self.number += 1
        body = b"%d" % self.number
        properties: dict[str, Any] = {"priority": priority} if priority >= 0 else {}
        if ttl:
            properties["expiration"] = str(ttl)
        limits = [one for one in (ttl, QUEUES[name][2]) if one]
        self.enter(self.shelves[name], body, priority, self.now + min(limits) if limits else 0)
        lines = publish(body, name, by=where[0], channel=where[1], **properties)
        others = self.act(*lines)
        room = self.rooms[where]
        if room.confirms is not None:
            room.confirms += 1
            assert others == [say(Basic.Ack, delivery_tag=room.confirms, by=where[0], channel=where[1])]
        else:
            assert others == []

    @precondition(lambda self: any(shelf.ready for shelf in self.shelves.values()))
    @rule(where=where, data=st.data(), no_ack=st.sampled_from([False, False, True]), count=st.integers(1, 3))
    def get(self, where: tuple[str, int], data: st.DataObject, no_ack: bool, count: int) -> None:
        name = data.draw(st.sampled_from([name for name, shelf in self.shelves.items() if shelf.ready]))
        for _ in range(count):
            self.get_one(where, name, no_ack)

    def get_one(self, where: tuple[str, int], name: str, no_ack: bool) -> None:
        shelf, room = self.shelves[name], self.rooms[where]
        line = say(Basic.Get, queue=name, no_ack=no_ack, by=where[0], channel=where[1])
        if not shelf.ready:
            assert self.act(line) == [say(Basic.GetEmpty, by=where[0], channel=where[1])]
            return
        self.expire(shelf)
        letter = shelf.ready.pop(0)
        room.tag += 1
        tag = room.tag
        said = self.act(line)
        got, told = said
        assert isinstance(got, Say) and isinstance(told, Content)
        assert got.arguments["delivery_tag"] == tag and told.body == letter.body
        assert got.arguments["redelivered"] == letter.redelivered
        assert got.arguments["message_count"] == len(shelf.ready)
        if not no_ack:
            shelf.unacked += 1
            room.held[tag] = (shelf, letter, None)

    @rule(
        where=where,
        name=st.sampled_from(list(QUEUES)),
        no_ack=st.sampled_from([False, False, True]),
        priority=st.integers(-1, 1),
    )
    def consume(self, where: tuple[str, int], name: str, no_ack: bool, priority: int) -> None:
        shelf, room = self.shelves[name], self.rooms[where]
        if len(shelf.eaters) > 4:
            return
        self.number += 1
        eater = Eater(f"c{self.number}", shelf, no_ack, 0 if no_ack else room.prefetch, priority)
        room.eaters[eater.tag] = eater
        shelf.eaters.append(eater)
        shelf.active = shelf.active or eater
        told = {"x-priority": priority}
        line = say(Basic.Consume, queue=name, consumer_tag=eater.tag, no_ack=no_ack, arguments=told,
                   by=where[0], channel=where[1])  # fmt: skip
        assert self.act(line) == [say(Basic.ConsumeOk, consumer_tag=eater.tag, by=where[0], channel=where[1])]

    def cancel(self, where: tuple[str, int], data: st.DataObject) -> None:
        room = self.rooms[where]
        if not room.eaters:
            return
        tag = data.draw(st.sampled_from(sorted(room.eaters)))
        self.depart(room.eaters[tag])
        del room.eaters[tag]
        line = say(Basic.Cancel, consumer_tag=tag, by=where[0], channel=where[1])
        assert self.act(line) == [say(Basic.CancelOk, consumer_tag=tag, by=where[0], channel=where[1])]

    def qos(self, where: tuple[str, int], count: int) -> None:
        self.rooms[where].prefetch = count
        line = say(Basic.Qos, prefetch_count=count, by=where[0], channel=where[1])
        assert self.act(line) == [say(Basic.QosOk, by=where[0], channel=where[1])]

    def confirm(self, where: tuple[str, int]) -> None:
        room = self.rooms[where]
        room.confirms = room.confirms or 0
        line = say(Confirm.Select, by=where[0], channel=where[1])
        assert self.act(line) == [say(Confirm.SelectOk, by=where[0], channel=where[1])]

    @precondition(lambda self: any(room.held for room in self.rooms.values()))
    @rule(
        data=st.data(),
        command=st.sampled_from([Basic.Ack, Basic.Nack, Basic.Reject]),
        multiple=st.booleans(),
        requeue=st.booleans(),
    )
    def settle(self, data: st.DataObject, command: Any, multiple: bool, requeue: bool) -> None:
        where = data.draw(st.sampled_from([where for where in CHANNELS if self.rooms[where].held]))
        room = self.rooms[where]
        known = sorted(room.held)
        tag = data.draw(st.sampled_from([*known * 4, 0, room.tag + 1]))
        multiple = multiple and command is not Basic.Reject
        bits = {} if command is Basic.Ack else {"requeue": requeue}
        if command is not Basic.Reject:
            bits["multiple"] = multiple
        line = say(command, delivery_tag=tag, by=where[0], channel=where[1], **bits)
        if tag not in room.held and not (multiple and tag == 0):
            self.leave(room)
            (refused,) = self.act(line)
            assert isinstance(refused, Say) and refused.command is Channel.Close
            assert refused.arguments["reply_text"] == f"PRECONDITION_FAILED - unknown delivery tag {tag}"
            self.reopen(where, [say(Channel.CloseOk, by=where[0], channel=where[1])])
            return
        tags = [one for one in known if tag in (0, one) or one <= tag] if multiple else [tag]
        held = [room.held.pop(one) for one in tags]
        if command is not Basic.Ack and requeue:
            self.give_back(held)
        else:
            for shelf, letter, eater in held:
                shelf.unacked -= 1
                if eater is not None:
                    eater.held -= 1
                if command is not Basic.Ack:
                    self.die(shelf, letter, command is Basic.Reject)
        assert self.act(line) == []

    def recover(self, where: tuple[str, int]) -> None:
        room = self.rooms[where]
        held = [room.held[tag] for tag in sorted(room.held)]
        room.held.clear()
        self.give_back(held)
        said = self.act(say(Basic.Recover, requeue=True, by=where[0], channel=where[1]))
        assert said == [say(Basic.RecoverOk, by=where[0], channel=where[1])]

    def reopen(self, where: tuple[str, int], before: list[Line]) -> None:
        self.rooms[where] = Room()
        said = self.act(*before, say(Channel.Open, by=where[0], channel=where[1]))
        assert say(Channel.OpenOk, by=where[0], channel=where[1]) in said

    def close_channel(self, where: tuple[str, int]) -> None:
        self.leave(self.rooms[where])
        said = self.act(say(Channel.Close, by=where[0], channel=where[1]))
        assert said == [say(Channel.CloseOk, by=where[0], channel=where[1])]
        self.reopen(where, [])

    def lose_connection(self, by: str) -> None:
        gone = [room for (who, _), room in self.rooms.items() if who == by]
        for room in gone:  # all its consumers leave before anything is handed out again
            for eater in room.eaters.values():
                eater.limit, eater.held, eater.no_ack = 1, 1, False
        for room in gone:
            self.leave(room)
        for where in CHANNELS:
            if where[0] == by:
                self.rooms[where] = Room()
        self.stage.clients[by].connection.lost()
        del self.stage.clients[by]
        self.act()
        self.stage.connect(Connect(by, channels=(1, 2)))

    def purge(self, name: str) -> None:
        count = len(self.shelves[name].ready)
        self.shelves[name].ready.clear()
        assert self.act(say(Queue.Purge, queue=name)) == [say(Queue.PurgeOk, message_count=count)]

    @rule(data=st.data(), where=where, name=names, count=st.integers(0, 3))
    def disturb(self, data: st.DataObject, where: tuple[str, int], name: str, count: int) -> None:
        """What must happen now and then, but would leave nothing to look at if it happened often."""
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
        for name, shelf in self.shelves.items():
            if name not in queues:
                continue
            queue = queues[name]
            assert queue.ready == len(shelf.ready), name
            assert queue.ready_bytes == sum(len(one.body) for one in shelf.ready)
            assert queue.unacked == shelf.unacked, name
            assert len(queue.lineup.members) == len(shelf.eaters)

    @invariant()
    def nobody_waits_in_vain(self) -> None:
        for shelf in self.shelves.values():
            assert not (shelf.ready and shelf.able), shelf

    @precondition(lambda self: len(self.stage.clients) == 2)
    @invariant()
    def heads_agree(self) -> None:
        for name, shelf in self.shelves.items():
            queue = self.stage.broker.vhosts["/"].queues.get(name)
            first = queue.backlog.first() if queue is not None else None
            head = min(shelf.ready, key=lambda one: one.order, default=None)
            assert (first.message.body if first else None) == (head.body if head else None)


TestQueues = Queues.TestCase
TestQueues.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
