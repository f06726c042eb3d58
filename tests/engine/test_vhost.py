"""The registries of a virtual host, and the consequences of a change."""

from __future__ import annotations

from math import factorial
from sys import getsizeof
from typing import Any

import pytest

from leveret.clock import VirtualClock
from leveret.engine import deadlettering, startup
from leveret.engine.broker import Broker
from leveret.engine.policies import Policy
from leveret.engine.vhost import PREDECLARED, VirtualHost
from leveret.errors import AmqpError
from leveret.queues.message import Message, frame_content
from leveret.queues.queue import Queue
from leveret.settings import Profile, Settings
from leveret.shrinking import MOST_BYTES
from leveret.wire.properties import Properties, encode_properties
from leveret.wire.tables import Field


@pytest.fixture
def vhost() -> VirtualHost:
    clock = VirtualClock()
    broker = Broker(clock=clock)
    clock.agenda = broker.message_time
    startup.seed(broker)
    return broker.vhosts["/"]


def queue(vhost: VirtualHost, name: str = "q", **more: Any) -> Any:
    given = {"durable": True, "auto_delete": False, "owner": None, "arguments": {}, "user": "guest", **more}
    return vhost.declare_queue(name, **given)


def exchange(vhost: VirtualHost, name: str = "e", kind: str = "direct", **more: Any) -> Any:
    given = {
        "durable": True,
        "auto_delete": False,
        "internal": False,
        "arguments": {},
        "user": "guest",
        **more,
    }
    return vhost.declare_exchange(name, kind, **given)


def message(body: bytes = b"x", key: bytes = b"q") -> Message:
    content, head = frame_content(encode_properties(Properties(), len(body)), body)
    made = Message(b"", key, content, head, len(body))
    made.shares = 1
    return made


def test_a_vhost_has_the_predeclared_exchanges(vhost: VirtualHost) -> None:
    assert [(one.name, one.type, one.internal) for one in vhost.exchanges.values()] == list(PREDECLARED)
    assert all(one.durable for one in vhost.exchanges.values())


def test_an_equivalent_declaration_returns_the_same_object(vhost: VirtualHost) -> None:
    assert queue(vhost) is queue(vhost)
    assert exchange(vhost) is exchange(vhost)
    with pytest.raises(AmqpError, match="inequivalent arg 'durable'"):
        queue(vhost, durable=False)
    with pytest.raises(AmqpError, match="inequivalent arg 'type'"):
        exchange(vhost, kind="fanout")


def test_the_default_exchange_routes_to_every_queue(vhost: VirtualHost) -> None:
    made = queue(vhost)
    default = vhost.exchanges[""]
    assert vhost.publisher.route(default, message()) == [made]
    vhost.delete_queue(made)
    assert vhost.publisher.route(default, message()) == []
    assert made.gone


def test_bindings_are_deleted_with_their_source_or_destination(vhost: VirtualHost) -> None:
    e, f, q = exchange(vhost, "e"), exchange(vhost, "f"), queue(vhost)
    vhost.bind(e, q, "k", {})
    vhost.bind(e, f, "k", {})
    vhost.bind(f, q, "k", {"a": Field("I", 1)})
    assert vhost.has_binding(e, q, "k", {}) and not vhost.has_binding(f, q, "k", {})
    assert len(vhost.bindings_to(q)) == 2
    vhost.delete_exchange(f)
    assert [one.destination for one in e.bindings.values()] == [q]
    vhost.delete_queue(q)
    assert not e.bindings
    vhost.delete_exchange(f)  # again is nothing


def test_unbind_returns_whether_the_binding_existed(vhost: VirtualHost) -> None:
    e, q = exchange(vhost), queue(vhost)
    vhost.bind(e, q, "k", {})
    vhost.bind(e, q, "k", {})
    assert vhost.unbind(e, q, "k", {})
    assert not vhost.unbind(e, q, "k", {})


def test_an_auto_delete_exchange_is_deleted_with_its_last_binding(vhost: VirtualHost) -> None:
    e, q = exchange(vhost, auto_delete=True), queue(vhost)
    vhost.bind(e, q, "", {})
    vhost.unbind(e, q, "", {})
    assert "e" not in vhost.exchanges


def test_an_exclusive_queue_is_listed_by_its_owner(vhost: VirtualHost) -> None:
    class Owner:
        exclusive_queues: dict[str, Any] | None = None

    owner = Owner()
    made = queue(vhost, owner=owner)
    assert made.exclusive and not made.durable
    assert owner.exclusive_queues == {"q": made}
    vhost.delete_queue(made)
    assert owner.exclusive_queues == {}


def test_policies_apply_to_existing_queues(vhost: VirtualHost) -> None:
    made = queue(vhost)
    for _ in range(5):
        made.push(message())
    broker = vhost.engine
    broker.policies.set(Policy("/", "p", "^q", {"max-length": 2, "dead-letter-exchange": "amq.fanout"}))
    vhost.apply_policies()
    assert made.ready == 2 and made.dead_letter_exchange == "amq.fanout"
    assert made.policy.policy.name == "p"
    broker.policies.clear("/", "p")
    vhost.apply_policies()
    assert made.dead_letter_exchange is None
    made.push(message())
    assert made.ready == 3


def test_a_ttl_policy_applies_to_later_messages(vhost: VirtualHost) -> None:
    """Messages that are in the queue already keep their expiry."""
    made = queue(vhost)
    made.push(message())
    vhost.engine.policies.set(Policy("/", "p", "", {"message-ttl": 100}))
    vhost.apply_policies()
    vhost.engine.clock.advance(50)  # type: ignore[attr-defined]
    made.push(message())
    vhost.engine.clock.advance(1000)  # type: ignore[attr-defined]
    assert made.ready >= 1


