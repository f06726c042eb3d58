"""All settings: a frozen `Settings`, which is also the table of their types, bounds and descriptions.

config.toml in the project's root is written from the same table. `Values` holds the settings of one source. `build`
checks all of them strictly: a value of the wrong type is a `ConfigError` that names the source, the key, the problem
and the allowed values. `config` has the sources and their precedence.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Literal, TypeAlias, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from leveret.auth_settings import AuthCache, HttpAuth, OAuth2, PageLogin
from leveret.tls_settings import Tls

#: The log categories of RabbitMQ that are used here; other lines are in the default category.
Category = Literal["connection", "channel", "queue"]

LogLevel = Literal["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency", "none"]
#: The lowest level of one output; empty for that of the category.
OutputLevel = Literal[
    "", "debug", "info", "notice", "warning", "error", "critical", "alert", "emergency", "none"
]
LogFormat = Literal["plaintext", "json"]
SyslogFacility = Literal[
    "kern",
    "kernel",
    "user",
    "mail",
    "daemon",
    "auth",
    "syslog",
    "lpr",
    "news",
    "uucp",
    "cron",
    "authpriv",
    "ftp",
    "ntp",
    "audit",
    "alert",
    "clock",
    "local0",
    "local1",
    "local2",
    "local3",
    "local4",
    "local5",
    "local6",
    "local7",
]
Port = Annotated[int, Meta(ge=-1, le=65535)]

#: Whether a header is added to messages, and whether one that the client has set is replaced.
HeaderSetting = Literal["", "add", "overwrite"]

#: A type, annotated with `Meta`; `get_origin` and `get_args` take it apart.
Annotation: TypeAlias = object

#: Upper bound of max_message_size (rabbit.schema, validator max_message_size).
LARGEST_MESSAGE = 536870912


class Server(Struct, frozen=True, forbid_unknown_fields=True):
    """Listeners and names of the node."""

    host: Annotated[
        tuple[str, ...],
        Meta(description="Addresses of the AMQP listener; :: is all addresses, IPv6 and IPv4"),
    ] = ("::",)
    port: Annotated[Port, Meta(description="AMQP port; 0: any free port, -1: no listener")] = 5672
    listeners: Annotated[
        tuple[str, ...],
        Meta(description="Further AMQP listeners, each with an address and a port: 127.0.0.1:5673"),
    ] = ()
    http_host: Annotated[tuple[str, ...], Meta(description="Addresses of the HTTP API; empty: as host")] = ()
    http_port: Annotated[Port, Meta(description="HTTP API port; 0: any free port, -1: no listener")] = 15672
    rates_mode: Annotated[
        Literal["basic", "detailed"],
        Meta(description="detailed: show what channels, queues and exchanges have counted of each other"),
    ] = "basic"
    backlog: Annotated[int, Meta(ge=1, description="AMQP connections that wait to be accepted")] = 1024
    keepalive: Annotated[
        bool, Meta(description="Let the system probe silent AMQP connections (SO_KEEPALIVE)")
    ] = False
    sndbuf: Annotated[
        int, Meta(ge=0, description="Send buffer of an AMQP socket, in bytes; 0: the system's default")
    ] = 0
    recbuf: Annotated[
        int, Meta(ge=0, description="Receive buffer of an AMQP socket, in bytes; 0: the system's default")
    ] = 0
    linger: Annotated[
        int,
        Meta(
            ge=-1,
            description="Seconds in which a closed AMQP socket sends what is left; -1: the system's way",
        ),
    ] = -1
    prometheus_host: Annotated[
        tuple[str, ...], Meta(description="Addresses of the Prometheus endpoint /metrics; empty: as host")
    ] = ()
    prometheus_port: Annotated[
        Port, Meta(description="Prometheus port; 0: any free port, -1: no listener")
    ] = 15692
    prometheus_request_timeout: Annotated[
        int,
        Meta(ge=1, description="Milliseconds that clients have to send the header of a request for metrics"),
    ] = 5000
    prometheus_max_connections: Annotated[
        int,
        Meta(ge=1, description="Connections to the Prometheus endpoint; a quarter of the open files at most"),
    ] = 1024
    prometheus_compress: Annotated[
        bool, Meta(description="Compress metrics for clients that accept that")
    ] = True
    prometheus_path: Annotated[str, Meta(description="Path of the Prometheus endpoint")] = "/metrics"
    prometheus_per_object: Annotated[
        bool, Meta(description="Have the path itself show single queues, channels and connections")
    ] = False
    prometheus_authentication: Annotated[
        bool, Meta(description="Demand a login with the tag monitoring or administrator for the endpoint")
    ] = False
    http_request_timeout: Annotated[
        int,
        Meta(
            ge=1,
            description="Milliseconds that HTTP clients have to send the header of a request, also of the next one",
        ),
    ] = 5000
    http_idle_timeout: Annotated[
        int, Meta(ge=1, description="Milliseconds without data until the body of an HTTP request is given up")
    ] = 60000
    http_max_body_size: Annotated[
        int, Meta(ge=1, description="Largest body of an HTTP request, in bytes, as it is sent")
    ] = 10000000
    http_max_connections: Annotated[
        int,
        Meta(
            ge=1,
            description="Connections to the HTTP API; a quarter of the open files at most",
        ),
    ] = 1024
    max_connections: Annotated[
        int, Meta(ge=-1, description="Largest number of AMQP connections; -1: no limit")
    ] = -1
    handshake_timeout: Annotated[
        int,
        Meta(ge=0, description="Milliseconds from the TCP connection to connection.open-ok; 0: no limit"),
    ] = 10000
    control_socket: Annotated[
        str,
        Meta(
            description="Unix socket of the commands; empty: named after the node, in $XDG_RUNTIME_DIR, /run or /tmp; "
            "none: no socket"
        ),
    ] = ""
    proxy_protocol: Annotated[
        bool,
        Meta(
            description="AMQP clients come through a proxy that says who they are (PROXY protocol, 1 and 2)"
        ),
    ] = False
    node: Annotated[str, Meta(description="Node name; empty: rabbit@ and the host name")] = ""
    cluster_name: Annotated[str, Meta(description="Cluster name; empty: the node name")] = ""
    cluster_tags: Annotated[
        dict[str, str], Meta(description='Tags of the cluster: { environment = "production" }')
    ] = {}
    node_tags: Annotated[dict[str, str], Meta(description="Tags of the node, in the same form")] = {}
    skip_unchanged_definitions: Annotated[
        bool, Meta(description="Import load_definitions only if they have changed since the last import")
    ] = False
    load_definitions: Annotated[
        str,
        Meta(description="Definitions to import at start: a JSON file, or a directory of them; empty: none"),
    ] = ""

    def addresses(self) -> list[tuple[str, int]]:
        """Return address and port of each AMQP listener."""
        found = [(host, self.port) for host in self.host] if self.port >= 0 else []
        for listener in self.listeners:
            host, _, port = listener.rpartition(":")
            found.append((host or "::", int(port)))
        return found

    @property
    def node_name(self) -> str:
        """The full node name, completed as in RabbitMQ."""
        name, at, host = self.node.partition("@")
        if not (at and host):
            # Windows has no uname.
            here = (
                os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "localhost")
            )
            host = here.partition(".")[0]
        return f"{name or 'rabbit'}@{host}"


#: The least `frame_max` of AMQP 0-9-1.
LEAST_FRAME_MAX = 4096

#: The largest number of all settings: times and sizes are added and multiplied in 64 bits.
LARGEST_NUMBER = 1 << 53


class Amqp(Struct, frozen=True, forbid_unknown_fields=True):
    """What is negotiated with clients, and defaults of queues."""

    heartbeat: Annotated[
        int,
        Meta(
            ge=0, le=65535, description="Heartbeat interval offered to clients, in seconds; 0: no heartbeats"
        ),
    ] = 60
    frame_max: Annotated[
        int,
        Meta(
            ge=0,
            le=2**32 - 1,
            description="Frame size limit offered to clients, in bytes, at least 4096; 0: no limit",
        ),
    ] = 131072
    channel_max: Annotated[
        int, Meta(ge=0, le=65535, description="Channels per connection offered to clients; 0: no limit")
    ] = 2047
    channel_max_per_node: Annotated[
        int, Meta(ge=-1, description="Open channels of all connections together; -1: no limit")
    ] = -1
    consumer_max_per_channel: Annotated[
        int, Meta(ge=-1, description="Consumers of one channel; -1: no limit")
    ] = -1
    max_message_size: Annotated[
        int,
        Meta(
            ge=0,
            le=LARGEST_MESSAGE,
            description="Largest message body, in bytes; 0: the profile's (16 MiB from 4.0 on, 128 MiB before)",
        ),
    ] = 0
    default_queue_type: Annotated[
        Literal["classic", "quorum", "stream"],
        Meta(description="Type of queues that are declared without x-queue-type"),
    ] = "classic"
    consumer_timeout: Annotated[
        int, Meta(ge=0, description="Milliseconds until an unacknowledged delivery times out; 0: no timeout")
    ] = 1800000
    disabled_queue_types: Annotated[
        tuple[Literal["classic", "quorum", "stream"], ...],
        Meta(description="Types of queues that cannot be declared"),
    ] = ()
    local_random_exchange: Annotated[
        bool, Meta(description="Whether exchanges of the type x-local-random can be declared")
    ] = True
    relaxed_redeclaration: Annotated[
        bool,
        Meta(
            description="Let clients declare a quorum queue again as a classic one: fewer arguments are compared"
        ),
    ] = False
    routing_node_header: Annotated[
        HeaderSetting,
        Meta(description="Add the header x-routed-by, the node's name, to published messages; empty: do not"),
    ] = ""
    timestamp_header: Annotated[
        HeaderSetting,
        Meta(
            description="Add the header timestamp_in_ms and the property timestamp to published messages;"
            " empty: do not"
        ),
    ] = ""
    sent_time_header: Annotated[
        bool, Meta(description="Add the header x-opt-rabbitmq-sent-time, in ms, to delivered messages")
    ] = False


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """What a node may have, over all virtual hosts; -1: no limit."""

    vhosts: Annotated[int, Meta(ge=-1, description="Virtual hosts")] = -1
    queues: Annotated[int, Meta(ge=-1, description="Queues of all virtual hosts together")] = -1
    exchanges: Annotated[
        int, Meta(ge=-1, description="Exchanges of all virtual hosts together, also predeclared ones")
    ] = -1
    transaction_publishes: Annotated[
        int, Meta(ge=-1, description="Publishes of a channel that wait for tx.commit")
    ] = -1
    parameters: Annotated[
        dict[str, Annotated[int, Meta(ge=0)]],
        Meta(description="Runtime parameters of all virtual hosts together, by component: { policy = 100 }"),
    ] = {}


class AccessSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The user of an empty broker, and restrictions of logins."""

    default_user: Annotated[
        str, Meta(min_length=1, description="User that is created in an empty broker")
    ] = "guest"
    default_pass: Annotated[str, Meta(description="Password of this user")] = "guest"
    default_vhost: Annotated[str, Meta(description="Virtual host that is created in an empty broker")] = "/"
    default_user_tags: Annotated[tuple[str, ...], Meta(description="Tags of this user")] = ("administrator",)
    default_permissions: Annotated[
        tuple[str, str, str],
        Meta(description="Permissions of this user: configure, write, read (regular expressions)"),
    ] = (".*", ".*", ".*")
    loopback_users: Annotated[
        tuple[str, ...], Meta(description="Users that can connect from the local machine only")
    ] = ("guest",)
    track_auth_attempt_source: Annotated[
        bool, Meta(description="Count logins by address and user, too (auth/attempts/NODE/source)")
    ] = False
    anonymous_login_user: Annotated[
        str, Meta(description="User of the SASL mechanism ANONYMOUS; empty: the mechanism is not offered")
    ] = "guest"
    anonymous_login_pass: Annotated[str, Meta(description="Password of this user")] = "guest"
    backends: Annotated[
        tuple[str, ...],
        Meta(
            description="Who is asked about logins, in this order: internal, http, oauth2, cache; with a slash, who "
            'authenticates and who authorises: "http/internal"'
        ),
    ] = ("internal",)
    mechanisms: Annotated[
        tuple[str, ...],
        Meta(
            description="SASL mechanisms that are offered: PLAIN, AMQPLAIN, ANONYMOUS, EXTERNAL (login by certificate, "
            "over TLS only), RABBIT-CR-DEMO"
        ),
    ] = ("PLAIN", "AMQPLAIN", "ANONYMOUS")
    cert_login_from: Annotated[
        Literal["distinguished_name", "common_name", "subject_alternative_name"],
        Meta(description="What the mechanism EXTERNAL takes from a certificate as the user name"),
    ] = "distinguished_name"
    cert_login_san_type: Annotated[
        Literal["dns", "ip", "email", "uri", "other_name"],
        Meta(description="Type of the subject alternative name that is taken"),
    ] = "dns"
    cert_login_san_index: Annotated[
        int, Meta(ge=0, description="Which name of this type is taken, counted from 0")
    ] = 0
    password_hashing: Annotated[
        Literal[
            "rabbit_password_hashing_sha256", "rabbit_password_hashing_sha512", "rabbit_password_hashing_md5"
        ],
        Meta(description="How new passwords are hashed; others are compared as they were hashed"),
    ] = "rabbit_password_hashing_sha256"
    password_validator: Annotated[
        Literal["accept_everything", "min_password_length", "password_regexp"],
        Meta(description="Which of the next two rules new passwords must meet"),
    ] = "accept_everything"
    password_min_length: Annotated[
        int, Meta(ge=0, description="Octets that a new password has at least (min_password_length)")
    ] = 5
    password_pattern: Annotated[
        str, Meta(description="Regular expression that a new password matches (password_regexp)")
    ] = ""
    failed_logins_per_minute: Annotated[
        int,
        Meta(
            ge=0,
            description="Failed logins of one address in a minute, after which others are refused; 0: no limit",
        ),
    ] = 0


