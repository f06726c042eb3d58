"""What every store must do. Each test runs on the memory store, on disk, and on disks with partial writes or faults."""

from __future__ import annotations

from collections.abc import Callable

from leveret.queues.message import Message
from leveret.wire.tables import Field
from tests.stores.harness import StoreHarness, message


def test_messages_are_restored_in_order(harness: StoreHarness, reopen: Callable[[], None]) -> None:
    harness.declare("q")
    harness.push("q", *(message(b"%d" % number) for number in range(50)))
    reopen()
    assert harness.look("q") == [(b"%d" % number, False) for number in range(50)]


def test_contents_are_restored_unchanged(harness: StoreHarness, reopen: Callable[[], None]) -> None:
    harness.declare("q", max_priority=9)
    sent = message(b"\x00\xce" * 300, priority=4, ttl=60_000, key="a.b", retries=3)
    sent.exchange = b"logs"
    harness.push("q", sent, message(b""))
    reopen()
    got, empty = harness.take("q", 2)
    assert got.message.content == sent.content
    assert (got.message.exchange, got.message.routing_key) == (b"logs", b"a.b")
    assert (got.message.head, got.message.size) == (sent.head, sent.size)
    assert (got.message.priority, got.message.expiration, got.message.persistent) == (4, 60_000, True)
    assert empty.message.body == b""
    assert (empty.message.priority, empty.message.expiration) == (-1, -1)


def test_transient_messages_and_queues_are_not_restored(
    harness: StoreHarness, reopen: Callable[[], None]
) -> None:
    harness.declare("q")
    harness.push("q", message(b"a"), message(b"b", persistent=False), message(b"c"))
    reopen()
    assert harness.bodies("q") == [b"a", b"c"]


def test_settled_messages_are_not_restored(harness: StoreHarness, reopen: Callable[[], None]) -> None:
    harness.declare("q")
    harness.push("q", *(message(b"%d" % number) for number in range(10)))
    harness.commit()
    taken = harness.take("q", 6)
    harness.ack(taken[0], taken[4], taken[3], taken[1])
    reopen()
    assert harness.look("q") == [(b"2", True), (b"5", True), *((b"%d" % n, False) for n in range(6, 10))]


def test_messages_settled_before_the_commit_are_not_restored(
    harness: StoreHarness, reopen: Callable[[], None]
) -> None:
    harness.declare("q")
    harness.push("q", message(b"a"), message(b"b"))
    harness.ack(*harness.take("q", 2))
    reopen()
    assert harness.bodies("q") == []


def test_a_queue_that_grows_long_before_the_commit_is_restored(
    harness: StoreHarness, reopen: Callable[[], None]
) -> None:
    """Entries are encoded only when their place in the store is known."""
    harness.declare("q")
    harness.push("q", *(message(b"%d" % number) for number in range(5000)))
    harness.commit()
    harness.push("q", message(b"5000"))
    taken = harness.take("q", 4000)
    assert [entry.message.body for entry in taken] == [b"%d" % number for number in range(4000)]
    harness.ack(*taken[:3000])
    reopen()
    assert harness.look("q") == [(b"%d" % number, number < 4000) for number in range(3000, 5001)]


def test_delivered_messages_are_restored_as_redelivered(
    harness: StoreHarness, reopen: Callable[[], None]
) -> None:
    harness.declare("q")
    harness.push("q", message(b"a"), message(b"b"), message(b"c"))
    harness.commit()
    assert harness.get("q")
    reopen()
    assert harness.look("q") == [(b"a", True), (b"b", False), (b"c", False)]


def test_messages_delivered_before_the_commit_are_restored_as_redelivered(
    harness: StoreHarness, reopen: Callable[[], None]
) -> None:
    harness.declare("q")
    harness.push("q", message(b"a"), message(b"b"))
    assert harness.get("q")
    reopen()
    assert harness.look("q") == [(b"a", True), (b"b", False)]


def test_requeued_messages_are_restored_at_their_positions(
    harness: StoreHarness, reopen: Callable[[], None]
) -> None:
    harness.declare("q")
    harness.push("q", *(message(b"%d" % number) for number in range(5)))
    harness.commit()
    taken = harness.take("q", 4)
    harness.requeue(taken[2], taken[0])
    reopen()
    assert harness.look("q") == [(b"0", True), (b"1", True), (b"2", True), (b"3", True), (b"4", False)]


