"""What the message log knows of the files of a stream, which are committed with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from leveret.queues.disk_read import DiskRead
    from leveret.queues.stream.log import Page


class StreamPages(Protocol):
    """The files of one stream (`store/streams/streams.py`). `number`: the stream's number."""

    number: int

    def begun(self, page: Page) -> None:
        """Add a page to those that are to be written."""

    def finish(self, page: Page, at: int, count: int) -> None:
        """Write the proof of a complete chunk of `count` records at octet `at` into its page."""

    def begin_read(self, page: Page) -> DiskRead:
        """Begin to read a page."""

    def read(self, page: Page) -> bytes:
        """Return the octets of a page. Raises OSError."""

    def dropped(self, first: int) -> None:
        """Delete the files of segments before offset `first`."""

    def purge(self) -> None:
        """Delete all files once the catalogue does not have the stream any more."""
