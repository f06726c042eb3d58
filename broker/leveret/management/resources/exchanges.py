"""`/api/exchanges`: exchanges, and the messages that delayed ones hold."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable

from leveret import errors
from leveret.engine import operations
from leveret.engine.delayed import KIND
from leveret.engine.stats import fold_steps
from leveret.engine.vhost import VirtualHost
from leveret.management.call import (
    Call,
    Reply,
    Routes,
    arguments,
    boolean,
    check_length,
    missing,
    not_found,
    strictly_boolean,
)
from leveret.management.json import Json
from leveret.management.json_pieces import document
from leveret.management.merging import listed_everywhere
from leveret.management.pagination import Columns, Steps, listed_in_slices
from leveret.management.views import details
from leveret.management.views import exchanges as views
from leveret.routing.exchanges import Exchange


def exchanges(call: Call) -> Awaitable[object]:
    """GET: the exchanges of every virtual host the caller may see."""
    return _list(call, call.listed_vhosts())


def exchanges_in_vhost(call: Call) -> Awaitable[object]:
    """GET: the exchanges of one virtual host."""
    return _list(call, (call.vhost(),))


async def _list(call: Call, vhosts: Iterable[VirtualHost]) -> object:
    rates = call.rates("invalid_range_parameters")
    found = [(vhost, exchange) for vhost in vhosts for exchange in vhost.exchanges.values()]

    def shown(pair: tuple[VirtualHost, Exchange]) -> Json:
        figures = {} if call.without_stats else views.figures(rates, pair[1])
        return views.exchange(*pair) | figures

    def prepare(pair: tuple[VirtualHost, Exchange]) -> Steps | None:
        return None if call.without_stats else _fold(pair[1])

    return await listed_everywhere(call, found, shown, columns_first=False, prepare=prepare)


def _fold(exchange: Exchange) -> Steps | None:
    """Add up what channels have published to an exchange, if there is something new."""
    tally = exchange.tally
    return fold_steps(tally) if tally is not None and tally.changed else None


def _name(call: Call) -> str:
    name = call.path["name"]
    return "" if name == "amq.default" else name


def _find(call: Call) -> tuple[VirtualHost, Exchange]:
    """The exchange in the path; the default exchange is `amq.default` there, or empty. Raises `Refusal`."""
    vhost = call.vhost()
    exchange = vhost.exchanges.get(_name(call))
    if exchange is None:
        raise missing()
    return vhost, exchange


async def exchange(call: Call) -> object:
    """GET: one exchange."""
    vhost, found = _find(call)
    if not call.without_stats and (steps := _fold(found)) is not None:
        await call.site.slices.run(steps)
    shown = views.exchange(vhost, found)
    if not call.without_stats:
        rates = call.rates()
        shown |= views.figures(rates, found) | {"incoming": [], "outgoing": []}
        if call.rates_detailed:
            shown |= details.of_exchange(rates, vhost, found, call.site.node_name)
    return await document(call.site.slices, shown, Columns(call.query))


def declare(call: Call) -> Reply:
    """PUT {type, durable, auto_delete, internal, arguments, node, passive}: declare it; 201 if it is new, 204 if it
    existed."""
    vhost, name = call.target_vhost(), _name(call)
    check_length("exchange", name)
    fields = call.fields()
    options = {option: boolean(fields, option) for option in ("durable", "auto_delete", "internal")}
    passive, table = strictly_boolean(fields, "passive"), arguments(fields)
    call.check_node(fields)
    new = name not in vhost.exchanges
    if new and passive:
        raise not_found(f"no {errors.exchange_name(name, vhost.name)}")
    operations.declare_exchange(
        vhost,
        call.caller,
        name,
        str(fields.get("type", "direct")),
        **options,
        arguments=table,
    )
    return Reply(201 if new else 204)


def delete(call: Call) -> None:
    """DELETE ?if-unused=true: delete it."""
    vhost, found = _find(call)
    operations.delete_exchange(vhost, call.caller, found.name, if_unused=call.flag("if-unused"))


async def delayed(call: Call) -> object:
    """GET delayed: the messages that an x-delayed-message exchange holds, by due time. RabbitMQ has no such list."""
    vhost, found = _find(call)
    if found.type != KIND:
        raise missing()
    now, slices = call.broker.clock.now, call.site.slices
    every = list(vhost.delayed.waiting.values())
    mine = [one async for one in slices.walk(every) if one.exchange == found.name]
    places = await slices.ordered([(one.due_at, number) for number, one in enumerate(mine)])
    ordered = [mine[number] for _, number in places]
    return await listed_in_slices(slices, ordered, call.query, lambda one: views.delayed_message(one, now))


ROUTES: Routes = {
    "exchanges": {"GET": exchanges},
    "exchanges/{vhost}": {"GET": exchanges_in_vhost},
    "exchanges/{vhost}/{name}": {"GET": exchange, "PUT": declare, "DELETE": delete},
    "exchanges/{vhost}/{name}/delayed": {"GET": delayed},
}
