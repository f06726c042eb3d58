"""Operations on very many objects, and hostile routing: each is cut into slices, and others go on in between."""

from __future__ import annotations

import gc
import heapq
from collections.abc import Callable, Iterator
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import pytest
from pamqp.commands import Basic, Channel, Confirm, Connection, Exchange, Queue, Tx

from leveret.engine.policies import TOGETHER, Policy, policy_of
from leveret.engine.vhost import VirtualHost
from leveret.queues.consumers import Consumer
from leveret.queues.message import Entry
from leveret.queues.queue import Queue as AnyQueue
from leveret.routing.exchanges import Exchange as AnyExchange
from leveret.session import late_publish, subscription
from leveret.testing.lines import Say
from leveret.wire.methods import method_frame
from leveret.wire.tables import Field, from_plain
from leveret.work import one_by_one
from tests.faults.test_isolation import message
from tests.faults.world import World

COMPILED = not str(subscription.__file__).endswith(".py")

#: More queues than a publish reaches in one portion.
WIDE = 2 * late_publish.PORTION + 1

PING = method_frame(1, Queue.Declare, queue="other", passive=True)


class Sliced:
    """A world with two clients. In slices, each portion of a job uses up its slice, and each method its turn."""

    def __init__(self, path: Path) -> None:
        self.world = World(path)
        self.first, self.second = self.world.connect("first"), self.world.connect("second")
        self.send(method_frame(1, Queue.Declare, queue="q"), method_frame(1, Queue.Declare, queue="other"))
        self.world.loop.run()
        self.first.receive()

    @property
    def vhost(self) -> VirtualHost:
        return self.world.broker.vhosts["/"]

    def send(self, *frames: bytes) -> None:
        self.first.feed(b"".join(frames))

    def run(self, seen: Callable[[], Any]) -> list[Any]:
        """Run everything that is due, callback by callback, while the second client asks again and again. Returns what
        `seen` returned each time when it was answered."""
        self.world.broker.work.timer = count(1).__next__
        loop, noted = self.world.loop, list[Any]()
        self.second.feed(PING)
        while loop.calls and loop.calls[0][0] <= loop.now:
            _, _, handle = heapq.heappop(loop.calls)
            if not handle.over:
                handle.call(*handle.arguments)
            if self.second.receive():
                noted.append(seen())
                if self.world.broker.work.jobs:
                    self.second.feed(PING)
        loop.run(1000)
        assert not self.world.written, "no faults"
        return noted

    def answers(self) -> list[Any]:
        """The methods that the first client has received."""
        return [line.command if isinstance(line, Say) else line for line in self.first.receive()]


@pytest.fixture
def sliced(tmp_path: Path) -> Sliced:
    return Sliced(tmp_path)


def test_a_long_search_for_bindings_is_cut(sliced: Sliced) -> None:
    vhost, headers = sliced.vhost, sliced.vhost.exchanges["amq.headers"]
    for number in range(9000):
        vhost.bind(headers, vhost.queues["q"], str(number), {"same": Field("S", b"v")})
    queue = vhost.queues["q"]
    sliced.send(
        method_frame(1, Confirm.Select),
        message("amq.headers", "", headers={"same": Field("S", b"v")}, delivery_mode=1),
        method_frame(1, Queue.Declare, queue="q", passive=True),
    )
    seen = sliced.run(lambda: queue.published)
    assert seen[0] == 0 and queue.published == 1
    said = sliced.first.receive()
    assert [line.arguments["message_count"] for line in said if line.command is Queue.DeclareOk] == [1]
    assert [line.arguments["delivery_tag"] for line in said if line.command is Basic.Ack] == [1]