class Memory(Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of memory."""

    high_watermark: Annotated[
        int | float | str,
        Meta(
            description='Memory use that blocks publishers: share of RAM (0.6) or amount ("2GB"); '
            "empty: the profile's (0.6 from 4.0 on, 0.4 before)"
        ),
    ] = ""
    paging: Annotated[
        int | float | str,
        Meta(
            description="Memory for ready messages, and as much for unacknowledged ones; the rest is paged to disk: "
            'amount ("64MB") or share of RAM (0.05)'
        ),
    ] = "64MB"
    unread: Annotated[
        int | str,
        Meta(
            description="Output that a client may leave unread (answers, returned messages, replies) until its "
            "connection is not read either"
        ),
    ] = "16MB"
    unfinished: Annotated[
        int | str,
        Meta(description="Message bodies that one connection may leave half sent; one message in any case"),
    ] = "128MB"

    @property
    def unread_limit(self) -> int:
        """Bytes of output that a client may leave unread."""
        return amount(self.unread, 0)

    @property
    def unfinished_limit(self) -> int:
        """Bytes of message bodies that a connection may leave half sent."""
        return amount(self.unfinished, 0)

    def paging_limit(self, total: int) -> int:
        """Bytes that ready messages may use in memory. `total`: RAM in bytes."""
        return amount(self.paging, total)

    def limit(self, total: int, share: float) -> int:
        """Return the watermark in bytes. `total`: RAM in bytes. `share`: the profile's watermark, the default."""
        return amount(share if self.high_watermark == "" else self.high_watermark, total)


class Store(Struct, frozen=True, forbid_unknown_fields=True):
    """Where messages and metadata are stored."""

    engine: Annotated[
        Literal["memory", "disk"],
        Meta(description="memory: all data is lost at stop; disk: durable data survives a restart"),
    ] = "memory"
    data_dir: Annotated[str, Meta(min_length=1, description="Directory of the disk store")] = "leveret-data"
    disk_free_limit: Annotated[
        int | float | str,
        Meta(
            description='Free disk space below which publishers are blocked: amount ("50MB") or share of RAM (1.5)'
        ),
    ] = "50MB"
    unwritten: Annotated[
        int | str,
        Meta(description="Memory for messages that wait for the disk; publishers wait, too, when it is used"),
    ] = "64MB"

    @property
    def unwritten_limit(self) -> int:
        """Bytes of messages that may wait for the disk."""
        return amount(self.unwritten, 0)

    def free_limit(self, total: int) -> int:
        """Return the limit in bytes. `total`: RAM in bytes."""
        return amount(self.disk_free_limit, total)


class Profile(Struct, frozen=True, forbid_unknown_fields=True):
    """The RabbitMQ version that is replaced."""

    version: Annotated[
        str,
        Meta(pattern=r"^(latest|\d+(\.\d+){0,2})$", description="RabbitMQ version to behave like, or latest"),
    ] = "4.3"


class DeprecatedFeatures(Struct, frozen=True, forbid_unknown_fields=True):
    """RabbitMQ's deprecated features."""

    permit: Annotated[
        dict[str, bool],
        Meta(
            description="Permit or deny deprecated features: { global_qos = true }; default: as in the profile"
        ),
    ] = {}


class Plugins(Struct, frozen=True, forbid_unknown_fields=True):
    """RabbitMQ's plugins. With a file of enabled plugins, or a variable that names them, no others are on."""

    management: Annotated[
        bool, Meta(description="Serve the HTTP API and its page (plugin rabbitmq_management)")
    ] = True
    prometheus: Annotated[bool, Meta(description="Serve metrics (plugin rabbitmq_prometheus)")] = True
    enabled: Annotated[
        tuple[str, ...],
        Meta(
            description="Plugins that are shown as enabled: authentication backends, and those that are not there"
        ),
    ] = ()
    enabled_file: Annotated[
        str, Meta(description="File that rabbitmq-plugins changes while the node runs; empty: none")
    ] = ""
    event_exchange: Annotated[
        bool, Meta(description="Publish events to amq.rabbitmq.event (plugin rabbitmq_event_exchange)")
    ] = False
    event_exchange_vhost: Annotated[
        str, Meta(description="Virtual host of amq.rabbitmq.event; empty: the default virtual host")
    ] = ""


class Management(Struct, frozen=True, forbid_unknown_fields=True):
    """The HTTP API: paths, headers, restrictions."""

    path_prefix: Annotated[
        str, Meta(description="Path that all paths of the HTTP API begin with, as behind a proxy: /rabbitmq")
    ] = ""
    compress: Annotated[
        bool, Meta(description="Compress responses of 300 bytes and more for clients that accept gzip")
    ] = True
    cors_allow_origins: Annotated[
        tuple[str, ...],
        Meta(
            description='Origins of pages that may use the HTTP API (CORS): "https://example.com"; "*": any'
        ),
    ] = ()
    cors_max_age: Annotated[
        int, Meta(ge=0, description="Seconds for which browsers may keep the answer about an origin")
    ] = 1800
    csp_policy: Annotated[str, Meta(description="Header Content-Security-Policy; empty: the profile's")] = ""
    hsts_policy: Annotated[str, Meta(description="Header Strict-Transport-Security; empty: none")] = ""
    content_type_options: Annotated[str, Meta(description="Header X-Content-Type-Options; empty: none")] = ""
    xss_protection: Annotated[str, Meta(description="Header X-XSS-Protection; empty: none")] = ""
    frame_options: Annotated[str, Meta(description="Header X-Frame-Options; empty: none")] = ""
    referrer_policy: Annotated[str, Meta(description="Header Referrer-Policy; empty: none")] = ""
    hide_allow_header: Annotated[bool, Meta(description="Send no header Allow")] = False
    require_auth_for_api_reference: Annotated[
        bool, Meta(description="The list of paths, /api/index.html, needs a login")
    ] = False
    require_json_extension: Annotated[
        bool, Meta(description="Files of definitions that are uploaded must be called .json")
    ] = False
    operator_policy_changes_disabled: Annotated[
        bool, Meta(description="Operator policies cannot be seen or changed one by one over HTTP")
    ] = False
    quorum_queue_replica_operations_disabled: Annotated[
        bool, Meta(description="Replicas of quorum queues cannot be changed over HTTP")
    ] = False
    disable_basic_auth: Annotated[
        bool, Meta(description="Accept tokens only, no user names with passwords (HTTP Basic)")
    ] = False
    login_session_timeout: Annotated[
        int, Meta(ge=0, description="Minutes after which the web page asks for a login again; 0: not told")
    ] = 0


class VhostDefaults(Struct, frozen=True, forbid_unknown_fields=True):
    """What new virtual hosts get."""

    users: Annotated[
        dict[str, dict[str, int | str]],
        Meta(
            description="Users by name: vhost_pattern, password, tags (separated by commas), configure, write, read"
        ),
    ] = {}
    limits: Annotated[
        dict[str, dict[str, int | str]],
        Meta(
            description="Limits by any name; the first that matches counts: pattern, max_connections, max_queues"
        ),
    ] = {}
    operator_policies: Annotated[
        dict[str, dict[str, int | str]],
        Meta(
            description="Operator policies by name: vhost_pattern, queue_pattern, apply_to, and keys of policies"
        ),
    ] = {}


class Log(Struct, frozen=True, forbid_unknown_fields=True):
    """Levels and outputs of the log."""

    level: Annotated[LogLevel, Meta(description="Lowest level that is logged")] = "info"
    categories: Annotated[
        dict[Category, LogLevel],
        Meta(description='Lowest level for single categories: { connection = "warning" }'),
    ] = {}
    console: Annotated[bool, Meta(description="Log to standard output or standard error")] = True
    console_stream: Annotated[Literal["stdout", "stderr"], Meta(description="Which of them")] = "stdout"
    console_level: Annotated[
        OutputLevel, Meta(description="Lowest level on the console; empty: that of the category")
    ] = ""
    console_format: Annotated[LogFormat, Meta(description="Format of records on the console")] = "plaintext"
    console_formatter: Annotated[
        dict[str, str],
        Meta(
            description="Details of this format: time_format, level_format, single_line, plaintext, field_map, "
            'verbosity_map: { time_format = "epoch_secs" }'
        ),
    ] = {}
    dir: Annotated[str, Meta(description="Directory of the log file; empty: the current one")] = ""
    file: Annotated[
        str, Meta(description="Name of the log file, $node for that of the node; empty: none")
    ] = ""
    file_level: Annotated[
        OutputLevel, Meta(description="Lowest level in the file; empty: that of the category")
    ] = ""
    file_format: Annotated[LogFormat, Meta(description="Format of records in the file")] = "plaintext"
    file_formatter: Annotated[
        dict[str, str], Meta(description="Details of this format, as in console_formatter")
    ] = {}
    file_rotation_size: Annotated[
        int, Meta(ge=0, description="Octets at which the file is rotated; 0: at no size")
    ] = 0
    file_rotation_date: Annotated[
        str,
        Meta(description="When the file is rotated, as in RabbitMQ: $D0 (at midnight), $H, $W0D23, $M1D0"),
    ] = ""
    file_rotation_count: Annotated[
        int, Meta(ge=0, description="Rotated files that are kept: rabbit.log.0, rabbit.log.1")
    ] = 0
    file_rotation_compress: Annotated[
        bool, Meta(description="Compress rotated files with gzip: rabbit.log.0.gz")
    ] = False
    syslog: Annotated[bool, Meta(description="Log to syslog")] = False
    syslog_level: Annotated[
        OutputLevel, Meta(description="Lowest level for syslog; empty: that of the category")
    ] = ""
    syslog_format: Annotated[LogFormat, Meta(description="Format of the text of a message for syslog")] = (
        "plaintext"
    )
    syslog_formatter: Annotated[
        dict[str, str], Meta(description="Details of this format, as in console_formatter")
    ] = {}
    syslog_host: Annotated[
        str, Meta(description="Host of the syslog server, or the path of a Unix socket: /dev/log")
    ] = "127.0.0.1"
    syslog_port: Annotated[int, Meta(ge=1, le=65535, description="Its port")] = 514
    syslog_transport: Annotated[Literal["udp", "tcp", "tls"], Meta(description="How it is reached")] = "udp"
    syslog_protocol: Annotated[Literal["rfc3164", "rfc5424"], Meta(description="Format of a message")] = (
        "rfc3164"
    )
    syslog_identity: Annotated[str, Meta(description="Name of the program in messages")] = "rabbitmq-server"
    syslog_facility: Annotated[SyslogFacility, Meta(description="Facility of messages")] = "daemon"
    syslog_multiline: Annotated[
        bool, Meta(description="Send a record of several lines as one message, not each line by itself")
    ] = False
    syslog_cacertfile: Annotated[
        str, Meta(description="Certificates of authorities for TLS; empty: those of the system")
    ] = ""
    syslog_certfile: Annotated[str, Meta(description="Certificate for TLS; empty: none")] = ""
    syslog_keyfile: Annotated[str, Meta(description="Its key; empty: in the same file")] = ""
    syslog_verify: Annotated[
        Literal["verify_peer", "verify_none"],
        Meta(description="Whether the certificate of the server is checked"),
    ] = "verify_peer"
    journald: Annotated[bool, Meta(description="Log to systemd's journal")] = False
    journald_level: Annotated[
        OutputLevel, Meta(description="Lowest level for the journal; empty: that of the category")
    ] = ""
    journald_fields: Annotated[
        tuple[str, ...],
        Meta(
            description='Fields of an entry, as in RabbitMQ: SYSLOG_IDENTIFIER="shop", priority, ERL_PID=pid'
        ),
    ] = ()
    exchange: Annotated[
        bool, Meta(description="Publish records to the exchange amq.rabbitmq.log of the default virtual host")
    ] = False
    exchange_level: Annotated[
        OutputLevel, Meta(description="Lowest level for the exchange; empty: that of the category")
    ] = ""
    exchange_format: Annotated[LogFormat, Meta(description="Format of records for the exchange")] = (
        "plaintext"
    )
    exchange_formatter: Annotated[
        dict[str, str], Meta(description="Details of this format, as in console_formatter")
    ] = {}


class Cluster(Struct, frozen=True, forbid_unknown_fields=True):
    """Several nodes that share their virtual hosts, whose data NATS JetStream replicates."""

    nats: Annotated[
        tuple[str, ...],
        Meta(
            description="NATS servers, 2.12 or later, with JetStream: nats://10.0.0.1:4222; empty: no cluster"
        ),
    ] = ()
    name: Annotated[
        str,
        Meta(
            pattern="^[A-Za-z0-9_-]{1,32}$",
            description="Name of the cluster: its nodes find each other and their data by it",
        ),
    ] = "leveret"
    replicas: Annotated[
        int, Meta(ge=1, le=5, description="NATS servers that keep a copy of everything: 1, 3 or 5")
    ] = 3
    credentials: Annotated[
        str, Meta(description="File with the credentials of a NATS user (.creds); empty: none")
    ] = ""
    secret: Annotated[str, Meta(description="Secret that all nodes of the cluster know; must be set")] = ""
    certfile: Annotated[
        str,
        Meta(
            description="Certificate of this node, in PEM format, for TLS between nodes; empty: no TLS between nodes"
        ),
    ] = ""
    keyfile: Annotated[str, Meta(description="Its private key; empty: it is in certfile")] = ""
    cacertfile: Annotated[
        str,
        Meta(
            description="Certificates of the authorities that sign certificates of nodes, and of nobody else"
        ),
    ] = ""
    peer_host: Annotated[str, Meta(description="Address of the listener for other nodes")] = "::"
    peer_port: Annotated[
        int, Meta(ge=0, le=65535, description="Port of the listener for other nodes; 0: any free port")
    ] = 25672
    advertise: Annotated[
        str,
        Meta(
            description="Host, or host:port, at which other nodes reach this listener; empty: the host name"
        ),
    ] = ""
    standby: Annotated[
        bool,
        Meta(
            description="Follow the logs of virtual hosts that other nodes own, to take over fast. Costs reading all "
            "that is written, and its space on the disk"
        ),
    ] = True
    lease: Annotated[
        int,
        Meta(ge=3, description="Seconds without contact to NATS after which another node takes over"),
    ] = 15
    sync: Annotated[
        Literal["always", "interval"],
        Meta(
            description="always: NATS must sync every write (sync_interval: always), which is checked; interval: what "
            "was confirmed may be lost in a power cut"
        ),
    ] = "always"
    monitor: Annotated[
        tuple[str, ...],
        Meta(description="Monitoring addresses of all NATS servers, for this check: http://10.0.0.1:8222"),
    ] = ()


class Testing(Struct, frozen=True, forbid_unknown_fields=True):
    """The test toolkit over the network."""

    enabled: Annotated[
        bool,
        Meta(description="Serve tests: clock, faults and history below /api/leveret, and toxiproxy's API"),
    ] = False
    toxiproxy_port: Annotated[
        Port, Meta(description="Port of toxiproxy's API; 0: any free port, -1: no listener")
    ] = 8474


class Settings(Struct, frozen=True):
    """All settings. `warnings`: about settings without effect. `sources`: the files that were read."""

    server: Server = Server()
    amqp: Amqp = Amqp()
    limits: Limits = Limits()
    access: AccessSettings = AccessSettings()
    memory: Memory = Memory()
    store: Store = Store()
    profile: Profile = Profile()
    deprecated_features: DeprecatedFeatures = DeprecatedFeatures()
    plugins: Plugins = Plugins()
    management: Management = Management()
    management_oauth: PageLogin = PageLogin()
    auth_http: HttpAuth = HttpAuth()
    auth_cache: AuthCache = AuthCache()
    auth_oauth2: OAuth2 = OAuth2()
    tls: Tls = Tls()
    management_tls: Tls = Tls()
    prometheus_tls: Tls = Tls()
    vhost_defaults: VhostDefaults = VhostDefaults()
    log: Log = Log()
    cluster: Cluster = Cluster()
    testing: Testing = Testing()
    warnings: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


#: Section -> its type, in the order of config.toml.
SECTIONS: dict[str, type[Struct]] = {
    "server": Server,
    "amqp": Amqp,
    "limits": Limits,
    "access": AccessSettings,
    "memory": Memory,
    "store": Store,
    "profile": Profile,
    "deprecated_features": DeprecatedFeatures,
    "plugins": Plugins,
    "management": Management,
    "management_oauth": PageLogin,
    "auth_http": HttpAuth,
    "auth_cache": AuthCache,
    "auth_oauth2": OAuth2,
    "tls": Tls,
    "management_tls": Tls,
    "prometheus_tls": Tls,
    "vhost_defaults": VhostDefaults,
    "log": Log,
    "cluster": Cluster,
    "testing": Testing,
}


_LISTENER = re.compile(r".*:[0-9]{1,5}")

_AMOUNTS = (
    "memory.high_watermark",
    "memory.paging",
    "memory.unread",
    "memory.unfinished",
    "store.disk_free_limit",
    "store.unwritten",
)


class ConfigError(Exception):
    """A setting is wrong. `place`: file, environment or command line. `key`: as written there."""

    def __init__(self, place: str, key: str, problem: str, allowed: str = "") -> None:
        where = f"{place}: {key}" if key else place
        super().__init__(f"{where}: {problem}" + (f"; allowed: {allowed}" if allowed else ""))
        self.place = place
        self.key = key
        self.problem = problem
        self.allowed = allowed


class ConfigErrors(ConfigError):  # noqa: N818  more than one
    """Several settings are wrong. `errors`: all of them; the attributes are those of the first."""

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        first = errors[0]
        super().__init__(first.place, first.key, first.problem, first.allowed)
        self.errors = tuple(errors)
        self.args = ("\n".join(map(str, errors)),)


def raise_all(errors: Sequence[ConfigError]) -> None:
    """Raise the error, or all errors as one; do nothing if there is none."""
    if len(errors) > 1:
        raise ConfigErrors(errors)
    for error in errors:
        raise error


class Values:
    """The settings of one source: `section.field` -> (value, place, key as written there), and its warnings."""

    def __init__(self) -> None:
        self.found: dict[str, tuple[object, str, str]] = {}
        self.warnings: list[str] = []
        self.sources: list[str] = []

    def set(self, name: str, value: object, place: str, key: str) -> None:
        """Set `name`; the last value of a source counts."""
        self.found[name] = (value, place, key)

    def merge(self, name: str, entry: Mapping[str, object], place: str, key: str) -> None:
        """Add entries to a setting that is a table."""
        before = self.found.get(name, ({}, "", ""))[0]
        self.found[name] = ({**(before if isinstance(before, dict) else {}), **entry}, place, key)

    def set_text(self, name: str, text: str, place: str, key: str) -> None:
        """Set `name` from text, as in the environment and on the command line."""
        self.set(name, from_text(name, text, place, key), place, key)

    def update(self, stronger: Values) -> None:
        """Override settings with those of another source."""
        for name, (value, place, key) in stronger.found.items():
            if isinstance(value, dict):
                self.merge(name, value, place, key)
            else:
                self.set(name, value, place, key)
        self.warnings += stronger.warnings
        self.sources += stronger.sources


def build(values: Values) -> Settings:
    """Check values and make settings of them. Raises `ConfigError` for a wrong type or a value out of bounds."""
    sections: dict[str, dict[str, object]] = {section: {} for section in SECTIONS}
    problems: list[ConfigError] = []
    for name, (value, place, key) in values.found.items():
        section, _, field = name.partition(".")
        try:
            sections[section][field] = checked(name, value, place, key)
        except ConfigError as error:
            problems.append(error)
    raise_all(problems)
    made = {section: SECTIONS[section](**fields) for section, fields in sections.items() if fields}
    return Settings(**made, warnings=tuple(values.warnings), sources=tuple(values.sources))  # type: ignore[arg-type]


def field_type(name: str, place: str, key: str) -> Annotation:
    """Return the type of setting `section.field`. Raises `ConfigError` if there is no such setting."""
    section, _, field = name.partition(".")
    types = _types(section)
    if field not in types:
        allowed = ", ".join(types) if types else ", ".join(SECTIONS)
        raise ConfigError(place, key, "unknown setting", allowed)
    return types[field]


def from_text(name: str, text: str, place: str, key: str) -> object:
    """Return the value of setting `section.field` from text: lists are separated by commas, tables are written
    `a=b,c=d`."""
    kind = get_args(field_type(name, place, key))[0]
    origin = get_origin(kind)
    if origin is tuple:
        return [part.strip() for part in text.split(",") if part.strip()]
    if origin is dict:
        pairs = [part.partition("=") for part in text.split(",") if part.strip()]
        return {name.strip(): _scalar(get_args(kind)[1], value.strip()) for name, _, value in pairs}
    return _scalar(kind, text)


def _scalar(kind: Annotation, text: str) -> object:
    """Turn text into a number or truth value if that is the type; text that does not fit is refused later."""
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if kind is bool:
        return {"true": True, "false": False}.get(text.lower(), text)
    if kind is int or int in get_args(kind):
        for number in (int, float) if kind is not int else (int,):
            try:
                return number(text)
            except ValueError:
                continue
    return text


def checked(name: str, value: object, place: str, key: str) -> object:
    """Return the value of setting `section.field` in its type. `place`, `key`: where it was found. Raises
    `ConfigError`."""
    kind = field_type(name, place, key)
    try:
        found = msgspec.convert(value, kind)
        if name == "server.listeners" and not all(map(_LISTENER.fullmatch, found)):
            raise ValueError("not an address and a port")
        if name in _AMOUNTS and (name, found) != ("memory.high_watermark", ""):
            amount(found, 1)
        if type(found) is int and found > LARGEST_NUMBER:
            raise ValueError(f"Expected `int` <= {LARGEST_NUMBER}")
        if name == "amqp.frame_max" and 0 < found < LEAST_FRAME_MAX:
            raise ValueError(f"Expected `int` >= {LEAST_FRAME_MAX}, or 0")
    except (msgspec.ValidationError, ValueError) as error:
        shown = "" if is_secret(name) else f"{value!r}: "
        raise ConfigError(place, key, f"{shown}{error}", allowed(name)) from None
    return found


def is_secret(name: str) -> bool:
    """Return whether setting `section.field` must not be shown."""
    return name.endswith(("_pass", ".password", "cluster.secret"))


@lru_cache
def _types(section: str) -> Mapping[str, Annotation]:
    """Field -> annotated type; empty for an unknown section. Cached because it is slow."""
    if section not in SECTIONS:
        return {}
    return {field.name: field.type for field in msgspec.structs.fields(SECTIONS[section])}


def names() -> list[str]:
    """Return all settings, as `section.field`, in the order of config.toml."""
    return [f"{section}.{field}" for section in SECTIONS for field in _types(section)]


def description(name: str) -> str:
    """Return the description of setting `section.field`."""
    metas = [meta for meta in get_args(field_type(name, "", name))[1:] if meta.description]
    return str(metas[0].description)


def allowed(name: str) -> str:
    """Return the allowed values of setting `section.field`, in words."""
    kind, *metas = get_args(field_type(name, "", name))
    least = next((meta.ge for meta in metas if meta.ge is not None), None)
    most = next((meta.le for meta in metas if meta.le is not None), None)
    pattern = next((meta.pattern for meta in metas if meta.pattern is not None), None)
    words = _words(kind)
    if least is not None:
        words += f" from {least} to {most}" if most is not None else f" from {least}"
    elif pattern is not None:
        words += f" like {Profile().version}"
    return f"{words} ({description(name)})"


def _words(kind: Annotation) -> str:
    if get_origin(kind) is Literal:
        return " or ".join(f'"{value}"' for value in get_args(kind))
    if get_origin(kind) is tuple:
        return "three strings" if len(get_args(kind)) == 3 else "a list of strings"
    if get_origin(kind) is dict:
        return f"a table of {_words(get_args(kind)[1])}"
    if isinstance(kind, type) and issubclass(kind, Struct):
        return "tables with " + ", ".join(kind.__struct_fields__)
    words: dict[Annotation, str] = {int: "an integer", str: "a string", bool: "true or false"}
    return words.get(kind, "a number or an amount")


_UNITS = """
    k K kB KB kb Kb ki Ki kiB KiB kib KIB m M MB mb Mb Mi MiB mib MIB g G GB gb Gb Gi GiB gib GIB
    TB tb Tb Ti TiB tib TIB p P PB pb Pb Pi PiB pib PIB
"""

#: Units of memory and disk (rabbit_resource_monitor_misc), with an `i` by 1024, else by 1000.
UNITS: dict[str, int] = {"": 1} | {
    unit: (1024 if "i" in unit.lower() else 1000) ** ("kmgtp".index(unit[0].lower()) + 1)
    for unit in _UNITS.split()
}


def amount(value: float | str, total: int) -> int:
    """Bytes of a share of `total` (a float), a number of bytes, or an amount such as "50MB" or "2GiB".

    Raises `ValueError`.
    """
    if isinstance(value, float):
        if not 0 <= value < float("inf"):
            raise ValueError("not a share")
        return int(value * total)
    if isinstance(value, int):
        if value < 0:
            raise ValueError("negative")
        return value
    match = re.fullmatch(r"(\d+) *([a-zA-Z]*)", value.strip())
    if match is None or match[2] not in UNITS:
        raise ValueError("not an amount like 50MB, 500MiB, 10GB, 2TiB or 10000000000")
    return int(match[1]) * UNITS[match[2]]


def to_toml(settings: Settings | None = None) -> str:
    """Return the text of config.toml with these settings (None: the defaults): a comment line and a value for each."""
    settings = settings or Settings()
    lines = [
        "# All settings of Leveret with their defaults. These override this file, the first one wins: command-line",
        "# options, environment variables (LEVERET_SERVER_PORT=5673, or RabbitMQ's own), a rabbitmq.conf.",
    ]
    for section in SECTIONS:
        lines += ["", f"[{section}]"]
        for field in _types(section):
            lines.append(f"# {description(f'{section}.{field}')}")
            lines.append(f"{field} = {_toml(getattr(getattr(settings, section), field))}")
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return msgspec.json.encode(value).decode()  # a JSON string is a TOML basic string
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(item) for item in value)}]"
    if isinstance(value, Struct):  # an entry of a table: what it leaves open is not written
        left_open = type(value)()
        named = [(name, getattr(value, name)) for name in value.__struct_fields__]
        value = {name: one for name, one in named if one != getattr(left_open, name)}
    if isinstance(value, dict):
        inside = ", ".join(f"{_toml(key)} = {_toml(item)}" for key, item in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    return str(value)
