"""What a queue needs of the house around it: time, the store, and who takes what leaves it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import cython

if cython.compiled:
    from cython.cimports.leveret.clock import Agenda, Clock
    from cython.cimports.leveret.queues.backlog.paging import Pager
    from cython.cimports.leveret.queues.journal import Journal
    from cython.cimports.leveret.queues.message import Entry, Message
else:
    from leveret.clock import Agenda, Clock
    from leveret.queues.backlog.paging import Pager
    from leveret.queues.journal import Journal
    from leveret.queues.message import Entry, Message

if TYPE_CHECKING:
    from leveret.queues.queue import Queue


class VhostContext:
    """What a queue shares with the others of its virtual host.

    `dead_letters`: (queue, message, reason, entry, why) to be dead-lettered after the current operation. `remove`:
    called with the queue when it deletes itself (auto-delete, x-expires) and the reason. `crashed`: called with a queue
    whose messages could not be read back; `unreadable`: with a stream, the consumer that cannot read on (None: one that
    was to begin), and why. `publish_dead_letters`: dead-letters
    what has died, for operations that nobody but the agenda began. `journal`: None where nothing is kept on
    disk. `pager`: what keeps long backlogs out of memory. `firehose`: told of publishes and deliveries while the
    virtual host is traced, else None. `consumer_timeout`: how long a delivery may wait to be settled unless something
    else is said, ms; -1 for any time.
    """

    def __init__(
        self,
        clock: Clock,
        agenda: Agenda,
        remove: Callable[[Queue, str], None],
        publish_dead_letters: Callable[[], None],
        journal: Journal | None = None,
        pager: Pager | None = None,
    ) -> None:
        self.clock: Clock = clock
        self.agenda: Agenda = agenda
        self.journal: Journal | None = journal
        self.pager: Pager = pager or Pager()
        self.consumer_timeout: int = -1
        self.dead_letters: list[tuple[Queue, Message, str, Entry | None, int]] = []
        self.remove: Callable[[Queue, str], None] = remove
        self.publish_dead_letters: Callable[[], None] = publish_dead_letters
        self.crashed: Callable[[Queue], None] = _nothing
        self.unreadable: Callable[[Queue, Any, str], None] = _nothing
        self.firehose: Any = None


def _nothing(*subjects: Any) -> None:
    """Nobody is told."""
