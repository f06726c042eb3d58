"""`/api/lint`: findings about declarations; and RabbitMQ's `/api/deprecated-features`."""

from __future__ import annotations

from leveret.engine import deprecated
from leveret.management.call import Call, Routes, missing
from leveret.management.json import Json
from leveret.management.pagination import listed, picked


def lint(call: Call) -> object:
    """GET: findings since the start, and those that hold now. RabbitMQ has no such list."""
    call.need_monitor()
    found = call.broker.lint
    shown = [
        one.to_json() for one in (*found.findings.values(), *found.standing(call.broker.vhosts.values()))
    ]
    return listed(shown, call.query)


def forget(call: Call) -> None:
    """DELETE: forget the findings so far."""
    call.need_administrator()
    call.broker.lint.forget()


def features(call: Call) -> object:
    """GET: all deprecated features of the version."""
    return picked(_known(call, deprecated.features(call.broker)), call.query)


def used(call: Call) -> object:
    """GET: the deprecated features in use."""
    return picked(_known(call, deprecated.used(call.broker)), call.query)


def _known(call: Call, shown: list[Json]) -> list[Json]:
    """Raises `Refusal` (404) if the version has no such list."""
    if not call.api.deprecated_features:
        raise missing()
    return shown


ROUTES: Routes = {
    "lint": {"GET": lint, "DELETE": forget},
    "deprecated-features": {"GET": features},
    "deprecated-features/used": {"GET": used},
}
