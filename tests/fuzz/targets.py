"""Targets of fuzzing: functions that accept any octets and raise only what must not happen."""

from __future__ import annotations

import atexit
import contextlib
import functools
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec
from pamqp.commands import Basic, Queue

from leveret.config import Settings
from leveret.engine.definitions import DefinitionsError, import_definitions
from leveret.rabbitmq_conf import read
from leveret.settings import Amqp, ConfigError, build
from leveret.store.errors import StoreError
from leveret.testing.playbook import Connect, Octets, Stage, publish, say
from leveret.testing.playbook import content as content_line
from leveret.wire.content import Header
from leveret.wire.properties import decode_properties
from leveret.wire.tables import MalformedTable, decode_table, encode_table, erlang, plain
from tests.store.test_adversary import SEGMENT, contents, populate
from tests.stores.harness import DiskHarness

#: What the first octet of an input of `frames` says: its octets come behind this.
OPENING = {b"\0": b"", b"\2": b"AMQP\0\0\x09\x01"}


def frames(data: bytes) -> None:
    """Octets of a client: from the protocol header on, behind it, or on an open connection (the first octet), in
    pieces of a size (the second). Another client must be served as before, and nothing of the first one be left."""
    stage = Stage(Settings(amqp=Amqp(max_message_size=100_000)), lambda octets: (octets,))
    stage.connect(Connect("b"))
    how, size, octets = data[:1], max(1, data[1] if len(data) > 1 else 1), data[2:]
    stage.connect(Connect("a", channels=None if how in OPENING else (1, 2)))
    stage.pieces = lambda octets: [octets[at : at + size] for at in range(0, len(octets), size)] or [b""]
    stage.play([Octets(OPENING.get(how, b""))])
    stage.play([Octets(octets)])
    _served(stage, "b")
    stage.advance(1000)
    if "a" in stage.clients:
        stage.hang_up("a")
    stage.listen()
    assert stage.fault is None, stage.fault
    queues = stage.broker.vhosts["/"].queues.values()
    assert [queue.name for queue in queues if queue.owner is not None] == ["mine"]
    assert not any(queue.unacked for queue in queues)


def _served(stage: Stage, by: str) -> None:
    """A client declares a queue of its own, publishes and gets the message."""
    stage.play([say(Queue.Declare, queue="mine", exclusive=True, by=by)])
    said = stage.play([*publish(b"x", "mine", by=by), say(Basic.Get, queue="mine", no_ack=True, by=by)])
    assert [line for line in said if getattr(line, "by", "") == by][-1] == content_line(b"x", by=by), said


def tables(data: bytes) -> None:
    """A field table: one that can be decoded can be encoded, shown and decoded again."""
    try:
        table, _ = decode_table(data)
    except MalformedTable:
        return
    plain(table)
    for field in table.values():
        erlang(field)
    again, _ = decode_table(encode_table(table))
    assert encode_table(again) == encode_table(table)


def content(data: bytes) -> None:
    """A content header: one that the scan accepts can be decoded."""
    payload = b"\0\x3c\0\0" + bytes(8) + data
    header = Header()
    if header.scan(payload, 0, len(payload)):
        decode_properties(payload)
        assert not header.headers or 0 < header.headers < header.headers_end <= len(payload)


@functools.cache
def _populated() -> tuple[Path, list[str]]:
    place = tempfile.mkdtemp(prefix="leveret-fuzz-")
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    directory = Path(place) / "data"
    populate(directory)
    files = sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())
    return directory, [name for name in files if name != "lock"]


def store(data: bytes) -> None:
    """A data directory with a changed file: the first octets choose file and place, the rest is written there."""
    original, files = _populated()
    if len(data) < 4:
        return
    place = Path(tempfile.mkdtemp(prefix="leveret-fuzz-"))
    try:
        directory = place / "data"
        shutil.copytree(original, directory)
        path = directory / files[data[0] % len(files)]
        before = path.read_bytes()
        at = int.from_bytes(data[1:3], "big") % (len(before) + 1)
        cut = data[3] < 64
        path.write_bytes(before[:at] + data[4:] + (b"" if cut else before[at + len(data) - 4 :]))
        try:
            harness = DiskHarness(directory, segment=SEGMENT)
        except StoreError:
            return
        try:
            # A stream that is damaged in the middle cannot be read on.
            with contextlib.suppress(OSError):
                contents(harness)
            assert not harness.broker.faults.errors, harness.broker.faults.errors
        finally:
            harness.kill()
    finally:
        shutil.rmtree(place)


def conf(data: bytes) -> None:
    """A rabbitmq.conf."""
    with tempfile.TemporaryDirectory(prefix="leveret-fuzz-") as place:
        path = Path(place) / "rabbitmq.conf"
        path.write_bytes(data)
        try:
            build(read([path], {"HOME": "/"}))
        except ConfigError:
            return


def definitions(data: bytes) -> None:
    """A document of definitions."""
    try:
        document = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    stage = Stage(Settings(), lambda octets: (octets,))
    try:
        import_definitions(stage.broker, document)
    except DefinitionsError:
        return
    assert stage.fault is None, stage.fault


TARGETS: dict[str, Callable[[bytes], None]] = {
    "frames": frames,
    "tables": tables,
    "content": content,
    "store": store,
    "conf": conf,
    "definitions": definitions,
}
