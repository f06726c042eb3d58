"""NATS servers for tests: as many as are asked for, in one cluster on loopback, with JetStream that syncs always.

`nats-server` is looked for in `LEVERET_NATS_SERVER`, in `build/nats` (`make build/nats/nats-server`), in the PATH, and
where `go install` puts it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

from tests.ports import free_ports

ROOT = Path(__file__).resolve().parents[2]

#: The version that is tested: `go install github.com/nats-io/nats-server/v2@<version>`.
VERSION = "v2.15.3"

#: Seconds until all servers of a cluster are ready, on a busy machine.
START_S = 60.0


def find_server() -> str | None:
    """Return the path of nats-server; None if there is none."""
    named = os.environ.get("LEVERET_NATS_SERVER")
    built = str(ROOT / "build" / "nats" / "nats-server")
    folders = [os.environ.get("GOBIN", ""), str(Path(os.environ.get("GOPATH", Path.home() / "go")) / "bin")]
    places = [
        named,
        built,
        shutil.which("nats-server"),
        *(str(Path(one) / "nats-server") for one in folders if one),
    ]
    return next((place for place in places if place and Path(place).is_file()), None)


class NatsServer:
    """One server, which can be killed, stopped and started again with its files."""

    def __init__(self, number: int, directory: Path, ports: tuple[int, int, int], config: str) -> None:
        self.number = number
        self.directory = directory
        self.port, self.route_port, self.monitor_port = ports
        self.config = directory / "nats.conf"
        self.config.write_text(config)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The address for clients."""
        return f"nats://127.0.0.1:{self.port}"

    @property
    def monitor(self) -> str:
        """The address of the monitoring port."""
        return f"127.0.0.1:{self.monitor_port}"

    def start(self) -> None:
        """Start the process; `NatsCluster.wait` waits until it is ready."""
        server = find_server()
        assert server is not None
        output = (self.directory / "log").open("ab")
        self.process = subprocess.Popen([server, "-c", str(self.config)], stdout=output, stderr=output)
        output.close()

    def kill(self) -> None:
        """Kill the process."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self) -> None:
        """Stop the process (SIGSTOP): it goes on later."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a stopped process go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def healthy(self) -> bool:
        """Whether it says that all its streams are ready."""
        try:
            with urllib.request.urlopen(f"http://{self.monitor}/healthz", timeout=1) as answer:
                return bool(json.load(answer).get("status") == "ok")
        except (OSError, ValueError):
            return False


class NatsCluster:
    """Servers that replicate to each other. `sync`: the value of `sync_interval`; `jetstream`: whether they have it;
    `authorization`: lines of the configuration."""

    def __init__(
        self,
        directory: Path,
        count: int = 3,
        *,
        sync: str = "always",
        jetstream: bool = True,
        authorization: str = "",
    ) -> None:
        ports = free_ports(3 * count)
        triples = [(ports[3 * n], ports[3 * n + 1], ports[3 * n + 2]) for n in range(count)]
        routes = ", ".join(f"nats://127.0.0.1:{triple[1]}" for triple in triples)
        self.servers: list[NatsServer] = []
        for number, triple in enumerate(triples):
            home = directory / f"nats{number}"
            home.mkdir(parents=True)
            lines = [
                f"server_name: n{number}",
                f"listen: 127.0.0.1:{triple[0]}",
                f"http: 127.0.0.1:{triple[2]}",
            ]
            if jetstream:
                lines.append(f'jetstream {{ store_dir: "{home / "data"}", sync_interval: {sync} }}')
            if count > 1:
                lines.append(f"cluster {{ name: test, listen: 127.0.0.1:{triple[1]}, routes: [{routes}] }}")
            self.servers.append(NatsServer(number, home, triple, "\n".join([*lines, authorization, ""])))

    @property
    def urls(self) -> tuple[str, ...]:
        """The addresses for clients."""
        return tuple(server.url for server in self.servers)

    @property
    def monitors(self) -> tuple[str, ...]:
        """The addresses of the monitoring ports."""
        return tuple(server.monitor for server in self.servers)

    def start(self) -> None:
        """Start all servers, and wait until they are ready."""
        for server in self.servers:
            server.start()
        self.wait()

    def wait(self) -> None:
        """Wait until all servers that run are ready. Raises `TimeoutError`."""
        limit = time.monotonic() + START_S
        while not all(server.healthy() for server in self.servers if server.process is not None):
            if time.monotonic() > limit:
                raise TimeoutError(f"nats-server did not start: {self.servers[0].directory / 'log'}")
            time.sleep(0.05)

    def leader_of(self, stream: str) -> NatsServer | None:
        """Return the server that leads a stream; None if none does."""
        name = leader_of([one.monitor for one in self.servers if one.process is not None], stream)
        return None if name is None else self.servers[int(name.removeprefix("n"))]

    def close(self) -> None:
        """End all servers."""
        for server in self.servers:
            if server.process is not None:
                server.process.send_signal(signal.SIGCONT)
            server.kill()


def leader_of(monitors: list[str], stream: str) -> str | None:
    """Return the name of the server that leads a stream, as one of the servers says; None if none does."""
    for monitor in monitors:
        try:
            with urllib.request.urlopen(f"http://{monitor}/jsz?streams=1", timeout=1) as answer:
                found = json.load(answer)
        except (OSError, ValueError):
            continue
        for account in found.get("account_details", []):
            for detail in account.get("stream_detail", []):
                leader = detail.get("cluster", {}).get("leader", "")
                if detail["name"] == stream and leader:
                    return str(leader)
    return None
