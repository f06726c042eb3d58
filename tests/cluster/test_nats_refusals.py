"""What a node says when NATS is not as it must be: each text names what is wrong, and what to do."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import secrets
import socket
import struct
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from leveret.cluster import nats
from leveret.cluster.nats import NatsSettings, NatsStorage, _check_version, connect
from leveret.cluster.ports import Accepted, Gone, StorageError, Unavailable
from tests.cluster.nats_servers import NatsCluster
from tests.hang import HANG_SECONDS
from tests.ports import free_ports

#: What NATS answers if it has not heard of a server for a while.
OFFLINE = b'{"error": {"code": 400, "err_code": 10005, "description": "no suitable peers for placement, peer offline"}}'


@pytest.fixture
def settings(nats_cluster: NatsCluster) -> NatsSettings:
    """Settings that are right."""
    return NatsSettings(
        nats_cluster.urls, cluster=f"test{secrets.token_hex(4)}", monitor=nats_cluster.monitors
    )


@pytest.fixture
def single(nats_server: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[NatsCluster]:
    """One server, made with the arguments in the mark `server`."""
    mark = request.node.get_closest_marker("parametrize")
    assert mark is not None
    cluster = NatsCluster(tmp_path, 1, **request.param)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.close()


async def refusal(settings: NatsSettings, wait_s: float = HANG_SECONDS) -> str:
    """What `connect` refuses with."""
    with pytest.raises((StorageError, Unavailable)) as caught:
        await connect(settings, wait_s)
    return str(caught.value)


async def test_without_a_server() -> None:
    (port,) = free_ports(1)
    text = await refusal(NatsSettings((f"nats://user:secret@127.0.0.1:{port}",)), wait_s=1.0)
    assert text.startswith(f"no NATS server can be reached at nats://127.0.0.1:{port} (")
    assert text.endswith("Start NATS, or correct [cluster] nats.")


async def test_a_file_of_credentials_that_is_not_there(tmp_path: Path) -> None:
    text = await refusal(NatsSettings(("nats://127.0.0.1:1",), credentials=tmp_path / "user.creds"))
    assert "user.creds is no file: [cluster] credentials" in text


@pytest.mark.parametrize(
    "single", [{"authorization": "authorization { user: a, password: b }"}], indirect=True
)
async def test_wrong_credentials(single: NatsCluster) -> None:
    text = await refusal(NatsSettings(single.urls, user="a", password="c"))
    assert text.startswith(f"NATS at {single.urls[0]} refuses the credentials (")
    assert text.endswith("Correct [cluster] credentials, or the users of NATS.")


@pytest.mark.parametrize(
    "single", [{"authorization": "authorization { user: a, password: b }"}], indirect=True
)
async def test_wrong_credentials_and_a_reset(single: NatsCluster) -> None:
    """A server closes the connection with input unread, so that a reset follows, or overtakes, what it has written."""
    upstream = urllib.parse.urlsplit(single.urls[0])
    accepted = 0

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal accepted
        accepted += 1
        from_server, to_server = await asyncio.open_connection(upstream.hostname, upstream.port)
        writer.write(await from_server.readline())  # INFO
        to_server.write(await reader.readline())  # CONNECT
        if accepted > 1:
            writer.write(await from_server.read(4096))
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        to_server.close()
        writer.close()

    async with await asyncio.start_server(relay, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        text = await refusal(NatsSettings((f"nats://127.0.0.1:{port}",), user="a", password="c"))
    assert "refuses the credentials (" in text
    assert accepted >= 2


@pytest.mark.parametrize("single", [{"jetstream": False}], indirect=True)
async def test_without_jetstream(single: NatsCluster) -> None:
    text = await refusal(NatsSettings(single.urls, sync="interval"))
    assert "Enable it in the configuration of every server (jetstream { store_dir: ... })" in text


@pytest.mark.parametrize("single", [{"sync": "10s"}], indirect=True)
async def test_servers_that_do_not_sync(single: NatsCluster) -> None:
    settings = NatsSettings(single.urls, replicas=1, monitor=single.monitors)
    text = await refusal(settings)
    assert f"{single.monitors[0]} has no sync_interval: always. Set that in the jetstream block" in text
    connected = await connect(dataclasses.replace(settings, sync="interval"))
    await connected.close()


@pytest.mark.parametrize("single", [{}], indirect=True)
async def test_fewer_servers_than_replicas(single: NatsCluster) -> None:
    connected = await connect(NatsSettings(single.urls, monitor=single.monitors))
    with pytest.raises(
        StorageError, match=r"cannot have 3 replicas: .* set \[cluster\] replicas to what there is"
    ):
        await connected.create_log("/")
    await connected.close()


async def test_monitoring_ports_that_are_not_named_or_do_not_answer(settings: NatsSettings) -> None:
    text = await refusal(dataclasses.replace(settings, monitor=()))
    assert "Name the monitoring ports of all NATS servers in [cluster] monitor" in text
    (port,) = free_ports(1)
    text = await refusal(dataclasses.replace(settings, monitor=(f"127.0.0.1:{port}",)))
    assert f"127.0.0.1:{port} does not answer at /jsz" in text


async def test_a_server_that_is_down_does_not_keep_a_node_from_starting(settings: NatsSettings) -> None:
    (port,) = free_ports(1)
    monitor = (*settings.monitor[:2], f"127.0.0.1:{port}")
    connected = await connect(dataclasses.replace(settings, monitor=monitor))
    await connected.close()


async def test_a_foreign_stream_of_the_same_name(settings: NatsSettings) -> None:
    connected = await connect(settings)
    stream = f"LV-{settings.cluster}-broker"
    made = await connected.request(
        f"$JS.API.STREAM.CREATE.{stream}", b'{"name": "%s", "subjects": ["orders.>"]}' % stream.encode()
    )
    assert b"error" not in made
    for open_or_create in (connected.create_log, connected.open_log):
        with pytest.raises(
            StorageError, match=f"stream {stream} exists in NATS, and Leveret has not made it"
        ):
            await open_or_create("broker")
    with pytest.raises(StorageError, match=f"stream {stream} exists in NATS, and Leveret has not made it"):
        await connected.delete_log("broker")
    assert b"error" not in await connected.request(f"$JS.API.STREAM.INFO.{stream}", b"")
    assert b"error" not in await connected.request(f"$JS.API.STREAM.DELETE.{stream}", b"")
    await connected.close()


async def test_a_stream_with_fewer_replicas_than_are_asked_for(settings: NatsSettings) -> None:
    weak = await connect(dataclasses.replace(settings, replicas=1))
    await weak.create_log("broker")
    await weak.close()
    connected = await connect(settings)
    with pytest.raises(
        StorageError, match=r"has 1 replicas, and \[cluster\] replicas is 3\. Change the stream"
    ):
        await connected.open_log("broker")
    await connected.close()


def test_an_old_server_is_refused() -> None:
    with pytest.raises(
        StorageError, match=r"NATS has version 2\.9\.25, and a cluster needs 2\.12 or later\."
    ):
        _check_version("2.9.25")
    _check_version("2.12.0")
    _check_version("3.0.1-dev")


async def test_a_server_that_counts_as_offline_for_a_moment(
    settings: NatsSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats, "PLACE_INTERVAL_S", 0)
    storage = await connect(settings)
    ask, offline = storage.ask, [True, True]

    async def sometimes(what: str, request: bytes, kind: Any, timeout_s: float = HANG_SECONDS) -> Any:
        if what.startswith("STREAM.CREATE.") and offline:
            offline.pop()
            return msgspec.json.decode(OFFLINE, type=kind)
        return await ask(what, request, kind, timeout_s)

    monkeypatch.setattr(storage, "ask", sometimes)
    log = await storage.create_log("/")
    assert not offline
    assert await log.append("a", b"one", 0) == Accepted(1)
    offline += [True]
    monkeypatch.setattr(nats, "CREATE_TIMEOUT_S", -1.0)
    with pytest.raises(
        StorageError, match="cannot have 3 replicas: no suitable peers for placement, peer offline"
    ):
        await storage.create_log("another")
    await storage.close()


@pytest.mark.parametrize("single", [{"authorization": "max_payload: 600KB"}], indirect=True)
async def test_messages_that_are_too_small_for_a_record(single: NatsCluster) -> None:
    text = await refusal(NatsSettings(single.urls, sync="interval"))
    assert text.startswith("NATS takes messages of up to 614400 octets, and a cluster needs ")
    assert text.endswith("Set max_payload to 1MB, its default, in the configuration of every server.")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"max_age": 1_000_000_000}, "max_age is 1 s, and must be 0"),
        ({"max_msgs": 3, "discard": "old"}, "max_msgs is 3, and must be -1"),
        ({"max_bytes": 4096, "discard": "old"}, "max_bytes is 4096, and must be -1"),
        ({"max_msgs_per_subject": 1}, "max_msgs_per_subject is 1, and must be -1"),
        ({"max_msg_size": 1024}, "max_msg_size is 1024, and must be -1"),
        ({"allow_direct": False}, "allow_direct is false, and must be true"),
        ({"no_ack": True}, "no_ack is true, and must be false"),
        ({"sealed": True}, "it is sealed"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
async def test_a_stream_that_somebody_has_changed(
    settings: NatsSettings, change: dict[str, object], fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said while it is followed, and refused when it is opened."""
    connected = await connect(settings)
    replica = await connected.create_log("v")
    await replica.identity()
    stream = f"LV-{settings.cluster}-v"
    await edit(connected, stream, change)
    await replica.identity()
    await replica.identity()
    reason = f"stream {stream} was changed in NATS: {fault}. What was confirmed may be lost. Change it back"
    assert [record.message.startswith(f"cluster: {reason}") for record in caplog.records] == [True]
    for opened in (connected.open_log("v"), connected.create_log("v")):
        with pytest.raises(StorageError, match=re.escape(reason)):
            await opened
    await connected.close()


