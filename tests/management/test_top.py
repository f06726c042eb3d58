"""`leveret top`: a screen of queues, and the answers that it cannot show."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import termios
from collections.abc import Iterator
from typing import Any

import pytest

from leveret.cli import top
from leveret.cli.banner import banner
from leveret.cli.serve import parser
from leveret.management.site import Listener
from tests.server.auth_service import serving

from .conftest import Api


def options(api: Api, *more: str) -> argparse.Namespace:
    return parser().parse_args(["top", "--once", "--url", f"http://127.0.0.1:{api.port}", *more])


async def run(api: Api, *more: str) -> int:
    return await asyncio.to_thread(top.main, options(api, *more))


async def declare(api: Api, name: str, number: int, vhost: str = "%2F") -> None:
    assert (await api("PUT", f"queues/{vhost}/{name}", {"durable": True}))[0] == 201
    body = {"routing_key": name, "payload": "x", "payload_encoding": "string", "properties": {}}
    for _ in range(number):
        await api("POST", f"exchanges/{vhost}/amq.default/publish", body)


async def test_queues_are_shown_in_eighty_columns(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    await declare(api, "a", 1)
    await declare(api, "b" * 100, 3)
    assert await run(api) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "ready 4" in lines[1]
    assert lines[3].split() == ["QUEUE", "TYPE", "READY", "UNACKED", "CONS", "IN/S", "OUT/S"]
    assert lines[4].split()[:4] == ["b" * 29 + "…", "classic", "3", "0"]
    assert lines[5].split()[:4] == ["a", "classic", "1", "0"]
    assert all(len(line) <= 80 for line in lines)


async def test_queues_are_chosen_and_sorted(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    assert (await api("PUT", "vhosts/v"))[0] == 201
    for name, vhost in (("orders", "%2F"), ("orders.old", "v"), ("mails", "v")):
        await declare(api, name, 0, vhost)
    await run(api, "--name", "orders", "--sort", "name")
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()[4:]] == [
        ["/", "orders"],
        ["v", "orders.old"],
    ]
    await run(api, "--vhost", "v", "--sort", "name")
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[4:]] == ["mails", "orders.old"]


async def test_a_refused_login_is_said(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run(api, "--password", "wrong") == 1
    assert capsys.readouterr().err.endswith("user guest is refused\n")
    assert await run(api, "--vhost", "none") == 1
    assert capsys.readouterr().err.endswith("status 404\n")


def test_no_broker_is_said(unused_tcp_port: int, capsys: pytest.CaptureFixture[str]) -> None:
    address = f"http://127.0.0.1:{unused_tcp_port}"
    assert top.main(parser().parse_args(["top", "--once", "--url", address])) == 1
    assert capsys.readouterr().err.startswith(f"leveret top: {address}: ")


@pytest.mark.parametrize("text", ["[]", '{"items": [{}], "filtered_count": 1}', "no JSON"])
async def test_another_server_is_said(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    async with serving() as other:
        other.decide = lambda path, fields: text
        address = f"http://127.0.0.1:{other.port}"
        chosen = parser().parse_args(["top", "--once", "--url", address])
        assert await asyncio.to_thread(top.main, chosen) == 1
    assert capsys.readouterr().err.startswith(f"leveret top: {address}: ")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.25, "0.2"), (99_999, "99,999"), (123_456, "123k"), (98_765_432, "99M")],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert top._number(value) == text


def test_long_virtual_hosts_leave_room_for_names() -> None:
    queue = top.Queue("staging-of-the-next-release", "orders", "classic")
    line = top._row(queue, 80, vhost_shown=True)
    assert line.startswith("staging-of-…  orders ")
    assert len(line) <= 80


def test_names_cannot_move_the_cursor() -> None:
    assert top._cut("a\x1b[2J\n", 10) == "a?[2J?"


# --- the banner

LISTENERS = [
    Listener("amqp", "::", 5672),
    Listener("http", "::", 15672),
    Listener("http/prometheus", "::", 15692),
]


def shown(listeners: list[Listener], **more: Any) -> list[str]:
    return banner(listeners, "4.3.6", **{"data_dir": "", "guest": True, **more})


def test_the_banner_has_addresses_in_few_lines() -> None:
    lines = shown(LISTENERS)
    assert len(lines) <= 8
    assert max(map(len, lines)) < 80
    assert [line.split() for line in lines[1:4]] == [
        ["AMQP", "amqp://localhost:5672"],
        ["Page,", "API", "http://localhost:15672/", "user", "guest,", "password", "guest"],
        ["Metrics", "http://localhost:15692/metrics"],
    ]


def test_the_banner_has_at_most_eight_lines_with_all_listeners() -> None:
    protocols = ("amqp", "amqp/ssl", "http", "https", "http/prometheus", "https/prometheus")
    lines = shown([Listener(protocol, "::", 1000 + number) for number, protocol in enumerate(protocols)])
    assert len(lines) == 8
    assert lines[2].split() == ["AMQP,", "TLS", "amqps://localhost:1001"]
    assert lines[4].split()[:3] == ["Page,", "API", "https://localhost:1003/"]


def test_the_banner_shows_what_is_there() -> None:
    lines = shown([Listener("amqp", "fe80::1", 5673)], data_dir="/var/lib/leveret", guest=False)
    assert lines[1].split() == ["AMQP", "amqp://[fe80::1]:5673"]
    assert lines[2].split() == ["Data", "/var/lib/leveret"]
    assert len(lines) == 4


async def test_an_address_without_a_scheme_is_refused(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run(api, "--url", "localhost:15672") == 1
    assert "leveret top: localhost:15672: " in capsys.readouterr().err


async def test_without_a_terminal_one_screen_is_printed(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = parser().parse_args(["top", "--url", f"http://127.0.0.1:{api.port}"])
    assert await asyncio.to_thread(top.main, chosen) == 0
    assert "\x1b" not in capsys.readouterr().out


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    """A terminal as standard input and output: the side of its user, and that of the command."""
    user, command = os.openpty()
    with open(command, closefd=False) as keys, open(command, "w", closefd=False) as screen:
        monkeypatch.setattr(sys, "stdin", keys)
        monkeypatch.setattr(sys, "stdout", screen)
        yield user, command
    os.close(user)
    os.close(command)


async def test_q_ends_it(api: Api, terminal: tuple[int, int]) -> None:
    user, command = terminal
    before = termios.tcgetattr(command)
    os.write(user, b"?q")
    chosen = parser().parse_args(["top", "--url", f"http://127.0.0.1:{api.port}", "--interval", "60"])
    assert await asyncio.to_thread(top.main, chosen) == 0
    assert termios.tcgetattr(command) == before
