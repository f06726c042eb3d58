"""Frames: malformed, out of sequence, too large."""

import struct

from conformance import codec
from conformance.stage import Stage, family, scenario
from conformance.wire import Peer

FRAME = "0-9-1 4.2.3 general frame format"
SEQUENCE = "0-9-1 4.2.6 content framing"
_PUBLISH = codec.frame(codec.METHOD, 1, codec.method_payload("basic.publish", {"routing_key": "cf.none"}))


def _header(size: int, class_id: int = 60, **properties: object) -> bytes:
    return codec.frame(codec.HEADER, 1, codec.header_payload(size, properties, class_id))


def _body(data: bytes) -> bytes:
    return codec.frame(codec.BODY, 1, data)


RAW: dict[str, bytes] = {
    "unknown-type": codec.frame(9, 0, b""),
    "unknown-type-with-payload": codec.frame(9, 1, b"\x01\x02\x03"),
    "unknown-type-0": codec.frame(0, 0, b""),
    "unknown-type-255": codec.frame(255, 0, b""),
    "end-marker": codec.frame(1, 1, b"\x00\x14\x00\x0a", end=205),
    "end-marker-long": codec.frame(1, 1, b"0123456789abcdefXYZ", end=0),
    "end-marker-16": codec.frame(3, 1, b"0123456789abcdef", end=1),
    "heartbeat-on-channel": codec.frame(codec.HEARTBEAT, 1, b""),
    "heartbeat-with-payload": codec.frame(codec.HEARTBEAT, 0, b"x"),
    "method-empty": codec.frame(codec.METHOD, 1, b""),
    "method-two-bytes": codec.frame(codec.METHOD, 1, b"\x00\x14"),
    "method-on-zero-empty": codec.frame(codec.METHOD, 0, b""),
    "arguments-missing": codec.frame(codec.METHOD, 1, b"\x00\x32\x00\x0a"),
    "arguments-cut": codec.frame(codec.METHOD, 1, b"\x00\x32\x00\x0a\x00\x00\x05ab"),
    "arguments-too-long": codec.frame(codec.METHOD, 1, b"\x00\x5a\x00\x0a\x00"),
    "shortstr-not-utf8": codec.frame(
        codec.METHOD, 1, codec.method_payload("basic.cancel", {"consumer_tag": b"\xff"})
    ),
    "header-empty": _PUBLISH + codec.frame(codec.HEADER, 1, b""),
    "header-cut": _PUBLISH + codec.frame(codec.HEADER, 1, b"\x00\x3c\x00\x00\x00\x00"),
    "body-first": _body(b"x"),
    "header-first": _header(0),
    "method-for-header": _PUBLISH + _PUBLISH,
    "body-for-header": _PUBLISH + _body(b"x"),
    "header-of-other-class": _PUBLISH + _header(0, 50),
    "header-for-body": _PUBLISH + _header(5) + _header(5),
    "method-for-body": _PUBLISH + _header(5) + _PUBLISH,
    "body-longer": _PUBLISH + _header(1) + _body(b"two"),
    "body-after-complete": _PUBLISH + _header(1) + _body(b"x") + _body(b"y"),
    "body-empty-frame": _PUBLISH + _header(1) + _body(b"") + _body(b"x"),
    "body-empty-frame-for-none": _PUBLISH + _header(0) + _body(b""),
    "body-600-mib": _PUBLISH + _header(600 << 20),
    "body-512-mib": _PUBLISH + _header(512 << 20),
    "body-largest": _PUBLISH + _header(2**64 - 1),
    "protocol-header-again": b"AMQP\x00\x00\x09\x01",
    "body-on-unopened": codec.frame(codec.BODY, 5, b"x"),
    "header-on-unopened": codec.frame(codec.HEADER, 5, b"x"),
    "body-on-zero": codec.frame(codec.BODY, 0, b"x"),
    "header-on-zero": codec.frame(codec.HEADER, 0, codec.header_payload(0, {})),
}


@family("frames/raw", FRAME + "; " + SEQUENCE, RAW)
def raw(s: Stage, data: bytes) -> None:
    a = s.connect()
    a.raw(data, f"frames {data.hex()}")
    a.idle()


UNKNOWN = {
    "class": b"\x00\x63\x00\x0a",
    "method": b"\x00\x32\x00\x63",
    "basic-credit": b"\x00\x3c\x00\xc8\x00\x00\x00\x00\x00\x00",
    "file-class": b"\x00\x46\x00\x0a\x00\x00\x00\x00\x00\x00",
}


@family("frames/unknown", FRAME + ": classes and methods that do not exist", UNKNOWN)
def unknown(s: Stage, payload: bytes) -> None:
    a = s.connect()
    a.raw(codec.frame(codec.METHOD, 1, payload), f"method frame {payload.hex()}")
    a.idle()


