"""Authentication backends: they decide whether a user name and a password are right (rabbit_authn_backend).

A backend must answer at once, because the engine does no I/O. `Access` asks its backends in order. What a user may do,
and a user's limits, do not depend on the backend: `Access` has them by user name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from leveret.engine.users import User, Users


@dataclass(frozen=True, slots=True)
class Refused:
    """A login that failed. `log`: the line for the log; clients learn only that they were refused."""

    log: str


class AuthenticationBackend(Protocol):
    """What `Access` needs of a backend."""

    def authenticate(self, name: str, password: str) -> User | Refused:
        """Return the user, or the reason for the log."""


class InternalBackend:
    """The users of the broker (rabbit_auth_backend_internal)."""

    def __init__(self, users: Users) -> None:
        self.users = users

    def authenticate(self, name: str, password: str) -> User | Refused:
        """Compare the password with the user's hash."""
        if not password:
            return Refused(
                f"user '{name}' attempted to log in with a blank password, which is prohibited by the "
                "internal authN backend. To use TLS/x509 certificate-based authentication, see the "
                "rabbitmq_auth_mechanism_ssl plugin and configure the client to use the EXTERNAL "
                "authentication mechanism. Alternatively change the password for the user to be non-blank."
            )
        user = self.users.get(name)
        if user is None or not user.verify(password):
            return Refused(f"user '{name}' - invalid credentials")
        return user
