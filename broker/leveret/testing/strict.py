"""Strict mode: what a test must not leave behind, and what lint finds."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal, get_args

from msgspec import Struct

from leveret.engine import announced
from leveret.engine.announced import LATER
from leveret.engine.findings import RULES
from leveret.profiles import PROFILES
from leveret.testing import history
from leveret.testing.errors import ToolkitError, hides_frames
from leveret.testing.messages import PublishedMessage, messages_of
from leveret.testing.near_miss import closest
from leveret.testing.recorder import connection_name

if TYPE_CHECKING:
    from leveret.engine.findings import Finding
    from leveret.testing.scope import Scope

Rule = Literal["unroutable", "expired", "dropped", "dead-lettered", "unacked", "leaks", "unhit", "errors"]

RULE_NAMES: tuple[str, ...] = get_args(Rule)

__tracebackhide__ = hides_frames

#: Versions that lint knows: profiles, and announced ones.
_VERSIONS = [*PROFILES, *announced.VERSIONS]

#: What `strict=True` means.
DEFAULT_RULES = frozenset(RULE_NAMES) - {"leaks"}

#: Violations of one rule that are shown with their stories.
MOST_SHOWN = 3

#: Reply codes of closes that are no error of a client: the broker or an administrator wanted them.
_FORCED = "320"


class Violation(Struct, frozen=True):
    """One broken rule. `subjects`: names that `allow` may match; `text`: a paragraph."""

    rule: str
    subjects: tuple[str, ...]
    text: str


class Allowed(Struct, frozen=True):
    """Something that is allowed: a rule and a glob for what is concerned."""

    rule: str
    glob: str

    def covers(self, violation: Violation) -> bool:
        """Return whether it allows a violation."""
        return violation.rule == self.rule and any(
            fnmatchcase(subject, self.glob) for subject in violation.subjects
        )


def rules_of(strict: bool | Collection[str] | None) -> frozenset[str]:
    """Return the rules that `strict=` means. Raises `ToolkitError` for an unknown one."""
    if not strict:
        return frozenset()
    if strict is True:
        return DEFAULT_RULES
    names = {strict} if isinstance(strict, str) else set(strict)
    for name in sorted(names - set(RULE_NAMES)):
        raise ToolkitError(_unknown(f"strict={name!r}", name))
    return frozenset(names)


def allowed_of(allow: Iterable[str]) -> list[Allowed]:
    """Return what `allow=` means: `rule` or `rule:glob`. Raises `ToolkitError`."""
    found = []
    for entry in [allow] if isinstance(allow, str) else allow:
        rule, _, glob = entry.strip().partition(":")
        if rule not in RULE_NAMES:
            raise ToolkitError(_unknown(f"allow={entry!r}", rule))
        found.append(Allowed(rule, glob or "*"))
    return found


def _unknown(where: str, name: str) -> str:
    like = closest(name, list(RULE_NAMES))
    hint = f"; there is '{like}'" if like else ""
    return f"{where}: there is no rule '{name}'{hint}. The rules are {', '.join(RULE_NAMES)}"


class Inventory(Struct, frozen=True):
    """What there was when a test began."""

    queues: frozenset[tuple[str, str]]
    exchanges: frozenset[tuple[str, str]]
    connections: frozenset[str]


def inventory(scope: Scope) -> Inventory:
    """Return what there is now; only in the broker's thread."""
    vhosts = [vhost for vhost in scope.engine.vhosts.values() if scope.covers(vhost.name)]
    return Inventory(
        frozenset((vhost.name, name) for vhost in vhosts for name in vhost.queues),
        frozenset((vhost.name, name) for vhost in vhosts for name in vhost.exchanges),
        frozenset(
            each.name
            for each in scope.engine.connections
            if each.vhost is not None and scope.covers(each.vhost.name)
        ),
    )


def violations(
    scope: Scope, rules: Collection[str], allow: Iterable[Allowed], before: Inventory
) -> list[Violation]:
    """Return the broken rules that are not allowed; only in the broker's thread."""
    allowed = list(allow)
    return [found for found in _all(scope, rules, before) if not any(each.covers(found) for each in allowed)]


def _all(scope: Scope, rules: Collection[str], before: Inventory) -> Iterator[Violation]:
    if scope.node.recorder is not None and rules & _OF_MESSAGES:  # type: ignore[operator]  # a frozenset
        everything = [record for record in scope.node.recorder.records if scope.covers(record.vhost)]
        for message in messages_of(everything):
            yield from (each for each in _of_message(message) if each.rule in rules)
    if "unacked" in rules:
        yield from _unacked(scope)
    if "errors" in rules and scope.node.recorder is not None:
        yield from _errors(scope)
    if "leaks" in rules:
        yield from _leaks(scope, before)


_OF_MESSAGES = {"unroutable", "expired", "dropped", "dead-lettered"}


def _of_message(message: PublishedMessage) -> Iterator[Violation]:
    for event in message.events:
        names = tuple(name for name in (event.queue, message.exchange, message.routing_key) if name)
        if event.kind == "unroutable":
            start = "a copy of a message" if message.origin is not None else "a message"
            yield Violation("unroutable", names, f"{start} reached no queue: {message.story()}")
        elif event.kind == "dead-lettered":
            text = f"queue '{event.queue}' dead-lettered a message ({event.reason}): {message.story()}"
            yield Violation("dead-lettered", names, text)
        elif event.kind in ("expired", "dropped") and event.reason is not None:
            text = (
                f"a message was lost: queue '{event.queue}', {event.kind}, {event.reason}: {message.story()}"
            )
            yield Violation(event.kind, names, text)


