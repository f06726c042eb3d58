"""An exception in any function that runs for one client: other clients are not affected, and it is counted and logged
once.

The functions are found by running everything once and recording each function of the broker that was called. A profile
function then raises at the first call, so that new code is covered as soon as the attack below reaches it.
"""

from __future__ import annotations

import inspect
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any
from zlib import crc32

import pytest
from pamqp.commands import Basic, Channel, Confirm, Connection, Exchange, Queue, Tx

import leveret
from leveret.engine.policies import Policy
from leveret.session import states
from leveret.testing.playbook import Beat, Content, content_frames
from leveret.wire.methods import method_frame
from leveret.wire.tables import Field
from tests.faults.world import Transport, World

ROOT = str(Path(leveret.__file__).parent)


class Injected(Exception):  # noqa: N818  it is no error of anybody's
    """The exception that is injected."""


def table(**arguments: Any) -> dict[str, Field]:
    return {
        "x-" + name.replace("_", "-"): Field("S", value.encode())
        if isinstance(value, str)
        else Field("l", value)
        for name, value in arguments.items()
    }


def message(exchange: str, key: str, body: bytes = b"x", channel: int = 1, **properties: Any) -> bytes:
    publish = method_frame(channel, Basic.Publish, exchange=exchange, routing_key=key)
    return publish + content_frames(
        Content(body, properties, channel), {"delivery_mode": 2, **properties}, 131072
    )


