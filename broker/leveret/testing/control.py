"""`/api/leveret`: the toolkit over HTTP, for tests in any language. docs/testing/control.md has the details."""

from __future__ import annotations

import base64
import itertools
import json
import os
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import asdict

from leveret.engine.broker import ALARM_TEXTS
from leveret.management.call import Call, Reply, Resource, Routes, bad_request, missing, not_found, shown
from leveret.testing import strict
from leveret.testing.control_table import (
    BOOLEAN,
    INTEGER,
    MOMENT,
    NUMBER,
    SCHEMAS,
    SECONDS,
    STRING,
    STRINGS,
    Ask,
    Endpoint,
    array,
    body_schema,
    nullable,
    openapi,
    problem,
    reference,
    thing,
)
from leveret.testing.drain import Drain
from leveret.testing.errors import NotIdle, ReplayMismatch, ToolkitError, WaitTimeout
from leveret.testing.fault_specs import arm
from leveret.testing.time_travel import Moves, Waiting

if TYPE_CHECKING:
    from leveret.testing.broker import AsyncBroker
    from leveret.testing.due import DueEvent
    from leveret.testing.faults import AsyncFault
    from leveret.testing.messages import Event, PublishedMessage, QueueMessage
    from leveret.testing.snapshots import Snapshot

#: Content type of a recording: one object of JSON in each line.
JSON_LINES = "application/jsonl"

#: Real seconds that a call waits if it does not say how long.
TIMEOUT_S = 5.0


