"""The resources below /api, one noun a file."""

from __future__ import annotations

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
    limits,
    lint,
    maintenance,
    messages,
    nodes,
    overview,
    parameters,
    permissions,
    policies,
    queues,
    quorum,
    users,
    vhosts,
)

ROUTES: Routes = {
    **overview.ROUTES,
    **definitions.ROUTES,
    **auth.ROUTES,
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
    **health.ROUTES,
}
