"""The backend `http`: a web service decides who may log in, and what each may do (rabbit_auth_backend_http).

It is asked by four paths with a query or a form, and answers `allow`, for users with their tags behind it, or `deny`. A
service that is down refuses everybody, until it answers again. Nothing is kept here: each login asks again, and each
permission that the channel does not remember (`Delegated`).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from urllib.parse import quote_plus

from leveret.auth_settings import HttpAuth
from leveret.engine.authentication import Login, Refused
from leveret.engine.authorization import ALLOWED, DENIED, Renewed, Verdict
from leveret.engine.users import User
from leveret.server.backends.asker import Asker
from leveret.server.backends.web import Unanswered, WebClient
from leveret.work import Suspended

log = logging.getLogger("leveret")

#: RabbitMQ's name of the backend, in its texts.
MODULE = "rabbit_auth_backend_http"

Fields = Sequence[tuple[str, str]]


class HttpService:
    """The web service."""

    def __init__(self, settings: HttpAuth, asker: Asker, web: WebClient) -> None:
        self.settings = settings
        self.asker = asker
        self.web = web

    async def ask(self, path: str, fields: Fields) -> str:
        """Return the answer. Raises `Unanswered`."""
        query = "&".join(f"{name}={quote_plus(value, errors='surrogateescape')}" for name, value in fields)
        if self.settings.method == "post":
            return await self.web.post(path, query)
        return await self.web.get(path, query)


class HttpBackend:
    """Asks the web service whether a name and a password are right."""

    def __init__(self, service: HttpService) -> None:
        self.service = service

    def authenticate(self, login: Login) -> User | Refused:
        """Return the user with the tags in the answer. Raises `Suspended` until it is there."""
        outcome = login.answers.get(self)
        if isinstance(outcome, User | Refused):
            return outcome
        raise Suspended(self.service.asker.begin(self._ask(login)))

    async def _ask(self, login: Login) -> None:
        fields = [("username", login.name)]
        if login.password is not None:
            fields.append(("password", login.password))
        try:
            answer = await self.service.ask(self.service.settings.user_path, fields)
            login.answers[self] = self._outcome(login.name, answer)
        except Unanswered as error:
            text = f"{MODULE} failed authenticating {login.name}: {error}"
            log.error("%s", text)
            login.answers[self] = Refused(text, unanswered=True)

    def _outcome(self, name: str, answer: str) -> User | Refused:
        if answer.startswith("deny "):
            log.info("HTTP authentication denied for user '%s': %s", name, answer[5:])
        elif answer.lower().startswith("allow"):
            tags = tuple(answer[5:].split())
            return User(name, tags=tags, authority=HttpAuthority(self.service, name, tags))
        elif answer.lower() != "deny":
            return Refused(
                f'{MODULE} failed authenticating {name}: {{bad_response,"{answer}"}}', unanswered=True
            )
        return Refused("Denied by the backing HTTP service")


class HttpAuthority:
    """Asks the web service what one user may do."""

    asks = True
    expires_at = None

    def __init__(self, service: HttpService, name: str, tags: tuple[str, ...]) -> None:
        self.service = service
        self.name = name
        self.tags = " ".join(tags)
        self._answers: dict[tuple[str, Fields], Verdict] = {}

    def may_open(self, vhost: str, address: str) -> Verdict:
        """Ask about a virtual host."""
        path = self.service.settings.vhost_path
        return self._verdict(path, [("vhost", vhost), ("ip", address), ("tags", self.tags)])

    def may_use(self, vhost: str, kind: str, name: str, permission: str) -> Verdict:
        """Ask about a queue or an exchange."""
        fields = [("vhost", vhost), ("resource", kind), ("name", name), ("permission", permission)]
        return self._verdict(self.service.settings.resource_path, [*fields, ("tags", self.tags)])

    def may_use_key(self, vhost: str, exchange: str, key: str, permission: str) -> Verdict:
        """Ask about a routing key."""
        fields = [("vhost", vhost), ("resource", "topic"), ("name", exchange), ("permission", permission)]
        fields += [("tags", self.tags), ("routing_key", key)]
        fields += [("variable_map.username", self.name), ("variable_map.vhost", vhost)]
        return self._verdict(self.service.settings.topic_path, fields)

    def renew(self, secret: str) -> Renewed | Refused | None:
        """These credentials do not expire."""
        return None

    def _verdict(self, path: str, fields: Fields) -> Verdict:
        """Return the answer to a question, once. Raises `Suspended` until it is there."""
        question = (path, (("username", self.name), *fields))
        answer = self._answers.pop(question, None)
        if answer is None:
            raise Suspended(self.service.asker.begin(self._ask(*question)))
        return answer

    async def _ask(self, path: str, fields: Fields) -> None:
        self._answers[path, fields] = await self._asked(path, fields)

    async def _asked(self, path: str, fields: Fields) -> Verdict:
        try:
            answer = await self.service.ask(path, fields)
        except Unanswered as error:
            log.error("%s: no answer for user '%s': %s", path, self.name, error)
            more = f", backend {MODULE} returned an error: {error}"
            return Verdict(False, more, unanswered=True)
        if answer.startswith("deny "):
            log.info("HTTP authorization denied for path %s and user '%s': %s", path, self.name, answer[5:])
            if self.service.settings.authorization_failure_disclosure:
                return Verdict(False, f" by backend {MODULE}: {answer[5:]}")
            return DENIED
        if answer.lower() == "allow":
            return ALLOWED
        if answer.lower() != "deny":
            log.error("%s: neither allow nor deny for user '%s': %.100s", path, self.name, answer)
        return DENIED
