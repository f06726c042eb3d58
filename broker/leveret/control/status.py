"""`status`, `cluster_status`, `memory_breakdown`, `environment`: what the node is and uses."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import resource
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from leveret.control import listeners
from leveret.control.call import Call, Handler
from leveret.control.health import alarm_lines, alarm_lines_of, alarm_terms, alarm_terms_of
from leveret.control.passing import others, text_of
from leveret.engine.feature_flags import flags
from leveret.engine.parameters import CLUSTER_TAGS
from leveret.management.site import Listener, ListenerFigures
from leveret.management.views import nodes as views
from leveret.rendering.answers import Failure, Shown
from leveret.rendering.formatters import converted
from leveret.rendering.terms import Atom, Quoted

_NONE = ["(none)"]


def software() -> str:
    """What the node runs on, in place of the Erlang configuration."""
    return f"{platform.python_implementation()} {platform.python_version()} (Leveret)"


def _crypto() -> str:
    import ssl

    return ssl.OPENSSL_VERSION


async def _memory(call: Call) -> dict[str, int]:
    """Octets by category."""
    steps = views.memory(call.broker, call.host.resources.memory().value)
    found = await call.host.slices.run(steps)
    return {name: size for name, size in found.items() if isinstance(size, int)}


def shares(sizes: Mapping[str, int]) -> list[tuple[str, dict[str, object]]]:
    """Octets and percentages by category, the largest first."""
    total = sum(sizes.values()) or 1
    ordered = sorted(sizes.items(), key=lambda item: -item[1])
    return [(name, {"bytes": size, "percentage": round(100 * size / total, 2)}) for name, size in ordered]


async def _totals(call: Call) -> dict[str, int]:
    """How many objects there are: connections to this node, queues on all nodes that answer."""
    broker = call.broker
    queues = sum(len(vhost.queues) for vhost in broker.vhosts.values())
    for node in others(call):
        with contextlib.suppress(Failure):
            queues += json.loads(await text_of(call, node, formatter="json"))["totals"]["queue_count"]
    return {
        "connection_count": sum(1 for each in broker.connections if each.is_open),
        "queue_count": queues,
        "virtual_host_count": len(broker.vhost_names()),
    }


async def _facts(call: Call) -> dict[str, object]:
    """What `status` shows, as JSON does."""
    host, broker = call.host, call.broker
    resources, memory = host.resources, await _memory(call)
    total = resources.memory().value
    setting: dict[str, object] = {"relative": resources.setting}
    if isinstance(resources.setting, int) and resources.setting > 1:
        setting = {"absolute": resources.setting}
    disk = resources.disk()
    return {
        "memory": {
            **memory, "strategy": "rss", "total": {"rss": total, "allocated": total, "erlang": total},
        },
        "pid": os.getpid(),
        "processes": {"used": threading.active_count(), "limit": resource.getrlimit(resource.RLIMIT_NPROC)[0]},
        "run_queue": 0,
        "os": platform.system(),
        "net_ticktime": 60,
        "uptime": (broker.clock.now - host.started_at) // 1000,
        "config_files": list(broker.settings.sources),
        "alarms": [{"node": call.node, "resource": source} for source in sorted(broker.alarms)],
        "tags": [],
        "listeners": listeners.described(call),
        "product_name": "",
        "product_version": "",
        "erlang_version": software(),
        "rabbitmq_version": broker.profile.version,
        "is_under_maintenance": host.maintenance,
        "crypto_lib_version": _crypto(),
        "enabled_plugin_file": "",
        "active_plugins": _active(call),
        "data_directory": host.data_dir,
        "raft_data_directory": host.data_dir,
        "log_files": ["<stdout>"],
        "vm_memory_calculation_strategy": "rss",
        "vm_memory_high_watermark_setting": setting,
        "vm_memory_high_watermark_limit": resources.memory_limit,
        "disk_free_limit": resources.disk_limit,
        "disk_free": disk.value,
        "totals": await _totals(call),
    }  # fmt: skip


def _active(call: Call) -> list[str]:
    from leveret.control.plugins import active

    return active(call.host)


async def status(call: Call) -> object:
    """Show what the node is and uses."""
    facts = await _facts(call)
    if call.json:
        return Shown(facts)
    if call.options.get("formatter") == "erlang":
        return Shown(_terms(call, facts))
    return Shown("\n".join(await _lines(call, facts)))


def _terms(call: Call, facts: Mapping[str, object]) -> list[object]:
    plain = {name: _term(value) for name, value in facts.items()}
    plain["alarms"] = alarm_terms(call)
    plain["listeners"] = listeners.terms_of(call.node, call.host.listeners())
    plain["vm_memory_high_watermark"] = call.host.resources.setting
    plain["vm_memory_limit"] = plain.pop("vm_memory_high_watermark_limit")
    del plain["vm_memory_high_watermark_setting"], plain["product_name"], plain["product_version"]
    return [(Atom(name), value) for name, value in plain.items()]


def _term(value: object) -> object:
    """A value as a term: objects are property lists, and texts are strings."""
    if isinstance(value, dict):
        return [(Atom(name), _term(item)) for name, item in value.items()]
    if isinstance(value, list | tuple):
        return [_term(item) for item in value]
    return Quoted(value) if isinstance(value, str) and not isinstance(value, Atom) else value


def _section(title: str, rows: Iterable[str]) -> list[str]:
    return ["", title, "", *(list(rows) or _NONE)]


async def _lines(call: Call, facts: Mapping[str, object]) -> list[str]:
    unit = str(call.options["unit"])
    resources = call.host.resources

    def size(octets: int) -> str:
        return f"{converted(octets, unit)} {unit}" if octets >= 0 else "(not available)"

    watermark = f"{resources.setting} of available memory"
    if isinstance(resources.setting, int) and resources.setting > 1:
        watermark = size(resources.setting)
    processes, totals = facts["processes"], facts["totals"]
    assert isinstance(processes, dict) and isinstance(totals, dict)
    return [
        "Runtime",
        "",
        f"OS PID: {facts['pid']}",
        f"OS: {facts['os']}",
        f"Uptime (seconds): {facts['uptime']}",
        f"Is under maintenance?: {'true' if call.host.maintenance else 'false'}",
        f"RabbitMQ version: {facts['rabbitmq_version']}",
        "RabbitMQ release series support status: see https://www.rabbitmq.com/release-information",
        f"Node name: {call.node}",
        f"Erlang configuration: {facts['erlang_version']}",
        f"Crypto library: {facts['crypto_lib_version']}",
        f"Erlang processes: {processes['used']} used, {processes['limit']} limit",
        "Scheduler run queue: 0",
        "Cluster heartbeat timeout (net_ticktime): 60",
        "",
        "Plugins",
        "",
        "Enabled plugin file: ",
        "Enabled plugins:",
        "",
        *(f" * {plugin}" for plugin in _active(call)),
        "",
        "Data directory",
        "",
        f"Node data directory: {call.host.data_dir}",
        f"Raft data directory: {call.host.data_dir}",
        "",
        "Config files",
        "",
        *(f" * {path}" for path in call.broker.settings.sources),
        "",
        "Log file(s)",
        "",
        " * <stdout>",
        *_section("Alarms", alarm_lines(call)),
        *_section("Tags", ()),
        "",
        "Memory",
        "",
        f"Total memory used: {size(resources.memory().value)}",
        "Calculation strategy: rss",
        f"Memory high watermark setting: {watermark}, computed to: {size(resources.memory_limit)}",
        "",
        *(
            f"{name}: {size(int(str(share['bytes'])))} ({share['percentage']} %)"
            for name, share in shares(await _memory(call))
        ),
        "",
        "Free Disk Space",
        "",
        f"Low free disk space watermark: {size(resources.disk_limit)}",
        f"Free disk space: {size(resources.disk().value)}",
        "",
        "Totals",
        "",
        f"Connection count: {totals['connection_count']}",
        f"Queue count: {totals['queue_count']}",
        f"Virtual host count: {totals['virtual_host_count']}",
        *_section("Listeners", listeners.lines(listeners.described(call))),
    ]


# --- cluster


def cluster_status(call: Call) -> object:
    """Show the nodes of the cluster, and what those that run have reported."""
    if call.json:
        return Shown(_cluster(call))
    if call.options.get("formatter") == "erlang":
        return Shown(_cluster_terms(call))
    return Shown("\n".join(_cluster_lines(call)))


class _Member(NamedTuple):
    """A node that runs, as `cluster_status` shows it."""

    name: str
    version: str
    erlang: str
    cores: int
    drained: bool
    alarms: list[str]
    listeners: Sequence[Listener | ListenerFigures]

    @property
    def maintenance(self) -> str:
        """Whether it is under maintenance, in words."""
        return "marked for maintenance" if self.drained else "not under maintenance"

    @property
    def versions(self) -> dict[str, str]:
        """Its versions, by RabbitMQ's names."""
        return {
            "erlang_version": self.erlang,
            "rabbitmq_name": "RabbitMQ",
            "rabbitmq_version": self.version,
        }


