"""`check_port_connectivity`: a TCP connection to each listener of the node."""

from __future__ import annotations

import json
import socket
from typing import TypedDict

from leveret.commands import checks
from leveret.commands.line import Exit, Line


class Listener(TypedDict):
    """A listener, as the node describes it."""

    interface: str
    node: str
    port: int
    protocol: str
    purpose: str


def check(line: Line, listeners: str) -> None:
    """Connect to listeners, given as JSON by the node. Raises Exit if one does not accept."""
    found: list[Listener] = json.loads(listeners)
    node, address = line.options["node"], line.options["address"]
    host = str(address) if address is not None else str(node).partition("@")[2]
    timeout = line.options["timeout"]
    assert isinstance(timeout, int)
    seconds = timeout / (len(found) + 1) / 1000
    failures = [one for one in found if not _accepts(host, one["port"], seconds)]
    if failures:
        raise _failed(line, failures)
    if line.options.get("formatter") == "json":
        print(json.dumps({"result": "ok", "node": node, "listeners": found}, separators=(",", ":")))
        return
    ports = ", ".join(map(str, sorted(one["port"] for one in found)))
    how = "node hostname resolution" if address is None else f"{address} for target IP address"
    print(f"Successfully connected to ports {ports} on node {node} (using {how})")


def _accepts(host: str, port: int, timeout: float) -> bool:
    print(f"Will connect to {host}:{port}")
    try:
        socket.create_connection((host, port), timeout).close()
    except OSError as error:
        print(f"Error connecting to {host}:{port}: {(error.strerror or str(error)).lower()}")
        return False
    return True


def _failed(line: Line, failures: list[Listener]) -> Exit:
    if line.options.get("formatter") == "json":
        fields = {"result": "error", "node": line.options["node"], "failures": failures}
        return Exit(checks.UNAVAILABLE, json.dumps(fields, separators=(",", ":")))
    head = f"Connection to ports of the following listeners on node {line.options['node']} failed: "
    return Exit(checks.UNAVAILABLE, "\n".join(["Error:\n" + head, *map(_shown, failures)]))


def _shown(one: Listener) -> str:
    interface, port, protocol = one["interface"], one["port"], one["protocol"]
    return f"Interface: {interface}, port: {port}, protocol: {protocol}, purpose: {one['purpose']}"
