"""The tables of the catalogue file, and the migration of older files.

`PRAGMA user_version` holds the version, `PRAGMA application_id` marks the file as Leveret's. A new version adds an
entry to `MIGRATIONS` and a file of the version before it to `tests/store/`.

Since version 4, `record` has one row for each record: its kind, its key as a JSON array, its document as a JSON object.
`setting` belongs to the store itself.
"""

from __future__ import annotations

import json
import sqlite3
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import TypeAlias

from leveret.engine.catalogue import Document, Key, Kind, Unescaped

#: "LVRT"
APPLICATION_ID = 0x4C565254

Statements: TypeAlias = tuple[str, ...]


def key_text(key: Key) -> str:
    """Return a key as text."""
    return "[" + ", ".join([_quoted(part) for part in key]) + "]"


def _quoted(part: str) -> str:
    """Encode a part of a key; one may have megabytes."""
    return f'"{part}"' if isinstance(part, Unescaped) else json.dumps(part)


def name_of(value: str | bytes) -> str:
    """Decode a name of versions 1 to 3: TEXT, or BLOB if it was not UTF-8."""
    return value if isinstance(value, str) else value.decode("utf-8", "surrogateescape")


def _to_records(database: sqlite3.Connection) -> None:
    """Version 3 had a table for each kind of topology, and one row for each list of definitions."""
    database.execute(
        "CREATE TABLE record (kind TEXT, key TEXT, document TEXT NOT NULL, PRIMARY KEY (kind, key)) WITHOUT ROWID"
    )
    for kind, key, document in [*_topology(database), *_definitions(database)]:
        database.execute(
            "INSERT OR REPLACE INTO record VALUES (?, ?, ?)", (kind, key_text(key), json.dumps(document))
        )
    for table in ("vhost", "exchange", "queue", "binding", "document", "delayed"):
        database.execute(f"DROP TABLE {table}")
    database.execute("DELETE FROM setting WHERE name = 'next_queue'")


def _topology(database: sqlite3.Connection) -> Iterator[tuple[Kind, Key, Document]]:
    for (number,) in database.execute("SELECT value FROM setting WHERE name = 'next_queue'"):
        yield Kind.COUNTER, ("queue",), {"next": number}
    for name, properties in database.execute("SELECT name, document FROM vhost"):
        fields = ("description", "tags", "default_queue_type", "tracing")
        yield Kind.VHOST, (name_of(name),), dict(zip(fields, json.loads(properties), strict=True))
    delayed = {(vhost, name): number for number, vhost, name in database.execute("SELECT * FROM delayed")}
    for vhost, name, kind, auto_delete, internal, arguments, user in database.execute(
        "SELECT * FROM exchange"
    ):
        document = {
            "type": kind,
            "auto_delete": bool(auto_delete),
            "internal": bool(internal),
            "arguments": b64encode(arguments).decode(),
            "user": name_of(user),
        }
        if (vhost, name) in delayed:
            document["number"] = delayed[vhost, name]
        yield Kind.EXCHANGE, (name_of(vhost), name_of(name)), document
    for number, vhost, name, auto_delete, arguments, kind in database.execute("SELECT * FROM queue"):
        document = {
            "number": number,
            "type": kind,
            "auto_delete": bool(auto_delete),
            "arguments": b64encode(arguments).decode(),
        }
        yield Kind.QUEUE, (name_of(vhost), name_of(name)), document
    for vhost, source, kind, name, routing_key, arguments in database.execute("SELECT * FROM binding"):
        ends = (name_of(vhost), name_of(source), kind, name_of(name))
        yield Kind.BINDING, (*ends, name_of(routing_key), b64encode(arguments).decode()), {}


def _definitions(database: sqlite3.Connection) -> Iterator[tuple[Kind, Key, Document]]:
    rows = database.execute("SELECT kind, document FROM document")
    lists = {kind: json.loads(document) for kind, document in rows}
    for user in lists.get("users", []):
        yield Kind.USER, (user["name"],), user
    for one in lists.get("permissions", []):
        document = {kind: one[kind] for kind in ("configure", "write", "read")}
        yield Kind.PERMISSION, (one["user"], one["vhost"]), document
    for one in lists.get("topic_permissions", []):
        document = {kind: one[kind] for kind in ("write", "read")}
        yield Kind.TOPIC_PERMISSION, (one["user"], one["vhost"], one["exchange"]), document
    for one in lists.get("vhost_limits", []):
        yield Kind.VHOST_LIMITS, (one["vhost"],), one["value"]
    for kind, name in ((Kind.POLICY, "policies"), (Kind.OPERATOR_POLICY, "operator_policies")):
        for policy in lists.get(name, []):
            yield kind, (policy["vhost"], policy["name"]), policy
    for one in lists.get("global_parameters", []):
        yield Kind.GLOBAL_PARAMETER, (one["name"],), {"value": one["value"]}


#: What leads from version n to n + 1, by n: statements, or a function. In versions 1 to 3, names were TEXT, or BLOB if
#: they were not UTF-8; arguments were AMQP tables; `document` was JSON as in RabbitMQ's definitions.
MIGRATIONS: dict[int, Statements | Callable[[sqlite3.Connection], None]] = {
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
    # The type a queue was declared with: the default may be another one when it is restored.
    1: ("ALTER TABLE queue ADD COLUMN kind TEXT NOT NULL DEFAULT 'classic'",),
    # The messages of x-delayed-message exchanges are in the log, under numbers of the same series as those of queues.
    2: (
        "CREATE TABLE delayed (number INTEGER PRIMARY KEY, vhost, exchange, UNIQUE (vhost, exchange))",
        "INSERT INTO delayed SELECT (SELECT COALESCE(MAX(value), 1) FROM setting WHERE name = 'next_queue') "
        "+ ROW_NUMBER() OVER () - 1, vhost, name FROM exchange WHERE type = 'x-delayed-message'",
        "INSERT OR REPLACE INTO setting SELECT 'next_queue', MAX(number) + 1 FROM delayed HAVING COUNT(*) > 0",
    ),
    # One table for all kinds of records, as the catalogue port has them.
    3: _to_records,
}

VERSION = len(MIGRATIONS)


def migrate(database: sqlite3.Connection, version: int) -> None:
    """Bring the open transaction's file from `version` to `VERSION`."""
    for step in range(version, VERSION):
        migration = MIGRATIONS[step]
        if callable(migration):
            migration(database)
        else:
            for statement in migration:
                database.execute(statement)
    database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    database.execute(f"PRAGMA user_version = {VERSION}")
