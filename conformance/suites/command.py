"""`python -m conformance suites`: runs the suites on both brokers and writes the table."""

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from conformance.rabbitmq import RefereeError
from conformance.suites import brokers, running, suites, table
from conformance.suites.running import SuiteError
from conformance.suites.sources import SourceError
from conformance.suites.suite import Broker, Suite

ROOT = Path(__file__).resolve().parents[2]


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The options of the command."""
    command.add_argument("--only", action="append", metavar="SUITE", help="only this suite (can be repeated)")
    command.add_argument("--rabbitmq-url", default="", help="default: start a RabbitMQ 4.3 (needs root)")
    command.add_argument("--leveret-url", default="", help="default: start Leveret from this tree")
    command.add_argument(
        "--cache", type=Path, default=ROOT / ".conformance", help="directory of sources and environments"
    )
    command.add_argument(
        "--output",
        type=Path,
        default=table.FILE,
        help="output file; it contains the previous results of suites that are not run (default: %(default)s)",
    )


def main(options: argparse.Namespace) -> int:
    """Run and print; the exit code is 1 if a test passes only on RabbitMQ or a suite did not run."""
    _, good = run(options)
    return 0 if good else 1


def last(options: argparse.Namespace) -> tuple[list[table.Row], bool]:
    """The results of the last runs, as `run` gives them."""
    rows = [row for suite in suites(options.only) if (row := table.Row.kept(suite, options.cache.absolute()))]
    return rows, not any(row.missing for row in rows)


def run(options: argparse.Namespace) -> tuple[list[table.Row], bool]:
    """Run, write and print the table: its rows, and whether all suites ran and passed as on RabbitMQ."""
    cache: Path = options.cache.absolute()
    cache.mkdir(parents=True, exist_ok=True)
    try:
        chosen = suites(options.only)
        versions, broken = _run_all(options, chosen, cache)
    except (ValueError, brokers.BrokerError, RefereeError) as error:
        print(error, file=sys.stderr)
        return [], False
    rows = [row for suite in suites() if (row := table.Row.kept(suite, cache))]
    page = table.written(rows, *versions)
    options.output.write_text(page)
    print(page)
    good = not broken and not any(row.missing for row in rows if row.suite in chosen)
    return rows, good


def _run_all(options: argparse.Namespace, chosen: list[Suite], cache: Path) -> tuple[list[str], bool]:
    """Return the products and versions of the brokers, and whether a suite did not run. A suite runs on both at the
    same time."""
    broken = False
    with ExitStack() as open_:
        pair = (
            open_.enter_context(brokers.rabbit(options.rabbitmq_url)),
            open_.enter_context(brokers.leveret(cache, options.leveret_url)),
        )
        versions = [brokers.version(each) for each in pair]
        redis = [
            open_.enter_context(brokers.redis(cache, each.name))
            if any(suite.redis for suite in chosen)
            else ""
            for each in pair
        ]
        sides = open_.enter_context(ThreadPoolExecutor(len(pair)))
        for suite in chosen:
            try:
                running.fetch(suite, cache)
                list(sides.map(_run, [suite] * len(pair), pair, [cache] * len(pair), redis))
            except (SourceError, SuiteError) as error:
                broken = True
                print(error, flush=True)
    return versions, broken


def _run(suite: Suite, broker: Broker, cache: Path, redis: str) -> None:
    started = time.monotonic()
    found = running.run(suite, broker, cache, redis)
    running.keep(suite, broker.name, found, cache)
    words = [each.word for each in found.values()]
    counts = ", ".join(f"{words.count(word)} {word}" for word in ("passed", "failed", "skipped"))
    print(f"{suite.name} on {broker.name}: {counts}, {time.monotonic() - started:.0f} s", flush=True)
