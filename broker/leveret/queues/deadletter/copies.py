"""The copy of a message that is published for a dead letter (docs: dlx; mc, rabbit_dead_letter).

It is published to the queue's dead letter exchange with the death history in its header `x-death`: one entry for each
queue and reason, newest first, with a count. Since RabbitMQ 4.0 the broker stores the history itself (`Extra.deaths`)
and writes the header from it; in older versions the header is the history (`history.py`).
"""

from __future__ import annotations

from dataclasses import replace

from leveret import errors
from leveret.profiles import Profile
from leveret.queues.deadletter import history as death_header
from leveret.queues.message import REJECTED, Death, Entry, Extra, Message, frame_content
from leveret.queues.queue import Queue
from leveret.wire.properties import Properties, decode_properties, encode_properties
from leveret.wire.tables import Field, Table


def dead_lettered_copy(
    queue: Queue, message: Message, reason: str, entry: Entry | None, why: int, profile: Profile
) -> Message:
    """Return the message to publish to the dead letter exchange: with new headers and routing key, without expiration.

    Raises 541 if RabbitMQ would drop the message because of an x-death header from a client.
    """
    properties = decode_properties(message.header)
    headers: Table = dict(properties.headers or {})
    extra: Extra | None = message.extra
    history = list(extra.deaths) if extra is not None else []
    if not profile.death_history_kept:
        history = death_header.history(headers)
    # With another routing key, a dead letter keeps its header CC, but is not routed by it any more.
    more = extra.more if extra is not None else []
    visible = [key for key in carbon_copies(headers) if key in more]
    hidden = [key for key in more if key not in visible]
    keys = [message.routing_key, *visible]
    if profile.death_history_kept and message.routing_key in hidden:
        # As in mc:record_death, the first of equal keys is removed, which may be another one than that of BCC.
        keys = [*visible, message.routing_key]
    newest = death(message, queue.name, reason, queue.context.clock.now // 1000, keys, properties)
    history = record(history, newest)
    copy = Extra()
    copy.deaths = history
    if queue.dead_letter_routing_key is not None:
        if profile.cc_removed_by_dead_letter_key:
            headers.pop("CC", None)
        key = queue.dead_letter_routing_key.encode("utf-8", "surrogateescape")
    else:
        key = message.routing_key
        copy.more = visible + hidden
    if profile.dead_letter_redelivered:
        _carry_on(copy, extra, entry, why)
    elif profile.quorum_dead_letter_counted:
        refused = queue.kind == "quorum" and reason == "rejected"
        copy.failed = (extra.failed if extra is not None else 0) + refused
    if profile.death_header_is_history:
        recorded = death_header.record(headers, newest)
        if recorded is None:
            raise errors.internal_error() from ValueError(
                "what a client sent as x-death cannot be counted on"
            )
        headers = recorded
        copy.deaths = death_header.history(headers)
    else:
        given = headers.get("x-death")
        if profile.death_history_kept:
            first = extra is None or not extra.deaths
        else:
            first = given is None or given.kind != "A"
        _write(headers, history, newest, first)
        headers = death_header.in_order(headers)
    properties.headers = headers
    properties.expiration = None
    dead = Message()
    dead.exchange = (queue.dead_letter_exchange or "").encode("utf-8", "surrogateescape")
    dead.routing_key = key
    dead.content, dead.head = frame_content(encode_properties(properties, message.size), message.body)
    dead.size = message.size
    dead.persistent = message.persistent
    dead.priority = message.priority
    dead.extra = copy
    return dead


def readdress(dead: Message, queue: Queue, message: Message) -> None:
    """Set exchange and key of a copy again: the dead letter target may have changed since it was made."""
    dead.exchange = (queue.dead_letter_exchange or "").encode("utf-8", "surrogateescape")
    dead.routing_key = message.routing_key
    if queue.dead_letter_routing_key is not None:
        dead.routing_key = queue.dead_letter_routing_key.encode("utf-8", "surrogateescape")


def _carry_on(copy: Extra, extra: Extra | None, entry: Entry | None, why: int) -> None:
    """Set the delivery counts of a copy, also of one from a classic queue: the counts that the message came with, those
    since then, and one more for basic.reject. A copy with a count is marked as redelivered."""
    failed = entry.failed if entry is not None else (extra or Extra()).failed
    copy.failed = failed + (why == REJECTED)
    copy.acquired = copy.failed  # only this count is kept, and both headers show it
    copy.redelivered = copy.failed > 0


def death(
    message: Message, queue: str, reason: str, now: int, keys: list[bytes], properties: Properties
) -> Death:
    """Return a first death, at `now` in seconds. `keys`: the routing keys without BCC."""
    expiration = properties.expiration
    raw = expiration.encode() if isinstance(expiration, str) else expiration
    return Death(queue, reason, 1, now, message.exchange, tuple(keys), raw)


def record(history: list[Death], newest: Death) -> list[Death]:
    """Return the history with one more death, newest first. A death that is repeated is counted and moves to the
    front."""
    for one in history:
        if one.queue == newest.queue and one.reason == newest.reason:
            again = replace(one, count=one.count + 1)
            return [again, *(other for other in history if other is not one)]
    return [newest, *history]


def carbon_copies(headers: Table) -> list[bytes]:
    """Return the keys in the header CC."""
    field = headers.get("CC")
    if field is None or field.kind != "A":
        return []
    return [one.value for one in field.value if one.kind == "S"]


def deaths_of(dead: Message) -> list[Death]:
    """Return the death history of a dead-lettered copy, newest first."""
    extra: Extra | None = dead.extra
    return extra.deaths if extra is not None else []


def cycles(history: list[Death], target: str, reason: str) -> bool:
    """Return whether a message is in a dead-letter cycle if it is published to queue `target`
    (rabbit_dead_letter:detect_cycles): it was dead-lettered there before, and no consumer has rejected it since."""
    if reason == "rejected":
        return False
    for death in history:
        if death.reason == "rejected":
            return False
        if death.queue == target:
            return True
    return False


def _longstr(text: str | bytes) -> Field:
    return Field("S", text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text)


def _write(headers: Table, history: list[Death], newest: Death, first: bool) -> None:
    """Write x-death and the headers about first and last death. `first`: this is the first death; otherwise the headers
    about it exist already."""
    headers["x-death"] = Field("A", [Field("F", _entry(death)) for death in history])
    if first:
        headers["x-first-death-reason"] = _longstr(newest.reason)
        headers["x-first-death-queue"] = _longstr(newest.queue)
        headers["x-first-death-exchange"] = _longstr(newest.exchange)
    headers["x-last-death-reason"] = _longstr(newest.reason)
    headers["x-last-death-queue"] = _longstr(newest.queue)
    headers["x-last-death-exchange"] = _longstr(newest.exchange)


def _entry(death: Death) -> Table:
    """Return one entry of the header, with original-expiration first, unlike in older versions."""
    fields = death_header.entry(death)
    expiration = fields.pop("original-expiration", None)
    return fields if expiration is None else {"original-expiration": expiration, **fields}
