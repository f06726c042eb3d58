"""Opening a connection: protocol header, start, tune, open; and closing it."""

from conformance import codec
from conformance.stage import CAPABILITIES, Stage, family, scenario
from conformance.wire import Peer

HEADER = "0-9-1 4.2.2 protocol header"
START = "0-9-1 1.4.2.1 connection.start"
START_OK = "0-9-1 1.4.2.2 connection.start-ok"
TUNE_OK = "0-9-1 1.4.2.6 connection.tune-ok"
OPEN = "0-9-1 1.4.2.7 connection.open"
CLOSE = "0-9-1 1.4.2.9 connection.close"

HEADERS = {
    "0-9": b"AMQP\x01\x01\x00\x09",
    "0-8": b"AMQP\x01\x01\x08\x00",
    "0-8-other": b"AMQP\x01\x01\x09\x01",
    "0-9-0": b"AMQP\x00\x00\x09\x00",
    "0-10-0": b"AMQP\x00\x00\x0a\x00",
    "0-8-0": b"AMQP\x00\x00\x08\x00",
    "1.0-zero": b"AMQP\x00\x01\x00\x00",
    "1.0-tls": b"AMQP\x02\x01\x00\x00",
    "garbage": b"garbage!",
    "http": b"GET / HT",
    "tls-hello": b"\x16\x03\x01\x02\x00\x01\x00\x01",
    "lower-case": b"amqp\x00\x00\x09\x01",
    "other-minor": b"AMQP\x00\x00\x09\x02",
}


@family("handshake/header", HEADER, HEADERS)
def header(s: Stage, eight: bytes) -> None:
    a = s.dial()
    a.raw(eight, repr(eight))
    (answer,) = a.expect(1, 0)
    if answer.name == "connection.start":
        s.lines.pop()
        s.note(
            f"a.0 < connection.start {answer.arguments['version_major']}-{answer.arguments['version_minor']}"
        )
        a.drop()
    else:
        a.eof()


@scenario("handshake/header-in-pieces", HEADER)
def header_pieces(s: Stage) -> None:
    a = s.dial()
    for octet in b"AMQP\x00\x00\x09\x01":
        a.raw(bytes((octet,)), repr(bytes((octet,))))
    _start(s, a)


def _start(s: Stage, a: Peer) -> None:
    """Note connection.start without what changes with each start, machine or patch release."""
    note, a.note = a.note, lambda line: None
    (start,) = a.expect(1, 0)
    a.note = note
    if start.name != "connection.start":
        s.note(f"a.0 < {start}")
        return
    given = start.arguments
    mechanisms = " ".join(sorted(given["mechanisms"].decode().split()))
    s.note(
        f"a.0 < connection.start {given['version_major']}-{given['version_minor']}"
        f" mechanisms {mechanisms} locales {given['locales'].decode()}"
    )
    for field in sorted(given["server_properties"]):
        value = "..." if field.name in ("platform", "cluster_name") else _shown(field)
        s.note(f"a.0 < server_properties {field.name}={field.kind}:{value}")


def _shown(field: codec.Field) -> str:
    if field.kind == "F":
        return " ".join(sorted(f"{each.name}={each.kind}:{each.value}" for each in field.value))
    return repr(bytes(field.value).decode())


@scenario("handshake/start", START)
def start(s: Stage) -> None:
    a = s.dial()
    a.raw(b"AMQP\x00\x00\x09\x01", "protocol header AMQP 0 0 9 1")
    _start(s, a)


def _started(s: Stage) -> Peer:
    a = s.dial()
    a.note = lambda line: None
    a.raw(b"AMQP\x00\x00\x09\x01", "")
    a.expect(1, 0)
    a.note = s.note
    return a


def _say(a: Peer, mechanism: str, response: str | bytes, **capabilities: bool) -> None:
    a.send(
        "connection.start-ok", 0, mechanism=mechanism, response=response, locale="en_US",
        client_properties={"capabilities": capabilities},
    )  # fmt: skip


@scenario("handshake/tune", "0-9-1 1.4.2.5 connection.tune")
def tune(s: Stage) -> None:
    a = _started(s)
    _say(a, "PLAIN", "\0guest\0guest")
    a.expect(1, 0)
    a.send("connection.tune-ok", 0, channel_max=2047, frame_max=131072, heartbeat=60)
    a.ask("connection.open", 0, virtual_host="/")
    a.ask("connection.close", 0, reply_code=200, reply_text="bye")


