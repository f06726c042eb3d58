"""`python -m conformance all`: scenarios, made-up conversations, management tools, the clients' suites and a scrape,
and RESULTS.md."""

import argparse
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from conformance import rabbitmq, scrape, verify
from conformance.conversations import command as conversations
from conformance.leveret import serving
from conformance.packages import PackageError
from conformance.stage import PROFILES, Target
from conformance.suites import command as suites
from conformance.suites.sources import SourceError
from conformance.suites.table import Row
from conformance.tools import command as tools
from conformance.verdict import HEAD, Verdict

FILE = Path(__file__).resolve().parent / "RESULTS.md"
PAGE = """# Conformance results

Written by `make conformance`. It runs all scenarios and random conversations on live RabbitMQ servers and on Leveret
with the matching profile, and the [test suites of the clients](SUITES.md) on both. The answers of a test suite are its
tests that pass on RabbitMQ. Intended differences are explained in [DIFFERENCES.md](DIFFERENCES.md).

"""
#: Number of random conversations for each profile.
SEQUENCES = {"4.3": 2000, "3.10": 500}
#: The profile whose RabbitMQ runs the clients' suites.
SUITES = "4.3"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The options of the command."""
    command.add_argument(
        "--without-suites",
        action="store_true",
        help="do not run the test suites of the clients; the table contains their previous results",
    )
    command.add_argument("--output", type=Path, default=FILE, help="output file (default: %(default)s)")


def main(options: argparse.Namespace) -> int:
    """Run everything, print and write the table; the exit code is 1 if something differs that must not."""
    with _servers():
        with _timed("scenarios"):
            verdicts = verify.verify(PROFILES, slow=True)
        with _timed("random conversations and tools"):
            verdicts += _conversations_and_tools()
    chosen = argparse.ArgumentParser()
    suites.add_arguments(chosen)
    run = suites.last if options.without_suites or not verify.installed(SUITES) else suites.run
    rows, good = run(chosen.parse_args([]))
    verdicts += [_suite(row, rabbitmq.server(SUITES).release) for row in rows]
    scraped = _scraped()
    table = HEAD + "".join(each.row for each in verdicts)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(PAGE + table)
    print(table)
    return 0 if good and scraped and not any(each.differing for each in verdicts) else 1


@contextmanager
def _servers() -> Iterator[None]:
    """Start the RabbitMQ of each profile, side by side, and have them run meanwhile."""
    live = [profile for profile in PROFILES if verify.installed(profile)]
    with ExitStack() as running:
        nodes = [rabbitmq.running(profile) for profile in live]
        with ThreadPoolExecutor(len(PROFILES)) as starting:
            list(starting.map(running.enter_context, nodes))
        yield


@contextmanager
def _timed(part: str) -> Iterator[None]:
    """Print how long a part has taken."""
    started = time.monotonic()
    yield
    print(f"{part}: {time.monotonic() - started:.0f} s", flush=True)


def _conversations_and_tools() -> list[Verdict]:
    """Compare both at the same time, because conversations wait most of the time."""
    with ThreadPoolExecutor(len(SEQUENCES) + 1) as parts:
        asked = [parts.submit(_conversations, profile, count) for profile, count in SEQUENCES.items()]
        programs = parts.submit(_tools)
        return [each.result() for each in asked] + programs.result()


def _scraped() -> bool:
    """Have a Prometheus scrape Leveret. Without one, the tests have compared the queries of the dashboards already."""
    try:
        return scrape.main(argparse.Namespace(profile=SUITES)) == 0
    except PackageError as error:
        print(f"NOT SCRAPED: {error}", file=sys.stderr)
        return True


def _tools() -> list[Verdict]:
    """Compare programs that use the management API. They come with RabbitMQ's packages, and nothing else can be asked
    what they print: without those packages there is nothing to compare."""
    if not all(verify.installed(profile) for profile in tools.PACKAGES):
        return []
    try:
        return tools.run()
    except SourceError as error:
        print(f"NOT RUN: {error}", file=sys.stderr)
        return []


def _conversations(profile: str, count: int) -> Verdict:
    """Compare random conversations with a live RabbitMQ; without one, the recorded ones."""
    if not verify.installed(profile):
        return conversations.recorded(profile)
    with rabbitmq.running(profile) as node, serving(profile) as leveret:
        real = Target(node.amqp_url, node.http_url)
        return conversations.compared(real, leveret, profile, range(count))


def _suite(row: Row, rabbitmq_version: str) -> Verdict:
    what = f"tests of {row.suite.name} {row.suite.version}"
    return Verdict(what, rabbitmq_version, row.passed, 0, len(row.missing))
