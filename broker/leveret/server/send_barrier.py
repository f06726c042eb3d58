"""Nothing leaves before what it says is true on the disk.

The edge asks before it sends. Deliveries are marked in the store then, and declarations made safe. While the
disk refuses those, the connections that were answered in the same tick wait with all they have to say; others
go on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from leveret.faults import Faults

if TYPE_CHECKING:
    from leveret.store.disk import DiskStore

#: Seconds between two looks at whether those who wait may go.
RETRY_INTERVAL_S = 0.1


class SendBarrier:
    """`later`: calls back in the loop after a number of seconds; `wake`: has the edge send again."""

    def __init__(
        self,
        store: DiskStore,
        later: Callable[[float, Callable[[], None]], Any],
        wake: Callable[[], None],
        faults: Faults,
    ) -> None:
        self.store = store
        self.later = later
        self.wake = wake
        self.faults = faults
        self.held: dict[Any, None] = {}
        self._seen = 0

    def shut(self) -> bool:
        """Whether something must be written first: nobody may send ahead of the others."""
        return self.store.has_unwritten or bool(self.held)

    def admit(self, dirty: list[Any]) -> list[Any]:
        """Who of these connections may send now, and who has waited for it. After a fault all of them wait."""
        try:
            return self._admit(dirty)
        except Exception as error:
            self.faults.report("gate", error)
            self.held.update(dict.fromkeys(dirty))
            self.later(RETRY_INTERVAL_S, self.wake)
            return []

    def _admit(self, dirty: list[Any]) -> list[Any]:
        if not self.store.has_unwritten and not self.held:
            return dirty
        if self.store.before_sending():
            admitted = {**self.held, **dict.fromkeys(dirty)}
            self.held = {}
            return list(admitted)
        if self.store.metadata.changes != self._seen:
            self._seen = self.store.metadata.changes
            self.held.update(dict.fromkeys(dirty))
        self.later(RETRY_INTERVAL_S, self.wake)
        return [connection for connection in dirty if connection not in self.held]
