"""The catalogue of a data directory, in SQLite (`metadata.sqlite`).

Changes are collected. `take` marks what there is for the next transaction, and `write`, in any thread, writes that; it
is on the disk when `write` returns (WAL, synchronous=FULL). Each commit of the store does so before it writes messages,
so a thousand pipelined declarations cost one sync, and the log never names a queue that the catalogue does not have. A
transaction that fails is tried again with the next one. The settings of the store itself are in the same file.
"""

from __future__ import annotations

import contextlib
import errno
import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

from leveret.engine.catalogue import Document, Key, Kind, Record
from leveret.json_portions import text_of
from leveret.store import errors
from leveret.store.catalogue import schema
from leveret.store.catalogue.epoch import EpochFile
from leveret.store.files import Files

#: A value of the store's own settings.
Setting: TypeAlias = int | str

#: Kind and key of a record, as text.
RecordKey: TypeAlias = tuple[str, str]

_PUT = "INSERT OR REPLACE INTO record VALUES (?, ?, ?)"
_DELETE = "DELETE FROM record WHERE kind = ? AND key = ?"
_SET = "INSERT OR REPLACE INTO setting VALUES (?, ?)"
_FORGET = "DELETE FROM setting WHERE name = ?"


class SqliteCatalogue:
    """One file. `ticket`: called for each change of a record, returns its ticket. `epoch`: how often the file was
    written since it was made. Raises `StoreError`."""

    def __init__(self, path: Path, ticket: Callable[[], int], files: Files | None = None) -> None:
        self.path = path
        self.ticket = ticket
        self._records: dict[RecordKey, str | None] = {}
        self._settings: dict[str, Setting | None] = {}
        self._taken_records: dict[RecordKey, str | None] = {}
        self._taken_settings: dict[str, Setting | None] = {}
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
            self.epoch = self.number("epoch", 0)
            if known > self.epoch:
                raise errors.older(path, self.epoch, known)
        except BaseException:
            self._database.close()
            raise

    # --- the port

    def put(self, kind: Kind, key: Key, document: Document) -> int:
        """Add or replace a record; returns the ticket."""
        self._records[kind, schema.key_text(key)] = text_of(document)
        return self.ticket()

    def delete(self, kind: Kind, key: Key) -> int:
        """Delete a record, if there is one; returns the ticket."""
        self._records[kind, schema.key_text(key)] = None
        return self.ticket()

    def load(self) -> Iterable[Record]:
        """Yield all records that are on the disk. Raises `StoreError`."""
        try:
            for kind, key, document in self._database.execute("SELECT kind, key, document FROM record"):
                yield Record(Kind(kind), tuple(json.loads(key)), json.loads(document))
        except (sqlite3.DatabaseError, ValueError) as error:
            raise errors.unreadable(self.path, error) from error

    # --- the store's own settings

    def number(self, name: str, default: int) -> int:
        """Return a setting that is on the disk and is a number. Raises `StoreError`."""
        try:
            found = self._database.execute("SELECT value FROM setting WHERE name = ?", (name,)).fetchone()
        except sqlite3.DatabaseError as error:
            raise errors.unreadable(self.path, error) from error
        return default if found is None else int(found[0])

    def set(self, name: str, value: Setting | None) -> None:
        """Change a setting with the next transaction; None: remove it."""
        self._settings[name] = value

    # --- writing

    @property
    def pending(self) -> bool:
        """Whether something is not on the disk yet."""
        return bool(self._records or self._settings) or self.taken

    def take(self) -> None:
        """Have the next `write` write all changes so far."""
        self._taken_records.update(self._records)
        self._taken_settings.update(self._settings)
        self._records.clear()
        self._settings.clear()

    def save_settings(self, settings: dict[str, Setting | None]) -> None:
        """Change settings and `write` at once. Raises OSError."""
        self._taken_settings.update(settings)
        self.write()

    def save(self) -> None:
        """Write all changes. Raises OSError; the changes stay for the next call."""
        self.take()
        self.write()

    @property
    def taken(self) -> bool:
        """Whether `write` has anything to write."""
        return bool(self._taken_records or self._taken_settings)

    def write(self) -> None:
        """Write what was taken in one transaction; in any thread. Raises OSError; the changes stay for the next
        call."""
        if not self.taken:
            return
        try:
            self._database.execute("BEGIN IMMEDIATE")
            for (kind, key), document in self._taken_records.items():
                if document is None:
                    self._database.execute(_DELETE, (kind, key))
                else:
                    self._database.execute(_PUT, (kind, key, document))
            for name, value in self._taken_settings.items():
                if value is None:
                    self._database.execute(_FORGET, (name,))
                else:
                    self._database.execute(_SET, (name, value))
            self._database.execute(_SET, ("epoch", self.epoch + 1))
            self._database.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            with contextlib.suppress(sqlite3.DatabaseError):
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
            full = "full" in str(error)
            raise OSError(errno.ENOSPC if full else errno.EIO, str(error), str(self.path)) from error
        self._taken_records.clear()
        self._taken_settings.clear()
        self.epoch += 1
        self._epoch_file.write(self.epoch)

    def fill(self, records: Mapping[RecordKey, str | None], settings: Mapping[str, Setting | None]) -> None:
        """Write all that an empty file is to have, with the number of its writes (`epoch`). Raises OSError."""
        self._taken_records.update(records)
        self._taken_settings.update(settings)
        self.epoch = int(settings.get("epoch") or 1) - 1
        self.write()

    def contents(self) -> tuple[dict[RecordKey, str | None], dict[str, Setting | None]]:
        """Return all records and settings that are on the disk. Raises OSError."""
        try:
            records = self._database.execute("SELECT kind, key, document FROM record").fetchall()
            settings = self._database.execute("SELECT name, value FROM setting").fetchall()
        except sqlite3.DatabaseError as error:
            raise OSError(errno.EIO, str(error), str(self.path)) from error
        return {(kind, key): document for kind, key, document in records}, dict(settings)

    def close(self) -> None:
        """Close the file; its write-ahead log is written back."""
        self._database.close()
        self._epoch_file.close()


def _open(path: Path, epoch: int) -> sqlite3.Connection:
    """Open the file and migrate it to this version; `epoch`: how often it was written, as far as known. Raises
    `StoreError`, sqlite3.DatabaseError."""
    new = not path.exists() or path.stat().st_size == 0
    database = sqlite3.connect(path, isolation_level=None, timeout=1, check_same_thread=False)
    try:
        # Before anything else: then no shared memory file is needed.
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
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
    """Check that the file is Leveret's, undamaged, and of a known version, without writing. Raises `StoreError`,
    sqlite3.DatabaseError."""
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
