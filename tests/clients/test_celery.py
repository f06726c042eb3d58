"""Celery: a prefork worker, results over rpc://, remote control and events."""

import importlib
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from celery import chain, chord, group
from celery.exceptions import NotRegistered, TaskRevokedError

from tests.hang import HANG_SECONDS

APPS = Path(__file__).resolve().parent / "apps"
WAIT = HANG_SECONDS

# Celery leaves the sockets of its pooled connections to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:.*:pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def tasks(broker_url: str) -> Iterator[ModuleType]:
    """The application's module, configured for the broker under test; its topology is deleted at the end."""
    prefix = "celery-suite-" + uuid.uuid4().hex[:8]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CELERY_BROKER_URL", broker_url)
        patch.setenv("CLIENT_SUITE", prefix)
        patch.syspath_prepend(str(APPS))
        tasks = importlib.import_module("celery_app")
        yield tasks
        del sys.modules["celery_app"]
    with tasks.app.connection_for_write() as connection:
        channel = connection.default_channel
        channel.queue_delete(prefix)
        for exchange in (
            prefix,
            prefix + ".events",
            prefix + ".control.pidbox",
            "reply." + prefix + ".control.pidbox",
        ):
            channel.exchange_delete(exchange)
    tasks.app.close()


@pytest.fixture(scope="module")
def worker(tasks: ModuleType, broker_url: str, spawn: Callable[..., Any]) -> Iterator[str]:
    """The name of a worker that runs during the tests of this module and is stopped afterwards."""
    hostname = f"w@{tasks.PREFIX}"
    process = spawn(
        *(
            sys.executable,
            "-m",
            "celery",
            "-A",
            "celery_app",
            "worker",
            "--pool",
            "prefork",
            "--concurrency",
            "2",
        ),
        *("--hostname", hostname, "--loglevel", "INFO", "--task-events"),
        env={"PYTHONPATH": str(APPS), "CELERY_BROKER_URL": broker_url, "CLIENT_SUITE": tasks.PREFIX},
        cwd=APPS,
    )
    process.await_line(r"w@.* ready\.$")
    yield hostname
    code = process.stop()
    assert code == 0, process.output
    assert "Couldn't ack" not in process.output
    assert "Connection to broker lost" not in process.output


@pytest.fixture
def control(tasks: ModuleType, worker: str) -> Any:
    return tasks.app.control


@pytest.fixture
def inspect(control: Any, worker: str) -> Any:
    """Inspect one worker; calls return as soon as it has answered."""
    return control.inspect(destination=[worker], timeout=WAIT)


def test_results_come_back_over_rpc(tasks: ModuleType, worker: str) -> None:
    results = [tasks.add.delay(number, 1) for number in range(30)]
    assert [result.get(timeout=WAIT) for result in results] == list(range(1, 31))


def test_the_exception_of_a_task_comes_back(tasks: ModuleType, worker: str) -> None:
    with pytest.raises(ValueError, match="on purpose"):
        tasks.fail.delay("on purpose").get(timeout=WAIT)


def test_failed_tasks_are_retried(tasks: ModuleType, worker: str) -> None:
    assert tasks.flaky.delay(2).get(timeout=WAIT) == 2
    with pytest.raises(KeyError):
        tasks.hopeless.delay().get(timeout=WAIT)


def test_tasks_with_a_countdown_or_eta_run_at_their_time(tasks: ModuleType, worker: str) -> None:
    start = time.monotonic()
    later = tasks.add.apply_async((1, 1), countdown=1)
    eta = tasks.add.apply_async((2, 2), eta=datetime.now(UTC) + timedelta(seconds=0.5))
    at_once = tasks.add.delay(3, 3)
    assert at_once.get(timeout=WAIT) == 6
    assert eta.get(timeout=WAIT) == 4
    assert later.get(timeout=WAIT) == 2
    assert time.monotonic() - start > 0.9


def test_many_etas_do_not_use_up_the_prefetch(tasks: ModuleType, worker: str) -> None:
    """The worker raises its prefetch count by basic.qos for every message that it delays."""
    waiting = [tasks.add.apply_async((number, 0), countdown=1.0) for number in range(12)]
    assert tasks.add.delay(1, 2).get(timeout=WAIT) == 3
    assert sorted(result.get(timeout=WAIT) for result in waiting) == list(range(12))


def test_chains_and_groups_return_their_results(tasks: ModuleType, worker: str) -> None:
    assert chain(tasks.add.s(1, 2), tasks.add.s(3), tasks.add.s(4)).apply_async().get(timeout=WAIT) == 10
    assert group(tasks.add.s(number, number) for number in range(5)).apply_async().get(timeout=WAIT) == [
        *(0, 2, 4, 6, 8)
    ]
    with pytest.raises(NotImplementedError):  # rpc:// has no chords, says Celery
        chord([tasks.add.s(1, 1)], tasks.add.s(1)).apply_async()


def test_a_rejected_task_is_redelivered(tasks: ModuleType, worker: str) -> None:
    assert tasks.rejected.delay().get(timeout=WAIT) == "redelivered"


def test_a_task_with_late_ack_runs_again_after_its_process_died(tasks: ModuleType, worker: str) -> None:
    assert tasks.die.delay().get(timeout=WAIT) == "survived"


def test_a_task_sees_how_it_was_delivered(tasks: ModuleType, worker: str) -> None:
    info = tasks.delivery.apply_async(priority=5).get(timeout=WAIT)
    assert info == {"exchange": "", "routing_key": tasks.PREFIX, "priority": 5, "redelivered": False}


