"""The server's side of one connection: its state, its output, and how it ends.

`Reader` handles input and calls this. At the end of the tick the server sends what `take_output` returns. `ended` is
how the server is to end the socket, `halted` that it must not read from it.

Connections end in three ways: connection.close is sent and its answer awaited; the client's connection.close is
answered, and the client has time to close the socket; or the socket is reset, after three seconds without an answer
where RabbitMQ does not answer (rabbit_reader). Deadlines are on the broker's agenda of link time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import cython
from pamqp import commands

from leveret import errors
from leveret.engine.changes import (
    ConnectionAccepted,
    ConnectionBlocked,
    ConnectionLost,
    ConnectionOpened,
    ConnectionRefused,
    ConnectionUnblocked,
)
from leveret.errors import AmqpError
from leveret.faults import serve
from leveret.queues.queue import PORTION
from leveret.session import settling, states
from leveret.session.states import End
from leveret.wire.methods import method_frame
from leveret.work import portions

if cython.compiled:
    from cython.cimports.leveret.session.base import ConnectionBase
    from cython.cimports.leveret.session.channel import Channel
    from cython.cimports.leveret.session.confirms import Confirms
    from cython.cimports.leveret.session.output import Output
else:
    from leveret.session.base import ConnectionBase
    from leveret.session.channel import Channel
    from leveret.session.confirms import Confirms
    from leveret.session.output import Output

if TYPE_CHECKING:
    from leveret.clock import ScheduledCall
    from leveret.engine.authentication import Login
    from leveret.engine.broker import Broker
    from leveret.engine.users import User
    from leveret.engine.vhost import VirtualHost
    from leveret.session.peer import Peer
    from leveret.wire.tables import Table
    from leveret.work import Job, Steps

#: Time before the socket is reset without an answer (rabbit_reader: SILENT_CLOSE_DELAY), ms.
SILENT_CLOSE_DELAY_MS = 3000

#: How long a connection that was held back is shown in the state `flow` (rabbit_reader: i(state, ...)), ms.
FLOW_SHOWN_MS = 5000

#: Consumers that are served at once; more are in portions.
_SERVED_TOGETHER = cython.declare(cython.Py_ssize_t, PORTION)

#: Maximum time to wait for the answer to connection.close (rabbit_reader: CLOSING_TIMEOUT), ms.
CLOSING_TIMEOUT_MS = 30_000


class Connection(ConnectionBase):
    """The server's side of one AMQP connection.

    `limit`, `body_limit`: largest payload accepted of any frame, and of a body frame. `method`: class and method
    ids of the frame that is handled. `channels`: open channels by number; `channel`: the last one that was used.
    `alarmed`: a resource alarm is on and the connection will be blocked when it publishes; `blocked`: it is, and is
    not read; `blocked_notified`: the client knows; `in_flow`: it waits for the store, and is not read;
    `flow_until`: when its state is `running` again, ms. `resumed`: called when it is read again; `ending`: the job
    that ends its channels; `disconnected`: the socket is closed. `unfinished_limit`: octets that half-received
    bodies may have together. `login`: the user name that was given; `attempt`: the login that waits for a backend, or
    until connection.open that of a user whom the broker does not know itself. `to_serve`: channels with very many
    consumers that may have credit again; `serving`: a job serves them.
    `timers`: its deadlines. `received`, `sent`: octets, in so many `reads` and `writes`.
    """

    def __init__(self, broker: Broker, peer: Peer, dirty: list[Output]) -> None:
        super().__init__(broker, peer, dirty)
        self.limit: int = broker.profile.frame_min - 8
        self.body_limit: int = self.limit
        self.frame_max = broker.profile.frame_min
        self.method: int = 0
        self.channels: dict[int, Channel] = {}
        self.channel: Channel | None = None
        self.alarmed: bool = False
        self.blocked: bool = False
        self.in_flow: bool = False
        self.flow_until: int = 0
        self.unread_limit = broker.unread_limit
        self.unfinished_limit: int = broker.unfinished_limit
        self.blocked_notified: bool = False
        self.resumed: Callable[[], None] = _not_read
        self.ending: Job | None = None
        self.disconnected: bool = False
        self.ended: End | None = None
        self.login: str | None = None
        self.attempt: Login | None = None
        self.client_properties: Table = {}
        self.mechanism: str = ""
        self.channel_max: int = 0
        self.heartbeat: int = 0
        self.to_serve: dict[Channel, None] = {}
        self.serving: bool = False
        self.timers: dict[str, ScheduledCall] = {}
        self.connected_at: int = broker.clock.now
        self.received: int = 0
        self.sent: int = 0
        self.reads: int = 0
        self.writes: int = 0
        self.frames_received: int = 0
        if broker.settings.server.handshake_timeout:
            self.arm("handshake", broker.settings.server.handshake_timeout, self.reset)
        broker.connected(self)

    def opened(self, user: User, vhost: VirtualHost) -> None:
        """Note that connection.open was accepted."""
        self.user = user
        self.vhost = vhost
        self.attempt = None
        self.disarm("handshake")
        self.alarmed = bool(self.broker.alarms)
        self.unread_limit = self.broker.unread_limit
        vhost.connections.add(self)
        self.broker.opened(self)
        self.broker.observers.notify(ConnectionOpened(self.actor, self))
        self.broker.lint.connection(self)

    # --- time

    def arm(self, name: str, delay: int, call: Callable[[], None]) -> None:
        """Run `call` in `delay` ms of link time, unless the timer `name` is armed again or disarmed."""
        self.disarm(name)
        place = f"{name} timer"
        self.timers[name] = self.broker.link_time.call_after(delay, lambda: serve(self, place, call))

    def disarm(self, name: str) -> None:
        """Cancel the timer `name`, if it is armed."""
        due = self.timers.pop(name, None)
        if due is not None:
            self.broker.link_time.cancel(due)

    # --- output

    def take_output(self) -> bytes:
        """Return what is to be sent now: confirms that are due, and everything in the outbox."""
        self.flush_scheduled = False
        self.answers = False
        if self.unflushed:
            self.write_confirms()
        if self.outbox.size == 0:
            return b""
        data: bytes = self.outbox.take()
        self.sent += len(data)
        self.writes += 1
        return data

    def hold_output(self) -> None:
        """The socket takes no more: keep the output, and stop reading a client that leaves too much of it unread."""
        self.flush_scheduled = False
        if self.unflushed:
            self.write_confirms()
        if self.outbox.size > self.unread_limit:
            self.stuffed = True
            self.halted = True

    def write_confirms(self) -> None:
        """Write the confirms of all channels that are due."""
        confirms: Confirms
        for confirms in self.unflushed:
            confirms.write(self.outbox)
        self.unflushed.clear()

    def drained(self) -> None:
        """Serve the consumers that were blocked, because the socket accepts more."""
        channel: Channel
        consumers: cython.Py_ssize_t = 0
        self.congested = False
        for channel in self.channels.values():
            consumers += len(channel.consumers)
        if consumers > _SERVED_TOGETHER:
            for channel in list(self.channels.values()):
                if channel.consumers:
                    self.serve_later(channel)
            return
        for channel in list(self.channels.values()):
            channel.wake_all()
        self.publish_dead_letters()

    def serve_later(self, channel: Channel) -> None:
        """Serve the blocked consumers of a channel in portions. The connection is read meanwhile: who publishes or
        acknowledges need not wait for that."""
        self.to_serve[channel] = None
        if not self.serving:
            self.serving = True
            place = "delivery"
            self.broker.work.begin(self._answered(self._serving(), place), place, connection=self.name)

    def _serving(self) -> Steps:
        try:
            while self.to_serve:
                channels, self.to_serve = list(self.to_serve), {}
                for channel in channels:
                    if not channel.gone:
                        yield from settling.wake_steps(channel.blocked(), channel.global_prefetch > 0)
                    yield None
        finally:
            self.serving = False
        self.publish_dead_letters()

    def publish_dead_letters(self) -> None:
        """Publish what operations of this connection have dead-lettered."""
        if self.vhost is not None:
            self.vhost.publish_dead_letters()

    @property
    def is_open(self) -> bool:
        """Whether a virtual host was opened and the connection has not ended."""
        return self.vhost is not None and self.state <= states.CLOSING

    @property
    def state_name(self) -> str:
        """The state as rabbit_reader names it: `blocking` while an alarm is on, `blocked` once the client publishes,
        `flow` while it is held back by the store, and for some seconds after that."""
        if self.blocked:
            return "blocked"
        if self.alarmed and self.state == states.RUNNING:
            return "blocking"
        if self.in_flow or (self.state == states.RUNNING and self.broker.clock.now < self.flow_until):
            return "flow"
        return states.NAMES[self.state]

    @property
    def unsent(self) -> int:
        """Octets that wait in the outbox."""
        return self.outbox.size

    # --- halting: no further frame is handled for now

    def begin_turn(self) -> None:
        """Handle frames again if nothing else is in the way: the connection's next turn has come."""
        self.turn_over = False
        self._update_halt()

    def suspend(self, job: Job) -> None:
        """Handle no further frame until a job has ended, and the one that the connection waits for already."""
        before = self.suspended
        self.suspended = job
        self.halted = True
        job.when_done(lambda: self._resume(job, before))

    def begin(self, steps: Steps, place: str) -> Job:
        """Begin a job that the connection waits for. What it raises is answered as what a frame raises."""
        return self.broker.work.begin(self._answered(steps, place), place, self, connection=self.name)

    def _answered(self, steps: Steps, place: str) -> Steps:
        try:
            yield from steps
        except AmqpError as error:
            self.refuse(error)
            self.publish_dead_letters()
        except Exception as error:
            self.fail(place, error)

    def _resume(self, job: Job, before: Job | None) -> None:
        if self.suspended is job and before is not None and not before.done:
            self.suspended = before
        elif self.suspended is job:
            self.suspended = None
            self._update_halt()
            self.publish_dead_letters()
            self.resumed()

    def _update_halt(self) -> None:
        self.halted = (
            self.blocked or self.in_flow or self.stuffed or self.turn_over or self.suspended is not None
        )

    def output_read(self) -> None:
        """The client has read what was sent to it: read it again."""
        if self.stuffed and self.outbox.size <= self.unread_limit:
            self.stuffed = False
            self._update_halt()

    # --- publishers that wait: resource alarms (docs: alarms, connection-blocked), flow (docs: flow-control)

    def block(self) -> None:
        """Stop reading, because the client publishes while an alarm is on; notify clients that support it."""
        self.alarmed = False
        self.blocked = True
        self.halted = True
        if "connection.blocked" in self.capabilities:
            self.blocked_notified = True
            reason = self.broker.alarm_text()
            self.send(method_frame(0, commands.Connection.Blocked, reason=reason))
        self.broker.observers.notify(ConnectionBlocked(self.actor, self))
        self.schedule_flush()

    def alarm_changed(self, on: bool) -> None:
        """Block or unblock the connection when the first resource alarm is set or the last one cleared."""
        if self.state != states.RUNNING:
            return
        self.unread_limit = self.broker.unread_limit
        if on:
            self.alarmed = not self.blocked
            return
        self.alarmed = False
        if self.blocked:
            self.blocked = False
            self._update_halt()
            if self.blocked_notified:
                self.blocked_notified = False
                self.send(method_frame(0, commands.Connection.Unblocked))
            self.broker.observers.notify(ConnectionUnblocked(self.actor, self))
            self.schedule_flush()

    def hold_back(self) -> None:
        """It publishes what the store cannot take yet: do not read it until the store has caught up."""
        if not self.in_flow and self.state == states.RUNNING:
            self.in_flow = True
            self.halted = True
            self.broker.held_back.append(self)

    def go_ahead(self) -> None:
        """The store has caught up."""
        if self.in_flow:
            self.in_flow = False
            self.flow_until = self.broker.clock.now + FLOW_SHOWN_MS
            self._update_halt()
            self.schedule_flush()

    # --- errors

    def refuse(self, error: AmqpError) -> None:
        """Answer a violation of the protocol with channel.close or connection.close. Raises nothing."""
        try:
            self._refuse(error)
        except Exception as fault:
            self.fail("close", fault)

    def _refuse(self, error: AmqpError) -> None:
        if self.state in (states.CLOSING, states.CLOSED):
            return
        if error.bursts and self.broker.profile.long_texts_burst:
            error = errors.internal_error()
        class_id, method_id = (0, 0) if error.anonymous else (self.method >> 16, self.method & 0xFFFF)
        if error.scope == "channel" and self.channel is not None and self.state == states.RUNNING:
            self.channel.close(error, class_id, method_id)
        elif self.state < states.OPENING:
            self.drop()
        else:
            self.write_confirms()
            self._send_close(error, class_id, method_id)

    def refuse_login(self, error: AmqpError) -> None:
        """Answer a refused login with connection.close, if the client has announced that it supports this."""
        self._send_close(error)

    def fail(self, place: str, error: Exception) -> None:
        """Report an exception and end the connection: with 541 if it can still be sent, and otherwise by a reset.
        Raises nothing."""
        faults = self.broker.faults
        faults.report(place, error, connection=self.name)
        if self.state in (states.CLOSING, states.CLOSED) or not faults.guard(
            "close", self._refuse, errors.internal_error(), connection=self.name
        ):
            self.reset()

    # --- the end

    def shut(self, error: AmqpError) -> None:
        """Close the connection for a reason of the broker (320)."""
        if self.state in (states.CLOSING, states.CLOSED):
            return
        if self.state < states.OPENING:
            self.reset()
        else:
            self._send_close(error)

    def _send_close(self, error: AmqpError, class_id: int = 0, method_id: int = 0) -> None:
        """Send connection.close after ending channels and deleting exclusive queues."""
        self.state = states.CLOSING
        self.blocked = False  # to read the answer in spite of an alarm
        self.in_flow = False
        self._update_halt()
        channel = self.channel.number if self.channel is not None else 0
        self._end_channels(lambda: self._write_close(error, class_id, method_id, channel))

    def _write_close(self, error: AmqpError, class_id: int, method_id: int, channel: int) -> None:
        self.broker.observers.notify(
            ConnectionRefused(self.actor, self, error, class_id << 16 | method_id, channel)
        )
        self.send(
            method_frame(
                0,
                commands.Connection.Close,
                reply_code=error.code,
                reply_text=error.text,
                class_id=class_id,
                method_id=method_id,
            )
        )
        self.disarm("handshake")
        if error.name == "ACCESS_REFUSED":  # after a refused login RabbitMQ does not wait for the answer
            self.drop()
        else:
            self.arm("closing", self._closing_timeout(), self.reset)

    def close_by_client(self) -> None:
        """Answer connection.close, and wait for the client to close the socket."""
        self._end_channels(self._write_close_ok)

    def _write_close_ok(self) -> None:
        self.send(method_frame(0, commands.Connection.CloseOk))
        self.disarm("handshake")
        self.arm("closing", self._closing_timeout(), self.reset)

    def _closing_timeout(self) -> int:
        heartbeat = self.heartbeat * 1000
        return min(heartbeat, CLOSING_TIMEOUT_MS) if heartbeat else CLOSING_TIMEOUT_MS

    def hang_up(self) -> None:
        """Close the socket after the output is sent."""
        self.state = states.CLOSED
        self.ended = End.CLOSE
        self.schedule_flush()

    def drop(self) -> None:
        """Neither read nor answer any more, and reset the socket later, so that a faulty client does not reconnect at
        once."""
        self.state = states.CLOSED
        self.arm("closing", SILENT_CLOSE_DELAY_MS, self.reset)

    def reset(self) -> None:
        """Reset the socket now."""
        self.state = states.CLOSED
        self.ended = End.RESET
        self.schedule_flush()

    def leave(self, vhost: str) -> None:
        """Forget a client that another node serves from now on, in this virtual host. Its socket stays open."""
        self.state = states.CLOSED
        self.disconnected = True
        self._forget_timers()
        self.caller = None
        self.resumed = _not_read
        self.broker.passed_on(self, vhost)

    def lost(self) -> None:
        """Note that the socket is closed, by either side. It counts as a connection until its channels have ended."""
        if self.state == states.AWAITING_HEADER and self.received:  # a part of a header
            self.broker.observers.notify(ConnectionAccepted(self.actor, self))
            self.broker.observers.notify(ConnectionLost(self.actor, self))
        if states.AWAITING_HEADER < self.state < states.CLOSING:
            self.broker.observers.notify(ConnectionLost(self.actor, self))
        self.state = states.CLOSED
        self.disconnected = True
        self._forget_timers()
        self._end_channels(self._gone)

    def _forget_timers(self) -> None:
        for name in list(self.timers):
            self.disarm(name)

    def _gone(self) -> None:
        if self.vhost is not None:
            self.vhost.connections.discard(self)
        # Without these cycles it is freed at once, and not by a garbage collection of thousands.
        self.ending = None
        self.caller = None
        self.resumed = _not_read
        self.broker.disconnected(self)

    def _end_channels(self, then: Callable[[], None]) -> None:
        """Terminate all channels, then delete the connection's exclusive queues, as a job; `then` is called after it,
        unless the socket is lost meanwhile."""
        channels = [channel for channel in self.channels.values() if not channel.closing]
        self.channels.clear()
        self.channel = None
        for channel in channels:
            channel.gone = True
        lost = self.disconnected
        steps = self._ending(channels)
        job = self.broker.work.begin(steps, "connection end", self, self.ending, connection=self.name)
        self.ending = job
        job.when_done(lambda: then() if lost or not self.disconnected else None)

    def _ending(self, channels: list[Channel]) -> Steps:
        guard = self.broker.faults.guard
        ended: list[Job] = []
        for (channel,) in portions(channels, 1):
            guard(
                "channel end", self._terminate, channel, ended, connection=self.name, channel=channel.number
            )
            yield None
        if self.exclusive_queues and self.vhost is not None:
            delete = self.vhost.delete_queue
            for (queue,) in portions(list(self.exclusive_queues.values()), 1):
                guard("queue deletion", delete, queue, connection=self.name, queue=queue.name)
                yield None
            self.exclusive_queues.clear()
            guard("dead lettering", self.publish_dead_letters, connection=self.name)
        yield from ended

    def _terminate(self, channel: Channel, ended: list[Job]) -> None:
        job = channel.terminate()
        if not job.done:
            ended.append(job)

    def remove_channel(self, number: int) -> None:
        """Free a channel number."""
        self.channels.pop(number, None)
        self.channel = None


def _not_read() -> None:
    """Nobody reads the socket: a test passes the octets."""