def _members(call: Call) -> list[_Member]:
    """Return all nodes that run, by name; of those that have reported nothing yet only the name is known."""
    profile = call.broker.profile
    version, erlang = profile.version, profile.platform.rpartition(" ")[2]
    alarms, found = sorted(call.broker.alarms), call.host.listeners()
    members = [_Member(call.node, version, erlang, _cores(), call.host.maintenance, alarms, found)]
    for one in call.host.other_nodes():
        reported = one.figures
        if one.running and reported is not None:
            known = (
                reported.version,
                reported.erlang,
                reported.processors,
                one.drained,
                reported.alarms,
                reported.listeners,
            )
            members.append(_Member(one.name, *known))
        elif one.running:
            members.append(_Member(one.name, version, erlang, 0, one.drained, [], []))
    return sorted(members)


def _cores() -> int:
    return os.cpu_count() or 1


def _tags(call: Call) -> list[tuple[str, object]]:
    """Cluster tags, as names and values."""
    tags = call.broker.global_parameters.get(CLUSTER_TAGS)
    return [(str(name), value) for name, value in tags.items()] if isinstance(tags, dict) else []


def _nodes(call: Call) -> list[str]:
    """Names of all nodes, whether they run or not."""
    return sorted([call.node, *(one.name for one in call.host.other_nodes())])