class Control:
    """The toolkit of one broker over HTTP. `faults`, `snapshots`: by the numbers that callers know; `rules`, `allowed`:
    of `clean`."""

    def __init__(self, broker: AsyncBroker) -> None:
        self.broker = broker
        self.faults: dict[str, AsyncFault] = {}
        self.snapshots: dict[str, Snapshot] = {}
        self.rules = strict.DEFAULT_RULES
        self.allowed: list[strict.Allowed] = []
        self.skipping = False
        self._ids = itertools.count(1)
        self._path = Path()
        self._recorded: bytes | None = None
        self._recording: AbstractContextManager[None] | None = None
        self.endpoints = self._endpoints()

    # --- one call

    def routes(self) -> Routes:
        """Return the resources, by path below /api."""
        found: dict[str, dict[str, Callable[[Call], Awaitable[object]]]] = {}
        for endpoint in self.endpoints:
            found.setdefault(f"leveret/{endpoint.path}", {})[endpoint.method] = self._handler(endpoint)
        return {
            path: Resource(methods, may=lambda call: call.need_administrator())
            for path, methods in found.items()
        }

    def _handler(self, endpoint: Endpoint) -> Callable[[Call], Awaitable[object]]:
        async def handle(call: Call) -> object:
            fields = call.fields() if endpoint.method in ("POST", "PUT") else {}
            wrong = problem(body_schema(endpoint), fields)
            if wrong is not None:
                raise bad_request(wrong)
            node = self.broker._node
            await node.until(Drain(node.edge, node.acceptors).done)
            vhost = fields.get("vhost", call.query.get("vhost"))
            broker = self._of(vhost if isinstance(vhost, str) else None)
            own = {
                name: value for name, value in fields.items() if name != "vhost" or "vhost" in endpoint.body
            }
            return await self._answered(endpoint, Ask(broker, call.path, own, call.query))

        handle.__doc__ = f"{endpoint.method}: {endpoint.summary}."
        return handle

    async def _answered(self, endpoint: Endpoint, ask: Ask) -> object:
        try:
            answer = await endpoint.answer(ask)
        except WaitTimeout as error:
            reasons = [asdict(each) for each in error.reasons] if isinstance(error, NotIdle) else []
            return shown({"error": "timeout", "reason": str(error), "reasons": reasons}, 408)
        except (ToolkitError, ValueError, TypeError) as error:
            raise bad_request(str(error)) from None
        if answer is None or endpoint.status == 200:
            return answer
        return shown(answer, endpoint.status)

    def _of(self, vhost: str | None) -> AsyncBroker:
        """Return the broker, or the view of a virtual host. Raises `Refusal` if there is none."""
        if vhost is None:
            return self.broker
        if vhost not in self.broker._node.engine.vhosts:
            raise not_found("vhost_not_found")
        return self.broker.vhost(vhost)

    # --- clock

    async def clock(self, ask: Ask) -> object:
        clock = ask.broker.clock
        return {
            "now": clock.now.isoformat(),
            "frozen": clock.frozen,
            "rate": ask.broker._node.message_clock.rate,
            "held": ask.broker._node.travel.holds,
            "hold_eta": clock.hold_eta,
            "skipping": self.skipping,
            "heartbeats": clock.heartbeats,
            "due": [_due(each) for each in clock.due()],
        }

    async def set_clock(self, ask: Ask) -> None:
        clock, fields = ask.broker.clock, ask.fields
        if "hold_eta" in fields:
            clock.hold_eta = fields["hold_eta"]
        if "heartbeats" in fields:
            clock.heartbeats = fields["heartbeats"]
        if fields.get("skipping", self.skipping) != self.skipping:
            self._skip(fields["skipping"])

    def _skip(self, on: bool) -> None:
        travel, clock = self.broker._node.travel, self.broker._node.message_clock
        if on:
            clock.freeze()
            travel.begin_skipping(Waiting(quiet_s=0.02))
        else:
            travel.end_skipping()
        self.skipping = on

    async def freeze(self, ask: Ask) -> None:
        ask.broker.clock.freeze(ask.fields.get("at"))

    async def resume(self, ask: Ask) -> None:
        ask.broker.clock.resume(rate=ask.fields.get("rate", 1.0))

    async def hold(self, ask: Ask) -> None:
        ask.broker._node.travel.take_hold()

    async def release_hold(self, ask: Ask) -> None:
        ask.broker._node.travel.release()

    async def advance(self, ask: Ask) -> object:
        return _moves(await ask.broker.clock.advance(ask.fields["by"], **_waiting(ask)))

    async def move(self, ask: Ask) -> object:
        return _moves(await ask.broker.clock.move_to(ask.fields["to"], **_waiting(ask)))

    async def run_until_idle(self, ask: Ask) -> object:
        limit = {"limit": ask.fields["limit"]} if "limit" in ask.fields else {}
        return _moves(await ask.broker.clock.run_until_idle(**limit, **_waiting(ask)))

    # --- faults

    async def list_faults(self, ask: Ask) -> object:
        return [self._fault(number) for number in self.faults]

    async def arm(self, ask: Ask) -> object:
        number = str(next(self._ids))
        self.faults[number] = arm(ask.broker.faults, ask.fields)  # type: ignore[assignment]
        return {"id": number}

    async def clear_faults(self, ask: Ask) -> None:
        self.faults.clear()
        ask.broker.faults.clear()

    async def fault(self, ask: Ask) -> object:
        return self._fault(self._known(ask, self.faults))

    async def remove_fault(self, ask: Ask) -> None:
        self.faults.pop(self._known(ask, self.faults)).remove()

    async def release(self, ask: Ask) -> object:
        fault = self.faults[self._known(ask, self.faults)]
        return {"released": fault.release(ask.fields.get("n"))}

    def _fault(self, number: str) -> object:
        fault = self.faults[number]
        return {"id": number, "described": fault.described, "hits": fault.hits, "armed": fault.armed}

    def _known(self, ask: Ask, things: Mapping[str, object]) -> str:
        if ask.path["id"] not in things:
            raise missing()
        return ask.path["id"]

    # --- history

    async def history(self, ask: Ask) -> object:
        query = ask.query
        found = ask.broker.published(
            query.get("exchange"), query.get("routing_key"), queue=query.get("queue")
        )
        wanted = query.get("outcome")
        return [_message(each) for each in found if wanted is None or wanted in _outcomes(each).values()]

    async def message(self, ask: Ask) -> object:
        for each in ask.broker.published():
            if str(each.id) == ask.path["id"]:
                return {
                    "message": _message(each),
                    "events": [_event(one) for one in each.events],
                    "story": each.story(),
                }
        raise missing()

    async def forget(self, ask: Ask) -> None:
        ask.broker.history.clear()

    async def unroutable(self, ask: Ask) -> object:
        return [_message(each) for each in ask.broker.unroutable()]

    # --- waiting

    async def wait(self, ask: Ask) -> object:
        fields, broker = ask.fields, ask.broker
        timeout, count = fields.get("timeout", TIMEOUT_S), fields.get("count", 1)
        match fields["for"]:
            case "idle":
                await broker.wait_idle(timeout, quiet=fields.get("quiet", 0.01))
            case "messages":
                found = await broker.wait_for_messages(_needed(ask, "queue"), count, timeout)
                return {"messages": [_queue_message(each) for each in found]}
            case "published":
                await broker.wait_for_published(
                    fields.get("exchange"),
                    fields.get("routing_key"),
                    queue=fields.get("queue"),
                    count=count,
                    timeout=timeout,
                )
            case "acked":
                await broker.wait_for_acked(_needed(ask, "queue"), count, timeout)
            case "consumer":
                await broker.wait_for_consumer(_needed(ask, "queue"), count, timeout)
            case "queue":
                await broker.wait_for_queue(_needed(ask, "queue"), timeout)
            case _:
                await broker.wait_for_connection(fields.get("connection", "*"), count, timeout)
        return {}

    # --- strict

    async def clean(self, ask: Ask) -> object:
        found: dict[str, list[str]] = {}
        broken = strict.violations(ask.broker._scope, self.rules, self.allowed, self.broker._before)
        if "unhit" in self.rules:
            broken += ask.broker._unhit()
        for each in broken:
            found.setdefault(each.rule, []).append(each.text)
        return found

    async def set_strict(self, ask: Ask) -> None:
        rules = ask.fields.get("rules", True)
        self.rules = strict.rules_of(rules if isinstance(rules, bool) else set(rules))
        self.allowed = strict.allowed_of(ask.fields.get("allow", []))

    # --- life

    async def reset(self, ask: Ask) -> None:
        self.faults.clear()
        ask.broker.faults.clear()
        ask.broker.reset(keep=ask.fields.get("keep", ()))

    async def snapshot(self, ask: Ask) -> object:
        number = str(next(self._ids))
        self.snapshots[number] = ask.broker.snapshot()
        return {"id": number}

    async def restore(self, ask: Ask) -> None:
        ask.broker.restore(self.snapshots[self._known(ask, self.snapshots)])

    async def restart(self, ask: Ask) -> None:
        await ask.broker.restart(keep=ask.fields.get("keep", True), down=ask.fields.get("down", 0))

    # --- recordings

    async def start_recording(self, ask: Ask) -> None:
        if self._recording is not None:
            raise ToolkitError("a recording is under way: stop it first")
        self._path = _new_file()
        self._recording = ask.broker.record(self._path)
        self._recording.__enter__()

    async def stop_recording(self, ask: Ask) -> None:
        recording, self._recording = self._recording, None
        if recording is None:
            raise ToolkitError("no recording is under way")
        recording.__exit__(None, None, None)
        self._recorded = self._path.read_bytes()
        self._path.unlink()

    async def recording(self, ask: Ask) -> object:
        if self._recorded is None:
            raise missing()
        return Reply(200, self._recorded, {"Content-Type": JSON_LINES}, shown=True)

    async def replay(self, ask: Ask) -> object:
        options = {name: ask.fields[name] for name in ("speed", "compare", "timeout") if name in ask.fields}
        path = _new_file()
        try:
            path.write_text("".join(json.dumps(line) + "\n" for line in ask.fields["lines"]))
            return asdict(await ask.broker.replay(path, **options))
        except ReplayMismatch as error:
            return shown({"error": "replay_mismatch", "reason": str(error)}, 409)
        finally:
            path.unlink()

    async def set_alarm(self, ask: Ask) -> None:
        ask.broker._node.engine.set_alarm(self._source(ask))

    async def clear_alarm(self, ask: Ask) -> None:
        ask.broker._node.engine.clear_alarm(self._source(ask))

    def _source(self, ask: Ask) -> str:
        if ask.path["source"] not in ALARM_TEXTS:
            raise missing()
        return ask.path["source"]

    async def make_vhost(self, ask: Ask) -> object:
        view = self.broker.vhost(ask.fields.get("name"))
        return {"name": view._scope.default, "url": view.url}

    async def document(self, ask: Ask) -> object:
        return openapi(self.endpoints)

    # --- the table

    def _endpoints(self) -> list[Endpoint]:
        patience = {"patience": SECONDS, "quiet": SECONDS}
        number = thing({"id": STRING})
        moves = reference("Moves")
        waits = {
            "for": {"enum": ["idle", "messages", "published", "acked", "consumer", "queue", "connection"]},
            "timeout": SECONDS,
            "quiet": SECONDS,
            "count": INTEGER,
            **dict.fromkeys(("queue", "exchange", "routing_key", "connection"), STRING),
        }
        fault = SCHEMAS["FaultRequest"]["properties"]
        waited = thing({"messages": array(reference("QueueMessage"))}, needed=())
        history_query = ("exchange", "routing_key", "queue", "outcome")
        settings = {
            "hold_eta": BOOLEAN,
            "skipping": BOOLEAN,
            "heartbeats": {"enum": ["real", "virtual"]},
        }
        rules = {"rules": {"oneOf": [BOOLEAN, STRINGS]}, "allow": STRINGS}
        violations = {"type": "object", "additionalProperties": STRINGS}
        any_object = {"type": "object"}
        return [
            Endpoint("GET", "openapi.json", "This document", self.document, shows=any_object),
            Endpoint("GET", "clock", "The clock", self.clock, shows=reference("Clock")),
            Endpoint("PUT", "clock", "Change how the clock runs", self.set_clock, settings),
            Endpoint("POST", "clock/freeze", "Stop the clock", self.freeze, {"at": MOMENT}),
            Endpoint("POST", "clock/resume", "Run on from here", self.resume, {"rate": NUMBER}),
            Endpoint("POST", "clock/hold", "Let nobody move the clock", self.hold),
            Endpoint("POST", "clock/release", "End one hold", self.release_hold),
            Endpoint(
                *("POST", "clock/advance", "Move the clock by a duration", self.advance),
                {"by": SECONDS, **patience},
                ("by",),
                shows=moves,
                waits=True,
            ),
            Endpoint(
                *("POST", "clock/move", "Move the clock to a moment", self.move),
                {"to": MOMENT, **patience},
                ("to",),
                shows=moves,
                waits=True,
            ),
            Endpoint(
                *("POST", "clock/run-until-idle", "Move the clock until nothing is due", self.run_until_idle),
                {"limit": SECONDS, **patience},
                shows=moves,
                waits=True,
            ),
            Endpoint(
                *("GET", "faults", "The faults that were armed here", self.list_faults),
                shows=array(reference("Fault")),
            ),
            Endpoint("POST", "faults", "Arm a fault", self.arm, fault, ("do",), shows=number, status=201),
            Endpoint("DELETE", "faults", "Remove all faults", self.clear_faults),
            Endpoint("GET", "faults/{id}", "A fault", self.fault, shows=reference("Fault"), missing=True),
            Endpoint("DELETE", "faults/{id}", "Remove a fault", self.remove_fault, missing=True),
            Endpoint(
                *("POST", "faults/{id}/release", "Send confirms that a fault holds", self.release),
                {"n": nullable(INTEGER)},
                shows=thing({"released": INTEGER}),
                missing=True,
            ),
            Endpoint(
                *("GET", "history", "Messages that clients have published", self.history),
                query=history_query,
                shows=array(reference("Message")),
            ),
            Endpoint("DELETE", "history", "Forget the history", self.forget),
            Endpoint(
                *("GET", "history/{id}", "A message and what became of it", self.message),
                shows=reference("MessageWithEvents"),
                missing=True,
            ),
            Endpoint(
                *("GET", "unroutable", "Messages that reached no queue", self.unroutable),
                shows=array(reference("Message")),
            ),
            Endpoint(
                "POST", "wait", "Wait for something", self.wait, waits, ("for",), shows=waited, waits=True
            ),
            Endpoint("GET", "clean", "The rules that are broken", self.clean, shows=violations),
            Endpoint("PUT", "strict", "Choose the rules of `clean`", self.set_strict, rules),
            Endpoint("POST", "reset", "Empty the broker", self.reset, {"keep": STRINGS}),
            Endpoint("POST", "snapshots", "Keep all state", self.snapshot, shows=number, status=201),
            Endpoint("POST", "snapshots/{id}/restore", "Restore a snapshot", self.restore, missing=True),
            Endpoint(
                *("POST", "restart", "Stop and start the node", self.restart),
                {"keep": BOOLEAN, "down": SECONDS},
            ),
            Endpoint("POST", "recording/start", "Record all connections from now on", self.start_recording),
            Endpoint("POST", "recording/stop", "End the recording", self.stop_recording),
            Endpoint(
                *("GET", "recording", "The last recording that has ended", self.recording),
                shows={"type": "string"},
                kind=JSON_LINES,
                missing=True,
            ),
            Endpoint(
                *(
                    "POST",
                    "replay",
                    "Play the clients' side of a recording, and compare the answers",
                    self.replay,
                ),
                {
                    "lines": array(any_object),
                    "speed": {"oneOf": [NUMBER, {"enum": ["virtual"]}]},
                    "compare": BOOLEAN,
                    "timeout": SECONDS,
                },
                ("lines",),
                shows=thing({"sent": INTEGER, "compared": INTEGER, "took": NUMBER}),
                differs=True,
            ),
            Endpoint("PUT", "alarms/{source}", "Set an alarm: memory or disk", self.set_alarm, missing=True),
            Endpoint("DELETE", "alarms/{source}", "Clear an alarm", self.clear_alarm, missing=True),
            Endpoint(
                *(
                    "POST",
                    "vhosts",
                    "Make a virtual host, with a new name unless one is given",
                    self.make_vhost,
                ),
                {"name": STRING},
                shows=thing({"name": STRING, "url": STRING}),
                status=201,
            ),
        ]


