"""Outputs of the log: standard output or error, and a file with rotation.

An output whose reader is gone, or whose disk is full, is silent: a broker without a log goes on serving. While clients
are served, each output writes in a thread of its own (`begin`): a disk may hang, and nobody may read a pipe.
"""

from __future__ import annotations

import logging
import os
import queue
import re
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from io import FileIO
from pathlib import Path
from typing import TextIO

from leveret.engine.log_exchange import LogExchange, Record
from leveret.settings import Log

#: Characters that may wait for the thread of an output.
MOST_WAITING = 4 * 1024 * 1024

#: How long the end waits for what is left, seconds.
END_S = 1.0

#: How often the file is compared with what is at its path, as log rotation by other programs needs it, seconds.
_CHECK_S = 1.0

_DATE = re.compile(
    r"\$(?:H(?P<minute>\d*)|D(?P<hour>\d*)(?:H(?P<day_minute>\d+))?|W(?P<weekday>\d?)(?:D(?P<week_hour>\d+))?"
    r"|M(?P<day>\d+|L)(?:D(?P<month_hour>\d+))?)"
)


class LogThread:
    """Writes what one output is given, in a thread, one after another. While more than `MOST_WAITING` wait, more is
    dropped; a line says how many records were when the output takes some again.

    `put_line`: writes a text, in the thread. It raises nothing.
    """

    def __init__(self, put_line: Callable[[str, float], None]) -> None:
        self.dropped = 0
        self._put_line = put_line
        self._lines: queue.SimpleQueue[tuple[str, float] | None] = queue.SimpleQueue()
        self._waiting = 0
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="leveret-log", daemon=True)
        self._thread.start()

    def put(self, text: str, created: float) -> None:
        """Write a text soon; in any thread. `created`: when, seconds since 1970."""
        with self._lock:
            if self._waiting > MOST_WAITING:
                self.dropped += 1
                return
            self._waiting += len(text)
        self._lines.put((text, created))

    def _run(self) -> None:
        while (line := self._lines.get()) is not None:
            self._put_line(*line)
            with self._lock:
                self._waiting -= len(line[0])
                dropped, self.dropped = (self.dropped, 0) if self._waiting == 0 else (0, self.dropped)
            if dropped:
                self._put_line(f"{dropped} records are missing here: this output took no more", line[1])

    def end(self) -> bool:
        """Write what waits, for a while at most; False if the output does not take it."""
        self._lines.put(None)
        self._thread.join(END_S)
        return not self._thread.is_alive()


class ThreadedOutput(logging.Handler):
    """An output that writes in the calling thread until it has a thread of its own. `lost`: that one hangs, and nothing
    is written any more."""

    def __init__(self) -> None:
        super().__init__()
        self.thread: LogThread | None = None
        self.lost = False

    def begin(self) -> None:
        """Write in a thread from now on."""
        if self.thread is None:
            self.thread = LogThread(self.put_line)

    def end(self) -> None:
        """Write what waits, and in the calling thread from now on; nothing more if the output hangs."""
        if self.thread is not None and not self.lost:
            self.lost = not self.thread.end()
            if not self.lost:
                self.thread = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or have it written."""
        try:
            text = self.format(record)
        except Exception:
            self.handleError(record)
            return
        self.pass_line(text, record.created)

    def pass_line(self, text: str, created: float) -> None:
        """Write a line, or have it written."""
        if self.lost:
            return
        if self.thread is not None:
            self.thread.put(text, created)
        else:
            self.put_line(text, created)

    def put_line(self, text: str, created: float) -> None:
        """Write a line now. Raises nothing."""
        raise NotImplementedError

    def close(self) -> None:
        """Write what waits."""
        self.end()
        super().close()


class LogStream(ThreadedOutput):
    """Standard output or error. It is silent from the first failure on: the pipe's reader has ended."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self.stream = stream

    def write(self, text: str) -> None:
        """Write a line that is no record. Raises nothing."""
        self.pass_line(text, time.time())

    def put_line(self, text: str, created: float) -> None:
        """Write a line. Raises nothing."""
        try:
            if self.thread is None:
                self.stream.write(text + "\n")
                self.stream.flush()
            else:
                self._write_unbuffered(text + "\n")
        except (OSError, ValueError):
            self._silence()

    def _write_unbuffered(self, text: str) -> None:
        """Write without the lock of the stream, which the end of the process needs even if this hangs. Raises
        OSError."""
        left = text.encode(self.stream.encoding or "utf-8", "backslashreplace")
        while left:
            left = left[os.write(self.stream.fileno(), left) :]

    def _silence(self) -> None:
        self.setLevel(logging.CRITICAL + 1000)
        if self.stream in (sys.stdout, sys.stderr):
            # Python writes what is left at exit, which would be a traceback on standard error.
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, self.stream.fileno())
            os.close(nothing)


