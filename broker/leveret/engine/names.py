"""Names that the server generates."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from typing import TypeAlias

#: Returns so many random octets: `os.urandom`, or a generator with a seed in tests.
RandomOctets: TypeAlias = Callable[[int], bytes]

#: The user of changes that the broker makes itself.
INTERNAL_USER = "rmq-internal"

#: The exchange of events, and the plugin that has it.
EVENT_EXCHANGE = "amq.rabbitmq.event"
EVENT_EXCHANGE_PLUGIN = "rabbitmq_event_exchange"

#: The exchange of log records.
LOG_EXCHANGE = "amq.rabbitmq.log"

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


def reply_address(random_octets: RandomOctets = os.urandom) -> str:
    """Return a new address; its key cannot be guessed."""
    process = base64.b64encode(random_octets(REPLY_PROCESS_OCTETS)).decode()
    return f"{REPLY_TO}.{process}.{base64.b64encode(random_octets(16)).decode()}"


def generated_name(prefix: str, random_octets: RandomOctets = os.urandom) -> str:
    """Return `prefix-` and 22 characters of base64url, as rabbit_guid:binary does (128 random bits)."""
    return f"{prefix}-{base64.urlsafe_b64encode(random_octets(16)).decode().rstrip('=')}"
