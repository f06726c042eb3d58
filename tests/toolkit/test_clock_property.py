"""Moving time in one step or in many gives the same history, for random topologies and messages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pika
from hypothesis import given
from hypothesis import strategies as st
from pika.adapters.blocking_connection import BlockingChannel

from leveret.testing import Broker
from tests.toolkit.clients import connect, consumer
from tests.toolkit.random_topologies import (
    TOTAL_MS,
    Client,
    Operation,
    Topology,
    contents,
    history,
    operations,
    topologies,
)

NOON = datetime(2030, 1, 31, 12, tzinfo=UTC)


@contextmanager
def at_noon() -> Iterator[Broker]:
    with Broker(clock="frozen") as broker:
        broker.clock.move_to(NOON)
        yield broker


def outcome(topology: Topology, said: list[Operation], steps: list[int]) -> list[Any]:
    """Return the history and what is in the queues, after time was moved by these steps, ms."""
    with at_noon() as broker, connect(broker) as connection:
        client = Client(connection.channel())
        topology.declare(client.channel)
        for operation in said:
            client.do(operation)
        for step in steps:
            broker.clock.advance(step / 1000, patience=0)  # what the client holds is not waited for
        return [history(broker), contents(broker, NOON)]


@given(topologies, st.lists(operations, max_size=16), st.lists(st.integers(0, TOTAL_MS), max_size=20))
def test_one_step_or_many_give_the_same_history(
    topology: Topology, said: list[Operation], stops: list[int]
) -> None:
    edges = sorted({0, TOTAL_MS, *stops})
    many = [after - before for before, after in pairwise(edges)]
    assert outcome(topology, said, many) == outcome(topology, said, [TOTAL_MS])


def retried(steps: list[int]) -> list[Any]:
    """Return the history of three jobs, which a consumer rejects until they have been dead-lettered three times."""
    dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "retry"}
    back = {"x-message-ttl": 2500, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "jobs"}

    def handle(channel: BlockingChannel, method: Any, properties: pika.BasicProperties, body: bytes) -> None:
        deaths = (properties.headers or {}).get("x-death", [])
        if any(death["queue"] == "jobs" and death["count"] == 3 for death in deaths):
            channel.basic_ack(method.delivery_tag)
        else:
            channel.basic_reject(method.delivery_tag, requeue=False)

    with at_noon() as broker, connect(broker) as connection:
        channel = connection.channel()
        channel.queue_declare("jobs", durable=True, arguments=dead)
        channel.queue_declare("retry", durable=True, arguments={**back, "x-queue-type": "quorum"})
        with consumer(broker, "jobs", handle, prefetch=1):
            for expiration in (None, "700", "1300"):
                properties = pika.BasicProperties(expiration=expiration)
                channel.basic_publish("", "retry", b"job", properties)
            for step in steps:
                broker.clock.advance(step / 1000)
            lives = [event for event in history(broker) if event[-1] is not None]
        assert [message.outcome() for message in broker.published()] == ["dead-lettered"] * 3
        return [lives, contents(broker, NOON)]


def test_one_step_or_a_thousand_give_the_same_history_with_a_consumer() -> None:
    assert retried([10] * 1000) == retried([10_000])
