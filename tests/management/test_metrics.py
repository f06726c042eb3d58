"""The pages of the Prometheus endpoint."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pika
import pytest
from aiohttp import ClientSession
from prometheus_client.parser import text_string_to_metric_families

from leveret.config import Settings
from leveret.management.prometheus import families, pages
from leveret.management.prometheus.text import labels, quoted
from leveret.server.node import Node
from leveret.settings import Server

from .conftest import GUEST, Api, authorization
from .test_queues import busy

#: The queries of RabbitMQ's dashboards for Grafana (rabbitmq_prometheus 4.3.5: docker/grafana/dashboards).
DASHBOARDS: dict[str, list[str]] = json.loads(Path(__file__).with_name("dashboards.json").read_text())

#: What dashboards ask for and is not there: of Erlang, of Raft, and of the plugin for RabbitMQ's stream protocol.
LEFT_OUT = re.compile(r"erlang_vm_|rabbitmq_raft_|rabbitmq_global_stream_error_|perftest_")

#: Names in queries that are labels or functions.
NO_METRIC = re.compile(r"rabbitmq_(cluster|node|endpoint|version)$|erlang_version$")


def series(page: str) -> dict[str, list[dict[str, str]]]:
    """The labels of each metric, as a client reads them."""
    found: dict[str, list[dict[str, str]]] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
    return found


def value(page: str, name: str, **wanted: str) -> float:
    """The value of the one series that has these labels."""
    (found,) = (
        sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == name and wanted.items() <= sample.labels.items()
    )
    return found


def talk(url: str) -> pika.BlockingConnection:
    """A publisher, a consumer, basic.get, queues of all types, dead letters."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    for kind in ("classic", "quorum", "stream"):
        channel.queue_declare(f"m.{kind}", durable=True, arguments={"x-queue-type": kind})
    channel.exchange_declare("m.x", "topic")
    channel.queue_bind("m.classic", "m.x", "a.#")
    channel.queue_bind("m.quorum", "m.x", "a.b")
    for key, body in (("a.b", b"x" * 150), ("a.c", b"x"), ("z", b"x" * 20_000)):
        channel.basic_publish("m.x", key, body)
    channel.basic_publish("", "m.stream", b"x")
    method, _, _ = channel.basic_get("m.classic")
    channel.basic_ack(method.delivery_tag)
    channel.basic_get("m.quorum", auto_ack=True)
    channel.basic_get("m.quorum")
    return connection


@pytest.fixture
async def talking(api: Api) -> AsyncIterator[Api]:
    """The API of a node that `talk` talks to."""
    connection = await api.conversation(talk)
    yield api
    await api.conversation(lambda _: connection.close())


async def test_the_aggregated_page(api: Api) -> None:
    connection = await api.conversation(busy)
    page = await api.metrics()
    assert api.headers["Content-Type"] == "text/plain; version=0.0.4"
    for name, expected in {
        "rabbitmq_connections": 1,
        "rabbitmq_channels": 2,
        "rabbitmq_queues": 2,
        "rabbitmq_consumers": 1,
        "rabbitmq_queue_messages_ready": 5,
        "rabbitmq_queue_messages_unacked": 3,
        "rabbitmq_channel_messages_acked_total": 2,
        "rabbitmq_channel_messages_published_total": 10,
        "rabbitmq_exchange_messages_confirmed_total": 10,
        "rabbitmq_queue_messages_published_total": 10,
        "rabbitmq_connections_opened_total": 1,
        "rabbitmq_unreachable_cluster_peers_count": 0,
    }.items():
        assert value(page, name) == expected, name
    amqp = {"protocol": "amqp091"}
    for name, expected in {
        "messages_received_total": 10,
        "messages_received_confirm_total": 10,
        "messages_confirmed_total": 10,
        "messages_routed_total": 10,
        "publishers": 1,
        "consumers": 1,
    }.items():
        assert value(page, f"rabbitmq_global_{name}", **amqp) == expected, name
        assert value(page, f"rabbitmq_global_{name}", protocol="amqp10") == 0, name
    classic = {**amqp, "queue_type": "rabbit_classic_queue"}
    assert value(page, "rabbitmq_global_messages_delivered_total", **classic) == 5
    assert value(page, "rabbitmq_global_messages_delivered_consume_manual_ack_total", **classic) == 5
    assert value(page, "rabbitmq_global_messages_acknowledged_total", **classic) == 2
    quorum = {**amqp, "queue_type": "rabbit_quorum_queue"}
    assert value(page, "rabbitmq_global_messages_delivered_total", **quorum) == 0
    assert value(page, "rabbitmq_identity_info", rabbitmq_endpoint="aggregated") == 1
    assert value(page, "rabbitmq_build_info", rabbitmq_version=api.node.broker.profile.version) == 1
    await api.conversation(lambda _: connection.close())


