"""amqplib for Node: its promise and callback APIs; its tests of codecs and mock servers need no broker."""

from conformance.suites.pins import SUITES
from conformance.suites.suite import Edit, Suite

SUITE = Suite(
    name="amqplib",
    version=SUITES["amqplib"],
    registry="npm",
    tests=("test/callback_api.test.js", "test/channel_api.test.js", "test/connect.test.js"),
    environment={"URL": "amqp://$HOST:$PORT"},
    left_out={"ipv6": "the brokers listen on 127.0.0.1 only"},
    edits=(
        Edit("lib/connect.js", "5672", "$PORT"),
        Edit("test/connect.test.js", "'amqp://localhost'", "'amqp://$HOST:$PORT'"),
    ),
    each=10,
    seconds=300,
)
