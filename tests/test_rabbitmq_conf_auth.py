"""The keys of authentication backends in rabbitmq.conf, with the texts of RabbitMQ 4.3.6."""

from __future__ import annotations

from pathlib import Path

import pytest

from leveret.auth_settings import AuthCache, HttpAuth, OAuth2, OAuthProvider, ResourceServer
from leveret.rabbitmq_conf import read
from leveret.settings import ConfigError, Settings, build

PEM = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    (tmp_path / "a.pem").write_text(PEM)
    return tmp_path / "rabbitmq.conf"


def settings(conf: Path, text: str) -> Settings:
    conf.write_text(text.replace("DIR", str(conf.parent)), "utf-8")
    return build(read([conf], {}))


@pytest.mark.parametrize(
    ("text", "backends"),
    [
        ("auth_backends.1 = internal", ("internal",)),
        ("auth_backends.2 = internal\nauth_backends.1 = http", ("http", "internal")),
        ("auth_backends.10 = internal\nauth_backends.9 = http", ("http", "internal")),
        ("auth_backends.1 = rabbit_auth_backend_oauth2", ("oauth2",)),
        ("auth_backends.1.authn = internal\nauth_backends.1.authz = http", ("internal/http",)),
        ("auth_backends.1.authn = http", ("http",)),
    ],
)
def test_the_order_of_backends(conf: Path, text: str, backends: tuple[str, ...]) -> None:
    assert settings(conf, text).access.backends == backends


def test_one_of_two_backends_is_a_warning(conf: Path) -> None:
    (warning,) = settings(conf, "auth_backends.1.authn = http").warnings
    assert warning.endswith("authz backend undefined. Using http")


def test_a_web_service(conf: Path) -> None:
    found = settings(
        conf,
        """
        auth_http.http_method = post
        auth_http.user_path = http://a/user
        auth_http.vhost_path = http://a/vhost
        auth_http.resource_path = http://a/resource
        auth_http.topic_path = http://a/topic
        auth_http.request_timeout = 20000
        auth_http.connection_timeout = 10000
        auth_http.authorization_failure_disclosure = true
        auth_http.ssl_options.cacertfile = DIR/a.pem
        auth_http.ssl_options.verify = verify_none
        auth_http.ssl_options.hostname_verification = none
        """,
    ).auth_http
    assert found == HttpAuth(
        method="post",
        user_path="http://a/user",
        vhost_path="http://a/vhost",
        resource_path="http://a/resource",
        topic_path="http://a/topic",
        request_timeout=20000,
        connection_timeout=10000,
        authorization_failure_disclosure=True,
        cacertfile=f"{conf.parent}/a.pem",
        verify="verify_none",
    )


def test_a_cache(conf: Path) -> None:
    text = "auth_cache.cached_backend = http\nauth_cache.cache_ttl = 5000\nauth_cache.cache_refusals = true"
    assert settings(conf, text).auth_cache == AuthCache(backend="http", ttl=5000, cache_refusals=True)
    text = "auth_cache.cached_backend.authn = http\nauth_cache.cached_backend.authz = internal"
    assert settings(conf, text).auth_cache.backend == "http/internal"


def test_oauth2(conf: Path) -> None:
    found = settings(
        conf,
        """
        auth_oauth2.resource_server_id = rabbitmq
        auth_oauth2.scope_prefix = api://
        auth_oauth2.verify_aud = false
        auth_oauth2.require_exp = false
        auth_oauth2.additional_scopes_key = roles
        auth_oauth2.preferred_username_claims.1 = email
        auth_oauth2.preferred_username_claims.2 = sub
        auth_oauth2.default_key = k1
        auth_oauth2.signing_keys.k1 = DIR/a.pem
        auth_oauth2.algorithms.1 = RS256
        auth_oauth2.jwks_uri = https://a/keys
        auth_oauth2.issuer = https://a
        auth_oauth2.https.cacertfile = DIR/a.pem
        auth_oauth2.https.peer_verification = verify_none
        auth_oauth2.scope_aliases.admin = tag:administrator
        auth_oauth2.scope_aliases.1.alias = api://x
        auth_oauth2.scope_aliases.1.scope = read:*/*
        """,
    ).auth_oauth2
    assert found == OAuth2(
        resource_server_id="rabbitmq",
        scope_prefix="api://",
        verify_aud=False,
        require_exp=False,
        additional_scopes_key="roles",
        preferred_username_claims=("email", "sub"),
        default_key="k1",
        signing_keys={"k1": f"{conf.parent}/a.pem"},
        algorithms=("RS256",),
        jwks_uri="https://a/keys",
        issuer="https://a",
        cacertfile=f"{conf.parent}/a.pem",
        verify="verify_none",
        scope_aliases={"admin": "tag:administrator", "api://x": "read:*/*"},
    )


