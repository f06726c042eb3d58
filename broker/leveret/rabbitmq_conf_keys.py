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
    "the HTTP API asks the same backends": "http_dispatch.auth_backends.",
    "the page is a public client with PKCE and keeps no secret": """
        management.oauth_client_secret management.oauth_resource_servers.$NAME.oauth_client_secret""",
    "revocation lists are not checked": """
        auth_oauth2.https.crl_check auth_oauth2.oauth_providers.$NAME.https.crl_check
        auth_http.ssl_options.crl_check ssl_options.crl_sources.""",
    "certificates, keys and parameters are read from files: certfile, keyfile, dhfile": """
        ssl_options.cert ssl_options.key. ssl_options.dh ssl_options.psk_identity
        management.listener.ssl_opts.cert management.listener.ssl_opts.key. management.listener.ssl_opts.dh
        management.listener.ssl_opts.psk_identity""",
    "definitions cannot be downloaded over HTTP": "definitions.https.url",
}

#: Keys that have no effect with one value and are refused with others: key -> (value, reason).
HARMLESS_VALUES = {
    "ssl_options.crl_check": ("false", "revocation lists are not checked"),
    "management.listener.ssl_opts.crl_check": ("false", "revocation lists are not checked"),
    "auth_oauth2.https.crl_check": ("false", "revocation lists are not checked"),
    "auth_oauth2.oauth_providers.$NAME.https.crl_check": ("false", "revocation lists are not checked"),
    "auth_http.ssl_options.crl_check": ("false", "revocation lists are not checked"),
    "management.listener.ssl_opts": ("none", "TLS is configured by the keys below it"),
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
    "there are no sessions and links of AMQP 1.0": "session_max_per_connection link_max_per_session",
    "classic queues have no mirrors": "default_policies.operator.$ID.classic_queues.$FIELD",
    "the options of Python's ssl apply": """
        auth_http.ssl_options auth_http.ssl_options. log.syslog.ssl_options. auth_oauth2.https.depth
        auth_oauth2.oauth_providers.$NAME.https.depth auth_oauth2.oauth_providers.$NAME.https.fail_if_no_peer_cert
        auth_oauth2.https.fail_if_no_peer_cert""",
    "the page learns the provider's endpoints from its metadata": """
        auth_oauth2.token_endpoint auth_oauth2.authorization_endpoint
        auth_oauth2.oauth_providers.$NAME.token_endpoint auth_oauth2.oauth_providers.$NAME.end_session_endpoint
        auth_oauth2.oauth_providers.$NAME.authorization_endpoint""",
    "the cache is in the memory of the broker": "auth_cache.cache_module",
    "SSL 3.0 is never used": "ssl_allow_poodle_attack",
    "the broker makes no connections to others": """
        amqp_client.ssl_options amqp_client.ssl_options. amqp10_client.ssl_options
        amqp10_client.ssl_options. definitions.tls.""",
    "its plugin is not available; authorities are those of ssl_options.cacertfile": "trust_store.",
    "sockets use the operating system's defaults and TCP_NODELAY": "tcp_listen_options tcp_listen_options.",
    "statistics are always current and cannot be switched off here": """
        collect_statistics collect_statistics_interval
        management.enable_queue_totals management.db_cache_multiplier management.delegate_count
        management.sample_retention_policies.
        management_agent.filter_aggregated_queue_metrics_pattern
        prometheus.filter_aggregated_queue_metrics_pattern""",
    "the HTTP API has no such option": """
        management.http_log_dir management.credential_encryption_secret
        management.tcp.inactivity_timeout management.tcp.max_keepalive management.tcp.shutdown_timeout
        management.listener.server. management.enable_uaa management.uaa_client_id management.uaa_location
        http_dispatch.access_log_dir
        prometheus.tcp.idle_timeout prometheus.tcp.inactivity_timeout prometheus.tcp.max_keepalive
        prometheus.tcp.shutdown_timeout""",
    "OpenSSL decides this": """
        ssl_options.honor_ecc_order ssl_options.log_alert ssl_options.log_level ssl_options.reuse_sessions
        ssl_options.secure_renegotiate ssl_options.bypass_pem_cache
        management.ssl.honor_ecc_order management.ssl.reuse_sessions management.ssl.secure_renegotiate
        management.listener.ssl_opts.honor_ecc_order management.listener.ssl_opts.reuse_sessions
        management.listener.ssl_opts.secure_renegotiate management.listener.ssl_opts.log_alert
        prometheus.ssl.honor_ecc_order prometheus.ssl.reuse_sessions prometheus.ssl.secure_renegotiate""",
    "listeners over TLS have the options of the others": """
        management.ssl.backlog management.ssl.max_connections management.ssl.compress
        management.ssl.idle_timeout management.ssl.inactivity_timeout management.ssl.request_timeout
        management.ssl.shutdown_timeout management.ssl.max_keepalive
        prometheus.ssl.backlog prometheus.ssl.max_connections prometheus.ssl.compress
        prometheus.ssl.idle_timeout prometheus.ssl.inactivity_timeout prometheus.ssl.request_timeout
        prometheus.ssl.shutdown_timeout prometheus.ssl.max_keepalive""",
    "categories have no files of their own": """
        log.connection.file log.connection.rotation. log.channel.file
        log.channel.rotation. log.queue.file log.queue.rotation. log.default.rotation.""",
    "the console has no colours": "log.console.use_colors log.console.color_esc_seqs.",
    "there are no log messages in this category": "log.federation. log.upgrade. log.user.",
    "the feature is not available": """
        message_interceptors. channel_interceptor.priorities.$NAME product.name product.version motd_file
        stream.data_dir stream.read_ahead stream.read_ahead_limit""",
    "its plugin is not available": """
        amqp1_0. auth_ldap. aws. federation. mqtt. shovel.
        stomp.
        stream. tracing. web_mqtt. web_stomp.""",
    "events are always AMQP 0-9-1 messages": "event_exchange.protocol",
}


def verdict(key: str, text: str, place: str, meaningful: Iterable[str]) -> str:
    """Return the warning for a key without effect. Raises `ConfigError` for a key that is refused or unknown.

    `meaningful`: the keys with an effect, to propose similar ones for an unknown key.
    """
    harmless = next((value for known, value in HARMLESS_VALUES.items() if _is(key, known)), None)
    if harmless is not None:
        if text != harmless[0]:
            raise ConfigError(place, key, harmless[1], harmless[0])
        return f"{place}: {key} has no effect: {harmless[1]}"
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
            if _is(key, known):
                return reason
    return None


def is_one_of(key: str, known: Iterable[str]) -> bool:
    """Return whether a key is among known ones; a word in capitals after `$` stands for any word."""
    return any(_is(key, one) for one in known)


def _is(key: str, known: str) -> bool:
    """Return whether a key is a known one, or one of a known group."""
    if key == known or (known[-1] in "._" and key.startswith(known)):
        return True
    return "$" in known and re.fullmatch(re.sub(r"\\\$[A-Z]+", r"[^.]+", re.escape(known)), key) is not None


def _alike(key: str, meaningful: Iterable[str]) -> str:
    """Known keys with similar names, as RabbitMQ proposes them."""
    from difflib import get_close_matches

    known = [name for keys in (*REFUSED.values(), *UNUSED.values()) for name in keys.split()]
    return ", ".join(get_close_matches(key, [*meaningful, *known], 3, 0.5))
