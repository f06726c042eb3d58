"""Environment variables of RabbitMQ, of its container images, and of Leveret."""

from __future__ import annotations

from pathlib import Path

import pytest

from leveret.config import ConfigError, Settings, load
from leveret.settings import Plugins


def settings(**environ: str) -> Settings:
    return load(environ=environ)


def test_variables_of_rabbitmq_are_read() -> None:
    found = settings(
        RABBITMQ_DEFAULT_USER="u",
        RABBITMQ_DEFAULT_PASS="p,=q",
        RABBITMQ_DEFAULT_VHOST="v",
        RABBITMQ_NODE_PORT="1234",
        RABBITMQ_NODE_IP_ADDRESS="127.0.0.1",
        RABBITMQ_NODENAME="n@h",
        RABBITMQ_MNESIA_BASE="/data",
        RABBITMQ_VM_MEMORY_HIGH_WATERMARK="0.25",
        RABBITMQ_LOGS="-",
        RABBITMQ_LOG="debug,connection=error",
    )
    access, server = found.access, found.server
    assert (access.default_user, access.default_pass, access.default_vhost) == ("u", "p,=q", "v")
    assert (server.port, server.host, server.node) == (1234, ("127.0.0.1",), "n@h")
    assert (found.store.data_dir, found.memory.high_watermark) == ("/data", 0.25)
    assert (found.log.level, found.log.categories) == ("debug", {"connection": "error"})
    assert found.warnings == ()


def test_variables_of_rabbitmq_override_those_of_bitnami() -> None:
    found = settings(RABBITMQ_USERNAME="b", RABBITMQ_PASSWORD="b", RABBITMQ_DEFAULT_USER="o").access
    assert (found.default_user, found.default_pass) == ("o", "b")


def test_secrets_are_read_from_files(tmp_path: Path) -> None:
    (tmp_path / "pass").write_text("s3cret\n", "utf-8")
    assert settings(RABBITMQ_DEFAULT_PASS_FILE=str(tmp_path / "pass")).access.default_pass == "s3cret"
    with pytest.raises(ConfigError, match="RABBITMQ_DEFAULT_USER_FILE: cannot be read"):
        settings(RABBITMQ_DEFAULT_USER_FILE=str(tmp_path / "nosuch"))


def test_errors_name_the_variable() -> None:
    with pytest.raises(ConfigError, match="environment: RABBITMQ_NODE_PORT: 'abc': Expected `int`"):
        settings(RABBITMQ_NODE_PORT="abc")
    with pytest.raises(ConfigError, match="RABBITMQ_SSL_CERTFILE: is set but deprecated"):
        settings(RABBITMQ_SSL_CERTFILE="/x")


def test_empty_variables_are_ignored() -> None:
    assert settings(RABBITMQ_DEFAULT_USER="", RABBITMQ_NODE_PORT="", RABBITMQ_CONFIG_FILE="") == Settings()


def test_only_known_variables_without_effect_are_warnings() -> None:
    found = settings(
        RABBITMQ_ERLANG_COOKIE="c",
        RABBITMQ_LOG="+color",
        RABBITMQ_SERVICE_HOST="10.0.0.1",
        RABBITMQ_PORT="tcp://10.0.0.1:5672",
        LEVERET_PURE="1",
        PATH="/bin",
    )
    assert sorted(warning.split(" ")[1].rstrip(":") for warning in found.warnings) == [
        "RABBITMQ_ERLANG_COOKIE",
        "RABBITMQ_LOG",
    ]


@pytest.mark.parametrize(
    ("variable", "similar"),
    [
        ("LEVERET_SERVR_PORT", "LEVERET_SERVER_PORT"),
        ("LEVERET_AMQP_HARTBEAT", "LEVERET_AMQP_HEARTBEAT"),
        ("LEVERET_PROFIL", "LEVERET_PROFILE"),
        ("LEVERET_NONSENSE_XYZZY", "LEVERET_SECTION_FIELD"),
    ],
)
def test_a_misspelt_variable_is_refused(variable: str, similar: str) -> None:
    with pytest.raises(ConfigError, match=f"environment: {variable}: unknown setting; allowed: .*{similar}"):
        settings(**{variable: "5673"})


