"""`auth_backends.N.authn` and `.authz`: one backend says who it is, another what they may do."""

from __future__ import annotations

from dataclasses import replace

from leveret.engine.authentication import AuthenticationBackend, InternalBackend, Login, Refused
from leveret.engine.users import User


class SplitBackend:
    """Authenticates with one backend, and then logs in at another without a password
    (rabbit_access_control:try_authenticate_and_try_authorize). Its tags are added."""

    def __init__(self, authn: AuthenticationBackend, authz: AuthenticationBackend) -> None:
        self.authn = authn
        self.authz = authz

    def authenticate(self, login: Login) -> User | Refused:
        """Ask both. Raises `Suspended`."""
        user = self.authn.authenticate(login)  # its answer stays in `login`
        if isinstance(user, Refused):
            return user
        second = login.answers.get(self)
        if not isinstance(second, Login):
            # The internal database needs no password now; a web service or a token does (user_login_authorization).
            password = None if isinstance(self.authz, InternalBackend) else login.password
            second = login.answers[self] = Login(user.name, password, login.address, login.loopback)
        allowed = self.authz.authenticate(second)
        if isinstance(allowed, Refused):
            return allowed
        tags = tuple(dict.fromkeys((*user.tags, *allowed.tags)))
        return replace(allowed, name=user.name, tags=tags)
