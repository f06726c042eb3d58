"""What every store promises. Each case runs on the model, on the disk, and on disks that are slow to answer,
write in small pieces, or refuse every now and then."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from leveret.queues.message import Message
from leveret.wire.tables import Field
from tests.stores.faults import Fickle, Piecemeal
from tests.stores.houses import DiskHouse, House, MemoryHouse, message

HOUSES: dict[str, Callable[[Path], House]] = {
    "memory": lambda path: MemoryHouse(),
    "disk": DiskHouse,
    "small segments": lambda path: DiskHouse(path, segment=600),
    "piecemeal writes": lambda path: DiskHouse(path, Piecemeal(), segment=600),
    "fickle disk": lambda path: DiskHouse(path, Fickle(), segment=600),
}


@pytest.fixture(params=HOUSES)
def house(request: pytest.FixtureRequest, tmp_path: Path) -> House:
    return HOUSES[request.param](tmp_path)


@pytest.fixture(params=["crash", "restart"])
def again(request: pytest.FixtureRequest, house: House) -> Callable[[], None]:
    """Ends the broker, one way or the other, and starts it again; what was told before is safe."""

    def end() -> None:
        house.commit()
        getattr(house, request.param)()

    return end


def test_messages_come_back_in_order(house: House, again: Callable[[], None]) -> None:
    house.declare("q")
    house.push("q", *(message(b"%d" % number) for number in range(50)))
    again()
    assert house.look("q") == [(b"%d" % number, False) for number in range(50)]


def test_content_comes_back_as_it_was(house: House, again: Callable[[], None]) -> None:
    house.declare("q", max_priority=9)
    sent = message(b"\x00\xce" * 300, priority=4, ttl=60_000, key="a.b", retries=3)
    sent.exchange = b"logs"
    house.push("q", sent, message(b""))
    again()
    got, empty = house.take("q", 2)
    assert got.message.content == sent.content
    assert (got.message.exchange, got.message.routing_key) == (b"logs", b"a.b")
    assert (got.message.head, got.message.size) == (sent.head, sent.size)
    assert (got.message.priority, got.message.expiration, got.message.persistent) == (4, 60_000, True)
    assert empty.message.body == b""
    assert (empty.message.priority, empty.message.expiration) == (-1, -1)


def test_transient_messages_and_queues_do_not(house: House, again: Callable[[], None]) -> None:
    house.declare("q")
    house.push("q", message(b"a"), message(b"b", persistent=False), message(b"c"))
    again()
    assert house.bodies("q") == [b"a", b"c"]


def test_settled_messages_stay_away(house: House, again: Callable[[], None]) -> None:
    house.declare("q")
    house.push("q", *(message(b"%d" % number) for number in range(10)))
    house.commit()
    taken = house.take("q", 6)
    house.ack(taken[0], taken[4], taken[3], taken[1])
    again()
    assert house.look("q") == [(b"2", True), (b"5", True), *((b"%d" % n, False) for n in range(6, 10))]


def test_settled_before_the_commit_leaves_nothing(house: House, again: Callable[[], None]) -> None:
    house.declare("q")
    house.push("q", message(b"a"), message(b"b"))
    house.ack(*house.take("q", 2))
    again()
    assert house.bodies("q") == []


def test_a_long_queue_that_fills_before_the_commit(house: House, again: Callable[[], None]) -> None:
    """Entries are packed only when it is known where the store has them."""
    house.declare("q")
    house.push("q", *(message(b"%d" % number) for number in range(5000)))
    house.commit()
    house.push("q", message(b"5000"))
    taken = house.take("q", 4000)
    assert [entry.message.body for entry in taken] == [b"%d" % number for number in range(4000)]
    house.ack(*taken[:3000])
    again()
    assert house.look("q") == [(b"%d" % number, number < 4000) for number in range(3000, 5001)]


def test_delivered_messages_come_back_redelivered(house: House, again: Callable[[], None]) -> None:
    house.declare("q")
    house.push("q", message(b"a"), message(b"b"), message(b"c"))
    house.commit()
    assert house.get("q")
    again()
    assert house.look("q") == [(b"a", True), (b"b", False), (b"c", False)]


def test_delivered_before_the_commit_too(house: House, again: Callable[[], None]) -> None:
    house.declare("q")
    house.push("q", message(b"a"), message(b"b"))
    assert house.get("q")
    again()
    assert house.look("q") == [(b"a", True), (b"b", False)]


def test_requeued_messages_come_back_to_their_places(house: House, again: Callable[[], None]) -> None:
    house.declare("q")
    house.push("q", *(message(b"%d" % number) for number in range(5)))
    house.commit()
    taken = house.take("q", 4)
    house.requeue(taken[2], taken[0])
    again()
    assert house.look("q") == [(b"0", True), (b"1", True), (b"2", True), (b"3", True), (b"4", False)]


def test_a_second_life_goes_on_where_the_first_ended(house: House, again: Callable[[], None]) -> None:
    house.declare("q")
    house.push("q", message(b"a"), message(b"b"))
    house.commit()
    house.ack(*house.take("q", 2))
    again()
    house.push("q", message(b"c"))
    again()
    assert house.look("q") == [(b"c", False)]
    house.push("q", message(b"d"))
    house.ack(*house.take("q", 1))
    again()
    assert house.look("q") == [(b"d", False)]


def test_one_message_in_several_queues(house: House, again: Callable[[], None]) -> None:
    names = ["a", "b", "c"]
    for name in names:
        house.declare(name)
    house.declare("t", durable=False)
    house.fanout([*names, "t"], message(b"x"))
    house.fanout(names, message(b"y"))
    house.commit()
    house.ack(*house.take("b", 1))
    again()
    assert [house.bodies(name) for name in names] == [[b"x", b"y"], [b"y"], [b"x", b"y"]]
    assert "t" not in house.vhost.queues


def test_priorities(house: House, again: Callable[[], None]) -> None:
    house.declare("q", max_priority=3)
    house.push("q", *(message(b"%d" % p, priority=p) for p in (1, 3, 0, 9, 1)), message(b"none"))
    again()
    assert house.bodies("q") == [b"3", b"9", b"1", b"1", b"0", b"none"]


def test_ttl_counts_from_the_beginning(house: House, again: Callable[[], None]) -> None:
    house.declare("q")
    house.push("q", message(b"short", ttl=1000), message(b"long", ttl=5000), message(b"ever"))
    house.commit()
    house.clock.advance(900)
    again()
    assert house.bodies("q") == [b"short", b"long", b"ever"]
    house.clock.advance(100)
    assert house.bodies("q") == [b"long", b"ever"]


def test_what_expired_meanwhile_is_dead_lettered(house: House, again: Callable[[], None]) -> None:
    house.declare("dead")
    house.declare("q", dead_letter_exchange="", dead_letter_routing_key="dead")
    house.push("q", message(b"a", ttl=1000), message(b"b"))
    house.commit()
    house.clock.agenda = None  # the broker is down while time goes on
    house.clock.advance(2000)
    again()
    assert (house.bodies("q"), house.bodies("dead")) == ([b"b"], [b"a"])


def test_what_expired_meanwhile_is_not_lost_with_the_next_broker(
    house: House, again: Callable[[], None]
) -> None:
    """The store is told of the death and of the dead letter in one go, before any client comes."""
    house.declare("q", dead_letter_exchange="", dead_letter_routing_key="dead")
    house.declare("dead")
    house.push("dead", message(b"older"))
    house.push("q", message(b"a", ttl=1000), message(b"b"))
    house.commit()
    house.clock.agenda = None  # the broker is down while time goes on
    house.clock.advance(2000)
    again()
    house.commit()
    again()
    assert (house.bodies("q"), house.bodies("dead")) == ([b"b"], [b"older", b"a"])


def test_x_expires_starts_anew(house: House, again: Callable[[], None]) -> None:
    house.declare("q", expires=1000)
    house.clock.advance(900)
    again()
    house.clock.advance(900)
    assert "q" in house.vhost.queues
    house.clock.advance(200)
    assert "q" not in house.vhost.queues
    again()
    assert "q" not in house.vhost.queues


def test_dead_letters_move_as_one(house: House, again: Callable[[], None]) -> None:
    house.declare("dead")
    house.declare("q", dead_letter_exchange="", dead_letter_routing_key="dead")
    house.push("q", message(b"a"), message(b"b"))
    house.commit()
    house.reject(*house.take("q", 1))
    again()
    assert (house.bodies("q"), house.bodies("dead")) == ([b"b"], [b"a"])
    (dead,) = house.take("dead", 1)
    assert [(death.queue, death.reason, death.count) for death in dead.message.extra.deaths] == [
        ("q", "rejected", 1)
    ]


def test_purge_spares_what_is_handed_out(house: House, again: Callable[[], None]) -> None:
    house.declare("q")
    house.push("q", *(message(b"%d" % number) for number in range(5)))
    house.commit()
    house.take("q", 2)
    assert house.queue("q").purge() == 3
    again()
    assert house.look("q") == [(b"0", True), (b"1", True)]


def test_a_deleted_queue_takes_its_messages_along(house: House, again: Callable[[], None]) -> None:
    house.declare("q")
    house.push("q", message(b"a"))
    house.commit()
    house.vhost.delete_queue(house.queue("q"))
    house.declare("q")
    house.push("q", message(b"b"))
    again()
    assert house.bodies("q") == [b"b"]
    house.vhost.delete_queue(house.queue("q"))
    again()
    assert "q" not in house.vhost.queues


def test_topology(house: House, again: Callable[[], None]) -> None:
    vhost = house.vhost
    arguments = {"durable": True, "auto_delete": False, "internal": False, "arguments": {}, "user": "guest"}
    logs = vhost.declare_exchange("logs", "topic", **arguments)
    inner = vhost.declare_exchange("inner", "fanout", **{**arguments, "internal": True})
    vhost.declare_exchange("passing", "direct", **{**arguments, "durable": False})
    queue = house.declare("q", message_ttl=5000)
    vhost.bind(logs, queue, "a.#", {})
    vhost.bind(logs, queue, "b", {})
    vhost.bind(logs, inner, "c", {})
    vhost.bind(inner, queue, "", {})
    vhost.unbind(logs, queue, "b", {})
    again()
    vhost = house.vhost
    assert "passing" not in vhost.exchanges
    assert vhost.exchanges["inner"].internal
    assert sorted(binding.routing_key for binding in vhost.exchanges["logs"].bindings.values()) == [
        b"a.#",
        b"c",
    ]
    assert house.queue("q").arguments["x-message-ttl"].value == 5000
    assert len(vhost.exchanges["inner"].bindings) == 1
    vhost.delete_exchange(vhost.exchanges["logs"])
    again()
    assert "logs" not in house.vhost.exchanges


def test_quorum_queues_keep_everything_and_count(house: House, again: Callable[[], None]) -> None:
    house.declare("q", queue_type="quorum")
    house.push("q", message(b"a"), message(b"b", persistent=False))
    house.commit()
    (entry,) = house.take("q", 1)
    house.requeue(entry)
    again()
    found = {entry.message.body: entry for entry in house.take("q", 2)}
    assert sorted(found) == [b"a", b"b"]
    assert (found[b"a"].redelivered, found[b"a"].acquired) == (True, 1)
    assert (found[b"b"].redelivered, found[b"b"].acquired) == (False, 0)


def test_length_limits_hold_again(house: House, again: Callable[[], None]) -> None:
    house.declare("q", max_length=3)
    house.push("q", *(message(b"%d" % number) for number in range(5)))
    again()
    assert house.bodies("q") == [b"2", b"3", b"4"]
    house.push("q", message(b"5"))
    again()
    assert house.bodies("q") == [b"3", b"4", b"5"]


def test_many_lives(house: House) -> None:
    house.declare("q")
    expected: list[bytes] = []
    for life in range(12):
        house.push("q", *(message(b"%d.%d" % (life, number)) for number in range(7)))
        expected += [b"%d.%d" % (life, number) for number in range(7)]
        house.commit()
        house.ack(*house.take("q", 4))
        del expected[:4]
        house.commit()
        house.crash()
        assert house.bodies("q") == expected


def test_tickets_are_settled(house: House) -> None:
    house.declare("q")
    told: list[str] = []
    ticket = house.push("q", message(b"a"))
    house.store.journal.when_settled(ticket, lambda: told.append("a"))
    house.commit()
    assert told == ["a"]
    assert house.store.journal.settled >= ticket


def delay_exchange(house: House, name: str = "later", *, durable: bool = True) -> None:
    """An x-delayed-message exchange in front of the queue `q`."""
    arguments = {"x-delayed-type": Field("S", b"fanout")}
    exchange = house.vhost.declare_exchange(
        name,
        "x-delayed-message",
        durable=durable,
        auto_delete=False,
        internal=False,
        arguments=arguments,
        user="guest",
    )
    house.vhost.bind(exchange, house.queue("q"), "", {})


def delay(house: House, one: Message, exchange: str = "later") -> int:
    """Publish to it; the ticket a confirm waits for."""
    assert house.vhost.route(house.vhost.exchanges[exchange], one) == []
    return house.vhost.delayed.ticket_of(one)


def waiting(house: House, exchange: str = "later") -> int:
    return house.vhost.delayed.count(exchange)


def test_delayed_messages_go_on_when_they_are_due(house: House, again: Callable[[], None]) -> None:
    house.declare("q")
    delay_exchange(house)
    for body, due in ((b"late", 5000), (b"soon", 1000), (b"meanwhile", 2000)):
        assert delay(house, message(body, **{"x-delay": due})) > 0
    house.clock.advance(1500)
    assert house.bodies("q") == [b"soon"]
    assert waiting(house) == 2
    again()
    assert (house.bodies("q"), waiting(house)) == ([b"soon"], 2)
    house.clock.advance(1500)
    assert (house.bodies("q"), waiting(house)) == ([b"soon", b"meanwhile"], 1)
    again()
    delay(house, message(b"later", **{"x-delay": 5000}))
    house.clock.advance(2000)
    assert (house.bodies("q"), waiting(house)) == ([b"soon", b"meanwhile", b"late"], 1)
    again()
    house.clock.advance(5000)
    assert house.bodies("q") == [b"soon", b"meanwhile", b"late", b"later"]
    again()
    assert (len(house.bodies("q")), waiting(house)) == (4, 0)


def test_transient_messages_are_delayed_as_persistent_ones(house: House, again: Callable[[], None]) -> None:
    house.declare("q")
    delay_exchange(house)
    delay(house, message(b"a", persistent=False, **{"x-delay": 1000}))
    again()
    house.clock.advance(1000)
    assert house.bodies("q") == [b"a"]
    again()
    assert house.bodies("q") == []


def test_what_a_deleted_exchange_held_up_is_gone(house: House, again: Callable[[], None]) -> None:
    house.declare("q")
    for name in ("later", "kept"):
        delay_exchange(house, name)
        delay(house, message(name.encode(), **{"x-delay": 1000}), name)
    house.commit()
    house.vhost.delete_exchange(house.vhost.exchanges["later"])
    again()
    delay_exchange(house)
    house.clock.advance(1000)
    assert house.bodies("q") == [b"kept"]


def test_transient_delayed_exchanges_keep_nothing(house: House, again: Callable[[], None]) -> None:
    house.declare("q")
    delay_exchange(house, durable=False)
    assert delay(house, message(b"a", **{"x-delay": 1000})) == 0
    again()
    assert "later" not in house.vhost.exchanges
    house.clock.advance(1000)
    assert house.bodies("q") == []
