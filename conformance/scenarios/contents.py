"""Contents between other frames, how they are split and joined, and frames on a closed channel."""

from conformance import codec
from conformance.scenarios.consume import filled
from conformance.stage import Stage, family, scenario
from conformance.wire import Peer

SEQUENCE = "0-9-1 4.2.6 content framing"
CLOSED = "0-9-1 1.5.2.5 channel.close: methods up to close-ok are discarded, frames are still looked at"


def _method(channel: int, name: str, **arguments: object) -> bytes:
    return codec.frame(codec.METHOD, channel, codec.method_payload(name, arguments))


def _publish(size: int, queue: str = "cf.q") -> bytes:
    """basic.publish and its content header."""
    header = codec.frame(codec.HEADER, 1, codec.header_payload(size, {}))
    return _method(1, "basic.publish", routing_key=queue) + header


def _body(data: bytes) -> bytes:
    return codec.frame(codec.BODY, 1, data)


@scenario("frames/heartbeats-within-content", SEQUENCE + ": heartbeats may come at any time")
def heartbeats(s: Stage) -> None:
    a = filled(s)
    beat = codec.frame(codec.HEARTBEAT, 0, b"")
    a.raw(_publish(2) + beat + _body(b"a") + beat + _body(b"b"), "a content with heartbeats in it")
    a.ask("basic.get", queue="cf.q", no_ack=True)


@scenario("frames/other-channels-within-content", SEQUENCE + ": other channels, and the connection's, go on")
def other_channels(s: Stage) -> None:
    a = filled(s, channels=(1, 2))
    between = _method(2, "basic.qos", prefetch_count=1)
    secret = _method(0, "connection.update-secret", new_secret="x", reason="y")
    close = _method(2, "channel.close", reply_code=200)
    a.raw(_publish(2) + between + secret + _body(b"a") + close + _body(b"b"), "a content with methods in it")
    a.expect(2, 2)
    a.expect(1, 0)
    a.ask("basic.get", queue="cf.q", no_ack=True)


@family(
    "frames/closed-within-content",
    SEQUENCE,
    {"channel": (1, "channel.close"), "connection": (0, "connection.close")},
)
def closed_within(s: Stage, channel: int, name: str) -> None:
    a = filled(s)
    a.raw(_publish(2) + _method(channel, name, reply_code=200), f"half a content, {name}")
    a.expect(1, channel)


@scenario("frames/content-in-two-packets-refused", SEQUENCE + ": what is wrong is said when it is complete")
def in_two_packets(s: Stage) -> None:
    a = s.connect(channels=(1, 2))
    a.ask("queue.declare", 2, queue="cf.q")
    method = _method(1, "basic.publish", exchange="cf.none", routing_key="k")
    a.raw(method + codec.frame(codec.HEADER, 1, codec.header_payload(4, {})) + _body(b"ab"), "half a content")
    a.ask("queue.declare", 2, queue="cf.q", passive=True)
    a.raw(_body(b"cd"), "the other half")
    a.expect()
    a.ask("channel.open")
    a.publish("", "cf.q", b"fine")
    a.ask("basic.get", queue="cf.q", no_ack=True)


@scenario("frames/header-beyond-frame-max", SEQUENCE + ": a content header is not cut, whatever frame-max")
def header_beyond(s: Stage) -> None:
    a, b = filled(s), s.connect("b", frame_max=8192)
    a.publish("", "cf.q", b"x" * 10000, headers={"h": "y" * 20000})
    a.eventually("message_count=1", "queue.declare", queue="cf.q", passive=True)
    b.send("basic.get", queue="cf.q", no_ack=True)
    b.frames(4)


@scenario("frames/small-bodies-joined", SEQUENCE)
def joined(s: Stage) -> None:
    a = filled(s)
    a.raw(_publish(50) + _body(b"0123456789") * 5, "a content of five frames")
    a.send("basic.get", queue="cf.q", no_ack=True)
    a.frames(3)
    a.ask("channel.flow", active=True)


@scenario("frames/bodies-cut-anew", SEQUENCE + ": by the receiver's frame-max")
def cut_anew(s: Stage) -> None:
    a, b = s.connect(frame_max=16384), s.connect("b", frame_max=8192)
    a.ask("queue.declare", queue="cf.q")
    pieces = [_body(b"x" * size) for size in (10000, 1, 9999, 5000, 5000)]
    a.raw(_publish(30000) + b"".join(pieces), "a content of five frames")
    a.eventually("message_count=1", "queue.declare", queue="cf.q", passive=True)
    b.send("basic.get", queue="cf.q", no_ack=True)
    b.frames(6)


