"""Names that the server generates."""

from __future__ import annotations

import base64
import os

#: The user of changes that the broker makes itself.
INTERNAL_USER = "rmq-internal"

#: The pseudo-queue of direct reply-to; addresses begin with it and a dot.
REPLY_TO = "amq.rabbitmq.reply-to"

#: Octets of the part of an address that identifies a process in RabbitMQ.
REPLY_PROCESS_OCTETS = 39


def is_reply_address(name: str) -> bool:
    """Return whether a name has the form of a direct reply-to address, in use or not."""
    if not name.startswith(REPLY_TO + "."):
        return False
    process, dot, key = name[len(REPLY_TO) + 1 :].partition(".")
    try:
        return bool(dot and key) and len(base64.b64decode(process, validate=True)) == REPLY_PROCESS_OCTETS
    except ValueError:
        return False


def reply_address() -> str:
    """Return a new address; its key cannot be guessed."""
    process = base64.b64encode(os.urandom(REPLY_PROCESS_OCTETS)).decode()
    return f"{REPLY_TO}.{process}.{base64.b64encode(os.urandom(16)).decode()}"


def generated_name(prefix: str) -> str:
    """Return `prefix-` and 22 characters of base64url, as rabbit_guid:binary does (128 random bits)."""
    return f"{prefix}-{base64.urlsafe_b64encode(os.urandom(16)).decode().rstrip('=')}"
