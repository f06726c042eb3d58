"""Node's amqplib: each file in ``node/`` is a suite for Node's own test runner."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.hang import HANG_SECONDS
from tests.node import node_with

NODE = Path(__file__).resolve().parent / "node"
SUITES = sorted(path.name for path in NODE.glob("*.test.mjs"))


@pytest.fixture(scope="session")
def node() -> str:
    """The node binary, with amqplib installed beside the suites (in the version that package.json names)."""
    return node_with("amqplib", NODE)


@pytest.mark.parametrize("suite", SUITES)
def test_the_node_suite_passes(node: str, broker_url: str, suite: str) -> None:
    done = subprocess.run(
        (node, "--test", "--test-reporter=tap", suite),
        cwd=NODE,
        env={**os.environ, "AMQP_URL": broker_url},
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "# fail 0" in done.stdout
    assert "# pass 0" not in done.stdout
