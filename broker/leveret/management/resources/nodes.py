"""`/api/nodes`: the nodes of the cluster. This one has the broker; of others, what they have reported last."""

from __future__ import annotations

from leveret.management.call import Call, Resource, Routes, missing
from leveret.management.json import Json
from leveret.management.pagination import listed, picked
from leveret.management.site import OtherNode
from leveret.management.views import nodes as views
from leveret.management.views.versions import fitted


def nodes(call: Call) -> object:
    """GET: all nodes."""
    call.need_monitor()
    others = [_other(call, one) for one in call.site.other_nodes()]
    return listed([_shown(call), *others], call.query, paged=False)


def node(call: Call) -> object:
    """GET: one node."""
    call.need_monitor()
    for one in call.site.other_nodes():
        if one.name == call.path["node"]:
            return picked(_other(call, one), call.query)
    _find(call)
    return picked(_shown(call), call.query)


def _shown(call: Call) -> Json:
    site = call.site
    shown = views.named(site.node_name)
    if not call.without_stats:
        shown = {**views.described(site), **shown, **views.figures(site, call.rates())}
    return fitted(shown, call.api, "node")


def _other(call: Call, one: OtherNode) -> Json:
    shown = views.named(one.name, running=one.running, drained=one.drained)
    if one.running and one.figures is not None and not call.without_stats:
        shown = {**views.reported(one.figures, call.site), **shown}
    return fitted(shown, call.api, "node")


def _find(call: Call) -> None:
    """Raises `Refusal` unless the user is a monitor and the path has the name of this node."""
    call.need_monitor()
    if call.path["node"] != call.site.node_name:
        raise missing()


async def memory(call: Call) -> object:
    """GET memory: the octets that each part of the node uses."""
    _find(call)
    return picked({"memory": await _memory(call)}, call.query)


async def relative_memory(call: Call) -> object:
    """GET memory/relative: the same in percent."""
    _find(call)
    return picked({"memory": views.relative_memory(await _memory(call))}, call.query)


def tables(call: Call) -> object:
    """GET memory/ets: the tables of an Erlang node, of which there are none."""
    _find(call)
    return picked({"ets_tables_memory": {"total": 0}}, call.query)


def relative_tables(call: Call) -> object:
    """GET memory/ets/relative: the same in percent."""
    _find(call)
    return picked({"ets_tables_memory": {"total": 100}}, call.query)


async def _memory(call: Call) -> Json:
    return await call.site.slices.run(views.memory(call.broker, call.site.memory().value))


ROUTES: Routes = {
    "nodes": {"GET": nodes},
    "nodes/{node}": {"GET": node},
    "nodes/{node}/memory": Resource({"GET": memory}, of_node=True),
    "nodes/{node}/memory/relative": Resource({"GET": relative_memory}, of_node=True),
    "nodes/{node}/memory/ets": Resource({"GET": tables}, of_node=True),
    "nodes/{node}/memory/ets/relative": Resource({"GET": relative_tables}, of_node=True),
    "nodes/{node}/memory/ets/{filter}": Resource({"GET": tables}, of_node=True),
    "nodes/{node}/memory/ets/{filter}/relative": Resource({"GET": relative_tables}, of_node=True),
}
