"""How long clients wait after the owner of a cluster has ended: `python -m benchmarks.cluster_takeover`.

Three nodes and three NATS servers on this machine, and many messages waiting. The process of the owner is killed, or
stopped with SIGTERM (`--signal TERM`), and the time is measured until a message is confirmed through another node. Then
it is started again, and follows the log, before the next round; how many octets of the log it has read for that is
printed, too. `--standby no` measures without that. Needs `make build/nats/nats-server`.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import statistics
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import cast

from pamqp import commands

from benchmarks.cluster import QUEUE, fill
from benchmarks.link import Link, LinkError, declare_queues, publish_bytes
from tests.cluster.processes import LocalCluster, wait_until

#: Seconds that taking over, and following, may need.
PATIENCE_S = 300.0


def metric(cluster: LocalCluster, number: int, name: str) -> float:
    """A metric of a node for the default virtual host; -1 if it does not answer."""
    with contextlib.suppress(OSError):
        url = f"http://127.0.0.1:{cluster.metrics_ports[number]}/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            for line in answer.read().decode().splitlines():
                if line.startswith(f'leveret_cluster_{name}{{vhost="/"}} '):
                    return float(line.split()[1])
    return -1.0


def owner_of(cluster: LocalCluster) -> int:
    """The number of the node that serves."""
    found: list[int] = []

    def there() -> bool:
        found[:] = [number for number in range(3) if metric(cluster, number, "owned") == 1]
        return bool(found)

    wait_until(there, cluster.logs, PATIENCE_S)
    return found[0]


def all_follow(cluster: LocalCluster, owner: int) -> bool:
    """Whether all other nodes have the log of the owner, and have read its messages."""
    last = metric(cluster, owner, "log_sequence")
    others = [number for number in range(3) if number != owner]
    if not all(metric(cluster, number, "log_sequence") >= last > 0 for number in others):
        return False
    folders = [cluster.directory / cluster.nodes[number].name / "vhosts" for number in others]
    sizes = [sum(file.stat().st_size for file in folder.glob("*/cluster-staged/*")) for folder in folders]
    read = [metric(cluster, number, "messages_read_bytes") for number in others]
    return all(mine > size * 0.9 for mine, size in zip(read, sizes, strict=True))


def confirmed(url: str) -> None:
    """Return when a message is confirmed."""
    while True:
        with contextlib.suppress(LinkError, OSError):
            link = Link(url)
            link.call(commands.Confirm.Select())
            link.sock.sendall(publish_bytes("", QUEUE, b"x" * 16, persistent=True))
            if link.sock.recv(1):
                link.sock.close()
                return
        time.sleep(0.01)


def messages_waiting(url: str) -> int:
    """How many messages the queue has."""
    link = Link(url)
    answer = cast(commands.Queue.DeclareOk, link.call(commands.Queue.Declare(queue=QUEUE, passive=True)))
    link.close()
    return int(answer.message_count)


def main() -> None:
    """Print the times."""
    line = argparse.ArgumentParser(description="How long a cluster takes to serve again")
    line.add_argument("--messages", type=int, default=1_000_000, help="messages that wait")
    line.add_argument("--rounds", type=int, default=5)
    line.add_argument("--signal", choices=("KILL", "TERM"), default="KILL", help="how the owner ends")
    line.add_argument("--standby", choices=("yes", "no"), default="yes", help="whether nodes follow the log")
    options = line.parse_args()
    follows = options.standby == "yes"
    with (
        tempfile.TemporaryDirectory(prefix="leveret-takeover-") as folder,
        LocalCluster(Path(folder), lease=15, CLUSTER_STANDBY=str(follows).lower()) as cluster,
    ):
        cluster.start()
        owner = owner_of(cluster)
        urls = [f"amqp://guest:guest@127.0.0.1:{port}" for port in cluster.ports]
        declare_queues(Link(urls[owner]), [QUEUE], durable=True)
        fill(urls[owner], options.messages)
        times = []
        for _ in range(options.rounds):
            if follows:
                wait_until(lambda number=owner: all_follow(cluster, number), cluster.logs, PATIENCE_S)
            process = cluster.nodes[owner].process
            assert process is not None
            killed_at = time.perf_counter()
            process.send_signal(signal.Signals[f"SIG{options.signal}"])
            confirmed(urls[(owner + 1) % 3])
            times.append(time.perf_counter() - killed_at)
            process.wait()
            print(f"confirms flow again after {times[-1]:.2f} s", flush=True)
            former = owner
            cluster.nodes[former].start()
            owner = owner_of(cluster)
            if follows:
                wait_until(lambda number=owner: all_follow(cluster, number), cluster.logs, PATIENCE_S)
                octets = metric(cluster, former, "log_read_bytes_total")
                print(f"the former owner has read {octets:,.0f} octets of the log", flush=True)
        found = messages_waiting(urls[owner])
        print(f"median of {len(times)}: {statistics.median(times):.2f} s, with {found:,} messages waiting")


if __name__ == "__main__":
    main()
