"""Dead lettering: which queues a dead letter goes to, and publishing it at most once (rabbit_dead_letter).

Queues collect their dead letters in the vhost context. They are published after the operation, one after another and in
slices: publishing one may cause others, and a cycle must not be a recursion. Quorum queues that dead-letter at least
once pass theirs to a `DeadLetterWorker` (`at_least_once.py`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, TypeAlias

from leveret.engine.publisher import WIDE
from leveret.queues.deadletter.copies import cycles, dead_lettered_copy, deaths_of
from leveret.queues.message import header_work
from leveret.queues.quorum.queue import QuorumQueue

if TYPE_CHECKING:
    from leveret.engine.context import EngineContext
    from leveret.engine.publisher import Publisher
    from leveret.queues.context import VhostContext
    from leveret.queues.deadletter.worker import Worker
    from leveret.queues.message import Destination, Entry, Message
    from leveret.queues.queue import Queue
    from leveret.routing.exchanges import Exchange
    from leveret.work import Job, Steps

#: Names this work in the log if a message is lost.
PLACE = "dead lettering"

#: What is published before the job asks whether its slice is over: dead letters, their copies, and long routes.
PORTION = 8

#: So many dead letters wait before what one of them causes comes first, so that their number stays bounded.
BREADTH_LIMIT = 10_000

#: Steps of routing that count as much as a dead letter.
ROUTING_STEPS = 64

#: Queue, message, reason, entry (None for a refused publish), and how a consumer rejected it.
DeadLetter: TypeAlias = "tuple[Queue, Message, str, Entry | None, int]"


class DeadLettering:
    """Dead letters of one virtual host.

    `context`: where its queues collect them. `new_worker`: makes the worker of a queue that dead-letters at least once.
    `tasks`: dead letters that are still to be published; `publishing`: a job
    does that; `job`: that job, after its first slice; `wide`: the steps of one that goes to very many queues.
    """

    def __init__(
        self,
        engine: EngineContext,
        context: VhostContext,
        exchanges: dict[str, Exchange],
        publisher: Publisher,
        new_worker: Callable[[DeadLettering, QuorumQueue], Worker],
    ) -> None:
        self.engine = engine
        self.context = context
        self.exchanges = exchanges
        self.publisher = publisher
        self.new_worker = new_worker
        self.tasks: deque[DeadLetter] = deque()
        self.publishing = False
        self.wide: Steps | None = None
        self.job: Job | None = None

    def publish_all(self) -> Job | None:
        """Publish the dead letters of the last operation, and those that they cause; many of them in slices. Those of
        later operations come behind them. Returns the job that publishes them, unless it has ended."""
        collected = self.context.dead_letters
        if not collected:
            return None
        self.tasks.extend(collected)
        collected.clear()
        if not self.publishing:
            self.publishing = True
            job = self.engine.work.begin(self._steps(), PLACE, vhost=self.publisher.vhost)
            self.job = None if job.done else job
        return self.job

    def _steps(self) -> Steps:
        tasks, collected = self.tasks, self.context.dead_letters
        published = 0
        while tasks:
            queue, message, reason, entry, why = tasks.popleft()
            try:
                published += self._publish(queue, message, reason, entry, why)
                if self.wide is not None:
                    steps, self.wide = self.wide, None
                    yield from steps
            except Exception as error:
                self.publisher.report_lost(PLACE, error, message, queue=queue.name)
            if len(tasks) < BREADTH_LIMIT:
                tasks.extend(collected)
            else:  # n queues that dead-letter to each other make n! copies of a message
                tasks.extendleft(reversed(collected))
            collected.clear()
            if published >= PORTION and tasks:
                published = 0
                yield None
        self.publishing = False
        self.job = None

    def exchange_of(self, queue: Queue) -> Exchange | None:
        """Return the dead letter exchange of a queue; None if it has none or there is no such exchange."""
        if queue.dead_letter_exchange is None:
            return None
        return self.exchanges.get(queue.dead_letter_exchange)

    def copy(self, queue: Queue, message: Message, reason: str, entry: Entry | None, why: int) -> Message:
        """Return the message to be published for a dead letter, with its death history."""
        return dead_lettered_copy(queue, message, reason, entry, why, self.engine.profile)

    def targets(
        self, exchange: Exchange, dead: Message, reason: str, taken: Collection[str] = ()
    ) -> list[Destination]:
        """Return the target queues of a dead letter that do not have it (`taken`).

        A queue that it has passed before without being rejected is excluded (docs: dlx#cycles). So are direct reply-to
        addresses in versions where they are no queues.
        """
        return self._permitted(self.publisher.route(exchange, dead), dead, reason, taken)

    def _permitted(
        self, routed: list[Destination], dead: Message, reason: str, taken: Collection[str] = ()
    ) -> list[Destination]:
        excluded = () if self.engine.profile.dead_letters_replied else self.engine.reply_addresses
        history = deaths_of(dead)
        return [
            queue
            for queue in routed
            if queue.name not in taken
            and queue.name not in excluded
            and not cycles(history, queue.name, reason)
        ]

    def _publish(self, queue: Queue, message: Message, reason: str, entry: Entry | None, why: int) -> int:
        """Publish a dead letter; returns how much work that was."""
        if entry is not None and isinstance(queue, QuorumQueue) and queue.hand_over(entry):
            if queue.dead_letter_worker is None:
                queue.dead_letter_worker = self.new_worker(self, queue)
            queue.dead_letter_worker.add(entry, reason, why)
            self.count(queue, reason, "at_least_once")
            return 1
        try:
            exchange = self.exchange_of(queue)
            history = self.context.history
            if exchange is None:
                if history is not None:
                    history.dead_lettered(queue, message, entry, reason, None, [])
                return 1
            self.count(queue, reason, "at_most_once")
            dead = self.copy(queue, message, reason, entry, why)
            routed = self.publisher.route(exchange, dead)
            if len(routed) > WIDE:
                self.wide = self._wide_steps(queue, message, entry, reason, dead, routed)
                entry = None  # forgotten later
                return PORTION
            targets = self._permitted(routed, dead, reason)
            if history is not None:
                history.dead_lettered(queue, message, entry, reason, dead, targets)
            self.publisher.deliver(dead, targets, PLACE)
            return header_work(message) + len(targets) + self.publisher.router.steps // ROUTING_STEPS
        finally:  # only now, so that the store has the message or its copies, whenever the broker dies
            if entry is not None:
                queue.forget(entry)

    def _wide_steps(
        self,
        queue: Queue,
        message: Message,
        entry: Entry | None,
        reason: str,
        dead: Message,
        routed: list[Destination],
    ) -> Steps:
        """Publish a dead letter to very many queues in portions."""
        targets: list[Destination] = []

        def forget() -> None:
            if entry is not None:
                queue.forget(entry)

        try:
            for at in range(0, len(routed), WIDE):
                targets += self._permitted(routed[at : at + WIDE], dead, reason)
                yield None
            if self.context.history is not None:
                self.context.history.dead_lettered(queue, message, entry, reason, dead, targets)
        except BaseException:
            forget()
            raise
        yield from self.publisher.deliver_steps(dead, targets, PLACE, forget)

    def count(self, queue: Queue, reason: str, strategy: str) -> None:
        """Count a dead letter, or with the reason `confirmed` one that has arrived."""
        self.engine.counters.dead_letters[queue.kind, reason, strategy] += 1
