"""Every command of RabbitMQ 4.3.6 with its options, its checks, and the line that it prints first.

What a command does is in `leveret.control` (in the node) or in `local.py` (without one); its usage is in `usage.json`.
"""

from __future__ import annotations

#: The RabbitMQ release whose tools these are.
RELEASE = "4.3.6"

#: RabbitMQ's names of the tools -> the letter that stands for them in `TABLE`.
TOOLS = {
    "rabbitmqctl": "c",
    "rabbitmq-diagnostics": "d",
    "rabbitmq-plugins": "p",
    "rabbitmq-queues": "q",
    "rabbitmq-streams": "s",
    "rabbitmq-upgrade": "u",
}

#: What must be true of the application on the node before a command is carried out.
RUNNING, STOPPED, STOPPED_OR_DOWN = "running", "stopped", "stopped or down"

INT, BOOL, STR = "integer", "boolean", "string"

#: The virtual host of commands that name none.
VHOST: dict[str, object] = {"vhost": "/"}

#: Timeouts that commands have without `--timeout`, milliseconds.
MINUTE_MS = 60_000


class Command:
    """One command.

    `tools`: letters of `TOOLS`. `arguments`: how many there may be at least and at most (None: any number). `check`:
    the name of a function in `checks.py`. `banner`: a template of the first line, or the name of a function in
    `banners.py` (`@name`). `columns`: what can be listed, and `shown`: what is listed by default. `timeout`: as merged
    into the options, ms. `timed`: takes `--timeout`. `raw`: output ends without a line end of its own. `local`: needs
    no node. `reads`: the prompt of what is read from standard input if the last argument is missing.
    """

    def __init__(
        self,
        tools: str,
        banner: str = "",
        *,
        needs: str = RUNNING,
        arguments: tuple[int, int | None] = (0, 0),
        switches: dict[str, str] | None = None,
        aliases: dict[str, str] | None = None,
        defaults: dict[str, object] | None = None,
        check: str = "",
        formatter: str = "string",
        columns: str = "",
        shown: str = "",
        timeout: int | None = None,
        timed: bool = False,
        raw: bool = False,
        local: bool = False,
        reads: str = "",
    ) -> None:
        self.tools = tools
        self.banner = banner
        self.needs = "" if local else needs
        self.arguments = arguments
        self.switches = {"timeout": INT, **(switches or {})} if timed else switches or {}
        self.aliases = {"t": "timeout", **(aliases or {})} if timed else aliases or {}
        self.defaults = defaults or {}
        self.check = check
        self.formatter = formatter
        self.columns = columns.split()
        self.shown = shown.split()
        self.timeout = timeout
        self.timed = timed
        self.raw = raw
        self.local = local
        self.reads = reads


_HEADERS: dict[str, object] = {"table_headers": True}
_LISTED: dict[str, object] = {**VHOST, **_HEADERS}
_ANY: tuple[int, None] = (0, None)
_CIPHER = {"cipher": STR, "hash": STR, "iterations": INT}
_PATTERNS = {"vhost_pattern": STR, "queue_pattern": STR}
_MEMBERS = {**_PATTERNS, "membership": STR, "errors_only": BOOL}
_EVERY: dict[str, object] = {"vhost_pattern": ".*", "queue_pattern": ".*"}
_GROW: dict[str, object] = {**_EVERY, "membership": "promotable", "errors_only": False}
_MODES = {"online": BOOL, "offline": BOOL}
_NO_MODE: dict[str, object] = {"online": False, "offline": False}
_METADATA = {"description": STR, "tags": STR, "default_queue_type": STR}
_NO_OP = "This command is DEPRECATED and is a no-op. It will be removed in a future version."
_RAFT = "is incompatible with Raft-based features such as quorum queues, streams, Khepri. "


def _cipher(title: str, least: int, check: str, formatter: str) -> Command:
    """A command that encrypts or decrypts a value with a passphrase; `least`: arguments that must be given."""
    return Command(
        "c", title, arguments=(least, 2), switches=_CIPHER, check=check, formatter=formatter, local=True
    )


