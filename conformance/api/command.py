"""`python -m conformance api`: the calls to the HTTP API on a RabbitMQ and on a Leveret, and a table by route."""

import argparse
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from conformance import rabbitmq
from conformance.api.areas import Answers, Meant, areas, meant, play, record, recorded
from conformance.api.call import Answer, Call
from conformance.api.compare import Difference, differences
from conformance.api.routes import OTHER, route_of
from conformance.leveret import serving
from conformance.stage import PROFILES, Target

#: Added to the ports of `conformance.rabbitmq`, so that this RabbitMQ has nothing but what is made here.
SHIFT = 2400

#: The status of a call that makes RabbitMQ crash: whatever Leveret answers is meant to differ.
CRASHED = 500


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The options of the command."""
    command.add_argument("areas", nargs="*", help="only these files of conformance/api/calls")
    command.add_argument("--profile", default="4.3", choices=PROFILES)
    command.add_argument("--details", action="store_true", help="print each difference")
    command.add_argument("--only", default="", help="details of calls whose name contains this text only")
    command.add_argument(
        "--recorded", action="store_true", help="compare with the recorded answers of RabbitMQ"
    )
    command.add_argument(
        "--without", default="", help='regular expression of places that are not looked at ("header .*")'
    )
    command.add_argument("--record", action="store_true", help="record the answers of RabbitMQ")
    command.add_argument(
        "--shift", type=int, default=SHIFT, help="added to the ports of RabbitMQ (default: %(default)s)"
    )


@dataclass
class Outcome:
    """What came of one call. `known`: differences that are meant, `wrong`: the others."""

    call: Call
    rabbitmq: Answer
    leveret: Answer
    known: list[Difference] = field(default_factory=list)
    wrong: list[Difference] = field(default_factory=list)

    @property
    def absent(self) -> bool:
        """Whether Leveret does not know the path or the method, while RabbitMQ does."""
        return self.leveret.status in (404, 405) and self.rabbitmq.status < 400


def main(options: argparse.Namespace) -> int:
    """Play, and record or compare and print; the exit code is 1 if something differs by mistake."""
    todo, profile = areas(options.areas), options.profile
    if options.record:
        with rabbit(profile, options.shift) as real:
            for area, answers in play(real, todo).items():
                record(profile, area, todo[area], answers)
        return 0
    theirs, ours = _both(todo, options)
    outcomes = list(_outcomes(todo, theirs, ours, meant(profile)))
    if options.without:
        for each in outcomes:
            each.wrong = [one for one in each.wrong if not re.fullmatch(options.without, one.at)]
    if options.details:
        _print_details([each for each in outcomes if options.only in each.call.name])
    _print_table(outcomes)
    return 1 if any(each.wrong for each in outcomes) else 0


def _both(
    todo: Mapping[str, Sequence[Call]], options: argparse.Namespace
) -> tuple[Mapping[str, Answers], Mapping[str, Answers]]:
    """The answers of RabbitMQ, now or as recorded, and of Leveret."""
    with ExitStack() as open_, ThreadPoolExecutor(2) as stages:
        leveret = open_.enter_context(serving(options.profile, metrics=True))
        ours = stages.submit(play, leveret, todo)
        if options.recorded:
            theirs = {area: recorded(options.profile, area, each) for area, each in todo.items()}
        else:
            theirs = play(open_.enter_context(rabbit(options.profile, options.shift)), todo)
        return theirs, ours.result()


@contextmanager
def rabbit(profile: str, shift: int) -> Iterator[Target]:
    """A RabbitMQ without any data, stopped afterwards."""
    node = rabbitmq.server(profile, shift)
    node.install()
    node.reset()
    try:
        running = node.start()
        yield Target(running.amqp_url, running.http_url)
    finally:
        node.reset()


def _outcomes(
    todo: Mapping[str, Sequence[Call]],
    theirs: Mapping[str, Answers],
    ours: Mapping[str, Answers],
    known: Sequence[Meant],
) -> Iterator[Outcome]:
    for area, calls in todo.items():
        for call, one, other in zip(calls, theirs[area], ours[area], strict=True):
            outcome = Outcome(call, one, other)
            for each in differences(one, other):
                right = one.status == CRASHED or any(entry.covers(call.name, each) for entry in known)
                (outcome.known if right else outcome.wrong).append(each)
            yield outcome


def _print_details(outcomes: Sequence[Outcome]) -> None:
    for each in outcomes:
        if each.wrong:
            print(f"=== {each.call.name}  ({route_of(each.call)})")
            for difference in each.wrong:
                print(f"    {difference}")


def _print_table(outcomes: Sequence[Outcome]) -> None:
    """Print the routes with something to tell, and the totals."""
    by_route: dict[str, list[Outcome]] = defaultdict(list)
    for each in outcomes:
        by_route[route_of(each.call)].append(each)
    print("| route | calls | same | meant to differ | differ | |\n|---|---:|---:|---:|---:|---|")
    totals: Counter[str] = Counter()
    for route, found in sorted(by_route.items()):
        wrong = sum(bool(one.wrong) for one in found)
        known = sum(bool(one.known) and not one.wrong for one in found)
        absent = route != OTHER and any(one.absent and one.wrong for one in found)
        totals.update(calls=len(found), wrong=wrong, known=known, absent=absent, routes=route != OTHER)
        totals["same routes"] += route != OTHER and not wrong
        mark = "absent" if absent else ("differs" if wrong else "")
        if mark:
            print(f"| {route} | {len(found)} | {len(found) - wrong - known} | {known} | {wrong} | {mark} |")
    same = totals["calls"] - totals["wrong"] - totals["known"]
    print(
        f"\n{totals['routes']} routes called: {totals['same routes']} same, {totals['absent']} absent, "
        f"{totals['routes'] - totals['same routes'] - totals['absent']} differ; "
        f"{totals['calls']} calls: {same} same, {totals['known']} meant to differ, {totals['wrong']} differ"
    )
