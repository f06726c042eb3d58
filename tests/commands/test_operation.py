"""What commands do to a running node."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import urllib.request
from base64 import b64encode
from itertools import count
from pathlib import Path

import aio_pika
import pytest

from leveret.commands import node as commands_node
from leveret.engine.policies import Policy
from leveret.server.log import log
from leveret.server.node import Node
from leveret.settings import Plugins
from tests.commands.conftest import NAME, Play, Start
from tests.hang import settled

GUEST = "Basic " + b64encode(b"guest:guest").decode()


def _url(node: Node) -> str:
    port = next(listener.port for listener in node.listeners() if listener.protocol == "amqp")
    return f"amqp://guest:guest@127.0.0.1:{port}/"


@pytest.fixture
def logged() -> None:
    """The log goes nowhere but to commands."""
    log.handlers[:] = [logging.NullHandler()]
    log.propagate = False
    log.setLevel("INFO")


async def test_stopping_the_application_keeps_what_is_durable(
    start: Start, play: Play, tmp_path: Path
) -> None:
    node = await start(data_dir=tmp_path / "data")
    url = _url(node)
    connection = await aio_pika.connect(url)
    channel = await connection.channel()
    await channel.declare_queue("durable", durable=True)
    await channel.declare_queue("transient", auto_delete=True)
    await channel.default_exchange.publish(aio_pika.Message(b"x", delivery_mode=2), "durable")
    assert (await play("rabbitmqctl", "stop_app")).code == 0
    with pytest.raises(OSError):
        await aio_pika.connect(url)
    assert (await play("rabbitmqctl", "list_queues")).code == 64
    assert (await play("rabbitmqctl", "start_app")).code == 0
    again = await aio_pika.connect(url)
    assert (await play("rabbitmqctl", "-s", "list_queues")).stdout == "durable\t1\n"
    await again.close()
    await connection.close()


async def test_reset_deletes_everything(start: Start, play: Play, tmp_path: Path) -> None:
    node = await start(data_dir=tmp_path / "data")
    for words in (("add_vhost", "v"), ("add_user", "u", "p"), ("set_policy", "p", ".*", '{"max-length": 1}')):
        assert (await play("rabbitmqctl", *words)).code == 0
    await play("rabbitmqctl", "enable_vhost_deletion_protection", "v")
    for word in ("stop_app", "reset", "start_app"):
        assert (await play("rabbitmqctl", word)).code == 0
    assert list(node.broker.vhosts) == ["/"]
    assert [user.name for user in node.broker.access.users] == ["guest"]
    assert node.broker.policies.list() == []


async def test_suspended_listeners_accept_nobody(start: Start, play: Play) -> None:
    node = await start()
    url = _url(node)
    connection = await aio_pika.connect(url)
    await play("rabbitmqctl", "suspend_listeners")
    with pytest.raises(OSError):
        await aio_pika.connect(url)
    assert not connection.is_closed
    await play("rabbitmqctl", "resume_listeners")
    await (await aio_pika.connect(url)).close()
    await connection.close()


async def test_a_drained_node_has_no_clients(start: Start, play: Play) -> None:
    node = await start()
    connection = await aio_pika.connect(_url(node))
    await play("rabbitmq-upgrade", "drain")
    assert "status: marked for maintenance" in (await play("rabbitmqctl", "cluster_status")).stdout
    await settled(lambda: not node.broker.connections)
    await play("rabbitmq-upgrade", "revive")
    await (await aio_pika.connect(_url(node))).close()
    await connection.close()


async def test_the_watermark_blocks_publishers(start: Start, play: Play) -> None:
    node = await start()
    await play("rabbitmqctl", "set_vm_memory_high_watermark", "0")
    assert node.broker.alarms == {"memory"}
    assert (await play("rabbitmq-diagnostics", "check_alarms")).code == 69
    await play("rabbitmqctl", "set_vm_memory_high_watermark", "absolute", "100GiB")
    assert node.broker.alarms == set()
    assert node.monitor.memory_limit == min(100 << 30, node.monitor.total)


async def test_an_alarm_that_was_set_stays(start: Start, play: Play) -> None:
    node = await start()
    await play("rabbitmqctl", "eval", "rabbit_alarm:set_alarm({{resource_limit, disk, node()}, []}).")
    node.monitor.check()
    assert node.broker.alarms == {"disk"}
    await play("rabbitmqctl", "eval", "rabbit_alarm:clear_alarm({resource_limit, disk, node()}).")
    assert node.broker.alarms == set()


async def test_channel_max_for_new_connections(start: Start, play: Play) -> None:
    node = await start()
    await play("rabbitmqctl", "eval", "application:set_env(rabbit, channel_max, 2).")
    connection = await aio_pika.connect(_url(node))
    assert next(iter(node.broker.connections)).channel_max == 2
    await connection.close()


@pytest.mark.parametrize("value", ["65536", "-1", "true", "1.5", "9" * 30])
async def test_a_setting_is_not_changed_to_a_value_that_it_cannot_have(
    start: Start, play: Play, value: str
) -> None:
    node = await start()
    for name in ("heartbeat", "channel_max"):
        found = await play("rabbitmqctl", "eval", f"application:set_env(rabbit, {name}, {value}).")
        assert found.code == 69 and "badarg" in found.stderr
    connection = await aio_pika.connect(_url(node))
    await connection.close()


@pytest.mark.parametrize(
    "text",
    [
        "1.0e999.",
        "1.0e308 * 10.",
        "2.5 * " + "9" * 1000 + ".",
        " * ".join(["9" * 3000] * 3) + ".",
        "9" * 5000 + ".",
        "1" + "+1" * 20_000 + ".",
        "1" + "*1" * 20_000 + ".",
        "(" + "-" * 20_000 + "1).",
        "[" * 3000 + "]" * 3000 + ".",
        "#{[] => 1}.",
        "application:set_env(rabbit).",
        "application:get_env().",
    ],
    ids=lambda text: text[:12],
)
async def test_an_odd_expression_is_no_internal_error(start: Start, play: Play, text: str) -> None:
    node = await start()
    found = await play("rabbitmqctl", "eval", text)
    assert found.code in (64, 69)
    assert "internal error" not in found.stderr and "Traceback" not in found.stderr
    assert not node.broker.faults.errors


@pytest.mark.parametrize("text", ['os:cmd("id").', "rabbit:stop().", "lists:seq(1, 3).", "erlang:halt()."])
async def test_other_expressions_are_refused(start: Start, play: Play, text: str) -> None:
    node = await start()
    found = await play("rabbitmqctl", "eval", text)
    assert found.code == 69
    assert "evaluates no Erlang" in found.stderr
    assert node.running


async def test_plugins_are_switched(start: Start, play: Play) -> None:
    node = await start()
    assert "amq.rabbitmq.event" not in node.broker.vhosts["/"].exchanges
    found = await play("rabbitmq-plugins", "enable", "rabbitmq_event_exchange")
    assert found.stdout.endswith("  rabbitmq_event_exchange\n\nstarted 1 plugins.\n")
    assert "amq.rabbitmq.event" in node.broker.vhosts["/"].exchanges
    await play("rabbitmq-plugins", "disable", "rabbitmq_event_exchange")
    assert "amq.rabbitmq.event" not in node.broker.vhosts["/"].exchanges
    assert (await play("rabbitmq-plugins", "disable", "rabbitmq_sharding")).code == 69


async def test_plugins_that_are_not_there_are_warnings(
    start: Start, play: Play, caplog: pytest.LogCaptureFixture
) -> None:
    """Scripts for RabbitMQ enable them, and go on only after 0."""
    await start()
    done = await play("rabbitmq-plugins", "enable", "rabbitmq_shovel", "rabbitmq_event_exchange")
    assert (done.code, done.stdout.splitlines()[-1]) == (0, "started 1 plugins.")
    assert "have been enabled:\n  rabbitmq_event_exchange\n  rabbitmq_shovel\n" in done.stdout
    text = "Leveret does not have rabbitmq_shovel, and nothing is done for it"
    assert f"WARNING: {text}" in done.stderr
    assert text in caplog.text
    done = await play("rabbitmq-plugins", "is_enabled", "rabbitmq_shovel")
    assert (done.code, "rabbitmq_shovel is enabled" in done.stdout) == (0, True)
    assert text in done.stderr
    listed = (await play("rabbitmq-plugins", "list", "rabbitmq_shovel$")).stdout
    assert "[E ] rabbitmq_shovel" in listed  # enabled, not running
    await play("rabbitmq-plugins", "disable", "rabbitmq_shovel")
    assert (await play("rabbitmq-plugins", "is_enabled", "rabbitmq_shovel")).code == 69


async def test_plugins_that_work_on_demand_are_shown_when_they_are_enabled(start: Start, play: Play) -> None:
    node = await start(http_port=0)
    name = "rabbitmq_auth_backend_oauth2"
    assert (await play("rabbitmq-plugins", "is_enabled", name)).code == 69
    done = await play("rabbitmq-plugins", "enable", name, "rabbitmq_delayed_message_exchange")
    assert (done.code, done.stderr) == (0, "")
    assert (await play("rabbitmq-plugins", "is_enabled", name)).code == 0
    listed = (await play("rabbitmq-plugins", "list", "-E", "-m")).stdout.split()
    assert {name, "rabbitmq_delayed_message_exchange"} < {*listed}
    port = next(listener.port for listener in node.listeners() if listener.protocol == "http")
    request = urllib.request.Request(f"http://127.0.0.1:{port}/api/nodes", headers={"Authorization": GUEST})
    with await asyncio.to_thread(urllib.request.urlopen, request) as answer:
        (shown,) = json.load(answer)
    descriptions = {one["name"]: one["description"] for one in shown["applications"]}
    assert descriptions[name] == "OAuth 2 and JWT-based AuthN and AuthZ backend"
    assert descriptions["rabbitmq_delayed_message_exchange"] == "RabbitMQ Delayed Message Exchange"
    await play("rabbitmq-plugins", "disable", name)
    assert (await play("rabbitmq-plugins", "is_enabled", name)).code == 69


async def test_what_is_enabled_is_written_to_the_file_of_plugins(
    start: Start, play: Play, tmp_path: Path
) -> None:
    path = tmp_path / "enabled_plugins"
    path.write_text("[rabbitmq_prometheus].\n")
    await start(plugins=Plugins(enabled_file=str(path)))
    await play("rabbitmq-plugins", "enable", "rabbitmq_event_exchange", "rabbitmq_shovel")
    assert path.read_text() == "[rabbitmq_event_exchange,rabbitmq_prometheus,rabbitmq_shovel].\n"
    await play("rabbitmq-plugins", "disable", "rabbitmq_prometheus", "rabbitmq_shovel")
    assert path.read_text() == "[rabbitmq_event_exchange].\n"


async def test_plugins_that_are_not_enabled_do_not_listen(start: Start, play: Play) -> None:
    node = await start(http_port=0, prometheus_port=0, plugins=Plugins(management=False))
    assert [one.protocol for one in node.listeners()] == ["amqp", "http/prometheus"]
    assert node.plugins == ["rabbitmq_prometheus"]
    await play("rabbitmq-plugins", "enable", "rabbitmq_management")
    assert {one.protocol for one in node.listeners()} == {"amqp", "http", "http/prometheus"}


async def test_the_http_api_is_switched(start: Start, play: Play) -> None:
    node = await start(http_port=0)
    port = next(listener.port for listener in node.listeners() if listener.protocol == "http")
    await play("rabbitmq-plugins", "disable", "rabbitmq_management")
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", port)
    await play("rabbitmq-plugins", "enable", "rabbitmq_management")
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()


@pytest.mark.usefixtures("logged")
async def test_the_log_is_shown_and_followed(start: Start, play: Play) -> None:
    node = await start()
    assert "Control socket:" in (await play("rabbitmq-diagnostics", "-q", "log_tail", "-N", "20")).stdout
    following = asyncio.create_task(play("rabbitmq-diagnostics", "-q", "log_tail_stream", "-d", "1"))
    await settled(lambda: node.host.log.followers)
    log.info("a line for those who follow")
    assert "a line for those who follow\n" in (await following).stdout


async def test_events_are_shown_as_they_happen(start: Start, play: Play) -> None:
    node = await start()
    words = ("rabbitmq-diagnostics", "consume_event_stream", "-d", "1", "--pattern", "^vhost")
    observers = len(node.broker.observers.all)
    following = asyncio.create_task(play(*words))
    await settled(lambda: len(node.broker.observers.all) > observers)
    await play("rabbitmqctl", "add_vhost", "new")
    await play("rabbitmqctl", "add_user", "new", "pw")
    shown = [json.loads(line) for line in (await following).stdout.splitlines() if line]
    assert [(each["event"], each["name"]) for each in shown] == [("vhost.created", "new")]
    assert shown[0]["user_who_performed_action"] == "rmq-cli"
    assert all(type(each).__name__ != "EventStream" for each in node.broker.observers.all)


async def test_long_lists_arrive_whole(start: Start, play: Play) -> None:
    node = await start()
    vhost = node.broker.vhosts["/"]
    for number in range(5000):
        vhost.declare_queue(
            f"q{number}", durable=False, auto_delete=False, owner=None, arguments={}, user="guest"
        )
    found = await play("rabbitmqctl", "list_queues", "name", "messages", "--formatter", "json")
    assert [each["name"] for each in json.loads(found.stdout)] == [f"q{number}" for number in range(5000)]


async def test_a_connection_is_closed_by_its_process(start: Start, play: Play) -> None:
    node = await start()
    connection = await aio_pika.connect(_url(node))
    pid = (await play("rabbitmqctl", "-s", "list_connections", "pid")).stdout.strip()
    await play("rabbitmqctl", "close_connection", pid, "a reason")
    await settled(lambda: not node.broker.connections)
    await connection.close()


async def test_the_report_shows_several_commands(start: Start, play: Play) -> None:
    await start()
    found = await play("rabbitmqctl", "report")
    assert found.code == 0
    for line in (
        "Status of node rabbit@localhost ...",
        "Listing queues for vhost / ...",
        "Listing connections ...",
    ):
        assert line in found.stdout


async def test_an_import_reports_its_progress_to_commands_that_ask(start: Start, tmp_path: Path) -> None:
    node = await start()
    queues = [{"name": f"q{number}", "vhost": "/", "durable": True} for number in range(1000)]
    request = {
        "tool": "rabbitmqctl",
        "command": "import_definitions",
        "arguments": [],
        "options": {},
        "content": json.dumps({"queues": queues}),
        "formatter": "string",
        "raw": False,
    }
    seen: list[tuple[str, int, int]] = []

    def ask(progress: bool) -> list[str]:
        asked = commands_node.find(NAME, {}, os.environ)
        found = asked.ask({**request, "progress": progress}, None, lambda *each: seen.append(each))
        output = [each for each in found if isinstance(each, str)]
        asked.close()
        return output

    assert "Successfully started" in "".join(await asyncio.to_thread(ask, False))
    assert seen == []
    await asyncio.to_thread(ask, True)
    assert seen == [("Importing definitions", done, 1000) for done in (250, 500, 750, 1000, 1000)]
    assert len(node.broker.vhosts["/"].queues) == 1000


async def test_definitions_go_out_and_in_as_an_erlang_term(start: Start, play: Play, tmp_path: Path) -> None:
    await start()
    path = str(tmp_path / "definitions.term")
    assert (await play("rabbitmqctl", "add_vhost", "gr\u00f6\u00dfe", "--tags", "a,b")).code == 0
    limits = ("set_vhost_limits", "-p", "gr\u00f6\u00dfe", '{"max-queues": 5}')
    assert (await play("rabbitmqctl", *limits)).code == 0
    assert (await play("rabbitmqctl", "export_definitions", path, "--format", "erlang")).code == 0
    assert (await asyncio.to_thread(Path(path).read_bytes))[:2] == b"\x83P"
    assert (await play("rabbitmqctl", "delete_vhost", "gr\u00f6\u00dfe")).code == 0
    assert (await play("rabbitmqctl", "import_definitions", path, "--format", "erlang")).code == 0
    shown = await play("rabbitmqctl", "-s", "list_vhosts", "name", "tags")
    assert "gr\u00f6\u00dfe\t[a, b]" in shown.stdout
    assert "max-queues" in (await play("rabbitmqctl", "list_vhost_limits", "-p", "gr\u00f6\u00dfe")).stdout


@pytest.mark.parametrize(
    "command",
    [
        "list_users",
        "list_permissions",
        "list_user_permissions guest",
        "list_topic_permissions",
        "list_user_topic_permissions guest",
        "list_policies",
        "list_operator_policies",
        "list_parameters",
        "list_global_parameters",
        "list_user_limits --global",
        "list_vhost_limits --global",
        "list_vhosts",
        "set_permissions_globally guest .* .* .*",
    ],
)
async def test_what_is_set_is_listed_in_slices(
    start: Start, play: Play, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, many, pauses = await start(), 20, 0
    broker, access = node.broker, node.broker.access
    for number in range(many):
        name = f"v{number}"
        user, vhost = access.users.add(f"u{number}", "p").name, broker.add_vhost(name).name
        access.users.set_limits(user, {"max-channels": 1})
        access.set_vhost_limits(vhost, {"max-queues": 1})
        for who, where in ((user, "/"), ("guest", vhost)):
            access.set_permissions(who, where, "", "", "")
            access.set_topic_permissions(who, where, "amq.topic", "", "")
        for operator in (False, True):
            broker.policies.set(Policy("/", name, "", {"max-length": 1}), operator)
        broker.set_global_parameter(name, number)
    slices = node.control.host.slices
    original, readings = slices.pause, count()

    async def pause() -> None:
        nonlocal pauses
        pauses += 1
        await original()

    monkeypatch.setattr(slices, "_clock", lambda: next(readings))
    monkeypatch.setattr(slices, "pause", pause)
    assert (await play("rabbitmqctl", "-s", *command.split())).code == 0
    assert pauses >= many
