"""Delays and retries by queues that expire into the next: dramatiq, Symfony Messenger, Laravel, Sneakers, Spring."""

from __future__ import annotations

from .town import DAY, SECOND, Delivered, Town

# --- dramatiq (dramatiq.brokers.rabbitmq): a queue, its delay queue .DQ, its dead letter queue .XQ


def dramatiq(town: Town) -> None:
    dead = {"dead_letter_exchange": "", "dead_letter_routing_key": "default.XQ"}
    town.queue("default", **dead)
    town.queue("default.DQ", **dead)
    town.queue("default.XQ", message_ttl=7 * DAY)


def test_dramatiq_delay() -> None:
    town = Town()
    dramatiq(town)
    town.send(b"actor", "default.DQ")
    held = town.take("default.DQ")  # the worker holds it until its time
    town.wait(30 * SECOND)
    town.send(held.body, "default")
    town.ack(held)
    assert town.take("default").body == b"actor"
    assert town.ready("default.DQ") == 0


def test_dramatiq_dead_letters_are_kept_a_week() -> None:
    town = Town()
    dramatiq(town)
    town.send(b"actor", "default")
    town.reject(town.take("default"))
    town.wait(7 * DAY - 1)
    dead = town.take("default.XQ")
    assert dead.headers["x-first-death-reason"] == "rejected"
    town.reject(dead, requeue=True)
    town.wait(1)
    assert town.get("default.XQ") is None


# --- Symfony Messenger (amqp-messenger Connection): a queue for every delay, behind the exchange `delays`


def symfony(town: Town) -> None:
    town.exchange("messages", "fanout")
    town.queue("messages")
    town.bind("messages", "messages")
    town.exchange("delays", "direct")


def symfony_delay(town: Town, body: bytes, delay: int, action: str = "delay") -> str:
    """Declared again with each message, which starts its x-expires anew."""
    name = f"delay_messages__{delay}_{action}"
    town.queue(
        name,
        message_ttl=delay,
        expires=delay + 10 * SECOND,
        dead_letter_exchange="messages",
        dead_letter_routing_key="",
    )
    town.bind(name, "delays", name)
    town.send(body, name, "delays")
    return name


def test_symfony_delay_and_its_queue() -> None:
    town = Town()
    symfony(town)
    name = symfony_delay(town, b"one", 5 * SECOND)
    town.wait(4 * SECOND)
    symfony_delay(town, b"two", 5 * SECOND)
    town.wait(SECOND)
    one = town.take("messages")
    assert (one.body, one.routing_key, one.headers["x-death"][0]["queue"]) == (b"one", "", name)
    assert town.get("messages") is None
    town.wait(4 * SECOND)
    assert town.take("messages").body == b"two"
    # 15 s after the second declaration, not the first.
    town.wait(10 * SECOND - 1)
    assert name in town.queues()
    town.wait(1)
    assert name not in town.queues()


# --- Laravel (vladimir-yuldashev/laravel-queue-rabbitmq): QUEUE.delay.TTL, by the default exchange


def laravel_later(town: Town, body: bytes, ttl: int) -> str:
    name = town.queue(
        f"default.delay.{ttl}",
        dead_letter_exchange="",
        dead_letter_routing_key="default",
        message_ttl=ttl,
        expires=ttl * 2,
    )
    town.send(body, name)
    return name


def test_laravel_later() -> None:
    town = Town()
    town.queue("default")
    name = laravel_later(town, b"job", 60 * SECOND)
    town.wait(60 * SECOND)
    assert town.take("default").routing_key == "default"
    assert name in town.queues()
    town.wait(60 * SECOND)
    assert name not in town.queues()


def test_laravel_release_counts_attempts() -> None:
    town = Town()
    town.queue("default")
    laravel_later(town, b"job", SECOND)
    for attempt in range(1, 4):
        town.wait(SECOND)
        job = town.take("default")
        assert job.headers["x-death"][0]["count"] == 1  # a new publish each time: nothing to carry on
        assert job.body == b"job", attempt
        laravel_later(town, job.body, SECOND)
        town.ack(job)


