"""rabbitmq.conf is read and refused as by RabbitMQ 4.3.6."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from leveret.cuttlefish.schema import schema
from leveret.rabbitmq_conf import known_keys, parse, read
from leveret.rabbitmq_conf_keys import HARMLESS_VALUES, REFUSED, UNUSED
from leveret.settings import ConfigError, ConfigErrors, Limits, Settings, build


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    return tmp_path / "rabbitmq.conf"


def settings(conf: Path, text: str, **environ: str) -> Settings:
    conf.write_text(text, "utf-8")
    return build(read([conf], environ))


def problem(conf: Path, text: str) -> ConfigError:
    with pytest.raises(ConfigError) as refused:
        settings(conf, text)
    return refused.value


# --- syntax


def test_lines_are_parsed(conf: Path) -> None:
    conf.write_text(
        """
# a comment
heartbeat = 1
  frame_max=2# another
channel_max ='1 2#x'   # and another
a.b-c_d.1 = 5 5 ; x
quoted = "5"
apostrophe = it's
open = 'x
escaped\\.dot = v
""",
        "utf-8",
    )
    assert [(line.key, line.text) for line in parse(conf)] == [
        ("heartbeat", "1"),
        ("frame_max", "2"),
        ("channel_max", "1 2#x"),
        ("a.b-c_d.1", "5 5 ; x"),
        ("quoted", '"5"'),
        ("apostrophe", "it's"),
        ("open", "'x"),
        ("escaped\\.dot", "v"),
    ]
    assert parse(conf)[0].place == f"{conf}:3"


@pytest.mark.parametrize(
    "text", ["this is no setting", "heartbeat =", "= 1", "a/b = 1", "a = 'b' c", "a = 'b'c'"]
)
def test_syntax_errors_name_the_line(conf: Path, text: str) -> None:
    error = problem(conf, f"heartbeat = 1\n{text}\n")
    assert error.place == f"{conf}:2"
    assert error.problem == f"Syntax error in {conf} after line 2 column 1, parsing incomplete"


def test_later_lines_and_later_files_win(conf: Path, tmp_path: Path) -> None:
    conf.write_text("heartbeat = 1\nheartbeat = 2\nchannel_max = 1", "utf-8")
    more = tmp_path / "more.conf"
    more.write_text("channel_max = 2", "utf-8")
    values = read([conf, more], {})
    assert build(values).amqp.heartbeat == 2
    assert build(values).amqp.channel_max == 2
    assert values.sources == [str(conf), str(more)]


def test_included_files_are_read(conf: Path, tmp_path: Path) -> None:
    (tmp_path / "part.d").mkdir()
    for name, heartbeat in (("b", 2), ("a", 1)):
        (tmp_path / "part.d" / f"{name}.conf").write_text(f"heartbeat = {heartbeat}", "utf-8")
    assert settings(conf, "include part.d/*.conf\ninclude nosuch.conf").amqp.heartbeat == 2
    assert settings(conf, f"include {tmp_path}/part.d/a.conf").amqp.heartbeat == 1
    assert settings(conf, "include part.d/**x.conf\nheartbeat = 3").amqp.heartbeat == 3


def test_a_file_that_includes_itself_is_refused(conf: Path, tmp_path: Path) -> None:
    assert "includes itself" in problem(conf, "include *.conf").problem
    (tmp_path / "other").write_text(f"include {conf.name}", "utf-8")
    assert "includes itself" in problem(conf, "include other").problem


def test_variables_are_substituted(conf: Path) -> None:
    found = settings(conf, "default_user = a$(WHO)c\ndefault_pass = $(default_user)$(WHO)", WHO="b").access
    assert (found.default_user, found.default_pass) == ("abc", "abcb")
    error = problem(conf, "handshake_timeout = $(NOSUCH)")
    assert error.problem == "'handshake_timeout' substitution requires a config variable 'NOSUCH' to be set"
    assert (
        "Circular" in problem(conf, "default_user = $(default_pass)\ndefault_pass = $(default_user)").problem
    )


def test_unreadable_files_are_reported(conf: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        parse(conf)
    conf.write_bytes(b"default_user = \xff")
    with pytest.raises(ConfigError, match="is not UTF-8"):
        parse(conf)


# --- keys with a meaning


def test_limits_ports_and_names_are_read(conf: Path) -> None:
    found = settings(
        conf,
        """
