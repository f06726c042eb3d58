"""Dead lettering: what a message becomes when it dies in a queue (docs: dlx; mc, rabbit_dead_letter).

A dead message is published again, to the queue's dead-letter exchange, with its history in the `x-death` header: one
entry for each (queue, reason), newest first, counting repeats. Since RabbitMQ 4.0 the broker keeps the history itself
(`Extra.deaths`) and writes the header from it; before, the header was the history, whoever had written it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from leveret.queues.extras import Death
from leveret.queues.message import REJECTED, Entry, Extra, Message, frame_content
from leveret.queues.queue import Queue
from leveret.wire.properties import Properties, decode_properties, encode_properties
from leveret.wire.tables import Field, Table


def obituary(
    queue: Queue, message: Message, reason: str, entry: Entry | None, why: int, profile: Any
) -> Message:
    """The message that is published to the dead-letter exchange: header written, expiration taken off, new key."""
    properties = decode_properties(message.header)
    headers: Table = dict(properties.headers or {})
    extra: Extra | None = message.extra
    history = list(extra.deaths) if extra is not None else []
    if not profile.death_history_kept:
        history, headers = _told_history(headers)
    visible = carbon_copies(headers)
    hidden = [key for key in (extra.more if extra is not None else []) if key not in visible]
    history = record(
        history, queue.name, reason, queue.around.clock.now // 1000, message, visible, properties
    )
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
        _carry_on(copy, extra, entry, reason, why)
    _write(headers, history, profile, reason, queue.name, message.exchange)
    if profile.headers_sorted:
        headers = dict(sorted(headers.items(), key=lambda item: item[0].encode("utf-8", "surrogateescape")))
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


def _carry_on(copy: Extra, extra: Extra | None, entry: Entry | None, reason: str, why: int) -> None:
    """Marks that go with the copy. basic.reject marks it redelivered and counts, in classic queues as well; time and
    length limits leave the marks as they are; basic.nack takes the mark off."""
    refused = reason == "rejected" and why == REJECTED
    kept = reason in ("expired", "maxlen") and extra is not None and extra.redelivered
    copy.redelivered = refused or kept or reason == "delivery_limit"
    if not copy.redelivered:
        return
    before = entry if entry is not None else extra
    copy.acquired = (before.acquired if before is not None else 0) + refused
    copy.failed = (before.failed if before is not None else 0) + refused


def record(
    history: list[Death],
    queue: str,
    reason: str,
    now: int,
    message: Message,
    copies: list[bytes],
    properties: Properties,
) -> list[Death]:
    """The history with one more death, newest first; a repeat counts up and moves to the front."""
    for death in history:
        if death.queue == queue and death.reason == reason:
            again = replace(death, count=death.count + 1)
            return [again, *(other for other in history if other is not death)]
    expiration = properties.expiration
    raw = expiration.encode() if isinstance(expiration, str) else expiration
    keys = (message.routing_key, *copies)
    return [Death(queue, reason, 1, now, message.exchange, keys, raw), *history]


def carbon_copies(headers: Table) -> list[bytes]:
    """The keys in CC, which stays in the headers."""
    field = headers.get("CC")
    if field is None or field.kind != "A":
        return []
    return [one.value for one in field.value if one.kind == "S"]


def cycles(history: list[Death], target: str, reason: str) -> bool:
    """Whether a message would go round for ever if it went to queue `target` (rabbit_dead_letter:detect_cycles).

    It would if it has died there before and nobody rejected it since: then nothing but time and limits moves it.
    """
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


def _write(
    headers: Table, history: list[Death], profile: Any, reason: str, queue: str, exchange: bytes
) -> None:
    """Set x-death and its companions."""
    headers["x-death"] = Field("A", [Field("F", _entry(death, profile)) for death in history])
    first = history[-1]
    known = "x-first-death-reason" in headers and not profile.death_history_kept
    if not known and (profile.death_history_kept or len(history) == 1):
        headers["x-first-death-reason"] = _longstr(first.reason)
        headers["x-first-death-queue"] = _longstr(first.queue)
        headers["x-first-death-exchange"] = _longstr(first.exchange)
    if profile.last_death_headers:
        headers["x-last-death-reason"] = _longstr(reason)
        headers["x-last-death-queue"] = _longstr(queue)
        headers["x-last-death-exchange"] = _longstr(exchange)


def _entry(death: Death, profile: Any) -> Table:
    fields: Table = {}
    if death.expiration is not None and profile.original_expiration_first:
        fields["original-expiration"] = _longstr(death.expiration)
    fields["count"] = Field("l", death.count)
    fields["reason"] = _longstr(death.reason)
    fields["queue"] = _longstr(death.queue)
    fields["time"] = Field("T", death.time)
    fields["exchange"] = _longstr(death.exchange)
    fields["routing-keys"] = Field("A", [_longstr(key) for key in death.keys])
    if death.expiration is not None and not profile.original_expiration_first:
        fields["original-expiration"] = _longstr(death.expiration)
    if death.count > 1 and not profile.original_expiration_first:
        return dict(sorted(fields.items()))
    return fields


def _told_history(headers: Table) -> tuple[list[Death], Table]:
    """The history as a client or an earlier death wrote it into the header (3.13 and older)."""
    field = headers.get("x-death")
    if field is None or field.kind != "A":
        return [], headers
    history = []
    for one in field.value:
        if one.kind != "F":
            continue
        table = one.value
        keys = table.get("routing-keys")
        told = table.get("original-expiration")
        history.append(
            Death(
                _text(table.get("queue")),
                _text(table.get("reason")),
                table["count"].value if "count" in table else 0,
                table["time"].value if "time" in table else 0,
                _text(table.get("exchange")).encode("utf-8", "surrogateescape"),
                tuple(key.value for key in keys.value) if keys is not None and keys.kind == "A" else (),
                told.value if told is not None else None,
            )
        )
    return history, headers


def _text(field: Field | None) -> str:
    if field is None or field.kind != "S":
        return ""
    raw: bytes = field.value
    return raw.decode("utf-8", "surrogateescape")