async def test_a_bucket_in_which_keys_expire(settings: NatsSettings) -> None:
    connected = await connect(settings)
    await connected.open_table("owners")
    await edit(connected, f"KV_lv-{settings.cluster}-owners", {"max_age": 3_600_000_000_000})
    with pytest.raises(StorageError, match="max_age is 3600 s, and must be 0"):
        await connected.open_table("owners")
    await connected.close()


@pytest.mark.parametrize("again", [False, True])
async def test_a_bucket_that_is_deleted_while_it_is_watched(
    settings: NatsSettings, again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats, "SILENCE_S", 0.1)  # the watch begins again and again
    monkeypatch.setattr(nats, "RETRY_INTERVAL_S", 0)
    connected = await connect(settings)
    table = await connected.open_table("owners")
    watch = table.watch()
    assert await anext(watch) is None
    await table.create("v", b"x")
    entry = await anext(watch)
    assert entry is not None and entry.key == "v"
    await connected.request(f"$JS.API.STREAM.DELETE.KV_lv-{settings.cluster}-owners", b"")
    if again:
        await connected.open_table("owners")
    with pytest.raises(Gone, match=f"stream KV_lv-{settings.cluster}-owners of NATS was deleted"):
        await anext(watch)
    await connected.close()


async def edit(storage: NatsStorage, stream: str, change: dict[str, object]) -> None:
    """Change a stream, as its tools do."""
    info = msgspec.json.decode(await storage.request(f"$JS.API.STREAM.INFO.{stream}", b""))
    config = msgspec.json.encode({**info["config"], **change})
    assert b'"error"' not in await storage.request(f"$JS.API.STREAM.UPDATE.{stream}", config)
