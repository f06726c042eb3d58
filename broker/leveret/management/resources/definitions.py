"""`/api/definitions`, for administrators: export and import (rabbit_mgmt_wm_definitions)."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import cast

from leveret.engine.definitions import (
    TOPOLOGY,
    DefinitionsError,
    Sections,
    VhostMovedError,
    cluster_sections,
    vhost_sections,
    with_others,
)
from leveret.engine.vhost import VirtualHost
from leveret.management.call import (
    Call,
    Pieces,
    Refusal,
    Reply,
    Resource,
    Routes,
    bad_request,
    not_found,
)
from leveret.management.importing import Target, import_everywhere
from leveret.management.json import UNDECODED, Json
from leveret.management.json_pieces import decode_body, encoded
from leveret.management.merging import documents_elsewhere
from leveret.management.multipart import Part, parts
from leveret.management.negotiation import MalformedHeader, content_type, is_token
from leveret.management.pagination import Columns
from leveret.management.passing import unavailable
from leveret.wire.erlang import pretty

log = logging.getLogger("leveret")

JSON, MULTIPART = "application/json", "multipart/form-data"

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


async def export(call: Call) -> Pieces:
    """GET ?download=FILE: all definitions, or those of the virtual host in the path, perhaps as a file. In slices, and
    not as of one moment, as in RabbitMQ."""
    headers = {}
    name = call.query.get("download")
    if name is not None:
        if not is_token(name):
            raise MalformedHeader(name)
        headers["Content-Disposition"] = f"attachment; filename={name}"
    columns = Columns(call.query if call.api.definitions_by_column else {})
    asked = {name: text for name, text in call.query.items() if name not in ("columns", "download")}
    others = await documents_elsewhere(call, asked)
    sections = with_others(_sections(call), cast(list[Json], others))
    pieces = await encoded(call.site.slices, sections, columns)
    if call.api.definitions_typed:
        digest = hashlib.sha256()
        async for piece in call.site.slices.walk(pieces):
            digest.update(piece)
        headers["ETag"] = f'"{digest.hexdigest()[:32]}"'
    return Pieces(pieces, headers)


def _sections(call: Call) -> Sections:
    name = call.path.get("vhost") or call.chosen_name()
    if not name:
        sections = cluster_sections(call.broker)
        return {part: sections[part] for part in TOPOLOGY} if call.hop else sections
    vhost = call.broker.vhosts.get(name)
    if vhost is None:
        raise bad_request("vhost_not_found")
    return vhost_sections(call.broker, vhost)


async def take(call: Call) -> Reply:
    """POST: import definitions, as JSON or as the file of a form; nothing is changed if anything is refused."""
    kind, parameters = content_type(call.headers.get("Content-Type", JSON))
    if kind != MULTIPART:
        await _import(call, call.content)
        return Reply(204)
    form = _form(call, parameters.get("boundary", ""))
    await _import(call, form.file)
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


async def _import(call: Call, body: bytes) -> None:
    """Import in slices: a document can have thousands of objects. Raises `Refusal`."""
    document = await _decoded(call, body)
    vhost: VirtualHost | None = None
    if "vhost" in call.path:
        vhost = call.broker.vhosts.get(call.path["vhost"])
        if vhost is None:
            raise not_found("vhost_not_found")
    if vhost is not None:
        log.info(
            "Asked to import definitions for a virtual host. Virtual host: %s, acting user: %s",
            pretty(vhost.name.encode()),
            pretty(call.user.name.encode()),
        )
    site, warnings = call.site, list[str]()
    target = Target(site.broker, site.slices, site.owners, lambda: site.settled(None))
    try:
        await import_everywhere(target, document, call.caller, vhost=vhost, warnings=warnings)
    except VhostMovedError as error:
        raise unavailable(str(error)) from None
    except DefinitionsError as error:
        shown = pretty(str(error).encode())
        log.error("Encountered an error when importing definitions: %s", shown)
        raise bad_request(str(error)) from None
    finally:
        for warning in warnings:
            log.warning("%s", warning)


async def _decoded(call: Call, body: bytes) -> Json:
    if body == b"":
        return {}
    if call.decoded is UNDECODED or body is not call.content or body.startswith(_BYTE_ORDER_MARK):
        await decode_body(call, body.removeprefix(_BYTE_ORDER_MARK))
    found = call.decoded
    if not isinstance(found, dict):
        log.error("Encountered an error when parsing definitions: not_json")
        raise bad_request("failed_to_parse_json")
    return found


_RESOURCE = Resource({"GET": export, "POST": take}, accepts=(JSON, MULTIPART), may=Call.need_administrator)

ROUTES: Routes = {
    "definitions": _RESOURCE,
    "definitions/{vhost}": _RESOURCE,
    "all-configuration": _RESOURCE,
}
