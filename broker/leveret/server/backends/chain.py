"""Makes the backends that the settings name."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from leveret.auth_settings import BACKENDS, UNAVAILABLE_BACKENDS
from leveret.config import ConfigError
from leveret.engine.authentication import AuthenticationBackend, InternalBackend

if TYPE_CHECKING:
    from leveret.auth_settings import OAuthProvider
    from leveret.engine.broker import Broker
    from leveret.server.backends.asker import Asker
    from leveret.server.backends.cache import AnswerCache
    from leveret.server.backends.web import WebClient
    from leveret.server.sockets import Edge


class Chain:
    """The backends of a node. `backends`: in the order in which they are asked."""

    def __init__(self, broker: Broker, edge: Edge) -> None:
        self.broker = broker
        self.edge = edge
        self.backends: list[AuthenticationBackend] = []
        self._made: dict[str, AuthenticationBackend] = {}
        self._asker: Asker | None = None
        self._cached: AnswerCache | None = None
        self._closing: list[Callable[[], Awaitable[None]]] = []

    def make(self) -> None:
        """Make all backends. Raises `ConfigError`."""
        self.backends = [
            self._backend(name, "access.backends") for name in self.broker.settings.access.backends
        ]

    def clear_cache(self) -> bool:
        """Forget what the backend `cache` keeps (rabbitmqctl clear_auth_backend_cache). False if there is none."""
        if self._cached is None:
            return False
        self._cached.clear()
        return True

    async def stop(self) -> None:
        """Give up questions without an answer, and close connections."""
        if self._asker is not None:
            await self._asker.stop()
        for close in self._closing:
            await close()

    @property
    def asker(self) -> Asker:
        """Runs the questions."""
        from leveret.server.backends.asker import Asker

        if self._asker is None:
            self._asker = Asker(self.edge, self.broker.faults)
        return self._asker

    def _backend(self, name: str, setting: str) -> AuthenticationBackend:
        """Return the backend of that name, or of two names with a slash. Raises `ConfigError`."""
        authn, slash, authz = name.partition("/")
        if slash and authn != authz:
            from leveret.server.backends.split import SplitBackend

            return SplitBackend(self._one(authn, setting), self._one(authz, setting))
        return self._one(authn, setting)

    def _one(self, name: str, setting: str) -> AuthenticationBackend:
        makers = {
            "internal": self._internal,
            "http": self._http,
            "oauth2": self._oauth2,
            "cache": self._cache,
        }
        if name not in makers:
            reason = UNAVAILABLE_BACKENDS.get(name, "there is no such backend")
            raise ConfigError(setting, "", f"auth backend {name}: {reason}", ", ".join(BACKENDS))
        if name not in self._made:
            self._made[name] = makers[name]()
        return self._made[name]

    def _internal(self) -> AuthenticationBackend:
        return InternalBackend(self.broker.access.users)

    def _http(self) -> AuthenticationBackend:
        from leveret.server.backends.http import HttpBackend, HttpService
        from leveret.server.backends.web import WebClient, client_context

        settings = self.broker.settings.auth_http
        try:
            context = client_context(
                settings.cacertfile,
                settings.certfile,
                settings.keyfile,
                settings.verify,
                check_host=settings.hostname_verification,
            )
        except (OSError, ssl.SSLError) as error:
            raise ConfigError("auth_http", "cacertfile, certfile, keyfile", str(error)) from None
        web = WebClient(context, settings.connection_timeout / 1000, settings.request_timeout / 1000)
        self._closing.append(web.close)
        return HttpBackend(HttpService(settings, self.asker, web))

    def _oauth2(self) -> AuthenticationBackend:
        try:
            from leveret.server.backends.keys import Keys, UnusableKey
            from leveret.server.backends.oauth2 import OAuth2Backend
        except ImportError as error:
            problem = f"the backend oauth2 needs {error.name}: install leveret[oauth2]"
            raise ConfigError("access.backends", "", problem) from None
        from leveret.server.backends.resource_servers import ResourceServers, providers

        settings = self.broker.settings.auth_oauth2
        servers = ResourceServers(settings)
        if not servers:
            raise ConfigError("auth_oauth2", "resource_server_id", "is needed: tokens are for it")
        try:
            keys = {
                name: Keys(provider, self._web(provider), self.edge.timer)
                for name, provider in providers(settings).items()
            }
        except (OSError, ssl.SSLError, UnusableKey) as error:
            raise ConfigError("auth_oauth2", "", str(error)) from None
        return OAuth2Backend(servers, keys, self.asker, self.broker.clock)

    def _web(self, provider: OAuthProvider) -> WebClient:
        """Return a client for an issuer. Raises `OSError`, `ssl.SSLError`."""
        from leveret.server.backends.web import WebClient, client_context

        context = None
        if provider.issuer or provider.jwks_uri:
            context = client_context(
                provider.cacertfile, "", "", provider.verify, check_host=provider.hostname_verification
            )
        web = WebClient(context, 15.0, 15.0)
        self._closing.append(web.close)
        return web

    def _cache(self) -> AuthenticationBackend:
        from leveret.server.backends.cache import AnswerCache, CacheBackend

        settings = self.broker.settings.auth_cache
        if "cache" in settings.backend.split("/"):
            raise ConfigError(
                "auth_cache", "backend", "the cache cannot ask itself", "internal, http, oauth2"
            )
        self._cached = AnswerCache(settings, self.broker.clock)
        return CacheBackend(self._backend(settings.backend, "auth_cache.backend"), self._cached)
