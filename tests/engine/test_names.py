"""Names that the server generates."""

from __future__ import annotations

import re

from leveret.engine.names import generated_name, is_reply_address, reply_address


def test_generated_names_are_unique() -> None:
    names = {generated_name("amq.gen") for _ in range(200)}
    assert len(names) == 200
    assert all(re.fullmatch(r"amq\.gen-[A-Za-z0-9_-]{22}", name) for name in names)


def test_reply_addresses_are_unique_and_recognised() -> None:
    names = {reply_address() for _ in range(200)}
    assert len(names) == 200 and all(map(is_reply_address, names))
    assert all(len(name) <= 255 for name in names)


def test_other_names_are_not_reply_addresses() -> None:
    for name in ("q", "amq.rabbitmq.reply-to", "amq.rabbitmq.reply-to.", "amq.rabbitmq.reply-to.a.b"):
        assert not is_reply_address(name)
