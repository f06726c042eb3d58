"""Login, refusals, and what all calls have in common (texts seen on RabbitMQ 4.3.6)."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

import pytest
from yarl import URL

from leveret import errors
from leveret.management import page_login, resources
from leveret.management.call import refused

from .conftest import GUEST, Api, authorization

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
    for path in ("nope", "queues/vhost/q/nope", "health/checks/nope"):
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


@pytest.mark.parametrize("place", ["queues/%2F/q", "exchanges/%2F/e"])
@pytest.mark.parametrize("field", ["internal", "passive"])
async def test_what_is_no_boolean_is_refused_also_where_it_means_nothing(
    api: Api, place: str, field: str
) -> None:
    answer = await api("PUT", place, {field: "x"})
    assert answer == (400, {"error": "bad_request", "reason": ["not_boolean", "x"]})


async def test_an_exclusive_queue_and_a_passive_declaration_take_no_strings(api: Api) -> None:
    for field in ("exclusive", "passive"):
        assert (await api("PUT", "queues/%2F/q", {field: "true"}))[0] == 400
    missing = {"error": "not_found", "reason": "no exchange 'e' in vhost '/'"}
    assert await api("PUT", "exchanges/%2F/e", {"passive": True}) == (404, missing)


@pytest.mark.parametrize("place", ["queues/%2F/q", "exchanges/%2F/e"])
async def test_a_declaration_names_this_node_and_has_arguments_in_an_object(api: Api, place: str) -> None:
    refusal = {"error": "bad_request", "reason": "Node x is not a cluster member"}
    assert await api("PUT", place, {"node": "x"}) == (400, refusal)
    for value in (None, 0, False, "", "x"):
        refusal = {"error": "bad_request", "reason": "arguments_not_an_object"}
        assert await api("PUT", place, {"arguments": value}) == (400, refusal)
    assert await api("PUT", place, {"arguments": []}) == (201, None)


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
    paths = [path for module in (*modules, page_login) for path in module.ROUTES]
    assert sorted(paths) == sorted(resources.ROUTES)


async def test_conditions_of_a_change_are_checked_before_it(api: Api) -> None:
    path, body = "queues/%2F/conditional", {"durable": True}
    assert (await api("PUT", path, body, headers={"If-Match": "*"}))[0] == 412
    assert (await api("PUT", path, body, headers={"If-None-Match": "*"}))[0] == 201
    assert (await api("PUT", path, body, headers={"If-None-Match": "*"}))[0] == 412
    assert (await api("PUT", path, body, headers={"If-Match": "*"}))[0] == 204
    assert (await api("DELETE", path, headers={"If-Match": '"tag"'}))[0] == 412
    assert (await api("DELETE", path, headers={"If-Match": "*"}))[0] == 204
    assert (await api("DELETE", path, headers={"If-Match": "*"}))[0] == 412
    assert (await api("DELETE", path))[0] == 404


async def test_a_virtual_host_in_a_header_limits_lists(api: Api) -> None:
    assert (await api("PUT", "vhosts/other", {}))[0] == 201
    for vhost in ("%2F", "other"):
        assert (await api("PUT", f"queues/{vhost}/of-{vhost}", {"durable": True}))[0] == 201
    _, found = await api("GET", "queues?columns=name", headers={"X-VHost": "other"})
    assert found == [{"name": "of-other"}]
    _, found = await api("GET", "queues?columns=name", headers={"X-VHost": ""})
    assert len(found) == 2
    assert (await api("GET", "queues", headers={"X-VHost": "nosuch"}))[0] == 404
    assert await api("GET", "connections", headers={"X-VHost": "nosuch"}) == (200, [])


@pytest.mark.parametrize("path", ["nosuch/%2F", "queues/%2F/q/nosuch", "nosuch/a%5Cb", "nosuch/a%00b"])
async def test_a_path_that_no_file_can_have_is_malformed_where_there_is_nothing(api: Api, path: str) -> None:
    assert [(await api(method, path))[0] for method in ("GET", "OPTIONS", "PUT")] == [400, 400, 405]


@pytest.mark.parametrize("path", ["queues/%2F/%FF", "exchanges/%2F/%FF", "vhosts/%FF", "users/%FF"])
async def test_names_that_are_not_utf_8_are_refused_and_lists_are_still_shown(api: Api, path: str) -> None:
    """RabbitMQ makes such an object, and fails over each list with it."""
    url = URL(f"http://127.0.0.1:{api.port}/api/{path}", encoded=True)
    body = b'{"password": "p", "tags": ""}'
    headers = {**authorization(*GUEST), "Content-Type": "application/json"}
    async with api.session.put(url, data=body, headers=headers) as response:
        assert (response.status, await response.read()) == (
            400,
            b'{"error":"bad_request","reason":"names must be UTF-8"}',
        )
    assert await api.get(path.partition("/")[0]) is not None


@pytest.mark.parametrize(
    "path", ["whoami?=x", "whoami?a=b&=c", "queues/%2F/<b>", "queues/%2F/a|b", "queues/%2F/a[b]"]
)
async def test_addresses_with_what_no_address_has_are_malformed(api: Api, path: str) -> None:
    url = URL(f"http://127.0.0.1:{api.port}/api/{path}", encoded=True)
    async with api.session.get(url, headers=authorization(*GUEST)) as response:
        assert response.status == 400


async def test_numbers_in_addresses_have_digits_only(api: Api) -> None:
    for path in ("queues?page=%201", "queues?page=1_0", "queues?page=x", "health/checks/port-listener/1%20"):
        assert (await api("GET", path))[0] == 400
    assert (await api("GET", "queues?page=%2B1"))[0] == 200


async def test_a_method_that_no_resource_knows_is_not_implemented(api: Api) -> None:
    assert await api("LINK", "queues") == (501, None)
    assert "Allow" not in api.headers
    assert api.headers["Vary"] == "origin, accept-encoding"
