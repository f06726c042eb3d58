"""`rabbitmqadmin`: the options that both versions have, and which version is meant.

Version 1 is meant by arguments `name=value`, by `-f`, `-d`, `-S` and the like, by `export FILE` and `import FILE`, and
by columns after `list`. Anything else is version 2, which the images of RabbitMQ 4 have.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NamedTuple

#: Options with a value: of both versions, and of one.
_VALUED = {
    "-c": "config", "--config": "config", "-N": "node", "--node": "node", "-H": "host", "--host": "host",
    "-P": "port", "--port": "port", "--path-prefix": "path_prefix", "-V": "vhost", "--vhost": "vhost",
    "-u": "username", "--username": "username", "-p": "password", "--password": "password",
    "-U": "uri", "--base-uri": "uri", "-t": "timeout", "--timeout": "timeout", "--request-timeout": "timeout",
    "--tls-ca-cert-file": "ca", "--ssl-ca-cert-file": "ca", "--tls-cert-file": "certificate",
    "--tls-key-file": "key", "--ssl-cert-file": "certificate", "--ssl-key-file": "key",
}  # fmt: skip
_V1_VALUED = {
    "-f": "format", "--format": "format", "-S": "sort", "--sort": "sort", "-d": "depth", "--depth": "depth",
    "-b": "uri",
}  # fmt: skip
_V2_VALUED = {"--table-style": "style", "--table_style": "style"}
_FLAGS = {
    "-q": "quiet", "--quiet": "quiet", "-k": "insecure", "--insecure": "insecure", "--use-tls": "tls",
    "-s": "tls", "--ssl": "tls", "--ssl-insecure": "insecure", "--non-interactive": "scripted",
    "-R": "reverse", "--sort-reverse": "reverse", "-v": "verbose", "--verbose": "verbose",
    "-h": "help", "--help": "help", "--version": "version", "--disable-default-timeouts": "patient",
}  # fmt: skip
_V1_FLAGS = {"-R", "--sort-reverse", "-s", "--ssl", "--ssl-insecure"}

_ENVIRONMENT = {
    "host": "RABBITMQADMIN_TARGET_HOST", "port": "RABBITMQADMIN_TARGET_PORT", "uri": "RABBITMQADMIN_BASE_URI",
    "path_prefix": "RABBITMQADMIN_API_PATH_PREFIX", "vhost": "RABBITMQADMIN_TARGET_VHOST",
    "username": "RABBITMQADMIN_USERNAME", "password": "RABBITMQADMIN_PASSWORD",
    "style": "RABBITMQADMIN_TABLE_STYLE", "config": "RABBITMQADMIN_CONFIG_FILE_PATH",
    "node": "RABBITMQADMIN_NODE_ALIAS", "timeout": "RABBITMQADMIN_TIMEOUT",
}  # fmt: skip


class Line(NamedTuple):
    """A command line. `options`: those of `_VALUED` and `_FLAGS`. `first`: the first version is meant."""

    options: dict[str, str]
    words: list[str]
    first: bool


def main(arguments: Sequence[str]) -> int:
    """Run a command line; returns the exit code."""
    line = parsed(arguments)
    options = line.options
    if "version" in options:
        from leveret import __version__

        print(f"rabbitmqadmin, Leveret {__version__}")
        return 0
    if line.words[:1] == ["help"]:
        options["help"] = ""
        del line.words[0]
    if "help" in options or not line.words:
        return _help(line)
    problem = _wrong_option(options)
    if problem:
        print(f"error: invalid value {problem}\n\nFor more information, try '--help'.", file=sys.stderr)
        return 2
    _complete(options)
    from leveret.admin.http import Api, TlsFiles

    uri = options.get("uri") or _uri(options)
    problem = _wrong_uri(uri)
    if problem:
        print(f"Invalid base URI '{uri}': {problem}", file=sys.stderr)
        return 65
    api = Api(
        uri,
        options.get("username") or os.environ.get("RABBITMQ_DEFAULT_USER") or "guest",
        options.get("password") or os.environ.get("RABBITMQ_DEFAULT_PASS") or "guest",
        verified="insecure" not in options,
        timeout=float(options.get("timeout", "120")),
        tls=TlsFiles(options.get("ca", ""), options.get("certificate", ""), options.get("key", "")),
    )
    if line.first:
        return _first(api, line)
    from leveret.admin.command import Run
    from leveret.admin.v2 import run

    scripted = "scripted" in options or os.environ.get("RABBITMQADMIN_NON_INTERACTIVE_MODE") == "true"
    style = options.get("style", "modern").lower()
    return run(Run(api, options.get("vhost", "/"), style, scripted, "quiet" in options), line.words)


def _first(api: object, line: Line) -> int:
    from leveret.admin.http import Api
    from leveret.admin.v1 import Options, run

    assert isinstance(api, Api)
    options = line.options
    shown = Options(
        vhost=options.get("vhost", ""),
        format=options.get("format", "table"),
        sort=options.get("sort", ""),
        reverse="reverse" in options,
        depth=int(options.get("depth", "1")),
        quiet="quiet" in options,
        node=options.get("node", ""),
    )
    return run(api, shown, line.words)


def _help(line: Line) -> int:
    """Print the help of the tool, of a group, or of a command."""
    from leveret.admin.command import Failed
    from leveret.admin.usage import help_text
    from leveret.admin.v2 import COMMANDS, find

    words = [word for word in line.words if not word.startswith("-")][:2]
    asked = "help" in line.options
    try:
        command = COMMANDS[find(words)[0]] if len(words) == 2 else None
    except Failed as failed:
        print(failed.text, file=sys.stderr)
        return failed.code
    print(help_text(words, command), file=sys.stdout if asked else sys.stderr)
    return 0 if asked else 2


def _wrong_option(options: dict[str, str]) -> str:
    """Return what is wrong with a general option; empty if nothing is."""
    timeout, style = options.get("timeout", "1"), options.get("style", "modern")
    if not timeout.isdigit():
        return f"'{timeout}' for '--timeout <timeout>': invalid digit found in string"
    if int(timeout) == 0:
        return "'0' for '--timeout <timeout>': 0 is not in 1..18446744073709551615"
    port = options.get("port", "0")
    if not port.isdigit():
        return f"'{port}' for '--port <port>': invalid digit found in string"
    if int(port) > 65535:
        return f"'{port}' for '--port <port>': {port} is not in 0..=65535"
    depth, shape = options.get("depth", "1"), options.get("format", "table")
    if not depth.isdigit():
        return f"'{depth}' for '--depth <depth>': it should be a number"
    if shape not in _FORMATS:
        return f"'{shape}' for '--format <format>'\n  [possible values: {', '.join(_FORMATS)}]"
    if style.lower() not in _STYLES:
        return f"'{style}' for '--table-style <table_style>'\n  [possible values: {', '.join(_STYLES)}]"
    return ""


def _wrong_uri(uri: str) -> str:
    """Return what is wrong with the address of the API; empty if nothing is."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(uri)
        _ = parts.port
    except ValueError:
        return "invalid port number"
    return "" if parts.scheme else "relative URL without a base"


