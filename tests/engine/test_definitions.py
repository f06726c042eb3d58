"""Import of definitions. The texts were seen on 4.3.6."""

from __future__ import annotations

from typing import Any

import pytest

from leveret.engine.broker import Broker
from leveret.engine.definitions import DefinitionsError, import_definitions

VHOSTS = [{"name": "v"}]

SHOP: dict[str, Any] = {
    "rabbit_version": "4.3.6",
    "users": [
        {"name": "clerk", "password": "secret", "tags": ["monitoring"], "limits": {"max-channels": 5}},
        {"name": "old", "password_hash": "", "hashing_algorithm": "rabbit_password_hashing_md5", "tags": ""},
    ],
    "vhosts": [
        {
            "name": "shop",
            "metadata": {"description": "orders", "tags": ["eu"], "default_queue_type": "quorum"},
        }
    ],
    "permissions": [{"user": "clerk", "vhost": "shop", "configure": "", "write": ".*", "read": "^o"}],
    "topic_permissions": [
        {"user": "clerk", "vhost": "shop", "exchange": "amq.topic", "write": "^o", "read": ".*"}
    ],
    "global_parameters": [
        {"name": "cluster_name", "value": "shops"},
        {"name": "internal_cluster_id", "value": "x"},
    ],
    "policies": [
        {
            "vhost": "shop",
            "name": "short",
            "pattern": "^orders$",
            "apply-to": "queues",
            "definition": {"max-length": 9},
            "priority": 3,
        }
    ],
    "parameters": [
        {"vhost": "shop", "component": "vhost-limits", "name": "limits", "value": {"max-queues": 2}},
        {
            "vhost": "shop",
            "component": "operator_policy",
            "name": "op",
            "value": {"pattern": "", "definition": {"max-length": 7}, "apply-to": "all", "priority": 0},
        },
    ],
    "queues": [
        {"name": "orders", "vhost": "shop", "durable": True, "auto_delete": False, "arguments": {}},
        {"name": "retry", "vhost": "shop", "arguments": {"x-queue-type": "classic", "x-message-ttl": 1000}},
    ],
    "exchanges": [
        {"name": "in", "vhost": "shop", "type": "topic", "arguments": {"alternate-exchange": "rest"}},
        {"name": "rest", "vhost": "shop", "type": "fanout", "durable": False, "internal": True},
    ],
    "bindings": [
        {
            "source": "in",
            "vhost": "shop",
            "destination": "orders",
            "destination_type": "queue",
            "routing_key": "order.#",
            "arguments": {},
        },
        {"source": "rest", "vhost": "shop", "destination": "in", "destination_type": "exchange"},
        {"source": "", "vhost": "shop", "destination": "orders", "destination_type": "queue"},
    ],
}


@pytest.fixture
def broker() -> Broker:
    made = Broker()
    made.access.users.add("guest", "guest")
    return made


def test_a_document_is_imported_as_a_whole(broker: Broker) -> None:
    for _ in range(2):  # the second time nothing is new
        assert import_definitions(broker, SHOP) == []
    shop = broker.vhosts["shop"]
    assert (shop.description, shop.tags, shop.default_queue_type) == ("orders", ("eu",), "quorum")
    assert broker.access.users["clerk"].verify("secret")
    assert broker.access.users["clerk"].limit("max-channels") == 5
    assert broker.access.grants("clerk", "shop").allows("read", "orders")
    assert broker.access.has_topic_permissions("clerk", "shop")
    assert broker.access.vhost_limit("shop", "max-queues") == 2
    assert broker.cluster_name == "shops"
    orders, retry = shop.queues["orders"], shop.queues["retry"]
    assert (orders.kind, orders.durable, orders.effective.max_length) == ("quorum", True, 7)
    assert (retry.kind, retry.options.message_ttl) == ("classic", 1000)
    assert shop.exchanges["in"].durable and shop.exchanges["in"].alternate == "rest"
    assert shop.exchanges["rest"].internal and not shop.exchanges["rest"].durable
    assert len(shop.bindings_to(orders)) == len(shop.bindings_to(shop.exchanges["in"])) == 1


def test_existing_objects_are_not_changed(broker: Broker) -> None:
    import_definitions(broker, SHOP)
    changed = [{"name": "orders", "vhost": "shop", "durable": False}]
    assert import_definitions(broker, {"queues": changed}) == []
    assert broker.vhosts["shop"].queues["orders"].durable


