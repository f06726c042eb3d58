"""The backend `oauth2` with several resource servers and issuers, and rich authorization requests."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pika
import pytest

from leveret.auth_settings import OAuth2, OAuthProvider, ResourceServer
from leveret.config import ConfigError
from leveret.server.backends import rich_authorization
from leveret.server.backends.keys import discovery_url
from leveret.server.backends.resource_servers import AudienceRefused, ResourceServers
from leveret.server.node import Node
from tests.certificates import LOCALHOST, Authority, name
from tests.server.auth_service import serving
from tests.server.test_oauth2 import NO_ISSUER, opened, refused, started
from tests.server.tokens import jwk, pem, token

# pika leaves its socket to the garbage collector when a login is refused.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

FAILED = "Authentication using an OAuth 2/JWT token failed: "


def resolved(audience: object, **settings: Any) -> str:
    """The resource server of an audience, or the reason why there is none."""
    try:
        return ResourceServers(OAuth2(**settings)).resolve(audience).id
    except AudienceRefused as error:
        return str(error)


TWO = {"resource_servers": {"prod": ResourceServer(), "1": ResourceServer(id="dev")}}
LAX = {"resource_servers": {"prod": ResourceServer(verify_aud=False), "dev": ResourceServer()}}
LAXER = {"resource_servers": {"a": ResourceServer(verify_aud=False), "b": ResourceServer(verify_aud=False)}}


@pytest.mark.parametrize(
    ("audience", "settings", "answer"),
    [
        ("prod", TWO, "prod"),
        ("dev", TWO, "dev"),
        (["x", "dev"], TWO, "dev"),
        ("x dev", TWO, "dev"),
        ("1", TWO, "no_matching_aud_found"),
        ("rabbitmq", {**TWO, "resource_server_id": "rabbitmq"}, "rabbitmq"),
        (["prod", "dev"], TWO, "aud_matched_many_resource_servers_only_one_allowed"),
        (None, TWO, "no_aud_found"),
        (7, TWO, "no_matching_aud_found"),
        (None, LAX, "prod"),
        ("x", LAX, "prod"),
        (None, LAXER, "no_aud_found_cannot_pick_one_from_too_many_resource_servers"),
        ("x", LAXER, "too_many_resources_with_verify_aud_false"),
        (
            "x",
            {**LAX, "resource_server_id": "r", "verify_aud": False},
            "too_many_resources_with_verify_aud_false",
        ),
        ("x", {"resource_server_id": "r", "verify_aud": False}, "r"),
    ],
)
def test_the_audience_chooses_the_resource_server(audience: object, settings: Any, answer: str) -> None:
    assert resolved(audience, **settings) == answer


def test_what_a_resource_server_does_not_say_is_said_by_the_section() -> None:
    servers = ResourceServers(
        OAuth2(
            resource_server_id="rabbitmq",
            additional_scopes_key="roles",
            require_exp=False,
            default_oauth_provider="uaa",
            resource_servers={
                "dev": ResourceServer(),
                "prod": ResourceServer(oauth_provider="kc", require_exp=True),
            },
        )
    )
    dev, prod = servers.resolve("dev"), servers.resolve("prod")
    assert (dev.scope_prefix, dev.additional_scopes_key, dev.require_exp, dev.provider) == (
        "dev.",
        "roles",
        False,
        "uaa",
    )
    assert (prod.scope_prefix, prod.require_exp, prod.provider) == ("prod.", True, "kc")


@pytest.mark.parametrize(
    ("issuer", "more", "url"),
    [
        ("https://a", {}, "https://a/.well-known/openid-configuration"),
        ("https://a/", {}, "https://a/.well-known/openid-configuration"),
        ("https://a/b/", {"discovery_endpoint_path": "/c"}, "https://a/b/c"),
        ("https://a:8/b", {"discovery_endpoint_params": {"p": "x y", "q": "1"}}, None),
    ],
)
def test_the_url_of_an_issuer_s_description(issuer: str, more: Any, url: str | None) -> None:
    expected = url or "https://a:8/b/.well-known/openid-configuration?p=x+y&q=1"
    assert discovery_url(OAuthProvider(issuer=issuer, **more)) == expected


# --- two issuers, over TLS


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    """An issuer with discovery for `prod`, one with files for `dev`, and a resource server without an issuer."""
    authority = Authority(tmp_path)
    certfile, keyfile = authority.issue("issuer", name("localhost"), alternatives=LOCALHOST)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certfile, keyfile)
    async with serving(context) as issuer:
        base = f"https://localhost:{issuer.port}"

        def answer(path: str, fields: dict[str, str]) -> str:
            if path == "/realm/.well-known/openid-configuration":
                return json.dumps({"issuer": base, "jwks_uri": f"{base}/keys"})
            return json.dumps({"keys": [jwk("RS256", "rsa")]})

        issuer.decide = answer
        node = await started(
            OAuth2(
                oauth_providers={
                    "keycloak": OAuthProvider(issuer=f"{base}/realm", cacertfile=str(authority.path)),
                    "files": OAuthProvider(
                        signing_keys={"k": pem("ES256", tmp_path / "k.pem")},
                        default_key="k",
                        algorithms=("ES256",),
                    ),
                    "nothing": OAuthProvider(issuer=f"{base}/nothing", cacertfile=str(authority.path)),
                },
                resource_servers={
                    "prod": ResourceServer(oauth_provider="keycloak"),
                    "dev": ResourceServer(
                        oauth_provider="files", scope_prefix="", preferred_username_claims=("email",)
                    ),
                    "lost": ResourceServer(oauth_provider="unknown"),
                    "alone": ResourceServer(),
                },
            )
        )
        yield node
        await node.stop()


NOT_FOUND = """\
{error,
                                                   {oauth_provider_not_found,
                                                    <<"unknown">>}}"""

EVERYTHING = "configure:*/* write:*/* read:*/*"


async def test_each_resource_server_has_its_issuer(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    prod = token("prod.configure:*/* prod.write:*/* prod.read:*/*", aud="prod", kind="RS256", kid="rsa")
    assert await opened(node, prod) == "alice"
    dev = token(EVERYTHING, aud="dev", kid=None, email="e@x")
    assert await opened(node, dev) == "e@x"
    await refused(node, token(EVERYTHING, aud="dev", kind="RS256", kid="rsa"))  # a key of the other issuer
    assert FAILED + NO_ISSUER in caplog.text
    await refused(node, token(EVERYTHING, aud="prod", kid="k"))
    assert f"{FAILED}{{error,key_not_found}}" in caplog.text


@pytest.mark.parametrize(
    ("audience", "problem"),
    [
        ("lost", NOT_FOUND),
        ("alone", NO_ISSUER),
    ],
)
async def test_a_resource_server_without_an_issuer_refuses(
    node: Node, audience: str, problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    await refused(node, token(EVERYTHING, aud=audience))
    assert FAILED + problem in caplog.text


async def test_a_new_token_may_be_for_another_resource_server(node: Node) -> None:
    first = token("prod.read:*/*", aud="prod", kind="RS256", kid="rsa")
    port = next(one.port for one in node.listeners() if one.protocol == "amqp")
    parameters = pika.ConnectionParameters("127.0.0.1", port, credentials=pika.PlainCredentials("", first))
    connection = await asyncio.to_thread(pika.BlockingConnection, parameters)
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker) as closed:
        second = token(EVERYTHING, aud="dev", email="other")
        await asyncio.to_thread(connection.update_secret, second, "")
    assert closed.value.reply_text == "NOT_ALLOWED - New secret was refused by one of the backends"


async def test_without_any_audience_the_broker_does_not_start() -> None:
    with pytest.raises(ConfigError, match="resource_server_id"):
        await started(OAuth2(issuer="https://localhost:1"))


# --- rich authorization requests


def detail(location: object, *actions: str, kind: str = "rabbitmq") -> dict[str, object]:
    return {"type": kind, "locations": location, "actions": list(actions)}


@pytest.mark.parametrize(
    ("details", "found"),
    [
        ([detail(["cluster:rabbit/vhost:v/queue:q"], "read")], ["rabbit.read:v/q/*"]),
        ([detail("cluster:rabbit/exchange:e/routing-key:k", "write")], ["rabbit.write:*/e/k"]),
        ([detail(["cluster:r*"], "administrator", "unknown")], ["rabbit.tag:administrator"]),
        (
            [detail(["cluster:*/vhost:a", "cluster:other/vhost:b"], "read", "configure")],
            ["rabbit.read:a/*/*", "rabbit.configure:a/*/*"],
        ),
        ([detail(["cluster:rabbit/queue:a/exchange:b"], "read")], []),
        ([detail(["cluster:rabbit/queue:a/exchange:a"], "read")], ["rabbit.read:*/a/*"]),
        ([detail(["vhost:v"], "read")], []),
        ([detail(["cluster:rabbit"], "read", kind="other")], []),
        ([{"type": "rabbitmq", "actions": ["read"]}, 7], []),
        ("nothing", []),
    ],
)
def test_details_as_scopes(details: object, found: list[str]) -> None:
    claims = {"authorization_details": details}
    assert list(rich_authorization.scopes_in(claims, "rabbit", "rabbitmq")) == found
    assert list(rich_authorization.scopes_in(claims, "rabbit", "")) == []


async def test_a_rich_authorization_request_logs_in(tmp_path: Path) -> None:
    keys = {"k": pem("ES256", tmp_path / "k.pem")}
    node = await started(
        OAuth2(resource_server_id="rabbitmq", resource_server_type="rabbitmq", signing_keys=keys)
    )
    details = [detail(["cluster:rabbitmq/vhost:%2F"], "read")]
    assert await opened(node, token(None, authorization_details=details)) == "alice"
    await node.stop()
