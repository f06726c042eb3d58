"""What is different on each broker, or each time, and is masked before answers are compared.

Names (`{node}`, `{amqp}`) are filled into command lines, and are put back into what the commands write.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from conformance.commands.players import Played

#: Pattern -> what stands for it, in any output.
_EVERYWHERE: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.MULTILINE), mask)
    for pattern, mask in (
        (r"<[^\s<>@]+@[^\s<>]+\.\d+\.\d+\.\d+>", "<pid>"),
        (r"<\d+\.\d+\.\d+>", "<pid>"),
        (r"rabbitmqcli-\d+-[^\s']+", "{cli}"),
        (r"internal_cluster_id(\s+|\",\"name\"|\")\S+", "internal_cluster_id {id}"),
        (r"rabbitmq-cluster-id-[A-Za-z0-9_-]+", "{cluster id}"),
    )
)


def masked(played: Played, names: Mapping[str, str]) -> Played:
    """The answer with names for what differs on each broker."""
    return Played(_masked(played.stdout, names), _masked(played.stderr, names), played.code)


def _masked(text: str, names: Mapping[str, str]) -> str:
    for name, value in sorted(names.items(), key=lambda item: -len(item[1])):
        text = re.sub(rf"(?<![\w.]){re.escape(value)}(?!\w)", name, text)
    for pattern, mask in _EVERYWHERE:
        text = pattern.sub(mask, text)
    return text
