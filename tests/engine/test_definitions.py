"""Import of definitions. The texts were seen on 4.3.6."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from leveret.config import Settings
from leveret.engine.actor import Actor
from leveret.engine.broker import Broker
from leveret.engine.definitions import (
    DefinitionsError,
    cluster_definitions,
    import_definitions,
    import_steps,
    vhost_definitions,
)
from leveret.engine.operations import INTERNAL_CALLER, Caller
from leveret.engine.vhost import VirtualHost
from leveret.settings import Plugins, Profile
from leveret.work import Job

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
        {
            "source": "rest",
            "vhost": "shop",
            "destination": "in",
            "destination_type": "exchange",
            "routing_key": "",
        },
        {"source": "", "vhost": "shop", "destination": "orders", "destination_type": "queue"},
    ],
}


@pytest.fixture
def broker() -> Broker:
    made = Broker()
    made.access.users.add("guest", "guest")
    return made


def test_a_document_is_imported_as_a_whole(broker: Broker) -> None:
    for _ in range(2):  # the second time changes nothing
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


def test_an_import_that_is_given_up_between_two_objects_changes_nothing(broker: Broker) -> None:
    steps = import_steps(broker, SHOP, INTERNAL_CALLER, None)
    for _ in range(5):
        next(steps)
    assert "shop" in broker.vhosts
    steps.close()
    assert "shop" not in broker.vhosts and "clerk" not in broker.access.users


def test_a_refused_import_is_taken_back_in_steps(broker: Broker) -> None:
    import_definitions(broker, {"vhosts": VHOSTS})
    document = {
        "queues": [{"name": f"q{number}", "vhost": "v"} for number in range(4)],
        "bindings": [{"vhost": "v"}],
    }
    queues = broker.vhosts["v"].queues
    counts: list[int] = []
    with pytest.raises(DefinitionsError):
        for _ in import_steps(broker, document, INTERNAL_CALLER, None):
            counts.append(len(queues))
    assert counts[:8] == [1, 2, 3, 4, 3, 2, 1, 0]


def test_what_is_taken_back_may_be_busy_or_gone(broker: Broker) -> None:
    """What others have deleted meanwhile is passed over, and a busy queue is waited for."""
    import_definitions(broker, {"vhosts": VHOSTS})
    document = {"queues": [{"name": name, "vhost": "v"} for name in ("busy", "deleted")]}
    steps = import_steps(broker, document, INTERNAL_CALLER, None)
    next(steps)
    next(steps)
    vhost = broker.vhosts["v"]
    vhost.delete_queue(vhost.queues["deleted"])
    busy = vhost.queues["busy"]
    busy.busy = job = Job.elsewhere("test")
    steps.close()
    assert list(vhost.queues) == ["busy"]
    busy.busy = None
    broker.work.complete(job)
    broker.work.finish()
    assert not vhost.queues


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
    assert len(import_definitions(broker, document)) == 3
    assert broker.global_parameters["foo"] == 1
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
        ("users", {"name": 1, "tags": ""}, "function_clause"),
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
            {**BINDING, "source": "nope", "destination": "amq.direct", "destination_type": "exchange"},
            '{resources_missing,[{not_found,{resource,<<"v">>,exchange,<<"nope">>}}]}',
        ),
        ("bindings", BINDING, '{resources_missing,[{not_found,{resource,<<"v">>,queue,<<"q">>}}]}'),
        ("bindings", {**BINDING, "destination_type": "foo"}, "function_clause"),
        (
            "bindings",
            {**BINDING, "source": "nope"},
            '{resources_missing,[{not_found,{resource,<<"v">>,exchange,<<"nope">>}},\n'
            '                    {not_found,{resource,<<"v">>,queue,<<"q">>}}]}',
        ),
        ("bindings", {**BINDING, "destination": 7}, "function_clause"),
        ("bindings", {**BINDING, "arguments": 7}, "function_clause"),
        ("queues", "foo", "queues should be a list of objects"),
        ("queues", {"name": "q"}, "invalid_definitions_file"),
        ("queues", {"name": "q", "vhost": "v", "durable": "true"}, "badarg"),
        ("queues", {"name": "q", "vhost": "v", "auto_delete": "false"}, "function_clause"),
        ("queues", {"vhost": "v"}, "name should be a string"),
        ("exchanges", {"name": "x", "vhost": "v"}, "precondition_failed: invalid exchange type 'undefined'"),
        ("permissions", {"user": "nope", "vhost": "nope", **PATTERNS}, '{no_such_user,<<"nope">>}'),
        (
            "permissions",
            {"user": "guest", **PATTERNS},
            "Virtual host does not exist and is not specified in definitions file.",
        ),
        (
            "permissions",
            {"user": "guest", "vhost": "v", **PATTERNS, "read": "["},
            '{invalid_regexp,"[",{"missing terminating ] for character class",1}}',
        ),
        (
            "topic_permissions",
            {"user": "guest", "vhost": "v", "exchange": "nope", "write": "", "read": ""},
            '{no_such_exchange,<<"nope">>}',
        ),
        (
            "topic_permissions",
            {"user": "guest", "vhost": "v", "exchange": "nope", "write": "(", "read": ""},
            '{invalid_regexp,<<"(">>,{"missing closing parenthesis",1}}',
        ),
        (
            "users",
            {"name": "u", "tags": "", "limits": {"max-channels": "x"}},
            '{errors,[{"~ts should be a number, actually was ~tp",\n'
            '          [<<"max-channels">>,<<"x">>]}]}',
        ),
        (
            "users",
            {"name": "u", "tags": "", "limits": 7},
            '{errors,[{"~ts not a list ~tp",[<<"user-limits">>,7]}]}',
        ),
        ("users", {"name": "u", "tags": "", "password_hash": 7}, "{not_base64,7}"),
        (
            "vhosts",
            {"name": "w", "metadata": {"default_queue_type": "nope"}},
            "nope is not a valid queue type",
        ),
        ("vhosts", {"name": "w", "tracing": "x"}, '{case_clause,<<"x">>}'),
        ("vhosts", {"name": "w", "tags": 7}, "function_clause"),
        (
            "policies",
            {"vhost": "v", "pattern": "", "definition": {"expires": 1}},
            "\"policy in virtual host 'v' has undefined name\"",
        ),
        (
            "policies",
            {"vhost": "v", "name": "p", "definition": {"expires": 1}},
            'Validation failed\n\npattern should be a binary but was undefined\n (vhost: "v" key: "p")',
        ),
        ("global_parameters", {"name": 7, "value": 1}, "name should be a string"),
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


def test_a_document_that_is_refused_changes_nothing(broker: Broker) -> None:
    import_definitions(broker, SHOP)
    before = everything(broker)
    document = {
        "users": [
            {"name": "clerk", "password": "new", "tags": "", "limits": {"max-channels": 1}},
            {"name": "new", "password": "new", "tags": ""},
        ],
        "vhosts": [
            {"name": "shop", "tracing": True, "metadata": {"protected_from_deletion": True}},
            {"name": "other"},
        ],
        "permissions": [
            {"user": "clerk", "vhost": "shop", **PATTERNS},
            {"user": "new", "vhost": "other", **PATTERNS},
        ],
        "topic_permissions": [
            {"user": "clerk", "vhost": "shop", "exchange": exchange, "write": "", "read": ""}
            for exchange in ("amq.topic", "in")
        ],
        "global_parameters": [{"name": "cluster_name", "value": "x"}, {"name": "new", "value": 1}],
        "policies": [
            {"vhost": "shop", "name": name, "pattern": "^orders$", "definition": {"max-length": 2}}
            for name in ("short", "new")
        ],
        "parameters": [
            {"vhost": vhost, "component": "vhost-limits", "name": "limits", "value": {"max-queues": 3}}
            for vhost in ("shop", "other")
        ]
        + [
            {
                "vhost": "shop",
                "component": "operator_policy",
                "name": name,
                "value": {"pattern": "", "definition": {"max-length": 1}, "priority": 1},
            }
            for name in ("op", "new")
        ],
        "exchanges": [{"name": "x", "vhost": "shop", "type": "direct"}],
        "queues": [{"name": "q", "vhost": "other"}],
        "bindings": [
            {"vhost": "shop", "source": "x", "destination": "orders", "destination_type": "queue"},
            {"vhost": "other", "source": "amq.direct", "destination": "q", "destination_type": "queue"},
            {"vhost": "shop", "source": "nope", "destination": "orders", "destination_type": "queue"},
        ],
    }
    with pytest.raises(DefinitionsError, match="nope"):
        import_definitions(broker, document)
    assert everything(broker) == before
    del document["bindings"][-1]
    import_definitions(broker, document)
    assert set(broker.vhosts["other"].queues) == {"q"} and broker.vhosts["shop"].protected


def everything(broker: Broker) -> object:
    shop = broker.vhosts["shop"]
    return (
        cluster_definitions(broker),
        [(one.name, one.tracing, one.protected, sorted(one.exchanges)) for one in broker.vhosts.values()],
        {name: queue.limits.max_length for name, queue in shop.queues.items()},
    )


def test_limits_that_are_not_named_stay(broker: Broker) -> None:
    import_definitions(broker, SHOP)
    import_definitions(broker, {"users": [{"name": "clerk", "password": "new", "tags": ""}]})
    assert broker.access.users["clerk"].limits == {"max-channels": 5}


def test_an_import_must_not_exceed_the_limit_of_queues(broker: Broker) -> None:
    import_definitions(broker, SHOP)
    queues = [{"name": name, "vhost": "shop"} for name in ("orders", "a")]
    with pytest.raises(DefinitionsError) as caught:
        import_definitions(broker, {"queues": queues})
    assert str(caught.value) == (
        'Adding 1 queue(s) to virtual host "shop" would exceed the limit of 2 queue(s).'
        "\n\nThis virtual host currently has 2 queue(s) defined.\n\nImport aborted!"
    )


def test_properties_of_virtual_hosts_that_are_not_there_are_reset(broker: Broker) -> None:
    import_definitions(broker, SHOP)
    shop = broker.vhosts["shop"]
    import_definitions(broker, {"vhosts": [{"name": "shop", "description": "d", "tags": "a, b"}]})
    assert (shop.description, shop.tags, shop.default_queue_type) == ("d", ("a", "b"), None)
    import_definitions(broker, {"vhosts": [{"name": "shop", "metadata": {"protected_from_deletion": True}}]})
    assert (shop.description, shop.tags, shop.protected) == ("", (), True)
    nothing = {"name": "shop", "description": None, "tags": None, "metadata": None}
    import_definitions(broker, {"vhosts": [nothing]})
    assert (shop.description, shop.tags) == ("", ())


def test_definitions_of_one_virtual_host(broker: Broker) -> None:
    import_definitions(broker, SHOP)
    document = vhost_definitions(broker, broker.vhosts["shop"])
    assert document["original_vhost_name"] == "shop" and "users" not in document
    assert document["limits"] == {"max-queues": 2}
    other = broker.add_vhost("other")
    document["exchanges"].append({"name": "rest", "type": "fanout"})  # type: ignore[attr-defined]
    import_definitions(broker, document, vhost=other)
    assert vhost_definitions(broker, other)["policies"] == document["policies"]
    assert set(other.queues) == {"orders", "retry"} and len(other.bindings_to(other.queues["orders"])) == 1
    with pytest.raises(DefinitionsError, match="invalid_definitions_file"):
        import_definitions(broker, document)


def test_an_export_can_be_imported(broker: Broker) -> None:
    shop = {**SHOP, "exchanges": [{**one, "internal": False} for one in SHOP["exchanges"]]}
    import_definitions(broker, shop)
    document = cluster_definitions(broker)
    again = Broker()
    import_definitions(again, document)
    assert cluster_definitions(again) == document


def test_the_creator_of_a_virtual_host_may_use_it(broker: Broker) -> None:
    import_definitions(broker, {"vhosts": VHOSTS}, Caller(Actor("guest")))
    assert broker.access.vhost_access("guest", "v")
    import_definitions(broker, {"vhosts": [{"name": "w"}]})
    assert not broker.access.vhost_access("guest", "w")


@pytest.mark.parametrize("version", ["4.0", "3.13", "3.10"])
def test_older_versions_export_differently(version: str) -> None:
    broker = Broker(Settings(profile=Profile(version)))
    shop = {**SHOP, "topic_permissions": []}
    import_definitions(broker, shop)
    document = cluster_definitions(broker)
    assert [one["name"] for one in document["exchanges"]] == ["in", "rest"]  # type: ignore[attr-defined]
    assert "type" not in document["queues"][0]  # type: ignore[index]
    assert {"name": "internal_cluster_id"}.items() <= document["global_parameters"][-1].items()  # type: ignore[index]
    assert ("explanation" in document) == (version != "3.10")
    (vhost,) = document["vhosts"]  # type: ignore[misc]
    assert set(vhost) == (
        {"name"} if version == "3.10" else {"name", "description", "tags", "default_queue_type", "metadata"}
    )
    again = Broker()
    import_definitions(again, document)
    assert set(again.vhosts["shop"].queues) == {"orders", "retry"}


@pytest.mark.parametrize(
    ("plugin", "component"),
    [
        ("rabbitmq_shovel", "shovel"),
        ("rabbitmq_shovel_management", "shovel"),
        ("rabbitmq_federation", "federation-upstream"),
        ("rabbitmq_queue_federation", "federation-upstream-set"),
    ],
)
def test_parameters_of_an_enabled_plugin_that_is_not_there_are_skipped(plugin: str, component: str) -> None:
    broker = Broker(Settings(plugins=Plugins(enabled=(plugin,))))
    parameter = {"vhost": "v", "component": component, "name": "mine", "value": {"src-uri": "amqp://"}}
    (warning,) = import_definitions(broker, {"vhosts": VHOSTS, "parameters": [parameter]})
    assert warning.startswith(
        f"Skipping import of parameter 'mine' of {component} in vhost 'v': Leveret does not have"
    )
    other = {**parameter, "component": "nonsense"}
    with pytest.raises(DefinitionsError, match="component nonsense not found"):
        import_definitions(broker, {"vhosts": VHOSTS, "parameters": [other]})


def imported(**sections: Any) -> tuple[Broker, list[str]]:
    """A broker with the definitions of the virtual host v, and the warnings."""
    broker = Broker(Settings())
    return broker, import_definitions(broker, {"vhosts": VHOSTS, **sections})


def exchange(kind: str = "direct", **more: object) -> dict[str, object]:
    return {"name": "x", "vhost": "v", "type": kind, **more}


QUEUE = {"name": "q", "vhost": "v"}
BOUND = {"source": "x", "vhost": "v", "destination": "q", "destination_type": "queue"}


def test_an_alternate_exchange_that_is_no_string_is_ignored() -> None:
    broker, (warning,) = imported(exchanges=[exchange(arguments={"alternate-exchange": 7})])
    assert broker.vhosts["v"].exchanges["x"].alternate is None
    assert warning == "Ignoring argument alternate-exchange of exchange 'x', which is no string"


def test_a_queue_with_a_denied_argument_is_skipped() -> None:
    queue = {**QUEUE, "arguments": {"x-queue-master-locator": "min-masters"}}
    broker, (warning,) = imported(queues=[queue])
    assert list(broker.vhosts["v"].queues) == []
    assert warning.startswith("Skipping import of queue 'q': INTERNAL_ERROR - Feature `queue_master_locator`")


@pytest.mark.parametrize("kind", ["direct", "fanout", "headers"])
def test_a_routing_key_of_null_is_empty(kind: str) -> None:
    bindings = [{**BOUND, "routing_key": None}]
    _, (warning,) = imported(exchanges=[exchange(kind)], queues=[QUEUE], bindings=bindings)
    assert warning == "Binding of 'x' to 'q' has no routing key: it is empty"
    without = [{name: value for name, value in BOUND.items() if name != "routing_key"}]
    assert imported(exchanges=[exchange(kind)], queues=[QUEUE], bindings=without)[1] == [warning]


@pytest.mark.parametrize(
    ("kind", "binding", "reason"),
    [
        ("topic", {"routing_key": None}, "badarg"),
        (
            "x-consistent-hash",
            {"routing_key": None},
            '{binding_invalid,"The binding key must be an integer: ~tp",[null]}',
        ),
        (
            "x-consistent-hash",
            {"routing_key": "a"},
            '{binding_invalid,"The binding key must be an integer: ~tp",[<<"a">>]}',
        ),
        (
            "headers",
            {"arguments": {"x-match": "foo"}},
            '{binding_invalid,"Invalid x-match field value ~tp; expected all, any, all-with-x, or any-with-x",\n'
            '                 [<<"foo">>]}',
        ),
        ("direct", {"arguments": None}, "function_clause"),
    ],
)
def test_a_binding_is_refused_in_the_words_of_its_exchange(kind: str, binding: Any, reason: str) -> None:
    with pytest.raises(DefinitionsError) as refused:
        imported(exchanges=[exchange(kind)], queues=[QUEUE], bindings=[{**BOUND, **binding}])
    assert str(refused.value) == reason


def test_arguments_are_an_object_or_a_list_that_means_none() -> None:
    broker, _ = imported(exchanges=[exchange(arguments=[1])], queues=[{**QUEUE, "arguments": []}])
    assert broker.vhosts["v"].exchanges["x"].arguments == {}
    with pytest.raises(DefinitionsError, match="function_clause"):
        imported(exchanges=[exchange(arguments=None)])


def test_the_policies_of_many_virtual_hosts_are_applied_in_steps(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied: list[str] = []
    monkeypatch.setattr(VirtualHost, "apply_policies", lambda vhost: applied.append(vhost.name))
    document = {"vhosts": [{"name": f"v{number}"} for number in range(4)]}
    counts = [len(applied) for _ in import_steps(broker, document, INTERNAL_CALLER, None)]
    assert counts[4:] == [*range(1, len(broker.vhosts) + 1)]


def test_policies_are_applied_although_an_import_is_given_up_at_its_end(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied: set[str] = set()
    monkeypatch.setattr(VirtualHost, "apply_policies", lambda vhost: applied.add(vhost.name))
    steps = import_steps(
        broker, {"vhosts": [{"name": f"v{number}"} for number in range(4)]}, INTERNAL_CALLER, None
    )
    while not applied:
        next(steps)
    assert len(applied) == 1
    steps.close()
    broker.work.finish()
    assert applied == set(broker.vhosts) and "v3" in applied


def test_an_import_leaves_nothing_to_the_garbage_collector(broker: Broker) -> None:
    """It visits the old generation hardly ever."""
    users = [{"name": f"u{number}", "tags": ""} for number in range(1000)]
    queues = [{"name": f"q{number}", "vhost": "/"} for number in range(1000)]
    gc.collect()
    import_definitions(broker, {"vhosts": [{"name": "/"}], "users": users, "queues": queues})
    assert gc.collect() < 100
