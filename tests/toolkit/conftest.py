"""A broker and clients for the tests of the toolkit."""

from __future__ import annotations

from collections.abc import Iterator

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from leveret.testing import Broker
from tests.patience import connect_patiently, wait_patiently

wait_patiently()
connect_patiently()


def connect(broker: Broker, name: str = "") -> pika.BlockingConnection:
    """Connect with pika, under a client-provided name."""
    parameters = pika.URLParameters(broker.url)
    if name:
        parameters.client_properties = {"connection_name": name}
    return pika.BlockingConnection(parameters)


@pytest.fixture
def broker() -> Iterator[Broker]:
    """A broker."""
    with Broker() as broker:
        yield broker


@pytest.fixture
def channel(broker: Broker) -> Iterator[BlockingChannel]:
    """A channel of a pika client named `worker`."""
    with connect(broker, "worker") as connection:
        yield connection.channel()
