"""rabbitmq.conf: listeners with TLS, the PROXY protocol, and login by certificate (docs: ssl, proxy-protocol).

RabbitMQ passes `ssl_options.*`, `management.ssl.*` and `prometheus.ssl.*` to Erlang's ssl. What Python's ssl cannot do
is refused if it would let clients in that must stay out, and is a warning otherwise.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import get_args

from leveret.rabbitmq_conf_values import Line, boolean, converted, integer, one_of, taken
from leveret.settings import ConfigError, Values
from leveret.tls_settings import TlsVersion

#: RabbitMQ's port of its HTTP API and of its metrics over TLS.
HTTPS_PORT = 15671
PROMETHEUS_HTTPS_PORT = 15691


#: What a PEM file has at least once.
_PEM = re.compile(rb"-----BEGIN [A-Z0-9 ]+-----")


def pem_file(text: str) -> str:
    """Check that a file is in PEM format, with RabbitMQ's text (rabbit.schema, validator pem_file). Raises
    `ValueError`."""
    try:
        if _PEM.search(Path(text).read_bytes()):
            return text
    except OSError:
        pass
    raise ValueError(
        "PEM file does not exist, cannot be read, or does not contain valid PEM-encoded X.509 certificate or "
        "private key data"
    )


def _file(text: str) -> str:
    """Check that a file can be read (rabbit.schema, validator file_accessible)."""
    if not os.access(text, os.R_OK):
        raise ValueError("file does not exist or cannot be read by the node")
    return text


def _depth(text: str) -> int:
    number = integer(text)
    if number > 255:
        raise ValueError(f"{number} exceeds the maximum allowed value of 255")
    if number < 0:
        raise ValueError(f"{number} is below the minimum allowed value of 0")
    return number


def _version(text: str) -> str:
    if text not in get_args(TlsVersion):
        raise ValueError(f"there is no TLS version {text}")
    return text


#: Key below `ssl_options.` and the like -> field of `Tls`, and its converter.
_OPTIONS: dict[str, tuple[str, Callable[[str], object]]] = {
    "cacertfile": ("cacertfile", pem_file),
    "certfile": ("certfile", pem_file),
    "keyfile": ("keyfile", pem_file),
    "password": ("password", str),
    "verify": ("verify", one_of("verify_peer", "verify_none")),
    "fail_if_no_peer_cert": ("fail_if_no_peer_cert", boolean),
    "depth": ("depth", _depth),
    "honor_cipher_order": ("honor_cipher_order", boolean),
    "client_renegotiation": ("client_renegotiation", boolean),
    "dhfile": ("dhfile", _file),
}

#: Keys that have no effect -> the reason.
_IGNORED = {
    "honor_ecc_order": "the order of curves is that of OpenSSL",
    "secure_renegotiate": "OpenSSL renegotiates securely or not at all",
    "reuse_sessions": "sessions are resumed as TLS clients ask for it",
    "log_alert": "failed handshakes are always logged",
    "log_level": "failed handshakes are always logged",
    "bypass_pem_cache": "files are read again when they have changed",
    "backlog": "it is 128",
    "max_connections": "the limit of the listener without TLS applies",
    "compress": "the setting of the listener without TLS applies",
    "idle_timeout": "the setting of the listener without TLS applies",
    "inactivity_timeout": "the setting of the listener without TLS applies",
    "request_timeout": "the setting of the listener without TLS applies",
    "shutdown_timeout": "connections are closed at once when the node stops",
    "max_keepalive": "the number of requests of a connection is not limited",
}

#: Keys that are refused: they would change who may connect.
_REFUSED = {
    "cert": "a certificate must be in a file: certfile",
    "key": "a private key must be in a file: keyfile",
    "dh": "parameters of Diffie-Hellman must be in a file: dhfile",
    "psk_identity": "pre-shared keys are not available",
    "crl_sources": "revocation lists are not checked",
    "cacerts": "certificates of authorities must be in a file: cacertfile",
}


def read_tls(rest: dict[str, Line], values: Values) -> None:
    """Take the keys of TLS listeners and of the PROXY protocol out of `rest`. Raises `ConfigError`."""
    _amqps(rest, values)
    _https(rest, values, "management", HTTPS_PORT)
    _https(rest, values, "prometheus", PROMETHEUS_HTTPS_PORT)
    _legacy(rest, values)


def _amqps(rest: dict[str, Line], values: Values) -> None:
    hosts: list[str] = []
    for _, line in taken(rest, "listeners.ssl"):
        address, _, text = line.text.rpartition(":")
        try:
            port = integer(text)
        except ValueError as error:
            allowed = "a port, or an IP address and a port"
            raise ConfigError(line.place, line.key, str(error), allowed) from None
        first = values.found.get("tls.port")
        if hosts and first is not None and first[0] != port:
            problem = f"differs from port {first[0]}"
            raise ConfigError(line.place, line.key, problem, "one port for all addresses")
        hosts.append(address.strip("[]") or "::")
        values.set("tls.host", list(dict.fromkeys(hosts)), line.place, line.key)
        values.set("tls.port", port, line.place, line.key)
    none = rest.pop("listeners.ssl", None)
    if none is not None:
        converted(one_of("none"), none)
        values.set("tls.port", -1, none.place, none.key)
    none = rest.pop("ssl_options", None)
    if none is not None:
        converted(one_of("none"), none)
    _options(rest, values, "ssl_options", "tls")


def _https(rest: dict[str, Line], values: Values, plugin: str, port: int) -> None:
    """`management.ssl.*`, `prometheus.ssl.*`. If there is no `.tcp.`, there is only the listener with TLS."""
    keys = [line for key, line in rest.items() if key.startswith(f"{plugin}.ssl.")]
    if not keys:
        return
    section = f"{plugin}_tls"
    values.set(f"{section}.port", port, keys[-1].place, keys[-1].key)
    line = rest.pop(f"{plugin}.ssl.port", None)
    if line is not None:
        values.set(f"{section}.port", converted(integer, line), line.place, line.key)
    line = rest.pop(f"{plugin}.ssl.ip", None)
    if line is not None:
        values.set(f"{section}.host", [line.text.strip("[]")], line.place, line.key)
    plain = "http" if plugin == "management" else "prometheus"
    if not {f"server.{plain}_port", f"server.{plain}_host"} & values.found.keys():
        values.set(f"server.{plain}_port", -1, keys[-1].place, keys[-1].key)
    _options(rest, values, f"{plugin}.ssl", section)


def _legacy(rest: dict[str, Line], values: Values) -> None:
    """`management.listener.ssl`: the names of RabbitMQ 3.6."""
    line = rest.pop("management.listener.ssl", None)
    _options(rest, values, "management.listener.ssl_opts", "management_tls")
    if line is None or not converted(boolean, line):
        return
    for field in ("port", "host"):
        plain = values.found.pop(f"server.http_{field}", None)
        if plain is not None:
            values.found[f"management_tls.{field}"] = plain
    values.found.setdefault("management_tls.port", (HTTPS_PORT, line.place, line.key))
    values.set("server.http_port", -1, line.place, line.key)


def _options(rest: dict[str, Line], values: Values, prefix: str, section: str) -> None:
    """The options of TLS below `prefix`."""
    for key in [key for key in rest if key.startswith(f"{prefix}.")]:
        option = key.removeprefix(f"{prefix}.")
        word = option.partition(".")[0]
        if option in _OPTIONS:
            field, convert = _OPTIONS[option]
            line = rest.pop(key)
            values.set(f"{section}.{field}", converted(convert, line), line.place, key)
        elif word in _REFUSED:
            raise ConfigError(rest[key].place, key, _REFUSED[word])
        elif option == "crl_check":
            _no_revocation(rest.pop(key))
        elif option in _IGNORED:
            line = rest.pop(key)
            values.warnings.append(f"{line.place}: {key} has no effect: {_IGNORED[option]}")
    for field, convert in (("versions", _version), ("ciphers", str)):
        lines = taken(rest, f"{prefix}.{field}")
        if lines:
            found = [converted(convert, line) for _, line in lines]
            values.set(f"{section}.{field}", found, lines[-1][1].place, lines[-1][1].key)


def _no_revocation(line: Line) -> None:
    if converted(one_of("true", "false", "peer", "best_effort"), line) in ("true", "peer"):
        raise ConfigError(line.place, line.key, "revocation lists are not checked", "false or best_effort")


def known_keys() -> list[str]:
    """Return the keys that have an effect; `$` stands for any word."""
    prefixes = ("ssl_options", "management.ssl", "prometheus.ssl", "management.listener.ssl_opts")
    options = [
        f"{prefix}.{option}" for prefix in prefixes for option in (*_OPTIONS, "versions.$V", "ciphers.$C")
    ]
    listeners = "listeners.ssl listeners.ssl.$NAME ssl_options management.listener.ssl"
    addresses = [f"{plugin}.ssl.{key}" for plugin in ("management", "prometheus") for key in ("ip", "port")]
    return [*listeners.split(), *addresses, *options]
