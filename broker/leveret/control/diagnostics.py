"""Details of the node: log, environment, versions, logins, names."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

from leveret.control.call import Call, Handler
from leveret.control.events import EventStream
from leveret.control.status import software
from leveret.engine.deprecated import features, used
from leveret.engine.feature_flags import flags
from leveret.queues.tallies import MessageSizes
from leveret.rendering.answers import DATA, UNAVAILABLE, Live, Shown, Silent, failed
from leveret.rendering.system import interfaces, resolved, resolver
from leveret.rendering.terms import Atom, Quoted, Row, row


def list_feature_flags(call: Call) -> object:
    """List all feature flags."""
    return Shown([_columns(call, flag) for flag in sorted(flags(call.broker.profile.name), key=_name)])


def list_deprecated_features(call: Call) -> object:
    """List the deprecated features, all or those in use."""
    found = used(call.broker) if call.options.get("used") else features(call.broker)
    return Shown([_columns(call, feature) for feature in sorted(found, key=_name)])


def _name(fields: dict[str, object]) -> str:
    return str(fields["name"])


def _columns(call: Call, fields: dict[str, object]) -> Row:
    texts = ("desc", "doc_url")
    return [
        (Atom(name), str(fields[name]) if name in texts else Atom(str(fields[name])))
        for name in call.columns()
        if name in fields
    ]


def server_version(call: Call) -> object:
    """Show the version of RabbitMQ that this broker behaves like."""
    version = call.broker.profile.version
    return Shown({"result": "ok", "value": version} if call.json else version)


def erlang_version(call: Call) -> object:
    """Show what the node runs on."""
    version = (
        software()
        if call.options.get("details")
        else "Erlang/OTP " + call.broker.profile.platform.rpartition(" ")[2]
    )
    return Shown({"result": "ok", "value": version} if call.json else version)


def cookie_hash(call: Call) -> object:
    """Refuse: there is no cookie."""
    raise failed(
        UNAVAILABLE,
        "Leveret has no Erlang cookie: who may open the control socket of the node may use these commands.",
    )


# --- logins

_COUNTS = ("auth_attempts", "auth_attempts_failed", "auth_attempts_succeeded")


def auth_attempts(call: Call) -> object:
    """List how often somebody tried to log in."""
    attempts, sources = call.host.attempts, bool(call.options.get("by_source"))
    rows: list[Row] = []
    for key in attempts.keys(sources=sources):
        failures, successes = attempts.failed.get(key, 0), attempts.succeeded.get(key, 0)
        names: list[tuple[str, object]] = [("protocol", Atom(key.protocol))]
        if sources:
            names = [("remote_address", key.address), ("username", key.user), *names]
        counts = zip(_COUNTS, (failures + successes, failures, successes), strict=True)
        rows.append([(Atom(name), value) for name, value in (*names, *counts)])
    if call.json:
        return Shown({"result": "ok", "node": call.node, "attempts": rows})
    return Shown(rows or f"Node {call.node} reported no authentication attempt stats")


def track_sources(call: Call) -> object:
    """Count logins by address and user, too, or no longer."""
    call.host.attempts.by_source = call.key.startswith("enable_")
    return Silent()


def forget_attempts(call: Call) -> object:
    """Count logins from 0 on."""
    call.host.attempts.reset()
    return Silent()


# --- the log


def log_location(call: Call) -> object:
    """Show where the log goes."""
    if call.json:
        return Shown({"result": "ok", "node_name": call.node, "paths": ["<stdout>"]})
    return Shown("<stdout>")


def log_tail(call: Call) -> object:
    """Show the last lines of the log, of those that the node keeps."""
    count = call.options.get("number", 50)
    assert isinstance(count, int)
    return Shown("".join(call.host.log.last(count)).rstrip("\n"))


def log_tail_stream(call: Call) -> object:
    """Show lines of the log as they are written."""
    return Live(_for(call.host.log.follow(), call.options.get("duration")))


async def _for(items: AsyncIterator[str], seconds: object) -> AsyncIterator[str]:
    """Yield items for a while, or without end."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds if isinstance(seconds, int) else None
    while True:
        left = None if deadline is None else deadline - loop.time()
        if left is not None and left <= 0:
            return
        try:
            yield await asyncio.wait_for(anext(items), left)
        except (TimeoutError, StopAsyncIteration):
            return


def consume_event_stream(call: Call) -> object:
    """Show events as they happen, as JSON."""
    stream = EventStream(call.broker, re.compile(str(call.options.get("pattern", ".*"))))
    return Live(_for(stream.follow(), call.options.get("duration")))


# --- the system


def os_env(call: Call) -> object:
    """Show the variables of the node's environment that concern it."""
    found = {
        name: value
        for name, value in sorted(os.environ.items())
        if name.startswith(("LEVERET_", "RABBITMQ_")) and not _is_secret(name)
    }
    if call.json:
        return Shown({"result": "ok", "node": call.node, "variables": found})
    return Shown("\n".join(f"{name}={value}" for name, value in found.items()))


def _is_secret(name: str) -> bool:
    return any(word in name for word in ("PASS", "SECRET", "COOKIE"))


def command_line_arguments(call: Call) -> object:
    """Show the command line of the node."""
    return Shown([
        (Atom("progname"), [Quoted(Path(sys.argv[0]).name or sys.executable)]),
        (Atom("arguments"), [Quoted(word) for word in sys.argv[1:]]),
    ])  # fmt: skip


def tls_versions(call: Call) -> object:
    """Show the versions of TLS that this Python has, by RabbitMQ's names."""
    import ssl

    known = (("tlsv1.3", ssl.HAS_TLSv1_3), ("tlsv1.2", ssl.HAS_TLSv1_2), ("tlsv1.1", ssl.HAS_TLSv1_1))
    names = [name for name, there in (*known, ("tlsv1", ssl.HAS_TLSv1)) if there]
    return Shown({"versions": names} if call.json else "".join(names))


