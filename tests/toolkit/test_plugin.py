"""The pytest plugin, the mixin of unittest, and Celery's fixtures, in sessions of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

CONNECT = """
import pika

def connect(url, name="worker"):
    parameters = pika.URLParameters(url)
    parameters.client_properties = {"connection_name": name}
    return pika.BlockingConnection(parameters)
"""

#: Where the package and `tests.patience` are.
PYTHONPATH = f"{Path('broker').resolve()}{os.pathsep}{Path.cwd()}"

#: The plugin loads by itself where the package is installed with its entry point.
LOADED = any(each.value == "leveret.testing.plugin" for each in entry_points(group="pytest11"))


def run(path: Path, source: str, *arguments: str, ini: str = "") -> str:
    """Run the tests in `source` in another process, and return what it writes."""
    (path / "test_it.py").write_text(CONNECT + source)
    (path / "pytest.ini").write_text(f"[pytest]\naddopts = -p no:cacheprovider\n{ini}")
    command = [sys.executable, "-m", "pytest", "-p", "tests.patience", "-rA", "test_it.py", *arguments]
    if not LOADED:
        command[3:3] = ["-p", "leveret.testing.plugin"]
    environment = {**os.environ, "PYTHONPATH": PYTHONPATH, "COLUMNS": "200"}
    done = subprocess.run(command, cwd=path, env=environment, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def outcomes(output: str) -> dict[str, str]:
    """Return test -> PASSED, FAILED, ERROR, SKIPPED."""
    found = re.findall(r"^(PASSED|FAILED|ERROR|SKIPPED) test_it\.py::(\S+)", output, re.MULTILINE)
    return {name: outcome for outcome, name in found}


def test_each_test_has_a_virtual_host_of_its_own(tmp_path: Path) -> None:
    output = run(
        tmp_path,
        """
import pytest
urls = []

@pytest.mark.parametrize("n", [1, 2])
def test_view(rabbitmq, rabbitmq_url, n):
    assert rabbitmq.url == rabbitmq_url not in urls
    urls.append(rabbitmq_url)
    with connect(rabbitmq_url) as connection:
        connection.channel().queue_declare("q", durable=True)
    assert list(rabbitmq.queues) == ["q"]

def test_names(leveret, leveret_aio, leveret_url, leveret_http_url, leveret_proc, rabbitmq_proc, rabbitmq):
    assert rabbitmq is leveret and rabbitmq_proc is leveret_proc and leveret_aio.sync.url == leveret_url
    assert leveret_http_url.startswith("http://") and "test_names" in leveret_url
    assert rabbitmq_proc.history.events("queue-created") == []
    with rabbitmq_proc.vhost("x") as other:
        assert not other.queues

@pytest.mark.rabbitmq(vhost=False)
@pytest.mark.parametrize("n", [1, 2])
def test_the_default_virtual_host_is_emptied(rabbitmq, n):
    assert rabbitmq.url.endswith("/%2F") and not rabbitmq.queues
    rabbitmq.declare({"queues": [{"name": "q"}]})

@pytest.mark.rabbitmq(profile="3.13", definitions={"queues": [{"name": "here"}]}, http=True)
def test_marker(rabbitmq, rabbitmq_proc):
    assert list(rabbitmq.queues) == ["here"] and rabbitmq.port != rabbitmq_proc.port

@pytest.mark.rabbitmq(clock="frozen")
def test_frozen(rabbitmq):
    assert rabbitmq.clock.frozen

