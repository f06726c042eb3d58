"""RabbitMQ's feature flags: what they are called, and since when they are required.

Names, texts and states as GET /api/feature-flags of 4.3.6, 4.0.5 and 3.10.8 has them; 4.2 and 3.13 from their source.
All are enabled, because the broker behaves as the profile's version with all of them; only 4.0's metadata store, an
experiment there, is not. Flags cannot be disabled, and enabling one that is enabled changes nothing.
"""

from __future__ import annotations

from typing import NamedTuple


class Flag(NamedTuple):
    """One flag. `since`: the first series that has it. `level`: of its requirement in 4.3; those with `soft` became
    required after 4.0. `callbacks`: of RabbitMQ's code."""

    name: str
    since: str
    desc: str
    level: str = "hard"
    doc_url: str = ""
    callbacks: tuple[str, ...] = ()
    provided_by: str = "rabbit"

    def text(self, series: str) -> str:
        """The description in a series."""
        more = " Fully supported as of RabbitMQ 4.0" if self.name == KHEPRI and series == "4.0" else ""
        return self.desc + more

    def url(self, series: str) -> str:
        """The address of the documentation in a series."""
        if series != "3.10" or "/docs/" not in self.doc_url:
            return self.doc_url
        return f"{self.doc_url.replace('/docs/', '/')}.html"


#: The oldest series first.
SERIES = ("3.10", "3.13", "4.0", "4.2", "4.3")

KHEPRI = "khepri_db"

FLAGS = (
    Flag("classic_mirrored_queue_version", "3.10", "Support setting version for classic mirrored queues"),
    Flag(
        "classic_queue_type_delivery_support",
        "3.13",
        "Bug fix for classic queue deliveries using mixed versions",
        doc_url="https://github.com/rabbitmq/rabbitmq-server/issues/5931",
    ),
    Flag(
        "detailed_queues_endpoint",
        "3.13",
        "Add a detailed queues HTTP API endpoint. Reduce number of metrics in the default endpoint.",
        level="soft",
        provided_by="rabbitmq_management",
    ),
    Flag("direct_exchange_routing_v2", "3.13", "v2 direct exchange routing implementation"),
    Flag(
        "drop_unroutable_metric",
        "3.10",
        "Count unroutable publishes to be dropped in stats",
        provided_by="rabbitmq_management_agent",
    ),
    Flag(
        "empty_basic_get_metric",
        "3.10",
        "Count AMQP `basic.get` on empty queues in stats",
        provided_by="rabbitmq_management_agent",
    ),
    Flag("feature_flags_v2", "3.13", "Feature flags subsystem V2"),
    Flag(
        "implicit_default_bindings",
        "3.10",
        "Default bindings are now implicit, instead of being stored in the database",
    ),
    Flag(
        "khepri_db",
        "3.13",
        "New Raft-based metadata store.",
        level="soft",
        doc_url="https://www.rabbitmq.com/docs/next/metadata-store",
        callbacks=("enable", "post_enable"),
    ),
    Flag("listener_records_in_ets", "3.13", "Store listener records in ETS instead of Mnesia"),
    Flag("maintenance_mode_status", "3.10", "Maintenance mode status"),
    Flag("message_containers", "3.13", "Message containers."),
    Flag(
        "message_containers_deaths_v2",
        "3.13",
        "Bug fix for dead letter cycle detection",
        level="soft",
        doc_url="https://github.com/rabbitmq/rabbitmq-server/issues/11159",
    ),
    Flag(
        "quorum_queue",
        "3.10",
        "Support queues of type `quorum`",
        doc_url="https://www.rabbitmq.com/docs/quorum-queues",
    ),
    Flag(
        "quorum_queue_non_voters",
        "3.13",
        "Allows new quorum queue members to be added as non voters initially.",
        level="soft",
    ),
    Flag("rabbit_exchange_type_local_random", "4.0", "Local random exchange", level="soft"),
    Flag("rabbitmq_4.0.0", "4.0", "Allows rolling upgrades from 3.13.x to 4.0.x", level="soft"),
    Flag("rabbitmq_4.1.0", "4.2", "Allows rolling upgrades to 4.1.x", level="soft"),
    Flag("rabbitmq_4.2.0", "4.2", "Allows rolling upgrades to 4.2.x", level="soft", callbacks=("enable",)),
    Flag("rabbitmq_4.3.0", "4.3", "Allows rolling upgrades to 4.3.x", level="none"),
    Flag(
        "restart_streams",
        "3.13",
        "Support for restarting streams with optional preferred next leader argument."
        "Used to implement stream leader rebalancing",
    ),
    Flag("stream_filtering", "3.13", "Support for stream filtering."),
    Flag(
        "stream_queue",
        "3.10",
        "Support queues of type `stream`",
        doc_url="https://www.rabbitmq.com/docs/stream",
    ),
    Flag(
        "stream_sac_coordinator_unblock_group",
        "3.13",
        "Bug fix to unblock a group of consumers in a super stream partition",
        doc_url="https://github.com/rabbitmq/rabbitmq-server/issues/7743",
    ),
    Flag(
        "stream_single_active_consumer",
        "3.13",
        "Single active consumer for streams",
        doc_url="https://www.rabbitmq.com/docs/stream",
    ),
    Flag(
        "stream_update_config_command",
        "3.13",
        "A new internal command that is used to update streams as part of a policy.",
    ),
    Flag(
        "tie_binding_to_dest_with_keep_while_cond",
        "4.3",
        "Use keep_while condition to tie a binding record lifetime to its destination record in Khepri",
        level="none",
        callbacks=("enable",),
    ),
    Flag(
        "topic_binding_projection_v4",
        "4.3",
        "Enable the topic binding Khepri projection v4",
        level="none",
        callbacks=("enable", "post_enable"),
    ),
    Flag(
        "topic_binding_projection_v5",
        "4.3",
        "Enable the topic binding Khepri projection v5",
        level="none",
        callbacks=("enable", "post_enable"),
    ),
    Flag("track_qq_members_uids", "4.3", "Track queue members UIDs in the metadata store", level="none"),
    Flag("tracking_records_in_ets", "3.13", "Store tracking records in ETS instead of Mnesia"),
    Flag("user_limits", "3.10", "Configure connection and channel limits for a user"),
    Flag("virtual_host_metadata", "3.10", "Virtual host metadata (description, tags, etc)"),
)


def flags(series: str) -> list[dict[str, object]]:
    """The flags of a series, as the HTTP API shows them."""
    known = SERIES.index(series)
    return [_shown(flag, series) for flag in FLAGS if SERIES.index(flag.since) <= known]


def _shown(flag: Flag, series: str) -> dict[str, object]:
    experiment = flag.name == KHEPRI and series in ("3.13", "4.0")
    shown: dict[str, object] = {
        "name": flag.name,
        "desc": flag.text(series),
        "doc_url": flag.url(series),
        "state": "disabled" if experiment else "enabled",
        "stability": "experimental" if experiment else _stability(flag, series),
    }
    if series in ("4.2", "4.3"):
        shown |= {
            "require_level": flag.level,
            "experiment_level": "supported",
            "callbacks": list(flag.callbacks),
        }
    return shown | {"provided_by": flag.provided_by}


def _stability(flag: Flag, series: str) -> str:
    if series == "3.10" or flag.level == "none":
        return "stable"
    return "required" if flag.level == "hard" or series == "4.3" else "stable"
