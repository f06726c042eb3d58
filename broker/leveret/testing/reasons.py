"""Why the broker is not idle."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

#: What a reason is about. `unacked`: a delivery is not settled; `ready`: a message waits although a consumer has
#: credit; `unconfirmed`: a publish waits for its confirm; `unsent`: output waits to be written; `unread`: a client has
#: not read; `handshake`: a connection is being opened or closed; `held-clock`: somebody holds the clock; `fault`: a
#: fault holds something back; `octets`: something was received or sent a moment ago.
Kind = Literal[
    "unacked", "ready", "unconfirmed", "unsent", "unread", "handshake", "held-clock", "fault", "octets"
]


class Reason(Struct, frozen=True):
    """One thing that is not done. `text`: a sentence about it. `tag`: the delivery tag."""

    kind: Kind
    text: str
    queue: str | None = None
    connection: str | None = None
    channel: int | None = None
    consumer: str | None = None
    tag: int | None = None

    def __str__(self) -> str:
        """Return the sentence."""
        return self.text