class Attack:
    """Everything that a client can do, one connection after another."""

    def __init__(self, world: World) -> None:
        self.world = world

    def run(self) -> None:
        for step in (
            self.declare,
            self.publish,
            self.consume,
            self.transact,
            self.expire,
            self.alarm,
            self.leave,
            self.ask,
        ):
            self.world.broker.faults.guard("attack", step)

    def say(self, who: Transport, *octets: bytes, run: int = 0) -> None:
        for each in octets:
            who.feed(each)
            self.world.loop.run()
        self.world.loop.run(run)

    def declare(self) -> None:
        who = self.world.connect("declares", heartbeat=2)
        declare = lambda name, **more: method_frame(  # noqa: E731
            1, Queue.Declare, queue=name, durable=True, arguments=table(**more)
        )
        self.say(
            who,
            method_frame(1, Exchange.Declare, exchange="all", exchange_type="fanout", durable=True),
            method_frame(
                1,
                Exchange.Declare,
                exchange="later",
                exchange_type="x-delayed-message",
                durable=True,
                arguments=table(delayed_type="fanout"),
            ),
            method_frame(
                1, Exchange.Declare, exchange="hash", exchange_type="x-consistent-hash", durable=True
            ),
            method_frame(1, Exchange.Declare, exchange="heads", exchange_type="headers", durable=True),
            declare("classic", dead_letter_exchange="all", message_ttl=300),
            declare(
                "quorum",
                queue_type="quorum",
                consumer_timeout=700,
                dead_letter_exchange="",
                dead_letter_routing_key="dead",
            ),
            declare(
                "sure",
                queue_type="quorum",
                dead_letter_exchange="all",
                message_ttl=100,
                dead_letter_strategy="at-least-once",
                overflow="reject-publish",
            ),
            declare("retried", queue_type="quorum", delayed_retry_type="all", delayed_retry_min=50),
            declare("stream", queue_type="stream"),
            declare("short", max_length=1, dead_letter_exchange="", dead_letter_routing_key="dead"),
            declare("dead"),
            declare("cancelled", expires=500),
            declare("events"),
            method_frame(1, Queue.Declare, queue="own", exclusive=True),
            *(method_frame(1, Queue.Bind, queue=name, exchange="all") for name in ("dead", "stream")),
            method_frame(1, Queue.Bind, queue="events", exchange="amq.rabbitmq.event", routing_key="#"),
            method_frame(1, Queue.Bind, queue="events", exchange="amq.rabbitmq.trace", routing_key="#"),
            method_frame(1, Exchange.Bind, destination="all", source="later"),
            method_frame(1, Queue.Bind, queue="dead", exchange="hash", routing_key="1"),
            method_frame(1, Queue.Bind, queue="dead", exchange="heads", arguments={"a": Field("l", 1)}),
            run=2500,
        )
        self.world.broker.vhosts["/"].tracing = True

    def publish(self) -> None:
        who = self.world.connect("publishes")
        odd = {"x-delay": Field("l", 100), "a": Field("l", 1)}
        self.say(
            who,
            method_frame(1, Confirm.Select),
            *(
                message("", name)
                for name in ("classic", "quorum", "sure", "retried", "stream", "short", "short", "cancelled")
            ),
            message("later", "k", headers=odd, message_id="m"),
            message("hash", "k", headers=odd),
            message("heads", "k", headers=odd),
            message("", "classic", expiration="10"),
            run=1000,
        )

    def consume(self) -> None:
        who = self.world.connect("consumes")
        names = ("quorum", "retried", "dead", "events", "cancelled")
        self.say(who, method_frame(1, Basic.Qos, prefetch_count=2))
        self.say(who, *(message("", name) for name in names))
        self.say(
            who,
            *(method_frame(1, Basic.Consume, queue=name, consumer_tag=name) for name in names),
            method_frame(
                1, Basic.Consume, queue="stream", consumer_tag="s", arguments=table(stream_offset="first")
            ),
            run=100,
        )
        tags = [
            line.arguments["delivery_tag"]
            for line in who.receive()
            if getattr(line, "command", None) is Basic.Deliver
        ]
        settle = (Basic.Ack, Basic.Nack, Basic.Reject)
        self.say(
            who,
            *(method_frame(1, settle[i % 3], delivery_tag=tag) for i, tag in enumerate(tags[:6])),
            run=1500,
        )
        self.say(
            who,
            method_frame(1, Basic.Cancel, consumer_tag="events"),
            method_frame(2, Basic.Get, queue="events"),
        )
        self.say(
            who,
            method_frame(2, Queue.Delete, queue="dead"),
            method_frame(2, Queue.Declare, queue="dead", durable=True),
        )
        who.close()
        self.world.loop.run(100)

    def transact(self) -> None:
        who = self.world.connect("transacts")
        self.say(who, method_frame(1, Tx.Select), message("", "dead"), method_frame(1, Tx.Commit), run=50)
        self.say(
            who,
            message("", "dead"),
            method_frame(1, Tx.Rollback),
            method_frame(1, Channel.Close, reply_code=200, reply_text="", class_id=0, method_id=0),
        )
        self.say(
            who,
            method_frame(0, Connection.Close, reply_code=200, reply_text="", class_id=0, method_id=0),
            run=50,
        )
        who.close()
        self.world.loop.run()

    def expire(self) -> None:
        broker = self.world.broker
        broker.policies.set(Policy("/", "p", ".*", {"max-length": 1000}, 0, "queues"), False)
        broker.vhosts["/"].apply_policies()
        self.world.loop.run(6000)

    def alarm(self) -> None:
        who = self.world.connect("blocked")
        self.world.broker.faults.guard("attack", self.world.broker.set_alarm, "memory")
        self.world.edge.touch()
        self.say(who, message("", "dead"), run=50)
        who.protocol.pause_writing()
        who.protocol.resume_writing()
        self.world.watch.start()
        self.world.loop.run(600)
        self.world.watch.stop()
        self.world.broker.clear_alarm("memory")

    def leave(self) -> None:
        broker = self.world.broker
        broker.add_vhost("other")
        broker.access.set_permissions("guest", "other", ".*", ".*", ".*") if hasattr(
            broker.access, "set_permissions"
        ) else None
        who = self.world.connect("leaves")
        self.say(
            who,
            method_frame(1, Queue.Declare, queue="last", exclusive=True),
            method_frame(1, Queue.Purge, queue="none"),
        )
        who.close()
        broken = self.world.connect("broken")
        self.say(broken, b"\x01\0\0\0\0\0\0\0\0", run=50)
        broker.delete_vhost("other")
        self.world.loop.run(50)

    def ask(self) -> None:
        for path in ("/api/queues", "/api/overview", "/api/connections", "/api/exchanges", "/api/bindings"):
            self.world.get(path)
        self.world.get("/api/queues/%2F/dead", "DELETE")
        self.world.get("/metrics/per-object", scrape=True)
        self.world.loop.run(6000)


