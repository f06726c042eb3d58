"""Delays and retries by queues whose messages expire into another queue: dramatiq, Symfony Messenger, Laravel,
Sneakers, Spring."""

from __future__ import annotations

from .topology_client import DAY, SECOND, Delivered, TopologyClient

# --- dramatiq (dramatiq.brokers.rabbitmq): a queue, its delay queue .DQ, its dead letter queue .XQ


def dramatiq(client: TopologyClient) -> None:
    dead = {"dead_letter_exchange": "", "dead_letter_routing_key": "default.XQ"}
    client.queue("default", **dead)
    client.queue("default.DQ", **dead)
    client.queue("default.XQ", message_ttl=7 * DAY)


def test_dramatiq_runs_a_delayed_actor_at_its_time() -> None:
    client = TopologyClient()
    dramatiq(client)
    client.send(b"actor", "default.DQ")
    held = client.take("default.DQ")  # the worker holds it until its time
    client.wait(30 * SECOND)
    client.send(held.body, "default")
    client.ack(held)
    assert client.take("default").body == b"actor"
    assert client.ready("default.DQ") == 0


def test_dramatiq_dead_letters_are_kept_a_week() -> None:
    client = TopologyClient()
    dramatiq(client)
    client.send(b"actor", "default")
    client.reject(client.take("default"))
    client.wait(7 * DAY - 1)
    dead = client.take("default.XQ")
    assert dead.headers["x-first-death-reason"] == "rejected"
    client.reject(dead, requeue=True)
    client.wait(1)
    assert client.get("default.XQ") is None


# --- Symfony Messenger (amqp-messenger Connection): a queue for every delay, behind the exchange `delays`


def symfony(client: TopologyClient) -> None:
    client.exchange("messages", "fanout")
    client.queue("messages")
    client.bind("messages", "messages")
    client.exchange("delays", "direct")


def symfony_delay(client: TopologyClient, body: bytes, delay: int, action: str = "delay") -> str:
    """The delay queue is declared again with each message, which starts its x-expires again."""
    name = f"delay_messages__{delay}_{action}"
    client.queue(
        name,
        message_ttl=delay,
        expires=delay + 10 * SECOND,
        dead_letter_exchange="messages",
        dead_letter_routing_key="",
    )
    client.bind(name, "delays", name)
    client.send(body, name, "delays")
    return name


def test_symfony_delays_a_message_and_its_queue_expires() -> None:
    client = TopologyClient()
    symfony(client)
    name = symfony_delay(client, b"one", 5 * SECOND)
    client.wait(4 * SECOND)
    symfony_delay(client, b"two", 5 * SECOND)
    client.wait(SECOND)
    one = client.take("messages")
    assert (one.body, one.routing_key, one.headers["x-death"][0]["queue"]) == (b"one", "", name)
    assert client.get("messages") is None
    client.wait(4 * SECOND)
    assert client.take("messages").body == b"two"
    # 15 s after the second declaration, not the first.
    client.wait(10 * SECOND - 1)
    assert name in client.queues()
    client.wait(1)
    assert name not in client.queues()


# --- Laravel (vladimir-yuldashev/laravel-queue-rabbitmq): QUEUE.delay.TTL, by the default exchange


def laravel_later(client: TopologyClient, body: bytes, ttl: int) -> str:
    name = client.queue(
        f"default.delay.{ttl}",
        dead_letter_exchange="",
        dead_letter_routing_key="default",
        message_ttl=ttl,
        expires=ttl * 2,
    )
    client.send(body, name)
    return name


def test_laravel_delays_a_job_and_its_queue_expires() -> None:
    client = TopologyClient()
    client.queue("default")
    name = laravel_later(client, b"job", 60 * SECOND)
    client.wait(60 * SECOND)
    assert client.take("default").routing_key == "default"
    assert name in client.queues()
    client.wait(60 * SECOND)
    assert name not in client.queues()


