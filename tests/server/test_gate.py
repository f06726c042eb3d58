"""Who may send while something is not on the disk yet."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from leveret.server.gate import Gate


class Store:
    """What the gate asks of a store."""

    def __init__(self) -> None:
        self.metadata = SimpleNamespace(changes=0)
        self.unsaid = False
        self.safe = True
        self.asked = 0

    def before_sending(self) -> bool:
        self.asked += 1
        return self.safe


def gate_on(store: Store) -> tuple[Gate, list[Callable[[], None]]]:
    due: list[Callable[[], None]] = []
    made: Any = store
    return Gate(made, lambda _, call: due.append(call), lambda: None), due


def test_nothing_to_write() -> None:
    store = Store()
    gate, _ = gate_on(store)
    assert gate.admit(["a", "b"]) == ["a", "b"]
    assert (store.asked, gate.shut()) == (0, False)


def test_written_first() -> None:
    store = Store()
    gate, due = gate_on(store)
    store.unsaid = True
    assert gate.shut()
    assert gate.admit(["a"]) == ["a"]
    assert (store.asked, due) == (1, [])


def test_those_who_were_answered_wait_and_others_go_on() -> None:
    store = Store()
    gate, due = gate_on(store)
    store.unsaid, store.safe, store.metadata.changes = True, False, 1
    assert gate.admit(["declarer"]) == []
    assert gate.admit(["reader", "declarer"]) == ["reader"]
    store.metadata.changes = 2
    assert gate.admit(["another", "declarer"]) == []
    assert len(due) == 3
    store.unsaid, store.safe = False, True
    assert gate.admit(["reader"]) == ["declarer", "another", "reader"]
    assert gate.held == {}
