"""The rules of lint with their texts, and a finding.

Each rule is about something that a newer RabbitMQ refuses, that is deprecated, or that does not have the effect that it
seems to have.
"""

from __future__ import annotations

from msgspec import Struct

from leveret.engine.announced import LATER

#: Rule -> the problem, and the advice.
RULES: dict[str, tuple[str, str]] = {
    "transient-queue": (
        "transient queues that are not exclusive are deprecated",
        "declare it durable or exclusive; deprecated_features.permit.transient_nonexcl_queues",
    ),
    "global-qos": (
        "basic.qos with global is deprecated",
        "use a prefetch count per consumer (global = false); deprecated_features.permit.global_qos",
    ),
    "queue-master-locator": (
        "x-queue-master-locator is deprecated",
        "use x-queue-leader-locator; deprecated_features.permit.queue_master_locator",
    ),
    "queue-mode": ("x-queue-mode has no effect any more", "remove it"),
    "queue-version": ("version 1 of classic queues was removed", "remove x-queue-version"),
    "in-memory-limit": (
        "quorum queues have no memory limit any more: the argument has no effect",
        "remove it",
    ),
    "no-delivery-limit": (
        "without a delivery limit a failing message is redelivered forever",
        "set x-delivery-limit by argument or policy; from 4.0 on the default is 20",
    ),
    "unknown-argument": ("this argument is unknown: it is stored and has no effect", "correct its name"),
    "mirroring": ("mirrored classic queues were removed", "use quorum queues"),
    "topic-wildcards": ("the pattern has more than two #", "use at most two"),
    "hash-weight": ("the weight of the binding is too large", "use weights of at most 10000"),
    "frame-max": ("the client chooses a frame_max that is too small", "use a frame_max of at least 8192"),
    "message-size": (
        "the body is larger than the default limit of newer versions",
        "set max_message_size there, or store large bodies elsewhere",
    ),
    "client-death-history": (
        "clients publish x-death, for example by publishing a received message with its headers",
        "remove it, or use a header of your own to count: from 4.0 on it is ignored",
    ),
    "dead-letter-exchange": (
        "the dead-letter exchange does not exist: dead letters are dropped",
        "declare it",
    ),
    "alternate-exchange": ("the alternate exchange does not exist", "declare it"),
}


def not_permitted(version: str) -> str:
    """Return from which version on something is not permitted, in words."""
    return f"not permitted from {version} on" if version != LATER else "a later version will not permit it"


class Finding(Struct):
    """One finding.

    `subject`: the object in texts; octets of its names that are not UTF-8 become U+FFFD. `refused_from`: the first
    version that does not permit it, "later" for one without a number yet, empty if all do.
    `connection`: the last one that caused it, "HTTP API", or empty for a restored object. Times in ms since the epoch.
    """

    rule: str
    subject: str
    detail: str
    refused_from: str
    first_seen: int
    last_seen: int
    connection: str
    count: int = 1

    def __post_init__(self) -> None:
        """Make the texts such that they can be shown."""
        self.subject, self.detail = _readable(self.subject), _readable(self.detail)

    def __str__(self) -> str:
        """Format it as one line of the log."""
        problem, advice = RULES[self.rule]
        detail = f" ({self.detail})" if self.detail else ""
        refused = f"; {not_permitted(self.refused_from)}" if self.refused_from else ""
        return f"lint: {self.subject}: {problem}{detail}{refused}. {advice[0].upper()}{advice[1:]}."

    def to_json(self) -> dict[str, object]:
        """Return it as JSON, for the HTTP API."""
        problem, advice = RULES[self.rule]
        return {
            "rule": self.rule,
            "subject": self.subject,
            "problem": problem,
            "detail": self.detail,
            "advice": advice,
            "refused_from": self.refused_from,
            "count": self.count,
            "first_seen": self.first_seen,
            "last_seen": self.last_seen,
            "connection": self.connection,
        }


def _readable(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
