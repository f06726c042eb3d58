"""Log records have RabbitMQ's formats, and go to its outputs."""

from __future__ import annotations

import gzip
import json
import logging
import os
import re
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import pytest

from leveret.server import log_outputs
from leveret.server.log import configure, log, written_in_threads
from leveret.server.log_formats import MOST_CHARACTERS, JsonFormatter, TextFormatter, formatter
from leveret.server.log_outputs import LogFile, LogStream, ThreadedOutput, compress, next_rotation
from leveret.server.recent_log import MAX_RECORDS, RecentLog
from leveret.settings import Log
from tests.hang import HANG_SECONDS


def record(text: str, *arguments: object, level: int = logging.INFO) -> logging.LogRecord:
    made = logging.LogRecord("leveret.connection", level, __file__, 1, text, arguments, None)
    made.created = 1764290236.5
    made.pid = "<0.7.0>"
    return made


@pytest.fixture(autouse=True)
def unchanged() -> Iterator[None]:
    """Leave the log as it was."""
    yield
    for handler in log.handlers:
        handler.close()
    log.handlers.clear()
    log.propagate = True
    log.setLevel(logging.NOTSET)


# --- the last records in memory


def test_the_last_lines_are_those_of_a_text_log() -> None:
    recent = RecentLog()
    for text in ("one\ntwo", "", "\udcff"):
        recent.emit(record(text))
    prefix = "2025-11-28 00:37:16.500000+00:00 [info] <0.7.0> "
    assert recent.last(9) == [f"{prefix}{text}\n" for text in ("one", "two", "", "\u00ff")]
    assert recent.last(1) == [f"{prefix}\u00ff\n"]
    assert recent.last(0) == []
    assert [(line.number, line.text) for line in recent.lines()] == [(1, "one\ntwo"), (2, ""), (3, "\u00ff")]


def test_control_characters_are_escaped() -> None:
    """Names of clients can have them."""
    text = TextFormatter().format(record("%s", "a\x00\r\x1b[2J\x7f\x9b\udc9b\t\r\n\udce9 end"))
    prefix = "2025-11-28 00:37:16.500000+00:00 [info] <0.7.0> "
    assert text == f"{prefix}a\\x00\\x0d\\x1b[2J\\x7f\\x9b\\x9b\t\n{prefix}\u00e9 end"


def test_a_very_long_record_is_cut() -> None:
    text = TextFormatter({"plaintext": "$msg"}).format(record("%s", "x" * 1_000_000))
    assert text == "x" * MOST_CHARACTERS + "..."


def test_only_the_last_records_are_kept() -> None:
    recent = RecentLog()
    for number in range(MAX_RECORDS + 1):
        recent.emit(record("%s", number))
    assert [line.text for line in recent.lines()] == [str(number) for number in range(1, MAX_RECORDS + 1)]
    assert len(recent.last(2 * MAX_RECORDS)) == MAX_RECORDS


# --- formats


def test_each_line_has_the_prefix() -> None:
    assert TextFormatter().format(record("one\n%s", "two")).splitlines() == [
        "2025-11-28 00:37:16.500000+00:00 [info] <0.7.0> one",
        "2025-11-28 00:37:16.500000+00:00 [info] <0.7.0> two",
    ]


def test_names_that_are_not_utf_8_are_written_as_utf_8() -> None:
    name = b"\xffm\xc3\xa9".decode("utf-8", "surrogateescape")
    text = TextFormatter().format(record("user '%s'", name))
    assert text.encode().decode().endswith("user '\u00ffm\u00e9'")


@pytest.mark.parametrize(
    ("details", "text"),
    [
        ({"time_format": "rfc3339_T"}, "2025-11-28T00:37:16.500000+00:00 [warning] <0.7.0> a"),
        ({"time_format": "epoch_usecs"}, "1764290236500000 [warning] <0.7.0> a"),
        ({"time_format": "epoch_secs"}, "1764290236 [warning] <0.7.0> a"),
        ({"time_format": "lager_default"}, "2025-11-28 00:37:16.500 [warning] <0.7.0> a"),
        ({"level_format": "uc4", "plaintext": "$level $msg"}, "WARN a"),
        ({"level_format": "lc3", "plaintext": "$level $msg"}, "wrn a"),
        ({"level_format": "uc", "plaintext": "[$level] $nosuch $msg"}, "[WARNING] <unknown nosuch> a"),
    ],
)
def test_text_has_the_details_of_the_configuration(details: dict[str, str], text: str) -> None:
    assert TextFormatter(details).format(record("a", level=logging.WARNING)) == text


