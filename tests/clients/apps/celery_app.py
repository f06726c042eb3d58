"""The Celery application of the client tests: its tasks, and the settings of worker and test.

Worker and test import this module. ``CELERY_BROKER_URL`` is the broker; ``CLIENT_SUITE`` is a prefix of the queue
names, so that several runs do not share queues.
"""

import os
from typing import Any

from celery import Celery, Task
from celery.exceptions import Reject

PREFIX = os.environ.get("CLIENT_SUITE", "client-suite")

app = Celery(PREFIX, set_as_current=False)
app.conf.update(
    broker_url=os.environ.get("CELERY_BROKER_URL", "amqp://guest:guest@127.0.0.1:5672/"),
    broker_connection_retry_on_startup=False,
    broker_transport_options={"confirm_publish": True},
    control_exchange=PREFIX + ".control",
    event_exchange=PREFIX + ".events",
    event_queue_prefix=PREFIX + ".events",
    result_backend="rpc://",
    result_expires=60,
    task_acks_late=True,
    task_default_exchange=PREFIX,
    task_default_queue=PREFIX,
    task_default_routing_key=PREFIX,
    task_queue_max_priority=10,
    task_send_sent_event=True,
    task_track_started=True,
    worker_enable_remote_control=True,
    worker_hijack_root_logger=False,
    worker_prefetch_multiplier=2,
    worker_send_task_events=True,
)


@app.task(name="add")
def add(a: int, b: int) -> int:
    return a + b


@app.task(name="fail")
def fail(text: str) -> None:
    raise ValueError(text)


@app.task(name="flaky", bind=True, max_retries=3)
def flaky(self: Task, failures: int) -> int:
    """Fail ``failures`` times, with a retry at once; returns the number of the attempt that succeeded."""
    if self.request.retries < failures:
        raise self.retry(countdown=0)
    return self.request.retries


@app.task(name="hopeless", bind=True, autoretry_for=(KeyError,), max_retries=2, default_retry_delay=0)
def hopeless(self: Task) -> None:
    raise KeyError(self.request.retries)


@app.task(name="delivery", bind=True)
def delivery(self: Task) -> dict[str, Any]:
    """Return how this task was delivered."""
    return dict(self.request.delivery_info)


@app.task(name="rejected", bind=True)
def rejected(self: Task) -> str:
    """Reject the first delivery with requeue; returns "redelivered" for the second one."""
    if not self.request.delivery_info["redelivered"]:
        raise Reject("once more", requeue=True)
    return "redelivered"


@app.task(name="die", bind=True, reject_on_worker_lost=True)
def die(self: Task) -> str:
    """Kill the own pool process at the first delivery; the task is acknowledged late, so that it must be delivered
    again."""
    if not self.request.delivery_info["redelivered"]:
        os._exit(1)
    return "survived"


@app.task(name="limited", rate_limit="100/s")
def limited(number: int) -> int:
    return number


@app.task(name="big")
def big(size: int) -> str:
    return "x" * size
