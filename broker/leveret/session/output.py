"""What a channel needs of its connection to say something, and to know when not to.

Whoever writes into the outbox calls `schedule_flush`: the connection then stands once in the list that the server
walks at the end of the tick. A reader that does not read costs bounded memory: when its outbox or its socket is full,
its consumers are passed over until it has drained.
"""

from __future__ import annotations

import cython

if cython.compiled:
    from cython.cimports.leveret.wire.frames import Outbox
else:
    from leveret.wire.frames import Outbox

#: Octets in an outbox beyond which consumers are passed over until the next tick. Deliveries of one chunk read from a
#: publisher fit below it, so that a consumer that keeps up is never interrupted.
OUTBOX_LIMIT_BYTES = 1 << 20


class Output:
    """The writing side of a connection.

    `frame_max`: what the peer accepts. `dirty`: the server's list of outlets with something to send;
    `flush_scheduled`: this one is on it. `paused`: the socket takes no more. `congested`: a consumer was passed over
    because of that. `access_revision`: grows whenever what the user may do might have changed. `after`: the journal
    must have settled this ticket before output is sent.
    """

    def __init__(self, dirty: list[Output]) -> None:
        self.outbox: Outbox = Outbox()
        self.frame_max: int = 131072
        self.dirty: list[Output] = dirty
        self.flush_scheduled: bool = False
        self.paused: bool = False
        self.congested: bool = False
        self.access_revision: int = 0
        self.after: int = 0

    def schedule_flush(self) -> None:
        """Something is in the outbox: be visited at the end of this tick."""
        if not self.flush_scheduled:
            self.flush_scheduled = True
            self.dirty.append(self)

    def full(self) -> bool:
        """Whether consumers must wait until what was said has been read."""
        if self.paused or self.outbox.size > OUTBOX_LIMIT_BYTES:
            self.congested = True
            return True
        return False
