"""`python -m conformance tools`: programs that use the management API, on a RabbitMQ and on a Leveret."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from conformance import rabbitmq
from conformance.api import setting
from conformance.api.areas import meant
from conformance.api.call import Answer
from conformance.api.client import Client
from conformance.api.command import rabbit
from conformance.api.compare import Difference, differences
from conformance.leveret import serving
from conformance.stage import Target
from conformance.tools import go_client, python_clients
from conformance.tools.programs import Program, own, programs
from conformance.verdict import Verdict

PROFILE = "4.3"

#: The versions of RabbitMQ whose packages have the programs.
PACKAGES = ("4.0", "4.3")

#: Added to the ports of `conformance.rabbitmq`, so that this RabbitMQ has nothing but what is made here.
SHIFT = 2500

DIFFERENCES = Path(__file__).with_name("differences.toml")
CACHE = Path(__file__).resolve().parents[2] / ".conformance"

#: Name of a call -> what came of it.
Answers = Mapping[str, Answer]

#: A part of the command: plays on a broker, with the client that knows its names.
Part = Callable[[Target, Client], Answers]


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The options of the command."""
    command.add_argument(
        "--only", default="", help="only parts whose name contains this text (`rabbitmqadmin 2`)"
    )
    command.add_argument("--go", action="store_true", help="also rabbit-hole's own tests (minutes; needs Go)")


def main(options: argparse.Namespace) -> int:
    """Play, compare and print; the exit code is 1 if something differs by mistake."""
    return 1 if any(each.differing for each in run(options.only, go=options.go)) else 0


def run(only: str = "", *, go: bool = False) -> list[Verdict]:
    """Play each part on new brokers, print differences; a verdict for each. `go`: also the tests of the Go client.

    Raises RefereeError, SourceError.
    """
    with tempfile.TemporaryDirectory() as folder:
        parts = {**_parts(Path(folder)), **(_go(Path(folder)) if go else {})}
        found = [_compared(name, part) for name, part in parts.items() if only in name]
        for theirs, ours in ((each, own(each)) for each in programs(Path(folder))):
            if only in ours.name:
                found.append(_beside(ours.name, _lines(theirs, Path(folder)), _lines(ours, Path(folder))))
        return found


def _parts(folder: Path) -> Mapping[str, Part]:
    CACHE.mkdir(parents=True, exist_ok=True)
    python_clients.install(CACHE)
    return {
        **{each.name: _lines(each, folder) for each in programs(folder)},
        "pyrabbit2": lambda target, client: python_clients.pyrabbit(target, client.names, CACHE),
        "Flower": lambda target, client: python_clients.flower(target, CACHE),
    }


def _go(folder: Path) -> Mapping[str, Part]:
    """The part in Go; says loudly that there is none without Go."""
    if not go_client.available():
        print("!!! SKIPPED: the tests of rabbit-hole need Go, which is not installed !!!", flush=True)
        return {}
    sources = go_client.install(CACHE)
    return {"rabbit-hole": lambda target, client: go_client.play(target, client, folder, sources)}


def _lines(program: Program, folder: Path) -> Part:
    def play(target: Target, client: Client) -> Answers:
        with tempfile.TemporaryDirectory(dir=folder) as own:
            found: dict[str, Answer] = {}
            for line in program.lines:
                name = line.name if line.name not in found else f"{line.name} #{len(found)}"
                found[name] = program.run(line, target, client.names, Path(own))
            return found

    return play


def _compared(name: str, part: Part) -> Verdict:
    """Play a part on both brokers at once."""
    with (
        serving(PROFILE, metrics=True) as leveret,
        rabbit(PROFILE, SHIFT) as real,
        ThreadPoolExecutor(2) as sides,
    ):
        theirs, ours = sides.map(_played, [part] * 2, [real, leveret])
    return _verdict(name, theirs, ours)


def _beside(name: str, original: Part, own: Part) -> Verdict:
    """Play a program of RabbitMQ, and Leveret's own, on a Leveret each."""
    with (
        serving(PROFILE, metrics=True) as first,
        serving(PROFILE, metrics=True) as second,
        ThreadPoolExecutor(2) as sides,
    ):
        theirs, ours = sides.map(_played, [original, own], [first, second])
    return _verdict(name, theirs, ours)


def _verdict(name: str, theirs: Answers, ours: Answers) -> Verdict:
    """Compare the answers, and print what differs."""
    known = meant(PROFILE, DIFFERENCES)
    intended = wrong = 0
    for call, one in theirs.items():
        found = differences(one, ours[call])
        left = [each for each in found if not any(entry.covers(f"{name}: {call}", each) for entry in known)]
        intended += bool(found) and not left
        wrong += bool(left)
        _print(name, call, left)
    print(f"{name}: {len(theirs)} calls, {intended} meant to differ, {wrong} differ", flush=True)
    return Verdict(f"calls of {name}", rabbitmq.server(PROFILE).release, len(theirs), intended, wrong)


def _print(name: str, call: str, left: Sequence[Difference]) -> None:
    if left:
        print(f"=== {name}: {call}")
        for each in left:
            print(f"    {each}")


def _played(part: Part, target: Target) -> Answers:
    """What a part got from one broker, with names in place of what is that broker's own."""
    with closing(Client(target)) as client, setting.made(client):
        return {
            call: Answer(each.status, each.phrase, each.headers, client.renamed(each.body))
            for call, each in part(target, client).items()
        }
