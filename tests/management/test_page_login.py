"""The settings of the page's login with OAuth 2, by RabbitMQ's names (rabbit_mgmt_wm_auth of 4.3.6)."""

from __future__ import annotations

from typing import Any

import pytest

from leveret.auth_settings import OAuth2, OAuthProvider, PageLogin, PageResource, ResourceServer
from leveret.engine.users import User
from leveret.management import page_login
from leveret.management.page_login import login_settings, origins
from leveret.settings import Management, Settings

from .conftest import Api, Nodes

OFF = {"oauth_enabled": False}
BACKEND = OAuth2(resource_server_id="mq")
PAGE = PageLogin(enabled=True, client_id="page", provider_url="https://id.example.com/realm")


def settings(page: PageLogin, backend: OAuth2 = BACKEND) -> Settings:
    return Settings(auth_oauth2=backend, management_oauth=page)


def servers(page: PageLogin, backend: OAuth2 = BACKEND) -> Any:
    return login_settings(settings(page, backend)).get("oauth_resource_servers")


def test_the_settings_of_the_page() -> None:
    assert login_settings(settings(PAGE)) == {
        "oauth_enabled": True,
        "oauth_resource_servers": {
            "mq": {"id": "mq", "index": 1, "oauth_provider_url": "https://id.example.com/realm"}
        },
        "oauth_disable_basic_auth": True,
        "oauth_client_id": "page",
        "oauth_scopes": "openid profile",
    }


@pytest.mark.parametrize(
    ("page", "backend"),
    [
        (PageLogin(client_id="page", provider_url="https://id.example.com"), BACKEND),  # not enabled
        (PAGE, OAuth2()),  # no resource server
        (PageLogin(enabled=True, client_id="page"), BACKEND),  # no provider
        (PageLogin(enabled=True, provider_url="https://id.example.com"), BACKEND),  # no client
        (
            PageLogin(
                enabled=True,
                client_id="page",
                provider_url="https://id.example.com",
                resource_servers={"mq": PageResource(disabled=True)},
            ),
            BACKEND,
        ),
    ],
)
def test_without_a_usable_resource_server_it_is_off(page: PageLogin, backend: OAuth2) -> None:
    assert login_settings(settings(page, backend)) == OFF
    assert origins(settings(page, backend)) == []


def test_the_provider_is_the_issuer_unless_the_page_has_another() -> None:
    backend = OAuth2(resource_server_id="mq", issuer="https://issuer.example.com/")
    found = servers(PageLogin(enabled=True, client_id="page"), backend)["mq"]
    assert found["oauth_provider_url"] == "https://issuer.example.com/"
    assert found["oauth_metadata_url"] == "https://issuer.example.com/.well-known/openid-configuration"
    assert servers(PAGE, backend)["mq"]["oauth_provider_url"] == "https://id.example.com/realm"


def test_a_resource_server_has_settings_of_its_own() -> None:
    own = PageResource(id="mq", label="Staff", client_id="staff", authorization_endpoint_params={"a": "b"})
    page = PageLogin(
        enabled=True,
        provider_url="https://id.example.com",
        resource_servers={"one": own, "unknown": PageResource(client_id="x")},
    )
    assert servers(page) == {
        "mq": {
            "id": "mq",
            "index": 1,
            "label": "Staff",
            "oauth_client_id": "staff",
            "oauth_provider_url": "https://id.example.com",
            "oauth_authorization_endpoint_params": {"a": "b"},
        }
    }


def test_each_resource_server_has_its_own_issuer() -> None:
    backend = OAuth2(
        resource_server_id="mq",
        issuer="https://one.example.com",
        oauth_providers={
            "two": OAuthProvider(issuer="https://two.example.com", discovery_endpoint_params={"app": "a"})
        },
        resource_servers={"b": ResourceServer(id="mq-b", oauth_provider="two"), "mq-c": ResourceServer()},
    )
    found = servers(
        PageLogin(enabled=True, client_id="page", resource_servers={"mq-b": PageResource(label="B")}), backend
    )
    assert {name: (one["index"], one["oauth_provider_url"]) for name, one in found.items()} == {
        "mq-b": (1, "https://two.example.com"),
        "mq": (2, "https://one.example.com"),
        "mq-c": (3, "https://one.example.com"),
    }
    assert found["mq-b"]["oauth_metadata_url"].endswith(".well-known/openid-configuration?app=a")


def test_a_login_that_begins_at_the_provider_needs_no_client() -> None:
    page = PageLogin(
        enabled=True, provider_url="https://id.example.com", initiated_logon_type="idp_initiated"
    )
    assert login_settings(settings(page))["oauth_initiated_logon_type"] == "idp_initiated"
    assert origins(settings(page)) == []  # the page asks that provider for nothing


