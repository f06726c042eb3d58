"""An issuer of tokens: keys of all kinds, and the set of keys that it serves."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

#: Permissions for everything.
ALL = "rabbitmq.configure:*/* rabbitmq.write:*/* rabbitmq.read:*/* rabbitmq.write:*/*/* rabbitmq.read:*/*/*"

_PRIVATE: dict[str, Any] = {}


def private(kind: str) -> Any:
    """A key of a kind; RSA keys take long to make, so there is one."""
    if kind not in _PRIVATE:
        if kind == "RS256":
            _PRIVATE[kind] = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        elif kind == "ES256":
            _PRIVATE[kind] = ec.generate_private_key(ec.SECP256R1())
        elif kind == "EdDSA":
            _PRIVATE[kind] = ed25519.Ed25519PrivateKey.generate()
        else:
            _PRIVATE[kind] = b"a secret of thirty-two octets, at least"
    return _PRIVATE[kind]


_JWK = {
    "RS256": jwt.algorithms.RSAAlgorithm,
    "ES256": jwt.algorithms.ECAlgorithm,
    "EdDSA": jwt.algorithms.OKPAlgorithm,
    "HS256": jwt.algorithms.HMACAlgorithm,
}


def jwk(kind: str, name: str) -> dict[str, Any]:
    """The public key, or the secret of HS256, as a JWK."""
    key = private(kind)
    public = key if kind == "HS256" else key.public_key()
    return {**json.loads(_JWK[kind].to_jwk(public)), "kid": name}


def pem(kind: str, path: Path) -> str:
    """Write the public key, and return the path."""
    path.write_bytes(private(kind).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return str(path)


def token(
    scope: object = ALL,
    *,
    kind: str = "ES256",
    kid: str | None = "k",
    seconds: float | None = 3600,
    key: Any = None,
    **claims: object,
) -> str:
    """A token for the resource server `rabbitmq` that expires after so many seconds."""
    payload: dict[str, object] = {"sub": "alice", "aud": "rabbitmq", "scope": scope}
    if seconds is not None:
        payload["exp"] = time.time() + seconds
    payload |= claims
    payload = {name: value for name, value in payload.items() if value is not None}
    headers = {"kid": kid} if kid is not None else {}
    return jwt.encode(payload, key or private(kind), algorithm=kind, headers=headers)
