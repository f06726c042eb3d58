"""The examples for Java, Node and Go run as they stand, and are short."""

from __future__ import annotations

import os
import shutil
import subprocess
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest

from leveret.testing import Broker
from tests.hang import HANG_SECONDS

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "testing"
AMQPLIB = ROOT / "tests" / "clients" / "node"
JARS = ROOT / "build" / "jars"

#: Lines of an example.
LINES = 40


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker(http=True) as broker:
        yield broker


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def run(broker: Broker, *command: str, cwd: Path, login: bool = False, **env: str) -> str:
    """Run an example; returns what it has printed."""
    http = urllib.parse.urlsplit(broker.http_url)
    host = http.netloc if login else f"{http.hostname}:{http.port}"
    done = subprocess.run(
        command,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        env={**os.environ, "AMQP_URL": broker.url, "LEVERET_URL": f"http://{host}/api/leveret", **env},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ["node/retry.js", "go/retry.go", "java/Retry.java"])
def test_an_example_is_short(name: str) -> None:
    assert len((EXAMPLES / name).read_text().splitlines()) <= LINES


def test_node(broker: Broker) -> None:
    node = tool("node")
    if not (AMQPLIB / "node_modules" / "amqplib").is_dir():
        install = (tool("npm"), "install", "--no-package-lock", "--no-audit", "--no-fund")
        subprocess.run(install, cwd=AMQPLIB, check=True, capture_output=True, timeout=HANG_SECONDS)
    out = run(broker, node, "retry.js", cwd=EXAMPLES / "node", NODE_PATH=str(AMQPLIB / "node_modules"))
    assert out == "retried, and lost the connection\n"


def test_go(broker: Broker) -> None:
    out = run(broker, tool("go"), "run", ".", cwd=EXAMPLES / "go", login=True)
    assert '"steps":1' in out and out.endswith(" {}\n")


def test_java(broker: Broker) -> None:
    java = tool("java")
    if not list(JARS.glob("amqp-client*.jar")):
        command = (tool("mvn"), "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={JARS}")
        subprocess.run(
            command, cwd=EXAMPLES / "java", check=True, capture_output=True, timeout=3 * HANG_SECONDS
        )
    out = run(broker, java, "-cp", f"{JARS}/*", "Retry.java", cwd=EXAMPLES / "java")
    assert out == "retried, and confirmed: false\n"
