"""Requeueing many deliveries looks at few of them in one step."""

from __future__ import annotations

from typing import Any

from leveret.queues.message import RECOVERED
from leveret.queues.queue import PORTION
from leveret.session.settling import requeue_steps

COUNT = 10 * PORTION


class Delivery:
    """A delivery that counts how often it is looked at."""

    looked_at = 0
    consumer = None

    def __init__(self, source: Any) -> None:
        self._source = source

    @property
    def source(self) -> Any:
        Delivery.looked_at += 1
        return self._source

    @property
    def failed(self) -> bool:
        Delivery.looked_at += 1
        return False


class Source:
    """A queue that takes deliveries back."""

    name = "q"
    busy = None

    def __init__(self) -> None:
        self.requeued: list[Any] = []

    def requeue(self, entries: list[Any], reason: int) -> None:
        self.requeued = entries


def test_no_step_looks_at_more_than_a_portion() -> None:
    channel: Any = None
    source = Source()
    deliveries: list[Any] = [Delivery(source) for _ in range(COUNT)]
    most = before = Delivery.looked_at = 0
    for _ in requeue_steps(channel, list(deliveries), RECOVERED):
        most = max(most, Delivery.looked_at - before)
        before = Delivery.looked_at
    assert source.requeued == deliveries
    assert most <= 2 * PORTION + 2
    assert Delivery.looked_at >= 2 * COUNT
