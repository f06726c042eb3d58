"""Pages out the contents of unacknowledged messages if all channels together hold too many.

Deliveries cost nothing for that: `UnackedPaging.check` is called now and then, adds up what queues count as
unacknowledged, and begins a job if that is beyond the limit of the pager. Only deliveries that have waited a while are
paged out, because most are settled sooner than they would be written. RabbitMQ forgets the bodies of unacknowledged
messages as well, and reads them from its store if they return (rabbit_variable_queue: trim_msg_status).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, cast

from leveret.queues.backlog.paged_contents import (
    absent_content,
    bring_back,
    page_out,
    paged_content,
    worth_paging,
)
from leveret.queues.backlog.paging import BLOCK_BYTES
from leveret.queues.journal import PENDING
from leveret.work import one_by_one

if TYPE_CHECKING:
    from leveret.engine.broker import Broker
    from leveret.queues.message import Entry
    from leveret.session.channel import Channel
    from leveret.work import Job, Steps

#: Time that a delivery waits before it is paged out, ms.
LEAST_AGE_MS = 1000

#: Octets of memory that an unacknowledged message needs beside its body.
ENTRY_BYTES = 230

#: Octets outside memory that may be wasted in blocks that are needed in part; more than is needed, in any case.
WASTED_BYTES = 64 * 1024 * 1024

#: Queues, channels or deliveries that are looked at in one portion.
_PORTION = 512


class UnackedPaging:
    """The paging of unacknowledged messages of one broker. `memory`: octets that they need, as of the last
    check."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.pager = broker.pager
        self.memory = 0
        self._job: Job | None = None

    def check(self) -> None:
        """Page out, or begin to, if more is unacknowledged than the pager's limit."""
        if self._job is None or self._job.done:
            self._job = self.broker.work.begin(self._steps(), "unacknowledged messages")

    def _steps(self) -> Steps:
        """Page out until half of the limit is left; then write sparse blocks again."""
        held = yield from self._held()
        if held > self.pager.limit:
            yield from self._page_out(held - self.pager.limit // 2)
        if self.pager.wasted > max(WASTED_BYTES, self.pager.bodies):
            yield from self._rewrite_sparse()

    def _held(self) -> Generator[None, None, int]:
        """Return the octets of unacknowledged bodies in memory. A generator that yields after each portion."""
        held = count = 0
        for vhost in list(self.broker.vhosts.values()):
            for number, queue in enumerate(one_by_one(list(vhost.queues.values())), 1):
                held += queue.unacked_bytes
                count += queue.unacked
                if number % _PORTION == 0:
                    yield None
        held -= self.pager.bodies
        self.memory = held + count * ENTRY_BYTES
        return held

    def _channels(self) -> Iterator[Channel | None]:
        """Yield the channels with unacknowledged deliveries, and None after each portion of others."""
        examined = 0
        for connection in one_by_one(list(self.broker.connections)):
            for each in one_by_one(list(connection.channels.values())):
                examined += 1
                if examined % _PORTION == 0:
                    yield None
                if each.unacked.count:
                    yield cast("Channel", each)

    def _page_out(self, needed: int) -> Steps:
        """Page out so many octets, in blocks."""
        for channel in self._channels():
            if channel is None:
                yield None
                continue
            for block in self._blocks(channel):
                if block and not page_out(block, self.pager):
                    return
                needed -= sum(entry.message.size for entry in block)
                if needed <= 0:
                    return
                yield None

    def _blocks(self, channel: Channel) -> Iterator[list[Entry]]:
        """Yield deliveries of a channel to be paged out, at most a block each time, up to the first one that cannot be
        yet. `Unacked.examined` moves behind them."""
        unacked = channel.unacked
        while entries := unacked.following(unacked.examined, _PORTION):
            for portion in _portions(entries):
                block: list[Entry] = []
                for entry in portion:
                    if not self._has_waited(entry):
                        yield block
                        return
                    unacked.examined = entry.tag
                    if worth_paging(entry) and unacked.find(entry.tag) is entry:
                        block.append(entry)
                yield block

    def _has_waited(self, entry: Entry) -> bool:
        """Whether an entry is written, if it is to be, and has waited for a while."""
        return entry.stored != PENDING and entry.delivered_at + LEAST_AGE_MS <= self.broker.clock.now

    def _rewrite_sparse(self) -> Steps:
        """Write what is left in sparse blocks into full ones, which frees them."""
        for channel in self._channels():
            if channel is None:
                yield None
                continue
            unacked = channel.unacked
            tag = 0
            while entries := unacked.following(tag, _PORTION):
                tag = entries[-1].tag
                for portion in _portions(entries):
                    sparse = [e for e in portion if _is_sparse(e) and unacked.find(e.tag) is e]
                    for entry in sparse:
                        paged = absent_content(entry)
                        if paged is not None:
                            yield self.broker.work.reading(paged.begin_read(), "paged messages")
                        bring_back(entry)
                    left = [
                        e for e in sparse if paged_content(e.message) is None and unacked.find(e.tag) is e
                    ]
                    if left:
                        page_out(left, self.pager)
                    yield None


def _portions(entries: list[Entry]) -> Iterator[list[Entry]]:
    """Yield the entries in portions of about a block."""
    portion: list[Entry] = []
    size = 0
    for entry in entries:
        portion.append(entry)
        size += entry.message.head + entry.message.size
        if size >= BLOCK_BYTES or len(portion) == _PORTION:
            yield portion
            portion, size = [], 0
    yield portion


def _is_sparse(entry: Entry) -> bool:
    """Whether the content of an entry is in a block that is mostly not needed any more."""
    paged = paged_content(entry.message)
    return paged is not None and paged.block.sparse
