"""What the management page needs to log in with OAuth 2 (rabbit_mgmt_wm_auth, rabbit_mgmt_oauth_bootstrap).

The page asks the provider itself; the broker sees only the token, as the password of each request. The settings are
those of RabbitMQ, and so is the address to which providers send the browser back, so that nothing has to be changed
at a provider when a broker is replaced.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlencode, urlsplit

from leveret.auth_settings import OAuth2, PageLogin, PageResource
from leveret.management.call import Call, Refusal, Reply, Resource, Routes, Shows, shown
from leveret.management.forms import form_fields
from leveret.management.json import Json
from leveret.settings import Settings

#: The cookie in which `/login` passes a token to the page, and for how many seconds. It is sent to one path only.
COOKIE = "access_token"
COOKIE_PATH = "/api/leveret/auth"
COOKIE_AGE_S = 30

#: What a bearer token is made of (RFC 6750 2.1).
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")

DISABLED: Json = {"oauth_enabled": False}


def login_settings(settings: Settings) -> Json:
    """Return the login's settings by RabbitMQ's names (authSettings); off without a usable resource server."""
    page = settings.management_oauth
    servers = _servers(page, settings.auth_oauth2) if page.enabled else {}
    if not servers:
        return DISABLED
    found: Json = {
        "oauth_enabled": True,
        "oauth_resource_servers": servers,
        "oauth_disable_basic_auth": page.disable_basic_auth,
        **_given(page.client_id, "oauth_client_id"),
        "oauth_scopes": page.scopes,
        **_given(page.authorization_endpoint_params, "oauth_authorization_endpoint_params"),
        **_given(page.token_endpoint_params, "oauth_token_endpoint_params"),
    }
    if page.initiated_logon_type == "idp_initiated":
        found["oauth_initiated_logon_type"] = "idp_initiated"
    return found


def _servers(page: PageLogin, backend: OAuth2) -> dict[str, Json]:
    """Return the resource servers that the backend knows and to which the page can log in, in their order."""
    configured = {one.id or name: one for name, one in page.resource_servers.items()}
    known = _issuers(backend)
    names = [name for name in configured if name in known] + [
        name for name in known if name not in configured
    ]
    found: dict[str, Json] = {}
    for index, name in enumerate(names, 1):
        server = configured.get(name, PageResource())
        shown_server = {"id": name, "index": index, **_provider(page, known[name]), **_own(server)}
        starts_here = (server.initiated_logon_type or page.initiated_logon_type) == "sp_initiated"
        has_client = server.client_id or page.client_id
        if not server.disabled and "oauth_provider_url" in shown_server and (has_client or not starts_here):
            found[name] = shown_server
    return found


def _issuers(backend: OAuth2) -> dict[str, Json]:
    """Return the resource servers of the backend by id, each with the addresses of its issuer, if that is known."""
    own = {backend.resource_server_id: ""} if backend.resource_server_id else {}
    others = {one.id or name: one.oauth_provider or "" for name, one in backend.resource_servers.items()}
    return {
        name: _issuer(backend, provider or backend.default_oauth_provider)
        for name, provider in {**own, **others}.items()
    }


def _issuer(backend: OAuth2, name: str) -> Json:
    """Return the addresses of an issuer; the empty name is that of the section itself."""
    provider = backend.oauth_providers.get(name) if name else backend
    if provider is None or not provider.issuer:
        return {}
    metadata = f"{provider.issuer.rstrip('/')}/{provider.discovery_endpoint_path.lstrip('/')}"
    query = urlencode(provider.discovery_endpoint_params)
    return {
        "oauth_provider_url": provider.issuer,
        "oauth_metadata_url": f"{metadata}?{query}" if query else metadata,
    }


def _provider(page: PageLogin, issuer: Json) -> Json:
    """Return the provider of a resource server: its issuer, unless the page has another for all."""
    return {
        **issuer,
        **_given(page.end_session_endpoint, "end_session_endpoint"),
        **_given(page.provider_url, "oauth_provider_url"),
        **_given(page.metadata_url, "oauth_metadata_url"),
        **_given(page.authorization_endpoint_params, "oauth_authorization_endpoint_params"),
        **_given(page.token_endpoint_params, "oauth_token_endpoint_params"),
    }


def _own(server: PageResource) -> Json:
    return {
        **_given(server.label, "label"),
        **_given(server.provider_url, "oauth_provider_url"),
        **_given(server.metadata_url, "oauth_metadata_url"),
        **_given(server.client_id, "oauth_client_id"),
        **_given(server.scopes, "oauth_scopes"),
        **_given(server.initiated_logon_type, "oauth_initiated_logon_type"),
        **_given(server.authorization_endpoint_params, "oauth_authorization_endpoint_params"),
        **_given(server.token_endpoint_params, "oauth_token_endpoint_params"),
    }


def _given(value: object, name: str) -> Json:
    return {name: value} if value else {}


def origins(settings: Settings) -> list[str]:
    """Return the origins of the providers, which the page must be allowed to ask."""
    found = login_settings(settings)
    servers = found.get("oauth_resource_servers")
    if not isinstance(servers, Mapping):
        return []
    urls = [
        url
        for server in servers.values()
        for url in (server["oauth_provider_url"], server.get("oauth_metadata_url", ""))
        if server.get("oauth_initiated_logon_type", found.get("oauth_initiated_logon_type"))
        != "idp_initiated"
    ]
    parts = [urlsplit(url) for url in (*urls, *settings.management_oauth.origins)]
    return list(
        dict.fromkeys(f"{part.scheme}://{part.netloc}" for part in parts if part.scheme and part.netloc)
    )


# --- resources


def settings_and_token(call: Call) -> object:
    """GET: how the page logs in, and the token that a provider has sent to `/login`, once."""
    found = login_settings(call.broker.settings)
    token = _cookie(call.headers.get("Cookie", ""))
    if not token or found is DISABLED:
        return found
    cleared = {"Set-Cookie": f"{COOKIE}=; {_cookie_attributes(call, 0)}"}
    return shown({**found, "access_token": token}, headers=cleared)


def _cookie(header: str) -> str:
    """The token in the header Cookie; empty if there is none. `SimpleCookie` of Python 3.11 takes a quarter of a second
    for quotation marks in 8 KB."""
    for pair in reversed(header.split(";")):
        name, _, value = pair.partition("=")
        if name.strip() == COOKIE and _TOKEN.fullmatch(value.strip()):
            return value.strip()
    return ""


def _cookie_attributes(call: Call, age_s: int) -> str:
    prefix = call.broker.settings.management.path_prefix.rstrip("/")
    secure = "; Secure" if call.secure else ""
    return f"Path={prefix}{COOKIE_PATH}; Max-Age={age_s}; HttpOnly; SameSite=Strict{secure}"


def _to_page(call: Call) -> object:
    """GET: where a provider sends the browser back to; the page goes on from there."""
    return Reply(302, headers={"Location": f"../../?{urlencode(call.query)}"})


def _token_posted(call: Call) -> object:
    """POST a form with access_token: how a provider starts a login. The browser goes to the page with the token."""
    token = form_fields(call.content, ("access_token",)).get("access_token", "")
    if not _TOKEN.fullmatch(token):
        return Reply(302, headers={"Location": "./"})
    try:
        call.log_in_as("", token)
    except Refusal as refusal:
        return Reply(302, headers={"Location": f"./?{urlencode({'error': str(refusal.reason)})}"})
    cookie = f"{COOKIE}={token}; {_cookie_attributes(call, COOKIE_AGE_S)}"
    return Reply(302, headers={"Location": "./", "Set-Cookie": cookie})


def _login_page(call: Call) -> object:
    """GET: the page; a token in an address would be kept in logs, so that is refused."""
    return Reply(405) if "access_token" in call.query else Reply(302, headers={"Location": "./"})


ROUTES: Routes = {"leveret/auth": Resource({"GET": settings_and_token}, public=True, no_store=True)}


def login_paths(settings: Settings) -> dict[tuple[str, ...], Resource]:
    """Return the resources outside /api that providers use; none unless the page logs in there."""
    if login_settings(settings) is DISABLED:
        return {}
    return {
        ("js", "oidc-oauth", "login-callback.html"): Resource(
            {"GET": _to_page}, public=True, shows=Shows.FILE
        ),
        ("login",): Resource({"GET": _login_page, "POST": _token_posted}, public=True, shows=Shows.FILE),
    }
