"""Where the control socket is, who may use it, and what is left of nodes that are gone."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import struct
from pathlib import Path

import pytest

from leveret import control_paths
from leveret.control_frames import END, GREETING, HEADER_BYTES, REQUEST, decoded, header, json_frame
from leveret.server.node import Node
from tests.commands.conftest import NAME, Play, Start
from tests.hang import HANG_SECONDS


async def accepted(node: Node) -> None:
    """Wait until the node has accepted every connection made so far: it accepts them in their order."""
    reader, writer = await asyncio.open_unix_connection(node.control.path)
    await reader.readexactly(len(GREETING))
    writer.close()
    await writer.wait_closed()


async def test_only_its_user_can_open_the_socket(start: Start, run_dir: Path) -> None:
    node = await start()
    path = Path(node.control.path)
    assert path == run_dir / f"{NAME}.sock"
    assert [stat.S_IMODE(os.stat(each).st_mode) for each in (path, run_dir)] == [0o600, 0o700]


async def test_a_folder_of_somebody_else_is_not_used(start: Start, play: Play, run_dir: Path) -> None:
    os.mkdir(run_dir)
    os.chmod(run_dir, 0o777)
    node = await start()
    assert node.control.path == ""
    assert node.running
    assert (await play("rabbitmqctl", "list_users")).code == 69


async def test_the_socket_of_a_killed_node_is_replaced(start: Start, play: Play, run_dir: Path) -> None:
    os.mkdir(run_dir, 0o700)
    control_paths.bound(str(run_dir / f"{NAME}.sock")).close()
    assert "unable to perform an operation" in (await play("rabbitmqctl", "list_users")).stderr
    await start()
    assert (await play("rabbitmqctl", "-s", "list_users")).stdout == "guest\t[administrator]\n"


async def test_two_nodes_of_the_same_name(start: Start, play: Play, tmp_path: Path) -> None:
    first = await start()
    second = await start(data_dir=tmp_path / "data")
    assert first.control.path != second.control.path
    await play("rabbitmqctl", "add_vhost", "one")
    data = {"LEVERET_STORE_DATA_DIR": str(tmp_path / "data")}
    await play("rabbitmqctl", "add_vhost", "two", RABBITMQ_NODENAME="", **data)
    other = f"rabbit-{os.getpid()}"
    await play("rabbitmqctl", "-n", f"{other}@localhost", "add_vhost", "three")
    assert sorted(first.broker.vhosts) == ["/", "one"]
    assert sorted(second.broker.vhosts) == ["/", "three", "two"]


async def test_two_nodes_of_different_names(start: Start, play: Play) -> None:
    await start()
    await start("hare@localhost")
    await play("rabbitmqctl", "-n", "hare@localhost", "add_vhost", "theirs")
    assert (await play("rabbitmqctl", "-s", "list_vhosts")).stdout == "/\n"
    assert (await play("rabbitmqctl", "-n", "hare@localhost", "-s", "list_vhosts")).stdout == "/\ntheirs\n"


async def test_the_only_node_is_meant_if_none_is_named(start: Start, play: Play, run_dir: Path) -> None:
    await start("hare@localhost")
    control_paths.bound(str(run_dir / "killed@localhost.sock")).close()
    assert (await play("rabbitmqctl", "-q", "ping", RABBITMQ_NODENAME="")).code == 0
    other = await start("owl@localhost")
    assert (await play("rabbitmqctl", "-q", "ping", RABBITMQ_NODENAME="")).code == 69
    await accepted(other)  # asyncio forgets a connection that it is accepting when its server is closed
    other.stopping.set()
    await other.stop()
    assert (await play("rabbitmqctl", "-q", "ping", RABBITMQ_NODENAME="")).code == 0


async def test_a_path_that_is_too_long_for_an_address(
    start: Start, play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ("long" * 30)
    monkeypatch.setenv("LEVERET_RUN_DIR", str(folder))
    node = await start()
    assert len(node.control.path) > control_paths.LONGEST_PATH
    assert (await play("rabbitmqctl", "-q", "ping")).stdout == "Ping succeeded\n"


async def test_the_path_in_the_settings(start: Start, play: Play, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    node = await start(control_socket=path)
    assert node.control.path == path
    found = await play("rabbitmqctl", "-q", "ping", RABBITMQ_NODENAME="", LEVERET_SERVER_CONTROL_SOCKET=path)
    assert found.code == 0


async def test_no_socket(start: Start, play: Play, run_dir: Path) -> None:
    await start(control_socket="none")
    assert not os.access(run_dir, os.F_OK)
    assert (await play("rabbitmqctl", "ping")).code == 69


async def test_the_socket_is_removed_when_the_node_stops(start: Start) -> None:
    node = await start()
    path = node.control.path
    node.stopping.set()
    await node.stop()
    assert not os.access(path, os.F_OK)


async def test_what_is_no_request_is_dropped(start: Start, play: Play) -> None:
    node = await start()
    for octets in (
        b"",
        b"GET / HTTP/1.0\r\n\r\n",
        struct.pack(">I", 2**31) + b"r",
        struct.pack(">I", 2) + b"r[]",
    ):
        reader, writer = await asyncio.open_unix_connection(node.control.path)
        length = int.from_bytes((await reader.readexactly(5))[:4], "big")
        assert decoded(await reader.readexactly(length))["node"] == NAME
        writer.write(octets)
        writer.write_eof()
        async with asyncio.timeout(HANG_SECONDS):
            assert await reader.read() == b""
        writer.close()
    assert GREETING == b"g"
    assert (await play("rabbitmqctl", "ping")).code == 0
    assert not node.broker.faults.errors


async def test_commands_while_others_are_carried_out(start: Start, play: Play) -> None:
    await start()
    slow = asyncio.create_task(play("rabbitmqctl", "await_online_nodes", "2", "--timeout", "1"))
    assert (await play("rabbitmqctl", "ping")).code == 0
    assert (await slow).code == 70


def test_a_free_path_is_a_free_path(tmp_path: Path) -> None:
    made = control_paths.bound(str(tmp_path / "x"))
    assert made.family == socket.AF_UNIX
    made.close()


def test_the_first_folder_that_can_be_written_to_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.touch()
    folders = [str(file / "leveret"), str(tmp_path / "shm"), str(tmp_path / "other")]
    monkeypatch.setattr(control_paths, "folders", lambda _: iter(folders))
    assert control_paths.own_folder({}) == folders[1]
    monkeypatch.setattr(control_paths, "folders", lambda _: iter(folders[:1]))
    with pytest.raises(NotADirectoryError):
        control_paths.own_folder({})


@pytest.mark.parametrize("payload", [b"[" * 100_000, b'{"a":' * 100_000, b"null", b"\xff", b""])
def test_what_is_no_json_object_is_no_request(payload: bytes) -> None:
    with pytest.raises(ValueError):
        decoded(payload)


@pytest.mark.parametrize(
    "wrong",
    [
        {"arguments": None},
        {"arguments": [1]},
        {"options": []},
        {"content": 1},
        {"tool": None},
        {"command": {}},
        {"formatter": 7},
        {"raw": "no"},
    ],
)
async def test_a_request_of_another_form_is_an_error_of_its_own(
    start: Start, wrong: dict[str, object]
) -> None:
    node = await start()
    request = {
        "tool": "rabbitmqctl", "command": "list_users", "arguments": [], "options": {}, "content": None,
        "formatter": "table", "raw": False,
    }  # fmt: skip
    reader, writer = await asyncio.open_unix_connection(node.control.path)
    writer.write(json_frame(REQUEST, request | wrong))
    kind = b""
    while kind != END:
        kind, length = header(await reader.readexactly(HEADER_BYTES))
        payload = await reader.readexactly(length)
    writer.close()
    text = "Error:\nthe request on the control socket is malformed"
    assert decoded(payload) == {"code": 64, "text": text}
    assert not node.broker.faults.errors