def _unacked(scope: Scope) -> Iterator[Violation]:
    from leveret.testing.idle_wait import IdleCheck

    check = IdleCheck(scope.node, scope.only, 0.0)
    check.check()
    check.stop()
    for reason in check.reasons:
        if reason.kind in ("unacked", "unread"):
            yield Violation("unacked", (reason.queue or "",), reason.text)


def _errors(scope: Scope) -> Iterator[Violation]:
    for event in history.events(scope):
        if event.kind not in ("channel-error", "connection-error", "login-failed"):
            continue
        code = (event.reason or "").split(" ", 1)[0]
        if code == _FORCED:
            continue
        place = f"channel {event.channel} of " if event.channel is not None else ""
        text = f"the broker closed {place}connection '{event.connection}': {event.reason}"
        if event.kind == "login-failed":
            text = f"connection '{event.connection}' could not log in: {event.reason}"
        yield Violation("errors", (code, event.connection or ""), text)


def _leaks(scope: Scope, before: Inventory) -> Iterator[Violation]:
    now = inventory(scope)
    for vhost, name in sorted(now.queues - before.queues):
        yield Violation("leaks", (name,), f"queue '{name}' in vhost '{vhost}' was left behind")
    for vhost, name in sorted(now.exchanges - before.exchanges):
        yield Violation("leaks", (name,), f"exchange '{name}' in vhost '{vhost}' was left behind")
    for each in scope.engine.connections:
        if each.name in now.connections - before.connections:
            name = connection_name(each)
            yield Violation("leaks", (name, each.name), f"connection '{name}' is still open")


def unclean_text(found: list[Violation]) -> str:
    """Return one paragraph for each rule that was broken."""
    by_rule: dict[str, list[Violation]] = {}
    for violation in found:
        by_rule.setdefault(violation.rule, []).append(violation)
    parts = []
    for rule, those in by_rule.items():
        more = f", and {len(those) - MOST_SHOWN} more" if len(those) > MOST_SHOWN else ""
        texts = "\n".join(one.text for one in those[:MOST_SHOWN])
        parts.append(
            f"{rule} ({len(those)}): {texts}{more}\n    to allow it: allow={_allowing(those[:MOST_SHOWN])}"
        )
    return "\n\n".join(parts)


def _allowing(those: list[Violation]) -> str:
    """Return what to write to allow violations of a rule."""
    entries = [f"{one.rule}:{next((name for name in one.subjects if name), '*')}" for one in those]
    return json.dumps(list(dict.fromkeys(entries)), ensure_ascii=False)


# --- lint


class LintFinding(Struct, frozen=True):
    """Something that a later RabbitMQ refuses, or that is deprecated or without effect. `refused_from`: the first
    version that refuses it, "later" for one without a number yet, empty if none is known; `connection`: the last one
    that caused it."""

    rule: str
    subject: str
    detail: str
    problem: str
    advice: str
    refused_from: str
    connection: str
    count: int

    def __str__(self) -> str:
        """Return it as a sentence."""
        detail = f" ({self.detail})" if self.detail else ""
        version = "a later version, which is announced" if self.refused_from == LATER else self.refused_from
        start = f"this test would break on {version}: " if version else ""
        by = f", by connection '{self.connection}'" if self.connection else ""
        return (
            f"{start}{self.subject}: {self.problem}{detail}{by}. {self.advice[0].upper()}{self.advice[1:]}."
        )


def finding_of(finding: Finding, connection: str) -> LintFinding:
    """Return a finding as tests see it. `connection`: the name that a client gave the last one that caused it."""
    problem, advice = RULES[finding.rule]
    return LintFinding(
        finding.rule,
        finding.subject,
        finding.detail,
        problem,
        advice,
        finding.refused_from,
        connection,
        finding.count,
    )


def check_lint(lint: str | None) -> None:
    """Raise `ToolkitError` unless it is None, a version, "next" or "all"."""
    if lint is not None and lint not in (*_VERSIONS, "next", "all"):
        versions = ", ".join(name for name in _VERSIONS if name != LATER)
        raise ToolkitError(f'lint={lint!r}: there is no such version; there are {versions}, "next" and "all"')


def lint_failures(findings: Iterable[LintFinding], lint: str | None) -> list[LintFinding]:
    """Return the findings that fail a test. `lint`: a version, "next" for any later one, "all" for all findings."""
    if lint is None:
        return []
    if lint == "all":
        return list(findings)
    refused = [one for one in findings if one.refused_from]
    if lint == "next":
        return refused
    check_lint(lint)
    return [one for one in refused if _VERSIONS.index(one.refused_from) <= _VERSIONS.index(lint)]


class LintView:
    """What lint has found in a broker, or in one virtual host."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    @property
    def findings(self) -> list[LintFinding]:
        """All findings."""
        return self._scope.node.call(lambda: findings(self._scope))

    def clear(self) -> None:
        """Forget all findings."""
        self._scope.node.call(lambda: self._scope.engine.lint.forget())


def findings(scope: Scope) -> list[LintFinding]:
    """Return the findings; only in the broker's thread. Those of a connection name no virtual host: they are in all."""
    recorder = scope.node.recorder
    found = [
        finding_of(one, recorder.given_name(one.connection) if recorder is not None else one.connection)
        for one in scope.engine.lint.findings.values()
    ]
    if scope.only is None:
        return found
    mine = f"vhost '{scope.only}'"
    return [one for one in found if mine in one.subject or "vhost '" not in one.subject]
