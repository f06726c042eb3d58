"""The environment: RabbitMQ's variables, those of its container images, and LEVERET_<SECTION>_<FIELD>.

RABBITMQ_* have the meaning that they have in RabbitMQ and its images (docker-library/rabbitmq, bitnami). Those that
RabbitMQ knows and that have no effect here are warnings. Unknown names are ignored, as in RabbitMQ: Kubernetes sets
RABBITMQ_SERVICE_HOST and the like. LEVERET_* override RABBITMQ_*.
"""

from __future__ import annotations

import glob
import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import get_args

from leveret.erlang_terms import TermError, parse
from leveret.plugin_names import AVAILABLE, NAMES, absent, instead, needed_by
from leveret.settings import Category, ConfigError, LogLevel, Values, names

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

#: Variables that are read elsewhere (those of tests and benchmarks, too), and what Kubernetes and Docker set in each
#: container for a service or a link that is called `leveret` or `leveret-...`.
_ELSEWHERE = re.compile(
    r"LEVERET_(CONFIG|URL|PURE|ANNOTATE|CHECK|RUN_DIR|PYTHON|SANITIZE|FAULTS|CONTAINER|(TEST|BENCH|REFEREE)_\w+)"
    r"|LEVERET_(\w+_)?(SERVICE_(HOST|PORT(_\w+)?)|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?|ENV_\w+)"
)

#: Reason -> variables of RabbitMQ without effect.
_UNUSED = {
    "Leveret does not use Erlang": """
        RABBITMQ_ERLANG_COOKIE RABBITMQ_DIST_PORT RABBITMQ_USE_LONGNAME RABBITMQ_CTL_ERL_ARGS
        RABBITMQ_SERVER_START_ARGS RABBITMQ_SERVER_ERL_ARGS RABBITMQ_MAX_OPEN_FILES
        RABBITMQ_IO_THREAD_POOL_SIZE
        RABBITMQ_MAX_NUMBER_OF_PROCESSES RABBITMQ_MAX_NUMBER_OF_ATOMS RABBITMQ_DISTRIBUTION_BUFFER_SIZE""",
    "there are no plugins to load": """
        RABBITMQ_PLUGINS_DIR RABBITMQ_PLUGINS_EXPAND_DIR RABBITMQ_COMMUNITY_PLUGINS""",
    "there is no such log": "RABBITMQ_UPGRADE_LOG",
    "all data is in the data directory": "RABBITMQ_QUORUM_DIR RABBITMQ_STREAM_DIR",
    "it is not supported": """
        RABBITMQ_FEATURE_FLAGS RABBITMQ_FEATURE_FLAGS_FILE RABBITMQ_PRODUCT_NAME RABBITMQ_PRODUCT_VERSION
        RABBITMQ_MOTD_FILE RABBITMQ_PID_FILE RABBITMQ_KEEP_PID_FILE_ON_EXIT""",
}

#: The plugin that can be switched on by a setting.
EVENT_EXCHANGE = "rabbitmq_event_exchange"

#: What they set LEVERET_PORT to, or LEVERET_SERVER_PORT for a service that is called `leveret-server`.
_SERVICE = re.compile(r"(tcp|udp|sctp)://")

_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")

_TLS = re.compile(
    r"RABBITMQ_(MANAGEMENT_)?SSL_(CACERTFILE|CERTFILE|KEYFILE|DEPTH|FAIL_IF_NO_PEER_CERT|VERIFY)"
)