def test_laravel_releases_a_job_again_and_again() -> None:
    client = TopologyClient()
    client.queue("default")
    laravel_later(client, b"job", SECOND)
    for attempt in range(1, 4):
        client.wait(SECOND)
        job = client.take("default")
        assert job.headers["x-death"][0]["count"] == 1  # a new publish each time: nothing to carry on
        assert job.body == b"job", attempt
        laravel_later(client, job.body, SECOND)
        client.ack(job)


# --- Sneakers' Maxretry handler: rejected to QUEUE-retry, back by QUEUE-retry-requeue, at last to QUEUE-error


def sneakers(client: TopologyClient) -> None:
    for name in ("work-retry", "work-retry-requeue", "work-error"):
        client.exchange(name)
    client.queue("work-retry", dead_letter_exchange="work-retry-requeue", message_ttl=60 * SECOND)
    client.bind("work-retry", "work-retry", "#")
    client.queue("work-error")
    client.bind("work-error", "work-error", "#")
    client.queue("work", dead_letter_exchange="work-retry")
    client.exchange("sneakers", "direct")
    client.bind("work", "sneakers", "work")
    client.bind("work", "work-retry-requeue", "#")


def rejections(message: Delivered) -> int:
    """How often the queue has rejected a message: what Maxretry counts."""
    deaths = message.headers.get("x-death", [])
    return sum(death["count"] for death in deaths if death["queue"] == "work")


def test_sneakers_retries_three_times() -> None:
    client = TopologyClient()
    sneakers(client)
    client.send(b"job", "work", "sneakers")
    for failures in range(3):
        message = client.take("work")
        assert rejections(message) == failures
        client.reject(message)
        assert client.ready("work-retry") == 1
        client.wait(60 * SECOND)
    message = client.take("work")
    assert rejections(message) == 3
    assert [(death["queue"], death["reason"]) for death in message.headers["x-death"]] == [
        ("work-retry", "expired"),
        ("work", "rejected"),
    ]
    client.send(b"failed", "work", "work-error")
    client.ack(message)
    assert client.take("work-error").body == b"failed"


# --- Spring Cloud Stream (autoBindDlq, dlqTtl, republishToDlq)


def spring(client: TopologyClient, **dlq: object) -> None:
    client.exchange("orders", "topic")
    client.exchange("DLX", "direct")
    client.queue("orders.app", dead_letter_exchange="DLX", dead_letter_routing_key="orders.app")
    client.bind("orders.app", "orders", "#")
    client.queue("orders.app.dlq", **dlq)
    client.bind("orders.app.dlq", "DLX", "orders.app")


def test_spring_dead_letters_a_rejected_message() -> None:
    client = TopologyClient()
    spring(client)
    client.send(b"order", "orders", "orders")
    client.reject(client.take("orders.app"))
    dead = client.take("orders.app.dlq")
    assert (dead.exchange, dead.routing_key) == ("DLX", "orders.app")
    assert dead.headers["x-death"][0]["routing-keys"] == ["orders"]


def test_spring_republishes_with_the_stack_trace() -> None:
    client = TopologyClient()
    spring(client)
    client.send(b"order", "orders", "orders")
    message = client.take("orders.app")
    trace = "at org.example.Orders.take(Orders.java:42)\n" * 2000
    headers = {
        "x-exception-message": "boom",
        "x-exception-stacktrace": trace,
        "x-original-exchange": message.exchange,
        "x-original-routingKey": message.routing_key,
    }
    client.send(message.body, "orders.app", "DLX", headers=headers)
    client.ack(message)
    assert client.take("orders.app.dlq").headers == headers


def test_spring_returns_a_message_when_the_ttl_of_the_dlq_is_over() -> None:
    client = TopologyClient()
    spring(client, message_ttl=10 * SECOND, dead_letter_exchange="", dead_letter_routing_key="orders.app")
    client.send(b"order", "orders", "orders")
    for count in (1, 2, 3):
        client.reject(client.take("orders.app"))
        client.wait(10 * SECOND)
        assert client.ready("orders.app") == 1
        message = client.take("orders.app")
        assert {death["queue"]: death["count"] for death in message.headers["x-death"]} == {
            "orders.app": count,
            "orders.app.dlq": count,
        }
        client.reject(message, requeue=True)
