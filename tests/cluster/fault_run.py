"""Faults of a cluster under load, every message accounted for: `python -m tests.cluster.fault_run` (`make
cluster-faults`).

Publishers and consumers run on a cluster of processes (`processes.py`), while one fault after another happens to it. A
message that was confirmed arrives; one that arrives twice is marked as redelivered the second time. For each fault the
run prints how long confirms stood still.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from pamqp import commands

from benchmarks.link import Link, LinkError
from tests.cluster.clients import Client, ClientThread, consumer, publisher
from tests.cluster.nats_servers import leader_of
from tests.cluster.processes import LocalCluster, Server, accepts, wait_until
from tests.crash.client import Delivery, Record
from tests.ports import free_ports

#: Seconds of load before and after a fault.
CALM_S = 1.5

#: Seconds within which confirms must flow again, and the queues be empty.
RECOVERY_S = 90.0

#: Confirms in each virtual host that show that they flow again.
CONFIRMS = 100

#: Seconds of a lease in these runs.
LEASE_S = 5

QUEUES = {"fast": (200, 1.0), "slow": (50, 0.3), "held": (20, 0.05), "far": (50, 1.0)}
PUBLISHERS = {"a": ("fast", 300), "b": ("fast", 1), "c": ("slow", 50), "d": ("held", 10), "e": ("far", 20)}

#: The virtual host of each queue that is not in the default one: perhaps another node owns it.
VHOSTS = {"far": "second"}


@dataclass
class Result:
    """What a fault has done, over all rounds. `late`: messages of the load before that have arrived in this one."""

    fault: str
    rounds: int = 0
    confirmed: int = 0
    still_s: list[float] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    unmarked: list[str] = field(default_factory=list)
    marked: int = 0
    late: int = 0

    @property
    def is_good(self) -> bool:
        """Whether every message is accounted for."""
        return not self.lost and not self.unmarked

    def __str__(self) -> str:
        """Return a row of the table."""
        still = self.still_s
        times = f"{min(still):5.1f} {statistics.median(still):6.1f} {max(still):6.1f}" if still else ""
        return (
            f"{self.fault:8} {self.rounds:6} {self.confirmed:10} {len(self.lost):5} {len(self.unmarked):9} "
            f"{self.marked:7} {self.late:5}  {times}"
        )


HEADER = "fault    rounds  confirmed  lost  unmarked  marked  late  confirms stood still, s: min, median, max"


class FaultRun:
    """A cluster with clients on it."""

    def __init__(self, directory: Path, lease_s: int = LEASE_S) -> None:
        self.lease_s = lease_s
        self.cluster = LocalCluster(directory, lease=lease_s)
        self.proxies = self._cut_points(directory)
        self.record = Record()
        self.loads = 0
        self.clients: list[ClientThread] = []

    def _cut_points(self, directory: Path) -> list[Server]:
        """Put a proxy between each node and NATS, so that it can be cut off."""
        for server in self.cluster.servers:  # clients must not learn of a way around it
            config = Path(server.command[-1])
            config.write_text(config.read_text().replace("cluster { ", "cluster { no_advertise: true, "))
        proxies = []
        for number, node in enumerate(self.cluster.nodes):
            ports = free_ports(3)
            pairs = [f"{port}:{target}" for port, target in zip(ports, self.cluster.nats_ports, strict=True)]
            command = [sys.executable, "-m", "tests.cluster.proxy", *pairs]
            proxies.append(Server(f"proxy{number + 1}", command, directory, node.environment))
            node.environment["LEVERET_CLUSTER_NATS"] = ",".join(f"nats://127.0.0.1:{port}" for port in ports)
        return proxies

    def urls(self, queue: str) -> list[str]:
        """Where the nodes accept clients of a queue."""
        vhost = VHOSTS.get(queue, "%2F")
        return [f"amqp://guest:guest@127.0.0.1:{port}/{vhost}" for port in self.cluster.ports]

    def start(self) -> None:
        """Start all processes, and declare the queues."""
        for proxy in self.proxies:
            proxy.start()
        self.cluster.start()
        wait_until(lambda: all(map(accepts, self.cluster.http_ports)), "the nodes do not listen for HTTP")
        for vhost in sorted(set(VHOSTS.values())):
            self._create(vhost)
        for queue in QUEUES:
            connection = self._connected(queue)
            connection.call(commands.Queue.Declare(queue=queue, durable=True))
            connection.close()

    def _create(self, vhost: str) -> None:
        """Create a virtual host."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.cluster.http_ports[0]}/api/vhosts/{vhost}",
            method="PUT",
            headers={"Authorization": "Basic " + b64encode(b"guest:guest").decode()},
        )
        with urllib.request.urlopen(request, timeout=RECOVERY_S) as answer:
            answer.read()

    def close(self) -> None:
        """End all processes."""
        for client in self.clients:
            client.stopping.set()
        for proxy in self.proxies:
            proxy.send(signal.SIGCONT)
            proxy.kill()
        self.cluster.stop()

    # --- load

    def begin_load(self) -> None:
        """Start publishers and consumers, with an account of their own.

        The names of publishers are new ones, too: what the last ones have sent in their last moment may still be on its
        way through another node, and comes now.
        """
        self.record = Record()
        self.loads += 1
        makers = [
            (queue, publisher(self.record, self._name(name), queue, window))
            for name, (queue, window) in PUBLISHERS.items()
        ]
        makers += [(queue, consumer(self.record, queue, *how)) for queue, how in QUEUES.items()]
        self._start_clients(makers)

    def _name(self, publisher_name: str) -> str:
        return f"{publisher_name}{self.loads}"

    def _start_clients(self, makers: list[tuple[str, Callable[[str], Client]]]) -> None:
        """Start clients, each of a queue."""
        self.clients = [
            ClientThread(self.urls(queue), make, seed) for seed, (queue, make) in enumerate(makers)
        ]
        for client in self.clients:
            client.start()

    def end_load(self) -> None:
        """Stop the publishers, deliver everything, and stop the consumers. Raises `TimeoutError`."""
        for client in self.clients:
            client.stop()
        self._start_clients([(queue, consumer(self.record, queue, 500, 1.0)) for queue in QUEUES])
        limit = time.monotonic() + RECOVERY_S
        while not self._is_empty():
            if time.monotonic() > limit:
                raise TimeoutError("the queues are not empty")
            time.sleep(0.2)
        for client in self.clients:
            client.stop()

    def _is_empty(self) -> bool:
        """Whether no message is ready or unacknowledged: deleting a queue that has none, and no consumer, would say so,
        but passive declaration and the account of the consumers do not disturb."""
        answers = []
        try:
            for queue in QUEUES:
                connection = self._connected(queue)
                answers.append(connection.call(commands.Queue.Declare(queue=queue, passive=True)))
                connection.close()
        except (OSError, LinkError):
            return False
        ready = sum(cast(commands.Queue.DeclareOk, answer).message_count for answer in answers)
        waiting = any(
            client.client is None or client.client.outstanding or client.client.unhandled  # type: ignore[union-attr]
            for client in self.clients
        )
        return not ready and not waiting

    def _connected(self, queue: str) -> Link:
        limit = time.monotonic() + RECOVERY_S
        while True:
            for url in self.urls(queue):
                try:
                    return Link(url)
                except (OSError, LinkError):
                    if time.monotonic() > limit:
                        raise
            time.sleep(0.1)

    # --- faults

    def round(self, hurt: Callable[[], Callable[[], None]], still_s: list[float]) -> None:
        """Let a fault happen under load; wait until confirms flow again and everything runs."""
        time.sleep(CALM_S)
        watch = StandStill(self._confirms)
        watch.start()
        mend = hurt()
        self._wait_for_confirms()
        mend()
        self._wait_for_confirms()
        time.sleep(CALM_S)
        still_s.append(watch.stop())
        self.record.life += 1
        for node in self.cluster.nodes:
            node.start()

    def _wait_for_confirms(self) -> None:
        before = self._confirms()
        limit = time.monotonic() + RECOVERY_S
        while any(now < then + CONFIRMS for now, then in zip(self._confirms(), before, strict=True)):
            if time.monotonic() > limit:
                raise TimeoutError("confirms do not flow again:\n" + self.cluster.logs())
            time.sleep(0.01)

    def _confirms(self) -> tuple[int, int]:
        """Return how many publishes were confirmed in the default virtual host, and in the other one."""
        elsewhere = sum(
            len(self.record.confirmed[self._name(name)])
            for name, (queue, _) in PUBLISHERS.items()
            if queue in VHOSTS
        )
        return self.record.confirms() - elsewhere, elsewhere

    def _owner(self) -> int:
        limit = time.monotonic() + RECOVERY_S
        while (owner := self.cluster.owner()) is None:
            if time.monotonic() > limit:
                raise TimeoutError("nobody owns the virtual host")
            time.sleep(0.05)
        return owner

    def kill(self) -> Callable[[], None]:
        """Kill the owner."""
        owner = self.cluster.nodes[self._owner()]
        owner.kill()
        return owner.start

    def stop(self) -> Callable[[], None]:
        """Stop the owner's process for two leases."""
        owner = self.cluster.nodes[self._owner()]
        owner.send(signal.SIGSTOP)
        time.sleep(2 * self.lease_s)
        return lambda: owner.send(signal.SIGCONT)

    def cut(self) -> Callable[[], None]:
        """Cut the owner off from NATS for two leases; what is on its way arrives after that."""
        proxy = self.proxies[self._owner()]
        proxy.send(signal.SIGSTOP)
        time.sleep(2 * self.lease_s)
        return lambda: proxy.send(signal.SIGCONT)

    def leader(self) -> Callable[[], None]:
        """Kill the NATS server that leads the log."""
        server = self.cluster.servers[self._leader()]
        server.kill()
        return lambda: self._start_nats(server)

    def _leader(self) -> int:
        limit = time.monotonic() + RECOVERY_S
        monitors = [f"127.0.0.1:{port}" for port in self.cluster.monitor_ports]
        while (name := leader_of(monitors, f"LV-leveret-{self.cluster.log_of('/')}")) is None:
            if time.monotonic() > limit:
                raise TimeoutError("nobody leads the log")
            time.sleep(0.1)
        return int(name.removeprefix("nats")) - 1

    def machine(self) -> Callable[[], None]:
        """Kill the owner and the NATS server of the same number."""
        number = self._owner()
        server, owner = self.cluster.servers[number], self.cluster.nodes[number]
        server.kill()
        owner.kill()

        def mend() -> None:
            self._start_nats(server)
            owner.start()

        return mend

    def term(self) -> Callable[[], None]:
        """End the owner with SIGTERM: it gives the broker to another node."""
        owner = self.cluster.nodes[self._owner()]
        owner.stop()
        return owner.start

    def nats(self) -> Callable[[], None]:
        """Kill all NATS servers, and start them again after some seconds."""
        for server in self.cluster.servers:
            server.kill()
        time.sleep(self.lease_s * 0.6)
        for server in self.cluster.servers:
            self._start_nats(server)
        return lambda: None

    @staticmethod
    def _start_nats(server: Server) -> None:
        server.start()

    # --- account

    def account(self, result: Result) -> None:
        """Add what the clients know to a result."""
        result.confirmed += self.record.confirms()
        arrived = {one.name for each in self.record.deliveries.values() for one in each}
        result.lost += [
            f"{name} {number}"
            for name, numbers in self.record.confirmed.items()
            for number in sorted(numbers)
            if (name, number) not in arrived
        ]
        for deliveries in self.record.deliveries.values():
            seen: dict[tuple[str, int], Delivery] = {}
            for one in deliveries:
                if one.name[0] not in self.record.sent:
                    result.late += 1
                    continue
                result.marked += one.redelivered
                if one.name in seen and not one.redelivered:
                    result.unmarked.append(f"{seen[one.name]}, then {one}")
                seen[one.name] = one


