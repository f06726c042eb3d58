"""What is fuzzed by octets alone: each target takes any octets, and raises what must not happen."""

from __future__ import annotations

import atexit
import contextlib
import functools
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec

from leveret.config import Settings
from leveret.engine.definitions import DefinitionsError, import_definitions
from leveret.rabbitmq_conf import read
from leveret.settings import ConfigError, build
from leveret.store.errors import StoreError
from leveret.testing.playbook import Connect, Octets, Stage
from leveret.wire.content import Header
from leveret.wire.properties import decode_properties
from leveret.wire.tables import MalformedTable, decode_table, encode_table, erlang, plain
from tests.store.test_adversary import SEGMENT, contents, furnish
from tests.stores.harness import DiskHarness


def frames(data: bytes) -> None:
    """Octets of a client, from the handshake on or behind it (the first octet), in pieces of a size (the second)."""
    stage = Stage(Settings(), lambda octets: (octets,))
    how, size, octets = data[:1], max(1, data[1] if len(data) > 1 else 1), data[2:]
    stage.connect(Connect("a", channels=(1, 2) if how != b"\0" else None))
    stage.pieces = lambda octets: [octets[at : at + size] for at in range(0, len(octets), size)] or [b""]
    stage.play([Octets(octets)])
    stage.advance(1000)


def tables(data: bytes) -> None:
    """A field table: what is read can be written, shown, and read again."""
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
    """A content header: what the scan lets through can be decoded, as far as it can be without its tables."""
    payload = b"\0\x3c\0\0" + bytes(8) + data
    header = Header()
    if header.scan(payload, 0, len(payload)):
        decode_properties(payload)
        assert not header.headers or 0 < header.headers < header.headers_end <= len(payload)


@functools.cache
def _furnished() -> tuple[Path, list[str]]:
    place = tempfile.mkdtemp(prefix="leveret-fuzz-")
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    directory = Path(place) / "data"
    furnish(directory)
    files = sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())
    return directory, [name for name in files if name != "lock"]


def store(data: bytes) -> None:
    """A data directory with a changed file: the first octets say which and where, the rest is written there."""
    original, files = _furnished()
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
