"""The output of a connection, as its channels use it."""

from __future__ import annotations

from leveret.session.output import OUTBOX_LIMIT_BYTES, Output


def test_an_output_is_scheduled_once() -> None:
    dirty: list[Output] = []
    output = Output(dirty)
    output.schedule_flush()
    output.schedule_flush()
    assert dirty == [output] and output.flush_scheduled


def test_a_full_or_paused_output_is_congested() -> None:
    output = Output([])
    assert not output.full() and not output.congested
    output.outbox.put(bytes(OUTBOX_LIMIT_BYTES))
    assert not output.full()
    output.outbox.put(b"1")
    assert output.full() and output.congested
    output.outbox.take()
    output.congested = False
    output.paused = True
    assert output.full() and output.congested
