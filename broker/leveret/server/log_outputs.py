"""Outputs of the log: standard output or error, and a file with rotation.

An output whose reader is gone, or whose disk is full, is silent: a broker without a log goes on serving.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TextIO

from leveret.engine.log_exchange import LogExchange, Record
from leveret.settings import Log

#: How often the file is compared with what is at its path, as log rotation by other programs needs it, seconds.
_CHECK_S = 1.0

_DATE = re.compile(
    r"\$(?:H(?P<minute>\d*)|D(?P<hour>\d*)(?:H(?P<day_minute>\d+))?|W(?P<weekday>\d?)(?:D(?P<week_hour>\d+))?"
    r"|M(?P<day>\d+|L)(?:D(?P<month_hour>\d+))?)"
)


class LogStream(logging.StreamHandler[TextIO]):
    """Standard output or error. It is silent from the first failure on: the pipe's reader has ended."""

    def write(self, text: str) -> None:
        """Write a line that is no record. Raises nothing."""
        try:
            self.stream.write(text + "\n")
            self.flush()
        except (OSError, ValueError):
            self._silence()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  the name in logging
        """Stop writing if the pipe is closed; report another error, which is one of the record."""
        if isinstance(sys.exc_info()[1], OSError | ValueError):
            self._silence()
        else:
            super().handleError(record)

    def _silence(self) -> None:
        self.setLevel(logging.CRITICAL + 1000)
        if self.stream in (sys.stdout, sys.stderr):
            # Python writes what is left at exit, which would be a traceback on standard error.
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, self.stream.fileno())
            os.close(nothing)


class LogFile(logging.Handler):
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

    def _opened(self) -> TextIO:
        return self.path.open("a", encoding="utf-8", buffering=1)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, after a rotation that is due."""
        try:
            self._prepare(datetime.fromtimestamp(record.created))
            self.file.write(self.format(record) + "\n")
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
        """Close the file."""
        self.file.close()
        super().close()


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
