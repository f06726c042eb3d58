"""The resources below /api, one noun a file."""

from __future__ import annotations

from leveret.management.call import Routes
from leveret.management.resources import (
    connections,
    exchanges,
    health,
    limits,
    lint,
    overview,
    permissions,
    policies,
    queues,
    users,
    vhosts,
)

ROUTES: Routes = {
    **overview.ROUTES,
    **queues.ROUTES,
    **exchanges.ROUTES,
    **connections.ROUTES,
    **vhosts.ROUTES,
    **users.ROUTES,
    **permissions.ROUTES,
    **policies.ROUTES,
    **limits.ROUTES,
    **lint.ROUTES,
    **health.ROUTES,
}