def test_single_lines_are_possible() -> None:
    details = {"single_line": "on", "plaintext": "$msg"}
    assert TextFormatter(details).format(record("a\nb")) == "a, b"


def test_json_has_the_fields_of_rabbitmq() -> None:
    line = formatter("json", {}).format(record("a\n%s", '"b"'))
    assert line.startswith('{"time":"2025-11-28 00:37:16.500000+00:00","level":"info","msg":"a\\n\\"b\\"",')
    assert json.loads(line) == {
        "time": "2025-11-28 00:37:16.500000+00:00",
        "level": "info",
        "msg": 'a\n"b"',
        "line": 1,
        "pid": "<0.7.0>",
        "file": "test_log.py",
        "domain": "rabbitmq.connection",
    }


def test_json_fields_are_renamed_and_left_out() -> None:
    details = {"field_map": "time:ts level:- verbosity:v msg *:-", "verbosity_map": "info:1 *:0"}
    assert json.loads(JsonFormatter(details).format(record("a"))) == {
        "ts": "2025-11-28 00:37:16.500000+00:00",
        "v": 1,
        "msg": "a",
    }


# --- outputs


def test_outputs_have_levels_of_their_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure(
        Log(
            level="debug",
            console_level="error",
            console_formatter={"plaintext": "$msg"},
            dir=str(tmp_path / "log"),
            file="$node.log",
            file_formatter={"plaintext": "$msg"},
        ),
        "rabbit@box",
    )
    log.debug("few")
    log.error("many")
    assert capsys.readouterr().out == "many\n"
    assert (tmp_path / "log/rabbit@box.log").read_text() == "few\nmany\n"


def test_there_may_be_no_output(capsys: pytest.CaptureFixture[str]) -> None:
    configure(Log(console=False))
    log.error("nobody reads this")
    assert capsys.readouterr() == ("", "")