def _cluster(call: Call) -> dict[str, object]:
    members = _members(call)
    return {
        "alarms": [{"node": one.name, "resource": source} for one in members for source in one.alarms],
        "cluster_tags": dict(_tags(call)) or [],
        "listeners": {one.name: listeners.described_of(one.name, one.listeners) for one in members},
        "cpu_cores": {one.name: one.cores for one in members},
        "cluster_name": call.broker.cluster_name,
        "disk_nodes": _nodes(call),
        "running_nodes": [one.name for one in members],
        "versions": {one.name: one.versions for one in members},
        "partitions": {},
        "maintenance_status": {one.name: one.maintenance for one in members},
        "feature_flags": flags(call.broker.profile.name),
    }


def _cluster_terms(call: Call) -> list[object]:
    members = [(Atom(one.name), one) for one in _members(call)]
    values: dict[str, object] = {
        "nodes": [(Atom("disc"), [Atom(name) for name in _nodes(call)])],
        "running_nodes": [name for name, _ in members],
        "cluster_name": call.broker.cluster_name,
        "partitions": [],
        "cluster_tags": _tags(call),
        "alarms": [(name, alarm_terms_of(one.name, one.alarms)) for name, one in members],
        "listeners": [(name, listeners.terms_of(one.name, one.listeners)) for name, one in members],
        "versions": [
            (name, {Atom(key): value for key, value in one.versions.items()}) for name, one in members
        ],
        "cpu_cores": [(name, one.cores) for name, one in members],
        "maintenance_status": [(name, one.maintenance) for name, one in members],
        "feature_flags": [
            [(Atom(name), _flag_term(name, flag[name])) for name in _FLAG_FIELDS if name in flag]
            for flag in flags(call.broker.profile.name)
        ],
    }
    return [(Atom(name), value) for name, value in values.items()]


