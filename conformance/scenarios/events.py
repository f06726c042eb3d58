"""The event exchange (plugin rabbitmq_event_exchange): amq.rabbitmq.event in the default virtual host."""

from conformance.stage import Stage, scenario
from conformance.wire import Peer

PAGE = "rabbitmq.com/docs/event-exchange"


def listening(s: Stage, *keys: str) -> Peer:
    """A peer that consumes events with these keys."""
    t = s.connect("t")
    t.ask("queue.declare", queue="cf.events", exclusive=True)
    for key in keys:
        t.ask("queue.bind", queue="cf.events", exchange="amq.rabbitmq.event", routing_key=key)
    t.ask("basic.consume", queue="cf.events", consumer_tag="t", no_ack=True)
    return t


@scenario("events/queues", PAGE + ": queue.created, queue.deleted")
def queues(s: Stage) -> None:
    t = listening(s, "queue.#")
    a = s.connect("a")
    a.ask("queue.declare", queue="cf.q", durable=True, arguments={"x-max-length": 5, "x-expires": 60000})
    t.expect(1)
    a.ask("queue.declare", queue="cf.q", durable=True, arguments={"x-max-length": 5, "x-expires": 60000})
    a.ask("queue.declare", queue="cf.x", exclusive=True, auto_delete=True)
    t.expect(1)
    a.ask("queue.declare", queue="cf.qq", durable=True, arguments={"x-queue-type": "quorum"})
    t.expect(1)
    for queue in ("cf.q", "cf.x", "cf.qq"):
        a.ask("queue.delete", queue=queue)
        t.expect(1)
    t.idle()


@scenario("events/exchanges-and-bindings", PAGE + ": exchange.*, binding.*", profiles=("4.3", "4.0"))
def exchanges(s: Stage) -> None:
    t = listening(s, "binding.#", "exchange.#")
    t.expect(2)  # its own bindings
    a = s.connect("a")
    arguments = {"alternate-exchange": "cf.ae"}
    a.ask("exchange.declare", exchange="cf.x", exchange_type="topic", durable=True, arguments=arguments)
    t.expect(1)
    a.ask("queue.declare", queue="cf.q")
    table = {"b": True, "t": {"list": [1, "x", {"n": 2}], "nothing": None}, "a": "text"}
    a.ask("queue.bind", queue="cf.q", exchange="cf.x", routing_key="k", arguments=table)
    t.expect(1)
    a.ask("queue.bind", queue="cf.q", exchange="cf.x", routing_key="k", arguments=table)
    a.ask("exchange.bind", destination="cf.x", source="amq.fanout")
    t.expect(1)
    a.ask("exchange.unbind", destination="cf.x", source="amq.fanout")
    t.expect(1)
    a.ask("queue.delete", queue="cf.q")
    t.expect(1)
    a.ask("exchange.delete", exchange="cf.x")
    t.expect(1)
    t.idle()


@scenario("events/exchange-delete", PAGE + ": parameter.set, parameter.cleared meanwhile", profiles=("4.3",))
def exchange_delete(s: Stage) -> None:
    t = listening(s, "exchange.deleted", "parameter.#")
    a = s.connect("a")
    a.ask("exchange.declare", exchange="cf.x", exchange_type="fanout")
    a.ask("exchange.delete", exchange="cf.x")
    t.expect(3)
    a.ask("exchange.delete", exchange="cf.x")
    a.ask("exchange.declare", exchange="cf.x", exchange_type="fanout", auto_delete=True)
    a.ask("queue.declare", queue="cf.q")
    a.ask("queue.bind", queue="cf.q", exchange="cf.x")
    a.ask("queue.unbind", queue="cf.q", exchange="cf.x")
    t.expect(1)
    t.idle()


@scenario("events/consumers", PAGE + ": consumer.created, consumer.deleted")
def consumers(s: Stage) -> None:
    t = listening(s, "consumer.#")
    t.expect(1)  # its own
    a = s.connect("a")
    a.ask("queue.declare", queue="cf.q")
    a.ask("basic.qos", prefetch_count=7)
    a.ask("basic.consume", queue="cf.q", consumer_tag="c", arguments={"x-priority": 3})
    t.expect(1)
    a.ask("basic.cancel", consumer_tag="c")
    t.expect(1)
    a.ask("basic.consume", queue="cf.q", consumer_tag="d", no_ack=True, exclusive=True)
    t.expect(1)
    a.ask("queue.delete", queue="cf.q")
    t.expect(2)
    a.idle()
    t.idle()


