"""Plays a conversation on one broker and records the result of every step.

What a queue does by itself (dead letters, deliveries to another channel) belongs to the step that caused it. With
RabbitMQ, events are read after each step until nothing has arrived for `quiet` seconds. Leveret does everything before
it reads on, so round trips on all channels, until they bring nothing, collect the result of a step on a machine of any
speed. A channel or connection that was closed is opened again by the next step that needs it.

Results are sorted by channel, and deliveries by consumer, because different queues have no common order. Confirms are
awaited, so that a step ends when its publish is safe; how they were batched is not recorded.
"""

from __future__ import annotations

import re
import select
import time
from dataclasses import dataclass, field

from conformance import codec, transcript
from conformance.conversations.steps import DIRECT, EXCHANGES, NO_TAG, QUEUES, REPLY, SOON_MS, Step
from conformance.stage import CAPABILITIES, Target, greet
from conformance.wire import EOF, Event, Peer

#: Seconds to wait for a confirm, or for the reply to a synchronous method.
TIMEOUT_S = 3.0

#: Round trips without events that end a step: the broker notices a dropped connection in its next tick, and serves what
#: waits for a full buffer or a due timer in the one after that.
ROUNDS = 3

#: Seconds after which a message with the shortest TTL has expired.
EXPIRY_SECONDS = (SOON_MS + 2) / 1000

#: Arguments that the broker chooses, or that follow from an order that is not guaranteed.
_MASKED = {"delivery_tag": 0, "multiple": False}


@dataclass
class Line:
    """The state of one channel. `deliveries`: outstanding ones."""

    deliveries: list[tuple[str, int]] = field(default_factory=list)  # (consumer or "", tag)
    automatic: set[str] = field(default_factory=set)  # consumers with automatic acknowledgement
    confirming: bool = False
    published: int = 0
    unconfirmed: set[int] = field(default_factory=set)
    confirmed: int = 0  # since the last report
    refused: int = 0
    asked: tuple[str, ...] = ()  # one of these replies is awaited
    getting_automatic: bool = False


