"""The result of one part of `python -m conformance all`: a row of RESULTS.md."""

import sys
from dataclasses import dataclass

HEAD = """| test | RabbitMQ | answers | same in Leveret | intended differences | other differences |
|---|---|---:|---:|---:|---:|
"""


def alone(release: str) -> str:
    """The version of answers that were compared only with their recording."""
    return f"{release}, as recorded"


def warn(profile: str, problem: str) -> None:
    """Print a warning that no live RabbitMQ was asked."""
    frame = "!" * 100
    print(
        f"{frame}\n!!! Profile {profile}: {problem}.\n"
        f"!!! NO LIVE RABBITMQ WAS ASKED: Leveret is compared with the golden files alone.\n{frame}",
        file=sys.stderr,
        flush=True,
    )


@dataclass(frozen=True)
class Verdict:
    """How many answers of a RabbitMQ were compared, and in how many Leveret differs: intended, and not intended."""

    what: str
    version: str
    answers: int
    meant: int
    differing: int

    @property
    def row(self) -> str:
        """The row of the table."""
        same = self.answers - self.meant - self.differing
        cells = (self.what, self.version, self.answers, same, self.meant, self.differing)
        return f"| {' | '.join(map(str, cells))} |\n"