heartbeat = 10
frame_max = 64KB
max_channels_per_connection = 12
max_message_size = 1000
consumer_timeout = 2000
default_queue_type = quorum
max_connections = 7
handshake_timeout = infinity
cluster_name = c
management.tcp.port = 1
management.tcp.ip = 127.0.0.1
prometheus.tcp.port = 2
prometheus.tcp.ip = ::1
prometheus.path = /m
prometheus.return_per_object_metrics = true
prometheus.authentication.enabled = true
""",
    )
    amqp, server = found.amqp, found.server
    assert (amqp.heartbeat, amqp.frame_max, amqp.channel_max, amqp.max_message_size) == (10, 65536, 12, 1000)
    assert (amqp.consumer_timeout, amqp.default_queue_type) == (2000, "quorum")
    assert (server.max_connections, server.handshake_timeout) == (7, 0)
    assert server.cluster_name == "c"
    assert (server.http_port, server.http_host) == (1, ("127.0.0.1",))
    assert (server.prometheus_port, server.prometheus_host) == (2, ("::1",))
    assert (server.prometheus_path, server.prometheus_per_object) == ("/m", True)
    assert server.prometheus_authentication
    assert found.warnings == ()


@pytest.mark.parametrize(("text", "sent"), [("60", 60), ("-1", 65535), ("70000", 4464)])
def test_a_heartbeat_has_sixteen_bits_as_on_the_wire(conf: Path, text: str, sent: int) -> None:
    assert settings(conf, f"heartbeat = {text}").amqp.heartbeat == sent


def test_message_interceptors_are_read(conf: Path) -> None:
    lines = (
        "message_interceptors.incoming.set_header_routing_node.overwrite = true",
        "message_interceptors.incoming.set_header_timestamp.overwrite = false",
        "message_interceptors.outgoing.timestamp.enabled = true",
    )
    found = settings(conf, "\n".join(lines)).amqp
    headers = (found.routing_node_header, found.timestamp_header, found.sent_time_header)
    assert headers == ("overwrite", "add", True)


def test_renamed_keys_are_warnings(conf: Path) -> None:
    found = settings(conf, "channel_max = 1\nconnection_max = infinity")
    assert (found.amqp.channel_max, found.server.max_connections) == (1, -1)
    assert found.warnings == (
        "channel_max was renamed to max_channels_per_connection",
        "connection_max was renamed to max_connections",
    )


def test_users_and_permissions_are_read(conf: Path) -> None:
    access = settings(
        conf,
        """
