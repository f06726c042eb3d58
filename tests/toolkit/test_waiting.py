"""Waiting: pushed, and with the reason if it fails."""

from __future__ import annotations

import re
import socket
import sys
import threading
from collections.abc import Callable

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from leveret.testing import Broker, NotIdle, WaitTimeout
from tests.hang import HANG_SECONDS

from .conftest import connect


class Worker:
    """A pika consumer of queue `jobs` in a thread of its own. `handle`: called with channel and delivery tag."""

    def __init__(self, broker: Broker, prefetch: int = 0) -> None:
        self.connection = connect(broker, "worker")
        self.channel = self.connection.channel()
        self.channel.basic_qos(prefetch_count=prefetch)
        self.channel.queue_declare("jobs")
        self.settle = True
        self.channel.basic_consume("jobs", self.work, consumer_tag="ctag1")
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def work(self, channel: BlockingChannel, method: pika.spec.Basic.Deliver, *_: object) -> None:
        if self.settle:
            channel.basic_ack(method.delivery_tag)

    def run(self) -> None:
        self.channel.start_consuming()

    def stop(self) -> None:
        self.connection.add_callback_threadsafe(self.channel.stop_consuming)
        self.thread.join()
        self.connection.close()


@pytest.fixture
def worker(broker: Broker):  # type: ignore[no-untyped-def]  # a generator
    worker = Worker(broker)
    yield worker
    worker.stop()


def test_idle_once_everything_is_acknowledged(broker: Broker, worker: Worker) -> None:
    for number in range(50):
        broker.publish("", "jobs", {"n": number})
    broker.wait_idle()
    broker.assert_acked(queue="jobs")
    broker.wait_for_acked("jobs", 50)


def test_not_idle_names_the_delivery_that_is_not_settled(broker: Broker, worker: Worker) -> None:
    worker.settle = False
    broker.publish("", "jobs", {"id": 7})
    with pytest.raises(NotIdle) as caught:
        broker.wait_idle(0.2)
    assert re.fullmatch(
        r"not idle after 0\.2 s: delivery 1 of queue 'jobs' \(message #1, body b'{\"id\": 7}'\) is unacknowledged,"
        r" held for \d+\.\d s by consumer 'ctag1' on channel 1 of connection 'worker'.*",
        str(caught.value),
    )
    (reason,) = caught.value.reasons
    assert (reason.queue, reason.connection) == ("jobs", "worker")
    assert reason.kind in ("unacked", "unread")  # on a busy machine it may not have read yet
    assert (reason.channel, reason.consumer, reason.tag) == (1, "ctag1", 1)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what a client has not read")
def test_a_client_in_the_thread_that_waits_is_named(broker: Broker, channel: BlockingChannel) -> None:
    channel.queue_declare("q")
    channel.basic_consume("q", lambda *_: None)
    broker.publish("", "q", "x")
    with pytest.raises(NotIdle, match="which has not read it: does the client run in") as caught:
        broker.wait_idle(0.05)
    assert [reason.kind for reason in caught.value.reasons] == ["unread"]


def test_a_handshake_that_does_not_end_is_a_reason(broker: Broker) -> None:
    with (
        socket.create_connection((broker.host, broker.port)),
        pytest.raises(NotIdle, match="is being opened"),
    ):
        broker.wait_idle(0.05)


def test_idle_of_a_view_is_about_its_virtual_host(broker: Broker, worker: Worker) -> None:
    worker.settle = False
    broker.publish("", "jobs", "x")
    with broker.vhost() as view:
        view.wait_idle()
    with pytest.raises(NotIdle):
        broker.wait_idle(0.01)


def test_messages_are_returned_when_they_are_there(broker: Broker, channel: BlockingChannel) -> None:
    channel.queue_declare("q")
    thread = threading.Thread(target=lambda: [broker.publish("", "q", f"{n}") for n in range(3)])
    thread.start()
    assert [one.body for one in broker.wait_for_messages("q", 3)] == [b"0", b"1", b"2"]
    assert broker.wait_for_messages("q", where=lambda one: one.body == b"2")[0].position == 3
    thread.join()


