"""The port of the catalogue: what a broker keeps besides messages.

A record is a document (JSON) with a kind and a key. The key identifies the record within its kind and names what the
record belongs to. Records are independent of each other: they are written in any number and order, the last one of a
kind and key counts. A change gets a ticket of the journal (`queues/journal.py`); whoever answers for it waits until the
ticket is settled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Any, NamedTuple, Protocol, TypeAlias

#: What identifies a record among those of its kind. Octets of names that are not UTF-8 are surrogates.
Key: TypeAlias = tuple[str, ...]

#: A JSON object.
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
    """Keeps records."""

    def put(self, kind: Kind, key: Key, document: Document) -> int:
        """Add or replace a record; returns the ticket."""

    def delete(self, kind: Kind, key: Key) -> int:
        """Delete a record, if there is one; returns the ticket."""

    def load(self) -> Iterable[Record]:
        """All records, in any order."""


#: Called after a registry (users, permissions, policies, ...) has changed what a record of this kind and key describes.
Changed: TypeAlias = Callable[[Kind, Key], None]


def unrecorded(kind: Kind, key: Key) -> None:
    """`Changed` of a broker without a catalogue."""
