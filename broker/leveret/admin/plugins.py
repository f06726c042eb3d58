"""Commands of `rabbitmqadmin` about plugins, and about what plugins do: shovels and federation. Without the plugin the
HTTP API refuses them; a broker that has it carries them out."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from leveret.admin.command import DATA, USAGE, Command, Failed, Given, Run, boolean, json_of, show_rows
from leveret.admin.http import ApiError, segment


def _rows(run: Run, path: str) -> list[dict[str, object]]:
    found = run.api.get(path)
    return found if isinstance(found, list) else []


def _plugins_of(run: Run, node: str) -> list[dict[str, object]]:
    found = run.api.get(f"/nodes/{segment(node)}")
    names = found.get("enabled_plugins", []) if isinstance(found, dict) else []
    return [{"node": node, "name": name, "state": "Enabled"} for name in sorted(names)]


def _list_on_node(run: Run, given: Given) -> None:
    show_rows(run, _plugins_of(run, given["node"]), "node name state")


def _list_all(run: Run, given: Given) -> None:
    nodes = [str(one["name"]) for one in _rows(run, "/nodes")]
    show_rows(run, [plugin for node in nodes for plugin in _plugins_of(run, node)], "node name state")


def _parameter(run: Run, component: str, name: str, value: dict[str, object]) -> None:
    body = {"component": component, "name": name, "vhost": run.vhost, "value": value}
    run.api.send("PUT", f"/parameters/{component}/{run.where()}/{segment(name)}", body)


def _clear(component: str) -> Callable[[Run, Given], None]:
    def clear(run: Run, given: Given) -> None:
        try:
            run.api.send("DELETE", f"/parameters/{component}/{run.where()}/{segment(given['name'])}")
        except ApiError as error:
            if error.status != 404 or "idempotently" not in given:
                raise

    return clear


# --- shovels

_SHOVEL = "name vhost typ=type state source_uri source_queue destination_uri destination_queue"


def _list_shovels(run: Run, given: Given) -> None:
    show_rows(run, _rows(run, "/shovels"), _SHOVEL)


def _list_shovels_in(run: Run, given: Given) -> None:
    show_rows(run, _rows(run, f"/shovels/{run.where()}"), _SHOVEL)


def _declare_091(run: Run, given: Given) -> None:
    value: dict[str, object] = {
        "src-protocol": "amqp091", "dest-protocol": "amqp091", "ack-mode": given.get("ack_mode", "on-confirm"),
        "src-uri": given["source_uri"], "dest-uri": given["destination_uri"],
        "src-predeclared": "predeclared_source" in given, "dest-predeclared": "predeclared_destination" in given,
        "reconnect-delay": int(given.get("reconnect_delay", "5")),
    }  # fmt: skip
    for side, prefix in (("source", "src"), ("destination", "dest")):
        queue, exchange = given.get(f"{side}_queue"), given.get(f"{side}_exchange")
        if queue is None and exchange is None:
            names = f"--{side}-queue <{side}_queue>|--{side}-exchange <{side}_exchange>"
            text = f"error: the following required arguments were not provided:\n  <{names}>"
            raise Failed(USAGE, f"{text}\n\nFor more information, try '--help'.")
        value |= {f"{prefix}-queue": queue} if queue is not None else {f"{prefix}-exchange": exchange}
        key = given.get(f"{side}_exchange_routing_key")
        if key is not None:
            value[f"{prefix}-exchange-key"] = key
    if json_of(given.get("publish_properties", "{}")):
        value["dest-publish-properties"] = json_of(given["publish_properties"])
    _parameter(run, "shovel", given["name"], value)


def _declare_10(run: Run, given: Given) -> None:
    value = {
        "src-protocol": "amqp10", "dest-protocol": "amqp10", "ack-mode": given.get("ack_mode", "on-confirm"),
        "src-uri": given["source_uri"], "dest-uri": given["destination_uri"],
        "src-address": given.get("source_address", ""), "dest-address": given.get("destination_address", ""),
        "reconnect-delay": int(given.get("reconnect_delay", "5")),
    }  # fmt: skip
    _parameter(run, "shovel", given["name"], value)


# --- federation

_NUMBERS = {"reconnect_delay": 5, "prefetch_count": 1000}
_OPTIONAL = {
    "queue_name": "queue", "consumer_tag": "consumer-tag", "exchange_name": "exchange", "queue_type": "queue-type",
}  # fmt: skip
_OPTIONAL_NUMBERS = {"max_hops": "max-hops", "ttl": "expires", "message_ttl": "message-ttl"}


def _declare_upstream(run: Run, given: Given) -> None:
    value: dict[str, object] = {
        "uri": given["uri"],
        "trust-user-id": boolean(given.get("trust_user_id"), True),
        "ack-mode": given.get("ack_mode", "on-confirm"),
        "bind-nowait": boolean(given.get("bind_using_nowait"), False),
        "channel-use-mode": given.get("channel_use_mode", "multiple"),
        "resource-cleanup-mode": given.get("resource_cleanup_mode", "default"),
        **{name.replace("_", "-"): int(given.get(name, default)) for name, default in _NUMBERS.items()},
        **{field: given[name] for name, field in _OPTIONAL.items() if name in given},
        **{field: int(given[name]) for name, field in _OPTIONAL_NUMBERS.items() if name in given},
    }
    _parameter(run, "federation-upstream", given["name"], value)


_UPSTREAMS = (
    "name vhost uri ack_mode=ack-mode prefetch_count=prefetch-count trust_user_id=trust-user-id "
    "reconnect_delay=reconnect-delay queue consumer_tag=consumer-tag exchange max_hops=max-hops queue_type=queue-type "
    "expires~(queue~TTL)=expires message_ttl=message-ttl resource_cleanup_mode=resource-cleanup-mode "
    "bind_using_nowait=bind-nowait channel_use_mode=channel-use-mode"
)


def _list_upstreams(run: Run, given: Given) -> None:
    found = [
        {"name": one["name"], "vhost": one["vhost"], **value}
        for one in _rows(run, "/parameters/federation-upstream")
        if isinstance(value := one["value"], dict)
    ]
    show_rows(run, found, _UPSTREAMS)


def _list_links(run: Run, given: Given) -> None:
    columns = "node vhost id uri status typ=type upstream consumer_tag"
    show_rows(run, _rows(run, "/federation-links"), columns)


# --- peer verification in the URIs of both

_FILES = {
    "node_local_ca_certificate_bundle_path": "cacertfile", "node_local_client_certificate_file_path": "certfile",
    "node_local_client_private_key_file_path": "keyfile",
}  # fmt: skip


def _verification(component: str, field: str, *, on: bool) -> Callable[[Run, Given], None]:
    """Set `verify` and its files in the query of the URIs of all parameters of a component."""

    def change(run: Run, given: Given) -> None:
        more = {"verify": "verify_peer" if on else "verify_none"}
        more |= {name: given[option] for option, name in _FILES.items() if on}
        for one in _rows(run, f"/parameters/{component}"):
            value = one["value"]
            if not isinstance(value, dict) or not value.get(field):
                continue
            url = urlsplit(str(value[field]))
            query = urlencode({**dict(parse_qsl(url.query)), **more}, safe="/")
            changed = {**value, field: urlunsplit(url._replace(query=query))}
            body = {"component": component, "name": one["name"], "vhost": one["vhost"], "value": changed}
            path = f"/parameters/{component}/{segment(str(one['vhost']))}/{segment(str(one['name']))}"
            run.api.send("PUT", path, body)

    return change


def _verification_commands() -> dict[str, Command]:
    found: dict[str, Command] = {}
    for group, what, component, field in (
        ("federation", "upstreams", "federation-upstream", "uri"),
        ("shovels", "source_uris", "shovel", "src-uri"),
        ("shovels", "destination_uris", "shovel", "dest-uri"),
    ):
        name = f"tls_peer_verification_for_all_{what}"
        found[f"{group} disable_{name}"] = Command(_verification(component, field, on=False))
        found[f"{group} enable_{name}"] = Command(_verification(component, field, on=True), " ".join(_FILES))
    return found


def _no_tanzu(run: Run, given: Given) -> None:
    raise Failed(DATA, "This is a command of Tanzu RabbitMQ, which neither RabbitMQ nor Leveret has.")


_UPSTREAM = (
    "reconnect_delay trust_user_id prefetch_count ack_mode bind_using_nowait channel_use_mode queue_name consumer_tag "
    "exchange_name queue_type max_hops resource_cleanup_mode ttl message_ttl"
)
_IDEMPOTENT = "idempotently"

COMMANDS: dict[str, Command] = {
    "plugins list_all": Command(_list_all),
    "plugins list_on_node": Command(_list_on_node, "node"),
    "shovels list_all": Command(_list_shovels),
    "shovels list": Command(_list_shovels_in),
    "shovels declare_amqp091": Command(
        _declare_091, "name source_uri destination_uri",
        "ack_mode source_queue source_exchange source_exchange_routing_key destination_queue destination_exchange "
        "destination_exchange_routing_key reconnect_delay publish_properties",
        "predeclared_source predeclared_destination", short={"n": "name"},
    ),
    "shovels declare_amqp10": Command(
        _declare_10, "name source_uri destination_uri",
        "ack_mode source_address destination_address reconnect_delay", short={"n": "name"},
    ),
    "shovels delete": Command(_clear("shovel"), "name", flags=_IDEMPOTENT),
    "delete shovel": Command(_clear("shovel"), "name", flags=_IDEMPOTENT),
    "federation list_all_upstreams": Command(_list_upstreams),
    "federation list_all_links": Command(_list_links),
    "federation declare_upstream": Command(_declare_upstream, "name uri", _UPSTREAM),
    "federation declare_upstream_for_exchanges": Command(_declare_upstream, "name uri", _UPSTREAM),
    "federation declare_upstream_for_queues": Command(_declare_upstream, "name uri", _UPSTREAM),
    "federation delete_upstream": Command(_clear("federation-upstream"), "name", flags=_IDEMPOTENT),
    **_verification_commands(),
    "tanzu sds": Command(_no_tanzu, words="action"),
    "tanzu wsr": Command(_no_tanzu, words="action"),
}  # fmt: skip
