"""Logins, permissions, topic permissions and limits, with RabbitMQ's texts (seen on 4.3.6)."""

from __future__ import annotations

from typing import Any

import pytest

from leveret.clock import Clock
from leveret.engine.access import MAX_CACHED_GRANTS, Access, Grants, Permission
from leveret.engine.authentication import Login, Refused
from leveret.engine.guess_limit import MAX_ADDRESSES, WINDOW_MS, GuessLimit
from leveret.engine.patterns import PatternError
from leveret.engine.users import LimitError, NoSuchUserError, User
from leveret.errors import AmqpError, exchange_name, queue_name

QUEUE = queue_name("q", "/")


@pytest.fixture
def access() -> Access:
    access = Access()
    access.users.add("guest", "guest", ("administrator",))
    access.set_permissions("guest", "/", ".*", ".*", ".*")
    access.users.add("u", "p")
    return access


def refusal(access: Access, kind: str, rendered: str, name: str, *, prefixed: bool = True) -> str:
    with pytest.raises(AmqpError) as refused:
        access.check("u", "/", kind, rendered, name, prefixed)
    assert (refused.value.code, refused.value.scope) == (403, "channel")
    return refused.value.explanation


# --- logging in


def test_correct_credentials_are_accepted(access: Access) -> None:
    user = access.authenticate("guest", "guest", loopback=True)
    assert isinstance(user, User) and user.tags == ("administrator",)
    assert isinstance(access.authenticate("u", "p", loopback=False), User)


def test_wrong_credentials_are_refused_with_the_text_for_the_log(access: Access) -> None:
    for name, password in (("u", "x"), ("nobody", "x")):
        refused = access.authenticate(name, password, loopback=True)
        assert refused == Refused(f"user '{name}' - invalid credentials")
    access.users.clear_password("u")
    assert access.authenticate("u", "p", loopback=True) == Refused("user 'u' - invalid credentials")
    blank = access.authenticate("u", "", loopback=True)
    assert isinstance(blank, Refused)
    assert blank.log.startswith("user 'u' attempted to log in with a blank password, which is prohibited by")


def test_loopback_users_may_only_connect_from_this_machine(access: Access) -> None:
    refused = Refused("user 'guest' can only connect via localhost")
    assert access.authenticate("guest", "guest", loopback=False) == refused
    assert access.log_in(Login("guest", None, loopback=False)) == refused
    assert isinstance(access.log_in(Login("guest", None)), User)
    open_to_all = Access(loopback_users=())
    open_to_all.users.add("guest", "guest")
    assert isinstance(open_to_all.authenticate("guest", "guest", loopback=False), User)


def test_backends_are_asked_in_order_until_one_accepts(access: Access) -> None:
    class OtherBackend:
        def authenticate(self, login: Login) -> User | Refused:
            name = login.name
            return User(name, b"") if login.password == "token" else Refused(f"user '{name}' - no token")

    access.backends.append(OtherBackend())
    assert access.authenticate("guest", "guest", loopback=True) == access.users["guest"]
    assert access.authenticate("new", "token", loopback=False) == User("new", b"")
    assert access.authenticate("guest", "token", loopback=False) == Refused(
        "user 'guest' can only connect via localhost"
    )
    assert access.authenticate("new", "x", loopback=False) == Refused("user 'new' - no token")


def test_a_certificate_logs_in_users_that_exist(access: Access) -> None:
    access.users.add("bare", "")
    access.users.clear_password("bare")
    assert access.log_in(Login("bare", None)) == access.users["bare"]
    assert access.log_in(Login("nobody", None)) == Refused("user 'nobody' - invalid credentials")


def test_failed_logins_of_an_address_can_be_limited() -> None:
    clock = Clock(1_000_000)
    access = Access(guesses=GuessLimit(clock, 2))
    access.users.add("guest", "guest")

    def log_in(password: str, address: str = "192.0.2.1") -> User | Refused:
        return access.log_in(Login("guest", password, address))

    for _ in range(2):
        assert isinstance(log_in("wrong"), Refused)
    assert log_in("guest") == Refused("user 'guest' - too many failed logins from 192.0.2.1")
    assert isinstance(log_in("guest", "192.0.2.2"), User)
    clock.now += WINDOW_MS
    assert isinstance(log_in("guest"), User)
    assert isinstance(log_in("wrong"), Refused)
    assert isinstance(log_in("guest"), User)


