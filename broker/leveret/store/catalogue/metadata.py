"""Durable exchanges, queues, bindings, virtual hosts, users, permissions and policies, in SQLite.

Changes are gathered as statements and written in one transaction by `save`, which returns when they are on
the disk (WAL, synchronous=FULL). The edge calls it before anything is sent, so that no declare-ok leaves
before its declaration is safe, and a thousand pipelined declarations cost one sync. A transaction that fails
is kept and tried again.
"""

from __future__ import annotations

import contextlib
import errno
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from leveret.store import errors
from leveret.store.catalogue import schema
from leveret.store.catalogue.epoch import EpochFile
from leveret.store.files import Files

Row = tuple[Any, ...]


class Metadata:
    """One file. `changes`: statements noted so far, ever; `pending`: whether some are not on the disk; `epoch`: how
    often it was written, ever."""

    def __init__(self, path: Path, files: Files | None = None) -> None:
        self.path = path
        self.changes = 0
        self._statements: list[tuple[str, Row]] = []
        self._epoch_file = EpochFile(path.with_name("epoch"), files or Files())
        try:
            known = self._epoch_file.read()
        except OSError as error:
            raise errors.unreadable(self._epoch_file.path, error) from error
        try:
            self._database = _open(path, known)
        except (sqlite3.DatabaseError, OSError) as error:
            raise errors.unreadable(path, error) from error
        try:
            self.epoch: int = self.setting("epoch", 0)
            if known > self.epoch:
                raise errors.older(path, self.epoch, known)
        except BaseException:
            self._database.close()
            raise

    @property
    def pending(self) -> bool:
        """Whether something is not on the disk yet."""
        return bool(self._statements)

    def note(self, statement: str, *values: Any) -> None:
        """One change, on the disk after the next `save`."""
        self.changes += 1
        self._statements.append((statement, values))

    def save(self) -> None:
        """Write what was noted. Raises OSError, and everything is kept for the next time."""
        if not self._statements:
            return
        try:
            self._database.execute("BEGIN IMMEDIATE")
            for statement, values in self._statements:
                self._database.execute(statement, values)
            self._database.execute("INSERT OR REPLACE INTO setting VALUES ('epoch', ?)", (self.epoch + 1,))
            self._database.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            with contextlib.suppress(sqlite3.DatabaseError):
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
            full = "full" in str(error)
            raise OSError(errno.ENOSPC if full else errno.EIO, str(error), str(self.path)) from error
        self._statements.clear()
        self.epoch += 1
        self._epoch_file.write(self.epoch)

    def rows(self, query: str, *values: Any) -> Iterable[Row]:
        """What is on the disk."""
        try:
            return self._database.execute(query, values).fetchall()
        except sqlite3.DatabaseError as error:
            raise errors.unreadable(self.path, error) from error

    def setting(self, name: str, default: Any) -> Any:
        """A value that belongs to the store itself."""
        for (value,) in self.rows("SELECT value FROM setting WHERE name = ?", name):
            return value
        return default

    def set(self, name: str, value: Any) -> None:
        """Change it."""
        self.note("INSERT OR REPLACE INTO setting VALUES (?, ?)", name, value)

    def close(self) -> None:
        """Let go of the file; its WAL is written back."""
        self._database.close()
        self._epoch_file.close()


def _open(path: Path, epoch: int) -> sqlite3.Connection:
    """The file, in this version's form; it is known to have been written `epoch` times. Raises `StoreError`,
    sqlite3.DatabaseError."""
    new = not path.exists() or path.stat().st_size == 0
    database = sqlite3.connect(path, isolation_level=None, timeout=1)
    try:
        database.execute(
            "PRAGMA locking_mode = EXCLUSIVE"
        )  # first of all: then no shared memory file is needed
        if not new:
            _check(path, database, epoch)
        for pragma in ("journal_mode = WAL", "synchronous = FULL"):
            database.execute(f"PRAGMA {pragma}")
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if version < schema.VERSION:
            database.execute("BEGIN IMMEDIATE")
            schema.migrate(database, version)
            database.execute("COMMIT")
    except BaseException:
        database.close()
        raise
    return database


def _check(path: Path, database: sqlite3.Connection, epoch: int) -> None:
    """Is it ours, whole, and of a version we know? Nothing is written."""
    application = database.execute("PRAGMA application_id").fetchone()[0]
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if version < 0:
        raise sqlite3.DatabaseError(f"its version is {version}")
    if epoch > 0 and not database.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]:
        # Everything was in the write-ahead log.
        raise errors.older(path, 0, epoch)
    if application != schema.APPLICATION_ID:
        raise errors.foreign(path, "is an SQLite file of another program")
    if version > schema.VERSION:
        raise errors.newer(path, version, schema.VERSION)
    for (line,) in database.execute("PRAGMA quick_check(1)"):
        if line != "ok":
            raise sqlite3.DatabaseError(line)


def text(name: str) -> str | bytes:
    """A name as SQLite can hold it: octets where it is not UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return name.encode("utf-8", "surrogateescape")
    return name


def name_of(value: str | bytes) -> str:
    """The name again."""
    return value if isinstance(value, str) else value.decode("utf-8", "surrogateescape")
