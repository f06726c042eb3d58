"""What RabbitMQ's schemas check beyond data types: validators of single values, and translations that refuse.

A validator of a key with a `$` word never runs in RabbitMQ: cuttlefish looks for the key as it is in the schema.
Translations turn several keys into one variable. Only those that can refuse a file are here, with their words.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from leveret.cuttlefish.datatypes import Converted, is_address, shown

Values = Mapping[str, Converted]

_UNIT = re.compile(r"[0-9][a-zA-Z]{1,3}\Z")
_SUFFIX = re.compile(r"(?:[kmgtp]i?b?)\Z", re.IGNORECASE)
_PEM = re.compile(rb"-----BEGIN ([^-]+)-----.+?-----END \1-----", re.DOTALL)


def _number(value: Converted) -> int:
    """Return an integer as it is; a word such as `infinity` counts as a large one."""
    return value if isinstance(value, int) else 1 << 62


def _writable(value: Converted) -> bool:
    directory = Path(str(value))  # an empty name is the current directory, in RabbitMQ as well
    return os.access(directory, os.W_OK) and directory.is_dir()


def _readable(value: Converted) -> bool:
    return os.access(str(value), os.R_OK)


def is_pem(value: Converted) -> bool:
    """Return whether a file has a PEM entry: a certificate or a key."""
    try:
        return _PEM.search(Path(str(value)).read_bytes()) is not None
    except OSError:
        return False


def _is_amount(value: Converted) -> bool:
    text = str(value).rstrip(" ")
    return isinstance(value, int) or (_UNIT.search(text) is not None and _SUFFIX.search(text) is not None)


def _is_pattern(value: Converted) -> bool:
    """Erlang's regular expressions are PCRE2; what is not one is refused again where the pattern is used."""
    return value != ""


#: Validator -> its description, which RabbitMQ writes after `KEY invalid, `, and its check.
VALIDATORS: dict[str, tuple[str, Callable[[Converted], bool]]] = {
    "mirroring_sync_batch_size": (
        "Batch size should be greater than 0 and less than 1M",
        lambda value: 0 < _number(value) <= 1_000_000,
    ),
    "max_message_size": (
        "Max message size should be between 0 and 512MB",
        lambda value: 0 < _number(value) <= 536_870_912,
    ),
    "port": ("Invalid port number", lambda value: 0 < _number(value) < 65535),
    "dir_writable": ("Directory must be writable", _writable),
    "file_accessible": ("file does not exist or cannot be read by the node", _readable),
    "pem_file": (
        "PEM file does not exist, cannot be read, or does not contain valid PEM-encoded X.509 certificate or "
        "private key data",
        is_pem,
    ),
    "is_ip": ("value should be a valid IP address", lambda value: is_address(str(value))),
    "non_negative_integer": ("number should be greater or equal to zero", lambda value: _number(value) >= 0),
    "non_zero_positive_integer": (
        "number should be greater or equal to one",
        lambda value: _number(value) >= 1,
    ),
    "valid_regex": ("string must be a valid regular expression", _is_pattern),
    "is_supported_information_unit": (
        "supported formats: 500MB, 500MiB, 10GB, 10GiB, 2TB, 2TiB, 10000000000",
        _is_amount,
    ),
    "https_uri": (
        "According to the JWT Specification, Key Server URL must be https.",
        lambda value: str(value).split(":", 1)[0] == "https",
    ),
    "uri": ("URI string (no additional validation)", lambda value: True),
    "connection_close_timeout": ("timeout must not exceed 5000ms", lambda value: _number(value) <= 5000),
}

#: Key -> the variable that its translation sets, and the words for a number below 1.
_POSITIVE = {
    "socket_writer.gc_threshold": ("rabbit.writer_gc_threshold", "should be a non-negative integer"),
    "channel_max_per_node": (
        "rabbit.channel_max_per_node",
        "should be positive integer or 'infinity'",
    ),
    "consumer_max_per_channel": (
        "rabbit.consumer_max_per_channel",
        "should be positive integer or 'infinity'",
    ),
    "channel_tx_message_max": (
        "rabbit.channel_tx_message_max",
        "should be positive integer or 'infinity'",
    ),
    "cluster_queue_limit": ("rabbit.cluster_queue_limit", "should be positive integer or 'infinity'"),
    "cluster_formation.discovery_retry_limit": (
        "rabbit.cluster_formation.discovery_retry_limit",
        "should be positive integer or 'unlimited'",
    ),
    "log.error_logger_format_depth": (
        "kernel.error_logger_format_depth",
        "should be positive integer or 'unlimited'",
    ),
}

