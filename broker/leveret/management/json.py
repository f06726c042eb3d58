"""The names of JSON values in the HTTP API."""

from __future__ import annotations

#: A JSON object. What a field is, its reader checks: bodies come from clients, and views are only encoded.
Json = dict[str, object]
