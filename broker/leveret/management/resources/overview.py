"""`/api/overview`, `/api/cluster-name`, `/api/version`, `/api/extensions` and `/api/whoami`."""

from __future__ import annotations

from leveret.engine import operations
from leveret.management.call import Call, Resource, Routes, bad_request
from leveret.management.json import Json
from leveret.management.pagination import picked
from leveret.management.views import overview as views
from leveret.management.views.listeners import contexts, listener
from leveret.management.views.users import whoami as user_view


def overview(call: Call) -> object:
    """GET: versions, totals and rates of what the user may see; listeners and contexts for monitors."""
    site, vhosts = call.site, call.visible_vhosts()
    shown = views.versions(call.broker, site.erlang_version) | {
        "disable_stats": call.without_stats,
        "enable_queue_totals": call.flag("enable_queue_totals"),
    }
    if call.without_stats:
        shown |= {"node": site.node_name, "object_totals": views.declared_totals(vhosts)}
        return picked(shown, call.query)
    shown |= {"statistics_db_event_queue": 0} | views.figures(
        call.broker, call.rates(), vhosts, None if call.monitors else call.user.name
    )
    if call.monitors:
        shown |= _node(call)
    return picked(shown, call.query)


def _node(call: Call) -> Json:
    node, found = call.site.node_name, call.site.listeners()
    return {
        "node": node,
        "listeners": [listener(one, node) for one in found],
        "contexts": contexts(found, node),
    }


def whoami(call: Call) -> object:
    """GET: the user."""
    return picked(user_view(call.user, call.api), call.query)


def version(call: Call) -> object:
    """GET: the RabbitMQ version of the profile."""
    return call.broker.profile.version


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
    "extensions": {"GET": extensions},
    "cluster-name": {"GET": cluster_name, "PUT": set_cluster_name},
}
