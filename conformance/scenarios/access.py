"""Users, permissions and limits, set through the HTTP API and used through AMQP."""

import time
import urllib.parse

from conformance.stage import Stage, family, scenario
from conformance.wire import Peer

PAGE = "rabbitmq.com/docs/access-control"
TOPICS = PAGE + "#topic-authorisation"
LOGIN = ("cf-user", "secret")


def user(s: Stage, configure: str = "", write: str = "", read: str = "", tags: str = "") -> None:
    """Make cf-user with these permissions on /."""
    s.http("PUT", "/api/users/cf-user", {"password": LOGIN[1], "tags": tags})
    permissions = {"configure": configure, "write": write, "read": read}
    s.http("PUT", "/api/permissions/%2F/cf-user", permissions)


def ready(s: Stage, configure: str = "", write: str = "", read: str = "") -> Peer:
    """cf-user is connected; exchange cf.x and queue cf.q exist."""
    user(s, configure, write, read)
    b = s.connect("b")
    b.ask("exchange.declare", exchange="cf.x", exchange_type="topic")
    b.ask("queue.declare", queue="cf.q")
    b.publish("", "cf.q", b"0")
    b.idle()
    return s.connect("a", login=LOGIN)


OPERATIONS: dict[str, tuple[str, dict[str, object]]] = {
    "exchange-declare": ("exchange.declare", {"exchange": "cf.x2", "exchange_type": "direct"}),
    "exchange-declare-existing": ("exchange.declare", {"exchange": "cf.x", "exchange_type": "topic"}),
    "exchange-declare-passive": ("exchange.declare", {"exchange": "cf.x", "passive": True}),
    "exchange-declare-passive-missing": ("exchange.declare", {"exchange": "cf.none", "passive": True}),
    "exchange-delete": ("exchange.delete", {"exchange": "cf.x"}),
    "exchange-delete-missing": ("exchange.delete", {"exchange": "cf.none"}),
    "queue-declare": ("queue.declare", {"queue": "cf.q2"}),
    "queue-declare-existing": ("queue.declare", {"queue": "cf.q"}),
    "queue-declare-server-named": ("queue.declare", {"exclusive": True}),
    "queue-declare-passive": ("queue.declare", {"queue": "cf.q", "passive": True}),
    "queue-declare-passive-missing": ("queue.declare", {"queue": "cf.none", "passive": True}),
    "queue-delete": ("queue.delete", {"queue": "cf.q"}),
    "queue-delete-missing": ("queue.delete", {"queue": "cf.none"}),
    "queue-bind": ("queue.bind", {"queue": "cf.q", "exchange": "cf.x", "routing_key": "k"}),
    "queue-unbind": ("queue.unbind", {"queue": "cf.q", "exchange": "cf.x", "routing_key": "k"}),
    "exchange-bind": ("exchange.bind", {"source": "cf.x", "destination": "amq.fanout"}),
    "exchange-unbind": ("exchange.unbind", {"source": "cf.x", "destination": "amq.fanout"}),
    "purge": ("queue.purge", {"queue": "cf.q"}),
    "get": ("basic.get", {"queue": "cf.q"}),
    "get-missing": ("basic.get", {"queue": "cf.none"}),
    "consume": ("basic.consume", {"queue": "cf.q", "consumer_tag": "t"}),
}


@family("access/none", PAGE + "#authorisation", OPERATIONS)
def none(s: Stage, name: str, arguments: dict[str, object]) -> None:
    ready(s).ask(name, **arguments)


NEEDED = (
    "exchange-declare",
    "exchange-declare-passive",
    "queue-declare",
    "queue-declare-passive",
    "queue-bind",
    "exchange-bind",
    "get",
    "consume",
)


@family("access/configure-only", PAGE + "#authorisation", {name: OPERATIONS[name] for name in NEEDED})
def configure_only(s: Stage, name: str, arguments: dict[str, object]) -> None:
    ready(s, configure=".*").ask(name, **arguments)


@family("access/write-only", PAGE + "#authorisation", {name: OPERATIONS[name] for name in NEEDED})
def write_only(s: Stage, name: str, arguments: dict[str, object]) -> None:
    ready(s, write=".*").ask(name, **arguments)


@family("access/read-only", PAGE + "#authorisation", {name: OPERATIONS[name] for name in NEEDED})
def read_only(s: Stage, name: str, arguments: dict[str, object]) -> None:
    ready(s, read=".*").ask(name, **arguments)


PUBLISHES = {"exchange": ("cf.x", "k"), "default": ("", "cf.q"), "missing": ("cf.none", "k")}


@family("access/publish", PAGE + "#authorisation: write on the exchange", PUBLISHES)
def publish(s: Stage, exchange: str, key: str) -> None:
    a = ready(s, read=".*", configure=".*")
    a.publish(exchange, key, b"x")
    a.expect()


