"""Virtual hosts."""

from __future__ import annotations

from collections.abc import Generator

from leveret.engine.stats import depths_steps
from leveret.engine.vhost import VhostProperties, VirtualHost
from leveret.management.json import Json
from leveret.management.rates import Rates
from leveret.management.views.figures import detailed, message_figures
from leveret.profiles import Profile


def described(
    name: str, vhost: VhostProperties, states: dict[str, str], profile: Profile, configured_type: str
) -> Json:
    """Show a virtual host as it was set. `states`: whether it runs, by node; `configured_type`: the default queue type
    of nodes."""
    kind = vhost.default_queue_type
    if kind is None:
        kind = configured_type if profile.api.configured_queue_type_shown else "undefined"
    metadata: Json = {"description": vhost.description, "tags": list(vhost.tags)}
    if kind != "undefined":
        metadata["default_queue_type"] = kind
    shown: Json = {
        "name": name,
        "description": vhost.description,
        "tags": list(vhost.tags),
        "default_queue_type": kind,
        "metadata": metadata,
        "tracing": vhost.tracing,
        "cluster_state": states,
    }
    if profile.vhosts_protected:
        shown["protected_from_deletion"] = bool(vhost.protected)
        if vhost.protected is not None:
            metadata["protected_from_deletion"] = vhost.protected
    return shown


def figures(rates: Rates, vhost: VirtualHost) -> Generator[None, None, Json]:
    """Show messages, octets and rates of a virtual host; nothing where nothing has happened yet. A generator that
    yields after each portion: it can have a hundred thousand queues and channels."""
    now = yield from depths_steps(list(vhost.queues.values()))
    octets = yield from rates.stats.octets_steps(vhost)
    counts = yield from rates.stats.vhost_totals_steps(vhost)
    shown: Json = {}
    if octets["recv_oct"]:
        shown |= detailed(octets, rates.rates_of(vhost, octets))
    if vhost.queues:
        shown |= detailed(now, rates.vhost_rates(vhost, now))
    return shown | message_figures(rates, vhost, counts)
