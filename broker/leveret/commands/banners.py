"""The first lines of commands, where they depend on more than arguments (rabbitmq_cli: `banner`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from leveret.commands.table import Command

Options = dict[str, object]


def banner(command: Command, arguments: Sequence[str], options: Options) -> str:
    """Return what a command prints first, empty for nothing."""
    timeout = options.get("timeout")
    seconds = timeout // 1000 if isinstance(timeout, int) else timeout
    if not command.banner.startswith("@"):
        return command.banner.format(*arguments, **{**options, "seconds": seconds})
    return BANNERS[command.banner[1:]](arguments, options)


def _stop(arguments: Sequence[str], options: Options) -> str:
    monitored = f"(will monitor pid file {arguments[0]}) " if arguments else ""
    return f"Stopping and halting node {options['node']} {monitored}..."


def _clear_user_limits(arguments: Sequence[str], options: Options) -> str:
    user, limit = arguments
    if limit == "all":
        return f'Clearing all limits for user "{user}" ...'
    return f'Clearing "{limit}" limit for user "{user}" ...'


def _list_user_limits(arguments: Sequence[str], options: Options) -> str:
    if options.get("global"):
        return "Listing limits for all users ..."
    return f'Listing limits for user "{options.get("user", "guest")}" ...'


def _set_user_tags(arguments: Sequence[str], options: Options) -> str:
    return f'Setting tags for user "{arguments[0]}" to [{", ".join(arguments[1:])}] ...'


def _set_vhost_tags(arguments: Sequence[str], options: Options) -> str:
    return f'Setting tags for virtual host "{arguments[0]}" to [{", ".join(arguments[1:])}] ...'


def _hash_password(arguments: Sequence[str], options: Options) -> str:
    return f"Will hash password {arguments[0]}" if arguments else "Will hash provided password"


def _clear_topic_permissions(arguments: Sequence[str], options: Options) -> str:
    where = f' on "{arguments[1]}"' if len(arguments) > 1 else ""
    return f'Clearing topic permissions{where} for user "{arguments[0]}" in vhost "{options["vhost"]}" ...'


def _list_vhost_limits(arguments: Sequence[str], options: Options) -> str:
    if options.get("global"):
        return "Listing limits for all vhosts ..."
    return f'Listing limits for vhost "{options["vhost"]}" ...'


def _list_queues(arguments: Sequence[str], options: Options) -> str:
    timeout = options["timeout"]
    assert isinstance(timeout, int)
    return f"Timeout: {timeout / 1000} seconds ...\nListing queues for vhost {options['vhost']} ..."


def _list_deprecated_features(arguments: Sequence[str], options: Options) -> str:
    return f"Listing deprecated features {'in use ' if options['used'] else ''}..."


def _enable_feature_flag(arguments: Sequence[str], options: Options) -> str:
    if arguments[0] == "all":
        return "Enabling all feature flags ..."
    return f'Enabling feature flag "{arguments[0]}" ...'


def _delete_queue(arguments: Sequence[str], options: Options) -> str:
    conditions = [
        text
        for name, text in (("if_empty", "if queue is empty "), ("if_unused", "if queue is unused "))
        if options[name]
    ]
    return f"Deleting queue '{arguments[0]}' on vhost '{options['vhost']}' {'and '.join(conditions)}..."


def _close_all_connections(arguments: Sequence[str], options: Options) -> str:
    if options["global"]:
        where = f"all connections to node {options['node']} (across all vhosts)"
    else:
        where = f"{options['limit'] or 'all'} connections in vhost {options['vhost']}"
    return f"Closing {where}, reason: {arguments[0]}..."


def _format(options: Options) -> str:
    return "Erlang term format" if options["format"] == "erlang" else "JSON"


def _export_definitions(arguments: Sequence[str], options: Options) -> str:
    return f'Exporting definitions in {_format(options)} to a file at "{arguments[0]}" ...'


def _import_definitions(arguments: Sequence[str], options: Options) -> str:
    source = f'a file at "{arguments[0]}"' if arguments else "standard input"
    return f"Importing definitions in {_format(options)} from {source} ..."


def _set_channel_interceptor_priorities(arguments: Sequence[str], options: Options) -> str:
    pairs = [f"{name}={priority}" for name, priority in zip(arguments[::2], arguments[1::2], strict=True)]
    return f"Setting channel interceptor priorities to [{', '.join(pairs)}] ..."


def _set_disk_free_limit(arguments: Sequence[str], options: Options) -> str:
    if arguments[0] == "mem_relative":
        return f"Setting disk free limit on {options['node']} to {arguments[1]} times the total RAM ..."
    return f"Setting disk free limit on {options['node']} to {arguments[0]} bytes ..."


def _set_vm_memory_high_watermark(arguments: Sequence[str], options: Options) -> str:
    if arguments[0] == "absolute":
        return f"Setting memory threshold on {options['node']} to {arguments[1]} bytes ..."
    return f"Setting memory threshold on {options['node']} to {arguments[0]} ..."


def _reset_stats_db(arguments: Sequence[str], options: Options) -> str:
    if options.get("all"):
        return "Resetting statistics database in all nodes"
    return f"Resetting statistics database on node {options['node']}"


def _check_for_quorum_queues(arguments: Sequence[str], options: Options) -> str:
    where = "all vhosts" if options["across_all_vhosts"] else f"vhost {options['vhost']}"
    return f"Checking leader replicas of quorum queues matching '{arguments[0]}' in {where} ..."


def _check_port_connectivity(arguments: Sequence[str], options: Options) -> str:
    address = options["address"]
    how = "using hostname resolution" if address is None else f"using {address} for node IP address"
    return f"Testing TCP connections to all active listeners on node {options['node']} {how} ..."


def _cipher_suites(arguments: Sequence[str], options: Options) -> str:
    kind = {"openssl": "OpenSSL", "erlang": "Erlang term"}.get(str(options["format"]).lower(), "map")
    return f"Listing available cipher suites in {kind} format"


def _erlang_version(arguments: Sequence[str], options: Options) -> str:
    if options["offline"]:
        return "CLI Erlang/OTP version ..."
    return f"Asking node {options['node']} for its Erlang/OTP version..."


def _log_tail_stream(arguments: Sequence[str], options: Options) -> str:
    end = f" for {options['duration']} seconds" if "duration" in options else ""
    return f"Streaming logs from node {options['node']}{end} ..."


def _resolve_hostname(arguments: Sequence[str], options: Options) -> str:
    what = f"hostname {arguments[0]} to {options['address_family']} addresses..."
    return f"Resolving {what}" if options["offline"] else f"Asking node {options['node']} to resolve {what}"


def _resolver_info(arguments: Sequence[str], options: Options) -> str:
    if options["offline"]:
        return "Displaying effective hostname resolver (inetrc) configuration used by CLI tools..."
    return f"Asking node {options['node']} for its effective hostname resolver (inetrc) configuration..."


def _directories(arguments: Sequence[str], options: Options) -> str:
    if options.get("offline"):
        return "Listing plugin directories inferred from local environment..."
    return f"Listing plugin directories used by node {options['node']}"


def _enable(arguments: Sequence[str], options: Options) -> str:
    if options["all"]:
        return f"Enabling ALL plugins on node {options['node']}"
    return "\n".join([f"Enabling plugins on node {options['node']}:", *arguments])


def _disable(arguments: Sequence[str], options: Options) -> str:
    if options["all"]:
        return f"Disabling ALL plugins on node {options['node']}"
    return "\n".join([f"Disabling plugins on node {options['node']}:", *arguments])


def _set_plugins(arguments: Sequence[str], options: Options) -> str:
    return "\n".join([f"Enabling plugins on node {options['node']}:", *arguments])


def plural(plugins: Sequence[str]) -> str:
    """`plugin a is` or `plugins a, b are`."""
    names = ", ".join(plugins)
    return f"plugin {names} is" if len(plugins) == 1 else f"plugins {names} are"


def _is_enabled(arguments: Sequence[str], options: Options) -> str:
    if options.get("offline"):
        return f"Inferring if {plural(arguments)} from local environment..."
    return f"Asking node {options['node']} if {plural(arguments)} enabled..."


BANNERS: dict[str, Callable[[Sequence[str], Options], str]] = {
    name[1:]: function
    for name, function in list(globals().items())
    if name.startswith("_") and not name.startswith("__") and callable(function) and name != "_format"
}