def test_a_large_result_is_returned(tasks: ModuleType, worker: str) -> None:
    assert len(tasks.big.delay(2_000_000).get(timeout=WAIT)) == 2_000_000


def test_unregistered_task_is_discarded(tasks: ModuleType, worker: str) -> None:
    with pytest.raises(NotRegistered):
        tasks.app.send_task("unheard-of").get(timeout=WAIT)
    assert tasks.add.delay(1, 1).get(timeout=WAIT) == 2


def test_inspect_shows_tasks_and_queues(
    tasks: ModuleType, worker: str, inspect: Any, deadline: Callable[..., Any]
) -> None:
    assert inspect.ping() == {worker: {"ok": "pong"}}
    assert {"add", "fail", "flaky", "limited [rate_limit=100/s]"} <= set(inspect.registered()[worker])
    left = deadline()
    while inspect.active()[worker]:  # a result may arrive before its task counts as over
        left()
    (queue,) = inspect.active_queues()[worker]
    assert (queue["name"], queue["exchange"]["type"]) == (tasks.PREFIX, "direct")
    stats = inspect.stats()[worker]
    assert stats["broker"]["transport"] == "amqp"
    assert stats["pool"]["max-concurrency"] == 2


def test_inspect_shows_scheduled_tasks(
    tasks: ModuleType, inspect: Any, worker: str, deadline: Callable[..., Any]
) -> None:
    result = tasks.add.apply_async((1, 1), countdown=3600)
    left = deadline()
    while not (waiting := inspect.scheduled()[worker]):
        left()
    assert [one["request"]["id"] for one in waiting] == [result.id]
    tasks.app.control.revoke(result.id)


def test_a_broadcast_ping_is_answered(tasks: ModuleType, worker: str) -> None:
    assert tasks.app.control.broadcast("ping", reply=True, limit=1, timeout=WAIT) == [
        {worker: {"ok": "pong"}}
    ]


def test_a_rate_limit_holds(tasks: ModuleType, worker: str, control: Any) -> None:
    (reply,) = control.rate_limit("limited", "5/s", reply=True, destination=[worker], timeout=WAIT)
    assert reply == {worker: {"ok": "new rate limit set successfully"}}
    start = time.monotonic()
    results = [tasks.limited.delay(number) for number in range(6)]
    assert sorted(result.get(timeout=WAIT) for result in results) == list(range(6))
    assert time.monotonic() - start > 0.7
    control.rate_limit("limited", "0", reply=True, destination=[worker], timeout=WAIT)


def test_a_revoked_task_does_not_run(tasks: ModuleType, worker: str, control: Any) -> None:
    name = uuid.uuid4().hex
    assert control.broadcast(
        "revoke",
        {"task_id": name, "terminate": False},
        destination=[worker],
        reply=True,
        timeout=WAIT,
        limit=1,
    )
    with pytest.raises(TaskRevokedError):
        tasks.add.apply_async((1, 1), task_id=name).get(timeout=WAIT)


def test_a_worker_starts_and_stops_consuming_from_a_queue(
    tasks: ModuleType, worker: str, control: Any, deadline: Callable[..., Any]
) -> None:
    extra = tasks.PREFIX + "-extra"
    try:
        (reply,) = control.add_consumer(extra, reply=True, destination=[worker], timeout=WAIT)
        assert reply == {worker: {"ok": f"add consumer {extra}"}}
        assert tasks.add.apply_async((1, 1), queue=extra).get(timeout=WAIT) == 2
        (reply,) = control.cancel_consumer(extra, reply=True, destination=[worker], timeout=WAIT)
        assert reply == {worker: {"ok": f"no longer consuming from {extra}"}}
        left = deadline()
        with tasks.app.connection_for_write() as connection:  # the worker answers first, then cancels
            while connection.default_channel.queue_declare(extra, passive=True).consumer_count:
                left()
    finally:
        with tasks.app.connection_for_write() as connection:
            connection.default_channel.queue_delete(extra)
            connection.default_channel.exchange_delete(extra)


def test_task_and_worker_events_are_received(tasks: ModuleType, worker: str) -> None:
    """Events come over the topic exchange from the moment the receiver consumes."""
    seen: list[dict[str, Any]] = []
    asked: list[str] = []
    with tasks.app.connection_for_read() as connection:

        class Receiver(tasks.app.events.Receiver):  # type: ignore[name-defined,misc]
            def on_consume_ready(self, *args: Any, **options: Any) -> None:
                super().on_consume_ready(*args, **options)
                asked.append(tasks.add.delay(20, 22).id)

        def on_event(event: dict[str, Any]) -> None:
            seen.append(event)
            kinds = {one["type"] for one in seen if one.get("uuid") in asked}
            if {"task-succeeded", "task-sent"} <= kinds and any(
                one["type"] == "worker-heartbeat" for one in seen
            ):
                receiver.should_stop = True

        receiver = Receiver(connection, handlers={"*": on_event}, app=tasks.app)
        receiver.capture(timeout=WAIT)
    mine = {one["type"]: one for one in seen if one.get("uuid") == asked[0]}
    assert {"task-sent", "task-received", "task-started", "task-succeeded"} <= set(mine)
    assert mine["task-succeeded"]["result"] == "42"
    assert mine["task-succeeded"]["hostname"] == worker