def test_positions_go_on_after_a_restart(harness: StoreHarness, reopen: Callable[[], None]) -> None:
    harness.declare("q")
    harness.push("q", message(b"a"), message(b"b"))
    harness.commit()
    harness.ack(*harness.take("q", 2))
    reopen()
    harness.push("q", message(b"c"))
    reopen()
    assert harness.look("q") == [(b"c", False)]
    harness.push("q", message(b"d"))
    harness.ack(*harness.take("q", 1))
    reopen()
    assert harness.look("q") == [(b"d", False)]


def test_a_message_in_several_queues_is_restored_in_each(
    harness: StoreHarness, reopen: Callable[[], None]
) -> None:
    names = ["a", "b", "c"]
    for name in names:
        harness.declare(name)
    harness.declare("t", durable=False)
    harness.fanout([*names, "t"], message(b"x"))
    harness.fanout(names, message(b"y"))
    harness.commit()
    harness.ack(*harness.take("b", 1))
    reopen()
    assert [harness.bodies(name) for name in names] == [[b"x", b"y"], [b"y"], [b"x", b"y"]]
    assert "t" not in harness.vhost.queues


def test_priority_queues_are_restored(harness: StoreHarness, reopen: Callable[[], None]) -> None:
    harness.declare("q", max_priority=3)
    harness.push("q", *(message(b"%d" % p, priority=p) for p in (1, 3, 0, 9, 1)), message(b"none"))
    reopen()
    assert harness.bodies("q") == [b"3", b"9", b"1", b"1", b"0", b"none"]


def test_the_ttl_counts_from_the_publish(harness: StoreHarness, reopen: Callable[[], None]) -> None:
    harness.declare("q")
    harness.push("q", message(b"short", ttl=1000), message(b"long", ttl=5000), message(b"ever"))
    harness.commit()
    harness.clock.advance(900)
    reopen()
    assert harness.bodies("q") == [b"short", b"long", b"ever"]
    harness.clock.advance(100)
    assert harness.bodies("q") == [b"long", b"ever"]


def test_messages_that_expired_while_stopped_are_dead_lettered(
    harness: StoreHarness, reopen: Callable[[], None]
) -> None:
    harness.declare("dead")
    harness.declare("q", dead_letter_exchange="", dead_letter_routing_key="dead")
    harness.push("q", message(b"a", ttl=1000), message(b"b"))
    harness.commit()
    harness.clock.agenda = None  # the broker is stopped meanwhile
    harness.clock.advance(2000)
    reopen()
    assert (harness.bodies("q"), harness.bodies("dead")) == ([b"b"], [b"a"])


def test_dead_letters_of_a_start_survive_the_next_crash(
    harness: StoreHarness, reopen: Callable[[], None]
) -> None:
    """The expired message and its dead letter are reported together, before any client connects."""
    harness.declare("q", dead_letter_exchange="", dead_letter_routing_key="dead")
    harness.declare("dead")
    harness.push("dead", message(b"older"))
    harness.push("q", message(b"a", ttl=1000), message(b"b"))
    harness.commit()
    harness.clock.agenda = None  # the broker is stopped meanwhile
    harness.clock.advance(2000)
    reopen()
    harness.commit()
    reopen()
    assert (harness.bodies("q"), harness.bodies("dead")) == ([b"b"], [b"older", b"a"])


def test_the_queue_expiry_starts_again(harness: StoreHarness, reopen: Callable[[], None]) -> None:
    harness.declare("q", expires=1000)
    harness.clock.advance(900)
    reopen()
    harness.clock.advance(900)
    assert "q" in harness.vhost.queues
    harness.clock.advance(200)
    assert "q" not in harness.vhost.queues
    reopen()
    assert "q" not in harness.vhost.queues


