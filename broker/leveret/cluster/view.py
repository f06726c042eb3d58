"""What a node knows of the cluster: who lives, and who owns which virtual host. Decisions are pure functions of that.

The tables hold two kinds of documents, `NodeRecord` by node name and `OwnerRecord` by virtual host.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from leveret.cluster.lease import dead_at
from leveret.cluster.ports import StorageError, TableEntry
from leveret.management.site import NodeFigures, OtherNode

T = TypeVar("T")

#: Seconds that a node waits for each node that is a better new owner.
RANK_DELAY_S = 0.2


class NodeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A node. `incarnation`: random, of one run of it; `address`: where it listens for other nodes; `format`: version
    of what it writes into logs; `beat`: number of the renewal; `dead`: it has left, or another node has found it dead;
    `drained`: it is under maintenance, and takes nothing over; `full`: its disk is, and it takes nothing over either;
    `figures`: what it tells of itself."""

    incarnation: str
    address: str
    format: int = 1
    beat: int = 0
    dead: bool = False
    drained: bool = False
    figures: NodeFigures | None = None
    full: bool = False

    @property
    def takes_over(self) -> bool:
        """Whether it takes virtual hosts over while it lives."""
        return not self.drained and not self.full


class OwnerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The owner of a virtual host: no `node` if nobody owns it. `incarnation`: of that node; "" if it is to take it.
    `ready`: it has read the log, and serves. `damage`: why it cannot serve it, and keeps it closed, else empty."""

    node: str = ""
    incarnation: str = ""
    ready: bool = False
    damage: str = ""


#: A virtual host that nobody owns.
NOBODY = OwnerRecord()


def encode(record: NodeRecord | OwnerRecord) -> bytes:
    """Return a document as JSON."""
    return msgspec.json.encode(record)


def decode_node(entry: TableEntry) -> NodeRecord | None:
    """Decode a node's document; None if the key is deleted. Raises `StorageError`."""
    return None if entry.value is None else _decoded(entry, entry.value, NodeRecord)


def decode_owner(entry: TableEntry) -> OwnerRecord:
    """Decode an owner's document. Raises `StorageError`."""
    return NOBODY if entry.value is None else _decoded(entry, entry.value, OwnerRecord)


