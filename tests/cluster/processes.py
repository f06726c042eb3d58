"""A cluster of processes on this machine: NATS servers and nodes, which a test can kill, stop and start again.

`python -m tests.cluster.processes` runs one until Ctrl-C, for trying it out (`make cluster`).
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.ports import free_ports

ROOT = Path(__file__).resolve().parents[2]

#: Built by `make build/nats/nats-server`.
NATS_SERVER = ROOT / "build" / "nats" / "nats-server"

#: Seconds that a process may take to start.
START_TIMEOUT_S = 300.0

_NATS = """
server_name: {name}
listen: 127.0.0.1:{port}
http: 127.0.0.1:{monitor}
jetstream {{ store_dir: "{directory}", sync_interval: always }}
cluster {{ name: leveret, listen: 127.0.0.1:{route}, routes: [{routes}] }}
"""


def nats_server() -> str | None:
    """The program, or None if it is not installed."""
    return str(NATS_SERVER) if NATS_SERVER.exists() else shutil.which("nats-server")


def wait_until(
    condition: Callable[[], bool], what: str | Callable[[], str], timeout_s: float = START_TIMEOUT_S
) -> None:
    """Wait for what other processes do. Raises `TimeoutError` with `what`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(what if isinstance(what, str) else what())
        time.sleep(0.02)


def accepts(port: int) -> bool:
    """Whether somebody listens on a port."""
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


class Server:
    """A process with its output in a file. `command`, `environment`: how it is started."""

    def __init__(self, name: str, command: list[str], directory: Path, environment: dict[str, str]) -> None:
        self.name = name
        self.command = command
        self.output = directory / f"{name}.out"
        self.environment = environment
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, if it does not run."""
        if self.running:
            return
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                self.command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, env=self.environment
            )

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self.process is not None and self.process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if self.process is not None and self.running:
            self.process.send_signal(number)

    def kill(self) -> None:
        """Kill it, and wait for its end."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self, timeout_s: float = START_TIMEOUT_S) -> int:
        """Have it stop; returns its exit code."""
        assert self.process is not None
        self.process.terminate()
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def log(self) -> str:
        """What it has written."""
        return self.output.read_text(errors="replace") if self.output.exists() else ""


