"""Operations on exchanges (0-9-1 1.6; rabbit_channel, rabbit_exchange)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leveret import errors
from leveret.engine.arguments import alternate_exchange, check_exchange_type
from leveret.engine.changes import ExchangeDeletionEnded, ExchangeDeletionStarted
from leveret.engine.operations.caller import Caller, stripped
from leveret.engine.removal import NO_JOB

if TYPE_CHECKING:
    from leveret.engine.vhost import VirtualHost
    from leveret.routing.exchanges import Exchange
    from leveret.wire.tables import Table
    from leveret.work import Job


def find_exchange(vhost: VirtualHost, name: str) -> Exchange:
    """Return an exchange. Raises 404."""
    exchange = vhost.exchanges.get(name)
    if exchange is None:
        raise errors.exchange_not_found(name, vhost.name)
    return exchange


def check_not_default(name: str) -> None:
    """Raise 403 for the default exchange, which cannot be declared, deleted or bound."""
    if name == "":
        raise errors.default_exchange_refused()


def declare_exchange(
    vhost: VirtualHost,
    caller: Caller,
    name: str,
    kind: str,
    *,
    durable: bool,
    auto_delete: bool,
    internal: bool,
    arguments: Table,
) -> Exchange:
    """Declare an exchange. An existing one must be equivalent.

    An alternate exchange needs the permissions read on the exchange and write on the alternate. Raises AmqpError, and
    `Suspended` while policies for a new one are looked for.
    """
    if caller.checked:
        name = stripped(name)
    check_not_default(name)
    check_exchange_type(kind, vhost.profile)
    may = caller.permissions(vhost)
    may.check_exchange("configure", name)
    if name not in vhost.exchanges:
        vhost.removals.check_name("exchange", name)
    if caller.checked and name not in vhost.exchanges:
        if name.startswith("amq."):
            raise errors.exchange_reserved(name)
        alternate = alternate_exchange(errors.exchange_name(name, vhost.name), arguments)
        if alternate is not None:
            may.check_exchange("read", name)
            may.check_exchange("write", alternate)
    if name not in vhost.exchanges:
        vhost.engine.node_limits.check_exchange(name, vhost.name)
        if kind == "x-local-random" and not vhost.engine.settings.amqp.local_random_exchange:
            raise errors.local_random_disabled()
    return vhost.declare_exchange(
        name,
        kind,
        durable=durable,
        auto_delete=auto_delete,
        internal=internal,
        arguments=arguments,
        user=caller.actor.user,
        actor=caller.actor,
        may_wait=True,
    )


def declare_exchange_passively(vhost: VirtualHost, caller: Caller, name: str) -> Exchange:
    """Return an existing exchange. If it is missing: 403 without any permission for its name, else 404."""
    name = stripped(name)
    check_not_default(name)
    caller.permissions(vhost).check_passive_exchange(name)
    return find_exchange(vhost, name)


def delete_exchange(vhost: VirtualHost, caller: Caller, name: str, *, if_unused: bool = False) -> Job:
    """Delete an exchange and its bindings, as a job. A missing one is no error. Raises AmqpError.

    RabbitMQ locks the exchange with a runtime parameter meanwhile, whether or not the deletion succeeds.
    """
    if caller.checked:
        name = stripped(name)
        check_not_default(name)
        if name.startswith("amq."):
            raise errors.exchange_not_deletable(name, vhost.name)
    caller.permissions(vhost).check_exchange("configure", name)
    exchange = vhost.exchanges.get(name)
    if exchange is None:
        vhost.removals.check_name("exchange", name)
    notify, ended = vhost.engine.observers.notify, ExchangeDeletionEnded(caller.actor, vhost.name, name)
    notify(ExchangeDeletionStarted(caller.actor, vhost.name, name))
    job = NO_JOB
    try:
        if exchange is not None:
            if if_unused and exchange.bindings:
                raise errors.exchange_in_use(name, vhost.name)
            job = vhost.delete_exchange(exchange, caller.actor, caller.owner)
    except BaseException:
        notify(ended)
        raise
    job.when_done(lambda: notify(ended))
    return job
