"""Messages keep their content as received."""

from __future__ import annotations

import pytest

from leveret.queues.message import Entry, Message, Place, frame_content


@pytest.mark.parametrize("body", [b"", b"x", b"x" * 70_000])
def test_content(body: bytes) -> None:
    header = b"\0\x3c\0\0" + len(body).to_bytes(8, "big") + b"\0\0"
    content, head = frame_content(header, body)
    made = Message(b"e", b"k", content, head, len(body))
    assert (made.header, made.body) == (header, body)
    assert content[head - 1] == 0xCE and content[-1] == 0xCE


def test_a_place_is_an_interface() -> None:
    place = Place()
    entry = Entry(Message(), 1, 0, place)
    for call in (
        lambda: place.settle(entry),
        lambda: place.put_back([entry], 1),
        lambda: place.reject(entry, 1),
        lambda: place.detach(None),
        place.detached,
        lambda: place.unsubscribe(None),
        lambda: place.wake(None),
    ):
        with pytest.raises(NotImplementedError):
            call()
