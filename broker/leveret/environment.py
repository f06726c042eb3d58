"""The environment: RabbitMQ's variables, those of its container images, and LEVERET_<SECTION>_<FIELD>.

RABBITMQ_* have the meaning that they have in RabbitMQ and its images (docker-library/rabbitmq, bitnami). Those that
RabbitMQ knows and that have no effect here are warnings. Unknown names are ignored, as in RabbitMQ: Kubernetes sets
RABBITMQ_SERVICE_HOST and the like. LEVERET_* override RABBITMQ_*.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from leveret import rabbitmq_conf
from leveret.settings import Category, ConfigError, Values, names

#: RabbitMQ's variable -> setting. Of two for one setting the later one counts, so bitnami's names come first.
_RABBITMQ = {
    "RABBITMQ_USERNAME": "access.default_user",
    "RABBITMQ_PASSWORD": "access.default_pass",
    "RABBITMQ_VHOST": "access.default_vhost",
    "RABBITMQ_NODE_PORT_NUMBER": "server.port",
    "RABBITMQ_MANAGEMENT_PORT_NUMBER": "server.http_port",
    "RABBITMQ_NODE_NAME": "server.node",
    "RABBITMQ_DEFAULT_USER": "access.default_user",
    "RABBITMQ_DEFAULT_PASS": "access.default_pass",
    "RABBITMQ_DEFAULT_VHOST": "access.default_vhost",
    "RABBITMQ_NODE_PORT": "server.port",
    "RABBITMQ_NODE_IP_ADDRESS": "server.host",
    "RABBITMQ_NODENAME": "server.node",
    "RABBITMQ_MNESIA_BASE": "store.data_dir",
    "RABBITMQ_MNESIA_DIR": "store.data_dir",
    "RABBITMQ_VM_MEMORY_HIGH_WATERMARK": "memory.high_watermark",
}

#: Variable that names a file -> setting that is in it (container secrets; in RabbitMQ's images until 3.8).
_FILES = {
    "RABBITMQ_DEFAULT_USER_FILE": "access.default_user",
    "RABBITMQ_DEFAULT_PASS_FILE": "access.default_pass",
}

#: Leveret's short names -> setting.
_SHORT = {"LEVERET_PROFILE": "profile.version", "LEVERET_STORE": "store.engine"}

#: Leveret's variables that are read elsewhere.
_ELSEWHERE = {"LEVERET_CONFIG", "LEVERET_PURE", "LEVERET_ANNOTATE", "LEVERET_CHECK"}

#: Reason -> variables of RabbitMQ without effect.
_UNUSED = {
    "Leveret does not use Erlang": """
        RABBITMQ_ERLANG_COOKIE RABBITMQ_DIST_PORT RABBITMQ_USE_LONGNAME RABBITMQ_CTL_ERL_ARGS
        RABBITMQ_SERVER_START_ARGS RABBITMQ_SERVER_ERL_ARGS RABBITMQ_MAX_OPEN_FILES
        RABBITMQ_IO_THREAD_POOL_SIZE
        RABBITMQ_MAX_NUMBER_OF_PROCESSES RABBITMQ_MAX_NUMBER_OF_ATOMS RABBITMQ_DISTRIBUTION_BUFFER_SIZE""",
    "there are no plugins to load": """
        RABBITMQ_PLUGINS_DIR RABBITMQ_PLUGINS_EXPAND_DIR RABBITMQ_COMMUNITY_PLUGINS""",
    "logs go to standard output": "RABBITMQ_LOG_BASE RABBITMQ_UPGRADE_LOG",
    "all data is in the data directory": "RABBITMQ_QUORUM_DIR RABBITMQ_STREAM_DIR",
    "it is not supported": """
        RABBITMQ_FEATURE_FLAGS RABBITMQ_FEATURE_FLAGS_FILE RABBITMQ_PRODUCT_NAME RABBITMQ_PRODUCT_VERSION
        RABBITMQ_MOTD_FILE RABBITMQ_PID_FILE RABBITMQ_KEEP_PID_FILE_ON_EXIT RABBITMQ_CONF_ENV_FILE""",
}

#: The plugin that can be switched on by a setting.
EVENT_EXCHANGE = "rabbitmq_event_exchange"

#: RabbitMQ's plugins that are part of the broker.
_BUILT_IN = {
    "rabbitmq_management",
    "rabbitmq_management_agent",
    "rabbitmq_web_dispatch",
    "rabbitmq_prometheus",
    "rabbitmq_consistent_hash_exchange",
    "rabbitmq_random_exchange",
    "rabbitmq_recent_history_exchange",
    "rabbitmq_sharding",
    "rabbitmq_delayed_message_exchange",
}

_TLS = re.compile(
    r"RABBITMQ_(MANAGEMENT_)?SSL_(CACERTFILE|CERTFILE|KEYFILE|DEPTH|FAIL_IF_NO_PEER_CERT|VERIFY)"
)


def conf_files(environ: Mapping[str, str]) -> Values:
    """Return the settings of the rabbitmq.conf files that RABBITMQ_CONFIG_FILE and RABBITMQ_CONFIG_FILES name.

    The first names one file, with or without `.conf`; the second a directory or a pattern, whose files are read after
    it, sorted by name. Raises `ConfigError`.
    """
    paths: list[Path] = []
    warnings: list[str] = []
    named = environ.get("RABBITMQ_CONFIG_FILE")
    if named:
        path = _existing(named)
        if path is None:
            # RabbitMQ starts with its defaults and logs that there is no file.
            warnings.append(f"RABBITMQ_CONFIG_FILE: {named}: no such file")
        else:
            paths.append(path)
    several = environ.get("RABBITMQ_CONFIG_FILES")
    if several:
        pattern = Path(several)
        found = pattern.glob("*.conf") if pattern.is_dir() else pattern.parent.glob(pattern.name)
        paths += sorted(found)
    advanced = environ.get("RABBITMQ_ADVANCED_CONFIG_FILE")
    if advanced and _existing(advanced, ".config") is not None:
        raise ConfigError("environment", "RABBITMQ_ADVANCED_CONFIG_FILE", _ERLANG_TERMS, "rabbitmq.conf")
    values = rabbitmq_conf.read(paths, environ)
    values.warnings += warnings
    return values


_ERLANG_TERMS = "configuration in Erlang terms is not supported"


def _existing(named: str, suffix: str = ".conf") -> Path | None:
    """Return the file of that name, or of that name with the suffix, or None. Raises `ConfigError`."""
    for path in (Path(named), Path(named + suffix)):
        if path.is_file():
            if path.suffix == ".config" and suffix == ".conf":
                raise ConfigError("environment", "RABBITMQ_CONFIG_FILE", _ERLANG_TERMS, "rabbitmq.conf")
            return path
    return None


def read(environ: Mapping[str, str]) -> Values:
    """Return the settings of the variables themselves. Raises `ConfigError`."""
    values = Values()
    for variable, setting in _FILES.items():
        if environ.get(variable):
            try:
                secret = Path(environ[variable]).read_text("utf-8").rstrip("\r\n")
            except OSError as error:
                raise ConfigError("environment", variable, f"cannot be read: {error}") from None
            values.set_text(setting, secret, "environment", variable)
    for variable, setting in _RABBITMQ.items():
        if environ.get(variable):
            values.set_text(setting, environ[variable], "environment", variable)
    _logs(environ, values)
    _plugins(environ, values)
    _erlang_arguments(environ.get("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", ""), values)
    for variable in environ:
        if _TLS.fullmatch(variable):
            raise ConfigError("environment", variable, "TLS is not available")
    for reason, variables in _UNUSED.items():
        for variable in variables.split():
            if environ.get(variable):
                values.warnings.append(f"environment: {variable} has no effect: {reason}")
    _leveret(environ, values)
    return values


def _logs(environ: Mapping[str, str], values: Values) -> None:
    """RABBITMQ_LOGS (the destination) and RABBITMQ_LOG (`debug`, `warning,connection=debug,+color`)."""
    if environ.get("RABBITMQ_LOGS", "-") not in ("-", ""):
        values.warnings.append("environment: RABBITMQ_LOGS has no effect: logs go to standard output")
    for word in filter(None, environ.get("RABBITMQ_LOG", "").split(",")):
        category, equals, level = word.partition("=")
        if equals and category not in get_args(Category):
            values.warnings.append(f"environment: RABBITMQ_LOG: {word} has no effect: no such category")
        elif equals:
            values.merge("log.categories", {category: level}, "environment", "RABBITMQ_LOG")
        elif word[0] in "+-":
            values.warnings.append(f"environment: RABBITMQ_LOG: {word} has no effect: logs are plain text")
        else:
            values.set("log.level", word, "environment", "RABBITMQ_LOG")


def _plugins(environ: Mapping[str, str], values: Values) -> None:
    """RABBITMQ_ENABLED_PLUGINS and bitnami's RABBITMQ_PLUGINS (names), RABBITMQ_ENABLED_PLUGINS_FILE (an Erlang list of
    them). Plugins that are neither known nor part of the broker are warnings."""
    for variable in ("RABBITMQ_PLUGINS", "RABBITMQ_ENABLED_PLUGINS", "RABBITMQ_ENABLED_PLUGINS_FILE"):
        named = environ.get(variable, "")
        if variable.endswith("_FILE") and named:
            try:
                named = re.sub("%.*", "", Path(named).read_text("utf-8"))
            except (OSError, UnicodeDecodeError) as error:
                values.warnings.append(f"environment: {variable}: {named} cannot be read: {error}")
                continue
        for name in re.findall(r"\w+", named):
            if name == EVENT_EXCHANGE:
                values.set("plugins.event_exchange", True, "environment", variable)
            elif name not in _BUILT_IN:
                values.warnings.append(f"environment: {variable}: {name} is not available")


def _erlang_arguments(text: str, values: Values) -> None:
    """`-rabbit KEY VALUE` on Erlang's command line, where VALUE is a number, a string, `[5672]` or `[]`."""
    place = "environment: RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"
    words = text.split()
    while words:
        if len(words) < 3 or words[0] != "-rabbit" or not _erlang_setting(words[1], words[2], place, values):
            values.warnings.append(f"{place}: {' '.join(words)} has no effect")
            return
        words = words[3:]


def _erlang_setting(key: str, value: str, place: str, values: Values) -> bool:
    plain = re.fullmatch(r'(?:<<)?"([^"]*)"(?:>>)?|(\d+(?:\.\d+)?)', value)
    if key == "tcp_listeners" and (port := re.fullmatch(r"\[(\d+)\]", value)):
        line = rabbitmq_conf.Line("listeners.tcp.default", port[1], place)
    elif key == "loopback_users" and value == "[]":
        line = rabbitmq_conf.Line("loopback_users", "none", place)
    elif plain is not None and key in rabbitmq_conf.known_keys():
        line = rabbitmq_conf.Line(key, plain[1] or plain[2], place)
    else:
        return False
    rabbitmq_conf.interpret({line.key: line}, values)
    return True


def _leveret(environ: Mapping[str, str], values: Values) -> None:
    settings = {f"LEVERET_{name.replace('.', '_')}".upper(): name for name in names()} | _SHORT
    for variable, text in environ.items():
        setting = settings.get(variable)
        if setting is not None:
            values.set_text(setting, text, "environment", variable)
        elif variable.startswith("LEVERET_") and variable not in _ELSEWHERE:
            values.warnings.append(f"environment: {variable} is not a setting")
