"""The broker: its defaults, virtual hosts, alarms, and what waits for a journal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from leveret.clock import VirtualClock
from leveret.config import Settings
from leveret.engine import startup
from leveret.engine.actor import INTERNAL
from leveret.engine.broker import Broker
from leveret.settings import AccessSettings, DeprecatedFeatures, Server


class Listener:
    """A connection that records changes of alarms."""

    actor = INTERNAL

    def __init__(self) -> None:
        self.received: list[bool] = []

    def alarm_changed(self, on: bool) -> None:
        self.received.append(on)


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
