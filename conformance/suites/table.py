"""SUITES.md: the outcomes of the suites on both brokers."""

from dataclasses import dataclass
from pathlib import Path

from conformance.suites import running
from conformance.suites.running import Outcomes
from conformance.suites.suite import Suite

FILE = Path(__file__).resolve().parents[1] / "SUITES.md"
HEAD = """# Test suites of the clients

Written by `python -m conformance suites`. Each suite comes from its source package. It runs on RabbitMQ {rabbitmq} and
on Leveret, which reports version {leveret} to clients. Only the address of the broker is changed, and both brokers use
the same rabbitmq.conf (`suites/brokers.py`). Each test that passes on RabbitMQ must pass on Leveret.

| suite | version | tests | passed on RabbitMQ | passed on Leveret | only on RabbitMQ | only on Leveret |
|---|---|---:|---:|---:|---:|---:|
"""


@dataclass(frozen=True)
class Row:
    """A suite and its outcomes on both brokers."""

    suite: Suite
    rabbitmq: Outcomes
    leveret: Outcomes

    @classmethod
    def kept(cls, suite: Suite, cache: Path) -> "Row | None":
        """The row of a suite's last runs; None if it was not run on both brokers."""
        pair = [running.last(suite, broker, cache) for broker in ("RabbitMQ", "Leveret")]
        return cls(suite, *pair) if all(pair) else None

    @property
    def tests(self) -> list[str]:
        """Every test that was run on one of them, in the order of the suite."""
        return list(self.rabbitmq | self.leveret)

    @property
    def passed(self) -> int:
        """How many tests pass on RabbitMQ."""
        return len(_passed(self.rabbitmq))

    @property
    def missing(self) -> list[str]:
        """Tests that pass only on RabbitMQ."""
        return sorted(_passed(self.rabbitmq) - _passed(self.leveret))

    @property
    def more(self) -> list[str]:
        """Tests that pass only on Leveret."""
        return sorted(_passed(self.leveret) - _passed(self.rabbitmq))

    @property
    def line(self) -> str:
        """The row of the table."""
        cells = (len(self.tests), self.passed, len(_passed(self.leveret)), len(self.missing), len(self.more))
        return f"| {self.suite.name} | {self.suite.version} | {' | '.join(map(str, cells))} |"


def written(rows: list[Row], rabbitmq: str, leveret: str) -> str:
    """The page."""
    parts = [HEAD.format(rabbitmq=rabbitmq, leveret=leveret), *(row.line + "\n" for row in rows)]
    for row in rows:
        if row.missing:
            parts.append(f"\n## {row.suite.name}: passed only on RabbitMQ\n\n")
            parts += [f"- `{test}`{_because(row.leveret, test)}\n" for test in row.missing]
        if row.more:
            parts.append(f"\n## {row.suite.name}: passed only on Leveret\n\n")
            parts += [f"- `{test}`{_because(row.rabbitmq, test)}\n" for test in row.more]
    parts.append("\n## Not run on either broker\n\n")
    for row in rows:
        parts += [f"- {row.suite.name}, `{part}`: {why}\n" for part, why in row.suite.left_out.items()]
    return "".join(parts)


def _passed(outcomes: Outcomes) -> set[str]:
    return {test for test, each in outcomes.items() if each.word == "passed"}


def _because(outcomes: Outcomes, test: str) -> str:
    """The outcome on the other broker, on one line."""
    if test not in outcomes:
        return ": not run"
    each = outcomes[test]
    said = " ".join(each.why.split())[:160]
    return f": {each.word}" + (f", {said}" if said else "")