def test_limited_addresses_do_not_add_up() -> None:
    limit = GuessLimit(Clock(1), 1)
    for number in range(MAX_ADDRESSES + 10):
        limit.failed(str(number))
    assert not limit.too_many("0")
    assert limit.too_many(str(MAX_ADDRESSES))


def test_access_to_a_vhost_needs_permissions_even_empty_ones(access: Access) -> None:
    with pytest.raises(AmqpError) as refused:
        access.check_vhost(User("u"), "/")
    assert (refused.value.code, refused.value.scope) == (530, "connection")
    assert refused.value.explanation == "access to vhost '/' refused for user 'u'"
    access.set_permissions("u", "/", "", "", "")
    access.check_vhost(User("u"), "/")
    assert not access.vhost_access("u", "other")


# --- permissions


def test_a_permission_matches_anywhere_in_a_name(access: Access) -> None:
    access.set_permissions("u", "/", "^c", "w", "r$")
    access.check("u", "/", "configure", QUEUE, "cat", True)
    access.check("u", "/", "write", QUEUE, "ewe", True)
    access.check("u", "/", "read", QUEUE, "bear", True)
    assert refusal(access, "configure", QUEUE, "q") == f"configure access to {QUEUE} refused for user 'u'"
    assert refusal(access, "write", QUEUE, "q") == f"write access to {QUEUE} refused for user 'u'"
    assert refusal(access, "read", QUEUE, "q") == f"read access to {QUEUE} refused for user 'u'"


def test_before_3_12_the_text_does_not_name_the_permission(access: Access) -> None:
    access.set_permissions("u", "/", "", "", "")
    assert refusal(access, "read", QUEUE, "q", prefixed=False) == f"access to {QUEUE} refused for user 'u'"


def test_an_empty_pattern_matches_only_the_empty_name(access: Access) -> None:
    access.set_permissions("u", "/", "", "", "")
    assert refusal(access, "configure", QUEUE, "q").startswith("configure access")
    assert access.grants("u", "/").allows("configure", "")


def test_the_default_exchange_is_called_amq_default(access: Access) -> None:
    access.set_permissions("u", "/", "", "^w", "")
    text = refusal(access, "write", exchange_name("", "/"), "")
    assert text == "write access to exchange 'amq.default' in vhost '/' refused for user 'u'"
    access.set_permissions("u", "/", "", "^amq.default$", "")
    access.check("u", "/", "write", exchange_name("", "/"), "", True)


def test_without_permissions_nothing_is_allowed(access: Access) -> None:
    assert not access.grants("u", "/").allows("read", "q")
    assert not access.grants("nobody", "/").allows("read", "q")


def test_changed_permissions_change_the_grants(access: Access) -> None:
    access.set_permissions("u", "/", "", "", "^a")
    grants, revision = access.grants("u", "/"), access.revision
    assert access.grants("u", "/") is grants  # compiled once
    assert grants.allows("read", "a") and not grants.allows("read", "b")
    access.set_permissions("u", "/", "", "", "^b")
    assert access.revision > revision
    assert access.grants("u", "/").allows("read", "b")
    access.clear_permissions("u", "/")
    assert not access.grants("u", "/").allows("read", "b")


def test_the_cache_of_grants_is_bounded() -> None:
    grants = Grants("u", "/", Permission("", "", "^a"))
    for number in range(3 * MAX_CACHED_GRANTS):
        assert grants.allows("read", f"a{number}")
    assert len(grants._decided) <= MAX_CACHED_GRANTS


def test_permissions_are_set_and_cleared(access: Access) -> None:
    assert access.set_permissions("u", "/", "", "", "a") is True
    assert access.set_permissions("u", "/", "", "", "b") is False
    assert access.permission("u", "/") == Permission("", "", "b")
    assert access.clear_permissions("u", "/") is True
    assert access.clear_permissions("u", "/") is False
    with pytest.raises(NoSuchUserError):
        access.set_permissions("nobody", "/", "", "", "")
    with pytest.raises(NoSuchUserError):
        access.clear_permissions("nobody", "/")


def test_an_invalid_pattern_changes_nothing(access: Access) -> None:
    revision = access.revision
    with pytest.raises(PatternError) as refused:
        access.set_permissions("u", "/", "", "[", "(")
    assert refused.value.pattern == "["
    with pytest.raises(PatternError):
        access.set_topic_permissions("u", "/", "amq.topic", "", "(")
    assert access.permission("u", "/") is None and access.revision == revision