_FLAG_FIELDS = (
    *("name", "desc", "doc_url", "state", "stability", "require_level", "experiment_level", "callbacks"),
    "provided_by",
)


def _flag_term(name: str, value: object) -> object:
    if isinstance(value, list):
        return [Atom(item) for item in value]
    return value if name in ("desc", "doc_url") else Atom(str(value))


def _cluster_lines(call: Call) -> list[str]:
    members = _members(call)
    return [
        "Basics",
        "",
        f"Cluster name: {call.broker.cluster_name}",
        f"Total CPU cores available cluster-wide: {sum(one.cores for one in members)}",
        *_section("Cluster Tags", [f"{name}: {value}" for name, value in _tags(call)]),
        *_section("Disk Nodes", _nodes(call)),
        *_section("Running Nodes", [one.name for one in members]),
        *_section(
            "Versions", [f"{one.name}: RabbitMQ {one.version} on Erlang {one.erlang}" for one in members]
        ),
        *_section("CPU Cores", [f"Node: {one.name}, available CPU cores: {one.cores}" for one in members]),
        *_section("Maintenance status", [f"Node: {one.name}, status: {one.maintenance}" for one in members]),
        *_section("Alarms", [line for one in members for line in alarm_lines_of(one.name, one.alarms)]),
        *_section("Network Partitions", ()),
        *_section(
            "Listeners",
            [
                f"Node: {one.name}, {line[0].lower()}{line[1:]}"
                for one in members
                for line in listeners.lines(listeners.described_of(one.name, one.listeners))
            ],
        ),
        *_section(
            "Feature flags",
            [f"Flag: {flag['name']}, state: {flag['state']}" for flag in flags(call.broker.profile.name)],
        ),
    ]


# --- memory and settings


async def memory_breakdown(call: Call) -> object:
    """Show where the memory went."""
    found = shares(await _memory(call))
    named = call.options.get("formatter")
    if named == "json":
        return Shown(dict(found))
    if named == "csv":
        return Shown([
            (Atom(f"{name}.{field}"), share[field])
            for name, share in sorted(found, reverse=True)
            for field in ("percentage", "bytes")
        ])  # fmt: skip
    if named == "erlang":
        return Shown([(Atom(name), _term(share)) for name, share in found])
    return Shown([*found])


def environment(call: Call) -> object:
    """Show the settings in effect: those of Leveret, without passwords."""
    settings = msgspec.to_builtins(call.broker.settings)
    return Shown([
        (
            Atom(section),
            [
                (Atom(name), _setting(value))
                for name, value in sorted(fields.items())
                if not name.endswith("_pass")
            ],
        )
        for section, fields in sorted(settings.items())
        if isinstance(fields, dict)
    ])  # fmt: skip


def _setting(value: object) -> object:
    """A setting as a term."""
    if isinstance(value, dict):
        return [(Atom(name), _setting(item)) for name, item in value.items()]
    if isinstance(value, list | tuple):
        return [_setting(item) for item in value]
    return value


COMMANDS: dict[str, Handler] = {
    "status": status,
    "cluster_status": cluster_status,
    "memory_breakdown": memory_breakdown,
    "environment": environment,
}
