"""Logins over HTTP: `/api/login`, `/api/auth/attempts`, `/api/auth/hash_password`."""

from __future__ import annotations

import base64

from leveret.engine.auth_attempts import AuthAttempts, Key
from leveret.engine.users import hash_password
from leveret.management.call import Call, Handler, Refusal, Reply, Resource, Routes, bad_request, missing
from leveret.management.forms import form_fields
from leveret.management.json import Json
from leveret.management.negotiation import content_type
from leveret.management.page_login import login_settings
from leveret.management.views.users import whoami

FORM = "application/x-www-form-urlencoded"


def login(call: Call) -> object:
    """POST a form with username and password: what to send as HTTP Basic from then on, as the web page asks for."""
    form = form_fields(call.content, ("username", "password"))
    name, password = form.get("username", ""), form.get("password", "")
    call.log_in_as(name, password)
    if content_type(call.headers.get("Content-Type", "-/-"))[0] != FORM:
        raise Refusal(415, "", "")
    token = base64.b64encode(f"{name}:{password}".encode()).decode()
    if call.api.login_cookie is not None:
        cookie = {"Set-Cookie": f"auth={token}{call.api.login_cookie}", "Content-Type": "application/json"}
        return Reply(200, b'"ok"', cookie, shown=True)
    timeout = call.broker.settings.management.login_session_timeout
    user = whoami(call.user, call.api) | ({"login_session_timeout": timeout} if timeout else {})
    return {"user": user, "token": {"type": "basic", "value": token}}


def page_settings(call: Call) -> object:
    """GET auth: the settings of OAuth 2, as the web page of older versions asks for."""
    found = login_settings(call.broker.settings)
    return (
        found
        if found["oauth_enabled"] and "oauth_enabled" in call.api.page_settings
        else call.api.page_settings
    )


def logout(call: Call) -> None:
    """DELETE: there is no session that could end."""


def _need_node(call: Call) -> None:
    if call.path["node"] != call.site.node_name:
        raise missing()


def attempts(call: Call) -> object:
    """GET: how many logins there were, by protocol."""
    _need_node(call)
    found = call.site.attempts
    return [{"protocol": key.protocol} | _counts(found, key) for key in found.keys(sources=False)]


def attempts_by_source(call: Call) -> object:
    """GET source: by address and user, too, if that is configured."""
    _need_node(call)
    found = call.site.attempts
    return [
        {"remote_address": key.address, "username": key.user, "protocol": key.protocol} | _counts(found, key)
        for key in found.keys(sources=True)
    ]


def _counts(found: AuthAttempts, key: Key) -> Json:
    failed, succeeded = found.failed.get(key, 0), found.succeeded.get(key, 0)
    return {
        "auth_attempts": failed + succeeded,
        "auth_attempts_failed": failed,
        "auth_attempts_succeeded": succeeded,
    }


def reset_attempts(call: Call) -> None:
    """DELETE: count from 0 again."""
    _need_node(call)
    call.site.attempts.reset()


def _may(call: Call) -> None:
    if call.method == "DELETE":
        call.need_administrator()
    else:
        call.need_monitor()


def hashed(call: Call) -> object:
    """GET: the hash of a password, for `password_hash` of a user."""
    if not call.path["password"]:
        raise bad_request("password_not_present")
    return {"ok": base64.b64encode(_hashed(call)).decode()}


def _hashed(call: Call) -> bytes:
    return hash_password(call.path["password"], call.broker.access.users.algorithm)


def _attempts(handler: Handler) -> Resource:
    return Resource({"GET": handler, "DELETE": reset_attempts}, may=_may, of_node=True)


#: What versions whose logins are cookies have instead of that: without a logout, and with settings of the page.
OLD_ROUTES: Routes = {
    "login": Resource({"POST": login}, public=True),
    "auth": Resource({"GET": page_settings}, public=True),
}

ROUTES: Routes = {
    "login": Resource({"POST": login, "DELETE": logout}, public=True),
    "auth/attempts/{node}": _attempts(attempts),
    "auth/attempts/{node}/source": _attempts(attempts_by_source),
    "auth/hash_password/{password}": Resource({"GET": hashed}, head=False, may=Call.need_administrator),
}
