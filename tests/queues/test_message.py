"""Messages keep their content as it was received."""

from __future__ import annotations

import pytest

from leveret.queues.message import Entry, Message, Source, compact_free_lists, frame_content


@pytest.mark.parametrize("body", [b"", b"x", b"x" * 70_000])
def test_a_message_gives_its_header_and_body(body: bytes) -> None:
    header = b"\0\x3c\0\0" + len(body).to_bytes(8, "big") + b"\0\0"
    content, head = frame_content(header, body)
    made = Message(b"e", b"k", content, head, len(body))
    assert (made.header, made.body) == (header, body)
    assert content[head - 1] == 0xCE and content[-1] == 0xCE


def test_a_source_must_implement_every_method() -> None:
    source = Source()
    entry = Entry(Message(), 1, 0, source)
    for call in (
        lambda: source.settle(entry),
        lambda: source.requeue([entry], 1),
        lambda: source.reject(entry, 1),
        lambda: source.detach(None),
        source.detached,
        lambda: source.unsubscribe(None),
        lambda: source.wake(None),
    ):
        with pytest.raises(NotImplementedError):
            call()


def test_kept_objects_are_as_new_after_they_were_gathered() -> None:
    """What is made of them afterwards is as new."""
    messages = [Message(b"e", b"k", b"c", 1, number) for number in range(20_000)]
    while messages:
        messages.pop()
    assert sum(1 for _ in compact_free_lists()) == 2, (
        "messages, entries and the rest are gathered in three turns"
    )
    again = [Message(b"e", b"k", b"c", 1, number) for number in range(20_000)]
    assert [one.size for one in again] == list(range(20_000))
    assert all((one.exchange, one.extra, one.expiration) == (b"e", None, -1) for one in again)
