"""Authentication backends: they decide whether a user name and a password are right (rabbit_authn_backend).

`Access` asks its backends in order. A backend that must ask somebody else raises `Suspended` with a job; when that has
ended, the login is repeated, and the backend finds the answer in `Login.answers`. The user that a backend returns says
who decides what that user may do: the internal database, or an `Authority` (`authorization.py`).
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Protocol

from msgspec import Struct, field

from leveret.engine.authorization import Refused
from leveret.engine.users import DUMMY, User, Users

__all__ = ["AuthenticationBackend", "InternalBackend", "Login", "Refused"]


class Login(Struct, eq=False):
    """One attempt to log in, which may be repeated until all answers are there.

    `password`: None if the name was authenticated by a certificate. `address`, `loopback`: the client's, and whether it
    is on this machine. `answers`: what backends have found out so far.
    """

    name: str
    password: str | None
    address: str = ""
    loopback: bool = True
    answers: dict[Hashable, object] = field(default_factory=dict)


class AuthenticationBackend(Protocol):
    """What `Access` needs of a backend."""

    def authenticate(self, login: Login) -> User | Refused:
        """Return the user, or the reason for the log. Raises `Suspended` if the answer is not there yet."""


class InternalBackend:
    """The users of the broker (rabbit_auth_backend_internal)."""

    def __init__(self, users: Users) -> None:
        self.users = users

    def authenticate(self, login: Login) -> User | Refused:
        """Compare the password with the user's hash. Names that do not exist cost as much time as those that do."""
        name, password = login.name, login.password
        if password == "":
            return Refused(
                f"user '{name}' attempted to log in with a blank password, which is prohibited by the "
                "internal authN backend. To use TLS/x509 certificate-based authentication, see the "
                "rabbitmq_auth_mechanism_ssl plugin and configure the client to use the EXTERNAL "
                "authentication mechanism. Alternatively change the password for the user to be non-blank."
            )
        user = self.users.get(name)
        right = password is None or (user or DUMMY).verify(password)
        if user is None or not right:
            return Refused(f"user '{name}' - invalid credentials")
        return user
