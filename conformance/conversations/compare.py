"""Compares two brokers by random conversations, and shrinks a difference to the steps that are needed for it.

A difference counts if it is there again each time with longer waits between the steps: on a busy machine RabbitMQ may
need more time for a dead letter than it was waited for. And some outcomes are races of RabbitMQ: when a connection
ends, its channels end at the same time, and what one returns may still be delivered to another one.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

from conformance.conversations.play import Player
from conformance.conversations.steps import Step, conversation
from conformance.stage import Target, request

#: Seconds of silence that end a step: at first, and when a difference is looked at again.
QUIET, PATIENT = 0.02, 0.1

#: Plays that must all differ. A race of RabbitMQ agrees in one of them.
PLAYS = 10

#: Plays that shrinking may take.
EFFORT = 120


@dataclass(frozen=True)
class Recorded:
    """A conversation, and RabbitMQ's answers to every step."""

    steps: list[Step]
    given: list[list[str]]


@dataclass(frozen=True)
class Pair:
    """RabbitMQ and a Leveret that is compared with it. `vhost` exists on both, for one conversation at a time."""

    rabbitmq: Target
    other: Target
    vhost: str

    def prepare(self) -> None:
        """Create the virtual host on both."""
        for target in (self.rabbitmq, self.other):
            status, _ = request(target, "PUT", f"/api/vhosts/{self.vhost}", {})
            if status not in (201, 204):
                raise RuntimeError(f"{target.http_url} does not make a virtual host: {status}")

    def clear(self) -> None:
        """Delete it."""
        for target in (self.rabbitmq, self.other):
            request(target, "DELETE", f"/api/vhosts/{self.vhost}", None)

    def difference(self, steps: list[Step], quiet: float) -> int:
        """Return the first step with different answers (`len(steps)`: what is left at the end); -1 if there is none."""
        theirs = Player(self.rabbitmq, self.vhost, quiet).play(steps)
        ours = Player(self.other, self.vhost, None).play(steps)
        return first_difference(theirs, ours)


def first_difference(theirs: list[list[str]], ours: list[list[str]]) -> int:
    """Return where two lists of answers differ first; -1 if they do not."""
    return next((at for at, (one, other) in enumerate(zip(theirs, ours, strict=True)) if one != other), -1)


def shrink(steps: list[Step], differs: Callable[[list[Step]], bool]) -> list[Step]:
    """Return fewer steps that still differ: halves, quarters and so on are left out while the difference stays."""
    size = len(steps) // 2
    effort = EFFORT
    while size:
        at = 0
        while at < len(steps) and effort:
            fewer = steps[:at] + steps[at + size :]
            effort -= 1
            if fewer and differs(fewer):
                steps = fewer
            else:
                at += size
        size //= 2
    return steps


def confirmed(pair: Pair, steps: list[Step]) -> list[Step]:
    """Return the fewest steps that differ, also with longer waits; none if it was only the machine."""
    for _ in range(PLAYS):
        at = pair.difference(steps, PATIENT)
        if at < 0:
            return []
        steps = steps[: at + 1]
    return shrink(steps, lambda fewer: pair.difference(fewer, PATIENT) >= 0)


def given(pair: Pair, steps: list[Step]) -> str:
    """Return a conversation with the answers of both, marked like a diff where they differ; empty if they agree now."""
    theirs = Player(pair.rabbitmq, pair.vhost, PATIENT).play(steps)
    ours = Player(pair.other, pair.vhost, None).play(steps)
    if first_difference(theirs, ours) < 0:
        return ""
    return _beside(steps, theirs, ours)


def _beside(steps: list[Step], theirs: list[list[str]], ours: list[list[str]]) -> str:
    lines = []
    for label, one, other in zip([*map(str, steps), "(left in the queues)"], theirs, ours, strict=True):
        lines.append(f"  {label}")
        if one == other:
            lines += [f"    {line}" for line in one]
        else:
            lines += [f"-   {line}" for line in one] + [f"+   {line}" for line in other]
    return "\n".join(lines)


def recorded(path: Path) -> list[Recorded]:
    """Return the recorded conversations of a file; none if there is no such file."""
    if not path.exists():
        return []
    kept = json.loads(gzip.decompress(path.read_bytes()))
    return [Recorded([Step(**step) for step in one["steps"]], one["told"]) for one in kept]


def record(target: Target, profile: str, seeds: range, path: Path, streams: bool, workers: int) -> int:
    """Record what RabbitMQ answers to the conversations of `seeds`, if it answers the same twice; returns how many."""
    free = [Pair(target, target, vhost) for vhost in _vhosts(workers)]

    def one(seed: int) -> list[Recorded]:
        pair = free.pop()
        try:
            steps = conversation(seed, profile, streams)
            given = Player(target, pair.vhost, PATIENT / 2).play(steps)
            same = given == Player(target, pair.vhost, PATIENT / 2).play(steps)
            return [Recorded(steps, given)] if same else []
        finally:
            free.append(pair)

    pairs = list(free)
    for pair in pairs:
        pair.prepare()
    try:
        with ThreadPoolExecutor(workers) as pool:
            kept = [asdict(each) for found in pool.map(one, seeds) for each in found]
    finally:
        for pair in pairs:
            pair.clear()
    path.write_bytes(gzip.compress(json.dumps(kept).encode(), mtime=0))
    return len(kept)


def _vhosts(count: int) -> list[str]:
    """Names of virtual hosts that no other run on the same broker uses."""
    return [f"cf.random.{os.getpid()}.{number}" for number in range(count)]


def departure(target: Target, vhost: str, one: Recorded) -> str:
    """Describe where Leveret differs from a recorded conversation; empty if it does not."""
    given = Player(target, vhost, None).play(one.steps)
    at = first_difference(one.given, given)
    if at < 0:
        return ""
    lines = [f"  {step}" for step in one.steps[: at + 1]]
    return "\n".join([*lines, *(f"- {line}" for line in one.given[at]), *(f"+ {line}" for line in given[at])])


def replay(rabbitmq: Target, other: Target, steps: list[Step]) -> tuple[str, bool]:
    """Return a conversation with the answers of both, and whether they are the same."""
    pair = Pair(rabbitmq, other, *_vhosts(1))
    pair.prepare()
    try:
        theirs = Player(rabbitmq, pair.vhost, PATIENT).play(steps)
        ours = Player(other, pair.vhost, None).play(steps)
    finally:
        pair.clear()
    return _beside(steps, theirs, ours), theirs == ours


def run(
    rabbitmq: Target, other: Target, profile: str, seeds: range, streams: bool, workers: int
) -> Iterator[tuple[int, str]]:
    """Play the conversations of `seeds`, several at once; yields each with its difference when it is over."""
    pairs = [Pair(rabbitmq, other, vhost) for vhost in _vhosts(workers)]
    free = list(pairs)

    def one(seed: int) -> tuple[int, str]:
        pair = free.pop()
        try:
            steps = conversation(seed, profile, streams)
            if pair.difference(steps, QUIET) < 0:
                return seed, ""
            least = confirmed(pair, steps)
            return seed, given(pair, least) if least else ""
        finally:
            free.append(pair)

    for pair in pairs:
        pair.prepare()
    try:
        with ThreadPoolExecutor(workers) as pool:
            for over in as_completed([pool.submit(one, seed) for seed in seeds]):
                yield over.result()
    finally:
        for pair in pairs:
            pair.clear()