def test_variables_that_kubernetes_sets_for_services_are_no_settings() -> None:
    found = settings(
        LEVERET_SERVICE_HOST="10.0.0.1",
        LEVERET_SERVICE_PORT="5672",
        LEVERET_SERVICE_PORT_AMQP="5672",
        LEVERET_PORT="tcp://10.0.0.1:5672",
        LEVERET_PORT_5672_TCP="tcp://10.0.0.1:5672",
        LEVERET_PORT_5672_TCP_ADDR="10.0.0.1",
        LEVERET_SERVER_PORT="tcp://10.0.0.2:5672",
        LEVERET_HEADLESS_SERVICE_HOST="10.0.0.3",
    )
    assert found == Settings()


def test_outputs_of_the_log_are_read() -> None:
    assert settings(RABBITMQ_LOGS="-stderr").log.console_stream == "stderr"
    found = settings(RABBITMQ_LOGS="x.log", RABBITMQ_LOG_BASE="/var/log").log
    assert (found.console, found.dir, found.file) == (True, "/var/log", "x.log")


# --- configuration files


def test_the_config_file_may_be_named_without_its_suffix(tmp_path: Path) -> None:
    (tmp_path / "rabbitmq-custom.conf").write_text("heartbeat = 7", "utf-8")
    for name in ("rabbitmq-custom", "rabbitmq-custom.conf"):
        assert settings(RABBITMQ_CONFIG_FILE=str(tmp_path / name)).amqp.heartbeat == 7


def test_a_missing_config_file_is_a_warning() -> None:
    assert settings(RABBITMQ_CONFIG_FILE="/nosuch").warnings == (
        "RABBITMQ_CONFIG_FILE: /nosuch: no such file",
    )


def test_levels_that_nobody_knows_are_warnings() -> None:
    found = settings(RABBITMQ_LOG="loud,connection=louder,channel=debug")
    assert (found.log.level, found.log.categories) == ("info", {"channel": "debug"})
    assert found.warnings == (
        "environment: RABBITMQ_LOG: loud has no effect: no such level",
        "environment: RABBITMQ_LOG: connection=louder has no effect: no such level",
    )


def test_listeners_in_a_file_override_the_variables(tmp_path: Path) -> None:
    file = tmp_path / "rabbitmq.conf"
    file.write_text("listeners.tcp.default = 5674", "utf-8")
    found = settings(RABBITMQ_CONFIG_FILE=str(file), RABBITMQ_NODE_PORT="5673")
    assert found.server.port == 5674
    assert found.warnings == (
        "environment: RABBITMQ_NODE_PORT has no effect: rabbitmq.conf has listeners.tcp",
    )
    file.write_text("heartbeat = 10", "utf-8")
    assert settings(RABBITMQ_CONFIG_FILE=str(file), RABBITMQ_NODE_PORT="5673").server.port == 5673


def test_the_addresses_of_amqp_say_nothing_about_the_http_api(tmp_path: Path) -> None:
    server = settings(RABBITMQ_NODE_IP_ADDRESS="127.0.0.1").server
    assert (server.host, server.http_host, server.prometheus_host) == (("127.0.0.1",), ("::",), ("::",))
    file = tmp_path / "rabbitmq.conf"
    file.write_text("listeners.tcp.1 = 127.0.0.1:5672\nmanagement.tcp.ip = ::1", "utf-8")
    server = settings(RABBITMQ_CONFIG_FILE=str(file)).server
    assert (server.http_host, server.prometheus_host) == (("::1",), ("::",))
    assert settings(LEVERET_SERVER_HOST="127.0.0.1").server.http_host == ()


def test_further_files_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    (tmp_path / "rabbitmq.conf").write_text("heartbeat = 1\nchannel_max = 1", "utf-8")
    further = tmp_path / "conf.d"
    further.mkdir()
    (further / "20-b.conf").write_text("heartbeat = 3", "utf-8")
    (further / "10-a.conf").write_text("heartbeat = 2", "utf-8")
    (further / ".hidden.conf").write_text("heartbeat = 4", "utf-8")
    (further / "readme.d").mkdir()
    for pattern in (further, further / "*.conf"):
        found = settings(RABBITMQ_CONFIG_FILE=str(tmp_path / "rabbitmq"), RABBITMQ_CONFIG_FILES=str(pattern))
        assert (found.amqp.heartbeat, found.amqp.channel_max) == (3, 1)
        assert [Path(source).name for source in found.sources] == [
            *("rabbitmq.conf", ".hidden.conf", "10-a.conf", "20-b.conf")
        ]


