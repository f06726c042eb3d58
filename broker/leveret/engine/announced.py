"""What announced versions of RabbitMQ refuse that are not out yet: rows for lint, each with its source.

A row without a version number is a removal "from a future major RabbitMQ version; actual version to be determined", as
RabbitMQ's own texts say (rabbit_deprecated_features). What comes out becomes a profile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

#: A removal that is announced without a number.
LATER = "later"

#: Announced versions, in order.
VERSIONS = ("4.4", LATER)

_POST = "https://blog.rabbitmq.com/posts/2021/08/4.0-deprecation-announcements/"
_MAIN = "rabbitmq-server, branch main, which has release-notes/4.4.0.md"

#: Octets of x-name-prefix at most.
_LONGEST_PREFIX = 64


class Row(NamedTuple):
    """One announcement. `version`: the first one that refuses it; `source`: where that is written."""

    version: str
    source: str


#: Deprecated features that are permitted somewhere now.
FEATURES = {
    "transient_nonexcl_queues": Row("4.4", f"{_MAIN}: rabbit_amqqueue.erl, denied_by_default"),
    "global_qos": Row(LATER, f"{_POST}#removal-of-global-qos; denied_by_default from 4.3 on"),
    "queue_master_locator": Row(LATER, f"{_MAIN}: rabbit_queue_location.erl; denied_by_default from 4.3 on"),
}


def _long_prefix(value: object) -> bool:
    return isinstance(value, bytes) and len(value) > _LONGEST_PREFIX


def _no_tag(value: object) -> bool:
    return not isinstance(value, bytes) or not value


#: Queue arguments that nothing reads now and that have a meaning there: what is refused, and the announcement.
ARGUMENTS: dict[str, tuple[Callable[[object], bool], Row]] = {
    "x-name-prefix": (_long_prefix, Row("4.4", f"{_MAIN}: rabbit_amqqueue:server_named_queue_prefix/1")),
    "x-member-placement-tag": (
        _no_tag,
        Row("4.4", f"{_MAIN}: rabbit_amqqueue:check_member_placement_tag_arg/2"),
    ),
}


def argument_refused_from(name: str, value: object) -> str:
    """Return the announced version that refuses a queue argument with this value; empty for none."""
    refuses, row = ARGUMENTS.get(name, (None, None))
    return row.version if refuses is not None and row is not None and refuses(value) else ""
