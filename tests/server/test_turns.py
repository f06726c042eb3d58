"""The turn of a connection: what it sends is handled by shares, and others are served in between."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import pytest
from pamqp.commands import Basic, Queue

from leveret.testing.lines import Content, Say
from leveret.wire.methods import method_frame
from leveret.wire.tables import from_plain
from leveret.work import Job, Steps
from tests.faults.test_isolation import message
from tests.faults.world import World


def impatient(world: World) -> None:
    """Have every method use up the turn of its connection, and every portion of a job its slice."""
    world.broker.work.timer = count(1).__next__


def declares(many: int) -> bytes:
    return b"".join(method_frame(1, Queue.Declare, queue=f"q{number}") for number in range(many))


def portions(many: int) -> Steps:
    for _ in range(many):
        yield


def occupy(world: World, queue: Any, many: int = 5) -> Job:
    """Keep a queue busy with a job of so many portions."""
    return world.broker.vhosts["/"].context.occupy(queue, portions(many), "test")


def test_a_client_that_sends_much_does_not_stop_others(tmp_path: Path) -> None:
    world = World(tmp_path)
    greedy, other = world.connect("greedy"), world.connect("other")
    impatient(world)
    queues = world.broker.vhosts["/"].queues
    seen: list[int] = []
    greedy.feed(declares(50))
    for _ in range(5):
        other.feed(method_frame(1, Queue.Declare, queue="q0", passive=True))
        world.loop.call_soon(lambda: seen.append(len(queues)))
    world.loop.run()
    assert seen[0] < 50 and len(queues) == 50
    assert len(greedy.receive()) == 50 and not greedy.paused
    assert len(other.receive()) == 5


def test_one_busy_connection_has_its_share_at_a_time(tmp_path: Path) -> None:
    """Between two of them the loop looks at its sockets: a new client does not wait for all of them."""
    world = World(tmp_path)
    busy = [world.connect(str(number)) for number in range(3)]
    impatient(world)
    connections = [one.protocol.connection for one in busy]
    before = [0] * len(busy)
    went_on: list[list[int]] = []
    for one in busy:
        one.feed(declares(20))

    def look() -> None:
        now = [each.frames_received for each in connections]
        went_on.append([number for number in range(len(busy)) if now[number] > before[number]])
        before[:] = now
        if world.edge.unfinished:
            world.loop.call_soon(look)

    world.loop.call_soon(look)
    world.loop.run()
    assert [len(one.receive()) for one in busy] == [20] * 3
    assert went_on[1:7] == [[0], [1], [2], [0], [1], [2]], "in rotation"
    assert all(len(each) <= 1 for each in went_on[1:])


def test_a_large_frame_is_handled_although_the_turn_is_always_used(tmp_path: Path) -> None:
    """What is looked at between two looks at the time is less than one frame."""
    world = World(tmp_path)
    greedy, other = world.connect("greedy"), world.connect("other")
    impatient(world)
    greedy.feed(declares(1))
    large = message("", "q0", b"x" * 131_000)
    greedy.feed(large[:120_000])
    world.loop.run(100)
    assert not greedy.paused, "the rest of the frame is read"
    greedy.feed(large[120_000:] + large)
    other.feed(method_frame(1, Queue.Declare, queue="q0", passive=True))
    world.loop.run(100)
    assert world.broker.vhosts["/"].queues["q0"].ready == 2
    assert len(other.receive()) == 1 and not greedy.paused and not world.edge.unfinished


def test_copies_of_publishes_count_against_the_turn(tmp_path: Path) -> None:
    """An octet of a publish can be a message in many queues."""
    world = World(tmp_path)
    greedy, other = world.connect("greedy"), world.connect("other")
    binds = (
        method_frame(1, Queue.Bind, queue=f"q{number}", exchange="amq.fanout", routing_key="")
        for number in range(20)
    )
    greedy.feed(declares(20) + b"".join(binds))
    world.loop.run(100)
    impatient(world)
    queue = world.broker.vhosts["/"].queues["q0"]
    seen: list[int] = []
    greedy.feed(message("amq.fanout", "", b"x") * 100)
    for _ in range(5):
        other.feed(method_frame(1, Queue.Declare, queue="q0", passive=True))
        world.loop.call_soon(lambda: seen.append(queue.ready))
    world.loop.run(1000)
    assert seen[0] <= 4 and queue.ready == 100


@pytest.mark.parametrize(("dead_letters", "most"), [(True, 5), (False, 65)])
def test_rejected_deliveries_count_against_the_turn(tmp_path: Path, dead_letters: bool, most: int) -> None:
    """Each can be a dead letter: an octet of a client is as much work as in a publish with headers."""
    world = World(tmp_path)
    greedy, other = world.connect("greedy"), world.connect("other")
    arguments = from_plain({"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "q0"})
    greedy.feed(
        declares(1)
        + method_frame(1, Queue.Declare, queue="rejected", arguments=arguments if dead_letters else {})
        + message("", "rejected", b"x") * 100
        + method_frame(1, Basic.Consume, queue="rejected")
    )
    world.loop.run(100)
    impatient(world)
    queue = world.broker.vhosts["/"].queues["rejected"]
    left: list[int] = []
    rejects = (method_frame(1, Basic.Reject, delivery_tag=tag, requeue=False) for tag in range(1, 101))
    greedy.feed(b"".join(rejects))
    for _ in range(5):
        other.feed(method_frame(1, Queue.Declare, queue="q0", passive=True))
        world.loop.call_soon(lambda: left.append(queue.unacked))
    world.loop.run(1000)
    assert left[0] >= 100 - most and queue.unacked == 0
    assert world.broker.vhosts["/"].queues["q0"].ready == (100 if dead_letters else 0)


def test_only_connections_that_use_a_busy_queue_wait(tmp_path: Path) -> None:
    world = World(tmp_path)
    first, second = world.connect("first"), world.connect("second")
    first.feed(declares(2) + message("", "q0", b"one"))
    world.loop.run()
    first.receive()
    vhost = world.broker.vhosts["/"]
    impatient(world)
    job = occupy(world, vhost.queues["q0"])
    first.feed(method_frame(1, Queue.Purge, queue="q0") + method_frame(1, Queue.Purge, queue="q1"))
    second.feed(method_frame(1, Queue.Purge, queue="q1"))
    answered: list[list[int]] = []
    job.when_done(lambda: answered.append([len(first.receive()), len(second.receive())]))
    world.loop.run()
    assert answered == [[0, 1]], "who asks for the other queue is answered, who asks for the busy one is not"
    purged = [line.arguments["message_count"] for line in first.receive() if isinstance(line, Say)]
    assert purged == [1, 0], "the answers come in order, and the count is that after the job"
    assert vhost.queues["q0"].busy is None and not vhost.context.busy


def test_a_publish_to_a_busy_queue_waits_with_its_connection(tmp_path: Path) -> None:
    world = World(tmp_path)
    first, second = world.connect("first"), world.connect("second")
    first.feed(declares(1))
    world.loop.run()
    queue = world.broker.vhosts["/"].queues["q0"]
    impatient(world)
    job = occupy(world, queue)
    first.feed(message("", "q0", b"one") + message("", "q0", b"two") + method_frame(1, Basic.Get, queue="q0"))
    before: list[int] = []
    second.feed(method_frame(1, Queue.Declare, queue="other"))
    world.loop.call_soon(lambda: before.append(queue.published))
    world.loop.run()
    assert job.done and before == [0] and queue.published == 2
    assert len(second.receive()) == 1
    got = [line.body for line in first.receive() if isinstance(line, Content)]
    assert got == [b"one"], "order is kept"


def test_a_queue_deleted_by_the_job_does_not_get_the_publish(tmp_path: Path) -> None:
    world = World(tmp_path)
    first = world.connect("first")
    first.feed(declares(1))
    world.loop.run()
    vhost = world.broker.vhosts["/"]
    queue = vhost.queues["q0"]
    impatient(world)
    job = occupy(world, queue)
    job.when_done(lambda: vhost.delete_queue(queue))
    first.feed(message("", "q0", b"one") + method_frame(1, Queue.Declare, queue="q1"))
    world.loop.run()
    assert job.done and not queue.published and "q1" in vhost.queues


def test_a_connection_can_be_lost_while_it_waits(tmp_path: Path) -> None:
    world = World(tmp_path)
    first = world.connect("first", heartbeat=1)
    first.feed(declares(1))
    world.loop.run()
    impatient(world)
    queue = world.broker.vhosts["/"].queues["q0"]
    job = occupy(world, queue, 1000)
    first.feed(method_frame(1, Basic.Get, queue="q0"))
    first.close()
    world.loop.run()
    assert job.done and not queue.got and not world.written
    assert first.protocol.connection not in world.broker.connections


def test_http_waits_for_a_busy_queue(tmp_path: Path) -> None:
    world = World(tmp_path)
    first = world.connect("first")
    first.feed(declares(1))
    world.loop.run()
    vhost = world.broker.vhosts["/"]
    vhost.queues["q0"].busy = job = Job(portions(1), "test", None, {})
    assert world.get("/api/queues/%2F/q0", "DELETE") is None, "it is not answered yet"
    vhost.queues["q0"].busy = None
    job.end()
    assert world.get("/api/queues/%2F/q0", "DELETE").status == 204
    assert "q0" not in vhost.queues


def test_jobs_that_begin_jobs_ask_for_one_turn_at_a_time(tmp_path: Path) -> None:
    world = World(tmp_path)
    impatient(world)
    work = world.broker.work

    def nested() -> Steps:
        for _ in range(20):
            yield work.begin(portions(3), "test")

    job = work.begin(nested(), "test")
    pending: list[int] = []

    def count_turns() -> None:
        pending.append(sum(call.call == world.edge.run_jobs for _, _, call in world.loop.calls))
        if work.jobs:
            world.loop.call_soon(count_turns)

    count_turns()
    world.loop.run()
    assert job.done and len(pending) > 20 and max(pending) == 1
