"""A virtual host leaves a node, and comes back: what clients and observers see of it."""

from __future__ import annotations

from pamqp.commands import Basic, Connection

from leveret.clock import VirtualClock
from leveret.engine.broker import Broker
from leveret.engine.changes import Change, QueueCreated, QueueDeleted, QueueUnregistered, VhostReleased
from leveret.engine.observers import Observer
from leveret.engine.samples import Sampler
from leveret.engine.stats import Stats
from leveret.engine.vhost import VhostProperties, VirtualHost
from leveret.testing.playbook import Connect, Do, Ended, Playbook, Stage, delivery, publish, refusal, say
from leveret.wire.tables import Field
from tests.engine.test_broker import HeldJournal
from tests.session.plays import consume, consume_ok, declare, declare_ok

REASON = "another node is to own vhost '/'"


class Watch(Observer):
    """Keeps the kinds of changes."""

    def __init__(self) -> None:
        self.seen: list[type[Change]] = []

    def notify(self, change: Change) -> None:
        self.seen.append(type(change))


class Scene:
    """The broker of a play, once it is released."""

    def __init__(self) -> None:
        self.watch = Watch()
        self.stage: Stage

    def release(self, stage: Stage) -> None:
        self.stage = stage
        stage.broker.observers.add(self.watch)
        stage.broker.release("/", REASON)


def test_its_connections_are_closed_and_nothing_given_back_is_delivered_again(chunking: str) -> None:
    """What a consumer gives back would else go to the next one, marked as redelivered."""
    scene = Scene()
    closed = [refusal(320, f"CONNECTION_FORCED - {REASON}", channel=0, by=by) for by in ("a", "b")]
    assert (
        Playbook(chunking=chunking, first=[Connect("a"), Connect("b")])
        >> [declare(), consume("c"), *publish(b"held", "q")]
        << [declare_ok(), consume_ok(), *delivery(b"held", 1)]
        >> say(Basic.Consume, queue="q", consumer_tag="d", by="b")
        << say(Basic.ConsumeOk, consumer_tag="d", by="b")
        >> Do("release", scene.release)
        << closed
        >> [say(Connection.CloseOk), say(Connection.CloseOk, by="b")]
        << [Ended("close"), Ended("close", "b")]
    )
    broker = scene.stage.broker
    assert not broker.vhosts and not broker.connections
    assert broker.elsewhere == {"/": VhostProperties("Default virtual host")}
    assert VhostReleased in scene.watch.seen
    assert not {QueueDeleted, QueueUnregistered} & set(scene.watch.seen)
    for agenda in (broker.message_time, broker.link_time):
        assert not agenda.scheduled() and not agenda.polling()


def declare_all(vhost: VirtualHost) -> None:
    """Queues whose timers run."""
    arguments = {
        "expiring": {"x-expires": Field("l", 60_000), "x-message-ttl": Field("l", 50_000)},
        "quorum": {"x-queue-type": Field("S", b"quorum"), "x-expires": Field("l", 60_000)},
        "stream": {"x-queue-type": Field("S", b"stream")},
    }
    for name, table in arguments.items():
        vhost.declare_queue(name, durable=True, auto_delete=False, owner=None, arguments=table, user="guest")


def test_no_timer_of_it_is_left() -> None:
    broker = Broker(clock=VirtualClock())
    declare_all(broker.add_vhost("v"))
    assert broker.message_time.scheduled() and broker.message_time.polling()
    assert broker.release("v", REASON).done
    assert not broker.message_time.scheduled() and not broker.message_time.polling()
    assert broker.elsewhere == {"v": VhostProperties()}


def test_it_leaves_when_everything_is_safe() -> None:
    journal = HeldJournal()
    broker = Broker(clock=VirtualClock(), journal_of=lambda name: journal)
    vhost = broker.add_vhost("v")
    journal.record_changed()
    job = broker.release("v", REASON)
    assert not job.done and broker.vhosts == {"v": vhost} and vhost.deletion is job
    broker.work.run()
    assert not job.done
    journal.settle()
    broker.work.run()
    assert job.done and not broker.vhosts


def test_a_release_that_waits_for_a_store_can_be_given_up() -> None:
    journal = HeldJournal()
    broker = Broker(clock=VirtualClock(), journal_of=lambda name: journal)
    broker.add_vhost("v")
    journal.record_changed()
    job = broker.release("v", REASON)
    assert broker.release("v", REASON, commit=False) is job
    broker.work.run()
    assert job.done and not broker.vhosts
    journal.settle()
    broker.adopt("v", None, lambda vhost: None)
    journal.record_changed()
    assert broker.release("v", REASON, commit=False).done


def test_an_adopted_virtual_host_has_its_properties_and_is_no_news() -> None:
    broker = Broker(clock=VirtualClock())
    broker.elsewhere["v"] = properties = VhostProperties("first", ("x",), "quorum", True, True)
    watch = Watch()
    broker.observers.add(watch)
    vhost = broker.adopt("v", None, declare_all)
    assert broker.vhosts == {"v": vhost} and not broker.elsewhere
    assert VhostProperties.of(vhost) == properties
    assert QueueCreated not in watch.seen and len(watch.seen) == 1
    declare_all(broker.add_vhost("w"))
    assert QueueCreated in watch.seen


def test_one_that_cannot_be_restored_stays_elsewhere() -> None:
    broker = Broker(clock=VirtualClock())
    broker.elsewhere["v"] = VhostProperties()

    def fail(vhost: VirtualHost) -> None:
        declare_all(vhost)
        raise OSError("damaged")

    try:
        broker.adopt("v", None, fail)
    except OSError as error:
        assert str(error) == "damaged"
    assert not broker.vhosts and broker.elsewhere == {"v": VhostProperties()}
    assert not broker.message_time.scheduled() and not broker.message_time.polling()


def test_a_name_that_is_elsewhere_is_not_free() -> None:
    broker = Broker(clock=VirtualClock())
    broker.elsewhere["v"] = VhostProperties()
    try:
        broker.add_vhost("v")
    except ValueError as error:
        assert str(error) == "virtual host 'v' is on another node"
    assert not broker.vhosts


def test_counters_never_fall_when_a_virtual_host_leaves() -> None:
    broker = Broker(clock=VirtualClock())
    stats = Stats(broker)
    sampler = Sampler(stats)
    broker.observers.add(stats)
    broker.observers.add(sampler)
    vhost = broker.add_vhost("v")
    declare_all(vhost)
    vhost.queues["expiring"].got_empty = 3
    sampler.start()
    broker.release("v", REASON)
    assert stats.deleted_queues()["get_empty"] == 3
    assert stats.churn()["queue_deleted"] == 0
    vhost = broker.adopt("v", None, declare_all)
    assert stats.deleted_queues()["get_empty"] == 3
    assert stats.vhost_totals(vhost)["get_empty"] == 0
