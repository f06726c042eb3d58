"""What a node tells the others of itself, with its lease (`NodeFigures`)."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from leveret.management.site import ListenerFigures, NodeFigures
from leveret.server import descriptors

if TYPE_CHECKING:
    from leveret.server.node import Node


def figures_of(node: Node) -> NodeFigures:
    """Return the figures of a node that runs."""
    profile, used = node.broker.profile, descriptors.descriptors()
    memory, disk = node.monitor.memory(), node.monitor.disk()
    return NodeFigures(
        version=profile.version,
        erlang=profile.platform.rpartition(" ")[2],
        pid=os.getpid(),
        started_at=node.started_at,
        processors=os.cpu_count() or 1,
        alarms=sorted(node.broker.alarms),
        listeners=[ListenerFigures(one.protocol, one.ip_address, one.port) for one in node.listeners()],
        mem_used=memory.value,
        mem_limit=memory.limit,
        disk_free=disk.value,
        disk_free_limit=disk.limit,
        fd_used=used.value,
        fd_total=used.limit,
        sockets_used=len(node.broker.connections),
        proc_used=threading.active_count(),
    )
