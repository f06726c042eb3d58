"""Snapshots: all state of a broker but its connections, as JSON lines; and restarts, which keep what is durable of it.

What a client has and has not settled is ready again after a restore, as if the client had gone.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from leveret.engine import operations
from leveret.engine.definitions import cluster_definitions, import_definitions
from leveret.engine.delayed import KIND as DELAYED
from leveret.engine.operations import INTERNAL_CALLER
from leveret.queues.backlog.paged_contents import whole
from leveret.queues.backlog.paging import BacklogBlock
from leveret.queues.encoding import EntryReader, encoded_entry
from leveret.queues.expiry import QueueExpiry
from leveret.queues.message import CHANNEL_CLOSED, Destination, Entry
from leveret.queues.quorum.backlog import QuorumBacklog
from leveret.queues.quorum.queue import QuorumQueue
from leveret.queues.stream.queue import StreamQueue
from leveret.queues.stream.records import Appender, StreamRecord, records_of
from leveret.routing.plugins import Delayed
from leveret.testing import reset
from leveret.testing.errors import ToolkitError
from leveret.testing.eta import EtaHolding, HeldTask
from leveret.testing.inside import unacked_of
from leveret.testing.snapshot_lines import (
    SECTIONS,
    VERSION,
    BindingLine,
    ChunkLine,
    Definition,
    DelayedLine,
    ExchangeLine,
    Head,
    HeldTaskLine,
    Line,
    MessageLine,
    QueueLine,
    RecordLine,
    StreamLine,
    decoded,
    encoded,
    entry_in,
)
from leveret.wire.tables import Table, decode_table, encode_table

if TYPE_CHECKING:
    from leveret.engine.vhost import VirtualHost
    from leveret.queues.queue import Queue
    from leveret.testing.scope import Scope

L = TypeVar("L")

#: RabbitMQ's reason when a node stops.
SHUTDOWN = "broker forced connection closure with reason 'shutdown'"


class Snapshot:
    """The state of a broker, or of one virtual host (`vhost`), at one moment."""

    def __init__(self, head: Head, lines: Iterable[Line]) -> None:
        self._head = head
        self._lines = list(lines)

    @property
    def vhost(self) -> str | None:
        """The virtual host that it is of; None: all."""
        return self._head.vhost

    def save(self, path: str | Path) -> None:
        """Write it as JSON lines. Raises `OSError`."""
        Path(path).write_text(
            "".join(json.dumps(encoded(line)) + "\n" for line in (self._head, *self._lines))
        )

    @classmethod
    def load(cls, path: str | Path) -> Snapshot:
        """Read a file that `save` has written. Raises `OSError`, `ToolkitError`."""
        try:
            lines = [json.loads(line) for line in Path(path).read_text().splitlines()]
        except ValueError as error:
            raise ToolkitError(f"{path} is not a snapshot: {error}") from None
        if not lines or not isinstance(lines[0], dict) or lines[0].get("kind") != "snapshot":
            raise ToolkitError(f"{path} is not a snapshot: its first line does not say so")
        if lines[0].get("version") != VERSION:
            raise ToolkitError(f"{path} is a snapshot of version {lines[0].get('version')}, not {VERSION}")
        try:
            return cls(msgspec.convert(lines[0], Head), map(decoded, lines[1:]))
        except ValueError as error:
            raise ToolkitError(f"{path} is not a snapshot: {error}") from None

    def __eq__(self, other: object) -> bool:
        """Return whether another snapshot has the same state, at whatever time."""
        return isinstance(other, Snapshot) and self._state() == other._state()

    def _state(self) -> list[Line]:
        """Return what is compared: all but times of use."""
        return [
            msgspec.structs.replace(line, used_at=0) if isinstance(line, QueueLine) else line
            for line in self._lines
        ]

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """Return what it has."""
        counts: dict[str, int] = {}
        for line in self._lines:
            counts[line.kind] = counts.get(line.kind, 0) + 1
        what = ", ".join(
            f"{count} {kind}{'s' * (count != 1)}" for kind, count in counts.items() if kind != "definition"
        )
        return f"<Snapshot {what or 'of nothing'}>"

    def _differences(self, other: Snapshot) -> list[str]:
        """Return in what another snapshot is not the same, in words."""
        mine, theirs = self._state(), other._state()
        only = [line for line in mine if line not in theirs], [line for line in theirs if line not in mine]
        left, right = ({line.title(): encoded(line) for line in lines} for lines in only)
        found = [f"only on the left: {title}" for title in left if title not in right]
        found += [f"only on the right: {title}" for title in right if title not in left]
        for title in left.keys() & right.keys():
            fields = [name for name in left[title] if left[title][name] != right[title].get(name)]
            found.append(f"{title}: {' and '.join(fields)} differ")
        return sorted(found) or ["the same, in another order"]


# --- taking one


def take(scope: Scope) -> Snapshot:
    """Return the state now; only in the broker's thread."""
    engine = scope.engine
    head = Head(
        version=VERSION,
        vhost=scope.only,
        profile=engine.profile.name,
        now=engine.clock.now,
        frozen=scope.node.message_clock.frozen,
    )
    return Snapshot(head, _lines(scope))