@pytest.mark.parametrize(
    ("wait", "text"),
    [
        (
            lambda b: b.wait_for_messages("q", timeout=0.01),
            "0 ready, 0 unacknowledged, no consumer; nothing was ever",
        ),
        (lambda b: b.wait_for_messages("qq", timeout=0.01), "queue 'qq' does not exist in vhost '/'"),
        (lambda b: b.wait_for_published("a*", timeout=0.01), "nothing was published"),
        (lambda b: b.wait_for_acked("q", timeout=0.01), "no consumer; nothing was ever published to it"),
        (lambda b: b.wait_for_consumer("q", timeout=0.01), "wanted 1 consumer of queue 'q'"),
        (lambda b: b.wait_for_queue("qq", timeout=0.01), "wanted queue 'qq' within 0.01 s"),
        (lambda b: b.wait_for_connection("web-*", timeout=0.01), "wanted 1 connection 'web-\\*'"),
    ],
)
def test_what_did_not_come_is_described(broker: Broker, wait, text: str) -> None:  # type: ignore[no-untyped-def]
    broker.declare({"queues": [{"name": "q"}]})
    with pytest.raises(WaitTimeout, match=text):
        wait(broker)


def test_an_unroutable_message_is_the_likely_cause(broker: Broker, channel: BlockingChannel) -> None:
    channel.queue_declare("jobs")
    channel.basic_publish("", "jbos", b"x")
    with pytest.raises(WaitTimeout, match=r"a message was unroutable: .* no queue 'jbos', but 'jobs'"):
        broker.wait_for_messages("jobs", timeout=0.01)


def test_what_became_of_the_messages_that_were_not_acknowledged(
    broker: Broker, channel: BlockingChannel
) -> None:
    channel.queue_declare("jobs")
    for _ in range(3):
        channel.basic_publish("", "jobs", b"x")
    method, _, _ = channel.basic_get("jobs")
    channel.basic_reject(method.delivery_tag, requeue=False)
    with pytest.raises(WaitTimeout, match="no consumer; its messages: 1 rejected, 2 ready"):
        broker.wait_for_acked("jobs", timeout=0.01)


RETRY = {"x-message-ttl": 60_000, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "jobs"}


@pytest.mark.parametrize(
    "missing",
    [
        lambda b: b.wait_for_messages("jobs", timeout=0.01),
        lambda b: b.wait_for_acked("jobs", timeout=0.01),
        lambda b: b.wait_for_published(queue="jobs", timeout=0.01),
        lambda b: b.assert_queue("jobs", ready=1),
    ],
)
def test_what_is_missing_may_be_due_later(missing: Callable[[Broker], object]) -> None:
    with Broker(clock="frozen") as broker:
        unused = {"name": "unused", "arguments": {"x-expires": 1000}}  # it brings no message
        broker.declare({"queues": [{"name": "jobs"}, {"name": "retry", "arguments": RETRY}, unused]})
        broker.publish("", "retry", "job")
        text = "the clock is frozen, and due next, in 60 s, is: head of queue 'retry' expires; "
        with pytest.raises(AssertionError, match=re.escape(f"{text}clock.advance(60) gets there")):
            missing(broker)
        broker.clock.resume()
        with pytest.raises(
            AssertionError, match=r"\ndue next, in [\d.]+ s, is: head of queue 'retry' expires"
        ):
            missing(broker)


def test_waits_end_with_what_clients_do(broker: Broker) -> None:
    seen = threading.Event()

    def work() -> None:
        worker = Worker(broker)
        seen.wait(HANG_SECONDS)
        worker.stop()

    thread = threading.Thread(target=work)
    thread.start()
    broker.wait_for_connection("work*")
    broker.wait_for_queue("job*")
    seen.set()
    thread.join()


async def test_waits_are_coroutines_on_the_other_face(broker: Broker, channel: BlockingChannel) -> None:
    channel.queue_declare("q")
    channel.basic_publish("", "q", b"x")
    assert (await broker.aio.wait_for_messages("q"))[0].body == b"x"
    assert (await broker.aio.wait_for_published("")).one().queues == ["q"]
    await broker.aio.wait_idle()
    await broker.aio.wait_for_queue("q")
    await broker.aio.wait_for_connection("worker")
    with pytest.raises(WaitTimeout):
        await broker.aio.wait_for_consumer("q", timeout=0.01)
    with pytest.raises(WaitTimeout):
        await broker.aio.wait_for_acked("q", timeout=0.01)
