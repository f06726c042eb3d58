"""The port through which the HTTP API and the Prometheus page see the node they run in.

The node makes a `Site` and passes it to `Http`. Resources, views and the Prometheus page do not import the node, its
sockets or its event loop, so that the API of an embedded node, or of several nodes, is the same code with another
`Site`.
"""

from __future__ import annotations

import gc
import resource
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from leveret.engine.auth_attempts import AuthAttempts
from leveret.engine.broker import Broker
from leveret.engine.samples import Sampler
from leveret.engine.stats import Counts, Stats
from leveret.management.slices import Slices
from leveret.store.files import Operations
from leveret.work import Job


class Reading(NamedTuple):
    """What is used (or, of a disk, free) of a resource, and its limit."""

    value: int
    limit: int


class Listener(NamedTuple):
    """A listening socket. `protocol`: RabbitMQ's name for it: amqp, http, http/prometheus."""

    protocol: str
    ip_address: str
    port: int


@dataclass(frozen=True, slots=True)
class Site:
    """One node as the HTTP API sees it.

    `tick` moves the clock to the current time, and comes first in each call. `touch` has connections sent that have
    output, and comes last. `settled` waits until everything that was changed so far is durable, `ended` until a job
    has ended. `listeners`: all of the node. `memory`: resident octets and the watermark; `disk`: free octets (-1:
    unknown) and the limit; `descriptors`: open ones and how many there may be; `file_operations`: those of the store.
    `attempts`: logins over AMQP and HTTP.
    `plugins`: RabbitMQ's names of the plugins whose work is done here. `started_at`: ms since the epoch. `data_dir`: of
    the store, empty without one. `slices`: the turns in which long lists are walked.
    """

    broker: Broker
    stats: Stats
    sampler: Sampler
    node_name: str
    cluster_id: str
    tick: Callable[[], None]
    touch: Callable[[], None]
    settled: Callable[[], Awaitable[None]]
    ended: Callable[[Job], Awaitable[None]]
    listeners: Callable[[], list[Listener]]
    memory: Callable[[], Reading]
    disk: Callable[[], Reading]
    descriptors: Callable[[], Reading]
    file_operations: Callable[[], Operations]
    attempts: AuthAttempts
    plugins: Callable[[], list[str]]
    started_at: int
    data_dir: str = ""
    log_files: tuple[str, ...] = ()
    config_files: tuple[str, ...] = ()
    slices: Slices = field(default_factory=Slices)

    def used(self) -> Counts:
        """Return what the node uses and what has come and gone, by RabbitMQ's names; these are sampled.

        `proc_used`: threads. `gc_num`: collections of the garbage collector.
        """
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "mem_used": self.memory().value,
            "fd_used": self.descriptors().value,
            "sockets_used": len(self.broker.connections),
            "proc_used": threading.active_count(),
            "disk_free": self.disk().value,
            "gc_num": sum(generation["collections"] for generation in gc.get_stats()),
            "context_switches": usage.ru_nvcsw + usage.ru_nivcsw,
            **self.stats.churn(),
        }

    @property
    def erlang_version(self) -> str:
        """The Erlang version of the RabbitMQ that the profile stands for."""
        return self.broker.profile.platform.rpartition(" ")[2]
