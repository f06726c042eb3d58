"""Three RabbitMQ nodes in one cluster on loopback, to compare a cluster of Leveret with: `python -m
conformance.rabbitmq_cluster` runs one until Ctrl-C.

The nodes share the Debian root of their version (`rabbitmq.py`), and so the Erlang cookie. Each has ports of its own,
a distribution port too, and data of its own, which is deleted before and afterwards. They find each other by classic
config peer discovery. Needs root.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
import urllib.parse
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any

from conformance import rabbitmq
from conformance.rabbitmq import START_SECONDS, RefereeError, Server
from conformance.stage import Target, request

#: How far the ports of the first node are from those of `rabbitmq.SERVERS`, and how far the nodes are apart.
FIRST_SHIFT, STEP = 4100, 10

#: Seconds between two looks at something that other processes do.
INTERVAL_S = 0.1


class RabbitCluster:
    """RabbitMQ nodes that are one cluster; a context manager starts and stops them."""

    def __init__(self, version: str = "4.3", count: int = 3, shift: int = FIRST_SHIFT) -> None:
        self.nodes = [rabbitmq.server(version, shift + number * STEP) for number in range(count)]

    def __enter__(self) -> RabbitCluster:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def urls(self) -> list[str]:
        """The AMQP addresses."""
        return [node.amqp_url for node in self.nodes]

    def start(self) -> None:
        """Start all nodes without data, and wait until each sees all others. Raises RefereeError."""
        self.nodes[0].install()
        for node in self.nodes:
            node.reset()
            node.configure(*self._formation())
        for node in self.nodes:
            node.launch()
        for node in self.nodes:
            self._settle(node)
        self._wait(lambda: self.running() == len(self.nodes), "the nodes do not find each other")

    def stop(self) -> None:
        """Stop all nodes, and delete their data."""
        for node in self.nodes:
            self.kill(self.nodes.index(node))
            node.reset()

    def kill(self, number: int) -> None:
        """Kill a node (SIGKILL), if it runs."""
        pid = self.nodes[number].pid()
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def restart(self, number: int) -> None:
        """Start a killed node again, and wait until all nodes run. Raises RefereeError."""
        self._wait(lambda: self.nodes[number].pid() is None, "the killed node does not end")
        self.nodes[number].launch()
        self._settle(self.nodes[number])
        self._wait(lambda: self.running() == len(self.nodes), "the node does not come back")

    def running(self) -> int:
        """How many nodes run, as the first one that answers says; 0 if none does."""
        for node in self.nodes:
            found = self._get(node, "/api/nodes")
            if isinstance(found, list):
                return sum(bool(one.get("running")) for one in found)
        return 0

    def queue(self, name: str, vhost: str = "/") -> dict[str, Any]:
        """A queue as the HTTP API of the first node that answers has it; empty if there is none yet."""
        path = f"/api/queues/{urllib.parse.quote(vhost, safe='')}/{urllib.parse.quote(name, safe='')}"
        for node in self.nodes:
            found = self._get(node, path)
            if isinstance(found, dict) and "name" in found:
                return found
        return {}

    def leader(self, queue: str) -> int:
        """The number of the node that leads a quorum queue, when all its members are online. Raises RefereeError."""
        names = [node.node for node in self.nodes]

        def ready() -> bool:
            found = self.queue(queue)
            return len(found.get("online", [])) == len(names) and found.get("leader") in names

        self._wait(ready, f"the members of {queue} are not online")
        return names.index(self.queue(queue)["leader"])

    def _formation(self) -> list[str]:
        lines = ["cluster_formation.peer_discovery_backend = classic_config"]
        lines += [
            f"cluster_formation.classic_config.nodes.{n} = {one.node}" for n, one in enumerate(self.nodes, 1)
        ]
        return lines

    @staticmethod
    def _settle(node: Server) -> None:
        if not node.wait(START_SECONDS):
            raise RefereeError(f"{node.node} did not start; its log is in {node.root}/var/log")
        node.settle()

    @staticmethod
    def _get(node: Server, path: str) -> Any:
        if not rabbitmq.accepts(node.http_port):
            return None
        return request(Target(node.amqp_url, node.http_url), "GET", path, None)[1]

    @staticmethod
    def _wait(condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                raise RefereeError(what)
            time.sleep(INTERVAL_S)


def main() -> int:
    """Run a cluster until Ctrl-C."""
    line = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    line.add_argument("--version", default="4.3", choices=list(rabbitmq.SERVERS))
    line.add_argument("--shift", type=int, default=FIRST_SHIFT, help="of the ports of the first node")
    options = line.parse_args()
    try:
        with RabbitCluster(options.version, shift=options.shift) as cluster:
            for node in cluster.nodes:
                print(f"{node.node}  {node.amqp_url}  {node.http_url}  process {node.pid()}", flush=True)
            with suppress(KeyboardInterrupt):
                signal.pause()
    except RefereeError as error:
        print(f"conformance.rabbitmq_cluster: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