def test_a_dead_letter_is_restored_in_one_queue_only(
    harness: StoreHarness, reopen: Callable[[], None]
) -> None:
    harness.declare("dead")
    harness.declare("q", dead_letter_exchange="", dead_letter_routing_key="dead")
    harness.push("q", message(b"a"), message(b"b"))
    harness.commit()
    harness.reject(*harness.take("q", 1))
    reopen()
    assert (harness.bodies("q"), harness.bodies("dead")) == ([b"b"], [b"a"])
    (dead,) = harness.take("dead", 1)
    assert [(death.queue, death.reason, death.count) for death in dead.message.extra.deaths] == [
        ("q", "rejected", 1)
    ]


def test_purge_keeps_unacknowledged_messages(harness: StoreHarness, reopen: Callable[[], None]) -> None:
    harness.declare("q")
    harness.push("q", *(message(b"%d" % number) for number in range(5)))
    harness.commit()
    harness.take("q", 2)
    assert harness.queue("q").purge()[0] == 3
    reopen()
    assert harness.look("q") == [(b"0", True), (b"1", True)]


def test_messages_of_a_deleted_queue_are_not_restored(
    harness: StoreHarness, reopen: Callable[[], None]
) -> None:
    harness.declare("q")
    harness.push("q", message(b"a"))
    harness.commit()
    harness.vhost.delete_queue(harness.queue("q"))
    harness.declare("q")
    harness.push("q", message(b"b"))
    reopen()
    assert harness.bodies("q") == [b"b"]
    harness.vhost.delete_queue(harness.queue("q"))
    reopen()
    assert "q" not in harness.vhost.queues


def test_exchanges_queues_and_bindings_are_restored(
    harness: StoreHarness, reopen: Callable[[], None]
) -> None:
    vhost = harness.vhost
    arguments = {"durable": True, "auto_delete": False, "internal": False, "arguments": {}, "user": "guest"}
    logs = vhost.declare_exchange("logs", "topic", **arguments)
    inner = vhost.declare_exchange("inner", "fanout", **{**arguments, "internal": True})
    vhost.declare_exchange("passing", "direct", **{**arguments, "durable": False})
    queue = harness.declare("q", message_ttl=5000)
    vhost.bind(logs, queue, "a.#", {})
    vhost.bind(logs, queue, "b", {})
    vhost.bind(logs, inner, "c", {})
    vhost.bind(inner, queue, "", {})
    vhost.unbind(logs, queue, "b", {})
    reopen()
    vhost = harness.vhost
    assert "passing" not in vhost.exchanges
    assert vhost.exchanges["inner"].internal
    assert sorted(binding.routing_key for binding in vhost.exchanges["logs"].bindings.values()) == [
        b"a.#",
        b"c",
    ]
    assert harness.queue("q").arguments["x-message-ttl"].value == 5000
    assert len(vhost.exchanges["inner"].bindings) == 1
    vhost.delete_exchange(vhost.exchanges["logs"])
    reopen()
    assert "logs" not in harness.vhost.exchanges


def test_quorum_queues_restore_all_messages_with_their_counts(
    harness: StoreHarness, reopen: Callable[[], None]
) -> None:
    harness.declare("q", queue_type="quorum")
    harness.push("q", message(b"a"), message(b"b", persistent=False))
    harness.commit()
    (entry,) = harness.take("q", 1)
    harness.requeue(entry)
    reopen()
    found = {entry.message.body: entry for entry in harness.take("q", 2)}
    assert sorted(found) == [b"a", b"b"]
    assert (found[b"a"].redelivered, found[b"a"].acquired) == (True, 1)
    assert (found[b"b"].redelivered, found[b"b"].acquired) == (False, 0)


def test_length_limits_apply_after_a_restart(harness: StoreHarness, reopen: Callable[[], None]) -> None:
    harness.declare("q", max_length=3)
    harness.push("q", *(message(b"%d" % number) for number in range(5)))
    reopen()
    assert harness.bodies("q") == [b"2", b"3", b"4"]
    harness.push("q", message(b"5"))
    reopen()
    assert harness.bodies("q") == [b"3", b"4", b"5"]


