"""`python -m conformance verify`: every scenario on a live RabbitMQ and on a Leveret, both started here.

Both must answer as it is recorded: then the golden files are still RabbitMQ's answers, and Leveret's are the same. Both
brokers, and all versions, play side by side. If the RabbitMQ of a profile cannot be installed, Leveret is compared with
what is recorded.
"""

import argparse
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from conformance import rabbitmq, runner
from conformance.leveret import serving
from conformance.progress import counted
from conformance.stage import PROFILES, Scenario, Target
from conformance.suites.brokers import named, version
from conformance.verdict import HEAD, Verdict, alone, warn


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The options of the command."""
    command.add_argument("patterns", nargs="*", help="only scenarios whose name contains one of these")
    command.add_argument(
        "--profile", action="append", choices=PROFILES, help="only this profile (can be repeated)"
    )
    command.add_argument(
        "--slow", action="store_true", help="include scenarios that wait for timers of the broker"
    )


def main(options: argparse.Namespace) -> int:
    """Play and print; the exit code is 1 if something is not as it is recorded."""
    verdicts = verify(options.profile or PROFILES, options.patterns, options.slow)
    print(HEAD + "".join(each.row for each in verdicts))
    return 1 if any(each.differing for each in verdicts) else 0


def verify(profiles: Sequence[str], patterns: Sequence[str] = (), slow: bool = False) -> list[Verdict]:
    """Return a verdict for each profile; differences are printed as they are found. Raises RefereeError if a RabbitMQ
    does not start."""
    live = [profile for profile in profiles if installed(profile)]
    runner.load()
    total = sum(len(runner.chosen(profile, patterns, slow)) for profile in profiles)
    with ThreadPoolExecutor(len(profiles)) as stages, counted("Playing scenarios", total) as advance:
        return list(
            stages.map(lambda profile: _one(profile, patterns, slow, profile in live, advance), profiles)
        )


def installed(profile: str) -> bool:
    """Install the profile's RabbitMQ if needed, one after another, because debootstrap and apt have locks. False, and a
    warning, if that is not possible."""
    try:
        rabbitmq.server(profile).install()
    except rabbitmq.UnavailableError as error:
        warn(profile, str(error))
        return False
    return True


def _one(
    profile: str, patterns: Sequence[str], slow: bool, live: bool, advance: Callable[[], None]
) -> Verdict:
    known = runner.known_differences(profile)
    todo = runner.chosen(profile, patterns, slow)
    wrong = 0
    with ExitStack() as open_:
        real = _real(profile, open_) if live else None
        leveret = open_.enter_context(serving(profile))
        beside = open_.enter_context(ThreadPoolExecutor(1))
        for each in todo:
            theirs = beside.submit(runner.departure, real, profile, each) if real else None
            given = _leveret(leveret, profile, each, each.name in known)
            if theirs and (found := theirs.result()):
                given.insert(0, f"RabbitMQ: {found}")
            wrong += bool(given)
            for one in given:
                print(f"=== {profile} {each.name} ({each.claims})\n{one}", flush=True)
            advance()
        number = (
            version(named("RabbitMQ", real.amqp_url)) if real else alone(rabbitmq.server(profile).release)
        )
    meant = sum(each.name in known for each in todo)
    return Verdict(f"scenarios, profile {profile}", number, len(todo), meant, wrong)


def _leveret(leveret: Target, profile: str, each: Scenario, known: bool) -> list[str]:
    """Play a scenario on Leveret; returns what is wrong. `known`: it must differ."""
    if known:
        differs = runner.compare(leveret, profile, each)
        return [] if differs else ["Leveret: no longer differs, but differences.toml says so"]
    found = runner.departure(leveret, profile, each)
    return [f"Leveret: {found}"] if found else []


def _real(profile: str, open_: ExitStack) -> Target:
    node = open_.enter_context(rabbitmq.running(profile))
    return Target(node.amqp_url, node.http_url)
