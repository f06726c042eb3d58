"""kombu over py-amqp: exchange types, priorities, TTL, failover, event loop."""

from conformance.suites.pins import SUITES, tools
from conformance.suites.suite import Suite

SUITE = Suite(
    name="kombu",
    version=SUITES["kombu"],
    registry="pypi",
    needs=tools("pytest", "pytest-timeout", "pytest-rerunfailures"),
    tests=("t/integration/test_py_amqp.py",),
    environment={"RABBITMQ_HOST": "$HOST", "RABBITMQ_5672_TCP": "$PORT"},
)