#: Those of version 1.
_FORMATS = ("raw_json", "pretty_json", "tsv", "long", "table", "kvp", "bash")

_STYLES = ("modern", "borderless", "markdown", "sharp", "ascii", "psql", "dots")


def _uri(options: dict[str, str]) -> str:
    scheme = "https" if "tls" in options else "http"
    port = options.get("port") or ("15671" if "tls" in options else "15672")
    prefix = options.get("path_prefix", "").rstrip("/")
    if not prefix.endswith("/api"):
        prefix += "/api"
    return f"{scheme}://{options.get('host', 'localhost')}:{port}{prefix}"


def _complete(options: dict[str, str]) -> None:
    """Add what the environment and the file of settings say."""
    for name, variable in (("tls", "RABBITMQADMIN_USE_TLS"), ("quiet", "RABBITMQADMIN_QUIET_MODE")):
        if os.environ.get(variable) == "true":
            options.setdefault(name, "")
    for name, variable in _ENVIRONMENT.items():
        if name not in options and os.environ.get(variable):
            options[name] = os.environ[variable]
    path = os.path.expanduser(options.get("config", "~/.rabbitmqadmin.conf"))
    if os.path.exists(path):
        _read(path, options)


def _read(path: str, options: dict[str, str]) -> None:
    """A file of settings: INI in version 1, TOML in version 2; both have sections named after nodes."""
    import configparser

    file = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        file.read(path, encoding="utf-8")
    except configparser.Error:
        return
    section = options.get("node", "default")
    names = {
        "hostname": "host", "host": "host", "port": "port", "username": "username", "password": "password",
        "vhost": "vhost", "declare_vhost": "vhost", "base_uri": "uri", "path_prefix": "path_prefix",
        "table_style": "style", "ssl": "tls", "tls": "tls", "scheme": "scheme",
        "ssl_ca_cert_file": "ca", "ssl_cert_file": "certificate", "ssl_key_file": "key",
        "ca_certificate_bundle_path": "ca", "client_certificate_file_path": "certificate",
        "client_private_key_file_path": "key",
    }  # fmt: skip
    for name, value in file.items(section) if file.has_section(section) else ():
        known, text = names.get(name), value.strip("\"'")
        if known in ("tls", "scheme"):
            if text.lower() in ("true", "https"):
                options.setdefault("tls", "")
        elif known is not None:
            options.setdefault(known, text)


