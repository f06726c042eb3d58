"""Listeners of the node as commands show them."""

from __future__ import annotations

from collections.abc import Sequence

from leveret.control.call import Call, Handler
from leveret.management.site import Listener, ListenerFigures
from leveret.rendering.answers import UNAVAILABLE, Done, Failure, Rows, Shown, Silent, failed, failed_json
from leveret.rendering.terms import Atom, Row, row

#: RabbitMQ's words for protocols.
_PURPOSES = {
    "amqp": "AMQP 0-9-1 and AMQP 1.0",
    "amqp/ssl": "AMQP 0-9-1 and AMQP 1.0 over TLS",
    "http": "HTTP API",
    "https": "HTTP API over TLS (HTTPS)",
    "http/prometheus": "Prometheus exporter API over HTTP",
    "https/prometheus": "Prometheus exporter API over TLS (HTTPS)",
}

#: Other names of protocols (rabbit_networking / listeners.ex).
_ALIASES = {
    "amqp091": "amqp", "amqp10": "amqp", "amqp0.9.1": "amqp", "amqp1.0": "amqp", "amqp0-9-1": "amqp",
    "amqp-0-9-1": "amqp", "amqp1-0": "amqp", "amqps": "amqp/ssl", "management": "http", "ui": "http",
    "api": "http", "http/api": "http", "http/ui": "http", "prometheus": "http/prometheus",
}  # fmt: skip


def described(call: Call) -> list[dict[str, object]]:
    """The listeners as JSON shows them, with the one that RabbitMQ lists last first."""
    return described_of(call.node, call.host.listeners())


def described_of(node: str, found: Sequence[Listener | ListenerFigures]) -> list[dict[str, object]]:
    """The listeners of a node as JSON shows them."""
    return [
        {
            "interface": interface(one),
            "node": Atom(node),
            "port": one.port,
            "protocol": Atom(one.protocol),
            "purpose": _PURPOSES.get(one.protocol, "(unknown)"),
        }
        for one in reversed(found)
    ]


def interface(one: Listener | ListenerFigures) -> str:
    """The address, in brackets if it is one of IPv6."""
    return f"[{one.ip_address}]" if ":" in one.ip_address else one.ip_address


def lines(found: list[dict[str, object]]) -> list[str]:
    """The listeners as text."""
    return [
        f"Interface: {one['interface']}, port: {one['port']}, protocol: {one['protocol']}, purpose: {one['purpose']}"
        for one in found
    ]


def terms_of(node: str, found: Sequence[Listener | ListenerFigures]) -> list[object]:
    """The listeners of a node as terms: records, as in RabbitMQ."""
    from leveret.control.lists import address
    from leveret.rendering.terms import Quoted

    host = Quoted(node.partition("@")[2])
    return [
        (Atom("listener"), Atom(node), Atom(one.protocol), host, address(one.ip_address), one.port, [])
        for one in reversed(found)
    ]


def listeners(call: Call) -> object:
    """Show all listeners."""
    found = described(call)
    if call.json:
        return Shown({"result": "ok", "node": call.node, "listeners": found})
    if call.options.get("formatter") in ("csv", "erlang"):
        return Rows([_row(one) for one in found])
    return Shown("\n".join(lines(found)))


def _row(one: dict[str, object]) -> Row:
    return row(**{name: one[name] for name in ("node", "protocol", "interface", "port", "purpose")})


def check_port_listener(call: Call) -> object:
    """Check that something listens on a port."""
    (port,) = call.arguments
    found = call.host.listeners()
    if port in (str(one.port) for one in found):
        if call.json:
            return Shown({"result": "ok", "node": call.node, "port": port})
        return (
            Silent() if call.silent else Shown(f"A listener for port {port} is running on node {call.node}.")
        )
    ports = sorted({one.port for one in found})
    if call.json:
        fields = {"result": "error", "missing": port, "ports": ports, "listeners": described(call)}
        raise failed_json(fields)
    if call.silent:
        raise Failure(UNAVAILABLE, "")
    text = f"No listener for port {port} is active on node {call.node}. Found listeners that use the following ports: "
    raise Failure(UNAVAILABLE, text + ", ".join(map(str, ports)))


def check_protocol_listener(call: Call) -> object:
    """Check that there is a listener for a protocol."""
    (asked,) = call.arguments
    protocol = _ALIASES.get(asked.lower(), asked.lower())
    found = described(call)
    protocols = [str(one["protocol"]) for one in found]
    if protocol in protocols:
        if call.json:
            return Shown({"result": "ok", "node": call.node, "protocol": protocol})
        text = f"A listener for protocol {protocol} is running on node {call.node}."
        return Silent() if call.silent else Shown(text)
    if call.json:
        raise failed_json({"result": "error", "missing": asked, "protocols": protocols, "listeners": found})
    if call.silent:
        raise Failure(UNAVAILABLE, "")
    shown = ", ".join(sorted(set(protocols)))
    text = (
        f"No listener for protocol {asked} is active on node {call.node}. Found listeners for the following "
    )
    raise failed(UNAVAILABLE, f"{text}protocols: {shown}")


def check_port_connectivity(call: Call) -> object:
    """Give the listeners to the command, which connects to them."""
    from leveret.rendering.formatters import encoded

    return Shown(encoded(described(call)))


def suspend(call: Call) -> object:
    """Accept no AMQP connections."""
    call.host.suspend_listeners()
    return Done()


async def resume(call: Call) -> object:
    """Accept them again."""
    await call.host.resume_listeners()
    return Done()


COMMANDS: dict[str, Handler] = {
    "listeners": listeners,
    "check_port_listener": check_port_listener,
    "check_protocol_listener": check_protocol_listener,
    "check_port_connectivity": check_port_connectivity,
    "suspend_listeners": suspend,
    "resume_listeners": resume,
}