@pytest.mark.parametrize("name", ["new", ""])
def test_a_declaration_is_compared_with_many_policies_in_portions(sliced: Sliced, name: str) -> None:
    vhost = sliced.vhost
    for number in range(5 * TOGETHER):
        vhost.engine.policies.set(Policy("/", f"p{number}", f"^{number}$", {"max-length": 1}))
    vhost.engine.policies.set(Policy("/", "last", "^(new|amq)", {"max-length": 5}, -1))
    declared, before = vhost.engine.counters.queues_declared, len(vhost.queues)
    sliced.send(method_frame(1, Queue.Declare, queue=name), method_frame(1, Exchange.Declare, exchange="new"))
    seen = sliced.run(lambda: len(vhost.queues) - before)
    assert seen.count(0) >= 2 and len(vhost.queues) == before + 1
    assert vhost.engine.counters.queues_declared == declared + 1
    assert sliced.answers() == [Queue.DeclareOk, Exchange.DeclareOk]
    *_, queue = vhost.queues.values()
    assert policy_of(queue).definition == {"max-length": 5}


def wide_fanout(sliced: Sliced, many: int = WIDE) -> list[AnyQueue]:
    """More queues than get a message at once, bound to amq.fanout."""
    vhost, fanout = sliced.vhost, sliced.vhost.exchanges["amq.fanout"]
    queues = [
        vhost.declare_queue(
            f"q{number}", durable=False, auto_delete=False, owner=None, arguments={}, user="u"
        )
        for number in range(many)
    ]
    for queue in queues:
        vhost.bind(fanout, queue, "", {})
    return queues


def test_a_publish_to_very_many_queues_is_cut(sliced: Sliced) -> None:
    queues = wide_fanout(sliced)
    sliced.send(method_frame(1, Confirm.Select), message("amq.fanout", "", b"one", delivery_mode=1))
    sliced.send(
        message("amq.fanout", "", b"two", delivery_mode=1),
        method_frame(1, Queue.Declare, queue="q", passive=True),
    )
    seen = sliced.run(lambda: sum(queue.ready for queue in queues))
    assert any(0 < number < WIDE for number in seen), "others are served while it is delivered"
    assert [queue.ready for queue in queues] == [2] * WIDE
    bodies = [queues[-1].get(True).message.body for _ in range(2)]  # type: ignore[union-attr]
    assert bodies == [b"one", b"two"], "in order"
    assert set(sliced.answers()) == {Confirm.SelectOk, Queue.DeclareOk, Basic.Ack}


@pytest.mark.parametrize(("many", "keys"), [(WIDE, 20), (500, 60)])
def test_counts_of_long_lists_of_queues_are_cut(sliced: Sliced, many: int, keys: int) -> None:
    """Each key has a list of its own."""
    queues = wide_fanout(sliced, many)
    fanout = sliced.vhost.exchanges["amq.fanout"]
    sliced.send(*(message("amq.fanout", str(number), delivery_mode=1) for number in range(keys)))
    sliced.send(method_frame(1, Channel.Close, reply_code=200, reply_text="bye"))
    seen = sliced.run(lambda: sum(fanout.tally.queues.values()) if fanout.tally else 0)
    assert max(later - before for before, later in pairwise([0, *seen])) <= 2 * late_publish.PORTION
    assert fanout.tally is not None and fanout.tally.queues == dict.fromkeys(queues, keys)
    assert (fanout.tally.published, fanout.tally.routed) == (keys, keys * many)


def open_many(sliced: Sliced, many: int) -> None:
    sliced.send(*(method_frame(number, Channel.Open) for number in range(100, 100 + many)))
    sliced.send(
        *(method_frame(1, Queue.Declare, queue=f"e{number}", exclusive=True) for number in range(many))
    )
    sliced.world.loop.run()
    sliced.first.receive()


def test_opening_channels_uses_up_a_turn(sliced: Sliced) -> None:
    channels = sliced.first.protocol.connection.channels
    before = len(channels)
    sliced.send(*(method_frame(number, Channel.Open) for number in range(100, 130)))
    seen = sliced.run(lambda: len(channels) - before)
    assert 0 < seen[0] < 30 and len(channels) == before + 30


def test_closing_a_connection_with_much_is_cut(sliced: Sliced) -> None:
    open_many(sliced, 30)
    sliced.send(method_frame(0, Connection.Close, reply_code=200, reply_text="bye"))
    seen = sliced.run(lambda: len(sliced.vhost.queues))
    assert any(2 < number < 32 for number in seen), "others are served meanwhile"
    assert sorted(sliced.vhost.queues) == ["other", "q"]
    assert sliced.answers() == [Connection.CloseOk]


