"""What a channel needs of its connection to say something."""

from __future__ import annotations

from leveret.session.outlet import OUTBOX_LIMIT, Outlet


def test_it_is_on_the_list_once() -> None:
    dirty: list[Outlet] = []
    outlet = Outlet(dirty)
    outlet.speak()
    outlet.speak()
    assert dirty == [outlet] and outlet.waiting


def test_full() -> None:
    outlet = Outlet([])
    assert not outlet.full() and not outlet.congested
    outlet.outbox.put(bytes(OUTBOX_LIMIT))
    assert not outlet.full()
    outlet.outbox.put(b"1")
    assert outlet.full() and outlet.congested
    outlet.outbox.take()
    outlet.congested = False
    outlet.paused = True
    assert outlet.full() and outlet.congested
