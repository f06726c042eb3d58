"""Services that the queues of a virtual host share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import cython

if cython.compiled:
    from cython.cimports.leveret.clock import Agenda, Clock
    from cython.cimports.leveret.queues.backlog.paging import Pager
    from cython.cimports.leveret.queues.journal import Journal
    from cython.cimports.leveret.queues.message import Entry, Message
    from cython.cimports.leveret.queues.tallies import DeliveryTotal
else:
    from leveret.clock import Agenda, Clock
    from leveret.queues.backlog.paging import Pager
    from leveret.queues.journal import Journal
    from leveret.queues.message import Entry, Message
    from leveret.queues.tallies import DeliveryTotal

from leveret.faults import Faults
from leveret.queues.message import AnyConsumer
from leveret.work import Job, Owner, Steps, Work

if TYPE_CHECKING:
    from leveret.queues.history import HistoryPort

#: A `Queue`. `Any`, because its module imports this one.
AnyQueue: TypeAlias = Any


class VhostContext:
    """Clock, agenda, journal, pager and callbacks of one virtual host.

    `journal`: None without a store. `pager`: keeps long backlogs outside memory. `consumer_timeout`: the default
    acknowledgement timeout, ms; -1 for none. `dead_letters`: (queue, message, reason, entry, why) to be published
    after the current operation; `publish_dead_letters` publishes them after an operation that the agenda began, and
    returns the job that does so if they are many.
    `remove`: called with a queue that deletes itself (auto-delete, x-expires) and the reason. `crashed`: called
    with a queue whose backlog could not be read back. `work`: runs long operations; `busy`: how many of them keep
    queues busy. `unreadable`: called with a stream, the consumer that cannot read on (None: one that was to begin),
    and the reason. `firehose`: gets publishes and deliveries of a traced virtual host, else None. `interceptor`: may
    change where publishes of clients go (`Interceptor` of the engine), else None. `history`: hears of each step of a
    message's life (`history.py`), None while nobody listens. `delivery_totals`: counts of deliveries by queue type.
    """

    def __init__(
        self,
        clock: Clock,
        agenda: Agenda,
        remove: Callable[[AnyQueue, str], None],
        publish_dead_letters: Callable[[], Job | None],
        journal: Journal | None = None,
        pager: Pager | None = None,
        work: Work | None = None,
    ) -> None:
        self.clock: Clock = clock
        self.agenda: Agenda = agenda
        self.journal: Journal | None = journal
        self.pager: Pager = pager or Pager()
        self.work: Work = work or Work(Faults(clock))
        self.busy: int = 0
        self.consumer_timeout: int = -1
        self.dead_letters: list[tuple[AnyQueue, Message, str, Entry | None, int]] = []
        self.remove: Callable[[AnyQueue, str], None] = remove
        self.publish_dead_letters: Callable[[], Job | None] = publish_dead_letters
        self.crashed: Callable[[AnyQueue], None] = _nothing
        self.unreadable: Callable[[AnyQueue, AnyConsumer, str], None] = _nothing
        self.firehose: Any = None  # a `Firehose` of the engine
        self.interceptor: Any = None  # an `Interceptor` of the engine
        self.history: HistoryPort | None = None
        self.delivery_totals: dict[str, DeliveryTotal] = {}

    def delivery_total(self, kind: str) -> DeliveryTotal:
        """Return the counts of all deliveries from queues of a type."""
        found: DeliveryTotal | None = self.delivery_totals.get(kind)
        if found is None:
            found = DeliveryTotal()
            self.delivery_totals[kind] = found
        return found

    def end(self) -> None:
        """Report nothing to the virtual host any more: it is deleted, and not referred to then."""
        self.remove = self.crashed = self.unreadable = _nothing
        self.publish_dead_letters = _no_job
        self.firehose = None

    def occupy(self, queue: AnyQueue, steps: Steps, place: str, owner: Owner | None = None) -> Job:
        """Run a job on a queue, after the one that it is busy with. If it does not end at once the queue is busy until
        then, from `queue.occupied` to `queue.freed`. `owner`: the connection that waits for it."""
        job: Job = self.work.begin(steps, place, owner, queue.busy, queue=queue.name, vhost=queue.vhost)
        if not job.done:
            queue.busy = job
            self.busy += 1
            queue.occupied()
            job.when_done(lambda: self._free(queue, job))
        return job

    def _free(self, queue: AnyQueue, job: Job) -> None:
        self.busy -= 1
        if queue.busy is job:
            queue.busy = None
            queue.freed()


def _no_job() -> None:
    """There are no dead letters."""


def _nothing(*subjects: object) -> None:
    """Do nothing."""
