"""Quorum queues and time: acknowledgement timeouts, delayed retry, retried dead letters."""

from conformance.scenarios.quorum import PAGE, quorum
from conformance.stage import Stage, family, scenario

TIMEOUT = "rabbitmq.com/docs/consumers#acknowledgement-timeout"


@scenario("quorum/consumer-timeout", TIMEOUT, profiles=("4.3",))
def times_out(s: Stage) -> None:
    a = quorum(s, b"0", b"1", arguments={"x-consumer-timeout": 300})
    a.ask("basic.qos", prefetch_count=1)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t")
    a.expect(2)
    a.ask("queue.declare", queue="cf.q", passive=True)
    a.send("basic.ack", delivery_tag=1)
    a.expect()
    a.send("basic.ack", delivery_tag=2)
    a.expect()


@scenario("quorum/consumer-timeout-without-capability", TIMEOUT, profiles=("4.3",))
def times_out_plainly(s: Stage) -> None:
    a = s.connect(channels=(1, 2), capabilities={})
    a.ask("queue.declare", queue="cf.q", durable=True, arguments={"x-queue-type": "quorum"})
    a.publish("", "cf.q", b"0")
    a.ask("basic.consume", queue="cf.q", consumer_tag="t", arguments={"x-consumer-timeout": 300})
    a.expect(2)
    a.eventually("basic.get-ok", "basic.get", 2, queue="cf.q", no_ack=True)


@scenario("quorum/consumer-timeout-get", TIMEOUT, profiles=("4.3",))
def fetched_times_out(s: Stage) -> None:
    a = quorum(s, b"0", channels=(1, 2), arguments={"x-consumer-timeout": 300})
    a.ask("basic.get", queue="cf.q")
    a.expect()
    a.eventually("basic.get-ok", "basic.get", 2, queue="cf.q", no_ack=True)


@scenario("quorum/consumer-timeout-single-active", TIMEOUT, profiles=("4.3",))
def active_times_out(s: Stage) -> None:
    given = {"x-single-active-consumer": True, "x-consumer-timeout": 300}
    a = quorum(s, b"0", channels=(1, 2), arguments=given)
    a.ask("basic.consume", queue="cf.q", consumer_tag="t1")
    a.expect()
    a.ask("basic.consume", 2, queue="cf.q", consumer_tag="t2", arguments={"x-consumer-timeout": 60000})
    a.expect()
    a.expect(1, 2)
    a.send("basic.ack", 2, delivery_tag=1)
    a.idle(2)


RETRIES: dict[str, tuple[str, str]] = {
    f"{kind}-{name}": (kind, name)
    for kind in ("all", "failed", "returned", "disabled", "unknown")
    for name in ("basic.nack", "basic.reject")
}


@family("quorum/delayed-retry", PAGE + "#delayed-retry", RETRIES, profiles=("4.3",))
def delayed_retry(s: Stage, kind: str, name: str) -> None:
    given = {"x-delayed-retry-type": kind, "x-delayed-retry-min": 400, "x-delayed-retry-max": 1000}
    a = quorum(s, b"0", arguments=given)
    a.ask("basic.get", queue="cf.q")
    a.send(name, delivery_tag=1, requeue=True)
    a.eventually("consumer_count=0", "queue.declare", queue="cf.q", passive=True)
    s.elapse(700)
    a.ask("basic.get", queue="cf.q", no_ack=True)


UNROUTABLE = {
    "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "cf.nowhere",
    "x-dead-letter-strategy": "at-least-once",
}  # fmt: skip


@family(
    "quorum/at-least-once-unroutable",
    PAGE + "#dead-lettering",
    {"kept": "reject-publish", "lost": "drop-head"},
)
def unroutable(s: Stage, overflow: str) -> None:
    a = quorum(s, b"0", b"1", arguments={**UNROUTABLE, "x-overflow": overflow})
    a.ask("basic.get", queue="cf.q")
    a.send("basic.reject", delivery_tag=1)
    a.eventually("consumer_count=0", "queue.declare", queue="cf.q", passive=True)
    a.ask("queue.purge", queue="cf.q")
