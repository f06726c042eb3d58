"""`/api/lint`: findings about declarations; and RabbitMQ's `/api/deprecated-features`."""

from __future__ import annotations

from leveret.engine import deprecated
from leveret.management.call import Call, Routes
from leveret.management.json import Json
from leveret.management.merging import repeated_elsewhere, rows_elsewhere
from leveret.management.pagination import listed


async def lint(call: Call) -> object:
    """GET: findings since the start, and those that hold now. RabbitMQ has no such list."""
    call.need_monitor()
    found = call.broker.lint
    shown = [
        one.to_json() for one in (*found.findings.values(), *found.standing(call.broker.vhosts.values()))
    ]
    return listed([*shown, *await rows_elsewhere(call)], call.query)


async def forget(call: Call) -> None:
    """DELETE: forget the findings so far."""
    call.need_administrator()
    call.broker.lint.forget()
    await repeated_elsewhere(call)


def features(call: Call) -> object:
    """GET: all deprecated features of the version."""
    return _ordered(call, deprecated.features(call.broker))


async def used(call: Call) -> object:
    """GET: the deprecated features in use, on whatever node."""
    found = [*deprecated.used(call.broker), *await rows_elsewhere(call)]
    return _ordered(call, list({str(one["name"]): one for one in reversed(found)}.values())[::-1])


def _ordered(call: Call, shown: list[Json]) -> list[Json]:
    """RabbitMQ does not sort them, whatever the query says, but reverses them."""
    return shown[::-1] if call.query.get("sort_reverse") == "true" else shown


ROUTES: Routes = {
    "lint": {"GET": lint, "DELETE": forget},
    "deprecated-features": {"GET": features},
    "deprecated-features/used": {"GET": used},
}
