"""dramatiq: worker threads, three queues for each actor, confirms, priorities."""

import threading
from collections.abc import Callable, Iterator

import dramatiq
import pika
import pytest
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.errors import ConnectionClosed

from tests.hang import HANG_SECONDS

WAIT = int(HANG_SECONDS * 1000)  # ms

Start = Callable[..., Callable[[], None]]


class Calls:
    """The arguments of an actor's calls, in order."""

    def __init__(self) -> None:
        self.made: list[int] = []
        self._more = threading.Condition()

    def note(self, argument: int = 0) -> None:
        """Record a call; actors run this."""
        with self._more:
            self.made.append(argument)
            self._more.notify_all()

    def wait(self, count: int) -> None:
        """Wait until there were so many calls."""
        with self._more:
            assert self._more.wait_for(lambda: len(self.made) >= count, HANG_SECONDS), self.made


@pytest.fixture
def tasks(broker_url: str, name: str) -> Iterator[RabbitmqBroker]:
    """dramatiq's broker object; its queues are deleted at the end."""
    tasks = RabbitmqBroker(url=broker_url, confirm_delivery=True, max_priority=10)
    yield tasks
    tasks.close()
    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
        channel = connection.channel()
        for suffix in ("", ".DQ", ".XQ"):
            channel.queue_delete(name + suffix)


@pytest.fixture
def start(tasks: RabbitmqBroker, name: str) -> Iterator[Start]:
    """Start a worker with so many threads; ``finish()`` waits until it is idle and its queues are empty.

    Messages on their way to the worker are not noticed by that: wait for their effect before.
    """
    workers: list[dramatiq.Worker] = []

    def begin(threads: int = 2) -> Callable[[], None]:
        worker = dramatiq.Worker(tasks, worker_timeout=100, worker_threads=threads)
        workers.append(worker)
        worker.start()

        def finish() -> None:
            tasks.join(name, min_successes=3, idle_time=50, timeout=WAIT)  # knows of ready messages only
            worker.join()  # of those it has prefetched

        return finish

    yield begin
    for worker in workers:
        worker.stop()


def test_actors_run_for_every_message(tasks: RabbitmqBroker, start: Start, name: str) -> None:
    ran = Calls()
    actor = dramatiq.actor(ran.note, broker=tasks, queue_name=name, actor_name="add")
    finish = start()
    for number in range(50):
        actor.send(number)
    ran.wait(50)
    finish()
    assert sorted(ran.made) == list(range(50))
    assert tasks.get_queue_message_counts(name) == (0, 0, 0)


def test_failures_go_to_the_dead_letter_queue(tasks: RabbitmqBroker, start: Start, name: str) -> None:
    def fail(number: int) -> None:
        raise ValueError(number)

    actor = dramatiq.actor(fail, broker=tasks, queue_name=name, max_retries=0)
    for number in range(3):
        actor.send(number)
    assert tasks.get_queue_message_counts(name) == (3, 0, 0)
    finish = start()
    dead = [next(tasks.channel.consume(name + ".XQ", inactivity_timeout=WAIT / 1000)) for _ in range(3)]
    assert all(method is not None for method, _, _ in dead)
    deaths = [properties.headers["x-death"][0] for _, properties, _ in dead]
    assert [(death["queue"], death["reason"], death["count"]) for death in deaths] == [
        (name, "rejected", 1)
    ] * 3
    tasks.channel.cancel()
    tasks.channel.basic_nack(0, multiple=True)
    finish()
    assert tasks.get_queue_message_counts(name) == (0, 0, 3)
    tasks.flush_all()
    assert tasks.get_queue_message_counts(name) == (0, 0, 0)


def test_threads_of_a_worker_run_concurrently(tasks: RabbitmqBroker, start: Start, name: str) -> None:
    barrier, met = threading.Barrier(4, timeout=HANG_SECONDS), Calls()

    def meet() -> None:
        barrier.wait()
        met.note()

    actor = dramatiq.actor(meet, broker=tasks, queue_name=name, max_retries=0)
    finish = start(4)
    for _ in range(8):
        actor.send()
    met.wait(8)
    finish()
    assert not barrier.broken
    assert tasks.get_queue_message_counts(name) == (0, 0, 0)


def test_higher_priorities_run_first(tasks: RabbitmqBroker, start: Start, name: str) -> None:
    ran = Calls()
    actor = dramatiq.actor(ran.note, broker=tasks, queue_name=name, actor_name="add")
    for priority in (0, 5, 9, 1):
        actor.send_with_options(args=(priority,), broker_priority=priority)
    finish = start(1)
    ran.wait(4)
    finish()
    assert ran.made == [9, 5, 1, 0]


def test_a_deleted_queue_is_declared_again(tasks: RabbitmqBroker, start: Start, name: str) -> None:
    """A mandatory publish to a missing queue is returned; dramatiq then declares the queue and publishes again."""
    ran = Calls()
    actor = dramatiq.actor(ran.note, broker=tasks, queue_name=name, actor_name="add")
    actor.send(1)
    tasks.channel.queue_delete(name)
    actor.send(2)
    assert tasks.get_queue_message_counts(name)[0] == 1
    finish = start()
    ran.wait(1)
    finish()
    assert ran.made == [2]


def test_redeclaring_a_queue_with_other_arguments_is_refused(
    tasks: RabbitmqBroker, broker_url: str, name: str
) -> None:
    dramatiq.actor(lambda: None, broker=tasks, queue_name=name, actor_name="none").send()
    other = RabbitmqBroker(url=broker_url)
    with pytest.raises(ConnectionClosed) as caught:
        dramatiq.actor(lambda: None, broker=other, queue_name=name, actor_name="none").send()
    assert "PRECONDITION_FAILED - inequivalent arg 'x-max-priority' for queue" in str(caught.value)
    other.close()