# --- Sneakers' Maxretry handler: rejected to QUEUE-retry, back by QUEUE-retry-requeue, at last to QUEUE-error


def sneakers(town: Town) -> None:
    for name in ("work-retry", "work-retry-requeue", "work-error"):
        town.exchange(name)
    town.queue("work-retry", dead_letter_exchange="work-retry-requeue", message_ttl=60 * SECOND)
    town.bind("work-retry", "work-retry", "#")
    town.queue("work-error")
    town.bind("work-error", "work-error", "#")
    town.queue("work", dead_letter_exchange="work-retry")
    town.exchange("sneakers", "direct")
    town.bind("work", "sneakers", "work")
    town.bind("work", "work-retry-requeue", "#")


def rejections(message: Delivered) -> int:
    """How often the queue has rejected it: what Maxretry counts."""
    deaths = message.headers.get("x-death", [])
    return sum(death["count"] for death in deaths if death["queue"] == "work")


def test_sneakers_retries_three_times() -> None:
    town = Town()
    sneakers(town)
    town.send(b"job", "work", "sneakers")
    for failures in range(3):
        message = town.take("work")
        assert rejections(message) == failures
        town.reject(message)
        assert town.ready("work-retry") == 1
        town.wait(60 * SECOND)
    message = town.take("work")
    assert rejections(message) == 3
    assert [(death["queue"], death["reason"]) for death in message.headers["x-death"]] == [
        ("work-retry", "expired"),
        ("work", "rejected"),
    ]
    town.send(b"failed", "work", "work-error")
    town.ack(message)
    assert town.take("work-error").body == b"failed"


# --- Spring Cloud Stream (autoBindDlq, dlqTtl, republishToDlq)


def spring(town: Town, **dlq: object) -> None:
    town.exchange("orders", "topic")
    town.exchange("DLX", "direct")
    town.queue("orders.app", dead_letter_exchange="DLX", dead_letter_routing_key="orders.app")
    town.bind("orders.app", "orders", "#")
    town.queue("orders.app.dlq", **dlq)
    town.bind("orders.app.dlq", "DLX", "orders.app")


def test_spring_rejects_to_the_dlq() -> None:
    town = Town()
    spring(town)
    town.send(b"order", "orders", "orders")
    town.reject(town.take("orders.app"))
    dead = town.take("orders.app.dlq")
    assert (dead.exchange, dead.routing_key) == ("DLX", "orders.app")
    assert dead.headers["x-death"][0]["routing-keys"] == ["orders"]


def test_spring_republishes_with_the_stack_trace() -> None:
    town = Town()
    spring(town)
    town.send(b"order", "orders", "orders")
    message = town.take("orders.app")
    trace = "at org.example.Orders.take(Orders.java:42)\n" * 2000
    headers = {
        "x-exception-message": "boom",
        "x-exception-stacktrace": trace,
        "x-original-exchange": message.exchange,
        "x-original-routingKey": message.routing_key,
    }
    town.send(message.body, "orders.app", "DLX", headers=headers)
    town.ack(message)
    assert town.take("orders.app.dlq").headers == headers


def test_spring_dlq_ttl_gives_back() -> None:
    town = Town()
    spring(town, message_ttl=10 * SECOND, dead_letter_exchange="", dead_letter_routing_key="orders.app")
    town.send(b"order", "orders", "orders")
    for count in (1, 2, 3):
        town.reject(town.take("orders.app"))
        town.wait(10 * SECOND)
        assert town.ready("orders.app") == 1
        message = town.take("orders.app")
        assert {death["queue"]: death["count"] for death in message.headers["x-death"]} == {
            "orders.app": count,
            "orders.app.dlq": count,
        }
        town.reject(message, requeue=True)
