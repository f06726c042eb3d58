"""Limits of the node and rules for passwords and types, which rabbitmq.conf sets."""

from __future__ import annotations

import logging

import pytest

from leveret.config import ConfigError, Settings
from leveret.engine import operations
from leveret.engine.broker import Broker
from leveret.engine.definitions import DefinitionsError, import_definitions
from leveret.engine.node_limits import VhostLimitError
from leveret.engine.operations import INTERNAL_CALLER, PasswordError
from leveret.engine.users import UserError
from leveret.engine.vhost import VirtualHost
from leveret.errors import AmqpError
from leveret.settings import AccessSettings, Amqp, Limits
from leveret.wire.tables import Field, Table


def broker(**settings: object) -> Broker:
    made = Broker(Settings(**settings))  # type: ignore[arg-type]
    operations.put_vhost(made, INTERNAL_CALLER, "/")
    return made


def declare(vhost: VirtualHost, name: str, kind: str | None = None, **more: bool) -> None:
    arguments: Table = {} if kind is None else {"x-queue-type": Field("S", kind.encode())}
    given = {"durable": True, "auto_delete": False, **more}
    operations.declare_queue(vhost, INTERNAL_CALLER, name, arguments=arguments, **given)


def declare_exchange(vhost: VirtualHost, name: str, kind: str = "direct") -> None:
    operations.declare_exchange(
        vhost, INTERNAL_CALLER, name, kind, durable=True, auto_delete=False, internal=False, arguments={}
    )


def test_queues_of_all_virtual_hosts_count() -> None:
    made = broker(limits=Limits(queues=2))
    operations.put_vhost(made, INTERNAL_CALLER, "v")
    declare(made.vhosts["/"], "a")
    declare(made.vhosts["v"], "b")
    with pytest.raises(AmqpError) as refused:
        declare(made.vhosts["/"], "c")
    assert refused.value.text == (
        "PRECONDITION_FAILED - cannot declare queue 'c': queue limit in cluster (2) is reached"
    )
    declare(made.vhosts["/"], "a")  # one that is there
    operations.delete_queue(made.vhosts["v"], INTERNAL_CALLER, "b")
    declare(made.vhosts["/"], "c")


def test_exchanges_of_all_virtual_hosts_count() -> None:
    made = broker(limits=Limits(exchanges=8))
    declare_exchange(made.vhosts["/"], "x")
    declare_exchange(made.vhosts["/"], "x")
    with pytest.raises(AmqpError) as refused:
        declare_exchange(made.vhosts["/"], "y")
    assert refused.value.text == (
        "PRECONDITION_FAILED - cannot declare exchange 'y' in vhost '/': exchange limit of 8 is reached"
    )


def test_virtual_hosts_count() -> None:
    made = broker(limits=Limits(vhosts=2))
    operations.put_vhost(made, INTERNAL_CALLER, "v")
    operations.put_vhost(made, INTERNAL_CALLER, "v", description="again")
    with pytest.raises(VhostLimitError, match=r"^cannot create vhost 'w': vhost limit of 2 is reached$"):
        operations.put_vhost(made, INTERNAL_CALLER, "w")
    with pytest.raises(DefinitionsError) as refused:
        import_definitions(made, {"vhosts": [{"name": "w"}]})
    assert str(refused.value) == (
        "{case_clause,\n    {'EXIT',\n        {vhost_limit_exceeded,\n"
        "            \"cannot create vhost 'w': vhost limit of 2 is reached\"}}}"
    )


def test_types_of_queues_can_be_disabled() -> None:
    made = broker(amqp=Amqp(disabled_queue_types=("classic",)))
    with pytest.raises(AmqpError) as refused:
        declare(made.vhosts["/"], "q")
    node = made.settings.server.node_name
    assert str(refused.value) == (
        "INTERNAL_ERROR - Cannot declare a queue 'queue 'q' in vhost '/'' of type 'rabbit_classic_queue' on node "
        f"'{node}': the corresponding feature flag is disabled"
    )
    declare(made.vhosts["/"], "q", "quorum")


def test_local_random_exchanges_can_be_disabled() -> None:
    made = broker(amqp=Amqp(local_random_exchange=False))
    with pytest.raises(AmqpError) as refused:
        declare_exchange(made.vhosts["/"], "x", "x-local-random")
    assert refused.value.text == "PRECONDITION_FAILED - x-local-random exchange is disabled by configuration"


def test_a_quorum_queue_may_be_declared_as_a_classic_one_if_that_is_permitted() -> None:
    for relaxed in (False, True):
        made = broker(amqp=Amqp(relaxed_redeclaration=relaxed))
        declare(made.vhosts["/"], "q", "quorum")
        if relaxed:
            declare(made.vhosts["/"], "q", "classic", durable=False)
            continue
        with pytest.raises(AmqpError, match="inequivalent arg"):
            declare(made.vhosts["/"], "q", "classic")


@pytest.mark.parametrize(
    ("rules", "bad", "good", "problem"),
    [
        (
            AccessSettings(password_validator="min_password_length", password_min_length=8),
            "secret",
            "secret-8",
            "minimum required password length is 8",
        ),
        (
            AccessSettings(password_validator="password_regexp", password_pattern="^[a-z]+[0-9]$"),
            "secret",
            "secret1",
            "provided password does not match the validator regular expression",
        ),
    ],
)
def test_new_passwords_are_checked(
    rules: AccessSettings, bad: str, good: str, problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    made = broker(access=rules)
    with caplog.at_level(logging.ERROR), pytest.raises(PasswordError, match=f"^{problem}$"):
        operations.add_user(made, INTERNAL_CALLER, "ann", bad)
    assert "Credential validation for user 'ann' failed!" in caplog.text
    operations.add_user(made, INTERNAL_CALLER, "ann", good)
    with pytest.raises(PasswordError, match=f"^{problem}$"):
        operations.change_password(made, INTERNAL_CALLER, "ann", bad)
    with pytest.raises(UserError) as refused:
        operations.put_user(made, INTERNAL_CALLER, "bob", {"password": bad, "tags": ""})
    assert refused.value.reason == "credential_validation_failed"
    operations.put_user(made, INTERNAL_CALLER, "bob", {"password_hash": "AAAA", "tags": ""})
    operations.put_user(made, INTERNAL_CALLER, "carl", {"tags": ""})


def test_a_rule_that_is_no_regular_expression_is_refused() -> None:
    with pytest.raises(ConfigError, match="password_pattern"):
        broker(access=AccessSettings(password_validator="password_regexp", password_pattern="("))


def test_passwords_of_commands_are_hashed_as_configured() -> None:
    made = broker(access=AccessSettings(password_hashing="rabbit_password_hashing_sha512"))
    operations.add_user(made, INTERNAL_CALLER, "ann", "secret")
    assert made.access.users["ann"].hashing_algorithm == "rabbit_password_hashing_sha512"
    assert made.access.users["ann"].verify("secret")
