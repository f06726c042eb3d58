"""Every command line of conformance/commands/lines has RabbitMQ's recorded answer, or one that is known to differ."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from conformance.commands.command import Compared, compared
from conformance.commands.comparing import Verdict, known
from conformance.commands.known import DIFFERENT
from conformance.commands.leveret import leveret
from conformance.commands.lines import FILES


@pytest.fixture(scope="module")
def played() -> Iterator[dict[str, list[Compared]]]:
    """All files, played on one node in their order."""
    with leveret() as stage:
        yield dict(compared(stage, FILES))


@pytest.mark.parametrize("name", FILES)
def test_answers_are_those_of_rabbitmq(played: dict[str, list[Compared]], name: str) -> None:
    wrong = [each for each in played[name] if each.verdict is Verdict.DIFFERENT]
    shown = [f"{each.line.text}\n  {each.expected}\n  {each.actual}" for each in wrong[:3]]
    assert not wrong, f"{len(wrong)} of {len(played[name])} lines differ:\n" + "\n".join(shown)


def test_each_known_difference_is_one(played: dict[str, list[Compared]]) -> None:
    differing = {
        known(each.line) for found in played.values() for each in found if each.verdict is Verdict.KNOWN
    }
    assert {reason for _, reason in DIFFERENT} == differing


def test_there_are_enough_lines(played: dict[str, list[Compared]]) -> None:
    assert sum(len(found) for found in played.values()) > 1000
