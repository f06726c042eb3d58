"""How many files and sockets this process may have open.

Systems give a process few by default (the soft limit) and more if it asks (the hard limit). A broker has a descriptor
for every client, so it asks at its start, as Erlang's runtime and other servers do.
"""

from __future__ import annotations

import logging
import sys

log = logging.getLogger("leveret")

#: Where the system names no hard limit, or refuses it as a soft one (macOS), so many are asked for.
PLENTY = 65_536


def raise_limit() -> None:
    """Raise the soft limit of open files to the hard one, and say so."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = [hard, PLENTY] if hard != resource.RLIM_INFINITY else [PLENTY]
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