SIZES = {str(size): size for size in (131064, 131065, 262128, 262129)}


@family("frames/deliver", SEQUENCE + ": frame-max minus 8 octets of body", SIZES)
def delivered(s: Stage, size: int) -> None:
    a = filled(s, b"x" * size)
    a.send("basic.get", queue="cf.q", no_ack=True)
    a.frames(2 + -(-size // 131064))


@scenario("frames/returned-in-two", SEQUENCE + "; 0-9-1 1.8.3.8 basic.return")
def returned(s: Stage) -> None:
    a = s.connect(frame_max=8192)
    a.publish("", "cf.none", b"x" * 10000, mandatory=True)
    a.frames(4)


def _closing(s: Stage) -> Peer:
    """A peer whose channel 1 was closed by the broker, before close-ok."""
    a = s.connect(channels=(1, 2))
    a.ask("queue.declare", 2, queue="cf.q")
    a.answer_closes = False
    a.ask("queue.declare", 1, queue="cf.none", passive=True)
    return a


FRAMES = {
    "half-content": _publish(5) + _body(b"ab"),
    "method-of-content": _method(1, "basic.publish", routing_key="cf.q"),
    "unknown-tag": _method(1, "basic.ack", delivery_tag=77),
    "server-method": _method(1, "channel.open-ok"),
    "flow": _method(1, "channel.flow", active=False),
    "immediate": _method(1, "basic.publish", routing_key="k", immediate=True)
    + codec.frame(codec.HEADER, 1, codec.header_payload(0, {})),
    "body": _body(b"x"),
    "header": codec.frame(codec.HEADER, 1, codec.header_payload(0, {})),
    "cut-method": codec.frame(codec.METHOD, 1, b"\x00\x32\x00\x0a"),
    "unknown-class": codec.frame(codec.METHOD, 1, b"\x00\x63\x00\x0a"),
    "connection-class": _method(1, "connection.close", reply_code=200),
    "publish-in-publish": _method(1, "basic.publish") * 2,
    "not-utf8": _method(1, "basic.cancel", consumer_tag=b"\xff"),
    "body-too-long": _publish(1) + _body(b"xxx"),
}


@family("channel/closing", CLOSED, FRAMES)
def closing(s: Stage, frames: bytes) -> None:
    a = _closing(s)
    a.raw(frames, f"frames {frames.hex()}")
    a.send("channel.close-ok", 1)
    a.ask("channel.open", 1)
    a.idle(1)
    a.ask("queue.declare", 2, queue="cf.q", passive=True)


@scenario("channel/closing-counts", CLOSED + "; tune-ok.channel-max")
def closing_counts(s: Stage) -> None:
    a = s.connect(channels=(1, 2), channel_max=2)
    a.answer_closes = False
    a.ask("queue.declare", 1, queue="cf.none", passive=True)
    a.ask("channel.open", 3)


@scenario(
    "channel/publishes-before-connection-close", "0-9-1 1.4.2.9 connection.close: what came before is done"
)
def before_close(s: Stage) -> None:
    a, b = s.connect(), s.connect("b")
    b.ask("queue.declare", queue="cf.q")
    publishes = (_publish(1) + _body(b"x")) * 50
    a.raw(publishes + _method(0, "connection.close", reply_code=200), "50 publishes, connection.close")
    a.expect(1, 0)
    b.eventually("message_count=50", "queue.declare", queue="cf.q", passive=True)


ERRORS: dict[str, tuple[str, dict[str, object]]] = {
    "get": ("basic.get", {}),
    "consume": ("basic.consume", {"consumer_tag": "t"}),
    "delete": ("queue.delete", {}),
    "declare": ("queue.declare", {"durable": True}),
}


@family("channel/error-then", CLOSED, ERRORS)
def error_then(s: Stage, name: str, arguments: dict[str, object]) -> None:
    a = s.connect(channels=(1, 2))
    a.ask("queue.declare", 2, queue="cf.q")
    a.publish("cf.none", "k", b"x")
    a.send(name, queue="cf.q", **arguments)
    a.expect()
    a.ask("queue.declare", 2, queue="cf.q", passive=True)
    a.idle(1)
