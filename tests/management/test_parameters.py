"""Parameters and global parameters (answers of RabbitMQ 4.3.6)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import aio_pika
import msgspec
import pytest

from leveret.json_portions import TOGETHER, dismantled
from leveret.management import json_pieces
from leveret.server.node import Node
from leveret.settings import Limits
from tests.hang import HANG_SECONDS

from .conftest import Api

MISSING = (404, {"error": "Object Not Found", "reason": "Not Found"})
POLICY = {"pattern": "x", "definition": {"max-length": 6}, "priority": 3, "apply-to": "queues"}


def refused(reason: object) -> tuple[int, dict[str, object]]:
    return 400, {"error": "bad_request", "reason": reason}


async def test_limits_of_a_virtual_host_are_a_parameter(api: Api) -> None:
    path = "parameters/vhost-limits/%2F/limits"
    assert await api("PUT", path, {"value": {"max-queues": 5}}) == (201, None)
    shown = {"vhost": "/", "component": "vhost-limits", "name": "limits", "value": {"max-queues": 5}}
    assert await api.get(path) == shown
    assert await api.get("parameters") == [shown]
    assert await api.get("parameters/vhost-limits/%2F") == [shown]
    assert await api.get("vhost-limits/%2F") == [{"vhost": "/", "value": {"max-queues": 5}}]
    assert await api("PUT", path, {"value": {"max-connections": 7}}) == (204, None)
    assert await api.get("vhost-limits/%2F") == [{"vhost": "/", "value": {"max-connections": 7}}]
    assert await api("PUT", path, {"value": []}) == (204, None)
    assert await api.get("vhost-limits/%2F") == []
    assert await api.get("vhost-limits") == [{"vhost": "/", "value": {}}]
    assert await api("DELETE", path) == (204, None)
    assert await api.get("vhost-limits") == []
    assert await api("DELETE", path) == MISSING


async def test_operator_policies_are_parameters(api: Api) -> None:
    path = "parameters/operator_policy/%2F/p"
    assert await api("PUT", path, {"value": POLICY}) == (201, None)
    shown = {"vhost": "/", "component": "operator_policy", "name": "p", "value": POLICY}
    assert await api.get("parameters/operator_policy") == [shown]
    assert (await api.get("operator-policies/%2F/p"))["priority"] == 3
    assert await api("DELETE", path) == (204, None)
    assert await api.get("operator-policies") == []


async def test_policies_are_shown_among_parameters_only_if_asked_for(api: Api) -> None:
    assert (await api("PUT", "policies/%2F/p", POLICY))[0] == 201
    assert await api.get("parameters") == []
    (shown,) = await api.get("parameters/policy")
    assert (shown["name"], shown["value"]["pattern"]) == ("p", "x")
    assert await api("PUT", "parameters/policy/%2F/q", {"value": {}}) == refused(
        "policies may not be set using this method"
    )
    assert await api("DELETE", "parameters/policy/%2F/p") == refused(
        "policies may not be cleared using this method"
    )


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("foo/%2F/x", 1, "component foo not found"),
        ("vhost-limits/%2F/limits", 7, "limits not a list 7"),
        ("vhost-limits/%2F/limits", "7", 'limits not a list <<"7">>'),
        (
            "vhost-limits/%2F/limits",
            {"max-queues": "x"},
            'max-queues should be a number, actually was <<"x">>',
        ),
        ("vhost-limits/%2F/limits", {"nosuch": 1}, 'Unrecognised terms [{<<"nosuch">>,1}] in limits'),
        ("operator_policy/%2F/p", 7, "p not a list 7"),
        (
            "operator_policy/%2F/p",
            {"pattern": "x"},
            'Key "definition" not found in p\nKey "priority" not found in p',
        ),
        (
            "operator_policy/%2F/p",
            {"pattern": "x", "definition": {"nosuch": 6}},
            '[{<<"nosuch">>,6}] are not recognised policy settings\nKey "priority" not found in p',
        ),
        ("operator_policy/%2F/p", {**POLICY, "y": 1}, 'Unrecognised terms [{<<"y">>,1}] in p'),
    ],
)
async def test_refused(api: Api, path: str, value: object, reason: str) -> None:
    answer = await api("PUT", f"parameters/{path}", {"value": value})
    assert answer == refused(f"Validation failed\n\n{reason}\n")
    assert await api.get("parameters") == []


async def test_what_is_missing(api: Api) -> None:
    assert await api.get("parameters/nosuch") == []
    assert await api.get("parameters/nosuch/%2F") == []
    assert await api("GET", "parameters/nosuch/nov") == MISSING
    assert await api("PUT", "parameters/foo/%2F/x", {}) == refused("[{key_missing,value}]")
    nowhere = (404, {"error": "not_found", "reason": "vhost_not_found"})
    assert await api("PUT", "parameters/foo/nov/x", {"value": 1}) == nowhere
    assert await api("DELETE", "parameters/foo/%2F/x") == MISSING


VALUE: Any = {"a": [1, "x", None, True, 1.5], "b": {}}


@pytest.mark.parametrize(("value", "kept"), [(VALUE, VALUE), ("s", "s"), ([], []), ({}, []), (None, None)])
async def test_global_parameters(api: Api, value: object, kept: object) -> None:
    assert await api("PUT", "global-parameters/g", {"value": value}) == (201, None)
    assert await api("PUT", "global-parameters/g", {"value": value}) == (204, None)
    assert await api.get("global-parameters/g") == {"name": "g", "value": kept}
    names = [one["name"] for one in await api.get("global-parameters")]
    assert names == ["cluster_tags", "g", "internal_cluster_id"]
    assert await api("DELETE", "global-parameters/g") == (204, None)
    assert await api("DELETE", "global-parameters/g") == MISSING


async def test_a_large_global_parameter_is_kept_as_text(api: Api) -> None:
    """Encoding it again, or visiting its values, would hold the loop."""
    value = {"rows": [{"id": number, "text": "\u00e9" * 10, "none": []} for number in range(10_000)]}
    shown = {"name": "g", "value": value}
    assert await api("PUT", "global-parameters/g", {"value": value}) == (201, None)
    assert isinstance(api.node.broker.global_parameters["g"], msgspec.Raw)
    assert await api.get("global-parameters/g") == shown
    assert shown in await api.get("global-parameters")
    definitions = await api.get("definitions")
    assert shown in definitions["global_parameters"]
    assert await api("DELETE", "global-parameters/g") == (204, None)
    assert await api("POST", "definitions", definitions) == (204, None)
    assert isinstance(api.node.broker.global_parameters["g"], msgspec.Raw)
    assert await api.get("global-parameters/g") == shown


async def test_what_a_long_body_says_is_freed_by_a_job(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def noted(held: list[object]) -> Iterator[None]:
        steps = dismantled(held)
        sizes.append(sum(1 for _ in steps))
        yield

    monkeypatch.setattr(json_pieces, "dismantled", noted)
    body = msgspec.json.encode({"value": ["x"] * 100_000})
    assert (await api("PUT", "global-parameters/g", body))[0] == 201
    assert (await api("PUT", "queues/%2F/q", body[:-1] + b',"arguments":5}'))[0] == 400
    assert (await api("PUT", "global-parameters/g", body[:-1]))[0] == 400
    assert len(sizes) == 3
    assert min(sizes) >= 100_000 // TOGETHER


async def test_the_name_of_the_cluster_is_a_global_parameter(api: Api) -> None:
    assert await api("GET", "global-parameters/cluster_name") == MISSING
    assert await api("PUT", "cluster-name", {"name": "shops"}) == (204, None)
    assert await api.get("global-parameters/cluster_name") == {"name": "cluster_name", "value": "shops"}
    assert await api("DELETE", "global-parameters/cluster_name") == (204, None)
    assert await api.get("cluster-name") == {"name": "rabbit@test"}


async def test_who_may(api: Api) -> None:
    monitor, maker = await api.user("m", "monitoring"), await api.user("p", "policymaker")
    stranger = await api.user("s", "policymaker", vhost=None)
    may_not = (401, {"error": "not_authorised", "reason": "User not authorised to access object"})
    for path in ("parameters", "parameters/x/%2F", "global-parameters", "global-parameters/g"):
        assert await api("GET", path, auth=monitor) == may_not
        assert (await api("GET", path, auth=maker))[0] in (200, 404)
    assert await api("PUT", "global-parameters/g", {"value": 1}, auth=stranger) == (201, None)
    answer = await api("PUT", "parameters/vhost-limits/%2F/limits", {"value": []}, auth=stranger)
    assert answer == (404, {"error": "not_found", "reason": "Not Found"})


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"definition": []}, "definition should be an object, actually was []"),
        ({"definition": {"max-length": 1}, "apply-to": 7}, "apply-to should be a string, actually was 7"),
        ({"definition": {"max-age": 5}}, "5 is not a valid max age"),
    ],
)
async def test_a_policy_that_rabbitmq_crashes_on_is_refused(
    api: Api, given: dict[str, object], reason: str
) -> None:
    status, answer = await api("PUT", "policies/%2F/p", {"pattern": "^q", **given})
    assert (status, answer["reason"]) == (400, f"Validation failed\n\n{reason}\n")


async def test_parameters_of_a_component_are_limited(api: Api) -> None:
    """Over all virtual hosts. The limit is looked at first, also to replace one (rabbit_runtime_parameters)."""
    limits = {"policy": 1, "operator_policy": 1, "vhost-limits": 1}
    api.node.broker.context.node_limits.limits = Limits(parameters=limits)
    assert (await api("PUT", "vhosts/w"))[0] == 201
    full = refused("Validation failed\n\ncomponent policy is limited to 1\n")
    assert (await api("PUT", "policies/%2F/p", POLICY))[0] == 201
    assert await api("PUT", "policies/w/p", POLICY) == full
    assert await api("PUT", "policies/%2F/p", {**POLICY, "priority": "x"}) == full
    assert (await api("DELETE", "policies/%2F/p"))[0] == 204
    assert (await api("PUT", "policies/w/p", POLICY))[0] == 201
    full = refused("Validation failed\n\ncomponent operator_policy is limited to 1\n")
    assert (await api("PUT", "operator-policies/%2F/p", POLICY))[0] == 201
    assert await api("PUT", "parameters/operator_policy/w/p", {"value": POLICY}) == full
    full = refused("Validation failed\n\ncomponent vhost-limits is limited to 1\n")
    assert (await api("PUT", "vhost-limits/%2F/max-queues", {"value": 5}))[0] == 204
    assert await api("PUT", "vhost-limits/w/max-queues", {"value": 5}) == full
    assert await api("PUT", "parameters/vhost-limits/%2F/limits", {"value": {}}) == full


@pytest.mark.parametrize("kind", ["classic", "quorum", "stream"])
@pytest.mark.parametrize("number", [2**62, 2**63 - 1, 2**63, 10**30])
async def test_numbers_beyond_64_bits_are_no_fault(api: Api, node: Node, kind: str, number: int) -> None:
    """RabbitMQ 4.3.6 closes connections to classic queues with 541, and takes these numbers for the others."""
    limits = [
        "message-ttl",
        "expires",
        "max-length",
        "max-length-bytes",
        "delivery-limit",
        "consumer-timeout",
    ]
    definition: dict[str, Any] = dict.fromkeys(limits, number)
    definition |= {"max-age": f"{number}Y"} if kind == "stream" else {}
    definition |= {"delayed-retry-type": "all", "delayed-retry-min": number, "delayed-retry-max": number}
    assert await api("PUT", "policies/%2F/p", {"pattern": "^q", "definition": definition}) == (201, None)
    arguments = {"x-queue-type": kind}
    given = {"delayed-retry-min": number, "delivery-limit": number, "consumer-timeout": number}
    if kind == "quorum":
        arguments |= {f"x-{name}": value for name, value in given.items()}
    assert await api("PUT", "queues/%2F/q", {"durable": True, "arguments": arguments}) == (201, None)
    amqp = next(listener.port for listener in node.listeners() if listener.protocol == "amqp")
    connection = await aio_pika.connect(f"amqp://guest:guest@127.0.0.1:{amqp}/")
    channel = await connection.channel()
    await channel.set_qos(1)
    message = aio_pika.Message(b"x", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
    await channel.default_exchange.publish(message, "q")
    queue = await channel.get_queue("q")
    received: asyncio.Queue[Any] = asyncio.Queue()
    await queue.consume(received.put, arguments={"x-stream-offset": "first"} if kind == "stream" else None)
    async with asyncio.timeout(HANG_SECONDS):
        delivery = await received.get()
        if kind != "stream":
            await delivery.nack(requeue=True)
    assert (await api.get("queues/%2F/q"))["name"] == "q"
    await connection.close()
    assert not node.broker.faults.errors
