"""Long operations in slices against the same operations at once: the same answers, deliveries, order and counters.

Two brokers play the same script. One does every operation as a whole. The other ends a slice after each portion; in the
middle of its jobs the other client acts, and invariants are checked between slices.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import Any

from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from pamqp.commands import Basic, Channel, Queue, Tx

from leveret.config import Settings
from leveret.queues.queue import PORTION
from leveret.testing.playbook import Advance, Connect, HangUp, Line, Say, Stage, publish, say

#: Messages of one publish: few, and more than two portions.
SIZES = st.sampled_from([1, 3, 2 * PORTION + 5])

TTL_MS = 1000

DEAD = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
QUORUM: dict[str, Any] = {"x-queue-type": "quorum"}
KINDS: dict[str, dict[str, Any]] = {
    "classic": {},
    "priority": {"x-max-priority": 200, **DEAD},
    "expiring": {"x-message-ttl": TTL_MS, **DEAD},
    "short": {"x-max-length": PORTION, **DEAD},
    "full": {"x-max-length": 2 * PORTION, "x-overflow": "reject-publish"},
    "quorum": QUORUM | DEAD | {"x-delivery-limit": 1},
    "retried": QUORUM | {"x-delayed-retry-type": "all", "x-delayed-retry-min": TTL_MS},
    "retained": QUORUM
    | DEAD
    | {"x-message-ttl": TTL_MS, "x-overflow": "reject-publish", "x-dead-letter-strategy": "at-least-once"},
    "overdue": QUORUM | {"x-consumer-timeout": 60_000},
}


@dataclass(frozen=True)
class Act:
    """What one client does. `size`: how many messages, where that matters."""

    by: str
    what: str
    size: int = 1


#: On channel 1 a client consumes and settles, on channel 2 it does the rest, on channel 3 it has transactions.
OF_FIRST = [
    "consume",
    "ack",
    "nack",
    "reject",
    "drop",
    "recover",
    "close",
    "hang up",
    "purge",
    "wait",
    "commit",
]
SETTLING = ("ack", "nack", "drop")
OF_BOTH = ["publish", "aside", "get", "look", "purge", "ack", "nack", "drop"]

STEPS = st.lists(
    st.tuples(
        st.builds(Act, st.just("a"), st.sampled_from([*OF_FIRST, "publish", "rollback", "fetch"]), SIZES),
        st.lists(st.builds(Act, st.just("b"), st.sampled_from(OF_BOTH), st.sampled_from([1, 3])), max_size=2),
    ),
    max_size=7,
)


class Run:
    """One broker that plays the script; `sliced`: by portions."""

    def __init__(self, kind: str, sliced: bool) -> None:
        self.stage = Stage(Settings(), lambda data: (data,))
        self.kind = kind
        self.sliced = sliced
        self.said: dict[tuple[str, int], list[Any]] = {}
        self.held: dict[str, list[int]] = {"a": [], "b": []}
        self.number = 0
        self.jobs = 0
        for by in "ab":
            self.stage.connect(Connect(by, channels=(1, 2, 3)))
        arguments = dict(KINDS[kind])
        durable = "x-queue-type" in arguments
        self.stage.play(
            [
                say(Queue.Declare, queue="q", durable=durable, arguments=arguments),
                say(Queue.Declare, queue="dead"),
                say(Queue.Declare, queue="other"),
                say(Tx.Select, channel=3),
                say(Basic.Qos, by="b", prefetch_count=5),
                say(Basic.Consume, by="b", queue="q", consumer_tag="b") if kind == "overdue" else Advance(0),
            ]
        )
        if sliced:
            work = self.stage.broker.work
            work.timer = count(1).__next__
            work.deadline = float("inf")

    def step(self, first: Act, others: list[Act]) -> dict[tuple[str, int], list[Any]]:
        """Play one step to its end; returns what was said, by client and channel."""
        self.said = {}
        self.play(first)
        self.jobs += len(self.stage.broker.work.jobs)
        while self.stage.broker.work.jobs and self.queue.busy is None:
            self.slice()  # until the job has got to the queue, others come before it
        for act in others:
            self.slice()
            # A consumer that has credit again gets messages that a job is about to give to others: either is right.
            if self.kind == "overdue" and act.what in SETTLING:
                self.finish()
            self.play(act)
        self.finish()
        return self.said

    def finish(self) -> None:
        """Run all jobs to their end, and note what was said meanwhile."""
        while self.stage.broker.work.jobs:
            self.slice()
        self.stage.listen()
        self.note(self.stage.said)
        self.stage.said = []

    @property
    def queue(self) -> Any:
        return self.stage.broker.vhosts["/"].queues["q"]

    def slice(self) -> None:
        """Run one slice of each job."""
        self.stage.broker.work.run()
        if self.stage.checker is not None:
            self.stage.checker.calls = 63  # long virtual hosts are checked now and then otherwise
            self.stage.checker.all()
        self.stage.listen()

    def play(self, act: Act) -> None:
        self.note(self.stage.play(self.lines(act)))

    def note(self, lines: list[Line]) -> None:
        for line in lines:
            shown = line
            by, channel = line.by, getattr(line, "channel", 0)
            if isinstance(line, Say) and line.command is Basic.Deliver:
                self.held[by].append(line.arguments["delivery_tag"])
            self.said.setdefault((by, channel), []).append(shown)

    def messages(self, act: Act, key: str, channel: int) -> list[Line]:
        lines: list[Line] = []
        for _ in range(act.size):
            self.number += 1
            lines += publish(
                b"%d" % self.number, key, by=act.by, channel=channel, priority=self.number * 7 % 256
            )
        return lines

    def lines(self, act: Act) -> list[Line]:
        by, tags = act.by, self.held[act.by]
        settling = {
            "ack": (Basic.Ack, {}),
            "nack": (Basic.Nack, {}),
            "drop": (Basic.Nack, {"requeue": False}),
        }
        if act.what == "consume":
            self.number += 1
            return [say(Basic.Consume, by=by, queue="q", consumer_tag=f"c{self.number}-{len(tags)}")]
        if act.what in settling:
            if not tags:
                return []
            last = tags[-1] if act.size != 3 else tags[len(tags) // 2]
            self.held[by] = [tag for tag in tags if tag > last]
            command, given = settling[act.what]
            return [say(command, by=by, delivery_tag=last, multiple=True, **given)]
        if act.what == "reject":
            return [say(Basic.Reject, by=by, delivery_tag=tags.pop(), requeue=True)] if tags else []
        if act.what == "recover":
            self.held[by] = []
            return [say(Basic.Recover, by=by, requeue=True)]
        if act.what == "close":
            self.held[by] = []
            return [say(Channel.Close, by=by, reply_code=0, reply_text="", class_id=0, method_id=0)]
        if act.what == "hang up":
            self.held[by] = []
            return [HangUp(by)]
        if act.what == "wait":
            return [Advance(TTL_MS)]
        if act.what == "publish":
            return self.messages(act, "q", 2)
        if act.what == "aside":
            return self.messages(act, "other", 2)
        if act.what == "look":
            return [say(Queue.Declare, by=by, queue="q", passive=True, channel=2)]
        if act.what == "purge":
            return [say(Queue.Purge, by=by, queue="q", channel=2)]
        if act.what == "fetch":
            return [say(Basic.Get, by=by, queue="q", channel=3) for _ in range(act.size)]
        if act.what == "get":
            return [say(Basic.Get, by=by, queue="q", no_ack=True, channel=2) for _ in range(act.size)]
        end = Tx.Commit if act.what == "commit" else Tx.Rollback
        return [
            *self.messages(act, "q", 3),
            *(say(Basic.Ack, by=by, delivery_tag=0, multiple=True, channel=3) for _ in range(1)),
            say(end, by=by, channel=3),
        ]

    def restore(self, act: Act) -> None:
        """Open again what the first client has closed."""
        if act.what == "close":
            self.stage.play([say(Channel.Open, by=act.by)])
        elif act.what == "hang up":
            self.stage.connect(Connect(act.by, channels=(1, 2, 3)))
            self.stage.play([say(Tx.Select, by=act.by, channel=3)])

    def counters(self) -> dict[str, tuple[int, ...]]:
        """The counters of all queues."""
        return {
            queue.name: (
                *(queue.ready, queue.ready_bytes, queue.unacked, queue.unacked_bytes, queue.withheld),
                *(queue.published, queue.delivered, queue.acked, queue.redelivered, queue.got),
            )
            for queue in self.stage.broker.vhosts["/"].queues.values()
        }

    def drained(self) -> list[Line]:
        """Everything that is left, in order."""
        self.stage.broker.work.timer = None
        self.step(Act("a", "hang up"), [])
        left: list[Line] = []
        for queue in ("q", "dead", "other"):
            while (
                len(said := self.stage.play([say(Basic.Get, by="b", queue=queue, no_ack=True, channel=2)]))
                > 1
            ):
                left += said
        return left


@example(
    "expiring",
    [
        (Act("a", "recover", 1029), [Act("b", "nack", 3)]),
        (Act("a", "drop", 3), [Act("b", "aside", 1)]),
        (Act("a", "drop", 3), [Act("b", "aside", 1)]),
        (Act("a", "wait", 1029), []),
        (Act("a", "publish", 3), []),
        (Act("a", "nack", 3), [Act("b", "aside", 3), Act("b", "aside", 3)]),
        (Act("a", "hang up", 1029), []),
    ],
)
@given(st.sampled_from(sorted(KINDS)), STEPS)
@settings(max_examples=60, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
def test_slices_change_nothing(kind: str, steps: list[tuple[Act, list[Act]]]) -> None:
    whole, sliced = Run(kind, False), Run(kind, True)
    for first, others in [(Act("a", "publish", 2 * PORTION + 5), []), (Act("a", "consume"), []), *steps]:
        expected = whole.step(first, others)
        assert sliced.step(first, others) == expected, (first, others)
        assert sliced.counters() == whole.counters(), (first, others)
        for run in (whole, sliced):
            run.restore(first)
    assert sliced.drained() == whole.drained()


def test_the_script_is_sliced() -> None:
    """Otherwise the comparison would compare the same thing."""
    run = Run("classic", True)
    run.step(Act("a", "publish", 2 * PORTION + 5), [])
    run.step(Act("a", "consume"), [])
    before = run.jobs
    run.step(Act("a", "nack"), [])
    assert run.jobs > before
