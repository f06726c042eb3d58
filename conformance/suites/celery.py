"""Celery: a worker with prefork on the AMQP broker, results in Redis as in its own CI."""

from conformance.suites.pins import SUITES, tools
from conformance.suites.suite import Suite

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
    tests=("t/integration",),
    environment={
        "TEST_BROKER": "pyamqp://guest:guest@$HOST:$PORT//",
        "TEST_BACKEND": "redis://$REDIS/0",
    },
    redis=True,
    seconds=1800,
    each=300,
)