def conf_files(environ: Mapping[str, str], *, older: bool = False) -> Values:
    """Return the settings of the files that RABBITMQ_CONFIG_FILE, RABBITMQ_CONFIG_FILES and
    RABBITMQ_ADVANCED_CONFIG_FILE name, and of Erlang's arguments.

    The first names one file, with or without its suffix: `.conf`, or `.config` for Erlang terms. The second is a
    directory or a pattern, whose files are read after it, sorted by name. `older`: as for `rabbitmq_conf.read`.
    Raises `ConfigError`.
    """
    paths: list[Path] = []
    advanced: list[Path] = []
    warnings: list[str] = []
    named = environ.get("RABBITMQ_CONFIG_FILE")
    if named:
        main = _main_file(named)
        if main is None:
            # RabbitMQ starts with its defaults and logs that there is no file.
            warnings.append(f"RABBITMQ_CONFIG_FILE: {named}: no such file")
        else:
            (advanced if _in_terms(main) else paths).append(main)
    several = environ.get("RABBITMQ_CONFIG_FILES")
    if several:
        pattern = Path(several)
        pattern = pattern / "*" if pattern.is_dir() else pattern
        found = map(Path, glob.glob(str(pattern), include_hidden=True))  # as Erlang's patterns
        paths += sorted(path for path in found if path.is_file())
    named = environ.get("RABBITMQ_ADVANCED_CONFIG_FILE")
    if named and not advanced:
        advanced += [path for path in (Path(named), Path(f"{named}.config")) if path.is_file()][:1]
    arguments = environ.get("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "")
    if not (paths or advanced or arguments):
        values = Values()
    else:
        from leveret import rabbitmq_conf  # imported only if it is needed

        values = rabbitmq_conf.read(paths, environ, advanced=advanced, arguments=arguments, older=older)
    values.warnings += warnings
    return values


def _main_file(named: str) -> Path | None:
    """Return the file of that name, or of that name with a suffix, or None; the older format first, as RabbitMQ."""
    for path in (Path(named), Path(f"{named}.config"), Path(f"{named}.conf")):
        if path.is_file():
            return path
    return None


def _in_terms(path: Path) -> bool:
    """Return whether a file is in Erlang terms; without a known suffix its text decides."""
    if path.suffix in (".conf", ".config"):
        return path.suffix == ".config"
    try:
        parse(path.read_text("utf-8-sig"))
    except (TermError, OSError, UnicodeDecodeError):
        return False
    return True


def completed(environ: Mapping[str, str]) -> tuple[Mapping[str, str], list[str]]:
    """Return the environment with the variables of rabbitmq-env.conf, and warnings about its other lines.

    RABBITMQ_CONF_ENV_FILE names the file, a shell script that RabbitMQ runs. Here only assignments are read; names are
    written without RABBITMQ_. Variables of the environment itself override it.
    """
    named = environ.get("RABBITMQ_CONF_ENV_FILE", "")
    if not named or not Path(named).is_file():
        return environ, []
    found: dict[str, str] = {}
    warnings: list[str] = []
    try:
        lines = Path(named).read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(named, "", f"cannot be read: {error}") from None
    for number, line in enumerate(lines, 1):
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            raise ConfigError(f"{named}:{number}", "", f"is no line of a shell script: {error}") from None
        assignments = words[1:] if words[:1] == ["export"] else words
        for word in assignments:
            match = _ASSIGNMENT.fullmatch(word)
            if match is None or "$(" in word or "`" in word:
                warnings.append(f"{named}:{number}: {line.strip()} has no effect: not an assignment")
                break
            value = _VARIABLE.sub(lambda inner: environ.get(inner[1] or inner[2], ""), match[2])
            found[f"RABBITMQ_{match[1].removeprefix('RABBITMQ_')}"] = value
    return found | dict(environ), warnings


def read(environ: Mapping[str, str], *, listening: bool = False) -> Values:
    """Return the settings of the variables themselves. `listening`: rabbitmq.conf has listeners, which override the
    variables. Raises `ConfigError`."""
    values = Values()
    for variable, setting in _FILES.items():
        if environ.get(variable):
            try:
                secret = Path(environ[variable]).read_text("utf-8").rstrip("\r\n")
            except OSError as error:
                raise ConfigError("environment", variable, f"cannot be read: {error}") from None
            values.set_text(setting, secret, "environment", variable)
    for variable, setting in _RABBITMQ.items():
        if environ.get(variable) and listening and setting in ("server.port", "server.host"):
            values.warnings.append(f"environment: {variable} has no effect: rabbitmq.conf has listeners.tcp")
        elif environ.get(variable):
            values.set_text(setting, environ[variable], "environment", variable)
    _logs(environ, values)
    _plugins(environ, values)
    for variable in environ:
        if _TLS.fullmatch(variable):
            raise ConfigError(
                "environment", variable, "is set but deprecated", "ssl_options in rabbitmq.conf"
            )
    for reason, variables in _UNUSED.items():
        for variable in variables.split():
            if environ.get(variable):
                values.warnings.append(f"environment: {variable} has no effect: {reason}")
    _leveret(environ, values)
    return values


def _logs(environ: Mapping[str, str], values: Values) -> None:
    """RABBITMQ_LOGS (`-`, `-stderr` or a file), RABBITMQ_LOG_BASE (the directory of the file), and RABBITMQ_LOG, which
    is `debug` or `warning,connection=debug,+color`."""
    output = environ.get("RABBITMQ_LOGS", "")
    if output in ("-", "-stderr"):
        stream = "stdout" if output == "-" else "stderr"
        values.set("log.console", True, "environment", "RABBITMQ_LOGS")
        values.set("log.console_stream", stream, "environment", "RABBITMQ_LOGS")
    elif output:
        values.set("log.file", output, "environment", "RABBITMQ_LOGS")
    if environ.get("RABBITMQ_LOG_BASE"):
        values.set("log.dir", environ["RABBITMQ_LOG_BASE"], "environment", "RABBITMQ_LOG_BASE")
    for word in filter(None, environ.get("RABBITMQ_LOG", "").split(",")):
        category, equals, level = word.partition("=")
        if equals and category not in get_args(Category):
            values.warnings.append(f"environment: RABBITMQ_LOG: {word} has no effect: no such category")
        elif not equals and word[0] in "+-":
            values.warnings.append(f"environment: RABBITMQ_LOG: {word} has no effect: logs are plain text")
        elif (level if equals else word) not in get_args(LogLevel):
            values.warnings.append(f"environment: RABBITMQ_LOG: {word} has no effect: no such level")
        elif equals:
            values.merge("log.categories", {category: level}, "environment", "RABBITMQ_LOG")
        else:
            values.set("log.level", word, "environment", "RABBITMQ_LOG")


def _plugins(environ: Mapping[str, str], values: Values) -> None:
    """The plugins that are enabled: RABBITMQ_ENABLED_PLUGINS (names, or ALL), otherwise the Erlang list in the file
    that RABBITMQ_ENABLED_PLUGINS_FILE names; bitnami's RABBITMQ_PLUGINS names more.

    What is not enabled is off, as in RabbitMQ, unless Leveret's own variables set its port. Without any of these
    variables the settings say what is on. Raises `ConfigError`.
    """
    named, path = (
        environ.get("RABBITMQ_ENABLED_PLUGINS", ""),
        environ.get("RABBITMQ_ENABLED_PLUGINS_FILE", ""),
    )
    more = environ.get("RABBITMQ_PLUGINS", "")
    if not (named or path or more):
        return
    source = (
        "RABBITMQ_ENABLED_PLUGINS"
        if named
        else "RABBITMQ_ENABLED_PLUGINS_FILE"
        if path
        else "RABBITMQ_PLUGINS"
    )
    if named:
        listed = list(AVAILABLE) if named == "ALL" else re.findall(r"\w+", named)
    else:
        listed = enabled_plugins(Path(path)) if path else []
        values.set("plugins.enabled_file", path, "environment", source)
        if path and not Path(path).is_file():
            values.warnings.append(f"environment: {source}: {path}: no such file, so no plugins are enabled")
    listed += re.findall(r"\w+", more)
    for setting, plugin, variable in (
        ("plugins.management", "rabbitmq_management", "LEVERET_SERVER_HTTP_PORT"),
        ("plugins.prometheus", "rabbitmq_prometheus", "LEVERET_SERVER_PROMETHEUS_PORT"),
    ):
        on = plugin in listed or any(plugin in needed_by(name) for name in listed) or variable in environ
        values.set(setting, on, "environment", source)
    if EVENT_EXCHANGE in listed:
        values.set("plugins.event_exchange", True, "environment", source)
    values.set("plugins.enabled", [name for name in listed if name in NAMES], "environment", source)
    values.warnings += [f"environment: {source}: {instead(name)}" for name in absent(listed)]
    unknown = [name for name in listed if name not in NAMES]
    values.warnings += [
        f"environment: {source}: {name} is not a plugin that Leveret knows" for name in unknown
    ]


def enabled_plugins(path: Path) -> list[str]:
    """Return the names in a file enabled_plugins; none if there is no file. Raises `ConfigError`."""
    if not path.is_file():
        return []
    try:
        text = path.read_text("utf-8-sig")
        names = parse(text) if text.strip() else []
    except (TermError, OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), "", f"cannot be read: {error}", "[rabbitmq_management].") from None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigError(str(path), "", "is not a list of plugins", "[rabbitmq_management].")
    return [str(name) for name in names]


def _leveret(environ: Mapping[str, str], values: Values) -> None:
    settings = {f"LEVERET_{name.replace('.', '_')}".upper(): name for name in names()} | _SHORT
    for variable, text in environ.items():
        setting = settings.get(variable)
        if variable.endswith("_PORT") and _SERVICE.match(text):
            continue
        if setting is not None:
            values.set_text(setting, text, "environment", variable)
        elif variable.startswith("LEVERET_") and not _ELSEWHERE.fullmatch(variable):
            raise ConfigError("environment", variable, "unknown setting", _alike(variable, settings))


def _alike(variable: str, settings: Iterable[str]) -> str:
    """Return the variables with similar names, or what all names are like."""
    from difflib import get_close_matches

    return (
        ", ".join(get_close_matches(variable, settings, 3, 0.75))
        or "LEVERET_SECTION_FIELD: LEVERET_SERVER_PORT"
    )