@pytest.mark.rabbitmq(clock="skip")
def test_skip(rabbitmq):
    arguments = {"x-message-ttl": 86_400_000, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    rabbitmq.declare({"queues": [{"name": "wait", "arguments": arguments}, {"name": "dead"}]})
    rabbitmq.publish("", "wait", "x")
    assert rabbitmq.wait_for_messages("dead")

def test_real_again(rabbitmq):
    from datetime import UTC, datetime
    assert not rabbitmq.clock.frozen and abs((rabbitmq.clock.now - datetime.now(UTC)).total_seconds()) < 3600

def test_async(rabbitmq_aio):
    import asyncio
    async def main():
        await rabbitmq_aio.wait_idle()
    asyncio.run(main())
""",
    )
    assert set(outcomes(output).values()) == {"PASSED"}, output
    assert len(outcomes(output)) == 10, output


STRICT = """
import pytest

@pytest.mark.rabbitmq(strict=True)
def test_unroutable(rabbitmq):
    with connect(rabbitmq.url) as connection:
        connection.channel().basic_publish("amq.direct", "audit.login", b"x")

@pytest.mark.rabbitmq(strict={"unacked"})
def test_unacked(rabbitmq):
    connection = connect(rabbitmq.url)
    channel = connection.channel()
    channel.queue_declare("q", durable=True)
    channel.basic_publish("", "q", b"x")
    channel.basic_get("q")

@pytest.mark.rabbitmq(strict=True, allow=["unroutable:audit.*"])
def test_allowed(rabbitmq):
    with connect(rabbitmq.url) as connection:
        connection.channel().basic_publish("amq.direct", "audit.login", b"x")

def test_lenient(rabbitmq):
    with connect(rabbitmq.url) as connection:
        connection.channel().basic_publish("amq.direct", "audit.login", b"x")

@pytest.mark.rabbitmq(strict=True)
def test_failed_already(rabbitmq):
    connection = connect(rabbitmq.url)
    connection.channel().basic_publish("amq.direct", "audit.login", b"x")
    assert 1 == 2

@pytest.mark.rabbitmq(strict=True)
def test_asserts(rabbitmq):
    rabbitmq.assert_published("amq.direct")

@pytest.mark.rabbitmq(stric=True)
def test_wrong_marker(rabbitmq):
    pass

@pytest.mark.rabbitmq(strict=["unroutble"])
def test_wrong_rule(rabbitmq):
    pass
"""


def test_rules_are_part_of_the_test(tmp_path: Path) -> None:
    output = run(tmp_path, STRICT)
    found = outcomes(output)
    assert found["test_allowed"] == found["test_lenient"] == "PASSED", output
    assert found["test_unroutable"] == found["test_unacked"] == "FAILED", output
    assert found["test_failed_already"] == found["test_asserts"] == "FAILED", output
    assert found["test_wrong_marker"] == found["test_wrong_rule"] == "ERROR", output
    assert "6 failed" not in output and "4 failed, 2 passed, 2 errors" in output
    assert "unroutable (1): a message reached no queue: message #1 to exchange 'amq.direct'" in output
    assert 'to allow it: allow=["unroutable:amq.direct"]' in output
    assert (
        "is unacknowledged, held for" in output
        and "by basic.get on channel 1 of connection 'worker'" in output
    )
    assert "the marker has no argument 'stric'" in output
    assert "there is no rule 'unroutble'; there is 'unroutable'" in output


def test_a_failed_test_shows_the_state_and_no_frame_of_the_toolkit(tmp_path: Path) -> None:
    output = run(tmp_path, STRICT, "-k", "failed_already or unroutable or asserts")
    assert "connected: 'worker' (user guest, 1 channel, running)" in output
    assert "last events:" in output and "published by channel 1 of connection 'worker'" in output
    assert "leveret/testing" not in output and "futures" not in output, output


def test_an_argument_that_is_refused_shows_the_test_and_no_frame_of_the_toolkit(tmp_path: Path) -> None:
    output = run(
        tmp_path,
        """
from datetime import datetime

def test_naive(rabbitmq):
    rabbitmq.clock.move_to(datetime(2030, 1, 1))

def test_type(rabbitmq):
    rabbitmq.wait_for_messages(["jobs"])

def test_own(rabbitmq):
    rabbitmq.wait_until(lambda: int("x"))
""",
    )
    assert "has no time zone" in output and "queue is a str" in output
    assert "invalid literal" in output and 'lambda: int("x")' in output
    assert "durations.py" not in output and "checks.py" not in output, output
    assert "queues: none" in output and "events: none" in output


@pytest.mark.parametrize(
    ("arguments", "ini"),
    [
        (["--leveret-strict"], ""),
        ([], "leveret_strict = unroutable, errors\n"),
        (["--leveret-strict=unroutable"], ""),
    ],
)
def test_options_and_ini_values_make_all_tests_strict(tmp_path: Path, arguments: list[str], ini: str) -> None:
    output = run(tmp_path, STRICT, "-k", "lenient", *arguments, ini=ini)
    assert outcomes(output) == {"test_lenient": "FAILED"}, output


def test_the_ini_file_lists_what_is_allowed(tmp_path: Path) -> None:
    ini = "leveret_strict = true\nleveret_allow =\n  unroutable:amq.*\n"
    assert outcomes(run(tmp_path, STRICT, "-k", "lenient", ini=ini)) == {"test_lenient": "PASSED"}


def test_workers_of_xdist_have_brokers_of_their_own(tmp_path: Path) -> None:
    source = """
import pytest

@pytest.mark.parametrize("n", range(4))
def test_it(rabbitmq, n):
    with connect(rabbitmq.url) as connection:
        connection.channel().queue_declare("q", durable=True)
    assert rabbitmq.url.rpartition("/")[2].startswith("gw"), rabbitmq.url
"""
    output = run(tmp_path, source, "-n", "2")
    assert "4 passed" in output, output


def test_unittest(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        CONNECT
        + """
from unittest import IsolatedAsyncioTestCase, TestCase, main
from leveret.testing.unittest import BrokerMixin

class T(BrokerMixin, TestCase):
    strict = {"unroutable"}
    definitions = {"queues": [{"name": "here"}]}

    def test_a_passes(self):
        with connect(self.broker.url) as connection:
            connection.channel().basic_publish("", "here", b"x")
        self.broker.assert_queue("here", ready=1)

    def test_b_fails(self):
        with connect(self.broker.url) as connection:
            connection.channel().basic_publish("amq.direct", "k", b"x")

    def test_c_fails_once(self):
        with connect(self.broker.url) as connection:
            connection.channel().basic_publish("amq.direct", "k", b"x")
        assert False

class A(BrokerMixin, IsolatedAsyncioTestCase):
    strict = {"unroutable"}

    async def test_d_passes(self):
        await self.broker.aio.wait_idle()

    async def test_e_fails(self):
        with connect(self.broker.url) as connection:
            connection.channel().basic_publish("amq.direct", "k", b"x")

main(verbosity=2)
"""
    )
    environment = {**os.environ, "PYTHONPATH": str(Path("broker").resolve())}
    command = [sys.executable, "test_it.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert "FAILED (failures=3)" in done.stderr, done.stderr
    assert "test_a_passes (__main__.T.test_a_passes) ... ok" in done.stderr
    assert "test_d_passes (__main__.A.test_d_passes) ... ok" in done.stderr
    # Before it, asyncio may log a slow step of the test with its exception.
    report = done.stderr.partition("=" * 70)[2]
    assert report.count("unroutable (1): a message reached no queue") == 2


def test_celery_fixtures_use_the_broker(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(
        'pytest_plugins = ["celery.contrib.pytest", "leveret.testing.celery"]\n'
    )
    source = """
def test_celery(celery_app, celery_config, celery_worker, leveret_celery):
    @celery_app.task
    def add(a, b):
        return a + b
    celery_worker.reload()
    assert celery_config["broker_url"] == leveret_celery.url
    assert add.delay(2, 3).get(timeout=300) == 5
    leveret_celery.assert_published(queue="celery")

    from leveret.testing.celery import attach

    @celery_app.task
    def holds():
        return leveret_celery.clock._travel.holds
    celery_worker.reload()
    with attach(celery_app, leveret_celery):
        assert holds.delay().get(timeout=300) == 1
    assert leveret_celery.clock._travel.holds == 0
"""
    output = run(tmp_path, source, "-p", "no:celery")
    assert outcomes(output) == {"test_celery": "PASSED"}, output
