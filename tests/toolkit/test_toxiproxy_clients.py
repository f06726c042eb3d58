"""Toxiproxy's clients from PyPI, npm and Go drive the broker's faults unchanged."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest
from pika.exceptions import AMQPConnectionError

from leveret.testing import Broker
from tests.hang import HANG_SECONDS
from tests.node import node_with
from tests.toolkit.clients import connect

HERE = Path(__file__).resolve().parent


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker() as broker:
        yield broker


def run(*command: str, cwd: Path) -> list[str]:
    """Run a process; returns the lines that it has printed."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=HANG_SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_the_client_from_pypi(broker: Broker) -> None:
    toxiproxy = pytest.importorskip("toxiproxy")
    server = toxiproxy.Toxiproxy()
    address = urllib.parse.urlsplit(broker.toxiproxy_url)
    server.update_api_consumer(address.hostname, address.port)
    assert server.running() and b"2." in server.version()
    own = server.get_proxy("rabbitmq")
    with own.down(), pytest.raises(AMQPConnectionError):
        connect(broker)
    own.add_toxic(type="latency", attributes={"latency": 3})
    assert own.get_toxic("latency_downstream").attributes == {"latency": 3, "jitter": 0}
    connect(broker).close()
    own.destroy_toxic("latency_downstream")
    made = server.create(f"{broker.host}:{broker.port}", "more")
    assert made.enabled and set(server.proxies()) == {"rabbitmq", "more"}
    server.destroy_all()
    assert set(server.proxies()) == {"rabbitmq"}
    assert server.reset()


def test_the_client_from_npm(broker: Broker) -> None:
    folder = HERE / "node"
    node = node_with("toxiproxy-node-client", folder)
    lines = run(node, "drive.js", broker.toxiproxy_url, f"{broker.host}:{broker.port}", cwd=folder)
    shown, enabled, left = map(json.loads, lines)
    assert shown["toxic"]["attributes"] == {"latency": 7, "jitter": 0}
    assert enabled is True and left == ["rabbitmq"]


def test_the_client_of_go(broker: Broker) -> None:
    go = shutil.which("go")
    if go is None:
        pytest.skip("go is not installed")
    api = broker.toxiproxy_url.removeprefix("http://")
    lines = run(go, "run", ".", api, f"{broker.host}:{broker.port}", cwd=HERE / "go")
    assert lines[0] == "slow latency upstream 1 7 1"
    assert lines[1] == "2 false true"
    assert "127.0.0.1:1 is not a listener of this broker" in lines[2]
