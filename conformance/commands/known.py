"""Where Leveret answers command lines in another way than RabbitMQ, and why."""

from __future__ import annotations

#: What a line contains -> nothing but its exit code is compared, because what it writes is random or of the machine.
NO_COMMAND_LINE: tuple[str, ...] = (
    r"hash_password",
    r"list_(ciphers|hashes)",  # the lists of Erlang, in its order
)

#: What a line contains -> its first line and its exit code are compared: the rest is of the machine, or of Erlang.
BANNER_ONLY: tuple[str, ...] = (
    r"\bstatus --formatter erlang",
    r"\benvironment$",
    r"\b(command_line_arguments|os_env|cipher_suites|runtime_thread_stats|maybe_stuck|log_tail|log_location)\b",
    r"\b(erlang_version|erlang_cookie_sources|tls_versions|directories|message_size_stats)\b",
    r"\b(quorum_status|coordinator_status|metadata_store_status)\b(?!.* (classic|stream|nothing)\b)",
    r"(cluster_status|listeners) --formatter erlang",
    r"os_env|directories|log_location|export_definitions -$",
    r"list_node_auth_attempt_stats",
    r"memory_breakdown --formatter csv",
)

#: What a line contains -> only the words before colons, and the names in JSON, are compared.
WORDS_ONLY: tuple[str, ...] = (r"(?<!_)\bstatus\b", r"memory_breakdown(?! --formatter csv)")

#: What a line contains -> why its answer differs.
DIFFERENT: tuple[tuple[str, str], ...] = (
    (
        r"--formatter( nonsense|=$| \"\"$)",
        "RabbitMQ fails over a formatter that it does not know; Leveret says which there are.",
    ),
    (
        r"\b(encode|decode|encrypt_conf_value|decrypt_conf_value)\b",
        "Leveret does not read encrypted values of a configuration, and refuses to make them.",
    ),
    (
        r"(set_user_limits ann|set_vhost_limits -p shop|set_policy p \"\.\*\") '\[\]'"
        r"|set_policy -p shop bad \"\.\*\" '(\"x\"|1|null)'|import_definitions <<< '\{\"users\": 1\}'",
        "RabbitMQ fails over a JSON value where it expects another kind; Leveret says so.",
    ),
    (r"list_parameters", "An operator policy that is set as a parameter gets its default apply-to."),
    (r"messages_ready_ram", "All messages count as in memory; persistent ones are not counted."),
    (
        r"watermark absolute (\"0\"|-1)|join_cluster other|check_certificate_expiration --within 1"
        r"|await_online_nodes (0|-1)|check_port_listener -1|--object-type nonsense|--limit -1"
        r"|list_.* (-t|--timeout) (-1|9{20})|ping --timeout -1|list_users --formatter (report|msacc)"
        r"|eval \"(X|a \+ 1)\.\"",
        "RabbitMQ fails or warns with a stack trace.",
    ),
    (r"erlang_cookie_hash", "There is no cookie: the control socket has the permissions of a file."),
    (r"check_port_listener 1 --formatter json", "RabbitMQ shows the ports as characters."),
    (r"(log_tail_stream|consume_event_stream) -d", "The recorder cannot play commands that stream."),
    (r"rabbitmq_top|^rabbitmq-plugins list -E -m", "The plugin rabbitmq_top is not there."),
    (r"stream_status .*--tracking", "Streams keep no sequences of publishers: AMQP 0-9-1 has none."),
)
