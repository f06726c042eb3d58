"""The resources below /api, one noun a file."""

from __future__ import annotations

from leveret.management import page_login
from leveret.management.call import Routes
from leveret.management.resources import (
    auth,
    bindings,
    channels,
    connections,
    consumers,
    definitions,
    exchanges,
    health,
    inspection,
    limits,
    lint,
    maintenance,
    messages,
    node_log,
    nodes,
    overview,
    parameters,
    permissions,
    policies,
    problems,
    queues,
    quorum,
    users,
    vhosts,
)
from leveret.profiles import ApiProfile

ROUTES: Routes = {
    **overview.ROUTES,
    **definitions.ROUTES,
    **auth.ROUTES,
    **page_login.ROUTES,
    **maintenance.ROUTES,
    **nodes.ROUTES,
    **queues.ROUTES,
    **quorum.ROUTES,
    **messages.ROUTES,
    **exchanges.ROUTES,
    **bindings.ROUTES,
    **connections.ROUTES,
    **channels.ROUTES,
    **consumers.ROUTES,
    **vhosts.ROUTES,
    **users.ROUTES,
    **permissions.ROUTES,
    **policies.ROUTES,
    **parameters.ROUTES,
    **limits.ROUTES,
    **lint.ROUTES,
    **inspection.ROUTES,
    **problems.ROUTES,
    **node_log.ROUTES,
    **health.ROUTES,
}


def of_version(api: ApiProfile) -> Routes:
    """The resources of a version, before those that it lacks are taken out (`ApiProfile.absent_paths`)."""
    return ROUTES if api.login_cookie is None else {**ROUTES, **auth.OLD_ROUTES}
