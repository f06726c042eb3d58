"""RabbitMQ's deprecated features: names, phases of their removal, and whether they are used.

Names, order, phases and addresses are those of GET /api/deprecated-features in 4.3.6 and 4.0.5; those of 4.2 and 3.13
are from their source. `Broker.permits` returns whether one is permitted. Features of AMQP 1.0 and of clusters have no
effect here, but are listed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from leveret.engine.broker import Broker

PERMITTED, DENIED, REMOVED = "permitted_by_default", "denied_by_default", "removed"

_POST = "https://blog.rabbitmq.com/posts/2021/08/4.0-deprecation-announcements/#"
_TYPES = "https://docs.oasis-open.org/amqp/core/v1.0/os/amqp-core-messaging-v1.0-os.html#type-filter-set"
_METRICS = _POST + "disable-metrics-delivery-via-the-management-api--ui"


class Feature(NamedTuple):
    """One feature. `phases`: release series -> phase, if it is known."""

    name: str
    doc_url: str
    phases: dict[str, str]
    provided_by: str = "rabbit"
    doc_url_4_0: str = ""


FEATURES = (
    Feature("queue_master_locator", "", {"4.0": PERMITTED, "4.2": PERMITTED, "4.3": DENIED}),
    Feature(
        "global_qos",
        _POST + "removal-of-global-qos",
        {"3.13": PERMITTED, "4.0": PERMITTED, "4.2": PERMITTED, "4.3": DENIED},
    ),
    Feature("amqp_filter_set_bug", _TYPES, {"4.2": PERMITTED, "4.3": DENIED}),
    Feature(
        "amqp_address_v1",
        "https://www.rabbitmq.com/docs/amqp#addresses",
        {"4.0": PERMITTED, "4.2": PERMITTED, "4.3": DENIED},
        doc_url_4_0="https://www.rabbitmq.com/docs/next/amqp#address",
    ),
    Feature(
        "management_metrics_collection",
        _METRICS,
        dict.fromkeys(("3.13", "4.0", "4.2", "4.3"), PERMITTED),
        "rabbitmq_management_agent",
    ),
    Feature(
        "transient_nonexcl_queues",
        _POST + "removal-of-transient-non-exclusive-queues",
        dict.fromkeys(("3.13", "4.0", "4.2", "4.3"), PERMITTED),
    ),
    Feature(
        "classic_queue_mirroring",
        _POST + "removal-of-classic-queue-mirroring",
        {"3.13": PERMITTED, "4.0": REMOVED, "4.2": REMOVED, "4.3": REMOVED},
    ),
    Feature(
        "ram_node_type",
        _POST + "removal-of-ram-nodes",
        {"3.13": PERMITTED, "4.0": PERMITTED, "4.2": PERMITTED, "4.3": REMOVED},
    ),
)


def features(broker: Broker) -> list[dict[str, object]]:
    """Return all features of the profile as the HTTP API shows them."""
    series = broker.profile.name
    return [_shown(feature, broker) for feature in FEATURES if series in feature.phases]


def used(broker: Broker) -> list[dict[str, object]]:
    """Return the features in use, as far as RabbitMQ detects them: transient queues that are not exclusive."""
    transient = any(
        not queue.durable and queue.owner is None and queue.kind == "classic"
        for vhost in broker.vhosts.values()
        for queue in vhost.queues.values()
    )
    found = [one for one in features(broker) if one["name"] == "transient_nonexcl_queues" and transient]
    for one in found:
        one.pop("state", None)
    return found


def _shown(feature: Feature, broker: Broker) -> dict[str, object]:
    series = broker.profile.name
    phase = feature.phases[series]
    shown: dict[str, object] = {
        "name": feature.name,
        "desc": "",
        "deprecation_phase": phase,
        "doc_url": (feature.doc_url_4_0 if series == "4.0" else "") or feature.doc_url,
        "provided_by": feature.provided_by,
    }
    if broker.profile.feature_states_shown:
        configured = broker.settings.deprecated_features.permit.get(feature.name, phase == PERMITTED)
        shown["state"] = "permitted" if configured and phase != REMOVED else "denied"
    return shown
