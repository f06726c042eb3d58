"""The limit of file descriptors of this process.

Systems allow few by default (the soft limit) and more if a process asks for them (the hard limit). A broker needs one
for every client, so it raises its limit when it starts, as Erlang's runtime does.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from leveret.management.site import Reading

log = logging.getLogger("leveret")

#: Limit that is asked for if the system has no hard limit, or refuses it as a soft one (macOS).
FALLBACK_LIMIT = 65_536

#: Where Linux lists the open files of this process.
OPEN_FILES = Path("/proc/self/fd")

#: Share of the limit that the connections of one HTTP listener can use. The rest is left to AMQP and the store: clients
#: that open HTTP connections without logging in must not shut out others.
HTTP_SHARE = 1 / 4


#: Share of the limit that open files of streams can use: they must not shut out clients.
STREAM_SHARE = 1 / 8

#: Part of the limit that sockets use only as long as nobody else needs it, if they are not logged in.
RESERVE_SHARE = 1 / 8


def raise_limit() -> None:
    """Raise the soft limit of open files to the hard one, and log it."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = [hard, FALLBACK_LIMIT] if hard != resource.RLIM_INFINITY else [FALLBACK_LIMIT]
    for limit in wanted:
        if soft == resource.RLIM_INFINITY or limit <= soft:
            break
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
        except (OSError, ValueError):
            continue
        log.info("Open files: limit raised from %d to %d", soft, limit)
        return
    log.info("Open files: limit %s", "none" if soft == resource.RLIM_INFINITY else soft)


def soft_limit() -> int | None:
    """Return the limit on descriptors; None for no limit."""
    if sys.platform == "win32":
        return None
    import resource

    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if soft == resource.RLIM_INFINITY else soft


def reserve_begins() -> int:
    """The number of the descriptor at which the reserve begins. A new one gets the lowest number that is free, so its
    number says how many are left."""
    limit = soft_limit()
    return sys.maxsize if limit is None else limit - max(16, int(limit * RESERVE_SHARE))


def descriptors() -> Reading:
    """Return the number of open descriptors and their limit (-1: no limit). Raises `OSError` if none is left."""
    limit = soft_limit()
    return Reading(_used(), -1 if limit is None else limit)


def _used() -> int:
    """Return the number of open descriptors. Since Linux 6.2 it is the size of a directory; to list that takes 2 us for
    each of them."""
    try:
        size = OPEN_FILES.stat().st_size
    except FileNotFoundError:
        return 0
    return size or len(os.listdir(OPEN_FILES))


def http_connections(most: int) -> int:
    """Return how many connections an HTTP listener accepts. `most`: the configured number."""
    limit = soft_limit()
    return most if limit is None else max(1, min(most, int(limit * HTTP_SHARE)))


def stream_files(most: int) -> int:
    """Return how many files of streams stay open at a time. `most`: if descriptors are not few."""
    limit = soft_limit()
    return most if limit is None else max(1, min(most, int(limit * STREAM_SHARE)))