def cipher_suites(call: Call) -> object:
    """Show the cipher suites of this Python, by OpenSSL's names."""
    import ssl

    if str(call.options.get("format", "openssl")) != "openssl":
        raise failed(DATA, "Leveret knows cipher suites by OpenSSL's names only: use --format openssl")
    suites = [one["name"] for one in ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).get_ciphers()]
    return Shown({"cipher_suites": suites, "format": "openssl"} if call.json else "\n".join(suites))


def resolve_hostname(call: Call) -> object:
    """Resolve a name."""
    return resolved(call.arguments[0], call.options)


def resolver_info(call: Call) -> object:
    """Show how names are resolved."""
    return resolver(call.options)


def network_interfaces(call: Call) -> object:
    """Show the network interfaces."""
    return interfaces(call.options)


_SIZES = (
    ("below 100B", "to_100"), ("between 100B and 1KB", "to_1k"), ("between 1KB and 10KB", "to_10k"),
    ("between 10KB and 100KB", "to_100k"), ("between 100KB and 1MB", "to_1m"),
    ("between 1MB and 10MB", "to_10m"), ("between 10MB and 50MB", "to_50m"),
    ("between 50MB and 100MB", "to_100m"), ("above 100MB", "larger"),
)  # fmt: skip


def message_sizes(call: Call) -> object:
    """Show how large published messages were."""
    sizes: MessageSizes = call.broker.counters.message_sizes
    counts = [(name, int(getattr(sizes, field))) for name, field in _SIZES]
    total = sum(count for _, count in counts) or 1
    return Shown([
        [
            (Quoted("Message Size"), name),
            (Quoted("Count"), count),
            (Quoted("Percentage"), f"{100 * count / total:.2f}"),
        ]
        for name, count in counts
    ])  # fmt: skip


# --- what concerns Erlang


def maybe_stuck(call: Call) -> object:
    """Report that there are no processes that could be stuck."""
    now = time.strftime("%Y-%m-%d %H:%M:%S")
    return Shown(f"{now} There are 0 processes.\n{now} Found 0 suspicious processes.")


async def thread_stats(call: Call) -> object:
    """Show how busy the node was for a while."""
    seconds = call.options.get("sample_interval", 5)
    assert isinstance(seconds, int)
    before = time.process_time()
    await asyncio.sleep(seconds)
    busy = time.process_time() - before
    return Shown(
        f"Average thread real-time    : {seconds * 1_000_000:>8} us\n"
        f"Accumulated system run-time : {round(busy * 1_000_000):>8} us\n"
        f"Average scheduler run-time  : {round(busy * 1_000_000):>8} us\n"
    )


def interactive(call: Call) -> object:
    """Refuse: there is no shell, and no Erlang to observe."""
    if call.key == "observer":
        text = "Leveret is not an Erlang node. See /metrics of the Prometheus port, or 'leveret status'."
    else:
        text = "Leveret is not an Erlang node: it has no shell. See 'rabbitmqctl help' for what can be done."
    raise failed(UNAVAILABLE, text)


def ring_state(call: Call) -> object:
    """Show which bindings of a consistent hash exchange get how much."""
    (name,) = call.arguments
    vhost = call.broker.vhosts.get(call.vhost_name)
    exchange = vhost.exchanges.get(name) if vhost is not None else None
    if exchange is None or exchange.type != "x-consistent-hash":
        raise failed(DATA, "Exchange does not exist or is of a different type")
    buckets: list[str] = []
    for binding in exchange.bindings.values():
        key = binding.routing_key.decode("utf-8", "replace")
        buckets += [binding.destination_name] * (int(key) if key.isdigit() else 0)
    pairs = [f"Ring index: {at}, queue: {queue}" for at, queue in enumerate(buckets)]
    if call.json:
        return Shown({str(at): queue for at, queue in enumerate(buckets)})
    return Shown("\n".join(["Ring", "-" * 4, *pairs]))


#: The interceptor of sharding, which RabbitMQ lists.
_SHARDING = row(
    name=Atom("rabbit_sharding_interceptor"),
    applies_to=(
        "basic.consume, basic.get, queue.delete, queue.declare, queue.bind, queue.unbind, queue.purge"
    ),
    priority=0,
)


def interceptors(call: Call) -> object:
    """Show what looks at methods of channels: sharding."""
    return Shown([_SHARDING])


COMMANDS: dict[str, Handler] = {
    "list_feature_flags": list_feature_flags,
    "list_deprecated_features": list_deprecated_features,
    "list_channel_interceptors": interceptors,
    "server_version": server_version,
    "erlang_version": erlang_version,
    "erlang_cookie_hash": cookie_hash,
    "list_node_auth_attempt_stats": auth_attempts,
    "enable_auth_attempt_source_tracking": track_sources,
    "disable_auth_attempt_source_tracking": track_sources,
    "reset_node_auth_attempt_metrics": forget_attempts,
    "log_location": log_location,
    "log_tail": log_tail,
    "log_tail_stream": log_tail_stream,
    "consume_event_stream": consume_event_stream,
    "os_env": os_env,
    "command_line_arguments": command_line_arguments,
    "tls_versions": tls_versions,
    "cipher_suites": cipher_suites,
    "resolve_hostname": resolve_hostname,
    "resolver_info": resolver_info,
    "list_network_interfaces": network_interfaces,
    "message_size_stats": message_sizes,
    "maybe_stuck": maybe_stuck,
    "runtime_thread_stats": thread_stats,
    "observer": interactive,
    "remote_shell": interactive,
    "consistent_hash_exchange_ring_state": ring_state,
}
