"""The broker: its defaults, virtual hosts, alarms, and what waits for a journal."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any, cast

from leveret.clock import VirtualClock
from leveret.config import Settings
from leveret.engine import startup
from leveret.engine.actor import INTERNAL
from leveret.engine.broker import GO_AHEAD_TOGETHER, Broker
from leveret.engine.vhost import VirtualHost
from leveret.queues.journal import Journal
from leveret.settings import AccessSettings, DeprecatedFeatures, Server


class Listener:
    """A connection that records changes of alarms."""

    actor = INTERNAL

    def __init__(self) -> None:
        self.received: list[bool] = []

    def alarm_changed(self, on: bool) -> None:
        self.received.append(on)


class HeldJournal(Journal):
    """A journal whose tickets are settled when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[tuple[int, Callable[[], None]]] = []

    def record_changed(self) -> int:
        self.ticket += 1
        return self.ticket

    def when_settled(self, ticket: int, call: Callable[[], None]) -> None:
        self.waiting.append((ticket, call))

    def settle(self) -> None:
        self.settled = self.ticket
        waiting, self.waiting = self.waiting, []
        for _, call in waiting:
            self.run(call)


class HeldBack:
    """A connection that waits for the store of its virtual host."""

    def __init__(self, vhost: VirtualHost) -> None:
        self.vhost = vhost
        self.ahead = False

    def go_ahead(self) -> None:
        self.ahead = True


def test_an_empty_broker_gets_the_default_user_and_vhost() -> None:
    broker = Broker(clock=VirtualClock())
    assert not broker.vhosts
    startup.seed(broker)
    assert list(broker.vhosts) == ["/"]
    assert broker.vhosts["/"].description == "Default virtual host"
    assert broker.access.permission("guest", "/") is not None
    assert broker.profile.version == "4.3.6"
    assert broker.max_message_size == 16 * 1024 * 1024


def test_defaults_of_an_empty_broker_are_settings() -> None:
    broker = Broker(
        Settings(
            access=AccessSettings(default_user="u", default_pass="p", default_vhost="v"),
            server=Server(node="n@h", cluster_name="c"),
            deprecated_features=DeprecatedFeatures(permit={"global_qos": True}),
        )
    )
    startup.seed(broker)
    assert list(broker.vhosts) == ["v"]
    assert broker.access.permission("u", "v") is not None
    assert broker.cluster_name == "c"
    assert broker.global_qos_permitted and not Broker().global_qos_permitted


def test_the_default_user_is_a_setting() -> None:
    settings = AccessSettings(
        default_user="me",
        default_pass="s",
        default_vhost="v",
        default_user_tags=("management",),
        default_permissions=("a", "b", "c"),
    )
    broker = Broker(Settings(access=settings))
    startup.seed(broker)
    assert [(user.name, user.tags) for user in broker.access.users] == [("me", ("management",))]
    assert broker.access.export_permissions() == [
        {"user": "me", "vhost": "v", "configure": "a", "write": "b", "read": "c"}
    ]


def test_virtual_hosts_are_added_and_deleted() -> None:
    broker = Broker()
    startup.seed(broker)
    made = broker.add_vhost("v", "text", ("tag",))
    assert broker.add_vhost("v") is made
    assert (made.description, made.tags) == ("text", ("tag",))
    made.declare_queue("q", durable=True, auto_delete=False, owner=None, arguments={}, user="guest")
    broker.access.set_permissions("guest", "v", "", "", "")
    assert broker.delete_vhost("v")
    assert not broker.delete_vhost("v")
    assert broker.access.permission("guest", "v") is None
    assert (broker.counters.queues_created, broker.counters.queues_deleted) == (1, 1)


def test_connections_are_notified_of_an_alarm_once() -> None:
    broker = Broker()
    one: Any = Listener()
    broker.connections.add(one)
    broker.set_alarm("disk")
    broker.set_alarm("disk")
    broker.set_alarm("memory")
    assert one.received == [True]
    assert broker.alarm_text() == "low on memory & low on disk"
    broker.clear_alarm("disk")
    broker.clear_alarm("disk")
    assert one.received == [True]
    broker.clear_alarm("memory")
    assert one.received == [True, False]
    assert broker.alarm_text() == ""


