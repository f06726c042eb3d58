"""Rates and samples over HTTP."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pika
import pytest
from aiohttp import ClientSession

from leveret.config import Settings
from leveret.engine.samples import INTERVAL_MS
from leveret.server.node import Node
from leveret.settings import Server

from .conftest import Api

WINDOW = "lengths_age=10&lengths_incr=5&msg_rates_age=10&msg_rates_incr=5&data_rates_age=10&data_rates_incr=5"


def publish(url: str) -> pika.BlockingConnection:
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.queue_declare("r", durable=True)
    for _ in range(50):
        channel.basic_publish("", "r", b"x")
    channel.basic_get("r", auto_ack=True)
    return connection


@pytest.fixture
async def busy(api: Api, node: Node) -> Any:
    """The API of a node to which 50 messages were published after the first pass, and one was fetched."""
    connection = await api.conversation(publish)
    node.clock.tick()
    node.site.sampler.start()  # as after INTERVAL_MS: a pass that sees them
    yield api
    await api.conversation(lambda _: connection.close())


def rates_in(shown: dict[str, Any]) -> dict[str, float]:
    return {name: value["rate"] for name, value in shown.items() if name.endswith("_details")}


async def test_rates_are_there_at_the_first_question(busy: Api) -> None:
    queue = await busy.get("queues/%2F/r")
    assert queue["message_stats"]["publish_details"]["rate"] == 50_000 / INTERVAL_MS
    assert queue["messages_details"]["rate"] == 49_000 / INTERVAL_MS
    overview = await busy.get("overview")
    assert overview["message_stats"]["deliver_get_details"]["rate"] == 1000 / INTERVAL_MS
    assert overview["churn_rates"]["queue_created_details"]["rate"] == 1000 / INTERVAL_MS
    vhost = await busy.get("vhosts/%2F")
    assert vhost["message_stats"]["publish_details"]["rate"] == 50_000 / INTERVAL_MS
    assert vhost["recv_oct_details"]["rate"] > 0
    (connection,) = await busy.get("connections")
    assert connection["recv_oct_details"]["rate"] > 0
    (channel,) = await busy.get("channels")
    assert channel["message_stats"]["get_no_ack_details"]["rate"] == 1000 / INTERVAL_MS
    (node,) = await busy.get("nodes")
    assert node["queue_created_details"]["rate"] == 1000 / INTERVAL_MS


async def test_exchanges_show_what_comes_in_and_goes_out(busy: Api) -> None:
    exchange = await busy.get("exchanges/%2F/amq.default")
    details = {"rate": 50_000 / INTERVAL_MS}
    stats = {
        "publish_in": 50,
        "publish_in_details": details,
        "publish_out": 50,
        "publish_out_details": details,
    }
    assert exchange["message_stats"] == stats
    assert (exchange["incoming"], exchange["outgoing"]) == ([], [])
    listed = {each["name"]: each for each in await busy.get("exchanges/%2F")}
    assert listed[""]["message_stats"] == stats
    assert "message_stats" not in listed["amq.topic"]
    assert "message_stats" not in await busy.get("exchanges/%2F/amq.default?disable_stats=true")


async def test_samples_that_are_asked_for(busy: Api) -> None:
    queue = await busy.get(f"queues/%2F/r?{WINDOW}")
    for details in (queue["messages_details"], queue["message_stats"]["publish_details"]):
        assert details.keys() == {"rate", "samples", "avg", "avg_rate"}
        times = [sample["timestamp"] for sample in details["samples"]]
        assert times == [times[0], times[0] - 5000, times[0] - 10_000] and times[0] % 5000 == 0
    assert len(queue["reductions_details"]["samples"]) == 3
    for path, *keys in (
        ("overview", "queue_totals", "messages_details"),
        ("overview", "churn_rates", "queue_created_details"),
        ("vhosts/%2F", "recv_oct_details"),
        ("exchanges/%2F/amq.default", "message_stats", "publish_in_details"),
    ):
        shown = await busy.get(f"{path}?{WINDOW}")
        for key in keys:
            shown = shown[key]
        assert len(shown["samples"]) == 3, path
    (node,) = await busy.get("nodes?node_stats_age=60&node_stats_incr=20")
    assert len(node["mem_used_details"]["samples"]) == 4


async def test_samples_of_connections_and_channels(busy: Api) -> None:
    for kind, key in (("connections", "recv_oct_details"), ("channels", "message_stats")):
        (listed,) = await busy.get(f"{kind}?{WINDOW}")
        one = await busy.get(f"{kind}/{quote(listed['name'], safe='')}?{WINDOW}")
        for shown in (listed, one):
            details = shown[key] if key != "message_stats" else shown[key]["publish_details"]
            assert len(details["samples"]) == 3


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("overview", "bad_request"),
        ("nodes", "bad_request"),
        ("queues/%2F/r", "bad_request"),
        ("queues", "invalid_range_parameters"),
        ("exchanges", "invalid_range_parameters"),
        ("vhosts", "invalid_range_parameters"),
    ],
)
async def test_ranges_that_cannot_be_shown(busy: Api, path: str, error: str) -> None:
    for age, step in ((60, 0), (6000, 5), (-1, 5)):
        refused = await busy("GET", f"{path}?lengths_age={age}&lengths_incr={step}")
        reason = f"Invalid range parameters: age {age}, incr {step}"
        assert refused == (400, {"error": error, "reason": reason})
    assert (await busy("GET", f"{path}?lengths_age=x&lengths_incr=5"))[0] == 200
    refused = await busy("GET", f"{path}?lengths_age={'9' * 5000}&lengths_incr=5")
    assert refused == (400, {"error": error, "reason": f"Invalid range parameters: {'9' * 1000}..."})


# --- rates_mode detailed


async def test_objects_show_what_they_counted_of_each_other() -> None:
    ports = {"port": 0, "http_port": 0, "prometheus_port": 0}
    node = Node(
        Settings(server=Server(host=("127.0.0.1",), node="rabbit@test", rates_mode="detailed", **ports))
    )
    await node.start()
    async with ClientSession() as session:
        api = Api(node, session)
        connection = await api.conversation(publish)
        (listed,) = await api.get("channels")
        name = listed["name"]
        queue = await api.get("queues/%2F/r")
        (incoming,) = queue["incoming"]
        assert incoming == {
            "exchange": {"name": "", "vhost": "/"},
            "stats": {"publish": 50, "publish_details": {"rate": 0.0}},
        }
        (delivery,) = queue["deliveries"]
        assert delivery["channel_details"]["name"] == name
        assert (delivery["stats"]["get_no_ack"], delivery["stats"]["deliver_get"]) == (1, 1)
        exchange = await api.get("exchanges/%2F/amq.default")
        (outgoing,) = exchange["outgoing"]
        assert outgoing == {"queue": {"name": "r", "vhost": "/"}, "stats": incoming["stats"]}
        (incoming,) = exchange["incoming"]
        assert incoming["channel_details"]["name"] == name
        assert (incoming["stats"]["publish"], incoming["stats"]["drop_unroutable"]) == (50, 0)
        channel = await api.get(f"channels/{quote(name, safe='')}?msg_rates_age=10&msg_rates_incr=5")
        (published,) = channel["publishes"]
        assert published["exchange"] == {"name": "", "vhost": "/"}
        assert len(published["stats"]["publish_details"]["samples"]) == 3
        (delivered,) = channel["deliveries"]
        assert (delivered["queue"]["name"], delivered["stats"]["get_no_ack"]) == ("r", 1)
        assert (await api.get("overview"))["rates_mode"] == "detailed"
        await api.conversation(lambda _: connection.close())
    await node.stop()
