"""Who may send while something is not on the disk yet."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from leveret.clock import Clock
from leveret.faults import Faults
from leveret.server.send_barrier import SendBarrier


class Store:
    """What the gate asks of a store."""

    def __init__(self) -> None:
        self.metadata = SimpleNamespace(changes=0)
        self.has_unwritten = False
        self.safe = True
        self.asked = 0

    def before_sending(self) -> bool:
        self.asked += 1
        return self.safe


def gate_on(store: Store) -> tuple[SendBarrier, list[Callable[[], None]]]:
    due: list[Callable[[], None]] = []
    made: Any = store
    return SendBarrier(made, lambda _, call: due.append(call), lambda: None, Faults(Clock())), due


def test_nothing_to_write() -> None:
    store = Store()
    send_barrier, _ = gate_on(store)
    assert send_barrier.admit(["a", "b"]) == ["a", "b"]
    assert (store.asked, send_barrier.shut()) == (0, False)


def test_written_first() -> None:
    store = Store()
    send_barrier, due = gate_on(store)
    store.has_unwritten = True
    assert send_barrier.shut()
    assert send_barrier.admit(["a"]) == ["a"]
    assert (store.asked, due) == (1, [])


def test_those_who_were_answered_wait_and_others_go_on() -> None:
    store = Store()
    send_barrier, due = gate_on(store)
    store.has_unwritten, store.safe, store.metadata.changes = True, False, 1
    assert send_barrier.admit(["declarer"]) == []
    assert send_barrier.admit(["reader", "declarer"]) == ["reader"]
    store.metadata.changes = 2
    assert send_barrier.admit(["another", "declarer"]) == []
    assert len(due) == 3
    store.has_unwritten, store.safe = False, True
    assert send_barrier.admit(["reader"]) == ["declarer", "another", "reader"]
    assert send_barrier.held == {}
