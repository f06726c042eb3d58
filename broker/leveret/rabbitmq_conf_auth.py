"""rabbitmq.conf: authentication backends, their order and their settings (docs: access-control, oauth2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from leveret.auth_settings import BACKENDS, UNAVAILABLE_BACKENDS, is_inline
from leveret.cuttlefish.schema import words_of
from leveret.rabbitmq_conf_tls import pem_file
from leveret.rabbitmq_conf_values import Line, boolean, converted, integer, one_of, positive, taken
from leveret.settings import ConfigError, Values

#: Names of backends, and of their modules -> the name in the settings.
_BACKENDS = {
    name: short
    for short in (*BACKENDS, *UNAVAILABLE_BACKENDS)
    for name in (short, f"rabbit_auth_backend_{short}")
}


def _not_negative(text: str) -> int:
    number = integer(text)
    if number < 0:
        raise ValueError(f"{number} is below the minimum allowed value of 0")
    return number


def _verified_host(text: str) -> bool:
    """Certificates must be for the host in both cases: `none` is Erlang's own check, which knows no wildcards."""
    return bool(one_of("wildcard", "none")(text))


def _key_or_file(text: str) -> str:
    """Keys themselves come from an advanced.config."""
    return text if is_inline(text) else pem_file(text)


_SIMPLE: dict[str, tuple[str, Callable[[str], object]]] = {
    "auth_http.http_method": ("auth_http.method", one_of("get", "post")),
    "auth_http.user_path": ("auth_http.user_path", str),
    "auth_http.vhost_path": ("auth_http.vhost_path", str),
    "auth_http.resource_path": ("auth_http.resource_path", str),
    "auth_http.topic_path": ("auth_http.topic_path", str),
    "auth_http.request_timeout": ("auth_http.request_timeout", positive),
    "auth_http.connection_timeout": ("auth_http.connection_timeout", positive),
    "auth_http.authorization_failure_disclosure": ("auth_http.authorization_failure_disclosure", boolean),
    "auth_http.ssl_options.cacertfile": ("auth_http.cacertfile", pem_file),
    "auth_http.ssl_options.certfile": ("auth_http.certfile", pem_file),
    "auth_http.ssl_options.keyfile": ("auth_http.keyfile", pem_file),
    "auth_http.ssl_options.verify": ("auth_http.verify", one_of("verify_peer", "verify_none")),
    "auth_http.ssl_options.hostname_verification": ("auth_http.hostname_verification", _verified_host),
    "auth_cache.cache_ttl": ("auth_cache.ttl", _not_negative),
    "auth_cache.cache_refusals": ("auth_cache.cache_refusals", boolean),
    "auth_oauth2.resource_server_id": ("auth_oauth2.resource_server_id", str),
    "auth_oauth2.scope_prefix": ("auth_oauth2.scope_prefix", str),
    "auth_oauth2.verify_aud": ("auth_oauth2.verify_aud", boolean),
    "auth_oauth2.require_exp": ("auth_oauth2.require_exp", boolean),
    "auth_oauth2.additional_scopes_key": ("auth_oauth2.additional_scopes_key", str),
    "auth_oauth2.resource_server_type": ("auth_oauth2.resource_server_type", str),
    "auth_oauth2.default_oauth_provider": ("auth_oauth2.default_oauth_provider", str),
    "auth_oauth2.default_key": ("auth_oauth2.default_key", str),
    "auth_oauth2.jwks_uri": ("auth_oauth2.jwks_uri", str),
    "auth_oauth2.jwks_url": ("auth_oauth2.jwks_uri", str),
    "auth_oauth2.issuer": ("auth_oauth2.issuer", str),
    "auth_oauth2.discovery_endpoint_path": ("auth_oauth2.discovery_endpoint_path", str),
    "auth_oauth2.https.cacertfile": ("auth_oauth2.cacertfile", pem_file),
    "auth_oauth2.https.verify": ("auth_oauth2.verify", one_of("verify_peer", "verify_none")),
    "auth_oauth2.https.peer_verification": ("auth_oauth2.verify", one_of("verify_peer", "verify_none")),
    "auth_oauth2.https.hostname_verification": ("auth_oauth2.hostname_verification", _verified_host),
}


