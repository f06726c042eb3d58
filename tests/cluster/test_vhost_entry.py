"""connection.open of a virtual host that another node serves: the client is passed on to it. On loopback, without
NATS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aio_pika
import pika
import pytest
import uvloop
from msgspec.structs import replace
from pamqp.commands import Basic, Channel, Confirm, Connection, Queue

from conformance import cluster, runner
from conformance.stage import Target
from leveret.cluster import vhost_entry
from leveret.cluster.peer_tls import PeerTls
from leveret.cluster.peers import (
    CALL_LIMIT_BYTES,
    MARK,
    NONCE_BYTES,
    PROOF_BYTES,
    VHOST,
    Call,
    PeerRefused,
    decode_call,
)
from leveret.config import Settings
from leveret.engine.encryption import Certificate, Encryption
from leveret.server.proxy_protocol import Origin
from leveret.session.peer import Peer
from leveret.session.tuned import Tuned
from leveret.settings import Cluster, Server
from leveret.testing.playbook import (
    Beat,
    Connect,
    Content,
    Ended,
    Line,
    Say,
    handshake,
    publish,
    refusal,
    say,
)
from tests.certificates import LOCALHOST, Authority, name
from tests.cluster.pair import SETTINGS, Pair, encrypted, running
from tests.edges.test_sockets import SocketClient
from tests.hang import HANG_SECONDS, settled

LARGE = bytes(range(256)) * 8_000
REASON = "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'"


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    async with running() as made:
        yield made


def with_server(**changes: Any) -> Settings:
    """The settings of a node that differ from the usual ones."""
    return replace(SETTINGS, server=replace(SETTINGS.server, **changes))


async def begun(pair: Pair, vhost: str = "v", **more: Any) -> SocketClient:
    """A client of the entry that has sent connection.open, and waits."""
    client = await pair.connect()
    client.writer.write(b"".join(handshake(Connect("a", vhost=vhost, channels=(1,), **more))))
    said = await client.receive(2)
    assert [line.command for line in said if isinstance(line, Say)] == [Connection.Start, Connection.Tune]
    return client


async def waiting(pair: Pair) -> SocketClient:
    """A client that waits for `v`, which nobody serves for now."""
    pair.known.clear()
    client = await begun(pair)
    await settled(lambda: pair.passing.waiting)
    return client


def commands_of(lines: list[Line]) -> list[Any]:
    return [line.command if isinstance(line, Say) else line for line in lines]


# --- real clients


@asynccontextmanager
async def encrypted_pair(authority: Authority, *, between: bool) -> AsyncIterator[Pair]:
    """A pair whose entry has a listener for TLS. `between`: there is TLS between the nodes, too."""
    certfile, keyfile = authority.issue("node", name("localhost"), alternatives=LOCALHOST)
    tls = Cluster(certfile=str(certfile), keyfile=str(keyfile), cacertfile=str(authority.path))
    async with running(encrypted(authority), SETTINGS, PeerTls(tls) if between else None) as pair:
        yield pair


async def with_pika(pair: Pair, authority: Authority | None) -> None:
    """Large messages are confirmed and come back; the owner sees the client as the entry did."""
    options = None
    if authority is not None:
        options = pika.SSLOptions(ssl.create_default_context(cafile=str(authority.path)), "localhost")
    port = pair.port() if authority is None else pair.tls_port()
    parameters = pika.ConnectionParameters("127.0.0.1", port, "v", ssl_options=options)

    def work() -> tuple[bytes, Any]:
        connection = pika.BlockingConnection(parameters)
        channel = connection.channel()
        channel.confirm_delivery()
        queue = channel.queue_declare("", exclusive=True).method.queue
        for _ in range(3):
            channel.basic_publish("", queue, LARGE)
        bodies = []
        for method, _, body in channel.consume(queue):
            channel.basic_ack(method.delivery_tag)
            bodies.append(body)
            if len(bodies) == 3:
                break
        (found,) = pair.owner.broker.connections
        connection.close()
        assert bodies == [LARGE] * 3
        return found.peer

    peer = await asyncio.to_thread(work)
    assert (peer.port, peer.loopback, peer.encryption is not None) == (port, True, authority is not None)
    await settled(lambda: not pair.owner.edge.sockets and not pair.passing.clients)


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("between", [False, True], ids=["", "TLS between nodes"])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
def test_a_client_publishes_and_consumes_at_the_owner(
    tmp_path: Path, loop: Any, between: bool, tls: bool
) -> None:
    authority = Authority(tmp_path)

    async def run() -> None:
        async with encrypted_pair(authority, between=between) as pair:
            await with_pika(pair, authority if tls else None)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run())


async def test_an_asynchronous_client_publishes_and_consumes_at_the_owner(pair: Pair) -> None:
    connection = await aio_pika.connect(host="127.0.0.1", port=pair.port(), virtualhost="v")
    async with connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True)
        await channel.default_exchange.publish(aio_pika.Message(LARGE), queue.name)
        message = await queue.get()
        assert message is not None and message.body == LARGE
        await message.ack()
        assert queue.name in pair.owner.broker.vhosts["v"].queues


# --- what is handed over


async def test_nothing_of_the_client_is_left_at_the_entry(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    client = await pair.open(heartbeat=60)
    broker, edge = pair.entry.broker, pair.entry.edge
    assert not broker.connections and not edge.sockets and not edge.newcomers
    assert not broker.link_time.scheduled() and not pair.passing.waiting and not broker.work.jobs
    assert broker.connections_created == broker.connections_closed == 1
    assert pair.passing.passed_on == 1
    (found,) = pair.owner.broker.connections
    own = "{}:{}".format(*client.writer.get_extra_info("sockname"))
    full = f"{own} -> 127.0.0.1:{pair.port()}"
    assert (found.name, found.actor.user, found.heartbeat) == (full, "guest", 60)
    await client.close()
    await settled(lambda: not pair.owner.edge.sockets)
    lines = [record.getMessage() for record in caplog.records if own in record.getMessage()]
    assert sorted(lines[:-1]) == [  # the first one at each node
        f"accepting AMQP connection {full}",
        f"accepting AMQP connection {full}",
        f"connection {full}: user 'guest' authenticated and granted access to vhost 'v'",
        f"connection {full}: user 'guest' is passed on to the node that serves vhost 'v'",
    ]
    assert lines[-1].endswith("client unexpectedly closed TCP connection")


async def test_a_client_with_large_properties_is_passed_on(pair: Pair) -> None:
    client = await pair.connect()
    table = {"text": "x" * 7000}
    steps = handshake(Connect("a", vhost="v", channels=(1,)))
    start = say(
        Connection.StartOk,
        client_properties=table,
        mechanism="PLAIN",
        response="\0guest\0guest",
        locale="en_US",
    )
    client.writer.write(steps[0])
    await client.send(start)
    client.writer.write(b"".join(steps[2:]))
    said = await client.receive(4)
    assert commands_of(said)[2:] == [Connection.OpenOk, Channel.OpenOk]
    (found,) = pair.owner.broker.connections
    assert found.client_properties["text"].value == b"x" * 7000
    await client.close()


async def test_octets_behind_connection_open_are_handled_by_the_owner(pair: Pair) -> None:
    """A client that sends everything at once, and one octet at a time."""
    behind = [say(Queue.Declare, queue="q"), *publish(b"hello", "q"), say(Basic.Get, queue="q", no_ack=True)]
    alone = await pair.connect(pair.owner)
    expected = await conversation(alone, behind, together=True)
    assert commands_of(expected)[2:5] == [Connection.OpenOk, Channel.OpenOk, Queue.DeclareOk]
    for together in (True, False):
        pair.owner.broker.vhosts["v"].delete_queue(pair.owner.broker.vhosts["v"].queues["q"])
        assert await conversation(await pair.connect(), behind, together=together) == expected


async def conversation(client: SocketClient, lines: list[Any], *, together: bool) -> list[Line]:
    """What is said to a client that sends its handshake and these lines without waiting."""
    from tests.edges.test_sockets import octets

    data = b"".join(handshake(Connect("a", vhost="v"))) + octets(tuple(lines))
    for piece in [data] if together else [data[at : at + 1] for at in range(len(data))]:
        client.writer.write(piece)
        await client.writer.drain()
        await asyncio.sleep(0)
    said = await client.receive(7)
    await client.close()
    return said


@pytest.mark.parametrize("case", ["no such virtual host", "no permission"])
async def test_a_refusal_is_that_of_a_single_node(pair: Pair, case: str) -> None:
    vhost = "nowhere" if case == "no such virtual host" else "v"
    if vhost == "v":
        for node in (pair.entry, pair.owner):
            node.broker.access.clear_permissions("guest", "v")
    said = []
    for node in (pair.owner, pair.entry):
        client = await pair.connect(node)
        client.writer.write(b"".join(handshake(Connect("a", vhost=vhost, channels=()))))
        said.append(await client.receive(3))
        await client.close()
    assert said[0] == said[1]
    assert commands_of(said[0])[-1] is Connection.Close
    assert not pair.passing.waiting


async def test_permissions_in_the_virtual_host_are_the_owners(pair: Pair) -> None:
    pair.owner.broker.access.set_permissions("guest", "v", "", "", "")
    client = await pair.open()
    await client.send(say(Queue.Declare, queue="q"))
    text = "ACCESS_REFUSED - configure access to queue 'q' in vhost 'v' refused for user 'guest'"
    assert await client.receive() == [refusal(403, text, Queue.Declare)]
    await client.close()


async def test_a_node_at_its_limit_passes_nobody_on() -> None:
    async with running(entry=with_server(max_connections=2)) as pair:
        first, second = await pair.open(), await pair.open()
        third = await begun(pair)
        (refused,) = await third.receive()
        assert isinstance(refused, Say) and "connection limit (2)" in refused.arguments["reply_text"]
        for client in (first, second, third):
            await client.close()


# --- while nobody serves it


async def test_a_client_waits_for_an_owner_and_gets_heartbeats_meanwhile(pair: Pair) -> None:
    pair.known.clear()
    client = await begun(pair, heartbeat=1)
    assert await client.receive(3) == [Beat(), Beat(), Beat()]
    pair.known.set()
    said = [line for line in await client.receive(2) if line != Beat()]
    while len(said) < 2:
        said += [line for line in await client.receive() if line != Beat()]
    assert commands_of(said) == [Connection.OpenOk, Channel.OpenOk]
    assert not pair.entry.broker.link_time.scheduled()
    assert await client.receive() == [Beat()]  # from the owner
    await client.close()


async def test_an_owner_that_does_not_have_it_yet_is_asked_again(pair: Pair) -> None:
    pair.owner.host.maintenance = True
    client = await begun(pair)
    await settled(lambda: pair.passing.waiting)
    pair.owner.host.maintenance = False
    assert commands_of(await client.receive(2)) == [Connection.OpenOk, Channel.OpenOk]
    await client.close()


@pytest.mark.parametrize("announced", [False, True])
async def test_a_virtual_host_that_comes_here_is_opened_here(pair: Pair, announced: bool) -> None:
    client = await waiting(pair)
    if announced:  # a little earlier
        pair.gone = True
        pair.known.set()
        await asyncio.sleep(0)
    pair.adopt()
    assert commands_of(await client.receive(2)) == [Connection.OpenOk, Channel.OpenOk]
    assert len(pair.entry.broker.vhosts["v"].connections) == 1
    assert not pair.passing.waiting and not pair.owner.broker.connections
    await client.close()


@pytest.mark.parametrize("announced", [False, True], ids=["asked", "announced"])
async def test_a_virtual_host_that_is_deleted_is_not_found(pair: Pair, announced: bool) -> None:
    client = await waiting(pair)
    del pair.entry.broker.elsewhere["v"]
    if announced:
        pair.passing.look_again("v")
    else:
        pair.gone = True
        pair.known.set()
    text = "NOT_ALLOWED - vhost v not found"
    assert await client.receive() == [refusal(530, text, Connection.Open, channel=0)]
    await client.close()


async def test_a_client_that_nobody_serves_in_time_is_reset(caplog: pytest.LogCaptureFixture) -> None:
    async with running(entry=with_server(handshake_timeout=100)) as pair:
        pair.known.clear()
        client = await begun(pair)
        assert await client.receive() == [Ended()]
        await client.close()
        await settled(lambda: not pair.passing.waiting)
        assert "no node has served virtual host 'v'" in caplog.text
        assert not pair.entry.broker.connections


async def test_a_fault_ends_only_the_client_that_has_it(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client = await waiting(pair)
    monkeypatch.setattr(pair, "address_of", None)
    pair.known.set()
    (refused,) = await client.receive()
    assert isinstance(refused, Say) and refused.arguments["reply_code"] == 541
    await client.close()
    monkeypatch.undo()
    await (await pair.open()).close()


DOWN = "INTERNAL_ERROR - access to vhost 'v' refused for user 'guest': vhost 'v' is down"


@pytest.mark.parametrize("waits", [False, True], ids=["known before", "found while it waits"])
async def test_one_that_is_damaged_is_refused_at_once(pair: Pair, waits: bool) -> None:
    """As RabbitMQ refuses one that is down. Nobody is to wait for what only an operator can end."""
    client = await waiting(pair) if waits else None
    pair.down = True
    pair.known.set()
    client = client or await begun(pair)
    assert await client.receive() == [refusal(541, DOWN, Connection.Open, channel=0)]
    await client.send(say(Connection.CloseOk, channel=0))
    assert await client.receive() == [Ended()]
    await client.close()
    assert not pair.passing.waiting
    pair.down = False
    await (await pair.open()).close()


# --- limits of users


@pytest.mark.parametrize("opened", ["a connection", "a channel"])
async def test_a_fault_while_the_other_nodes_are_asked_ends_only_that_client(
    pair: Pair, opened: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pair.adopt()  # the entry asks the other node then
    other, client = await pair.open(), await (await pair.connect()).open(vhost="v")
    kind = "max-connections" if opened == "a connection" else "max-channels"
    pair.entry.broker.access.users.set_limits("guest", {kind: 100})

    async def fails(*arguments: object) -> None:
        raise KeyError("unexpected")

    with monkeypatch.context() as patched:
        patched.setattr(vhost_entry, "totals_of", fails)
        for _ in range(2):
            if opened == "a connection":
                await client.close()
                client = await begun(pair)
            else:
                await client.send(say(Channel.Open, channel=2))
            (refused,) = await client.receive()
            assert isinstance(refused, Say) and refused.arguments["reply_code"] == 541
            await client.send(say(Connection.CloseOk, channel=0))
            assert await client.receive() == [Ended()]
            await client.close()
            if opened == "a channel":
                break
    assert len([one for one in caplog.messages if "internal error in user limit" in one]) == 1
    assert not pair.passing._counting
    await other.send(say(Channel.Open, channel=2))
    assert commands_of(await other.receive()) == [Channel.OpenOk]
    await other.close()
    await (await pair.open()).close()


# --- the end


async def test_the_client_of_an_owner_that_dies_is_reset(pair: Pair) -> None:
    client = await pair.open()
    for socket in list(pair.owner.edge.sockets.values()):
        socket.transport.abort()
    assert await client.receive() == [Ended()]
    await client.close()
    await settled(lambda: not pair.passing.clients)


async def test_the_owner_loses_the_client_of_an_entry_that_dies(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    client = await pair.open()
    await client.send(say(Queue.Declare, queue="q", exclusive=True))
    await client.receive()
    (passed_on,) = pair.passing.clients
    assert passed_on.other is not None
    passed_on.other.transport.abort()
    await settled(lambda: not pair.owner.broker.connections)
    assert not pair.owner.broker.vhosts["v"].queues
    assert "client unexpectedly closed TCP connection" in caplog.text
    assert await client.receive() == [Ended()]
    await client.close()


async def test_clients_of_an_old_owner_are_reset_and_those_who_wait_ask_again(pair: Pair) -> None:
    old, kept = await pair.open(), pair.address_of
    pair.passing.reset("another")
    pair.passing.reset("v", owner=kept)
    await old.send(say(Channel.Open, channel=2))
    assert commands_of(await old.receive()) == [Channel.OpenOk]

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    pair.address_of = f"127.0.0.1:{silent.sockets[0].getsockname()[1]}"
    later = await begun(pair)  # at a node that does not answer
    await settled(lambda: pair.passing.waiting)
    pair.address_of = kept
    pair.passing.reset("v", owner="new")
    assert await old.receive() == [Ended()]
    assert commands_of(await later.receive(2)) == [Connection.OpenOk, Channel.OpenOk]
    for client in (old, later):
        await client.close()
    silent.close()
    for _ in range(50):
        await asyncio.sleep(0)


async def test_clients_of_a_node_that_stops_are_closed_by_the_owner(pair: Pair) -> None:
    answers, other = await pair.open(), await pair.connect(pair.owner)
    await other.open(vhost="v")
    closing = asyncio.ensure_future(pair.passing.close(HANG_SECONDS))
    assert await answers.receive() == [refusal(320, REASON, channel=0)]
    await answers.send(say(Connection.CloseOk, channel=0))
    assert await answers.receive() == [Ended()]
    await closing
    assert not pair.passing.clients
    await other.send(say(Channel.Open, channel=2))
    assert commands_of(await other.receive()) == [Channel.OpenOk]
    for client in (answers, other):
        await client.close()


async def test_a_client_that_does_not_answer_is_cut_off_in_the_end(pair: Pair) -> None:
    client = await pair.open()
    await pair.passing.close(0)
    assert (await client.receive(2))[-1] == Ended()
    await settled(lambda: not pair.owner.broker.connections)
    await client.close()


async def test_a_client_that_waits_is_closed_with_its_node(pair: Pair) -> None:
    client = await waiting(pair)
    pair.entry.broker.shut_connections("broker forced connection closure with reason 'shutdown'")
    pair.entry.edge.touch()
    assert await client.receive() == [refusal(320, REASON, channel=0)]
    await client.send(say(Connection.CloseOk, channel=0))
    assert await client.receive() == [Ended()]
    await client.close()
    await settled(lambda: not pair.entry.broker.connections)


async def test_after_the_close_clients_wait_for_the_end_of_the_node(pair: Pair) -> None:
    first = await waiting(pair)
    await pair.passing.close(0)
    pair.known.set()
    second = await begun(pair)
    await settled(lambda: len(pair.passing.waiting) == 2)
    pair.passing.reset("v")
    assert not pair.owner.broker.connections
    for client in (first, second):
        await client.close()


async def test_an_owner_that_stops_closes_them(pair: Pair) -> None:
    client = await pair.open()
    pair.owner.broker.shut_connections("broker forced connection closure with reason 'shutdown'")
    pair.owner.edge.touch()
    assert await client.receive() == [refusal(320, REASON, channel=0)]
    await client.send(say(Connection.CloseOk, channel=0))
    assert await client.receive() == [Ended()]
    await client.close()


# --- back-pressure


async def test_a_slow_consumer_slows_only_itself_and_gets_everything(pair: Pair) -> None:
    """The owner stops when both sockets and both ends of the splice are full."""
    slow, quick = await pair.open(), await pair.open()
    await quick.send(say(Queue.Declare, queue="q"), say(Confirm.Select))
    await quick.receive(2)
    count = 60
    for number in range(count):
        await quick.send(*publish(b"%06d" % number + bytes(250_000), "q"))
    slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
    await slow.send(say(Basic.Consume, queue="q", no_ack=True))
    await settled(lambda: any(one.paused for one in pair.owner.edge.sockets))
    (consumer,) = [one for one in pair.owner.edge.sockets if one.paused]
    assert consumer.outbox.size < 3_000_000
    await quick.send(say(Channel.Open, channel=2))
    while commands_of(await quick.receive())[0] is not Channel.OpenOk:
        pass  # confirms
    slow.writer.transport.resume_reading()  # type: ignore[attr-defined]
    assert commands_of(await slow.receive())[0] is Basic.ConsumeOk
    for number in range(count):
        _, body = await slow.receive(2)
        assert isinstance(body, Content) and body.body[:6] == b"%06d" % number
    for client in (slow, quick):
        await client.close()


async def test_publishers_are_blocked_by_the_alarms_of_the_owner(pair: Pair) -> None:
    client = await pair.open()
    pair.owner.broker.set_alarm("memory")
    await client.send(say(Queue.Declare, queue="q"), *publish(b"x", "q"))
    assert commands_of(await client.receive(2)) == [Queue.DeclareOk, Connection.Blocked]
    pair.owner.broker.clear_alarm("memory")
    pair.owner.edge.touch()
    assert commands_of(await client.receive()) == [Connection.Unblocked]
    await client.close()


# --- calls


PEER = Peer("10.0.0.1", 5671, "10.0.0.2", 4711, loopback=False)
CERTIFICATE = Certificate("CN=a", "CN=b", "from, until", "0A", ("a",), (("dns", "a"),))
TUNED = Tuned(
    replace(PEER, encryption=Encryption("tlsv1.3", "any", "aes_256_gcm", "aead", CERTIFICATE, True)),
    "bob",
    True,
    "secret",
    "PLAIN",
    bytes(100_000),
    2047,
    131072,
    60,
)
ORIGIN = Origin("10.0.0.2", 4711, "10.0.0.1", 5671)


def test_a_call_has_all_that_was_agreed_on() -> None:
    call = Call(VHOST, ORIGIN, "v", TUNED, "a node")
    assert decode_call(call.encode()) == call


def test_a_call_that_is_too_large_is_not_made() -> None:
    with pytest.raises(PeerRefused, match="too large"):
        Call(VHOST, ORIGIN, "v" * CALL_LIMIT_BYTES).encode()


async def test_a_call_that_is_too_large_is_refused(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    host, _, port = pair.address_of.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    await reader.readexactly(len(MARK) + NONCE_BYTES)
    writer.write(bytes(PROOF_BYTES) + (CALL_LIMIT_BYTES + 1).to_bytes(4, "big"))
    assert not await reader.read()
    assert f"a call of {CALL_LIMIT_BYTES + 1} octets" in caplog.text
    writer.close()


# --- RabbitMQ's answers


async def test_a_client_that_is_passed_on_gets_the_answers_of_rabbitmq() -> None:
    """One recorded conversation of each topic."""
    owner = replace(
        SETTINGS,
        server=replace(
            Server(host=("127.0.0.1",), port=0, http_port=0), prometheus_port=-1, control_socket="none"
        ),
        plugins=replace(SETTINGS.plugins, event_exchange=True),
    )
    known = runner.known_differences(cluster.PROFILE)
    async with running(owner=owner, vhost="/") as pair:
        pair.share_directory()
        (http,) = [one.port for one in pair.owner.listeners() if one.protocol == "http"]
        target = Target(f"amqp://guest:guest@127.0.0.1:{pair.port()}/", f"http://127.0.0.1:{http}")
        for each in cluster.one_of_each(runner.chosen(cluster.PROFILE), "an entry"):
            if each.name not in known:
                found = await asyncio.to_thread(runner.departure, target, cluster.PROFILE, each)
                assert not found, f"{each.name}\n{found}"
