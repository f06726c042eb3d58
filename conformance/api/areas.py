"""The calls by area, played on one broker; recordings of RabbitMQ's answers; the differences that are meant."""

import fnmatch
import gzip
import importlib
import json
import pkgutil
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from conformance.api import calls, setting
from conformance.api.call import Answer, Call
from conformance.api.client import Client
from conformance.api.compare import Difference
from conformance.api.masks import masked
from conformance.stage import Target

HERE = Path(__file__).resolve().parent
GOLDEN = HERE.parent / "golden" / "api"
DIFFERENCES = HERE / "differences.toml"

#: Areas that find everything as the setting has made it. `conditions`, `odd` and `bert` delete what they make; in older
#: versions `access` leaves the queue of an aliveness test.
READ_ONLY = ("reading", "lists", "samples", "conditions", "odd", "bert", "access")

#: The answers of an area, in the order of its calls.
Answers = Sequence[Answer]


def areas(names: Iterable[str] = ()) -> dict[str, list[Call]]:
    """The calls of each area, or of those that are named. Those that change nothing come first."""
    modules = {module.name for module in pkgutil.iter_modules(calls.__path__)}
    found = [*READ_ONLY, *sorted(modules.difference(READ_ONLY))]
    chosen = [name for name in found if not names or name in names]
    return {name: list(importlib.import_module(f"{calls.__name__}.{name}").CALLS) for name in chosen}


def play(target: Target, todo: Mapping[str, Sequence[Call]]) -> dict[str, Answers]:
    """Make the setting on a broker that has nothing yet, and then all the calls, one after another."""
    with closing(Client(target)) as client, setting.made(client):
        return {area: [client.answer(call) for call in each] for area, each in todo.items()}


# --- recordings


def golden_path(profile: str, area: str) -> Path:
    """The file with RabbitMQ's answers to an area."""
    return GOLDEN / profile / f"{area}.jsonl.gz"


def record(profile: str, area: str, todo: Sequence[Call], answers: Answers) -> None:
    """Keep the answers, one call a line, with volatile values masked."""
    path = golden_path(profile, area)
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        json.dumps({"call": call.name, **kept(answer).to_json()}, ensure_ascii=False)
        for call, answer in zip(todo, answers, strict=True)
    ]
    path.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode(), mtime=0))


def kept(answer: Answer) -> Answer:
    """The part of an answer that is recorded."""
    headers = {
        name: value for name, value in answer.headers.items() if name not in ("date", "content-length")
    }
    return Answer(answer.status, answer.phrase, headers, masked(answer.body))


def recorded(profile: str, area: str, todo: Sequence[Call]) -> Answers:
    """The recorded answers. Raises LookupError if other calls were recorded than are made now."""
    path = golden_path(profile, area)
    text = gzip.decompress(path.read_bytes()).decode() if path.exists() else ""
    lines = [json.loads(line) for line in text.splitlines()]
    if [line.pop("call") for line in lines] != [call.name for call in todo]:
        raise LookupError(
            f"the answers to {area} were not recorded: python -m conformance api --record {area}"
        )
    return [Answer(**line) for line in lines]


# --- differences that are meant


@dataclass(frozen=True)
class Meant:
    """A difference that is meant. `calls`: patterns of call names (fnmatch). `at`: a regular expression of places."""

    calls: tuple[str, ...]
    at: re.Pattern[str]
    reason: str

    def covers(self, call: str, difference: Difference) -> bool:
        """Whether it is this one."""
        return self.at.fullmatch(difference.at) is not None and any(
            fnmatch.fnmatchcase(call, pattern) for pattern in self.calls
        )


def meant(profile: str, file: Path = DIFFERENCES) -> list[Meant]:
    """The differences of a differences.toml that hold for a profile."""
    listed = tomllib.loads(file.read_text()).get("difference", [])
    return [
        Meant(tuple(each["calls"]), re.compile(each["at"]), each["reason"])
        for each in listed
        if profile in each.get("profiles", [profile])
    ]
