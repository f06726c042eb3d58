"""A virtual host moves while clients use everything in it: nothing confirmed is lost, what was delivered is marked,
times go on, and what belongs to a connection is gone, as when a node of RabbitMQ stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiormq
import pytest
from aiormq.abc import AbstractChannel, AbstractConnection, DeliveredMessage
from pamqp.commands import Basic

from leveret.server import node as server_node
from leveret.testing.message_clock import MessageClock
from tests.cluster.local import LocalNode, LocalNodes
from tests.hang import settled

pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # aiormq, when it is closed

EVERYTHING = {"configure": ".*", "write": ".*", "read": ".*"}

QUORUM: dict[str, Any] = {"x-queue-type": "quorum"}


class Moved:
    """Two nodes with one clock that stands still, and the clients of the virtual host "a"."""

    def __init__(self, nodes: LocalNodes, clock: MessageClock) -> None:
        self.nodes = nodes
        self.clock = clock
        self.connections: list[AbstractConnection] = []
        self.closed: list[str] = []

    async def channel(self, *, confirms: bool = False, node: LocalNode | None = None) -> AbstractChannel:
        """A channel on a connection of its own, at the owner or at another node."""
        port = (node or self.nodes.owner("a")).port
        connection = await aiormq.connect(f"amqp://guest:guest@127.0.0.1:{port}/a?heartbeat=0")
        self.connections.append(connection)

        def ended(closing: asyncio.Future[Any]) -> None:
            self.closed.append(str(closing.exception() if not closing.cancelled() else ""))

        connection.closing.add_done_callback(ended)
        return await connection.channel(publisher_confirms=confirms)

    async def move(self) -> None:
        """Move the virtual host to the other node."""
        target = self.nodes.others("a")[0]
        await self.nodes.owner("a").units.move("a", target.name)
        await settled(lambda: "a" in target.vhosts)

    async def stop(self) -> None:
        """Stop the owner, as SIGTERM does, and start it again."""
        owner = self.nodes.owner("a")
        await owner.stop()
        await settled(lambda: any("a" in one.vhosts for one in self.nodes.nodes if one is not owner))
        await self.nodes.start_again(owner)

    async def drain(self) -> None:
        """Put the owner under maintenance, and revive it."""
        owner = self.nodes.owner("a")
        assert owner.node is not None
        owner.node.host.maintenance = True
        await settled(lambda: any("a" in one.vhosts for one in self.nodes.nodes if one is not owner))
        owner.node.host.maintenance = False

    async def rebalance(self) -> None:
        """Spread virtual hosts evenly, which moves this one: its owner has both."""
        owner = self.nodes.owner("a")
        if "/" not in owner.vhosts:
            await self.nodes.owner("/").units.move("/", owner.name)
        await self.nodes.served("/")
        for one in self.nodes.nodes:
            await settled(lambda one=one: one.units.owner("/") == owner.name)
        assert (await owner.api("POST", "rebalance/queues"))[0] == 204
        assert "a" not in owner.vhosts

    def later(self, seconds: float) -> None:
        """Move the time of all nodes."""
        self.clock.move(self.clock.now + int(seconds * 1000))
        for one in self.nodes.nodes:
            if one.node is not None and not one.task.done():
                for timer in one.node.edge.timers:
                    timer.arm()

    async def count(self, queue: str) -> int:
        """How many messages of a queue are ready."""
        channel = await self.channel()
        return int((await channel.queue_declare(queue, passive=True)).message_count or 0)

    async def arrived(self, queue: str, count: int) -> None:
        """Wait until so many messages are ready."""
        broker = self.broker
        await settled(lambda: broker.vhosts["a"].queues[queue].ready == count)

    @property
    def broker(self) -> Any:
        """The broker of the owner."""
        owner = self.nodes.owner("a").node
        assert owner is not None
        return owner.broker

    async def close(self) -> None:
        """Close all clients."""
        for connection in self.connections:
            if not connection.is_closed:
                await connection.close()


@pytest.fixture
async def moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Moved]:
    clock = MessageClock()
    clock.freeze()
    monkeypatch.setattr(server_node, "WallClock", lambda: clock)
    nodes = LocalNodes(tmp_path)
    await nodes.start(2)
    await nodes.nodes[0].api("PUT", "vhosts/a")
    await nodes.nodes[0].api("PUT", "permissions/a/guest", EVERYTHING)
    await nodes.served("/", "a")
    made = Moved(nodes, clock)
    yield made
    await made.close()
    await nodes.stop()


Way = Callable[[Moved], Awaitable[None]]


async def publish(
    channel: AbstractChannel, key: str, body: bytes, exchange: str = "", **properties: Any
) -> None:
    """Publish a persistent message; waits for the confirm if the channel has them."""
    await channel.basic_publish(
        body,
        exchange=exchange,
        routing_key=key,
        properties=Basic.Properties(delivery_mode=2, **properties),
    )


async def taken(channel: AbstractChannel, queue: str) -> list[tuple[bytes, bool]]:
    """Take all that is ready, with redelivered marks."""
    found: list[tuple[bytes, bool]] = []
    while isinstance((got := await channel.basic_get(queue, no_ack=True)).delivery, Basic.GetOk):
        found.append((got.body, bool(got.redelivered)))
    return found


class Subscriber:
    """A consumer. `got`: what has come."""

    def __init__(self, channel: AbstractChannel) -> None:
        self.channel = channel
        self.got: list[DeliveredMessage] = []

    async def consume(self, queue: str, **options: Any) -> Subscriber:
        """Begin."""

        async def take(message: DeliveredMessage) -> None:
            self.got.append(message)

        await self.channel.basic_consume(queue, take, **options)
        return self

    async def has(self, count: int) -> list[DeliveredMessage]:
        """Wait until so many have come."""
        await settled(lambda: len(self.got) >= count)
        return self.got

    @property
    def bodies(self) -> list[tuple[bytes, bool]]:
        """What has come, with redelivered marks."""
        return [(one.body, bool(one.redelivered)) for one in self.got]


def header(message: DeliveredMessage, name: str) -> Any:
    """A header of a message."""
    return (message.header.properties.headers or {}).get(name)


# --- transactions


@pytest.mark.parametrize("arguments", [{}, QUORUM], ids=["classic", "quorum"])
async def test_what_a_transaction_has_not_committed_is_as_it_was(
    moved: Moved, arguments: dict[str, Any]
) -> None:
    channel = await moved.channel()
    await channel.queue_declare("q", durable=True, arguments=arguments)
    await channel.tx_select()
    for body in (b"1", b"2", b"3"):
        await publish(channel, "q", body)
    await channel.tx_commit()
    first, second = await channel.basic_get("q"), await channel.basic_get("q")
    await channel.basic_ack(first.delivery_tag or 0)
    await publish(channel, "q", b"committed")
    await channel.tx_commit()
    await channel.basic_ack(second.delivery_tag or 0)
    await publish(channel, "q", b"not committed")
    await channel.queue_declare("q", passive=True)  # a round trip: all of that has arrived
    await moved.move()
    await settled(lambda: moved.closed)
    assert "CONNECTION_FORCED - virtual host 'a' is moved to another node" in moved.closed[0]
    assert await taken(await moved.channel(), "q") == [(b"2", True), (b"3", False), (b"committed", False)]


async def test_a_commit_at_the_moment_of_the_move_is_done_as_a_whole_or_not_at_all(moved: Moved) -> None:
    for number in range(6):
        channel = await moved.channel()
        names = [f"{number} {place}" for place in range(3)]
        for name in names:
            await channel.queue_declare(name, durable=True)
        await channel.tx_select()
        for name in names:
            await publish(channel, name, b"x")
        moving = asyncio.ensure_future(moved.move())
        if number % 2:
            await asyncio.sleep(0)
        (answer,) = await asyncio.gather(channel.tx_commit(), return_exceptions=True)
        await moving
        channel = await moved.channel()
        counts = [len(await taken(channel, name)) for name in names]
        assert counts == [1, 1, 1] or (isinstance(answer, Exception) and counts == [0, 0, 0])


# --- queues of all types


@pytest.mark.parametrize(
    "way",
    [Moved.move, Moved.rebalance, Moved.stop, Moved.drain],
    ids=["move", "rebalance", "stop", "drain"],
)
@pytest.mark.parametrize("at_owner", [True, False], ids=["at the owner", "at another node"])
async def test_only_what_was_delivered_is_marked_however_the_virtual_host_leaves(
    moved: Moved, way: Way, at_owner: bool
) -> None:
    names: dict[str, dict[str, Any]] = {"c": {}, "q": QUORUM, "p": {"x-max-priority": 3}}
    channel = await moved.channel(confirms=True)
    for name, arguments in names.items():
        await channel.queue_declare(name, durable=True, arguments=arguments)
        for number in range(4):
            await publish(channel, name, b"%d" % number, priority=number)
    order = {"c": [0, 1, 2, 3], "q": [3, 2, 1, 0], "p": [3, 2, 1, 0]}
    consumers = []
    for name in names:
        for _ in range(2):
            node = None if at_owner else moved.nodes.others("a")[0]
            consuming = await moved.channel(node=node)
            await consuming.basic_qos(prefetch_count=1)
            consumers.append(await Subscriber(consuming).consume(name))
    for reader in consumers:
        await reader.has(1)
    delivered = {
        name: {one.body for reader in consumers[2 * at : 2 * at + 2] for one in reader.got}
        for at, name in enumerate(names)
    }
    await way(moved)
    await settled(lambda: len(moved.closed) >= len(consumers))
    assert [len(reader.got) for reader in consumers] == [1] * len(
        consumers
    )  # nobody got what another one gave back
    channel = await moved.channel()
    for name in names:
        found = await taken(channel, name)
        assert {body for body, marked in found if marked} == delivered[name]
        if name != "q":
            assert [body for body, _ in found] == [b"%d" % number for number in order[name]]
        assert sorted(body for body, _ in found) == [b"0", b"1", b"2", b"3"]


async def test_consumers_of_a_stream_go_on_where_they_were(moved: Moved) -> None:
    channel = await moved.channel(confirms=True)
    await channel.queue_declare("s", durable=True, arguments={"x-queue-type": "stream"})
    for number in range(10):
        await publish(channel, "s", b"%d" % number)
    moved.later(3600)
    later = moved.clock.now // 1000
    for number in range(10, 20):
        await publish(channel, "s", b"%d" % number)

    async def reader(offset: Any, prefetch: int = 100) -> Subscriber:
        reading = await moved.channel()
        await reading.basic_qos(prefetch_count=prefetch)
        return await Subscriber(reading).consume("s", arguments={"x-stream-offset": offset})

    middle = await reader("first", 5)
    got = await middle.has(5)
    assert [header(one, "x-stream-offset") for one in got] == [0, 1, 2, 3, 4]
    await middle.channel.basic_ack(got[2].delivery_tag or 0, multiple=True)
    await middle.has(8)
    waiting = await reader("next")
    await moved.move()
    await settled(lambda: middle.channel.connection.is_closed and waiting.channel.connection.is_closed)
    assert not waiting.got

    again = await reader(header(middle.got[-1], "x-stream-offset") + 1)
    assert [one.body for one in await again.has(12)] == [b"%d" % number for number in range(8, 20)]
    assert [header(one, "x-stream-offset") for one in again.got] == list(range(8, 20))
    first = await reader("first")
    assert [one.body for one in await first.has(20)] == [b"%d" % number for number in range(20)]
    by_time = await reader(datetime.fromtimestamp(later, UTC))
    assert (await by_time.has(1))[0].body == b"10"
    last, following = await reader("last"), await reader("next")
    channel = await moved.channel(confirms=True)
    await publish(channel, "s", b"20")
    assert [one.body for one in await following.has(1)] == [b"20"]
    assert header(following.got[0], "x-stream-offset") == 20
    assert (await last.has(2))[-1].body == b"20"
    await again.has(13)
    assert not any(one.redelivered for one in [*again.got, *first.got, *last.got])


async def test_delayed_messages_come_when_they_are_due(moved: Moved) -> None:
    channel = await moved.channel(confirms=True)
    await channel.queue_declare("q", durable=True)
    await channel.exchange_declare(
        "later", exchange_type="x-delayed-message", durable=True, arguments={"x-delayed-type": "direct"}
    )
    await channel.queue_bind("q", "later", "k")
    for body, delay in ((b"third", 9000), (b"first", 3000), (b"second", 6000)):
        await publish(channel, "k", body, "later", headers={"x-delay": delay})
    moved.later(2)
    await moved.move()
    assert await moved.count("q") == 0
    moved.later(0.999)
    assert await moved.count("q") == 0
    moved.later(0.001)
    await moved.arrived("q", 1)
    await moved.move()
    moved.later(4)
    await moved.arrived("q", 2)
    await moved.move()
    moved.later(2)
    await moved.arrived("q", 3)
    channel = await moved.channel()
    assert await taken(channel, "q") == [(b"first", False), (b"second", False), (b"third", False)]
    (exchange,) = [one for one in moved.broker.vhosts["a"].exchanges.values() if one.name == "later"]
    assert exchange is not None and not moved.broker.vhosts["a"].delayed.waiting


@pytest.mark.parametrize("arguments", [{}, QUORUM], ids=["classic", "quorum"])
async def test_a_ttl_goes_on_and_the_expiry_of_a_queue_begins_again(
    moved: Moved, arguments: dict[str, Any]
) -> None:
    channel = await moved.channel(confirms=True)
    await channel.queue_declare("dead", durable=True)
    dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    await channel.queue_declare("q", durable=True, arguments={**arguments, **dead})
    await channel.queue_declare(
        "limited", durable=True, arguments={**arguments, **dead, "x-message-ttl": 8000}
    )
    await channel.queue_declare("unused", durable=True, arguments={**arguments, "x-expires": 20_000})
    await publish(channel, "q", b"own", expiration="5000")
    await publish(channel, "q", b"none")
    await publish(channel, "limited", b"of the queue")
    await publish(channel, "unused", b"x")
    moved.later(3)
    await moved.move()
    assert await moved.count("dead") == 0
    moved.later(1.9)
    assert await moved.count("dead") == 0
    moved.later(0.2)
    await moved.arrived("dead", 1)
    await moved.move()
    moved.later(3)
    await moved.arrived("dead", 2)
    channel = await moved.channel()
    got = await channel.basic_get("dead", no_ack=True)
    assert got.body == b"own" and not got.redelivered
    (death,) = header(got, "x-death")
    assert (death["reason"], death["queue"], death["count"], death["original-expiration"]) == (
        "expired",
        "q",
        1,
        "5000",
    )
    assert (await channel.basic_get("dead", no_ack=True)).body == b"of the queue"
    assert await taken(channel, "q") == [(b"none", False)]
    moved.later(16)  # since the last move: 19 of 20 s
    await moved.count("unused")  # a passive declaration is use of a classic queue
    queues = moved.broker.vhosts["a"].queues
    moved.later(26)
    await settled(lambda: "unused" not in queues)


async def test_a_message_expires_while_nobody_serves_its_virtual_host(moved: Moved) -> None:
    channel = await moved.channel(confirms=True)
    await channel.queue_declare("dead", durable=True)
    await channel.queue_declare(
        "q",
        durable=True,
        arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead", "x-message-ttl": 1000},
    )
    await publish(channel, "q", b"x")
    moving = asyncio.ensure_future(moved.move())
    await settled(lambda: "a" not in moved.nodes.owner("/").vhosts + moved.nodes.others("/")[0].vhosts)
    moved.later(2)
    await moving
    await moved.arrived("dead", 1)
    assert await moved.count("q") == 0


async def test_a_chain_of_dead_letters_goes_on_with_its_history(moved: Moved) -> None:
    channel = await moved.channel(confirms=True)
    for number in range(4):
        arguments: dict[str, Any] = {
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": f"q{number + 1}",
            "x-message-ttl": 1000,
            **(QUORUM if number % 2 else {}),
        }
        await channel.queue_declare(f"q{number}", durable=True, arguments=arguments if number < 3 else {})
    await publish(channel, "q0", b"x", headers={"own": 1})
    for number in range(3):
        await moved.move()
        moved.later(1.001)
        await moved.arrived(f"q{number + 1}", 1)
    await moved.move()
    channel = await moved.channel()
    got = await channel.basic_get("q3", no_ack=True)
    assert got.body == b"x" and not got.redelivered and header(got, "own") == 1
    assert [(one["queue"], one["reason"], one["count"]) for one in header(got, "x-death")] == [
        (f"q{number}", "expired", 1) for number in (2, 1, 0)
    ]
    assert header(got, "x-first-death-queue") == "q0"


async def test_what_is_dead_lettered_at_least_once_waits_for_its_target_on_the_next_node(
    moved: Moved,
) -> None:
    channel = await moved.channel(confirms=True)
    arguments: dict[str, Any] = {
        **QUORUM,
        "x-dead-letter-exchange": "gone",
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
        "x-message-ttl": 1000,
    }
    await channel.queue_declare("q", durable=True, arguments=arguments)
    await publish(channel, "q", b"x")
    moved.later(2)
    vhost = moved.broker.vhosts["a"]
    await settled(lambda: vhost.queues["q"].withheld == 1)
    await moved.move()
    channel = await moved.channel()
    await channel.exchange_declare("gone", exchange_type="fanout", durable=True)
    await channel.queue_declare("dead", durable=True)
    await channel.queue_bind("dead", "gone")
    moved.later(200)
    await moved.arrived("dead", 1)
    assert await taken(channel, "dead") == [(b"x", False)]
    assert await moved.count("q") == 0


@pytest.mark.parametrize("leaves", [True, False], ids=["moved", "closed"])
async def test_deliveries_of_a_quorum_queue_count_on(moved: Moved, leaves: bool) -> None:
    """A client whose virtual host moves leaves the same as one that closes its connection: that counts, too."""
    channel = await moved.channel(confirms=True)
    await channel.queue_declare("dead", durable=True)
    arguments: dict[str, Any] = {
        **QUORUM,
        "x-delivery-limit": 4,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": "dead",
    }
    await channel.queue_declare("q", durable=True, arguments=arguments)
    await publish(channel, "q", b"x")
    counts: list[tuple[Any, Any, Any]] = []

    async def delivered() -> int:
        got = await channel.basic_get("q")
        assert got.body == b"x"
        counts.append((header(got, "x-delivery-count"), header(got, "x-acquired-count"), got.redelivered))
        return int(got.delivery_tag or 0)

    await channel.basic_reject(await delivered(), requeue=True)
    await channel.basic_nack(await delivered(), requeue=True)
    for _ in range(2):
        await delivered()
        await (moved.move() if leaves else channel.connection.close())
        channel = await moved.channel()
    await channel.basic_reject(await delivered(), requeue=True)
    assert counts == [
        (None, None, False),
        (1, 1, True),
        (1, 2, True),
        (2, 3, True),
        (3, 4, True),
    ]
    await channel.basic_reject(await delivered(), requeue=True)
    await moved.arrived("dead", 1)
    got = await channel.basic_get("dead")
    assert header(got, "x-death")[0]["reason"] == "delivery_limit"


async def test_a_delayed_retry_of_a_quorum_queue_ends_with_a_move(moved: Moved) -> None:
    """As with a restart of a single node; the message keeps its counts."""
    channel = await moved.channel(confirms=True)
    arguments: dict[str, Any] = {**QUORUM, "x-delayed-retry-type": "all", "x-delayed-retry-min": 5000}
    await channel.queue_declare("q", durable=True, arguments=arguments)
    await publish(channel, "q", b"x")
    got = await channel.basic_get("q")
    await channel.basic_reject(got.delivery_tag or 0, requeue=True)
    assert await moved.count("q") == 0
    await moved.move()
    got = await (await moved.channel()).basic_get("q")
    assert got.body == b"x" and got.redelivered and header(got, "x-delivery-count") == 1


# --- what belongs to connections


async def test_what_belongs_to_a_connection_is_gone(moved: Moved) -> None:
    channel = await moved.channel(confirms=True)
    await channel.queue_declare("exclusive", exclusive=True)
    await channel.queue_declare("durable exclusive", durable=True, exclusive=True)
    await channel.queue_declare("transient")
    await channel.queue_declare("kept", durable=True)
    await channel.exchange_declare("e", durable=True)
    await channel.exchange_declare("transient e")
    for name in ("exclusive", "durable exclusive", "transient", "kept"):
        await channel.queue_bind(name, "amq.direct", "k")
    for _ in range(4):
        await publish(channel, "k", b"x", "amq.direct")
    await channel.basic_publish(
        b"transient", routing_key="kept", properties=Basic.Properties(delivery_mode=1)
    )
    await (Subscriber(await moved.channel())).consume("kept", exclusive=True)
    await moved.move()
    vhost = moved.broker.vhosts["a"]
    assert sorted(vhost.queues) == ["kept"]
    assert "e" in vhost.exchanges and "transient e" not in vhost.exchanges
    channel = await moved.channel(confirms=True)
    with pytest.raises(aiormq.exceptions.ChannelNotFoundEntity):
        await channel.queue_declare("exclusive", passive=True)
    channel = await moved.channel(confirms=True)
    await channel.queue_declare("exclusive", exclusive=True)  # its name is free
    reader = await Subscriber(channel).consume("kept", exclusive=True)  # so is the right to be the only one
    assert {one.body for one in await reader.has(4)} == {b"x"} and len(reader.got) == 4
    await publish(channel, "k", b"routed", "amq.direct")
    assert (await reader.has(5))[-1].body == b"routed"


async def test_a_durable_queue_that_deletes_itself_is_gone_with_its_consumers(moved: Moved) -> None:
    channel = await moved.channel(confirms=True)
    await channel.queue_declare("used", durable=True, auto_delete=True)
    await channel.queue_declare("not used yet", durable=True, auto_delete=True)
    await Subscriber(await moved.channel()).consume("used")
    await moved.move()
    await settled(lambda: "used" not in moved.broker.vhosts["a"].queues)
    assert sorted(moved.broker.vhosts["a"].queues) == ["not used yet"]


async def test_a_direct_reply_does_not_arrive_after_a_move_and_the_next_one_does(moved: Moved) -> None:
    async def asks() -> tuple[Subscriber, str]:
        """A client that has asked, and the address for the answer."""
        asking = await moved.channel()
        answers = await Subscriber(asking).consume("amq.rabbitmq.reply-to", no_ack=True)
        await asking.basic_publish(
            b"question", routing_key="rpc", properties=Basic.Properties(reply_to="amq.rabbitmq.reply-to")
        )
        await settled(lambda: moved.broker.vhosts["a"].queues["rpc"].ready)
        server = await moved.channel()
        got = await server.basic_get("rpc", no_ack=True)
        return answers, got.header.properties.reply_to or ""

    channel = await moved.channel(confirms=True)
    await channel.queue_declare("rpc", durable=True)
    lost, address = await asks()
    await moved.move()
    channel = await moved.channel(confirms=True)
    await channel.basic_publish(
        b"late", routing_key=address
    )  # is confirmed, and goes nowhere, as in RabbitMQ
    assert not lost.got
    answers, address = await asks()
    await channel.basic_publish(b"answer", routing_key=address)
    assert [one.body for one in await answers.has(1)] == [b"answer"]


@pytest.mark.parametrize("arguments", [{}, QUORUM], ids=["classic", "quorum"])
async def test_consumers_that_wait_behind_the_active_one_get_nothing_during_a_move(
    moved: Moved, arguments: dict[str, Any]
) -> None:
    channel = await moved.channel(confirms=True)
    await channel.queue_declare("q", durable=True, arguments={**arguments, "x-single-active-consumer": True})
    for number in range(3):
        await publish(channel, "q", b"%d" % number)

    async def consumer() -> Subscriber:
        consuming = await moved.channel()
        await consuming.basic_qos(prefetch_count=1)
        return await Subscriber(consuming).consume("q")

    active, waiting = await consumer(), await consumer()
    await active.has(1)
    await moved.move()
    await settled(lambda: active.channel.connection.is_closed and waiting.channel.connection.is_closed)
    assert active.bodies == [(b"0", False)] and waiting.bodies == []
    was_waiting, was_active = await consumer(), await consumer()  # in the other order
    assert [(one.body, one.redelivered) for one in await was_waiting.has(1)] == [(b"0", True)]
    await was_waiting.channel.basic_ack(was_waiting.got[0].delivery_tag or 0)
    await was_waiting.has(2)
    assert was_active.bodies == []
    await was_waiting.channel.connection.close()
    assert [(one.body, one.redelivered) for one in await was_active.has(1)] == [(b"1", True)]