@scenario("access/publish-default-as-amq.default", PAGE + "#authorisation: the default exchange")
def publish_default(s: Stage) -> None:
    a = ready(s, write="^amq\\.default$")
    a.publish("", "cf.none", b"x", mandatory=True)
    a.expect()
    a.publish("cf.x", "k", b"x")
    a.expect()


@scenario("access/pattern-is-searched", PAGE + "#authorisation: patterns need anchors")
def searched(s: Stage) -> None:
    a = ready(s, configure="f\\.q")
    a.ask("queue.declare", queue="cf.q9")
    a.ask("queue.declare", queue="cf.z")


DEAD_LETTER = {"no-read": ("^cf\\.", ""), "no-write": ("", "^cf\\."), "both": ("^cf\\.", "^cf\\.")}


@family("access/dead-letter-exchange", PAGE + "#authorisation: x-dead-letter-exchange", DEAD_LETTER)
def dead_letter(s: Stage, write: str, read: str) -> None:
    a = ready(s, ".*", write, read)
    a.ask("queue.declare", queue="cf.q2", arguments={"x-dead-letter-exchange": "cf.x"})


@family("access/alternate-exchange", PAGE + "#authorisation: alternate-exchange", DEAD_LETTER)
def alternate(s: Stage, write: str, read: str) -> None:
    a = ready(s, ".*", write, read)
    arguments = {"alternate-exchange": "cf.x"}
    a.ask("exchange.declare", exchange="cf.x2", exchange_type="direct", arguments=arguments)


@scenario("access/no-permissions-for-vhost", PAGE + ": 530")
def no_vhost(s: Stage) -> None:
    s.http("PUT", "/api/users/cf-user", {"password": LOGIN[1], "tags": ""})
    s.connect("a", login=LOGIN)


@scenario("access/wrong-password", PAGE)
def wrong_password(s: Stage) -> None:
    user(s)
    s.connect("a", login=("cf-user", "wrong"))


@scenario("access/blank-password", PAGE)
def blank_password(s: Stage) -> None:
    s.http("PUT", "/api/users/cf-user", {"password_hash": "", "tags": ""})
    s.connect("a", login=("cf-user", ""))


@scenario("access/user-id-impersonator", "rabbitmq.com/docs/validated-user-id")
def impersonator(s: Stage) -> None:
    user(s, ".*", ".*", ".*", "impersonator")
    a = s.connect("a", login=LOGIN)
    a.publish("", "cf.none", b"x", mandatory=True, user_id="somebody")
    a.expect()


@scenario("access/user-deleted", PAGE + ": connections of a deleted user are closed")
def user_deleted(s: Stage) -> None:
    user(s)
    a = s.connect("a", login=LOGIN)
    s.http("DELETE", "/api/users/cf-user")
    a.expect(1, 0)


def topic_user(s: Stage, write: str, read: str) -> Peer:
    """cf-user with all permissions, but topic permissions on cf.x."""
    user(s, ".*", ".*", ".*")
    b = s.connect("b")
    b.ask("exchange.declare", exchange="cf.x", exchange_type="topic")
    b.ask("exchange.declare", exchange="cf.d", exchange_type="direct")
    b.ask("queue.declare", queue="cf.q")
    for exchange in ("cf.x", "cf.d"):
        body = {"exchange": exchange, "write": write, "read": read}
        s.http("PUT", "/api/topic-permissions/%2F/cf-user", body)
    return s.connect("a", login=LOGIN)


@scenario("access/topic-write", TOPICS)
def topic_write(s: Stage) -> None:
    a = topic_user(s, "^a\\.", ".*")
    a.publish("cf.x", "a.k", b"x", mandatory=True)
    a.expect()
    a.publish("cf.x", "zz.k", b"x", mandatory=True)
    a.expect()


@scenario("access/topic-write-cc", TOPICS)
def topic_write_cc(s: Stage) -> None:
    a = topic_user(s, "^a\\.", ".*")
    a.publish("cf.x", "a.k", b"x", mandatory=True, headers={"CC": ["zz.k"]})
    a.idle()


@scenario("access/topic-read", TOPICS)
def topic_read(s: Stage) -> None:
    a = topic_user(s, ".*", "^a\\.")
    a.ask("queue.bind", queue="cf.q", exchange="cf.x", routing_key="a.#")
    a.ask("queue.bind", queue="cf.q", exchange="cf.x", routing_key="zz.#")


@scenario("access/topic-of-direct-exchange", TOPICS + ": topic exchanges only")
def topic_direct(s: Stage) -> None:
    a = topic_user(s, "^a\\.", "^a\\.")
    a.publish("cf.d", "zz.k", b"x", mandatory=True)
    a.expect()
    a.ask("queue.bind", queue="cf.q", exchange="cf.d", routing_key="zz")


