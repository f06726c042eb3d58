"""The table of calls below /api/leveret: their paths, bodies and answers, from which the OpenAPI document is made.

Each body is checked against its schema before the call is made, so that the document and the broker cannot differ.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from leveret import __version__
from leveret.testing import fault_specs

if TYPE_CHECKING:
    from leveret.testing.broker import AsyncBroker

#: A JSON schema. `Any`: JSON, which goes into the OpenAPI document.
Schema = dict[str, Any]


class Ask(Struct, frozen=True):
    """One call: the broker, or a virtual host of it; the names in its path, the fields of its body and its query.

    `fields`: of any type, because each was checked against its schema.
    """

    broker: AsyncBroker
    path: Mapping[str, str]
    fields: Mapping[str, Any]
    query: Mapping[str, str]


#: Answers a call: an object (200, or the first status of the endpoint), or None (204).
Answer = Callable[[Ask], Awaitable[object]]


class Endpoint(Struct, frozen=True):
    """One call. `body`: the schemas of its fields; `needed`: those that must be there; `query`: names of its
    parameters; `shows`: the schema of its answer, None for none; `status`: of its answer; `waits`: it may answer 408,
    `missing`: 404, `differs`: 409. `kind`: content type of its answer."""

    method: str
    path: str
    summary: str
    answer: Answer
    body: Mapping[str, Schema] = field(default_factory=dict)
    needed: tuple[str, ...] = ()
    query: tuple[str, ...] = ()
    shows: Schema | None = None
    status: int = 200
    waits: bool = False
    missing: bool = False
    differs: bool = False
    kind: str = "application/json"


def text(description: str = "") -> Schema:
    """Return the schema of a string."""
    return {"type": "string"} | ({"description": description} if description else {})


STRING: Schema = {"type": "string"}
BOOLEAN: Schema = {"type": "boolean"}
NUMBER: Schema = {"type": "number"}
INTEGER: Schema = {"type": "integer"}
SECONDS: Schema = {"type": "number", "minimum": 0, "description": "seconds"}
MOMENT: Schema = {"type": "string", "format": "date-time"}
STRINGS: Schema = {"type": "array", "items": STRING}
BODY: Schema = {
    "description": "text, or octets in base64",
    "oneOf": [STRING, {"type": "object", "properties": {"base64": STRING}, "required": ["base64"]}],
}


def nullable(schema: Schema) -> Schema:
    """Return the schema of a value that may be null."""
    return schema | {"type": [schema["type"], "null"]}


def array(items: Schema) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": items}


def thing(properties: Mapping[str, Schema], *, needed: tuple[str, ...] | None = None) -> Schema:
    """Return the schema of an object without other fields; all are there unless `needed` says less."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties if needed is None else needed),
        "additionalProperties": False,
    }


def reference(name: str) -> Schema:
    """Return a reference to a schema of `SCHEMAS`."""
    return {"$ref": f"#/components/schemas/{name}"}


_EVENT = {
    "kind": STRING,
    "at": MOMENT,
    "queue": nullable(STRING),
    "connection": nullable(STRING),
    "channel": nullable(INTEGER),
    "consumer": nullable(STRING),
    "tag": nullable(INTEGER),
    "reason": nullable(STRING),
}

_FAULT_FIELDS: dict[str, Schema] = {
    "on": text(
        "an AMQP method that clients send, connect, *, confirms or deliveries; without it: the network"
    ),
    "do": text("what happens"),
    **dict.fromkeys(("connection", "user", "vhost", "queue", "exchange", "routing_key"), STRING),
    "nth": {"type": "integer", "minimum": 1},
    "times": {"type": ["integer", "null"], "minimum": 1},
    "chance": {"type": "number", "minimum": 0, "maximum": 1},
    "when": {"enum": ["before", "after"]},
    "stream": {"enum": ["up", "down", "both"]},
    "seconds": SECONDS,
    "jitter": SECONDS,
    "pause": SECONDS,
    "effect": BOOLEAN,
    "code": INTEGER,
    "text": STRING,
    "octets_per_s": NUMBER,
    "octets": INTEGER,
    "size": INTEGER,
    "variation": INTEGER,
}

#: Schemas that have a name in the document.
SCHEMAS: dict[str, Schema] = {
    "Error": thing({"error": STRING, "reason": STRING}),
    "Reason": thing(
        {
            "kind": STRING,
            "text": STRING,
            "queue": nullable(STRING),
            "connection": nullable(STRING),
            "channel": nullable(INTEGER),
            "consumer": nullable(STRING),
            "tag": nullable(INTEGER),
        }
    ),
    "NotYet": thing({"error": STRING, "reason": STRING, "reasons": array(reference("Reason"))}),
    "Due": thing({"at": MOMENT, "what": STRING, "queue": nullable(STRING)}),
    "Clock": thing(
        {
            "now": MOMENT,
            "frozen": BOOLEAN,
            "rate": NUMBER,
            "held": INTEGER,
            "hold_eta": BOOLEAN,
            "skipping": BOOLEAN,
            "heartbeats": {"enum": ["real", "virtual"]},
            "due": array(reference("Due")),
        }
    ),
    "Moves": thing({"now": MOMENT, "steps": INTEGER, "settled": INTEGER, "kept": array(reference("Reason"))}),
    "FaultRequest": thing(_FAULT_FIELDS, needed=("do",)),
    "Fault": thing(
        {"id": STRING, "described": STRING, "hits": INTEGER, "armed": BOOLEAN},
    ),
    "Event": thing(_EVENT),
    "Message": thing(
        {
            "id": INTEGER,
            "at": MOMENT,
            "vhost": STRING,
            "exchange": STRING,
            "routing_key": STRING,
            "queues": STRINGS,
            "connection": nullable(STRING),
            "user": nullable(STRING),
            "body": reference("Body"),
            "outcome": {"type": "object", "additionalProperties": STRING},
            "confirmed": nullable(STRING),
            "nearest": nullable(STRING),
        }
    ),
    "MessageWithEvents": thing(
        {"message": reference("Message"), "events": array(reference("Event")), "story": STRING}
    ),
    "QueueMessage": thing(
        {"body": reference("Body"), "exchange": STRING, "routing_key": STRING, "redelivered": BOOLEAN}
    ),
    "Body": BODY,
}

