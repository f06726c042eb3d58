"""Export and import of definitions over HTTP (answers of RabbitMQ 4.3.6)."""

from __future__ import annotations

import pytest
from aiohttp import FormData, MultipartWriter

from leveret.settings import Management

from .conftest import Api, Nodes, authorization

QUEUE = {"name": "q", "vhost": "/", "durable": True, "auto_delete": False, "arguments": {}}


def refused(reason: object) -> tuple[int, dict[str, object]]:
    return 400, {"error": "bad_request", "reason": reason}


@pytest.mark.parametrize("path", ["definitions", "all-configuration"])
async def test_a_round_trip(api: Api, nodes: Nodes, path: str) -> None:
    assert (await api("PUT", "vhosts/shop", {"description": "d", "tags": "a,b"}))[0] == 201
    assert (await api("PUT", "queues/shop/q", {"arguments": {"x-max-length": 5}, "durable": True}))[0] == 201
    assert (await api("PUT", "exchanges/shop/x", {"type": "topic"}))[0] == 201
    assert (await api("PUT", "policies/shop/p", {"pattern": "x", "definition": {"max-length": 1}}))[0] == 201
    document = await api.get(path)
    assert document["rabbitmq_definition_format"] == "cluster"
    other = await nodes()
    assert await other("POST", path, document) == (204, None)
    assert {**await other.get(path), "global_parameters": 0} == {**document, "global_parameters": 0}


async def test_one_virtual_host(api: Api) -> None:
    assert (await api("PUT", "vhosts/shop"))[0] == 201
    for vhost in ("shop", "%2F"):
        assert await api("POST", f"definitions/{vhost}", {"queues": [QUEUE]}) == (204, None)
        assert (await api.get(f"queues/{vhost}/q"))["durable"] is True
    shown = await api.get("definitions/shop")
    assert (shown["original_vhost_name"], shown["rabbitmq_definition_format"]) == (
        "shop",
        "single_virtual_host",
    )
    assert shown["queues"] == [
        {
            "name": "q",
            "type": "classic",
            "durable": True,
            "auto_delete": False,
            "arguments": {"x-queue-type": "classic"},
        }
    ]
    assert await api("GET", "definitions/nov") == refused("vhost_not_found")
    nowhere = (404, {"error": "not_found", "reason": "vhost_not_found"})
    assert await api("POST", "definitions/nov", {}) == nowhere


async def test_download(api: Api) -> None:
    assert (await api("GET", "definitions?download=a.json"))[0] == 200
    assert api.headers["Content-Disposition"] == "attachment; filename=a.json"
    assert api.headers["Allow"] == "HEAD, GET, POST, OPTIONS"
    tag = api.headers["ETag"]
    assert await api("GET", "definitions", headers={"If-None-Match": tag}) == (304, None)
    assert (await api("PUT", "vhosts/new"))[0] == 201
    assert (await api("GET", "definitions", headers={"If-None-Match": tag}))[0] == 200
    assert await api("GET", "definitions?download=a%20b") == (400, None)


@pytest.mark.parametrize("body", [b"junk", b"null", b"[]", b'"x"', b"7", b"\xff"])
async def test_what_is_not_an_object(api: Api, body: bytes) -> None:
    assert await api("POST", "definitions", body) == refused("failed_to_parse_json")


@pytest.mark.parametrize("body", [b"", b"{}", b"\xef\xbb\xbf{}"])
async def test_what_says_nothing(api: Api, body: bytes) -> None:
    assert await api("POST", "definitions", body) == (204, None)


async def test_nothing_of_a_document_that_is_refused_is_imported(api: Api) -> None:
    document = {"vhosts": [{"name": "new"}], "queues": [QUEUE, {**QUEUE, "durable": "true"}]}
    document["queues"][1]["name"] = "r"  # type: ignore[call-overload]
    assert await api("POST", "definitions", document) == refused("badarg")
    assert await api.get("queues") == []
    assert len(await api.get("vhosts")) == 1


async def test_who_may_and_what_they_send(api: Api) -> None:
    for tags in ("monitoring", "policymaker", "management"):
        user = await api.user(tags, tags)
        for method in ("GET", "POST"):
            answer = await api(method, "definitions", {}, auth=user, kind="text/plain")
            assert answer == (401, {"error": "not_authorised", "reason": "Not administrator user"})
    assert await api("POST", "definitions", {}, kind="text/plain") == (415, None)


async def upload(
    api: Api, body: MultipartWriter | FormData | bytes, kind: str | None = None
) -> tuple[int, str]:
    headers = authorization("guest", "guest") | ({"Content-Type": kind} if kind else {})
    url = f"http://127.0.0.1:{api.port}/api/definitions"
    async with api.session.post(url, data=body, headers=headers, allow_redirects=False) as response:
        return response.status, response.headers.get("Location") or await response.text()


def form(filename: str = "a.json") -> FormData:
    made = FormData()
    made.add_field("file", b'{"vhosts":[{"name":"uploaded"}]}', filename=filename)
    return made


async def test_the_form_of_the_web_page(api: Api) -> None:
    assert await upload(api, form()) == (204, "")
    assert (await api("GET", "vhosts/uploaded"))[0] == 200
    redirected = form()
    redirected.add_field("redirect", "../#/import-succeeded")
    assert await upload(api, redirected) == (303, "../#/import-succeeded")


async def test_forms_that_are_none(api: Api) -> None:
    assert (await upload(api, b"x", "multipart/form-data"))[0] == 400
    assert (await upload(api, b"x", "multipart/form-data; boundary=b"))[0] == 400
    assert (await upload(api, b"--b\r\nX: y\r\n\r\n{}\r\n--b--", "multipart/form-data; boundary=b"))[0] == 400


async def test_only_files_called_json(nodes: Nodes) -> None:
    api = await nodes(Management(require_json_extension=True))
    status, text = await upload(api, form("a.txt"))
    expected = '{"error":"bad_request","reason":"unsupported_file_extension","filename":"a.txt"}'
    assert (status, text) == (400, expected)
    assert await upload(api, form("a.JSON")) == (204, "")
    assert await api("POST", "definitions", {}) == (204, None)