def test_predeclared_names_and_unknown_sections_are_skipped(broker: Broker) -> None:
    document = {
        "vhosts": VHOSTS,
        "exchanges": [{"name": "amq.foo", "vhost": "v", "type": "direct"}, {"name": "", "vhost": "v"}],
        "queues": [{"name": "amq.q", "vhost": "v"}],
        "global_parameters": [{"name": "foo", "value": 1}],
        "nobody": "knows",
    }
    assert len(import_definitions(broker, document)) == 4
    assert "amq.foo" not in broker.vhosts["v"].exchanges and not broker.vhosts["v"].queues


MISSING = 'Please create virtual host "nope" prior to importing definitions.'
PATTERNS = {"configure": "", "write": "", "read": ""}
LIMITS = {"vhost": "v", "component": "vhost-limits", "name": "limits"}
BINDING = {"vhost": "v", "source": "amq.direct", "destination": "q", "destination_type": "queue"}


@pytest.mark.parametrize(
    ("section", "item", "reason"),
    [
        ("users", {"name": "u", "password_hash": ""}, "tags_not_present"),
        ("users", {"tags": ""}, "{badkey,name}"),
        ("users", {"name": "u", "password_hash": "!!", "tags": ""}, '{not_base64,<<"!!">>}'),
        ("users", {"name": 1, "tags": ""}, "name should be a string"),
        ("permissions", {"user": "guest", "vhost": "nope", **PATTERNS}, MISSING),
        ("permissions", {"user": "nope", "vhost": "v", **PATTERNS}, '{no_such_user,<<"nope">>}'),
        ("permissions", {"user": "guest", "vhost": "v", "configure": ""}, "badarg"),
        ("exchanges", {"name": "x", "vhost": "nope", "type": "direct"}, MISSING),
        (
            "exchanges",
            {"name": "x", "vhost": "v", "type": "foo"},
            "precondition_failed: invalid exchange type 'foo'",
        ),
        (
            "queues",
            {"name": "q", "vhost": "v", "arguments": {"x-message-ttl": -1}},
            "precondition_failed: invalid arg 'x-message-ttl' for queue 'q' in vhost 'v': {value_negative,-1}",
        ),
        ("queues", {"name": "q", "vhost": "v", "arguments": {"x": None}}, "null_not_allowed"),
        (
            "policies",
            {"vhost": "v", "name": "p", "pattern": "a", "definition": {"foo": 1}},
            'Validation failed\n\n[{<<"foo">>,1}] are not recognised policy settings\n (vhost: "v" key: "p")',
        ),
        (
            "parameters",
            {"vhost": "v", "component": "shovel", "name": "s", "value": {}},
            'Validation failed\n\ncomponent shovel not found\n (vhost: "v" / component: "shovel" / key: "s")',
        ),
        (
            "parameters",
            {**LIMITS, "value": {"foo": 1}},
            'Validation failed\n\nUnrecognised terms [{<<"foo">>,1}] in limits\n'
            ' (vhost: "v" / component: "vhost-limits" / key: "limits")',
        ),
        (
            "bindings",
            {**BINDING, "source": "nope"},
            '{resources_missing,[{not_found,{resource,<<"v">>,exchange,<<"nope">>}}]}',
        ),
        ("bindings", BINDING, '{resources_missing,[{not_found,{resource,<<"v">>,queue,<<"q">>}}]}'),
        ("bindings", {**BINDING, "destination_type": "foo"}, "function_clause"),
        ("bindings", "foo", "bindings should be a list of objects"),
    ],
)
def test_invalid_items_are_refused_with_the_reason(
    broker: Broker, section: str, item: object, reason: str
) -> None:
    with pytest.raises(DefinitionsError) as caught:
        import_definitions(broker, {"vhosts": VHOSTS, section: [item]})
    assert str(caught.value) == reason


def test_a_document_must_be_a_json_object(broker: Broker) -> None:
    with pytest.raises(DefinitionsError, match="body_not_json_object"):
        import_definitions(broker, [])


def test_items_before_an_error_are_kept(broker: Broker) -> None:
    import_definitions(broker, SHOP)
    document = {
        "users": [{"name": "clerk", "password": "new", "tags": ""}],
        "policies": [
            {"vhost": "shop", "name": "short", "pattern": "^orders$", "definition": {"max-length": 2}},
            {"vhost": "shop", "name": "bad", "pattern": "", "definition": {}},
        ],
    }
    with pytest.raises(DefinitionsError):
        import_definitions(broker, document)
    assert broker.access.users["clerk"].limits == {"max-channels": 5}
    assert broker.vhosts["shop"].queues["orders"].limits.max_length == 2
