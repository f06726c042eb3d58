"""`/api/overview`, `/api/cluster-name`, `/api/version`, `/api/extensions` and `/api/whoami`."""

from __future__ import annotations

from leveret import __version__
from leveret.engine import operations
from leveret.management.call import Call, Resource, Routes, bad_request
from leveret.management.json import Json
from leveret.management.merging import documents_elsewhere, with_totals
from leveret.management.pagination import picked
from leveret.management.views import overview as views
from leveret.management.views.listeners import contexts, in_order, listener
from leveret.management.views.users import whoami as user_view
from leveret.management.views.versions import fitted


async def overview(call: Call) -> object:
    """GET: versions, totals and rates of what the user may see; for monitors of all, with listeners and contexts."""
    site = call.site
    vhosts = list(call.broker.vhosts.values()) if call.monitors else call.visible_vhosts()
    shown = views.versions(call.broker, site.erlang_version) | {
        "disable_stats": call.without_stats,
        "enable_queue_totals": call.flag("enable_queue_totals"),
    }
    if call.without_stats:
        shown |= {"node": site.node_name, "object_totals": views.declared_totals(vhosts)}
    else:
        user = None if call.monitors else call.user.name
        figures = await site.slices.run(views.figures(call.broker, call.rates(), vhosts, user))
        shown |= {"statistics_db_event_queue": 0} | figures
        if call.monitors:
            shown |= _node(call)
    fitting = fitted(shown, call.api, "overview")
    asked = {name: text for name, text in call.query.items() if name != "columns"}
    return picked(with_totals(fitting, await documents_elsewhere(call, asked)), call.query)


def _node(call: Call) -> Json:
    node, found = call.site.node_name, call.site.listeners()
    return {
        "node": node,
        "listeners": [fitted(listener(one, node), call.api, "listener") for one in in_order(found)],
        "contexts": contexts(found, node),
    }


def whoami(call: Call) -> object:
    """GET: the user."""
    return picked(user_view(call.user, call.api), call.query)


def version(call: Call) -> object:
    """GET: the RabbitMQ version of the profile."""
    return call.broker.profile.version


#: A resource that only a broker for tests has.
TESTING = "leveret/clock"


def about(call: Call) -> object:
    """GET: the version of Leveret, the RabbitMQ version that it stands for, the name of the cluster, and whether the
    broker serves tests: it has a clock to move, faults and the history of messages."""
    return {
        "version": __version__,
        "profile": call.broker.profile.version,
        "cluster_name": call.broker.cluster_name,
        "testing": TESTING in call.site.more_routes(),
    }


def extensions(call: Call) -> object:
    """GET: the scripts of RabbitMQ's management page."""
    found = [{"javascript": "dispatcher.js"}]
    return found if "page" in call.query else picked(found, call.query)


def cluster_name(call: Call) -> object:
    """GET: the name of the cluster."""
    return {"name": call.broker.cluster_name}


def set_cluster_name(call: Call) -> None:
    """PUT {name}: rename the cluster."""
    call.need_administrator()
    (name,) = call.needed(call.fields(), ("name",))
    if not isinstance(name, str):
        raise bad_request(["not_a_string", name])
    operations.set_cluster_name(call.broker, call.caller, name)


ROUTES: Routes = {
    "overview": {"GET": overview},
    "whoami": {"GET": whoami},
    "version": Resource({"GET": version}, public=True, no_store=True),
    "leveret": {"GET": about},
    "extensions": {"GET": extensions},
    "cluster-name": {"GET": cluster_name, "PUT": set_cluster_name},
}
