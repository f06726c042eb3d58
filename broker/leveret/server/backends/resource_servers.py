"""Whom tokens are for: the resource servers of a broker by their audience (rabbit_oauth2_resource_server)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from leveret.auth_settings import OAuth2, OAuthProvider
from leveret.auth_settings import ResourceServer as Given


class AudienceRefused(Exception):  # noqa: N818  named by what happened
    """A token is for none of the resource servers, or for several. The text is RabbitMQ's reason."""


@dataclass(frozen=True, slots=True)
class ResourceServer:
    """One audience, and what its tokens must have. `provider`: who issues them, a name in `oauth_providers`; empty: the
    issuer of the section itself."""

    id: str
    scope_prefix: str
    verify_aud: bool
    require_exp: bool
    additional_scopes_key: str
    scope_aliases: Mapping[str, str]
    preferred_username_claims: tuple[str, ...]
    resource_server_type: str
    provider: str


class ResourceServers:
    """All of them. `root`: that of the section itself; the others take from it what they do not say."""

    def __init__(self, settings: OAuth2) -> None:
        self.root = _root(settings)
        self.others = {
            found.id: found
            for name, given in settings.resource_servers.items()
            for found in (_merged(given.id or name, given, settings, self.root),)
        }

    def __bool__(self) -> bool:
        """Whether there is an audience, or any is accepted."""
        return bool(self.root.id or self.others or not self.root.verify_aud)

    def resolve(self, audience: object) -> ResourceServer:
        """Return who a token is for; `audience`: its claim `aud`, None if it has none. Raises `AudienceRefused`."""
        if audience is None:
            return self._only_unverified(
                "no_aud_found", "no_aud_found_cannot_pick_one_from_too_many_resource_servers"
            )
        given = audience.split() if isinstance(audience, str) else audience
        named = [*self.others.values(), *([self.root] if self.root.id else [])]
        found = [
            server
            for one in (given if isinstance(given, list) else [])
            for server in named
            if server.id == one
        ]
        if len(found) > 1:
            raise AudienceRefused("aud_matched_many_resource_servers_only_one_allowed")
        if found:
            return found[0]
        return self._only_unverified("no_matching_aud_found", "too_many_resources_with_verify_aud_false")

    def _only_unverified(self, none: str, many: str) -> ResourceServer:
        """Return the only resource server that takes tokens for others. Raises `AudienceRefused`."""
        found = {server.id: server for server in self.others.values() if not server.verify_aud}
        if not self.root.verify_aud and self.root.id:
            found[self.root.id] = self.root
        if not found and not self.root.verify_aud:
            return self.root  # RabbitMQ needs a name for it; without one it refuses all tokens
        if len(found) != 1:
            raise AudienceRefused(many if found else none)
        return next(iter(found.values()))


def _root(settings: OAuth2) -> ResourceServer:
    own = f"{settings.resource_server_id}." if settings.resource_server_id else ""
    return ResourceServer(
        id=settings.resource_server_id,
        scope_prefix=own if settings.scope_prefix == "default" else settings.scope_prefix,
        verify_aud=settings.verify_aud,
        require_exp=settings.require_exp,
        additional_scopes_key=settings.additional_scopes_key,
        scope_aliases=settings.scope_aliases,
        preferred_username_claims=settings.preferred_username_claims,
        resource_server_type=settings.resource_server_type,
        provider=settings.default_oauth_provider,
    )


def _merged(name: str, given: Given, settings: OAuth2, root: ResourceServer) -> ResourceServer:
    """Return a resource server with what `root` says where it says nothing. The prefix of scopes is its own name."""
    prefix = given.scope_prefix
    if prefix is None:
        prefix = f"{name}." if settings.scope_prefix == "default" else settings.scope_prefix
    return ResourceServer(
        id=name,
        scope_prefix=prefix,
        verify_aud=root.verify_aud if given.verify_aud is None else given.verify_aud,
        require_exp=root.require_exp if given.require_exp is None else given.require_exp,
        additional_scopes_key=_or(given.additional_scopes_key, root.additional_scopes_key),
        scope_aliases=root.scope_aliases if given.scope_aliases is None else given.scope_aliases,
        preferred_username_claims=(
            root.preferred_username_claims
            if given.preferred_username_claims is None
            else given.preferred_username_claims
        ),
        resource_server_type=_or(given.resource_server_type, root.resource_server_type),
        provider=_or(given.oauth_provider, root.provider),
    )


def _or(given: str | None, otherwise: str) -> str:
    return otherwise if given is None else given


def providers(settings: OAuth2) -> dict[str, OAuthProvider]:
    """Return all issuers by name; the empty name is the section itself."""
    own = OAuthProvider(
        **{field: getattr(settings, field) for field in OAuthProvider.__struct_fields__}  # the same names
    )
    return {"": own, **settings.oauth_providers}
