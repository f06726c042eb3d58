"""OAuth 2 in Erlang terms: the maps and lists of `rabbitmq_auth_backend_oauth2` as lines of rabbitmq.conf."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping

from leveret.erlang_terms import Atom, Term

Pairs = Iterator[tuple[str, str]]

#: What no key of rabbitmq.conf begins with: what is yielded below it is a warning.
_UNKNOWN = "rabbitmq_auth_backend_oauth2"


def _text(value: Term) -> str:
    """Return a scalar as text. Raises `TypeError`."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError
    return str(value)


def _word(value: Term) -> str:
    """Return a name as a word of a key."""
    return _text(value).replace(".", "\\.")


def _list(value: Term) -> list[Term]:
    if not isinstance(value, list):
        raise TypeError
    return value


def _entries(value: Term) -> Iterator[tuple[Term, Term]]:
    """Yield name and value of a map or a property list. Raises `TypeError`."""
    if isinstance(value, Mapping):
        yield from value.items()
        return
    for item in _list(value):
        match item:
            case (name, inner):
                yield name, inner
            case _:
                raise TypeError


def numbered(prefix: str) -> Callable[[Term], Pairs]:
    """Return a function that yields the items of a list as `PREFIX.N = ITEM`."""

    def pairs(value: Term) -> Pairs:
        for number, item in enumerate(_list(value), 1):
            yield f"{prefix}.{number}", _text(item)

    return pairs


def aliases(prefix: str) -> Callable[[Term], Pairs]:
    """Return a function that yields `#{<<"admin">> => [<<"rabbitmq.tag:administrator">>]}`."""

    def pairs(value: Term) -> Pairs:
        for number, (alias, scopes) in enumerate(_entries(value), 1):
            yield f"{prefix}.{number}.alias", _text(alias)
            named = scopes if isinstance(scopes, list) else [scopes]
            yield f"{prefix}.{number}.scope", " ".join(map(_text, named))

    return pairs


def parameters(prefix: str) -> Callable[[Term], Pairs]:
    """Return a function that yields `[{<<"name">>, <<"value">>}]`."""

    def pairs(value: Term) -> Pairs:
        for name, text in _entries(value):
            yield f"{prefix}.{_word(name)}", _text(text)

    return pairs


def signing_keys(prefix: str) -> Callable[[Term], Pairs]:
    """Return a function that yields `#{<<"id">> => {pem, <<"...">>}}`; also `pem_file`, `json` and `map` (a JWK)."""

    def pairs(value: Term) -> Pairs:
        for name, key in _entries(value):
            match key:
                case (Atom("pem" | "pem_file"), str() as text):
                    yield f"{prefix}.{_word(name)}", text
                case (Atom("json" | "map"), str() | dict() as jwk):
                    yield f"{prefix}.{_word(name)}", jwk if isinstance(jwk, str) else json.dumps(jwk)
                case _:
                    raise TypeError

    return pairs


def _fields(
    prefix: str, target: str, special: Mapping[str, Callable[[Term], Pairs]], plain: str
) -> Callable[[Term], Pairs]:
    """Return a function that yields the fields of a property list."""

    def pairs(value: Term) -> Pairs:
        for name, inner in _entries(value):
            if name in special:
                yield from special[_text(name)](inner)
            elif name in plain.split():
                yield f"{prefix}.{name}", _text(inner)
            else:
                yield f"{target}.{name}", ""

    return pairs


_HTTPS = "verify peer_verification cacertfile depth hostname_verification crl_check fail_if_no_peer_cert"
_ENDPOINTS = (
    "issuer jwks_uri token_endpoint end_session_endpoint authorization_endpoint discovery_endpoint_path "
    "default_key"
)


def key_config(value: Term) -> Pairs:
    """`{key_config, [...]}`: keys of the only issuer, and how its server is verified."""
    root = "auth_oauth2"
    for name, inner in _entries(value):
        if name == "signing_keys":
            yield from signing_keys(f"{root}.signing_keys")(inner)
        elif name == "algorithms":
            yield from numbered(f"{root}.algorithms")(inner)
        elif name in ("default_key", "jwks_url"):
            yield f"{root}.{name}", _text(inner)
        elif name in _HTTPS.split():
            yield f"{root}.https.{name}", _text(inner)
        else:
            yield f"{_UNKNOWN}.key_config.{name}", ""


def oauth_providers(value: Term) -> Pairs:
    """`{oauth_providers, #{<<"name">> => [...]}}`."""
    for name, fields in _entries(value):
        at, target = f"auth_oauth2.oauth_providers.{_word(name)}", f"{_UNKNOWN}.oauth_providers"
        special = {
            "https": _fields(f"{at}.https", f"{target}.https", {}, _HTTPS),
            "algorithms": numbered(f"{at}.algorithms"),
            "signing_keys": signing_keys(f"{at}.signing_keys"),
            "discovery_endpoint_params": parameters(f"{at}.discovery_endpoint_params"),
        }
        yield from _fields(at, target, special, _ENDPOINTS)(fields)


def resource_servers(value: Term) -> Pairs:
    """`{resource_servers, #{<<"name">> => [...]}}`."""
    for name, fields in _entries(value):
        at, target = f"auth_oauth2.resource_servers.{_word(name)}", f"{_UNKNOWN}.resource_servers"
        special: dict[str, Callable[[Term], Pairs]] = {
            "scope_aliases": aliases(f"{at}.scope_aliases"),
            "preferred_username_claims": numbered(f"{at}.preferred_username_claims"),
            "extra_scopes_source": _renamed(f"{at}.additional_scopes_key"),
        }
        plain = "id scope_prefix resource_server_type oauth_provider_id verify_aud require_exp"
        yield f"{at}.id", _text(name)
        yield from _fields(at, target, special, plain)(fields)


def _renamed(key: str) -> Callable[[Term], Pairs]:
    def pairs(value: Term) -> Pairs:
        yield key, _text(value)

    return pairs


#: Variable -> the lines for its value.
OAUTH2: dict[str, Callable[[Term], Pairs]] = {
    f"{_UNKNOWN}.key_config": key_config,
    f"{_UNKNOWN}.oauth_providers": oauth_providers,
    f"{_UNKNOWN}.resource_servers": resource_servers,
    f"{_UNKNOWN}.scope_aliases": aliases("auth_oauth2.scope_aliases"),
    f"{_UNKNOWN}.preferred_username_claims": numbered("auth_oauth2.preferred_username_claims"),
    f"{_UNKNOWN}.discovery_endpoint_params": parameters("auth_oauth2.discovery_endpoint_params"),
}