default_user = u
default_pass = 'a#b'
default_vhost = v
default_user_tags.management = true
default_user_tags.administrator = false
default_permissions.configure = ^c
default_permissions.write = ^w
default_permissions.read = ^r
anonymous_login_user = none
loopback_users.guest = false
""",
    ).access
    assert (access.default_user, access.default_pass, access.default_vhost) == ("u", "a#b", "v")
    assert access.default_user_tags == ("management",)
    assert access.default_permissions == ("^c", "^w", "^r")
    assert (access.anonymous_login_user, access.loopback_users) == ("", ())


def test_loopback_users_are_read(conf: Path) -> None:
    assert settings(conf, "loopback_users.guest = no").access.loopback_users == ()
    assert settings(conf, "loopback_users = none").access.loopback_users == ()
    # Naming another takes guest off the list.
    assert settings(conf, "loopback_users.other = true").access.loopback_users == ("other",)
    assert settings(conf, "heartbeat = 1").access.loopback_users == ("guest",)


def test_listeners_are_read(conf: Path) -> None:
    def listening(text: str) -> tuple[tuple[str, ...], int]:
        server = settings(conf, text).server
        return server.host, server.port

    assert listening("listeners.tcp.default = 1234") == (("::",), 1234)
    assert listening("listeners.tcp.1 = 127.0.0.1:1234\nlisteners.tcp.2 = ::1:1234") == (
        ("127.0.0.1", "::1"),
        1234,
    )
    assert listening("listeners.tcp = none\nlisteners.ssl = none")[1] == -1
    assert problem(conf, "listeners.tcp.1 = localhost:5672").problem == (
        '"localhost:5672" cannot be converted to a(n) integer, "localhost:5672" cannot be converted to a(n) IP'
    )
    assert "acceptable values are: none" in problem(conf, "listeners.tcp = all").problem


def test_an_unknown_default_queue_type_is_a_warning(conf: Path) -> None:
    found = settings(conf, "default_queue_type = Quorum")
    assert (found.amqp.default_queue_type, len(found.warnings)) == ("classic", 1)
    assert "default_queue_type has no effect" in found.warnings[0]


def test_of_a_limit_of_channels_the_lowest_16_bits_count(conf: Path) -> None:
    assert settings(conf, "channel_max = 100000").amqp.channel_max == 34464


def test_listeners_with_several_ports_are_read(conf: Path) -> None:
    text = "listeners.tcp.1 = 1\nlisteners.tcp.2 = 2\nlisteners.tcp.3 = ::1:3\nlisteners.tcp.4 = ::1:1"
    assert settings(conf, text).server.addresses() == [("::", 1), ("::1", 1), ("::", 2), ("::1", 3)]


def test_watermarks_and_amounts_are_read(conf: Path) -> None:
    found = settings(conf, "vm_memory_high_watermark.relative = 0.4\ndisk_free_limit.absolute = 1GB")
    assert (found.memory.high_watermark, found.store.disk_free_limit) == (0.4, 10**9)
    found = settings(
        conf, "vm_memory_high_watermark.absolute = 2GiB\nvm_memory_high_watermark.relative = 0.4"
    )
    assert found.memory.high_watermark == 2 << 30
    assert found.warnings[0].endswith("vm_memory_high_watermark.absolute has precedence")


def test_amounts_that_rabbitmq_cannot_read_are_its_defaults(conf: Path) -> None:
    found = settings(conf, "disk_free_limit.absolute = 2.5GB\nvm_memory_high_watermark.relative = 1.5")
    assert (found.store.disk_free_limit, found.memory.high_watermark) == ("50MB", 1.0)
    assert found.warnings == (
        "Memory high watermark of 1.5 is above the allowed maximum, falling back to 1.0",
        'Unable to parse disk_free_limit value "2.5GB"',
    )
    found = settings(conf, "vm_memory_high_watermark.absolute = 1T")
    assert found.memory.high_watermark == 0.4  # other than without a setting
    assert found.warnings == ('Unable to parse vm_memory_high_watermark value "1T"',)


def test_log_levels_are_read(conf: Path) -> None:
    log = settings(
        conf,
        "log.console = true\nlog.file = false\nlog.default.level = error\nlog.console.level = debug\n"
        "log.file.level = none\nlog.connection.level = warning",
    ).log
    assert (log.level, log.categories) == ("error", {"connection": "warning"})
    assert (log.console, log.console_level, log.file, log.file_level) == (True, "debug", "", "none")
    assert settings(conf, "log.console.level = debug\nlog.file.level = error").log.level == "debug"
    assert settings(conf, "log.console.level = error").log.level == "info"


def test_syslog_and_the_journal_are_read(conf: Path) -> None:
    log = settings(
        conf,
        """
log.syslog = true
log.syslog.level = error
log.syslog.formatter = json
log.syslog.formatter.time_format = epoch_secs
log.syslog.host = logs.example
log.syslog.port = 6514
log.syslog.transport = ssl
log.syslog.protocol = rfc5424
log.syslog.identity = shop
log.syslog.facility = local3
log.syslog.multiline_mode = true
log.journald = true
log.journald.fields = SYSLOG_IDENTIFIER="shop" priority ERL_PID=pid
log.file.rotation.compress = true
""",
    ).log
    assert (log.syslog, log.syslog_level, log.syslog_format) == (True, "error", "json")
    assert (log.syslog_host, log.syslog_port, log.syslog_transport) == ("logs.example", 6514, "tls")
    assert (log.syslog_protocol, log.syslog_identity, log.syslog_facility) == ("rfc5424", "shop", "local3")
    assert (log.syslog_formatter, log.syslog_multiline) == ({"time_format": "epoch_secs"}, True)
    assert (log.journald, log.journald_fields) == (
        True,
        ('SYSLOG_IDENTIFIER="shop"', "priority", "ERL_PID=pid"),
    )
    assert log.file_rotation_compress


@pytest.mark.parametrize(("level", "on"), [("info", True), ("none", False)])
@pytest.mark.parametrize("output", ["syslog", "journald", "exchange"])
def test_the_level_of_an_output_switches_it_on(conf: Path, output: str, level: str, on: bool) -> None:
    assert getattr(settings(conf, f"log.{output}.level = {level}").log, output) is on


def test_log_outputs_are_read(conf: Path) -> None:
    log = settings(
        conf,
        f"""
