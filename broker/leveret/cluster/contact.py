"""The first contact of a node to NATS."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

from leveret.cluster.keeper import NODES
from leveret.cluster.nats import NatsSettings, connect
from leveret.cluster.ports import ReplicatedStorage, StorageError, Table, Unavailable
from leveret.settings import Cluster

log = logging.getLogger("leveret")

#: Seconds that the first contact may take, and between two attempts.
CONTACT_TIMEOUT_S = 20.0
CONTACT_INTERVAL_S = 1.0

#: The tables of a cluster.
TABLES = (NODES, "owners", "directory")

#: In the environment of a process that has started itself again: it waits for NATS as long as it takes.
RESTARTED = "_LEVERET_RESTARTED"


class Contact(NamedTuple):
    """What a node uses of the replicated storage. `again`: makes another connection to it."""

    storage: ReplicatedStorage
    nodes: Table
    owners: Table
    directory: Table
    again: Callable[[], Awaitable[ReplicatedStorage]]


async def connected(cluster: Cluster) -> Contact:
    """Connect to NATS, and check that it keeps what it acknowledges. A process that has started itself again waits for
    it, whatever is wrong. Raises `StorageError`."""
    patient = bool(os.environ.get(RESTARTED))
    reason = ""
    try:
        async with asyncio.timeout(None if patient else CONTACT_TIMEOUT_S):
            while True:
                try:
                    return await _contact(cluster)
                except (Unavailable, StorageError) as error:
                    if isinstance(error, StorageError) and not patient:
                        raise
                    if str(error) != reason:
                        reason = str(error)
                        log.warning("cluster: NATS cannot be used yet: %s", reason)
                await asyncio.sleep(CONTACT_INTERVAL_S)
    except TimeoutError:
        raise StorageError(
            f"NATS cannot be used: {reason or 'it does not answer'}. See that a majority of the servers in "
            f"cluster.nats ({', '.join(cluster.nats)}) is running."
        ) from None


def _nats(cluster: Cluster) -> NatsSettings:
    """Return where NATS is."""
    return NatsSettings(
        cluster.nats,
        cluster=cluster.name,
        replicas=cluster.replicas,
        credentials=Path(cluster.credentials) if cluster.credentials else None,
        monitor=cluster.monitor,
        sync=cluster.sync,
    )


async def _contact(cluster: Cluster) -> Contact:
    """Raises `Unavailable`, `StorageError`."""
    storage = await connect(_nats(cluster))
    try:
        nodes, owners, directory = [await storage.open_table(name) for name in TABLES]
    except BaseException:
        await storage.close()
        raise
    return Contact(storage, nodes, owners, directory, lambda: connect(_nats(cluster)))
