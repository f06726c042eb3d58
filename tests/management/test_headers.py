"""Headers of responses, content types, conditional requests, CORS (all seen on RabbitMQ 4.3.6)."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from random import Random
from threading import get_ident
from urllib.parse import quote

import msgspec
import pytest
from yarl import URL

from leveret.management import app
from leveret.management.app import _gzipped
from leveret.settings import Management

from .conftest import Api, Nodes, authorization

CACHED = "public, max-age=0, must-revalidate"
LISTED = "accept, accept-encoding, origin"


@pytest.mark.parametrize(
    ("method", "path", "status", "cache", "vary"),
    [
        ("GET", "whoami", 200, "no-cache", LISTED),
        ("HEAD", "whoami", 200, "no-cache", LISTED),
        ("POST", "whoami", 405, CACHED, "origin, accept-encoding"),
        ("OPTIONS", "whoami", 200, CACHED, "origin, accept-encoding"),
        ("GET", "nosuch", 404, CACHED, "origin, accept-encoding"),
        ("GET", "queues/%2F/nosuch", 404, CACHED, LISTED),
        ("PUT", "queues/%2F/q", 201, CACHED, LISTED),
        ("GET", "vhost-limits", 200, "no-cache", "accept-encoding, origin"),
        ("HEAD", "vhost-limits", 405, CACHED, "origin, accept-encoding"),
    ],
)
async def test_cache_control_and_vary(
    api: Api, method: str, path: str, status: int, cache: str, vary: str
) -> None:
    assert (await api(method, path))[0] == status
    assert (api.headers["Cache-Control"], api.headers["Vary"]) == (cache, vary)
    assert api.headers["Content-Security-Policy"] == "script-src 'self'; object-src 'self'"


async def test_probes_need_no_login_and_are_not_kept(api: Api) -> None:
    for path in ("version", "health/checks/is-in-service", "health/checks/below-node-connection-limit"):
        assert (await api("GET", path, auth=None))[0] == 200
        assert (api.headers["Cache-Control"], api.headers["Pragma"]) == ("no-cache", "no-cache")
        assert (await api("POST", path, auth=None))[0] == 405
        assert api.headers["Cache-Control"] == "no-cache, no-store, max-age=0, must-revalidate"
        assert api.headers["Expires"] == "0"


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("*/*;q=0", 200),
        ("text/html, */*;q=0.1", 200),
        ("APPLICATION/JSON", 200),
        ("application/*", 200),
        ("application/json;q=0.5, text/html", 200),
        ("text/html", 406),
        ("application/json;charset=utf-8", 406),
        ("*/*;x=1", 406),
        ("*/json", 406),
        ("application/json;q=2", 400),
        ("application/json, junk", 400),
    ],
)
async def test_what_a_client_accepts(api: Api, accept: str, status: int) -> None:
    assert (await api("GET", "whoami", headers={"Accept": accept}))[0] == status


async def test_resources_that_show_nothing_have_the_type_of_a_web_page(api: Api) -> None:
    limit = {"value": 100}
    for accept, status in (("application/json", 406), ("text/html", 204), ("*/*", 204)):
        answer = await api("PUT", "vhost-limits/%2F/max-queues", limit, headers={"Accept": accept})
        assert answer == (status, None)


async def test_content_types_of_bodies(api: Api) -> None:
    assert await api("PUT", "queues/%2F/q", {}, kind="junk") == (415, None)
    assert await api("PUT", "queues/%2F/q", {}, kind="text/plain") == (201, None)
    assert await api("PUT", "vhost-limits/%2F/max-queues", {"value": 1}, kind="text/plain") == (415, None)


async def test_conditions(api: Api) -> None:
    assert await api("GET", "whoami", headers={"If-None-Match": "*"}) == (304, None)
    assert await api("GET", "whoami", headers={"If-Match": '"x"'}) == (412, None)
    assert await api("GET", "whoami", headers={"If-None-Match": '"x"'}) == (412, None)  # it has no entity tag
    for name in ("If-Match", "If-None-Match"):
        assert await api("GET", "whoami", headers={name: "x"}) == (400, None)
    assert (await api("GET", "whoami", headers={"If-Match": "*"}))[0] == 200


async def test_large_bodies_are_compressed(api: Api) -> None:
    plain = await api.get("overview?columns=exchange_types")
    async with api.session.get(
        f"http://127.0.0.1:{api.port}/api/overview?columns=exchange_types",
        headers={**authorization("guest", "guest"), "Accept-Encoding": "gzip"},
        auto_decompress=False,
    ) as response:
        body = await response.read()
        assert response.headers["Content-Encoding"] == "gzip"
    assert msgspec.json.decode(gzip.decompress(body)) == plain


def test_pieces_are_compressed_as_one_file() -> None:
    pieces = [Random(1).randbytes(1 << 16), b"", b"x" * 1000]
    compressed = _gzipped(pieces)
    assert len(compressed) > 1
    assert gzip.decompress(b"".join(compressed)) == b"".join(pieces)


def test_bodies_are_not_compressed_as_much_as_possible() -> None:
    assert _gzipped([b"x"])[0][8] == 0  # 2: the level that takes the longest (RFC 1952 2.3.1)


async def test_a_body_of_ten_thousand_octets_is_compressed_in_a_thread(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = set()

    def compressing(pieces: Sequence[bytes]) -> list[bytes]:
        threads.add(get_ident())
        return _gzipped(pieces)

    monkeypatch.setattr(app, "_gzipped", compressing)
    await api("PUT", "global-parameters/long", {"value": "x" * 10_000})
    headers = {"Accept-Encoding": "gzip"}
    _, shown = await api("GET", "global-parameters/long", headers=headers)
    assert len(shown["value"]) == 10_000
    assert threads and get_ident() not in threads


@pytest.mark.parametrize("path", ["queues/%2F/a%2", "queues/%zz", "whoami?columns=%g0"])
async def test_malformed_escapes(api: Api, path: str) -> None:
    async with api.session.get(_url(api, path), headers=authorization("guest", "guest")) as response:
        assert response.status == 400


def _url(api: Api, path: str) -> URL:
    return URL(f"http://127.0.0.1:{api.port}/api/{path}", encoded=True)


@pytest.mark.parametrize("name", ["a/b", "50%", "a+b", "a b", "käse", "%2F", "?x=1", "..."])
async def test_names_are_percent_encoded(api: Api, name: str) -> None:
    path = f"http://127.0.0.1:{api.port}/api/queues/%2F/{quote(name, safe='')}"
    login = authorization("guest", "guest")
    async with api.session.put(URL(path, encoded=True), headers=login) as response:
        assert response.status == 201
    async with api.session.get(URL(path, encoded=True), headers=login) as response:
        assert (await response.json())["name"] == name


# --- settings


async def test_a_path_prefix(nodes: Nodes) -> None:
    api = await nodes(Management(path_prefix="/rabbit"))
    base, login = f"http://127.0.0.1:{api.port}", authorization("guest", "guest")
    for path, status in (("/rabbit/api/whoami", 200), ("/api/whoami", 404)):
        async with api.session.get(base + path, headers=login) as response:
            assert response.status == status


async def test_headers_that_are_configured(nodes: Nodes) -> None:
    api = await nodes(
        Management(
            csp_policy="default-src 'self'",
            hsts_policy="max-age=31536000",
            content_type_options="nosniff",
            xss_protection="1; mode=block",
            frame_options="DENY",
            referrer_policy="origin",
            hide_allow_header=True,
        )
    )
    assert (await api("GET", "whoami"))[0] == 200
    expected = {
        "Content-Security-Policy": "default-src 'self'",
        "Strict-Transport-Security": "max-age=31536000",
        "X-Content-Type-Options": "nosniff",
        "X-XSS-Protection": "1; mode=block",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "origin",
    }
    assert {name: api.headers.get(name) for name in expected} == expected
    assert "Allow" not in api.headers


async def test_cross_origin_requests(nodes: Nodes) -> None:
    page = "https://example.com"
    api = await nodes(Management(cors_allow_origins=(page,), cors_max_age=60))
    assert (await api("GET", "whoami", headers={"Origin": page}))[0] == 200
    assert api.headers["Access-Control-Allow-Origin"] == page
    assert api.headers["Access-Control-Allow-Credentials"] == "true"
    assert (await api("OPTIONS", "queues/%2F/q", headers={"Origin": page}, auth=None))[0] == 200
    assert api.headers["Access-Control-Allow-Methods"] == "HEAD, GET, PUT, DELETE, OPTIONS"
    assert api.headers["Access-Control-Max-Age"] == "60"
    asked = {"Origin": page, "Access-Control-Request-Headers": "authorization"}
    await api("OPTIONS", "whoami", headers=asked, auth=None)
    assert api.headers["Access-Control-Allow-Headers"] == "authorization"
    assert "Access-Control-Max-Age" not in api.headers
    await api("GET", "whoami", headers={"Origin": "https://elsewhere.example"})
    assert "Access-Control-Allow-Origin" not in api.headers


async def test_any_origin(nodes: Nodes) -> None:
    api = await nodes(Management(cors_allow_origins=("*",)))
    await api("GET", "whoami", headers={"Origin": "https://elsewhere.example"})
    assert api.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in api.headers


async def test_older_versions_have_fewer_headers_and_paths(nodes: Nodes) -> None:
    api = await nodes(version="3.10")
    assert (await api("GET", "whoami"))[0] == 200
    assert "Allow" not in api.headers
    for path in ("version", "health/checks/is-in-service", "vhosts/x/deletion/protection"):
        assert (await api("GET", path))[0] == 404
        assert (api.headers.get("Cache-Control"), api.headers["Vary"]) == (None, "origin")