log.console = false
log.console.stdio = stderr
log.console.formatter = json
log.console.formatter.time_format = epoch_secs
log.console.formatter.json.field_map = time:ts level msg *:-
log.console.formatter.json.verbosity_map = info:1 *:0
log.dir = {conf.parent}
log.file = rabbit.log
log.file.rotation.date = $D0
log.file.rotation.size = 1000
log.file.rotation.count = 3
log.file.formatter.plaintext.format = $msg
log.exchange = true
log.exchange.level = error
""",
    ).log
    assert (log.console, log.console_stream, log.console_format) == (False, "stderr", "json")
    assert log.console_formatter == {
        "time_format": "epoch_secs",
        "field_map": "time:ts level msg *:-",
        "verbosity_map": "info:1 *:0",
    }
    assert (log.dir, log.file, log.file_formatter) == (str(conf.parent), "rabbit.log", {"plaintext": "$msg"})
    assert (log.file_rotation_date, log.file_rotation_size, log.file_rotation_count) == ("$D0", 1000, 3)
    assert (log.exchange, log.exchange_level) == (True, "error")
    assert settings(conf, "log.file = true").log.file == "$node.log"


def test_defaults_of_virtual_hosts_are_read(conf: Path) -> None:
    found = settings(
        conf,
        """