@scenario("events/auto-delete", PAGE + ": what the broker does by itself")
def auto_delete(s: Stage) -> None:
    t = listening(s, "queue.#")
    a = s.connect("a")
    a.ask("queue.declare", queue="cf.q", auto_delete=True)
    t.expect(1)
    a.ask("basic.consume", queue="cf.q", consumer_tag="c")
    a.ask("basic.cancel", consumer_tag="c")
    t.expect(1)


@scenario("events/connection", PAGE + ": connection.*, channel.*, user.authentication.success")
def connection(s: Stage) -> None:
    t = listening(s, "connection.#", "channel.#", "user.authentication.#")
    a = s.connect("a")
    t.expect(3)
    a.ask("queue.declare", queue="cf.q")
    a.ask("basic.consume", queue="cf.q", consumer_tag="c")
    a.ask("channel.close")
    t.expect(1)
    a.ask("channel.open", 2)
    t.expect(1)
    a.ask("queue.declare", 2, queue="cf.none", passive=True)
    t.expect(1)
    a.ask("connection.close", 0, reply_code=200)
    a.drop()
    t.expect(1)
    t.idle()


@scenario("events/login-refused", PAGE + ": user.authentication.failure")
def refused(s: Stage) -> None:
    t = listening(s, "user.authentication.failure")
    s.connect("a", login=("guest", "wrong"))
    t.expect(1)


@scenario("events/users", PAGE + ": user.*, permission.*, topic.permission.*")
def users(s: Stage) -> None:
    t = listening(s, "user.#", "permission.#", "topic.permission.#")
    rest = "/api/users/cf.u"
    s.http("PUT", rest, {"password": "x", "tags": "management,foo"})
    t.expect(2)
    s.http("PUT", rest, {"password": "y", "tags": ""})
    t.expect(1)
    patterns = {"configure": ".*", "write": "w", "read": "r"}
    s.http("PUT", "/api/permissions/%2F/cf.u", patterns)
    t.expect(1)
    s.http("PUT", "/api/topic-permissions/%2F/cf.u", {"exchange": "amq.topic", "write": "w", "read": "r"})
    t.expect(1)
    s.http("DELETE", "/api/topic-permissions/%2F/cf.u")
    t.expect(1)
    s.http("DELETE", "/api/permissions/%2F/cf.u")
    t.expect(1)
    s.http("PUT", "/api/user-limits/cf.u/max-channels", {"value": 5})
    t.expect(1)
    s.http("DELETE", "/api/user-limits/cf.u/max-channels")
    t.expect(1)
    s.http("DELETE", rest)
    t.expect(1)
    t.idle()


@scenario("events/policies", PAGE + ": policy.*, parameter.*")
def policies(s: Stage) -> None:
    t = listening(s, "policy.#", "operator.#")
    s.http(
        "PUT", "/api/policies/%2F/cf.p", {"pattern": "^cf", "definition": {"max-length": 5}, "priority": 2}
    )
    t.expect(1)
    s.http("DELETE", "/api/policies/%2F/cf.p")
    t.expect(1)
    s.http("PUT", "/api/operator-policies/%2F/cf.p", {"pattern": "^cf", "definition": {"max-length": 5}})
    t.expect(1)
    s.http("DELETE", "/api/operator-policies/%2F/cf.p")
    t.expect(1)
    t.idle()


@scenario("events/virtual-hosts", PAGE + ": vhost.*", profiles=("4.3", "4.0"))
def vhosts(s: Stage) -> None:
    t = listening(s, "vhost.created", "vhost.deleted", "vhost.limits.set")
    s.http("PUT", "/api/vhosts/cf.v", {"description": "d", "tags": "a,b"})
    t.expect(1)
    s.http("PUT", "/api/vhost-limits/cf.v/max-queues", {"value": 5})
    t.expect(1)
    s.http("DELETE", "/api/vhosts/cf.v")
    t.expect(1)
    t.idle()


@scenario("events/publish-to-it", PAGE + ": the exchange is internal")
def publish_to_it(s: Stage) -> None:
    a = s.connect()
    a.publish("amq.rabbitmq.event", "queue.created", b"0")
    a.expect(1)
