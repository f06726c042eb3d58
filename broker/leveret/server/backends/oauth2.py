"""The backend `oauth2`: the password is a token (JWT), its scopes are permissions (rabbit_auth_backend_oauth2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jwt
from jwt.types import Options

from leveret.clock import Clock
from leveret.engine.authentication import Login, Refused
from leveret.engine.authorization import ALLOWED, DENIED, Renewed, Verdict
from leveret.engine.users import User
from leveret.server.backends import rich_authorization, scopes
from leveret.server.backends.asker import Asker
from leveret.server.backends.keys import Key, Keys
from leveret.server.backends.resource_servers import AudienceRefused, ResourceServer, ResourceServers
from leveret.wire.erlang import Atom, Term, wrapped
from leveret.work import Suspended

#: RabbitMQ's name of the backend, in its texts.
MODULE = "rabbit_auth_backend_oauth2"

_FAILED = "Authentication using an OAuth 2/JWT token failed: "
INVALID = f"{_FAILED}provided token is invalid"

#: Where UMA's requesting party tokens have their scopes.
_PARTY_PATH = ("authorization", "permissions", "scopes")

#: What PyJWT is not to check: RabbitMQ's rules differ.
_UNCHECKED: Options = {
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}


def _error(reason: Term) -> TokenRefused:
    """Return a refusal with a reason as RabbitMQ logs it, in lines as wide as Erlang's."""
    return TokenRefused(_FAILED + wrapped((Atom("error"), reason), len(_FAILED)))


class TokenRefused(Exception):  # noqa: N818  named by what happened
    """A token is not accepted. The text is RabbitMQ's. `unreadable`: it is none, or not for this resource server."""

    def __init__(self, text: str, *, unreadable: bool = False) -> None:
        super().__init__(text)
        self.unreadable = unreadable


