"""A node in this process, and its commands."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from conformance.commands.players import LeveretPlayer, Played
from leveret.config import Settings
from leveret.server.node import Node
from leveret.settings import Plugins, Server, Store

NAME = "rabbit@localhost"

Play = Callable[..., Awaitable[Played]]
Start = Callable[..., Awaitable[Node]]


@pytest.fixture
def run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of control sockets of this test alone."""
    folder = tmp_path / "run"
    monkeypatch.setenv("LEVERET_RUN_DIR", str(folder))
    return folder


@pytest.fixture
async def start(run_dir: Path) -> AsyncIterator[Start]:
    """Start a node: `await start(node="rabbit@localhost", data_dir=...)`."""
    started: list[Node] = []

    async def start(
        node: str = NAME, data_dir: Path | None = None, plugins: Plugins | None = None, **server: object
    ) -> Node:
        ports = {"host": ("127.0.0.1",), "port": 0, "http_port": -1, "prometheus_port": -1, **server}
        store = Store() if data_dir is None else Store(engine="disk", data_dir=str(data_dir))
        settings = Settings(
            server=Server(node=node, **ports),  # type: ignore[arg-type]
            store=store,
            plugins=plugins or Plugins(),
        )
        found = Node(settings)
        started.append(found)
        await found.start()
        return found

    yield start
    for node in started:
        if not node.stopping.is_set():
            await node.stop()


@pytest.fixture
def play() -> Play:
    """Play a command line: `await play("rabbitmqctl", "list_users")`, in a thread, as another process would."""

    async def play(*words: str, stdin: str = "", **environment: str) -> Played:
        player = LeveretPlayer({**os.environ, "RABBITMQ_NODENAME": NAME, **environment})
        before = sys.stdin, sys.stdout, sys.stderr
        try:
            return await asyncio.to_thread(player.play, words, stdin)
        finally:
            sys.stdin, sys.stdout, sys.stderr = before

    return play
