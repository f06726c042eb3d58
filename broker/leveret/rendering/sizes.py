"""Sizes as arguments of commands (RabbitMQ.CLI.Core.Memory): `M` is 2^20 octets there, and 10^6 in rabbitmq.conf."""

from __future__ import annotations

import re

#: Units of memory and disk -> octets.
MEMORY_UNITS = {
    "": 1, "k": 2**10, "kiB": 2**10, "M": 2**20, "MiB": 2**20, "G": 2**30, "GiB": 2**30,
    "kB": 10**3, "MB": 10**6, "GB": 10**9,
}  # fmt: skip


def octets(text: str) -> int | None:
    """A size such as `1GB`, None if it is none."""
    found = re.fullmatch(r"\+?([0-9]+)(\D*)", text)
    if found is None or found[2] not in MEMORY_UNITS:
        return None
    return int(found[1]) * MEMORY_UNITS[found[2]]
