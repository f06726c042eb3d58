"""The port through which the HTTP API and the Prometheus page see the node they run in.

The node makes a `Site` and passes it to `Http`. Resources, views and the Prometheus page do not import the node, its
sockets or its event loop, so that the API of an embedded node, or of several nodes, is the same code with another
`Site`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from leveret.engine.broker import Broker
from leveret.engine.stats import Stats
from leveret.management.slices import Slices
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


@dataclass(slots=True)
class Logins:
    """Logins over HTTP, counted."""

    succeeded: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Site:
    """One node as the HTTP API sees it.

    `tick` moves the clock to the current time, and comes first in each call. `touch` has connections sent that have
    output, and comes last. `settled` waits until everything that was changed so far is durable, `ended` until a job
    has ended. `listeners`: all of the node. `memory`: resident octets and the watermark; `disk`: free octets (-1:
    unknown) and the limit; `descriptors`: open ones and how many there may be. `plugins`: RabbitMQ's names of the
    plugins whose work is done here. `started_at`: ms since the epoch. `data_dir`: of the store, empty without one.
    `slices`: the turns in which long lists are walked.
    """

    broker: Broker
    stats: Stats
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
    plugins: Callable[[], list[str]]
    started_at: int
    data_dir: str = ""
    log_files: tuple[str, ...] = ()
    config_files: tuple[str, ...] = ()
    logins: Logins = field(default_factory=Logins)
    slices: Slices = field(default_factory=Slices)

    @property
    def erlang_version(self) -> str:
        """The Erlang version of the RabbitMQ that the profile stands for."""
        return self.broker.profile.platform.rpartition(" ")[2]