def test_losing_a_connection_with_much_is_cut(sliced: Sliced) -> None:
    open_many(sliced, 30)
    connection = sliced.first.protocol.connection
    sliced.first.close()
    seen = sliced.run(lambda: (len(sliced.vhost.queues), connection in sliced.world.broker.connections))
    assert any(2 < number < 32 and there for number, there in seen), "it counts until its queues are gone"
    assert sorted(sliced.vhost.queues) == ["other", "q"]
    assert connection not in sliced.world.broker.connections


def test_a_connection_that_is_lost_while_it_closes(sliced: Sliced) -> None:
    open_many(sliced, 30)
    connection = sliced.first.protocol.connection
    sliced.send(method_frame(0, Connection.Close, reply_code=200, reply_text="bye"))
    sliced.first.close()
    sliced.run(lambda: None)
    assert sorted(sliced.vhost.queues) == ["other", "q"]
    assert connection not in sliced.world.broker.connections and not connection.timers


def test_delete_ok_comes_after_the_bindings_are_gone(sliced: Sliced) -> None:
    vhost = sliced.vhost
    for number in range(1000):
        vhost.bind(vhost.exchanges["amq.topic"], vhost.queues["q"], str(number), {})
    sliced.send(
        method_frame(1, Queue.Delete, queue="q"),
        method_frame(1, Queue.Declare, queue="q"),
    )
    seen = sliced.run(lambda: len(vhost.exchanges["amq.topic"].bindings))
    assert any(0 < number < 1000 for number in seen), "others are served meanwhile"
    assert sliced.answers() == [Queue.DeleteOk, Queue.DeclareOk]
    assert not vhost.exchanges["amq.topic"].bindings and "q" in vhost.queues


def test_another_client_waits_for_the_name(sliced: Sliced) -> None:
    vhost = sliced.vhost
    exchange = method_frame(1, Exchange.Declare, exchange="x", exchange_type="topic")
    sliced.send(exchange)
    sliced.world.loop.run()
    sliced.first.receive()
    for number in range(1000):
        vhost.bind(vhost.exchanges["x"], vhost.queues["q"], str(number), {})
    third = sliced.world.connect("third")
    sliced.send(method_frame(1, Exchange.Delete, exchange="x"))
    third.feed(exchange + method_frame(1, Queue.Bind, queue="q", exchange="x", routing_key="k"))
    sliced.run(lambda: None)
    assert [line.command for line in third.receive() if isinstance(line, Say)] == [
        Exchange.DeclareOk,
        Queue.BindOk,
    ]
    assert [one.routing_key for one in vhost.bindings_to(vhost.queues["q"])] == [b"k"]


def test_http_answers_after_the_job(sliced: Sliced) -> None:
    vhost = sliced.vhost
    for number in range(1000):
        vhost.bind(vhost.exchanges["amq.topic"], vhost.queues["q"], str(number), {})
    sliced.world.broker.work.timer = count(1).__next__
    assert sliced.world.get("/api/queues/%2F/q", "DELETE").status == 204
    assert not vhost.exchanges["amq.topic"].bindings and not sliced.world.broker.work.jobs


def test_tracing_reaches_consumers_that_are_there(sliced: Sliced) -> None:
    sliced.send(method_frame(1, Basic.Consume, queue="q", no_ack=True))
    sliced.world.loop.run()
    sliced.world.broker.work.timer = count(1).__next__
    sliced.vhost.tracing = True
    sliced.world.broker.work.finish()
    trace = sliced.vhost.declare_queue(
        "trace", durable=False, auto_delete=False, owner=None, arguments={}, user="u"
    )
    sliced.vhost.bind(sliced.vhost.exchanges["amq.rabbitmq.trace"], trace, "#", {})
    sliced.send(message("", "q"))
    sliced.world.loop.run()
    assert trace.ready == 2


