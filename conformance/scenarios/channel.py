"""Channels: opening, closing, numbers, flow, methods at the wrong time or place."""

from conformance.stage import Stage, family, scenario
from conformance.wire import Peer


@scenario("channel/open", "0-9-1 1.5.2.1 channel.open")
def opened(s: Stage) -> None:
    a = s.connect(channels=())
    a.ask("channel.open", 1)
    a.ask("channel.open", 7)


@scenario("channel/open-twice", "0-9-1 1.5.2.1 channel.open: on a channel that is open: 504")
def open_twice(s: Stage) -> None:
    a = s.connect()
    a.ask("channel.open", 1)


@scenario("channel/close-and-reopen", "0-9-1 1.5.2.5 channel.close")
def reopened(s: Stage) -> None:
    a = s.connect()
    a.ask("channel.close", 1, reply_code=200, reply_text="bye")
    a.ask("channel.open", 1)
    a.ask("queue.declare", 1, queue="cf.q")


@scenario(
    "channel/number-65535", "0-9-1 1.4.2.6.1 tune-ok.channel-max: counts channels, does not bound numbers"
)
def high_number(s: Stage) -> None:
    a = s.connect(channels=())
    a.ask("channel.open", 65535)
    a.ask("queue.declare", 65535, queue="cf.q")


@scenario("channel/one-too-many", "0-9-1 1.4.2.6.1 tune-ok.channel-max")
def too_many(s: Stage) -> None:
    a = s.connect(channels=(1, 2), channel_max=2)
    a.ask("channel.open", 3)


@scenario("channel/one-too-many-after-close", "0-9-1 1.4.2.6.1 tune-ok.channel-max")
def room_again(s: Stage) -> None:
    a = s.connect(channels=(1, 2), channel_max=2)
    a.ask("channel.close", 1)
    a.ask("channel.open", 3)
    a.ask("channel.open", 4)


UNOPENED = {
    "declare": ("queue.declare", {"queue": "cf.q"}),
    "close": ("channel.close", {}),
    "close-ok": ("channel.close-ok", {}),
    "flow": ("channel.flow", {"active": True}),
    "ack": ("basic.ack", {"delivery_tag": 1}),
    "tx-select": ("tx.select", {}),
}


@family("channel/not-open", "0-9-1 1.5: a method on a channel that is not open: 504", UNOPENED)
def not_open(s: Stage, name: str, arguments: dict[str, object]) -> None:
    a = s.connect()
    a.send(name, 2, **arguments)
    a.expect(1, 2)


@scenario("channel/not-open-publish", "0-9-1 1.5: a method on a channel that is not open: 504")
def not_open_publish(s: Stage) -> None:
    a = s.connect()
    a.publish("", "k", b"x", 2)
    a.expect(1, 2)


@scenario("channel/flow-true", "0-9-1 1.5.2.3 channel.flow")
def flow_true(s: Stage) -> None:
    s.connect().ask("channel.flow", active=True)


@scenario("channel/flow-false", "0-9-1 1.5.2.3 channel.flow: active=false is not implemented")
def flow_false(s: Stage) -> None:
    s.connect().ask("channel.flow", active=False)


@scenario("channel/flow-ok-unasked", "0-9-1 1.5.2.4 channel.flow-ok")
def flow_ok(s: Stage) -> None:
    a = s.connect()
    a.send("channel.flow-ok", active=True)
    a.expect()


@scenario("channel/access-request", "0-9-1 1.6 access.request (of 0-9, still answered)")
def access_request(s: Stage) -> None:
    s.connect().ask("access.request", realm="/data", active=True, write=True, read=True)


SENT_BY_SERVERS: dict[str, dict[str, object]] = {
    "channel.open-ok": {},
    "exchange.declare-ok": {},
    "exchange.delete-ok": {},
    "exchange.bind-ok": {},
    "queue.declare-ok": {"queue": "x"},
    "queue.bind-ok": {},
    "queue.purge-ok": {},
    "queue.delete-ok": {},
    "basic.qos-ok": {},
    "basic.consume-ok": {"consumer_tag": "x"},
    "basic.get-empty": {},
    "basic.recover-ok": {},
    "tx.select-ok": {},
    "confirm.select-ok": {},
    "access.request-ok": {},
    "basic.cancel-ok": {"consumer_tag": "x"},
}
SERVER_METHODS = {name: (name, given) for name, given in SENT_BY_SERVERS.items()}


@family("channel/server-method", "0-9-1 2.2.1: methods that only a server sends", SERVER_METHODS)
def server_method(s: Stage, name: str, arguments: dict[str, object]) -> None:
    a = s.connect()
    a.send(name, **arguments)
    a.idle()


@scenario("channel/class-on-zero", "0-9-1 4.2.3: channel 0 is for the connection class: 504")
def channel_class_on_zero(s: Stage) -> None:
    a = s.connect()
    a.send("queue.declare", 0, queue="cf.q")
    a.expect(1, 0)


@scenario("channel/open-zero", "0-9-1 4.2.3: channel 0 is for the connection class: 504")
def open_zero(s: Stage) -> None:
    a = s.connect()
    a.send("channel.open", 0)
    a.expect(1, 0)


@scenario(
    "channel/connection-class-on-channel", "0-9-1 4.2.3: connection class on a channel other than 0: 503"
)
def connection_class_on_channel(s: Stage) -> None:
    a = s.connect()
    a.send("connection.close", 1, reply_code=200)
    a.expect()