def test_several_resource_servers_and_issuers(conf: Path) -> None:
    """The examples of rabbitmq.com's page on OAuth 2, and every key that has an effect."""
    found = settings(
        conf,
        """
        auth_oauth2.default_oauth_provider = uaa
        auth_oauth2.resource_server_type = rabbitmq
        auth_oauth2.discovery_endpoint_params.appid = 1
        auth_oauth2.oauth_providers.keycloak.issuer = https://localhost:8443/realms/test
        auth_oauth2.oauth_providers.keycloak.https.cacertfile = DIR/a.pem
        auth_oauth2.oauth_providers.keycloak.https.verify = verify_none
        auth_oauth2.oauth_providers.keycloak.https.hostname_verification = wildcard
        auth_oauth2.oauth_providers.keycloak.https.crl_check = false
        auth_oauth2.oauth_providers.keycloak.discovery_endpoint_path = v1/.well-known/authorization-server
        auth_oauth2.oauth_providers.keycloak.discovery_endpoint_params.param1 = value1
        auth_oauth2.oauth_providers.uaa.jwks_uri = https://uaa/keys
        auth_oauth2.oauth_providers.uaa.default_key = k1
        auth_oauth2.oauth_providers.uaa.algorithms.2 = RS256
        auth_oauth2.oauth_providers.uaa.algorithms.1 = HS256
        auth_oauth2.oauth_providers.uaa.signing_keys.k\\.1 = DIR/a.pem
        auth_oauth2.resource_servers.1.id = rabbit_prod
        auth_oauth2.resource_servers.1.oauth_provider_id = keycloak
        auth_oauth2.resource_servers.1.scope_prefix = api://
        auth_oauth2.resource_servers.rabbit_dev.additional_scopes_key = roles
        auth_oauth2.resource_servers.rabbit_dev.resource_server_type = dev
        auth_oauth2.resource_servers.rabbit_dev.preferred_username_claims.1 = email
        auth_oauth2.resource_servers.rabbit_dev.scope_aliases.admin = rabbit_dev.tag:administrator
        auth_oauth2.resource_servers.rabbit_dev.scope_aliases.1.alias = api://read
        auth_oauth2.resource_servers.rabbit_dev.scope_aliases.1.scope = rabbit_dev.read:*/*
        """,
    )
    assert found.auth_oauth2 == OAuth2(
        default_oauth_provider="uaa",
        resource_server_type="rabbitmq",
        discovery_endpoint_params={"appid": "1"},
        oauth_providers={
            "keycloak": OAuthProvider(
                issuer="https://localhost:8443/realms/test",
                cacertfile=f"{conf.parent}/a.pem",
                verify="verify_none",
                discovery_endpoint_path="v1/.well-known/authorization-server",
                discovery_endpoint_params={"param1": "value1"},
            ),
            "uaa": OAuthProvider(
                jwks_uri="https://uaa/keys",
                default_key="k1",
                algorithms=("HS256", "RS256"),
                signing_keys={"k.1": f"{conf.parent}/a.pem"},
            ),
        },
        resource_servers={
            "1": ResourceServer(id="rabbit_prod", oauth_provider="keycloak", scope_prefix="api://"),
            "rabbit_dev": ResourceServer(
                additional_scopes_key="roles",
                resource_server_type="dev",
                preferred_username_claims=("email",),
                scope_aliases={"admin": "rabbit_dev.tag:administrator", "api://read": "rabbit_dev.read:*/*"},
            ),
        },
    )
    (warning,) = found.warnings
    assert "https.crl_check has no effect" in warning


def test_half_an_alias_is_skipped(conf: Path) -> None:
    found = settings(conf, "auth_oauth2.scope_aliases.1.scope = x\nauth_oauth2.scope_aliases.2.alias = y")
    assert found.auth_oauth2.scope_aliases == {}
    assert found.warnings == (
        "auth_oauth2.scope_aliases.1: Skipped scope_aliases due to missing alias attribute",
        "auth_oauth2.scope_aliases.2: Skipped scope_aliases due to missing scope attribute",
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("auth_backends.1 = nope", "Unknown/unsupported auth backend"),
        ("auth_backends.1 = ldap", "auth backend ldap: users, groups and queries of LDAP are not available"),
        (
            "auth_backends.1 = http\nauth_backends.1.authn = internal",
            "Auth backend already defined for the 1th authn backend",
        ),
        ("auth_http.http_method = put", "acceptable values are: get, post"),
        (
            "auth_oauth2.jwks_uri = http://localhost/x",
            "According to the JWT Specification, Key Server URL must be https.",
        ),
        ("auth_oauth2.signing_keys.k = /nope", "does not exist or cannot be read by the node"),
        ("auth_oauth2.oauth_providers.a.https.crl_check = peer", "revocation lists are not checked"),
        ("auth_cache.cache_ttl = -1", "-1 is below the minimum allowed value of 0"),
    ],
)
def test_wrong_values_are_refused(conf: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as refused:
        settings(conf, text)
    assert problem in refused.value.problem


def test_one_problem_is_reported_once(conf: Path) -> None:
    """What comes after a wrong line in its group is not called unknown."""
    with pytest.raises(ConfigError) as refused:
        settings(
            conf, "auth_backends.1 = ldap\nauth_oauth2.algorithms.1 = RS256\nauth_cache.cached_backend = http"
        )
    assert "\n" not in str(refused.value)
