"""The rarer sides of a publish: what is looked at once for each new name, and properties that routing acts on.

The order of checks is RabbitMQ's (rabbit_channel:handle_method for basic.publish): size, write permission, existence,
internal, reply-to, expiration, CC and BCC, topic permission, user-id.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from leveret import errors
from leveret.engine.names import REPLY_TO, is_reply_address
from leveret.queues.message import CHANNEL_CLOSED, Destination, Entry, Extra, Message, frame_content
from leveret.wire.erlang import chars, string
from leveret.wire.frames import shortstr
from leveret.wire.properties import Properties, decode_properties, encode_properties
from leveret.wire.tables import Field, type_name

if TYPE_CHECKING:
    from leveret.queues.consumers import Consumer
    from leveret.routing.exchanges import Exchange
    from leveret.session.channel import Channel
    from leveret.wire.content import Header

#: rabbit_misc: ten years of milliseconds, the longest TTL there is.
MAX_EXPIRATION_MS = 315_360_000_000

#: `Faults.guard`.
Guard = Callable[..., bool]

_REPLY_TO = REPLY_TO.encode()
_NUMBER = re.compile(rb"[+-]?[0-9]+")
_RETURN = (60 << 16 | 50).to_bytes(4, "big") + (312).to_bytes(2, "big") + b"\x08NO_ROUTE"


def writable_exchange(channel: Channel, raw: bytes) -> Exchange:
    """The exchange to publish to, if it is there and the user may."""
    name = raw.decode("utf-8", "surrogateescape")  # RabbitMQ lets anything pass here
    vhost = channel.vhost
    channel.connection.check("write", errors.exchange_name(chars(raw), vhost.name), name)
    exchange: Exchange | None = vhost.exchanges.get(name)
    if exchange is None:
        raise errors.exchange_not_found(chars(raw), vhost.name)
    if exchange.internal:
        raise errors.exchange_internal(name, vhost.name)
    return exchange


def route(
    channel: Channel, exchange: Exchange, message: Message, more: list[bytes] | None
) -> list[Destination]:
    """The queues a message goes to."""
    if exchange.type == "topic":
        copies = more if more and channel.connection.broker.profile.copies_topic_checked else ()
        channel.connection.check_topic("write", exchange.name, [message.routing_key, *copies])
    found: list[Any] = channel.router.route(exchange, message.routing_key, more, None, message)
    if not found and not exchange.name and channel.connection.broker.profile.malformed_reply_target_crashes:
        check_reply_target(message.routing_key.decode("utf-8", "replace"))
    if channel.context.firehose is not None:
        channel.context.firehose.published(channel, message, found)
    return found


def examine(channel: Channel, message: Message, header: Header) -> list[bytes] | None:
    """Act on the properties that need it; returns additional routing keys (CC, BCC), or None.

    May replace `message.content`: header names in order, reply-to made whole, BCC gone.
    """
    profile = channel.connection.broker.profile
    raw = message.content
    properties: Properties | None = None
    more: list[bytes] | None = None
    rewrite = profile.headers_sorted and (header.odd or not header.sorted)
    if header.reply_to and header.reply_to_size == len(_REPLY_TO):
        at = header.reply_to
        if raw[at : at + header.reply_to_size] == _REPLY_TO:
            if channel.reply_consumer is None:
                raise errors.no_reply_consumer()
            properties = decode_properties(message.header)
            properties.reply_to = channel.reply_consumer.name
            rewrite = True
    if header.user_id and profile.user_id_checked_first:
        check_user_id(channel, message, header)
    if header.expiration:
        at = header.expiration
        given = raw[at : at + header.expiration_size]
        message.expiration = parse_expiration(given)
        if (
            given != b"%d" % message.expiration and profile.message_containers
        ):  # delivered as RabbitMQ writes the number
            properties = properties or decode_properties(message.header)
            properties.expiration = str(message.expiration)
            rewrite = True
    if profile.delivery_mode_checked and header.delivery_mode not in (-1, 1, 2):
        raise errors.unknown_delivery_mode(header.delivery_mode)
    if header.special:
        properties = properties or decode_properties(message.header)
        if properties.headers and "x-death" in properties.headers:
            channel.connection.broker.lint.death_history(channel.connection, chars(message.exchange))
        more, changed = carbon_copies(properties)
        rewrite = rewrite or changed
        if more:
            message.extra = Extra()
            message.extra.more = more
    if header.user_id and not profile.user_id_checked_first:
        check_user_id(channel, message, header)
    if rewrite:
        properties = properties or decode_properties(message.header)
        if properties.headers is not None and profile.headers_sorted:
            properties.headers = dict(sorted(properties.headers.items(), key=_octets))
        message.content, message.head = frame_content(
            encode_properties(properties, message.size), message.body
        )
    return more


def _octets(item: tuple[str, Field]) -> bytes:
    return item[0].encode("utf-8", "surrogateescape")


def parse_expiration(given: bytes) -> int:
    """The `expiration` property in ms (docs: ttl#per-message-ttl-in-publishers; rabbit_basic:parse_expiration)."""
    text = chars(given)
    found = _NUMBER.match(given)
    if found is None:
        raise errors.invalid_expiration(text, "no_integer")
    if found.end() < len(given):
        raise errors.invalid_expiration(text, f"{{leftover_string,{string(given[found.end() :])}}}")
    value = int(found.group())
    if value < 0:
        raise errors.invalid_expiration(text, f"{{value_negative,{value}}}")
    if value > MAX_EXPIRATION_MS:
        raise errors.invalid_expiration(text, f"{{value_too_large,{value}}}")
    return value


def carbon_copies(properties: Properties) -> tuple[list[bytes] | None, bool]:
    """Additional keys in CC and BCC; BCC is taken out of the headers (docs: sender-selected).

    Returns the keys (None: no such header) and whether the headers were changed.
    """
    headers = properties.headers or {}
    keys: list[bytes] = []
    found = False
    for name in ("CC", "BCC"):
        field = headers.get(name)
        if field is None:
            continue
        if field.kind != "A" or not isinstance(field.value, list):
            raise errors.unacceptable_header(name, type_name(field.kind))
        found = True
        keys += [one.value for one in field.value if one.kind == "S" and isinstance(one.value, bytes)]
    changed = headers.pop("BCC", None) is not None
    if changed and not headers:
        properties.headers = {}
    return (keys if found else None), changed


def check_user_id(channel: Channel, message: Message, header: Header) -> None:
    """The `user_id` property must be the login (docs: validated-user-id)."""
    at = header.user_id
    claimed = message.content[at : at + header.user_id_size].decode("utf-8", "replace")
    user = channel.connection.user
    if claimed != user.name and "impersonator" not in user.tags:
        raise errors.wrong_user_id(claimed, user.name)


def return_message(channel: Channel, message: Message) -> None:
    """basic.return: mandatory, and no queue took it. A reply to nobody comes back in some profiles only."""
    if (
        message.exchange == b""
        and channel.connection.broker.profile.mandatory_reply_returned == "never"
        and is_reply_address(message.routing_key.decode("utf-8", "replace"))
    ):
        channel.dropped += 1
        return
    channel.returned += 1
    outbox = channel.output.outbox
    arguments = b"".join((_RETURN, shortstr(message.exchange), shortstr(message.routing_key)))
    outbox.put(
        b"\x01" + channel.number.to_bytes(2, "big") + len(arguments).to_bytes(4, "big") + arguments + b"\xce"
    )
    outbox.put_content(channel.number, message.content, message.head, message.size, channel.output.frame_max)
    channel.output.schedule_flush()


def check_reply_target(key: str) -> None:
    """Up to 4.1 a channel fails over a reply to two words that are no address (rabbit_direct_reply_to)."""
    words = [word for word in key.removeprefix(REPLY_TO + ".").split(".") if word]
    if key.startswith(REPLY_TO + ".") and len(words) == 2 and not is_reply_address(key):
        raise errors.internal_error()


def return_reply(channel: Channel, message: Message) -> None:
    """A mandatory publish was routed, in a profile where replies come back all the same: they pass no queue."""
    if message.exchange == b"" and is_reply_address(message.routing_key.decode("utf-8", "replace")):
        return_message(channel, message)


def detach_all(consumers: list[Consumer], entries: list[Entry], guard: Guard) -> None:
    """Consumers and unsettled deliveries of a channel that ends go: first everyone leaves the line, so that nothing
    is handed to a consumer that is about to leave too. A fault in one queue does not keep them in the others."""
    queues: list[Any] = []
    for consumer in consumers:
        guard("consumer end", consumer.source.detach, consumer)
        if consumer.source not in queues:
            queues.append(consumer.source)
    sources: dict[int, list[Entry]] = {}
    for entry in entries:
        sources.setdefault(id(entry.source), []).append(entry)
    for group in sources.values():
        guard("requeue", group[0].source.requeue, group, CHANNEL_CLOSED)
    for queue in queues:
        guard("consumer end", queue.detached)
