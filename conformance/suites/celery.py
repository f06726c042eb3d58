"""Celery: a worker with prefork on the AMQP broker, results in Redis as in its own CI."""

from conformance.suites.pins import SUITES, tools
from conformance.suites.suite import Suite

#: Tests that do not test the broker: result stores, memory, other releases.
OTHER = (
    *("backend", "cache_backend", "database_backend", "redis_backend", "upgrade"),
    *("mem_leak_in_exception_handling", "events_state_memory_leak", "backend_leak_in_fixture_teardown"),
)

SUITE = Suite(
    name="celery",
    version=SUITES["celery"],
    registry="pypi",
    needs=(
        *tools("pytest", "pytest-timeout", "pytest-rerunfailures", "pytest-subtests"),
        *(
            "celery[redis,pymemcache,sqlalchemy,auth,pydantic]",
            "pytest-celery>=1.3",
            "pytest-order",
            "freezegun",
            "psutil",
        ),
    ),
    tests=(
        "t/integration",
        *(f"--ignore=t/integration/test_{name}.py" for name in OTHER),
    ),
    environment={
        "TEST_BROKER": "pyamqp://guest:guest@$HOST:$PORT//",
        "TEST_BACKEND": "redis://127.0.0.1:$REDIS/0",
        "REDIS_HOST": "127.0.0.1",
        "REDIS_PORT": "$REDIS",
    },
    left_out={f"test_{name}.py": "does not test the broker" for name in OTHER},
    redis=True,
    seconds=1800,
    each=300,
)
