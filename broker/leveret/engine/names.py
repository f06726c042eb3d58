"""Names that the server makes up."""

from __future__ import annotations

import base64
import os

#: The pseudo-queue of direct reply-to; addresses of clients begin with it and a dot.
REPLY_TO = "amq.rabbitmq.reply-to"


def is_reply_address(name: str) -> bool:
    """Whether a name has the form of a direct reply-to address, alive or not."""
    if not name.startswith(REPLY_TO + "."):
        return False
    parts = name[len(REPLY_TO) + 1 :].split(".")
    return len(parts) == 2 and all(parts)


def generated_name(prefix: str) -> str:
    """`prefix-` and 22 characters of base64url, as rabbit_guid:binary makes them (128 random bits)."""
    return f"{prefix}-{base64.urlsafe_b64encode(os.urandom(16)).decode().rstrip('=')}"