@scenario("channel/connection-class-on-unopened", "0-9-1 4.2.3: connection class on a channel other than 0")
def connection_class_on_unopened(s: Stage) -> None:
    a = s.connect()
    a.send("connection.close", 9, reply_code=200)
    a.expect(1, 9)


def _broken(s: Stage) -> Peer:
    """A peer whose channel 1 was closed by the broker, before close-ok."""
    a = s.connect(channels=(1, 2))
    a.ask("queue.declare", 2, queue="cf.q")
    a.answer_closes = False
    a.ask("queue.declare", 1, queue="cf.none", passive=True)
    return a


@scenario("channel/closed-ignores", "0-9-1 1.5.2.5 channel.close: methods up to close-ok are discarded")
def closed_ignores(s: Stage) -> None:
    a = _broken(s)
    a.publish("", "cf.q", b"ignored", 1)
    a.send("queue.declare", 1, queue="cf.q2")
    a.send("basic.consume", 1, queue="cf.q", consumer_tag="t")
    a.send("channel.close-ok", 1)
    a.ask("channel.open", 1)
    a.ask("queue.declare", 2, queue="cf.q", passive=True)
    a.ask("queue.declare", 2, queue="cf.q2", passive=True)


@scenario("channel/closed-by-both", "0-9-1 1.5.2.5 channel.close: crossing closes are both answered")
def closed_by_both(s: Stage) -> None:
    a = _broken(s)
    a.ask("channel.close", 1, reply_code=200)
    a.send("channel.close-ok", 1)
    a.ask("channel.open", 1)


@scenario(
    "channel/closed-open-again-at-once",
    "0-9-1 1.5.2.1 channel.open: even before close-ok a second open is an error",
)
def closed_open_at_once(s: Stage) -> None:
    a = _broken(s)
    a.ask("channel.open", 1)


@scenario(
    "channel/close-requeues", "0-9-1 1.5.2.5 channel.close; rabbitmq.com/docs/confirms automatic requeueing"
)
def close_requeues(s: Stage) -> None:
    a = s.connect(channels=(1, 2))
    a.ask("queue.declare", queue="cf.q")
    for body in (b"0", b"1", b"2"):
        a.publish("", "cf.q", body)
    for _ in range(3):
        a.ask("basic.get", queue="cf.q")
    a.send("basic.ack", delivery_tag=2)
    a.ask("channel.close", 1)
    a.eventually("message_count=2", "queue.declare", 2, queue="cf.q", passive=True)
    a.ask("basic.get", 2, queue="cf.q")
    a.ask("basic.get", 2, queue="cf.q")


@scenario("channel/error-requeues", "0-9-1 1.5.2.5 channel.close by the server")
def error_requeues(s: Stage) -> None:
    a = s.connect(channels=(1, 2))
    a.ask("queue.declare", queue="cf.q")
    a.publish("", "cf.q", b"0")
    a.ask("basic.consume", queue="cf.q", consumer_tag="t")
    a.expect()
    a.ask("queue.declare", queue="cf.none", passive=True)
    a.eventually("basic.get-ok", "basic.get", 2, queue="cf.q")


@scenario("channel/close-drops-consumers", "0-9-1 1.5.2.5 channel.close: no basic.cancel is sent")
def close_drops_consumers(s: Stage) -> None:
    a = s.connect(channels=(1, 2))
    a.ask("queue.declare", queue="cf.q")
    a.ask("basic.consume", queue="cf.q", consumer_tag="t")
    a.ask("queue.declare", 2, queue="cf.q", passive=True)
    a.ask("channel.close", 1)
    a.ask("queue.declare", 2, queue="cf.q", passive=True)


@scenario("channel/error-on-one-leaves-other", "0-9-1 4.10: channel errors close one channel")
def error_on_one(s: Stage) -> None:
    a = s.connect(channels=(1, 2))
    a.ask("queue.declare", 1, queue="cf.none", passive=True)
    a.ask("queue.declare", 2, queue="cf.q")
    a.ask("channel.open", 1)
    a.ask("queue.declare", 1, queue="cf.q", passive=True)


@scenario("channel/pipelined", "0-9-1 2.2.1: synchronous methods may be pipelined")
def pipelined(s: Stage) -> None:
    a = s.connect()
    a.send("queue.declare", queue="cf.q")
    a.send("exchange.declare", exchange="cf.x", exchange_type="direct")
    a.send("queue.bind", queue="cf.q", exchange="cf.x", routing_key="k")
    a.send("basic.qos", prefetch_count=1)
    a.send("queue.delete", queue="cf.q")
    a.expect(5)


@scenario("channel/close-with-reason", "0-9-1 1.5.2.5 channel.close: any code and text are taken")
def close_with_reason(s: Stage) -> None:
    a = s.connect()
    a.ask("channel.close", reply_code=541, reply_text="whatever", class_id=60, method_id=40)


@scenario("channel/long-error-text", "0-9-1 4.2.5.3: reply texts above 255 bytes are cut")
def long_text(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf." + "n" * 252, passive=True)


@scenario("channel/error-text-utf8", "0-9-1 4.2.5.3: reply texts hold names as they are")
def error_text_utf8(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.\u00e9", passive=True)
    a.ask("channel.open")
    a.ask("exchange.declare", exchange="cf.\u4e2d", passive=True)


@scenario("channel/long-error-text-utf8", "0-9-1 4.2.5.3: reply texts above 255 bytes are cut")
def long_text_utf8(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="\u00e9" * 127, passive=True)
