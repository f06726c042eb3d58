"""`/cli/` has rabbitmqadmin where RabbitMQ served it, and files are negotiated by their extensions."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from leveret.management.cli_files import archive

from .conftest import Api, Nodes


async def fetched(api: Api, path: str, accept: str = "*/*") -> tuple[int, str, bytes]:
    url = f"http://127.0.0.1:{api.port}{path}"
    async with api.session.get(url, headers={"Accept": accept}) as response:
        return response.status, response.headers.get("Content-Type", ""), await response.read()


@pytest.mark.parametrize(("version", "status"), [("4.3", 404), ("4.2", 200), ("3.10", 200)])
async def test_the_program_is_served_by_the_versions_that_have_it(
    nodes: Nodes, version: str, status: int
) -> None:
    api = await nodes(version=version)
    assert (await fetched(api, "/cli/rabbitmqadmin"))[0] == status
    _, kind, page = await fetched(api, "/cli/")
    assert kind == "text/html"
    assert (b'href="rabbitmqadmin"' in page) is (status == 200)


async def test_the_program_runs_without_the_package(nodes: Nodes, tmp_path: Path) -> None:
    api = await nodes(version="4.0")
    status, kind, program = await fetched(api, "/cli/rabbitmqadmin")
    assert (status, kind, program) == (200, "application/octet-stream", archive())
    file = tmp_path / "rabbitmqadmin"
    file.write_bytes(program)
    words = [sys.executable, "-I", "-S", str(file), "-P", str(api.port)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}

    async def run(*more: str) -> tuple[int | None, str]:
        process = await asyncio.create_subprocess_exec(
            *words, *more, stdout=asyncio.subprocess.PIPE, env=environment
        )
        output, _ = await process.communicate()
        return process.returncode, output.decode()

    assert await run("declare", "queue", "name=q", "durable=true") == (0, "queue declared\n")
    status, listed = await run("-f", "tsv", "list", "queues", "name", "durable")
    assert (status, listed.split()) == (0, ["name", "durable", "q", "True"])


@pytest.mark.parametrize(
    ("path", "accept", "status"),
    [
        ("/api/nosuch", "application/json", 406),
        ("/api/nosuch", "application/octet-stream", 404),
        ("/api/nosuch", "application/json, */*;q=0.1", 404),
        ("/api/nosuch", "junk", 400),
        ("/nosuch.js", "application/octet-stream", 406),
        ("/nosuch.JS", "application/javascript", 404),
        ("/", "application/json", 406),
        ("/", "text/html", 200),
        ("/api/index.html", "application/json", 406),
        ("/api/index.html", "text/*", 200),
        ("/cli/index.html", "text/html", 200),
    ],
)
async def test_files_are_negotiated_by_their_extensions(
    api: Api, path: str, accept: str, status: int
) -> None:
    url = f"http://127.0.0.1:{api.port}{path}"
    async with api.session.get(url, headers={"Accept": accept}, allow_redirects=False) as response:
        assert response.status == status
