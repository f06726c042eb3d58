"""What `leveret serve` prints in a terminal when the node is up: where it can be reached, and how to stop it."""

from __future__ import annotations

from collections.abc import Iterable

from leveret import __version__
from leveret.management.site import Listener

#: Addresses that stand for all addresses of the machine.
_EVERYWHERE = frozenset({"::", "0.0.0.0", "127.0.0.1", "::1"})

#: Protocol of a listener -> its name, and its address as a URL.
_SHOWN = {
    "amqp": ("AMQP", "amqp://{}"),
    "amqp/ssl": ("AMQP, TLS", "amqps://{}"),
    "http": ("Page, API", "http://{}/"),
    "https": ("Page, API", "https://{}/"),
    "http/prometheus": ("Metrics", "http://{}/metrics"),
}


def banner(listeners: Iterable[Listener], profile: str, data_dir: str, *, guest: bool) -> list[str]:
    """Return at most eight lines. `guest`: the default user exists. `data_dir`: empty without a store."""
    lines = [f"Leveret {__version__}, as RabbitMQ {profile}"]
    named: set[str] = set()
    for listener in listeners:
        if listener.protocol in _SHOWN and listener.protocol not in named:
            named.add(listener.protocol)
            name, url = _SHOWN[listener.protocol]
            login = "  user guest, password guest" if guest and listener.protocol in ("http", "https") else ""
            lines.append(f"  {name:<10} {url.format(_address(listener))}{login}")
    kept = data_dir or "nowhere: all is lost at the end; --data-dir DIR keeps it"
    return [*lines, f"  {'Data':<10} {kept}", f"  {'Stop':<10} Ctrl-C"]


def _address(listener: Listener) -> str:
    host = "localhost" if listener.ip_address in _EVERYWHERE else listener.ip_address
    return f"{f'[{host}]' if ':' in host else host}:{listener.port}"
