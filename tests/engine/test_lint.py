"""Lint: which declarations are found, from which version on they are refused, and how often they were seen."""

from __future__ import annotations

from typing import Any

import pytest
from pamqp.commands import Basic, Queue

from leveret.clock import VirtualClock
from leveret.config import Settings
from leveret.engine import announced, startup
from leveret.engine.actor import INTERNAL, Actor
from leveret.engine.broker import Broker
from leveret.engine.findings import RULES, Finding
from leveret.engine.lint import LARGE_MESSAGE, MAX_FINDINGS
from leveret.engine.policies import Policy
from leveret.profiles import PROFILES
from leveret.session.peer import Peer
from leveret.settings import Amqp, DeprecatedFeatures, Profile
from leveret.testing.playbook import Connect, Playbook, content, say
from leveret.wire.tables import Field


def broker(version: str = "4.3", **permit: bool) -> Broker:
    clock = VirtualClock()
    made = Broker(Settings(profile=Profile(version), deprecated_features=DeprecatedFeatures(permit)), clock)
    clock.agenda = made.message_time
    startup.seed(made)
    return made


def declare(
    made: Broker, name: str = "q", *, durable: bool = True, actor: Actor = INTERNAL, **arguments: Any
) -> Any:
    table = {
        key.replace("_", "-"): value if isinstance(value, Field) else Field("S", value.encode())
        for key, value in arguments.items()
    }
    return made.vhosts["/"].declare_queue(
        name,
        durable=durable,
        auto_delete=False,
        owner=None,
        arguments=table,
        user="guest",
        actor=actor,
    )


def found(made: Broker) -> list[tuple[str, str, str]]:
    return [(one.rule, one.detail, one.refused_from) for one in made.lint.findings.values()]


def test_common_declarations_give_no_findings() -> None:
    made = broker()
    declare(made, "a", x_max_length=Field("I", 1), x_message_ttl=Field("I", 1), x_dead_letter_exchange="")
    declare(made, "b", x_queue_type="quorum", x_quorum_target_group_size=Field("I", 3))
    declare(made, "c", x_queue_type="stream")
    vhost = made.vhosts["/"]
    vhost.bind(vhost.exchanges["amq.topic"], vhost.queues["a"], "#.a.#", {})
    made.policies.set(Policy("/", "p", ".*", {"max-length": 1}, 0, "all"))
    assert found(made) == []


@pytest.mark.parametrize(
    ("version", "arguments", "finding"),
    [
        ("4.3", {"x_queue_mode": "lazy"}, ("queue-mode", "lazy", "")),
        ("4.0", {"x_queue_version": Field("I", 1)}, ("queue-version", "", "4.3")),
        ("4.0", {"x_queue_master_locator": "min-masters"}, ("queue-master-locator", "", "4.3")),
        ("3.13", {"x_ha_policy": "all"}, ("mirroring", "x-ha-policy", "")),
        ("4.3", {"x_mesage_ttl": Field("I", 1)}, ("unknown-argument", "x-mesage-ttl", "")),
        ("3.13", {"x_queue_type": "quorum"}, ("no-delivery-limit", "", "")),
        (
            "4.3",
            {"x_queue_type": "quorum", "x_delivery_limit": Field("I", -1)},
            ("no-delivery-limit", "", ""),
        ),
        ("4.3", {"x_name_prefix": "x" * 64}, ("unknown-argument", "x-name-prefix", "")),
        ("4.3", {"x_name_prefix": "x" * 65}, ("unknown-argument", "x-name-prefix", "4.4")),
        ("4.3", {"x_member_placement_tag": "az"}, ("unknown-argument", "x-member-placement-tag", "")),
        ("4.3", {"x_member_placement_tag": ""}, ("unknown-argument", "x-member-placement-tag", "4.4")),
        (
            "4.3",
            {"x_queue_type": "quorum", "x_max_in_memory_length": Field("I", 1)},
            ("in-memory-limit", "x-max-in-memory-length", ""),
        ),
    ],
)
def test_deprecated_queue_declarations_are_found(
    version: str, arguments: dict[str, Any], finding: tuple[str, str, str]
) -> None:
    made = broker(version)
    declare(made, **arguments)
    assert found(made) == [finding]


def test_transient_queues_that_are_not_exclusive_are_found() -> None:
    made = broker()
    declare(made, durable=False)
    (one,) = made.lint.findings.values()
    assert str(one) == (
        "lint: queue 'q' in vhost '/': transient queues that are not exclusive are deprecated; not permitted from 4.4"
        " on. Declare it durable or exclusive; deprecated_features.permit.transient_nonexcl_queues."
    )


def test_a_removal_without_a_version_is_announced() -> None:
    made = broker()
    made.lint.note(Actor("guest"), "global-qos", "user 'guest'", "", announced.FEATURES["global_qos"].version)
    (one,) = made.lint.findings.values()
    assert "is deprecated; a later version will not permit it. Use a prefetch" in str(one)


def test_each_announced_version_is_newer_than_all_profiles() -> None:
    rows = [*announced.FEATURES.values(), *(row for _, row in announced.ARGUMENTS.values())]
    assert {row.version for row in rows} == set(announced.VERSIONS)
    assert not set(announced.VERSIONS) & set(PROFILES) and all(row.source for row in rows)


def test_bindings_that_4_3_refuses_are_found() -> None:
    made = broker("4.2")
    vhost, queue = made.vhosts["/"], declare(made)
    vhost.bind(vhost.exchanges["amq.topic"], queue, "#.a.#.b.#", {})
    vhost.bind(vhost.exchanges["amq.topic"], queue, "#.#", {})
    assert found(made) == [("topic-wildcards", "#.a.#.b.#", "4.3")]


