"""What TLS costs: messages a second and CPU of the broker, with and without it, beside another broker.

    python -m benchmarks.tls
    python -m benchmarks.tls --other RabbitMQ amqp://127.0.0.1:5672/ amqps://127.0.0.1:5671/ PID

One thread publishes prepared blocks, another consumes; Python's ssl does its work without the interpreter's lock. At
most WINDOW messages are in flight. Deliveries have one size and are counted by octets, as in `benchmarks.load`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import cpu_seconds, delivery_shape
from benchmarks.peers import START_SECONDS, PeerError, environment, free_port
from benchmarks.works import Setup, Work, set_up
from tests.certificates import LOCALHOST, Authority, name

#: Messages in flight, by the size of their bodies.
WINDOWS = {16: 8192, 1024: 4096, 65536: 128}


@dataclass(frozen=True)
class Broker:
    """A running broker: its addresses without and with TLS, and its process."""

    name: str
    plain: str
    tls: str
    pid: int


@contextlib.contextmanager
def leveret() -> Iterator[Broker]:
    """Leveret with both listeners."""
    port, tls = free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="leveret-tls-") as folder:
        place = Path(folder)
        certfile, keyfile = Authority(place).issue("server", name("localhost"), alternatives=LOCALHOST)
        config = place / "config.toml"
        config.write_text(
            f'[server]\nhost = ["127.0.0.1"]\nport = {port}\nhttp_port = -1\nprometheus_port = -1\n'
            f'[tls]\nport = {tls}\ncertfile = "{certfile}"\nkeyfile = "{keyfile}"\n'
        )
        command = [sys.executable, "-m", "leveret", "serve", "--config", str(config)]
        log = place / "log"
        with log.open("wb") as out:
            process = subprocess.Popen(command, stdout=out, stderr=out, env=environment())
        try:
            deadline = time.monotonic() + START_SECONDS
            while "startup complete" not in log.read_text():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise PeerError(f"Leveret did not start:\n{log.read_text()}")
                time.sleep(0.02)
            base = "guest:guest@127.0.0.1"
            yield Broker("Leveret", f"amqp://{base}:{port}/", f"amqps://{base}:{tls}/", process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


class Flow:
    """Publishes and consumes for a while. `delivered`: messages that have arrived."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.delivered = 0
        self.published = 0
        self.over = False
        self.moved = threading.Condition()

    def run(self, seconds: float, pid: int) -> tuple[float, float]:
        """Return messages a second and microseconds of the broker's CPU for each."""
        threads = [threading.Thread(target=work) for work in (self._publish, self._consume)]
        for thread in threads:
            thread.start()
        time.sleep(seconds / 4)
        before, cpu, started = self.delivered, cpu_seconds(pid), time.perf_counter()
        time.sleep(seconds)
        count, spent = self.delivered - before, time.perf_counter() - started
        used = cpu_seconds(pid) - cpu
        with self.moved:
            self.over = True
            self.moved.notify_all()
        for thread in threads:
            thread.join()
        if self.delivered != self.published:
            raise PeerError(f"{self.published} messages were published, {self.delivered} delivered")
        return count / spent, used * 1e6 / max(1, count)

    def _publish(self) -> None:
        setup = self.setup
        together = max(1, min(len(setup.block) // setup.publish_size, setup.work.window // 4))
        block = setup.block[: together * setup.publish_size]
        while True:
            with self.moved:
                self.moved.wait_for(
                    lambda: self.over or self.published + together - self.delivered <= setup.work.window
                )
                if self.over:
                    return
                self.published += together
            setup.publisher.sock.sendall(block)

    def _consume(self) -> None:
        sock = self.setup.consumers[0].sock
        buffer, size, received, head = bytearray(1 << 18), 0, 0, b""
        while not self.over or self.delivered < self.published:
            count = sock.recv_into(buffer)
            received += count
            if not size:
                head += buffer[:count]
                size = delivery_shape(head)[0]
            if size:
                with self.moved:
                    self.delivered = received // size
                    self.moved.notify_all()


def measure(url: str, pid: int, body: int, seconds: float) -> tuple[float, float]:
    """Measure one address with one size of messages."""
    setup = set_up(url, Work(f"{body} B", body=body, window=WINDOWS[body]))
    try:
        return Flow(setup).run(seconds, pid)
    finally:
        setup.close()


def main() -> int:
    """Measure Leveret, and another broker if its addresses are given; prints a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tls", description=__doc__.split("\n")[0])
    parser.add_argument("--other", nargs=4, metavar=("NAME", "AMQP", "AMQPS", "PID"))
    parser.add_argument("--seconds", type=float, default=2.0)
    chosen = parser.parse_args()
    with leveret() as own:
        brokers = [own]
        if chosen.other:
            label, plain, tls, pid = chosen.other
            brokers.append(Broker(label, plain, tls, int(pid)))
        print(
            f"{'broker':10} {'body':>8} {'':5} {'messages/s':>12} {'MB/s':>8} {'us CPU':>8}   {os.cpu_count()} cores"
        )
        for body in WINDOWS:
            for broker in brokers:
                for label, url in (("plain", broker.plain), ("TLS", broker.tls)):
                    rate, cpu = measure(url, broker.pid, body, chosen.seconds)
                    print(
                        f"{broker.name:10} {body:8,} {label:5} {rate:12,.0f} {rate * body / 1e6:8,.0f} {cpu:8.2f}",
                        flush=True,
                    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