def test_permissions_match_names_that_are_not_utf_8(access: Access) -> None:
    access.set_permissions("u", "/", "", "", "^.$")
    assert access.grants("u", "/").allows("read", "\udcff")


# --- topic permissions


def topic_refusal(access: Access, kind: str, key: str) -> str:
    with pytest.raises(AmqpError) as refused:
        access.check_topic("u", "/", kind, "amq.topic", key, True)
    return refused.value.explanation


def test_topic_permissions_are_checked_with_their_variables(access: Access) -> None:
    access.check_topic("u", "/", "write", "amq.topic", "any", True)  # no entry: everything is allowed
    assert not access.has_topic_permissions("u", "/")
    access.set_topic_permissions("u", "/", "amq.topic", "^{username}-{vhost}-{client_id}$", "^{username}$")
    assert access.has_topic_permissions("u", "/")
    access.check_topic("u", "/", "read", "amq.topic", "u", True)
    access.check_topic("u", "/", "write", "other", "any", True)
    # Only MQTT has a client id; otherwise the placeholder is not replaced.
    access.check_topic("u", "/", "write", "amq.topic", "u-/-{client_id}", True)
    access.check_topic("u", "/", "write", "amq.topic", "u-/-c1", True, client_id="c1")
    where = "exchange 'amq.topic' in vhost '/'"
    assert topic_refusal(access, "read", "z") == f"read access to topic 'z' in {where} refused for user 'u'"
    assert topic_refusal(access, "write", "z") == f"write access to topic 'z' in {where} refused for user 'u'"
    with pytest.raises(AmqpError, match=r"ACCESS_REFUSED - access to topic 'z' in"):
        access.check_topic("u", "/", "read", "amq.topic", "z", False)


def test_an_empty_topic_pattern_matches_only_the_empty_key(access: Access) -> None:
    access.set_topic_permissions("u", "/", "amq.topic", "", "")
    access.check_topic("u", "/", "write", "amq.topic", "", True)
    assert topic_refusal(access, "write", "zz")


def test_topic_permissions_are_set_and_cleared(access: Access) -> None:
    assert access.set_topic_permissions("u", "/", "x", "", "") is True
    assert access.set_topic_permissions("u", "/", "y", "", "") is False  # as the HTTP API answers 204
    access.clear_topic_permissions("u", "/", "nosuch")
    access.clear_topic_permissions("u", "/", "x")
    assert [entry["exchange"] for entry in access.export_topic_permissions()] == ["y"]
    access.clear_topic_permissions("u", "/")
    assert not access.has_topic_permissions("u", "/")


# --- limits


def explained(refused: pytest.ExceptionInfo[AmqpError]) -> tuple[int, str, str, bool]:
    error = refused.value
    return error.code, error.scope, error.explanation, error.anonymous


def test_connection_limits_of_vhosts_and_users_are_enforced(access: Access) -> None:
    access.check_vhost_connections("v", "u", 1000)
    access.check_user_connections("u", 1000)
    access.set_vhost_limits("v", {"max-connections": 1})
    access.check_vhost_connections("v", "u", 0)
    with pytest.raises(AmqpError) as refused:
        access.check_vhost_connections("v", "u", 1)
    text = "access to vhost 'v' refused for user 'u': connection limit (1) is reached"
    assert explained(refused) == (530, "connection", text, False)
    access.users.set_limits("u", {"max-connections": 0})
    with pytest.raises(AmqpError) as refused:
        access.check_user_connections("u", 0)
    text = "connection refused for user 'u': user connection limit (0) is reached"
    assert explained(refused) == (530, "connection", text, False)


@pytest.mark.parametrize(("parentheses", "number"), [(False, "1"), (True, "(1)")])
def test_the_channel_limit_of_a_user_is_enforced(access: Access, parentheses: bool, number: str) -> None:
    assert not access.limits_channels("u")
    access.users.set_limits("u", {"max-channels": 1})
    assert access.limits_channels("u")
    access.check_user_channels("u", 0, parentheses)
    with pytest.raises(AmqpError) as refused:
        access.check_user_channels("u", 1, parentheses)
    text = f"number of channels opened for user 'u' has reached the maximum allowed user limit of {number}"
    assert explained(refused) == (530, "connection", text, True)


