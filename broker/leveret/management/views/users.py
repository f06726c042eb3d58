"""Users."""

from __future__ import annotations

from leveret.engine.users import User
from leveret.management.json import Json
from leveret.profiles import ApiProfile


def whoami(user: User, api: ApiProfile) -> Json:
    """Show the user who has logged in."""
    shown: Json = {"name": user.name, "tags": list(user.tags)}
    return {**shown, "is_internal_user": user.authority is None} if api.internal_user_shown else shown