@scenario("access/topic-variables", TOPICS + ": {username} and {vhost}")
def topic_variables(s: Stage) -> None:
    a = topic_user(s, "^{username}-{vhost}$", ".*")
    a.publish("cf.x", "cf-user-/", b"x", mandatory=True)
    a.expect()
    a.publish("cf.x", "other-/", b"x", mandatory=True)
    a.expect()


LIMIT = "rabbitmq.com/docs/user-limits"


@scenario("access/user-limit-connections", LIMIT)
def user_connections(s: Stage) -> None:
    user(s, ".*", ".*", ".*")
    s.http("PUT", "/api/user-limits/cf-user/max-connections", {"value": 1})
    s.connect("a", login=LOGIN)
    s.connect("b", login=LOGIN)


@scenario("access/user-limit-none", LIMIT)
def user_none(s: Stage) -> None:
    user(s, ".*", ".*", ".*")
    s.http("PUT", "/api/user-limits/cf-user/max-connections", {"value": 0})
    s.connect("a", login=LOGIN)


@scenario("access/user-limit-channels", LIMIT, profiles=("4.3",))
def user_channels(s: Stage) -> None:
    user(s, ".*", ".*", ".*")
    s.http("PUT", "/api/user-limits/cf-user/max-channels", {"value": 1})
    a = s.connect("a", login=LOGIN)
    a.ask("channel.open", 2)


VHOST = "rabbitmq.com/docs/vhosts#limits"


def vhost(s: Stage) -> None:
    """A vhost cf with permissions for guest."""
    s.http("PUT", "/api/vhosts/cf")
    s.http("PUT", "/api/permissions/cf/guest", {"configure": ".*", "write": ".*", "read": ".*"})


@scenario("access/vhost-limit-connections", VHOST)
def vhost_connections(s: Stage) -> None:
    vhost(s)
    s.http("PUT", "/api/vhost-limits/cf/max-connections", {"value": 1})
    s.connect("a", vhost="cf")
    s.connect("b", vhost="cf")


@scenario("access/vhost-limit-queues", VHOST)
def vhost_queues(s: Stage) -> None:
    vhost(s)
    s.http("PUT", "/api/vhost-limits/cf/max-queues", {"value": 1})
    a = s.connect("a", vhost="cf")
    a.ask("queue.declare", queue="cf.q1")
    a.ask("queue.declare", queue="cf.q1")
    a.ask("queue.declare", queue="cf.q2")


@scenario("access/vhost-texts", "rabbitmq.com/docs/vhosts")
def vhost_texts(s: Stage) -> None:
    vhost(s)
    a = s.connect("a", vhost="cf")
    a.ask("queue.declare", queue="cf.q", passive=True)
    a.ask("channel.open")
    a.publish("cf.none", "k", b"x")
    a.expect()
    a.ask("channel.open")
    a.ask("exchange.declare", exchange="amq.topic", exchange_type="direct", durable=True)


@scenario("access/vhosts-are-apart", "rabbitmq.com/docs/vhosts")
def vhosts_apart(s: Stage) -> None:
    vhost(s)
    a, b = s.connect("a", vhost="cf"), s.connect("b")
    a.ask("queue.declare", queue="cf.q")
    b.ask("queue.declare", queue="cf.q", passive=True)


@scenario("access/vhost-deleted", "rabbitmq.com/docs/vhosts: connections of a deleted vhost are closed")
def vhost_deleted(s: Stage) -> None:
    vhost(s)
    a = s.connect("a", vhost="cf")
    s.http("DELETE", "/api/vhosts/cf")
    a.note = lambda line: None
    (event,) = a.expect(1, 0)
    s.note(
        f"a.0 < {event.name} {event.arguments.get('reply_code')}, saying that the vhost is deleted or down"
    )


@scenario(
    "access/closed-by-api", "rabbitmq.com/docs/http-api-reference: DELETE /api/connections/name", slow=True
)
def closed_by_api(s: Stage) -> None:
    user(s)
    a = s.connect("a", login=LOGIN)
    lines, s.lines = s.lines, []
    deadline = time.monotonic() + 10
    found: list[str] = []
    while not found and time.monotonic() < deadline:
        answer = s.http("GET", "/api/connections?columns=name,user")
        listed = answer if isinstance(answer, list) else []
        found = [each["name"] for each in listed if each.get("user") == "cf-user"]
    for name in found:
        s.http("DELETE", "/api/connections/" + urllib.parse.quote(name, safe=""))
    s.lines = lines
    a.expect(1, 0)


SECRET = "rabbitmq.com/docs/oauth2#token-expiration: connection.update-secret"


