"""Celery's pytest fixtures on the broker of the session: `pytest_plugins = ["leveret.testing.celery"]` in conftest.py.

`celery_app` and `celery_worker` of `celery.contrib.pytest` use it then. Their configuration is one for the session, so
all tests share one virtual host: `leveret_celery` is the broker's view of it. `working` runs a worker of an application
of one's own, in the virtual host of a test.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from leveret.testing.broker import Broker

#: The virtual host of Celery's tests.
VHOST = "celery"


@pytest.fixture(scope="session")
def leveret_celery(leveret_proc: Broker) -> Broker:
    """The broker that Celery uses: a view of one virtual host for the session."""
    return leveret_proc.vhost(VHOST)


@pytest.fixture(scope="session")
def celery_config(leveret_celery: Broker) -> dict[str, str]:
    """The configuration of Celery's test application: our broker, and results over it."""
    return {"broker_url": leveret_celery.url, "result_backend": "rpc://"}


#: Options of a worker. On a busy machine, Celery's 10 seconds for its end may pass.
_WORKER = {"perform_ping_check": False, "loglevel": "ERROR", "shutdown_timeout": 60.0}


class _Request(Protocol):
    """What a worker knows of a task that it has received."""

    app: object
    id: str


# An application is `Any`: Celery has no types, and stubs for it differ.
@contextmanager
def working(app: Any, broker: Broker, **options: object) -> Iterator[None]:
    """Run a worker of an application in a thread, on this broker; tasks are sent there, too. `options`: of
    `celery.contrib.testing.worker.start_worker`. The application is as before afterwards."""
    if not hasattr(app, "conf") or not hasattr(broker, "url"):
        raise TypeError(
            f"working(app, broker) takes an application of Celery and a Broker, not {app!r}, {broker!r}"
        )
    testing = importlib.import_module("celery.contrib.testing.worker")
    state: Any = importlib.import_module("celery.worker.state")
    names = ("broker_url", "broker_read_url", "broker_write_url", "task_always_eager")
    before = {name: getattr(app.conf, name) for name in names}
    app.conf.update(dict.fromkeys(names[:3], broker.url), task_always_eager=False)
    _forget_connections(app)
    try:
        with testing.start_worker(app, **{**_WORKER, **options}):
            yield
            app.control.shutdown()  # it would look for its end only after the next message
    finally:
        state.should_stop = None
        app.pool.force_close_all()
        app.conf.update(before)
        _forget_connections(app)


def _forget_connections(app: Any) -> None:
    """Have an application connect anew: it keeps connections to the broker that it was configured for first."""
    app.close()
    app.__dict__.pop("amqp", None)


@contextmanager
def attach(app: object, broker: Broker) -> Iterator[None]:
    """Hold the broker's clock from a task's receipt to its end, in workers of this process: a task that has
    acknowledged early is work that the broker cannot see."""
    signals = importlib.import_module("celery.signals")

    held: dict[str, AbstractContextManager[None]] = {}

    def received(sender: object = None, request: _Request | None = None, **_: object) -> None:
        if request is None or request.app is not app or request.id in held:
            return
        held[request.id] = broker.clock.hold()
        held[request.id].__enter__()

    def ended(sender: object = None, task_id: str | None = None, request: object = None, **_: object) -> None:
        hold = held.pop(str(task_id or getattr(request, "id", "")), None)
        if hold is not None:
            hold.__exit__(None, None, None)

    ends = (signals.task_postrun, signals.task_revoked, signals.task_rejected)
    signals.task_received.connect(received, weak=False)
    for signal in ends:
        signal.connect(ended, weak=False)
    try:
        yield
    finally:
        signals.task_received.disconnect(received)
        for signal in ends:
            signal.disconnect(ended)
        for hold in held.values():
            hold.__exit__(None, None, None)
