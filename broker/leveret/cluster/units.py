"""All virtual hosts of a cluster, as this node sees them: those in the directory, each with a unit; and who serves them
now."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from leveret.cluster.tasks import end
from leveret.cluster.unit import Shared, Unit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from leveret.cluster.directory import Directory

log = logging.getLogger("leveret")

#: Seconds for which a node that stops waits until virtual hosts are deleted: containers are given 10 s to stop.
DELETE_TIMEOUT_S = 2.0


class Units:
    """`units`: by name. `failed`: done with the exception of a unit that has failed: then the node must give up all
    that it has."""

    def __init__(self, directory: Directory, shared: Shared) -> None:
        self.directory = directory
        self.shared = shared
        self.member = shared.member
        self.units: dict[str, Unit] = {}
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tasks: dict[Unit, asyncio.Future[None]] = {}
        self._deleting: dict[str, asyncio.Future[None]] = {}

    @property
    def here(self) -> list[Unit]:
        """Those that this node serves."""
        return [unit for unit in self.units.values() if unit.serving]

    @property
    def taken(self) -> bool:
        """Whether this node owns something, or is about to."""
        return any(unit.takeover is not None for unit in self.units.values())

    # --- what there is

    def sync(self) -> None:
        """Begin with virtual hosts that are new in the directory, and end with those that are gone."""
        there = self.directory.vhosts()
        for name, unit in list(self.units.items()):
            if there.get(name) != unit.id:
                del self.units[name]
                self._end(unit)
        for name, identifier in there.items():
            if name not in self.units:
                self._begin(Unit(name, identifier, self.shared))
        self.member.wake()

    def _begin(self, unit: Unit) -> None:
        self.units[unit.name] = unit
        before = self._deleting.get(unit.name)
        task = self._tasks[unit] = asyncio.ensure_future(self._run(unit, before))
        task.add_done_callback(lambda done: self._ended(unit, done))

    @staticmethod
    async def _run(unit: Unit, before: asyncio.Future[None] | None) -> None:
        """Run a virtual host once an earlier one of the same name is gone: its store has that name, too."""
        if before is not None:
            await asyncio.shield(before)
        await unit.run()

    def _ended(self, unit: Unit, task: asyncio.Future[None]) -> None:
        if task.cancelled() or self.units.get(unit.name) is not unit or self.failed.done():
            return
        error = task.exception()
        if error is not None:
            self.failed.set_exception(error)

    def _end(self, unit: Unit) -> None:
        before = self._deleting.get(unit.name)
        task = self._deleting[unit.name] = asyncio.ensure_future(self._delete(unit, before))

        def ended(done: asyncio.Future[None]) -> None:
            if self._deleting.get(unit.name) is done:
                del self._deleting[unit.name]

        task.add_done_callback(ended)

    async def _delete(self, unit: Unit, before: asyncio.Future[None] | None) -> None:
        await end([self._tasks.pop(unit)])
        if before is not None:
            await before
        try:
            await unit.delete()
        except Exception:
            log.exception("cluster: what is left of virtual host '%s' cannot be deleted", unit.name)

    # --- stop

    async def take_nothing(self) -> None:
        """Take nothing over any more, and give up what this node is about to take."""
        idle = [unit for unit in self.units.values() if not unit.serving and not unit.leaving]
        await end([self._tasks[unit] for unit in idle])
        await asyncio.gather(*(unit.give_up() for unit in idle))

    async def hand_over(self, reason: str, units: Iterable[Unit] | None = None, target: str = "") -> None:
        """Hand over these, or all that are here. One that cannot be handed over does not keep the others."""
        if units is None:
            units = [unit for unit in self.units.values() if unit.serving or unit.leaving or unit.damage]
        chosen = list(units)
        ended = await asyncio.gather(
            *(unit.hand_over(reason, target) for unit in chosen), return_exceptions=True
        )
        for unit, error in zip(chosen, ended, strict=True):
            if isinstance(error, BaseException):
                log.error("cluster: virtual host '%s' was not handed over", unit.name, exc_info=error)

    async def give_away(self, unit: Unit, reason: str) -> None:
        """Give up a virtual host that cannot be written here: another node serves what is in its log. `reason`: for the
        clients."""
        try:
            await unit.hand_over(reason, commit=False)
        except Exception:
            log.exception("cluster: virtual host '%s' was not given up", unit.name)

    async def stop(self) -> None:
        """Follow no longer, and note what is known."""
        await end(self._tasks.values())
        deleting = list(self._deleting.values())
        if deleting:  # other nodes delete what is left then (`deleted_logs.py`)
            await asyncio.wait(deleting, timeout=DELETE_TIMEOUT_S)
            await end(deleting)
        await asyncio.gather(*(unit.stop() for unit in self.units.values()))

    async def note_copies(self) -> None:
        """Note what the directories of those that are here have of their logs."""
        for unit in self.here:
            await unit.note_copy()

    async def move(self, vhost: str, target: str) -> None:
        """Hand a virtual host over to a node, if it is here; one that is damaged is tried again there."""
        if (unit := self.units.get(vhost)) is not None and (unit.serving or unit.damage):
            await unit.hand_over(f"virtual host '{vhost}' is moved to another node", target)

    def moves(self) -> list[tuple[str, str, str]]:
        """Return the moves that spread the virtual hosts evenly: virtual host, owner, and the node that gets it."""
        view, now = self.member.view, self.shared.time.now()
        of: dict[str, list[str]] = {
            name: [] for name in view.living(now) if view.nodes[name].record.takes_over
        }
        for vhost in sorted(self.units):
            of.get(self.owner(vhost), []).append(vhost)
        found: list[tuple[str, str, str]] = []
        while of:
            most, least = max(of, key=lambda name: len(of[name])), min(of, key=lambda name: len(of[name]))
            if len(of[most]) - len(of[least]) < 2:
                break
            moved = of[most].pop()
            of[least].append(moved)
            found.append((moved, most, least))
        return found

    # --- who serves them

    def owner(self, vhost: str) -> str:
        """Return the name of the node that serves a virtual host, perhaps this one; "" for none."""
        unit = self.units.get(vhost)
        if unit is None:
            return ""
        if unit.serving:
            return self.member.name
        view = self.member.view
        found = view.owner_of(unit.id).node if view.address_of_owner(unit.id) is not None else ""
        return found if found != self.member.name else ""

    def revision(self, vhost: str) -> int:
        """Return the revision of the owner of a virtual host, as far as this node knows; 0 if there is none."""
        unit = self.units.get(vhost)
        seen = self.member.view.owners.get(unit.id) if unit is not None else None
        return 0 if seen is None else seen.revision

    def damage(self, vhost: str) -> tuple[str, str]:
        """Return the node that keeps a damaged virtual host closed, and why; empty for one that is not damaged."""
        unit = self.units.get(vhost)
        if unit is None:
            return "", ""
        if unit.damage:
            return self.member.name, unit.damage
        view, owner = self.member.view, self.member.view.owner_of(unit.id)
        seen = view.nodes.get(owner.node)
        if not owner.damage or owner.node == self.member.name:
            return "", ""
        if seen is None or seen.record.incarnation != owner.incarnation or seen.record.dead:
            return "", ""
        return owner.node, owner.damage

    def address(self, vhost: str) -> str | None:
        """Return where the node that serves a virtual host listens for others; None if it is here, or nowhere."""
        unit, owner = self.units.get(vhost), self.owner(vhost)
        if unit is None or owner in ("", self.member.name):
            return None
        return self.member.view.address_of_owner(unit.id)

    async def served(self, vhost: str) -> str:
        """Return the name of the node that serves a virtual host, as soon as there is one; "" if it is deleted, or
        damaged, before one does."""
        while not (owner := self.owner(vhost)) and vhost in self.units and not self.damage(vhost)[0]:
            await self.member.changed()
        return owner