@scenario("handshake/pipelined", "0-9-1 2.2.4: the whole opening in one packet")
def pipelined(s: Stage) -> None:
    a = s.dial()
    a.raw(b"AMQP\x00\x00\x09\x01", "protocol header AMQP 0 0 9 1")
    _say(a, "PLAIN", "\0guest\0guest")
    a.send("connection.tune-ok", 0, channel_max=2047, frame_max=131072)
    a.send("connection.open", 0, virtual_host="/")
    a.send("channel.open", 1)
    s.lines.clear()
    names = [a.expect(1, 0)[0].name for _ in range(3)]
    s.lines[:] = [f"a.0 < {name}" for name in names]
    a.expect(1, 1)


LOGINS: dict[str, tuple[str, str | bytes]] = {
    "plain-wrong-password": ("PLAIN", "\0guest\0wrong"),
    "plain-unknown-user": ("PLAIN", "\0nobody\0guest"),
    "plain-empty-password": ("PLAIN", "\0guest\0"),
    "plain-empty-user": ("PLAIN", "\0\0"),
    "amqplain": ("AMQPLAIN", codec.table({"LOGIN": "guest", "PASSWORD": "guest"})[4:]),
    "amqplain-other-order": ("AMQPLAIN", codec.table({"PASSWORD": "guest", "LOGIN": "guest"})[4:]),
    "amqplain-extra-field": ("AMQPLAIN", codec.table({"LOGIN": "guest", "X": 1, "PASSWORD": "guest"})[4:]),
    "amqplain-wrong-password": ("AMQPLAIN", codec.table({"LOGIN": "guest", "PASSWORD": "x"})[4:]),
}


@family("handshake/login", START_OK + "; rabbitmq.com/docs/access-control#mechanisms", LOGINS)
def login(s: Stage, mechanism: str, response: str | bytes) -> None:
    a = _started(s)
    _say(a, mechanism, response, authentication_failure_close=True)
    a.expect(1, 0)


@scenario("handshake/login-anonymous", "rabbitmq.com/docs/access-control#mechanisms", profiles=("4.3", "4.0"))
def anonymous(s: Stage) -> None:
    a = _started(s)
    _say(a, "ANONYMOUS", "anything", authentication_failure_close=True)
    a.expect(1, 0)


SILENT: dict[str, tuple[str, str | bytes]] = {
    "unknown-mechanism": ("FOO", "\0guest\0guest"),
    "lower-case-mechanism": ("plain", "\0guest\0guest"),
    "external-without-tls": ("EXTERNAL", ""),
    "plain-malformed": ("PLAIN", "guest"),
    "plain-authzid": ("PLAIN", "guest\0guest\0guest"),
    "plain-three-zeros": ("PLAIN", "\0guest\0guest\0"),
    "plain-empty": ("PLAIN", ""),
    "amqplain-malformed": ("AMQPLAIN", "guest"),
    "amqplain-empty": ("AMQPLAIN", ""),
    "amqplain-no-password": ("AMQPLAIN", codec.table({"LOGIN": "guest"})[4:]),
}


@family("handshake/refused", START_OK + ": dropped after a silence", SILENT, slow=True)
def refused(s: Stage, mechanism: str, response: str | bytes) -> None:
    a = _started(s)
    _say(a, mechanism, response, authentication_failure_close=True)
    a.eof()


@scenario("handshake/wrong-password-without-capability", START_OK + ": dropped after a silence", slow=True)
def no_capability(s: Stage) -> None:
    a = _started(s)
    _say(a, "PLAIN", "\0guest\0wrong")
    a.eof()


TUNES: dict[str, dict[str, int]] = {
    "channel-max-zero": {"channel_max": 0},
    "channel-max-above": {"channel_max": 2048},
    "frame-max-zero": {"frame_max": 0},
    "frame-max-above": {"frame_max": 131073},
    "frame-max-4095": {"frame_max": 4095},
    "frame-max-4096": {"frame_max": 4096},
    "frame-max-8191": {"frame_max": 8191},
}


