"""aio-pika: connections, robust connections through a proxy that fails, RPC, master and worker."""

from pathlib import Path

from conformance.suites.pins import SUITES, tools
from conformance.suites.suite import Suite

#: Replaces the module that starts RabbitMQ in a container.
DOCKER = (Path(__file__).resolve().parent / "inside/docker_client.txt").read_text()

SUITE = Suite(
    name="aio-pika",
    version=SUITES["aio-pika"],
    registry="pypi",
    needs=(*tools("pytest", "pytest-timeout", "aiomisc", "aiomisc-pytest"), "shortuuid", "timeout-decorator"),
    tests=("tests",),
    files={"tests/docker_client.py": DOCKER},
    left_out={
        "test_amqps.py": "needs the TLS certificates of the client's CI image",
        "test_restore_topology_and_consumers": "stops and starts a container",
        "test_pool_consumer_survives_broker_restart": "stops and starts a container",
    },
)
