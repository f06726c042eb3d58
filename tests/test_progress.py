"""Progress bars: in a terminal only, and only of what takes long."""

from __future__ import annotations

import io
import os
import pty
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from leveret.engine.broker import Broker
from leveret.progress import ProgressBar, shown, unwatched
from leveret.server.load_definitions import load
from tests.stores.harness import DiskHarness, message


class Terminal:
    """What was written, and the time, which stands still."""

    def __init__(self) -> None:
        self.now = 0.0
        self.written: list[str] = []
        self.bar = ProgressBar(self.written.append, lambda: 60, lambda: self.now)


@pytest.fixture
def terminal() -> Terminal:
    return Terminal()


def test_a_short_operation_shows_nothing(terminal: Terminal) -> None:
    for done in range(100):
        terminal.now += 0.004
        terminal.bar.report("Reading", done, 100)
    terminal.bar.close()
    assert terminal.written == []


def test_a_long_one_shows_how_much_is_done_and_when_it_ends(terminal: Terminal) -> None:
    terminal.bar.report("Reading", 0, 100)
    terminal.now = 2.0
    terminal.bar.report("Reading", 25, 100)
    assert terminal.written == ["\r\x1b[KReading [######..................]  25 %  6 s left\r"]
    terminal.bar.close()
    assert terminal.written[1:] == ["\r\x1b[K"]


def test_it_is_drawn_ten_times_a_second_at_most(terminal: Terminal) -> None:
    terminal.bar.report("Reading", 0, 1000)
    for done in range(1000):
        terminal.now += 0.01
        terminal.bar.report("Reading", done, 1000)
    assert 80 <= len(terminal.written) <= 100


def test_the_next_operation_begins_again(terminal: Terminal) -> None:
    terminal.bar.report("Reading", 0, 2)
    terminal.now = 10.0
    terminal.bar.report("Sorting", 0, 2)
    assert terminal.written == []
    terminal.now = 11.0
    terminal.bar.report("Sorting", 1, 2)
    assert "Sorting [############............]  50 %  1 s left\r" in terminal.written[0]


def test_it_is_erased_at_the_end_of_an_operation(terminal: Terminal) -> None:
    terminal.bar.report("Reading", 0, 100)
    terminal.now = 2.0
    terminal.bar.report("Reading", 50, 100)
    terminal.bar.report("Reading", 100, 100)
    assert terminal.written[1:] == ["\r\x1b[K"]


def test_it_fits_into_a_narrow_terminal(terminal: Terminal) -> None:
    terminal.bar.report("A very long name of an operation", 0, 2)
    terminal.now = 90.0
    terminal.bar.report("A very long name of an operation", 1, 2)
    (line,) = terminal.written
    assert len(line.strip("\r").removeprefix("\x1b[K")) == 59


def test_without_a_terminal_there_is_none() -> None:
    stream = io.StringIO()
    with shown(stream) as report:
        assert report is unwatched
    assert stream.getvalue() == ""


@pytest.fixture
def terminal_file() -> Iterator[tuple[int, io.TextIOWrapper]]:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as stream:
        yield ours, stream
    os.close(ours)


def test_a_terminal_gets_one(
    terminal_file: tuple[int, io.TextIOWrapper], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, stream = terminal_file
    monkeypatch.setattr("leveret.progress.APPEARS_AFTER_S", 0.0)
    monkeypatch.setattr("leveret.progress.REDRAWN_AFTER_S", 0.0)
    with shown(stream) as report:
        report("Reading", 1, 4)
        assert b"Reading [######......" in os.read(ours, 1000)
    assert os.read(ours, 1000) == b"\r\x1b[K"


def test_a_recovery_reports_what_is_read(tmp_path: Path) -> None:
    data = DiskHarness(tmp_path)
    data.declare("q")
    data.push("q", message(b"x"))
    data.commit()
    data.kill()
    seen: list[tuple[str, int, int]] = []
    store = data.make_store()
    broker = Broker(clock=data.clock, journal=store.journal)
    store.restore(broker, lambda what, done, total: seen.append((what, done, total)))
    store.release()
    assert broker.vhosts["/"].queues["q"].ready == 1
    assert {what for what, _, _ in seen} == {"Restoring definitions", "Reading messages"}
    assert all(0 <= done <= total for _, done, total in seen)


def test_definitions_at_start_report_their_objects(tmp_path: Path) -> None:
    queues = [{"name": f"q{number}", "vhost": "/", "durable": True} for number in range(5)]
    file = tmp_path / "definitions.json"
    file.write_bytes(msgspec.json.encode({"vhosts": [{"name": "/"}], "queues": queues}))
    seen: list[tuple[str, int, int]] = []
    load(Broker(), str(file), lambda what, done, total: seen.append((what, done, total)))
    assert seen == [("Importing definitions.json", done, 6) for done in (*range(6), 6)]
