"""Gives waits of the toolkit and of clients the time limit of tests: some seconds, their default, pass while a busy
machine does something else. Also a plugin of pytest, for tests that run in a process of their own.
"""

from __future__ import annotations

import inspect
from types import FunctionType
from typing import Any

from leveret.testing import AsyncBroker, AsyncClock, AsyncFault, Broker, Clock, Fault
from tests.hang import HANG_SECONDS

_LIMITS = ("timeout", "patience", "connect_timeout")


def connect_patiently() -> None:
    """Raise the limits of aio-pika's basic.get, and of kombu's connections."""
    from aio_pika.queue import Queue
    from kombu import Connection

    _raise_limits(Queue.get)
    _raise_limits(Connection.__init__)


def wait_patiently() -> None:
    """Raise the limits of the toolkit; those that a test gives stay."""
    for kind in (Broker, AsyncBroker, Clock, AsyncClock, Fault, AsyncFault):
        for method in vars(kind).values():
            if isinstance(method, FunctionType):
                _raise_limits(method)


def _raise_limits(method: Any) -> None:
    """Raise the limits that are defaults of a function."""
    parameters = inspect.signature(method).parameters.values()
    given = {one.name: HANG_SECONDS if one.name in _LIMITS else one.default for one in parameters}
    optional = [one for one in parameters if one.default is not one.empty]
    method.__defaults__ = tuple(given[one.name] for one in optional if one.kind is not one.KEYWORD_ONLY)
    method.__kwdefaults__ = {one.name: given[one.name] for one in optional if one.kind is one.KEYWORD_ONLY}


def pytest_configure() -> None:
    """Begin a session."""
    wait_patiently()