async def test_single_objects(talking: Api) -> None:
    page = await talking.metrics("metrics/per-object")
    for line in (
        'rabbitmq_queue_messages_ready{vhost="/",queue="m.classic"} 1',
        'rabbitmq_queue_messages_unacked{vhost="/",queue="m.quorum"} 0',
        'rabbitmq_stream_segments{vhost="/",queue="m.stream"} 1',
        'rabbitmq_queue_info{vhost="/",queue="m.quorum",queue_type="rabbit_quorum_queue",membership="leader"} 1',
        'rabbitmq_exchange_messages_published_total{vhost="/",exchange="m.x"} 3',
        'rabbitmq_exchange_messages_unroutable_dropped_total{vhost="/",exchange="m.x"} 1',
        'rabbitmq_queue_exchange_messages_published_total{vhost="/",exchange="m.x",queue="m.classic"} 2',
    ):
        assert line in page.splitlines(), line
    (name,) = {each["channel"] for each in series(page)["rabbitmq_channel_consumers"]}
    assert re.fullmatch(r"127\.0\.0\.1:\d+ -> 127\.0\.0\.1:\d+ \(1\)", name)
    published = "rabbitmq_queue_messages_published_total"
    assert value(page, published, queue="m.quorum", exchange="m.x", exchange_vhost="/", channel=name) == 1
    assert value(page, "rabbitmq_channel_messages_acked_total", queue="m.classic", channel=name) == 1
    assert value(page, "rabbitmq_channel_messages_published_total", exchange="m.x", channel=name) == 3
    assert value(page, "rabbitmq_connection_channels") == 1


async def test_the_sizes_of_messages(talking: Api) -> None:
    page = await talking.metrics()
    name = "rabbitmq_message_size_bytes"
    buckets = {
        limit: value(page, f"{name}_bucket", protocol="amqp091", le=limit)
        for limit in ("100", "1000", "10000", "100000", "+Inf")
    }
    assert buckets == {"100": 2, "1000": 3, "10000": 3, "100000": 4, "+Inf": 4}
    assert value(page, f"{name}_sum", protocol="amqp091") == 20_152
    assert value(page, f"{name}_count", protocol="amqp091") == 4


@pytest.mark.parametrize("family", families.FAMILIES)
async def test_families(talking: Api, family: str) -> None:
    page = await talking.metrics(f"metrics/detailed?family={family}")
    found = [name for name in series(page) if name.startswith(("rabbitmq_detailed_", "rabbitmq_cluster_"))]
    assert bool(found) == (family not in ("auth_attempt_detailed_metrics", "stream_consumer_metrics"))
    assert value(page, "rabbitmq_identity_info", rabbitmq_endpoint="detailed") == 1