def parsed(arguments: Sequence[str]) -> Line:
    """Take a command line apart."""
    first = _is_first(arguments)
    valued = {**_VALUED, **(_V1_VALUED if first else _V2_VALUED)}
    options: dict[str, str] = {}
    words: list[str] = []
    left = list(arguments)
    while left:
        word = left.pop(0)
        name, equals, value = word.partition("=")
        # Options of a command of version 2 come after it, and some have the names of general ones.
        general = (
            first
            or not words
            or name in ("--vhost", "-V", "--non-interactive", "--table-style", "-h", "--help")
        )
        if general and name in valued and (equals or left):
            options[valued[name]] = value if equals else left.pop(0)
        elif general and word[:2] in valued and len(word) > 2 and not word.startswith("--"):
            options[valued[word[:2]]] = word[2:]
        elif general and name in _FLAGS:
            options[_FLAGS[name]] = ""
        else:
            words.append(word)
    return Line(options, words, first)


def _is_first(arguments: Sequence[str]) -> bool:
    """Whether version 1 is meant."""
    from leveret.admin.v1 import LISTABLE, VERBS

    words: list[str] = []
    left = list(arguments)
    while left:
        word = left.pop(0)
        name = word.partition("=")[0]
        if not words and (name in _V1_VALUED or name in _V1_FLAGS):
            return True
        if not words and name in {**_VALUED, **_V2_VALUED}:
            if "=" not in word and left:
                left.pop(0)
        elif word.startswith("-"):
            if words and name in ("-f", "--format", "--sort", "-S", "--depth", "-d", *_V1_FLAGS):
                return True
            if words and name not in _FLAGS and "=" not in word and left and not left[0].startswith("-"):
                left.pop(0)
        else:
            words.append(word)
    if not words or words[0] not in VERBS:
        return False
    verb, rest = words[0], words[1:]
    if verb in ("export", "import"):
        return len(rest) == 1 and rest != ["definitions"]
    if verb == "list":
        return len(rest) > 1 and rest[0] in LISTABLE
    if verb == "show":
        return len(rest) > 1
    return any("=" in word for word in rest)