def _new_file() -> Path:
    """Return an empty file for a recording."""
    descriptor, name = tempfile.mkstemp(prefix="leveret-", suffix=".jsonl")
    os.close(descriptor)
    return Path(name)


def _waiting(ask: Ask) -> dict[str, Any]:  # fields of a body, as in `Ask`
    return {name: ask.fields[name] for name in ("patience", "quiet") if name in ask.fields}


def _needed(ask: Ask, name: str) -> str:
    if name not in ask.fields:
        raise ValueError(f"{name!r} is missing, to wait for {ask.fields['for']}")
    return str(ask.fields[name])


def _due(due: DueEvent) -> object:
    return {"at": due.at.isoformat(), "what": due.what, "queue": due.queue}


def _moves(moves: Moves) -> object:
    return {
        "now": moves.now.isoformat(),
        "steps": moves.steps,
        "settled": moves.settled,
        "kept": [asdict(each) for each in moves.kept],
    }


def _event(event: Event) -> object:
    names = ("kind", "queue", "connection", "channel", "consumer", "tag", "reason")
    return {name: getattr(event, name) for name in names} | {"at": event.at.isoformat()}


def _message(message: PublishedMessage) -> object:
    return {
        "id": message.id,
        "at": message.at.isoformat(),
        "vhost": message.vhost,
        "exchange": message.exchange,
        "routing_key": message.routing_key,
        "queues": message.queues,
        "connection": message.connection,
        "user": message.user,
        "body": _body(message.body),
        "outcome": _outcomes(message),
        "confirmed": message.confirmed,
        "nearest": str(message.nearest) if message.nearest is not None else None,
    }


def _outcomes(message: PublishedMessage) -> dict[str, str]:
    return {name: message.outcome(name) for name in message.queues} or {"": message.outcome()}


def _queue_message(message: QueueMessage) -> object:
    return {
        "body": _body(message.body),
        "exchange": message.exchange,
        "routing_key": message.routing_key,
        "redelivered": message.redelivered,
    }


def _body(body: bytes) -> object:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(body).decode()}


def routes(broker: AsyncBroker) -> Routes:
    """Return the resources below /api that control a broker."""
    return Control(broker).routes()
