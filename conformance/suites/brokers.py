"""The two brokers, both started with the same rabbitmq.conf, or those of two URLs."""

import re
import socket
import subprocess
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conformance import rabbitmq
from conformance.leveret import serving
from conformance.packages import PackageError, need
from conformance.suites.suite import Broker

#: Settings the clients' own CI brokers have: their suites declare queues that 4.3 denies by default.
CONF = (
    "deprecated_features.permit.transient_nonexcl_queues = true",
    "deprecated_features.permit.global_qos = true",
    "max_message_size = 134217728",
)
#: Added to the ports of `conformance.rabbitmq`, so that the suites have a RabbitMQ and data of their own.
SHIFT = 2300


class BrokerError(Exception):
    """A broker does not answer, or Redis did not start."""


@contextmanager
def rabbit(url: str = "") -> Iterator[Broker]:
    """RabbitMQ: the one of the URL, or a new node that is stopped afterwards."""
    if url:
        yield named("RabbitMQ", url)
        return
    node = rabbitmq.server("4.3", SHIFT)
    node.install()
    node.reset()
    node.configure(*CONF)
    try:
        running = node.start()
        yield named("RabbitMQ", running.amqp_url, running.http_url)
    finally:
        node.reset()


@contextmanager
def leveret(cache: Path, url: str = "") -> Iterator[Broker]:
    """Leveret: the one of the URL, or one served from this tree."""
    if url:
        yield named("Leveret", url)
        return
    conf = cache / "rabbitmq.conf"
    conf.parent.mkdir(parents=True, exist_ok=True)
    conf.write_text("\n".join(CONF) + "\n")
    with serving("4.3", conf) as target:
        yield named("Leveret", target.amqp_url, target.http_url)


@contextmanager
def redis(cache: Path, name: str) -> Iterator[str]:
    """A Redis for the results of one broker on 127.0.0.1; returns its port. Raises BrokerError if there is none to
    start."""
    try:
        program = need("redis-server")
    except PackageError as error:
        raise BrokerError(str(error)) from error
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with (cache / f"redis-{name}.log").open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, cwd=cache)
    try:
        while not rabbitmq.accepts(port):
            time.sleep(0.02)
            if process.poll() is not None:
                raise BrokerError("redis-server did not start")
        yield str(port)
    finally:
        process.terminate()
        process.wait(10)


def named(name: str, url: str, http_url: str = "") -> Broker:
    """The broker of an AMQP URL. `http_url`: of its HTTP API; the default is the usual port."""
    parts, http = urllib.parse.urlsplit(url), urllib.parse.urlsplit(http_url)
    return Broker(name, parts.hostname or "127.0.0.1", parts.port or 5672, http.port or 15672)


def version(broker: Broker) -> str:
    """Return the product and version in connection.start."""
    with socket.create_connection((broker.host, broker.port), 10) as peer:
        peer.sendall(b"AMQP\x00\x00\x09\x01")
        start = b""
        while not (found := re.search(rb"\x07versionS....([0-9.a-z+-]+)", start, re.DOTALL)):
            if not (more := peer.recv(65536)):
                raise BrokerError(f"{broker.name} says no version")
            start += more
    return found[1].decode()