def test_the_page_may_ask_the_origins_of_its_providers_only() -> None:
    page = PageLogin(
        enabled=True,
        client_id="page",
        provider_url="https://id.example.com:8443/realm",
        metadata_url="https://meta.example.com/x",
        origins=("https://tokens.example.com/path",),
    )
    assert origins(settings(page)) == [
        "https://id.example.com:8443",
        "https://meta.example.com",
        "https://tokens.example.com",
    ]


async def test_it_is_off_by_default(api: Api) -> None:
    assert await api("GET", "leveret/auth", auth=None) == (200, OFF)
    assert await api("GET", "auth", auth=None) == (
        404,
        {"error": "Object Not Found", "reason": "Not Found"},
    )
    assert await fetched(api, "GET", "/login") == (404, None)
    assert await fetched(api, "GET", "/js/oidc-oauth/login-callback.html") == (404, None)


async def fetched(api: Api, method: str, path: str, form: Any = None) -> tuple[int, str | None]:
    """Status and Location of an answer."""
    url = f"http://127.0.0.1:{api.port}{path}"
    async with api.session.request(method, url, data=form, allow_redirects=False) as response:
        api.headers = response.headers
        return response.status, response.headers.get("Location")


async def test_the_policy_of_the_page_permits_the_provider(nodes: Nodes) -> None:
    api = await nodes(auth_oauth2=BACKEND, management_oauth=PAGE)
    await fetched(api, "GET", "/")
    assert "connect-src 'self' https://id.example.com; " in api.headers["Content-Security-Policy"]


async def test_the_provider_sends_the_browser_back_to_the_page(nodes: Nodes) -> None:
    api = await nodes(Management(path_prefix="/mq"), auth_oauth2=BACKEND, management_oauth=PAGE)
    found = await fetched(api, "GET", "/mq/js/oidc-oauth/login-callback.html?code=a%26b&state=c")
    assert found == (302, "../../?state=c&code=a%26b")


async def test_tokens_in_addresses_and_those_that_are_none_are_refused(nodes: Nodes) -> None:
    api = await nodes(auth_oauth2=BACKEND, management_oauth=PAGE)
    assert await fetched(api, "GET", "/login?access_token=x") == (405, None)
    assert await fetched(api, "GET", "/login") == (302, "./")
    assert await fetched(api, "POST", "/login") == (302, "./")
    assert await fetched(api, "POST", "/login", {"access_token": "a; b"}) == (302, "./")
    assert await fetched(api, "POST", "/login", {"access_token": "a.b"}) == (302, "./?error=Not_Authorized")
    assert "Set-Cookie" not in api.headers


async def test_a_token_that_was_posted_is_handed_over_once(nodes: Nodes) -> None:
    page = PageLogin(
        enabled=True, provider_url="https://id.example.com", initiated_logon_type="idp_initiated"
    )
    api = await nodes(Management(path_prefix="/mq"), auth_oauth2=BACKEND, management_oauth=page)
    user = User("ada", tags=("management",))
    api.node.broker.access.log_in = lambda attempt: user  # type: ignore[method-assign,assignment,return-value]
    assert await fetched(api, "POST", "/mq/login", {"access_token": "a.b.c"}) == (302, "./")
    attributes = "Path=/mq/api/leveret/auth; Max-Age=30; HttpOnly; SameSite=Strict"
    assert api.headers["Set-Cookie"] == f"access_token=a.b.c; {attributes}"
    async with api.session.get(
        f"http://127.0.0.1:{api.port}/mq/api/leveret/auth", headers={"Cookie": "access_token=a.b.c"}
    ) as response:
        assert (await response.json())["access_token"] == "a.b.c"
        assert response.headers["Set-Cookie"].startswith(
            "access_token=; Path=/mq/api/leveret/auth; Max-Age=0;"
        )


@pytest.mark.parametrize(
    ("cookies", "token"),
    [
        ("access_token=a.b", "a.b"),
        ("x=1; access_token = a.b ; y", "a.b"),
        ("access_token=a; access_token=b", "b"),
        ("access_token=", ""),
        ('access_token="' + '\\"' * 4000 + '"', ""),
        ("xaccess_token=a; access_token", ""),
    ],
)
def test_the_token_is_found_in_cookies(cookies: str, token: str) -> None:
    assert page_login._cookie(cookies) == token


async def test_version_4_0_has_the_settings_under_auth(nodes: Nodes) -> None:
    api = await nodes(version="4.0", auth_oauth2=BACKEND, management_oauth=PAGE)
    assert (await api.get("auth"))["oauth_client_id"] == "page"
    assert await (await nodes(version="4.0")).get("auth") == OFF