LARGE = from_plain({"x-delay": 1, "h": "x" * 100_000})


def test_dead_letters_with_large_headers_are_published_one_by_one(sliced: Sliced) -> None:
    arguments = from_plain({"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"})
    sliced.send(
        method_frame(1, Queue.Declare, queue="dead"),
        method_frame(1, Queue.Declare, queue="from", arguments=arguments),
        *(message("", "from", headers=LARGE, delivery_mode=1) for _ in range(8)),
        method_frame(1, Basic.Consume, queue="from", consumer_tag="c"),
    )
    sliced.world.loop.run()
    sliced.first.receive()
    dead = sliced.vhost.queues["dead"]
    sliced.send(method_frame(1, Basic.Nack, delivery_tag=0, multiple=True, requeue=False))
    seen = sliced.run(lambda: dead.ready)
    assert any(0 < number < 8 for number in seen) and dead.ready == 8


def test_delayed_messages_with_large_headers_are_published_one_by_one(sliced: Sliced) -> None:
    delayed = from_plain({"x-delayed-type": "fanout"})
    sliced.send(
        method_frame(
            1, Exchange.Declare, exchange="later", exchange_type="x-delayed-message", arguments=delayed
        ),
        method_frame(1, Queue.Bind, queue="q", exchange="later"),
        *(message("later", "", headers=LARGE, delivery_mode=1) for _ in range(8)),
    )
    queue = sliced.vhost.queues["q"]
    sliced.world.loop.run()
    sliced.first.receive()
    broker = sliced.world.broker
    broker.work.timer = count(1).__next__
    sliced.world.loop.now += 1
    broker.clock.tick()
    broker.message_time.run()
    seen = sliced.run(lambda: queue.ready)
    assert any(0 < number < 8 for number in seen) and queue.ready == 8


def test_refused_methods_use_up_a_turn(sliced: Sliced) -> None:
    channels = sliced.first.protocol.connection.channels
    sliced.send(*(method_frame(number, Channel.Open) for number in range(100, 130)))
    sliced.world.loop.run()
    sliced.first.receive()
    sliced.send(*(method_frame(number, Basic.Consume, queue="nowhere") for number in range(100, 130)))
    seen = sliced.run(lambda: sum(channel.closing for channel in channels.values()))
    assert seen[0] < 30 and sliced.answers() == [Channel.Close] * 30


def test_a_commit_to_many_queues_is_cut(sliced: Sliced) -> None:
    fanout, queues = sliced.vhost.exchanges["amq.fanout"], []
    for number in range(100):
        queue = sliced.vhost.declare_queue(
            f"q{number}", durable=False, auto_delete=False, owner=None, arguments={}, user="u"
        )
        sliced.vhost.bind(fanout, queue, "", {})
        queues.append(queue)
    publishes = [message("amq.fanout", "", delivery_mode=1) for _ in range(5)]
    sliced.send(method_frame(1, Tx.Select), *publishes)
    sliced.world.loop.run()
    sliced.first.receive()
    sliced.send(method_frame(1, Tx.Commit))
    seen = sliced.run(lambda: sum(queue.ready for queue in queues))
    assert any(0 < number < 500 for number in seen) and [queue.ready for queue in queues] == [5] * 100
    assert sliced.answers() == [Tx.CommitOk]


def test_bindings_with_many_arguments_are_removed_one_by_one(sliced: Sliced) -> None:
    headers = sliced.vhost.exchanges["amq.headers"]
    for number in range(5):
        arguments = from_plain({f"h{name}": number for name in range(100)})
        sliced.vhost.bind(headers, sliced.vhost.queues["q"], "", arguments)
    sliced.send(method_frame(1, Queue.Delete, queue="q"))
    seen = sliced.run(lambda: len(headers.bindings))
    assert any(0 < number < 5 for number in seen) and not headers.bindings