@scenario("access/update-secret-and-consumers", SECRET)
def rechecked(s: Stage) -> None:
    a = ready(s, ".*", ".*", ".*")
    a.ask("basic.consume", queue="cf.q", consumer_tag="t")
    a.expect()
    s.http("PUT", "/api/permissions/%2F/cf-user", {"configure": ".*", "write": ".*", "read": "cf.x"})
    a.ask("connection.update-secret", 0, new_secret=LOGIN[1], reason="refresh")
    if s.profile == "4.3":
        a.expect()
    a.send("basic.ack", delivery_tag=1)
    a.idle()


@scenario("access/update-secret-and-virtual-host", SECRET)
def readmitted(s: Stage) -> None:
    a = ready(s, ".*", ".*", ".*")
    s.http("DELETE", "/api/permissions/%2F/cf-user")
    a.ask("connection.update-secret", 0, new_secret=LOGIN[1], reason="refresh")
    a.idle(0)


ORDER = PAGE + "#authorisation: what is looked at first"


@scenario("access/order-of-declaring", ORDER)
def order_of_declaring(s: Stage) -> None:
    a = ready(s)
    for name, arguments in (
        ("queue.declare", {"queue": "amq.foo"}),
        ("queue.declare", {"queue": "cf.z", "arguments": {"x-message-ttl": "a"}}),
        ("exchange.declare", {"exchange": "amq.foo", "exchange_type": "direct"}),
        ("exchange.declare", {"exchange": "", "exchange_type": "direct"}),
        ("exchange.delete", {"exchange": "amq.direct"}),
        ("exchange.delete", {"exchange": ""}),
        ("basic.consume", {"queue": "cf.none", "arguments": {"x-priority": "a"}}),
    ):
        a.ask(name, **arguments)
        a.ask("channel.open")


@scenario("access/order-of-dead-letter-exchange", ORDER)
def order_of_dead_letter(s: Stage) -> None:
    a = ready(s, ".*")
    for name, target in (("cf.z", "cf.x"), ("cf.q", "cf.x"), ("amq.z", "cf.x"), ("cf.z", 5), ("cf.z", "")):
        a.ask("queue.declare", queue=name, arguments={"x-dead-letter-exchange": target, "x-message-ttl": "a"})
        a.ask("channel.open")


@scenario("access/order-of-binding", ORDER)
def order_of_binding(s: Stage) -> None:
    a = ready(s, "", "^cf\\.q$")
    for queue, exchange in (("cf.q", "cf.none"), ("cf.none", "cf.none"), ("cf.q", ""), ("cf.none", "")):
        a.ask("queue.bind", queue=queue, exchange=exchange)
        a.ask("channel.open")


@scenario("access/order-of-exchange-binding", ORDER)
def order_of_exchange_binding(s: Stage) -> None:
    a = ready(s, "", "^cf\\.x$")
    ends = (("cf.x", "cf.x"), ("cf.none", "cf.none2"), ("", "cf.x"), ("cf.x", ""), ("cf.none", "cf.x"))
    for source, destination in ends:
        a.ask("exchange.bind", source=source, destination=destination)
        a.ask("channel.open")


@scenario("access/in-a-transaction", PAGE + "#authorisation; 0-9-1 1.9.2 tx: refused when published")
def in_a_transaction(s: Stage) -> None:
    a = ready(s, ".*", "^cf\\.", ".*")
    a.ask("tx.select")
    a.publish("cf.x", "k", b"x")
    a.publish("", "cf.q", b"x")
    a.idle()


@scenario("access/changed-on-a-new-channel", PAGE + "#authorisation: permissions are cached per channel")
def changed(s: Stage) -> None:
    a = ready(s, ".*", ".*", ".*")
    a.publish("", "cf.none", b"x", mandatory=True)
    a.expect()
    s.http("PUT", "/api/permissions/%2F/cf-user", {"configure": "", "write": "", "read": ""})
    a.ask("channel.close", reply_code=200)
    a.ask("channel.open")
    a.publish("", "cf.none", b"x", mandatory=True)
    a.expect()


@scenario("access/topic-unbind-and-exchange-bind", TOPICS)
def topic_unbind(s: Stage) -> None:
    a = topic_user(s, ".*", "^a\\.")
    ends = {"source": "cf.x", "destination": "cf.d"}
    for name, arguments in (
        ("exchange.bind", {**ends, "routing_key": "zz"}),
        ("queue.unbind", {"queue": "cf.q", "exchange": "cf.x", "routing_key": "zz"}),
        ("exchange.unbind", {**ends, "routing_key": "zz"}),
    ):
        a.ask(name, **arguments)
        a.ask("channel.open")
    a.ask("exchange.bind", **ends, routing_key="a.z")
