"""Rich authorization requests (RFC 9396): a token's claim `authorization_details` as scopes (rabbit_oauth2_rar)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from leveret.server.backends.scopes import matches

_TAGS = ("monitoring", "administrator", "management", "policymaker")
_ACTIONS = ("read", "write", "configure", *_TAGS)
_ATTRIBUTES = ("cluster", "vhost", "queue", "exchange", "routing-key")


def scopes_in(claims: Mapping[str, object], resource_server: str, kind: str) -> Iterator[str]:
    """Yield the scopes of all details of the type `kind`; their locations name the resource server as `cluster`."""
    details = claims.get("authorization_details")
    for detail in details if isinstance(details, list) else ():
        if not isinstance(detail, Mapping) or not kind or detail.get("type") != kind:
            continue
        locations = list(_paths(_listed(detail.get("locations")), resource_server))
        for action in _listed(detail.get("actions")) if locations else ():
            if action in _TAGS:
                yield f"{resource_server}.tag:{action}"
            elif action in _ACTIONS:
                yield from (f"{resource_server}.{action}:{path}" for path in locations)


def _listed(value: object) -> list[str]:
    """Return a list of texts; a text alone is a list of one."""
    if isinstance(value, str):
        return [value]
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _paths(locations: list[str], resource_server: str) -> Iterator[str]:
    """Yield `VHOST/NAME/KEY` for each location of this resource server: `cluster:C/vhost:V/queue:Q`."""
    for location in locations:
        parts = [part for part in location.split("/") if part]
        pairs = [[word for word in part.split(":") if word] for part in parts]
        found = {words[0]: words[1] for words in pairs if len(words) > 1 and words[0] in _ATTRIBUTES}
        queue, exchange = found.get("queue"), found.get("exchange")
        if "cluster" not in found or not matches(found["cluster"], resource_server):
            continue
        if queue is not None and exchange is not None and queue != exchange:
            continue  # a scope has one name, for a queue or for an exchange
        name = queue if queue is not None else exchange if exchange is not None else "*"
        yield f"{found.get('vhost', '*')}/{name}/{found.get('routing-key', '*')}"
