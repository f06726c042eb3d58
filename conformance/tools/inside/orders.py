"""A Celery application without tasks, whose queues Flower shows."""

from celery import Celery
from kombu import Queue

app = Celery("orders")
app.conf.task_queues = [Queue(name) for name in ("classic", "quorum", "stream", "nosuch")]
app.conf.task_default_queue = "classic"
