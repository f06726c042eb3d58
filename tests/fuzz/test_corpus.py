"""What fuzzing has found is not found again, and the fuzzer finds what there is to find."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest

from leveret.engine.vhost import VirtualHost
from tests.fuzz import events
from tests.fuzz.conversation import Finding, Play, replay
from tests.fuzz.events import Case, Event
from tests.fuzz.seeds import SEEDS
from tests.fuzz.shrink import outcome, shrunk
from tests.fuzz.targets import TARGETS
from tests.fuzz.worker import play_seed

CORPUS = Path(__file__).parent / "corpus"
CONVERSATIONS = sorted(CORPUS.glob("*.json"))
INPUTS = sorted(path for path in CORPUS.iterdir() if path.name.partition("-")[0] in TARGETS)

#: Conversations that are made up each time, the same ones.
SEEDS_PLAYED = 20

#: Changed inputs of each target.
MUTATIONS = 30


@pytest.mark.parametrize("path", CONVERSATIONS, ids=lambda path: path.stem)
def test_conversations_of_the_corpus(path: Path) -> None:
    replay(events.read(path))


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: path.name)
def test_inputs_of_the_corpus(path: Path) -> None:
    TARGETS[path.name.partition("-")[0]](path.read_bytes())


@pytest.mark.parametrize("seed", range(SEEDS_PLAYED))
def test_conversations_that_are_made_up(seed: int, tmp_path: Path) -> None:
    play_seed(seed, tmp_path / "played")


@pytest.mark.parametrize("name", TARGETS)
def test_inputs_that_are_made_up(name: str) -> None:
    dice = random.Random(name)
    for seed in SEEDS[name]:
        TARGETS[name](seed)
    for _ in range(MUTATIONS):
        data = bytearray(dice.choice(SEEDS[name]))
        at = dice.randrange(len(data))
        data[at : at + dice.choice((0, 1, 4))] = dice.randbytes(dice.choice((0, 1, 4)))
        TARGETS[name](bytes(data))


def test_the_same_seed_has_the_same_events(tmp_path: Path) -> None:
    for name in ("one", "other"):
        play_seed(11, tmp_path / name)
    assert (tmp_path / "one").read_text() == (tmp_path / "other").read_text()
    replay(events.read(tmp_path / "one"))


def test_a_fault_is_found_and_made_shorter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(*arguments: Any) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(VirtualHost, "bind", fail)
    with pytest.raises(Finding, match="internal error"):
        for seed in range(20):
            play_seed(seed, tmp_path / "case")
    case = events.read(tmp_path / "case")
    shorter = shrunk(case)
    assert outcome(shorter) == outcome(case) == shorter.note != ""
    assert len(shorter.events) <= 6
    events.write(shorter, tmp_path / "shorter")
    assert events.read(tmp_path / "shorter") == shorter


def test_the_end_of_the_process_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fuzz.conversation.Play._advance", lambda play, event: os._exit(77))
    case = Case("4.3", 1, (Event("connect", "a"), Event("advance", milliseconds=1), Event("hang-up", "a")))
    shorter = shrunk(case)
    assert shorter.events == (Event("advance", milliseconds=1),)
    assert shorter.note == "the process has ended with status 77"


def test_what_the_innocent_client_misses_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(play: Play, event: Event) -> None:
        play.innocent.protocol.pause_writing()

    monkeypatch.setattr(Play, "_advance", stop)
    assert "innocent client has not got its messages" in outcome(Case("4.3", 1, (Event("advance"),)))
