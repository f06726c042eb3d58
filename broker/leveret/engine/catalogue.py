"""The port of the catalogue: what a broker stores besides messages.

A record is a document (JSON) with a kind and a key. The key identifies the record within its kind, and contains the
names of the objects that it belongs to. Records are independent: they can be written in any number and order, and the
last one of a kind and key is valid. A change gets a ticket of the journal (`queues/journal.py`); an answer that reports
the change waits until that ticket is settled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Any, NamedTuple, Protocol, TypeAlias


class Unescaped(str):
    """A part of a key that JSON writes as it is, like base64."""


#: Identifies a record within its kind. Octets of names that are not UTF-8 are surrogates.
Key: TypeAlias = tuple[str, ...]

#: A JSON object. `Any`: its values are checked where they are used.
Document: TypeAlias = dict[str, Any]


class Kind(StrEnum):
    """The kinds of records, in the order in which they are restored. The comment is the key."""

    COUNTER = "counter"  # name
    VHOST = "vhost"  # name
    POLICY = "policy"  # vhost, name
    OPERATOR_POLICY = "operator_policy"  # vhost, name
    EXCHANGE = "exchange"  # vhost, name
    QUEUE = "queue"  # vhost, name
    BINDING = "binding"  # vhost, source, type of the destination, destination, routing key, arguments
    GLOBAL_PARAMETER = "global_parameter"  # name
    USER = "user"  # name
    PERMISSION = "permission"  # user, vhost
    TOPIC_PERMISSION = "topic_permission"  # user, vhost, exchange
    VHOST_LIMITS = "vhost_limits"  # vhost


class Record(NamedTuple):
    """One record."""

    kind: Kind
    key: Key
    document: Document


class Catalogue(Protocol):
    """Stores records."""

    def put(self, kind: Kind, key: Key, document: Document) -> int:
        """Add or replace a record. Returns the ticket."""

    def delete(self, kind: Kind, key: Key) -> int:
        """Delete a record, if it exists. Returns the ticket."""

    def load(self) -> Iterable[Record]:
        """Return all records, in any order."""


#: Called after a registry (users, permissions, policies, ...) has changed the object of a record.
Changed: TypeAlias = Callable[[Kind, Key], None]


def unrecorded(kind: Kind, key: Key) -> None:
    """Do nothing: the `Changed` of a broker without a catalogue."""
