"""`rabbitmqadmin` of RabbitMQ up to 4.2 (version 1): `declare queue name=q durable=true`, `list queues name`."""

from __future__ import annotations

import json
import sys
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from leveret.admin.http import Api, ApiError, UnreachableError, segment
from leveret.admin.tables import bars


class Listed(NamedTuple):
    """What can be listed. `vhost`: of one virtual host on request. `columns`: default; `json`: those of JSON."""

    vhost: bool
    columns: str = ""
    json: str = ""


LISTABLE = {
    "connections": Listed(False, "name user channels"),
    "channels": Listed(False, "name user"),
    "consumers": Listed(True),
    "exchanges": Listed(True, "name type"),
    "queues": Listed(True, "name messages"),
    "bindings": Listed(True, "source destination routing_key"),
    "users": Listed(False),
    "vhosts": Listed(False, "name messages"),
    "permissions": Listed(False),
    "nodes": Listed(False, "name type mem_used"),
    "parameters": Listed(False, json="value"),
    "policies": Listed(False, json="definition"),
    "operator_policies": Listed(False, json="definition"),
    "vhost_limits": Listed(False, json="value"),
}

SHOWN = "rabbitmq_version cluster_name queue_totals.messages object_totals.queues"


class Thing(NamedTuple):
    """What can be declared, deleted, ... `path`: with the names of arguments in braces. `needs`: arguments; one of
    several with `|`. `optional`: with their values. `json`: arguments that are JSON."""

    path: str
    needs: str
    optional: Mapping[str, object] = {}
    json: str = ""


_TOPOLOGY: dict[str, object] = {"auto_delete": "false", "durable": "true", "arguments": {}}

DECLARABLE = {
    "exchange": Thing("/exchanges/{vhost}/{name}", "name type", {**_TOPOLOGY, "internal": "false"}, "arguments"),
    "queue": Thing("/queues/{vhost}/{name}", "name", {**_TOPOLOGY, "node": None, "queue_type": None}, "arguments"),
    "binding": Thing(
        "/bindings/{vhost}/e/{source}/{destination_char}/{destination}", "source destination",
        {"destination_type": "queue", "routing_key": "", "arguments": {}}, "arguments",
    ),
    "vhost": Thing("/vhosts/{name}", "name", {"tracing": None, "default_queue_type": None, "description": None}),
    "user": Thing("/users/{name}", "name password|password_hash tags", {"hashing_algorithm": None}),
    "permission": Thing("/permissions/{vhost}/{user}", "vhost user configure write read"),
    "parameter": Thing("/parameters/{component}/{vhost}/{name}", "component name value", {}, "value"),
    "policy": Thing(
        "/policies/{vhost}/{name}", "name pattern definition", {"priority": 0, "apply-to": None},
        "definition priority",
    ),
    "operator_policy": Thing(
        "/operator-policies/{vhost}/{name}", "name pattern definition", {"priority": 0, "apply-to": None},
        "definition priority",
    ),
    "vhost_limit": Thing("/vhost-limits/{vhost}/{name}", "vhost name value", {}, "value"),
}  # fmt: skip

DELETABLE = {
    "exchange": Thing("/exchanges/{vhost}/{name}", "name"),
    "queue": Thing("/queues/{vhost}/{name}", "name"),
    "binding": Thing(
        "/bindings/{vhost}/e/{source}/{destination_char}/{destination}/{properties_key}",
        "source destination_type destination",
        {"properties_key": "~"},
    ),
    "vhost": Thing("/vhosts/{name}", "name"),
    "user": Thing("/users/{name}", "name"),
    "permission": Thing("/permissions/{vhost}/{user}", "vhost user"),
    "parameter": Thing("/parameters/{component}/{vhost}/{name}", "component name"),
    "policy": Thing("/policies/{vhost}/{name}", "name"),
    "operator_policy": Thing("/operator-policies/{vhost}/{name}", "name"),
    "vhost_limit": Thing("/vhost-limits/{vhost}/{name}", "vhost name"),
}

CLOSABLE = {"connection": Thing("/connections/{name}", "name")}
PURGABLE = {"queue": Thing("/queues/{vhost}/{name}/contents", "name")}

PUBLISH = Thing(
    "/exchanges/{vhost}/{exchange}/publish", "routing_key",
    {"payload": None, "properties": {}, "exchange": "amq.default", "payload_encoding": "string"}, "properties",
)  # fmt: skip
GET = Thing(
    "/queues/{vhost}/{queue}/get", "queue",
    {"count": 1, "ackmode": "ack_requeue_true", "payload_file": None, "encoding": "auto"},
)  # fmt: skip

VERBS = ("list", "show", "declare", "delete", "close", "purge", "publish", "get", "export", "import")

#: Columns that come first.
_FIRST = (
    "vhost",
    "name",
    "type",
    "source",
    "destination",
    "destination_type",
    "routing_key",
)


class Options(NamedTuple):
    """Options that are not about the address. `vhost`: empty for all or the default one."""

    vhost: str
    format: str
    sort: str
    reverse: bool
    depth: int
    quiet: bool
    node: str


