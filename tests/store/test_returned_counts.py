"""The counts of very many returned messages are encoded in portions."""

from __future__ import annotations

from leveret.queues.message import Entry, Message, Source, frame_content
from leveret.store.messages.log import MessageLog
from leveret.wire.frames import Outbox
from leveret.wire.properties import Properties, encode_properties

COUNT = 10_000


def pack(log: MessageLog) -> list[int]:
    """Encode the open batch. Returns the octets of each portion."""
    sizes, out, batch = [], Outbox(), 0
    while not batch:
        batch = log.pack(out)
        sizes.append(len(out.take()))
    return sizes


def test_the_counts_of_returned_messages_are_encoded_in_portions() -> None:
    log = MessageLog(lambda urgent: None, lambda segment, count: None)
    log.segment = 1
    journal = log.queue_journal(1)
    message = Message(b"", b"q")
    message.content, message.head = frame_content(encode_properties(Properties(), 0), b"")
    entries = [Entry(message, position, 0, Source()) for position in range(1, COUNT + 1)]
    for entry in entries:
        journal.append(entry)
    pack(log)
    for entry in entries:
        entry.failed = 1
        journal.returned(entry)
    sizes = pack(log)
    each = sizes[0] // 4096
    assert len(sizes) == 3 and sum(sizes) == COUNT * each and max(sizes) == 4096 * each
    assert log.empty and pack(log) == [0]
