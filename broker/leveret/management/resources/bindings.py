"""`/api/bindings`: list, make and delete bindings (rabbit_mgmt_wm_bindings, rabbit_mgmt_wm_binding).

A binding has no name. Among the bindings of its source and destination it is found by its `properties_key`: the
percent-encoded routing key, and a hash of the arguments if there are any.
"""

from __future__ import annotations

from collections.abc import Awaitable, Generator, Iterable
from itertools import chain
from urllib.parse import quote, quote_plus, unquote_plus

from leveret.engine import operations
from leveret.engine.vhost import VirtualHost
from leveret.management.call import Call, Reply, Routes, arguments, bad_request, missing
from leveret.management.json import Json
from leveret.management.merging import listed_everywhere
from leveret.management.pagination import picked
from leveret.management.views import bindings as views
from leveret.queues.queue import Queue
from leveret.routing.bindings import Binding
from leveret.routing.exchanges import Exchange

_SORTS = ("vhost", "source", "type", "destination", "routing_key", "properties_key")

#: Bindings that are compared with the one in a path in one portion.
_SEARCHED_TOGETHER = 256

#: Octets of a body whose arguments take a millisecond at most.
_AT_ONCE_BYTES = 16 * 1024

#: A virtual host and one of its bindings; a queue, or the name of one, stands for its binding to the default exchange.
Row = tuple[str, Binding | str]


# --- lists


def bindings(call: Call) -> Awaitable[object]:
    """GET: those of every virtual host that the user may see."""
    return _list(call, (row for vhost in call.listed_vhosts() for row in _all(vhost)))


def bindings_in_vhost(call: Call) -> Awaitable[object]:
    """GET: those of one virtual host."""
    return _list(call, _all(call.vhost()))


async def bindings_of_queue(call: Call) -> object:
    """GET: those that lead to a queue. A queue that does not exist has its implicit binding, in RabbitMQ as well."""
    vhost = _vhost_or_none(call)
    return await _list(call, [] if vhost is None else await _to_queue(call, vhost, call.path["name"]))


def bindings_from_exchange(call: Call) -> Awaitable[object]:
    """GET: those from an exchange; none if there is no such exchange."""
    vhost = _vhost_or_none(call)
    exchange = vhost.exchanges.get(_named(call.path["name"])) if vhost is not None else None
    return _list(call, [] if vhost is None or exchange is None else _from(vhost, exchange))


async def bindings_to_exchange(call: Call) -> object:
    """GET: those that lead to an exchange; none if there is no such exchange."""
    vhost = _vhost_or_none(call)
    exchange = vhost.exchanges.get(_named(call.path["name"])) if vhost is not None else None
    return await _list(
        call, [] if vhost is None or exchange is None else await _explicit(call, vhost, exchange)
    )


def bindings_between(call: Call) -> Awaitable[object]:
    """GET: those from an exchange to a queue, or to an exchange."""
    vhost = _vhost_or_none(call)
    return _list(call, [] if vhost is None else _between(call, vhost))


def _vhost_or_none(call: Call) -> VirtualHost | None:
    """The virtual host in the path, or None. Raises `Refusal` if the user may not see it."""
    return call.vhost() if call.path["vhost"] in call.broker.vhosts else None


def _all(vhost: VirtualHost) -> Iterable[Row]:
    for exchange in list(vhost.exchanges.values()):
        yield from _from(vhost, exchange)


def _from(vhost: VirtualHost, exchange: Exchange) -> Iterable[Row]:
    if exchange.implicit:
        return ((vhost.name, name) for name in list(vhost.queues))
    return ((vhost.name, binding) for binding in list(exchange.bindings.values()))


async def _explicit(call: Call, vhost: VirtualHost, destination: Queue | Exchange) -> Iterable[Row]:
    sources = await call.site.slices.run(vhost.removals.sources.in_order(destination))
    return ((vhost.name, binding) for exchange in sources for binding in exchange.bindings_to(destination))


async def _to_queue(call: Call, vhost: VirtualHost, name: str) -> Iterable[Row]:
    queue = vhost.queues.get(name)
    explicit = await _explicit(call, vhost, queue) if queue is not None else []
    return chain([(vhost.name, name)], explicit)


def _between(call: Call, vhost: VirtualHost) -> Iterable[Row]:
    source, name = _named(call.path["source"]), call.path["destination"]
    to_queue = _to_queue_of(call)
    if to_queue and not source:
        return [(vhost.name, name)]
    exchange = vhost.exchanges.get(source)
    destination = vhost.queues.get(name) if to_queue else vhost.exchanges.get(_named(name))
    if exchange is None or destination is None:
        return []
    return ((vhost.name, binding) for binding in exchange.bindings_to(destination))


def _to_queue_of(call: Call) -> bool:
    """Whether the path says that the destination is a queue. Raises `Refusal` if it says neither."""
    kind = call.path["kind"]
    if kind not in ("q", "e"):
        raise missing()
    return kind == "q"


