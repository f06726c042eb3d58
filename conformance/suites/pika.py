"""pika: blocking, asyncio, select, tornado and twisted connections.

Its packages on PyPI have no tests, Debian's source package has.
"""

from pathlib import Path

from conformance.suites.pins import SUITES, tools
from conformance.suites.suite import Edit, Suite

SUITE = Suite(
    name="pika",
    version=SUITES["pika"],
    registry="debian",
    package="python-pika",
    needs=(*tools("pytest", "pytest-timeout"), "tornado", "twisted", "gevent"),
    tests=("tests/acceptance",),
    edits=(
        Edit("tests/acceptance/blocking_adapter_test.py", "{'port': 5672}", "{'port': $PORT}"),
        Edit("tests/base/async_test_base.py", "host='localhost', port=5672", "host='$HOST', port=$PORT"),
    ),
    files={
        "pytest.ini": "[pytest]\npython_files = *_test.py *_tests.py\n",
        "nose/__init__.py": "",
        "nose/twistedtools.py": (Path(__file__).resolve().parent / "inside/twistedtools.txt").read_text(),
    },
    left_out={
        "io_services_tests": "tests event loops and sockets, not a broker",
    },
)
