"""What commands show of the operating system: host names, network interfaces."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path

from leveret.rendering.answers import DATA, Shown, failed, failed_json

Options = Mapping[str, object]


def resolved(name: str, options: Options) -> Shown:
    """The addresses of a host name. Raises Failure."""
    family = str(options["address_family"])
    wanted = socket.AF_INET6 if family.lower() in ("ipv6", "inet6") else socket.AF_INET
    json = options.get("formatter") == "json"
    try:
        found = socket.getaddrinfo(name, None, wanted, socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        text = "Hostname does not resolve (resolution failed with an nxdomain)"
        if json:
            raise failed_json({"result": "error", "node": options["node"], "message": text}, DATA) from None
        raise failed(DATA, text) from None
    addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
    if not json:
        return Shown("\n".join(addresses))
    return Shown({
        "result": "ok", "node": options["node"], "hostname": name, "address_family": family, "addresses": addresses,
    })  # fmt: skip


def resolver(options: Options) -> Shown:
    """How host names are resolved."""
    files = {"lookup": "native", "hosts_file": "/etc/hosts", "resolv_conf": "/etc/resolv.conf"}
    if options.get("formatter") == "json":
        return Shown({"result": "ok", "node": options["node"], "resolver": files})
    return Shown(
        "Runtime Hostname Resolver (inetrc) Settings\n\n"
        f"Lookup order: {files['lookup']}\nHosts file: {files['hosts_file']}\n"
        f"Resolver conf file: {files['resolv_conf']}\nCache size: \n\ninetrc File Host Entries\n\n(none)"
    )


def interfaces(options: Options) -> Shown:
    """The network interfaces, with their addresses."""
    found = {name: _interface(name) for _, name in socket.if_nameindex()}
    if options.get("formatter") == "json":
        text = f"Node {options['node']} reported network interfaces"
        return Shown({"result": "ok", "interfaces": found, "message": text})
    parts = []
    for name, properties in sorted(found.items()):
        lines = [f"{key}: {value}" for key, value in properties.items()]
        parts.append("\n".join([f"Interface {name}\n", *lines, "\n"]))
    return Shown("\n".join(parts))


def _interface(name: str) -> dict[str, str]:
    """The hardware address, the addresses that the system tells without further calls, and the state."""
    folder = Path("/sys/class/net") / name
    found: dict[str, str] = {}
    try:
        found["hwaddr"] = (folder / "address").read_text().strip().upper()
        flags = int((folder / "flags").read_text(), 16)
    except (OSError, ValueError):
        return found
    bits = ((0x1, "up"), (0x2, "broadcast"), (0x8, "loopback"), (0x40, "running"), (0x1000, "multicast"))
    found["flags"] = ", ".join(word for bit, word in bits if flags & bit)
    return found
