"""`python -m conformance random`, `replay` and `record-random`: random conversations on live brokers."""

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager

from conformance import rabbitmq, runner
from conformance.conversations import compare
from conformance.conversations.steps import conversation
from conformance.leveret import serving
from conformance.progress import counted
from conformance.stage import PROFILES, Target, request
from conformance.suites.brokers import named, version
from conformance.verdict import Verdict, alone

#: Conversations at the same time, each in a virtual host of its own.
WORKERS = 8


def add_arguments(command: argparse.ArgumentParser, sequences: int) -> None:
    """The options of all three commands. `sequences`: the default number of conversations; none for `replay`."""
    command.add_argument("--profile", default="4.3", choices=PROFILES)
    if sequences:
        command.add_argument(
            "--sequences", type=int, default=sequences, help="number of conversations (%(default)s)"
        )
        command.add_argument("--seed", type=int, default=0, help="seed of the first conversation")
        command.add_argument("--workers", type=int, default=WORKERS, help="number of parallel conversations")
    else:
        command.add_argument("seed", type=int)
    command.add_argument("--no-streams", dest="streams", action="store_false")
    for whose, default in (("rabbitmq", "started here"), ("leveret", "started here")):
        command.add_argument(f"--{whose}-url", default="", help=f"default: {default}")
        command.add_argument(f"--{whose}-http-url", default="")


@contextmanager
def _rabbitmq(options: argparse.Namespace) -> Iterator[Target]:
    """The RabbitMQ of the URLs, or one that is started."""
    if options.rabbitmq_url:
        yield Target(options.rabbitmq_url, options.rabbitmq_http_url)
        return
    with rabbitmq.running(options.profile) as node:
        yield Target(node.amqp_url, node.http_url)


@contextmanager
def _leveret(options: argparse.Namespace) -> Iterator[Target]:
    """The broker to compare with it: the one of the URLs, or one that is served."""
    if options.leveret_url:
        yield Target(options.leveret_url, options.leveret_http_url)
        return
    with serving(options.profile) as target:
        yield target


def _seeds(options: argparse.Namespace) -> range:
    return range(options.seed, options.seed + options.sequences)


def random(options: argparse.Namespace) -> int:
    """Compare, and print every difference; the exit code is 1 if there is one."""
    started = time.monotonic()
    with _rabbitmq(options) as real, _leveret(options) as other:
        verdict = compared(real, other, options.profile, _seeds(options), options.streams, options.workers)
    took = time.monotonic() - started
    print(f"{verdict.answers} conversations, {verdict.differing} with differences, {took:.1f} s")
    return 1 if verdict.differing else 0


def compared(
    real: Target, other: Target, profile: str, seeds: range, streams: bool = True, workers: int = WORKERS
) -> Verdict:
    """Compare the conversations of `seeds`; every difference is printed as it is found."""
    bad = 0
    with counted("Playing random conversations", len(seeds)) as advance:
        for seed, telling in compare.run(real, other, profile, seeds, streams, workers):
            bad += bool(telling)
            if telling:
                print(f"=== profile {profile}, seed {seed}\n{telling}", flush=True)
            advance()
    number = version(named("RabbitMQ", real.amqp_url))
    return Verdict(f"random conversations, profile {profile}", number, len(seeds), 0, bad)


def recorded(profile: str) -> Verdict:
    """Compare the recorded conversations of a profile with a Leveret; every difference is printed."""
    kept = compare.recorded(runner.golden_path(profile, "conversations").with_suffix(".json.gz"))
    vhost = "cf.recorded"
    bad = 0
    with serving(profile) as target:
        request(target, "PUT", f"/api/vhosts/{vhost}", {})
        with counted("Playing recorded conversations", len(kept)) as advance:
            for one in kept:
                telling = compare.departure(target, vhost, one)
                bad += bool(telling)
                if telling:
                    print(f"=== profile {profile}, recorded\n{telling}", flush=True)
                advance()
    what = f"recorded conversations, profile {profile}"
    return Verdict(what, alone(rabbitmq.server(profile).release), len(kept), 0, bad)


def replay(options: argparse.Namespace) -> int:
    """Print the answers of both brokers; the exit code is 1 if they differ."""
    steps = conversation(options.seed, options.profile, options.streams)
    with _rabbitmq(options) as real, _leveret(options) as other:
        telling, same = compare.replay(real, other, steps)
    print(telling)
    return 0 if same else 1


def record(options: argparse.Namespace) -> int:
    """Record RabbitMQ's answers as golden files."""
    path = runner.golden_path(options.profile, "conversations").with_suffix(".json.gz")
    with _rabbitmq(options) as real:
        kept = compare.record(real, options.profile, _seeds(options), path, options.streams, options.workers)
    print(f"{kept} of {options.sequences} kept")
    return 0
