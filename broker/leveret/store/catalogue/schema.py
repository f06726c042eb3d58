"""The form of the metadata file, and how older forms become this one.

`PRAGMA user_version` holds the version, `PRAGMA application_id` says whose file it is. A new version adds an
entry to `MIGRATIONS` and a file written by the version before it to `tests/store/`.
"""

from __future__ import annotations

import sqlite3

#: "LVRT"
APPLICATION_ID = 0x4C565254

#: Statements that lead from version n to n + 1, by n. Names are TEXT, or BLOB where they are not UTF-8;
#: arguments are AMQP tables; `document` is JSON as in RabbitMQ's definitions.
MIGRATIONS: dict[int, tuple[str, ...]] = {
    0: (
        "CREATE TABLE setting (name TEXT PRIMARY KEY, value) WITHOUT ROWID",
        "CREATE TABLE vhost (name PRIMARY KEY, document TEXT NOT NULL) WITHOUT ROWID",
        "CREATE TABLE exchange (vhost, name, type TEXT NOT NULL, auto_delete INTEGER NOT NULL, "
        "internal INTEGER NOT NULL, arguments BLOB NOT NULL, user, PRIMARY KEY (vhost, name)) WITHOUT ROWID",
        "CREATE TABLE queue (number INTEGER PRIMARY KEY, vhost, name, auto_delete INTEGER NOT NULL, "
        "arguments BLOB NOT NULL, UNIQUE (vhost, name))",
        "CREATE TABLE binding (vhost, source, kind TEXT NOT NULL, destination, routing_key BLOB, arguments BLOB, "
        "PRIMARY KEY (vhost, source, kind, destination, routing_key, arguments)) WITHOUT ROWID",
        "CREATE TABLE document (kind TEXT PRIMARY KEY, document TEXT NOT NULL) WITHOUT ROWID",
    ),
    # The kind a queue was declared as: the default may be another one when it is restored.
    1: ("ALTER TABLE queue ADD COLUMN kind TEXT NOT NULL DEFAULT 'classic'",),
    # What x-delayed-message exchanges hold up is in the log, under numbers of the same series as those of queues.
    2: (
        "CREATE TABLE delayed (number INTEGER PRIMARY KEY, vhost, exchange, UNIQUE (vhost, exchange))",
        "INSERT INTO delayed SELECT (SELECT COALESCE(MAX(value), 1) FROM setting WHERE name = 'next_queue') "
        "+ ROW_NUMBER() OVER () - 1, vhost, name FROM exchange WHERE type = 'x-delayed-message'",
        "INSERT OR REPLACE INTO setting SELECT 'next_queue', MAX(number) + 1 FROM delayed HAVING COUNT(*) > 0",
    ),
}

VERSION = len(MIGRATIONS)


def migrate(database: sqlite3.Connection, version: int) -> None:
    """Bring the open transaction's file from `version` to `VERSION`."""
    for step in range(version, VERSION):
        for statement in MIGRATIONS[step]:
            database.execute(statement)
    database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    database.execute(f"PRAGMA user_version = {VERSION}")
