"""Definitions as `rabbitmqadmin` exports and imports them, and what it can change in them meanwhile."""

from __future__ import annotations

import json
import os
import sys
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any

from leveret.admin.command import DATA, USAGE, Command, Failed, Given, Run, failed, json_problem
from leveret.admin.policies import matches

#: A definitions document. `Any`: JSON of RabbitMQ, whose form the tool takes as given.
Definitions = dict[str, Any]

#: Keys of policies for mirrored classic queues, which RabbitMQ had before 4.0, and what else quorum queues do not have.
_MIRRORING = (
    *(
        "ha-mode",
        "ha-params",
        "ha-promote-on-shutdown",
        "ha-promote-on-failure",
        "ha-sync-mode",
        "ha-sync-batch-size",
    ),
)
_NOT_QUORUM = (*_MIRRORING, "queue-mode", "max-priority")


def _without_keys(found: Definitions, keys: tuple[str, ...]) -> None:
    for policy in found.get("policies", []):
        policy["definition"] = {
            name: value for name, value in policy["definition"].items() if name not in keys
        }


def _target(queue: Mapping[str, Any]) -> str:
    kind = queue.get("arguments", {}).get("x-queue-type", "classic")
    return "streams" if kind == "stream" else f"{kind}_queues"


def _make_quorum(found: Definitions) -> None:
    """Give the type quorum to queues that a policy matches."""
    for policy in found.get("policies", []):
        for queue in found.get("queues", []):
            if policy.get("vhost") == queue.get("vhost") and matches(policy, queue["name"], _target(queue)):
                queue.setdefault("arguments", {})["x-queue-type"] = "quorum"


def _strip_mirroring(found: Definitions) -> None:
    _without_keys(found, _MIRRORING)
    _make_quorum(found)


def _prepare_migration(found: Definitions) -> None:
    _strip_mirroring(found)
    _without_keys(found, _NOT_QUORUM)
    for queue in found.get("queues", []):
        arguments = queue.get("arguments", {})
        if arguments.get("x-overflow") == "reject-publish-dlx":
            arguments["x-overflow"] = "reject-publish"
        queue["arguments"] = {
            name: value for name, value in arguments.items() if name.removeprefix("x-") not in _MIRRORING
        }
    for policy in found.get("policies", []):
        if policy["definition"].get("overflow") == "reject-publish-dlx":
            policy["definition"]["overflow"] = "reject-publish"


def _drop_empty(found: Definitions) -> None:
    found["policies"] = [policy for policy in found.get("policies", []) if policy["definition"]]


def _obfuscate(found: Definitions) -> None:
    """Give users other names, and passwords that nobody knows."""
    users = found.get("users", [])
    names = {user["name"]: f"obfuscated-user-{number}" for number, user in enumerate(users, 1)}
    for user in users:
        user["name"] = names[user["name"]]
        user["password_hash"] = b64encode(os.urandom(36)).decode()
    for section in ("permissions", "topic_permissions"):
        for one in found.get(section, []):
            one["user"] = names.get(one["user"], one["user"])


def _exclude(section: str) -> Callable[[Definitions], None]:
    def exclude(found: Definitions) -> None:
        found[section] = []

    return exclude


_OF_VHOSTS: dict[str, Callable[[Definitions], None]] = {
    "prepare_for_quorum_queue_migration": _prepare_migration,
    "strip_cmq_keys_from_policies": _strip_mirroring,
    "drop_empty_policies": _drop_empty,
}
_OF_CLUSTERS = {
    **_OF_VHOSTS,
    "obfuscate_usernames": _obfuscate,
    "exclude_users": _exclude("users"),
    "exclude_permissions": _exclude("permissions"),
    "exclude_runtime_parameters": _exclude("parameters"),
    "exclude_policies": _exclude("policies"),
}


def transformed(
    text: str, named: str, known: Mapping[str, Callable[[Definitions], None]] = _OF_CLUSTERS
) -> str:
    """Return definitions after the transformations that are named, separated by commas; unknown ones do nothing."""
    found = json.loads(text)
    for name in named.split(","):
        transform = known.get(name.strip())
        if transform is not None:
            transform(found)
    return json.dumps(found, indent=2, ensure_ascii=False)


def _export(run: Run, given: Given) -> None:
    _write(run.api.request("GET", "/definitions"), given, _OF_CLUSTERS)


def _export_vhost(run: Run, given: Given) -> None:
    _write(run.api.request("GET", f"/definitions/{run.where()}"), given, _OF_VHOSTS)


def _write(text: str, given: Given, known: Mapping[str, Callable[[Definitions], None]]) -> None:
    """Write definitions to a file, or to standard output."""
    if "transformations" in given:
        text = transformed(text, given["transformations"], known)
    path = given.get("file", "-")
    if "stdout" in given or path == "-":
        print(text)
        return
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise Failed(DATA, f"I/O error: {error.strerror} (os error {error.errno})") from None


def _import(run: Run, given: Given) -> None:
    run.api.request("POST", "/definitions", _read(given))


def _import_vhost(run: Run, given: Given) -> None:
    run.api.request("POST", f"/definitions/{run.where()}", _read(given))


def _read(given: Given) -> str:
    """Return definitions from a file, or from standard input. Raises `Failed`."""
    path = given.get("file", "").strip().strip("'\"")
    if not path and "stdin" not in given:
        text = "error: the following required arguments were not provided:\n  --file <file>"
        raise Failed(USAGE, f"{text}\n\nFor more information, try '--help'.")
    try:
        if "stdin" in given or path == "-":
            text = sys.stdin.read()
        else:
            with open(path, encoding="utf-8") as file:
                text = file.read()
    except OSError as error:
        reason = f"{error.strerror} (os error {error.errno})"
        raise failed(f"`{path}` does not exist or is not readable: {reason}") from None
    try:
        json.loads(text)
    except ValueError as error:
        where = f"`{path}` is not a valid JSON file" if path else "could not parse JSON from standard input"
        raise failed(f"{where}: {json_problem(error)}") from None
    return text


_SHORT = {"t": "transformations"}

COMMANDS: dict[str, Command] = {
    "definitions export": Command(_export, "", "file transformations", "stdout", short=_SHORT),
    "definitions export_from_vhost": Command(
        _export_vhost, "", "file transformations", "stdout", short=_SHORT
    ),
    "definitions import": Command(_import, "", "file", "stdin"),
    "definitions import_into_vhost": Command(_import_vhost, "", "file", "stdin"),
}
