"""Earlier findings of the fuzzer do not come back, random input finds nothing, and the fuzzer finds planted faults."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest

from leveret.config import Settings
from leveret.engine.vhost import VirtualHost
from leveret.settings import Profile
from leveret.testing.playbook import Connect, Octets, Stage
from tests.fuzz import events
from tests.fuzz.conversation import Finding, Play, replay, seeded_names
from tests.fuzz.events import Case, Event
from tests.fuzz.generator import mutated
from tests.fuzz.seeds import SEEDS
from tests.fuzz.shrink import outcome, shrunk
from tests.fuzz.targets import TARGETS
from tests.fuzz.worker import play_seed

CORPUS = Path(__file__).parent / "corpus"
CONVERSATIONS = sorted(CORPUS.glob("*.json"))
INPUTS = sorted(path for path in CORPUS.iterdir() if path.name.partition("-")[0] in TARGETS)

#: Random conversations, the same ones each time.
SEEDS_PLAYED = 20

#: Changed inputs of a target; 30 of those that are not named.
MUTATIONS = {"frames": 1000}


@pytest.mark.parametrize("path", CONVERSATIONS, ids=lambda path: path.stem)
def test_conversations_of_the_corpus_find_nothing(path: Path) -> None:
    replay(events.read(path))


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: path.name)
def test_inputs_of_the_corpus_find_nothing(path: Path) -> None:
    TARGETS[path.name.partition("-")[0]](path.read_bytes())


@pytest.mark.parametrize("seed", range(SEEDS_PLAYED))
def test_random_conversations_find_nothing(seed: int, tmp_path: Path) -> None:
    play_seed(seed, tmp_path / "played")


@pytest.mark.parametrize("name", TARGETS)
def test_random_inputs_find_nothing(name: str) -> None:
    dice = random.Random(name)
    for seed in SEEDS[name]:
        TARGETS[name](seed)
    for _ in range(MUTATIONS.get(name, 30)):
        TARGETS[name](mutated(dice.choice(SEEDS[name]), dice))


@pytest.mark.parametrize("seed", range(SEEDS_PLAYED))
def test_how_octets_are_cut_makes_no_difference(seed: int, tmp_path: Path) -> None:
    """The broker answers the same, and is left the same, if it reads a client's octets at once or in pieces."""
    play_seed(seed, tmp_path / "played")
    case = events.read(tmp_path / "played")
    for octets in _by_connection(case):
        whole, cut = (_answers(case, octets, size) for size in (len(octets), 1 + seed))
        assert cut == whole


def _by_connection(case: Case) -> list[bytes]:
    """The octets that client `a` sent on each of its connections after the handshake."""
    sent: list[bytes] = []
    for event in case.events:
        if event.by == "a" and event.kind in ("connect", "dial"):
            sent.append(b"")
        elif event.by == "a" and event.kind == "octets" and sent:
            sent[-1] += event.octets
    return [octets for octets in sent if octets]


def _answers(case: Case, octets: bytes, size: int) -> tuple[list[str], list[str]]:
    """What the broker answers to octets that it reads in pieces, and the queues that it has then."""
    with seeded_names(case.seed):
        stage = Stage(Settings(profile=Profile(case.version)), lambda data: (data,))
        stage.connect(Connect("a", channels=(1, 2)))
        stage.pieces = lambda data: [data[at : at + size] for at in range(0, len(data), size)]
        said = [str(line) for line in stage.play([Octets(octets)])]
    queues = stage.broker.vhosts["/"].queues.values()
    return said, [f"{one.name} {one.ready} {one.unacked} {len(one.consumers.members)}" for one in queues]


def test_a_seed_always_makes_the_same_events(tmp_path: Path) -> None:
    for name in ("one", "other"):
        play_seed(11, tmp_path / name)
    assert (tmp_path / "one").read_text() == (tmp_path / "other").read_text()
    replay(events.read(tmp_path / "one"))


def test_a_fault_is_found_and_its_conversation_is_shrunk(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
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


def test_a_process_that_ends_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fuzz.conversation.Play._advance", lambda play, event: os._exit(77))
    case = Case("4.3", 1, (Event("connect", "a"), Event("advance", milliseconds=1), Event("hang-up", "a")))
    shorter = shrunk(case)
    assert shorter.events == (Event("advance", milliseconds=1),)
    assert shorter.note == "the process has ended with status 77"


def test_messages_that_another_client_misses_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(play: Play, event: Event) -> None:
        play.innocent.protocol.pause_writing()

    monkeypatch.setattr(Play, "_advance", stop)
    assert "innocent client has not got its messages" in outcome(Case("4.3", 1, (Event("advance"),)))
