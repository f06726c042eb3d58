"""What the kernel holds of a connection between the broker and a client on this machine. Known on Linux only."""

from __future__ import annotations

import array
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leveret.server.sockets import Socket

if sys.platform == "linux":
    import fcntl

#: ioctl of TCP sockets: octets that were written and not sent (linux/sockios.h).
SIOCOUTQNSD = 0x894B

#: Whether it is known which clients have not read.
KNOWN = sys.platform == "linux"

_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))

#: The ports of client and broker.
Ports = tuple[int, int]


def unsent(descriptor: int) -> int:
    """Return the octets that a socket has taken and not sent to its peer; 0 where this cannot be asked."""
    if sys.platform != "linux" or descriptor < 0:
        return 0
    count = array.array("i", [0])
    try:
        fcntl.ioctl(descriptor, SIOCOUTQNSD, count)
    except OSError:  # a Unix socket
        return 0
    return count[0]


def unread_by_clients(sockets: Iterable[Socket]) -> set[Socket]:
    """Return the connections whose clients, on this machine, have not read all that was sent to them."""
    wanted = {(each.connection.peer.peer_port, each.connection.peer.port): each for each in sockets}
    found: set[Socket] = set()
    for table in _TABLES if KNOWN else ():
        found |= {wanted[ports] for ports in _receiving(table) if ports in wanted}
    return found


def _receiving(table: Path) -> Iterable[Ports]:
    """Yield (local port, remote port) of the sockets with octets in their receive queue."""
    try:
        text = table.read_text("ascii")
    except OSError:
        return
    for line in text.splitlines()[1:]:
        fields = line.split()
        if not fields[4].endswith(":00000000"):
            yield int(fields[1].rpartition(":")[2], 16), int(fields[2].rpartition(":")[2], 16)
