"""How the cost of a message grows with the number of queues, connections and topic bindings.

Every point is a work of the load generator (16 bytes, auto-ack). queues: messages go to N queues in turn, all consumed
on one channel. connections: N connections with a queue and a consumer each. bindings: a topic exchange with N patterns
of three words, each with a `*`, over ten queues; each message matches one of them. The curves should be flat. They are
printed as a table with a bar for each point, with one scale for a curve. The floor has no curves, because it does not
route.
"""

import argparse
import contextlib
import sys
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager

from benchmarks.load import Result, measure
from benchmarks.memory import FRESH, allow_files
from benchmarks.peers import Peer, exit_on_sigterm
from benchmarks.works import Work

BAR = 40  # columns of the longest bar
STEPS = {
    "queues": (10, 100, 1000, 10_000),
    "connections": (1, 10, 100, 1000),
    "bindings": (10, 100, 1000, 10_000, 100_000),
}


def work(curve: str, count: int) -> Work:
    """The traffic of one point of a curve."""
    if curve == "queues":
        return Work(f"{count} queues", queues=count)
    if curve == "connections":
        return Work(f"{count} connections", queues=count, connections=count)
    return Work(f"{count} bindings", exchange="topic", queues=min(10, count), bindings=count)


def draw(curve: str, peer: str, points: Iterable[tuple[int, Result]]) -> list[str]:
    """Return a curve as lines of text: count, rate, CPU, bar."""
    measured = [(count, result.rate, result.cpu_us or 0.0) for count, result in points]
    most = max(cpu for _, _, cpu in measured) or 1.0
    lines = [f"{peer}: broker CPU a message by {curve}", f"{curve:>12} {'messages/s':>12} {'us':>8}"]
    for count, rate, cpu in measured:
        lines.append(f"{count:12,d} {rate:12,.0f} {cpu:8.3f} {'#' * max(1, round(BAR * cpu / most))}")
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the chosen curves on the chosen brokers and print them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.curves", description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="leveret", help=f"comma-separated brokers out of {','.join(FRESH)}")
    parser.add_argument("--curve", action="append", choices=list(STEPS), help="default: all")
    parser.add_argument("--most", type=int, default=100_000, help="skip larger counts")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--url", help="AMQP address of another broker")
    parser.add_argument("--pid", type=int, help="process id of the broker at --url")
    chosen = parser.parse_args(arguments)
    allow_files()
    exit_on_sigterm()
    contexts: list[AbstractContextManager[Peer]]
    if chosen.url:
        contexts = [contextlib.nullcontext(Peer(chosen.url, chosen.url, chosen.pid))]
    else:
        contexts = [FRESH[name]() for name in chosen.only.split(",")]
    for context in contexts:
        with context as peer:
            for curve in chosen.curve or STEPS:
                points = []
                for count in (step for step in STEPS[curve] if step <= chosen.most):
                    result = measure(
                        peer.url,
                        work(curve, count),
                        seconds=chosen.seconds,
                        warm_up=chosen.seconds / 2,
                        pid=peer.pid,
                    )
                    points.append((count, result))
                print("\n".join(draw(curve, peer.name, points)), end="\n\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
