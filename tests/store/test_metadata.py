"""The metadata file: names of any octets, access and policies, transactions that fail, older forms."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from leveret.engine.policies import Policy
from leveret.store import schema
from leveret.store.errors import StoreError
from leveret.store.metadata import Metadata
from leveret.wire.tables import Field
from tests.stores.houses import DiskHouse, message

HERE = Path(__file__).parent


def test_an_older_file_is_migrated(tmp_path: Path) -> None:
    shutil.copy(HERE / "metadata-1.sqlite", tmp_path / "metadata.sqlite")
    house = DiskHouse(tmp_path)
    queue = house.queue("work")
    assert (queue.kind, queue.arguments["x-max-priority"].value) == ("classic", 5)
    assert [binding.routing_key for binding in house.vhost.bindings_to(queue)] == [b"a.#"]
    assert house.broker.access.permission("guest", "/") is not None
    house.push("work", message(b"a", priority=3))
    house.restart()
    assert house.bodies("work") == [b"a"]
    house.leave()
    database = sqlite3.connect(tmp_path / "metadata.sqlite")
    assert database.execute("PRAGMA user_version").fetchone()[0] == schema.VERSION
    database.close()


def test_a_file_without_accounts_of_delayed_messages_gets_them(tmp_path: Path) -> None:
    shutil.copy(HERE / "metadata-2.sqlite", tmp_path / "metadata.sqlite")
    house = DiskHouse(tmp_path)
    later = house.vhost.exchanges["later"]
    assert house.vhost.route(later, message(b"a", key="a.b", **{"x-delay": 1000})) == []
    house.push("work", message(b"b", priority=3))
    house.declare("next")
    house.push("next", message(b"c"))
    house.restart()
    house.clock.advance(1000)
    assert (house.bodies("work"), house.bodies("next")) == ([b"b", b"a"], [b"c"])
    house.restart()
    assert (house.bodies("work"), house.bodies("next")) == ([b"b", b"a"], [b"c"])
    house.leave()


def test_names_that_are_not_utf_8(tmp_path: Path) -> None:
    house = DiskHouse(tmp_path)
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    house.declare(name)
    house.declare("snow \u2603")
    house.push(name, message(b"a"))
    house.restart()
    assert house.bodies(name) == [b"a"]
    assert "snow \u2603" in house.vhost.queues
    house.leave()


def test_users_permissions_limits_and_policies(tmp_path: Path) -> None:
    house = DiskHouse(tmp_path)
    broker = house.broker
    broker.add_vhost("other", "for tests", ("a", "b"))
    broker.access.users.add("bob", "secret", ["monitoring"])
    broker.access.set_permissions("bob", "other", "^b", ".*", "")
    broker.access.set_topic_permissions("bob", "other", "amq.topic", "w", "r")
    broker.access.set_vhost_limits("other", {"max-queues": 5})
    broker.policies.set(Policy("/", "ttl", "^t", {"message-ttl": 1000}, 3, "queues"))
    broker.policies.set(Policy("/", "short", ".*", {"max-length": 10}, 0, "queues"), operator=True)
    broker.save()
    house.crash()
    access, policies = house.broker.access, house.broker.policies
    assert access.users["bob"].verify("secret")
    assert access.users["bob"].tags == ("monitoring",)
    assert access.permission("bob", "other") is not None
    assert access.has_topic_permissions("bob", "other")
    assert access.vhost_limits("other") == {"max-queues": 5}
    assert [policy.name for policy in policies.list()] == ["ttl"]
    assert [policy.name for policy in policies.list(operator=True)] == ["short"]
    vhost = house.broker.vhosts["other"]
    assert (vhost.description, vhost.tags) == ("for tests", ("a", "b"))
    assert house.declare("t1").limits.message_ttl == 1000
    house.broker.delete_vhost("other")
    house.broker.save()
    house.restart()
    assert "other" not in house.broker.vhosts
    assert house.broker.access.permission("bob", "other") is None
    house.leave()


def test_the_clusters_name(tmp_path: Path) -> None:
    house = DiskHouse(tmp_path)
    house.broker.cluster_name = "shops"
    house.broker.save()
    house.crash()
    assert house.broker.cluster_name == "shops"
    house.broker.cluster_name = house.broker.settings.server.node_name
    house.broker.save()
    house.restart()
    assert house.broker.cluster_name == house.broker.settings.server.node_name
    house.leave()


def test_a_policy_that_the_profile_does_not_take_is_named(tmp_path: Path) -> None:
    house = DiskHouse(tmp_path)
    house.broker.policies.set(Policy("/", "mirrors", ".*", {"max-length": 10}, 0, "queues"))
    house.broker.save()
    house.crash()
    house.leave()
    with sqlite3.connect(tmp_path / "metadata.sqlite") as database:
        database.execute("UPDATE document SET document = replace(document, 'max-length', 'ha-params')")
    database.close()
    with pytest.raises(
        StoreError, match=r"metadata.sqlite holds .* policy 'mirrors': .*ha-params.*Nothing was"
    ):
        DiskHouse(tmp_path)


def test_the_kind_of_a_queue_outlives_the_default(tmp_path: Path) -> None:
    house = DiskHouse(tmp_path)
    house.declare("q")
    house.vhost.default_queue_type = "quorum"
    house.broker.save()
    house.restart()
    assert house.queue("q").kind == "classic"
    assert house.vhost.default_queue_type == "quorum"
    house.leave()


def test_a_failed_transaction_is_kept_and_tried_again(tmp_path: Path) -> None:
    metadata = Metadata(tmp_path / "metadata.sqlite")
    metadata.note("INSERT INTO setting VALUES ('a', 1)")
    metadata.save()
    metadata._database.execute("PRAGMA max_page_count = 1")
    pages = metadata._database.execute("PRAGMA page_count").fetchone()[0]
    metadata._database.execute(f"PRAGMA max_page_count = {pages}")
    metadata.note("INSERT INTO setting VALUES ('b', ?)", "x" * 100_000)
    with pytest.raises(OSError, match="full"):
        metadata.save()
    assert metadata.pending
    metadata._database.execute("PRAGMA max_page_count = 10000")
    metadata.save()
    assert not metadata.pending
    assert len(metadata.setting("b", "")) == 100_000
    metadata.close()


def test_declarations_are_one_transaction(tmp_path: Path) -> None:
    house = DiskHouse(tmp_path)
    statements: list[str] = []
    house.store.metadata._database.set_trace_callback(statements.append)
    for number in range(100):
        house.declare(f"q{number}")
    assert statements == []
    assert house.store.before_sending()
    assert statements.count("COMMIT") == 1
    house.crash()
    assert len(house.vhost.queues) == 100
    house.leave()


def test_arguments_keep_their_types(tmp_path: Path) -> None:
    house = DiskHouse(tmp_path)
    exchange = house.vhost.declare_exchange(
        "h", "headers", durable=True, auto_delete=False, internal=False, arguments={}, user="guest"
    )
    arguments = {"x-match": Field("S", b"all"), "n": Field("s", 3), "t": Field("F", {"a": Field("t", True)})}
    house.vhost.bind(exchange, house.declare("q"), "", arguments)
    house.commit()
    house.crash()
    (binding,) = house.vhost.bindings_to(house.queue("q"))
    assert binding.arguments == arguments
    house.leave()