def _lines(scope: Scope) -> Iterator[Line]:
    engine = scope.engine
    document = cluster_definitions(engine)
    for section in SECTIONS:
        if scope.only is not None and section not in ("parameters", "policies"):
            continue
        items = document[section]
        assert isinstance(items, list)
        for item in items:
            if scope.only is None or item.get("vhost") == scope.only:
                yield Definition(section, item)
    for vhost in engine.vhosts.values():
        if scope.covers(vhost.name):
            yield from _of_vhost(vhost)
            yield from _held_tasks(scope.node.eta_holding, vhost)


def _of_vhost(vhost: VirtualHost) -> Iterator[Line]:
    for exchange in sorted(vhost.exchanges.values(), key=lambda one: one.serial):
        if exchange.name and not exchange.name.startswith("amq."):
            yield ExchangeLine(
                vhost=vhost.name,
                name=exchange.name,
                type=exchange.type,
                durable=exchange.durable,
                auto_delete=exchange.auto_delete,
                internal=exchange.internal,
                arguments=_table(exchange.arguments),
            )
    queues = [queue for queue in vhost.queues.values() if queue.owner is None]
    for queue in queues:
        yield QueueLine(
            vhost=vhost.name,
            name=queue.name,
            type=queue.kind,
            durable=queue.durable,
            auto_delete=queue.auto_delete,
            arguments=_table(queue.arguments),
            position=queue.position,
            had_consumer=queue.had_consumer,
            used_at=getattr(queue.queue_expiry, "used_at", 0),
        )
    for exchange in vhost.exchanges.values():
        for binding in exchange.bindings.values():
            if binding.destination_type == "queue" and binding.destination.owner is not None:
                continue
            yield BindingLine(
                vhost=vhost.name,
                source=exchange.name,
                destination_type=binding.destination_type,
                destination=binding.destination_name,
                key=_text(binding.routing_key),
                arguments=_table(binding.arguments),
            )
    for queue in queues:
        yield from _of_queue(vhost, queue)
    for name in vhost.exchanges:
        for held in vhost.delayed.of(name):
            yield DelayedLine(vhost=vhost.name, exchange=name, entry=_entry(held.entry))


def _held_tasks(holding: EtaHolding, vhost: VirtualHost) -> Iterator[Line]:
    """Yield the tasks of Celery that wait for their ETA."""
    for task in holding.of(vhost):
        yield HeldTaskLine(
            vhost=vhost.name,
            queues=[queue.name for queue in task.queues],
            persistent=task.message.persistent,
            due=holding.due_at(task),
            entry=_entry(Entry(task.message, 1, 0, vhost.delayed.nowhere)),
        )


def _of_queue(vhost: VirtualHost, queue: Queue) -> Iterator[Line]:
    if isinstance(queue, StreamQueue):
        yield _of_stream(vhost, queue)
        return
    held = list(unacked_of(vhost, queue))
    for entry, state, due in _entries(queue, held):
        yield MessageLine(
            vhost=vhost.name,
            queue=queue.name,
            state=state,
            persistent=entry.message.persistent,
            due=due,
            entry=_entry(entry),
        )


