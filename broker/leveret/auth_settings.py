"""Settings of authentication backends that ask others, and of the page's login with OAuth 2: `auth_http.*`,
`auth_cache.*`, `auth_oauth2.*`, `management.oauth_*` in rabbitmq.conf."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

#: Whether the certificate of a server is verified.
Verify: TypeAlias = Literal["verify_peer", "verify_none"]

#: Where an issuer says what its endpoints are (OpenID Connect Discovery).
DISCOVERY_PATH = ".well-known/openid-configuration"

#: Backends that there are.
BACKENDS = ("internal", "http", "oauth2", "cache")

#: Backends of RabbitMQ that are not available, and why.
UNAVAILABLE_BACKENDS = {
    "ldap": "users, groups and queries of LDAP are not available. Set auth_backends.1 = http, and let auth_http.* name "
    "a web service that asks the LDAP server, or use oauth2 if the directory issues tokens: "
    "docs/features/access.md#ldap",
    "amqp": "its plugin is not available",
    "dummy": "it lets everybody in",
}


class HttpAuth(Struct, frozen=True, forbid_unknown_fields=True):
    """The backend `http`: the web service that decides."""

    method: Annotated[Literal["get", "post"], Meta(description="HTTP method of the questions")] = "get"
    user_path: Annotated[str, Meta(description="URL that decides about logins")] = (
        "http://localhost:8000/auth/user"
    )
    vhost_path: Annotated[str, Meta(description="URL that decides about virtual hosts")] = (
        "http://localhost:8000/auth/vhost"
    )
    resource_path: Annotated[str, Meta(description="URL that decides about queues and exchanges")] = (
        "http://localhost:8000/auth/resource"
    )
    topic_path: Annotated[str, Meta(description="URL that decides about routing keys of topic exchanges")] = (
        "http://localhost:8000/auth/topic"
    )
    request_timeout: Annotated[int, Meta(ge=1, description="Milliseconds until an answer must be there")] = (
        15000
    )
    connection_timeout: Annotated[int, Meta(ge=1, description="Milliseconds to connect")] = 15000
    authorization_failure_disclosure: Annotated[
        bool, Meta(description="Tell clients the reason behind deny")
    ] = False
    cacertfile: Annotated[str, Meta(description="Authorities for https; empty: those of the system")] = ""
    certfile: Annotated[str, Meta(description="Certificate of the broker for https; empty: none")] = ""
    keyfile: Annotated[str, Meta(description="Its private key")] = ""
    verify: Annotated[
        Verify,
        Meta(description="Whether the certificate of the service is verified"),
    ] = "verify_peer"
    hostname_verification: Annotated[
        bool, Meta(description="Whether the certificate must be for the host in the URL")
    ] = True


class AuthCache(Struct, frozen=True, forbid_unknown_fields=True):
    """The backend `cache`: keeps what another one has answered."""

    backend: Annotated[str, Meta(description="Backend that is asked: a name as in access.backends")] = "http"
    ttl: Annotated[int, Meta(ge=0, description="Milliseconds for which answers are kept")] = 15000
    cache_refusals: Annotated[bool, Meta(description="Keep refusals, too")] = False


def is_inline(key: str) -> bool:
    """Return whether a setting holds a key itself, not the name of its file."""
    return key.lstrip().startswith(("-----BEGIN ", "{"))


class OAuthProvider(Struct, frozen=True, forbid_unknown_fields=True):
    """Who issues tokens, and where its keys are. Values are checked with the section that has them."""

    signing_keys: dict[str, str] = {}
    default_key: str = ""
    algorithms: tuple[str, ...] = ()
    jwks_uri: str = ""
    issuer: str = ""
    discovery_endpoint_path: str = DISCOVERY_PATH
    discovery_endpoint_params: dict[str, str] = {}
    cacertfile: str = ""
    verify: Verify = "verify_peer"
    hostname_verification: bool = True


class ResourceServer(Struct, frozen=True, forbid_unknown_fields=True):
    """Who tokens are for. None: as the section says. `id`: empty if the name in the table is the audience."""

    id: str = ""
    scope_prefix: str | None = None
    verify_aud: bool | None = None
    require_exp: bool | None = None
    additional_scopes_key: str | None = None
    scope_aliases: dict[str, str] | None = None
    preferred_username_claims: tuple[str, ...] | None = None
    resource_server_type: str | None = None
    oauth_provider: str | None = None


class OAuth2(Struct, frozen=True, forbid_unknown_fields=True):
    """The backend `oauth2`: passwords are tokens (JWT)."""

    resource_server_id: Annotated[
        str, Meta(description="Audience of tokens for this broker, and what its scopes begin with")
    ] = ""
    scope_prefix: Annotated[
        str, Meta(description="What scopes begin with; default: the resource server and a dot")
    ] = "default"
    verify_aud: Annotated[bool, Meta(description="Whether tokens must be for this resource server")] = True
    require_exp: Annotated[bool, Meta(description="Whether tokens must expire")] = True
    additional_scopes_key: Annotated[
        str, Meta(description="Claims with further scopes: paths with dots, separated by spaces")
    ] = ""
    resource_server_type: Annotated[
        str, Meta(description="Type of rich authorization requests that are for this broker; empty: none")
    ] = ""
    scope_aliases: Annotated[
        dict[str, str],
        Meta(description='Scopes that stand for others: { admin = "rabbitmq.tag:administrator" }'),
    ] = {}
    preferred_username_claims: Annotated[
        tuple[str, ...], Meta(description="Claims that the user name is taken from, the first that there is")
    ] = ("sub", "client_id")
    signing_keys: Annotated[
        dict[str, str], Meta(description='Keys, PEM or JWK: files, or the key itself: { key-id = "key.pem" }')
    ] = {}
    default_key: Annotated[str, Meta(description="Key of tokens that name none")] = ""
    algorithms: Annotated[
        tuple[str, ...], Meta(description="Algorithms that are accepted; empty: those that fit the key")
    ] = ()
    jwks_uri: Annotated[str, Meta(description="URL of the keys; empty: as the issuer says")] = ""
    issuer: Annotated[str, Meta(description="URL of the issuer, which says where its keys are")] = ""
    discovery_endpoint_path: Annotated[str, Meta(description="Path below the issuer's URL that says so")] = (
        DISCOVERY_PATH
    )
    discovery_endpoint_params: Annotated[
        dict[str, str], Meta(description='Query of this URL: { appid = "1" }')
    ] = {}
    cacertfile: Annotated[str, Meta(description="Authorities for https; empty: those of the system")] = ""
    verify: Annotated[
        Verify,
        Meta(description="Whether the issuer's certificate is verified"),
    ] = "verify_peer"
    hostname_verification: Annotated[
        bool, Meta(description="Whether that certificate must be for the host in the URL")
    ] = True
    oauth_providers: Annotated[
        dict[str, OAuthProvider],
        Meta(
            description="Further issuers by name, with the settings from signing_keys to hostname_verification"
        ),
    ] = {}
    default_oauth_provider: Annotated[
        str,
        Meta(description="The issuer in oauth_providers that is used; empty: the settings of this section"),
    ] = ""
    resource_servers: Annotated[
        dict[str, ResourceServer],
        Meta(
            description="Further audiences by name: id, oauth_provider, and the settings from scope_prefix to "
            "preferred_username_claims"
        ),
    ] = {}


LogonType = Literal["sp_initiated", "idp_initiated"]


class PageResource(Struct, frozen=True, forbid_unknown_fields=True):
    """A resource server to which users of the page can log in; what is empty is as for all."""

    id: str = ""
    label: str = ""
    disabled: bool = False
    provider_url: str = ""
    metadata_url: str = ""
    client_id: str = ""
    scopes: str = ""
    initiated_logon_type: LogonType | Literal[""] = ""
    authorization_endpoint_params: dict[str, str] = {}
    token_endpoint_params: dict[str, str] = {}


class PageLogin(Struct, frozen=True, forbid_unknown_fields=True):
    """The login with OAuth 2 on the management page."""

    enabled: Annotated[bool, Meta(description="The page logs in at an OpenID provider")] = False
    disable_basic_auth: Annotated[bool, Meta(description="Offer no login with name and password then")] = True
    provider_url: Annotated[
        str, Meta(description="URL of the OpenID provider; empty: the issuer of auth_oauth2")
    ] = ""
    metadata_url: Annotated[
        str, Meta(description="URL of its metadata; empty: .well-known/openid-configuration below its URL")
    ] = ""
    client_id: Annotated[str, Meta(description="The page's name at the provider, a public client")] = ""
    scopes: Annotated[str, Meta(description="Scopes that the page asks for, separated by spaces")] = (
        "openid profile"
    )
    initiated_logon_type: Annotated[
        LogonType,
        Meta(description="idp_initiated: users start at the provider, which sends the token to /login"),
    ] = "sp_initiated"
    authorization_endpoint_params: Annotated[
        dict[str, str],
        Meta(description='Further parameters of the authorization request: { audience = "mq" }'),
    ] = {}
    token_endpoint_params: Annotated[
        dict[str, str], Meta(description="Further parameters of the token request")
    ] = {}
    end_session_endpoint: Annotated[
        str, Meta(description="URL of the logout; empty: that in the provider's metadata")
    ] = ""
    origins: Annotated[
        tuple[str, ...],
        Meta(description='Further origins that the page may ask for tokens: "https://tokens.example.com"'),
    ] = ()
    resource_servers: Annotated[
        dict[str, PageResource],
        Meta(description="Resource servers by name, with id, label, disabled, and settings of this section"),
    ] = {}
