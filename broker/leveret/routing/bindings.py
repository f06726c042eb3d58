"""A binding: from an exchange to a queue or another exchange, with a key and arguments."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import quote

from leveret.wire.tables import Table, encode_table


class Binding:
    """One binding. `identity`: destination, key and arguments; two bindings from one exchange that agree in it are
    the same (rabbit_binding)."""

    __slots__ = ("arguments", "destination", "destination_type", "identity", "routing_key", "source")

    def __init__(
        self, source: str, destination: Any, destination_type: str, routing_key: bytes, arguments: Table
    ) -> None:
        self.source = source
        self.destination = destination
        self.destination_type = destination_type
        self.routing_key = routing_key
        self.arguments = arguments
        self.identity = (
            destination_type,
            destination.name,
            routing_key,
            encode_table(dict(sorted(arguments.items()))) if arguments else b"",
        )

    @property
    def destination_name(self) -> str:
        """The name of the queue or exchange it leads to."""
        name: str = self.destination.name
        return name

    @property
    def properties_key(self) -> str:
        """How the management API names it among the bindings of its two ends: the key, `~` for none, and a hash of the
        arguments where there are any."""
        key = quote(self.routing_key.decode("utf-8", "replace"), safe="")
        if not self.arguments:
            return key or "~"
        digest = hashlib.blake2b(self.identity[3], digest_size=5).hexdigest()
        return f"{key}~{digest}"
