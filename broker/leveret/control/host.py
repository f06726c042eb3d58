"""The port through which commands see the node they run in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Protocol

from leveret.engine.auth_attempts import AuthAttempts
from leveret.engine.broker import Broker
from leveret.management.owners import Owners
from leveret.management.site import Expiring, Listener, OtherNode, Reading
from leveret.management.slices import Slices
from leveret.work import Job


class Resources(Protocol):
    """Limits of memory and disk, which commands can change. `setting`: the watermark as a share of RAM or in octets.
    `disk_watched`: whether free disk space is compared with its limit. `held`: alarms that stay on, whatever is
    measured."""

    total: int
    memory_limit: int
    disk_limit: int
    setting: float | int
    disk_watched: bool
    held: set[str]

    def memory(self) -> Reading:
        """Octets of memory in use, and the watermark."""
        ...

    def disk(self) -> Reading:
        """Octets of free disk space, and the limit."""
        ...

    def check(self) -> None:
        """Compare with the limits."""
        ...


class LogLines(Protocol):
    """The last lines of the log."""

    def last(self, count: int) -> list[str]:
        """The last lines, each with its line end."""
        ...

    def follow(self) -> AsyncIterator[str]:
        """Yield lines as they are written."""
        ...


class Host(Protocol):
    """One node. `running`: its application is started; `booting`: it is being started. `maintenance`: it is drained.
    `started_at`: ms since the epoch. `data_dir`: of the store, empty without one."""

    broker: Broker
    slices: Slices
    attempts: AuthAttempts
    resources: Resources
    log: LogLines
    running: bool
    booting: bool
    maintenance: bool
    started_at: int

    @property
    def name(self) -> str:
        """The name of the node."""
        ...

    @property
    def data_dir(self) -> str:
        """Where data is stored, empty for nowhere."""
        ...

    @property
    def owners(self) -> Owners | None:
        """Reaches the nodes that serve virtual hosts which are not on this one; None for a node alone."""
        ...

    def other_nodes(self) -> list[OtherNode]:
        """The nodes of the cluster besides this one."""
        ...

    async def forget_node(self, name: str) -> None:
        """Remove a node that does not live from the cluster."""
        ...

    def tick(self) -> None:
        """Move the clock; before each call."""
        ...

    def touch(self) -> None:
        """Send the output of connections; after each call."""
        ...

    def settled(self) -> Awaitable[None]:
        """Wait until all that was changed is durable."""
        ...

    def ended(self, job: Job) -> Awaitable[None]:
        """Wait until a job has ended."""
        ...

    def listeners(self) -> list[Listener]:
        """All listeners."""
        ...

    def expiring(self, within_s: float) -> list[Expiring]:
        """The listeners whose certificates expire within that time."""
        ...

    def plugins(self) -> list[str]:
        """RabbitMQ's names of the plugins whose work is done here and that can be switched off."""
        ...

    def lacking_plugins(self) -> list[str]:
        """RabbitMQ's names of the plugins that are enabled, but whose work nobody does."""
        ...

    async def enable_plugin(self, name: str) -> None:
        """Do the work of a plugin from now on. Raises `OSError`."""
        ...

    async def disable_plugin(self, name: str) -> None:
        """Do it no longer."""
        ...

    def keep_plugins(self, choose: Callable[[Iterable[str]], set[str]]) -> list[str]:
        """Write the enabled plugins into their file, if there is one. `choose`: returns them from those before, which
        are also returned; none without a file."""
        ...

    def kept_plugins(self) -> list[str]:
        """What is in the file of enabled plugins; nothing without one."""
        ...

    def set_log_level(self, level: str) -> None:
        """Log from this level on, in all categories."""
        ...

    def suspend_listeners(self) -> None:
        """Accept no AMQP connections."""
        ...

    async def resume_listeners(self) -> None:
        """Accept them again. Raises `OSError`."""
        ...

    def stop(self) -> None:
        """End the process, soon."""
        ...

    async def stop_application(self) -> None:
        """Close all listeners and connections, and keep what is durable."""
        ...

    async def start_application(self) -> None:
        """Serve clients again. Raises `OSError`, `DefinitionsError`."""
        ...

    async def reset(self) -> None:
        """Delete everything."""
        ...
