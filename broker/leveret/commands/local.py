"""Commands that need no node."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from leveret.commands import checks
from leveret.commands.encryption import CIPHERS, HASHES
from leveret.commands.line import Exit, Line, print_banner
from leveret.commands.node import complete, default_name
from leveret.commands.system import read_line
from leveret.commands.table import RELEASE, commands


def carry_out(line: Line) -> None:
    """Carry out a command here. Raises Exit."""
    if line.key in ("help", "autocomplete"):
        _LOCAL[line.key](line)
        return
    print_banner(line)
    if line.options.get("dry_run"):
        return
    _LOCAL[line.key](line)


def _show(line: Line, answer: object) -> None:
    """Write an answer in the format that the options ask for. Raises Exit."""
    from leveret.rendering.answers import Failure, formatter_of, written

    formatter = formatter_of(line.options, line.command.formatter, raw=line.command.raw)
    try:
        for text in written(answer, formatter, line.options):
            sys.stdout.write(text)
    except Failure as failure:
        raise Exit(failure.code, failure.text) from None


def _failed(code: int, text: str) -> Exit:
    return Exit(code, f"Error:\n{text}")


def _help(line: Line) -> None:
    from leveret.commands.usage import Usage, suggestion

    usage = Usage(line.tool, bold=sys.stdout.isatty())
    if not line.arguments:
        if "formatter" in line.options and not line.options.get("list_commands"):
            from leveret.rendering.answers import formatter_of

            print(formatter_of(line.options, "string", raw=True).value(usage.parts()))
            return
        print(usage.help_commands() if line.options.get("list_commands") else usage.of_tool())
        return
    name = line.arguments[0]
    key = commands(line.tool).get(name)
    if key is not None:
        if "formatter" not in line.options:
            print(usage.of_command(key))
            return
        from leveret.rendering.answers import Shown

        _show(line, Shown(usage.of_command(key)))
        return
    similar = suggestion(line.tool, name)
    hint = f" \nDid you mean '{similar}'? \n" if similar else ""
    raise _failed(checks.USAGE, f"\nCommand '{name}' not found.{hint}")


def _version(line: Line) -> None:
    named = line.options.get("formatter")
    if named is None:
        print(RELEASE)
        return
    from leveret.rendering.answers import Done, Shown
    from leveret.rendering.terms import Atom

    if named == "json":
        _show(line, Done({"version": RELEASE}))
    else:
        _show(line, Shown([[(Atom("version"), RELEASE)]] if named == "csv" else RELEASE))


def _autocomplete(line: Line) -> None:
    typed = line.arguments[0]
    names = commands(line.tool)
    for name in sorted(names):
        if name.startswith(typed) and typed not in names:
            print(name)


def _hash_password(line: Line) -> None:
    import base64
    import hashlib

    if line.arguments:
        password: str | None = line.arguments[0]
    else:
        password = read_line("Password: ", quiet=line.quiet)
    if password is None:
        raise _failed(checks.UNAVAILABLE, "not_enough_args")
    algorithm = str(line.options.get("hashing_algorithm", "sha256")).lower().replace("-", "")
    salt = os.urandom(4)
    secret = salt + password.encode("utf-8", "surrogateescape")
    digest = hashlib.new(algorithm, secret, usedforsecurity=False).digest()
    from leveret.rendering.answers import Shown

    _show(line, Shown(base64.b64encode(salt + digest).decode()))


def _list(line: Line) -> None:
    from leveret.rendering.answers import Done
    from leveret.rendering.terms import Atom

    names = CIPHERS if line.key == "list_ciphers" else HASHES
    if line.options.get("formatter") == "json":
        _show(line, Done([Atom(name) for name in names]))
    else:
        sys.stdout.write(_erlang_list(line, [Atom(name) for name in names]))


def _erlang_list(line: Line, names: list[object]) -> str:
    from leveret.rendering.answers import formatter_of

    return formatter_of(line.options, "erlang").value(names)


def _cipher(line: Line) -> None:
    """Read what is missing, then refuse: encrypted values are not read by this broker."""
    missing = 2 - len(line.arguments)
    for prompt in ("Value to encode: ", "Passphrase: ")[2 - missing :]:
        if read_line(prompt, quiet=line.quiet) is None:
            raise _failed(checks.UNAVAILABLE, "not_enough_args")
    raise _failed(
        checks.UNAVAILABLE,
        "Leveret does not read encrypted configuration values. Put the secret into an environment variable, and "
        "$(NAME) into rabbitmq.conf.",
    )


def _exec(line: Line) -> None:
    raise _failed(
        checks.UNAVAILABLE,
        "Leveret evaluates no Elixir. Use the commands of 'rabbitmqctl help', or the HTTP API.",
    )


def _cookie_sources(line: Line) -> None:
    home = line.environment.get("HOME", "")
    cookie = os.path.join(home, ".erlang.cookie")
    exists = os.path.exists(cookie)
    variable = line.environment.get("RABBITMQ_ERLANG_COOKIE")
    switch = line.options.get("erlang_cookie")
    found: dict[str, object] = {
        "os_env_cookie_set": variable is not None,
        "os_env_cookie_value_length": len(variable or ""),
        "switch_cookie_set": switch is not None,
        "switch_cookie_value_length": len(str(switch or "")),
        "effective_user": line.environment.get("USER"),
        "home_dir": home,
        "cookie_file_path": cookie,
        "cookie_file_exists": exists,
        "cookie_file_type": "regular" if exists else None,
        "cookie_file_access": ("read_write" if os.access(cookie, os.W_OK) else "read") if exists else None,
        "cookie_file_size": os.path.getsize(cookie) if exists else None,
    }
    from leveret.rendering.answers import Shown

    _show(line, Shown(found if line.options.get("formatter") == "json" else _cookie_lines(found)))


def _cookie_lines(found: dict[str, object]) -> str:
    def shown(name: str) -> object:
        value = found[name]
        return (
            ("true" if value else "false") if isinstance(value, bool) else "(n/a)" if value is None else value
        )

    return "\n".join([
        "Cookie File",
        f"Effective user: {found['effective_user'] or '(none)'}",
        f"Effective home directory: {found['home_dir'] or '(none)'}",
        f"Cookie file path: {found['cookie_file_path']}",
        f"Cookie file exists? {shown('cookie_file_exists')}",
        f"Cookie file type: {shown('cookie_file_type')}",
        f"Cookie file access: {shown('cookie_file_access')}",
        f"Cookie file size: {shown('cookie_file_size')}",
        "\nCookie CLI Switch",
        f"--erlang-cookie value set? {shown('switch_cookie_set')}",
        f"--erlang-cookie value length: {shown('switch_cookie_value_length')}",
        "\nEnv variable  (Deprecated)",
        f"RABBITMQ_ERLANG_COOKIE value set? {shown('os_env_cookie_set')}",
        f"RABBITMQ_ERLANG_COOKIE value length: {shown('os_env_cookie_value_length')}",
    ])  # fmt: skip


def _offline_version(line: Line) -> None:
    import platform

    from leveret.rendering.answers import Shown

    version = f"Python {platform.python_version()}"
    _show(
        line,
        Shown({"result": "ok", "value": version} if line.options.get("formatter") == "json" else version),
    )


def _resolve(line: Line) -> None:
    from leveret.rendering.answers import Failure
    from leveret.rendering.system import resolved

    try:
        answer = resolved(line.arguments[0], line.options)
    except Failure as failure:
        raise Exit(failure.code, failure.text) from None
    _show(line, answer)


def _resolver(line: Line) -> None:
    from leveret.rendering.system import resolver

    _show(line, resolver(line.options))


def _interfaces(line: Line) -> None:
    from leveret.rendering.system import interfaces

    _show(line, interfaces(line.options))


def _offline_forget(line: Line) -> None:
    raise _failed(checks.UNAVAILABLE, "A node is a cluster of its own: there is no other node to remove.")


def plugins_without_node(line: Line) -> None:
    """Commands on plugins while the node is not running. Raises Exit."""
    here = complete(str(line.options["node"])) == default_name(line.environment)
    if line.key != "list" and (line.key == "is_enabled" or line.options.get("online") or not here):
        raise line.refused(checks.Wrong("this command requires the target node to be running."), "")
    if line.key == "directories":
        raise line.refused(checks.Wrong("this command requires the target node to be running."), "")
    print_banner(line)
    if not here:
        from leveret.rendering.answers import Shown
        from leveret.rendering.plugins import Enabled, listing

        _show(line, Shown(listing(Enabled([], [], None), bool, line.options, "", known=())))
        raise Exit(0)
    if line.environment.get("RABBITMQ_ENABLED_PLUGINS_FILE"):
        _offline_plugins(line)
        raise Exit(0)
    raise _failed(
        checks.UNAVAILABLE,
        f"Node {line.options['node']} is not running. Which plugins it has is part of its configuration: see the "
        "section [plugins] of config.toml.",
    )


def _offline_plugins(line: Line) -> None:
    if line.key == "directories" or not line.environment.get("RABBITMQ_ENABLED_PLUGINS_FILE"):
        raise _failed(
            checks.UNAVAILABLE,
            "There is no file of plugins that works without a node, unless RABBITMQ_ENABLED_PLUGINS_FILE names one: "
            "which plugins a node has is part of its configuration, in the section [plugins] of config.toml. Run the "
            "command without --offline.",
        )
    from leveret.commands.plugins_file import answer

    _show(line, answer(line))


_LOCAL: dict[str, Callable[[Line], None]] = {
    "help": _help,
    "version": _version,
    "autocomplete": _autocomplete,
    "hash_password": _hash_password,
    "list_ciphers": _list,
    "list_hashes": _list,
    "encode": _cipher,
    "decode": _cipher,
    "encrypt_conf_value": _cipher,
    "decrypt_conf_value": _cipher,
    "exec": _exec,
    "erlang_cookie_sources": _cookie_sources,
    "erlang_version": _offline_version,
    "resolve_hostname": _resolve,
    "resolver_info": _resolver,
    "list_network_interfaces": _interfaces,
    "forget_cluster_node": _offline_forget,
    "directories": _offline_plugins,
    "is_enabled": _offline_plugins,
    "enable": _offline_plugins,
    "disable": _offline_plugins,
    "set": _offline_plugins,
}