@dataclass(frozen=True, slots=True)
class Token:
    """A token that was verified. `server`: who it is for. `scopes`: without the prefix, each once."""

    server: ResourceServer
    claims: Mapping[str, object]
    scopes: tuple[str, ...]

    @property
    def expires_at(self) -> int | None:
        """When it expires, in seconds since the epoch."""
        exp = self.claims.get("exp")
        return int(exp) if isinstance(exp, int | float) else None

    @property
    def user(self) -> str:
        """The name of the user: the first of the preferred claims that there is."""
        found = (self.claims.get(claim) for claim in self.server.preferred_username_claims)
        return next((name for name in found if isinstance(name, str)), "unknown")

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags of the user."""
        prefix = scopes.TAG
        return tuple(scope.removeprefix(prefix) for scope in self.scopes if scope.startswith(prefix))


class OAuth2Backend:
    """Verifies tokens. `keys`: by the name of their issuer."""

    def __init__(
        self, servers: ResourceServers, keys: Mapping[str, Keys], asker: Asker, clock: Clock
    ) -> None:
        self.servers = servers
        self.keys = keys
        self.asker = asker
        self.clock = clock

    def authenticate(self, login: Login) -> User | Refused:
        """Return the user in a token. Raises `Suspended` while keys are downloaded."""
        try:
            token = self.verify(login.password or "", login)
        except TokenRefused as error:
            return Refused(str(error))
        return User(token.user, tags=token.tags, authority=TokenAuthority(self, token))

    def verify(self, text: str, login: Login) -> Token:
        """Verify a token: audience, signature, time. Raises `TokenRefused`, `Suspended`."""
        key_name, claims = _peek(text)
        server = self._server(claims.get("aud"))
        keys = self._keys(server.provider)
        key = self._key(keys, key_name or keys.provider.default_key or None, login)
        accepted = keys.provider.algorithms
        algorithms = [one for one in key.algorithms if not accepted or one in accepted]
        try:
            claims = jwt.decode(text, key.key, algorithms=algorithms, options=_UNCHECKED)
        except jwt.InvalidTokenError:
            raise TokenRefused(f"{_FAILED}signature_invalid") from None
        found = _scopes(server, claims)
        if len(found) > scopes.MAX_SCOPES:
            raise _error(Atom("too_many_scopes"))
        token = Token(server, claims, found)
        problem = self.expired(token)
        if problem:
            raise TokenRefused(f'{_FAILED}"{problem}"')
        return token

    def expired(self, token: Token) -> str:
        """Return why a token is not valid any more; empty if it is."""
        expires_at, now = token.expires_at, self.clock.now // 1000
        if expires_at is not None and expires_at <= now:
            return f"Provided JWT token has expired at timestamp {expires_at} (validated at {now})"
        if expires_at is None and "exp" in token.claims:
            return "Provided JWT token has an invalid exp claim: value is not a number"
        if expires_at is None and token.server.require_exp:
            return "Provided JWT token has no exp claim"
        return ""

    def _server(self, audience: object) -> ResourceServer:
        """Return who a token is for. Raises `TokenRefused`."""
        try:
            return self.servers.resolve(audience)
        except AudienceRefused as error:
            text = "Authentication using OAuth 2/JWT token failed: "
            raise TokenRefused(
                text + wrapped((Atom("error"), Atom(str(error))), len(text)), unreadable=True
            ) from None

    def _keys(self, provider: str) -> Keys:
        """Return the keys of an issuer. Raises `TokenRefused` if the settings do not have it."""
        found = self.keys.get(provider)
        if found is None:
            unknown = (Atom("oauth_provider_not_found"), provider.encode())
            raise _error(unknown if len(self.keys) > 1 else Atom("oauth_providers_not_found"))
        return found

    def _key(self, keys: Keys, name: str | None, login: Login) -> Key:
        """Return the key of a token; an unknown one is asked for, once in a login.

        Raises `TokenRefused`, `Suspended`.
        """
        key = keys.find(name)
        if key is not None:
            return key
        if keys not in login.answers and keys.may_download:
            raise Suspended(self.asker.begin(_download(keys, login)))
        problem = login.answers.get(keys)
        raise _error(
            Atom(problem) if isinstance(problem, str) and problem else keys.missing or Atom("key_not_found")
        )


async def _download(keys: Keys, login: Login) -> None:
    login.answers[keys] = await keys.download()


def _scopes(server: ResourceServer, claims: Mapping[str, object]) -> tuple[str, ...]:
    """Return the scopes of a token for a resource server, without the prefix (normalize_token_scope)."""
    given = claims.get("scope")
    if isinstance(given, str):
        given = given.split()
    found = [one for one in given if isinstance(one, str)] if isinstance(given, list) else []
    found += scopes.values_at(claims, _PARTY_PATH, server.id)
    for path in server.additional_scopes_key.split():
        found += scopes.values_at(claims, path.split("."), server.id)
    for scope in list(found):
        found += server.scope_aliases.get(scope, "").split()
    found += rich_authorization.scopes_in(claims, server.id, server.resource_server_type)
    prefix = server.scope_prefix
    return tuple(sorted({one.removeprefix(prefix) for one in found if one.startswith(prefix)}))


def _peek(text: str) -> tuple[str, Mapping[str, object]]:
    """Return the name of the key (empty for none) and the claims of a token that is not verified yet. Raises
    `TokenRefused`."""
    try:
        header = jwt.get_unverified_header(text)
        claims = jwt.decode(text, options={**_UNCHECKED, "verify_signature": False})
    except (jwt.PyJWTError, ValueError, UnicodeError):
        raise TokenRefused(INVALID, unreadable=True) from None  # an opaque token, for example
    key_name = header.get("kid")  # PyJWT refuses one that is no text
    return key_name if isinstance(key_name, str) else "", claims


class TokenAuthority:
    """What a token allows. Its permissions in the virtual host that was asked about last are kept: a connection has
    one, and reading two thousand scopes takes 5 ms."""

    asks = False

    def __init__(self, backend: OAuth2Backend, token: Token) -> None:
        self.backend = backend
        self.token = token
        self._renewal: tuple[str, Login] | None = None
        self._permissions: tuple[str, list[scopes.Scope]] | None = None

    @property
    def expires_at(self) -> int | None:
        """When the token expires."""
        return self.token.expires_at

    def may_open(self, vhost: str, address: str) -> Verdict:
        """A virtual host can be opened with any permission in it."""
        return self._verdict(vhost, lambda scope: True)

    def may_use(self, vhost: str, kind: str, name: str, permission: str) -> Verdict:
        """Look for a scope with this permission for a name."""
        return self._verdict(
            vhost, lambda scope: scope.permission == permission and scopes.matches(scope.name, name)
        )

    def may_use_key(self, vhost: str, exchange: str, key: str, permission: str) -> Verdict:
        """Look for a scope with this permission for an exchange and a routing key."""
        return self._verdict(
            vhost,
            lambda scope: (
                scope.permission == permission
                and scopes.matches(scope.name, exchange)
                and scope.key is not None
                and scopes.matches(scope.key, key)
            ),
        )

    def renew(self, secret: str) -> Renewed | Refused | None:
        """Verify a new token of the same user. Raises `Suspended` while keys are downloaded."""
        if self._renewal is None or self._renewal[0] != secret:
            self._renewal = (secret, Login("", secret))
        try:
            token = self.backend.verify(secret, self._renewal[1])
        except TokenRefused as error:
            self._renewal = None
            return Refused(str(error), error.unreadable)
        self._renewal = None
        if token.user != self.token.user:
            return Refused('"Not allowed to change username on refreshed token"')
        return Renewed(token.tags, TokenAuthority(self.backend, token))

    def _verdict(self, vhost: str, fits: Callable[[scopes.Scope], bool]) -> Verdict:
        problem = self.backend.expired(self.token)
        if problem:
            more = f', backend {MODULE} returned an error: "{problem}"'
            return Verdict(False, more, unanswered=True)
        return ALLOWED if any(map(fits, self._permissions_in(vhost))) else DENIED

    def _permissions_in(self, vhost: str) -> list[scopes.Scope]:
        if self._permissions is None or self._permissions[0] != vhost:
            given = [scopes.expanded(scope, vhost, self.token.claims) for scope in self.token.scopes]
            found = [scope for scope in scopes.permissions(given) if scopes.matches(scope.vhost, vhost)]
            self._permissions = (vhost, found)
        return self._permissions[1]