#: Key -> the key that must be there too, and the variable that their translation sets.
_NEEDED = {
    "cluster_partition_handling.pause_if_all_down.recover": (
        "cluster_partition_handling",
        "rabbit.cluster_partition_handling",
    ),
    "log.syslog.ip": ("log.syslog", "syslog.dest_host"),
    "log.syslog.host": ("log.syslog", "syslog.dest_host"),
    "auth_ldap.dn_lookup_bind.user_dn": (
        "auth_ldap.dn_lookup_bind.password",
        "rabbitmq_auth_backend_ldap.dn_lookup_bind",
    ),
    "auth_ldap.dn_lookup_bind.password": (
        "auth_ldap.dn_lookup_bind.user_dn",
        "rabbitmq_auth_backend_ldap.dn_lookup_bind",
    ),
    "auth_ldap.other_bind.user_dn": (
        "auth_ldap.other_bind.password",
        "rabbitmq_auth_backend_ldap.other_bind",
    ),
    "auth_ldap.other_bind.password": (
        "auth_ldap.other_bind.user_dn",
        "rabbitmq_auth_backend_ldap.other_bind",
    ),
}

_PERMISSIONS = tuple(f"default_permissions.{kind}" for kind in ("configure", "read", "write"))
_TIME_FORMATS = ("rfc3339_space", "rfc3339_T", "epoch_usecs", "epoch_secs", "lager_default")
_PROVIDER = re.compile(
    r"auth_oauth2\.oauth_providers\.[^.]+\."
    r"(?P<name>issuer|token_endpoint|jwks_uri|end_session_endpoint|authorization_endpoint)"
)
_PROVIDER_FILE = re.compile(r"auth_oauth2\.oauth_providers\.[^.]+\.https\.cacertfile")
_SIGNING_KEY = re.compile(r"auth_oauth2\.(?P<provider>oauth_providers\.[^.]+\.)?signing_keys\.[^.]+")


_INTERCEPTORS = (
    "message_interceptors.incoming.set_header_routing_node.overwrite",
    "message_interceptors.incoming.set_header_timestamp.overwrite",
    "message_interceptors.outgoing.timestamp.enabled",
    "mqtt.message_interceptors.incoming.set_client_id_annotation.enabled",
)
#: What Erlang/OTP 29 has with OpenSSL 3.
_CIPHERS = """
    aes_128_cbc aes_128_cfb128 aes_128_cfb8 aes_128_ctr aes_128_ofb aes_192_cbc aes_192_cfb128 aes_192_cfb8
    aes_192_ctr aes_192_ofb aes_256_cbc aes_256_cfb128 aes_256_cfb8 aes_256_ctr aes_256_ofb aes_cbc aes_cfb128
    aes_cfb8 aes_ctr blowfish_cbc blowfish_cfb64 blowfish_ofb64 chacha20 des_cbc des_cfb des_ede3_cbc
    des_ede3_cfb rc2_cbc rc4 sm4_cbc sm4_cfb sm4_ctr sm4_ofb"""
_HASHES = """
    blake2b blake2s md4 md5 ripemd160 sha sha224 sha256 sha384 sha3_224 sha3_256 sha3_384 sha3_512 sha512
    sha512_224 sha512_256 shake128 shake256 sm3"""


def invalid(target: str, words: str) -> str:
    """Return RabbitMQ's text for a translation that refuses. `target`: the variable that it sets."""
    return f"Translation for '{target}' found invalid configuration: {words}"


def translations(values: Values) -> Iterator[tuple[str, str]]:
    """Yield a key and what is wrong with it, for all keys whose values are right one by one."""
    for check in (
        _numbers,
        _needed,
        _permissions,
        _partitions,
        _formatters,
        _revocation,
        _oauth2,
        _withdrawn,
        _interceptors,
        _obfuscation,
    ):
        yield from check(values)


def _numbers(values: Values) -> Iterator[tuple[str, str]]:
    for key, (target, words) in _POSITIVE.items():
        if key in values and _number(values[key]) < 1:
            yield key, invalid(target, words)


def _needed(values: Values) -> Iterator[tuple[str, str]]:
    for key in values:
        needed, target = _NEEDED.get(key, ("", ""))
        if key.startswith("cluster_partition_handling.pause_if_all_down.nodes."):
            needed, target = _NEEDED["cluster_partition_handling.pause_if_all_down.recover"]
        if needed and needed not in values:
            yield key, f"Translation for '{target}' expected to find setting '{needed}' but was missing"


