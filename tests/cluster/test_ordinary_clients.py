"""pika, aio-pika and Celery keep working through faults of a cluster, with their ordinary reconnect settings, and each
message and task is accounted for. It takes minutes, and waits for the real time-outs of clients: `make cluster-clients`
runs it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.fault_run import FaultRun
from tests.cluster.ordinary_clients import AioPikaClients, CeleryClients, PikaClients
from tests.cluster.processes import nats_server, wait_until
from tests.hang import HANG_SECONDS

pytestmark = [
    pytest.mark.skipif(
        "LEVERET_TEST_CLUSTER_CLIENTS" not in os.environ, reason="runs with make cluster-clients"
    ),
    pytest.mark.skipif(nats_server() is None, reason="needs make build/nats/nats-server"),
    # the libraries leave sockets of lost connections to the collector
    pytest.mark.filterwarnings("ignore:.*:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


class Clients:
    """All of them. `everywhere`: those that know all nodes."""

    def __init__(self, directory: Path, run: FaultRun) -> None:
        ports = run.cluster.ports
        self.celery = CeleryClients(directory, ports)
        self.pika = PikaClients(ports)
        self.aio_pika = [AioPikaClients(number, port) for number, port in enumerate(ports)]
        self.everywhere = [self.celery.account, self.pika.account]
        self.accounts = [*self.everywhere, *(each.account for each in self.aio_pika)]
        self.run = run

    def wait_until_they_work(self, everywhere_only: bool = False) -> None:
        """Wait until what clients publish from now on is confirmed and delivered."""
        accounts = self.everywhere if everywhere_only else self.accounts
        since = {account: account.next for account in accounts}

        def work() -> bool:
            self.celery.look()
            return all(account.works_since(number) for account, number in since.items())

        wait_until(work, self.troubles, HANG_SECONDS)

    def wait_until_all_has_arrived(self) -> None:
        """Wait until what is confirmed now has been delivered."""
        confirmed = {account: set(account.confirmed) for account in self.accounts}

        def arrived() -> bool:
            self.celery.look()
            return all(numbers <= account.arrived.keys() for account, numbers in confirmed.items())

        wait_until(arrived, self.troubles, HANG_SECONDS)

    def troubles(self) -> str:
        """What clients and nodes have said."""
        lines = [
            f"{each.name}: {len(each.confirmed)} confirmed, not delivered: {sorted(each.missing())[:20]}; "
            f"{each.trouble[-5:]}"
            for each in self.accounts
        ]
        worker = self.celery.output.read_text(errors="replace")[-4000:]
        return "\n".join([*lines, f"--- the worker\n{worker}", self.run.cluster.logs()])

    def stop(self) -> None:
        """End all."""
        for each in (*self.aio_pika, self.pika, self.celery):
            each.stop()


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    """Clients that work on a cluster."""
    directory = tmp_path_factory.mktemp("cluster")
    run = FaultRun(directory)
    try:
        run.start()
        made = Clients(directory, run)
        try:
            made.wait_until_they_work()
            yield made
        finally:
            for node in run.cluster.nodes:
                node.send(signal.SIGCONT)  # clients of a stopped node wait for it
            made.stop()
    finally:
        run.close()


@pytest.mark.parametrize("fault", ["kill", "term", "cut", "stop"])
def test_clients_keep_working_through_a_fault(clients: Clients, fault: str) -> None:
    mend = getattr(clients.run, fault)()
    if fault != "stop":  # clients of a stopped node wait for it, or for a heartbeat
        clients.wait_until_they_work(everywhere_only=True)
    mend()
    clients.wait_until_they_work()
    clients.wait_until_all_has_arrived()
    unmarked = {each.name: each.unmarked() for each in clients.accounts}
    assert not any(unmarked.values()), unmarked
