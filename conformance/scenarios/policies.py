"""Policies and operator policies, set through the HTTP API, and their effects in AMQP."""

from conformance.scenarios.limits import drained
from conformance.stage import Stage, family, scenario

PAGE = "rabbitmq.com/docs/parameters#policies"
PATH = "/api/policies/%2F/cf"
OPERATOR = "/api/operator-policies/%2F/cf"


def policy(
    s: Stage, definition: dict[str, object], apply_to: str = "queues", path: str = PATH, **more: object
) -> None:
    """Set a policy for cf.q and similar names."""
    s.http("PUT", path, {"pattern": "^cf\\.(q|x)", "definition": definition, "apply-to": apply_to, **more})


@scenario("policies/max-length", PAGE + "; rabbitmq.com/docs/maxlength")
def max_length(s: Stage) -> None:
    policy(s, {"max-length": 1})
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    a.publish("", "cf.q", b"0")
    a.publish("", "cf.q", b"1")
    drained(a)


@scenario("policies/applies-to-existing", PAGE + ": at once, to what is there")
def existing(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    a.ask("confirm.select")
    for number in range(3):
        a.publish("", "cf.q", b"%d" % number)
    a.confirms(3)
    policy(s, {"max-length": 1})
    a.eventually("message_count=1", "queue.declare", queue="cf.q", passive=True)
    drained(a)


@scenario("policies/argument-and-policy-minimum", PAGE + ": numbers: the smaller one")
def minimum(s: Stage) -> None:
    policy(s, {"max-length": 2})
    a = s.connect()
    for queue, limit in (("cf.q1", 1), ("cf.q3", 3)):
        a.ask("queue.declare", queue=queue, arguments={"x-max-length": limit})
        for number in range(4):
            a.publish("", queue, b"%d" % number)
        a.ask("basic.get", queue=queue)


@scenario("policies/argument-beats-policy", PAGE + ": dead letter exchange: the argument")
def argument_wins(s: Stage) -> None:
    policy(s, {"dead-letter-exchange": "cf.none", "dead-letter-routing-key": "cf.none", "max-length": 0})
    a = s.connect(channels=(1, 2))
    a.ask("queue.declare", queue="cf.dlq")
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "cf.dlq"}
    a.ask("queue.declare", queue="cf.q", arguments=arguments)
    a.ask("basic.consume", 2, queue="cf.dlq", consumer_tag="dead", no_ack=True)
    a.publish("", "cf.q", b"0")
    a.expect(1, 2)


@scenario("policies/dead-letter", PAGE + "; rabbitmq.com/docs/dlx#using-policies")
def dead_letter(s: Stage) -> None:
    policy(s, {"dead-letter-exchange": "", "dead-letter-routing-key": "cf.dlq", "message-ttl": 20})
    a = s.connect(channels=(1, 2))
    a.ask("queue.declare", queue="cf.dlq")
    a.ask("queue.declare", queue="cf.q")
    a.ask("basic.consume", 2, queue="cf.dlq", consumer_tag="dead", no_ack=True)
    a.publish("", "cf.q", b"0")
    a.expect(1, 2)


@scenario("policies/overflow", PAGE + "; rabbitmq.com/docs/maxlength")
def overflow(s: Stage) -> None:
    policy(s, {"max-length": 1, "overflow": "reject-publish"})
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    a.ask("confirm.select")
    a.publish("", "cf.q", b"0")
    a.publish("", "cf.q", b"1")
    a.confirms(2)


@scenario("policies/alternate-exchange", PAGE + "; rabbitmq.com/docs/ae")
def alternate(s: Stage) -> None:
    policy(s, {"alternate-exchange": "amq.fanout"}, "exchanges")
    a = s.connect()
    a.ask("exchange.declare", exchange="cf.x", exchange_type="direct")
    a.ask("exchange.declare", exchange="cf.x", exchange_type="direct")
    a.ask("queue.declare", queue="cf.ae")
    a.ask("queue.bind", queue="cf.ae", exchange="amq.fanout")
    a.publish("cf.x", "k", b"0", mandatory=True)
    a.ask("basic.get", queue="cf.ae", no_ack=True)


@scenario("policies/alternate-exchange-argument-wins", PAGE + "; rabbitmq.com/docs/ae")
def alternate_argument(s: Stage) -> None:
    policy(s, {"alternate-exchange": "amq.fanout"}, "exchanges")
    a = s.connect()
    arguments = {"alternate-exchange": "cf.none"}
    a.ask("exchange.declare", exchange="cf.x", exchange_type="direct", arguments=arguments)
    a.publish("cf.x", "k", b"0", mandatory=True)
    a.expect()


@scenario("policies/expires", PAGE + "; rabbitmq.com/docs/ttl#queue-ttl")
def expires(s: Stage) -> None:
    policy(s, {"expires": 50})
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    s.gone("cf.q")


