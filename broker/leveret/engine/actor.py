"""The user who changes something in the broker, and the way of the request."""

from __future__ import annotations

from msgspec import Struct

from leveret.engine.names import INTERNAL_USER


class Actor(Struct, frozen=True):
    """`user`: the user's name. `origin`: the name of the connection, "HTTP API", or empty for the broker itself."""

    user: str
    origin: str = ""


#: The broker itself: expiry, auto-delete, connections that end, definitions at start, recovery.
INTERNAL = Actor(INTERNAL_USER)