class Refused(Exception):  # noqa: N818  it is an answer
    """The arguments are wrong."""


class NotJson(Refused):
    """An argument is no JSON."""


def run(api: Api, options: Options, words: Sequence[str]) -> int:
    """Carry out a command; returns the exit code."""
    verb, rest = words[0], list(words[1:])
    handlers: dict[str, Callable[[Api, Options, list[str]], None]] = {
        "list": _list, "show": _show, "declare": _declare, "delete": _delete, "close": _close, "purge": _purge,
        "publish": _publish, "get": _get, "export": _export, "import": _import,
    }  # fmt: skip
    try:
        handlers[verb](api, options, rest)
    except NotJson as refused:
        print(f"ERROR: {refused}", file=sys.stderr)
        return 1
    except Refused as refused:
        print(f"\nERROR: {refused}\n\nrabbitmqadmin --help for help\n", file=sys.stderr)
        return 1
    except ApiError as error:
        print(f"*** {_answer(error)}\n", file=sys.stderr)
        return 1
    except FileNotFoundError as error:
        print(f"*** {error}\n", file=sys.stderr)
        return 1
    except UnreachableError as error:
        print(f"*** Could not connect: {error}\n", file=sys.stderr)
        return 1
    return 0


def _answer(error: ApiError) -> str:
    if error.status == 401:
        return f"Access refused: {error.path}"
    if error.status == 404:
        return f"Not found: {error.path}"
    if error.status == 405:
        return f"Method not allowed: {error.reason}"
    if error.reason.startswith("["):
        return str(json.loads(error.reason))
    return error.reason or error.phrase


# --- lists


def _list(api: Api, options: Options, words: list[str]) -> None:
    if not words or words[0] not in LISTABLE:
        raise Refused(f"Don't know how to list {' '.join(words[:1])}")
    kind, columns = words[0], words[1:]
    listed = LISTABLE[kind]
    if not columns and options.depth == 1 and "json" not in options.format:
        columns = listed.columns.split()
    path = "/" + kind.replace("_", "-")
    if listed.vhost and options.vhost:
        path += f"/{segment(options.vhost)}"
    found = api.get(path, _query(options, columns))
    assert isinstance(found, list)
    _display(options, found, columns, listed.json.split())


def _query(options: Options, columns: Sequence[str]) -> dict[str, str]:
    query = {"columns": ",".join(columns)} if columns else {}
    if options.sort:
        query["sort"] = options.sort
        if options.reverse:
            query["sort_reverse"] = "true"
    return query


def _show(api: Api, options: Options, words: list[str]) -> None:
    if words[:1] != ["overview"]:
        raise Refused(f"Don't know how to show {' '.join(words[:1])}")
    columns = words[1:]
    if not columns and options.depth == 1 and "json" not in options.format:
        columns = SHOWN.split()
    found = api.get("/overview", _query(options, columns))
    _display(options, [found], columns, [])


def _display(options: Options, items: list[object], columns: list[str], documents: Sequence[str]) -> None:
    if options.format == "raw_json":
        print(json.dumps(items, separators=(",", ":"), ensure_ascii=False))
        return
    if options.format == "pretty_json":
        print(json.dumps(items, indent=2, ensure_ascii=False, sort_keys=True))
        return
    depth = sys.maxsize if columns else options.depth
    # An object without any of the columns that were asked for is an empty list in the API.
    rows = [_flat(item or {}, depth, documents) for item in items]
    if not rows:
        _say(options, "No items")
        return
    if not columns:
        names = dict.fromkeys(name for row in rows for name in row)
        columns = sorted(
            names, key=lambda name: (_FIRST.index(name), "") if name in _FIRST else (len(_FIRST), name)
        )
    table = [[row.get(name, "") for name in columns] for row in rows]
    if options.format == "tsv":
        _say(options, "\t".join(columns))
        print("\n".join(["\t".join(row) for row in table]))
    elif options.format == "bash":
        if "name" in columns:
            print(" ".join([row[columns.index("name")] for row in table]))
    elif options.format == "kvp":
        print(
            "\n".join(
                [
                    " ".join([f'{name}="{text}"' for name, text in zip(columns, row, strict=True)])
                    for row in table
                ]
            )
        )
    elif options.format == "long":
        _long(columns, table)
    else:
        print(bars([columns, *table]))


def _long(columns: Sequence[str], table: Sequence[Sequence[str]]) -> None:
    width = max(map(len, columns), default=0)
    sep = "\n" + "-" * 80 + "\n"
    print(sep)
    for row in table:
        for name, text in zip(columns, row, strict=True):
            print(f"{name:>{width}}: {text}")
        print(sep)


def _flat(
    item: object, depth: int, documents: Sequence[str], prefix: str = "", level: int = 1
) -> dict[str, str]:
    """The fields of an object, those of objects in it as far as `depth` allows."""
    found: dict[str, str] = {}
    assert isinstance(item, dict)
    for name, value in item.items():
        column = f"{prefix}{name}"
        if isinstance(value, dict):
            if name in documents:
                found[column] = json.dumps(value)
            elif level < depth:
                found |= _flat(value, depth, documents, f"{column}.", level + 1)
        elif isinstance(value, list):
            texts = all(isinstance(one, str) for one in value)
            found[column] = " ".join(value) if texts else json.dumps(value)
        else:
            found[column] = "" if value is None else str(value)
    return found