def test_a_policy_sets_the_alternate_exchange(vhost: VirtualHost) -> None:
    e, q = exchange(vhost), queue(vhost)
    vhost.bind(vhost.exchanges["amq.fanout"], q, "", {})
    assert vhost.publisher.route(e, message()) == []
    vhost.engine.policies.set(
        Policy("/", "p", "^e$", {"alternate-exchange": "amq.fanout"}, apply_to="exchanges")
    )
    vhost.apply_policies()
    assert vhost.publisher.route(e, message()) == [q]


@pytest.mark.parametrize("breadth", [10_000, 20])
def test_a_mesh_of_dead_letters_keeps_few_waiting(
    vhost: VirtualHost, monkeypatch: pytest.MonkeyPatch, breadth: int
) -> None:
    """Six queues that dead-letter to each other make a copy for every order in which a message can pass them."""
    monkeypatch.setattr(deadlettering, "BREADTH_LIMIT", breadth)
    mesh, end = exchange(vhost, kind="fanout"), queue(vhost, "end")
    arguments = {"x-max-length": Field("I", 0), "x-dead-letter-exchange": Field("S", b"e")}
    for number in range(6):
        vhost.bind(mesh, queue(vhost, f"m{number}", arguments=arguments), "", {})
    vhost.bind(mesh, end, "", {})
    most, publish = 0, vhost.dead_lettering._publish

    def watched(*task: Any) -> int:
        nonlocal most
        most = max(most, len(vhost.dead_lettering.tasks))
        return publish(*task)

    monkeypatch.setattr(vhost.dead_lettering, "_publish", watched)
    vhost.publisher.publish(mesh, message(key=b""), "test")
    vhost.publish_dead_letters()
    orders = sum(factorial(6) // factorial(left) for left in range(6))
    assert vhost.engine.counters.dead_letters["classic", "maxlen", "at_most_once"] == orders
    assert end.ready == orders + 1
    assert (most < breadth + 6 * 6) and (breadth == 20 or most > 300)


def test_dead_letters_are_counted(vhost: VirtualHost) -> None:
    arguments = {
        "x-max-length": Field("I", 0),
        "x-dead-letter-exchange": Field("S", b""),
        "x-dead-letter-routing-key": Field("S", b"other"),
    }
    made, other = queue(vhost, arguments=arguments), queue(vhost, "other")
    made.push(message())
    vhost.publish_dead_letters()
    assert other.ready == 1
    assert vhost.engine.counters.dead_letters == {("classic", "maxlen", "at_most_once"): 1}


def test_a_new_queue_name_has_the_prefix(vhost: VirtualHost) -> None:
    assert vhost.new_queue_name({}).startswith("amq.gen-")


@pytest.mark.parametrize(
    ("version", "reached"), [("4.3", False), ("4.2", False), ("4.0", True), ("3.10", True)]
)
def test_a_reply_address_of_another_vhost_is_found_by_version(version: str, reached: bool) -> None:
    """Seen on 4.3.6 and 3.10.8: 404 and nothing delivered; found and delivered."""
    broker = Broker(Settings(profile=Profile(version=version)))
    home, other = broker.add_vhost("/"), broker.add_vhost("other")
    address = Queue("amq.rabbitmq.reply-to.a.b", "/", home.context)
    broker.reply_addresses[address.name] = address
    assert home.reply_address(address.name) is address
    assert (other.reply_address(address.name) is address) is reached
    key = address.name.encode()
    assert bool(other.publisher.route(other.exchanges[""], message(key=key))) is reached


def test_a_message_given_to_one_more_queue_keeps_its_size(vhost: VirtualHost) -> None:
    """Otherwise the counters of memory would be wrong when it leaves its first queue."""
    source, first, second = exchange(vhost, kind="x-recent-history"), queue(vhost, "1"), queue(vhost, "2")
    vhost.bind(source, first, "", {})
    content, head = frame_content(encode_properties(Properties(), 1000), b"x" * 1000)
    message = Message(b"e", b"", content, head, 1000)
    vhost.publisher.push(message, vhost.publisher.route(source, message))
    vhost.bind(source, second, "", {})
    assert (first.ready, second.ready) == (1, 1)
    first.purge()
    second.purge()
    assert vhost.context.pager.used == 0


def test_indexes_of_queues_exchanges_and_bindings_give_their_tables_back(vhost: VirtualHost) -> None:
    topic, direct = vhost.exchanges["amq.topic"], vhost.exchanges["amq.direct"]
    names = [f"n{number}" for number in range(6000)]
    for name in names:
        made = queue(vhost, name)
        exchange(vhost, name, "fanout")
        for source in (topic, direct):
            vhost.bind(source, made, name, {})
    indexes: list[dict[Any, Any]] = [vhost.queues, vhost.routes, vhost.exchanges]
    for source in (topic, direct):
        indexes += [source.bindings, source.targets]
    assert min(map(getsizeof, indexes)) > 64 * MOST_BYTES
    for name in names:
        vhost.take_queue(vhost.queues[name])
        vhost.delete_exchange(vhost.exchanges[name])
    vhost.engine.work.finish()
    assert max(map(getsizeof, indexes)) <= 64 * MOST_BYTES
    assert [(one.name, one.type, one.internal) for one in vhost.exchanges.values()] == list(PREDECLARED)
    assert not topic.bindings
