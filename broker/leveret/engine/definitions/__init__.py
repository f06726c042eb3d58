"""Definitions: users, virtual hosts, policies and topology as one JSON document (docs: definitions)."""

from __future__ import annotations

from leveret.engine.definitions.export import (
    TOPOLOGY,
    Sections,
    cluster_definitions,
    cluster_sections,
    vhost_definitions,
    vhost_sections,
    whole,
    with_others,
)
from leveret.engine.definitions.importing import check_document, count, import_definitions, import_steps
from leveret.errors.kinds import DefinitionsError, VhostMovedError

__all__ = [
    "TOPOLOGY",
    "DefinitionsError",
    "Sections",
    "VhostMovedError",
    "check_document",
    "cluster_definitions",
    "cluster_sections",
    "count",
    "import_definitions",
    "import_steps",
    "vhost_definitions",
    "vhost_sections",
    "whole",
    "with_others",
]