@family("handshake/tune-refused", TUNE_OK + ": dropped after a silence", TUNES, slow=True)
def tune_refused(s: Stage, change: dict[str, int]) -> None:
    a = _started(s)
    _say(a, "PLAIN", "\0guest\0guest")
    a.expect(1, 0)
    a.send("connection.tune-ok", 0, **{"channel_max": 2047, "frame_max": 131072, **change})
    a.send("connection.open", 0, virtual_host="/")
    a.eof()


ACCEPTED: dict[str, dict[str, int]] = {
    "channel-max-1": {"channel_max": 1},
    "frame-max-8192": {"frame_max": 8192},
    "heartbeat-0": {"heartbeat": 0},
    "heartbeat-above": {"heartbeat": 6000},
}


@family("handshake/tune-accepted", TUNE_OK, ACCEPTED)
def tune_accepted(s: Stage, change: dict[str, int]) -> None:
    a = _started(s)
    _say(a, "PLAIN", "\0guest\0guest")
    a.expect(1, 0)
    a.send("connection.tune-ok", 0, **{"channel_max": 2047, "frame_max": 131072, **change})
    a.ask("connection.open", 0, virtual_host="/")
    a.ask("channel.open", 1)


def _tuned(s: Stage) -> Peer:
    a = _started(s)
    a.note = lambda line: None
    _say(a, "PLAIN", "\0guest\0guest", **CAPABILITIES)
    a.expect(1, 0)
    a.send("connection.tune-ok", 0, channel_max=2047, frame_max=131072)
    a.note = s.note
    return a


VHOSTS = {"missing": "nope", "empty": "", "odd": "n\u00e9 /x", "slash-twice": "//"}


@family("handshake/vhost", OPEN + ": 530", VHOSTS)
def vhost(s: Stage, name: str) -> None:
    a = _tuned(s)
    a.ask("connection.open", 0, virtual_host=name)


@scenario("handshake/open-fields", OPEN + ": capabilities and insist are ignored")
def open_fields(s: Stage) -> None:
    a = _tuned(s)
    a.ask("connection.open", 0, virtual_host="/", capabilities="x", insist=True)


@scenario("handshake/open-twice", OPEN + ": 504")
def open_twice(s: Stage) -> None:
    a = s.connect()
    a.send("connection.open", 0, virtual_host="/")
    a.expect(1, 0)


RUNNING: dict[str, dict[str, object]] = {
    "connection.start": {},
    "connection.start-ok": {"mechanism": "PLAIN"},
    "connection.secure-ok": {},
    "connection.tune": {},
    "connection.tune-ok": {"channel_max": 2047, "frame_max": 131072},
    "connection.open-ok": {},
    "connection.close-ok": {},
    "connection.blocked": {},
    "connection.unblocked": {},
    "connection.secure": {},
}
WRONG_STATE = {name: (name, given) for name, given in RUNNING.items()}


@family("handshake/when-running", "0-9-1 2.2.4: connection methods out of place", WRONG_STATE)
def when_running(s: Stage, name: str, arguments: dict[str, object]) -> None:
    a = s.connect()
    a.send(name, 0, **arguments)
    a.idle()


@scenario("handshake/start-ok-when-opening", "0-9-1 2.2.4: connection methods out of place")
def start_ok_when_opening(s: Stage) -> None:
    a = _tuned(s)
    _say(a, "PLAIN", "\0guest\0guest")
    a.expect(1, 0)


@scenario("handshake/tune-ok-when-opening", "0-9-1 2.2.4: connection methods out of place")
def tune_ok_when_opening(s: Stage) -> None:
    a = _tuned(s)
    a.send("connection.tune-ok", 0, channel_max=2047, frame_max=131072)
    a.expect(1, 0)


@scenario("handshake/open-before-tune-ok", "0-9-1 2.2.4: connection methods out of place", slow=True)
def open_before_tune_ok(s: Stage) -> None:
    a = _started(s)
    _say(a, "PLAIN", "\0guest\0guest")
    a.expect(1, 0)
    a.send("connection.open", 0, virtual_host="/")
    a.eof()


@scenario("handshake/open-before-start-ok", "0-9-1 2.2.4: connection methods out of place", slow=True)
def open_before_start_ok(s: Stage) -> None:
    a = _started(s)
    a.send("connection.open", 0, virtual_host="/")
    a.eof()


@scenario("handshake/channel-before-open", "0-9-1 2.2.4: channel methods before open-ok", slow=True)
def channel_before_open(s: Stage) -> None:
    a = _tuned(s)
    a.send("channel.open", 1)
    a.eof()