class StandStill(threading.Thread):
    """Measures the longest time in which nothing is confirmed in one of the virtual hosts. `confirms`: counts them."""

    def __init__(self, confirms: Callable[[], tuple[int, ...]]) -> None:
        super().__init__(daemon=True)
        self.confirms = confirms
        self.longest_s = 0.0
        self.ending = threading.Event()

    def run(self) -> None:
        """Look at the confirms until stopped."""
        counts = self.confirms()
        changed_at = [time.monotonic()] * len(counts)
        while not self.ending.wait(0.01):
            now, before, counts = time.monotonic(), counts, self.confirms()
            self.longest_s = max(self.longest_s, now - min(changed_at))
            changed_at = [
                now if count != earlier else at
                for count, earlier, at in zip(counts, before, changed_at, strict=True)
            ]

    def stop(self) -> float:
        """Return the longest time, seconds."""
        self.ending.set()
        self.join()
        return self.longest_s


FAULTS = ("kill", "stop", "cut", "leader", "machine", "term", "nats")


def run(directory: Path, faults: list[str], rounds: int, lease_s: int = LEASE_S) -> list[Result]:
    """Run faults on one cluster, and print a row for each."""
    results = []
    fault_run = FaultRun(directory, lease_s)
    try:
        fault_run.start()
        print(HEADER, flush=True)
        for fault in faults:
            result = Result(fault)
            results.append(result)
            fault_run.begin_load()
            for _ in range(rounds):
                fault_run.round(getattr(fault_run, fault), result.still_s)
                result.rounds += 1
            fault_run.end_load()
            fault_run.account(result)
            print(result, flush=True)
    finally:
        fault_run.close()
    return results


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.cluster.fault_run", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--rounds", type=int, default=20, help="of each fault")
    parser.add_argument("--faults", default=",".join(FAULTS), help="which ones, in order")
    parser.add_argument("--lease", type=int, default=LEASE_S, help="seconds")
    parser.add_argument("--keep", action="store_true", help="keep logs and data")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what it has started is stopped
    directory = Path(tempfile.mkdtemp(prefix="leveret-faults-"))
    results = run(directory, chosen.faults.split(","), chosen.rounds, chosen.lease)
    if chosen.keep or not all(result.is_good for result in results):
        print(f"logs and data: {directory}")
    else:
        shutil.rmtree(directory)
    for result in results:
        for problem in (*result.lost[:20], *result.unmarked[:20]):
            print(f"{result.fault}: {problem}")
    return 0 if all(result.is_good for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
