"""RabbitMQ's plugins: those whose work is done here, and those that are not there.

Exchange types and the parts of the HTTP API are built in. The HTTP API, the metrics and the event exchange can be
switched while the node runs. What is switched by a command is noted in the file of enabled plugins, if there is one;
otherwise it is so until the node ends, and what it has after its start is said by its settings. A plugin that is not
there can be enabled, but does not run, and the log says what that means: the same script enables it for RabbitMQ.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from leveret.control.call import Call, Handler
from leveret.control.host import Host
from leveret.plugin_names import (
    BUILT_IN,
    NAMES,
    ON_DEMAND,
    SWITCHED,
    absent,
    instead,
    with_libraries,
    with_others,
)
from leveret.rendering.answers import DATA, SOFTWARE, UNAVAILABLE, Noted, Rows, Shown, failed, failed_json
from leveret.rendering.plugins import Enabled, listing, missing
from leveret.rendering.terms import Atom, Quoted, inspect

log = logging.getLogger("leveret")


def explicit(host: Host) -> list[str]:
    """The plugins that are enabled, without those that come with others."""
    switched = [name for name in host.plugins() if name in SWITCHED or name in ON_DEMAND]
    return sorted({*BUILT_IN, *switched, *host.lacking_plugins()})


def active(host: Host) -> list[str]:
    """All plugins that are enabled."""
    return with_others(explicit(host))


def _running(host: Host) -> list[str]:
    """All plugins whose work is done."""
    lacking = host.lacking_plugins()
    return [name for name in active(host) if name not in lacking]


def list_plugins(call: Call) -> object:
    """List the plugins whose names match."""
    pattern = call.arguments[0] if call.arguments else ".*"

    def listed() -> object:
        enabled = Enabled(explicit(call.host), active(call.host), _running(call.host))
        return Shown(listing(enabled, _matching(pattern), call.options, call.broker.profile.version))

    warning = missing(call.host.kept_plugins(), call.options)
    return Noted(warning, listed) if warning else listed()


def _matching(pattern: str) -> Callable[[str], object]:
    """Whether a name matches. Raises `Failure`."""
    from leveret.engine.patterns import PatternError, compile_pattern

    try:
        compiled = compile_pattern(pattern)
    except PatternError as error:
        reason = (Atom("error"), (Quoted(error.reason), error.position))
        raise failed(SOFTWARE, inspect((Atom("badmatch"), reason)) + "\n") from None
    return lambda name: compiled.search(name.encode())


def is_enabled(call: Call) -> object:
    """Check that plugins are on."""
    on = with_libraries(active(call.host)) if call.host.running else []
    absent = [name for name in call.arguments if name not in on]
    names = absent or call.arguments
    one = len(names) == 1
    subject = f"Plugin{'' if one else 's'} {', '.join(names)} {'is' if one else 'are'}"
    if not absent:
        text = f"{subject} enabled on node {call.node}"
        return Shown({"result": "ok", "message": text} if call.json else text)
    text = f"{subject} not enabled on node {call.node}. Enabled plugins and dependencies: {', '.join(on)}"
    if call.json:
        raise failed_json({"result": "error", "message": text})
    raise failed(UNAVAILABLE, text)


def directories(call: Call) -> object:
    """Show where plugins are: in the package of Leveret, and in its settings."""
    from leveret import __file__ as package

    folder = package.rpartition("/")[0]
    sources = call.broker.settings.sources
    if call.json:
        return Shown({
            "plugins_dir": folder, "enabled_plugins_file": ", ".join(sources), "plugins_expand_dir": folder
        })  # fmt: skip
    return Shown(
        f"Plugin archives directory: {folder}\n"
        f"Plugin expansion directory: {folder}\n"
        f"Enabled plugins file: {', '.join(sources)}"
    )


async def enable(call: Call) -> object:
    """Switch plugins on, with `--all` all that there are."""
    wanted = list(SWITCHED) if call.options.get("all") else call.arguments
    return await _switched(call, "enabled", lambda names: {*names, *wanted}, wanted)


async def disable(call: Call) -> object:
    """Switch plugins off."""
    gone = list(SWITCHED) if call.options.get("all") else call.arguments
    fixed = [name for name in gone if name in BUILT_IN]
    if fixed and not call.options.get("all"):
        raise failed(UNAVAILABLE, f"{', '.join(fixed)}: this is a part of Leveret and cannot be disabled.")
    # What nobody knows stays in the file, as in RabbitMQ.
    return await _switched(call, "disabled", lambda names: {*names} - ({*gone} & NAMES), [])


async def set_plugins(call: Call) -> object:
    """Have exactly these plugins on."""
    wanted = call.arguments
    unknown = [name for name in wanted if name not in NAMES]
    if unknown:
        raise failed(DATA, f"The following plugins were not found: {', '.join(unknown)}")
    return await _switched(call, "set", lambda names: {*wanted}, wanted)


async def _switched(
    call: Call, change: str, choose: Callable[[Iterable[str]], set[str]], wanted: list[str]
) -> object:
    """Switch to other plugins. Returns what was configured, and what came of it."""
    before = explicit(call.host)
    after = [name for name in {*BUILT_IN, *choose(before)} if name in NAMES]
    on_before, running_before = active(call.host), _running(call.host)
    for name in sorted({*after, *before} - {*BUILT_IN}):
        if name in after and name not in before:
            await _enable(call, name)
        elif name not in after and name in before:
            await call.host.disable_plugin(name)
    kept = call.host.keep_plugins(choose)
    for name in absent(wanted):
        log.warning("%s", instead(name))
    on, running = active(call.host), _running(call.host)
    started = [Atom(name) for name in running if name not in running_before]
    stopped = [Atom(name) for name in running_before if name not in running]
    changed = {
        "enabled": [Atom(name) for name in on if name not in on_before],
        "disabled": [Atom(name) for name in on_before if name not in on],
        "set": [],
    }[change]
    result = {
        Atom("mode"): Atom("online"), Atom("started"): started, Atom("stopped"): stopped, Atom(change): changed,
        Atom("set"): [Atom(name) for name in on],
    }  # fmt: skip
    rows = Rows([[Atom(name) for name in on], result])
    warning = missing({*kept, *wanted}, call.options)
    return Noted(warning, lambda: rows) if warning else rows


async def _enable(call: Call, name: str) -> None:
    try:
        await call.host.enable_plugin(name)
    except OSError as error:
        raise failed(UNAVAILABLE, f"{name}: {error}") from None


COMMANDS: dict[str, Handler] = {
    "list": list_plugins,
    "is_enabled": is_enabled,
    "directories": directories,
    "enable": enable,
    "disable": disable,
    "set": set_plugins,
}