@scenario("policies/redeclare-does-not-compare", PAGE + ": policies take no part in equivalence")
def redeclare(s: Stage) -> None:
    policy(s, {"message-ttl": 60000})
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    a.ask("queue.declare", queue="cf.q")
    a.ask("queue.declare", queue="cf.q", arguments={"x-message-ttl": 60000})


@scenario("policies/higher-priority-wins", PAGE)
def higher(s: Stage) -> None:
    policy(s, {"max-length": 1}, priority=1)
    policy(s, {"message-ttl": 60000}, path="/api/policies/%2F/cf2", priority=2)
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    a.publish("", "cf.q", b"0")
    a.publish("", "cf.q", b"1")
    drained(a)


@scenario("policies/operator-minimum", "rabbitmq.com/docs/parameters#operator-policies")
def operator(s: Stage) -> None:
    policy(s, {"max-length": 3})
    policy(s, {"max-length": 1}, path=OPERATOR)
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    for number in range(3):
        a.publish("", "cf.q", b"%d" % number)
    drained(a)


@scenario("policies/unsupported-key-skips-policy", PAGE)
def unsupported(s: Stage) -> None:
    policy(s, {"max-length": 1, "max-age": "1D"})
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    a.publish("", "cf.q", b"0")
    a.publish("", "cf.q", b"1")
    drained(a)


TARGETS = {
    "all": "all",
    "exchanges": "exchanges",
    "classic": "classic_queues",
    "quorum": "quorum_queues",
    "streams": "streams",
}


@family("policies/apply-to", PAGE, TARGETS, profiles=("4.3", "4.0"))
def apply_to(s: Stage, target: str) -> None:
    policy(
        s,
        {"max-length": 0}
        if target not in ("exchanges", "streams")
        else {"alternate-exchange": "amq.fanout"}
        if target == "exchanges"
        else {"max-length-bytes": 0},
        target,
    )
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    a.publish("", "cf.q", b"0")
    drained(a)


@scenario("policies/deleted", PAGE + ": what a policy set goes with it")
def deleted(s: Stage) -> None:
    policy(s, {"max-length": 1})
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    s.http("DELETE", PATH)
    a.ask("confirm.select")
    a.publish("", "cf.q", b"0")
    a.publish("", "cf.q", b"1")
    a.confirms(2)
    drained(a)


REFUSED: dict[str, dict[str, object]] = {
    "unknown-key": {"pattern": "^cf", "definition": {"foo": 1}},
    "two-unknown-keys": {"pattern": "^cf", "definition": {"foo": 1, "bar": "x"}},
    "max-length-string": {"pattern": "^cf", "definition": {"max-length": "a"}},
    "max-length-negative": {"pattern": "^cf", "definition": {"max-length": -1}},
    "ttl-string": {"pattern": "^cf", "definition": {"message-ttl": "a"}},
    "ttl-negative": {"pattern": "^cf", "definition": {"message-ttl": -1}},
    "expires-zero": {"pattern": "^cf", "definition": {"expires": 0}},
    "overflow": {"pattern": "^cf", "definition": {"overflow": "x"}},
    "dlx-int": {"pattern": "^cf", "definition": {"dead-letter-exchange": 1}},
    "dlrk-int": {"pattern": "^cf", "definition": {"dead-letter-routing-key": 1}},
    "ae-int": {"pattern": "^cf", "definition": {"alternate-exchange": 1}},
    "delivery-limit": {"pattern": "^cf", "definition": {"delivery-limit": "a"}},
    "delivery-limit-negative": {"pattern": "^cf", "definition": {"delivery-limit": -1}},
    "max-age": {"pattern": "^cf", "definition": {"max-age": "x"}},
    "queue-mode": {"pattern": "^cf", "definition": {"queue-mode": "x"}},
    "queue-version": {"pattern": "^cf", "definition": {"queue-version": 3}},
    "ha-mode": {"pattern": "^cf", "definition": {"ha-mode": "all"}},
    "max-priority": {"pattern": "^cf", "definition": {"max-priority": 5}},
    "empty": {"pattern": "^cf", "definition": {}},
    "no-definition": {"pattern": "^cf"},
    "no-pattern": {"definition": {"max-length": 1}},
    "bad-pattern": {"pattern": "(", "definition": {"max-length": 1}},
    "apply-to": {"pattern": "^cf", "definition": {"max-length": 1}, "apply-to": "foo"},
    "priority": {"pattern": "^cf", "definition": {"max-length": 1}, "priority": "x"},
    "unknown-field": {"pattern": "^cf", "definition": {"max-length": 1}, "foo": 1},
}


@family("policies/refused", PAGE, REFUSED)
def refused(s: Stage, body: dict[str, object]) -> None:
    s.http("PUT", PATH, body)


@family("policies/operator-refused", "rabbitmq.com/docs/parameters#operator-policies", {
    "unknown-key": {"pattern": "^cf", "definition": {"dead-letter-exchange": "x"}},
    "value": {"pattern": "^cf", "definition": {"max-length": -1}},
})  # fmt: skip
def operator_refused(s: Stage, body: dict[str, object]) -> None:
    s.http("PUT", OPERATOR, body)
