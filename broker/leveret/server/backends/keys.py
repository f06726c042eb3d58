"""Keys that tokens are signed with: from files, and from an issuer by URL (uaa_jwt, rabbit_oauth2_provider)."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlencode, urlsplit, urlunsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate

from leveret.auth_settings import OAuthProvider, is_inline
from leveret.server.backends.web import Unanswered, WebClient
from leveret.wire.erlang import Atom, Term

log = logging.getLogger("leveret")

#: Time between two downloads: tokens with keys that do not exist must not make the broker ask all the time, seconds.
MIN_INTERVAL_S = 1.0

_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_EC = ("ES256", "ES384", "ES512")


#: A key of PyJWT: octets of a secret, or a public key of cryptography.
Material: TypeAlias = bytes | rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey


class Key:
    """A key and the algorithms that it can be used with: one of another kind must not be chosen by the token."""

    def __init__(self, key: Material, algorithms: tuple[str, ...]) -> None:
        self.key = key
        self.algorithms = algorithms


class UnusableKey(ValueError):  # noqa: N818  named by what the file holds
    """A key cannot be used."""


class Keys:
    """All keys of one issuer by their identifiers. `now`: returns seconds, of any clock."""

    def __init__(self, provider: OAuthProvider, web: WebClient, now: Callable[[], float]) -> None:
        self.provider = provider
        self.web = web
        self.now = now
        self._static = {name: read_key(path) for name, path in provider.signing_keys.items()}
        self._downloaded: dict[object, Key] = {}  # by what the issuer says: not always a text
        self._asked_at: float | None = None
        self._uri = provider.jwks_uri

    def find(self, name: str | None) -> Key | None:
        """Return a key, or None. Downloaded ones come first."""
        return self._downloaded.get(name) or self._static.get(name or "")

    @property
    def missing(self) -> Term | None:
        """What the settings do not say, as RabbitMQ's reason; None if keys can be downloaded."""
        if self._uri or self.provider.issuer:
            return None
        return Atom("missing_oauth_provider_attributes"), [Atom("issuer")]

    @property
    def may_download(self) -> bool:
        """Whether there is somebody to ask, and it is not too soon."""
        if self.missing is not None:
            return False
        return self._asked_at is None or self.now() - self._asked_at >= MIN_INTERVAL_S

    async def download(self) -> str:
        """Replace the downloaded keys. Returns what went wrong; then the former ones stay."""
        self._asked_at = self.now()
        try:
            if not self._uri:
                self._uri = await self._discovered()
            keys = dict(_usable(json.loads(await self.web.get(self._uri))["keys"]))
        except Unanswered as error:
            return self._failed(f"{{unexpected_status_code,{error.status}}}" if error.status else str(error))
        except (ValueError, LookupError, TypeError, AttributeError):
            return self._failed("invalid_jwks_response")
        if not keys:
            return self._failed("empty_jwks_response")
        self._downloaded = keys
        return ""

    async def _discovered(self) -> str:
        """Return the URL of the keys, as the issuer says it. Raises `Unanswered`, also if it does not say it."""
        url = discovery_url(self.provider)
        try:
            found = json.loads(await self.web.get(url))["jwks_uri"]
        except Unanswered as error:
            raise Unanswered(str(error)) from None
        except (ValueError, LookupError, TypeError):
            found = None
        if not isinstance(found, str):
            raise Unanswered("{missing_oauth_provider_attributes,[jwks_uri]}")
        return found

    def _failed(self, problem: str) -> str:
        log.error("Failed to download signing keys from %s: %s", self._uri or self.provider.issuer, problem)
        return problem


def discovery_url(provider: OAuthProvider) -> str:
    """Return the URL at which an issuer describes itself (oauth2_client:build_openid_discovery_endpoint)."""
    url = urlsplit(provider.issuer)
    path = f"{url.path.removesuffix('/')}/{provider.discovery_endpoint_path.removeprefix('/')}"
    query = "&".join(part for part in (url.query, urlencode(provider.discovery_endpoint_params)) if part)
    return urlunsplit((url.scheme, url.netloc, path, query, ""))


def _usable(jwks: Iterable[object]) -> Iterator[tuple[object, Key]]:
    """Yield the keys of a set that can verify tokens, by their identifiers. Others are for somebody else. Raises
    `TypeError`."""
    for jwk in jwks:
        if not isinstance(jwk, dict):
            raise TypeError(f"{jwk!r} is no key")
        try:
            yield jwk.get("kid"), from_jwk(jwk)
        except (ValueError, jwt.PyJWTError) as error:
            log.debug("signing key %s is not used: %s", jwk.get("kid"), error)


def read_key(source: str) -> Key:
    """Return a key: a public key or a certificate in PEM format, or a JWK. `source`: a file, or the key itself.

    Raises `UnusableKey`.
    """
    inline = is_inline(source)
    try:
        octets = source.encode() if inline else Path(source).read_bytes()
        if octets.lstrip().startswith(b"{"):
            return from_jwk(json.loads(octets))
        if b"CERTIFICATE" in octets:
            return from_public(load_pem_x509_certificate(octets).public_key())
        return from_public(load_pem_public_key(octets))
    except (OSError, ValueError, jwt.PyJWTError) as error:
        raise UnusableKey(f"{'signing key' if inline else source}: {error}") from None


def from_jwk(jwk: dict[str, object]) -> Key:
    """Return a key of a set. Raises `jwt.PyJWTError`, `ValueError`."""
    if jwk.get("kty") == "oct":
        return Key(jwt.algorithms.HMACAlgorithm.from_jwk(jwk), ("HS256", "HS384", "HS512"))
    return from_public(jwt.PyJWK.from_dict({key: value for key, value in jwk.items() if key != "alg"}).key)


def from_public(key: object) -> Key:
    """Return a public key. Raises `UnusableKey`."""
    if isinstance(key, rsa.RSAPublicKey):
        return Key(key, _RSA)
    if isinstance(key, ec.EllipticCurvePublicKey):
        return Key(key, _EC)
    if isinstance(key, ed25519.Ed25519PublicKey):
        return Key(key, ("EdDSA",))
    raise UnusableKey("neither RSA, EC nor Ed25519")
