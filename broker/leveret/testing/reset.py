"""Empties a broker, or one virtual host, at once.

Deleting thousands of queues one by one takes long, and what is let go of all at once is left to the process's garbage
collector, which stops everything for a tenth of a second. So a virtual host is replaced by a new one, and the old one
is taken apart piece by piece, as a job.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import TYPE_CHECKING

from leveret.engine import operations, startup
from leveret.engine.changes import VhostDeleted
from leveret.engine.operations import INTERNAL_CALLER
from leveret.engine.vhost import VirtualHost
from leveret.testing import inside
from leveret.testing.drain import BACKGROUND
from leveret.testing.errors import ToolkitError
from leveret.testing.near_miss import closest

if TYPE_CHECKING:
    from leveret.engine.broker import Broker as Engine
    from leveret.testing.recorder import Later
    from leveret.testing.scope import Scope
    from leveret.work import Steps

#: What `keep` may name.
KEPT = ("users", "vhosts", "topology", "policies", "history", "clock")

#: Queues and exchanges that are taken apart before the job asks whether its slice is over.
PORTION = 32

#: Portions after which the other threads of the process get the interpreter: about 2 ms.
PORTIONS_HELD = 8

#: Seconds that they get to wake up. A thread asks for the interpreter's lock after 5 ms without a release. The loop
#: releases it in each turn, but has it again before another thread is awake: a test would wait until the end.
GIVEN_WAY_S = 0.0001

REASON = "broker forced connection closure with reason 'reset'"


def checked(keep: Collection[str]) -> frozenset[str]:
    """Return what is to be kept. Raises `ToolkitError` for an unknown name."""
    names = frozenset([keep] if isinstance(keep, str) else keep)
    for name in sorted(names - set(KEPT)):
        like = closest(name, list(KEPT))
        hint = f"; there is '{like}'" if like else ""
        raise ToolkitError(
            f"reset(keep={name!r}): there is no such part{hint}. The parts are {', '.join(KEPT)}"
        )
    return names | {"vhosts"} if "topology" in names else names


def reset(scope: Scope, keep: frozenset[str]) -> None:
    """Empty a broker or a virtual host; only in its thread. Clients are closed with 320."""
    empty(scope, keep)
    if scope.only is None:
        _reset_users(scope, keep)
    if scope.node.recorder is not None and "history" not in keep:
        scope.node.recorder.clear(scope.only, scope.node.edge.call_soon)
    scope.engine.lint.forget()


def empty(scope: Scope, keep: frozenset[str], reason: str = REASON) -> None:
    """Close clients for a reason, and let go of virtual hosts but the default one, and of what is in them; only in the
    broker's thread."""
    engine = scope.engine
    vhosts = [vhost for vhost in engine.vhosts.values() if scope.covers(vhost.name)]
    for vhost in vhosts:
        engine.shut(list(vhost.connections), reason)
    for source in list(engine.alarms) if scope.only is None else ():
        engine.clear_alarm(source)
    for vhost in vhosts:
        stays = scope.only is not None or "vhosts" in keep or vhost.name == scope.default
        _empty(scope, vhost, keep, stays)


def _empty(scope: Scope, vhost: VirtualHost, keep: frozenset[str], stays: bool) -> None:
    engine = scope.engine
    if "policies" not in keep:
        engine.policies.forget_vhost(vhost.name)
    scope.node.eta_holding.forget(vhost)
    if "topology" in keep:
        for queue in list(vhost.queues.values()):
            if queue.kind != "stream":
                queue.purge()
        vhost.delayed.clear()
        vhost.apply_policies()
        return
    if engine.journal is not None or scope.node.http is not None:
        _delete(engine, vhost, stays)
    else:
        _replace(engine, vhost, stays, scope.node.edge.call_soon)


def _delete(engine: Engine, vhost: VirtualHost, stays: bool) -> None:
    """Delete everything in the ordinary way: a store or statistics must hear of it."""
    if not stays:
        inside.delete_vhost(engine, vhost.name)
        return
    for queue in list(vhost.queues.values()):
        vhost.delete_queue(queue)
    for exchange in list(vhost.exchanges.values()):
        if exchange.name and not exchange.name.startswith("amq."):
            vhost.delete_exchange(exchange)
    vhost.delayed.clear()


def _replace(engine: Engine, vhost: VirtualHost, stays: bool, later: Later) -> None:
    """Put a new virtual host in the place of one, or nothing, and take the old one apart `later`."""
    if stays:
        new = VirtualHost(engine.context, vhost.name, vhost.description, vhost.tags)
        new.default_queue_type = vhost.default_queue_type
        new.protected = vhost.protected
        engine.vhosts[vhost.name] = new
    else:
        del engine.vhosts[vhost.name]
        engine.access.forget_vhost(vhost.name)
        engine.access_changed()
        engine.observers.notify(VhostDeleted(INTERNAL_CALLER.actor, vhost.name))
    vhost.context.history = None

    def take_apart() -> None:
        engine.work.begin(_giving_way(_taking_apart(vhost)), BACKGROUND, vhost=vhost.name)

    later(take_apart)


def _giving_way(steps: Steps) -> Steps:
    """Let the other threads of the process run, the one that asked for the reset first."""
    for number, step in enumerate(steps):
        if number % PORTIONS_HELD == 0:
            time.sleep(GIVEN_WAY_S)
        yield step


def _taking_apart(vhost: VirtualHost) -> Steps:
    """Close the queues of a virtual host that nobody finds any more, and let go of them and of its bindings."""
    yield None
    vhost.close()
    vhost.routes.clear()
    while vhost.queues:
        for _ in range(min(PORTION, len(vhost.queues))):
            queue = vhost.queues.popitem()[1]
            if not queue.gone:
                queue.close()
        yield None
    while vhost.exchanges:
        exchange = vhost.exchanges.popitem()[1]
        number = 0
        while exchange.bindings:
            binding = next(iter(exchange.bindings.values()))
            exchange.remove(binding)
            vhost.removals.sources.note(exchange, binding.destination)  # it would free all queues at the end
            number += 1
            if number % PORTION == 0:
                yield None
        yield None
    vhost.context.dead_letters.clear()


def _reset_users(scope: Scope, keep: frozenset[str]) -> None:
    engine = scope.engine
    default = engine.settings.access.default_user
    if "users" not in keep:
        for name in [user.name for user in engine.access.users]:
            operations.delete_user(engine, INTERNAL_CALLER, name)
        startup.add_default_user(engine)
        for vhost in engine.vhosts:
            permissions = engine.settings.access.default_permissions
            operations.set_permissions(engine, INTERNAL_CALLER, default, vhost, *permissions)
    for fill in scope.node.seeds:
        fill(engine)
