"""rabbitmq.conf: the login with OAuth 2 on the management page (`management.oauth_*`)."""

from __future__ import annotations

from collections.abc import Callable

from leveret.rabbitmq_conf_values import Line, boolean, converted, one_of, taken
from leveret.settings import Values


def _code(text: str) -> str:
    if text != "code":
        raise ValueError("only the authorization code flow (code) is available")
    return text


_logon_type = one_of("sp_initiated", "idp_initiated")

#: Keys of rabbitmq.conf without `oauth_`, which resource servers can have, too. None has an effect: it is checked.
_SHARED: dict[str, Callable[[str], object]] = {
    "provider_url": str,
    "metadata_url": str,
    "client_id": str,
    "scopes": str,
    "initiated_logon_type": _logon_type,
    "response_type": _code,
}

#: Keys of resource servers only.
_OWN: dict[str, Callable[[str], object]] = {"id": str, "label": str, "disabled": boolean}

_PARAMETERS = ("authorization_endpoint_params", "token_endpoint_params")

_SIMPLE: dict[str, tuple[str, Callable[[str], object]]] = {
    "management.oauth_enabled": ("enabled", boolean),
    "management.oauth_disable_basic_auth": ("disable_basic_auth", boolean),
    "auth_oauth2.end_session_endpoint": ("end_session_endpoint", str),
    **{f"management.oauth_{name}": (name, convert) for name, convert in _SHARED.items()},
}

_SERVERS = "management.oauth_resource_servers"


def read_page(rest: dict[str, Line], values: Values) -> None:
    """Take the keys of the page's login out of `rest`. Raises `ConfigError`."""
    for key in [key for key in rest if key in _SIMPLE]:
        name, convert = _SIMPLE[key]
        line = rest.pop(key)
        value = converted(convert, line)
        if name != "response_type":
            values.set(f"management_oauth.{name}", value, line.place, key)
    for name in _PARAMETERS:
        for parameter, line in taken(rest, f"management.oauth_{name}"):
            values.merge(f"management_oauth.{name}", {parameter: line.text}, line.place, line.key)
    _resource_servers(rest, values)


def _resource_servers(rest: dict[str, Line], values: Values) -> None:
    """`management.oauth_resource_servers.NAME.KEY`, and `.KEY.PARAMETER`. Raises `ConfigError`."""
    servers: dict[str, dict[str, object]] = {}
    lines = [line for key, line in rest.items() if key.startswith(f"{_SERVERS}.")]
    for line in lines:
        name, key, *parameter = line.key.removeprefix(f"{_SERVERS}.").split(".")
        field = key.removeprefix("oauth_")
        if field not in (_PARAMETERS if parameter else (*_SHARED, *_OWN)):
            continue
        del rest[line.key]
        server = servers.setdefault(name, {})
        if parameter:
            before = server.get(field)
            server[field] = {**(before if isinstance(before, dict) else {}), parameter[0]: line.text}
            continue
        value = converted({**_SHARED, **_OWN}[field], line)
        if field != "response_type":
            server[field] = value
    if servers:
        values.set("management_oauth.resource_servers", servers, lines[-1].place, lines[-1].key)


def known_keys() -> list[str]:
    """Return the keys that have an effect; `$` stands for any word."""
    of_servers = [
        *_OWN,
        *(f"oauth_{name}" for name in _SHARED),
        *(f"oauth_{name}.$NAME" for name in _PARAMETERS),
    ]
    return [
        *_SIMPLE,
        *(f"management.oauth_{name}.$NAME" for name in _PARAMETERS),
        *(f"{_SERVERS}.$NAME.{key}" for key in of_servers),
    ]
