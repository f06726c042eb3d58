"""`python -m conformance conf`: configuration files, refused by RabbitMQ's cuttlefish and by Leveret."""

from __future__ import annotations

import argparse
import gzip
import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from conformance.conf import cuttlefish
from conformance.conf.cases import configurations
from conformance.conf.cuttlefish import Answer
from leveret.rabbitmq_conf import refusals
from leveret.settings import ConfigError, ConfigErrors

GOLDEN = Path(__file__).parents[1] / "golden/conf/4.3.json.gz"
SCHEMA = Path(__file__).parents[2] / "broker/leveret/cuttlefish/schema.txt"

#: Configurations on which RabbitMQ and Leveret differ, with the reason.
MEANT = {
    "mirroring_sync_batch_size = 1.5": "RabbitMQ crashes",
    "sysmon_handler.triggers.process.heap_size = 1.5": "a number of bytes with a fraction, which has no effect here",
}


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The options of the command."""
    command.add_argument(
        "--record", action="store_true", help="record the answers of RabbitMQ: five minutes on one core"
    )
    command.add_argument("--schema", action="store_true", help="write the keys of RabbitMQ to schema.txt")


def main(options: argparse.Namespace) -> int:
    """Compare, or record; the exit code is 1 if something differs."""
    if options.schema:
        SCHEMA.write_text(cuttlefish.schema(), "utf-8")
        return 0
    if options.record:
        record()
        return 0
    found = list(differences(recorded()))
    for name, theirs, ours in found:
        print(f"=== {name}\n- {theirs.outcome} {list(theirs.problems)}\n+ {ours}")
    print(f"{len(configurations())} configurations, {len(found)} differ")
    return 1 if found else 0


def record() -> None:
    """Have RabbitMQ's cuttlefish read all configurations, and store what it says."""
    files = configurations()
    names = dict(enumerate(files))
    answers = cuttlefish.check(
        {f"{number:05d}": {"rabbitmq.conf": files[name]} for number, name in names.items()}
    )
    stored = {
        names[int(number)]: [
            answer.outcome,
            *(problem.replace(f"{number}/", "") for problem in answer.problems),
        ]
        for number, answer in sorted(answers.items())
    }
    store(stored)


def store(answers: Mapping[str, list[str]]) -> None:
    """Write the golden file."""
    GOLDEN.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(answers, indent=0, ensure_ascii=False)
    GOLDEN.write_bytes(gzip.compress(text.encode(), mtime=0))


def recorded() -> dict[str, Answer]:
    """Return RabbitMQ's answers by configuration."""
    stored = json.loads(gzip.decompress(GOLDEN.read_bytes()))
    return {name: Answer(outcome, tuple(problems)) for name, (outcome, *problems) in stored.items()}


def differences(answers: Mapping[str, Answer]) -> Iterator[tuple[str, Answer, list[str]]]:
    """Yield name, RabbitMQ's answer and Leveret's problems where they differ and are not meant to."""
    for name, content in configurations().items():
        theirs, ours = answers[name], leveret(content)
        if name not in MEANT and not agrees(theirs, ours):
            yield name, theirs, ours


def leveret(content: bytes) -> list[str]:
    """Return what Leveret finds wrong with a configuration."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        try:
            refusals([Path(file.name)], {"HOME": "/var/lib/rabbitmq", "PATH": "/bin"})
        except ConfigError as error:
            errors = error.errors if isinstance(error, ConfigErrors) else (error,)
            return [one.problem.replace(file.name, "rabbitmq.conf") for one in errors]
    return []


def agrees(theirs: Answer, ours: list[str]) -> bool:
    """Whether both accept a configuration, or Leveret names all problems that RabbitMQ names.

    RabbitMQ names those of the first phase that fails. It crashes without words on some.
    """
    if theirs.outcome == "accepted":
        return not ours
    if theirs.outcome == "crash" or any(problem.startswith("crash") for problem in theirs.problems):
        return bool(ours)
    return set(_joined(theirs)) <= {_plain(problem) for problem in ours}


def _joined(answer: Answer) -> Iterator[str]:
    """Yield RabbitMQ's problems, those with the types of one value as one."""
    types: list[str] = []
    for problem in (*answer.problems, "Error transforming"):
        if (
            problem.startswith(("Error transforming", "Conf file attempted"))
            or answer.outcome != "transform_datatypes"
        ):
            if types:
                yield _plain(", ".join(types))
            types = []
            if not problem.startswith("Error transforming"):
                yield _plain(problem)
        else:
            types.append(problem)


def _plain(problem: str) -> str:
    """Without the line ends of Erlang's formatter."""
    return " ".join(problem.split())