default_users.app.vhost_pattern = ^app
default_users.app.password = p
default_users.app.tags = management, monitoring
default_users.a\\.b.configure = ^x
default_limits.vhosts.1.pattern = ^app
default_limits.vhosts.1.max_queues = 5
default_policies.operator.p.queue_pattern = ^q
default_policies.operator.p.expires = 1h
default_policies.operator.p.max_length_bytes = 1KB
""",
    ).vhost_defaults
    assert found.users == {
        "app": {"vhost_pattern": "^app", "password": "p", "tags": "management, monitoring"},
        "a.b": {"configure": "^x"},
    }
    assert found.limits == {"1": {"pattern": "^app", "max_queues": 5}}
    policy = {"queue_pattern": "^q", "expires": 3_600_000, "max_length_bytes": 1024}
    assert found.operator_policies == {"p": policy}


def test_deprecated_features_are_read(conf: Path) -> None:
    found = settings(
        conf,
        "deprecated_features.permit.global_qos = true\ndeprecated_features.permit.ram_node_type = false",
    )
    assert found.deprecated_features.permit == {"global_qos": True, "ram_node_type": False}


def test_the_definitions_file_is_read(conf: Path, tmp_path: Path) -> None:
    file = tmp_path / "definitions.json"
    file.write_text("{}", "utf-8")
    for key in ("load_definitions", "management.load_definitions", "definitions.local.path"):
        text = f"definitions.import_backend = local_filesystem\n{key} = {file}"
        assert settings(conf, text).server.load_definitions == str(file)
    error = problem(conf, "load_definitions = /nosuch")
    assert error.problem == "load_definitions invalid, file does not exist or cannot be read by the node"
    assert "cannot be imported by https" in problem(conf, "definitions.import_backend = https").problem


def test_mechanisms_are_read(conf: Path) -> None:
    found = settings(
        conf, "auth_mechanisms.1 = PLAIN\nauth_mechanisms.2 = EXTERNAL\nauth_mechanisms.3 = NOPE"
    )
    assert found.access.mechanisms == ("PLAIN", "EXTERNAL", "NOPE")
    (warning,) = found.warnings
    assert warning.endswith("auth_mechanisms: there is no mechanism NOPE")


def test_login_by_certificate_is_read(conf: Path) -> None:
    found = settings(
        conf,
        "ssl_cert_login_from = subject_alt_name\nssl_cert_login_san_type = email\nssl_cert_login_san_index = 1",
    ).access
    assert found.cert_login_from == "subject_alternative_name"
    assert (found.cert_login_san_type, found.cert_login_san_index) == ("email", 1)
    assert (
        "acceptable values are: distinguished_name, common_name,"
        in problem(conf, "ssl_cert_login_from = x").problem
    )


# --- values RabbitMQ refuses, in its words


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("heartbeat = abc", '"abc" cannot be converted to a(n) integer'),
        ("consumer_timeout = 0", "0 is below the minimum allowed value of 1"),
        ("max_message_size = 999999999999", "Max message size should be between 0 and 512MB"),
        ("max_connections = x", '"x" cannot be converted to a(n) integer'),
        ("vm_memory_high_watermark.relative = 1x", '"1x" cannot be converted to a(n) float'),
        ("vm_memory_high_watermark.absolute = 1xB", "supported formats: 500MB, 500MiB, 10GB, 10GiB"),
        ("disk_free_limit.absolute = 1 GB", "supported formats: 500MB, 500MiB, 10GB, 10GiB"),
        ("frame_max = 12x", '"12x" cannot be converted to a(n) bytesize'),
        ("default_user_tags.administrator = yes", '"yes" cannot be converted to a(n) boolean'),
        ("loopback_users = x", '"x" is not a valid enum value, acceptable values are: none'),
        ("log.console.level = loud", '"loud" is not a valid enum value, acceptable values are: debug, info'),
        ("default_pass = encrypted:abc", "encrypted values are not supported"),
    ],
)
def test_invalid_values_are_refused(conf: Path, line: str, says: str) -> None:
    error = problem(conf, line)
    assert error.key == line.partition(" ")[0]
    assert says in error.problem


def test_all_problems_are_reported_at_once(conf: Path) -> None:
    error = problem(conf, "heartbeat = x\nfoo = 1\nlog.console = yes\ndefault_permissions.read = a")
    assert isinstance(error, ConfigErrors)
    assert [(one.place, one.key) for one in error.errors] == [
        (f"{conf}:1", "heartbeat"),
        (f"{conf}:2", "foo"),
        (f"{conf}:3", "log.console"),
        (f"{conf}:4", "default_permissions.read"),
    ]


def test_keys_of_older_versions_are_for_older_profiles(conf: Path) -> None:
    conf.write_text("mirroring_sync_max_throughput = 1\nraft.wal_hard_maximum = 1\nfoo = 1", "utf-8")
    with pytest.raises(ConfigErrors):
        read([conf], {})
    with pytest.raises(ConfigError, match="unknown variable: foo"):
        read([conf], {}, older=True)


# --- keys without a meaning here


@pytest.mark.parametrize("key", ["foo", "bar.x", "heartbeat.x", "default_permissions.nope", "vm_memory"])
def test_unknown_keys_are_refused_as_rabbitmq_does(conf: Path, key: str) -> None:
    error = problem(conf, f"{key} = 1")
    assert (error.key, error.problem) == (key, f"Conf file attempted to set unknown variable: {key}")


def test_similar_keys_are_proposed_for_unknown_ones(conf: Path) -> None:
    assert "frame_max" in problem(conf, "framemax = 1").allowed
    assert "vm_memory_high_watermark.relative" in problem(conf, "vm_memory_high_watermark = 1").allowed


@pytest.mark.parametrize(
    "line",
    [
        "tcp_listen_options.nodelay = true",
        "cluster_formation.peer_discovery_backend = classic_config",
        "cluster_formation.k8s.host = h",
        "cluster_partition_handling = autoheal",
        "collect_statistics_interval = 1000",
        "default_policies.operator.a.classic_queues.ha_mode = all",
        "mqtt.listeners.tcp.default = 1883",
        "log.syslog.ssl_options.depth = 2",
    ],
)
def test_keys_without_effect_are_warnings(conf: Path, line: str) -> None:
    found = settings(conf, line)
    key = line.partition(" ")[0]
    assert [warning.partition(" has no effect: ")[0] for warning in found.warnings] == [f"{conf}:1: {key}"]


@pytest.mark.parametrize(
    "line",
    [
        "auth_backends.1 = ldap",
        "auth_backends.1.authn = ldap",
        "definitions.https.url = https://example.org",
    ],
)
def test_keys_that_are_unsafe_to_ignore_are_refused(conf: Path, line: str) -> None:
    assert problem(conf, line).key == line.partition(" ")[0]


def test_limits_and_rules_of_a_node_are_read(conf: Path) -> None:
    found = settings(
        conf,
        """
        vhost_max = 3
        channel_tx_message_max = 5
        cluster_queue_limit = 4
        cluster_exchange_limit = infinity
        credential_validator.validation_backend = rabbit_credential_validator_min_password_length
        credential_validator.min_length = 8
        credential_validator.regexp = ^x
        queue_types.classic.enabled = false
        queue_types.quorum.enabled = true
        queue_types.stream.enabled = false
        exchange_types.local_random.enabled = false
        quorum_queue.property_equivalence.relaxed_checks_on_redeclaration = true
        definitions.skip_if_unchanged = true
        cluster_tags.region = us
        cluster_tags.my\\.tag = x
        node_tags.rack = 7
        runtime_parameters.limits.policy = 2
        runtime_parameters.limits.vhost-limits = 0
        """,
    )
    parameters = {"policy": 2, "vhost-limits": 0}
    assert found.limits == Limits(vhosts=3, queues=4, transaction_publishes=5, parameters=parameters)
    assert (found.access.password_validator, found.access.password_min_length) == ("min_password_length", 8)
    assert found.amqp.disabled_queue_types == ("classic", "stream")
    assert (found.amqp.local_random_exchange, found.amqp.relaxed_redeclaration) == (False, True)
    assert found.server.skip_unchanged_definitions
    assert found.server.cluster_tags == {"region": "us", "my.tag": "x"}
    assert found.server.node_tags == {"rack": "7"}
    assert found.warnings == ()
    unknown = problem(conf, "credential_validator.validation_backend = mine")
    assert "rabbit_credential_validator_password_regexp" in unknown.problem


def test_socket_options_are_read(conf: Path) -> None:
    found = settings(
        conf,
        """
        tcp_listen_options.backlog = 128
        tcp_listen_options.keepalive = true
        tcp_listen_options.sndbuf = 65536
        tcp_listen_options.recbuf = 32768
        tcp_listen_options.linger.on = true
        tcp_listen_options.linger.timeout = 3
        """,
    ).server
    assert (found.backlog, found.keepalive, found.sndbuf, found.recbuf, found.linger) == (
        128,
        True,
        65536,
        32768,
        3,
    )
    assert settings(conf, "tcp_listen_options.linger.on = false").server.linger == -1


@pytest.mark.parametrize("key", ["management.disable_stats", "management_agent.disable_metrics_collector"])
def test_statistics_can_be_switched_off(conf: Path, key: str) -> None:
    found = settings(conf, f"{key} = true").deprecated_features.permit
    assert found == {"management_metrics_collection": False}
    assert settings(conf, f"{key} = false").deprecated_features.permit == {}


def test_the_internal_backend_is_accepted(conf: Path) -> None:
    assert settings(conf, "auth_backends.1 = internal").warnings == ()


def test_every_key_of_rabbitmq_has_a_verdict() -> None:
    """None of the keys that RabbitMQ 4.3.6 knows is called unknown."""

    def known(key: str) -> bool:
        return any(
            key == one
            or (one[-1] in "._" and key.startswith(one))
            or ("$" in one and re.fullmatch(re.sub(r"\\\$[A-Z]+", "[^.]+", re.escape(one)), key))
            for one in [
                *known_keys(),
                *" ".join((*REFUSED.values(), *UNUSED.values())).split(),
                *HARMLESS_VALUES,
            ]
        )

    keys = [".".join("x" if word[0] == "$" else word for word in one.words) for one in schema().all()]
    assert [key for key in keys if not known(key)] == []


def test_every_key_is_in_one_table() -> None:
    tables = [*REFUSED.values(), *UNUSED.values(), " ".join(known_keys())]
    keys = [key for table in tables for key in table.split() if key != "auth_backends.$N"]
    assert sorted(keys) == sorted(set(keys))