# --- changes


def _values(thing: Thing, words: Sequence[str], vhost: str) -> dict[str, object]:
    """The arguments `name=value`. Raises `Refused`."""
    given: dict[str, object] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise Refused(f'Argument "{word}" not in the name=value format')
        if (
            name != "vhost"
            and name not in thing.needs.replace("|", " ").split()
            and name not in thing.optional
        ):
            raise Refused(f'Argument "{name}" is not recognised')
        given[name] = _document(name, value) if name in thing.json.split() else value
    if "vhost" not in given and "{vhost}" in thing.path:
        given["vhost"] = vhost or "/"
    for need in thing.needs.split():
        if not any(name in given for name in need.split("|")):
            if "|" in need:
                raise Refused(f'one of mandatory arguments "{need.split("|")}" is required')
            raise Refused(f'mandatory argument "{need}" is required')
    found = {name: value for name, value in thing.optional.items() if value is not None}
    return {**found, **given}


def _document(name: str, text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        raise NotJson(f"Could not parse JSON:\n  {text}") from None


def _path(thing: Thing, values: Mapping[str, object]) -> str:
    names = {name: segment(str(value)) for name, value in values.items()}
    return thing.path.format(destination_char=str(values.get("destination_type", "q"))[0], **names)


def _thing(things: Mapping[str, Thing], verb: str, words: Sequence[str]) -> Thing:
    if not words:
        raise Refused("Type not specified")
    if words[0] not in things:
        raise Refused(f"Type {words[0]} not recognised")
    return things[words[0]]


def _declare(api: Api, options: Options, words: list[str]) -> None:
    thing = _thing(DECLARABLE, "declare", words)
    values = _values(thing, words[1:], options.vhost)
    path = _path(thing, values)
    kind = values.pop("queue_type", None)
    if kind is not None:
        arguments = values["arguments"]
        assert isinstance(arguments, dict)
        values["arguments"] = {**arguments, "x-queue-type": kind}
    api.send("POST" if words[0] == "binding" else "PUT", path, values)
    _say(options, f"{words[0]} declared")


def _say(options: Options, text: str) -> None:
    if not options.quiet:
        print(text)


def _delete(api: Api, options: Options, words: list[str]) -> None:
    thing = _thing(DELETABLE, "delete", words)
    api.send("DELETE", _path(thing, _values(thing, words[1:], options.vhost)))
    _say(options, f"{words[0]} deleted")


def _close(api: Api, options: Options, words: list[str]) -> None:
    thing = _thing(CLOSABLE, "close", words)
    api.send("DELETE", _path(thing, _values(thing, words[1:], options.vhost)))
    _say(options, f"{words[0]} closed")


def _purge(api: Api, options: Options, words: list[str]) -> None:
    thing = _thing(PURGABLE, "purge", words)
    api.send("DELETE", _path(thing, _values(thing, words[1:], options.vhost)))
    _say(options, f"{words[0]} purged")


def _publish(api: Api, options: Options, words: list[str]) -> None:
    values = _values(PUBLISH, words, options.vhost)
    path = _path(PUBLISH, values)
    if "payload" not in values:
        values["payload"] = b64encode(sys.stdin.read().encode("utf-8", "surrogateescape")).decode()
        values["payload_encoding"] = "base64"
    answer = api.send("POST", path, values)
    routed = isinstance(answer, dict) and answer.get("routed")
    _say(options, "Message published" if routed else "Message published but NOT routed")


def _get(api: Api, options: Options, words: list[str]) -> None:
    values = _values(GET, words, options.vhost)
    file = values.pop("payload_file", None)
    values["count"] = int(str(values["count"]))
    found = api.send("POST", _path(GET, values), values)
    assert isinstance(found, list)
    if file is not None:
        if len(found) == 1:
            with open(str(file), "w", encoding="utf-8") as output:
                output.write(str(found[0]["payload"]))
        return
    _display(options, found, [], [])


def _export(api: Api, options: Options, words: list[str]) -> None:
    if len(words) != 1:
        raise Refused("Exactly one argument required")
    path = f"/definitions/{segment(options.vhost)}" if options.vhost else "/definitions"
    text = api.request("GET", path)
    with open(words[0], "w", encoding="utf-8") as file:
        file.write(text)
    _say(options, f'Exported definitions for {api.host} to "{words[0]}"')


def _import(api: Api, options: Options, words: list[str]) -> None:
    if len(words) != 1:
        raise Refused("Exactly one argument required")
    with open(words[0], encoding="utf-8") as file:
        text = file.read()
    path = f"/definitions/{segment(options.vhost)}" if options.vhost else "/definitions"
    api.request("POST", path, text)
    _say(
        options,
        f'Uploaded definitions from "{api.host}" to {words[0]}. The import process may take some time. Consult server '
        "logs to track progress.",
    )