def test_a_dead_letter_to_very_many_queues_is_cut(sliced: Sliced) -> None:
    queues = wide_fanout(sliced)
    given = {"x-dead-letter-exchange": "amq.fanout"}
    sliced.send(
        method_frame(1, Queue.Declare, queue="dying", arguments=from_plain(given)),
        message("", "dying", b"one", delivery_mode=1),
        method_frame(1, Basic.Get, queue="dying"),
    )
    sliced.world.loop.run()
    sliced.send(method_frame(1, Basic.Reject, delivery_tag=1, requeue=False))
    seen = sliced.run(lambda: sum(queue.ready for queue in queues))
    assert any(0 < number < WIDE for number in seen), "others are served while it is delivered"
    assert [queue.ready for queue in queues] == [1] * WIDE


def test_a_commit_to_very_many_queues_is_cut(sliced: Sliced) -> None:
    queues = wide_fanout(sliced)
    sliced.send(
        method_frame(1, Tx.Select),
        message("amq.fanout", "", b"one", delivery_mode=1),
    )
    sliced.world.loop.run()
    sliced.send(method_frame(1, Tx.Commit))
    seen = sliced.run(lambda: sum(queue.ready for queue in queues))
    assert any(0 < number < WIDE for number in seen), "others are served while it is delivered"
    assert [queue.ready for queue in queues] == [1] * WIDE
    assert sliced.answers() == [Tx.SelectOk, Tx.CommitOk]


def test_the_counts_of_a_channel_that_has_used_very_many_queues_end_in_slices(sliced: Sliced) -> None:
    channel = sliced.first.protocol.connection.channels[1]
    for number in range(100):
        queue = sliced.vhost.declare_queue(
            f"q{number}", durable=False, auto_delete=False, owner=None, arguments={}, user="u"
        )
        channel.delivery_tally(queue)
    sliced.send(method_frame(1, Channel.Close, reply_code=200, reply_text="bye"))
    seen = sliced.run(lambda: len(channel.delivery_tallies))
    assert any(0 < number < 100 for number in seen) and not channel.delivery_tallies
    assert not sliced.vhost.context.delivery_total("classic").parts


def test_routes_that_are_not_remembered_count_against_the_turn(sliced: Sliced) -> None:
    headers, channel = sliced.vhost.exchanges["amq.headers"], sliced.first.protocol.connection.channels[1]
    sliced.vhost.bind(headers, sliced.vhost.queues["q"], "", from_plain({"a": 1}))
    sliced.send(*(message("amq.headers", "", headers=from_plain({"b": 1})) for _ in range(100)))
    seen = sliced.run(lambda: channel.received)
    assert 0 < seen[0] < 20 and channel.received == 100


def test_publishes_that_no_queue_gets_count_against_the_turn(sliced: Sliced) -> None:
    channel = sliced.first.protocol.connection.channels[1]
    sliced.send(message("", "nowhere") * 200)
    seen = sliced.run(lambda: channel.received)
    assert 0 < seen[0] < 100 and channel.received == 200


def test_publishes_of_very_many_channels_are_cut(sliced: Sliced) -> None:
    """Each channel does too little to be over its share."""
    queue, numbers = sliced.vhost.queues["q"], range(11, 211)
    sliced.send(*(method_frame(number, Channel.Open) for number in numbers))
    sliced.world.loop.run()
    sliced.send(*(message("", "q", channel=number) for number in numbers))
    seen = sliced.run(lambda: queue.ready)
    assert 0 < seen[0] < 30 and queue.ready == len(numbers)


def test_headers_that_are_sorted_count_against_the_turn(sliced: Sliced) -> None:
    queue = sliced.vhost.queues["q"]
    sliced.send(message("", "q", headers=from_plain({"b": 1, "a": 2})) * 100)
    seen = sliced.run(lambda: queue.ready)
    assert 0 < seen[0] < 20 and queue.ready == 100


