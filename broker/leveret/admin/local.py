"""Commands of `rabbitmqadmin` that change its own configuration file."""

from __future__ import annotations

import os
import re

from leveret.admin.command import DATA, Command, Failed, Given, Run

#: Fields of a node in the file, in the order in which they are shown and written.
_FIELDS = ("hostname", "port", "username", "password", "scheme", "path_prefix", "vhost")

#: Option -> field.
_OPTIONS = {"host": "hostname", **{name: name for name in _FIELDS[1:]}}

Nodes = dict[str, dict[str, str]]


def config_path() -> str:
    """Return the path of the configuration file."""
    return os.path.expanduser(os.environ.get("RABBITMQADMIN_CONFIG_FILE_PATH", "~/.rabbitmqadmin.conf"))


def _read() -> Nodes:
    """Return the nodes in the file (TOML: a table for each). Raises `Failed`."""
    import tomllib

    try:
        with open(config_path(), "rb") as file:
            found = tomllib.load(file)
    except OSError as error:
        raise Failed(DATA, f"Failed to read the config file {config_path()}: {error.strerror}") from None
    except ValueError as error:
        raise Failed(DATA, f"Failed to parse the config file {config_path()}: {error}") from None
    return {
        name: {field: str(value) for field, value in table.items()}
        for name, table in found.items()
        if isinstance(table, dict)
    }


def _write(nodes: Nodes) -> None:
    """Write the file; only its owner can read it, because it has passwords. Raises `Failed`."""
    lines: list[str] = []
    for name, fields in nodes.items():
        lines.append(f"[{name}]" if re.fullmatch(r"[A-Za-z0-9_-]+", name) else f"[{_quoted(name)}]")
        lines += [f"{field} = {text if field == 'port' else _quoted(text)}" for field, text in fields.items()]
        lines.append("")
    try:
        descriptor = os.open(config_path(), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write("\n".join(lines))
    except OSError as error:
        raise Failed(DATA, f"Failed to write the config file {config_path()}: {error.strerror}") from None


def _quoted(text: str) -> str:
    import json

    return json.dumps(text)


def _show_path(run: Run, given: Given) -> None:
    exists = "true" if os.path.exists(config_path()) else "false"
    run.table([["key", "value"], ["path", config_path()], ["exists", exists]])


def _show(run: Run, given: Given) -> None:
    """Show all nodes, passwords only with --reveal-passwords."""
    nodes = _read()
    rows = [["node", *_FIELDS]]
    for name, fields in nodes.items():
        shown = dict(fields)
        if "password" in shown and given.get("reveal_passwords") != "true":
            shown["password"] = "********"
        rows.append([name, *(shown.get(field, "") for field in _FIELDS)])
    run.table(rows)


def _fields(given: Given) -> dict[str, str]:
    found = {field: given[option] for option, field in _OPTIONS.items() if option in given}
    if not found.get("port", "0").isdigit():
        raise Failed(
            2, f"error: invalid value '{found['port']}' for '--port <port>': invalid digit found in string"
        )
    return found


def _add(run: Run, given: Given) -> None:
    name = given.get("node", "default")
    nodes = _read() if os.path.exists(config_path()) or "create_file_if_missing" not in given else {}
    if name in nodes:
        raise Failed(DATA, f"Node '{name}' already exists in the configuration file")
    _write({**nodes, name: _fields(given)})


def _update(run: Run, given: Given) -> None:
    name = given.get("node", "default")
    nodes = _read() if os.path.exists(config_path()) or "create_file_if_missing" not in given else {}
    _write({**nodes, name: {**nodes.get(name, {}), **_fields(given)}})


def _delete(run: Run, given: Given) -> None:
    nodes = _read()
    if nodes.pop(given["node"], None) is None:
        raise Failed(DATA, f"Node '{given['node']}' does not exist in the configuration file")
    _write(nodes)


_NODE = "node host port username password scheme path_prefix vhost"
_SHORT = {
    "N": "node", "H": "host", "P": "port", "u": "username", "p": "password", "s": "scheme", "V": "vhost",
}  # fmt: skip

COMMANDS: dict[str, Command] = {
    "config_file show_path": Command(_show_path),
    "config_file show": Command(_show, takes="reveal_passwords"),
    "config_file add_node": Command(_add, "", _NODE, "create_file_if_missing", short=_SHORT),
    "config_file update_node": Command(_update, "", _NODE, "create_file_if_missing", short=_SHORT),
    "config_file delete_node": Command(_delete, "node", flags="create_file_if_missing", short=_SHORT),
}
