"""Values that differ from one run to the next: only their types are compared."""

import re

#: Names of fields with times, octets of memory, rates, and counters of the machine.
FIELDS = frozenset(
    [
        # times and rates
        *("rate", "avg", "avg_rate", "samples", "timestamp", "uptime", "connected_at", "idle_since"),
        *("first_timestamp",),
        # the process that serves an object
        *("memory", "reductions", "minor_gcs", "min_heap_size", "min_bin_vheap_size", "fullsweep_after"),
        *("max_heap_size",),
        # octets and packets of a connection
        *("recv_oct", "send_oct", "recv_cnt", "send_cnt", "send_pend"),
        # the machine
        *("mem_used", "mem_limit", "disk_free", "disk_free_limit", "fd_used", "fd_total", "sockets_used"),
        *("sockets_total", "proc_used", "proc_total", "run_queue", "processors", "os_pid", "gc_num"),
        *("gc_bytes_reclaimed", "context_switches"),
        # versions and files
        *("erlang_version", "erlang_full_version", "crypto_lib_version", "cluster_name", "config_files"),
        *("log_files", "db_dir", "enabled_plugins"),
        # what has come and gone on the node
        *("connection_created", "connection_closed", "channel_created", "channel_closed", "queue_declared"),
        *("queue_created", "queue_deleted"),
        "password_hash",
    ]
)

#: Numbers that are integers or not as it happens, and what a broker keeps in memory.
NUMBERS = frozenset(
    [
        *("consumer_capacity", "consumer_utilisation", "messages_ram", "messages_ready_ram"),
        *("messages_unacknowledged_ram", "message_bytes_ram"),
    ]
)

#: Texts that contain such values: pattern -> what is kept.
TEXTS = (
    (re.compile(r"127\.0\.0\.1:\d+ -> 127\.0\.0\.1:\d+"), "{connection}"),
    (re.compile(r"amq\.gen-[\w-]{22}"), "{amq.gen}"),
    (re.compile(r"amq\.ctag-[\w-]{22}"), "{amq.ctag}"),
    (re.compile(r"rabbitmq-cluster-id-[\w-]{22}"), "{cluster_id}"),
    (re.compile(r"<\d+\.\d+\.\d+>"), "{pid}"),
    (re.compile(r"(?<![\w+/])[\w+/]{48}(?![\w+/=])"), "{hash}"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.\d+:]*"), "{time}"),
)


def masked(value: object, name: str = "") -> object:
    """The value with the types of volatile values in their place. Masking twice changes nothing."""
    if name in FIELDS:
        return _kind(value)
    if name in NUMBERS and type(value) in (int, float):
        return "<number>"
    if isinstance(value, dict):
        return {key: masked(inner, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [masked(inner) for inner in value]
    if isinstance(value, str):
        for pattern, shown in TEXTS:
            value = pattern.sub(shown, value)
    return value


def _kind(value: object) -> object:
    if value is None or isinstance(value, bool | list | dict):
        return value if value is None or isinstance(value, bool) else f"<{type(value).__name__}>"
    if isinstance(value, str):
        return value if re.fullmatch(r"<\w+>", value) else "<str>"
    return f"<{type(value).__name__}>"