async def _list(call: Call, rows: Iterable[Row]) -> object:
    found = [row async for row in call.site.slices.walk(map(_hashed, rows))]
    try:
        return await listed_everywhere(call, found, _shown, paged=False, sorts=_SORTS)
    finally:
        await call.site.slices.free(found)


def _hashed(row: Row) -> Row:
    """The same row, whose binding knows the hash of its arguments: to show it takes long enough without that."""
    _digest(row)
    return row


def _shown(row: Row) -> Json:
    vhost, binding = row
    return views.implicit(binding, vhost) if isinstance(binding, str) else views.binding(binding, vhost)


def _named(name: str) -> str:
    """The name of an exchange as it is in a path: the default exchange has another one there."""
    return "" if name == "amq.default" else name


# --- one binding


async def binding(call: Call) -> object:
    """GET: one."""
    row = await _find(call)
    await call.site.slices.pause()
    return picked(_shown(row), call.query)


async def bind(call: Call) -> Reply:
    """POST {routing_key, arguments}: bind; 201 with the place of the binding, also if it existed."""
    call.target_vhost()
    fields = call.fields()
    key, table = fields.get("routing_key", ""), arguments(fields)
    if not isinstance(key, str):
        raise bad_request("routing_key should be a string")
    await _pause(call)
    location = _location(call, views.properties_key(key, table))
    await _pause(call)
    vhost = call.target_vhost()
    source, name = _named(call.path["source"]), call.path["destination"]
    if _to_queue_of(call):
        operations.bind_queue(vhost, call.caller, source, name, key, table)
    else:
        operations.bind_exchange(vhost, call.caller, source, _named(name), key, table)
    return Reply(201, headers={"Location": location})


async def _pause(call: Call) -> None:
    """Let others run between two steps with arguments that take milliseconds each."""
    if len(call.content) > _AT_ONCE_BYTES:
        await call.site.slices.pause()


async def unbind(call: Call) -> None:
    """DELETE: unbind."""
    name, row = await _find(call)
    await call.site.slices.pause()
    vhost = call.broker.vhosts.get(name)
    if vhost is None:  # it was deleted meanwhile
        raise missing()
    source, destination = _named(call.path["source"]), call.path["destination"]
    key = row if isinstance(row, str) else views.text(row.routing_key)
    table = {} if isinstance(row, str) else row.arguments
    if _to_queue_of(call):
        operations.unbind_queue(vhost, call.caller, source, destination, key, table)
    else:
        operations.unbind_exchange(vhost, call.caller, source, _named(destination), key, table)


async def _find(call: Call) -> Row:
    """The binding in the path. Raises `Refusal`.

    The properties key is percent-encoded twice: as a part of the path, and in itself (unpack_binding_props).
    """
    quoted, _, digest = call.path["props"].partition("~")
    found = await call.site.slices.run(_search(_between(call, call.vhost()), unquote_plus(quoted), digest))
    if found is None:
        raise missing()
    return found


def _search(rows: Iterable[Row], key: str, digest: str) -> Generator[None, None, Row | None]:
    """Find the binding with this key and this hash of arguments, in portions: there may be a hundred thousand."""
    for number, row in enumerate(rows, 1):
        if _key(row) == key:
            if _digest(row) == digest:
                return row
            yield None  # it takes a while
        if number % _SEARCHED_TOGETHER == 0:
            yield None
    return None


def _key(row: Row) -> str:
    """The routing key as it is shown."""
    binding = row[1]
    return binding if isinstance(binding, str) else views.text(binding.routing_key)


def _digest(row: Row) -> str:
    """The hash of the arguments as it is shown."""
    binding = row[1]
    return "" if isinstance(binding, str) else binding.properties_key.partition("~")[2]


def _location(call: Call, properties_key: str) -> str:
    """The place of a new binding, relative to the path of the request (rabbit_web_dispatch_util:relativise)."""
    names = [call.path[name] for name in ("vhost", "source", "kind", "destination")]
    here = [quote(name, safe="") for name in names]
    there = [_quoted(name) for name in (*names, properties_key)]
    same = next((i for i in range(3) if here[i] != there[i]), 3)
    return "/".join([".."] * (3 - same) + there[same:])


def _quoted(text: str) -> str:
    """A segment of a location: rabbit_mgmt_format:url leaves only what follows the key unquoted."""
    return quote_plus(text, safe="~")


ROUTES: Routes = {
    "bindings": {"GET": bindings},
    "bindings/{vhost}": {"GET": bindings_in_vhost},
    "bindings/{vhost}/e/{source}/{kind}/{destination}": {"GET": bindings_between, "POST": bind},
    "bindings/{vhost}/e/{source}/{kind}/{destination}/{props}": {"GET": binding, "DELETE": unbind},
    "queues/{vhost}/{name}/bindings": {"GET": bindings_of_queue},
    "exchanges/{vhost}/{name}/bindings/source": {"GET": bindings_from_exchange},
    "exchanges/{vhost}/{name}/bindings/destination": {"GET": bindings_to_exchange},
}
