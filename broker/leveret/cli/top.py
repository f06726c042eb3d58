"""`leveret top`: the queues of a running broker with their rates, live in a terminal, over the HTTP API."""

from __future__ import annotations

import argparse
import base64
import json
import os
import select
import shutil
import sys
import termios
import time
import tty
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, TypeVar
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Struct

#: Seconds that an answer may take.
TIMEOUT_S = 10

#: The narrowest screen; wider ones give the names of queues more room.
MIN_COLUMNS = 80

#: Lines above the queues.
_HEAD_LINES = 4

_CLEAR = "\x1b[H\x1b[J"
_ALTERNATE, _NORMAL = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_BOLD, _DIM, _PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[0m"

#: What `--sort` knows -> the field of the API.
SORTS = {
    "ready": "messages_ready",
    "unacked": "messages_unacknowledged",
    "consumers": "consumers",
    "in": "message_stats.publish_details.rate",
    "out": "message_stats.deliver_get_details.rate",
    "name": "name",
}


class Rate(Struct, frozen=True):
    """How often a second something happens."""

    rate: float = 0.0


class Stats(Struct, frozen=True):
    """The rates of publishes and deliveries, none while there were none."""

    publish_details: Rate = Rate()
    deliver_get_details: Rate = Rate()


class Queue(Struct, frozen=True):
    """A queue of `/api/queues`; a new one has no figures yet."""

    vhost: str
    name: str
    type: str
    messages_ready: int = 0
    messages_unacknowledged: int = 0
    consumers: int = 0
    message_stats: Stats = Stats()


class Page(Struct, frozen=True):
    """One page of `/api/queues`."""

    items: list[Queue]
    filtered_count: int


class Totals(Struct, frozen=True):
    """Messages of all queues."""

    messages_ready: int = 0
    messages_unacknowledged: int = 0


class Objects(Struct, frozen=True):
    """Numbers of objects."""

    connections: int
    queues: int


class Overview(Struct, frozen=True):
    """`/api/overview`."""

    queue_totals: Totals
    message_stats: Stats
    object_totals: Objects


class About(Struct, frozen=True):
    """`/api/leveret`."""

    cluster_name: str
    version: str
    profile: str


T = TypeVar("T")


class Snapshot(NamedTuple):
    """What one screen shows, as the API answered."""

    about: About
    overview: Overview
    queues: Page


class ApiError(Exception):
    """The API did not answer, or refused the request: the reason."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("--url", default="http://localhost:15672", help="the HTTP API (default: %(default)s)")
    parser.add_argument("--username", default="guest", metavar="NAME", help="user name (default: guest)")
    parser.add_argument("--password", default="guest", metavar="TEXT", help="its password (default: guest)")
    parser.add_argument("--vhost", metavar="NAME", help="queues of one virtual host (default: all)")
    parser.add_argument("--name", default="", metavar="TEXT", help="queues whose names contain TEXT")
    parser.add_argument(
        "--sort", choices=tuple(SORTS), default="ready", help="largest first by this (default: ready)"
    )
    parser.add_argument(
        "--interval",
        type=float,
        default=2.0,
        metavar="SECONDS",
        help="time between two screens, 0.5 or more (default: 2)",
    )
    parser.add_argument("--once", action="store_true", help="print one screen and end, as without a terminal")


def main(options: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    try:
        if options.once or not sys.stdout.isatty():
            size = shutil.get_terminal_size()
            print("\n".join(screen(_ask(options, 100), size.columns, 104, plain=True)), flush=True)
            return 0
        return _live(options)
    except ApiError as failure:
        print(f"leveret top: {failure}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader has ended, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the flush at exit fails, too
        return 0


def _live(options: argparse.Namespace) -> int:
    """Draw until Ctrl-C or `q`. Raises `ApiError` if the first screen fails; later ones show why."""
    size = shutil.get_terminal_size()
    lines = screen(_ask(options, size.lines), size.columns, size.lines)
    sys.stdout.write(_ALTERNATE)
    try:
        with _keys_not_shown():
            while True:
                sys.stdout.write(_CLEAR + "\r\n".join(lines))
                sys.stdout.flush()
                if _quit_within(max(options.interval, 0.5)):
                    return 0
                size = shutil.get_terminal_size()
                try:
                    lines = screen(_ask(options, size.lines), size.columns, size.lines)
                except ApiError as failure:
                    lines = [f"leveret top: {failure}", "Trying again; q ends."]
    except KeyboardInterrupt:
        return 0
    finally:
        sys.stdout.write(_NORMAL)
        sys.stdout.flush()


@contextmanager
def _keys_not_shown() -> Iterator[None]:
    """Have the terminal hand over keys at once and not show them; Ctrl-C stays what it is."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin, termios.TCSADRAIN)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _quit_within(seconds: float) -> bool:
    """Wait so long; returns whether `q` was pressed, then at once."""
    end = time.monotonic() + seconds
    if not sys.stdin.isatty():
        time.sleep(seconds)
        return False
    while select.select([sys.stdin], [], [], max(0.0, end - time.monotonic()))[0]:
        if b"q" in os.read(sys.stdin.fileno(), 100).lower():
            return True
    return False


# --- the API


def _ask(options: argparse.Namespace, lines: int) -> Snapshot:
    place = "queues" if options.vhost is None else f"queues/{quote(options.vhost, safe='')}"
    query = {
        "page": 1,
        "page_size": max(1, min(500, lines - _HEAD_LINES)),
        "name": options.name,
        "sort": SORTS[options.sort],
        "sort_reverse": str(options.sort != "name").lower(),
    }
    queues = _get(options, f"{place}?{urlencode(query)}", Page)
    return Snapshot(_get(options, "leveret", About), _get(options, "overview", Overview), queues)


def _get(options: argparse.Namespace, path: str, kind: type[T]) -> T:
    """Return an object of the API. Raises `ApiError`."""
    import urllib.error
    import urllib.request  # a megabyte: `leveret serve` imports this module for its options

    address = f"{options.url.rstrip('/')}/api/{path}"
    login = base64.b64encode(f"{options.username}:{options.password}".encode()).decode()
    try:
        request = urllib.request.Request(address, headers={"Authorization": f"Basic {login}"})
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            return msgspec.convert(json.load(answer), kind)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 401:
                raise ApiError(f"{options.url}: user {options.username} is refused") from None
            raise ApiError(f"{address}: status {error.code}") from None
    except (OSError, ValueError) as error:
        raise ApiError(f"{options.url}: {getattr(error, 'reason', error)}") from None


# --- the screen


def screen(shown: Snapshot, columns: int, lines: int, *, plain: bool = False) -> list[str]:
    """Return the lines of a screen of this size. `plain`: without colours."""
    width = max(columns, MIN_COLUMNS)
    vhosts = {queue.vhost for queue in shown.queues.items}
    rows = [_row(queue, width, vhost_shown=len(vhosts) > 1) for queue in shown.queues.items]
    bold, dim, normal = ("", "", "") if plain else (_BOLD, _DIM, _PLAIN)
    head = [
        f"{bold}{_cut(_title(shown), width)}{normal}",
        _cut(_totals(shown), width),
        "",
        f"{dim}{_cells('QUEUE', 'TYPE', ('READY', 'UNACKED', 'CONS', 'IN/S', 'OUT/S'), width)}{normal}",
    ]
    return [*head, *rows][:lines]


def _title(shown: Snapshot) -> str:
    about, queues = shown.about, shown.queues
    left = queues.filtered_count - len(queues.items)
    more = f"   {left:,} more queues" if left else ""
    return f"{about.cluster_name}   Leveret {about.version} as RabbitMQ {about.profile}{more}"


def _totals(shown: Snapshot) -> str:
    overview = shown.overview
    totals, stats, objects = overview.queue_totals, overview.message_stats, overview.object_totals
    return (
        f"ready {_number(totals.messages_ready)}"
        f"   unacked {_number(totals.messages_unacknowledged)}"
        f"   in {_number(stats.publish_details.rate)}/s"
        f"   out {_number(stats.deliver_get_details.rate)}/s"
        f"   connections {_number(objects.connections)}"
        f"   queues {_number(objects.queues)}"
    )


def _row(queue: Queue, width: int, *, vhost_shown: bool) -> str:
    stats = queue.message_stats
    name = f"{_cut(queue.vhost, _VHOST_WIDTH)}  {queue.name}" if vhost_shown else queue.name
    figures = (
        _number(queue.messages_ready),
        _number(queue.messages_unacknowledged),
        _number(queue.consumers),
        _number(stats.publish_details.rate),
        _number(stats.deliver_get_details.rate),
    )
    return _cells(name, queue.type, figures, width)


#: Characters of a virtual host before the name of a queue, which must keep some room.
_VHOST_WIDTH = 12

#: The widths of a row behind the name: type, then numbers.
_TYPE_WIDTH, _NUMBER_WIDTHS = 8, (9, 9, 6, 8, 8)


def _cells(name: str, kind: str, numbers: Sequence[str], width: int) -> str:
    room = width - _TYPE_WIDTH - sum(_NUMBER_WIDTHS) - 1
    shown = "".join(f"{text:>{size}}" for text, size in zip(numbers, _NUMBER_WIDTHS, strict=True))
    return f"{_cut(name, room - 1):<{room}}{kind:<{_TYPE_WIDTH}}{shown}"


def _number(value: float) -> str:
    """A number in at most seven characters."""
    if value >= 10_000_000:
        return f"{value / 1_000_000:,.0f}M"
    if value >= 100_000:
        return f"{value / 1000:,.0f}k"
    return f"{value:,.1f}" if 0 < value < 10 and value != int(value) else f"{value:,.0f}"


def _cut(text: str, width: int) -> str:
    """Cut a text to a width; what is not printable could move the cursor."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in text)
    return shown if len(shown) <= width else f"{shown[: width - 1]}…"
