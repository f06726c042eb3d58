"""The format of a record in a replicated log.

A record is one message of the storage: mark (4 octets), version (1), kind (1), epoch (8), number (8), the sequence that
the record before it was to get, if that one was on its way when this one was sent, else 0 (8), CRC-32C of all that and
of the payload (4), payload. Numbers are big-endian.

Kinds: `EPOCH` begins the time of an owner; its number is 0, its payload random. `BATCH` is a block of the message
log, or the last piece of one; `PART` is a piece of a block that is longer than a record may be. `DROP` says that a
subject, its payload, is not needed any more, and will be dropped from the storage. `END` says that the owner has left
in peace, and that nothing of it follows. In one epoch, numbers ascend by one from the EPOCH on.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from leveret.cluster.ports import StorageError, Stored
from leveret.store.checksum import crc32c

MARK = b"LVRT"
VERSION = 1

EPOCH: Final = 1
PART: Final = 2
BATCH: Final = 3
END: Final = 4
DROP: Final = 5

#: Subject of EPOCH, DROP and END records: it is never dropped, so that the order of owners stays known.
EPOCH_SUBJECT = "epoch"

#: Octets of payload in one record. A longer block travels as PARTs and a BATCH.
MAX_PAYLOAD_BYTES = 512 * 1024

_FIELDS = struct.Struct(">4sBBQQQ")
_CRC = struct.Struct(">I")
HEAD_BYTES = _FIELDS.size + _CRC.size


@dataclass(frozen=True, slots=True)
class Record:
    """A decoded record."""

    kind: int
    epoch: int
    number: int
    follows: int
    payload: bytes


def encode(kind: int, epoch: int, number: int, follows: int, payload: bytes = b"") -> bytes:
    """Return a record."""
    fields = _FIELDS.pack(MARK, VERSION, kind, epoch, number, follows)
    return b"".join((fields, _CRC.pack(crc32c(payload, crc32c(fields))), payload))


def decode(stored: Stored) -> Record:
    """Decode a record. Raises `StorageError` if it is not one, is damaged, or has a later version."""
    data = stored.record
    where = f"record {stored.sequence} ({stored.subject}) of the replicated log"
    if data[: len(MARK)] != MARK or len(data) < HEAD_BYTES:
        raise StorageError(
            f"{where} was not written by Leveret. Remove what else publishes to the subjects of this stream, or give "
            "the cluster another name."
        )
    _, version, kind, epoch, number, follows = _FIELDS.unpack_from(data)
    if version > VERSION:
        raise StorageError(
            f"{where} has format {version}, but this version of Leveret reads formats up to {VERSION}. Run the version "
            "that wrote it, or a later one."
        )
    payload = data[HEAD_BYTES:]
    if _CRC.unpack_from(data, _FIELDS.size)[0] != crc32c(payload, crc32c(data[: _FIELDS.size])):
        raise StorageError(
            f"{where} does not match its checksum: the storage has changed it. Restore the stream from a backup."
        )
    return Record(kind, epoch, number, follows, payload)


def checksum(stored: Stored) -> int:
    """Return the checksum that a good record has of itself."""
    return checksum_in(stored.record)


def checksum_in(record: bytes) -> int:
    """Return the checksum in an encoded record."""
    return int(_CRC.unpack_from(record, _FIELDS.size)[0])


def pieces(payload: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield kinds and payloads of the records that carry a block: PARTs as far as it is too long, then a BATCH."""
    at = 0
    while len(payload) - at > MAX_PAYLOAD_BYTES:
        yield PART, payload[at : at + MAX_PAYLOAD_BYTES]
        at += MAX_PAYLOAD_BYTES
    yield BATCH, payload[at:] if at else payload
