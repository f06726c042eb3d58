"""Content types of files by their extension (cow_mimetypes:web), for the header Accept, and addresses that moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_TYPES: Mapping[str, str] = {
    "css": "text/css",
    "gif": "image/gif",
    "htm": "text/html",
    "html": "text/html",
    "ico": "image/x-icon",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "js": "application/javascript",
    "mp3": "audio/mpeg",
    "mp4": "video/mp4",
    "ogg": "audio/ogg",
    "ogv": "video/ogg",
    "png": "image/png",
    "svg": "image/svg+xml",
    "wav": "audio/x-wav",
    "webm": "video/webm",
}


def file_type(name: str) -> str:
    """The content type that RabbitMQ offers for a file, whether it exists or not. An empty name is that of a page."""
    extension = name.rpartition(".")[2].lower() if "." in name else ""
    return _TYPES.get(extension, "application/octet-stream") if name else "text/html"


#: Addresses without a slash at the end -> where they lead (rabbit_mgmt_wm_redirect).
_MOVED: Mapping[tuple[str, ...], str] = {
    ("api",): "/api/index.html",
    ("stats",): "/api/index.html",
    ("doc", "stats.html"): "/api/index.html",
    ("cli",): "/cli/index.html",
    ("mgmt",): "/",
}


def moved(path: Sequence[str]) -> str | None:
    """Where an address leads, None for any that is not moved. `path`: its segments."""
    return _MOVED.get(tuple(path[:-1] if path[-1:] == ("",) else path))
