"""Plays scenarios, keeps their transcripts as golden files, and shows differences."""

import difflib
import functools
import importlib
import json
import pkgutil
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path

from conformance import scenarios
from conformance.stage import REGISTRY, Scenario, Stage, Target

#: How often a scenario is played before it counts as different, since a machine that stands still ends lives of
#: milliseconds; and how often if something that was awaited never came, which takes its time.
PLAYS, LONG_PLAYS = 20, 2
#: How a transcript begins a line with a status, of a crash and of a refusal.
CRASH, REFUSAL = "http < 500", "http < 400 "
HERE = Path(__file__).resolve().parent
GOLDEN = HERE / "golden"
DIFFERENCES = HERE / "differences.toml"


def load() -> dict[str, Scenario]:
    """Every scenario by name, in the order of the files and of the definitions in them."""
    if not REGISTRY:
        _import()
    return REGISTRY


def _import() -> None:
    for module in sorted(info.name for info in pkgutil.iter_modules(scenarios.__path__)):
        importlib.import_module(f"{scenarios.__name__}.{module}")


def chosen(profile: str, patterns: Iterable[str] = (), slow: bool = False) -> list[Scenario]:
    """The scenarios of a profile whose name contains one of the patterns (all if there are none)."""
    wanted = list(patterns)
    return [
        each
        for each in load().values()
        if profile in each.profiles
        and (slow or not each.slow)
        and (not wanted or any(pattern in each.name for pattern in wanted))
    ]


def play(each: Scenario, target: Target, profile: str) -> tuple[list[str], int]:
    """Return the masked transcript, and how many awaited events did not come."""
    stage = Stage(target, profile)
    try:
        each.play(stage)
        return stage.finish(), stage.missed
    except Exception as error:  # a scenario that stumbles over an unexpected answer still tells what it saw
        stage.note(f"!! {type(error).__name__}: {error}")
        lines = stage.lines[:]
        stage.close()
        return lines, stage.missed


def golden_path(profile: str, topic: str) -> Path:
    """The file that holds the transcripts of a topic."""
    return GOLDEN / profile / f"{topic}.json"


@functools.cache
def golden(profile: str, topic: str) -> Mapping[str, list[str]]:
    """The recorded transcripts of a topic by scenario name; empty if there are none."""
    path = golden_path(profile, topic)
    if not path.exists():
        return {}
    recorded: dict[str, list[str]] = json.loads(path.read_text())
    return recorded


def write_golden(profile: str, topic: str, transcripts: dict[str, list[str]]) -> None:
    """Write the transcripts of a topic in the order of the scenarios; those of deleted scenarios are left out."""
    kept = {name: transcripts[name] for name in load() if name in transcripts}
    path = golden_path(profile, topic)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    golden.cache_clear()


def record(target: Target, profile: str, todo: list[Scenario], rounds: int) -> Iterator[tuple[str, str]]:
    """Play each scenario `rounds` times, and keep it if it is always the same; yields (name, complaint)."""
    for topic, scenarios_of_topic in groupby(
        sorted(todo, key=lambda each: each.topic), lambda each: each.topic
    ):
        found = dict(golden(profile, topic))
        for each in scenarios_of_topic:
            complaint, lines = _recorded(target, profile, each, rounds)
            if lines:
                found[each.name] = lines
            yield each.name, complaint
        write_golden(profile, topic, found)


def _recorded(target: Target, profile: str, each: Scenario, rounds: int) -> tuple[str, list[str]]:
    """Return a complaint, and the transcript if it can be kept."""
    first, missed = play(each, target, profile)
    if first[-1:] and first[-1].startswith("!!"):
        return first[-1], []
    for _ in range(rounds - 1):
        again, _ = play(each, target, profile)
        if again != first:
            return "unstable\n" + diff(first, again), []
    return f"{missed} awaited events did not come" if missed else "", first


def compare(target: Target, profile: str, each: Scenario) -> str:
    """Return the difference from what was recorded as a unified diff; empty if there is none."""
    recorded = golden(profile, each.topic).get(each.name)
    if recorded is None:
        return "never recorded"
    played, _ = play(each, target, profile)
    return diff(recorded, played)


def departure(target: Target, profile: str, each: Scenario) -> str:
    """Return what `compare` finds every time, because the machine may be busy; empty if it found nothing once."""
    recorded = golden(profile, each.topic).get(each.name)
    if recorded is None:
        return "never recorded"
    found, left = "", PLAYS
    while left > 0:
        played, missed = play(each, target, profile)
        found = diff(recorded, played)
        if not found:
            break
        left -= PLAYS // LONG_PLAYS if missed else 1
    return found


def diff(recorded: list[str], played: list[str]) -> str:
    """A unified diff of two transcripts; empty if they are the same. Where RabbitMQ crashed over a request, any refusal
    is right."""
    if len(recorded) == len(played):
        pairs = zip(recorded, played, strict=True)
        played = [one if one == CRASH and other.startswith(REFUSAL) else other for one, other in pairs]
    lines = difflib.unified_diff(recorded, played, "RabbitMQ", "here", lineterm="", n=30)
    return "\n".join(lines)


def known_differences(profile: str) -> dict[str, str]:
    """Scenario name -> reason of the intended differences, from differences.toml."""
    listed = tomllib.loads(DIFFERENCES.read_text()).get("difference", [])
    return {each["scenario"]: each["reason"] for each in listed if profile in each["profiles"]}
