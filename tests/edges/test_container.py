"""The two scripts and the commands of the container image. The image itself is built by container/build-and-run.

That takes minutes, root, buildah and debootstrap, and is done only with LEVERET_CONTAINER=1.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from leveret.config import Settings
from leveret.server.node import Node
from leveret.settings import Server
from tests.hang import HANG_SECONDS

PROJECT = Path(__file__).resolve().parents[2]
CONTAINER = PROJECT / "container"


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    running = Node(Settings(server=Server(host=("127.0.0.1",), port=0, http_port=0, prometheus_port=-1)))
    await running.start()
    yield running
    await running.stop()


async def healthcheck(**environment: str) -> int:
    """Run the health check; returns its exit code."""
    process = await asyncio.create_subprocess_exec(
        CONTAINER / "healthcheck.sh",
        env={"PATH": os.environ["PATH"], "HEALTHCHECK_SECONDS": str(HANG_SECONDS), **environment},
        stderr=asyncio.subprocess.DEVNULL,
    )
    return await process.wait()


def ports(node: Node) -> dict[str, str]:
    return {listener.protocol: str(listener.port) for listener in node.listeners()}


async def test_the_health_check_calls_the_http_api(node: Node) -> None:
    port = ports(node)["http"]
    assert await healthcheck(LEVERET_SERVER_HTTP_PORT=port) == 0
    await node.stop()
    assert await healthcheck(LEVERET_SERVER_HTTP_PORT=port) == 1


async def test_without_the_api_the_health_check_connects_to_amqp(node: Node) -> None:
    port = ports(node)["amqp"]
    assert await healthcheck(LEVERET_SERVER_HTTP_PORT="-1", RABBITMQ_NODE_PORT=port) == 0
    await node.stop()
    assert await healthcheck(LEVERET_SERVER_HTTP_PORT="-1", RABBITMQ_NODE_PORT=port) == 1


async def test_another_service_on_the_port_is_not_healthy() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.0 503 Service Unavailable\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert await healthcheck(LEVERET_SERVER_HTTP_PORT=str(port)) == 1


@pytest.mark.parametrize(
    ("arguments", "ran"),
    [
        ([], "serve"),
        (["rabbitmq-server"], "serve"),
        (["rabbitmq-server", "--port", "1"], "serve --port 1"),
        (["--port", "1"], "serve --port 1"),
    ],
)
def test_the_entry_point_runs_the_broker(tmp_path: Path, arguments: list[str], ran: str) -> None:
    assert entry_point(tmp_path, *arguments) == f"leveret {ran}"


def test_the_entry_point_names_the_files_that_are_there(tmp_path: Path) -> None:
    conf = tmp_path / "etc"
    (conf / "conf.d").mkdir(parents=True)
    shown = "echo RABBITMQ_CONFIG_FILE=$RABBITMQ_CONFIG_FILE,$RABBITMQ_CONFIG_FILES,$RABBITMQ_ADVANCED_CONFIG_FILE"
    arguments = ("sh", "-c", shown.replace("RABBITMQ_CONFIG_FILE=", "", 1))
    here = {"RABBITMQ_CONF_DIR": str(conf)}
    assert entry_point(tmp_path, *arguments, **here) == f",{conf}/conf.d/*.conf,"
    for name in ("rabbitmq.conf", "rabbitmq.config", "advanced.config"):
        (conf / name).touch()
    assert entry_point(tmp_path, *arguments, **here) == (
        f"{conf}/rabbitmq.conf,{conf}/conf.d/*.conf,{conf}/advanced.config"
    )
    assert entry_point(tmp_path, *arguments, **here, RABBITMQ_CONFIG_FILE="/x").startswith("/x,")


def test_the_entry_point_runs_other_commands_unchanged(tmp_path: Path) -> None:
    assert entry_point(tmp_path, "echo", "a b") == "a b"


def entry_point(path: Path, *arguments: str, **environment: str) -> str:
    """Return what the command prints that the entry point runs, as a user that is not root."""
    leveret = path / "leveret"
    leveret.write_text('#!/bin/sh\necho leveret "$@"\n')
    leveret.chmod(0o755)
    user = path / "id"
    user.write_text("#!/bin/sh\necho 999\n")
    user.chmod(0o755)
    done = subprocess.run(
        [CONTAINER / "docker-entrypoint.sh", *arguments],
        env={"PATH": f"{path}:{os.environ['PATH']}", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_the_settings_of_the_image_are_understood() -> None:
    from leveret.config import load

    settings = load(
        None,
        {},
        {
            "RABBITMQ_CONFIG_FILES": f"{CONTAINER}/*.conf",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(CONTAINER / "enabled_plugins"),
        },
    )
    assert settings.access.loopback_users == ()
    assert settings.warnings == ()


async def test_commands_of_other_projects_return_rabbitmqs_exit_codes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEVERET_RUN_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("RABBITMQ_NODENAME", "rabbit@localhost")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    assert await _run(sys.executable, "-m", "leveret", "link-commands", str(tmp_path / "bin")) == (0, "")
    server = Server(host=("127.0.0.1",), port=0, http_port=0, prometheus_port=-1, node="rabbit@localhost")
    running = Node(Settings(server=server))
    await running.start()
    found = {}
    try:
        for code, command in _exec_lines(ports(running), folder=tmp_path):
            ended, output = await _run("sh", "-c", command)
            if ended != code:
                found[command] = (ended, output)
    finally:
        await running.stop()
    assert found == {}


def _exec_lines(ports: dict[str, str], folder: Path) -> Iterator[tuple[int, str]]:
    """Yield exit codes and commands of exec-lines.txt, for a node with other ports, with files in a folder."""
    for line in (CONTAINER / "exec-lines.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            _, code, command = line.split("\t")
            command = command.replace("5672", ports["amqp"]).replace("/tmp/", f"{folder}/")
            yield int(code), command.replace("rabbitmqadmin ", f"rabbitmqadmin --port={ports['http']} ")


async def _run(*command: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode()


@pytest.mark.skipif(os.environ.get("LEVERET_CONTAINER") != "1", reason="LEVERET_CONTAINER=1 builds the image")
def test_the_image_is_built_and_runs() -> None:
    subprocess.run([sys.executable, CONTAINER / "build-and-run"], check=True)
