"""`python -m conformance COMMAND`: README.md beside this file tells of the commands."""

import argparse
import sys
import time
from contextlib import ExitStack

from conformance import runner
from conformance.conversations import compare
from conformance.conversations.steps import conversation
from conformance.leveret import serving
from conformance.rabbitmq import start
from conformance.stage import PROFILES, Target
from conformance.suites import command as suites


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="python -m conformance", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    for name, tells in (
        ("list", "the scenarios and what they claim"),
        ("record", "play on a real RabbitMQ and keep the transcripts as golden files"),
        ("compare", "play on any broker and print the differences from the golden files"),
    ):
        command = commands.add_parser(name, help=tells)
        command.add_argument("patterns", nargs="*", help="only scenarios whose name holds one of these")
        command.add_argument("--profile", default="4.3", choices=PROFILES)
        command.add_argument(
            "--slow", action="store_true", help="also those that wait for the broker's timers"
        )
        if name != "list":
            command.add_argument("--url", required=True, help="amqp://user:password@host:port")
            command.add_argument("--http-url", default="", help="http://host:port of the HTTP API")
        if name == "record":
            command.add_argument("--rounds", type=int, default=2, help="plays that must be the same (2)")
        if name == "compare":
            command.add_argument("--names", action="store_true", help="print only names, no differences")
    for name, tells in (
        ("random", "play made-up conversations on RabbitMQ and on Leveret, and print where they differ"),
        ("replay", "play one of them and print all that both answer"),
        ("record-random", "keep what RabbitMQ answers to made-up conversations"),
    ):
        command = commands.add_parser(name, help=tells)
        command.add_argument("--profile", default="4.3", choices=PROFILES)
        if name == "replay":
            command.add_argument("seed", type=int)
        else:
            command.add_argument("--sequences", type=int, default=2000 if name == "random" else 150)
            command.add_argument("--seed", type=int, default=0, help="of the first one")
            command.add_argument("--workers", type=int, default=8, help="conversations at the same time")
        command.add_argument("--no-streams", action="store_true")
        for whose, default in (("rabbitmq", "started here"), ("leveret", "served here")):
            command.add_argument(f"--{whose}-url", default="", help=f"default: {default}")
            command.add_argument(f"--{whose}-http-url", default="")
    suites.add_arguments(
        commands.add_parser("suites", help="the clients' own suites, on RabbitMQ and on Leveret")
    )
    return top


def made_up(options: argparse.Namespace) -> int:
    """The commands about made-up conversations."""
    with ExitStack() as running:
        if options.rabbitmq_url:
            rabbitmq = Target(options.rabbitmq_url, options.rabbitmq_http_url)
        else:
            node = start(options.profile)
            rabbitmq = Target(node.amqp_url, node.http_url)
        if options.command == "record-random":
            seeds = range(options.seed, options.seed + options.sequences)
            path = runner.golden_path(options.profile, "conversations").with_suffix(".json.gz")
            kept = compare.record(rabbitmq, options.profile, seeds, path, options.workers)
            print(f"{kept} of {len(seeds)} kept")
            return 0
        if options.leveret_url:
            leveret = Target(options.leveret_url, options.leveret_http_url)
        else:
            leveret = running.enter_context(serving(options.profile))
        started, bad = time.monotonic(), 0
        streams = not options.no_streams
        if options.command == "replay":
            steps = conversation(options.seed, options.profile, streams)
            telling, same = compare.replay(rabbitmq, leveret, steps)
            print(telling)
            return 0 if same else 1
        seeds = range(options.seed, options.seed + options.sequences)
        for seed, telling in compare.run(rabbitmq, leveret, options.profile, seeds, streams, options.workers):
            bad += bool(telling)
            if telling:
                print(f"=== seed {seed}\n{telling}", flush=True)
    print(f"{len(seeds)} conversations, {bad} with something to tell, {time.monotonic() - started:.1f} s")
    return 1 if bad else 0


def main() -> int:
    """Run a command; the exit code is 1 when something differs or is unstable."""
    options = arguments().parse_args()
    if options.command in ("random", "replay", "record-random"):
        return made_up(options)
    if options.command == "suites":
        return suites.main(options)
    todo = runner.chosen(options.profile, options.patterns, options.slow)
    if options.command == "list":
        for each in todo:
            print(f"{each.name}\t{each.claims}")
        return 0
    target = Target(options.url, options.http_url)
    started = time.monotonic()
    bad = 0
    if options.command == "record":
        for name, complaint in runner.record(target, options.profile, todo, options.rounds):
            bad += bool(complaint)
            if complaint:
                print(f"{name}: {complaint}", flush=True)
    else:
        known = runner.known_differences(options.profile)
        for each in todo:
            difference = runner.compare(target, options.profile, each)
            if difference and each.name in known:
                print(f"{each.name} differs, as it should: {known[each.name]}")
                continue
            bad += bool(difference)
            if difference:
                print(
                    each.name if options.names else f"=== {each.name} ({each.claims})\n{difference}",
                    flush=True,
                )
    print(f"{len(todo)} scenarios, {bad} with something to tell, {time.monotonic() - started:.1f} s")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