def test_the_queue_limit_of_a_vhost_is_enforced(access: Access) -> None:
    access.check_vhost_queues("v", "q", 1000)
    access.set_vhost_limits("v", {"max-queues": 0})
    with pytest.raises(AmqpError) as refused:
        access.check_vhost_queues("v", "q", 0)
    text = "cannot declare queue 'q': queue limit in vhost 'v' (0) is reached"
    assert explained(refused) == (406, "channel", text, False)


def test_vhost_limits_are_merged_and_cleared(access: Access) -> None:
    access.set_vhost_limits("v", {"max-queues": 5})
    access.set_vhost_limits("v", {"max-connections": -5})
    assert access.export_vhost_limits() == [{"vhost": "v", "value": {"max-queues": 5, "max-connections": -5}}]
    access.check_vhost_connections("v", "u", 10)  # a negative limit means no limit
    access.set_vhost_limits("v", {"max-queues": 6}, merge=False)
    assert access.vhost_limits("v") == {"max-queues": 6}
    access.clear_vhost_limits("v", "max-queues")
    assert access.export_vhost_limits("v") == [{"vhost": "v", "value": {}}]
    access.clear_vhost_limits("v")
    assert access.export_vhost_limits("v") == []
    with pytest.raises(LimitError, match=r'Unrecognised terms \[{<<"max-foo">>,5}\] in limits'):
        access.set_vhost_limits("v", {"max-foo": 5})


# --- forgetting, definitions


def test_a_deleted_user_or_vhost_leaves_no_permissions_behind(access: Access) -> None:
    for vhost in ("/", "v"):
        access.set_permissions("u", vhost, "", "", "")
        access.set_topic_permissions("u", vhost, "amq.topic", "", "")
        access.set_vhost_limits(vhost, {"max-queues": 1})
    access.forget_vhost("v")
    assert [entry["vhost"] for entry in access.export_permissions(user="u")] == ["/"]
    assert [entry["vhost"] for entry in access.export_topic_permissions()] == ["/"]
    assert [entry["vhost"] for entry in access.export_vhost_limits()] == ["/"]
    access.grants("u", "/")
    assert access.forget_user("u").name == "u"
    assert [entry["user"] for entry in access.export_permissions()] == ["guest"]
    access.users.add("u", "p")
    assert not access.vhost_access("u", "/") and not access.grants("u", "/").allows("read", "")


def test_exported_users_and_permissions_can_be_imported(access: Access) -> None:
    access.set_permissions("u", "/", "", "", "^a")
    access.set_topic_permissions("u", "/", "amq.topic", "^w", "^r")
    access.users.set_limits("u", {"max-channels": 2})
    again = Access()
    for user in access.export_users():
        again.import_user(user)
    for permission in access.export_permissions():
        again.import_permission(permission)
    for permission in access.export_topic_permissions():
        again.import_topic_permission(permission)
    assert again.export_users() == access.export_users()
    assert again.export_permissions() == access.export_permissions()
    assert again.export_topic_permissions("/", "u") == access.export_topic_permissions("/", "u")
    assert again.export_user_limits() == [{"user": "u", "value": {"max-channels": 2}}]
    assert isinstance(again.authenticate("u", "p", loopback=True), User)
    assert again.export_permissions("/", "u") == [
        {"user": "u", "vhost": "/", "configure": "", "write": "", "read": "^a"}
    ]


def test_what_a_user_may_do_is_found_without_looking_at_all_users(
    access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("alice", "bob"):
        access.users.put(User(name))
    for user, vhost in (("alice", "/"), ("alice", "v"), ("bob", "/")):
        access.set_permissions(user, vhost, "", "", "")
        access.set_topic_permissions(user, vhost, "amq.topic", "", "")
    monkeypatch.setattr(access._permissions, "_values", Unwalked(access._permissions._values))
    monkeypatch.setattr(access._topic, "_values", Unwalked(access._topic._values))
    assert [one["vhost"] for one in access.export_permissions(user="alice")] == ["/", "v"]
    assert access.forget_exchange("v", "amq.topic")
    access.forget_user("alice")
    assert [one["user"] for one in access.export_permissions(vhost="/")] == ["bob", "guest"]
    assert [one["user"] for one in access.export_topic_permissions(vhost="/")] == ["bob"]
    assert not access.export_permissions(vhost="v")
    access.forget_vhost("/")
    assert not access.export_topic_permissions(user="bob")


class Unwalked(dict[Any, Any]):
    """A dict whose keys nobody goes over."""

    def __iter__(self) -> Any:
        raise AssertionError("all were gone over")

    items = values = keys = __iter__
