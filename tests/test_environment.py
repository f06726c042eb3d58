"""Environment variables of RabbitMQ, of its container images, and of Leveret."""

from __future__ import annotations

from pathlib import Path

import pytest

from leveret.config import ConfigError, Settings, load


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
    with pytest.raises(ConfigError, match="environment: RABBITMQ_LOG: 'loud': Invalid enum value"):
        settings(RABBITMQ_LOG="loud")
    with pytest.raises(ConfigError, match="RABBITMQ_SSL_CERTFILE: TLS is not available"):
        settings(RABBITMQ_SSL_CERTFILE="/x")


def test_empty_variables_are_ignored() -> None:
    assert settings(RABBITMQ_DEFAULT_USER="", RABBITMQ_NODE_PORT="", RABBITMQ_CONFIG_FILE="") == Settings()


def test_only_known_variables_without_effect_are_warnings() -> None:
    found = settings(
        RABBITMQ_ERLANG_COOKIE="c",
        RABBITMQ_LOGS="/var/log/x.log",
        RABBITMQ_LOG="+color",
        RABBITMQ_SERVICE_HOST="10.0.0.1",
        RABBITMQ_PORT="tcp://10.0.0.1:5672",
        LEVERET_SERVICE_HOST="10.0.0.1",
        LEVERET_PURE="1",
        PATH="/bin",
    )
    assert sorted(warning.split(" ")[1].rstrip(":") for warning in found.warnings) == [
        "LEVERET_SERVICE_HOST",
        "RABBITMQ_ERLANG_COOKIE",
        "RABBITMQ_LOG",
        "RABBITMQ_LOGS",
    ]


# --- configuration files


def test_the_config_file_may_be_named_without_its_suffix(tmp_path: Path) -> None:
    (tmp_path / "rabbitmq-custom.conf").write_text("heartbeat = 7", "utf-8")
    for name in ("rabbitmq-custom", "rabbitmq-custom.conf"):
        assert settings(RABBITMQ_CONFIG_FILE=str(tmp_path / name)).amqp.heartbeat == 7


def test_a_missing_config_file_is_a_warning() -> None:
    assert settings(RABBITMQ_CONFIG_FILE="/nosuch").warnings == (
        "RABBITMQ_CONFIG_FILE: /nosuch: no such file",
    )


def test_further_files_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    (tmp_path / "rabbitmq.conf").write_text("heartbeat = 1\nchannel_max = 1", "utf-8")
    further = tmp_path / "conf.d"
    further.mkdir()
    (further / "20-b.conf").write_text("heartbeat = 3", "utf-8")
    (further / "10-a.conf").write_text("heartbeat = 2", "utf-8")
    (further / "ignored.txt").write_text("?", "utf-8")
    for pattern in (further, further / "*.conf"):
        found = settings(RABBITMQ_CONFIG_FILE=str(tmp_path / "rabbitmq"), RABBITMQ_CONFIG_FILES=str(pattern))
        assert (found.amqp.heartbeat, found.amqp.channel_max) == (3, 1)
        assert [Path(source).name for source in found.sources] == ["rabbitmq.conf", "10-a.conf", "20-b.conf"]


def test_files_of_erlang_terms_are_refused(tmp_path: Path) -> None:
    terms = tmp_path / "rabbitmq.config"
    terms.write_text("[].", "utf-8")
    with pytest.raises(ConfigError, match="Erlang terms"):
        settings(RABBITMQ_CONFIG_FILE=str(terms))
    with pytest.raises(ConfigError, match="Erlang terms"):
        settings(RABBITMQ_ADVANCED_CONFIG_FILE=str(tmp_path / "rabbitmq"))


@pytest.mark.parametrize(
    ("arguments", "port", "timeout", "left"),
    [
        ("-rabbit tcp_listeners [5673]", 5673, 1800000, []),
        ("-rabbit consumer_timeout 1000 -rabbit tcp_listeners [5673]", 5673, 1000, []),
        ("-rabbit consumer_timeout 1000 log [{console,[]}]", 5672, 1000, ["log [{console,[]}]"]),
        ("-kernel x 1", 5672, 1800000, ["-kernel x 1"]),
    ],
)
def test_arguments_of_the_erlang_command_line_are_read(
    arguments: str, port: int, timeout: int, left: list[str]
) -> None:
    found = settings(RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=arguments)
    assert (found.server.port, found.amqp.consumer_timeout) == (port, timeout)
    place = "environment: RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"
    assert list(found.warnings) == [f"{place}: {words} has no effect" for words in left]


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
    assert found.plugins.event_exchange
    assert found.warnings == ("environment: RABBITMQ_ENABLED_PLUGINS_FILE: rabbitmq_shovel is not available",)
    assert settings(RABBITMQ_PLUGINS="rabbitmq_management rabbitmq_event_exchange").plugins.event_exchange
    assert not settings(RABBITMQ_ENABLED_PLUGINS="rabbitmq_management").plugins.event_exchange
    (missing,) = settings(RABBITMQ_ENABLED_PLUGINS_FILE=str(tmp_path / "none")).warnings
    assert "none cannot be read" in missing
