"""The documents of the catalogue: objects of the engine as JSON.

Argument tables are base64 of their AMQP encoding, so that each value keeps its type.
"""

from __future__ import annotations

from base64 import b64decode
from binascii import b2a_base64

from leveret.engine.catalogue import Document, Key, Unescaped
from leveret.engine.policies import Policy
from leveret.engine.vhost import VhostProperties
from leveret.queues.queue import Queue
from leveret.routing.bindings import Binding
from leveret.routing.exchanges import Exchange
from leveret.wire.tables import Table, decode_table, encode_table


def vhost_document(properties: VhostProperties) -> Document:
    """Return the properties of a virtual host as a document."""
    return {**properties._asdict(), "tags": list(properties.tags)}


def vhost_properties(document: Document) -> VhostProperties:
    """Return the properties of a virtual host that a document has."""
    return VhostProperties(
        **{**document, "tags": tuple(document["tags"])}
    )  # older files do not have `protected`


def exchange_document(exchange: Exchange) -> Document:
    """Return a durable exchange as a document."""
    return {
        "type": exchange.type,
        "auto_delete": exchange.auto_delete,
        "internal": exchange.internal,
        "arguments": encoded_table(exchange.arguments),
        "user": exchange.user,
    }


def queue_document(queue: Queue, number: int) -> Document:
    """Return a durable queue and its declarer as a document. Its type may come from the default of the virtual host,
    which may change."""
    return {
        "number": number,
        "type": queue.kind,
        "auto_delete": queue.auto_delete,
        "arguments": encoded_table(queue.arguments),
        "user": queue.user,
    }


def binding_key(vhost: str, binding: Binding) -> Key:
    """Return the key of a binding between durable objects, which has all of it."""
    return (
        vhost,
        binding.source,
        binding.destination_type,
        binding.destination.name,
        binding.routing_key.decode("utf-8", "surrogateescape"),
        Unescaped(encoded_table(binding.arguments)),
    )


def policy_of(document: Document) -> Policy:
    """Return the policy or operator policy of a document."""
    return Policy(
        document["vhost"],
        document["name"],
        document["pattern"],
        document["definition"],
        document["priority"],
        document["apply-to"],
    )


def encoded_table(table: Table) -> str:
    """Encode an argument table as text."""
    return b2a_base64(encode_table(table), newline=False).decode()


def decoded_table(text: str) -> Table:
    """Decode an argument table."""
    return decode_table(b64decode(text))[0]
