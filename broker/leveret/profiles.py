"""Differences between RabbitMQ versions, as a table.

The default profile is 4.3, as 4.3.6 behaves without configuration. 4.3, 4.0 and 3.10 were compared with live servers,
4.2 and 3.13 are filled from release notes and source. Code asks a profile for a property by name; only this file knows
which versions have it.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

#: Deprecated features that a profile knows (docs: deprecated-features): name -> permitted unless configured otherwise.
Features = Mapping[str, bool]


class UnknownProfile(ValueError):  # noqa: N818  named by what was asked for
    """There is no profile for this version."""

    def __init__(self, name: str) -> None:
        super().__init__(f"profile {name!r} is not known; allowed: {', '.join(PROFILES)}")


class ApiProfile(msgspec.Struct, frozen=True):
    """What differs between versions in the HTTP API and on the Prometheus page."""

    #: The reason of a failed login.
    login_failed_reason: str = "Not_Authorized"
    #: A virtual host that the user has no access to is not found (404) instead of not authorised (401).
    inaccessible_vhosts_not_found: bool = True
    #: The overview has tags of cluster and node, the default queue type, and whether operator policies can be changed.
    cluster_tags_shown: bool = True
    #: The overview has the version of the cryptography library.
    crypto_library_shown: bool = True
    #: The overview shows whether definitions must be files with a JSON extension.
    definitions_extension_shown: bool = True
    #: `/api/whoami` shows whether the user is internal.
    internal_user_shown: bool = True
    #: Queues show whether the server created them for itself.
    internal_queues_shown: bool = True
    #: Lists of queues have all fields of a single queue, except its consumers.
    queues_listed_in_full: bool = False
    #: Policies of queues are shown with `disable_stats` too.
    policies_without_stats: bool = True
    #: `enable_queue_totals` holds for a single queue as well as for lists.
    totals_of_one_queue: bool = True
    #: A virtual host without a default queue type shows the configured one instead of `undefined`.
    configured_queue_type_shown: bool = True
    #: PUT of a virtual host without `default_queue_type` resets it.
    queue_type_reset: bool = True
    #: The check of protocol listeners lists all active protocols, and all missing ones.
    protocols_listed: bool = True
    #: The default of the header Content-Security-Policy.
    content_security_policy: str = "script-src 'self'; object-src 'self'"
    #: All responses have the header Allow, not only those to OPTIONS and to methods that are not allowed.
    allow_always: bool = True
    #: Responses other than 200 have the header Cache-Control, too.
    refusals_cached: bool = True
    #: Users with the tag `protected` cannot be changed, and users have at most 32 tags.
    users_guarded: bool = True
    #: Limits of users are shown to administrators only, and to the user.
    user_limits_guarded: bool = True
    #: Definitions name the cluster or the virtual host that they were exported from.
    definition_format_named: bool = True
    #: Definitions have the types of queues and the limits of virtual hosts, and leave out what is internal.
    definitions_typed: bool = True
    #: The default virtual host has amq.rabbitmq.log also if the log is not published there, and definitions have it.
    log_exchange_always: bool = True
    #: Paths below /api that the version does not have, with everything below them; `{}` is any name.
    absent_paths: tuple[str, ...] = ("health/checks/node-is-mirror-sync-critical",)
    #: Fields that the version does not have: kind of object -> names. See `management/views/versions.py`.
    later_fields: Mapping[str, tuple[str, ...]] = {}
    #: Fields that later versions dropped, with their only value: kind of object -> name -> value.
    dropped_fields: Mapping[str, Mapping[str, object]] = {}
    #: The answer to a wrong password has the header WWW-Authenticate.
    wrong_password_challenged: bool = False
    #: Consumers without credit are `blocked` instead of `up`.
    blocked_consumers_shown: bool = True
    #: The consumers of a virtual host that the user may not see are refused, instead of an empty list.
    consumers_guarded: bool = True
    #: Channels are shown without statistics, if these are disabled, instead of refused.
    channels_without_stats: bool = True
    #: Channels without a global prefetch count show 0.
    unlimited_prefetch_shown: bool = False
    #: Connections without statistics are shown as they were opened, instead of with their names only.
    connections_without_stats: bool = True
    #: The settings of OAuth 2 for the web page, under `auth`; empty: the path does not exist.
    page_settings: Mapping[str, object] = {}
    #: The default queue type of a virtual host must exist.
    vhost_queue_type_checked: bool = True
    #: What follows the token in the cookie of a login; None: the answer is the token, and there is a logout.
    login_cookie: str | None = None
    #: `/cli/rabbitmqadmin` is the program.
    rabbitmqadmin_served: bool = False
    #: As Erlang terms, types of queues are atoms, and health checks are lists of pairs.
    older_terms: bool = False
    #: The error texts of parameters have `&lt;` for `<`.
    parameter_errors_escaped: bool = False
    #: Definitions can be exported by `columns`.
    definitions_by_column: bool = False
    #: Lists of users have pages.
    users_paged: bool = True
    #: Feature flags are shown to all users, not only to administrators.
    feature_flags_public: bool = True
    #: `columns` choose fields of virtual hosts.
    vhosts_by_column: bool = False
    #: `aliveness-test` declares a queue of that name, which stays.
    aliveness_queue: bool = False
    #: Virtual hosts have a default queue type.
    vhost_queue_types: bool = True
    #: A bulk deletion of users passes over those that do not exist.
    unknown_users_deleted: bool = True
    #: Actions of queues (docs: mirrored queues).
    queue_actions: tuple[str, ...] = ()
    #: `columns` choose fields of limits of virtual hosts.
    limits_by_column: bool = False
    #: `rabbitmq_identity_info` has the label `rabbitmq_endpoint`.
    endpoint_label: bool = True


class Profile(msgspec.Struct, frozen=True):
    """One RabbitMQ version as its AMQP 0-9-1 clients see it."""

    #: The release series, as `--profile` takes it.
    name: str
    #: The version in connection.start and the HTTP API.
    version: str
    copyright: str
    platform: str
    #: Deprecated features and whether they are permitted by default.
    features: Features

    # Protocol and limits
    #: Smallest frame_max that a client can choose, and the frame size limit before connection.tune.
    frame_min: int = 8192
    #: Default of max_message_size.
    max_message_size: int = 16_777_216
    #: The protocol header `AMQP 1 1 8 0` is accepted.
    accepts_0_8: bool = False
    #: The SASL mechanism ANONYMOUS is offered.
    anonymous_login: bool = True
    #: A body larger than announced, or an announced size of more than 512 MiB, is an error.
    body_overrun_checked: bool = True
    #: A delivery_mode other than 1 and 2 is an error.
    delivery_mode_checked: bool = False
    #: Headers are delivered sorted by name, without duplicates.
    headers_sorted: bool = True
    #: Texts of refused access begin with the missing permission.
    access_refused_prefix: bool = True
    #: A passive declare needs any one of the three permissions.
    passive_declare_checked: bool = True
    #: The text about a user's channel limit has the limit in parentheses.
    channel_limit_in_parentheses: bool = False
    #: Reply texts longer than 255 octets are cut by characters; with non-ASCII characters the reply is a bare 541.
    long_texts_burst: bool = True
    #: basic.cancel-ok from a client is handled and fails for unknown tags, instead of being unimplemented.
    cancel_ok_handled: bool = True
    #: basic.credit is implemented.
    basic_credit: bool = False
    #: Default of the memory high watermark, as a share of RAM.
    memory_watermark: float = 0.6

    # Exchanges
    #: An unknown exchange type closes the connection (503) instead of the channel (406).
    unknown_exchange_type_closes_connection: bool = False
    #: Largest number of `#` in a topic pattern; 0: no limit.
    topic_wildcards: int = 2
    #: Largest weight of an x-consistent-hash binding; 0: no limit.
    largest_hash_weight: int = 10_000
    #: x-local-random exists.
    local_random_exchange: bool = True
    #: x-jms-topic is refused as an `invalid` exchange type, not as an `unknown` one.
    jms_topic_known: bool = True
    #: Headers exchanges compare values by `=:=`: 1 is not 1.0.
    headers_compared_exactly: bool = True
    #: x-consistent-hash by a header hashes the type of the header as well as its value.
    header_kinds_hashed: bool = False
    #: x-recent-history: if the stored messages cannot be delivered, the binding is removed (541 without details).
    failed_binding_undone: bool = False

    # Queues
    #: The effective x-queue-type is written into the stored arguments.
    queue_type_injected: bool = True
    #: An empty x-queue-type means the default type.
    empty_queue_type_is_default: bool = True
    #: x-queue-mode must be `default` or `lazy`.
    queue_mode_checked: bool = False
    #: x-max-priority 0 creates two priorities, like 1, instead of none.
    zero_max_priority_is_one: bool = True
    #: Accepted values of x-queue-version.
    queue_versions: tuple[int, ...] = (2,)
    #: Classic queues accept x-queue-leader-locator, and all queues its value `min-masters`.
    classic_leader_locator: bool = True
    #: Queue types that accept x-consumer-timeout; empty: the argument is unknown.
    consumer_timeout_types: tuple[str, ...] = ("quorum",)
    #: A redeclaration must have the same x-consumer-timeout and x-stream-filter-size-bytes.
    newer_arguments_compared: bool = True
    #: The quorum arguments of 4.3 (delayed retry, disconnected timeout) are known.
    delayed_retry: bool = True
    #: Streams have filters; x-stream-filter-size-bytes is known.
    stream_filters: bool = True
    #: x-stream-filter-size-bytes is accepted for streams only, and its error text contains the reason.
    filter_size_type_checked: bool = True

    # Quorum queues
    #: Default x-delivery-limit.
    delivery_limit: int | None = 20
    #: basic.nack and basic.recover count towards the delivery limit.
    nack_counts: bool = False
    #: Deliveries have x-acquired-count in addition to x-delivery-count.
    acquired_count: bool = True
    #: The word for `quorum` in the error text of basic.get with single active consumer.
    quorum_word: str = '<<"quorum">>'
    #: basic.get-ok has x-delivery-count also if it is 0.
    got_count_from_zero: bool = False
    #: A negative delivery limit means no limit; before, every return exceeds it.
    negative_delivery_limit_is_none: bool = True
    #: Returned messages go to the head also without a delivery limit; before, to the tail.
    returned_first: bool = True
    #: max-length-bytes counts properties and body; before, the body only.
    properties_counted: bool = True
    #: Number of priorities; 1: priorities are ignored.
    quorum_priorities: int = 32
    #: A consumer with a higher priority replaces the single active consumer.
    active_consumer_displaced: bool = True

    # Publishing
    #: user_id is checked before expiration, CC and BCC.
    user_id_checked_first: bool = False
    #: Topic permissions are checked for CC and BCC as well as the routing key.
    copies_topic_checked: bool = True

    # Transactions
    #: A queue that was deleted before tx.commit closes the connection (506), unless its name exists again.
    commit_fails_for_gone_queue: bool = True
    #: tx.commit looks up queues by name again; a deleted queue counts as not routed.
    commit_routes_again: bool = False

    # Consumers
    #: connection.update-secret checks again whether the user can open the virtual host.
    vhost_access_rechecked: bool = True
    #: connection.update-secret cancels consumers of queues that the user can no longer read.
    consumers_rechecked: bool = True
    #: The consumer timeout applies to quorum queues only, and cancels the consumer.
    timeout_cancels_consumer: bool = True

    # Dead lettering
    #: The broker stores the death history itself and ignores x-death headers of clients.
    death_history_kept: bool = True
    #: The x-death header is the only death history; its order differs, and there are no x-last-death-* headers.
    death_header_is_history: bool = False
    #: CC is removed when a dead-letter routing key is configured.
    cc_removed_by_dead_letter_key: bool = False
    #: After basic.reject and delivery_limit the dead-lettered copy has redelivered set.
    dead_letter_redelivered: bool = True
    #: Dead-lettered copies keep the delivery count of a quorum queue, plus one after basic.reject or basic.nack.
    quorum_dead_letter_counted: bool = False
    #: queue.purge of a quorum queue removes pending dead letters.
    dead_letters_purged: bool = True

    # Direct reply-to
    #: Declaring a malformed address is an internal error instead of not found.
    malformed_reply_address_crashes: bool = True
    #: The address of a consuming client is a queue of its own type: bind, get and consume are refused instead of not
    #: found, and replies wait for tx.commit.
    volatile_reply_queues: bool = True
    #: Publishing to a malformed address of two parts is an internal error instead of not routed.
    malformed_reply_target_crashes: bool = False
    #: Replies use up delivery tags of the channel; before, each reply has the next tag without using it up.
    replies_counted: bool = True
    #: A mandatory reply is returned: "always" (delivered or not) or "never".
    mandatory_reply_returned: str = "never"
    #: The dead-letter target of a queue can be the address of a consuming client.
    dead_letters_replied: bool = True
    #: The firehose lists the reply address in routed_queues.
    reply_addresses_traced: bool = True

    # Streams
    #: basic.nack and basic.reject act like basic.ack.
    stream_nack_acks: bool = True
    #: An invalid x-stream-offset or x-max-age is a channel error.
    stream_offset_checked: bool = True
    #: Consumer errors have the texts of 3.13 and older.
    stream_errors_old: bool = False
    #: Messages are stored in message containers: streams add a delivery mode, and keep tables and arrays in x- headers.
    message_containers: bool = True
    #: Streams refuse a reply_to that is not UTF-8.
    stream_reply_to_checked: bool = True

    # Events
    #: Events contain the type of classic queues and the number of consumers of a channel.
    queue_kinds_shown: bool = True
    #: Events contain the serial number of a client's certificate.
    certificate_serial_shown: bool = True
    #: Virtual hosts can be protected from deletion.
    vhosts_protected: bool = True
    #: Topic permissions need their exchange to exist, and are deleted with it.
    topic_permissions_bound: bool = True

    #: Where an error of a policy or parameter in definitions says what it is about: "long", "short", or "quoted", which
    #: is short in a printed Erlang binary.
    definition_error_form: str = "long"
    #: The list of deprecated features shows which are permitted.
    feature_states_shown: bool = True

    # Policies
    #: Policies have target-group-size.
    target_group_size: bool = True
    #: Operator policies have overflow and queue-version.
    more_operator_keys: bool = True
    #: A policy with max-in-memory-* does not apply to classic queues.
    classic_lacks_memory_limits: bool = True
    #: Classic mirroring keys (ha-*) are known.
    mirroring: bool = False
    #: apply-to accepts queue types.
    apply_to_types: bool = True
    #: The HTTP API writes `&lt;` for `<` in error texts of policies.
    policy_errors_escaped: bool = False
    #: A max-age that does not begin with a digit is an internal error.
    malformed_max_age_crashes: bool = False
    #: Erlang's `re` is PCRE2 (OTP 28 and newer): other texts for invalid patterns.
    pcre2: bool = True
    #: Longest regular expression of a policy or permission, in octets; None for no such limit.
    pattern_bytes: int | None = 1024

    # HTTP API
    #: See `ApiProfile`.
    api: ApiProfile = ApiProfile()

    def permits(self, feature: str, configured: Features) -> bool:
        """Return whether a deprecated feature may be used. `configured`: deprecated_features.permit.*"""
        return configured.get(feature, self.features.get(feature, True))


_4_3 = Profile(
    name="4.3",
    version="4.3.6",
    copyright="Copyright (c) 2007-2026 Broadcom Inc and/or its subsidiaries",
    platform="Erlang/OTP 29.1.1",
    features={"global_qos": False, "queue_master_locator": False, "transient_nonexcl_queues": True},
)

_4_2 = replace(
    _4_3,
    name="4.2",
    version="4.2.9",
    platform="Erlang/OTP 27.3.4.1",
    features={"global_qos": True, "queue_master_locator": True, "transient_nonexcl_queues": True},
    topic_wildcards=0,
    queue_mode_checked=True,
    queue_versions=(1, 2),
    consumer_timeout_types=("classic", "quorum", "stream"),
    newer_arguments_compared=False,
    delayed_retry=False,
    nack_counts=True,
    acquired_count=False,
    returned_first=False,
    quorum_priorities=2,
    timeout_cancels_consumer=False,
    dead_letter_redelivered=False,
    quorum_dead_letter_counted=True,
    vhost_access_rechecked=False,
    dead_letters_purged=False,
    pcre2=False,
    pattern_bytes=None,
    jms_topic_known=False,
    cancel_ok_handled=False,
    properties_counted=False,
    api=replace(
        _4_3.api,
        inaccessible_vhosts_not_found=False,
        definitions_extension_shown=False,
        rabbitmqadmin_served=True,
        users_guarded=False,
        log_exchange_always=False,
    ),
)

#: Paths of the HTTP API that came after 4.0.
_SINCE_4_1 = (
    "connections/{}/sessions",
    "health/checks/below-node-connection-limit",
    "health/checks/is-in-service",
    "health/checks/metadata-store",
    "health/checks/quorum-queues-without-elected-leaders",
    "health/checks/reached-target-cluster-size",
    "health/checks/ready-to-serve-clients",
    "users/{}/queues",
    "vhosts/{}/deletion",
)

#: What 4.0 and older do not say of nodes, and always say of classic queues.
_SOFTWARE = ("rabbitmq_version", "erlang_version", "erlang_full_version")
_PAGED_OUT = {"messages_paged_out": 0, "message_bytes_paged_out": 0}

_4_0 = replace(
    _4_2,
    name="4.0",
    version="4.0.5",
    copyright="Copyright (c) 2007-2024 Broadcom Inc and/or its subsidiaries",
    frame_min=4096,
    empty_queue_type_is_default=False,
    quorum_word="quorum",
    body_overrun_checked=False,
    passive_declare_checked=False,
    channel_limit_in_parentheses=True,
    largest_hash_weight=0,
    malformed_reply_address_crashes=False,
    volatile_reply_queues=False,
    dead_letters_replied=False,
    mandatory_reply_returned="always",
    certificate_serial_shown=False,
    vhosts_protected=False,
    feature_states_shown=False,
    definition_error_form="quoted",
    stream_offset_checked=False,
    consumers_rechecked=False,
    stream_reply_to_checked=False,
    filter_size_type_checked=False,
    policy_errors_escaped=True,
    malformed_max_age_crashes=True,
    malformed_reply_target_crashes=True,
    replies_counted=False,
    commit_fails_for_gone_queue=False,
    topic_permissions_bound=False,
    api=replace(
        _4_2.api,
        crypto_library_shown=False,
        internal_queues_shown=False,
        policies_without_stats=False,
        queue_type_reset=False,
        protocols_listed=False,
        content_security_policy="script-src 'self' 'unsafe-eval' 'unsafe-inline'; object-src 'self'",
        allow_always=False,
        user_limits_guarded=False,
        definitions_typed=False,
        blocked_consumers_shown=False,
        consumers_guarded=False,
        channels_without_stats=False,
        connections_without_stats=False,
        page_settings={"oauth_enabled": False},
        vhost_queue_type_checked=False,
        login_cookie="",
        older_terms=True,
        parameter_errors_escaped=True,
        definitions_by_column=True,
        aliveness_queue=True,
        later_fields={
            "channel": ("cached_segments",),
            "listener": ("tls",),
            "node": _SOFTWARE,
            "stream queue": ("first_timestamp",),
            "described quorum queue": ("delivery_limit",),
            "counted quorum queue": ("delivery_limit",),
        },
        dropped_fields={"classic queue": _PAGED_OUT},
        absent_paths=(*_SINCE_4_1, "health/checks/node-is-mirror-sync-critical"),
    ),
)

_3_13 = replace(
    _4_0,
    name="3.13",
    version="3.13.7",
    platform="Erlang/OTP 26.2.5",
    max_message_size=134_217_728,
    accepts_0_8=True,
    anonymous_login=False,
    memory_watermark=0.4,
    local_random_exchange=False,
    queue_type_injected=False,
    classic_leader_locator=False,
    delivery_limit=None,
    negative_delivery_limit_is_none=False,
    quorum_priorities=1,
    active_consumer_displaced=False,
    death_history_kept=False,
    quorum_dead_letter_counted=False,
    mirroring=True,
    stream_errors_old=True,
    long_texts_burst=False,
    basic_credit=True,
    user_id_checked_first=True,
    copies_topic_checked=False,
    api=replace(
        _4_0.api,
        cluster_tags_shown=False,
        endpoint_label=False,
        absent_paths=_SINCE_4_1,
    ),
)

_3_10 = replace(
    _3_13,
    name="3.10",
    version="3.10.8",
    copyright="Copyright (c) 2007-2022 VMware, Inc. or its affiliates.",
    platform="Erlang/OTP 25.2.3",
    features={},
    delivery_mode_checked=True,
    headers_sorted=False,
    access_refused_prefix=False,
    unknown_exchange_type_closes_connection=True,
    headers_compared_exactly=False,
    header_kinds_hashed=True,
    zero_max_priority_is_one=False,
    commit_routes_again=True,
    consumer_timeout_types=(),
    stream_filters=False,
    got_count_from_zero=True,
    death_header_is_history=True,
    cc_removed_by_dead_letter_key=True,
    dead_letters_replied=True,
    reply_addresses_traced=False,
    queue_kinds_shown=False,
    stream_nack_acks=False,
    message_containers=False,
    apply_to_types=False,
    target_group_size=False,
    more_operator_keys=False,
    classic_lacks_memory_limits=False,
    failed_binding_undone=True,
    definition_error_form="short",
    api=replace(
        _3_13.api,
        login_failed_reason="Login failed",
        internal_user_shown=False,
        queues_listed_in_full=True,
        vhost_queue_types=False,
        unknown_users_deleted=False,
        queue_actions=("sync", "cancel_sync"),
        limits_by_column=True,
        wrong_password_challenged=True,
        unlimited_prefetch_shown=True,
        page_settings={"enable_uaa": False, "uaa_client_id": "", "uaa_location": ""},
        login_cookie="; Version=1",
        users_paged=False,
        feature_flags_public=False,
        vhosts_by_column=True,
        later_fields={
            "channel": ("cached_segments",),
            "consumer": ("consumer_timeout",),
            "listener": ("tls",),
            "node": (*_SOFTWARE, "being_drained"),
            "classic queue": ("storage_version",),
            "quorum queue": (
                *("delivery_limit", "messages_ready_returned", "publishers", "single_active_consumer_tag"),
            ),
            "stream queue": ("first_timestamp", "leader", "segments"),
            "described quorum queue": ("delivery_limit", "node"),
            "described stream queue": ("leader", "members", "online"),
            "counted classic queue": ("online",),
            "counted quorum queue": ("delivery_limit", "node"),
            "counted stream queue": ("online",),
        },
        dropped_fields={
            "classic queue": {**_PAGED_OUT, "recoverable_slaves": None},
            "quorum queue": {"single_active_consumer_ctag": None},
            "described classic queue": {"state": "live"},
            "described quorum queue": {"state": "live"},
            "described stream queue": {"state": "live"},
            "overview": {"release_series_support_status": "supported"},
        },
        totals_of_one_queue=False,
        configured_queue_type_shown=False,
        queue_type_reset=True,
        refusals_cached=False,
        definition_format_named=False,
        absent_paths=(
            *_SINCE_4_1,
            "auth/hash_password",
            "config/effective",
            "deprecated-features",
            "queues/detailed",
            "queues/quorum",
            "version",
        ),
    ),
)

#: Series -> profile, oldest first.
PROFILES: dict[str, Profile] = {one.name: one for one in (_3_10, _3_13, _4_0, _4_2, _4_3)}


#: Deprecated features that can be permitted or denied: those of the profiles, and the statistics of the HTTP API, which
#: are permitted by default in all versions.
FEATURES = frozenset(
    {"management_metrics_collection", *(feature for one in PROFILES.values() for feature in one.features)}
)


#: Names that are not series of their own -> the nearest series. Of two at the same distance it is the newer one.
NEAREST: Mapping[str, str] = {
    "latest": "4.3",
    "4": "4.3",
    "3": "3.13",
    "3.11": "3.10",
    "3.12": "3.13",
    "4.1": "4.2",
}


def profile(name: str) -> Profile:
    """Return the profile of a series (`4.3`) or of one of its releases (`4.3.6`), or the nearest (`NEAREST`).

    Raises `UnknownProfile`.
    """
    series = ".".join(name.split(".")[:2])
    series = NEAREST.get(series, series)
    if series not in PROFILES:
        raise UnknownProfile(name)
    return PROFILES[series]


def stand_in(name: str) -> str:
    """Return the sentence that says which release stands in for a name in `NEAREST`; empty for others."""
    if ".".join(name.split(".")[:2]) not in NEAREST or name == "latest":
        return ""
    return f"there is no profile {name}: RabbitMQ {profile(name).version} is replaced, the nearest one"


def is_older(name: str) -> bool:
    """Return whether a profile replaces a version before the newest one; an unknown name does not."""
    try:
        return profile(name).name != next(reversed(PROFILES))
    except UnknownProfile:
        return False
