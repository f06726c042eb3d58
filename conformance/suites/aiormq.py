"""aiormq: connections, channels, confirms, and their failures."""

from pathlib import Path

from conformance.suites.aio_pika import DOCKER
from conformance.suites.pins import SUITES, tools
from conformance.suites.suite import Suite

SUITE = Suite(
    name="aiormq",
    version=SUITES["aiormq"],
    registry="pypi",
    needs=tools("pytest", "pytest-timeout", "aiomisc-pytest"),
    tests=("tests",),
    files={
        "conftest.py": (Path(__file__).resolve().parent / "inside/fixtures.txt").read_text(),
        "tests/docker_client.py": DOCKER,
    },
    left_out={
        "amqps": "needs the TLS certificates of the client's CI image",
        "test_ssl": "needs the TLS certificates of the client's CI image",
    },
)
