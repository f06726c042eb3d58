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
