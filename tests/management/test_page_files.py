"""The management page is served at the root of the management port, and the browser may load nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest
from aiohttp import ClientSession

from leveret.management.page_files import FILES
from leveret.settings import Management

from .conftest import Api, Nodes


async def fetched(
    api: Api, path: str, headers: dict[str, str] | None = None
) -> tuple[int, Mapping[str, str], bytes]:
    async with (
        ClientSession(auto_decompress=False) as session,
        session.get(
            f"http://127.0.0.1:{api.port}{path}",
            headers={"Accept-Encoding": "identity"} | (headers or {}),
            allow_redirects=False,
        ) as response,
    ):
        return response.status, response.headers, await response.read()


@pytest.mark.parametrize(("path", "file"), FILES.items(), ids=lambda value: str(value[0]) or "root")
async def test_files_need_no_login(api: Api, path: tuple[str, ...], file: tuple[str, str]) -> None:
    status, headers, body = await fetched(api, "/" + "/".join(path))
    assert (status, headers["Content-Type"]) == (200, file[1])
    assert body


async def test_the_policy_lets_the_page_load_from_its_own_origin_only(api: Api) -> None:
    _, headers, body = await fetched(api, "/")
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    page = body.decode()
    assert re.findall(r"<script[^>]*>(.*?)</script>", page, re.DOTALL) == [""]
    assert " style=" not in page
    assert "://" not in page


async def test_other_paths_are_missing(api: Api) -> None:
    assert (await fetched(api, "/page.py"))[0] == 404
    assert (await fetched(api, "/page/page.js"))[0] == 404


async def test_what_the_browser_has_is_not_sent_again(api: Api) -> None:
    _, headers, _ = await fetched(api, "/page.js")
    status, _, body = await fetched(api, "/page.js", {"If-None-Match": headers["ETag"]})
    assert (status, body) == (304, b"")


async def test_files_are_small_when_compressed(api: Api) -> None:
    sizes = [
        len((await fetched(api, path, {"Accept-Encoding": "gzip"}))[2])
        for path in ("/", "/page.js", "/page.css")
    ]
    assert sum(sizes) < 200_000


async def test_with_a_prefix_the_page_is_below_it(nodes: Nodes) -> None:
    api = await nodes(Management(path_prefix="/broker"))
    status, headers, _ = await fetched(api, "/broker")
    assert (status, headers["Location"]) == (301, "/broker/")
    assert (await fetched(api, "/broker/"))[0] == 200
    assert (await fetched(api, "/broker/page.js"))[0] == 200
    assert (await fetched(api, "/"))[0] == 404


async def test_a_configured_policy_replaces_that_of_the_page(nodes: Nodes) -> None:
    api = await nodes(Management(csp_policy="default-src https:"))
    assert (await fetched(api, "/"))[1]["Content-Security-Policy"] == "default-src https:"
