"""The metadata file: names of any octets, access and policies, failing transactions, older versions."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from leveret.engine.catalogue import Kind, Unescaped
from leveret.engine.policies import Policy
from leveret.store.catalogue import schema
from leveret.store.catalogue.sqlite import SqliteCatalogue
from leveret.store.errors import StoreError
from leveret.wire.tables import Field
from tests.stores.harness import DiskHarness, message

HERE = Path(__file__).parent


def test_a_file_of_version_1_is_migrated(tmp_path: Path) -> None:
    shutil.copy(HERE / "metadata-1.sqlite", tmp_path / "metadata.sqlite")
    harness = DiskHarness(tmp_path)
    queue = harness.queue("work")
    assert (queue.kind, queue.arguments["x-max-priority"].value) == ("classic", 5)
    assert [binding.routing_key for binding in harness.vhost.bindings_to(queue)] == [b"a.#"]
    assert harness.broker.access.permission("guest", "/") is not None
    harness.push("work", message(b"a", priority=3))
    harness.restart()
    assert harness.bodies("work") == [b"a"]
    harness.kill()
    database = sqlite3.connect(tmp_path / "metadata.sqlite")
    assert database.execute("PRAGMA user_version").fetchone()[0] == schema.VERSION
    database.close()


def test_a_file_of_version_2_gets_journals_for_delayed_messages(tmp_path: Path) -> None:
    shutil.copy(HERE / "metadata-2.sqlite", tmp_path / "metadata.sqlite")
    harness = DiskHarness(tmp_path)
    later = harness.vhost.exchanges["later"]
    assert harness.vhost.publisher.route(later, message(b"a", key="a.b", **{"x-delay": 1000})) == []
    harness.push("work", message(b"b", priority=3))
    harness.declare("next")
    harness.push("next", message(b"c"))
    harness.restart()
    harness.clock.advance(1000)
    assert (harness.bodies("work"), harness.bodies("next")) == ([b"b", b"a"], [b"c"])
    harness.restart()
    assert (harness.bodies("work"), harness.bodies("next")) == ([b"b", b"a"], [b"c"])
    harness.kill()


def test_a_file_of_version_3_is_migrated_to_records(tmp_path: Path) -> None:
    """Version 3 had a table for each kind of topology, and one row for each list of definitions."""
    shutil.copy(HERE / "metadata-3.sqlite", tmp_path / "metadata.sqlite")
    harness = DiskHarness(tmp_path)
    for _ in range(2):
        broker, vhost, other = harness.broker, harness.vhost, harness.broker.vhosts["other"]
        latin = b"caf\xe9".decode("utf-8", "surrogateescape")
        assert list(vhost.queues) == ["work", latin]
        assert harness.queue("work").arguments["x-max-priority"].value == 5
        assert [binding.routing_key for binding in vhost.bindings_to(harness.queue("work"))] == [b"a.#"]
        assert [binding.routing_key for binding in vhost.bindings_to(harness.queue(latin))] == [b"k\xe9"]
        (binding,) = vhost.bindings_to(vhost.exchanges["inner"])
        assert (binding.source, binding.arguments) == ("logs", {"n": Field("s", 3)})
        assert vhost.exchanges["inner"].arguments == {"t": Field("T", 5)}
        assert (vhost.exchanges["inner"].internal, vhost.exchanges["inner"].user) == (True, "guest")
        assert (other.description, other.tags, other.default_queue_type) == (
            "for tests",
            ("a", "b"),
            "quorum",
        )
        assert (other.tracing, other.queues["q"].kind, other.queues["q"].auto_delete) == (
            True,
            "classic",
            True,
        )
        bob = broker.access.users["bob"]
        assert (bob.verify("secret"), bob.tags, bob.limits) == (True, ("monitoring",), {"max-channels": 7})
        permission = broker.access.permission("bob", "other")
        assert permission is not None and (permission.configure, permission.write) == ("^b", ".*")
        topic = broker.access.topic_permission("bob", "other", "amq.topic")
        assert topic is not None and (topic.write, topic.read) == ("w", "r")
        assert broker.access.vhost_limits("other") == {"max-queues": 5}
        assert [policy.name for policy in broker.policies.list()] == ["ttl"]
        assert [policy.name for policy in broker.policies.list(operator=True)] == ["short"]
        assert broker.cluster_name == "shops"
        harness.restart()
    later = harness.vhost.exchanges["later"]
    harness.vhost.bind(later, harness.queue("work"), "#", {})
    harness.declare("next")
    harness.push("next", message(b"c"))
    harness.vhost.publisher.route(later, message(b"a", key="x", **{"x-delay": 1000}))
    harness.restart()
    harness.clock.advance(1000)
    assert (harness.bodies("next"), harness.bodies("work")) == ([b"c"], [b"a"])
    harness.kill()


def test_names_that_are_not_utf_8_are_restored(harness: DiskHarness) -> None:
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    harness.declare(name)
    harness.declare("snow \u2603")
    harness.push(name, message(b"a"))
    harness.restart()
    assert harness.bodies(name) == [b"a"]
    assert "snow \u2603" in harness.vhost.queues


def test_users_permissions_limits_and_policies_are_restored(harness: DiskHarness) -> None:
    broker = harness.broker
    broker.add_vhost("other", "for tests", ("a", "b"))
    broker.access.users.add("bob", "secret", ["monitoring"])
    broker.access.set_permissions("bob", "other", "^b", ".*", "")
    broker.access.set_topic_permissions("bob", "other", "amq.topic", "w", "r")
    broker.access.set_vhost_limits("other", {"max-queues": 5})
    broker.policies.set(Policy("/", "ttl", "^t", {"message-ttl": 1000}, 3, "queues"))
    broker.policies.set(Policy("/", "short", ".*", {"max-length": 10}, 0, "queues"), operator=True)
    harness.commit()
    harness.crash()
    access, policies = harness.broker.access, harness.broker.policies
    assert access.users["bob"].verify("secret")
    assert access.users["bob"].tags == ("monitoring",)
    assert access.permission("bob", "other") is not None
    assert access.has_topic_permissions("bob", "other")
    assert access.vhost_limits("other") == {"max-queues": 5}
    assert [policy.name for policy in policies.list()] == ["ttl"]
    assert [policy.name for policy in policies.list(operator=True)] == ["short"]
    vhost = harness.broker.vhosts["other"]
    assert (vhost.description, vhost.tags) == ("for tests", ("a", "b"))
    assert harness.declare("t1").limits.message_ttl == 1000
    harness.broker.delete_vhost("other")
    harness.commit()
    harness.restart()
    assert "other" not in harness.broker.vhosts
    assert harness.broker.access.permission("bob", "other") is None


def test_the_cluster_name_is_restored(harness: DiskHarness) -> None:
    harness.broker.set_global_parameter("cluster_name", "shops")
    harness.commit()
    harness.crash()
    assert harness.broker.cluster_name == "shops"
    harness.broker.clear_global_parameter("cluster_name")
    harness.commit()
    harness.restart()
    assert harness.broker.cluster_name == harness.broker.settings.server.node_name


def test_a_policy_that_the_profile_does_not_accept_is_reported(tmp_path: Path) -> None:
    harness = DiskHarness(tmp_path)
    harness.broker.policies.set(Policy("/", "mirrors", ".*", {"max-length": 10}, 0, "queues"))
    harness.commit()
    harness.crash()
    harness.kill()
    with sqlite3.connect(tmp_path / "metadata.sqlite") as database:
        database.execute("UPDATE record SET document = replace(document, 'max-length', 'ha-params')")
    database.close()
    with pytest.raises(
        StoreError, match=r"metadata.sqlite contains .* policy 'mirrors': .*ha-params.*Nothing was"
    ):
        DiskHarness(tmp_path)


def test_the_type_of_a_queue_does_not_change_with_the_default(harness: DiskHarness) -> None:
    harness.declare("q")
    harness.vhost.update("", (), "quorum")
    harness.commit()
    harness.restart()
    assert harness.queue("q").kind == "classic"
    assert harness.vhost.default_queue_type == "quorum"


def test_a_failed_transaction_is_retried(tmp_path: Path) -> None:
    catalogue = SqliteCatalogue(tmp_path / "metadata.sqlite", lambda: 1)
    catalogue.set("a", 1)
    catalogue.save()
    pages = catalogue._database.execute("PRAGMA page_count").fetchone()[0]
    catalogue._database.execute(f"PRAGMA max_page_count = {pages}")
    catalogue.set("b", 2)
    catalogue.put(Kind.USER, ("u",), {"name": "x" * 100_000})
    with pytest.raises(OSError, match="full"):
        catalogue.save()
    assert catalogue.pending
    assert catalogue.number("b", 0) == 0
    catalogue._database.execute("PRAGMA max_page_count = 10000")
    catalogue.save()
    assert not catalogue.pending
    assert catalogue.number("b", 0) == 2
    (record,) = catalogue.load()
    assert len(record.document["name"]) == 100_000
    catalogue.close()


def test_declarations_of_a_batch_are_one_transaction(harness: DiskHarness) -> None:
    statements: list[str] = []
    harness.store.catalogue._database.set_trace_callback(statements.append)
    for number in range(100):
        harness.declare(f"q{number}")
    assert statements == []
    harness.commit()
    assert statements.count("COMMIT") == 1
    harness.crash()
    assert len(harness.vhost.queues) == 100


def test_arguments_keep_their_types(harness: DiskHarness) -> None:
    exchange = harness.vhost.declare_exchange(
        "h", "headers", durable=True, auto_delete=False, internal=False, arguments={}, user="guest"
    )
    arguments = {"x-match": Field("S", b"all"), "n": Field("s", 3), "t": Field("F", {"a": Field("t", True)})}
    harness.vhost.bind(exchange, harness.declare("q"), "", arguments)
    harness.commit()
    harness.crash()
    (binding,) = harness.vhost.bindings_to(harness.queue("q"))
    assert binding.arguments == arguments


def test_a_key_is_written_as_json() -> None:
    key = ("/", 'a"\\\udc80\u00e9', Unescaped("AAAA+/=="))
    assert schema.key_text(key) == json.dumps(key)
