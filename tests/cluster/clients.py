"""Clients that reconnect, for faults of a cluster: each in a thread, over whatever node accepts it.

A publisher uses a number only once: what was not confirmed when its connection ended is not published again. So a
message that comes twice came twice from the broker.
"""

from __future__ import annotations

import random
import select
import threading
import time
from collections.abc import Callable, Sequence

from benchmarks import link
from benchmarks.link import LinkError
from tests.crash.client import Consumer, Publisher, Record

#: Seconds that connecting may take: the kernel of a stopped node goes on accepting.
CONNECT_TIMEOUT_S = 4.0

#: Seconds of silence after which a client that waits for something takes its connection for dead.
SILENCE_S = 8.0

#: Seconds between two attempts to connect.
RECONNECT_INTERVAL_S = 0.1

link.TIMEOUT = CONNECT_TIMEOUT_S

Client = Publisher | Consumer


class ClientThread(threading.Thread):
    """Keeps one client connected. `make`: creates it at an address; `idle`: whether it waits for nothing."""

    def __init__(self, urls: Sequence[str], make: Callable[[str], Client], seed: int) -> None:
        super().__init__(daemon=True)
        self.urls = list(urls)
        self.make = make
        self.dice = random.Random(seed)
        self.stopping = threading.Event()
        self.client: Client | None = None
        self.connections = 0

    def run(self) -> None:
        """Connect and serve, again and again."""
        while not self.stopping.is_set():
            try:
                self.client = self.make(self.dice.choice(self.urls))
                self.connections += 1
                self._serve(self.client)
            except (OSError, LinkError, AssertionError):
                self.stopping.wait(RECONNECT_INTERVAL_S)
            finally:
                if self.client is not None:
                    self.client.link.sock.close()
                self.client = None

    def _serve(self, client: Client) -> None:
        heard = time.monotonic()
        poll = select.poll()  # `select.select` takes no descriptor above 1,023
        poll.register(client, select.POLLIN)
        while not self.stopping.is_set():
            if poll.poll(10):
                client.read()
                heard = time.monotonic()
            client.push()
            if time.monotonic() - heard > SILENCE_S and self._waits(client):
                raise OSError("silence")

    @staticmethod
    def _waits(client: Client) -> bool:
        if isinstance(client, Publisher):
            return True
        return bool(client.unhandled)

    def stop(self) -> None:
        """End it."""
        self.stopping.set()
        self.join()


def publisher(record: Record, name: str, queue: str, window: int) -> Callable[[str], Client]:
    """Return what makes a publisher."""
    return lambda url: Publisher(url, record, name, "", queue, window)


def consumer(record: Record, queue: str, prefetch: int, pace: float) -> Callable[[str], Client]:
    """Return what makes a consumer."""
    return lambda url: Consumer(url, record, queue, prefetch, pace, record.tick())
