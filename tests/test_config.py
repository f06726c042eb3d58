"""Settings: defaults, config.toml, the command line, and which of them applies."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from leveret.config import ConfigError, Settings, load, to_toml
from leveret.settings import SECTIONS, Memory, Server, Store, amount, names

SHIPPED = Path(__file__).parents[1] / "config.toml"


def written(path: Path, text: str) -> Path:
    file = path / "config.toml"
    file.write_text(text, "utf-8")
    return file


# --- the file at the project's root


def test_config_toml_has_the_default_values() -> None:
    settings = load(SHIPPED, environ={})
    assert msgspec.structs.replace(settings, sources=()) == Settings()


def test_config_toml_has_every_setting_with_a_comment_of_its_own() -> None:
    text = SHIPPED.read_text("utf-8")
    assert text == to_toml()
    tables = tomllib.loads(text)
    assert [f"{section}.{field}" for section, table in tables.items() for field in table] == names()
    lines = text.splitlines()
    fields = [number for number, line in enumerate(lines) if " = " in line and not line.startswith("#")]
    assert len(fields) == len(names())
    assert all(lines[number - 1].startswith("# ") for number in fields)


def test_the_sections_are_the_fields_of_settings() -> None:
    fields = [field.name for field in msgspec.structs.fields(Settings)]
    assert fields == [*SECTIONS, "warnings", "sources"]


def test_any_settings_can_be_written_and_read_back(tmp_path: Path) -> None:
    changed = load(
        overrides={
            "access.default_pass": 'quote " backslash \\ é',
            "access.loopback_users": [],
            "memory.high_watermark": "2GB",
            "deprecated_features.permit": {"global_qos": True},
            "log.categories": {"connection": "none"},
        },
        environ={},
    )
    again = load(written(tmp_path, to_toml(changed)), environ={})
    assert msgspec.structs.replace(again, sources=()) == changed


def test_settings_are_frozen() -> None:
    settings = Settings()
    with pytest.raises(AttributeError):
        settings.server.port = 1  # type: ignore[misc]


# --- what is wrong, and what is allowed


@pytest.mark.parametrize(
    ("text", "key", "says"),
    [
        ("[server]\nprt = 1", "server.prt", "unknown setting; allowed: host, port, listeners, http_host"),
        ("[srv]\na = 1", "srv", "unknown section; allowed: server, amqp, limits"),
        ("server = 1", "server", "is a section, not a value; allowed: [server]"),
        (
            '[server]\nport = "x"',
            "server.port",
            "'x': Expected `int`, got `str`; allowed: an integer",
        ),
        (
            "[server]\nport = 65536",
            "server.port",
            "65536: Expected `int` <= 65535; allowed: an integer",
        ),
        (
            "[amqp]\nconsumer_timeout = 99999999999999999999",
            "amqp.consumer_timeout",
            "Expected `int` <= 9007199254740992",
        ),
        ("[amqp]\nheartbeat = true", "amqp.heartbeat", "Expected `int`, got `bool`"),
        (
            "[amqp]\nframe_max = 100",
            "amqp.frame_max",
            "100: Expected `int` >= 4096, or 0; allowed: an integer",
        ),
        ("[amqp]\nframe_max = -1", "amqp.frame_max", "Expected `int` >= 0"),
        ('[amqp]\ndefault_queue_type = "x"', "amqp.default_queue_type", '"classic" or "quorum" or "stream"'),
        ('[log]\nlevel = "loud"', "log.level", 'allowed: "debug" or "info"'),
        (
            "[profile]\nversion = 4.3",
            "profile.version",
            "got `float`; allowed: a string like 4.3",
        ),
        ('[memory]\nhigh_watermark = "1x"', "memory.high_watermark", "not an amount like 50MB"),
        ("[memory]\nhigh_watermark = -0.5", "memory.high_watermark", "not a share"),
        ("[store]\ndisk_free_limit = -1", "store.disk_free_limit", "negative"),
        ('[access]\ndefault_permissions = ["a"]', "access.default_permissions", "allowed: three strings"),
        ("[access]\nloopback_users = [1]", "access.loopback_users", "allowed: a list of strings"),
        (
            "[deprecated_features]\npermit = {a=1}",
            "deprecated_features.permit",
            "a table of true or false",
        ),
    ],
)
def test_errors_name_the_file_and_the_setting(tmp_path: Path, text: str, key: str, says: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(ConfigError) as refused:
        load(file, environ={})
    assert (refused.value.place, refused.value.key) == (str(file), key)
    assert str(refused.value).startswith(f"{file}: {key}: ")
    assert says in str(refused.value)


def test_missing_and_invalid_files_are_reported(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load(tmp_path / "nosuch.toml", environ={})
    with pytest.raises(ConfigError, match="is not TOML"):
        load(written(tmp_path, "a ="), environ={})


# --- the command line


def test_the_command_line_accepts_text_and_values() -> None:
    settings = load(
        overrides={
            "server.port": "0",
            "server.host": "127.0.0.1, ::1",
            "server.http_port": -1,
            "memory.high_watermark": "0.5",
            "store.disk_free_limit": "1000",
            "log.categories": "connection=debug, queue=error",
            "deprecated_features.permit": "global_qos=true,ram_node_type=false",
        },
        environ={},
    )
    assert (settings.server.port, settings.server.http_port) == (0, -1)
    assert settings.server.host == ("127.0.0.1", "::1")
    assert (settings.memory.high_watermark, settings.store.disk_free_limit) == (0.5, 1000)
    assert settings.log.categories == {"connection": "debug", "queue": "error"}
    assert settings.deprecated_features.permit == {"global_qos": True, "ram_node_type": False}


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ({"server.prt": "1"}, "command line: server.prt: unknown setting"),
        ({"prt": 1}, "command line: prt: unknown setting; allowed: server, amqp"),
        ({"server.port": "x"}, "command line: server.port: 'x': Expected `int`, got `str`"),
        ({"deprecated_features.permit": "a=maybe"}, "Expected `bool`, got `str`"),
    ],
)
def test_errors_on_the_command_line_are_reported(overrides: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(overrides=overrides, environ={})
    assert says in str(refused.value)


def test_the_command_line_overrides_environment_and_files(tmp_path: Path) -> None:
    """Command line over environment over rabbitmq.conf over config.toml over defaults."""
    toml = written(tmp_path, "[amqp]\nheartbeat = 1\nframe_max = 10001\nchannel_max=1\nconsumer_timeout=1")
    conf = tmp_path / "rabbitmq.conf"
    conf.write_text("heartbeat = 2\nframe_max = 10002\nchannel_max = 2", "utf-8")
    environ = {
        "RABBITMQ_CONFIG_FILE": str(conf),
        "LEVERET_AMQP_HEARTBEAT": "3",
        "LEVERET_AMQP_FRAME_MAX": "10003",
    }
    settings = load(toml, {"amqp.heartbeat": 4}, environ)
    amqp = settings.amqp
    assert (amqp.heartbeat, amqp.frame_max, amqp.channel_max, amqp.consumer_timeout) == (4, 10003, 2, 1)
    assert amqp.default_queue_type == "classic"
    assert settings.sources == (str(toml), str(conf))


def test_tables_are_merged(tmp_path: Path) -> None:
    toml = written(tmp_path, '[log]\ncategories = { connection = "debug", queue = "debug" }')
    settings = load(toml, {"log.categories": "queue=error"}, {})
    assert settings.log.categories == {"connection": "debug", "queue": "error"}


def test_the_variable_leveret_config_names_the_file(tmp_path: Path) -> None:
    toml = written(tmp_path, "[server]\nport = 1234\nhost = '127.0.0.1'")
    settings = load(environ={"LEVERET_CONFIG": str(toml)})
    assert (settings.server.port, settings.server.host) == (1234, ("127.0.0.1",))
    assert load(environ={}).sources == ()


# --- what settings mean


@pytest.mark.parametrize(
    ("value", "total", "size"),
    [
        (0.5, 1000, 500),
        (0.0, 1000, 0),
        (0, 1000, 0),
        (12345, 1000, 12345),
        ("12345", 0, 12345),
        ("50MB", 0, 50_000_000),
        ("1kB", 0, 1000),
        ("1k", 0, 1000),
        ("1Ki", 0, 1024),
        ("1KiB", 0, 1024),
        ("512m", 0, 512_000_000),
        ("1M", 0, 10**6),
        ("1Mi", 0, 1 << 20),
        ("2GB", 0, 2 * 10**9),
        ("2GiB", 0, 2 << 30),
        ("1TB", 0, 10**12),
        ("1pib", 0, 1 << 50),
    ],
)
def test_amounts_have_the_units_of_rabbitmq(value: float | str, total: int, size: int) -> None:
    assert amount(value, total) == size


@pytest.mark.parametrize("value", ["", "x", "1x", "1T", "1mB", "1.5GB", "-1", float("nan"), float("inf"), -1])
def test_invalid_amounts_are_refused(value: float | str) -> None:
    with pytest.raises(ValueError):
        amount(value, 1)


def test_limits_are_computed_in_bytes() -> None:
    assert Memory().limit(1000, 0.4) == 400
    assert Memory(0.6).limit(1000, 0.4) == 600
    assert Memory("1kB").limit(10, 0.4) == 1000
    assert Store().free_limit(10) == 50_000_000
    assert Store(disk_free_limit=1.5).free_limit(10) == 15


@pytest.mark.parametrize(
    ("node", "name"), [("mine@host", "mine@host"), ("", "rabbit@"), ("mine", "mine@"), ("mine@", "mine@")]
)
def test_the_node_name_is_completed_with_the_host_name(node: str, name: str) -> None:
    full = Server(node=node).node_name
    assert full.startswith(name)
    assert full.partition("@")[2]


def test_a_deprecated_feature_without_effect_is_a_warning(tmp_path: Path) -> None:
    toml = written(tmp_path, "[deprecated_features]\npermit = { global_qos = true, ram_node_type = false }")
    (warning,) = load(toml, {}, {}).warnings
    assert warning.endswith("ram_node_type has no effect: Leveret does not have this feature")


def test_denying_statistics_is_not_a_warning(tmp_path: Path) -> None:
    toml = written(tmp_path, "[deprecated_features]\npermit = { management_metrics_collection = false }")
    assert load(toml, {}, {}).warnings == ()
