"""The writing side of a connection: its outbox, and whether the client can take more.

Code that writes into the outbox calls `schedule_flush`, which adds the connection to the list that the server sends at
the end of the tick. A client that does not read uses limited memory: while its outbox or its socket is full, its
consumers are blocked. Everything else that is sent answers what the client has sent; if it leaves too much of that
unread (`unread_limit`), the connection is not read either.
"""

from __future__ import annotations

import cython

if cython.compiled:
    from cython.cimports.leveret.wire.frames import Outbox
else:
    from leveret.wire.frames import Outbox

#: Octets in an outbox beyond which consumers are blocked until the next tick. The deliveries of one chunk that was read
#: from a publisher are fewer, so that a consumer that keeps up is never interrupted.
OUTBOX_LIMIT_BYTES = 1 << 20


class Output:
    """The writing side of a connection.

    `frame_max`: largest frame that the client accepts. `dirty`: the server's list of connections to be sent;
    `flush_scheduled`: this one is on it. `paused`: the socket takes no more, and output stays in the outbox.
    `congested`: a consumer was blocked for that reason. `answers`: there is more in the outbox than deliveries, so that
    it may report a change of the catalogue. `unread_limit`: octets in the outbox beyond which the client is
    not read. `unfinished`: octets of bodies that are half received. `access_revision`: grows whenever the permissions
    of users may have changed.
    """

    def __init__(self, dirty: list[Output]) -> None:
        self.outbox: Outbox = Outbox()
        self.frame_max: int = 131072
        self.dirty: list[Output] = dirty
        self.flush_scheduled: bool = False
        self.paused: bool = False
        self.congested: bool = False
        self.answers: bool = False
        self.unread_limit: int = 1 << 62
        self.unfinished: int = 0
        self.access_revision: int = 0

    def schedule_flush(self) -> None:
        """Have the outbox sent at the end of this tick."""
        if not self.flush_scheduled:
            self.flush_scheduled = True
            self.dirty.append(self)

    def full(self) -> bool:
        """Return whether consumers must wait until the output is sent; if so, note that one was blocked."""
        if self.paused or self.outbox.size > OUTBOX_LIMIT_BYTES:
            self.congested = True
            return True
        return False
