"""`python -m conformance all`: scenarios, made-up conversations, the clients' suites and a scrape, and RESULTS.md."""

import argparse
import sys
from pathlib import Path

from conformance import rabbitmq, scrape, verify
from conformance.conversations import command as conversations
from conformance.leveret import serving
from conformance.packages import PackageError
from conformance.stage import PROFILES, Target
from conformance.suites import command as suites
from conformance.suites.table import Row
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
    verdicts = verify.verify(PROFILES, slow=True)
    verdicts += [_conversations(profile, count) for profile, count in SEQUENCES.items()]
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


def _scraped() -> bool:
    """Have a Prometheus scrape Leveret. Without one, the tests have compared the queries of the dashboards already."""
    try:
        return scrape.main(argparse.Namespace(profile=SUITES)) == 0
    except PackageError as error:
        print(f"NOT SCRAPED: {error}", file=sys.stderr)
        return True


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
