"""What `rabbitmq-plugins` prints (rabbitmq_cli: formatters/plugins.ex)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from leveret.plugin_names import DEPENDENCIES, KNOWN, NAMES, description
from leveret.rendering.terms import Atom, erlang


class Enabled(NamedTuple):
    """The plugins that are enabled explicitly, all that are enabled, and all that run; None if no node says so."""

    explicit: list[str]
    all: list[str]
    running: list[str] | None


def listing(
    enabled: Enabled,
    matches: Callable[[str], object],
    options: Mapping[str, object],
    version: str,
    known: Iterable[str] = KNOWN,
) -> dict[str, object]:
    """What `list` shows of the plugins whose names match."""
    running = enabled.running or []
    names = [name for name in sorted({*known, *enabled.all}) if matches(name)]
    if options.get("enabled"):
        names = [name for name in names if name in enabled.explicit]
    elif options.get("implicitly_enabled"):
        names = [name for name in names if name in enabled.all]
    kind = "verbose" if options.get("verbose") else "minimal" if options.get("minimal") else "normal"
    found: list[dict[str, object]] = []
    for name in names:
        one: dict[str, object] = {"name": Atom(name)}
        if kind != "minimal":
            state = (
                "enabled"
                if name in enabled.explicit
                else "implicit"
                if name in enabled.all
                else "not_enabled"
            )
            one |= {"enabled": Atom(state), "running": name in running, "version": version}
            if name in running or kind == "verbose":
                one["running_version"] = version if name in running else ""
        if kind == "verbose":
            needed = [Atom(other) for other in DEPENDENCIES.get(name, ())]
            one |= {"dependencies": needed, "description": description(name)}
        found.append(one)
    status = "running" if enabled.running is not None else "node_down"
    return {"status": Atom(status), "format": Atom(kind), "plugins": found}


def missing(names: Iterable[str], options: Mapping[str, object]) -> str:
    """The warning about names in the file of plugins that nobody knows; empty if there are none."""
    unknown = sorted({*names} - NAMES)
    if not unknown or options.get("quiet") or options.get("silent"):
        return ""
    return f"WARNING - plugins currently enabled but missing: {', '.join(unknown)}\n\n"


def lines(value: object, options: Mapping[str, object]) -> list[str]:
    """The lines of a list of plugins, of the plugins that are configured, or of a change."""
    if isinstance(value, list):
        return _configured(value, options)
    assert isinstance(value, dict)
    if "plugins" in value:
        return _listed(value, options)
    for change in ("enabled", "disabled"):
        if change in value:
            return _changed(value, change)
    return [_applied(value)]


def _configured(plugins: list[object], options: Mapping[str, object]) -> list[str]:
    applying = f"Applying plugin configuration to {options['node']}..."
    if not plugins:
        return ["All plugins have been disabled.", applying]
    return ["The following plugins have been configured:", *(f"  {name}" for name in plugins), applying]


def _changed(value: Mapping[str, object], change: str) -> list[str]:
    names = value[change]
    assert isinstance(names, list)
    if not names:
        return ["Plugin configuration unchanged."]
    offline = "Offline change; changes will take effect at broker restart."
    return [
        f"The following plugins have been {change}:",
        *(f"  {name}" for name in names),
        "",
        _applied(value),
        *([offline] if value["mode"] == "offline" else []),
    ]


def _applied(value: Mapping[str, object]) -> str:
    if value["mode"] == "offline":
        names = value["set"]
        assert isinstance(names, list)
        return f"set {len(names)} plugins." if names else "nothing to do."
    counts = []
    for done in ("started", "stopped"):
        names = value[done]
        assert isinstance(names, list)
        if names:
            counts.append(f"{done} {len(names)} plugins")
    return (" and ".join(counts) or "nothing to do") + "."


def _listed(value: Mapping[str, object], options: Mapping[str, object]) -> list[str]:
    plugins, kind = value["plugins"], value["format"]
    assert isinstance(plugins, list)
    if kind == "minimal":
        return [str(plugin["name"]) for plugin in plugins]
    shown = [] if options.get("quiet") or options.get("silent") else _legend(value, options)
    width = max([len(plugin["name"]) for plugin in plugins], default=0)
    for plugin in plugins:
        mark = {"enabled": "E", "implicit": "e"}.get(plugin["enabled"], " ")
        summary = f"[{mark}{'*' if plugin['running'] else ' '}] {plugin['name']}"
        if kind == "verbose":
            shown += [
                summary,
                f"     Version:     \t{plugin['version']}",
                f"     Dependencies:\t{erlang(plugin['dependencies'])}",
                f"     Description: \t{plugin['description']}",
            ]
        else:
            shown.append(f"{summary}{' ' * (width - len(plugin['name']))} {plugin['version']}")
    return shown


def _legend(value: Mapping[str, object], options: Mapping[str, object]) -> list[str]:
    node = options["node"]
    status = {
        "running": f"* = running on {node}",
        "node_down": f"[failed to contact {node} - status not shown]",
        "offline": f"{node} is stopped; * (running) status is not available",
    }[str(value["status"])]
    return [" Configured: E = explicitly enabled; e = implicitly enabled", f" | Status: {status}", " |/"]