class Victim:
    """Another client."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.socket = world.connect("victim", heartbeat=60)
        for octets in (
            method_frame(1, Queue.Declare, queue="box", durable=True),
            method_frame(1, Queue.Declare, queue="mine", arguments=table(message_ttl=200)),
            method_frame(1, Basic.Consume, queue="box", no_ack=True, consumer_tag="box"),
            method_frame(1, Confirm.Select),
        ):
            self.socket.feed(octets)
        world.loop.run(100)
        self.socket.receive()

    def is_served(self) -> None:
        """Check messages, confirms, TTL and heartbeats."""
        world = self.world
        self.socket.feed(b"\x08\0\0\0\0\0\0\xce")
        self.socket.receive()
        self.socket.feed(message("", "box", b"hello") + message("", "mine") * 2)
        world.loop.run(150)
        received = self.socket.receive()
        assert [line.body for line in received if isinstance(line, Content)] == [b"hello"], received
        confirmed = [
            line.arguments["delivery_tag"] for line in received if getattr(line, "command", None) is Basic.Ack
        ]
        assert confirmed[-1:] == [3], received
        world.loop.run(200)
        assert world.broker.vhosts["/"].queues["mine"].ready == 0
        self.socket.feed(b"\x08\0\0\0\0\0\0\xce")
        world.loop.run(60_000)
        assert Beat("victim") in self.socket.receive()
        assert not self.socket.closing
        assert world.connect("newcomer").protocol.connection.state == states.RUNNING


#: What isolates the others cannot be made to fail itself: the mechanism, time, and what the loop calls first.
MECHANISM = ("_pure.py", "faults.py", "clock.py", "server/wall_clock.py")
ENTRIES = (
    "server/sockets.py:Edge.flush",
    *(
        f"server/sockets.py:Socket.{event}"
        for event in (
            "connection_made",
            "connection_lost",
            "buffer_updated",
            "pause_writing",
            "resume_writing",
            "go_on",
            "event_failed",
        )
    ),
    "server/sockets.py:Edge.end_of_read",
    "server/agenda_timer.py:AgendaTimer._run",
    "server/alarms.py:ResourceMonitor.start",
)

#: Of the functions that are not called where exceptions are caught, one in so many is tried; with LEVERET_FAULTS=all
#: in the environment, each of them.
SAMPLE = 1 if os.environ.get("LEVERET_FAULTS") == "all" else 8


def _ours(code: CodeType) -> bool:
    """Whether it is a function of the broker, and no module, class body or comprehension."""
    return (
        code.co_filename.startswith(ROOT)
        and bool(code.co_flags & inspect.CO_NEWLOCALS)
        and not code.co_name.startswith("<")
    )


def _name(code: CodeType) -> str:
    return f"{Path(code.co_filename).relative_to(ROOT)}:{code.co_qualname}"


def _catches(code: CodeType | None) -> bool:
    return code is None or not _ours(code) or "Exception" in code.co_names


def called(directory: Path) -> list[CodeType]:
    """Return the functions that the attack calls and that are to be tried."""
    found: dict[CodeType, bool] = {}

    def note(frame: FrameType, event: str, _: Any) -> None:
        code, caller = frame.f_code, frame.f_back
        if event == "call" and _ours(code):
            found[code] = found.get(code, False) or _catches(caller.f_code if caller is not None else None)

    world = World(directory)
    victim = Victim(world)
    sys.setprofile(note)
    try:
        Attack(world).run()
    finally:
        sys.setprofile(None)
    assert not world.written, world.written[0]
    victim.is_served()
    return [
        code
        for code, caught in found.items()
        if not _name(code).startswith(MECHANISM)
        and _name(code) not in ENTRIES
        and (caught or crc32(_name(code).encode()) % SAMPLE == 0)
    ]


def attacked(directory: Path, code: CodeType) -> tuple[World, Victim]:
    """Return a world in which `code` has raised once, though not for the victim."""
    world = World(directory)
    victim = Victim(world)
    protocol = victim.socket.protocol
    theirs = [protocol, protocol.connection, *protocol.connection.channels.values()]
    raised = False

    def inject(frame: FrameType, event: str, _: Any) -> None:
        nonlocal raised
        if event == "call" and frame.f_code is code:
            arguments = list(frame.f_locals.values())
            if not any(one is their for one in arguments for their in theirs):
                raised = True
                raise Injected(code.co_qualname)  # which also ends the profiling

    sys.setprofile(inject)
    try:
        Attack(world).run()
    finally:
        sys.setprofile(None)
    assert raised, f"{_name(code)} was not called this time"
    return world, victim


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """A data directory in memory, if there is a file system for that: these tests are not about the disk."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as name:
        yield Path(name)


def consequences(directory: Path, code: CodeType) -> str:
    """Return what is wrong after `code` has raised; empty if nothing is."""
    world, victim = attacked(directory, code)
    written = [str(fault) for fault in world.written]
    counted = sum(world.broker.faults.errors.values())
    try:
        victim.is_served()
    except AssertionError as error:
        return f"others suffer: {error}"
    finally:
        world.store.release()
    if len(written) != 1 or counted != 1 or str(world.written[0].error) != code.co_qualname:
        return f"written {written}, counted {counted}"
    return ""


def test_a_fault_in_any_function_affects_only_its_owner(directory: Path) -> None:
    codes = called(directory / "whole")
    assert len(codes) > 50
    found = {_name(code): consequences(directory / str(number), code) for number, code in enumerate(codes)}
    assert {name: text for name, text in found.items() if text} == {}
