"""Alternate exchanges: chains, cycles, missing exchanges, and exchanges that are bound to one another."""

from conformance.stage import Stage, family, scenario
from conformance.wire import Peer

AE = "rabbitmq.com/docs/ae"
E2E = "rabbitmq.com/docs/e2e"


def _exchange(
    a: Peer, name: str, alternate: str | None = None, kind: str = "direct", internal: bool = False
) -> None:
    arguments = {} if alternate is None else {"alternate-exchange": alternate}
    a.ask("exchange.declare", exchange=name, exchange_type=kind, internal=internal, arguments=arguments)


def _caught(s: Stage, exchange: str) -> Peer:
    """A peer with cf.q bound to a fanout exchange."""
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    _exchange(a, exchange, kind="fanout")
    a.ask("queue.bind", queue="cf.q", exchange=exchange)
    return a


@scenario("alternate/chain", AE + ": an alternate may have one of its own")
def chain(s: Stage) -> None:
    a = _caught(s, "cf.x3")
    _exchange(a, "cf.x1", "cf.x2")
    _exchange(a, "cf.x2", "cf.x3")
    a.publish("cf.x1", "k", b"1", mandatory=True)
    a.ask("basic.get", queue="cf.q", no_ack=True)
    a.ask("exchange.delete", exchange="cf.x2")
    a.publish("cf.x1", "k", b"2", mandatory=True)
    a.expect()


@scenario("alternate/circle", AE + ": circles end")
def circle(s: Stage) -> None:
    a = s.connect()
    for name, alternate in (("cf.x1", "cf.x2"), ("cf.x2", "cf.x1"), ("cf.x3", "cf.x3")):
        _exchange(a, name, alternate)
    a.ask("confirm.select")
    for name in ("cf.x1", "cf.x3"):
        a.publish(name, "k", b"x", mandatory=True)
        a.expect(2)


@scenario("alternate/default-exchange", AE)
def default(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    _exchange(a, "cf.x", "")
    a.publish("cf.x", "cf.q", b"1", mandatory=True)
    a.publish("cf.x", "cf.none", b"2", mandatory=True)
    a.expect()
    a.ask("basic.get", queue="cf.q", no_ack=True)


@scenario("alternate/not-for-a-dead-end", AE + "; " + E2E + ": a bound exchange is a route")
def dead_end(s: Stage) -> None:
    a = _caught(s, "cf.ae")
    _exchange(a, "cf.x", "cf.ae")
    _exchange(a, "cf.y")
    a.ask("exchange.bind", source="cf.x", destination="cf.y", routing_key="k")
    a.publish("cf.x", "k", b"1", mandatory=True)
    a.expect()
    _exchange(a, "cf.z", "cf.ae")
    a.ask("exchange.bind", source="cf.x", destination="cf.z", routing_key="k")
    a.publish("cf.x", "k", b"2", mandatory=True)
    a.ask("basic.get", queue="cf.q", no_ack=True)


@scenario("alternate/internal-and-later", AE + ": the alternate may be internal, and declared later")
def later(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    _exchange(a, "cf.x", "cf.in")
    a.publish("cf.x", "k", b"1", mandatory=True)
    a.expect()
    _exchange(a, "cf.in", kind="fanout", internal=True)
    a.ask("queue.bind", queue="cf.q", exchange="cf.in")
    a.publish("cf.x", "k", b"2", mandatory=True)
    a.ask("basic.get", queue="cf.q", no_ack=True)


@family("alternate/of", AE + ": whatever the type", {kind: kind for kind in ("topic", "fanout", "headers")})
def of(s: Stage, kind: str) -> None:
    a = _caught(s, "cf.ae")
    _exchange(a, "cf.x", "cf.ae", kind)
    a.publish("cf.x", "k", b"1", mandatory=True)
    a.ask("basic.get", queue="cf.q", no_ack=True)


@scenario(
    "alternate/carbon-copies", AE + "; rabbitmq.com/docs/sender-selected: one key that matches is enough"
)
def carbon_copies(s: Stage) -> None:
    a = _caught(s, "cf.ae")
    a.ask("queue.declare", queue="cf.q2")
    _exchange(a, "cf.x", "cf.ae")
    _exchange(a, "cf.y")
    a.ask("exchange.bind", source="cf.x", destination="cf.y", routing_key="one")
    a.ask("queue.bind", queue="cf.q2", exchange="cf.y", routing_key="two")
    for copies in (["one"], ["two"], ["one", "two"]):
        a.publish("cf.x", "zero", b"x", mandatory=True, headers={"CC": copies})
    a.idle()
    for queue in ("cf.q", "cf.q2"):
        for _ in range(2):
            a.ask("basic.get", queue=queue, no_ack=True)


ODD: dict[str, object] = {
    "bytes": b"cf.y",
    "void": None,
    "line-end": "cf.\r\ny",
    "long": "y" * 300,
    "bool": True,
}


@family("alternate/argument", AE, ODD)
def argument(s: Stage, value: object) -> None:
    a = s.connect()
    given = {"exchange": "cf.x", "exchange_type": "direct", "arguments": {"alternate-exchange": value}}
    a.ask("exchange.declare", **given)
    a.ask("channel.open") if 1 not in a.open_channels else a.ask("exchange.declare", **given)
    a.ask("exchange.declare", exchange="cf.x", exchange_type="direct")


@scenario("alternate/bound-to-itself", E2E + ": each exchange is visited once")
def itself(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    _exchange(a, "cf.x", kind="fanout")
    _exchange(a, "cf.y", kind="topic")
    for source, destination, key in (("x", "x", ""), ("x", "y", ""), ("y", "x", "#"), ("x", "y", "k2")):
        a.ask("exchange.bind", source=f"cf.{source}", destination=f"cf.{destination}", routing_key=key)
    for exchange, key in (("cf.y", "*"), ("cf.x", ""), ("cf.x", "again")):
        a.ask("queue.bind", queue="cf.q", exchange=exchange, routing_key=key)
    for exchange, key in (("cf.x", "a"), ("cf.y", "b"), ("cf.y", "b.c")):
        a.publish(exchange, key, b"x")
    for _ in range(4):
        a.ask("basic.get", queue="cf.q", no_ack=True)
    a.ask("exchange.delete", exchange="cf.x", if_unused=True)


@scenario("alternate/auto-delete-of-itself", E2E + "; rabbitmq.com/docs/exchanges#auto-deletion")
def auto_delete(s: Stage) -> None:
    a = s.connect()
    a.ask("exchange.declare", exchange="cf.x", exchange_type="fanout", auto_delete=True)
    a.ask("exchange.bind", source="cf.x", destination="cf.x")
    a.ask("exchange.unbind", source="cf.x", destination="cf.x")
    a.ask("exchange.declare", exchange="cf.x", passive=True)