async def test_families_of_some_queues(talking: Api) -> None:
    async def queues(query: str) -> set[str]:
        page = await talking.metrics(f"metrics/detailed?family=queue_coarse_metrics&{query}")
        return {each["queue"] for each in series(page).get("rabbitmq_detailed_queue_messages", [])}

    assert await queues("") == {"m.classic", "m.quorum", "m.stream"}
    assert await queues("vhost=%2F&vhost=nope") == {"m.classic", "m.quorum", "m.stream"}
    assert await queues("vhost=nope") == set()
    assert await queues("queue=^m.(c|q)") == {"m.classic", "m.quorum"}


async def test_bindings_of_exchanges(talking: Api) -> None:
    page = await talking.metrics("metrics/detailed?family=exchange_bindings&family=exchange_names")
    where = {"exchange": "m.x", "type": "topic"}
    assert value(page, "rabbitmq_cluster_exchange_bindings", **where) == 2
    assert value(page, "rabbitmq_cluster_exchange_name", **where) == 1
    assert not any(each["exchange"] == "" for each in series(page)["rabbitmq_cluster_exchange_name"])


async def test_one_family_in_another_is_shown_once(talking: Api) -> None:
    page = await talking.metrics("metrics/detailed?family=queue_metrics&family=queue_consumer_count")
    assert page.count("# TYPE rabbitmq_detailed_queue_consumers ") == 1


async def test_the_memory_breakdown_adds_up(talking: Api) -> None:
    page = await talking.metrics("metrics/memory-breakdown")
    parts = {name: value(page, name) for name in series(page) if name.startswith("rabbitmq_memory_")}
    assert parts["rabbitmq_memory_classic_queue_erlang_process_bytes"] == 1
    assert sum(parts.values()) > 10_000_000


async def test_counters_do_not_go_back_with_what_they_counted(api: Api) -> None:
    def once(url: str) -> None:
        connection = pika.BlockingConnection(pika.URLParameters(url))
        channel = connection.channel()
        channel.exchange_declare("gone")
        channel.queue_declare("gone")
        channel.queue_bind("gone", "gone", "k")
        channel.confirm_delivery()
        channel.basic_publish("gone", "k", b"x")
        channel.basic_get("gone", auto_ack=True)
        channel.queue_delete("gone")
        channel.exchange_delete("gone")
        connection.close()

    await api.conversation(once)
    page = await api.metrics()
    for name in (
        "queue_messages_published_total",
        "queue_get_total",
        "channel_get_total",
        "channel_messages_confirmed_total",
        "exchange_messages_published_total",
    ):
        assert value(page, f"rabbitmq_{name}") == 1, name
    assert value(page, "rabbitmq_connection_incoming_bytes_total") > 100


async def test_other_answers(api: Api) -> None:
    url = f"http://127.0.0.1:{api.prometheus}"

    async def answer(method: str, path: str) -> tuple[int, str]:
        async with api.session.request(method, f"{url}{path}") as response:
            return response.status, await response.text()

    assert await answer("HEAD", "/metrics") == (204, "")
    assert await answer("POST", "/metrics") == (405, "")
    assert await answer("OPTIONS", "/metrics") == (200, "")
    assert await answer("GET", "/metrics/nope") == (404, "Unknown Registry")
    missing = '{"error":"Object Not Found","reason":"Not Found"}'
    assert await answer("GET", "/nope") == (404, missing)
    assert await answer("GET", "/metrics/detailed/x") == (404, missing)
    bad = "/metrics/detailed?queue=%28"
    text = "Invalid 'queue' regex at position 1: missing closing parenthesis"
    assert await answer("GET", bad) == (400, text)
    twice = "Only one 'queue' query parameter is allowed"
    assert await answer("GET", "/metrics/detailed?queue=a&queue=b") == (400, twice)
    assert await answer("GET", f"/metrics/detailed?queue={'a' * 2001}") == (400, "'queue' regex too long")
    assert (await answer("GET", "/metrics/default"))[0] == 200


