"""connection.open of a virtual host that is on another node."""

from __future__ import annotations

from typing import Any

import pytest
from pamqp.commands import Channel, Connection, Queue

from leveret.engine.authentication import Login, Refused
from leveret.engine.changes import Change, ConnectionPassedOn
from leveret.engine.observers import Observer
from leveret.engine.users import User
from leveret.engine.vhost import VhostProperties
from leveret.session import connection as session
from leveret.session import states
from leveret.session.peer import Peer
from leveret.session.reader import Reader
from leveret.session.tuned import Tuned, decode_tuned, go_on
from leveret.testing.playbook import (
    Connect,
    Do,
    Ended,
    Playbook,
    Stage,
    handshake,
    refusal,
)
from leveret.wire.methods import method_frame
from leveret.work import Job, Suspended
from tests.session.plays import declare

PEER = Peer("127.0.0.1", 5672, "10.1.2.3", 4567, loopback=False)
DOWN = "INTERNAL_ERROR - access to vhost 'v' refused for user 'guest': vhost 'v' is down"


class Others:
    """Other nodes, that the test plays. `asked`: who has opened what; `passed_on`: how many clients they serve."""

    passed_on = 0

    def __init__(self) -> None:
        self.asked: list[tuple[Any, str]] = []
        self.job = Job.elsewhere("passing on")

    def reach(self, connection: Any, vhost: str) -> Job:
        self.asked.append((connection, vhost))
        return self.job


class Seen(Observer):
    """Keeps all changes."""

    def __init__(self) -> None:
        self.changes: list[Change] = []

    def notify(self, change: Change) -> None:
        self.changes.append(change)


def stage_with(others: Others | None, *, permitted: bool = True) -> Stage:
    """A node whose virtual host `v` is elsewhere."""
    stage = Stage(Playbook().settings, lambda data: (data,))
    stage.broker.elsewhere["v"] = VhostProperties()
    stage.broker.other_nodes = others
    if permitted:
        stage.broker.access.set_permissions("guest", "v", ".*", ".*", ".*")
    return stage


def opening(stage: Stage, **more: Any) -> Any:
    """A client that has sent connection.open for `v`, and a channel.open and a declaration right behind it."""
    who = Connect("a", vhost="v", channels=None, peer=PEER, **more)
    client = stage.connect(who)
    steps = handshake(Connect("a", vhost="v", channels=(1,), **more))
    stage.broker.access.loopback_users = frozenset()
    for step in steps[:-2]:
        stage.feed(client, step)
        stage.listen()
    stage.said.clear()
    stage.feed(client, b"".join(steps[-2:]) + octets(declare()))
    stage.listen()
    return client


def octets(line: Any) -> bytes:
    return method_frame(line.channel, line.command, **line.arguments)


def test_without_other_nodes_it_is_down(chunking: str) -> None:
    def somewhere(stage: Stage) -> None:
        stage.broker.elsewhere["v"] = VhostProperties()
        stage.broker.access.set_permissions("guest", "v", ".*", ".*", ".*")

    play = Playbook(chunking=chunking, first=[Connect("a"), Connect("b", channels=None)])
    steps = handshake(Connect("b", vhost="v"))
    assert play >> Do("v is elsewhere", somewhere)
    stage = play.stage
    for step in steps[:-1]:
        stage.feed(stage.clients["b"], step)
        stage.listen()
    assert stage.said[-1] == refusal(541, DOWN, Connection.Open, channel=0, by="b")


def test_one_that_nobody_has_is_not_found_and_one_without_permission_refused() -> None:
    stage = stage_with(Others(), permitted=False)
    opening(stage)
    (refused,) = stage.said
    assert "access to vhost 'v' refused for user 'guest'" in str(refused)


def test_the_client_waits_and_nothing_behind_connection_open_is_read() -> None:
    others = Others()
    stage = stage_with(others)
    client = opening(stage)
    assert others.asked == [(client.connection, "v")] and not stage.said
    assert client.connection.state == states.OPENING and client.connection.halted
    assert client.unread == b"".join(handshake(Connect("a", vhost="v"))[-2:]) + octets(declare())