@pytest.fixture
def without_gc() -> Iterator[None]:
    """Nothing is freed but what nobody refers to: other tests have left cycles."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def living(kind: type) -> int:
    """How many objects of a class there are."""
    return sum(isinstance(one, kind) for one in gc.get_objects())


@pytest.mark.usefixtures("without_gc")
def test_exclusive_queues_of_a_lost_connection_are_freed_one_by_one(sliced: Sliced) -> None:
    before = living(AnyQueue)
    declares = (method_frame(1, Queue.Declare, queue=f"x{number}", exclusive=True) for number in range(30))
    sliced.send(*declares)
    sliced.world.loop.run()
    sliced.first.close()
    seen = sliced.run(lambda: living(AnyQueue) - before)
    assert any(0 < number < 25 for number in seen) and living(AnyQueue) == before


@pytest.mark.usefixtures("without_gc")
def test_auto_delete_queues_of_a_channel_that_ends_are_freed_one_by_one(sliced: Sliced) -> None:
    before = living(AnyQueue)
    for number in range(30):
        sliced.send(method_frame(1, Queue.Declare, queue=f"x{number}", auto_delete=True))
        sliced.send(method_frame(1, Basic.Consume, queue=f"x{number}", consumer_tag=f"c{number}"))
    sliced.world.loop.run(1000)
    sliced.send(method_frame(1, Channel.Close, reply_code=200, reply_text="bye"))
    seen = sliced.run(lambda: living(AnyQueue) - before)
    assert any(0 < number < 25 for number in seen) and living(AnyQueue) == before


@pytest.mark.usefixtures("without_gc")
def test_what_is_deleted_while_it_is_walked_over_is_freed_with_its_turn(sliced: Sliced) -> None:
    before = living(AnyQueue)
    sliced.send(*(method_frame(1, Queue.Declare, queue=f"x{number}") for number in range(30)))
    sliced.world.loop.run(1000)
    walk = one_by_one(list(sliced.vhost.queues.values()))
    next(walk)
    sliced.send(*(method_frame(1, Queue.Delete, queue=f"x{number}") for number in range(30)))
    sliced.world.loop.run(1000)
    numbers = [living(AnyQueue) - before for _ in walk]
    assert numbers[0] >= 28 and sorted(numbers, reverse=True) == numbers and numbers[-1] <= 1


@pytest.mark.usefixtures("without_gc")
def test_consumers_of_a_deleted_queue_are_freed_in_portions(sliced: Sliced) -> None:
    before = living(Consumer)
    consumes = (method_frame(1, Basic.Consume, queue="q", consumer_tag=f"c{number}") for number in range(400))
    sliced.send(*consumes)
    sliced.world.loop.run(1000)
    sliced.send(method_frame(1, Queue.Delete, queue="q"))
    seen = sliced.run(lambda: living(Consumer) - before)
    assert any(0 < number < 300 for number in seen) and living(Consumer) == before


def deliveries(sliced: Sliced, kind: str, many: int) -> list[int]:
    """Have a consumer get so many messages twice. Returns how many it had for the second time, step by step."""
    arguments = {"x-queue-type": Field("S", kind.encode())}
    sliced.send(method_frame(1, Queue.Declare, queue="many", durable=True, arguments=arguments))
    sliced.send(message("", "many", delivery_mode=1) * many)
    sliced.send(method_frame(1, Basic.Consume, queue="many", consumer_tag="c"))
    sliced.world.loop.run(1000)
    sliced.send(method_frame(1, Basic.Cancel, consumer_tag="c"))
    sliced.send(method_frame(1, Basic.Nack, delivery_tag=0, multiple=True))
    sliced.world.loop.run(1000)
    queue = sliced.vhost.queues["many"]
    assert (queue.delivered, queue.ready) == (many, many)
    sliced.send(method_frame(1, Basic.Consume, queue="many", consumer_tag="c"))
    return [number - many for number in sliced.run(lambda: queue.delivered)]


def test_redelivering_messages_whose_headers_are_written_again_is_cut(sliced: Sliced) -> None:
    seen = deliveries(sliced, "quorum", 1000)
    assert any(0 < number < 1000 for number in seen) and seen[-1] == 1000


def test_delivering_many_messages_is_cut(sliced: Sliced) -> None:
    seen = deliveries(sliced, "classic", 6000)
    assert any(0 < number < 6000 for number in seen) and seen[-1] == 6000


def longest_visited() -> int:
    """The length of the longest list of entries that the collector visits."""
    lists = (one for one in gc.get_objects() if type(one) is list)
    return max(
        (len(one) for one in lists if any(isinstance(end, Entry) for end in one[:1] + one[-1:])), default=0
    )


def test_acknowledgements_of_many_deliveries_each_end_the_turn(sliced: Sliced) -> None:
    sliced.send(message("", "q", delivery_mode=1) * 3000)
    sliced.send(method_frame(1, Basic.Consume, queue="q", consumer_tag="c"))
    sliced.world.loop.run(1000)
    sliced.first.receive()
    acks = (method_frame(1, Basic.Ack, delivery_tag=tag, multiple=True) for tag in range(300, 3001, 300))
    sliced.send(*acks, PING)
    queue = sliced.vhost.queues["q"]
    seen = sliced.run(lambda: queue.unacked)
    assert seen[0] > 0 and queue.unacked == 0
    assert sliced.answers() == [Queue.DeclareOk]


@pytest.mark.parametrize("method", [Basic.Nack, Basic.Reject])
def test_deliveries_that_are_requeued_one_by_one_end_the_turn(
    sliced: Sliced, method: type[Basic.Nack] | type[Basic.Reject]
) -> None:
    sliced.send(message("", "q", delivery_mode=1) * 200)
    sliced.send(method_frame(1, Basic.Get, queue="q") * 200)
    sliced.world.loop.run(1000)
    sliced.first.receive()
    sliced.send(*(method_frame(1, method, delivery_tag=tag, requeue=True) for tag in range(1, 201)), PING)
    queue = sliced.vhost.queues["q"]
    seen = sliced.run(lambda: queue.unacked)
    assert seen[0] > 0 and queue.unacked == 0
    assert sliced.answers() == [Queue.DeclareOk]


@pytest.mark.skipif(not COMPILED, reason="uncompiled, it visits each entry")
@pytest.mark.parametrize(
    "settle",
    [
        method_frame(1, Basic.Nack, delivery_tag=0, multiple=True, requeue=True),
        method_frame(1, Basic.Recover, requeue=True),
        method_frame(1, Basic.Ack, delivery_tag=0, multiple=True),
        method_frame(1, Channel.Close, reply_code=200, reply_text="bye"),
    ],
)
def test_the_collector_visits_no_long_list_of_deliveries(sliced: Sliced, settle: bytes) -> None:
    """It would hold the loop for as long as there are deliveries."""
    held = 3000
    sliced.send(message("", "q", delivery_mode=1) * held)
    sliced.send(method_frame(1, Basic.Consume, queue="q", consumer_tag="c"))
    sliced.world.loop.run(1000)
    sliced.send(method_frame(1, Basic.Cancel, consumer_tag="c"))
    sliced.world.loop.run()
    assert sliced.vhost.queues["q"].unacked == held
    assert longest_visited() < held
    sliced.send(settle)
    assert max(sliced.run(longest_visited), default=0) < held
    assert longest_visited() < held


def alive() -> int:
    """How many queues and exchanges there are."""
    return sum(isinstance(one, AnyQueue | AnyExchange) for one in gc.get_objects())


def test_the_queues_and_exchanges_of_a_deleted_virtual_host_are_freed_one_after_another(
    sliced: Sliced,
) -> None:
    gc.collect()
    broker, before = sliced.world.broker, alive()
    vhost = broker.add_vhost("many")
    declared: dict[str, Any] = {"durable": False, "auto_delete": False, "arguments": {}, "user": "guest"}
    for number in range(500):
        vhost.declare_queue(f"q{number}", owner=None, **declared)
        vhost.declare_exchange(f"x{number}", "direct", internal=False, **declared)
    full = alive()
    assert full >= before + 1000
    del vhost
    broker.work.timer = count(1).__next__
    broker.delete_vhost("many")
    seen = sliced.run(alive)
    assert all(old - new < 100 for old, new in pairwise([full, *seen]))
    assert alive() == before
