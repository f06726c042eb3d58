"""The lines that calls leave in the log are those that RabbitMQ 4.3.6 wrote at the same calls."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from leveret.server.log import log
from tests.edges.test_log_lines import Lines
from tests.management.conftest import Api

_HASH = {"password_hash": "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR", "tags": "management"}
_CALLS: list[tuple[str, str, Any, list[str]]] = [
    (
        "PUT",
        "users/ann",
        {"password": "x", "tags": "management,my-tag"},
        [
            "[info] Created user 'ann'",
            "[info] Successfully set user tags for user 'ann' to [management,'my-tag']",
        ],
    ),
    (
        "PUT",
        "users/ann",
        {"password": "y", "tags": ""},
        [
            "[info] Successfully changed password for user 'ann'",
            "[info] Successfully set user tags for user 'ann' to []",
        ],
    ),
    ("PUT", "users/ann", _HASH, []),
    (
        "PUT",
        "users/ann",
        {"tags": "management"},
        [
            "[info] Successfully set user tags for user 'ann' to [management]",
            "[info] Clearing password for user 'ann'",
        ],
    ),
    (
        "PUT",
        "permissions/%2F/ann",
        {"configure": "a", "write": ".*", "read": ""},
        ["[info] Successfully set permissions for user 'ann' in virtual host '/' to 'a', '.*', ''"],
    ),
    (
        "PUT",
        "permissions/%2F/ann",
        {"configure": "*", "write": "", "read": ""},
        [
            "[warning] Failed to set permissions for user 'ann' in virtual host '/': "
            "regular expression '*' is invalid"
        ],
    ),
    (
        "PUT",
        "topic-permissions/%2F/ann",
        {"exchange": "amq.topic", "write": "a", "read": "b"},
        [
            "[info] Successfully set topic permissions on exchange 'amq.topic' for user 'ann' "
            "in virtual host '/' to 'a', 'b'"
        ],
    ),
    (
        "DELETE",
        "topic-permissions/%2F/ann",
        None,
        ["[info] Successfully cleared topic permissions for user 'ann' in virtual host '/'"],
    ),
    (
        "DELETE",
        "permissions/%2F/ann",
        None,
        ["[info] Successfully cleared permissions for user 'ann' in virtual host '/'"],
    ),
    ("PUT", "user-limits/ann/max-connections", {"value": 3}, []),
    (
        "PUT",
        "vhosts/v1",
        {"description": "d", "tags": "a,b"},
        [
            "[info] Adding vhost 'v1' (description: 'd', tags: [a,b])",
            "[info] Successfully set permissions for user 'guest' in virtual host 'v1' to '.*', '.*', '.*'",
        ],
    ),
    ("PUT", "vhosts/v1", {"tracing": True}, ["[info] Enabling tracing for vhost 'v1'"]),
    ("PUT", "vhosts/v1", {"tracing": False}, ["[info] Disabling tracing for vhost 'v1'"]),
    (
        "POST",
        "vhosts/v1/deletion/protection",
        None,
        ["[info] Enabling deletion protection for virtual host 'v1'"],
    ),
    (
        "DELETE",
        "vhosts/v1",
        None,
        ["[error] Refusing to delete virtual host 'v1' because it is protected from deletion"],
    ),
    (
        "DELETE",
        "vhosts/v1/deletion/protection",
        None,
        ["[info] Disabling deletion protection for virtual host 'v1'"],
    ),
    (
        "DELETE",
        "vhosts/v1",
        None,
        [
            "[info] Deleting vhost 'v1'",
            "[info] Clearing permissions in vhost 'v1' because it's being deleted",
            "[info] Deleting queues in vhost 'v1' because it's being deleted",
            "[info] Deleting exchanges in vhost 'v1' because it's being deleted",
            "[info] Clearing policies and runtime parameters in vhost 'v1' because it's being deleted",
            "[info] Closing all connections in vhost 'v1' because it's being deleted",
        ],
    ),
    (
        "DELETE",
        "users/ann",
        None,
        [
            "[info] Deleted user 'ann'",
            "[info] Closing all connections for user 'ann' because the user is being deleted",
        ],
    ),
    (
        "POST",
        "definitions",
        {
            "users": [{"name": "imp", **_HASH}],
            "global_parameters": [{"name": "gg", "value": 1}],
            "topic_permissions": [
                {"user": "imp", "vhost": "/", "exchange": "amq.topic", "write": "", "read": ""}
            ],
            "exchanges": [{"name": "amq.e", "vhost": "/", "type": "direct"}],
            "queues": [{"name": "amq.q", "vhost": "/"}],
        },
        [
            "[info] Importing concurrently 1 users...",
            "[info] Created user 'imp'",
            "[info] Successfully set user tags for user 'imp' to [management]",
            "[info] Importing concurrently 1 exchanges...",
            "[info] Importing concurrently 1 topic permissions...",
            "[info] Successfully set topic permissions on exchange 'amq.topic' for user 'imp' "
            "in virtual host '/' to '', ''",
            "[info] Importing sequentially 1 global runtime parameters...",
            "[info] Importing concurrently 1 queues...",
            "[warning] Skipping import of an exchange whose name begins with 'amq.', name: amq.e, "
            "acting user: guest",
            "[warning] Skipping import of a queue whose name begins with 'amq.', name: amq.q, "
            "acting user: guest",
        ],
    ),
    (
        "POST",
        "definitions/%2F",
        {"queues": [{"name": "q"}]},
        [
            '[info] Asked to import definitions for a virtual host. Virtual host: <<"/">>, '
            'acting user: <<"guest">>'
        ],
    ),
    (
        "POST",
        "definitions",
        {"users": [{"nme": "q"}]},
        [
            "[info] Importing concurrently 1 users...",
            '[error] Encountered an error when importing definitions: <<"{badkey,name}">>',
        ],
    ),
    ("POST", "definitions", 3, ["[error] Encountered an error when parsing definitions: not_json"]),
]


@pytest.fixture
def logged() -> Iterator[Lines]:
    handler = Lines()
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield handler
    log.removeHandler(handler)
    log.setLevel(logging.NOTSET)


async def test_each_change_has_its_lines(api: Api, logged: Lines) -> None:
    for method, path, body, lines in _CALLS:
        logged.lines.clear()
        await api(method, path, body)
        assert logged.lines == ["[info] User 'guest' authenticated successfully", *lines], (method, path)


async def test_refused_requests_have_their_lines(api: Api, logged: Lines) -> None:
    await api("PUT", "users/plain", {"password": "x", "tags": ""})
    await api("PUT", "users/man", {"password": "x", "tags": "management"})
    for path, auth, lines in (
        ("overview", None, ["[warning] HTTP access denied: no credentials"]),
        (
            "overview",
            ("guest", "wrong"),
            [
                "[warning] User 'guest' failed to authenticate: user 'guest' - invalid credentials",
                "[warning] HTTP access denied: user 'guest' - invalid credentials",
            ],
        ),
        (
            "overview",
            ("plain", "x"),
            [
                "[info] User 'plain' authenticated successfully",
                "[warning] HTTP access denied: user 'plain' - Not management user",
            ],
        ),
        (
            "users",
            ("man", "x"),
            [
                "[info] User 'man' authenticated successfully",
                "[warning] HTTP access denied: user 'man' - Not administrator user",
            ],
        ),
        (
            "nodes",
            ("man", "x"),
            [
                "[info] User 'man' authenticated successfully",
                "[warning] HTTP access denied: user 'man' - Not monitor user",
            ],
        ),
        ("policies", ("man", "x"), ["[info] User 'man' authenticated successfully"]),
    ):
        logged.lines.clear()
        await api("GET", path, auth=auth)
        assert logged.lines == lines, path