async def test_clients_that_take_gzip_get_it(api: Api) -> None:
    url = f"http://127.0.0.1:{api.prometheus}/metrics"
    async with ClientSession(auto_decompress=False) as session:
        async with session.get(url, headers={"Accept-Encoding": "gzip"}) as response:
            assert response.headers["Content-Encoding"] == "gzip"
            assert b"rabbitmq_queues 0\n" in gzip.decompress(await response.read())
        async with session.get(url, headers={"Accept-Encoding": "identity"}) as response:
            assert b"rabbitmq_queues 0\n" in await response.read()


async def test_scrapes_are_measured(api: Api) -> None:
    first = await api.metrics()
    page = await api.metrics()
    assert value(page, "telemetry_scrape_size_bytes_count", registry="default") == 1
    assert value(page, "telemetry_scrape_size_bytes_sum", registry="default") == len(first.encode())
    assert value(page, "process_start_time_seconds") > 0


# --- settings


@pytest.fixture
async def configured(request: pytest.FixtureRequest) -> AsyncIterator[Api]:
    """A node with other settings of the endpoint."""
    ports = {"port": 0, "http_port": 0, "prometheus_port": 0}
    node = Node(Settings(server=Server(host=("127.0.0.1",), node="rabbit@test", **ports, **request.param)))
    await node.start()
    async with ClientSession() as session:
        yield Api(node, session)
    await node.stop()


@pytest.mark.parametrize("configured", [{"prometheus_per_object": True}], indirect=True)
async def test_the_path_itself_can_show_single_objects(configured: Api) -> None:
    assert (await configured("PUT", "queues/%2F/q", {}))[0] == 201
    page = await configured.metrics()
    assert value(page, "rabbitmq_queue_messages_ready", queue="q") == 0
    assert value(page, "rabbitmq_identity_info", rabbitmq_endpoint="per-object") == 1


@pytest.mark.parametrize("configured", [{"prometheus_path": "/other/path"}], indirect=True)
async def test_another_path(configured: Api) -> None:
    assert "rabbitmq_queues 0" in await configured.metrics("other/path")
    assert "rabbitmq_queues 0" in await configured.metrics("other/path/per-object")
    async with configured.session.get(f"http://127.0.0.1:{configured.prometheus}/metrics") as response:
        assert response.status == 404


async def test_logins_by_source_where_they_are_counted(node: Node, api: Api) -> None:
    page = await api.metrics("metrics/detailed?family=auth_attempt_detailed_metrics")
    assert "rabbitmq_detailed_auth_attempts_detailed_total" not in series(page)
    node.site.attempts.by_source = True
    await api("GET", "whoami", auth=("guest", "wrong"))
    page = await api.metrics("metrics/per-object")
    where = {"remote_address": "127.0.0.1", "username": "guest", "protocol": "http"}
    assert value(page, "rabbitmq_auth_attempts_detailed_total", **where) == 1
    assert value(page, "rabbitmq_auth_attempts_detailed_failed_total", **where) == 1
    assert "auth_attempts_detailed" not in await api.metrics()


@pytest.mark.parametrize("configured", [{"prometheus_authentication": True}], indirect=True)
async def test_a_login_can_be_demanded(configured: Api) -> None:
    url = f"http://127.0.0.1:{configured.prometheus}/metrics"

    async def answer(*who: str) -> tuple[int, str | None, str]:
        headers = authorization(*who) if who else {}
        async with configured.session.get(url, headers=headers) as response:
            return response.status, response.headers.get("WWW-Authenticate"), await response.text()

    assert await answer() == (401, 'Basic realm="RabbitMQ Prometheus"', "")
    assert (await answer("guest", "wrong"))[0] == 401
    await configured.user("m", "management")
    assert (await answer("m", "pw"))[2] == '{"error":"not_authorised","reason":"Not monitor user"}'
    await configured.user("o", "monitoring")
    for who in (GUEST, ("o", "pw")):
        assert (await answer(*who))[0] == 200


# --- names of things