def _permissions(values: Values) -> Iterator[tuple[str, str]]:
    given = [key for key in _PERMISSIONS if key in values]
    if given and len(given) < len(_PERMISSIONS):
        # RabbitMQ needs all three, and says no more than this.
        yield given[0], "Error running translation for rabbit.default_permissions, [error, badarg]"


def _partitions(values: Values) -> Iterator[tuple[str, str]]:
    key = "cluster_partition_handling"
    if values.get(key) == "pause_if_all_down" and not any(
        name.startswith(f"{key}.pause_if_all_down.nodes.") for name in values
    ):
        yield key, invalid("rabbit.cluster_partition_handling", "Nodes required for pause_if_all_down")


def _formatters(values: Values) -> Iterator[tuple[str, str]]:
    for output in ("exchange", "syslog", "file", "console"):
        key = f"log.{output}.formatter.time_format"
        text = str(values.get(key, _TIME_FORMATS[0]))
        if text not in _TIME_FORMATS:
            reason = f"[throw, {{configuration_translation_failure, {{case_clause, {shown(text)}}}}}]"
            yield key, f"Error running translation for rabbit.log.{output}.formatter, {reason}"


def _revocation(values: Values) -> Iterator[tuple[str, str]]:
    target = "rabbit.ssl_options.crl_cache"
    for key in values:
        match = re.fullmatch(r"(ssl_options\.crl_sources\.[^.]+)\.(timeout|path)", key)
        if match is None:
            continue
        kind = values.get(match[1])
        if kind is None:
            yield key, f"Error running translation for {target}, [error, {{case_clause, undefined}}]"
        elif (kind, match[2]) == ("http", "path"):
            yield key, invalid(target, "http source only supports 'timeout' option")
        elif (kind, match[2]) == ("dir", "timeout"):
            yield key, invalid(target, "dir source only supports 'path' option")


def _oauth2(values: Values) -> Iterator[tuple[str, str]]:
    providers = "rabbitmq_auth_backend_oauth2.oauth_providers"
    for key, value in values.items():
        text = shown(str(value))
        if (match := _PROVIDER.fullmatch(key)) and not str(value).startswith("https:"):
            words = f"Invalid attribute ({match['name']}) value: uri {text} must be a valid https uri"
            yield key, invalid(providers, words)
        elif _PROVIDER_FILE.fullmatch(key) and not is_pem(value):
            words = (
                f"Invalid attribute (cacertfile) value: file {text} does not exist, cannot be read by the node, "
                "or is not a valid X509 certificate"
            )
            yield key, invalid(providers, words)
        elif (match := _SIGNING_KEY.fullmatch(key)) and not _readable(value):
            target = (
                providers if match["provider"] else "rabbitmq_auth_backend_oauth2.key_config.signing_keys"
            )
            name = f"<<{shown(str(value)) if value else ''}>>" if match["provider"] else text
            yield key, invalid(target, f"File {name} does not exist or cannot be read by the node")


def _withdrawn(values: Values) -> Iterator[tuple[str, str]]:
    """Values and keys of older versions."""
    key = "mqtt.subscription_ttl"
    if key in values:
        words = (
            "Since 3.13 mqtt.subscription_ttl (in milliseconds) is unsupported. "
            "Use mqtt.max_session_expiry_interval_seconds (in seconds) instead."
        )
        yield key, invalid("rabbitmq_mqtt.subscription_ttl", words)
    key = "mqtt.max_session_expiry_interval_seconds"
    if key in values and _number(values[key]) < 0:
        yield key, invalid(f"rabbitmq_{key}", "negative integer not allowed")
    key = "classic_queue.default_version"
    if values.get(key) == 1:
        yield (
            key,
            invalid("rabbit.classic_queue_default_version", "Classic queues v1 are no longer supported"),
        )


def _interceptors(values: Values) -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        prefix, found, _ = key.partition("message_interceptors.")
        if found and prefix in ("", "mqtt.") and key not in _INTERCEPTORS:
            words = ",".join(f'"{word}"' for word in key.split("."))
            target = f"rabbitmq_{prefix}" if prefix else "rabbit."
            shown_value = str(value).lower()
            yield (
                key,
                invalid(f"{target}message_interceptors", f"{{[{words}],{shown_value}}} is invalid"),
            )


def _obfuscation(values: Values) -> Iterator[tuple[str, str]]:
    for kind, known in (("cipher", _CIPHERS), ("hash", _HASHES)):
        key = f"credentials_obfuscation.{kind}"
        if key in values and values[key] not in known.split():
            yield key, invalid(key, f"Unsupported {kind}")
