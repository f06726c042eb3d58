"""`python -m conformance cluster`: all scenarios on a cluster of three nodes: at the owner of the virtual host, and at
another node, which passes its clients on. The transcripts must be those of one node, recorded on RabbitMQ.

For each of the two, three NATS servers and three nodes are started as processes. Needs `make build/nats/nats-server`.
"""

import argparse
import random
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

from conformance import rabbitmq, runner
from conformance.progress import counted
from conformance.stage import Scenario, Target
from conformance.verdict import HEAD, Verdict, alone
from tests.cluster.processes import LocalCluster

#: The profile that a cluster plays.
PROFILE = "4.3"

#: Where scenarios are played.
OWNER, OTHER = "at the owner", "at another node"

#: Seconds of the lease: RabbitMQ's answers do not depend on it.
LEASE_S = 15


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The options of the command."""
    command.add_argument("patterns", nargs="*", help="only scenarios whose name contains one of these")
    command.add_argument(
        "--slow", action="store_true", help="include scenarios that wait for timers of the broker"
    )
    command.add_argument("--seed", type=int, help="only one scenario of each topic, chosen with this seed")


def main(options: argparse.Namespace) -> int:
    """Play and print; the exit code is 1 if something is not as it is recorded."""
    todo = runner.chosen(PROFILE, options.patterns, options.slow)
    places = dict.fromkeys((OWNER, OTHER), todo)
    if options.seed is not None:
        places = {place: one_of_each(todo, f"{options.seed} {place}") for place in places}
    stopping = threading.Event()

    def advance() -> None:
        report()
        if stopping.is_set():
            raise KeyboardInterrupt

    with (
        counted("Playing scenarios", sum(map(len, places.values()))) as report,
        ThreadPoolExecutor(len(places)) as stages,
    ):
        asked = [stages.submit(_on_its_own, place, each, advance) for place, each in places.items()]
        try:
            verdicts = [each.result() for each in asked]
        except BaseException:
            stopping.set()  # the clusters end with what they play now
            raise
    print(HEAD + "".join(each.row for each in verdicts))
    return 1 if any(each.differing for each in verdicts) else 0


def _on_its_own(place: str, scenarios: Sequence[Scenario], advance: Callable[[], None]) -> Verdict:
    """Play scenarios at a node of a new cluster."""
    with (
        tempfile.TemporaryDirectory(prefix="leveret-conformance-") as folder,
        serving(Path(folder)) as targets,
    ):
        return play(targets[place], place, scenarios, advance)


@contextmanager
def serving(folder: Path) -> Iterator[dict[str, Target]]:
    """Yield a cluster with its data in a folder: where its owner and another node are reached. Raises `TimeoutError` if
    it does not start."""
    with LocalCluster(folder, lease=LEASE_S, PLUGINS_EVENT_EXCHANGE="true") as cluster:
        for number, node in enumerate(cluster.nodes, 1):
            node.environment["LEVERET_SERVER_NODE"] = (
                f"rabbit{number}@localhost"  # transcripts mask such names
            )
        cluster.start()
        owner = cluster.owner()
        assert owner is not None, cluster.logs()
        targets = [
            Target(f"amqp://guest:guest@127.0.0.1:{amqp}/", f"http://127.0.0.1:{http}")
            for amqp, http in zip(cluster.ports, cluster.http_ports, strict=True)
        ]
        yield {OWNER: targets[owner], OTHER: targets[owner - 1]}


def one_of_each(scenarios: Sequence[Scenario], seed: str) -> list[Scenario]:
    """One scenario of each topic, chosen with a seed."""
    dice = random.Random(seed)
    by_topic = groupby(sorted(scenarios, key=lambda each: each.topic), lambda each: each.topic)
    return [dice.choice(list(each)) for _, each in by_topic]


def play(
    target: Target, place: str, scenarios: Sequence[Scenario], advance: Callable[[], None] = lambda: None
) -> Verdict:
    """Play scenarios at a node; what differs is printed. Returns how many do. What one node means to do otherwise than
    RabbitMQ, a cluster may do in either way: a commit takes time here, so that what follows it may be refused."""
    known = runner.known_differences(PROFILE)
    wrong = meant = 0
    for each in scenarios:
        if each.name in known:
            meant += bool(runner.compare(target, PROFILE, each))
        elif found := runner.departure(target, PROFILE, each):
            wrong += 1
            print(f"=== {place}: {each.name} ({each.claims})\n{found}", flush=True)
        advance()
    what = f"scenarios, cluster, {place}"
    return Verdict(what, alone(rabbitmq.server(PROFILE).release), len(scenarios), meant, wrong)