class LogFile(ThreadedOutput):
    """A file. It is rotated at a size and at times: `rabbit.log` becomes `rabbit.log.0`, and that `rabbit.log.1`.

    With compression a thread makes `rabbit.log.0.gz` of it; until it has, the file is not rotated again.

    Raises `OSError` if it cannot be opened.
    """

    def __init__(self, settings: Log, node: str) -> None:
        super().__init__()
        name = settings.file.replace("$node", node)
        self.path = Path(settings.dir, name) if settings.dir else Path(name)
        self.size = settings.file_rotation_size
        self.count = settings.file_rotation_count
        self.dates = settings.file_rotation_date
        self.compresses = settings.file_rotation_compress
        self.compression: threading.Thread | None = None
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.file = self._opened()
        self._rotate_at = next_rotation(self.dates, datetime.now())
        self._checked_at = 0.0

    def _opened(self) -> FileIO:
        """Open the file, without a buffer and its lock: the end of the process does not wait for a thread that
        hangs."""
        return self.path.open("ab", buffering=0)

    def put_line(self, text: str, created: float) -> None:
        """Write a line, after a rotation that is due. Raises nothing."""
        left = f"{text}\n".encode("utf-8", "backslashreplace")
        try:
            self._prepare(datetime.fromtimestamp(created))
            while left:
                left = left[self.file.write(left) :]
        except (OSError, ValueError):
            return  # the disk is full, or the file was closed

    def _prepare(self, now: datetime) -> None:
        if self.compression is not None and self.compression.is_alive():
            return
        if self._rotate_at is not None and now >= self._rotate_at:
            self._rotate_at = next_rotation(self.dates, now)
            self.rotate()
        elif self.size and os.fstat(self.file.fileno()).st_size >= self.size:
            self.rotate()
        elif now.timestamp() - self._checked_at >= _CHECK_S:
            self._checked_at = now.timestamp()
            self._reopen_if_moved()

    def _reopen_if_moved(self) -> None:
        """Open the path again if another program has moved the file away."""
        here = os.fstat(self.file.fileno())
        try:
            there = self.path.stat()
        except FileNotFoundError:
            pass
        else:
            if (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino):
                return
        self.file.close()
        self.file = self._opened()

    def rotate(self) -> None:
        """Move the file to `.0`, that to `.1` and so on, `count` files at most, and open a new one."""
        self.file.close()
        for suffix in ("", ".gz"):
            self._archived(self.count - 1, suffix).unlink(missing_ok=True)
            for number in range(self.count - 1, 0, -1):
                older = self._archived(number - 1, suffix)
                if older.exists():
                    older.replace(self._archived(number, suffix))
        if self.count:
            self.path.replace(self._archived(0))
        else:
            self.path.unlink(missing_ok=True)
        self.file = self._opened()
        if self.count and self.compresses:
            self.compression = threading.Thread(target=compress, args=(self._archived(0),), daemon=True)
            self.compression.start()

    def _archived(self, number: int, suffix: str = "") -> Path:
        return self.path.with_name(f"{self.path.name}.{number}{suffix}")

    def close(self) -> None:
        """Close the file, unless a thread hangs in it."""
        super().close()
        if not self.lost:
            self.file.close()


def compress(path: Path) -> None:
    """Replace a file by one compressed with gzip. If that fails, the file stays."""
    import gzip  # seldom used
    import shutil

    target = path.with_name(f"{path.name}.gz")
    unfinished = path.with_name(f"{path.name}.gz.tmp")
    try:
        with path.open("rb") as source, gzip.open(unfinished, "wb") as packed:
            shutil.copyfileobj(source, packed)
        unfinished.replace(target)
        path.unlink()
    except OSError as error:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        logging.getLogger("leveret").warning("%s cannot be compressed: %s", path, error)


class LogPublisher(logging.Handler):
    """The exchange amq.rabbitmq.log; only records of the loop's thread are published. `touch`: have the loop do what is
    due."""

    def __init__(self, exchange: LogExchange, touch: Callable[[], None]) -> None:
        super().__init__()
        self.exchange = exchange
        self.touch = touch
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        """Publish a record."""
        if threading.get_ident() == self._thread:
            body = self.format(record).encode("utf-8", "replace")
            self.exchange.add(Record(record.levelname.lower(), body, int(record.created)))
            self.touch()


def next_rotation(date: str, now: datetime) -> datetime | None:
    """Return the next time of a date in RabbitMQ's form, or None if it has none: `$D0` is midnight, `$H` each hour,
    `$W0D23` Sunday at 23, `$M1D0` the first of the month."""
    match = _DATE.fullmatch(date)
    if match is None:
        return None
    hour = next((int(match[name]) for name in ("hour", "week_hour", "month_hour") if match[name]), 0)
    moment = now.replace(second=0, microsecond=0)
    if date.startswith("$H"):
        moment = moment.replace(minute=int(match["minute"] or 0) % 60)
        return moment if moment > now else moment + timedelta(hours=1)
    moment = moment.replace(hour=hour % 24, minute=int(match["day_minute"] or 0) % 60)
    while moment <= now or not _is_day(match, moment):
        moment += timedelta(days=1)
    return moment


def _is_day(match: re.Match[str], moment: datetime) -> bool:
    if match["weekday"] is not None:
        return moment.isoweekday() % 7 == int(match["weekday"] or 0)
    if match["day"] == "L":
        return (moment + timedelta(days=1)).day == 1
    return match["day"] is None or moment.day == int(match["day"])