TABLE: dict[str, Command] = {
    # --- help
    "help": Command("cdpqsu", arguments=(0, 1), switches={"list_commands": BOOL}, local=True),
    "version": Command("cdp", local=True),
    "autocomplete": Command("cdpq", arguments=(1, 1), timed=True, local=True),
    # --- nodes
    "await_startup": Command("c", needs="", timeout=300_000),
    "reset": Command("c", "Resetting node {node} ...", needs=STOPPED),
    "force_reset": Command("c", "Forcefully resetting node {node} ...", needs=STOPPED),
    "rotate_logs": Command("c"),
    "shutdown": Command(
        "c", needs="", switches={"timeout": INT, "wait": BOOL}, defaults={"wait": True, "timeout": 120}
    ),
    "start_app": Command("c", "Starting node {node} ...", needs=""),
    "stop_app": Command("c", "Stopping rabbit application on node {node} ...", needs=""),
    "stop": Command(
        "c",
        "@stop",
        needs="",
        arguments=(0, 1),
        switches={"idempotent": BOOL},
        defaults={"idempotent": False},
    ),
    "wait": Command(
        "cd",
        needs="",
        arguments=(0, 1),
        switches={"pid": INT, "timeout": INT},
        aliases={"P": "pid", "t": "timeout"},
        check="wait",
        timeout=10_000,
    ),
    # --- cluster
    "await_online_nodes": Command(
        "c",
        "Will wait for at least {0} nodes to join the cluster of {node}. Timeout: {seconds} seconds.",
        arguments=(1, 1),
        check="positive",
        timed=True,
        timeout=300_000,
    ),
    "cluster_status": Command("cd", "Cluster status of node {node} ...", timed=True, timeout=MINUTE_MS),
    "force_boot": Command("c", needs=STOPPED_OR_DOWN),
    "force_standalone_khepri_boot": Command("c", needs=""),
    "forget_cluster_node": Command(
        "c",
        "Removing node {0} from the cluster",
        needs="",
        arguments=(1, 1),
        switches={"offline": BOOL},
        defaults={"offline": False},
    ),
    "join_cluster": Command(
        "c", "Clustering node {node} with {0}", needs="", arguments=(1, 1), switches={"disc": BOOL}
    ),
    "rename_cluster_node": Command(
        "c", f"DEPRECATED. This command is a no-op. Node renaming {_RAFT}", needs="", arguments=(2, None)
    ),
    "update_cluster_nodes": Command(
        "c", f"DEPRECATED. This command is a no-op. Node update {_RAFT}", needs=STOPPED, arguments=(1, 1)
    ),
    # --- users
    "add_user": Command(
        "c",
        'Adding user "{0}" ...',
        arguments=(1, 2),
        switches={"pre_hashed_password": BOOL},
        defaults={"pre_hashed_password": False},
        check="add_user",
        reads="@password",
    ),
    "authenticate_user": Command("c", 'Authenticating user "{0}" ...', arguments=(1, 2), reads="Password: "),
    "change_password": Command(
        "c", 'Changing password for user "{0}" ...', arguments=(1, 2), reads="Password: "
    ),
    "clear_password": Command("c", 'Clearing password for user "{0}" ...', arguments=(1, 1)),
    "clear_user_limits": Command("c", "@clear_user_limits", arguments=(2, 2)),
    "delete_user": Command("c", 'Deleting user "{0}" ...', arguments=(1, 1)),
    "list_user_limits": Command(
        "cd",
        "@list_user_limits",
        switches={"global": BOOL, "user": STR},
        formatter="table",
        defaults=_HEADERS,
        check="list_user_limits",
    ),
    "list_users": Command("cd", "Listing users ...", formatter="table", defaults=_HEADERS, timed=True),
    "set_user_limits": Command("c", 'Setting user limits to "{1}" for user "{0}" ...', arguments=(2, 2)),
    "set_user_tags": Command("c", "@set_user_tags", arguments=(1, None), check="set_user_tags"),
    "hash_password": Command(
        "c",
        "@hash_password",
        arguments=(0, 1),
        switches={"hashing_algorithm": STR},
        check="hash_password",
        local=True,
    ),
    # --- permissions
    "clear_permissions": Command(
        "c", 'Clearing permissions for user "{0}" in vhost "{vhost}" ...', arguments=(1, 1), defaults=VHOST
    ),
    "clear_topic_permissions": Command("c", "@clear_topic_permissions", arguments=(1, 2), defaults=VHOST),
    "list_permissions": Command(
        "cd", 'Listing permissions for vhost "{vhost}" ...', formatter="table", defaults=_LISTED, timed=True
    ),
    "list_topic_permissions": Command(
        "cd",
        'Listing topic permissions for vhost "{vhost}" ...',
        formatter="table",
        defaults=_LISTED,
        timed=True,
    ),
    "list_user_permissions": Command(
        "cd",
        'Listing permissions for user "{0}" ...',
        arguments=(1, 1),
        formatter="table",
        defaults=_HEADERS,
        timed=True,
    ),
    "list_user_topic_permissions": Command(
        "cd",
        'Listing topic permissions for user "{0}" ...',
        arguments=(1, 1),
        formatter="table",
        defaults={"table_headers": False},
        timed=True,
    ),
    "set_permissions": Command(
        "c", 'Setting permissions for user "{0}" in vhost "{vhost}" ...', arguments=(4, 4), defaults=VHOST
    ),
    "set_permissions_globally": Command(
        "c", 'Setting permissions for user "{0}" in all virtual hosts ...', arguments=(4, 4), defaults=VHOST
    ),
    "set_topic_permissions": Command(
        "c",
        'Setting topic permissions on "{1}" for user "{0}" in vhost "{vhost}" ...',
        arguments=(4, 4),
        defaults=VHOST,
    ),
    # --- virtual hosts
    "add_vhost": Command(
        "c",
        'Adding vhost "{0}" ...',
        arguments=(1, 1),
        switches=_METADATA,
        aliases={"d": "description"},
        defaults={"description": "", "tags": ""},
        check="queue_type",
    ),
    "clear_vhost_limits": Command("c", 'Clearing vhost "{vhost}" limits ...', defaults=VHOST),
    "delete_vhost": Command("c", 'Deleting vhost "{0}" ...', arguments=(1, 1)),
    "disable_vhost_deletion_protection": Command(
        "c",
        'Removing deletion protection from virtual host "{0}" by updating its metadata...',
        arguments=(1, 1),
    ),
    "enable_vhost_deletion_protection": Command(
        "c", 'Protecting virtual host "{0}" from removal by updating its metadata...', arguments=(1, 1)
    ),
    "list_vhost_limits": Command(
        "cd", "@list_vhost_limits", switches={"global": BOOL}, formatter="table", defaults=_LISTED
    ),
    "list_vhosts": Command(
        "cd",
        "Listing vhosts ...",
        arguments=_ANY,
        formatter="table",
        defaults=_HEADERS,
        timed=True,
        columns="name description tags default_queue_type protected_from_deletion tracing cluster_state metadata",
        shown="name",
    ),
    "reconcile_vhosts": Command(
        "c", "Will try to initiate virtual host reconciliation on all reachable cluster nodes...", timed=True
    ),
    "restart_vhost": Command(
        "c", "Trying to restart vhost '{vhost}' on node '{node}' ...", defaults=VHOST, timed=True
    ),
    "set_vhost_limits": Command(
        "c", 'Setting vhost limits to "{0}" for vhost "{vhost}" ...', arguments=(1, 1), defaults=VHOST
    ),
    "set_vhost_tags": Command("c", "@set_vhost_tags", arguments=(1, None)),
    "trace_off": Command("c", 'Stopping tracing for vhost "{vhost}" ...', arguments=_ANY, defaults=VHOST),
    "trace_on": Command("c", 'Starting tracing for vhost "{vhost}" ...', arguments=_ANY, defaults=VHOST),
    "update_vhost_metadata": Command(
        "c",
        'Updating metadata of vhost "{0}" ...',
        arguments=(1, 1),
        switches={**_METADATA, "protected_from_deletion": BOOL},
        aliases={"d": "description"},
        check="metadata",
    ),
    # --- lists
    "list_queues": Command(
        "cd",
        "@list_queues",
        arguments=_ANY,
        formatter="table",
        timed=True,
        timeout=MINUTE_MS,
        switches={"offline": BOOL, "online": BOOL, "local": BOOL},
        defaults={**_LISTED, "offline": False, "online": False, "local": False},
        columns="name durable auto_delete arguments policy operator_policy effective_policy_definition "
        "pid owner_pid exclusive exclusive_consumer_pid exclusive_consumer_tag messages_ready "
        "messages_unacknowledged messages messages_ready_ram messages_unacknowledged_ram messages_ram "
        "messages_persistent message_bytes message_bytes_ready message_bytes_unacknowledged "
        "message_bytes_ram message_bytes_persistent head_message_timestamp disk_reads disk_writes consumers "
        "consumer_utilisation consumer_capacity memory state type leader members online",
        shown="name messages",
    ),
    "list_unresponsive_queues": Command(
        "cd",
        "Listing unresponsive queues for vhost {vhost} ...",
        arguments=_ANY,
        formatter="table",
        timed=True,
        switches={"queue_timeout": INT, "local": BOOL},
        defaults={**_LISTED, "local": False, "queue_timeout": 15},
        columns="name durable auto_delete arguments pid",
        shown="name",
    ),
    "list_exchanges": Command(
        "cd",
        "Listing exchanges for vhost {vhost} ...",
        arguments=_ANY,
        formatter="table",
        timed=True,
        defaults=_LISTED,
        columns="name type durable auto_delete internal arguments policy",
        shown="name type",
    ),
    "list_bindings": Command(
        "cd",
        "Listing bindings for vhost {vhost}...",
        arguments=_ANY,
        formatter="table",
        timed=True,
        defaults=_LISTED,
        columns="source_name source_kind destination_name destination_kind routing_key arguments",
        shown="source_name source_kind destination_name destination_kind routing_key arguments",
    ),
    "list_connections": Command(
        "cd",
        "Listing connections ...",
        arguments=_ANY,
        formatter="table",
        timed=True,
        defaults=_HEADERS,
        columns="pid name port host peer_port peer_host ssl ssl_protocol ssl_key_exchange ssl_cipher "
        "ssl_hash peer_cert_subject peer_cert_issuer peer_cert_serial_number peer_cert_validity state "
        "channels protocol auth_mechanism user vhost container_id timeout frame_max channel_max "
        "client_properties recv_oct recv_cnt send_oct send_cnt send_pend connected_at",
        shown="user peer_host peer_port state",
    ),
    "list_channels": Command(
        "cd",
        "Listing channels ...",
        arguments=_ANY,
        formatter="table",
        defaults=_HEADERS,
        columns="pid connection name number user vhost transactional confirm consumer_count "
        "messages_unacknowledged messages_uncommitted acks_uncommitted messages_unconfirmed prefetch_count",
        shown="pid user consumer_count messages_unacknowledged",
    ),
    "list_consumers": Command(
        "cd",
        "Listing consumers in vhost {vhost} ...",
        arguments=_ANY,
        formatter="table",
        timed=True,
        defaults=_LISTED,
        columns="queue_name channel_pid consumer_tag ack_required prefetch_count active activity_status "
        "arguments",
        shown="queue_name channel_pid consumer_tag ack_required prefetch_count active arguments",
    ),
    "list_channel_interceptors": Command(
        "cd", "Listing channel interceptors ...", formatter="table", defaults=_HEADERS, timed=True
    ),
    "list_node_auth_attempt_stats": Command(
        "cd",
        'Listing authentication\n attempts for node "{node}" ...',
        formatter="table",
        switches={"by_source": BOOL},
        defaults={"by_source": False},
    ),
    "list_feature_flags": Command(
        "cd",
        "Listing feature flags ...",
        arguments=_ANY,
        formatter="table",
        timed=True,
        columns="name state stability provided_by desc doc_url",
        shown="name state",
    ),
    "list_deprecated_features": Command(
        "cd",
        "@list_deprecated_features",
        arguments=_ANY,
        formatter="pretty_table",
        switches={"used": BOOL},
        defaults={"used": False},
        columns="name deprecation_phase state provided_by desc doc_url",
        shown="name deprecation_phase state",
    ),
    "list_ciphers": Command("cd", "Listing supported ciphers ...", formatter="erlang", local=True),
    "list_hashes": Command("cd", "Listing supported hash algorithms ...", formatter="erlang", local=True),
    "enable_feature_flag": Command(
        "c",
        "@enable_feature_flag",
        arguments=(1, 1),
        switches={"experimental": BOOL, "opt_in": BOOL},
        aliases={"e": "experimental", "o": "opt_in"},
        defaults={"experimental": False, "opt_in": False},
        check="feature_flag",
    ),
    # --- policies and parameters
    "clear_global_parameter": Command("c", 'Clearing global runtime parameter "{0}" ...', arguments=(1, 1)),
    "clear_parameter": Command(
        "c",
        'Clearing runtime parameter "{1}" for component "{0}" on vhost "{vhost}" ...',
        arguments=(2, 2),
        defaults=VHOST,
    ),
    "list_global_parameters": Command(
        "cd", "Listing global runtime parameters ...", formatter="table", defaults=_HEADERS, timed=True
    ),
    "list_parameters": Command(
        "cd",
        'Listing runtime parameters for vhost "{vhost}" ...',
        formatter="table",
        defaults=_LISTED,
        timed=True,
    ),
    "set_global_parameter": Command(
        "c", 'Setting global runtime parameter "{0}" to "{1}" ...', arguments=(2, 2)
    ),
    "set_parameter": Command(
        "c",
        'Setting runtime parameter "{1}" for component "{0}" to "{2}" in vhost "{vhost}" ...',
        arguments=(3, 3),
        defaults=VHOST,
    ),
    "clear_operator_policy": Command(
        "c", 'Clearing operator policy "{0}" on vhost "{vhost}" ...', arguments=(1, 1), defaults=VHOST
    ),
    "clear_policy": Command(
        "c", 'Clearing policy "{0}" on vhost "{vhost}" ...', arguments=(1, 1), defaults=VHOST
    ),
    "list_operator_policies": Command(
        "cd",
        'Listing operator policy overrides for vhost "{vhost}" ...',
        formatter="table",
        defaults=_LISTED,
        timed=True,
    ),
    "list_policies": Command(
        "cd", 'Listing policies for vhost "{vhost}" ...', formatter="table", defaults=_LISTED, timed=True
    ),
    "list_policies_that_match": Command(
        "d",
        "Listing policies that match {object_type} '{0}' in vhost '{vhost}' ...",
        arguments=(1, 1),
        switches={"object_type": STR},
        defaults={**VHOST, "object_type": "queue"},
        formatter="pretty_table",
    ),
    "set_operator_policy": Command(
        "c",
        'Setting operator policy override "{0}" for pattern "{1}" to "{2}" with priority "{priority}" '
        'for vhost "{vhost}" ...',
        arguments=(3, 3),
        switches={"priority": INT, "apply_to": STR},
        defaults={**VHOST, "priority": 0, "apply_to": "all"},
    ),
    "set_policy": Command(
        "c",
        'Setting policy "{0}" for pattern "{1}" to "{2}" with priority "{priority}" for vhost "{vhost}" ...',
        arguments=(3, 3),
        switches={"priority": INT, "apply_to": STR},
        defaults={**VHOST, "priority": 0, "apply_to": "all"},
    ),
    # --- queues, connections
    "delete_queue": Command(
        "c",
        "@delete_queue",
        arguments=(1, 1),
        timed=True,
        check="delete_queue",
        switches={"if_empty": BOOL, "if_unused": BOOL, "force": BOOL},
        aliases={"e": "if_empty", "u": "if_unused"},
        defaults={**VHOST, "if_empty": False, "if_unused": False, "force": False},
    ),
    "purge_queue": Command(
        "c", "Purging queue '{0}' in vhost '{vhost}' ...", arguments=(1, 1), defaults=VHOST, timed=True
    ),
    "close_all_connections": Command(
        "c",
        "@close_all_connections",
        arguments=(1, 1),
        switches={"global": BOOL, "per_connection_delay": INT, "limit": INT},
        defaults={**VHOST, "global": False, "per_connection_delay": 0, "limit": 0},
    ),
    "close_all_user_connections": Command(
        "c", "Closing connections of user {0}, reason: {1}...", arguments=(2, 2)
    ),
    "close_connection": Command("c", "Closing connection {0}, reason: {1}...", arguments=(2, 2)),
    # --- definitions
    "export_definitions": Command(
        "c",
        "@export_definitions",
        arguments=(1, 1),
        switches={"format": STR},
        defaults={"format": "json"},
        timed=True,
        check="export_definitions",
        raw=True,
    ),
    "import_definitions": Command(
        "c",
        "@import_definitions",
        arguments=(0, 1),
        switches={"format": STR, "skip_if_unchanged": BOOL},
        defaults={"format": "json"},
        timed=True,
        check="import_definitions",
        raw=True,
    ),
    # --- operations
    "eval": Command("c", needs="", arguments=_ANY, formatter="erlang", check="eval"),
    "eval_file": Command("c", needs="", arguments=(1, None), formatter="erlang", check="eval_file"),
    "exec": Command(
        "c", arguments=(1, 1), switches={"offline": BOOL}, formatter="inspect", check="exec", local=True
    ),
    "force_gc": Command(
        "c", "Will ask all processes on node {node} to schedule a full sweep GC", needs="", timed=True
    ),
    "remove_classic_queue_mirroring_from_policies": Command(
        "c",
        "Will remove keys that enable classic queue mirroring from all regular and operator policies",
        needs="",
        timed=True,
    ),
    "resume_listeners": Command(
        "c",
        "Will resume client connection listeners on node {node}. The node will now accept client connections",
        needs="",
    ),
    "suspend_listeners": Command(
        "c",
        "Will suspend client connection listeners on node {node}. The node will no longer accept client "
        "connections!",
        needs="",
    ),
    # --- configuration
    "decode": _cipher("Decrypting an advanced.config (Erlang term) value...", 1, "decode", "erlang"),
    "decrypt_conf_value": _cipher("Decrypting a rabbitmq.conf string value...", 1, "decode", "erlang"),
    "encode": _cipher("Encrypting value to be used in advanced.config...", 0, "encode", "erlang"),
    "encrypt_conf_value": _cipher(
        "Encrypting value to be used in rabbitmq.conf...", 0, "encode", "encrypted_conf_value"
    ),
    "environment": Command("cd", "Application environment of node {node} ...", needs="", formatter="erlang"),
    "set_channel_interceptor_priorities": Command(
        "c",
        "@set_channel_interceptor_priorities",
        arguments=(1, None),
        timed=True,
        check="interceptor_priorities",
    ),
    "set_cluster_name": Command("c", "Setting cluster name to {0} ...", arguments=(1, 1)),
    "set_disk_free_limit": Command("c", "@set_disk_free_limit", arguments=(1, None), check="disk_free_limit"),
    "set_log_level": Command("c", 'Setting log level to "{0}" ...', arguments=(1, 1), check="log_level"),
    "set_vm_memory_high_watermark": Command(
        "c", "@set_vm_memory_high_watermark", arguments=(1, None), check="memory_high_watermark"
    ),
    "activate_free_disk_space_monitoring": Command(
        "cd",
        "[Re-]activating free disk space monitoring on node {node}...",
        switches={"unit": STR},
        timed=True,
        timeout=MINUTE_MS,
    ),
    "deactivate_free_disk_space_monitoring": Command(
        "cd",
        "Deactivating free disk space monitoring on node {node}...",
        switches={"unit": STR},
        timed=True,
        timeout=MINUTE_MS,
    ),
    "reset_stats_db": Command("c", "@reset_stats_db", needs="", switches={"all": BOOL}),
    # --- health and status
    "node_health_check": Command(
        "cd",
        "This command is DEPRECATED and is a no-op. It will be removed in a future version. \n"
        "Use one of the options covered in https://www.rabbitmq.com/monitoring.html#health-checks instead.",
        timed=True,
    ),
    "ping": Command(
        "cd",
        "Will ping {node}. This only checks if the OS process is running and registered with epmd. "
        "Timeout: {timeout} ms.",
        needs="",
        timed=True,
        timeout=MINUTE_MS,
    ),
    "report": Command("cd", "Reporting server status of node {node} ...", check="report", formatter="report"),
    "status": Command(
        "cd",
        "Status of node {node} ...",
        switches={"unit": STR},
        timed=True,
        timeout=MINUTE_MS,
        defaults={"unit": "gb"},
        check="unit",
    ),
    "has_reached_target_cluster_size": Command(
        "cdu", "Checking if target cluster size has been reached on node {node} ...", timed=True
    ),
    "check_if_any_deprecated_features_are_used": Command(
        "cd", "Checking if any deprecated features are used ...", timed=True
    ),
    "alarms": Command("d", "Asking node {node} to report any known resource alarms ...", timed=True),
    "certificates": Command("d", "Certificates of node {node} ...", needs="", formatter="erlang"),
    "check_alarms": Command("d", "Asking node {node} to report any local resource alarms ...", timed=True),
    "check_certificate_expiration": Command(
        "d",
        "Checking certificate expiration for all certificates on node {node} ...",
        needs="",
        switches={"unit": STR, "within": INT},
        defaults={"unit": "weeks", "within": 4},
        check="time_unit",
    ),
    "check_for_quorum_queues_without_an_elected_leader": Command(
        "d",
        "@check_for_quorum_queues",
        arguments=(1, 1),
        switches={"across_all_vhosts": BOOL},
        defaults={**VHOST, "across_all_vhosts": False},
    ),
    "check_if_cluster_has_classic_queue_mirroring_policy": Command(
        "dq", "Checking if cluster has any classic queue mirroring policy ...", timed=True
    ),
    "check_if_metadata_store_is_initialized": Command(
        "d", "Checking if metadata store on node {node} has finished initializing ...", needs="", timed=True
    ),
    "check_if_metadata_store_is_initialized_with_data": Command(
        "d", "Checking if metadata store on node {node} has finished initializing ...", needs="", timed=True
    ),
    "check_if_new_quorum_queue_replicas_have_finished_initial_sync": Command(
        "dq", "Checking if node {node} runs promotable replicas of any queues ...", timed=True
    ),
    "check_if_node_is_mirror_sync_critical": Command("dq", _NO_OP, timed=True),
    "check_if_node_is_quorum_critical": Command(
        "dq", "Checking if node {node} is critical for quorum of any queues/streams ...", timed=True
    ),
    "check_local_alarms": Command("d", _NO_OP, timed=True),
    "check_port_connectivity": Command(
        "d",
        "@check_port_connectivity",
        switches={"address": STR},
        aliases={"a": "address"},
        timed=True,
        defaults={"address": None},
        timeout=30_000,
    ),
    "check_port_listener": Command(
        "d",
        "Asking node {node} if there's an active listener on port {0} ...",
        arguments=(1, 1),
        check="positive",
        timed=True,
    ),
    "check_protocol_listener": Command(
        "d",
        "Asking node {node} if there's an active listener for protocol {0} ...",
        arguments=(1, 1),
        timed=True,
    ),
    "check_running": Command("d", "Checking if RabbitMQ is running on node {node} ...", needs="", timed=True),
    "check_virtual_hosts": Command("d", "Checking if all vhosts are running on node {node} ...", timed=True),
    "cipher_suites": Command(
        "d",
        "@cipher_suites",
        needs="",
        switches={"format": STR, "all": BOOL},
        timed=True,
        defaults={"format": "openssl", "all": False},
        check="cipher_suites",
    ),
    "command_line_arguments": Command(
        "d",
        "Command line arguments of node {node} ...",
        needs="",
        formatter="erlang",
        check="command_line_arguments",
    ),
    "consistent_hash_exchange_ring_state": Command(
        "d",
        "Inspecting consistent hashing ring state for exchange {0} in virtual host '{vhost}'...",
        arguments=(1, 1),
        defaults=VHOST,
    ),
    "consume_event_stream": Command(
        "d",
        needs="",
        switches={"duration": INT, "pattern": STR, "timeout": INT},
        aliases={"d": "duration", "t": "timeout"},
        defaults={"pattern": ".*", "quiet": True},
        formatter="json_stream",
        raw=True,
    ),
    "coordinator_status": Command("ds", "Status of stream coordinator ...", formatter="pretty_table"),
    "disable_auth_attempt_source_tracking": Command(
        "d", "Disabling authentication attempt source tracking ..."
    ),
    "discover_peers": Command("d", "Discovering peers nodes ...", timed=True),
    "enable_auth_attempt_source_tracking": Command(
        "d", "Enabling authentication attempt source tracking ..."
    ),
    "erlang_cookie_hash": Command("d", "Asking node {node} its Erlang cookie hash...", needs="", timed=True),
    "erlang_cookie_sources": Command(
        "d", "Listing Erlang cookie sources used by CLI tools...", timed=True, local=True
    ),
    "erlang_version": Command(
        "d",
        "@erlang_version",
        needs="",
        switches={"details": BOOL, "offline": BOOL},
        timed=True,
        defaults={"details": False, "offline": False},
    ),
    "is_booting": Command("d", "Asking node {node} for its boot status ...", needs="", timed=True),
    "is_running": Command("d", "Asking node {node} for its status ...", needs="", timed=True),
    "list_network_interfaces": Command(
        "d",
        "Asking node {node} to report its network interfaces ...",
        needs="",
        switches={"offline": BOOL},
        timed=True,
    ),
    "list_operator_policies_with_classic_queue_mirroring": Command(
        "dq", "Listing operator policies with classic queue mirroring ...", formatter="table", timed=True
    ),
    "list_policies_with_classic_queue_mirroring": Command(
        "dq", "Listing policies with classic queue mirroring ...", formatter="table", timed=True
    ),
    "listeners": Command("d", "Asking node {node} to report its protocol listeners ...", timed=True),
    "log_location": Command(
        "d",
        "Log file location(s) on node {node} ...",
        needs="",
        switches={"all": BOOL},
        aliases={"a": "all"},
        defaults={"all": False},
        timed=True,
    ),
    "log_tail": Command(
        "d",
        "Last {number} log lines on node {node} ...",
        needs="",
        switches={"number": INT},
        aliases={"N": "number"},
        defaults={"number": 50},
        timed=True,
    ),
    "log_tail_stream": Command(
        "d",
        "@log_tail_stream",
        needs="",
        switches={"duration": INT},
        aliases={"d": "duration"},
        timed=True,
        raw=True,
    ),
    "maybe_stuck": Command(
        "d", "Asking node {node} to detect potentially stuck Erlang processes...", timed=True
    ),
    "memory_breakdown": Command(
        "d",
        "Reporting memory breakdown on node {node}...",
        switches={"unit": STR},
        timed=True,
        defaults={"unit": "gb"},
        check="memory_unit",
        formatter="memory",
    ),
    "message_size_stats": Command(
        "d",
        "Gathering message size statistics across the cluster using node {node} ...",
        timed=True,
        timeout=MINUTE_MS,
        formatter="pretty_table",
    ),
    "metadata_store_status": Command(
        "d", "Status of metadata store on node {node} ...", defaults=VHOST, formatter="pretty_table"
    ),
    "observer": Command(
        "d",
        "Starting a CLI observer interface on node {node}...",
        needs="",
        switches={"interval": INT},
        aliases={"i": "interval"},
        defaults={"interval": 5},
    ),
    "os_env": Command(
        "d", "Listing RabbitMQ-specific environment variables defined on node {node}...", timed=True
    ),
    "remote_shell": Command(
        "d",
        "Starting an interactive Erlang shell on node {node}... Press 'Ctrl+G' then 'q' to exit.",
        needs="",
    ),
    "reset_node_auth_attempt_metrics": Command("d", "Reset auth attempt metrics on node {node} ..."),
    "resolve_hostname": Command(
        "d",
        "@resolve_hostname",
        needs="",
        arguments=(1, 1),
        switches={"address_family": STR, "offline": BOOL},
        aliases={"a": "address_family"},
        defaults={"address_family": "IPv4", "offline": False},
        check="resolve_hostname",
    ),
    "resolver_info": Command(
        "d", "@resolver_info", needs="", switches={"offline": BOOL}, defaults={"offline": False}
    ),
    "runtime_thread_stats": Command(
        "d",
        "Will collect runtime thread stats on {node} for {sample_interval} seconds...",
        switches={"sample_interval": INT},
        aliases={"i": "sample_interval"},
        defaults={"sample_interval": 5},
    ),
    "server_version": Command("d", "Asking node {node} for its RabbitMQ version...", needs="", timed=True),
    "tls_versions": Command(
        "d", "Listing all TLS versions supported by the runtime...", timed=True, formatter="string_per_line"
    ),
    # --- plugins
    "directories": Command("p", "@directories", needs="", switches=_MODES, check="plugin_mode"),
    "disable": Command(
        "p",
        "@disable",
        needs="",
        arguments=_ANY,
        switches={**_MODES, "all": BOOL},
        defaults={**_NO_MODE, "all": False},
        check="plugins",
        formatter="plugins",
    ),
    "enable": Command(
        "p",
        "@enable",
        needs="",
        arguments=_ANY,
        switches={**_MODES, "all": BOOL},
        defaults={**_NO_MODE, "all": False},
        check="plugins",
        formatter="plugins",
    ),
    "is_enabled": Command("p", "@is_enabled", needs="", arguments=_ANY, switches=_MODES, check="is_enabled"),
    "list": Command(
        "p",
        'Listing plugins with pattern "{0}" ...',
        needs="",
        arguments=(0, 1),
        switches={"verbose": BOOL, "minimal": BOOL, "enabled": BOOL, "implicitly_enabled": BOOL},
        aliases={"v": "verbose", "m": "minimal", "E": "enabled", "e": "implicitly_enabled"},
        defaults={"verbose": False, "minimal": False, "enabled": False, "implicitly_enabled": False},
        check="plugin_list",
        shown=".*",
        formatter="plugins",
    ),
    "set": Command(
        "p",
        "@set_plugins",
        needs="",
        arguments=_ANY,
        switches=_MODES,
        defaults=_NO_MODE,
        check="plugin_set",
        formatter="plugins",
    ),
    # --- queues with replicas
    "add_member": Command(
        "q",
        "Adding a member for queue {0} on node {1}...",
        arguments=(2, 2),
        switches={"membership": STR},
        timed=True,
        defaults={**VHOST, "membership": "promotable"},
        check="membership",
    ),
    "delete_member": Command(
        "q", "Removing a replica of queue {0} on node {1}...", arguments=(2, 2), defaults=VHOST
    ),
    "force_checkpoint": Command(
        "q",
        "Forcing checkpoint for all matching quorum queues...",
        formatter="table",
        switches={**_PATTERNS, "errors_only": BOOL},
        defaults={**_EVERY, "errors_only": False},
    ),
    "grow": Command(
        "q",
        "Growing {1} queues on {0}...",
        arguments=(2, 2),
        switches=_MEMBERS,
        defaults=_GROW,
        check="grow",
        formatter="table",
    ),
    "grow_to_count": Command(
        "q",
        "Growing {1} quorum queues on {0} nodes...",
        arguments=(2, 2),
        switches=_MEMBERS,
        defaults=_GROW,
        check="grow_to_count",
        formatter="table",
    ),
    "peek": Command(
        "q",
        "Peeking at quorum queue {0} at position {1} on node {node} ...",
        arguments=(2, 2),
        defaults=VHOST,
        timed=True,
        check="peek",
        formatter="pretty_table",
    ),
    "quorum_status": Command(
        "dq",
        "Status of queue {0} on node {node} ...",
        arguments=(1, 1),
        defaults=VHOST,
        formatter="pretty_table",
    ),
    "rebalance": Command(
        "q",
        "Re-balancing leaders of {0} queues...",
        arguments=(1, 1),
        switches=_PATTERNS,
        defaults=_EVERY,
        check="rebalance",
        formatter="pretty_table",
    ),
    "reclaim_quorum_memory": Command(
        "dq", "Will garbage collect quorum queue {0} ...", arguments=(1, 1), defaults=VHOST
    ),
    "shrink": Command(
        "q",
        "Shrinking queues on {0}...",
        arguments=(1, 1),
        switches={"errors_only": BOOL},
        defaults={"errors_only": False},
        formatter="table",
    ),
    "transfer_leadership": Command(
        "q",
        "Transferring leadership of quorum queue {0} to node {1}...",
        arguments=(2, 2),
        defaults=VHOST,
        timed=True,
    ),
    # --- streams
    "add_replica": Command(
        "s", "Adding a replica for stream {0} on node {1}...", arguments=(2, 2), defaults=VHOST, timed=True
    ),
    "delete_replica": Command(
        "s", "Removing a replica of queue {0} on node {1}...", arguments=(2, 2), defaults=VHOST
    ),
    "restart_stream": Command(
        "s",
        "Restarting stream {0}...",
        arguments=(1, 1),
        switches={"preferred_leader_node": STR},
        defaults=VHOST,
    ),
    "stream_status": Command(
        "dqs",
        "Status of stream {0} on node {node} ...",
        arguments=(1, 1),
        switches={"tracking": BOOL},
        defaults={**VHOST, "tracking": False},
        formatter="pretty_table",
    ),
    "streams grow": Command(
        "s",
        "Growing {1} streams on {0}...",
        arguments=(2, 2),
        switches={**_PATTERNS, "errors_only": BOOL},
        defaults={**_EVERY, "errors_only": False},
        check="grow",
        formatter="table",
    ),
    "streams shrink": Command(
        "s",
        "Shrinking streams on {0}...",
        arguments=(1, 1),
        switches={"errors_only": BOOL},
        defaults={"errors_only": False},
        formatter="table",
    ),
    "streams transfer_leadership": Command(
        "s",
        "Transferring leadership of stream {0} to node {1}...",
        arguments=(2, 2),
        defaults=VHOST,
        timed=True,
    ),
    # --- upgrades
    "await_online_quorum_plus_one": Command(
        "u",
        "Will wait for a quorum + 1 of nodes to be online for all quorum queues and streams for "
        "{seconds} seconds...",
        timeout=120_000,
    ),
    "drain": Command(
        "u",
        "Will put node {node} into maintenance mode. The node will no longer serve any client traffic!",
        needs="",
    ),
    "post_upgrade": Command("u", "Executing post upgrade tasks...\nRebalancing queue masters..."),
    "revive": Command(
        "u",
        "Will put node {node} back into regular operating mode. The node will again serve client traffic and "
        "host primary queue replicas.",
        needs="",
    ),
}


def commands(tool: str) -> dict[str, str]:
    """Return the commands of a tool: the name -> the key in `TABLE`. A tool that is unknown has none."""
    letter = TOOLS.get(tool)
    if letter is None:
        return {}
    return {key.removeprefix("streams "): key for key, command in TABLE.items() if letter in command.tools}