def read_auth(rest: dict[str, Line], values: Values) -> None:
    """Take the keys of authentication backends out of `rest`. Raises `ConfigError`."""
    for key in [key for key in rest if key in _SIMPLE]:
        name, convert = _SIMPLE[key]
        line = rest.pop(key)
        values.set(name, converted(convert, line), line.place, key)
    _backends(rest, values)
    _cached(rest, values)
    _lists(rest, values)
    _tables(rest, values, "oauth_providers", _PROVIDER)
    _tables(rest, values, "resource_servers", _RESOURCE_SERVER)


def _named(line: Line) -> str:
    """Return the name of a backend. Raises `ConfigError`."""
    if line.text not in _BACKENDS:
        problem = "Unknown/unsupported auth backend"
        raise ConfigError(line.place, line.key, problem, ", ".join(BACKENDS))
    name = _BACKENDS[line.text]
    if name in UNAVAILABLE_BACKENDS:
        problem = f"auth backend {name}: {UNAVAILABLE_BACKENDS[name]}"
        raise ConfigError(line.place, line.key, problem, ", ".join(BACKENDS))
    return name


def _backends(rest: dict[str, Line], values: Values) -> None:
    """`auth_backends.N`, or `.authn` and `.authz`, in the order of N."""
    numbers = sorted(
        {key.split(".")[1] for key in rest if key.startswith("auth_backends.")},
        key=lambda number: (not number.isdigit(), int(number) if number.isdigit() else 0, number),
    )
    found, last = [], None
    for number in numbers:
        both = rest.pop(f"auth_backends.{number}", None)
        authn = rest.pop(f"auth_backends.{number}.authn", None)
        authz = rest.pop(f"auth_backends.{number}.authz", None)
        last = both or authn or authz or last
        one = _pair(
            both, authn, authz, f"Auth backend already defined for the {number}th authn backend", values
        )
        if one:
            found.append(one)
    if last is not None:
        values.set("access.backends", found, last.place, last.key)


def _pair(both: Line | None, authn: Line | None, authz: Line | None, twice: str, values: Values) -> str:
    """Return a backend, or who authenticates and who authorises. Raises `ConfigError`."""
    if both is not None:
        second = authn or authz
        if second is not None:
            raise ConfigError(second.place, second.key, twice)
        return _named(both)
    if authn is None or authz is None:
        line = authn or authz
        if line is None:
            return ""
        other = "authz" if authz is None else "authn"
        values.warnings.append(f"{line.place}: {line.key}: {other} backend undefined. Using {line.text}")
        return _named(line)
    return f"{_named(authn)}/{_named(authz)}"


def _cached(rest: dict[str, Line], values: Values) -> None:
    both = rest.pop("auth_cache.cached_backend", None)
    authn = rest.pop("auth_cache.cached_backend.authn", None)
    authz = rest.pop("auth_cache.cached_backend.authz", None)
    line = both or authn or authz
    if line is not None:
        backend = _pair(both, authn, authz, "Cached auth backend already defined", values)
        values.set("auth_cache.backend", backend, line.place, line.key)


def _lists(rest: dict[str, Line], values: Values) -> None:
    """Keys of OAuth 2 with a number or a name at their end."""
    for name in ("preferred_username_claims", "algorithms"):
        lines = taken(rest, f"auth_oauth2.{name}")
        if lines:
            found = [line.text for _, line in lines]
            values.set(f"auth_oauth2.{name}", found, lines[-1][1].place, lines[-1][1].key)
    for name, convert in (
        ("signing_keys", _key_or_file),
        ("discovery_endpoint_params", str),
    ):
        for key, line in taken(rest, f"auth_oauth2.{name}"):
            values.merge(f"auth_oauth2.{name}", {key: converted(convert, line)}, line.place, line.key)
    for alias, scope, line in _aliases(rest, "auth_oauth2.scope_aliases", values):
        values.merge("auth_oauth2.scope_aliases", {alias: scope}, line.place, line.key)


def _aliases(rest: dict[str, Line], prefix: str, values: Values) -> Iterator[tuple[str, str, Line]]:
    """Take `PREFIX.ALIAS = SCOPES`, and `.N.alias` with `.N.scope`, for names that cannot be in a key."""
    for alias, line in taken(rest, prefix):
        yield alias, line.text, line
    keys = [key for key in rest if key.startswith(f"{prefix}.")]
    for at in dict.fromkeys(key.rpartition(".")[0] for key in keys):
        pair = {"alias": rest.pop(f"{at}.alias", None), "scope": rest.pop(f"{at}.scope", None)}
        given, scope = pair["alias"], pair["scope"]
        if given is not None and scope is not None:
            yield given.text, scope.text, given
        else:
            missing = "alias" if given is None else "scope"
            values.warnings.append(f"{at}: Skipped scope_aliases due to missing {missing} attribute")


