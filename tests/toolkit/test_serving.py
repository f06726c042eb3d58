"""`leveret serve --testing` serves the toolkit over the network."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pika
import pytest

from leveret import config
from leveret.settings import ConfigError
from leveret.testing import serving
from tests.hang import HANG_SECONDS

ROOT = Path(__file__).resolve().parents[2]


def get(url: str) -> object:
    login = "Basic " + base64.b64encode(b"guest:guest").decode()
    request = urllib.request.Request(url, headers={"Authorization": login})
    with urllib.request.urlopen(request, timeout=HANG_SECONDS) as response:
        return json.load(response)


class Served:
    """A process; its ports, as it has logged them."""

    def __init__(self, folder: Path, *options: str) -> None:
        command = (
            sys.executable,
            "-m",
            "leveret",
            "serve",
            "--host",
            "127.0.0.1",
            "--port",
            "0",
            "--http-port",
            "0",
        )
        path = os.pathsep.join(filter(None, [str(ROOT / "broker"), os.environ.get("PYTHONPATH")]))
        self.process = subprocess.Popen(
            [*command, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path},
        )
        self.output = ""
        assert self.process.stdout is not None
        while "Server startup complete" not in self.output:
            line = self.process.stdout.readline()
            assert line, self.output
            self.output += line
        self.amqp = self.port(r"started TCP listener on 127\.0\.0\.1:(\d+)")
        self.http = self.port(r"HTTP \(non-TLS\) listener started on port (\d+)")

    def port(self, pattern: str) -> int:
        found = re.search(pattern, self.output)
        assert found is not None, self.output
        return int(found[1])

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.stdout is not None
        with self.process.stdout as stream:
            self.output += stream.read()
        return self.process.wait(HANG_SECONDS)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "config.toml").write_text("[testing]\ntoxiproxy_port = 0\n")
    yield tmp_path


def test_the_toolkit_is_served_until_a_signal(folder: Path) -> None:
    served = Served(folder, "--testing", "--config", "config.toml")
    try:
        pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", served.amqp)).close()
        clock = get(f"http://127.0.0.1:{served.http}/api/leveret/clock")
        assert isinstance(clock, dict) and clock["frozen"] is False
        port = served.port(r"toxiproxy's API on http://127\.0\.0\.1:(\d+)")
        assert isinstance(proxies := get(f"http://127.0.0.1:{port}/proxies"), dict) and "rabbitmq" in proxies
    finally:
        code = served.stop()
    assert code == 0 and "Leveret has stopped" in served.output, served.output
    assert "Traceback" not in served.output


def test_a_node_without_it_answers_404(folder: Path) -> None:
    served = Served(folder, "--config", "config.toml", "--prometheus-port", "0")
    try:
        with pytest.raises(urllib.error.HTTPError) as caught:
            get(f"http://127.0.0.1:{served.http}/api/leveret/clock")
        caught.value.close()
        assert caught.value.code == 404
    finally:
        assert served.stop() == 0


def test_a_data_directory_keeps_what_is_durable(folder: Path) -> None:
    options = ("--testing", "--config", "config.toml", "--data-dir", str(folder / "data"))
    served = Served(folder, *options)
    try:
        with pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", served.amqp)) as connection:
            channel = connection.channel()
            channel.queue_declare("jobs", durable=True)
            channel.confirm_delivery()
            channel.basic_publish("", "jobs", b"kept", pika.BasicProperties(delivery_mode=2))
    finally:
        assert served.stop() == 0, served.output
    again = Served(folder, *options)
    try:
        with pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", again.amqp)) as connection:
            assert connection.channel().basic_get("jobs", auto_ack=True)[2] == b"kept"
    finally:
        assert again.stop() == 0, again.output


@pytest.mark.parametrize(
    ("more", "key"),
    [
        ("[tls]\nport = 0\n", "tls.port"),
        ('[server]\nlisteners = ["127.0.0.1:0"]\n', "server.listeners"),
        ("[server]\nproxy_protocol = true\n", "server.proxy_protocol"),
    ],
)
def test_another_listener_is_refused(folder: Path, more: str, key: str) -> None:
    path = folder / "more.toml"
    path.write_text(more)
    settings = config.load(path, {}, {})
    with pytest.raises(ConfigError, match=f"{key}: a broker for tests .* has one AMQP listener, without TLS"):
        serving.check(settings)


def test_a_signal_that_comes_before_anyone_waits_is_not_missed() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    stop = serving.StopSignal()
    try:
        signal.raise_signal(signal.SIGTERM)
        stop.came = False  # as if its handler had not run yet
        waiting = threading.Timer(0, signal.raise_signal, [signal.SIGTERM])
        stop._reading.settimeout(HANG_SECONDS)
        assert stop._reading.recv(1) == bytes([signal.SIGTERM])
        waiting.start()
        stop.wait()
        waiting.join()
    finally:
        stop.close()
        for number, handler in before.items():
            signal.signal(number, handler)
