"""Keys of rabbitmq.conf that RabbitMQ knows and that have no effect here, with reasons.

They are the keys in the schemas of RabbitMQ 3.10.8, 4.0.5 and 4.3.6 with their plugins. A word in capitals after `$`
stands for any word; a key that ends in a dot stands for all keys that begin with it. The reason of a group is part of
the warning. To implement a key, move it from here to `rabbitmq_conf`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from leveret.settings import ConfigError

#: Reason -> keys that are refused. Ignoring them would give access to users who must not have it, deny it to users who
#: must have it, or leave clients waiting.
REFUSED = {
    "TLS is not available; clients could not connect to this port": """
        listeners.ssl.$NAME management.ssl. management.listener.ssl management.listener.ssl_opts
        management.listener.ssl_opts.
        prometheus.ssl.""",
    "users other than the default user must be imported from definitions (load_definitions)": """
        default_users.$NAME.$FIELD""",
    "only the internal authentication backend is available": """
        auth_backends.$N auth_backends.$N.authn auth_backends.$N.authz http_dispatch.auth_backends.""",
    "definitions cannot be downloaded over HTTP": "definitions.https.url",
}

#: Keys that are refused with one value and have no effect with others: key -> (value, reason).
REFUSED_VALUES = {
    "proxy_protocol": ("true", "the PROXY protocol is not supported; no client could connect"),
    "management.disable_basic_auth": ("true", "the HTTP API has no other authentication"),
    "management.oauth_enabled": ("true", "OAuth 2 is not available"),
}

#: Reason -> keys that have no effect.
UNUSED = {
    "Leveret does not use Erlang": """
        erlang. distribution. distributed_cookie net_ticktime delegate_count hipe_compile
        background_gc_enabled background_gc_target_interval sysmon_handler. num_acceptors.tcp
        num_acceptors.ssl socket_writer.gc_threshold default_worker_pool_size credentials_obfuscation.
        log.summarize_process_state ranch_connection_max log.error_logger_format_depth
        vm_memory_calculation_strategy memory_monitor_interval vm_memory_high_watermark_paging_ratio
        message_store_shutdown_timeout queue_index_embed_msgs_below classic_queue.default_version
        total_memory_available_override_value listeners.startup_delay
        reverse_dns_lookups prevent_startup_if_node_was_reset initial_frame_max
        definitions.hashing.algorithm""",
    "Leveret runs as a single node": """
        cluster_formation. cluster_partition_handling cluster_partition_handling. cluster_keepalive_interval
        mirroring_sync_batch_size mirroring_sync_max_throughput mnesia_table_loading_retry_limit
        mnesia_table_loading_retry_timeout metadata_store. raft. quorum_queue.commands_soft_limit
        quorum_queue.compress_mem_tables quorum_queue.compute_checksums
        quorum_queue.continuous_membership_reconciliation. quorum_queue.initial_cluster_size
        quorum_queue.max_append_entries_rpc_batch_size quorum_queue.segment_compute_checksums
        quorum_queue.segment_max_entries quorum_queue.segment_max_size_bytes quorum_queue.snapshot_chunk_size
        quorum_queue.wal_compute_checksums quorum_queue.wal_max_batch_size quorum_queue.wal_max_entries
        quorum_queue.wal_max_size_bytes queue_leader_locator queue_master_locator vhost_restart_strategy
        consumer_disconnected_timeout stream.replication. log.mirroring. log.ra.""",
    "the limit is not enforced": """
        channel_max_per_node consumer_max_per_channel channel_tx_message_max session_max_per_connection
        link_max_per_session vhost_max cluster_queue_limit cluster_exchange_limit
        runtime_parameters.limits.$CATEGORY default_limits.vhosts.$ID.pattern
        default_limits.vhosts.$ID.max_connections
        default_limits.vhosts.$ID.max_queues""",
    "it is not applied; use definitions or the HTTP API": """
        default_policies.operator.$ID.$FIELD default_policies.operator.$ID.classic_queues.$FIELD""",
    "passwords are not validated": """
        credential_validator.validation_backend credential_validator.min_length
        credential_validator.regexp""",
    "new passwords are hashed with SHA-256": "password_hashing_module",
    "TLS is not available": """
        ssl_options ssl_options. ssl_cert_login_from ssl_cert_login_san_type ssl_cert_login_san_index
        ssl_handshake_timeout ssl_allow_poodle_attack amqp_client.ssl_options amqp_client.ssl_options.
        amqp10_client.ssl_options amqp10_client.ssl_options. definitions.tls. trust_store.""",
    "sockets use the operating system's defaults and TCP_NODELAY": "tcp_listen_options tcp_listen_options.",
    "statistics are always current and cannot be switched off here": """
        collect_statistics collect_statistics_interval management.disable_stats
        management.enable_queue_totals management.db_cache_multiplier management.delegate_count
        management.sample_retention_policies. management_agent.disable_metrics_collector
        management_agent.filter_aggregated_queue_metrics_pattern
        prometheus.filter_aggregated_queue_metrics_pattern""",
    "the HTTP API has no such option": """
        management.http_log_dir management.credential_encryption_secret
        management.tcp.inactivity_timeout management.tcp.max_keepalive management.tcp.shutdown_timeout
        management.listener.server. management.enable_uaa management.uaa_client_id management.uaa_location
        management.oauth_ http_dispatch.access_log_dir
        prometheus.tcp.idle_timeout prometheus.tcp.inactivity_timeout prometheus.tcp.max_keepalive
        prometheus.tcp.shutdown_timeout""",
    "logs are plain text on standard output": """
        log.dir log.console log.console.stdio log.console.use_colors log.console.color_esc_seqs.
        log.console.formatter log.console.formatter. log.file log.file.rotation. log.file.formatter
        log.file.formatter. log.exchange log.exchange. log.journald log.journald. log.syslog log.syslog.
        log.connection. log.channel. log.queue. log.default.""",
    "there are no log messages in this category": "log.federation. log.upgrade. log.user.",
    "the feature is not available": """
        exchange_types.local_random.enabled queue_types.$TYPE.enabled
        quorum_queue.property_equivalence.relaxed_checks_on_redeclaration message_interceptors.
        channel_interceptor.priorities.$NAME cluster_tags.$TAG node_tags.$TAG product.name product.version
        motd_file
        definitions.skip_if_unchanged stream.data_dir stream.read_ahead stream.read_ahead_limit""",
    "its plugin is not available": """
        amqp1_0. auth_cache. auth_http. auth_ldap. auth_oauth2. aws. federation. mqtt. shovel.
        stomp.
        stream. tracing. web_mqtt. web_stomp.""",
    "events are always AMQP 0-9-1 messages": "event_exchange.protocol",
}


def verdict(key: str, text: str, place: str, meaningful: Iterable[str]) -> str:
    """Return the warning for a key without effect. Raises `ConfigError` for a key that is refused or unknown.

    `meaningful`: the keys with an effect, to propose similar ones for an unknown key.
    """
    refused = REFUSED_VALUES.get(key)
    if refused is not None:
        if text == refused[0]:
            raise ConfigError(place, key, refused[1])
        return f"{place}: {key} has no effect: {refused[1]}"
    reason = _reason(key, REFUSED)
    if reason is not None:
        raise ConfigError(place, key, reason)
    reason = _reason(key, UNUSED)
    if reason is not None:
        return f"{place}: {key} has no effect: {reason}"
    raise ConfigError(
        place, key, f"Conf file attempted to set unknown variable: {key}", _alike(key, meaningful)
    )


def _reason(key: str, groups: dict[str, str]) -> str | None:
    """Why the key is in one of the groups, or None."""
    for reason, keys in groups.items():
        for known in keys.split():
            if key == known or (known[-1] in "._" and key.startswith(known)):
                return reason
            if "$" in known and re.fullmatch(re.sub(r"\\\$[A-Z]+", r"[^.]+", re.escape(known)), key):
                return reason
    return None


def _alike(key: str, meaningful: Iterable[str]) -> str:
    """Known keys with similar names, as RabbitMQ proposes them."""
    from difflib import get_close_matches

    known = [name for keys in (*REFUSED.values(), *UNUSED.values()) for name in keys.split()]
    return ", ".join(get_close_matches(key, [*meaningful, *known], 3, 0.5))
