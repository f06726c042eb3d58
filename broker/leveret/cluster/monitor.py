"""Whether the servers of NATS write to the disk before they acknowledge: `sync_interval: always`.

NATS says that only over its monitoring port (`http_port`), at `/jsz`.
"""

from __future__ import annotations

import asyncio
import logging
import urllib.request
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from leveret.cluster.ports import StorageError

log = logging.getLogger("leveret")

#: Seconds that a server may take to answer.
TIMEOUT_S = 3.0

_REMEDY = 'or set [cluster] sync = "interval": then a power failure of several machines may lose confirmed messages.'


class _Config(msgspec.Struct):
    sync_always: bool = False


class _Jsz(msgspec.Struct):
    config: _Config = msgspec.field(default_factory=_Config)


class _Answers(NamedTuple):
    """What the servers have said. `unsynced`: those that acknowledge before they write; `silent`: those that have not
    answered, with the reason."""

    unsynced: list[str]
    silent: list[str]


async def check_sync(addresses: Sequence[str]) -> None:
    """Check that all servers of NATS (addresses of their monitoring ports) write to the disk before they acknowledge.
    Raises `StorageError` if one does not, or if a majority has not answered.

    A server that is down does not keep a node from starting: a cluster must work without one of its machines.
    """
    if not addresses:
        raise StorageError(
            "it is not known whether NATS writes to the disk before it acknowledges. Name the monitoring ports of all "
            f"NATS servers in [cluster] monitor (http_port in their configuration), {_REMEDY}"
        )
    answers = await _ask(addresses)
    if answers.unsynced:
        raise StorageError(
            f"NATS does not write to the disk before it acknowledges: {', '.join(answers.unsynced)} has no "
            f"sync_interval: always. Set that in the jetstream block of every server, {_REMEDY}"
        )
    if len(answers.silent) * 2 >= len(addresses):
        raise StorageError(
            "it is not known whether NATS writes to the disk before it acknowledges: "
            f"{'; '.join(answers.silent)}. See that the NATS servers are running, correct [cluster] monitor, {_REMEDY}"
        )
    for silent in answers.silent:
        log.warning("cluster: it is not known whether a NATS server syncs every write: %s", silent)


async def _ask(addresses: Sequence[str]) -> _Answers:
    findings = await asyncio.gather(*(asyncio.to_thread(_syncs, address) for address in addresses))
    asked = list(zip(addresses, findings, strict=True))
    return _Answers(
        [address for address, finding in asked if finding is False],
        [
            f"{address} does not answer at /jsz ({found})"
            for address, found in asked
            if isinstance(found, str)
        ],
    )


def _syncs(address: str) -> bool | str:
    """Return whether a server syncs every write, or why that is not known."""
    base = address if "://" in address else f"http://{address}"
    try:
        with urllib.request.urlopen(f"{base.rstrip('/')}/jsz", timeout=TIMEOUT_S) as answer:
            return msgspec.json.decode(answer.read(), type=_Jsz).config.sync_always
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        return str(error)
