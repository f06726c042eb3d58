"""Users, passwords and limits, as in rabbit_auth_backend_internal and the HTTP API."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any

import pytest

from leveret.engine.users import (
    ALGORITHMS,
    LimitError,
    NoSuchUserError,
    User,
    UserError,
    UserExistsError,
    Users,
    hash_password,
    tags_from_json,
    user_from_json,
)

#: Of guest/guest, from a RabbitMQ 4.3.6.
GUEST = "8L71TTg/DNZkRzzXwDft8of8xW8zal0S0HuH9sQUXDOCzovF"


def test_a_password_hash_of_rabbitmq_is_verified() -> None:
    guest = User("guest", b64decode(GUEST))
    assert guest.verify("guest")
    assert not guest.verify("Guest")
    assert b64encode(hash_password("guest", salt=b64decode(GUEST)[:4])).decode() == GUEST


@pytest.mark.parametrize(("algorithm", "size"), [("sha256", 32), ("sha512", 64), ("md5", 16)])
def test_passwords_are_hashed_with_the_given_algorithm(algorithm: str, size: int) -> None:
    name = f"rabbit_password_hashing_{algorithm}"
    hashed = hash_password("pässwörd", name)
    assert len(hashed) == 4 + size
    assert User("u", hashed, name).verify("pässwörd")
    assert not User("u", hashed, name).verify("password")
    assert hash_password("pässwörd", name) != hashed  # another salt


def test_blank_passwords_empty_hashes_and_unknown_algorithms_are_refused() -> None:
    assert not User("u", hash_password("")).verify("")
    assert not User("u", b"").verify("x")
    assert not User("u", hash_password("x"), "nope").verify("x")


def test_users_are_added_changed_and_deleted() -> None:
    users = Users()
    users.add("b", "p", ["management"])
    users.add("a", "p")
    assert [user.name for user in users] == ["a", "b"]
    assert "a" in users and len(users) == 2 and users.get("c") is None
    with pytest.raises(UserExistsError):
        users.add("a", "x")
    before = users["a"]
    users.change_password("a", "q")
    assert users["a"].verify("q") and before.verify(
        "p"
    )  # connections keep the user with which they logged in
    users.clear_password("a")
    assert users["a"].password_hash == b""
    users.set_tags("a", ["x", "y"])
    assert users["a"].tags == ("x", "y")
    assert users.delete("a").name == "a"
    for change in (users.delete, users.clear_password, users.clear_limits):
        with pytest.raises(NoSuchUserError):
            change("a")


def test_every_change_raises_the_revision() -> None:
    users = Users()
    seen = [users.revision]
    changes: list[Callable[[], object]] = [
        lambda: users.add("u", "p"),
        lambda: users.change_password("u", "q"),
        lambda: users.set_tags("u", []),
        lambda: users.set_limits("u", {"max-channels": 1}),
        lambda: users.clear_limits("u"),
        lambda: users.delete("u"),
    ]
    for change in changes:
        change()
        seen.append(users.revision)
    assert seen == sorted(set(seen))


def test_limits_are_merged_and_negative_limits_mean_none() -> None:
    users = Users()
    users.add("u", "p")
    users.set_limits("u", {"max-connections": 5})
    users.set_limits("u", {"max-channels": -7})
    assert users["u"].limits == {"max-connections": 5, "max-channels": -7}
    assert users["u"].limit("max-connections") == 5
    assert users["u"].limit("max-channels") is None
    users.clear_limits("u", "max-connections")
    assert users["u"].limit("max-connections") is None
    users.clear_limits("u")
    assert users["u"].limits == {}


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        ({"max-connections": "x"}, 'max-connections should be a number, actually was <<"x">>'),
        ({"max-channels": True}, "max-channels should be a number, actually was true"),
        ({"max-channels": None}, "max-channels should be a number, actually was null"),
        ({"max-channels": 1.5}, "max-channels should be a number, actually was 1.5"),
        ({"max-channels": [1]}, "max-channels should be a number, actually was [1]"),
        ({"max-channels": {"a": 1}}, 'max-channels should be a number, actually was #{<<"a">> => 1}'),
        ({"max-foo": -1}, 'Unrecognised terms [{<<"max-foo">>,-1}] in user-limits'),
    ],
)
def test_invalid_limits_get_the_error_of_rabbitmq(limits: dict[str, Any], text: str) -> None:
    users = Users()
    users.add("u", "p")
    with pytest.raises(LimitError) as refused:
        users.set_limits("u", limits)
    assert str(refused.value) == text


def test_a_user_is_read_from_json() -> None:
    user = user_from_json("u", {"password": "p", "tags": "management,foo bar, policymaker"})
    assert user.tags == ("management", "foo bar", "policymaker") and user.verify("p")
    # The algorithm applies to a given hash; a password is hashed with the default.
    user = user_from_json("u", {"password": "p", "hashing_algorithm": "nope", "tags": []})
    assert user.hashing_algorithm == "rabbit_password_hashing_sha256"
    user = user_from_json("u", {"password_hash": GUEST, "tags": ["a"], "limits": {"max-connections": 3}})
    assert user.verify("guest") and user.limits == {"max-connections": 3}
    user = user_from_json("u", {"password_hash": "AAAA", "hashing_algorithm": "nope", "tags": ""})
    assert user.to_json() == {
        "name": "u",
        "password_hash": "AAAA",
        "hashing_algorithm": "nope",
        "tags": [],
        "limits": {},
    }
    assert user_from_json("u", {"tags": "a"}).password_hash == b""


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"password": "p"}, "tags_not_present"),
        (
            {"password": "p", "password_hash": None, "tags": ""},
            "both_password_and_password_hash_are_provided",
        ),
        ({"password_hash": "!!!", "tags": ""}, ["not_base64", "!!!"]),
    ],
)
def test_invalid_users_get_the_error_of_rabbitmq(fields: dict[str, Any], reason: object) -> None:
    with pytest.raises(UserError) as refused:
        user_from_json("u", fields)
    assert refused.value.reason == reason


def test_tags_are_a_list_or_separated_by_commas() -> None:
    assert tags_from_json("a, b,,c") == ("a", "b", "c")
    assert tags_from_json([5, "b"]) == ("5", "b")


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_new_passwords_are_hashed_as_configured(algorithm: str) -> None:
    users = Users()
    users.algorithm = algorithm
    added = users.add("a", "secret")
    changed = users.change_password("a", "other")
    given = user_from_json("b", {"password": "secret", "tags": ""}, algorithm)
    assert {user.hashing_algorithm for user in (added, changed, given)} == {algorithm}
    assert added.verify("secret") and changed.verify("other") and given.verify("secret")
    assert not changed.verify("secret")
