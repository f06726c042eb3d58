"""Resident memory after a load, compared with what it was before.

Each load runs on a new broker, several times in a row: messages are published, delivered, and settled in one way or
another; then nothing is left of them. Before the first one, a client has done everything once with 1,000 messages, so
that code that was not used before does not count. Each figure is taken when memory has stopped changing.
Command: `python -m benchmarks.after_load`.
"""

import argparse
import functools
import sys
import time
from collections.abc import Callable, Sequence
from typing import cast

from pamqp import commands

from benchmarks.link import Link, LinkError, publish_bytes
from benchmarks.load import LoadError
from benchmarks.paging import BROKERS, Gauge, fill
from benchmarks.peers import Peer, PeerError, exit_on_sigterm, resident
from benchmarks.unacked import receive
from conformance.rabbitmq import RefereeError

QUEUE = "bench.after"
FEW = 1000
GOAL = 0.2

#: Memory is at rest when it has not changed by more than this in so many seconds. How often memory is given back
#: depends on how long that takes (`server/trimming.py`).
STILL = 1e6
QUIET_SECONDS = 20.0


def consumed(url: str, count: int, gauge: Gauge) -> None:
    """Without acknowledgements."""
    link, _ = receive(url, QUEUE, count, gauge, no_ack=True)
    link.close()


def acknowledged(url: str, count: int, gauge: Gauge) -> None:
    """All are delivered, then all are acknowledged."""
    link, rest = receive(url, QUEUE, count, gauge)
    link._pending[:] = rest
    link._send(1, commands.Basic.Ack(delivery_tag=0, multiple=True))
    link.call(commands.Basic.Qos(prefetch_count=0))
    link.close()


def closed(url: str, count: int, gauge: Gauge) -> None:
    """All are delivered, then the channel is closed."""
    link, rest = receive(url, QUEUE, count, gauge)
    link._pending[:] = rest
    link.call(commands.Channel.Close(200, "", 0, 0))
    link.close()


def lost(url: str, count: int, gauge: Gauge) -> None:
    """All are delivered, then the socket is closed."""
    link, _ = receive(url, QUEUE, count, gauge)
    link.sock.close()


#: Name, persistent, what is done with the messages.
LOADS: dict[str, tuple[bool, Callable[[str, int, Gauge], None]]] = {
    "transient": (False, consumed),
    "persistent": (True, consumed),
    "acknowledged": (False, acknowledged),
    "channel closed": (False, closed),
    "connection lost": (False, lost),
}


def load(peer: Peer, name: str, count: int, size: int) -> None:
    """Publish, consume, and leave nothing."""
    assert peer.pid is not None
    persistent, consume = LOADS[name]
    gauge = Gauge(peer.pid)
    link = Link(peer.url)
    link.call(commands.Queue.Declare(queue=QUEUE, durable=True))
    link.call(commands.Confirm.Select())
    fill(link, publish_bytes("", QUEUE, b"x" * size, persistent=persistent), count, gauge)
    link.close()
    consume(peer.url, count, gauge)
    link = Link(peer.url)
    passive = commands.Queue.Declare(queue=QUEUE, passive=True)
    if name in ("channel closed", "connection lost"):
        while cast(commands.Queue.DeclareOk, link.call(passive)).message_count != count:
            time.sleep(0.1)
    link.call(commands.Queue.Delete(queue=QUEUE))
    link.close()


def at_rest(pid: int) -> int:
    """Resident bytes when memory was given back."""
    low = resident(pid)
    since = time.monotonic()
    while time.monotonic() < since + QUIET_SECONDS:
        time.sleep(0.5)
        now = resident(pid)
        if abs(now - low) > STILL:
            low, since = now, time.monotonic()
    return now


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print Markdown; the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.after_load", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--count", type=int, default=500_000)
    parser.add_argument("--size", type=int, default=100, help="body size in octets")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--load", action="append", choices=LOADS, help="one load (repeat for more)")
    parser.add_argument("--only", default="leveret", help="comma-separated brokers")
    parser.add_argument(
        "--check", action="store_true", help="exit with 1 if 20 %% more is resident after a load"
    )
    chosen = parser.parse_args(arguments)
    exit_on_sigterm()
    say = functools.partial(print, file=sys.stderr, flush=True)
    rounds = " | ".join(f"after {number}" for number in range(1, chosen.rounds + 1))
    print(f"| {chosen.count:,} messages of {chosen.size:,} bytes, resident MB | before | {rounds} | more |")
    print("|---|" + "---:|" * (chosen.rounds + 2), flush=True)
    missed = False
    try:
        for broker in chosen.only.split(","):
            for name in chosen.load or LOADS:
                with BROKERS[broker]() as peer:
                    assert peer.pid is not None
                    for each in LOADS:
                        load(peer, each, FEW, chosen.size)
                    found = [at_rest(peer.pid)]
                    for _ in range(chosen.rounds):
                        load(peer, name, chosen.count, chosen.size)
                        found.append(at_rest(peer.pid))
                more = max(found[1:]) / found[0] - 1
                missed = missed or more > GOAL
                cells = " | ".join(f"{each / 1e6:.1f}" for each in found)
                print(f"| {broker}, {name} | {cells} | {more:+.0%} |", flush=True)
    except (PeerError, LinkError, LoadError, RefereeError, OSError) as error:
        say(f"benchmarks.after_load: {error}")
        return 2
    return 1 if missed and chosen.check else 0


if __name__ == "__main__":
    sys.exit(main())
