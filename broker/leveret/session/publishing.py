"""Checks of a publish that only channels make, and returns. The others are in the engine and shared by the HTTP API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leveret import errors
from leveret.engine.names import REPLY_TO, is_reply_address
from leveret.engine.publishing import (
    MAX_EXPIRATION_MS,
    busy,
    carbon_copies,
    check_topic,
    check_user_id,
    examine,
    is_reply,
    parse_expiration,
    writable_exchange,
)
from leveret.wire.frames import shortstr

if TYPE_CHECKING:
    from leveret.profiles import Profile
    from leveret.queues.message import Message

__all__ = [
    "MAX_EXPIRATION_MS",
    "busy",
    "carbon_copies",
    "check_reply_target",
    "check_topic",
    "check_user_id",
    "examine",
    "is_reply",
    "is_returned",
    "parse_expiration",
    "return_frame",
    "writable_exchange",
]

_RETURN = (60 << 16 | 50).to_bytes(4, "big") + (312).to_bytes(2, "big") + b"\x08NO_ROUTE"


def check_reply_target(key: bytes) -> None:
    """Raise 541 for a reply to two words that are no address, because RabbitMQ's channel crashes up to 4.1."""
    name = key.decode("utf-8", "replace")
    words = [word for word in name.removeprefix(REPLY_TO + ".").split(".") if word]
    if name.startswith(REPLY_TO + ".") and len(words) == 2 and not is_reply_address(name):
        raise errors.internal_error()


def is_returned(profile: Profile, message: Message) -> bool:
    """Return whether a mandatory message that no queue took is returned; some versions do not return replies."""
    return profile.mandatory_reply_returned != "never" or not is_reply(message)


def return_frame(channel: int, message: Message) -> bytes:
    """Return basic.return with 312 (NO_ROUTE) as a frame; the content is to follow."""
    arguments = b"".join((_RETURN, shortstr(message.exchange), shortstr(message.routing_key)))
    return b"\x01" + channel.to_bytes(2, "big") + len(arguments).to_bytes(4, "big") + arguments + b"\xce"
