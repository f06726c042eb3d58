"""`rabbitmqadmin` of RabbitMQ 4.x images (version 2): `declare queue --name q`, `queues list`."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence

from leveret.admin import completions, definitions, local, plugins, policies, usage
from leveret.admin.command import (
    DATA,
    UNAVAILABLE,
    USAGE,
    WRONG,
    Command,
    Failed,
    Given,
    Run,
    boolean,
    failed,
    field_of,
    json_of,
    object_of,
    show_rows,
    whole,
)
from leveret.admin.http import ApiError, UnreachableError, segment
from leveret.admin.tables import cell

# --- lists

#: What is listed -> the path, and columns with the names of their fields.
_LISTS: dict[str, tuple[str, str]] = {
    "queues": (
        "/queues/{vhost}",
        "name vhost queue_type=type durable auto_delete exclusive arguments node state leader members online "
        "memory=memory? consumer_count=consumers? consumer_utilisation=consumer_utilisation? policy operator_policy "
        "message_bytes=message_bytes? message_count=messages? "
        "unacknowledged_message_count=messages_unacknowledged?",
    ),
    "exchanges": ("/exchanges/{vhost}", "name vhost exchange_type=type durable auto_delete arguments"),
    "bindings": (
        "/bindings",
        "vhost source destination destination_type routing_key arguments properties_key",
    ),
    "vhosts": ("/vhosts", "name tags description default_queue_type"),
    "users": ("/users", "name tags password_hash"),
    "permissions": ("/permissions", "user vhost configure read write"),
    "policies": ("/policies", "name vhost pattern apply_to=apply-to priority definition=definition+"),
    "operator_policies": (
        "/operator-policies",
        "name vhost pattern apply_to=apply-to priority definition=definition+",
    ),
    "connections": (
        "/connections",
        "name node state protocol username=user connected_at server_hostname=host server_port=port "
        "client_hostname=peer_host client_port=peer_port channel_max channel_count=channels",
    ),
    "channels": (
        "/channels",
        "id=number name vhost state consumer_count has_publisher_confirms_enabled=confirm prefetch_count "
        "messages_unacknowledged messages_unconfirmed",
    ),
    "consumers": (
        "/consumers",
        "vhost=queue.vhost queue=queue.name consumer_tag manual_ack=ack_required prefetch_count active exclusive "
        "arguments=arguments+ delivery_ack_timeout=consumer_timeout",
    ),
    "nodes": (
        "/nodes",
        "name uptime run_queue processors os_pid fd_total total_erlang_processes=proc_total "
        "memory_high_watermark=mem_limit has_memory_alarm_in_effect=mem_alarm "
        "free_disk_space_low_watermark=disk_free_limit has_free_disk_space_alarm_in_effect=disk_free_alarm rates_mode "
        "enabled_plugins=enabled_plugins* being_drained rabbitmq_version erlang_version erlang_full_version "
        "crypto_lib_version",
    ),
    "parameters": ("/parameters", "name vhost component value=value+"),
    "global_parameters": ("/global-parameters", "name value=value!"),
    "vhost_limits": ("/vhost-limits/{vhost}", "vhost limits=value+"),
    "user_limits": ("/user-limits", "username=user limits=value+"),
    "feature_flags": ("/feature-flags", "name state description=desc+ doc_url stability provided_by"),
    "deprecated_features": (
        "/deprecated-features",
        "name description=desc+ deprecation_phase doc_url provided_by state",
    ),
    "deprecated_features_in_use": (
        "/deprecated-features/used",
        "name description=desc+ deprecation_phase doc_url provided_by state",
    ),
}


def _lister(kind: str) -> Callable[[Run, Given], None]:
    path, columns = _LISTS[kind]

    def show(run: Run, given: Given) -> None:
        where = path.format(vhost=run.where())
        if kind == "user_limits" and "username" in given:
            where += f"/{segment(given['username'])}"
        query: dict[str, str] = {name: text for name, text in given.items() if name in ("page", "page_size")}
        found = run.api.get(where, query)
        if isinstance(found, dict):
            found = found["items"]
        assert isinstance(found, list)
        wanted = [each for each in found if _wanted(each, given)]
        if kind == "parameters":
            wanted = [each for each in wanted if each["vhost"] == run.vhost]
        show_rows(run, wanted, columns, given.get("columns", ""))

    return show


def _list_all_parameters(run: Run, given: Given) -> None:
    show_rows(run, _rows(run.api.get("/parameters")), _LISTS["parameters"][1])


def _list_parameters_in(run: Run, given: Given) -> None:
    """List the parameters of a component in a virtual host."""
    found = run.api.get(f"/parameters/{segment(given['component'])}/{run.where()}")
    show_rows(run, _rows(found), _LISTS["parameters"][1])


def _show_queue(run: Run, given: Given) -> None:
    found = run.api.get(f"/queues/{run.where()}/{segment(given['name'])}")
    assert isinstance(found, dict)
    show_rows(run, [found], _LISTS["queues"][1], given.get("columns", ""))


#: Titles with spaces -> fields.
_ATTEMPTS = (
    ("Protocol", "protocol"), ("Number of attempts", "auth_attempts"), ("Failed", "auth_attempts_failed"),
    ("Successful", "auth_attempts_succeeded"),
)  # fmt: skip


#: Protocols by the names of the original, where these are others.
_PROTOCOLS = {"amqp091": "amqp", "amqp10": "amqp", "amqp/ssl": "amqps"}


def _auth_attempts(run: Run, given: Given) -> None:
    found = _rows(run.api.get(f"/auth/attempts/{segment(given['node'])}"))
    rows = [[cell(one.get(field)) for _, field in _ATTEMPTS] for one in found]
    for row in rows:
        row[0] = _PROTOCOLS.get(row[0], row[0])
    run.table([[title for title, _ in _ATTEMPTS], *rows])


def _wanted(each: Mapping[str, object], given: Given) -> bool:
    """Whether a row is asked for."""
    filters = (("component", "component"), ("username", "user"), ("apply_to", "apply-to"))
    return all(given.get(option, each.get(field)) == each.get(field) for option, field in filters)


def _user_connections(run: Run, given: Given) -> None:
    found = run.api.get(f"/connections/username/{segment(given['username'])}")
    assert isinstance(found, list)
    show_rows(run, found, "name node username=user vhost")


# --- declarations


def _arguments(given: Given) -> dict[str, object]:
    return object_of(given.get("arguments", "{}"))


def _declare_queue(run: Run, given: Given) -> None:
    arguments = {**_arguments(given), "x-queue-type": given.get("type", "classic")}
    body = {
        "durable": boolean(given.get("durable"), True),
        "auto_delete": boolean(given.get("auto_delete"), False),
        "arguments": arguments,
    }
    run.api.send("PUT", f"/queues/{run.where()}/{segment(given['name'])}", body)


def _declare_stream(run: Run, given: Given) -> None:
    arguments = {**_arguments(given), "x-queue-type": "stream", "x-max-age": given["expiration"]}
    for option, argument in (
        ("max_length_bytes", "x-max-length-bytes"),
        ("stream_max_segment_size_bytes", "x-stream-max-segment-size-bytes"),
    ):
        if option in given:
            arguments[argument] = int(given[option])
    body = {"durable": True, "auto_delete": False, "arguments": arguments}
    run.api.send("PUT", f"/queues/{run.where()}/{segment(given['name'])}", body)


def _declare_exchange(run: Run, given: Given) -> None:
    body = {
        "type": given.get("type", "direct"),
        "durable": boolean(given.get("durable"), True),
        "auto_delete": boolean(given.get("auto_delete"), False),
        "arguments": _arguments(given),
    }
    run.api.send("PUT", f"/exchanges/{run.where()}/{segment(given['name'])}", body)


def _binding_path(run: Run, given: Given) -> str:
    kind = given["destination_type"][:1].lower()
    return f"/bindings/{run.where()}/e/{segment(given['source'])}/{kind}/{segment(given['destination'])}"


def _declare_binding(run: Run, given: Given) -> None:
    body = {"routing_key": given.get("routing_key", ""), "arguments": _arguments(given)}
    run.api.send("POST", _binding_path(run, given), body)


def _delete_binding(run: Run, given: Given) -> None:
    path, key, arguments = _binding_path(run, given), given.get("routing_key", ""), _arguments(given)
    found = run.api.get(path)
    assert isinstance(found, list)
    for each in found:
        if each["routing_key"] == key and each["arguments"] == arguments:
            run.api.send("DELETE", f"{path}/{segment(str(each['properties_key']))}")
            return
    if "idempotently" not in given:
        raise Failed(DATA, "API responded with a 404 Not Found")


def _declare_vhost(run: Run, given: Given) -> None:
    body: dict[str, object] = {
        "description": given.get("description", ""), "tracing": "tracing" in given,
    }  # fmt: skip
    if "default_queue_type" in given:
        body["default_queue_type"] = given["default_queue_type"]
    run.api.send("PUT", f"/vhosts/{segment(given['name'])}", body)


def _delete_vhosts(run: Run, given: Given) -> None:
    """Delete the virtual hosts whose names match, never the default one."""
    try:
        pattern = re.compile(given["name_pattern"])
    except re.error:
        raise Failed(WRONG, "Unsupported argument value for property (field) name_pattern") from None
    vhosts = [one for one in _rows(run.api.get("/vhosts")) if pattern.search(str(one["name"]))]
    found = sorted([one for one in vhosts if one["name"] != "/"], key=lambda one: str(one["name"]))
    if "dry_run" in given:
        show_rows(run, found, _LISTS["vhosts"][1])
        return
    if "approve" not in given and not run.scripted:
        raise failed("This operation is destructive and requires the --approve flag")
    lost = 0
    for name in [str(one["name"]) for one in found]:
        try:
            run.api.send("DELETE", f"/vhosts/{segment(name)}")
        except ApiError as error:
            lost += 1
            print(f"failed {name}: {_answer(error)}", file=sys.stderr)
    if lost and lost == len(found):
        raise Failed(DATA, f"❌ Failed: All {lost} items failed to process")
    if found and not run.quiet:
        done = len(found) - lost
        text = f"✅ Completed: {done} items processed successfully"
        if lost:
            text = f"⚠️  Completed with failures: {done} succeeded, {lost} failed out of {len(found)} total"
        print(text)


def _declare_user(run: Run, given: Given) -> None:
    body: dict[str, object] = {"tags": given.get("tags", "")}
    if given.get("password_hash") and given.get("password"):
        raise Failed(WRONG, "Please provide either --password or --password-hash, not both")
    if given.get("password_hash"):
        body["password_hash"] = given["password_hash"]
        algorithm = given.get("hashing_algorithm", "SHA256").lower().replace("-", "")
        body["hashing_algorithm"] = f"rabbit_password_hashing_{algorithm}"
    elif "password" in given:
        body["password"] = given["password"]
    else:
        raise Failed(WRONG, "Please provide either --password or --password-hash")
    run.api.send("PUT", f"/users/{segment(given['name'])}", body)


def _declare_permissions(run: Run, given: Given) -> None:
    body = {name: given[name] for name in ("configure", "write", "read")}
    run.api.send("PUT", f"/permissions/{run.where()}/{segment(given['username'])}", body)


def _policy(kind: str) -> Callable[[Run, Given], None]:
    def declare(run: Run, given: Given) -> None:
        body = {
            "pattern": given["pattern"],
            "definition": json_of(given["definition"]),
            "priority": whole(given, "priority", 0),
            "apply-to": given["apply_to"],
        }
        run.api.send("PUT", f"/{kind}/{run.where()}/{segment(given['name'])}", body)

    return declare


def _declare_parameter(run: Run, given: Given) -> None:
    body = {
        "component": given["component"], "name": given["name"], "vhost": run.vhost, "value": json_of(given["value"]),
    }  # fmt: skip
    run.api.send(
        "PUT", f"/parameters/{segment(given['component'])}/{run.where()}/{segment(given['name'])}", body
    )


def _declare_global_parameter(run: Run, given: Given) -> None:
    body = {"name": given["name"], "value": json_of(given["value"])}
    run.api.send("PUT", f"/global-parameters/{segment(given['name'])}", body)


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise Failed(DATA, f"Failed to parse JSON argument: '{text}' is not a valid integer value") from None


def _declare_vhost_limit(run: Run, given: Given) -> None:
    body = {"value": _integer(given["value"])}
    run.api.send("PUT", f"/vhost-limits/{run.where()}/{segment(given['name'])}", body)


def _declare_user_limit(run: Run, given: Given) -> None:
    body = {"value": _integer(given["value"])}
    run.api.send("PUT", f"/user-limits/{segment(given['user'])}/{segment(given['name'])}", body)


def _deleter(path: str) -> Callable[[Run, Given], None]:
    def delete(run: Run, given: Given) -> None:
        names = {name: segment(value) for name, value in given.items()}
        try:
            run.api.send("DELETE", path.format(**{**names, "vhost": run.where()}))
        except ApiError as error:
            if error.status != 404 or "idempotently" not in given:
                raise

    return delete


# --- messages, definitions, checks


def _publish(run: Run, given: Given) -> None:
    body = {
        "routing_key": given.get("routing_key", ""),
        "payload": given.get("payload", "test"),
        "payload_encoding": "string",
        "properties": object_of(given.get("properties", "{}")),
    }
    exchange = segment(given.get("exchange", "") or "amq.default")
    answer = run.api.send("POST", f"/exchanges/{run.where()}/{exchange}/publish", body)
    routed = isinstance(answer, dict) and answer.get("routed")
    print("Message published and routed successfully" if routed else "Message published but NOT routed")


def _get_messages(run: Run, given: Given) -> None:
    body = {
        "count": whole(given, "count", 1),
        "ackmode": given.get("ack_mode", "reject_requeue_true"),
        "encoding": "auto",
    }
    found = run.api.send("POST", f"/queues/{run.where()}/{segment(given['queue'])}/get", body)
    assert isinstance(found, list)
    columns = "payload_bytes redelivered exchange routing_key message_count properties=properties+ payload"
    show_rows(run, found, f"{columns} payload_encoding")


def _check(path: str) -> Callable[[Run, Given], None]:
    def check(run: Run, given: Given) -> None:
        where = path.format(**{name: segment(value) for name, value in given.items()})
        try:
            run.api.get(f"/{where}")
        except ApiError as error:
            if error.status != 503:
                raise
            rows = [
                ["key", "value"],
                ["result", "health check failed"],
                ["path", where],
                ["status_code", f"{error.status} {error.phrase}"],
                ["reason", error.reason],
            ]
            if "port" in given:
                rows.append(["inactive port", given["port"]])
            if "protocol" in given:
                rows.append(["inactive protocols", given["protocol"]])
            run.table(rows)
            raise Failed(UNAVAILABLE, "") from None
        print("health check passed")

    return check


def _deprecated_check(run: Run, given: Given) -> None:
    found = run.api.get("/deprecated-features/used")
    if found:
        raise Failed(
            UNAVAILABLE, f"deprecated features are in use: {cell([one['name'] for one in _rows(found)])}"
        )
    print("health check passed")


def _rows(found: object) -> list[dict[str, object]]:
    return found if isinstance(found, list) else []


# --- what is shown

_OVERVIEW = (
    ("Product name", "product_name"), ("Product version", "product_version"),
    ("RabbitMQ version", "rabbitmq_version"), ("Erlang version", "erlang_version"),
    ("Erlang details", "erlang_full_version"), ("Connections (total)", "object_totals.connections"),
    ("AMQP 0-9-1 channels (total)", "object_totals.channels"),
    ("Queues and streams (total)", "object_totals.queues"), ("Consumers (total)", "object_totals.consumers"),
    ("Messages (total)", "queue_totals.messages"),
    ("Messages ready for delivery (total)", "queue_totals.messages_ready"),
    (
        "Messages delivered but unacknowledged by consumers (total)",
        "queue_totals.messages_unacknowledged",
    ),
    ("Publishing (ingress) rate (global)", "message_stats.publish_details.rate"),
    ("Publishing confirm rate (global)", "message_stats.confirm_details.rate"),
    ("Consumer delivery (egress) rate (global)", "message_stats.deliver_details.rate"),
    (
        "Consumer delivery in automatic acknowledgement mode rate (global)",
        "message_stats.deliver_no_ack_details.rate",
    ),
    ("Consumer acknowledgement rate (global)", "message_stats.ack_details.rate"),
    (
        "Unroutable messages: returned-to-publisher rate (global)",
        "message_stats.return_unroutable_details.rate",
    ),
    ("Unroutable messages: dropped rate (global)", "message_stats.drop_unroutable_details.rate"),
    ("Cluster tags", "cluster_tags"), ("Node tags", "node_tags"),
)  # fmt: skip

_CHURN = (
    ("Client connections opened", "connection_created"), ("Client connections closed", "connection_closed"),
    ("Client channels opened", "channel_created"), ("Client channels closed", "channel_closed"),
    ("Queues and streams (re)declarations", "queue_declared"), ("Queues and streams created", "queue_created"),
    ("Queues and streams deleted", "queue_deleted"),
)  # fmt: skip


def _overview(run: Run, given: Given) -> None:
    found = run.api.get("/overview")
    assert isinstance(found, dict)
    run.table(
        [["key", "value"], *([title, cell(field_of(found, name))] for title, name in _OVERVIEW)], "Overview"
    )


def _churn(run: Run, given: Given) -> None:
    found = run.api.get("/overview")
    assert isinstance(found, dict)
    rows = [[title, cell(field_of(found, f"churn_rates.{name}"))] for title, name in _CHURN]
    title = "Entity (connections, queues, etc) churn over the most recent sampling period"
    run.table([["key", "value"], *rows], title)


def _endpoint(run: Run, given: Given) -> None:
    print(f"Using endpoint: {run.api.uri}")


_MEMORY = (
    ("Atom table", "atom"), ("Allocated but unused", "allocated_unused"), ("Binary heap", "binary"),
    ("Classic queue processes", "queue_procs"), ("Code", "code"), ("AMQP 0-9-1 channels", "connection_channels"),
    ("Client connections: reader processes", "connection_readers"),
    ("Client connections: writer processes", "connection_writers"),
    ("Client connections: others processes", "connection_other"), ("Management stats database", "mgmt_db"),
    ("Message store indices", "msg_index"), ("Metadata store", "metadata_store"),
    ("Metadata store ETS tables", "metadata_store_ets"), ("Metrics data", "metrics"), ("Mnesia", "mnesia"),
    ("Other (ETS tables)", "other_ets"), ("Other (used by the runtime)", "other_system"),
    ("Other processes", "other_proc"), ("Quorum queue replica processes", "quorum_queue_procs"),
    ("Quorum queue ETS tables", "quorum_ets"), ("Plugins and their data", "plugins"),
    ("Reserved by the kernel but unallocated", "reserved_unallocated"),
    ("Stream replica processes", "stream_queue_procs"),
    ("Stream replica reader processes", "stream_queue_replica_reader_procs"),
    ("Stream coordinator processes", "stream_queue_coordinator_procs"),
)  # fmt: skip


def _breakdown(path: str, title: str, unit: str) -> Callable[[Run, Given], None]:
    def show(run: Run, given: Given) -> None:
        found = run.api.get(path.format(node=segment(given["node"])))
        memory = found.get("memory") if isinstance(found, dict) else None
        assert isinstance(memory, dict)
        sizes = [(label, int(memory.get(name, 0))) for label, name in _MEMORY]
        sizes.sort(key=lambda item: -item[1])
        total: dict[str, int] = memory["total"]
        totals = [
            ["Total (RSS)", str(total["rss"])],
            ["Total (allocated by the runtime)", str(total["erlang"])],
        ]
        if unit:
            totals = [["total", f"100{unit}"]]
        all_of_it = max(total.values())
        rows = [
            [label, f"{size * 100 / all_of_it:.2f}{unit}" if unit else str(size)] for label, size in sizes
        ]
        run.table([["key", title], *totals, *rows])

    return show


def _hash(run: Run, given: Given) -> None:
    import hashlib
    import os
    from base64 import b64encode

    algorithm = given.get("hashing_algorithm", "SHA256").lower().replace("-", "")
    salt = os.urandom(4)
    digest = hashlib.new(algorithm, salt + given["password"].encode("utf-8", "surrogateescape")).digest()
    run.table([["key", "value"], ["password hash", b64encode(salt + digest).decode()]])


def _protection(method: str) -> Callable[[Run, Given], None]:
    def protect(run: Run, given: Given) -> None:
        run.api.send(method, f"/vhosts/{segment(given['name'])}/deletion/protection")

    return protect


def _enable_flag(run: Run, given: Given) -> None:
    run.api.send("PUT", f"/feature-flags/{segment(given['name'])}/enable", {"name": given["name"]})


def _nothing(run: Run, given: Given) -> None:
    """Enable all feature flags: they are enabled."""


_IDEMPOTENT = "idempotently"

#: `verb noun` -> the command.
COMMANDS: dict[str, Command] = {
    **{
        f"list {kind}": Command(_lister(kind), takes="page page_size component username apply_to")
        for kind in _LISTS
    },
    "queues list": Command(_lister("queues"), takes="page page_size columns"),
    "streams list": Command(_lister("queues"), takes="page page_size columns"),
    "queues show": Command(_show_queue, "name", "columns"),
    "streams show": Command(_show_queue, "name", "columns"),
    "auth_attempts stats": Command(_auth_attempts, "node"),
    "vhosts delete_multiple": Command(
        _delete_vhosts, "name_pattern", flags=f"approve dry_run {_IDEMPOTENT}"
    ),
    "list user_connections": Command(_user_connections, "username"),
    "show overview": Command(_overview),
    "show churn": Command(_churn),
    "show endpoint": Command(_endpoint),
    "show memory_breakdown_in_bytes": Command(_breakdown("/nodes/{node}/memory", "value", ""), "node"),
    "show memory_breakdown_in_percent": Command(
        _breakdown("/nodes/{node}/memory", "percentage", "%"), "node"
    ),
    "declare user": Command(_declare_user, "name", "password password_hash hashing_algorithm tags"),
    "declare vhost": Command(_declare_vhost, "name", "default_queue_type description", "tracing"),
    "declare permissions": Command(_declare_permissions, "username configure read write"),
    "declare queue": Command(_declare_queue, "name", "type durable auto_delete arguments"),
    "declare stream": Command(
        _declare_stream, "name expiration", "max_length_bytes stream_max_segment_size_bytes arguments"
    ),
    "declare exchange": Command(_declare_exchange, "name", "type durable auto_delete arguments"),
    "declare binding": Command(
        _declare_binding, "source destination_type destination routing_key", "arguments"
    ),
    "parameters list_all": Command(_list_all_parameters),
    "parameters list_in": Command(_list_parameters_in, "component"),
    "declare parameter": Command(_declare_parameter, "name component value"),
    "declare global_parameter": Command(_declare_global_parameter, "name value"),
    "declare policy": Command(_policy("policies"), "name pattern apply_to definition", "priority"),
    "declare operator_policy": Command(
        _policy("operator-policies"), "name pattern apply_to definition", "priority"
    ),
    "declare vhost_limit": Command(_declare_vhost_limit, "name value"),
    "declare user_limit": Command(_declare_user_limit, "user name value"),
    "delete user": Command(_deleter("/users/{name}"), "name", flags=_IDEMPOTENT),
    "delete vhost": Command(_deleter("/vhosts/{name}"), "name", flags=_IDEMPOTENT),
    "delete permissions": Command(_deleter("/permissions/{vhost}/{username}"), "username", flags=_IDEMPOTENT),
    "delete queue": Command(_deleter("/queues/{vhost}/{name}"), "name", flags=_IDEMPOTENT),
    "delete stream": Command(_deleter("/queues/{vhost}/{name}"), "name", flags=_IDEMPOTENT),
    "delete exchange": Command(_deleter("/exchanges/{vhost}/{name}"), "name", flags=_IDEMPOTENT),
    "delete binding": Command(
        _delete_binding, "source destination_type destination routing_key", "arguments", _IDEMPOTENT
    ),
    "delete parameter": Command(
        _deleter("/parameters/{component}/{vhost}/{name}"), "name component", flags=_IDEMPOTENT
    ),
    "delete global_parameter": Command(_deleter("/global-parameters/{name}"), "name", flags=_IDEMPOTENT),
    "delete policy": Command(_deleter("/policies/{vhost}/{name}"), "name", flags=_IDEMPOTENT),
    "delete operator_policy": Command(
        _deleter("/operator-policies/{vhost}/{name}"), "name", flags=_IDEMPOTENT
    ),
    "delete vhost_limit": Command(_deleter("/vhost-limits/{vhost}/{name}"), "name"),
    "delete user_limit": Command(_deleter("/user-limits/{user}/{name}"), "user name"),
    "purge queue": Command(_deleter("/queues/{vhost}/{name}/contents"), "name"),
    "close connection": Command(_deleter("/connections/{name}"), "name", flags=_IDEMPOTENT),
    "close user_connections": Command(
        _deleter("/connections/username/{username}"), "username", flags=_IDEMPOTENT
    ),
    "rebalance queues": Command(lambda run, given: _ignore(run.api.send("POST", "/rebalance/queues"))),
    "publish message": Command(
        _publish, "", "routing_key exchange payload properties",
        short={"k": "routing_key", "e": "exchange", "m": "payload", "p": "properties"},
    ),
    "get messages": Command(
        _get_messages, "queue", "count ack_mode", short={"q": "queue", "c": "count", "a": "ack_mode"}
    ),
    "health_check local_alarms": Command(_check("health/checks/local-alarms")),
    "health_check cluster_wide_alarms": Command(_check("health/checks/alarms")),
    "health_check node_is_quorum_critical": Command(_check("health/checks/node-is-quorum-critical")),
    "health_check deprecated_features_in_use": Command(_deprecated_check),
    "health_check port_listener": Command(_check("health/checks/port-listener/{port}"), "port"),
    "health_check protocol_listener": Command(
        _check("health/checks/protocol-listener/{protocol}"), "protocol"
    ),
    "vhosts enable_deletion_protection": Command(_protection("POST"), "name"),
    "vhosts disable_deletion_protection": Command(_protection("DELETE"), "name"),
    "passwords salt_and_hash": Command(_hash, "", "hashing_algorithm", words="password"),
    "feature_flags enable": Command(_enable_flag, "name"),
    "feature_flags enable_all": Command(_nothing),
    **policies.COMMANDS,
    **definitions.COMMANDS,
    **plugins.COMMANDS,
    **local.COMMANDS,
    "shell completions": Command(lambda run, given: completions.show(COMMANDS, given), takes="shell"),
}  # fmt: skip


def _ignore(found: object) -> None:
    """The answer says nothing."""


#: Groups that are named after objects -> the noun: `queues declare` is `declare queue`.
GROUPS = {
    "bindings": "binding", "channels": "channel", "connections": "connection", "exchanges": "exchange",
    "feature_flags": "feature_flag", "global_parameters": "global_parameter", "nodes": "node",
    "operator_policies": "operator_policy", "parameters": "parameter", "permissions": "permissions",
    "policies": "policy", "queues": "queue", "streams": "stream", "users": "user",
    "user_limits": "user_limit", "vhosts": "vhost", "vhost_limits": "vhost_limit", "consumers": "consumer",
    "deprecated_features": "deprecated_feature",
}  # fmt: skip

#: Commands of groups that are called otherwise.
_OTHER = {
    "connections close_of_user": "close user_connections", "connections list_of_user": "list user_connections",
    "users connections": "list user_connections", "users permissions": "list permissions",
    "users limits": "list user_limits", "exchanges bind": "declare binding", "exchanges unbind": "delete binding",
    "queues rebalance": "rebalance queues",
    "deprecated_features list_used": "list deprecated_features_in_use",
    "nodes memory_breakdown_in_bytes": "show memory_breakdown_in_bytes",
    "nodes memory_breakdown_in_percent": "show memory_breakdown_in_percent",
    "export definitions": "definitions export", "import definitions": "definitions import",
    "parameters set": "declare parameter", "parameters clear": "delete parameter",
    "policies update": "declare policy", "policies set": "declare policy",
    "operator_policies update": "declare operator_policy", "operator_policies set": "declare operator_policy",
    "global_parameters set": "declare global_parameter", "global_parameters clear": "delete global_parameter",
    "export": "definitions export", "import": "definitions import",
}  # fmt: skip


def find(words: Sequence[str]) -> tuple[str, list[str]]:
    """The command that words begin with, and the other words. Raises `Failed`."""
    first, second = (*words[:2], "", "")[:2]
    if first in ("export", "import") and second != "definitions":
        return _OTHER[first], list(words[1:])
    name = _OTHER.get(f"{first} {second}", f"{first} {second}")
    if first in GROUPS and name not in COMMANDS:
        name = f"list {first}" if second == "list" else f"{second} {GROUPS[first]}"
    if name in COMMANDS:
        return name, list(words[2:])
    if first.startswith("-"):
        raise _wrong(f"unexpected argument '{first}' found", "rabbitmqadmin [OPTIONS] <COMMAND>")
    groups = {known.partition(" ")[0] for known in COMMANDS} | set(GROUPS)
    if first not in groups:
        raise _wrong(f"unrecognized subcommand '{first}'", "rabbitmqadmin [OPTIONS] <COMMAND>")
    if not second:
        raise Failed(USAGE, usage.help_text([first]))
    raise _wrong(f"unrecognized subcommand '{second}'", usage.usage_of_group(first))


def _wrong(text: str, usage: str) -> Failed:
    return Failed(USAGE, f"error: {text}\n\nUsage: {usage}\n\nFor more information, try '--help'.")


#: Options that have two names.
_OTHERWISE = {"user": "username", "username": "user"}


#: Options whose values are truth values, and those that are numbers.
_TRUTHS = ("durable", "auto_delete", "trust_user_id", "bind_using_nowait", "reveal_passwords")
_NUMBERS = (
    "port",
    "max_length_bytes",
    "stream_max_segment_size_bytes",
    "reconnect_delay",
    "prefetch_count",
    "max_hops",
    "ttl",
    "message_ttl",
)


#: Options that are numbers within limits, and these in the words of the original.
_RANGES = {"page": (range(1, 2**64), "1..18446744073709551615"), "page_size": (range(1, 501), "1..=500")}


def given_to(name: str, words: Sequence[str], typed: str) -> Given:
    """The options of a command. `typed`: its name as it was written. Raises `Failed`."""
    command = COMMANDS[name]
    valued = {*command.needs.split(), *command.takes.split()}
    flags, arguments = command.flags.split(), command.words.split()
    found: Given = {}
    left = list(words)
    while left:
        word = left.pop(0)
        option, equals, value = word.partition("=")
        key = option[2:].replace("-", "_") if option.startswith("--") else command.short.get(option[1:2], "")
        if option.startswith("-") and not option.startswith("--") and len(option) > 2:
            left.insert(0, word[2:])
            equals = ""
        if not word.startswith("-"):
            if not arguments:
                raise _wrong(f"unexpected argument '{word}' found", usage.usage_of(typed, command))
            found[arguments.pop(0)] = word
        elif _OTHERWISE.get(key, "") in valued:
            left.insert(0, word.replace(option, f"--{_OTHERWISE[key]}", 1))
        elif key in flags:
            found[key] = "true"
        elif key in valued:
            if not equals and left and left[0].startswith("-") and len(left[0]) > 1:
                following = left[0].partition("=")[0]
                known = following[2:].replace("-", "_") in valued | {*flags}
                if not known and following[1:2] not in command.short:
                    raise _wrong(f"unexpected argument '{following}' found", usage.usage_of(typed, command))
                left.clear()
            if not equals and not left:
                text = f"a value is required for '{usage.value_of(key)}' but none was supplied"
                raise Failed(USAGE, f"error: {text}\n\nFor more information, try '--help'.")
            found[key] = value if equals else left.pop(0)
            _check_value(key, found[key])
        else:
            raise _wrong(f"unexpected argument '{option}' found", usage.usage_of(typed, command))
    missing = [key for key in command.needs.split() if key not in found]
    if missing:
        listed = "\n".join([f"  {usage.value_of(key)}" for key in missing])
        text = f"the following required arguments were not provided:\n{listed}"
        raise _wrong(text, usage.usage_of(typed, command, options=""))
    return found


def _check_value(key: str, value: str) -> None:
    """Raise `Failed` for a value of a wrong type."""
    problem = ""
    if key in _TRUTHS and value not in ("true", "false"):
        problem = "\n  [possible values: true, false]"
    elif (key in _NUMBERS or key in _RANGES) and not value.isdigit():
        problem = ": invalid digit found in string"
    elif key in _RANGES and int(value) not in _RANGES[key][0]:
        problem = f": {value} is not in {_RANGES[key][1]}"
    if problem:
        text = f"error: invalid value '{value}' for '{usage.value_of(key)}'{problem}"
        raise Failed(USAGE, f"{text}\n\nFor more information, try '--help'.")


def run(state: Run, words: Sequence[str]) -> int:
    """Carry out a command; returns the exit code."""
    try:
        name, rest = find(words)
        COMMANDS[name].action(state, given_to(name, rest, " ".join(words[: len(words) - len(rest)])))
    except Failed as failed:
        if failed.text:
            print(failed.text, file=sys.stderr)
        return failed.code
    except ApiError as error:
        print(_answer(error), file=sys.stderr)
        return DATA
    except UnreachableError as error:
        print(
            f"Encountered an error when performing an HTTP request: {error} ({state.api.uri})",
            file=sys.stderr,
        )
        return DATA
    return 0


def _answer(error: ApiError) -> str:
    if error.status == 404:
        return f"API responded with a {error.status} {error.phrase}"
    if not error.reason or error.reason.startswith("["):  # no text
        side = "client" if error.status < 500 else "server"
        return f"API responded with a {side} error: status code of {error.status} {error.phrase}"
    return error.reason