def test_labels_are_escaped() -> None:
    assert quoted('a"b\\c\nd') == 'a\\"b\\\\c\\nd'
    assert labels(vhost="/", queue="é") == 'vhost="/",queue="é"'


async def test_slices_are_put_together(talking: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = await talking.metrics("metrics/per-object")
    monkeypatch.setattr(pages, "SLICE_LENGTH", 1)
    sliced = await talking.metrics("metrics/per-object")
    assert series(sliced).keys() >= series(whole).keys()


# --- dashboards


def selectors(query: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The metrics of a query, with the labels that their series must have."""
    for name, matchers in re.findall(r"\b((?:rabbitmq|erlang|process|perftest)_\w+)(?:\{([^}]*)\})?", query):
        if NO_METRIC.match(name):
            continue
        wanted = dict(re.findall(r'(\w+) *= *"([^"]*)"', matchers))
        if wanted.get("le", "+Inf") != "+Inf":  # Prometheus makes floats of them
            wanted["le"] = str(int(float(wanted["le"])))
        yield name, {label: given for label, given in wanted.items() if "$" not in given}


@pytest.mark.parametrize("dashboard", DASHBOARDS)
async def test_the_queries_of_a_dashboard_find_their_series(talking: Api, dashboard: str) -> None:
    page = series(await talking.metrics())
    asked = absent = 0
    for query in DASHBOARDS[dashboard]:
        for name, wanted in selectors(query):
            asked += 1
            if LEFT_OUT.match(name) or wanted.get("protocol") == "stream":
                absent += 1
                assert name not in page or wanted
                continue
            assert any(wanted.items() <= found.items() for found in page.get(name, [])), (query, name)
    assert asked
    if dashboard == "RabbitMQ-Overview":
        assert absent == 0


def test_the_page_of_the_documentation_lists_what_is_left_out() -> None:
    text = (Path(__file__).parents[2] / "docs" / "features" / "metrics.md").read_text()
    for dashboard in DASHBOARDS:
        assert f"`{dashboard}`" in text
    listed: Any = set(re.findall(r"`([a-z_0-9]+)`", text))
    assert {"queue_process_memory_bytes", "queue_messages_persistent", "schema_db_disk_tx_total"} <= listed


async def test_publishes_over_http_are_received_and_confirmed(api: Api) -> None:
    message = {"properties": {}, "routing_key": "nowhere", "payload": "x", "payload_encoding": "string"}
    assert (await api("POST", "exchanges/%2F/amq.default/publish", message)) == (200, {"routed": False})
    page = await api.metrics("metrics")
    for name in ("received", "received_confirm", "confirmed", "unroutable_returned"):
        assert value(page, f"rabbitmq_global_messages_{name}_total", protocol="amqp091") == 1, name


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Accept": "text/plain;version=0.0.4;q=0.5, application/openmetrics-text;version=1.0.0"}, 200),
        ({"Accept": "*/*;q=0.1"}, 200),
        ({"Accept": "application/openmetrics-text"}, 406),
        ({"Accept": "junk"}, 400),
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": '"x"'}, 412),
        ({"If-Match": "*"}, 200),
        ({"If-Match": '"x"'}, 412),
        ({"If-Match": "x"}, 400),
    ],
)
async def test_a_scrape_is_negotiated(api: Api, headers: dict[str, str], status: int) -> None:
    url = f"http://127.0.0.1:{api.prometheus}/metrics/detailed?family=vhost_status"
    async with api.session.get(url, headers=headers) as response:
        assert response.status == status
        assert response.headers["Allow"] == "HEAD, GET, OPTIONS"


@pytest.mark.parametrize(("path", "status"), [("metrics", 501), ("nosuch", 404)])
async def test_an_unknown_method_of_a_scrape(api: Api, path: str, status: int) -> None:
    url = f"http://127.0.0.1:{api.prometheus}/{path}"
    async with api.session.request("LINK", url) as response:
        assert (response.status, response.headers.get("Allow")) == (status, None)
