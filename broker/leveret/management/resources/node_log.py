"""`/api/leveret/log`: the last lines of the log, for the management page. RabbitMQ has no such resource."""

from __future__ import annotations

from leveret.management.call import Call, Resource, Routes, bad_request, natural


def recent(call: Call) -> object:
    """GET ?after=0: the records of the log that came after the one with this number, of the last 1000."""
    after = natural(call.query.get("after", "0"))
    if after is None:
        raise bad_request("after must be a number")
    return [line._asdict() for line in call.site.recent_log() if line.number > after]


ROUTES: Routes = {"leveret/log": Resource({"GET": recent}, may=Call.need_monitor)}
