"""The effective options of a queue: its arguments merged with the policies that match it.

Docs: parameters#combining-policy-definitions. Of two numbers the smaller one applies; for dead lettering and overflow
the argument takes precedence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from leveret.engine.arguments import QUORUM, age, bounded
from leveret.queues.options import QueueOptions
from leveret.wire.tables import Table

if TYPE_CHECKING:
    from leveret.engine.catalogue import Document

#: Policy key -> field of `QueueOptions`: the smaller value of argument and policy applies.
SMALLER = {
    "expires": "expires",
    "message-ttl": "message_ttl",
    "max-length": "max_length",
    "max-length-bytes": "max_length_bytes",
    "delivery-limit": "delivery_limit",
    "consumer-timeout": "consumer_timeout",
    "delayed-retry-min": "delayed_retry_min",
    "delayed-retry-max": "delayed_retry_max",
}

#: Policy key -> field of `QueueOptions`: the argument takes precedence.
ARGUMENT_FIRST = {
    "dead-letter-exchange": "dead_letter_exchange",
    "dead-letter-routing-key": "dead_letter_routing_key",
    "dead-letter-strategy": "dead_letter_strategy",
    "stream-max-segment-size-bytes": "max_segment_size_bytes",
}


def merge(options: QueueOptions, arguments: Table, definition: Document) -> QueueOptions:
    """Return the effective options: `arguments` (parsed: `options`) merged with the effective policy definition
    (`Policies.for_queue`)."""
    changes: Document = {}  # field of `QueueOptions` -> value
    for key, option in SMALLER.items():
        if key in definition:
            given = getattr(options, option) if f"x-{key}" in arguments else None
            changes[option] = _smaller(key, given, definition[key])
    for key, option in ARGUMENT_FIRST.items():
        if key in definition and getattr(options, option) is None:
            changes[option] = definition[key]
    if "overflow" in definition and (options.overflow is None or options.queue_type == QUORUM):
        changes["overflow"] = definition["overflow"]
    if "delayed-retry-type" in definition:
        changes["delayed_retry_type"] = definition["delayed-retry-type"]
    if "max-age" in definition:
        given = age(str(definition["max-age"]))
        changes["max_age"] = (
            given if options.max_age is None else min(options.max_age, given or options.max_age)
        )
    return replace(options, **changes) if changes else options


def _smaller(key: str, argument: int | None, policy: int) -> int:
    policy = bounded(policy)
    if argument is None:
        return policy
    if key == "delivery-limit" and (argument < 0 or policy < 0):
        return max(argument, policy)
    return min(argument, policy)
