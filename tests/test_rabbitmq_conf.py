"""rabbitmq.conf is read and refused as by RabbitMQ 4.3.6."""

from __future__ import annotations

from pathlib import Path

import pytest

from leveret.rabbitmq_conf import known_keys, parse, read
from leveret.rabbitmq_conf_keys import REFUSED, REFUSED_VALUES, UNUSED
from leveret.settings import ConfigError, Settings, build


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
    with pytest.raises(ConfigError, match="cannot be read"):
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
nodename = n@h
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
    assert (server.cluster_name, server.node) == ("c", "n@h")
    assert (server.http_port, server.http_host) == (1, ("127.0.0.1",))
    assert (server.prometheus_port, server.prometheus_host) == (2, ("::1",))
    assert (server.prometheus_path, server.prometheus_per_object) == ("/m", True)
    assert server.prometheus_authentication
    assert found.warnings == ()


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
default_permissions.read = ^r
anonymous_login_user = none
loopback_users.guest = false
""",
    ).access
    assert (access.default_user, access.default_pass, access.default_vhost) == ("u", "a#b", "v")
    assert access.default_user_tags == ("management",)
    assert access.default_permissions == (".*", ".*", "^r")
    assert (access.anonymous_login_user, access.loopback_users) == ("", ())


def test_loopback_users_are_read(conf: Path) -> None:
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
    assert "one port" in str(problem(conf, "listeners.tcp.1 = 1\nlisteners.tcp.2 = 2"))
    assert problem(conf, "listeners.tcp.1 = x:y").problem == '"y" cannot be converted to a(n) integer'
    assert "acceptable values are: none" in problem(conf, "listeners.tcp = all").problem


def test_watermarks_and_amounts_are_read(conf: Path) -> None:
    found = settings(conf, "vm_memory_high_watermark.relative = 0.4\ndisk_free_limit.absolute = 1GB")
    assert (found.memory.high_watermark, found.store.disk_free_limit) == (0.4, "1GB")
    found = settings(
        conf, "vm_memory_high_watermark.absolute = 2GiB\nvm_memory_high_watermark.relative = 0.4"
    )
    assert found.memory.high_watermark == "2GiB"
    assert found.warnings[0].endswith("vm_memory_high_watermark.absolute has precedence")


def test_log_levels_are_read(conf: Path) -> None:
    log = settings(
        conf,
        "log.console = true\nlog.file = false\nlog.default.level = error\nlog.console.level = debug\n"
        "log.file.level = none\nlog.connection.level = warning",
    ).log
    assert (log.level, log.categories) == ("debug", {"connection": "warning"})


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
    assert error.problem == "file does not exist or cannot be read by the node"
    assert "cannot be imported by https" in problem(conf, "definitions.import_backend = https").problem


def test_mechanisms_are_read(conf: Path) -> None:
    found = settings(conf, "auth_mechanisms.1 = PLAIN\nauth_mechanisms.2 = EXTERNAL")
    assert found.access.anonymous_login_user == ""
    assert [warning.partition("auth_mechanisms: ")[2] for warning in found.warnings] == [
        "mechanism AMQPLAIN is offered all the same",
        "mechanism EXTERNAL is not offered",
    ]
    all_of_them = "auth_mechanisms.1 = PLAIN\nauth_mechanisms.2 = AMQPLAIN\nauth_mechanisms.3 = ANONYMOUS"
    assert settings(conf, all_of_them).access.anonymous_login_user == "guest"


# --- values RabbitMQ refuses, in its words


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("heartbeat = abc", '"abc" cannot be converted to a(n) integer'),
        ("heartbeat = 70000", "Expected `int` <= 65535"),
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
        "tcp_listen_options.backlog = 128",
        "cluster_formation.peer_discovery_backend = classic_config",
        "cluster_formation.k8s.host = h",
        "cluster_partition_handling = autoheal",
        "collect_statistics_interval = 1000",
        "management_agent.disable_metrics_collector = true",
        "default_policies.operator.a.max_length = 1",
        "default_limits.vhosts.a.max_queues = 1",
        "queue_types.stream.enabled = false",
        "mqtt.listeners.tcp.default = 1883",
        "log.file = rabbit.log",
        "proxy_protocol = false",
        "ssl_options.cacertfile = /x",
    ],
)
def test_keys_without_effect_are_warnings(conf: Path, line: str) -> None:
    found = settings(conf, line)
    key = line.partition(" ")[0]
    assert [warning.partition(" has no effect: ")[0] for warning in found.warnings] == [f"{conf}:1: {key}"]


@pytest.mark.parametrize(
    "line",
    [
        "listeners.ssl.default = 5671",
        "management.ssl.port = 15671",
        "auth_backends.1 = ldap",
        "auth_backends.1.authn = ldap",
        "default_users.a.password = p",
        "proxy_protocol = true",
        "definitions.https.url = https://example.org",
    ],
)
def test_keys_that_are_unsafe_to_ignore_are_refused(conf: Path, line: str) -> None:
    assert problem(conf, line).key == line.partition(" ")[0]


def test_the_internal_backend_is_accepted(conf: Path) -> None:
    assert settings(conf, "auth_backends.1 = internal").warnings == ()


def test_every_key_is_in_one_table() -> None:
    tables = [*REFUSED.values(), *UNUSED.values(), " ".join(REFUSED_VALUES), " ".join(known_keys())]
    keys = [key for table in tables for key in table.split() if key != "auth_backends.$N"]
    assert sorted(keys) == sorted(set(keys))
