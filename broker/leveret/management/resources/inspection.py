"""What the management page looks into: messages of a queue where they are, and who holds unacknowledged ones.

RabbitMQ has neither; both are below `/api/leveret`. Looking takes the permission that getting messages takes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterator

import msgspec

from leveret.engine import operations
from leveret.engine.clients import ClientChannel
from leveret.engine.operations.messages import PEEKED_BYTES
from leveret.engine.stats import channels_of
from leveret.errors import AmqpError
from leveret.management.call import Call, Pieces, Resource, Routes, bad_request, natural
from leveret.management.json import Json
from leveret.management.payloads import Row, messages_in_slices
from leveret.management.resources.messages import direct_client, named, present_queue
from leveret.management.views import inspection as views
from leveret.queues.message import Entry, Message
from leveret.queues.queue import Queue

#: The most messages that are shown at once, and octets of each body unless `truncate` is given.
MAX_MESSAGES = 500
BODY_BYTES = 50_000

#: What a message that is shown counts besides its body.
ROW_BYTES = 1000

#: Messages that are moved in one call: a few milliseconds. Who wants more calls again.
MAX_MOVED = 1000


async def messages(call: Call) -> object:
    """GET ?count=20&truncate=50000&offset=0: the next messages of a queue, which stay where they are; those of a stream
    from an offset on, or the last ones."""
    name = present_queue(call)
    count, cut = _number(call, "count", 20, MAX_MESSAGES), _number(call, "truncate", BODY_BYTES, 1 << 31)
    client = direct_client(call)
    try:
        if client.vhost.queues[name].kind == "stream":
            offset = _number(call, "offset", 0, 1 << 63) if "offset" in call.query else None
            read = operations.peek_records(client, name, offset, count)
            records = (Row(views.record(one), one.header, one.body[:cut]) for one in read)
            return await messages_in_slices(call.site.slices, records, as_text=True)
        found = operations.peek_messages(client, name, count)
    except AmqpError as error:
        raise named(error) from None
    rows = (_row(views.ready(one.entry, one.message), one.message, cut) for one in found)
    return await messages_in_slices(call.site.slices, rows, as_text=True)


def unacked(call: Call) -> Awaitable[object]:
    """GET ?count=20&truncate=50000: the unacknowledged messages of a queue by channel, the oldest `count` of each."""
    name = present_queue(call)
    client = direct_client(call)
    try:
        queue = operations.read_queue(client.vhost, call.caller, name)
    except AmqpError as error:
        raise named(error) from None
    count, cut = _number(call, "count", 20, MAX_MESSAGES), _number(call, "truncate", BODY_BYTES, 1 << 31)
    return _unacked(call, queue, count, cut)


async def _unacked(call: Call, queue: Queue, count: int, cut: int) -> Pieces:
    """Of all channels together, `PEEKED_BYTES` are shown at most, or one message."""
    slices, pieces, size = call.site.slices, [b"["], 0
    async for channel in slices.walk(channels_of(call.broker.vhosts[queue.vhost])):
        total = 0
        rows: list[Row] = []
        async for entry in slices.walk(_held(channel)):
            if entry.source is queue:
                total += 1
                if len(rows) < count and size < PEEKED_BYTES:
                    message = operations.peek_unacked(entry)
                    rows.append(_row(views.held(entry, message), message, cut))
                    size += len(rows[-1].body) + len(rows[-1].header) + ROW_BYTES
        if total:
            shown = await messages_in_slices(slices, rows, as_text=True)
            holder = msgspec.json.encode(views.holder(channel, call.site.node_name, total))
            comma = b"," if len(pieces) > 1 else b""
            pieces += [comma + holder[:-1] + b',"messages":', *shown.json, b"}"]
    return Pieces([*pieces, b"]"])


def _row(fields: Json, message: Message, cut: int) -> Row:
    """A message with the first `cut` octets of its payload."""
    return Row(fields, message.header, message.body[:cut])


def _held(channel: ClientChannel) -> Iterator[Entry]:
    """The deliveries of a channel, which is used meanwhile, in order of their tags."""
    tag = 0
    while portion := channel.unacked.following(tag, MAX_MESSAGES):
        yield from portion
        tag = portion[-1].tag


def move(call: Call) -> object:
    """POST {destination, count}: move messages to the end of another queue of the virtual host, at most 1000."""
    name = present_queue(call)
    fields = call.fields()
    (destination,) = call.needed(fields, ("destination",))
    if not isinstance(destination, str):
        raise bad_request(["not_string", "destination"])
    if destination == name:
        raise bad_request("source and destination are the same queue")
    count = fields.get("count", MAX_MOVED)
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= MAX_MOVED:
        raise bad_request(f"count must be between 1 and {MAX_MOVED}")
    client = direct_client(call)
    try:
        moved = operations.move_messages(client, name, destination, count)
    except AmqpError as error:
        raise named(error) from None
    return {"moved": moved.moved, "messages_ready": moved.left, "refused": moved.refused}


def _number(call: Call, name: str, default: int, most: int) -> int:
    """A number in the query. Raises `Refusal`."""
    number = natural(call.query.get(name, str(default)))
    if number is None or number > most:
        raise bad_request(f"{name} must be between 0 and {most}")
    return number


ROUTES: Routes = {
    "leveret/queues/{vhost}/{name}/messages": Resource({"GET": messages}, may=Call.need_vhost),
    "leveret/queues/{vhost}/{name}/unacked": Resource({"GET": unacked}, may=Call.need_vhost),
    "leveret/queues/{vhost}/{name}/move": Resource({"POST": move}, may=Call.need_vhost),
}