@scenario("handshake/close-when-opening", CLOSE)
def close_when_opening(s: Stage) -> None:
    a = _tuned(s)
    a.ask("connection.close", 0, reply_code=200)


@scenario("handshake/close-when-starting", CLOSE, slow=True)
def close_when_starting(s: Stage) -> None:
    a = _started(s)
    a.send("connection.close", 0, reply_code=200)
    a.eof()


@scenario("handshake/start-ok-too-large", "0-9-1 4.2.3: frames before tune-ok", slow=True)
def start_ok_too_large(s: Stage) -> None:
    a = _started(s)
    s.note("a.0 > connection.start-ok of 20000 bytes")
    payload = codec.method_payload(
        "connection.start-ok",
        {"mechanism": "PLAIN", "response": "\0guest\0guest", "client_properties": {"x": "y" * 20000}},
    )
    a.note = lambda line: None
    a.raw(codec.frame(codec.METHOD, 0, payload), "")
    a.note = s.note
    a.eof()


@scenario("handshake/closed-by-server-drops", CLOSE + ": TCP is closed at once after close-ok")
def drops(s: Stage) -> None:
    a = s.connect()
    a.ask("channel.open", 1)
    a.eof()


@scenario("handshake/update-secret", "rabbitmq.com/docs/oauth2#token-expiration: connection.update-secret")
def update_secret(s: Stage) -> None:
    a = s.connect()
    a.ask("connection.update-secret", 0, new_secret="guest", reason="refresh")


@scenario("handshake/client-properties-kinds", START_OK + ": client properties of any kind")
def client_properties(s: Stage) -> None:
    a = _started(s)
    a.send(
        "connection.start-ok", 0, mechanism="PLAIN", response="\0guest\0guest", locale="xx_YY",
        client_properties={"a": 1, "b": None, "c": [1, {"d": b"x"}], "capabilities": "not a table"},
    )  # fmt: skip
    a.expect(1, 0)


@scenario(
    "handshake/heartbeats", "0-9-1 4.2.7; rabbitmq.com/docs/heartbeats: sent at half the interval", slow=True
)
def heartbeats(s: Stage) -> None:
    a = s.connect(channels=(), heartbeat=2)
    a.expect(3, 0)


@scenario(
    "handshake/heartbeats-until-dropped",
    "0-9-1 4.2.7; rabbitmq.com/docs/heartbeats: the first after half an interval whatever was said, none heard in two",
    slow=True,
)
def dropped(s: Stage) -> None:
    a = s.connect(heartbeat=2)
    a.expect(6, 0)


PLAIN: dict[str, str | bytes] = {
    "utf8": "\0gu\u00e9st\0x",
    "not-utf8": b"\0\xff\0x",
    "long-user": "\0" + "u" * 300 + "\0x",
    "no-user": "\0\0guest",
}


@family("handshake/plain", START_OK + "; rabbitmq.com/docs/access-control#mechanisms", PLAIN)
def plain(s: Stage, response: str | bytes) -> None:
    a = _started(s)
    _say(a, "PLAIN", response, authentication_failure_close=True)
    a.expect(1, 0)


ODD_VHOSTS: dict[str, str | bytes] = {
    "quote": "a'b",
    "percent": "%2F",
    "long": "v" * 255,
    "not-utf8": b"\xff",
    "line-end": "/\n",
}


@family("handshake/odd-vhost", OPEN + ": 530", ODD_VHOSTS)
def odd_vhost(s: Stage, name: str | bytes) -> None:
    a = _tuned(s)
    a.ask("connection.open", 0, virtual_host=name)


REFUSING: dict[str, object] = {
    "twice": [("capabilities", {}), ("capabilities", {"authentication_failure_close": True})],
    "name-is-a-number": {"connection_name": 5, "capabilities": {"authentication_failure_close": True}},
    "name-not-utf8": {
        "connection_name": codec.Typed("S", b"\xff"),
        "capabilities": {"authentication_failure_close": True},
    },
}


@family("handshake/odd-client-properties", START_OK + ": client properties", REFUSING)
def odd_client_properties(s: Stage, given: object) -> None:
    a = _started(s)
    response = "\0guest\0guest"
    a.send("connection.start-ok", 0, mechanism="PLAIN", response=response, client_properties=given)
    a.expect(1, 0)