def test_a_closed_pipe_makes_the_console_silent(capsys: pytest.CaptureFixture[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    stream = LogStream(os.fdopen(writing, "w"))
    for _ in range(2):
        stream.handle(record("a"))
    stream.write("b")
    assert stream.level > logging.CRITICAL
    with suppress(BrokenPipeError):
        stream.stream.close()
    assert capsys.readouterr() == ("", "")


def test_an_output_that_hangs_holds_up_nobody_and_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As a pipe that nobody reads, or a file on a disk that hangs."""
    monkeypatch.setattr(log_outputs, "MOST_WAITING", 4)
    goes_on, begun, lines = threading.Event(), threading.Event(), list[str]()

    class Hanging(ThreadedOutput):
        def put_line(self, text: str, created: float) -> None:
            begun.set()
            assert goes_on.wait(HANG_SECONDS)
            lines.append(text)

    output = Hanging()
    output.begin()
    output.handle(record("first"))
    assert begun.wait(HANG_SECONDS)
    for text in ("second", "third", "fourth"):
        output.handle(record(text))
    assert lines == []
    goes_on.set()
    output.close()
    assert lines == ["first", "3 records are missing here: this output took no more"]


def test_the_end_does_not_wait_for_an_output_that_hangs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(log_outputs, "END_S", 0.0)
    goes_on = threading.Event()
    file = LogFile(Log(dir=str(tmp_path), file="a.log"), "n")
    monkeypatch.setattr(file, "_prepare", lambda now: goes_on.wait(HANG_SECONDS))
    file.begin()
    file.handle(record("one"))
    thread = file.thread
    file.close()
    file.handle(record("two"))
    goes_on.set()
    assert thread is not None
    thread._thread.join()
    file.file.close()
    assert (tmp_path / "a.log").read_text() == "one\n"


def test_outputs_write_in_threads_and_all_is_written_at_the_end(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    configure(Log(console=False, dir=str(tmp_path), file="a.log", file_formatter={"plaintext": "$msg"}))
    stream = LogStream(os.fdopen(writing, "w"))
    stream.setFormatter(TextFormatter({"plaintext": "$msg"}))
    log.handlers.append(stream)
    with written_in_threads():
        log.error("one")
        stream.write("a line")
    log.error("two")
    stream.stream.close()
    with os.fdopen(reading) as pipe:
        assert pipe.read() == "one\na line\ntwo\n"
    assert (tmp_path / "a.log").read_text() == "one\ntwo\n"


def written(settings: Log, *texts: str) -> LogFile:
    file = LogFile(settings, "n")
    file.setFormatter(TextFormatter({"plaintext": "$msg"}))
    for text in texts:
        file.handle(record(text))
    return file


def test_files_are_rotated_at_a_size(tmp_path: Path) -> None:
    settings = Log(dir=str(tmp_path), file="a.log", file_rotation_size=4, file_rotation_count=2)
    written(settings, "one", "two", "six", "ten").close()
    found = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert found == {"a.log": "ten\n", "a.log.0": "six\n", "a.log.1": "two\n"}


def test_rotated_files_are_compressed(tmp_path: Path) -> None:
    settings = Log(
        dir=str(tmp_path),
        file="a.log",
        file_rotation_size=4,
        file_rotation_count=2,
        file_rotation_compress=True,
    )
    file = written(settings)
    for text in ("one", "two", "six", "ten"):
        file.handle(record(text))
        if file.compression is not None:
            file.compression.join()
    file.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.log", "a.log.0.gz", "a.log.1.gz"]
    assert gzip.decompress((tmp_path / "a.log.0.gz").read_bytes()) == b"six\n"
    assert gzip.decompress((tmp_path / "a.log.1.gz").read_bytes()) == b"two\n"


def test_a_file_that_cannot_be_compressed_stays(tmp_path: Path) -> None:
    rotated = tmp_path / "a.log.0"
    rotated.write_text("one")
    (tmp_path / "a.log.0.gz.tmp").mkdir()
    compress(rotated)
    assert rotated.read_text() == "one"


def test_files_are_rotated_at_a_time(tmp_path: Path) -> None:
    settings = Log(dir=str(tmp_path), file="a.log", file_rotation_date="$D0", file_rotation_count=1)
    file = written(settings)
    file._rotate_at = datetime.fromtimestamp(record("").created)
    file.handle(record("new"))
    file.close()
    assert (tmp_path / "a.log.0").read_text() == ""
    assert (tmp_path / "a.log").read_text() == "new\n"


def test_a_file_that_was_moved_away_is_opened_again(tmp_path: Path) -> None:
    file = written(Log(dir=str(tmp_path), file="a.log"), "one")
    (tmp_path / "a.log").rename(tmp_path / "moved")
    file._checked_at = 0.0
    file.handle(record("two"))
    file.close()
    assert (tmp_path / "a.log").read_text() == "two\n"


@pytest.mark.parametrize(
    ("date", "moment"),
    [
        ("$D0", "2026-11-29 00:00"),
        ("$D16", "2026-11-28 16:00"),
        ("$D3", "2026-11-29 03:00"),
        ("$D16H30", "2026-11-28 16:30"),
        ("$H", "2026-11-28 14:00"),
        ("$H30", "2026-11-28 13:30"),
        ("$W0", "2026-11-29 00:00"),
        ("$W5D16", "2026-12-04 16:00"),
        ("$M1D0", "2026-12-01 00:00"),
        ("$ML", "2026-11-30 00:00"),
        ("", None),
        ("nonsense", None),
    ],
)
def test_times_of_rotation_are_those_of_rabbitmq(date: str, moment: str | None) -> None:
    found = next_rotation(date, datetime(2026, 11, 28, 13, 15, 20))
    assert found == (datetime.fromisoformat(moment) if moment else None)


def test_patterns_of_readers_match() -> None:
    """What log readers look for: the beginning of RabbitMQ's lines."""
    line = TextFormatter().format(record("x"))
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}[+-]\d\d:\d\d \[\w+\] <\d+\.\d+\.\d+> ", line)
