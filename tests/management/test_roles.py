"""Who may use which resource: users by tag, with and without permissions in a virtual host, compared with 4.3.6.

A row: method, path, and the statuses for the users of `WHO`, in that order. Bodies are not JSON, so that nothing
changes: who may gets 400.
"""

from __future__ import annotations

import pytest

from .conftest import Api, Nodes

#: (tags, has permissions in the virtual host `v`)
WHO = (
    ("administrator", False),
    ("monitoring", True),
    ("monitoring", False),
    ("policymaker", True),
    ("policymaker", False),
    ("management", True),
    ("management", False),
    ("impersonator", True),
    ("", True),
)

ALL = "200 200 200 200 200 200 200 401 401"
VHOST = "200 200 404 200 404 200 404 401 401"
ADMINISTRATOR = "200 401 401 401 401 401 401 401 401"
ADMINISTRATOR_400 = "400 401 401 401 401 401 401 401 401"
MONITOR = "200 200 200 401 401 401 401 401 401"
POLICYMAKER = "200 401 401 200 200 401 401 401 401"
POLICYMAKER_VHOST = "200 401 401 200 404 401 401 401 401"

ROWS = (
    ("GET", "overview", ALL),
    ("GET", "whoami", ALL),
    ("GET", "cluster-name", ALL),
    ("PUT", "cluster-name", ADMINISTRATOR_400),
    ("GET", "extensions", ALL),
    ("GET", "feature-flags", ALL),
    ("GET", "deprecated-features", ALL),
    ("GET", "vhosts", ALL),
    ("GET", "vhosts/v", ADMINISTRATOR),
    ("PUT", "vhosts/v", ADMINISTRATOR_400),
    ("GET", "queues/v/q", VHOST),
    ("PUT", "queues/v/q", VHOST.replace("200", "400")),
    ("POST", "queues/v/q/get", VHOST.replace("200", "400")),
    ("POST", "queues/v/q/actions", ADMINISTRATOR_400),
    ("GET", "exchanges/v/amq.topic", VHOST),
    ("POST", "exchanges/v/amq.topic/publish", VHOST.replace("200", "400")),
    ("GET", "policies/v", VHOST),
    ("GET", "policies/v/p", POLICYMAKER_VHOST),
    ("PUT", "policies/v/p", POLICYMAKER_VHOST.replace("200", "400")),
    ("GET", "operator-policies/v", VHOST),
    ("GET", "operator-policies/v/p", ADMINISTRATOR),
    ("PUT", "operator-policies/v/p", ADMINISTRATOR_400),
    ("GET", "parameters", POLICYMAKER),
    ("GET", "parameters/operator_policy/v/p", POLICYMAKER_VHOST),
    ("PUT", "parameters/operator_policy/v/p", POLICYMAKER_VHOST.replace("200", "400")),
    ("GET", "global-parameters", POLICYMAKER),
    ("PUT", "global-parameters/p", POLICYMAKER.replace("200", "400")),
    ("GET", "definitions", ADMINISTRATOR),
    ("POST", "definitions", ADMINISTRATOR_400),
    ("GET", "definitions/v", ADMINISTRATOR),
    ("GET", "leveret", ALL),
    ("GET", "leveret/problems", ALL),
    ("GET", "leveret/log", MONITOR),
    ("GET", "leveret/permissions/v", VHOST),
    ("GET", "leveret/queues/v/q/messages", VHOST.replace("200", "401", 1)),
    ("GET", "leveret/queues/v/q/unacked", VHOST.replace("200", "401", 1)),
    ("POST", "leveret/queues/v/q/move", VHOST.replace("200", "400")),
    ("GET", "users", ADMINISTRATOR),
    ("PUT", "users/u", ADMINISTRATOR_400),
    ("POST", "users/bulk-delete", ADMINISTRATOR_400),
    ("GET", "users/u/queues", ALL),
    ("GET", "permissions", ADMINISTRATOR),
    ("GET", "topic-permissions", ADMINISTRATOR),
    ("GET", "user-limits", ADMINISTRATOR),
    ("PUT", "user-limits/u/max-channels", ADMINISTRATOR_400),
    ("GET", "vhost-limits", ALL),
    ("GET", "vhost-limits/v", "200 200 200 200 404 200 404 401 401"),
    ("PUT", "vhost-limits/v/max-queues", ADMINISTRATOR_400),
    ("GET", "auth/attempts/rabbit@test", MONITOR),
    ("GET", "auth/hash_password/x", ADMINISTRATOR),
    ("GET", "health/checks/alarms", ALL),
    (
        "GET",
        "health/checks/quorum-queues-without-elected-leaders/vhost/v",
        "200 200 200 200 404 200 404 401 401",
    ),
    ("GET", "health/checks/is-in-service", "200 200 200 200 200 200 200 200 200"),
    ("GET", "aliveness-test/v", "401 200 404 200 404 200 404 401 401"),
)


@pytest.mark.parametrize(("method", "path", "statuses"), ROWS)
async def test_who_may(api: Api, method: str, path: str, statuses: str) -> None:
    assert (await api("PUT", "vhosts/v"))[0] == 201
    assert (await api("PUT", "queues/v/q"))[0] == 201
    policy = {"pattern": "x", "definition": {"max-length": 1}}
    for kind in ("policies", "operator-policies"):
        assert (await api("PUT", f"{kind}/v/p", policy))[0] == 201
    answers = []
    body = None if method == "GET" else b"junk"
    for number, (tags, permitted) in enumerate(WHO):
        user = await api.user(f"user{number}", tags, "v" if permitted else None)
        status, _ = await api(method, path, body, auth=user, headers={"Accept": "*/*"})
        answers.append(str(status))
    assert " ".join(answers) == statuses


@pytest.mark.parametrize(("method", "path", "statuses"), ROWS)
async def test_wrong_password_and_no_login(api: Api, method: str, path: str, statuses: str) -> None:
    public = statuses.endswith("200")
    assert (await api(method, path, auth=None))[0] == (200 if public else 401)
    assert (await api(method, path, auth=("guest", "wrong")))[0] == (200 if public else 401)


async def test_limits_of_users_were_shown_to_all_before_4_2(nodes: Nodes) -> None:
    for version, status in (("4.3", 401), ("4.0", 200), ("3.10", 200)):
        api = await nodes(version=version)
        manager = await api.user("m", "management")
        assert (await api("GET", "user-limits", auth=manager))[0] == status
        assert (await api("GET", "user-limits/guest", auth=manager))[0] == status
        assert (await api("GET", "user-limits/m", auth=manager))[0] == 200
