"""Fields that only some RabbitMQ versions have."""

from __future__ import annotations

from leveret.management.json import Json
from leveret.profiles import ApiProfile


def fitted(shown: Json, api: ApiProfile, *kinds: str) -> Json:
    """Show an object as the version does: without the fields that came later, with those that later versions dropped.

    `kinds`: what the object is, as in `ApiProfile.later_fields`: "queue", "quorum queue".
    """
    for kind in kinds:
        for name in api.later_fields.get(kind, ()):
            shown.pop(name, None)
        shown.update(api.dropped_fields.get(kind, {}))
    return shown
