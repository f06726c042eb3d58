"""The resources below /api, one noun a file."""

from __future__ import annotations

from leveret.management.call import Routes
from leveret.management.resources import (
    bindings,
    channels,
    connections,
    consumers,
    exchanges,
    health,
    limits,
    lint,
    nodes,
    overview,
    permissions,
    policies,
    queues,
    users,
    vhosts,
)

ROUTES: Routes = {
    **overview.ROUTES,
    **nodes.ROUTES,
    **queues.ROUTES,
    **exchanges.ROUTES,
    **bindings.ROUTES,
    **connections.ROUTES,
    **channels.ROUTES,
    **consumers.ROUTES,
    **vhosts.ROUTES,
    **users.ROUTES,
    **permissions.ROUTES,
    **policies.ROUTES,
    **limits.ROUTES,
    **lint.ROUTES,
    **health.ROUTES,
}
