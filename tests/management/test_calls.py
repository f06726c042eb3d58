"""Login, refusals, and what all calls have in common (texts seen on RabbitMQ 4.3.6)."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

import pytest

from leveret import errors
from leveret.management import resources
from leveret.management.call import refused

from .conftest import Api

MISSING = {"error": "Object Not Found", "reason": "Not Found"}


async def test_a_request_without_credentials_is_asked_for_them(api: Api) -> None:
    assert await api("GET", "overview", auth=None) == (401, None)
    assert api.headers["WWW-Authenticate"] == 'Basic realm="RabbitMQ Management"'


@pytest.mark.parametrize("credentials", [("guest", "wrong"), ("nobody", "guest"), ("", "")])
async def test_wrong_credentials_are_refused(api: Api, credentials: tuple[str, str]) -> None:
    answer = await api("GET", "overview", auth=credentials)
    assert answer == (401, {"error": "not_authorized", "reason": "Not_Authorized"})


async def test_a_user_without_tags_is_refused(api: Api) -> None:
    credentials = await api.user("plain", "")
    answer = await api("GET", "whoami", auth=credentials)
    assert answer == (401, {"error": "not_authorised", "reason": "Not management user"})


async def test_unknown_paths_are_404(api: Api) -> None:
    for path in ("nope", "queues/%2F/q/nope", "health/checks/nope"):
        assert await api("GET", path) == (404, MISSING)


async def test_a_wrong_method_is_answered_with_the_allowed_ones(api: Api) -> None:
    assert await api("POST", "overview") == (405, None)
    assert api.headers["Allow"] == "HEAD, GET, OPTIONS"
    assert await api("OPTIONS", "queues/%2F/q") == (200, None)
    assert api.headers["Allow"] == "HEAD, GET, PUT, DELETE, OPTIONS"


async def test_head_is_get_without_its_body(api: Api) -> None:
    assert await api("HEAD", "users") == (200, None)


@pytest.mark.parametrize("body", [b"junk", b"[]", b"\xff"])
async def test_a_body_that_is_not_an_object_is_refused(api: Api, body: bytes) -> None:
    answer = await api("PUT", "users/u", body)
    assert answer == (400, {"error": "bad_request", "reason": "not_json"})


async def test_a_body_that_is_a_string_is_refused(api: Api) -> None:
    reason = "invalid payload: the request body JSON-decoded to a string. Is the input doubly-JSON-encoded?"
    assert await api("PUT", "users/u", b'"{}"') == (400, {"error": "bad_request", "reason": reason})


async def test_booleans_may_be_strings(api: Api) -> None:
    assert (await api("PUT", "queues/%2F/q", {"durable": "true"}))[0] == 201
    assert (await api.get("queues/%2F/q"))["durable"] is True
    answer = await api("PUT", "queues/%2F/q", {"durable": "maybe"})
    assert answer == (400, {"error": "bad_request", "reason": ["not_boolean", "maybe"]})


async def test_an_exception_is_an_empty_500_and_the_next_call_works(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.get("whoami")  # the first call imports what serves it
    methods, _ = api.node.http.http.paths.find(["whoami"])  # type: ignore[union-attr, misc]
    monkeypatch.setitem(methods, "GET", lambda call: 1 / 0)
    assert await api("GET", "whoami") == (500, None)
    assert (await api("GET", "overview"))[0] == 200


def test_errors_of_the_engine_have_an_http_status() -> None:
    answer = refused(errors.access_refused("write", "queue 'q' in vhost '/'", "u", True))
    assert (answer.status, answer.reason) == (401, "Access refused.")
    answer = refused(errors.queue_not_empty("q", "/"))
    assert (answer.status, answer.reason) == (400, "queue 'q' in vhost '/' not empty")
    answer = refused(errors.queue_not_found("q", "/"))
    assert (answer.status, answer.error, answer.reason) == (404, "not_found", "no queue 'q' in vhost '/'")


async def test_names_in_paths_are_percent_encoded(api: Api) -> None:
    assert (await api("PUT", "vhosts/a%2Fb%20c"))[0] == 201
    assert (await api.get("vhosts/a%2Fb%20c"))["name"] == "a/b c"
    assert (await api("PUT", "queues/a%2Fb%20c/x%2By"))[0] == 201
    assert (await api.get("queues/a%2Fb%20c/x+y"))["name"] == "x+y"


async def test_virtual_hosts_without_access_are_not_found(api: Api) -> None:
    await api("PUT", "vhosts/theirs")
    credentials = await api.user("m", "management")
    answer = await api("GET", "queues/theirs", auth=credentials)
    assert answer == (404, {"error": "not_found", "reason": "Not Found"})
    assert await api("GET", "queues/nope", auth=credentials) == (404, MISSING)
    assert (await api("GET", "queues/%2F", auth=credentials))[0] == 200


def test_every_resource_is_served_at_one_path() -> None:
    modules = [import_module(f"{resources.__name__}.{one.name}") for one in iter_modules(resources.__path__)]
    paths = [path for module in modules for path in module.ROUTES]
    assert sorted(paths) == sorted(resources.ROUTES)
