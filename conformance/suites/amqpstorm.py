"""amqpstorm: its client of the management API, and its connections and channels."""

from conformance.suites.pins import SUITES, tools
from conformance.suites.suite import Edit, Suite

SUITE = Suite(
    name="amqpstorm",
    version=SUITES["amqpstorm"],
    registry="pypi",
    needs=(*tools("pytest", "pytest-timeout"), "amqpstorm[management]"),
    tests=("amqpstorm/tests/functional",),
    environment={
        "AMQP_HOST": "$HOST",
        "AMQP_USERNAME": "guest",
        "AMQP_PASSWORD": "guest",
        "AMQP_URI": "amqp://guest:guest@$HOST:$PORT/%2F",
        "AMQP_HTTP_URL": "http://$HOST:$HTTP",
    },
    edits=(
        Edit("amqpstorm/connection.py", "port: int = 5672", "port: int = $PORT"),
        Edit("amqpstorm/tests/functional/utility.py", "'timeout', 1)", "'timeout', 10)"),
    ),
    files={"pytest.ini": "[pytest]\n"},
    left_out={
        "ssl": "needs the TLS certificates of the client's CI image",
    },
)