TABLES = {
    "kind": b"\x01aZ\x00",
    "cut": b"\x01aS\x00\x00\x00\x09x",
    "name-not-utf8": b"\x01\xffV",
    "letters": b"\x01aB\x05\x01bu\x00\x05\x01ci\x00\x00\x00\x05\x01dL\x00\x00\x00\x00\x00\x00\x00\x05",
}


@family("frames/table", "0-9-1 4.2.5.5 field tables", TABLES)
def tables(s: Stage, inside: bytes) -> None:
    a = s.connect()
    payload = b"\x00\x32\x00\x0a\x00\x00\x04cf.q\x00" + struct.pack(">I", len(inside)) + inside
    a.declared.append(("queue", "cf.q"))
    a.raw(codec.frame(codec.METHOD, 1, payload), f"queue.declare with table {inside.hex()}")
    a.expect()


@scenario("frames/table-in-header-malformed", "0-9-1 4.2.5.5 field tables")
def table_in_header(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    inside = b"\x01aZ\x00"
    payload = struct.pack(">HHQH", 60, 0, 1, 1 << 13) + struct.pack(">I", len(inside)) + inside
    a.raw(
        _PUBLISH + codec.frame(codec.HEADER, 1, payload) + _body(b"x"),
        "publish with a malformed header table",
    )
    a.idle()


def _too_large(a: Peer, size: int) -> None:
    a.send("basic.publish", routing_key="cf.none")
    note, a.note = a.note, lambda line: None
    a.raw(_header(size), "")
    a.raw(_body(b"x" * size), "")
    a.note = note
    note(f"a.1 > content header, body frame with {size} bytes of payload")


SIZES = {"131064": 131064, "131065": 131065, "131072": 131072, "131073": 131073}


@family("frames/size", "0-9-1 4.2.3: frame-max", SIZES)
def size(s: Stage, size: int) -> None:
    a = s.connect()
    _too_large(a, size)
    a.idle()


@scenario("frames/size-negotiated", "0-9-1 4.2.3: frame-max as negotiated")
def size_negotiated(s: Stage) -> None:
    a = s.connect(frame_max=8192)
    _too_large(a, 8193)
    a.idle()


@scenario("frames/size-announced", "0-9-1 4.2.3: frame-max: the head of the frame is enough")
def size_announced(s: Stage) -> None:
    a = s.connect()
    a.raw(struct.pack(">BHI", codec.BODY, 1, 200000), "head of a body frame of 200000 bytes")
    a.expect(1, 0)


@scenario("frames/interleaved-channels", SEQUENCE + ": contents of different channels may interleave")
def interleaved(s: Stage) -> None:
    a = s.connect(channels=(1, 2))
    pieces = []
    for channel in (1, 2):
        a.ask("queue.declare", queue=f"cf.q{channel}")
        method = codec.method_payload("basic.publish", {"routing_key": f"cf.q{channel}"})
        header = codec.header_payload(4, {"priority": channel})
        pieces.append(
            [codec.frame(codec.METHOD, channel, method), codec.frame(codec.HEADER, channel, header)]
        )
        pieces[-1] += [codec.frame(codec.BODY, channel, half) for half in (b"<%d" % channel, b"1>")]
    a.raw(
        b"".join(one + two for one, two in zip(*pieces, strict=True)), "two publishes, frame by frame in turn"
    )
    a.idle(1)
    a.idle(2)
    a.ask("basic.get", queue="cf.q1", no_ack=True)
    a.ask("basic.get", queue="cf.q2", no_ack=True)


@scenario("frames/many-small-bodies", SEQUENCE)
def many_small(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    method = codec.frame(codec.METHOD, 1, codec.method_payload("basic.publish", {"routing_key": "cf.q"}))
    a.raw(
        method + _header(5) + b"".join(_body(b"%d" % n) for n in range(5)),
        "publish of five frames of one byte",
    )
    a.ask("basic.get", queue="cf.q", no_ack=True)


@scenario("frames/ticket-ignored", "0-9-1 2.1.6: access tickets")
def ticket(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q", ticket=99)


@scenario("frames/reserved-property-flag", SEQUENCE + ": property flags bit 0")
def reserved_flag(s: Stage) -> None:
    a = s.connect()
    payload = struct.pack(">HHQHH", 60, 0, 0, 1, 0)
    a.raw(_PUBLISH + codec.frame(codec.HEADER, 1, payload), "publish whose header has a second flags word")
    a.idle()


@scenario("frames/header-weight", SEQUENCE + ": weight is ignored")
def weight(s: Stage) -> None:
    a = s.connect()
    payload = struct.pack(">HHQH", 60, 7, 0, 0)
    a.raw(_PUBLISH + codec.frame(codec.HEADER, 1, payload), "publish whose header has weight 7")
    a.idle()


@scenario("frames/header-trailing-bytes", SEQUENCE)
def trailing(s: Stage) -> None:
    a = s.connect()
    payload = codec.header_payload(0, {}) + b"xx"
    a.raw(_PUBLISH + codec.frame(codec.HEADER, 1, payload), "publish whose header has two bytes too many")
    a.idle()
