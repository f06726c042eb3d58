"""The firehose: what amq.rabbitmq.trace gets while tracing is on, in a virtual host of its own."""

from conformance.stage import Stage, scenario
from conformance.wire import Peer

PAGE = "rabbitmq.com/docs/firehose"
VHOST = "cf.firehose"


def traced(s: Stage, tracing: bool = True) -> tuple[Peer, Peer]:
    """A virtual host with tracing on, a peer `t` that consumes all traces, and a client `a`."""
    s.http("PUT", f"/api/vhosts/{VHOST}", {"tracing": tracing})
    t = s.connect("t", vhost=VHOST)
    t.ask("queue.declare", queue="cf.trace")
    t.ask("queue.bind", queue="cf.trace", exchange="amq.rabbitmq.trace", routing_key="#")
    t.ask("basic.consume", queue="cf.trace", consumer_tag="t", no_ack=True)
    a = s.connect("a", channels=(1, 2), vhost=VHOST)
    return t, a


@scenario("firehose/publish", PAGE + ": publish.{exchange}")
def publish(s: Stage) -> None:
    t, a = traced(s)
    a.ask("queue.declare", queue="cf.q")
    a.ask("confirm.select")
    a.publish("", "cf.q", b"0")
    a.confirms(1)
    t.expect(1)
    a.ask("queue.bind", queue="cf.q", exchange="amq.topic", routing_key="a.#")
    a.publish("amq.topic", "a.b", b"1")
    a.confirms(1)
    t.expect(1)
    a.publish("amq.topic", "b", b"nobody")
    a.confirms(1)
    t.expect(1)
    t.idle()


@scenario("firehose/properties", PAGE + ": headers name the properties")
def properties(s: Stage) -> None:
    t, a = traced(s)
    a.ask("queue.declare", queue="cf.q")
    a.publish(
        "", "cf.q", b"0", content_type="text/plain", content_encoding="gzip",
        headers={"b": 1, "a": "x", "CC": ["cf.r"]}, delivery_mode=2, priority=3, correlation_id="c",
        reply_to="r", expiration="60000", message_id="m", timestamp=1000000000, type="t", user_id="guest",
        app_id="app", cluster_id="cl",
    )  # fmt: skip
    t.expect(1)
    a.publish("", "cf.q", b"1", headers={})
    t.expect(1)
    a.publish("", "cf.q", b"2", headers={"CC": ["cf.r", "cf.q"], "BCC": ["cf.a"]})
    t.expect(1)
    a.publish("", "cf.q", b"3", timestamp=5000000000, priority=255)
    t.expect(1)


@scenario("firehose/deliver", PAGE + ": deliver.{queue}")
def deliver(s: Stage) -> None:
    t, a = traced(s)
    a.ask("queue.declare", queue="cf.q")
    a.publish("", "cf.q", b"0", priority=1)
    t.expect(1)
    a.ask("basic.consume", 2, queue="cf.q", consumer_tag="c")
    a.expect(1, 2)
    t.expect(1)
    a.send("basic.nack", 2, delivery_tag=1, requeue=True)
    a.expect(1, 2)
    t.expect(1)
    a.send("basic.ack", 2, delivery_tag=2)
    a.ask("basic.cancel", 2, consumer_tag="c")
    a.ask("basic.consume", 2, queue="cf.q", consumer_tag="n", no_ack=True)
    a.publish("", "cf.q", b"1")
    a.expect(1, 2)
    t.expect(2)
    t.idle()


@scenario("firehose/get", PAGE + ": deliver.{queue}, for basic.get too")
def get(s: Stage) -> None:
    t, a = traced(s)
    a.ask("queue.declare", queue="cf.q")
    a.publish("", "cf.q", b"0")
    a.publish("", "cf.q", b"1")
    t.expect(2)
    a.ask("basic.get", queue="cf.q")
    t.expect(1)
    a.ask("basic.get", queue="cf.q", no_ack=True)
    t.expect(1)
    a.ask("basic.get", queue="cf.q")
    t.idle()


@scenario("firehose/mandatory", PAGE + ": a return is not a delivery")
def mandatory(s: Stage) -> None:
    t, a = traced(s)
    a.publish("", "cf.none", b"0", mandatory=True)
    a.expect(1)
    t.expect(1)
    t.idle()