def test_many_restarts_lose_nothing(harness: StoreHarness) -> None:
    harness.declare("q")
    expected: list[bytes] = []
    for life in range(12):
        harness.push("q", *(message(b"%d.%d" % (life, number)) for number in range(7)))
        expected += [b"%d.%d" % (life, number) for number in range(7)]
        harness.commit()
        harness.ack(*harness.take("q", 4))
        del expected[:4]
        harness.commit()
        harness.crash()
        assert harness.bodies("q") == expected


def test_a_commit_settles_the_ticket(harness: StoreHarness) -> None:
    harness.declare("q")
    given: list[str] = []
    ticket = harness.push("q", message(b"a"))
    harness.store.journal.when_settled(ticket, lambda: given.append("a"))
    harness.commit()
    assert given == ["a"]
    assert harness.store.journal.settled >= ticket


def delay_exchange(harness: StoreHarness, name: str = "later", *, durable: bool = True) -> None:
    """Declare an x-delayed-message exchange to which queue `q` is bound."""
    arguments = {"x-delayed-type": Field("S", b"fanout")}
    exchange = harness.vhost.declare_exchange(
        name,
        "x-delayed-message",
        durable=durable,
        auto_delete=False,
        internal=False,
        arguments=arguments,
        user="guest",
    )
    harness.vhost.bind(exchange, harness.queue("q"), "", {})


def delay(harness: StoreHarness, one: Message, exchange: str = "later") -> int:
    """Publish to it; returns the ticket that a confirm waits for."""
    assert harness.vhost.publisher.route(harness.vhost.exchanges[exchange], one) == []
    return harness.vhost.delayed.ticket_of(one)


def waiting(harness: StoreHarness, exchange: str = "later") -> int:
    return harness.vhost.delayed.count(exchange)


def test_delayed_messages_are_restored_and_published_when_due(
    harness: StoreHarness, reopen: Callable[[], None]
) -> None:
    harness.declare("q")
    delay_exchange(harness)
    for body, due in ((b"late", 5000), (b"soon", 1000), (b"meanwhile", 2000)):
        assert delay(harness, message(body, **{"x-delay": due})) > 0
    harness.clock.advance(1500)
    assert harness.bodies("q") == [b"soon"]
    assert waiting(harness) == 2
    reopen()
    assert (harness.bodies("q"), waiting(harness)) == ([b"soon"], 2)
    harness.clock.advance(1500)
    assert (harness.bodies("q"), waiting(harness)) == ([b"soon", b"meanwhile"], 1)
    reopen()
    delay(harness, message(b"later", **{"x-delay": 5000}))
    harness.clock.advance(2000)
    assert (harness.bodies("q"), waiting(harness)) == ([b"soon", b"meanwhile", b"late"], 1)
    reopen()
    harness.clock.advance(5000)
    assert harness.bodies("q") == [b"soon", b"meanwhile", b"late", b"later"]
    reopen()
    assert (len(harness.bodies("q")), waiting(harness)) == (4, 0)


def test_transient_delayed_messages_are_restored(harness: StoreHarness, reopen: Callable[[], None]) -> None:
    harness.declare("q")
    delay_exchange(harness)
    delay(harness, message(b"a", persistent=False, **{"x-delay": 1000}))
    reopen()
    harness.clock.advance(1000)
    assert harness.bodies("q") == [b"a"]
    reopen()
    assert harness.bodies("q") == []


def test_delayed_messages_of_a_deleted_exchange_are_not_restored(
    harness: StoreHarness, reopen: Callable[[], None]
) -> None:
    harness.declare("q")
    for name in ("later", "kept"):
        delay_exchange(harness, name)
        delay(harness, message(name.encode(), **{"x-delay": 1000}), name)
    harness.commit()
    harness.vhost.delete_exchange(harness.vhost.exchanges["later"])
    reopen()
    delay_exchange(harness)
    harness.clock.advance(1000)
    assert harness.bodies("q") == [b"kept"]


def test_delayed_messages_of_a_transient_exchange_are_not_restored(
    harness: StoreHarness, reopen: Callable[[], None]
) -> None:
    harness.declare("q")
    delay_exchange(harness, durable=False)
    assert delay(harness, message(b"a", **{"x-delay": 1000})) == 0
    reopen()
    assert "later" not in harness.vhost.exchanges
    harness.clock.advance(1000)
    assert harness.bodies("q") == []