def test_each_connection_is_counted_once() -> None:
    broker = Broker()
    one: Any = Listener()
    broker.connected(one)
    broker.disconnected(one)
    broker.disconnected(one)
    assert (broker.connections_created, broker.connections_closed) == (1, 1)


def test_changed_access_reaches_every_connection() -> None:
    class Session:
        access_revision = 0

    broker = Broker()
    one: Any = Session()
    broker.connected(one)
    before = one.access_revision
    broker.access_changed()
    assert one.access_revision != before
    late: Any = Session()
    broker.connected(late)
    assert late.access_revision == one.access_revision


def test_without_a_journal_nothing_waits_for_a_commit() -> None:
    ran: list[str] = []
    call: Callable[[], None] = lambda: ran.append("now")  # noqa: E731
    Broker().when_committed(call)
    assert ran == ["now"]


class TwoJournals:
    """A broker with virtual hosts "a" and "b", each with a journal of its own, beside that of the directory."""

    def __init__(self) -> None:
        self.directory = HeldJournal()
        self.journals = {"a": HeldJournal(), "b": HeldJournal()}
        self.broker = Broker(journal=self.directory, journal_of=self.journals.__getitem__)
        self.a, self.b = self.broker.add_vhost("a"), self.broker.add_vhost("b")
        self.ran: list[str] = []

    def wait(self, name: str, vhost: str | None = None) -> None:
        self.broker.when_committed(lambda: self.ran.append(name), vhost)


def test_virtual_hosts_share_a_journal_unless_they_have_their_own() -> None:
    journal = HeldJournal()
    broker = Broker(journal=journal)
    assert broker.add_vhost("a").journal is broker.add_vhost("b").context.journal is journal
    two = TwoJournals()
    assert two.a.journal is two.a.context.journal is two.journals["a"]
    assert two.b.journal is two.b.context.journal is two.journals["b"]


def test_a_commit_waits_for_its_own_virtual_host_alone() -> None:
    two = TwoJournals()
    two.journals["a"].record_changed()
    two.b.when_committed(lambda: two.ran.append("b"))
    two.a.when_committed(lambda: two.ran.append("a"))
    assert two.ran == ["b"]
    two.journals["a"].settle()
    assert two.ran == ["b", "a"]


def test_a_change_waits_for_the_directory_and_its_virtual_host() -> None:
    two = TwoJournals()
    for journal in (two.directory, *two.journals.values()):
        journal.record_changed()
    two.wait("in a", "a")
    two.wait("anywhere")
    two.wait("in one that is gone", "c")
    two.directory.settle()
    assert two.ran == ["in one that is gone"]
    two.journals["a"].settle()
    assert two.ran[1:] == ["in a"]
    two.journals["b"].settle()
    assert two.ran[2:] == ["anywhere"]
    two.wait("nothing is open")
    assert two.ran[3:] == ["nothing is open"]


def test_a_store_that_has_room_again_lets_its_own_virtual_hosts_go_on() -> None:
    two = TwoJournals()
    first, second = HeldBack(two.a), HeldBack(two.b)
    two.broker.held_back += cast("list[Any]", [first, second])
    two.journals["b"].caught_up()
    assert (first.ahead, second.ahead) == (False, True)
    two.journals["a"].caught_up()
    assert first.ahead and not two.broker.held_back


def test_connections_of_a_virtual_host_that_has_left_are_not_held_back_for_ever() -> None:
    two = TwoJournals()
    two.broker.held_back += cast("list[Any]", [HeldBack(two.a), HeldBack(two.b)])
    del two.broker.vhosts["a"]
    two.journals["b"].caught_up()
    assert not two.broker.held_back


def test_stores_that_have_room_at_the_same_moment_forget_no_connection() -> None:
    two = TwoJournals()
    two.broker.work.timer = count(1).__next__  # a portion uses up a slice
    ours = [HeldBack(two.a) for _ in range(2 * GO_AHEAD_TOGETHER)]
    others = [HeldBack(two.b) for _ in range(2 * GO_AHEAD_TOGETHER)]
    two.broker.held_back += cast("list[Any]", [*ours, *others])
    two.journals["a"].caught_up()
    assert sum(one.ahead for one in ours) == GO_AHEAD_TOGETHER, "the rest is a job"
    two.journals["b"].caught_up()
    two.broker.work.finish()
    assert all(one.ahead for one in ours + others) and not two.broker.held_back
