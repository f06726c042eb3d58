"""Celery with quorum queues and native delayed delivery: 28 levels of topic exchanges and queues, one for each bit of
the delay (kombu.transport.native_delayed_delivery)."""

from __future__ import annotations

import pytest
from kombu.transport.native_delayed_delivery import calculate_routing_key, level_name

from .topology_client import DAY, SECOND, TopologyClient

LEVELS = range(27, -1, -1)
DELIVERY = "celery_delayed_delivery"


def build(client: TopologyClient, queue_type: str) -> None:
    """Declare what a worker declares when it starts."""
    strategy = {"dead_letter_strategy": "at-least-once"} if queue_type == "quorum" else {}
    for level in LEVELS:
        name = level_name(level)
        client.exchange(name)
        client.queue(
            name,
            queue_type=queue_type,
            overflow="reject-publish",
            message_ttl=2**level * SECOND,
            dead_letter_exchange=level_name(level - 1) if level else DELIVERY,
            **strategy,
        )
        client.bind(name, name, "*." * (27 - level) + "1.#")
    for level in LEVELS[:-1]:
        client.join(level_name(level - 1), level_name(level), "*." * (27 - level) + "0.#")
    client.exchange(DELIVERY)
    client.join(DELIVERY, level_name(0), "*." * 27 + "0.#")
    # The worker's own queue.
    client.exchange("celery_topic")
    client.queue("celery", queue_type=queue_type)
    client.bind("celery", "celery_topic", "celery")
    client.join("celery_topic", DELIVERY, "#.celery")
    client.bind("celery", "celery_topic", "#.celery")


@pytest.mark.parametrize("queue_type", ["quorum", "classic"])
@pytest.mark.parametrize("countdown", [1, 5, 3600, 2**28 - 1])
def test_a_task_runs_when_its_countdown_is_over(queue_type: str, countdown: int) -> None:
    client = TopologyClient()
    build(client, queue_type)
    key = calculate_routing_key(countdown, "celery")
    client.send(b"task", key, level_name(27))
    client.wait((countdown - 1) * SECOND)
    assert client.get("celery") is None
    client.wait(SECOND)
    task = client.take("celery")
    levels = [level for level in range(28) if countdown >> level & 1]
    assert (task.body, task.routing_key) == (b"task", key)
    assert task.exchange == (level_name(levels[0] - 1) if levels[0] else DELIVERY)
    assert [death["queue"] for death in task.headers["x-death"]] == [level_name(level) for level in levels]


def test_a_retry_uses_the_delivered_routing_key() -> None:
    client = TopologyClient()
    build(client, "quorum")
    client.send(b"task", calculate_routing_key(3, "celery"), level_name(27))
    client.wait(3 * SECOND)
    task = client.take("celery")
    client.send(b"again", calculate_routing_key(60, task.routing_key), level_name(27))
    client.ack(task)
    client.wait(60 * SECOND)
    assert client.take("celery").body == b"again"


def test_delayed_tasks_arrive_in_order_of_their_time() -> None:
    client = TopologyClient()
    build(client, "quorum")
    for countdown in (40, 7, 300, 8, 1):
        client.send(str(countdown).encode(), calculate_routing_key(countdown, "celery"), level_name(27))
    client.wait(DAY)
    assert [int(client.take("celery").body) for _ in range(5)] == [1, 7, 8, 40, 300]


def test_the_result_queue_of_the_rpc_backend_expires() -> None:
    client = TopologyClient()
    client.queue("reply", expires=DAY)
    client.wait(DAY - 1)
    assert "reply" in client.queues()
    client.wait(1)
    assert "reply" not in client.queues()
