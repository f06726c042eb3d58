"""py-amqp: connections, channels, publish, consume, and the frames of both in its integration tests."""

from conformance.suites.pins import SUITES, tools
from conformance.suites.suite import Suite

SUITE = Suite(
    name="amqp",
    version=SUITES["amqp"],
    registry="pypi",
    needs=tools("pytest", "pytest-timeout", "pytest-rerunfailures"),
    tests=("t/integration/test_rmq.py",),
    environment={"RABBITMQ_HOST": "$HOST", "RABBITMQ_5672_TCP": "$PORT"},
    left_out={"tls": "needs the TLS certificates of the client's CI image"},
)
