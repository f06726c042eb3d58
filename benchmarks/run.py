"""`make bench`: Leveret, RabbitMQ 4.3.6 and the floor with four works; medians of interleaved rounds.

A round runs every work on every broker in turn, so that other load on the machine affects all of them. Printed as
Markdown: the medians, the ratios with the goals, then the raw rounds. Exit status 1 if a goal is not reached and
--check is given, 2 if a broker failed.
"""

import argparse
import contextlib
import functools
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from statistics import median
from urllib.parse import urlsplit

from benchmarks.link import LinkError
from benchmarks.load import LoadError, Result, measure
from benchmarks.peers import PEERS, Peer, PeerError, exit_on_sigterm
from benchmarks.works import GOALS, TITLES, WORKS
from conformance.rabbitmq import RefereeError

Rounds = dict[tuple[str, str], list[Result]]  # (work, peer name) -> one result a round


@dataclass(frozen=True)
class Row:
    """Medians of one work on one broker. rate: deliveries/s; cpu: us a delivery or None; spread: of rate."""

    rate: float
    cpu: float | None
    spread: float


def summary(results: Sequence[Result]) -> Row:
    """Medians over rounds; spread is (most - least) / median of the rate."""
    rates = [result.rate for result in results]
    cpus = [cpu for result in results if (cpu := result.cpu_us) is not None]
    middle = median(rates)
    return Row(middle, median(cpus) if cpus else None, (max(rates) - min(rates)) / middle)


def run_rounds(
    peers: Sequence[Peer], works: Sequence[str], rounds: int, seconds: float, say: Callable[[str], None]
) -> Rounds:
    """Measure `rounds` times every work on every peer; a LoadError names the peer and the work."""
    results: Rounds = {}
    for number in range(1, rounds + 1):
        for name in works:
            for peer in peers:
                try:
                    result = measure(
                        peer.url, WORKS[name], seconds=seconds, warm_up=seconds / 3, pid=peer.pid
                    )
                except LoadError as error:
                    raise LoadError(f"{peer.name}, {name}: {error}") from None
                results.setdefault((name, peer.name), []).append(result)
                say(f"round {number}/{rounds}  {name:12} {peer.name:10} {line(summary([result]))}")
    return results


def line(row: Row) -> str:
    """Describe one measurement."""
    cpu = "" if row.cpu is None else f", {row.cpu:.3f} us CPU"
    return f"{row.rate:,.0f}/s{cpu}"


def medians_table(rounds: Rounds) -> list[str]:
    """Markdown: every work on every broker."""
    out = [
        "| work | broker | messages/s | broker CPU, us a message | spread of the rate |",
        "|---|---|---:|---:|---:|",
    ]
    for (work, peer), results in rounds.items():
        row = summary(results)
        cpu = "" if row.cpu is None else f"{row.cpu:.3f}"
        out.append(f"| {TITLES[work]} | {peer} | {row.rate:,.0f} | {cpu} | {row.spread:.0%} |")
    return out


def ratios(rounds: Rounds, work: str) -> tuple[float, float] | None:
    """(RabbitMQ's CPU over Leveret's, Leveret's rate over RabbitMQ's) of the medians; None without both."""
    ours, theirs = rounds.get((work, "Leveret")), rounds.get((work, "RabbitMQ"))
    if not ours or not theirs:
        return None
    our, their = summary(ours), summary(theirs)
    if not our.cpu or not their.cpu:
        return None
    return their.cpu / our.cpu, our.rate / their.rate


def goals_table(rounds: Rounds, works: Sequence[str]) -> tuple[list[str], bool]:
    """Markdown: ratios beside goals, and whether every goal is met."""
    out = [
        "| work | RabbitMQ CPU / ours | goal | our rate / RabbitMQ's | goal | our CPU / floor's |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    met = True
    for work in works:
        both, goal = ratios(rounds, work), GOALS.get(work)
        if both is None:
            continue
        cpu_goal, rate_goal = (f"{goal.cpu:g}", f"{goal.rate:g}") if goal else ("", "")
        met = met and (goal is None or (both[0] >= goal.cpu and both[1] >= goal.rate))
        above = over_floor(rounds, work)
        out.append(f"| {TITLES[work]} | {both[0]:.1f} | {cpu_goal} | {both[1]:.1f} | {rate_goal} | {above} |")
    return out, met


def over_floor(rounds: Rounds, work: str) -> str:
    """Leveret's CPU a message as a multiple of the floor's."""
    ours, least = rounds.get((work, "Leveret")), rounds.get((work, "floor"))
    if not ours or not least:
        return ""
    our, floor = summary(ours).cpu, summary(least).cpu
    return f"{our / floor:.1f}" if our and floor else ""


def raw_table(rounds: Rounds) -> list[str]:
    """Markdown: every round as measured."""
    out = ["| work | broker | messages/s (us CPU a message), round by round |", "|---|---|---|"]
    for (work, peer), results in rounds.items():
        cells = []
        for result in results:
            cells.append(f"{result.rate:,.0f}" + ("" if result.cpu_us is None else f" ({result.cpu_us:.3f})"))
        out.append(f"| {work} | {peer} | {' · '.join(cells)} |")
    return out


def peer_contexts(
    only: Sequence[str], url: str | None, pid: int | None
) -> list[AbstractContextManager[Peer]]:
    """The brokers to measure: those that are named, and the one at `url`."""
    contexts: list[AbstractContextManager[Peer]] = [PEERS[name]() for name in only]
    if url:
        contexts.append(contextlib.nullcontext(Peer(urlsplit(url).netloc.rpartition("@")[2], url, pid)))
    return contexts


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--seconds", type=float, default=3.0, help="duration of each run, after a warm-up of a third of it"
    )
    parser.add_argument("--only", help=f"comma-separated brokers out of {','.join(PEERS)}")
    parser.add_argument("--work", action="append", choices=list(WORKS), help="default: the four with goals")
    parser.add_argument("--url", help="AMQP address of another broker")
    parser.add_argument("--pid", type=int, help="process id of the broker at --url")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a goal is missed")
    chosen = parser.parse_args(arguments)
    default = "" if chosen.url else ",".join(PEERS)
    chosen.only = [name for name in (chosen.only or default).split(",") if name]
    if unknown := set(chosen.only) - set(PEERS):
        parser.error(f"no broker named {', '.join(sorted(unknown))}")
    return chosen


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit status."""
    chosen = parse(arguments)
    exit_on_sigterm()
    works = chosen.work or list(GOALS)
    say = functools.partial(print, file=sys.stderr, flush=True)
    try:
        with ExitStack() as stack:
            contexts = peer_contexts(chosen.only, chosen.url, chosen.pid)
            peers = [stack.enter_context(context) for context in contexts]
            rounds = run_rounds(peers, works, chosen.rounds, chosen.seconds, say)
    except (PeerError, LinkError, LoadError, RefereeError) as error:
        say(f"benchmarks.run: {error}")
        return 2
    goals, met = goals_table(rounds, works)
    sections = [medians_table(rounds)]
    if len(goals) > 2:
        sections.append(goals)
    sections.append(raw_table(rounds))
    print("\n\n".join("\n".join(section) for section in sections))
    return 1 if chosen.check and not met else 0


if __name__ == "__main__":
    sys.exit(main())
