"""Metrics of a cluster, as one of its nodes sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from leveret.management.site import Metric

if TYPE_CHECKING:
    from leveret.cluster.member import Member
    from leveret.cluster.unit import Unit
    from leveret.cluster.units import Units
    from leveret.cluster.vhost_entry import VhostEntry

#: Metrics of each virtual host: name, kind, help text, value.
_EACH: tuple[tuple[str, str, str, Callable[[Unit], float]], ...] = (
    ("owned", "gauge", "Whether this node serves the virtual host", lambda unit: unit.serving),
    (
        "damaged",
        "gauge",
        "Whether this node cannot serve it, and keeps it closed",
        lambda unit: bool(unit.damage),
    ),
    ("takeovers_total", "counter", "How often this process has taken it over", lambda unit: unit.takeovers),
    ("epoch", "gauge", "Number of this node as its owner", lambda unit: unit.epoch),
    ("log_sequence", "gauge", "Last record of its log that this node has", lambda unit: unit.sequence),
    ("log_read_bytes_total", "counter", "Octets read from its log", lambda unit: unit.read_bytes),
    (
        "messages_read_bytes",
        "gauge",
        "Octets of messages that a takeover need not read",
        lambda unit: unit.ahead,
    ),
    ("appends_total", "counter", "Records appended to its log", lambda unit: unit.appended),
    (
        "append_seconds_total",
        "counter",
        "Time that appending took, of all records",
        lambda unit: unit.append_s,
    ),
)


def metrics(member: Member, units: Units, entry: VhostEntry) -> list[Metric]:
    """Return the metrics of a node."""
    now = member.time.now()
    single = (
        ("nodes", "gauge", "Nodes that live, as this one sees it", len(member.view.living(now))),
        ("passed_on", "gauge", "Clients of this node that others serve", entry.passed_on),
        ("disk_full", "gauge", "Whether the disk of this node is full", int(member.full)),
        ("contact_age_seconds", "gauge", "Age of the last contact to NATS", member.lease.age(now)),
    )
    found = [Metric(f"leveret_cluster_{name}", kind, text, {"": value}) for name, kind, text, value in single]
    every = sorted(units.units.items())
    return found + [
        Metric(f"leveret_cluster_{name}", kind, text, {vhost: float(of(unit)) for vhost, unit in every})
        for name, kind, text, of in _EACH
    ]
