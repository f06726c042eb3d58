"""What a channel in transaction mode holds until tx.commit (docs: semantics#tx)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from leveret import errors

if TYPE_CHECKING:
    from collections.abc import Callable

    from leveret.engine.tallies import PublishTally
    from leveret.queues.message import Destination, Entry, Message

#: Octets of memory that a held publish takes, about, besides its body.
HELD_BYTES = 500


class HeldPublish(NamedTuple):
    """A publish that was checked and routed. `tally`: the counts of its exchange."""

    message: Message
    targets: list[Destination]
    mandatory: bool
    tally: PublishTally


class HeldSettlement(NamedTuple):
    """Deliveries to be settled; a long list has gaps (`Unacked.take_all`). `method`: that of basic.ack (80),
    basic.nack (120) or basic.reject (90)."""

    entries: list[Entry]
    method: int
    requeue: bool


class Transaction:
    """Held publishes and settlements, in order. `limit`: publishes that it may hold, -1 for no limit. `count`:
    called with how many `octets` more it holds. `committing`: commit-ok waits for the journal."""

    def __init__(self, limit: int, count: Callable[[int], None]) -> None:
        self.limit = limit
        self.count = count
        self.octets = 0
        self.publishes: list[HeldPublish] = []
        self.settlements: list[HeldSettlement] = []
        self.committing = False

    def check_room(self) -> None:
        """Raise 406 if it may not hold one more publish."""
        if 0 <= self.limit <= len(self.publishes):
            raise errors.transaction_full(self.limit)

    def hold(self, publish: HeldPublish) -> None:
        """Hold one more publish."""
        octets = publish.message.size + HELD_BYTES
        self.octets += octets
        self.count(octets)
        self.publishes.append(publish)

    def take_publishes(self) -> list[HeldPublish]:
        """Return the held publishes and hold none any more."""
        self.count(-self.octets)
        self.octets = 0
        held, self.publishes = self.publishes, []
        return held

    def take(self) -> tuple[list[HeldPublish], list[HeldSettlement]]:
        """Return everything held and hold nothing any more."""
        settlements, self.settlements = self.settlements, []
        return self.take_publishes(), settlements

    def entries(self) -> list[Entry]:
        """Return the deliveries whose settlement is held back."""
        return [entry for held in self.settlements for entry in held.entries if entry is not None]
