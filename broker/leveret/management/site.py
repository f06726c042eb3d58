"""The port through which the HTTP API and the Prometheus page see the node they run in.

The node makes a `Site` and passes it to `Http`. Resources, views and the Prometheus page do not import the node, its
sockets or its event loop, so that the API of an embedded node, or of several nodes, is the same code with another
`Site`.
"""

from __future__ import annotations

import gc
import resource
import socket
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from msgspec import Struct, field

from leveret.engine.auth_attempts import AuthAttempts
from leveret.engine.broker import Broker
from leveret.engine.samples import Sampler
from leveret.engine.stats import Counts, Stats
from leveret.management.owners import Owners
from leveret.management.slices import Slices
from leveret.settings import Server
from leveret.store.files import Operations
from leveret.tls_settings import Tls
from leveret.work import Job


class Reading(NamedTuple):
    """What is used (or, of a disk, free) of a resource, and its limit."""

    value: int
    limit: int


#: Options of sockets that nothing else is known of.
_SERVER = Server()


class Listener(NamedTuple):
    """A listening socket. `protocol`: RabbitMQ's name for it: amqp, amqp/ssl, http, https, http/prometheus,
    https/prometheus. `tls`: None without TLS. `server`: the options of its sockets, if it is for AMQP."""

    protocol: str
    ip_address: str
    port: int
    tls: Tls | None = None
    server: Server = _SERVER

    @classmethod
    def on(
        cls, protocol: str, sock: socket.socket, tls: Tls | None = None, server: Server = _SERVER
    ) -> Listener:
        """Describe a socket."""
        host, port = sock.getsockname()[:2]
        return cls(protocol, host, port, tls, server)


class ListenerFigures(Struct, frozen=True):
    """A listener, as a node tells others of it."""

    protocol: str
    ip_address: str
    port: int


class NodeFigures(Struct, frozen=True, kw_only=True):
    """What a node tells the others of itself. `version`, `erlang`: of the RabbitMQ that it stands for; `started_at`: ms
    since the epoch; `alarms`: resources; the others: as in the HTTP API."""

    version: str
    erlang: str
    pid: int
    started_at: int
    processors: int
    alarms: list[str]
    listeners: list[ListenerFigures]
    mem_used: int
    mem_limit: int
    disk_free: int
    disk_free_limit: int
    fd_used: int
    fd_total: int
    sockets_used: int
    proc_used: int


class OtherNode(Struct, frozen=True):
    """Another node of the cluster. `running`: it lives; `drained`: it is under maintenance; `full`: its disk is, and it
    takes no virtual host over; `figures`: what it has reported last, None if it has reported nothing."""

    name: str
    running: bool
    drained: bool = False
    figures: NodeFigures | None = None
    full: bool = False

    @property
    def takes_over(self) -> bool:
        """Whether it could serve what another node has."""
        return self.running and not self.drained and not self.full


class Expiring(NamedTuple):
    """A listener whose certificates expire soon: for each of them when, in RabbitMQ's form, or what is wrong with it.

    `certfile_ends`: certificates of the server; `cacertfile_ends`: those of authorities.
    """

    listener: Listener
    tls: Tls
    certfile_ends: list[str]
    cacertfile_ends: list[str]


def _nothing_expires(within_s: float) -> list[Expiring]:
    """There is no listener with TLS."""
    return []


class Metric(NamedTuple):
    """A metric that only some nodes have. `values`: by virtual host, or one under "" without."""

    name: str
    kind: str
    text: str
    values: Mapping[str, float]


class LogLine(NamedTuple):
    """One record of the log. `number`: from 1 since the start; `time`: ms since the epoch; `level`: as it is printed;
    `category`: the part of the broker, empty for none."""

    number: int
    time: int
    level: str
    category: str
    text: str


class Site(Struct, frozen=True):
    """One node as the HTTP API sees it.

    `tick` moves the clock to the current time, and comes first in each call. `touch` has connections sent that have
    output, and comes last. `settled` waits until everything that was changed so far is durable, except in other
    virtual hosts if one is given; `ended` until a job has ended. `listeners`: all of the node. `memory`: resident
    octets and the watermark; `disk`: free octets (-1: unknown) and the limit; `descriptors`: open ones and how many
    there may be; `file_operations`: those of the store.
    `attempts`: logins over AMQP and HTTP. `expiring`: listeners with certificates that expire within so many seconds.
    `recent_log`: the last records of the log, oldest first.
    `plugins`: RabbitMQ's names of the plugins whose work is done here. `started_at`: ms since the epoch. `data_dir`: of
    the store, empty without one. `slices`: the turns in which long lists are walked.
    `other_nodes`: those of the cluster besides this one; `owners`: reaches those that serve virtual hosts which are not
    here, None for a node that serves all.
    `more_metrics`: others for the Prometheus page.
    `more_routes`: resources of other packages, by path below /api and method.
    """

    broker: Broker
    stats: Stats
    sampler: Sampler
    node_name: str
    cluster_id: str
    tick: Callable[[], None]
    touch: Callable[[], None]
    settled: Callable[[str | None], Awaitable[None]]
    ended: Callable[[Job], Awaitable[None]]
    listeners: Callable[[], list[Listener]]
    memory: Callable[[], Reading]
    disk: Callable[[], Reading]
    descriptors: Callable[[], Reading]
    file_operations: Callable[[], Operations]
    attempts: AuthAttempts
    plugins: Callable[[], list[str]]
    started_at: int
    expiring: Callable[[float], list[Expiring]] = _nothing_expires
    data_dir: str = ""
    recent_log: Callable[[], list[LogLine]] = list
    log_files: tuple[str, ...] = ()
    more_routes: Callable[[], dict[str, dict[str, Callable[..., object]]]] = dict
    config_files: tuple[str, ...] = ()
    slices: Slices = field(default_factory=Slices)
    other_nodes: Callable[[], list[OtherNode]] = list
    owners: Owners | None = None
    more_metrics: Callable[[], list[Metric]] = list

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
