"""Checks of a publish besides its route: the exchange, properties that the broker uses.

The order of checks is RabbitMQ's (rabbit_channel:handle_method for basic.publish): size, write permission, existence,
internal, reply-to, expiration, CC and BCC, topic permission, user-id. Channels and the HTTP API publish with these.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

from leveret import errors
from leveret.engine.clients import ClientConnectionBase
from leveret.engine.names import REPLY_TO, is_reply_address
from leveret.queues.message import Extra, Message, frame_content
from leveret.wire.erlang import chars, string
from leveret.wire.properties import Properties, decode_properties, encode_properties
from leveret.wire.tables import Field, Table, type_name

if TYPE_CHECKING:
    from leveret.engine.broker import Broker
    from leveret.engine.permissions import Permissions
    from leveret.engine.users import User
    from leveret.engine.vhost import VirtualHost
    from leveret.queues.message import Destination
    from leveret.routing.exchanges import Exchange
    from leveret.wire.content import Header
    from leveret.work import Job

#: The longest TTL: ten years (rabbit_misc), ms.
MAX_EXPIRATION_MS = 315_360_000_000

_REPLY_TO = REPLY_TO.encode()
_NUMBER = re.compile(rb"[+-]?[0-9]+")


class PublishingConnection(ClientConnectionBase, Protocol):
    """The connection of a publisher."""

    @property
    def broker(self) -> Broker:
        """Its broker."""


def writable_exchange(vhost: VirtualHost, permissions: Permissions, raw: bytes) -> Exchange:
    """Return the exchange to publish to. Raises 403 without permission, 404 if there is none, 403 if it is internal."""
    name = raw.decode("utf-8", "surrogateescape")  # RabbitMQ does not check this name to be UTF-8
    permissions.check_exchange("write", name, shown=chars(raw))
    exchange: Exchange | None = vhost.exchanges.get(name)
    if exchange is None:
        raise errors.exchange_not_found(chars(raw), vhost.name)
    if exchange.internal:
        raise errors.exchange_internal(name, vhost.name)
    return exchange


def examine(
    connection: PublishingConnection,
    reply_address: str | None,
    message: Message,
    header: Header,
) -> list[bytes] | None:
    """Check and apply the properties that the broker uses. Returns additional routing keys (CC, BCC), None without such
    headers.

    May replace `message.content`: headers sorted, `amq.rabbitmq.reply-to` replaced by `reply_address`, BCC removed.
    """
    profile = connection.broker.profile
    raw = message.content
    properties: Properties | None = None
    more: list[bytes] | None = None
    rewrite = profile.headers_sorted and (header.odd or not header.sorted)
    if header.reply_to and header.reply_to_size == len(_REPLY_TO):
        at = header.reply_to
        if raw[at : at + header.reply_to_size] == _REPLY_TO:
            if reply_address is None:
                raise errors.no_reply_consumer()
            properties = decode_properties(message.header)
            properties.reply_to = reply_address
            rewrite = True
    if header.user_id and profile.user_id_checked_first:
        check_user_id(connection.user, message, header)
    if header.expiration:
        at = header.expiration
        given = raw[at : at + header.expiration_size]
        message.expiration = parse_expiration(given)
        # RabbitMQ delivers the number in its own notation.
        if given != b"%d" % message.expiration and profile.message_containers:
            properties = properties or decode_properties(message.header)
            properties.expiration = str(message.expiration)
            rewrite = True
    if profile.delivery_mode_checked and header.delivery_mode not in (-1, 1, 2):
        raise errors.unknown_delivery_mode(header.delivery_mode)
    if header.special:
        properties = properties or decode_properties(message.header)
        if properties.headers and "x-death" in properties.headers:
            connection.broker.lint.death_history(connection, chars(message.exchange))
        more, changed = carbon_copies(properties)
        rewrite = rewrite or changed
        if more:
            message.extra = Extra()
            message.extra.more = more
    if header.user_id and not profile.user_id_checked_first:
        check_user_id(connection.user, message, header)
    if rewrite:
        properties = properties or decode_properties(message.header)
        if properties.headers is not None and profile.headers_sorted:
            properties.headers = in_order(properties.headers)
        message.content, message.head = frame_content(
            encode_properties(properties, message.size), message.body
        )
    return more


def in_order(headers: Table) -> Table:
    """Return headers in order of their names, as RabbitMQ delivers them."""
    return dict(sorted(headers.items(), key=_octets))


def _octets(item: tuple[str, Field]) -> bytes:
    return item[0].encode("utf-8", "surrogateescape")


def parse_expiration(given: bytes) -> int:
    """Return the property `expiration` in ms; raise 406 if it is none.

    docs: ttl#per-message-ttl-in-publishers; rabbit_basic:parse_expiration.
    """
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
    """Return the additional routing keys in CC and BCC, and whether the headers were changed: BCC is removed.

    The keys are None if there is no such header (docs: sender-selected).
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


def check_topic(permissions: Permissions, exchange: str, keys: list[bytes]) -> None:
    """Raise 403 unless the user may publish to a topic exchange with all routing keys (docs: access-control#topic)."""
    if permissions.checks_keys:
        for key in keys:
            permissions.check_topic("write", exchange, key.decode("utf-8", "surrogateescape"))


def check_user_id(user: User | None, message: Message, header: Header) -> None:
    """Raise 406 unless the property `user_id` is the user's name (docs: validated-user-id)."""
    at = header.user_id
    claimed = message.content[at : at + header.user_id_size].decode("utf-8", "replace")
    if user is not None and claimed != user.name and "impersonator" not in user.tags:
        raise errors.wrong_user_id(claimed, user.name)


def is_reply(message: Message) -> bool:
    """Return whether a message is addressed to a direct reply-to address, in use or not."""
    return message.exchange == b"" and is_reply_address(message.routing_key.decode("utf-8", "replace"))


def busy(targets: list[Destination]) -> Job | None:
    """Return the job that one of the queues is busy with, or None."""
    return next((queue.busy for queue in targets if queue.busy is not None), None)
