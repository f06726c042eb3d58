"""`python -m conformance COMMAND`: README.md in this directory describes the commands."""

import argparse
import signal
import sys
import time

from conformance import cluster, everything, runner, scrape, verify
from conformance.api import command as api
from conformance.commands import command as commands_
from conformance.conf import command as conf
from conformance.conversations import command as conversations
from conformance.progress import counted
from conformance.rabbitmq import RefereeError
from conformance.stage import PROFILES, Target
from conformance.suites import command as suites
from conformance.tools import command as tools


def arguments() -> argparse.ArgumentParser:
    """The command line; each command sets `run` to its function."""
    top = argparse.ArgumentParser(prog="python -m conformance", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    for name, run, tells in (
        ("list", list_, "list the scenarios and what they check"),
        ("record", record, "play on a live RabbitMQ and store the transcripts as golden files"),
        ("compare", compare, "play on any broker and print the differences to the golden files"),
    ):
        command = commands.add_parser(name, help=tells)
        command.set_defaults(run=run)
        _scenario_arguments(command, name)
    for name, run, sequences, tells in (
        (
            "random",
            conversations.random,
            2000,
            "play random conversations on both brokers and print the differences",
        ),
        (
            "replay",
            conversations.replay,
            0,
            "play one random conversation and print the answers of both brokers",
        ),
        (
            "record-random",
            conversations.record,
            150,
            "store RabbitMQ's answers to random conversations as golden files",
        ),
    ):
        command = commands.add_parser(name, help=tells)
        command.set_defaults(run=run)
        conversations.add_arguments(command, sequences)
    for name, module, tells in (
        ("verify", verify, "play the scenarios on live RabbitMQ servers and on Leveret"),
        (
            "cluster",
            cluster,
            "play the scenarios on a cluster of three Leverets, at its owner and at another node",
        ),
        ("suites", suites, "run the test suites of the clients on RabbitMQ and on Leveret"),
        ("api", api, "make calls to the HTTP API of RabbitMQ and of Leveret and compare the answers"),
        ("commands", commands_, "play command lines on RabbitMQ and on Leveret and compare the answers"),
        ("conf", conf, "read configuration files as RabbitMQ's cuttlefish does, and compare what is refused"),
        ("tools", tools, "run rabbitmqadmin, pyrabbit2 and Flower on RabbitMQ and on Leveret"),
        ("scrape", scrape, "have a Prometheus server scrape Leveret, and ask it what dashboards ask"),
        ("all", everything, "run everything and write one table"),
    ):
        command = commands.add_parser(name, help=tells)
        command.set_defaults(run=module.main)
        module.add_arguments(command)
    return top


def _scenario_arguments(command: argparse.ArgumentParser, name: str) -> None:
    command.add_argument("patterns", nargs="*", help="only scenarios whose name contains one of these")
    command.add_argument("--profile", default="4.3", choices=PROFILES)
    command.add_argument(
        "--slow", action="store_true", help="include scenarios that wait for timers of the broker"
    )
    if name != "list":
        command.add_argument("--url", required=True, help="amqp://user:password@host:port")
        command.add_argument("--http-url", default="", help="http://host:port of the HTTP API")
    if name == "record":
        command.add_argument("--rounds", type=int, default=2, help="number of plays that must be equal (2)")
    if name == "compare":
        command.add_argument("--names", action="store_true", help="print only the names")


def list_(options: argparse.Namespace) -> int:
    """Print names and claims."""
    for each in runner.chosen(options.profile, options.patterns, options.slow):
        print(f"{each.name}\t{each.claims}")
    return 0


def record(options: argparse.Namespace) -> int:
    """Record transcripts; the exit code is 1 if one is unstable or incomplete."""
    todo = runner.chosen(options.profile, options.patterns, options.slow)
    started, bad = time.monotonic(), 0
    target = Target(options.url, options.http_url)
    with counted("Recording scenarios", len(todo)) as advance:
        for name, complaint in runner.record(target, options.profile, todo, options.rounds):
            bad += bool(complaint)
            if complaint:
                print(f"{name}: {complaint}", flush=True)
            advance()
    return _progress(len(todo), bad, started)


def compare(options: argparse.Namespace) -> int:
    """Print differences; the exit code is 1 if there is one that is not intended."""
    todo = runner.chosen(options.profile, options.patterns, options.slow)
    started, bad = time.monotonic(), 0
    target = Target(options.url, options.http_url)
    known = runner.known_differences(options.profile)
    with counted("Comparing scenarios", len(todo)) as advance:
        for each in todo:
            difference = runner.compare(target, options.profile, each)
            if difference and each.name in known:
                print(f"{each.name} differs, as it should: {known[each.name]}")
            elif difference:
                bad += 1
                print(
                    each.name if options.names else f"=== {each.name} ({each.claims})\n{difference}",
                    flush=True,
                )
            advance()
    return _progress(len(todo), bad, started)


def _progress(count: int, bad: int, started: float) -> int:
    print(f"{count} scenarios, {bad} with something to tell, {time.monotonic() - started:.1f} s")
    return 1 if bad else 0


def main() -> int:
    """Run a command; the exit code is 1 if something differs or is unstable."""
    options = arguments().parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what was started is stopped
    try:
        status: int = options.run(options)
    except RefereeError as error:
        print(f"conformance: {error}", file=sys.stderr)
        return 1
    return status


if __name__ == "__main__":
    sys.exit(main())