def test_large_weights_of_consistent_hash_bindings_are_found() -> None:
    made = broker("4.0")
    vhost, queue = made.vhosts["/"], declare(made)
    source = vhost.declare_exchange(
        "h", "x-consistent-hash", durable=True, auto_delete=False, internal=False, arguments={}, user="guest"
    )
    vhost.bind(source, queue, "10001", {})
    vhost.bind(source, queue, "10000", {})
    assert found(made) == [("hash-weight", "10001", "4.2")]


def test_deprecated_policy_keys_are_found() -> None:
    made = broker("3.13")
    definition = {
        "ha-mode": "all",
        "queue-mode": "lazy",
        "queue-version": 1,
        "queue-master-locator": "min-masters",
    }
    made.policies.set(Policy("/", "p", ".*", definition, 0, "queues"))
    assert found(made) == [
        ("mirroring", "ha-mode", "4.0"),
        ("queue-mode", "lazy", ""),
        ("queue-version", "", "4.3"),
        ("queue-master-locator", "", "4.3"),
    ]


def test_a_finding_has_a_count_and_its_first_and_last_time() -> None:
    made = broker()
    declare(made, x_queue_mode="lazy")
    first = made.clock.now
    made.clock.advance(5000)  # type: ignore[attr-defined]
    declare(made, actor=Actor("guest", "somebody"), x_queue_mode="lazy")
    declare(made, "other", x_queue_mode="lazy")
    one, other = made.lint.findings.values()
    assert (one.count, one.first_seen, one.last_seen, one.connection) == (2, first, first + 5000, "somebody")
    assert other.count == 1


def test_the_number_of_findings_is_bounded() -> None:
    made = broker()
    for number in range(MAX_FINDINGS + 7):
        made.lint.note(INTERNAL, "queue-mode", str(number))
    assert (len(made.lint.findings), made.lint.left_out) == (MAX_FINDINGS, 7)
    made.lint.forget()
    assert (len(made.lint.findings), made.lint.left_out) == (0, 0)


def test_missing_exchanges_are_found_while_they_are_missing() -> None:
    made = broker()
    queue = declare(made, x_dead_letter_exchange="later")
    assert [(one.rule, one.detail) for one in made.lint.standing(made.vhosts.values())] == [
        ("dead-letter-exchange", "later")
    ]
    vhost = made.vhosts["/"]
    given = {"durable": True, "auto_delete": False, "internal": False, "user": "guest"}
    vhost.declare_exchange("later", "direct", arguments={"alternate-exchange": Field("S", b"x")}, **given)
    assert [(one.rule, one.detail) for one in made.lint.standing(made.vhosts.values())] == [
        ("alternate-exchange", "x")
    ]
    vhost.delete_queue(queue)


def test_every_rule_has_a_readable_text() -> None:
    for rule in RULES:
        text = str(Finding(rule, "queue 'q' in vhost '/'", "detail", "4.3", 0, 0, ""))
        assert text.endswith(".") and "; not permitted from 4.3 on. " in text


def test_small_frame_max_and_global_qos_are_found() -> None:
    settings = Settings(profile=Profile("4.0"))
    play = Playbook(settings, first=[Connect("a", frame_max=4096)])
    play >> say(Basic.Qos, prefetch_count=1, global_=True) << say(Basic.QosOk)
    assert (
        play
        >> say(Queue.Declare, queue="q", durable=True)
        << say(Queue.DeclareOk, queue="q", message_count=0, consumer_count=0)
    )
    frame_max, qos = play.stage.broker.lint.findings.values()
    assert (frame_max.rule, frame_max.detail, frame_max.refused_from) == ("frame-max", "4096", "4.2")
    assert (qos.rule, qos.refused_from, qos.connection) == ("global-qos", "4.3", Peer().name)


@pytest.mark.parametrize(
    ("version", "size", "given", "refused"),
    [
        ("3.13", LARGE_MESSAGE, 0, None),
        ("3.13", LARGE_MESSAGE + 1, 0, "4.0"),
        (
            "3.13",
            LARGE_MESSAGE + 1,
            2 * LARGE_MESSAGE,
            None,
        ),  # a limit that was set applies to the newer version, too
        ("4.3", LARGE_MESSAGE + 1, 2 * LARGE_MESSAGE, None),
    ],
)
def test_messages_above_the_limit_of_a_newer_version_are_found(
    version: str, size: int, given: int, refused: str | None
) -> None:
    amqp = {"max_message_size": given} if given else {}
    play = Playbook(Settings(profile=Profile(version), amqp=Amqp(**amqp)))
    body = b"0" * size
    assert play >> [say(Basic.Publish, exchange="amq.topic"), content(body)]
    found = [(one.rule, one.subject, one.refused_from) for one in play.stage.broker.lint.findings.values()]
    assert found == (
        [("message-size", "messages to exchange 'amq.topic' in vhost '/'", refused)] if refused else []
    )


@pytest.mark.parametrize("version", ["3.13", "4.3"])
def test_messages_published_with_a_death_history_are_found(version: str) -> None:
    play = Playbook(Settings(profile=Profile(version)))
    death = Field("A", [Field("F", {"count": Field("l", 1)})])
    for headers in ({"x-death": death}, {"x-death": death}, {"x-retries": Field("I", 1)}, {}):
        play = play >> [say(Basic.Publish, exchange="amq.fanout"), content(b"", headers=headers)]
    assert play
    (one,) = play.stage.broker.lint.findings.values()
    assert (one.rule, one.subject, one.count, one.connection) == (
        "client-death-history",
        "messages to exchange 'amq.fanout' in vhost '/'",
        2,
        Peer().name,
    )
