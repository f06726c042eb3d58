"""Celery's ETA in the broker's time: a worker retries for a week, and no process is patched."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pika
import pytest
from celery import Celery
from celery.contrib.testing.worker import start_worker
from celery.worker import state

from leveret.testing import Broker
from leveret.testing import celery as leveret_celery
from tests.hang import HANG_SECONDS
from tests.toolkit.clients import connect

DAY = timedelta(days=1)

# Celery leaves the sockets of its pooled connections to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:.*:pytest.PytestUnraisableExceptionWarning"),
]


def application(broker: Broker, **settings: Any) -> Celery:
    app = Celery(f"toolkit-{uuid.uuid4().hex[:8]}", broker=broker.url, set_as_current=False)
    app.conf.update(
        task_acks_late=True,
        task_ignore_result=True,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=False,
        broker_connection_timeout=HANG_SECONDS,
        **settings,
    )
    return app


@contextmanager
def working(app: Celery) -> Iterator[None]:
    """A worker in a thread of this process."""
    try:
        options = {"perform_ping_check": False, "loglevel": "ERROR", "shutdown_timeout": HANG_SECONDS}
        with start_worker(app, pool="solo", **options):
            yield
            app.control.shutdown()  # it would look for its end only after the next message
    finally:
        state.should_stop = None
        app.close()


@pytest.fixture
def frozen() -> Iterator[Broker]:
    with Broker(clock="frozen") as broker:
        broker.clock.hold_eta = True
        yield broker


def test_a_task_retries_for_a_week(frozen: Broker) -> None:
    app = application(frozen)
    runs: list[datetime] = []

    @app.task(bind=True, max_retries=7, default_retry_delay=86400)
    def flaky(self: Any) -> None:
        runs.append(frozen.clock.now)
        if len(runs) <= 7:
            raise self.retry()

    with working(app):
        began = frozen.clock.now
        flaky.delay()
        moves = frozen.clock.advance(timedelta(weeks=1))
    assert moves.kept == []
    assert [round((run - began) / DAY, 4) for run in runs] == list(range(8))


def test_a_back_off_of_a_week_goes_on_after_a_duplicate(frozen: Broker) -> None:
    app = application(frozen)
    runs: list[datetime] = []

    @app.task(
        name="backing off", bind=True, autoretry_for=(OSError,), max_retries=7, retry_jitter=False,
        retry_backoff=3600, retry_backoff_max=10**6,
    )  # fmt: skip
    def flaky(self: Any) -> None:
        runs.append(frozen.clock.now)
        raise OSError

    twice = frozen.faults.deliveries(queue="celery", nth=3).duplicate()
    with working(app):
        began = frozen.clock.now
        flaky.delay()
        moves = frozen.clock.run_until_idle()
    twice.assert_hit(1)
    assert moves.kept == []
    hours = [round((run - began).total_seconds() / 3600, 2) for run in runs]
    assert hours[:2] == [0, 1] and hours[2:] == [hour for hour in (3, 7, 15, 31, 63, 127) for _ in range(2)]


def test_an_application_of_one_s_own_works_in_one_virtual_host_after_another(frozen: Broker) -> None:
    app = Celery("own", broker="amqp://nowhere.invalid/", set_as_current=False)
    app.conf.update(task_acks_late=True, task_ignore_result=True, worker_hijack_root_logger=False)
    runs: list[datetime] = []

    @app.task(name="own task")
    def task() -> None:
        runs.append(frozen.clock.now)

    for number in range(2):
        with frozen.vhost() as view, leveret_celery.working(app, view):
            began = frozen.clock.now
            task.apply_async(countdown=3600)
            frozen.clock.run_until_idle()
            assert len(runs) == number + 1 and abs(runs[-1] - began - timedelta(hours=1)) < timedelta(
                minutes=1
            )
            assert view.queues["celery"].unacked == 0
    assert app.conf.broker_url == "amqp://nowhere.invalid/"


def test_a_worker_needs_an_application_and_a_broker(frozen: Broker) -> None:
    app = application(frozen)
    with (
        pytest.raises(TypeError, match="working\\(app, broker\\) takes"),
        leveret_celery.working(frozen, app),
    ):  # type: ignore[arg-type]
        pass
    app.close()


def test_an_eta_is_kept_to_the_broker_s_clock_and_delivered_without_the_header(frozen: Broker) -> None:
    app = application(frozen)

    @app.task(name="later")
    def later() -> None: ...

    with connect(frozen) as connection:
        channel = connection.channel()
        channel.queue_declare("celery", durable=True)
        began = frozen.clock.now
        later.apply_async(countdown=3600)
        due = frozen.clock.next()
        assert due is not None and due.what == "a task for queue 'celery' has waited for its ETA"
        assert abs(due.at - began - timedelta(hours=1)) < timedelta(minutes=1)
        assert channel.queue_declare("celery", passive=True).method.message_count == 0
        frozen.clock.run_until_idle(quiet=0)
        _, properties, body = channel.basic_get("celery", auto_ack=True)
        assert properties.headers["task"] == later.name and "eta" not in properties.headers
        assert body == b'[[], {}, {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]'
    app.close()


def test_tasks_that_wait_are_gone_with_their_virtual_host(frozen: Broker) -> None:
    with frozen.vhost() as view, connect(view) as connection:
        channel = connection.channel()
        channel.queue_declare("celery", durable=True)
        eta = (datetime.now(UTC) + DAY).isoformat()
        channel.basic_publish("", "celery", b"", pika.BasicProperties(headers={"eta": eta}))
        assert [due.queue for due in frozen.clock.due()] == ["celery"]
    assert frozen.clock.due() == []


def test_an_eta_in_the_past_and_one_that_nobody_can_read_are_delivered_at_once(frozen: Broker) -> None:
    with connect(frozen) as connection:
        channel = connection.channel()
        channel.queue_declare("q", durable=True)
        for eta in ("2020-01-01T00:00:00+00:00", "soon", 7, datetime(2000, 1, 1, tzinfo=UTC)):
            channel.basic_publish("", "q", b"", pika.BasicProperties(headers={"eta": eta}))
        assert channel.queue_declare("q", passive=True).method.message_count == 4


def test_without_hold_eta_nothing_waits(frozen: Broker) -> None:
    frozen.clock.hold_eta = False
    with connect(frozen) as connection:
        channel = connection.channel()
        channel.queue_declare("q", durable=True)
        channel.basic_publish(
            "", "q", b"", pika.BasicProperties(headers={"eta": "2100-01-01T00:00:00+00:00"})
        )
        assert channel.queue_declare("q", passive=True).method.message_count == 1


def test_native_delayed_delivery_waits_in_celery_s_own_queues(frozen: Broker) -> None:
    app = application(frozen, task_default_queue_type="quorum", worker_detect_quorum_queues=True)
    app.conf.task_default_exchange_type = "topic"
    runs: list[datetime] = []

    @app.task(name="natively later")
    def later() -> None:
        runs.append(frozen.clock.now)

    with working(app):
        began = frozen.clock.now
        later.apply_async(countdown=86400)
        moves = frozen.clock.advance(2 * DAY)
    assert [round((run - began) / DAY, 3) for run in runs] == [1]
    assert moves.steps > 1