#: Names of verbs in the document's enumeration.
VERBS = sorted(
    {
        *fault_specs.METHOD_VERBS,
        *fault_specs.CONFIRM_VERBS,
        *fault_specs.DELIVERY_VERBS,
        *fault_specs.NETWORK_VERBS,
    }
)


def problem(schema: Schema, value: object, where: str = "the body") -> str | None:
    """Return what is wrong with a value, or None. It knows the words that the schemas here use."""
    if "$ref" in schema:
        return problem(SCHEMAS[schema["$ref"].rpartition("/")[2]], value, where)
    if "oneOf" in schema:
        found = [problem(each, value, where) for each in schema["oneOf"]]
        return None if None in found else found[0]
    if "enum" in schema:
        return (
            None if value in schema["enum"] else f"{where} is {value!r}, and must be one of {schema['enum']}"
        )
    if "type" not in schema:
        return None
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if not any(_is(kind, value) for kind in kinds):
        return f"{where} is {value!r}, and must be {' or '.join(kinds)}"
    if isinstance(value, int | float) and not isinstance(value, bool):
        if "minimum" in schema and value < schema["minimum"]:
            return f"{where} is {value!r}, and must be at least {schema['minimum']}"
        if "maximum" in schema and value > schema["maximum"]:
            return f"{where} is {value!r}, and must be at most {schema['maximum']}"
    if isinstance(value, list):
        items = schema.get("items", {})
        return next(
            (bad for at, each in enumerate(value) if (bad := problem(items, each, f"{where}[{at}]"))), None
        )
    if isinstance(value, dict):
        return _problem_of_fields(schema, value, where)
    return None


def _problem_of_fields(schema: Schema, value: Mapping[str, object], where: str) -> str | None:
    properties = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            return f"{name!r} is missing in {where}"
    for name, each in value.items():
        more = schema.get("additionalProperties", {})
        if name not in properties and more is False:
            return f"{name!r} is unknown in {where}; there are: {', '.join(properties) or 'no fields'}"
        bad = problem(properties.get(name, more if isinstance(more, dict) else {}), each, f"{name!r}")
        if bad is not None:
            return bad
    return None


def _is(kind: str, value: object) -> bool:
    match kind:
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "string":
            return isinstance(value, str)
        case "array":
            return isinstance(value, list)
        case "object":
            return isinstance(value, dict)
        case _:
            return value is None


def body_schema(endpoint: Endpoint) -> Schema:
    """Return the schema of the body of a call. Every call may carry `vhost`."""
    return thing({**endpoint.body, "vhost": STRING}, needed=endpoint.needed)


def openapi(endpoints: list[Endpoint]) -> Schema:
    """Return the OpenAPI document."""
    paths: dict[str, dict[str, Schema]] = {}
    for endpoint in endpoints:
        paths.setdefault(f"/{endpoint.path}", {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Leveret test control",
            "version": __version__,
            "description": "Durations are seconds, moments ISO 8601.",
        },
        "servers": [{"url": "/api/leveret"}],
        "security": [{"basic": []}],
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {"basic": {"type": "http", "scheme": "basic"}},
        },
    }


def _operation(endpoint: Endpoint) -> Schema:
    names = [part[1:-1] for part in endpoint.path.split("/") if part.startswith("{")]
    parameters = [{"name": name, "in": "path", "required": True, "schema": STRING} for name in names]
    parameters += [
        {"name": name, "in": "query", "required": False, "schema": STRING}
        for name in dict.fromkeys((*endpoint.query, "vhost"))
    ]
    answers: dict[str, Schema] = {}
    if endpoint.shows is None:
        answers["204"] = {"description": "done"}
    else:
        answers[str(endpoint.status)] = _shown("the answer", endpoint.shows, endpoint.kind)
    answers["400"] = _shown("the call is wrong", reference("Error"))
    answers["401"] = {"description": "the user is not known, or no administrator"}
    if endpoint.missing:
        answers["404"] = _shown("there is no such object", reference("Error"))
    if endpoint.differs:
        answers["409"] = _shown("the broker answered differently", reference("Error"))
    if endpoint.waits:
        answers["408"] = _shown("it did not come in time", reference("NotYet"))
    operation: Schema = {
        "operationId": f"{endpoint.method.lower()}_{endpoint.path}".replace("/", "_").translate(_PLAIN),
        "summary": endpoint.summary,
        "parameters": parameters,
        "responses": answers,
    }
    if endpoint.method in ("POST", "PUT"):
        operation["requestBody"] = {
            "required": bool(endpoint.needed),
            "content": {"application/json": {"schema": body_schema(endpoint)}},
        }
    return operation


_PLAIN = str.maketrans({"{": "", "}": "", "-": "_", ".": "_"})


def _shown(description: str, schema: Schema, kind: str = "application/json") -> Schema:
    return {"description": description, "content": {kind: {"schema": schema}}}