class LocalCluster:
    """NATS servers (`servers`) and nodes (`nodes`) with their ports. `lease`: seconds."""

    def __init__(
        self,
        directory: Path,
        nodes: int = 3,
        lease: int = 5,
        ports: list[int] | None = None,
        **environment: str,
    ) -> None:
        self.directory = directory
        program = nats_server()
        assert program is not None, "no nats-server: make build/nats/nats-server"
        free = free_ports(9 + 4 * nodes)
        self.nats_ports, self.monitor_ports, routes = free[:3], free[3:6], free[6:9]
        self.servers = []
        for number in range(3):
            name = f"nats{number + 1}"
            config = directory / f"{name}.conf"
            config.write_text(
                _NATS.format(
                    name=name,
                    port=self.nats_ports[number],
                    monitor=self.monitor_ports[number],
                    route=routes[number],
                    routes=", ".join(f"nats-route://127.0.0.1:{port}" for port in routes),
                    directory=directory / name,
                )
            )
            self.servers.append(Server(name, [program, "-c", str(config)], directory, dict(os.environ)))
        self.ports = ports or free[9 : 9 + nodes]
        self.http_ports = free[9 + nodes : 9 + 2 * nodes]
        self.peer_ports = free[9 + 2 * nodes : 9 + 3 * nodes]
        self.metrics_ports = free[9 + 3 * nodes :]
        if ports is not None:
            self.http_ports = [port + 10000 for port in ports]
        self.nodes = [self._node(number, lease, environment) for number in range(nodes)]

    def _node(self, number: int, lease: int, environment: dict[str, str]) -> Server:
        name = f"node{number + 1}"
        settings = {
            "CLUSTER_NATS": ",".join(f"nats://127.0.0.1:{port}" for port in self.nats_ports),
            "CLUSTER_MONITOR": ",".join(f"http://127.0.0.1:{port}" for port in self.monitor_ports),
            "CLUSTER_SECRET": "only for tests",
            "CLUSTER_PEER_HOST": "127.0.0.1",
            "CLUSTER_PEER_PORT": str(self.peer_ports[number]),
            "CLUSTER_ADVERTISE": "127.0.0.1",
            "CLUSTER_LEASE": str(lease),
            "SERVER_NODE": f"{name}@localhost",
            "SERVER_HOST": "127.0.0.1",
            "SERVER_PORT": str(self.ports[number]),
            "SERVER_HTTP_PORT": str(self.http_ports[number]),
            "SERVER_PROMETHEUS_PORT": str(self.metrics_ports[number]),
            "RUN_DIR": str(self.directory),
            "STORE_DATA_DIR": str(self.directory / name),
            **environment,
        }
        command = [sys.executable, "-m", "leveret", "serve"]
        own = {f"LEVERET_{key}": value for key, value in settings.items()}
        return Server(name, command, self.directory, {**os.environ, **own})

    def start_nats(self) -> None:
        """Start the NATS servers."""
        for server in self.servers:
            server.start()
        wait_until(lambda: all(map(accepts, self.nats_ports)), "the NATS servers do not listen")

    def start_nodes(self) -> None:
        """Start the nodes and wait until all accept clients and one of them serves."""

        def listening() -> bool:
            for node in self.nodes:
                node.start()  # again, as whoever supervises it would: on a busy machine NATS may need too long
            return all(map(accepts, self.ports))

        wait_until(listening, lambda: "the nodes do not listen:\n" + self.logs())
        wait_until(lambda: self.owner() is not None, lambda: "no owner:\n" + self.logs())

    def start(self) -> None:
        """Start everything."""
        self.start_nats()
        self.start_nodes()

    def owner(self, vhost: str = "/") -> int | None:
        """The number of the node that serves a virtual host, from 0: the one whose log says so last."""
        found = [
            (_epoch(node.log(), vhost), number) for number, node in enumerate(self.nodes) if node.running
        ]
        serving = [(epoch, number) for epoch, number in found if epoch]
        return max(serving)[1] if serving else None

    def log_of(self, vhost: str) -> str:
        """The identifier of the log of a virtual host that was served."""
        found = [_taken(node.log(), vhost) for node in self.nodes]
        return max(found)[1]

    def logs(self) -> str:
        """What all nodes have written."""
        return "\n".join(f"--- {node.name}\n{node.log()[-4000:]}" for node in self.nodes)

    def stop(self) -> None:
        """End all processes."""
        for server in (*self.nodes, *self.servers):
            server.send(signal.SIGCONT)
            server.kill()

    def __enter__(self) -> LocalCluster:
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop()


def _epoch(log: str, vhost: str) -> int:
    """The newest epoch that a node has taken of a virtual host that it serves; 0 for none."""
    at = log.rfind(_TAKEN.format(vhost))
    served = log.find(f"virtual host '{vhost}' is served here", at)
    return 0 if at < 0 or served < 0 else _taken(log, vhost)[0]


#: What a node writes when it takes a virtual host over; the epoch follows, "of log", and the log.
_TAKEN = "takes virtual host '{}' over, epoch "


def _taken(log: str, vhost: str) -> tuple[int, str]:
    """The newest epoch that a node has taken of a virtual host, and its log; 0 for none."""
    taken = _TAKEN.format(vhost)
    at = log.rfind(taken)
    words = log[at + len(taken) :].split(maxsplit=4) if at >= 0 else ()
    return (int(words[0]), words[3]) if len(words) > 3 else (0, "")


def main() -> None:
    """Run a cluster until Ctrl-C."""
    line = argparse.ArgumentParser(description="Three NATS servers and three nodes on this machine")
    line.add_argument("--port", type=int, default=5672, help="AMQP port of the first node")
    options = line.parse_args()
    with tempfile.TemporaryDirectory(prefix="leveret-cluster-") as directory:
        ports = [options.port + number for number in range(3)]
        with LocalCluster(Path(directory), ports=ports, lease=15) as cluster:
            cluster.start()
            for number, port in enumerate(cluster.ports):
                node = cluster.nodes[number]
                here = "serves virtual host '/'" if cluster.owner() == number else "passes its clients on"
                assert node.process is not None
                print(
                    f"amqp://guest:guest@localhost:{port}/  http://localhost:{cluster.http_ports[number]}/  "
                    f"{node.name}, process {node.process.pid}: {here}"
                )
            for server in cluster.servers:
                assert server.process is not None
                print(f"{server.name}, process {server.process.pid}")
            print(f"Logs and data: {directory}. Ctrl-C ends all processes.", flush=True)
            try:
                signal.pause()
            except KeyboardInterrupt:
                print()


if __name__ == "__main__":
    main()
