"""Deprecated features as the HTTP API lists them."""

from conformance.stage import Stage, scenario

PAGE = "rabbitmq.com/docs/deprecated-features"
PATH = "/api/deprecated-features"


@scenario("deprecated/listed", PAGE, profiles=("4.3", "4.0"))
def listed(s: Stage) -> None:
    for feature in sorted(s.http("GET", PATH), key=lambda one: str(one["name"])):
        s.note_value(feature["name"], feature)


@scenario("deprecated/used", PAGE + ": transient queues that are not exclusive", profiles=("4.3", "4.0"))
def used(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    s.note_value("used", s.http("GET", PATH + "/used"))


@scenario("deprecated/without-statistics", PAGE + ": management_metrics_collection", profiles=("4.3", "4.0"))
def without_statistics(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    s.note_value("overview", sorted(s.http("GET", "/api/overview?disable_stats=true")))
    for path in ("vhosts/%2F", "exchanges/%2F/amq.direct"):
        s.note_value(path, sorted(s.http("GET", f"/api/{path}?disable_stats=true")))
    queue = s.http("GET", "/api/queues/%2F/cf.q?disable_stats=true")
    s.note_value("queue", {**queue, "node": "here"})