def _entries(queue: Queue, held: list[Entry]) -> Iterator[tuple[Entry, str, int]]:
    """Yield what is in a queue, in the order in which it is to be put back: entry, state, when it is due."""
    ready = queue.backlog.every()
    if not isinstance(queue, QuorumQueue):
        for entry in held:
            ready.append(_copy(queue, entry, counted=False))
        for entry in sorted(ready, key=lambda one: one.position):
            yield entry, "ready", 0
        return
    backlog = queue.backlog
    assert isinstance(backlog, QuorumBacklog)
    count = backlog.returned_count()
    back = ready[:count] + [_copy(queue, entry, counted=True) for entry in held]
    if queue.dead_letter_worker is not None:
        back += queue.dead_letter_worker.kept()
    for entry in back:
        yield entry, "returned", 0
    for entry in ready[count:]:
        yield entry, "ready", 0
    for due, _, entry in sorted(queue.delays.heap):
        yield entry, "delayed", due


def _copy(queue: Queue, entry: Entry, *, counted: bool) -> Entry:
    """Return a delivery as it is requeued when its channel is gone."""
    copy = Entry(entry.message, entry.position, entry.expires_at, queue)
    copy.redelivered = True
    copy.acquired = entry.acquired + counted
    copy.failed = entry.failed + 1
    return copy


def _of_stream(vhost: VirtualHost, queue: StreamQueue) -> StreamLine:
    """Return what a stream has, in whatever form its records are kept."""
    log = queue.log
    chunks: list[ChunkLine] = []
    for page in log.pages:
        for record in records_of(log, page):
            if record.begins:
                chunks.append(ChunkLine(record.time, []))
            chunks[-1].records.append(_record(record))
    return StreamLine(
        vhost=vhost.name,
        queue=queue.name,
        segments=[segment.first for segment in log.segments],
        end=log.end,
        chunks=chunks,
    )


def _record(record: StreamRecord) -> RecordLine:
    value = record.filter_value
    return RecordLine(
        exchange=_text(record.exchange),
        key=_text(record.routing_key),
        filter=b64encode(value).decode() if value is not None else None,
        header=b64encode(record.header).decode(),
        body=b64encode(record.body).decode(),
    )


def _entry(entry: Entry) -> str:
    message = whole(entry.message)
    if message is not entry.message:  # its content is paged out
        copy = Entry(message, entry.position, entry.expires_at, entry.source)
        copy.acquired, copy.failed, copy.redelivered = entry.acquired, entry.failed, entry.redelivered
        entry = copy
    return b64encode(encoded_entry(entry, entry.redelivered)).decode()


def _table(table: Table) -> str:
    return b64encode(encode_table(table)).decode() if table else ""


def _untabled(text: str) -> Table:
    return decode_table(b64decode(text))[0] if text else {}


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "surrogateescape")


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


# --- restoring one


def restore(scope: Scope, snapshot: Snapshot) -> None:
    """Replace the state by that of a snapshot; only in the broker's thread. Clients are closed with 320. Raises
    `ToolkitError`."""
    if (snapshot.vhost is None) != (scope.only is None):
        mine = "a virtual host" if scope.only is not None else "the whole broker"
        its = "a virtual host" if snapshot.vhost is not None else "a whole broker"
        raise ToolkitError(f"restore: this is {mine}, and the snapshot is of {its}")
    reset.empty(scope, frozenset())
    if scope.only is None and snapshot._head.frozen:
        scope.node.message_clock.stand_at(snapshot._head.now)
        scope.node.travel.rearm()
    _fill(scope, snapshot._lines)


def restart(scope: Scope, snapshot: Snapshot, keep: bool) -> None:
    """Come back as a node that has stopped and started: with what is durable in a snapshot, or (not `keep`) with
    nothing; only in the broker's thread."""
    reset.empty(scope, frozenset(), SHUTDOWN)
    if keep:
        _fill(scope, durable(snapshot._lines))
    else:
        reset.reset(scope, frozenset({"history"}))