def test_one_that_has_come_meanwhile_is_opened_here() -> None:
    others = Others()
    stage = stage_with(others)
    opening(stage)
    stage.broker.adopt("v", None, lambda vhost: None)
    stage.broker.work.complete(others.job)
    stage.listen()
    assert [line.command for line in stage.said if hasattr(line, "command")] == [
        Connection.OpenOk,
        Channel.OpenOk,
        Queue.DeclareOk,
    ]


def test_one_that_nobody_serves_in_time_resets_the_connection() -> None:
    others = Others()
    stage = stage_with(others)
    opening(stage)
    stage.advance(stage.broker.settings.server.handshake_timeout)
    assert stage.said == [Ended("reset")]


@pytest.mark.parametrize("frame_max", [8192, 131072])
def test_another_node_goes_on_from_connection_open(frame_max: int) -> None:
    """The client notices nothing; at the first node nothing is left of it."""
    entry = stage_with(Others())
    client = opening(entry, frame_max=frame_max, heartbeat=7, channel_max=9)
    tuned = decode_tuned(Tuned.of(client.connection).encode())
    left, before = client.unread, client.connection
    seen = Seen()
    entry.broker.observers.add(seen)
    before.leave("v")
    assert seen.changes == [ConnectionPassedOn(before.actor, before, "v")]
    assert not entry.broker.connections and not entry.broker.link_time.scheduled()
    owner = Stage(Playbook().settings, lambda data: (data,))
    owner.broker.add_vhost("v")
    owner.broker.access.set_permissions("guest", "v", ".*", ".*", ".*")
    connection = session.Connection(owner.broker, tuned.peer, owner.broker.dirty)
    client.connection, client.reader, client.unread = connection, Reader(connection), b""
    owner.clients["a"] = client
    assert go_on(connection, tuned).done
    owner.feed(client, left)
    owner.listen()
    said = [line.command for line in owner.said if hasattr(line, "command")]
    assert said == [Connection.OpenOk, Channel.OpenOk, Queue.DeclareOk]
    for name in ("peer", "name", "actor", "mechanism", "client_properties", "capabilities", "login"):
        assert getattr(connection, name) == getattr(before, name), name
    for name in ("channel_max", "frame_max", "limit", "body_limit", "heartbeat"):
        assert getattr(connection, name) == getattr(before, name), name
    assert connection.vhost is owner.broker.vhosts["v"] and connection in owner.broker.connections
    assert "receive" in connection.timers


def test_a_user_who_is_gone_meanwhile_is_refused() -> None:
    owner = Stage(Playbook().settings, lambda data: (data,))
    tuned = Tuned(PEER, "nobody", False, None, "PLAIN", b"\0\0\0\0", 0, 0, 0)
    connection = session.Connection(owner.broker, PEER, owner.broker.dirty)
    go_on(connection, tuned)
    assert connection.state == states.CLOSED and connection.user is None


class Backend:
    """A backend that takes its time. `logins`: what it was asked."""

    def __init__(self) -> None:
        self.job = Job.elsewhere("http")
        self.logins: list[tuple[str, str | None]] = []

    def authenticate(self, login: Login) -> User | Refused:
        if not self.job.done:
            raise Suspended(self.job)
        self.logins.append((login.name, login.password))
        authority: Any = Authority()
        return User(login.name, authority=authority)


class Authority:
    """Permits everything."""

    asks = False
    expires_at = None


def test_the_backends_of_the_other_node_are_asked_about_a_user_of_theirs() -> None:
    owner = Stage(Playbook().settings, lambda data: (data,))
    backend = Backend()
    owner.broker.access.backends = (backend,)
    tuned = Tuned(PEER, "bob", True, "secret", "PLAIN", b"\0\0\0\0", 0, 0, 0)
    connection = session.Connection(owner.broker, PEER, owner.broker.dirty)
    job = go_on(connection, tuned)
    assert not job.done and connection.halted
    owner.broker.work.complete(backend.job)
    owner.broker.work.run()
    assert job.done and connection.state == states.OPENING and not connection.halted
    assert backend.logins == [("bob", "secret")]
    assert Tuned.of(connection) == tuned


@pytest.mark.parametrize("data", [b"", b"{}", b'{"peer": 1}'])
def test_a_malformed_hand_over_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        decode_tuned(data)
