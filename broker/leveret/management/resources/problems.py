"""`/api/leveret/problems`: what is wrong now, for the management page. RabbitMQ has no such resource."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import cast

from leveret.engine.broker import ALARM_TEXTS
from leveret.engine.clients import as_client
from leveret.engine.findings import RULES
from leveret.management.call import Call, Routes
from leveret.management.json import Json
from leveret.management.merging import rows_elsewhere
from leveret.queues.queue import Queue

#: Objects that are named for one problem; all are counted.
NAMED = 5


#: How long consumers may hold all that they may before that is a problem.
STUCK_MS = 60_000


def unconsumed(queue: Queue) -> bool:
    """Whether messages wait and nobody consumes."""
    return queue.ready > 0 and not queue.consumers.members and queue.kind != "stream"


def stuck(queue: Queue, now: int) -> bool:
    """Whether messages wait while each consumer holds as many as it may, some for long. `now`: ms since the epoch."""
    members = queue.consumers.members
    if not queue.ready or not members or any(consumer.ready() for consumer in members):
        return False
    channels = [as_client(consumer).channel for consumer in members]
    oldest = [entry for channel in channels if (entry := channel.unacked.oldest()) is not None]
    return any(0 < entry.delivered_at < now - STUCK_MS for entry in oldest)


#: Problem of a queue -> whether a queue has it at a time.
_QUEUE_PROBLEMS: dict[str, Callable[[Queue, int], bool]] = {
    "queue_crashed": lambda queue, now: bool(queue.crashed),
    "queue_without_consumers": lambda queue, now: unconsumed(queue),
    "queue_stuck": stuck,
}


def problems(call: Call) -> Awaitable[object]:
    """GET: alarms, blocked connections, crashed queues, queues with messages that nobody consumes or whose consumers
    acknowledge nothing; monitors also see
    internal errors and findings about what a newer RabbitMQ refuses."""
    return _problems(call)


async def _problems(call: Call) -> list[Json]:
    found = [_problem("alarm", [{"name": source}]) for source in ALARM_TEXTS if source in call.broker.alarms]
    found += _connections(call)
    found += await _queues(call)
    if call.monitors:
        found += _node(call)
    return merged(found, await rows_elsewhere(call))


def merged(found: list[Json], others: list[Json]) -> list[Json]:
    """Return the problems of all nodes, each once."""
    every: dict[str, list[Json]] = {}
    for one in (*found, *others):
        every.setdefault(str(one["problem"]), []).append(one)
    return [_together(kind, same) if len(same) > 1 else same[0] for kind, same in every.items()]


def _together(kind: str, same: list[Json]) -> Json:
    """One problem that several nodes have; of queues, the longest ones are named."""
    objects = [each for one in same for each in cast(list[Json], one["objects"])]
    objects.sort(key=lambda one: cast(int, one.get("messages_ready", 0)), reverse=True)
    return _problem(kind, objects, sum(cast(int, one["count"]) for one in same))


def _connections(call: Call) -> list[Json]:
    """Connections that are blocked by an alarm."""
    seen: list[Json] = [
        {"name": one.name, "vhost": one.vhost.name}
        for one in call.broker.connections
        if one.vhost is not None
        and one.state_name in ("blocked", "blocking")
        and (call.monitors or one.actor.user == call.user.name)
    ]
    return [_problem("connection_blocked", seen)] if seen else []


async def _queues(call: Call) -> list[Json]:
    queues = [queue for vhost in call.visible_vhosts() for queue in vhost.queues.values()]
    having: dict[str, list[Queue]] = {name: [] for name in _QUEUE_PROBLEMS}
    async for queue in call.site.slices.walk(queues):
        for name, has in _QUEUE_PROBLEMS.items():
            if has(queue, call.broker.clock.now):
                having[name].append(queue)
    return [_problem(name, _largest(some), len(some)) for name, some in having.items() if some]


def _largest(queues: list[Queue]) -> list[Json]:
    longest = sorted(queues, key=lambda queue: queue.ready, reverse=True)[:NAMED]
    return [{"name": one.name, "vhost": one.vhost, "messages_ready": one.ready} for one in longest]


def _node(call: Call) -> list[Json]:
    """Internal errors, and findings of lint about what a newer version refuses."""
    found = []
    faults = call.broker.faults
    errors = sum(faults.errors.values())
    if errors:
        found.append(_problem("internal_errors", [{"name": name} for name in faults.errors], errors))
    lint = call.broker.lint
    refused = [one for one in lint.findings.values() if one.refused_from]
    if refused:
        named: list[Json] = [{"name": f"{one.subject}: {RULES[one.rule][0]}"} for one in refused]
        found.append(_problem("refused_by_newer_version", named))
    return found


def _problem(kind: str, objects: list[Json], count: int | None = None) -> Json:
    return {"problem": kind, "count": len(objects) if count is None else count, "objects": objects[:NAMED]}


ROUTES: Routes = {"leveret/problems": {"GET": problems}}