def held_tasks(scope: Scope) -> list[HeldTaskLine]:
    """Return the tasks that wait for their ETA and outlive a restart; only in the broker's thread."""
    return _of(HeldTaskLine, durable(_lines(scope)))


def hold_tasks(scope: Scope, lines: Iterable[HeldTaskLine]) -> None:
    """Hold tasks again after a restart; only in the broker's thread."""
    for line in lines:
        _hold_task(scope.node.eta_holding, scope.engine.vhosts[line.vhost], line)


def durable(lines: Iterable[Line]) -> Iterator[Line]:
    """Yield the lines that outlive a restart: durable objects, bindings between those, persistent messages."""
    exchanges: set[tuple[str, str]] = set()
    queues: dict[tuple[str, str], QueueLine] = {}
    for line in lines:
        match line:
            case Definition():
                yield line
            case ExchangeLine(durable=True):
                exchanges.add((line.vhost, line.name))
                yield line
            case QueueLine(durable=True):
                queues[line.vhost, line.name] = line
                yield line
            case BindingLine():
                source = line.source.startswith("amq.") or (line.vhost, line.source) in exchanges
                to = queues if line.destination_type == "queue" else exchanges
                if source and (line.vhost, line.destination) in to:
                    yield line
            case MessageLine():
                queue = queues.get((line.vhost, line.queue))
                if queue is not None and (line.persistent or queue.type == "quorum"):
                    yield line
            case HeldTaskLine(persistent=True):
                durable_queues = [name for name in line.queues if (line.vhost, name) in queues]
                if durable_queues:
                    yield msgspec.structs.replace(line, queues=durable_queues)
            case StreamLine():
                if (line.vhost, line.queue) in queues:
                    yield line
            case DelayedLine():
                if (line.vhost, line.exchange) in exchanges:
                    yield line


def _of(kind: type[L], lines: Iterable[object]) -> list[L]:
    """Return the lines of one kind."""
    return [line for line in lines if isinstance(line, kind)]


def _fill(scope: Scope, lines: Iterable[Line]) -> None:
    engine = scope.engine
    here = [_moved(line, scope.only) for line in lines] if scope.only is not None else list(lines)
    _define(scope, _of(Definition, here))
    # On a busy machine the policies are still to be applied: to a stream with records, that would drop the oldest ones.
    engine.work.finish()
    for exchange in _of(ExchangeLine, here):
        operations.declare_exchange(
            engine.vhosts[exchange.vhost],
            INTERNAL_CALLER,
            exchange.name,
            exchange.type,
            durable=exchange.durable,
            auto_delete=exchange.auto_delete,
            internal=exchange.internal,
            arguments=_untabled(exchange.arguments),
        )
    for line in _of(QueueLine, here):
        _queue(engine.vhosts[line.vhost], line)
    for binding in _of(BindingLine, here):
        bind = operations.bind_queue if binding.destination_type == "queue" else operations.bind_exchange
        ends = binding.source, binding.destination, binding.key, _untabled(binding.arguments)
        bind(engine.vhosts[binding.vhost], INTERNAL_CALLER, *ends)
    for stream in _of(StreamLine, here):
        _stream(engine.vhosts[stream.vhost].queues[stream.queue], stream)
    for message in _of(MessageLine, here):
        _message(engine.vhosts[message.vhost].queues[message.queue], message)
    for vhost in engine.vhosts.values():
        if scope.covers(vhost.name):
            for queue in list(vhost.queues.values()):
                if queue.kind != "stream":
                    queue.restored()
    for delayed in _of(DelayedLine, here):
        _delayed(engine.vhosts[delayed.vhost], delayed)
    for task in _of(HeldTaskLine, here):
        _hold_task(scope.node.eta_holding, engine.vhosts[task.vhost], task)
    for vhost in engine.vhosts.values():
        if scope.covers(vhost.name):
            vhost.publish_dead_letters()