#: Key below `auth_oauth2.oauth_providers.NAME.` -> field and converter.
_PROVIDER: dict[str, tuple[str, Callable[[str], object]]] = {
    "issuer": ("issuer", str),
    "jwks_uri": ("jwks_uri", str),
    "discovery_endpoint_path": ("discovery_endpoint_path", str),
    "default_key": ("default_key", str),
    "https.cacertfile": ("cacertfile", str),
    "https.peer_verification": ("verify", str),  # only in an advanced.config
    "https.verify": ("verify", str),
    "https.hostname_verification": ("hostname_verification", _verified_host),
}

#: Key below `auth_oauth2.resource_servers.NAME.` -> field and converter.
_RESOURCE_SERVER: dict[str, tuple[str, Callable[[str], object]]] = {
    "id": ("id", str),
    "scope_prefix": ("scope_prefix", str),
    "additional_scopes_key": ("additional_scopes_key", str),
    "resource_server_type": ("resource_server_type", str),
    "oauth_provider_id": ("oauth_provider", str),
    "verify_aud": ("verify_aud", boolean),  # from here on only in an advanced.config
    "require_exp": ("require_exp", boolean),
}


def _tables(
    rest: dict[str, Line],
    values: Values,
    table: str,
    fields: Mapping[str, tuple[str, Callable[[str], object]]],
) -> None:
    """`auth_oauth2.oauth_providers.NAME.*` and `auth_oauth2.resource_servers.NAME.*`: one entry for each name."""
    prefix = f"auth_oauth2.{table}"
    lines = [line for key, line in rest.items() if key.startswith(f"{prefix}.")]
    for name in dict.fromkeys(words_of(line.key)[2] for line in lines):
        at = f"{prefix}.{name.replace('.', chr(92) + '.')}"
        entry = {
            field: converted(convert, rest.pop(f"{at}.{key}"))
            for key, (field, convert) in fields.items()
            if f"{at}.{key}" in rest
        }
        for field in ("algorithms", "preferred_username_claims"):
            found = [line.text for _, line in sorted(taken(rest, f"{at}.{field}"))]
            if found:
                entry[field] = found
        for field in ("signing_keys", "discovery_endpoint_params"):
            pairs = {key: line.text for key, line in taken(rest, f"{at}.{field}")}
            if pairs:
                entry[field] = pairs
        aliases = {alias: scope for alias, scope, _ in _aliases(rest, f"{at}.scope_aliases", values)}
        if aliases:
            entry["scope_aliases"] = aliases
        last = next(line for line in reversed(lines) if words_of(line.key)[2] == name)
        values.merge(prefix, {name: entry}, last.place, last.key)


def known_keys() -> list[str]:
    """Return the keys that have an effect; `$` stands for any word."""
    groups = (
        "auth_backends.$N auth_backends.$N.authn auth_backends.$N.authz auth_cache.cached_backend "
        "auth_cache.cached_backend.authn auth_cache.cached_backend.authz "
        "auth_oauth2.preferred_username_claims.$N auth_oauth2.algorithms.$N auth_oauth2.signing_keys.$ID "
        "auth_oauth2.scope_aliases.$ALIAS auth_oauth2.scope_aliases.$N.alias auth_oauth2.scope_aliases.$N.scope "
        "auth_oauth2.discovery_endpoint_params.$PARAM"
    )
    tables = [
        *(
            f"auth_oauth2.oauth_providers.$NAME.{key}"
            for key in (*_PROVIDER, "algorithms.$N", "signing_keys.$ID", "discovery_endpoint_params.$PARAM")
        ),
        *(
            f"auth_oauth2.resource_servers.$NAME.{key}"
            for key in (
                *(*_RESOURCE_SERVER, "preferred_username_claims.$N", "scope_aliases.$ALIAS"),
                *("scope_aliases.$N.alias", "scope_aliases.$N.scope"),
            )
        ),
    ]
    return [*_SIMPLE, *groups.split(), *tables]
