"""Definitions: users, virtual hosts, policies and topology as one JSON document (docs: definitions)."""

from __future__ import annotations

from leveret.engine.definitions.export import cluster_definitions, vhost_definitions
from leveret.engine.definitions.importing import DefinitionsError, import_definitions

__all__ = ["DefinitionsError", "cluster_definitions", "import_definitions", "vhost_definitions"]
