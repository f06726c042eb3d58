"""Permissions that an authority decides about: what is asked, kept, and repeated."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from leveret.clock import Clock
from leveret.engine.access import Access
from leveret.engine.authorization import ALLOWED, DENIED, Refused, Renewed, Verdict
from leveret.engine.permissions import IDLE_MS, MAX_KEPT, Delegated, permissions_of
from leveret.engine.users import User
from leveret.errors import AmqpError
from leveret.profiles import profile
from leveret.work import Job, Suspended


class SlowAuthority:
    """Decides `verdicts`, by name; each question is answered when it is asked for the second time."""

    asks = True
    expires_at = None

    def __init__(self, **verdicts: Verdict) -> None:
        self.verdicts = verdicts
        self.asked: list[str] = []
        self._waiting: set[str] = set()

    def _verdict(self, question: str, name: str) -> Verdict:
        if question not in self._waiting:
            self._waiting.add(question)
            self.asked.append(question)
            raise Suspended(Job.elsewhere("test"))
        self._waiting.discard(question)
        return self.verdicts.get(name, ALLOWED)

    def may_open(self, vhost: str, address: str) -> Verdict:
        return self._verdict(f"open {vhost} from {address}", vhost)

    def may_use(self, vhost: str, kind: str, name: str, permission: str) -> Verdict:
        return self._verdict(f"{permission} {kind} {name}", name)

    def may_use_key(self, vhost: str, exchange: str, key: str, permission: str) -> Verdict:
        return self._verdict(f"{permission} {exchange} {key}", key)

    def renew(self, secret: str) -> Renewed | Refused | None:
        return None


def delegated(authority: SlowAuthority) -> tuple[Delegated, Clock]:
    clock = Clock(1_000_000)
    user = User("u", authority=authority)
    found = permissions_of(Access(), profile("4.3"), user, "/", clock)
    assert isinstance(found, Delegated)
    return found, clock


def repeated(operation: Callable[[], object]) -> str:
    """Repeat an operation as the reader does. Return the refusal, or nothing."""
    for _ in range(20):
        try:
            operation()
            return ""
        except Suspended:
            continue
        except AmqpError as error:
            return error.text
    raise AssertionError("the operation is repeated for ever")


def test_each_permission_is_asked_once_and_kept() -> None:
    authority = SlowAuthority()
    may, clock = delegated(authority)

    def bind() -> None:
        may.check_queue("write", "q")
        may.check_exchange("read", "x")
        may.check_topic("read", "x", "k")

    for _ in range(3):
        assert repeated(bind) == ""
    assert authority.asked == ["write queue q", "read exchange x", "read x k"]
    clock.now += IDLE_MS + 1
    assert repeated(bind) == ""
    assert len(authority.asked) == 6


def test_a_slow_authority_does_not_make_an_operation_forget_what_it_knows() -> None:
    authority = SlowAuthority()
    may, clock = delegated(authority)

    def bind() -> None:
        may.check_queue("write", "q")
        may.check_exchange("read", "x")

    for _ in range(2):
        with pytest.raises(Suspended):
            bind()
        clock.now += IDLE_MS + 1  # until the answer is there
    bind()
    assert authority.asked == ["write queue q", "read exchange x"]


def test_refusals_are_not_kept() -> None:
    authority = SlowAuthority(q=DENIED)
    may, _ = delegated(authority)
    refusal = "ACCESS_REFUSED - write access to queue 'q' in vhost '/' refused for user 'u'"
    assert repeated(lambda: may.check_queue("write", "q")) == refusal
    authority.verdicts["q"] = ALLOWED
    assert repeated(lambda: may.check_queue("write", "q")) == ""


def test_any_permission_is_enough_for_a_passive_declaration() -> None:
    authority = SlowAuthority(q=DENIED)
    may, _ = delegated(authority)
    refusal = "ACCESS_REFUSED - configure access to queue 'q' in vhost '/' refused for user 'u'"
    assert repeated(lambda: may.check_passive_queue("q")) == refusal
    assert authority.asked == ["read queue q", "write queue q", "configure queue q"]  # RabbitMQ's order
    assert repeated(lambda: may.check_passive_exchange("")) == ""
    assert authority.asked[3:] == ["read exchange amq.default"]


def test_reasons_are_part_of_the_refusal() -> None:
    authority = SlowAuthority(
        k=Verdict(False, " by backend b: no"), x=Verdict(False, ", backend b returned e")
    )
    may, _ = delegated(authority)
    assert repeated(lambda: may.check_topic("write", "y", "k")).endswith("for user 'u' by backend b: no")
    assert repeated(lambda: may.check_exchange("write", "x")).endswith("for user 'u', backend b returned e")


def test_a_generated_name_stays_until_it_is_used() -> None:
    authority = SlowAuthority()
    may, _ = delegated(authority)
    numbers = iter(range(10))

    def declare() -> str:
        name = may.new_name(lambda: f"q{next(numbers)}")
        may.check_queue("configure", name)
        may.check_queue("read", name)
        may.name_used()
        return name

    assert repeated(declare) == repeated(declare) == ""
    assert authority.asked == ["configure queue q0", "read queue q0", "configure queue q1", "read queue q1"]


def test_so_many_decisions_are_kept() -> None:
    authority = SlowAuthority()
    may, _ = delegated(authority)
    for number in range(MAX_KEPT + 1):
        assert repeated(lambda number=number: may.check_queue("read", f"q{number}")) == ""  # type: ignore[misc]
    authority.asked.clear()
    assert repeated(lambda: may.check_queue("read", "q1")) == ""
    assert authority.asked == []
    assert repeated(lambda: may.check_queue("read", "q0")) == ""
    assert authority.asked == ["read queue q0"]
