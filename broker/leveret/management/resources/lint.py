"""`/api/lint`: what will not do for long; and RabbitMQ's `/api/deprecated-features`."""

from __future__ import annotations

from typing import Any

from leveret.engine import deprecated
from leveret.management.call import Call, Routes, missing
from leveret.management.pagination import listed, picked


def lint(call: Call) -> Any:
    """GET: what was found since the start, and what is amiss now. RabbitMQ has no such list."""
    call.need_monitor()
    found = call.broker.lint
    shown = [one.to_json() for one in (*found.findings.values(), *found.standing())]
    return listed(shown, call.query)


def forget(call: Call) -> None:
    """DELETE: begin anew."""
    call.need_administrator()
    call.broker.lint.forget()


def features(call: Call) -> Any:
    """GET: all."""
    return picked(_known(call, deprecated.features(call.broker)), call.query)


def used(call: Call) -> Any:
    """GET: those in use."""
    return picked(_known(call, deprecated.used(call.broker)), call.query)


def _known(call: Call, shown: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """404 before there were any."""
    if not call.since(3, 12):
        raise missing()
    return shown


ROUTES: Routes = {
    "lint": {"GET": lint, "DELETE": forget},
    "deprecated-features": {"GET": features},
    "deprecated-features/used": {"GET": used},
}
