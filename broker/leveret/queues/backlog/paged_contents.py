"""Contents of unacknowledged messages outside memory, in the same files as blocks of backlogs.

`page_out` writes the contents of deliveries together and leaves messages without a content in their entries, which keep
everything else: settling a delivery needs no content. `bring_back` reads one content, when its entry is delivered again
or dead-lettered. A returned entry stays paged until then. The space of a block is freed with the last entry that refers
to it, by reference counting: whoever settles entries knows nothing of it.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import cython

if cython.compiled:
    from cython.cimports.leveret.queues.backlog.paging import Pager
    from cython.cimports.leveret.queues.message import Entry, Message, new_message
else:
    from leveret.queues.backlog.paging import Pager
    from leveret.queues.message import Entry, Message, new_message

if TYPE_CHECKING:
    from leveret.queues.backlog.paging import PagedAt
    from leveret.queues.disk_read import DiskRead
    from leveret.queues.message import Extra

#: Octets of a content that are worth writing: what is left in memory needs almost as much.
_WORTH_BYTES = cython.declare(cython.Py_ssize_t, 128)


class ContentsBlock:
    """Contents that were written together, `size` octets; `wasted`: those that are not needed any more."""

    def __init__(self, pager: Pager, where: PagedAt, size: int) -> None:
        self.pager = pager
        self.where = where
        self.size: int = size
        self.wasted: int = 0

    def __del__(self) -> None:
        self.pager.wasted -= self.wasted
        self.pager.free(self.where)

    @property
    def sparse(self) -> bool:
        """Whether most of its space is not needed any more."""
        return 2 * self.wasted > self.size


# A million of these must not be visited by the collector. They refer to no entry, so they are in no cycle.
@cython.no_gc
@cython.cclass
class PagedContent:
    """Where the content of one message is: takes the place of its `extra`, which is kept here. `size`, `body`: octets
    of the content and of the body in it."""

    def __init__(self, block: ContentsBlock, offset: int, message: Message) -> None:
        self.block: ContentsBlock = block
        self.offset: int = offset
        self.size: int = len(message.content)
        self.body: int = message.size
        self.crc: int = zlib.crc32(message.content)
        self.extra: Extra | None = message.extra
        block.pager.bodies += self.body

    def __del__(self) -> None:
        self.block.wasted += self.size
        self.block.pager.wasted += self.size
        self.block.pager.bodies -= self.body

    def here(self) -> bool:
        """Return whether `read` does not wait for the disk."""
        return self.block.pager.has_part(self.block.where, self.offset, self.size)

    def begin_read(self) -> DiskRead:
        """Begin to read the content. When that is done, `here` is true."""
        return self.block.pager.begin_part(self.block.where, self.offset, self.size)

    def read(self) -> bytes:
        """Read the content. Raises OSError."""
        content: bytes = self.block.pager.part(self.block.where, self.offset, self.size)
        if zlib.crc32(content) != self.crc:
            raise OSError("a temporary file is damaged: what is read is not what was written")
        return content


def paged_content(message: Message) -> PagedContent | None:
    """Return where the content of a message is, or None if it is in memory."""
    paged: object = message.extra
    return paged if isinstance(paged, PagedContent) else None


def absent_content(entry: Entry) -> PagedContent | None:
    """Return where the content of an entry is if it must be read from the disk first, else None."""
    paged: PagedContent
    if len(entry.message.content) or not isinstance(entry.message.extra, PagedContent):
        return None
    paged = entry.message.extra
    return None if paged.here() else paged


def worth_paging(entry: Entry) -> bool:
    """Return whether the content of an entry is in memory, and not too small to be paged out."""
    worth: bool = len(entry.message.content) >= _WORTH_BYTES
    return worth


def page_out(entries: list[Entry], pager: Pager) -> bool:
    """Page out the contents of entries that are in no backlog. False if they cannot be written.

    Other queues that share the messages keep them.
    """
    entry: Entry
    paged: PagedContent
    offset: cython.Py_ssize_t = 0
    data = b"".join([entry.message.content for entry in entries])
    where = pager.write(data)
    if where is None:
        return False
    block = ContentsBlock(pager, where, len(data))
    for entry in entries:
        paged = PagedContent(block, offset, entry.message)
        offset += paged.size
        entry.message = _with_content(entry.message, b"")
        entry.message.extra = paged  # type: ignore[assignment]  # until it is brought back
    return True


def whole(message: Message) -> Message:
    """Return the message, or a copy with its content if that is paged out. Raises OSError."""
    paged = paged_content(message)
    if paged is None:
        return message
    copy: Message = _with_content(message, paged.read())
    copy.extra = paged.extra
    return copy


def bring_back(entry: Entry) -> bool:
    """Read the content of an entry back if it is paged out. If it cannot be read, the queue crashes: then False."""
    try:
        entry.message = whole(entry.message)
    except OSError as error:
        entry.source.crash(str(error))
        return False
    return True


def _with_content(message: Message, content: bytes) -> Message:
    copy: Message = new_message(message.exchange, message.routing_key, content, message.head, message.size)
    copy.persistent = message.persistent
    copy.priority = message.priority
    copy.expiration = message.expiration
    return copy
