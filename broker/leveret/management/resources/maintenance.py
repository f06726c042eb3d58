"""What concerns the node as a whole: feature flags, settings in effect, resets of statistics."""

from __future__ import annotations

import msgspec

from leveret.engine.feature_flags import flags
from leveret.management.call import Call, Reply, Resource, Routes, Shows, bad_request, missing
from leveret.management.pagination import listed
from leveret.settings import is_secret


def feature_flags(call: Call) -> object:
    """GET: all feature flags of the version."""
    if not call.api.feature_flags_public:
        call.need_administrator()
    return listed(flags(call.broker.profile.name), call.query, paged=False)


def enable_feature_flag(call: Call) -> None:
    """PUT: enable a flag; all that can be enabled are."""
    states = {flag["name"]: flag["state"] for flag in flags(call.broker.profile.name)}
    if states.get(call.path["name"]) != "enabled":
        raise bad_request("unsupported")


def effective(call: Call) -> Reply:
    """GET: the settings in effect, as text: those of Leveret, without passwords."""
    settings = msgspec.to_builtins(call.broker.settings)
    lines = [
        f"{section}.{name} = {msgspec.json.encode(value).decode()}"
        for section, fields in settings.items()
        if isinstance(fields, dict)
        for name, value in fields.items()
        if not is_secret(f"{section}.{name}")
    ]
    return Reply(200, "\n".join([*lines, ""]).encode(), {"Content-Type": "text/plain"})


def reset(call: Call) -> None:
    """DELETE: forget the statistics of the node. They are counted where they happen, so there is nothing to forget."""
    if call.path.get("node", call.site.node_name) != call.site.node_name:
        raise missing()


ROUTES: Routes = {
    "feature-flags": {"GET": feature_flags},
    "feature-flags/{name}/enable": Resource(
        {"PUT": enable_feature_flag},
        shows=Shows.NOTHING,
        accepts=("application/json",),
        may=Call.need_administrator,
    ),
    "config/effective": Resource({"GET": effective}, shows=Shows.TEXT, may=Call.need_administrator),
    "reset": Resource({"DELETE": reset}, shows=Shows.NOTHING, may=Call.need_administrator),
    "reset/{node}": Resource({"DELETE": reset}, shows=Shows.NOTHING, may=Call.need_administrator),
}
