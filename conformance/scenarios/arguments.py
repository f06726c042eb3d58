"""Queue arguments: which are accepted, by which queue type, and how bad values are refused."""

from conformance.codec import Typed
from conformance.stage import Stage, family, scenario

PAGE = "rabbitmq.com/docs/queues#optional-arguments"

TTL = "rabbitmq.com/docs/ttl"
LENGTH = "rabbitmq.com/docs/maxlength"
DLX = "rabbitmq.com/docs/dlx"

VALUES: dict[str, dict[str, object]] = {
    "ttl-zero": {"x-message-ttl": 0},
    "ttl-largest": {"x-message-ttl": Typed("l", 315360000000)},
    "ttl-above": {"x-message-ttl": Typed("l", 315360000001)},
    "ttl-negative": {"x-message-ttl": -1},
    "ttl-string": {"x-message-ttl": "1000"},
    "ttl-bool": {"x-message-ttl": True},
    "ttl-void": {"x-message-ttl": None},
    "ttl-float": {"x-message-ttl": 1.5},
    "ttl-table": {"x-message-ttl": {}},
    "ttl-array": {"x-message-ttl": [1]},
    "ttl-bytes": {"x-message-ttl": b"1"},
    "ttl-timestamp": {"x-message-ttl": Typed("T", 1000)},
    "ttl-decimal": {"x-message-ttl": Typed("D", (0, 1))},
    "ttl-byte": {"x-message-ttl": Typed("b", 100)},
    "ttl-unsigned-byte": {"x-message-ttl": Typed("B", 100)},
    "ttl-short": {"x-message-ttl": Typed("s", 100)},
    "ttl-unsigned-short": {"x-message-ttl": Typed("u", 100)},
    "ttl-unsigned": {"x-message-ttl": Typed("i", 100)},
    "expires-zero": {"x-expires": 0},
    "expires-negative": {"x-expires": -5},
    "expires-one-hour": {"x-expires": 3600000},
    "expires-above": {"x-expires": Typed("l", 315360000001)},
    "expires-string": {"x-expires": "1"},
    "max-length-negative": {"x-max-length": -1},
    "max-length-string": {"x-max-length": "1"},
    "max-length-zero": {"x-max-length": 0},
    "max-length-huge": {"x-max-length": Typed("l", 2**62)},
    "max-length-bytes-negative": {"x-max-length-bytes": -1},
    "max-length-bytes-bool": {"x-max-length-bytes": False},
    "overflow-unknown": {"x-overflow": "foo"},
    "overflow-int": {"x-overflow": 1},
    "overflow-drop-head": {"x-overflow": "drop-head"},
    "overflow-reject-publish": {"x-overflow": "reject-publish"},
    "overflow-reject-publish-dlx": {"x-overflow": "reject-publish-dlx"},
    "dlx-int": {"x-dead-letter-exchange": 1},
    "dlx-bool": {"x-dead-letter-exchange": True},
    "dlx-empty": {"x-dead-letter-exchange": ""},
    "dlx-missing-exchange": {"x-dead-letter-exchange": "cf.none"},
    "dlrk-int": {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": 1},
    "dlrk-alone": {"x-dead-letter-routing-key": "k"},
    "dlrk-and-dlx": {"x-dead-letter-exchange": "cf.none", "x-dead-letter-routing-key": "k"},
    "dl-strategy": {"x-dead-letter-strategy": "at-most-once"},
    "max-priority-256": {"x-max-priority": 256},
    "max-priority-255": {"x-max-priority": 255},
    "max-priority-0": {"x-max-priority": 0},
    "max-priority-negative": {"x-max-priority": -1},
    "max-priority-string": {"x-max-priority": "5"},
    "sac-string": {"x-single-active-consumer": "true"},
    "sac-int": {"x-single-active-consumer": 1},
    "sac-false": {"x-single-active-consumer": False},
    "type-unknown": {"x-queue-type": "foo"},
    "type-int": {"x-queue-type": 1},
    "type-empty": {"x-queue-type": ""},
    "type-void": {"x-queue-type": None},
    "type-classic": {"x-queue-type": "classic"},
    "type-upper-case": {"x-queue-type": "Classic"},
    "mode-unknown": {"x-queue-mode": "foo"},
    "mode-int": {"x-queue-mode": 1},
    "mode-lazy": {"x-queue-mode": "lazy"},
    "version-1": {"x-queue-version": 1},
    "version-2": {"x-queue-version": 2},
    "version-3": {"x-queue-version": 3},
    "version-string": {"x-queue-version": "2"},
    "master-locator": {"x-queue-master-locator": "min-masters"},
    "leader-locator": {"x-queue-leader-locator": "balanced"},
    "leader-locator-unknown": {"x-queue-leader-locator": "foo"},
    "leader-locator-int": {"x-queue-leader-locator": 1},
    "delivery-limit": {"x-delivery-limit": 5},
    "initial-group-size": {"x-quorum-initial-group-size": 1},
    "initial-cluster-size": {"x-initial-cluster-size": 1},
    "max-in-memory-length": {"x-max-in-memory-length": 1},
    "max-in-memory-bytes": {"x-max-in-memory-bytes": 1},
    "max-age": {"x-max-age": "1D"},
    "segment-size": {"x-stream-max-segment-size-bytes": 1000000},
    "filter-size": {"x-stream-filter-size-bytes": 16},
    "consumer-timeout": {"x-consumer-timeout": 60000},
    "unknown": {"x-unknown": 1, "x-ha-policy": "all", "foo": "bar"},
    "two-bad": {"x-message-ttl": -1, "x-expires": 0, "x-max-length": -1},
    "two-bad-other-order": [("x-max-length", -1), ("x-expires", 0), ("x-message-ttl", -1)],  # type: ignore[dict-item]
    "bad-value-and-type": {"x-message-ttl": -1, "x-delivery-limit": 5},
    "duplicate": [("x-message-ttl", 1000), ("x-message-ttl", -1)],  # type: ignore[dict-item]
}


@family("arguments/classic", PAGE, VALUES)
def classic(s: Stage, arguments: dict[str, object]) -> None:
    s.connect().ask("queue.declare", queue="cf.q", durable=True, arguments=arguments)


QUORUM: dict[str, dict[str, object]] = {
    "plain": {},
    "ttl": {"x-message-ttl": 1000},
    "ttl-negative": {"x-message-ttl": -1},
    "expires": {"x-expires": 3600000},
    "expires-zero": {"x-expires": 0},
    "max-length": {"x-max-length": 5},
    "max-length-bytes-negative": {"x-max-length-bytes": -1},
    "overflow-reject-publish": {"x-overflow": "reject-publish"},
    "overflow-reject-publish-dlx": {"x-overflow": "reject-publish-dlx"},
    "overflow-unknown": {"x-overflow": "foo"},
    "dlx": {"x-dead-letter-exchange": "cf.none", "x-dead-letter-routing-key": "k"},
    "dlrk-alone": {"x-dead-letter-routing-key": "k"},
    "dl-strategy-unknown": {"x-dead-letter-strategy": "foo"},
    "dl-strategy-int": {"x-dead-letter-strategy": 1},
    "dl-strategy": {"x-dead-letter-strategy": "at-most-once"},
    "max-priority": {"x-max-priority": 5},
    "sac": {"x-single-active-consumer": True},
    "mode": {"x-queue-mode": "lazy"},
    "version": {"x-queue-version": 2},
    "leader-locator": {"x-queue-leader-locator": "client-local"},
    "leader-locator-unknown": {"x-queue-leader-locator": "foo"},
    "delivery-limit": {"x-delivery-limit": 5},
    "delivery-limit-negative": {"x-delivery-limit": -1},
    "delivery-limit-string": {"x-delivery-limit": "a"},
    "initial-group-size-zero": {"x-quorum-initial-group-size": 0},
    "initial-group-size": {"x-quorum-initial-group-size": 3},
    "initial-cluster-size": {"x-initial-cluster-size": 1},
    "max-in-memory-length": {"x-max-in-memory-length": 1},
    "max-in-memory-length-negative": {"x-max-in-memory-length": -1},
    "max-age": {"x-max-age": "1D"},
    "consumer-timeout": {"x-consumer-timeout": 60000},
    "consumer-timeout-negative": {"x-consumer-timeout": -1},
    "consumer-timeout-string": {"x-consumer-timeout": "a"},
    "unknown": {"x-unknown": 1},
}


@family("arguments/quorum", "rabbitmq.com/docs/quorum-queues", QUORUM)
def quorum(s: Stage, arguments: dict[str, object]) -> None:
    given = {"x-queue-type": "quorum", **arguments}
    s.connect().ask("queue.declare", queue="cf.q", durable=True, arguments=given)


STREAM: dict[str, dict[str, object]] = {
    "plain": {},
    "ttl": {"x-message-ttl": 1000},
    "expires": {"x-expires": 3600000},
    "max-length": {"x-max-length": 5},
    "max-length-bytes": {"x-max-length-bytes": 20000000},
    "max-length-bytes-negative": {"x-max-length-bytes": -1},
    "overflow": {"x-overflow": "drop-head"},
    "dlx": {"x-dead-letter-exchange": "cf.none"},
    "max-priority": {"x-max-priority": 5},
    "sac": {"x-single-active-consumer": True},
    "max-age-day": {"x-max-age": "1D"},
    "max-age-all-units": {"x-max-age": "3Y"},
    "max-age-unknown-unit": {"x-max-age": "5X"},
    "max-age-no-unit": {"x-max-age": "5"},
    "max-age-int": {"x-max-age": 5},
    "max-age-negative": {"x-max-age": "-1D"},
    "segment-size": {"x-stream-max-segment-size-bytes": 1000000},
    "segment-size-above": {"x-stream-max-segment-size-bytes": Typed("l", 3000000001)},
    "segment-size-negative": {"x-stream-max-segment-size-bytes": -1},
    "filter-size-15": {"x-stream-filter-size-bytes": 15},
    "filter-size-256": {"x-stream-filter-size-bytes": 256},
    "initial-cluster-size-zero": {"x-initial-cluster-size": 0},
    "initial-cluster-size": {"x-initial-cluster-size": 1},
    "initial-group-size": {"x-quorum-initial-group-size": 1},
    "leader-locator": {"x-queue-leader-locator": "balanced"},
    "delivery-limit": {"x-delivery-limit": 5},
    "unknown": {"x-unknown": 1},
}


@family("arguments/stream", "rabbitmq.com/docs/streams", STREAM)
def stream(s: Stage, arguments: dict[str, object]) -> None:
    given = {"x-queue-type": "stream", **arguments}
    s.connect().ask("queue.declare", queue="cf.q", durable=True, arguments=given)


DEFAULTS: dict[str, dict[str, object]] = {
    "non-durable": {"durable": False},
    "exclusive": {"exclusive": True},
    "auto-delete": {"auto_delete": True},
    "non-durable-exclusive": {"durable": False, "exclusive": True},
    "server-named": {"queue": ""},
    "non-durable-and-bad-argument": {"durable": False, "arguments": {"x-max-length": -1}},
}


@family("arguments/quorum-property", "rabbitmq.com/docs/quorum-queues#feature-comparison", DEFAULTS)
def quorum_property(s: Stage, change: dict[str, object]) -> None:
    _property(s, "quorum", change)


@family("arguments/stream-property", "rabbitmq.com/docs/streams#feature-comparison", DEFAULTS)
def stream_property(s: Stage, change: dict[str, object]) -> None:
    _property(s, "stream", change)


def _property(s: Stage, kind: str, change: dict[str, object]) -> None:
    extra = change.get("arguments", {})
    assert isinstance(extra, dict)
    given = {"queue": "cf.q", "durable": True, **change, "arguments": {"x-queue-type": kind, **extra}}
    s.connect().ask("queue.declare", **given)


@scenario("arguments/master-locator-again", PAGE)
def master_locator_redeclared(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q", durable=True)
    a.ask("queue.declare", queue="cf.q", durable=True, arguments={"x-queue-master-locator": "min-masters"})


@scenario("arguments/bad-value-on-redeclare", PAGE)
def bad_on_redeclare(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    a.ask("queue.declare", queue="cf.q", arguments={"x-message-ttl": -1})


@scenario("arguments/bad-value-on-passive", PAGE)
def bad_on_passive(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    a.ask("queue.declare", queue="cf.q", passive=True, arguments={"x-message-ttl": -1})


@scenario("arguments/bad-value-and-reserved-name", PAGE)
def bad_and_reserved(s: Stage) -> None:
    s.connect().ask("queue.declare", queue="amq.foo", arguments={"x-message-ttl": -1})
