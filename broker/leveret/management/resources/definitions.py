"""`/api/definitions`, for administrators: export and import (rabbit_mgmt_wm_definitions)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import PurePosixPath

import msgspec

from leveret.engine.definitions import (
    DefinitionsError,
    cluster_definitions,
    import_definitions,
    vhost_definitions,
)
from leveret.engine.vhost import VirtualHost
from leveret.management.call import Call, Refusal, Reply, Resource, Routes, bad_request, not_found
from leveret.management.json import Json
from leveret.management.multipart import Part, parts
from leveret.management.negotiation import MalformedHeader, content_type, is_token

JSON, MULTIPART = "application/json", "multipart/form-data"

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def export(call: Call) -> Reply:
    """GET ?download=FILE: all definitions, or those of the virtual host in the path, perhaps as a file."""
    headers = {"Content-Type": JSON}
    name = call.query.get("download")
    if name is not None:
        if not is_token(name):
            raise MalformedHeader(name)
        headers["Content-Disposition"] = f"attachment; filename={name}"
    body = msgspec.json.encode(_exported(call))
    if call.api.definitions_typed:
        headers["ETag"] = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    return Reply(200, body, headers, shown=True)


def _exported(call: Call) -> Json:
    if "vhost" not in call.path:
        return cluster_definitions(call.broker)
    vhost = call.broker.vhosts.get(call.path["vhost"])
    if vhost is None:
        raise bad_request("vhost_not_found")
    return vhost_definitions(call.broker, vhost)


def take(call: Call) -> Reply:
    """POST: import definitions, as JSON or as the file of a form; nothing is changed if anything is refused."""
    kind, parameters = content_type(call.headers.get("Content-Type", JSON))
    if kind != MULTIPART:
        _import(call, call.content)
        return Reply(204)
    form = _form(call, parameters.get("boundary", ""))
    _import(call, form.file)
    if form.redirect is not None:
        return Reply(303, headers={"Location": form.redirect})
    return Reply(204)


@dataclass
class _Form:
    """What the web page sends. `redirect`: where to go afterwards."""

    file: bytes
    redirect: str | None


def _form(call: Call, boundary: str) -> _Form:
    """The form in the body. Raises `Refusal`, `MalformedHeader`."""
    found: dict[str, Part] = {}
    for part in parts(call.content, boundary):
        found.setdefault(part.name, part)
    file = found.get("file")
    if call.broker.settings.management.require_json_extension:
        _check_extension(None if file is None else file.filename)
    if file is None:
        raise bad_request("failed_to_parse_json")
    redirect = found.get("redirect")
    return _Form(file.body, None if redirect is None else redirect.body.decode("latin-1"))


def _check_extension(filename: str | None) -> None:
    if filename is None or PurePosixPath(filename.lower()).suffix != ".json":
        more = {} if filename is None else {"filename": filename}
        raise Refusal(400, "bad_request", "unsupported_file_extension", more)


def _import(call: Call, body: bytes) -> None:
    document = _decoded(body)
    vhost: VirtualHost | None = None
    if "vhost" in call.path:
        vhost = call.broker.vhosts.get(call.path["vhost"])
        if vhost is None:
            raise not_found("vhost_not_found")
    try:
        import_definitions(call.broker, document, call.caller, vhost)
    except DefinitionsError as error:
        raise bad_request(str(error)) from None


def _decoded(body: bytes) -> Json:
    if body == b"":
        return {}
    try:
        decoded: object = msgspec.json.decode(body.removeprefix(_BYTE_ORDER_MARK))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        decoded = None
    if not isinstance(decoded, dict):
        raise bad_request("failed_to_parse_json")
    return decoded


_RESOURCE = Resource({"GET": export, "POST": take}, accepts=(JSON, MULTIPART), may=Call.need_administrator)

ROUTES: Routes = {
    "definitions": _RESOURCE,
    "definitions/{vhost}": _RESOURCE,
    "all-configuration": _RESOURCE,
}
