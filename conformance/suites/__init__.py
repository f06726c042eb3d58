"""The test suites of AMQP clients, run on RabbitMQ and on Leveret.

Each module named in `CLIENTS` describes one suite: the package with its tests, what has to be edited for another host
and port, what is run. Packages are fetched when they are needed and are not kept in the repository. `sources` fetches
and unpacks, `environments` makes a virtual environment for each suite, `brokers` starts the two brokers with the same
rabbitmq.conf, `running` runs the tests and records their outcomes, `table` writes SUITES.md. The command is `python -m
conformance suites`.
"""

import importlib

from conformance.suites.suite import Suite

CLIENTS = ("pika", "amqp", "kombu", "celery", "aio_pika", "aiormq", "amqplib", "amqpstorm")


def suites(only: list[str] | None = None) -> list[Suite]:
    """The suites by name (all if none is named), in the order of the table; ValueError for an unknown name."""
    names = [name.replace("-", "_") for name in only or CLIENTS]
    for name in names:
        if name not in CLIENTS:
            raise ValueError(f"no suite {name}: {', '.join(CLIENTS)}")
    return [importlib.import_module(f"{__name__}.{name}").SUITE for name in names]