def _moved(line: Line, vhost: str) -> Line:
    """Return a line for another virtual host; definitions are imported into it as they are."""
    return line if isinstance(line, Definition) else msgspec.structs.replace(line, vhost=vhost)


def _define(scope: Scope, lines: list[Definition]) -> None:
    document: dict[str, list[Mapping[str, object]]] = {section: [] for section in SECTIONS}
    for line in lines:
        document[line.section].append(line.item)
    engine = scope.engine
    if scope.only is not None:
        vhost = engine.vhosts[scope.only]
        for section in ("parameters", "policies"):
            items = [
                {name: value for name, value in item.items() if name != "vhost"} for item in document[section]
            ]
            import_definitions(engine, {section: items}, vhost=vhost)
        return
    import_definitions(engine, document)
    vhosts = {item["name"] for item in document["vhosts"]}
    users = {item["name"] for item in document["users"]}
    for name in [name for name in engine.vhosts if name not in vhosts]:
        operations.delete_vhost(engine, INTERNAL_CALLER, name)
    for user in [user.name for user in engine.access.users if user.name not in users]:
        operations.delete_user(engine, INTERNAL_CALLER, user)


def _queue(vhost: VirtualHost, line: QueueLine) -> None:
    queue = operations.declare_queue(
        vhost,
        INTERNAL_CALLER,
        line.name,
        durable=line.durable,
        auto_delete=line.auto_delete,
        arguments=_untabled(line.arguments),
    )
    if line.type != "stream":
        queue.position = line.position
    queue.had_consumer = line.had_consumer
    expiry = queue.queue_expiry
    assert isinstance(expiry, QueueExpiry)
    expiry.stop()
    expiry.used_at = line.used_at
    expiry.watch()


def _message(queue: Queue, line: MessageLine) -> None:
    data = b64decode(line.entry)
    entry = EntryReader(data, 0, len(data)).entry(queue)
    message = entry.message
    if queue.queue_journal is not None:  # the store gives it a new position
        queue.push(message)
        return
    if queue.context.history is not None:
        queue.context.history.queued(queue, message, entry.position)
    if line.state == "ready":
        block = BacklogBlock(queue, bytes(4) + data, 1)
        block.bodies, block.last, block.has_ttl = message.size, entry.position, entry.expires_at > 0
        queue.restore(block, queue.backlog.level_of(message.priority))
        return
    assert isinstance(queue, QuorumQueue)
    if line.state == "returned":
        queue.return_ready([entry], CHANNEL_CLOSED)
        return
    queue.withhold(entry)
    queue.delays.add(line.due, entry)
    queue.delays.watch()


def _stream(queue: Queue, line: StreamLine) -> None:
    assert isinstance(queue, StreamQueue)
    log = queue.log
    log.end = log.last = min([*line.segments, line.end])
    appender = Appender(log, line.segments)
    for chunk in line.chunks:
        for number, record in enumerate(chunk.records):
            appender.append(_unrecorded(record, log.end, chunk.time, number == 0))
    appender.end()
    queue.restored()


def _unrecorded(line: RecordLine, offset: int, time: int, begins: bool) -> StreamRecord:
    return StreamRecord(
        offset,
        time,
        begins,
        _octets(line.exchange),
        _octets(line.key),
        b64decode(line.filter) if line.filter is not None else None,
        b64decode(line.header),
        b64decode(line.body),
    )


def _hold_task(holding: EtaHolding, vhost: VirtualHost, line: HeldTaskLine) -> None:
    entry = entry_in(line.entry, vhost.delayed.nowhere)
    queues: list[Destination] = [vhost.queues[name] for name in line.queues if name in vhost.queues]
    if queues:
        task = HeldTask(holding, vhost, entry.message, queues, 0)
        task.gone = True
        holding.hold(task, line.due)


def _delayed(vhost: VirtualHost, line: DelayedLine) -> None:
    exchange = vhost.exchanges[line.exchange]
    assert isinstance(exchange, Delayed) and exchange.type == DELAYED
    entry = entry_in(line.entry, vhost.delayed.nowhere)
    vhost.delayed.restored(exchange, [entry], entry.position)