class Player:
    """One broker, and the clients of one conversation.

    `quiet`: seconds of silence that end a step; None: the broker is Leveret, which needs none.
    """

    def __init__(self, target: Target, vhost: str, quiet: float | None) -> None:
        self.target = target
        self.vhost = vhost
        self.quiet = quiet
        self.peers: dict[str, Peer] = {}
        self.lines: dict[tuple[str, int], Line] = {}
        self.reply_to = REPLY  # the last address that a message had as reply_to
        self.streams: set[str] = set()  # RabbitMQ needs seconds to count their messages
        self.lapse = 0.0  # seconds after which all messages with the shortest TTLs have expired

    def play(self, steps: list[Step]) -> list[list[str]]:
        """Return the result of each step as lines; then what the queues have at the end."""
        self.lapse = EXPIRY_SECONDS * lifetimes(steps)
        try:
            return [self._answered(step) for step in steps] + [self._rest()]
        finally:
            self._leave()

    # --- one step

    def _answered(self, step: Step) -> list[str]:
        self._say(step)
        events = self._listen() if self.quiet is not None else self._hear_out(step)
        stated = transcript.masked([*self._shown(events), *self._confirmed()])
        return [re.sub(rf"(vhost \\?'){re.escape(self.vhost)}(\\?')", r"\1/\2", line) for line in stated]

    def _say(self, step: Step) -> None:
        if step.op in ("drop", "connection.close"):
            if step.op == "connection.close" and step.peer in self.peers:
                self.peers[step.peer].ask("connection.close", 0, reply_code=200)
            self._forget(step.peer)
            return
        peer = self._peer(step.peer, step.channel)
        line = self.lines[step.peer, step.channel]
        if step.op == "publish":
            self._publish(peer, step, line)
        elif step.op == "settle":
            self._settle(peer, step, line)
        else:
            peer.send(step.op, step.channel, **step.arguments)
            self._note(step, line)

    def _note(self, step: Step, line: Line) -> None:
        """Note the effects of a method that was just sent."""
        line.asked = codec.LAYOUTS[step.op].replies
        if step.arguments.get("arguments", {}).get("x-queue-type") == "stream":
            self.streams.add(step.arguments["queue"])
        if step.op == "basic.get":
            line.getting_automatic = step.arguments["no_ack"]
        elif step.op == "basic.consume" and step.arguments["no_ack"]:
            line.automatic.add(step.arguments["consumer_tag"])
        elif step.op == "basic.consume":
            line.automatic.discard(step.arguments["consumer_tag"])
        elif step.op == "basic.recover":
            line.deliveries.clear()
        elif step.op == "confirm.select":
            line.confirming = True

    def _publish(self, peer: Peer, step: Step, line: Line) -> None:
        given = step.arguments
        peer.publish(
            given["exchange"],
            self.reply_to if given["routing_key"] == REPLY else given["routing_key"],
            given["body"].encode(),
            step.channel,
            mandatory=given["mandatory"],
            immediate=given.get("immediate", False),
            **given["properties"],
        )
        if line.confirming:
            line.published += 1
            line.unconfirmed.add(line.published)

    def _settle(self, peer: Peer, step: Step, line: Line) -> None:
        given = dict(step.arguments)
        how, pick = given.pop("how"), given.pop("pick")
        known = sorted(line.deliveries)
        if pick == NO_TAG or not known:
            tag = NO_TAG
        elif given.get("multiple") and len({consumer for consumer, _ in known}) > 1:
            tag = 0  # all: tags of different consumers have no order that both brokers share
            line.deliveries.clear()
        else:
            consumer, tag = known[pick % len(known)]
            gone = {(consumer, tag)} if not given.get("multiple") else {one for one in known if one[1] <= tag}
            line.deliveries = [one for one in line.deliveries if one not in gone]
        peer.send(how, step.channel, delivery_tag=tag, **given)

    # --- connections and channels

    def _peer(self, name: str, channel: int) -> Peer:
        peer = self.peers.get(name)
        if peer is None or peer.ended is not None:
            self._forget(name)
            peer = self.peers[name] = Peer(name, self.target.address, _unreceived)
            tune = greet(peer, self.target.login, CAPABILITIES)
            peer.send("connection.tune-ok", 0, **{**tune.arguments, "heartbeat": 0})
            peer.ask("connection.open", 0, virtual_host=self.vhost)
        if channel not in peer.open_channels:
            peer.ask("channel.open", channel)
            self.lines[name, channel] = Line()
        return peer

    def _forget(self, name: str) -> None:
        peer = self.peers.pop(name, None)
        if peer is not None:
            peer.drop()
        for key in [key for key in self.lines if key[0] == name]:
            del self.lines[key]

    # --- what is heard

    def _listen(self) -> list[tuple[str, Event]]:
        """Return everything that arrives until there is silence, and nothing is awaited any more."""
        assert self.quiet is not None
        events: list[tuple[str, Event]] = []
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            sockets = {peer.fileno(): name for name, peer in self.peers.items() if peer.ended is None}
            ready, _, _ = select.select(list(sockets), [], [], self.quiet)
            for number in ready:
                name = sockets[number]
                for event in self.peers[name].received():
                    self._count(name, event)
                    events.append((name, event))
            awaited = any(line.unconfirmed or line.asked for line in self.lines.values())
            if not ready and (not awaited or time.monotonic() > deadline):
                return events

    def _hear_out(self, step: Step) -> list[tuple[str, Event]]:
        """Return everything that Leveret sends because of a step."""
        if step.peer in self.peers and step.op in codec.LAYOUTS and codec.LAYOUTS[step.op].replies:
            self.peers[step.peer].await_reply(step.op, step.channel)
        events = self._round()
        time.sleep(self.lapse)  # one TTL: a longer time makes no difference
        rounds = 0
        while rounds < ROUNDS:
            found = self._round()
            events += found
            rounds = 0 if found else rounds + 1
        return events

    def _round(self) -> list[tuple[str, Event]]:
        """Return everything that has arrived until now, on all connections."""
        events: list[tuple[str, Event]] = []
        for name, peer in self.peers.items():
            # First the events that are there already: a channel may have been closed.
            for event in [*peer.noted(), *peer.hear_out()]:
                self._count(name, event)
                events.append((name, event))
        return events

    def _count(self, name: str, event: Event) -> None:
        """Note the effects of an event."""
        if event.name in ("connection.close", EOF.name):
            for key in [key for key in self.lines if key[0] == name]:
                self.lines[key] = Line()
            return
        line = self.lines.get((name, event.channel))
        if line is None:
            return
        tag = event.arguments.get("delivery_tag", 0)
        answer_to = (event.properties or {}).get("reply_to", b"").decode()
        if answer_to.startswith(DIRECT + "."):
            self.reply_to = answer_to
        if event.name in ("basic.ack", "basic.nack"):
            settled = {
                one for one in line.unconfirmed if one == tag or (event.arguments["multiple"] and one <= tag)
            }
            line.unconfirmed -= settled
            line.confirmed += len(settled) if event.name == "basic.ack" else 0
            line.refused += len(settled) if event.name == "basic.nack" else 0
        elif event.name == "basic.deliver":
            if (consumer := event.text("consumer_tag")) not in line.automatic:
                line.deliveries.append((consumer, tag))
        elif event.name == "channel.close":
            self.lines[name, event.channel] = Line()
        elif event.name in line.asked:
            if event.name == "basic.get-ok" and not line.getting_automatic:
                line.deliveries.append(("", tag))
            line.asked = ()

    def _shown(self, events: list[tuple[str, Event]]) -> list[str]:
        """Return events by channel; first those with an order, then the deliveries by consumer.

        Channels of a connection that the broker closes may still get deliveries that other channels of it held.
        """
        stated: dict[tuple[str, int, str], list[str]] = {}
        ended = {name for name, event in events if event.name in ("connection.close", EOF.name)}
        for name, event in events:
            if event.name in ("basic.ack", "basic.nack") or (event.name == "basic.deliver" and name in ended):
                continue
            group = event.text("consumer_tag") if event.name == "basic.deliver" else ""
            given = {key: _MASKED.get(key, value) for key, value in event.arguments.items()}
            if event.name == "queue.declare-ok" and event.text("queue") in self.streams:
                given["message_count"] = 0
            channel = 0 if event.name in ("connection.close", EOF.name) else event.channel
            stated.setdefault((name, channel, group), []).append(str(event._replace(arguments=given)))
        return [
            f"{name}.{channel} < {line}"
            for (name, channel, _), lines in sorted(stated.items())
            for line in lines
        ]

    def _confirmed(self) -> list[str]:
        stated = []
        for (name, channel), line in sorted(self.lines.items()):
            if line.confirmed or line.refused or line.unconfirmed:
                late = f", {len(line.unconfirmed)} awaited" if line.unconfirmed else ""
                stated.append(f"{name}.{channel} < confirmed {line.confirmed}, refused {line.refused}{late}")
                line.confirmed = line.refused = 0
        return stated

    # --- the end

    def _rest(self) -> list[str]:
        """Return what the queues still have, read by a new connection."""
        for name in list(self.peers):
            self._forget(name)
            if self.quiet is not None:
                # Without a pause, a busy RabbitMQ may notice the lost connections in another order.
                select.select([], [], [], self.quiet)
        if self.quiet is not None:
            # Queues must have noticed that their consumers are gone.
            select.select([], [], [], max(5 * self.quiet, 0.1))
        stated = []
        for queue in QUEUES:
            step = Step("queue.declare", "z", 1, {"queue": queue, "passive": True})
            stated += self._answered(step)
            if not any("declare-ok" in line for line in stated[-1:]):
                continue
            while True:
                got = self._answered(Step("basic.get", "z", 1, {"queue": queue, "no_ack": True}))
                stated += got
                if not any("get-ok" in line for line in got):
                    break
        return stated

    def _leave(self) -> None:
        """Delete queues and exchanges."""
        for name in list(self.peers):
            self._forget(name)
        for kind, names in (("queue", QUEUES), ("exchange", EXCHANGES)):
            for name in names:
                # A busy RabbitMQ may exceed its own timeout, and close the connection.
                for _ in range(5):
                    janitor = self._peer("janitor", 1)
                    event = janitor.eventually("delete-ok", f"{kind}.delete", 1, **{kind: name})
                    if event.name.endswith("delete-ok"):
                        break
        self._forget("janitor")


def lifetimes(steps: list[Step]) -> int:
    """Return how often a message can expire, with the shortest TTL, at most: in one queue after another."""
    stated = [step.arguments for step in steps]
    queues = {one["queue"] for one in stated if one.get("arguments", {}).get("x-message-ttl") == SOON_MS}
    return len(queues) + any(one.get("properties", {}).get("expiration") == str(SOON_MS) for one in stated)


def _unreceived(line: str) -> None:
    """Do nothing: transcripts are made here, not by the peers."""