def test_every_file_of_a_directory_is_read_as_in_rabbitmq(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("heartbeat = 4", "utf-8")
    assert settings(RABBITMQ_CONFIG_FILES=str(tmp_path)).amqp.heartbeat == 4
    assert settings(RABBITMQ_CONFIG_FILES=f"{tmp_path}/*.conf").amqp.heartbeat == 60


def test_files_of_erlang_terms_are_read(tmp_path: Path) -> None:
    (tmp_path / "rabbitmq.config").write_text("[{rabbit, [{heartbeat, 5}]}].", "utf-8")
    assert settings(RABBITMQ_CONFIG_FILE=str(tmp_path / "rabbitmq")).amqp.heartbeat == 5
    assert settings(RABBITMQ_ADVANCED_CONFIG_FILE=str(tmp_path / "rabbitmq")).amqp.heartbeat == 5
    assert settings(RABBITMQ_ADVANCED_CONFIG_FILE=str(tmp_path / "nosuch")).amqp.heartbeat == 60


def test_the_advanced_file_overrides_the_other_one(tmp_path: Path) -> None:
    (tmp_path / "rabbitmq.conf").write_text("heartbeat = 4\nloopback_users.guest = true", "utf-8")
    (tmp_path / "advanced.config").write_text("[{rabbit, [{heartbeat, 5}, {loopback_users, []}]}].", "utf-8")
    found = settings(
        RABBITMQ_CONFIG_FILE=str(tmp_path / "rabbitmq.conf"),
        RABBITMQ_ADVANCED_CONFIG_FILE=str(tmp_path / "advanced.config"),
    )
    assert (found.amqp.heartbeat, found.access.loopback_users) == (5, ())


def test_the_file_of_variables_is_read(tmp_path: Path) -> None:
    file = tmp_path / "rabbitmq-env.conf"
    file.write_text(
        "# a comment\nNODENAME=rabbit@box\nexport RABBITMQ_NODE_PORT=5673 # and one\n"
        "LOG_BASE=$HOME/log\nif true; then\nMNESIA_BASE='/a b'\n",
        "utf-8",
    )
    found = settings(RABBITMQ_CONF_ENV_FILE=str(file))
    assert (found.server.node, found.server.port, found.store.data_dir) == ("rabbit@box", 5673, "/a b")
    assert found.warnings[0] == f"{file}:5: if true; then has no effect: not an assignment"
    assert (
        settings(RABBITMQ_CONF_ENV_FILE=str(file), RABBITMQ_NODENAME="other@box").server.node == "other@box"
    )


@pytest.mark.parametrize(
    ("arguments", "port", "timeout", "left"),
    [
        ("-rabbit tcp_listeners [5673]", 5673, 1800000, []),
        ("-rabbit consumer_timeout 1000 -rabbit tcp_listeners [5673]", 5673, 1000, []),
        ("-rabbit consumer_timeout 1000 log [{console,[]}]", 5672, 1000, ["rabbit.log has no effect here"]),
        ("-kernel x 1", 5672, 1800000, ["-kernel x 1 has no effect: Leveret does not use Erlang"]),
    ],
)
def test_arguments_of_the_erlang_command_line_are_read(
    arguments: str, port: int, timeout: int, left: list[str]
) -> None:
    found = settings(RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=arguments)
    assert (found.server.port, found.amqp.consumer_timeout) == (port, timeout)
    place = "environment: RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"
    assert list(found.warnings) == [f"{place}: {words}" for words in left]


def test_loopback_users_of_the_erlang_command_line_are_read() -> None:
    found = settings(
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-rabbit loopback_users [] -rabbit default_user <<"u">>'
    )
    assert (found.access.loopback_users, found.access.default_user) == ((), "u")


# --- our own


def test_variables_of_leveret_are_read() -> None:
    found = settings(
        LEVERET_SERVER_HTTP_PORT="-1",
        LEVERET_PROFILE="3.13",
        LEVERET_STORE="disk",
        LEVERET_ACCESS_LOOPBACK_USERS="",
        LEVERET_DEPRECATED_FEATURES_PERMIT="global_qos=true",
    )
    assert (found.server.http_port, found.profile.version, found.store.engine) == (-1, "3.13", "disk")
    assert found.access.loopback_users == ()
    assert found.deprecated_features.permit == {"global_qos": True}
    with pytest.raises(ConfigError, match="environment: LEVERET_STORE_ENGINE: 'tape': Invalid enum value"):
        settings(LEVERET_STORE_ENGINE="tape")


def test_variables_of_leveret_override_those_of_rabbitmq() -> None:
    assert settings(LEVERET_SERVER_PORT="1", RABBITMQ_NODE_PORT="2").server.port == 1


def test_the_file_of_enabled_plugins_is_read(tmp_path: Path) -> None:
    listed = tmp_path / "enabled_plugins"
    listed.write_text("% those we need\n[rabbitmq_management,rabbitmq_event_exchange,rabbitmq_shovel].\n")
    found = settings(RABBITMQ_ENABLED_PLUGINS_FILE=str(listed))
    assert found.plugins == Plugins(
        prometheus=False,
        event_exchange=True,
        enabled=("rabbitmq_management", "rabbitmq_event_exchange", "rabbitmq_shovel"),
        enabled_file=str(listed),
    )
    assert found.warnings == (
        "environment: RABBITMQ_ENABLED_PLUGINS_FILE: Leveret does not have rabbitmq_shovel, and nothing is done for "
        "it; move messages with a consumer that publishes them elsewhere",
    )
    assert settings(RABBITMQ_PLUGINS="rabbitmq_management rabbitmq_event_exchange").plugins.event_exchange
    assert not settings(RABBITMQ_ENABLED_PLUGINS="rabbitmq_management").plugins.event_exchange
    for text in ("[rabbitmq_management", "rabbitmq_management.", "[rabbitmq_management]. [x]."):
        listed.write_text(text)
        with pytest.raises(ConfigError, match="enabled_plugins"):
            settings(RABBITMQ_ENABLED_PLUGINS_FILE=str(listed))


@pytest.mark.parametrize(
    ("names", "management", "prometheus"),
    [
        ("rabbitmq_management", True, False),
        ("rabbitmq_prometheus rabbitmq_mqtt", False, True),
        ("rabbitmq_shovel_management,rabbitmq_shovel_prometheus", True, True),
        ("rabbitmq_top", True, False),
        ("rabbitmq_auth_backend_oauth2", False, False),
        ("ALL", True, True),
    ],
)
def test_plugins_that_are_not_enabled_are_off(names: str, management: bool, prometheus: bool) -> None:
    found = settings(RABBITMQ_ENABLED_PLUGINS=names).plugins
    assert (found.management, found.prometheus) == (management, prometheus)


def test_without_a_list_of_plugins_the_settings_say_what_is_on(tmp_path: Path) -> None:
    assert settings().plugins == Plugins()
    missing = settings(RABBITMQ_ENABLED_PLUGINS_FILE=str(tmp_path / "none"))
    assert not missing.plugins.management
    assert missing.warnings[0].endswith("none: no such file, so no plugins are enabled")
    port = settings(RABBITMQ_ENABLED_PLUGINS="rabbitmq_shovel", LEVERET_SERVER_HTTP_PORT="15673")
    assert port.plugins.management
    assert not port.plugins.prometheus


def test_plugins_that_nobody_knows_are_warnings() -> None:
    found = settings(RABBITMQ_ENABLED_PLUGINS="rabbitmq_delayed_message_exchange rabbitmq_managment")
    assert found.plugins.enabled == ("rabbitmq_delayed_message_exchange",)
    assert found.warnings == (
        "environment: RABBITMQ_ENABLED_PLUGINS: rabbitmq_managment is not a plugin that Leveret knows",
    )
