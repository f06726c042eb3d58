"""Definitions: all of the node in one document, and back."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator

from leveret.control.call import Call, Handler
from leveret.control.passing import others, text_of
from leveret.engine.definitions import (
    TOPOLOGY,
    DefinitionsError,
    VhostMovedError,
    cluster_sections,
    count,
    with_others,
)
from leveret.management import bert
from leveret.management.bert_decoding import TermDecodeError, decode
from leveret.management.importing import MOVED, Target, import_everywhere
from leveret.management.json import Json, NotJsonError
from leveret.management.json_pieces import AT_ONCE_BYTES, decoded_text, encoded
from leveret.management.pagination import Columns
from leveret.rendering.answers import DATA, SOFTWARE, UNAVAILABLE, Done, Failure, Shown, failed
from leveret.rendering.terms import inspect

#: The global parameter in which the hash of imported definitions is kept.
_HASH = "imported_definition_hash_value"

#: What only definitions over HTTP say of themselves.
_OVER_HTTP = frozenset({
    "product_name", "product_version", "rabbitmq_definition_format", "original_cluster_name", "explanation",
})  # fmt: skip

#: Objects after which progress is reported.
_REPORTED_EVERY = 250

_STARTED = (
    "Successfully started definition import. This process is asynchronous and can take some time. Watch target node "
    "logs for completion."
)


async def export(call: Call) -> object:
    """Write all definitions, as JSON or as an Erlang term, in slices."""
    sections = {
        name: section for name, section in cluster_sections(call.broker).items() if name not in _OVER_HTTP
    }
    if call.hop:
        sections = {name: sections[name] for name in TOPOLOGY}
    sections = with_others(sections, [await _on(call, node) for node in others(call)])
    if str(call.options.get("format", "json")).lower() != "erlang":
        pieces = await encoded(call.host.slices, sections, Columns({}))
        return Shown(b"".join(pieces).decode())
    async for name, section in call.host.slices.walk(list(sections.items())):
        if isinstance(section, Iterator):
            sections[name] = [one async for one in call.host.slices.walk(section) if one is not None]
    octets = await asyncio.to_thread(bert.document, sections)  # it can be interrupted there
    return Shown(octets.decode("utf-8", "surrogateescape"))


async def _on(call: Call, node: str) -> Json:
    """The definitions of what is in the virtual hosts of another node."""
    found = await decoded_text(call.host.slices, await text_of(call, node, format="json"))
    assert isinstance(found, dict)
    return found


async def take(call: Call) -> object:
    """Import definitions, in slices: a document can have thousands of objects."""
    text = call.content or ""
    erlang = str(call.options.get("format", "json")).lower() == "erlang"
    document = await _term(text) if erlang else await _decoded(call, text)
    if not isinstance(document, dict):
        raise Failure(SOFTWARE, f"Error:\n{{:badmap, {json.dumps(document)}}}\n")
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
    unchanged = call.options.get("skip_if_unchanged") and call.broker.global_parameters.get(_HASH) == digest
    if not unchanged:
        total, done = count(document), 0
        host = call.host
        target = Target(call.broker, host.slices, None if call.hop else host.owners, host.settled)

        def count_one() -> None:
            nonlocal done
            done += 1
            if done % _REPORTED_EVERY == 0:
                call.report("Importing definitions", min(done, total), total)

        try:
            await import_everywhere(target, document, call.caller, done=count_one)
            call.report("Importing definitions", total, total)
        except VhostMovedError as error:
            raise failed(MOVED, str(error)) from None
        except DefinitionsError as error:
            raise failed(UNAVAILABLE, str(error)) from None
    if call.json:
        return Done()
    return Done() if call.quiet else Shown(_STARTED + "\n")


async def _term(text: str) -> object:
    """Decode an Erlang term. Raises `Failure`."""
    try:
        document = await asyncio.to_thread(decode, text.encode("utf-8", "surrogateescape"))
    except TermDecodeError:
        raise failed(
            DATA,
            f"Failed to deserialise input (format: Erlang term format) (error: {inspect(_NO_TERM)})",
        ) from None
    # No limits are an empty list there, as a list of pairs without any.
    parameters = document.get("parameters") if isinstance(document, dict) else None
    for one in parameters if isinstance(parameters, list) else ():
        if isinstance(one, dict) and one.get("value") == []:
            one["value"] = {}
    return document


#: What Erlang says of octets that are no term.
_NO_TERM = "errors were found at the given arguments:\n\n  * 1st argument: invalid external representation of a term\n"


async def _decoded(call: Call, text: str) -> object:
    """Decode JSON: in slices if it is long. Raises `Failure`."""
    if len(text) > AT_ONCE_BYTES:
        found = await decoded_text(call.host.slices, text)
        if not isinstance(found, NotJsonError):
            return found
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise failed(
            DATA, f"Failed to deserialise input (format: JSON) (error: {_reason(text, error)})"
        ) from None


def _reason(text: str, error: Exception) -> str:
    """Where the text is no JSON, in Erlang's words."""
    at = getattr(error, "pos", 0)
    octets = text.encode("utf-8", "surrogateescape")
    if at >= len(octets):
        return ":unexpected_end"
    return f'{{:unexpected_byte, "0x{octets[at]:02X}", {at}}}'


COMMANDS: dict[str, Handler] = {"export_definitions": export, "import_definitions": take}
