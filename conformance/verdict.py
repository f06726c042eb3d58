"""What came of one part of `python -m conformance all`: a row of RESULTS.md."""

from dataclasses import dataclass

HEAD = """| test | RabbitMQ | answers | same in Leveret | intended differences | other differences |
|---|---|---:|---:|---:|---:|
"""


@dataclass(frozen=True)
class Verdict:
    """How many answers of a RabbitMQ were looked at, and in how many Leveret differs: on purpose, and by mistake."""

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
