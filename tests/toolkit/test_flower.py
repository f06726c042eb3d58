"""Flower, which watches Celery's events, while its connections are reset."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from leveret.testing import Broker
from tests.hang import HANG_SECONDS
from tests.ports import free_ports

from .test_celery import application, working

pytest.importorskip("flower")

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:.*:pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:.*:celery.exceptions.CPendingDeprecationWarning"),
]


@contextmanager
def flower(broker: Broker, folder: Path) -> Iterator[str]:
    """Flower in a process of its own; yields the address of its API."""
    (port,) = free_ports(1)
    options = [f"--port={port}", "--address=127.0.0.1", f"--broker-api={broker.http_url}/api/"]
    command = [sys.executable, "-m", "celery", "--broker", broker.url, "flower", *options]
    environ = {**os.environ, "FLOWER_UNAUTHENTICATED_API": "true"}
    with (folder / "flower.log").open("w") as log:
        process = subprocess.Popen(
            command, env=environ, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        yield f"http://127.0.0.1:{port}/api"
    finally:
        process.terminate()
        process.wait(HANG_SECONDS)


def consumers_of_events(broker: Broker) -> int:
    """How many consume Celery's events; only in the broker's thread."""
    queues = broker._node.engine.vhosts["/"].queues
    return sum(len(each.consumers.members) for name, each in queues.items() if name.startswith("celeryev."))


def shown(address: str, task: str) -> Any:
    """Return what Flower knows of a task; None if nothing."""
    try:
        with urllib.request.urlopen(f"{address}/task/info/{task}", timeout=HANG_SECONDS) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return None


def test_flower_goes_on_after_each_reset(tmp_path: Path) -> None:
    with Broker() as broker:
        app = application(broker, worker_send_task_events=True, task_send_sent_event=True)

        # Not shared: Celery would give it to the applications of all other tests of the process.
        @app.task(name="flower.add", shared=False)
        def add(x: int, y: int) -> int:
            return x + y

        with working(app), flower(broker, tmp_path) as address:
            broker.wait_until(lambda: consumers_of_events(broker), HANG_SECONDS)
            for number in range(2):
                broker.faults.reset().assert_hit()
                broker.wait_until(lambda: consumers_of_events(broker), HANG_SECONDS)
                broker.wait_for_consumer("celery", 1, HANG_SECONDS)
                task = add.delay(number, 1).id
                broker.wait_for_acked("celery", number + 1, HANG_SECONDS)
                broker.wait_idle(HANG_SECONDS)
                while (info := shown(address, task)) is None or info["state"] != "SUCCESS":
                    pass  # each question waits for Flower's answer
                assert info["name"] == "flower.add" and info["result"] == str(number + 1)
