"""Settings that a node applies when it starts: sockets, definitions and its log."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

from leveret.cli.serve import main
from leveret.config import Settings
from leveret.engine.actor import INTERNAL
from leveret.engine.changes import ChannelRefused, ConnectionAccepted, ConnectionClosed
from leveret.engine.definitions import DefinitionsError, cluster_definitions
from leveret.server.log import configure, log
from leveret.server.log_observer import LogObserver
from leveret.server.node import Node
from leveret.settings import Log, Memory, Profile, Server, Store

Start = Callable[..., Coroutine[Any, Any, Node]]

HERE = ("127.0.0.1",)

DEFINITIONS = {
    "users": [{"name": "clerk", "password": "secret", "tags": "administrator"}],
    "vhosts": [{"name": "shop"}],
    "permissions": [{"user": "clerk", "vhost": "shop", "configure": ".*", "write": ".*", "read": ".*"}],
    "queues": [{"name": "orders", "vhost": "shop", "durable": True, "auto_delete": False, "arguments": {}}],
}


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Start nodes; all are stopped at the end."""
    running: list[Node] = []

    async def started(store: Store | None = None, profile: str = "4.3", **server: Any) -> Node:
        ports = {"host": HERE, "port": 0, "http_port": -1, "prometheus_port": -1, **server}
        node = Node(
            Settings(server=Server(**ports), store=store or Store(), profile=Profile(version=profile))
        )
        await node.start()
        running.append(node)
        return node

    yield started
    for node in running:
        await node.stop()


async def test_http_and_metrics_have_their_own_addresses(start: Start) -> None:
    node = await start(
        http_port=0, prometheus_port=0, http_host=("127.0.0.2",), prometheus_host=("127.0.0.3",)
    )
    where = {listener.protocol: listener.ip_address for listener in node.listeners()}
    assert where == {"amqp": "127.0.0.1", "http": "127.0.0.2", "http/prometheus": "127.0.0.3"}


@pytest.mark.parametrize(("version", "share"), [("4.3", 0.6), ("3.13", 0.4)])
async def test_the_default_watermark_is_that_of_the_profile(start: Start, version: str, share: float) -> None:
    node = await start(profile=version)
    assert node.monitor.memory_limit == int(share * node.monitor.total)
    assert Memory(0.5).limit(1000, share) == 500


@pytest.mark.parametrize(("version", "there"), [("4.3", True), ("4.2", False)])
async def test_the_exchange_of_the_log_is_there_since_4_3(start: Start, version: str, there: bool) -> None:
    broker = (await start(profile=version)).broker
    assert ("amq.rabbitmq.log" in broker.vhosts["/"].exchanges) is there
    exported = [one["name"] for one in cluster_definitions(broker)["exchanges"]]  # type: ignore[attr-defined]
    assert exported == (["amq.rabbitmq.log"] if there else [])


async def test_with_definitions_there_is_no_default_user(
    start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "definitions.json"
    file.write_text(json.dumps(DEFINITIONS))
    broker = (await start(load_definitions=str(file))).broker
    assert list(broker.vhosts) == ["shop"] and list(broker.vhosts["shop"].queues) == ["orders"]
    assert [user.name for user in broker.access.users] == ["clerk"]
    assert "The default user 'guest' is not created, because definitions are loaded" in caplog.text


async def test_the_files_of_a_directory_of_definitions_are_imported_in_order(
    start: Start, tmp_path: Path
) -> None:
    for name, section in (("1.json", "vhosts"), ("0.json", "users"), ("2.json", "queues")):
        (tmp_path / name).write_text(json.dumps({section: DEFINITIONS[section]}))
    (tmp_path / ".keep").touch()
    broker = (await start(load_definitions=str(tmp_path))).broker
    assert list(broker.vhosts["shop"].queues) == ["orders"]


async def test_definitions_are_imported_into_what_was_kept(start: Start, tmp_path: Path) -> None:
    file, store = tmp_path / "definitions.json", Store(engine="disk", data_dir=str(tmp_path / "data"))
    file.write_text(json.dumps(DEFINITIONS))
    first = Node(Settings(server=Server(host=HERE, port=0, http_port=-1, prometheus_port=-1), store=store))
    await first.start()
    await first.stop()
    broker = (await start(store, load_definitions=str(file))).broker
    assert sorted(broker.vhosts) == ["/", "shop"] and "guest" in broker.access.users


@pytest.mark.parametrize(
    ("text", "says"), [("{", "is not JSON"), ('{"users": [{}]}', "{badkey,name}"), (None, "cannot be read")]
)
async def test_invalid_definitions_stop_the_start(
    start: Start, tmp_path: Path, text: str | None, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "definitions.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(DefinitionsError, match=f"definitions.json: {says}"):
        await start(load_definitions=str(file))


def test_the_command_reports_invalid_definitions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "config.toml"
    config.write_text(
        f'[server]\nport = -1\nhttp_port = -1\nprometheus_port = -1\nload_definitions = "{tmp_path}/no"'
    )
    assert main(["serve", "--config", str(config)]) == 78
    assert (
        capsys.readouterr().err
        == f"leveret: definitions: {tmp_path}/no: cannot be read: No such file or directory\n"
    )


@pytest.mark.parametrize(
    ("categories", "seen"),
    [
        ({}, ["Channel error", "leveret"]),
        ({"connection": "debug"}, ["closing AMQP", "Channel error", "leveret"]),
        ({"connection": "none", "channel": "none"}, ["leveret"]),
    ],
)
def test_log_categories_have_their_own_levels(
    categories: dict[Any, str], seen: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    connection: Any = MagicMock(name="a -> b", vhost=None, user=None, client_properties={}, connected_at=0)
    channel: Any = SimpleNamespace(number=1, connection=connection)
    configure(Log(level="warning", categories=categories))
    observer = LogObserver("rabbit@test", lambda: 0)
    try:
        observer.notify(ConnectionAccepted(INTERNAL, connection))
        observer.notify(ConnectionClosed(INTERNAL, connection))
        observer.notify(ChannelRefused(INTERNAL, channel, ValueError("text")))
        log.error("leveret")
    finally:
        log.handlers.clear()
        log.propagate = True
        for name in ("leveret", "leveret.connection", "leveret.channel", "leveret.queue"):
            logging.getLogger(name).setLevel(logging.NOTSET)
    lines = [line for line in capsys.readouterr().out.splitlines() if any(word in line for word in seen)]
    assert len(lines) == len(seen)
    assert ("closing AMQP" in "".join(lines)) == ("closing AMQP" in seen)