@scenario("firehose/transaction", PAGE + ": published when said")
def transaction(s: Stage) -> None:
    t, a = traced(s)
    a.ask("queue.declare", queue="cf.q")
    a.ask("tx.select")
    a.publish("", "cf.q", b"0")
    t.expect(1)
    a.ask("tx.rollback")
    a.publish("", "cf.q", b"1")
    t.expect(1)
    a.ask("tx.commit")
    t.idle()


@scenario("firehose/dead-letter", PAGE)
def dead_letter(s: Stage) -> None:
    t, a = traced(s)
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "cf.dead"}
    a.ask("queue.declare", queue="cf.q", arguments=arguments)
    a.ask("queue.declare", queue="cf.dead")
    a.publish("", "cf.q", b"0")
    t.expect(1)
    a.ask("basic.get", queue="cf.q")
    t.expect(1)
    a.ask("basic.consume", 2, queue="cf.dead", consumer_tag="c", no_ack=True)
    a.send("basic.reject", delivery_tag=1)
    a.expect(1, 2)
    t.expect(1)
    t.idle()


@scenario("firehose/reply-to", PAGE + "; rabbitmq.com/docs/direct-reply-to")
def reply_to(s: Stage) -> None:
    t, a = traced(s)
    a.ask("queue.declare", queue="cf.q")
    a.ask("basic.consume", 2, queue="amq.rabbitmq.reply-to", consumer_tag="r", no_ack=True)
    a.publish("", "cf.q", b"0", 2, reply_to="amq.rabbitmq.reply-to")
    t.expect(1)
    got = a.ask("basic.get", queue="cf.q", no_ack=True)
    t.expect(1)
    assert got.properties is not None
    a.publish("", bytes(got.properties["reply_to"]), b"reply")
    a.expect(1, 2)
    t.expect(1)
    t.idle()


@scenario("firehose/alternate-exchange", PAGE)
def alternate(s: Stage) -> None:
    t, a = traced(s)
    a.ask(
        "exchange.declare", exchange="cf.x", exchange_type="fanout", arguments={"alternate-exchange": "cf.ae"}
    )
    a.ask("exchange.declare", exchange="cf.ae", exchange_type="fanout")
    a.ask("queue.declare", queue="cf.q")
    a.ask("queue.bind", queue="cf.q", exchange="cf.ae")
    a.publish("cf.x", "k", b"0")
    t.expect(1)
    t.idle()


@scenario("firehose/off-and-on", PAGE + "#configuration: it takes effect at once, on open channels")
def off_and_on(s: Stage) -> None:
    t, a = traced(s, tracing=False)
    a.ask("confirm.select")
    a.ask("queue.declare", queue="cf.q")
    a.ask("basic.consume", 2, queue="cf.q", consumer_tag="c", no_ack=True)
    a.publish("", "cf.q", b"0")
    a.expect(1, 2)
    a.confirms(1)
    t.idle()
    s.http("PUT", f"/api/vhosts/{VHOST}", {"tracing": True})
    a.publish("", "cf.q", b"1")
    a.expect(1, 2)
    a.confirms(1)
    t.expect(2)
    s.http("PUT", f"/api/vhosts/{VHOST}", {"tracing": False})
    a.publish("", "cf.q", b"2")
    a.expect(1, 2)
    a.confirms(1)
    t.idle()


@scenario("firehose/publish-to-trace", PAGE + ": the exchange is internal")
def publish_to_trace(s: Stage) -> None:
    _, a = traced(s)
    a.publish("amq.rabbitmq.trace", "publish.cf", b"0")
    a.expect(1)


@scenario(
    "firehose/quorum-redelivered", PAGE + ": headers as the consumer sees them", profiles=("4.3", "4.0")
)
def quorum(s: Stage) -> None:
    t, a = traced(s)
    a.ask("queue.declare", queue="cf.q", durable=True, arguments={"x-queue-type": "quorum"})
    a.ask("confirm.select")
    a.publish("", "cf.q", b"0")
    a.confirms(1)
    t.expect(1)
    a.ask("basic.consume", 2, queue="cf.q", consumer_tag="c")
    a.expect(1, 2)
    t.expect(1)
    a.send("basic.reject", 2, delivery_tag=1, requeue=True)
    a.expect(1, 2)
    t.expect(1)
