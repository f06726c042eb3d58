"""How large a process is, and whether it grows.

It is measured after each round of the load, when everything of the round is deleted. The rounds after the warm-up are
divided into windows, of which the median counts, because single values depend on the allocator. The process has not
grown if the last windows are not larger than the first ones by more than the tolerance.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

#: Windows behind the warm-up.
WINDOWS = 9

#: Share of the rounds that are warm-up: the garbage collector of a served broker runs rarely, and memory reaches its
#: level only after several hundred rounds.
WARM_UP = 0.6

#: Share by which the last windows may be larger than the first ones.
TOLERANCE = 0.01


@dataclass(frozen=True)
class Sample:
    """Resident memory in octets and open descriptors after a round."""

    memory: int
    descriptors: int


def sample(pid: int) -> Sample:
    """Measure a running process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return Sample(pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir(f"/proc/{pid}/fd")))


@dataclass(frozen=True)
class Trend:
    """Medians of the windows, and the growth from the first third of them to the last, as a ratio."""

    name: str
    windows: tuple[float, ...]

    @property
    def growth(self) -> float:
        """0.01 is one percent more."""
        third = len(self.windows) // 3
        first = median(self.windows[:third])
        return (median(self.windows[-third:]) - first) / first


def trends(samples: Sequence[Sample]) -> list[Trend]:
    """Trends of memory and descriptors. There must be a sample for each window."""
    counted = samples[int(len(samples) * WARM_UP) :]
    assert len(counted) >= WINDOWS, f"{len(counted)} samples behind the warm-up; {WINDOWS} are needed"
    edges = [len(counted) * number // WINDOWS for number in range(WINDOWS + 1)]

    def windows(value: Callable[[Sample], int]) -> tuple[float, ...]:
        return tuple(median(map(value, counted[first:last])) for first, last in pairwise(edges))

    memory, descriptors = windows(lambda one: one.memory), windows(lambda one: one.descriptors)
    return [
        Trend("resident memory, kB", tuple(one / 1000 for one in memory)),
        Trend("descriptors", descriptors),
    ]


def table(found: Sequence[Trend]) -> str:
    """The medians, window by window."""
    lines = ["window".ljust(22) + "".join(f"{number:>9}" for number in range(1, WINDOWS + 1)) + "   growth"]
    for one in found:
        values = "".join(f"{value:>9.0f}" for value in one.windows)
        lines.append(f"{one.name:<22}{values}  {one.growth:+7.2%}")
    return "\n".join(lines)
