"""`python -m conformance commands`: command lines on a RabbitMQ (or as recorded) and on a Leveret."""

from __future__ import annotations

import argparse
import difflib
import gzip
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from conformance import rabbitmq
from conformance.commands.comparing import Verdict, compare, known, normal
from conformance.commands.lines import FILES, Line, lines
from conformance.commands.masks import masked
from conformance.commands.players import Played, Player, rabbit_player
from conformance.commands.setting import Setting

#: Added to the ports of `conformance.rabbitmq`, so that this RabbitMQ has nothing but what is made here.
SHIFT = 2700

GOLDEN = Path(__file__).parents[1] / "golden" / "commands"


@dataclass
class Stage:
    """A broker to play on. `names`: what is different on each broker."""

    player: Player
    port: int
    names: dict[str, str]


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The options of the command."""
    command.add_argument("files", nargs="*", help="only these files of conformance/commands/lines")
    command.add_argument("--record", action="store_true", help="record the answers of RabbitMQ")
    command.add_argument(
        "--live", action="store_true", help="play on RabbitMQ instead of reading the recorded answers"
    )
    command.add_argument("--details", action="store_true", help="print each difference")
    command.add_argument("--only", default="", help="details of lines that contain this text only")


def play(stage: Stage, names: Sequence[str]) -> Iterator[tuple[str, list[tuple[Line, Played]]]]:
    """Play the files; yields the answers of each."""
    setting = Setting(stage.player, stage.port, stage.names)
    try:
        for name in names:
            found: list[tuple[Line, Played]] = []
            for line in lines(name):
                if line.action:
                    setting.perform(line.action)
                else:
                    played = stage.player.play(line.arguments(stage.names), line.stdin)
                    found.append((line, masked(played, stage.names)))
            yield name, found
    finally:
        setting.close()


@contextmanager
def rabbit() -> Iterator[Stage]:
    """A RabbitMQ without any data, stopped afterwards."""
    node = rabbitmq.server("4.3", SHIFT)
    node.install()
    node.reset()
    try:
        running = node.start()
        with rabbit_player(node) as player:
            names = {
                "{node}": node.node,
                "{amqp}": str(node.amqp_port),
                "{http}": str(node.http_port),
                "{prometheus}": str(node.prometheus_port),
                "{dist}": str(node.dist_port),
                "{os_pid}": str(running.pid),
                "{tmp}": "/tmp/command-player",
            }
            yield Stage(player, node.amqp_port, names)
    finally:
        node.reset()


def record(names: Sequence[str]) -> None:
    """Store RabbitMQ's answers."""
    with rabbit() as stage:
        for name, found in play(stage, names):
            store(name, found)
            print(f"{name}: {len(found)} lines", flush=True)


def store(name: str, found: Sequence[tuple[Line, Played]]) -> None:
    """Write the answers of a file."""
    GOLDEN.mkdir(parents=True, exist_ok=True)
    rows = [{"line": line.text, **played._asdict()} for line, played in found]
    text = json.dumps(rows, ensure_ascii=False, indent=1) + "\n"
    (GOLDEN / f"{name}.json.gz").write_bytes(gzip.compress(text.encode(), mtime=0))


def recorded(name: str) -> list[tuple[str, Played]]:
    """Read the answers of a file."""
    rows = json.loads(gzip.decompress((GOLDEN / f"{name}.json.gz").read_bytes()))
    return [(row["line"], Played(row["stdout"], row["stderr"], row["code"])) for row in rows]


@dataclass
class Compared:
    """One line, both answers, and how they compare."""

    line: Line
    expected: Played
    actual: Played
    verdict: Verdict


def compared(
    stage: Stage, names: Sequence[str], live: Stage | None = None
) -> Iterator[tuple[str, list[Compared]]]:
    """Play the files on a Leveret; yields each line compared with RabbitMQ's answer, as recorded or live."""
    answers = dict(play(live, names)) if live is not None else {}
    for name, found in play(stage, names):
        expected = [played for _, played in answers[name]] if live is not None else _recorded(name, found)
        yield (
            name,
            [
                Compared(line, wanted, actual, compare(line, wanted, actual))
                for (line, actual), wanted in zip(found, expected, strict=True)
            ],
        )


def _recorded(name: str, found: Sequence[tuple[Line, Played]]) -> list[Played]:
    """The recorded answers. Raises `ValueError` if other lines were recorded."""
    rows = recorded(name)
    if [text for text, _ in rows] != [line.text for line, _ in found]:
        raise ValueError(f"{name}.txt was changed: record the answers again")
    return [played for _, played in rows]


def main(options: argparse.Namespace) -> int:
    """Play, and record or compare and print; the exit code is 1 if something differs by mistake."""
    from conformance.commands.leveret import leveret

    names = [name for name in FILES if not options.files or name in options.files]
    if options.record:
        record(names)
        return 0
    total = Counter[Verdict]()
    with ExitStack() as stack:
        live = stack.enter_context(rabbit()) if options.live else None
        stage = stack.enter_context(leveret())
        print(f"{'file':<12}{'lines':>7}{'same':>7}{'known':>7}{'different':>11}")
        for name, found in compared(stage, names, live):
            counts = Counter(each.verdict for each in found)
            total += counts
            print(_counted(name, counts), flush=True)
            for each in found:
                if options.details and options.only in each.line.text and each.verdict is not Verdict.SAME:
                    print(_details(each, everything=bool(options.only)))
    print(_counted("all", total))
    return 1 if total[Verdict.DIFFERENT] else 0


def _counted(name: str, counts: Counter[Verdict]) -> str:
    columns = (counts[Verdict.SAME], counts[Verdict.KNOWN], counts[Verdict.DIFFERENT])
    return f"{name:<12}{counts.total():>7}{columns[0]:>7}{columns[1]:>7}{columns[2]:>11}"


def _details(each: Compared, *, everything: bool) -> str:
    """Show what differs in an answer; of a known difference its reason."""
    reason = known(each.line)
    if reason is not None and not everything:
        return f"  $ {each.line.text}\n    known: {reason}"
    expected, actual = normal(each.line, each.expected), normal(each.line, each.actual)
    lines = [f"  $ {each.line.text}", f"    exit code: {expected.code}, Leveret {actual.code}"]
    for wanted, got in ((expected.stdout, actual.stdout), (expected.stderr, actual.stderr)):
        diff = list(difflib.unified_diff(wanted.split("\n"), got.split("\n"), lineterm="", n=0))[2:]
        lines += [f"    {line}" for line in diff if not line.startswith("@@")]
    return "\n".join(lines)