def _decoded(entry: TableEntry, value: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(value, type=kind)
    except msgspec.MsgspecError as error:
        raise StorageError(
            f"key '{entry.key}' holds no {kind.__name__} of Leveret: {error}. Give the cluster another name, or delete "
            "its buckets."
        ) from error


@dataclass(frozen=True, slots=True)
class SeenNode:
    """A node's document as it was seen last. `changed_at`: when its key was seen to change."""

    name: str
    record: NodeRecord
    revision: int
    changed_at: float


@dataclass(frozen=True, slots=True)
class SeenOwner:
    """An owner's document as it was seen last. `changed_at`: when its key was seen to change."""

    record: OwnerRecord
    revision: int
    changed_at: float


class View:
    """The cluster as this node sees it. `lease_s`: length of all leases; `read_at`: when both tables had been read.
    `owned`: how many virtual hosts each node owns, is about to, or is to take."""

    def __init__(self, lease_s: float) -> None:
        self.lease_s = lease_s
        self.read_at: float | None = None
        self.nodes: dict[str, SeenNode] = {}
        self.owners: dict[str, SeenOwner] = {}
        self.owned: Counter[str] = Counter()
        self._gone: dict[tuple[str, str], float] = {}
        self._known_at: dict[str, float] = {}

    def see_node(self, entry: TableEntry, now: float) -> None:
        """Note the entry of a node. Raises `StorageError`."""
        record = decode_node(entry)
        if record is None:
            self.nodes.pop(entry.key, None)
        else:
            self.nodes[entry.key] = SeenNode(entry.key, record, entry.revision, now)

    def see_owner(self, entry: TableEntry, now: float) -> None:
        """Note the entry of a virtual host. Raises `StorageError`."""
        known = self.owners.get(entry.key)
        if known is None or entry.revision > known.revision:
            seen = self.owners[entry.key] = SeenOwner(decode_owner(entry), entry.revision, now)
            self.owned[seen.record.node] += 1
            if known is not None:
                self.owned[known.record.node] -= 1

    def know(self, vhost: str, now: float) -> None:
        """Note that there is a virtual host: a new one is left to the best node for a moment."""
        self._known_at.setdefault(vhost, now)

    def known_at(self, vhost: str) -> float:
        """Return when a virtual host was known first, or the past."""
        return self._known_at.get(vhost, float("-inf"))

    def see_gone(self, name: str, incarnation: str, now: float) -> None:
        """Note that the process of a node has ended: its address refuses connections."""
        self._gone.setdefault((name, incarnation), now)

    def died_at(self, name: str, incarnation: str) -> float:
        """Return from when on an incarnation of a node counts as dead: in the future, if it does not change."""
        seen = self.nodes.get(name)
        if seen is None:
            return float("-inf")
        if seen.record.dead or seen.record.incarnation != incarnation:
            return seen.changed_at
        return min(dead_at(seen.changed_at, self.lease_s), self._gone.get((name, incarnation), float("inf")))

    def is_alive(self, name: str, now: float) -> bool:
        """Return whether a node counts as living."""
        seen = self.nodes.get(name)
        return seen is not None and not seen.record.dead and self.died_at(name, seen.record.incarnation) > now

    def living(self, now: float) -> list[str]:
        """Return the names of all living nodes, sorted."""
        return sorted(name for name in self.nodes if self.is_alive(name, now))

    def others(self, name: str, now: float) -> list[OtherNode]:
        """Return all nodes but one, sorted."""
        return [
            OtherNode(
                other,
                self.is_alive(other, now),
                seen.record.drained,
                seen.record.figures,
                seen.record.full,
            )
            for other, seen in sorted(self.nodes.items())
            if other != name
        ]

    def owner_of(self, vhost: str) -> OwnerRecord:
        """Return the owner of a virtual host, ready or not."""
        seen = self.owners.get(vhost)
        return NOBODY if seen is None else seen.record

    def address_of_owner(self, vhost: str) -> str | None:
        """Return where the owner of a virtual host listens for other nodes; None if nobody is ready."""
        owner = self.owner_of(vhost)
        seen = self.nodes.get(owner.node)
        if (
            not owner.ready
            or seen is None
            or seen.record.incarnation != owner.incarnation
            or seen.record.dead
        ):
            return None
        return seen.record.address


def rank(view: View, vhost: str, name: str, now: float) -> int:
    """Return how many living nodes should rather own a virtual host: those that own fewer, then by a hash."""
    me = _weight(view, vhost, name)
    return sum(
        _weight(view, vhost, other) < me
        for other in view.living(now)
        if other != name and view.nodes[other].record.takes_over
    )


def _weight(view: View, vhost: str, name: str) -> tuple[int, bytes]:
    return view.owned[name], hashlib.sha256(f"{vhost}\0{name}".encode()).digest()


def claim_at(view: View, vhost: str, name: str, incarnation: str, now: float) -> float | None:
    """Return when this node may claim a virtual host, if nothing changes before: in the past, if it may now. None: it
    owns it, takes it already, or has not read the tables yet."""
    if view.read_at is None:
        return None
    seen = view.owners.get(vhost)
    owner = NOBODY if seen is None else seen.record
    if owner.node == name and not owner.incarnation:
        return now  # it was handed over to this node
    if owner.node == name and owner.incarnation == incarnation:
        return None
    if seen is None or not owner.node:
        free_at = max(view.read_at, view.known_at(vhost))
    elif not owner.incarnation:
        free_at = _end_of_offer(view, seen, owner.node)
    else:
        free_at = view.died_at(owner.node, owner.incarnation)
    return max(free_at, seen.changed_at if seen else free_at) + rank(view, vhost, name, now) * RANK_DELAY_S


def _end_of_offer(view: View, seen: SeenOwner, name: str) -> float:
    """Until when a node may take what was handed over to it: as long as it lives and takes something over, and no
    longer than a lease."""
    node = view.nodes.get(name)
    if node is None or node.record.dead or not node.record.takes_over:
        return seen.changed_at
    return min(seen.changed_at + view.lease_s, view.died_at(name, node.record.incarnation))
