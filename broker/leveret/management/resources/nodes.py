"""`/api/nodes`: the nodes of the cluster, of which there is one."""

from __future__ import annotations

from leveret.management.call import Call, Routes, missing
from leveret.management.json import Json
from leveret.management.pagination import listed, picked
from leveret.management.views import nodes as views


def nodes(call: Call) -> object:
    """GET: all nodes."""
    call.need_monitor()
    return listed([_shown(call)], call.query, paged=False)


def node(call: Call) -> object:
    """GET: one node."""
    _find(call)
    return picked(_shown(call), call.query)


def _shown(call: Call) -> Json:
    site = call.site
    if call.without_stats:
        return views.named(site.node_name)
    return {**views.described(site), **views.named(site.node_name), **views.figures(site, call.rates())}


def _find(call: Call) -> None:
    """Raises `Refusal` unless the user is a monitor and the path has the name of this node."""
    call.need_monitor()
    if call.path["node"] != call.site.node_name:
        raise missing()


def memory(call: Call) -> object:
    """GET memory: the octets that each part of the node uses."""
    _find(call)
    return picked({"memory": views.memory(call.site)}, call.query)


def relative_memory(call: Call) -> object:
    """GET memory/relative: the same in percent."""
    _find(call)
    return picked({"memory": views.relative_memory(views.memory(call.site))}, call.query)


def tables(call: Call) -> object:
    """GET memory/ets: the tables of an Erlang node, of which there are none."""
    _find(call)
    return picked({"ets_tables_memory": {"total": 0}}, call.query)


def relative_tables(call: Call) -> object:
    """GET memory/ets/relative: the same in percent."""
    _find(call)
    return picked({"ets_tables_memory": {"total": 100}}, call.query)


ROUTES: Routes = {
    "nodes": {"GET": nodes},
    "nodes/{node}": {"GET": node},
    "nodes/{node}/memory": {"GET": memory},
    "nodes/{node}/memory/relative": {"GET": relative_memory},
    "nodes/{node}/memory/ets": {"GET": tables},
    "nodes/{node}/memory/ets/relative": {"GET": relative_tables},
    "nodes/{node}/memory/ets/{filter}": {"GET": tables},
    "nodes/{node}/memory/ets/{filter}/relative": {"GET": relative_tables},
}
