"""Which kinds of Erlang terms the fields of answers are, as RabbitMQ 4.3.6 shows them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import Enum, auto


class Kind(Enum):
    """The kind of a field, and of the elements of a list. Texts are binaries, and null is the atom `''`, unless it says
    otherwise."""

    PAIRS = auto()  #: an object is a list of pairs with atoms
    MAP = auto()  #: an object is a map with atoms
    BINARIES = auto()  #: an object is a map with binaries
    NUMBERED = auto()  #: an object is a map with integers
    TABLE = auto()  #: an object is a map with binaries, and so are all objects in it; null is `undefined`
    JSON = auto()  #: the same; null is `null`
    DOCUMENT = auto()  #: an object is a list of pairs with binaries, and what is in it is `JSON`
    ATOM = auto()  #: texts are atoms, also those in an object
    BLANK = auto()  #: an empty text is the atom `''`


#: Kinds of objects in which everything is of one kind.
INSIDE = {Kind.TABLE: Kind.TABLE, Kind.JSON: Kind.JSON, Kind.DOCUMENT: Kind.JSON, Kind.ATOM: Kind.ATOM}

#: The kind of a field by its name, or the name of the field that its object is in and its own.
Kinds = Mapping[str, Kind]

_COMMON: Kinds = {
    "activity_status": Kind.ATOM,
    "arguments": Kind.TABLE,
    "client_properties": Kind.TABLE,
    "definition": Kind.DOCUMENT,
    "destination_type": Kind.ATOM,
    "effective_policy_definition": Kind.DOCUMENT,
    "hashing_algorithm": Kind.ATOM,
    "headers": Kind.TABLE,
    "leader": Kind.ATOM,
    "limits": Kind.TABLE,
    "members": Kind.ATOM,
    "messages_by_priority": Kind.NUMBERED,
    "node": Kind.ATOM,
    "online": Kind.ATOM,
    "payload_encoding": Kind.ATOM,
    "rates_mode": Kind.ATOM,
    "state": Kind.ATOM,
    "value": Kind.DOCUMENT,
}

_FLAGS: Kinds = {
    "callbacks": Kind.ATOM,
    "deprecation_phase": Kind.ATOM,
    "experiment_level": Kind.ATOM,
    "name": Kind.ATOM,
    "provided_by": Kind.ATOM,
    "require_level": Kind.ATOM,
    "stability": Kind.ATOM,
}

_DEFINITIONS: Kinds = {
    "": Kind.MAP,
    **dict.fromkeys(
        (
            *(
                "bindings",
                "exchanges",
                "global_parameters",
                "parameters",
                "permissions",
                "policies",
                "queues",
            ),
            *("topic_permissions", "users", "vhosts"),
        ),
        Kind.BINARIES,
    ),
    "definition": Kind.JSON,
    "exchanges.type": Kind.ATOM,
    "global_parameters.name": Kind.ATOM,
    "metadata": Kind.MAP,
    "metadata.tags": Kind.ATOM,
    "value": Kind.JSON,
}

_VHOSTS: Kinds = {
    "metadata": Kind.MAP,
    "metadata.tags": Kind.ATOM,
    "tags": Kind.ATOM,
    "cluster_state": Kind.ATOM,
}

#: What a connection without TLS has not.
_TLS: Kinds = dict.fromkeys(
    (
        *("ssl_protocol", "ssl_key_exchange", "ssl_cipher", "ssl_hash"),
        *("peer_cert_issuer", "peer_cert_serial_number", "peer_cert_subject", "peer_cert_validity"),
    ),
    Kind.BLANK,
)

#: Paths below /api -> what their fields have of their own.
_BY_PATH: tuple[tuple[str, Kinds], ...] = (
    (
        "overview",
        {
            "churn_rates": Kind.MAP,
            "listeners.protocol": Kind.ATOM,
            "socket_opts.protocol": Kind.ATOM,
            "message_stats": Kind.MAP,
            "object_totals": Kind.MAP,
            "queue_totals": Kind.MAP,
        },
    ),
    (
        r"nodes(/[^/]+)?",
        {
            ".name": Kind.ATOM,
            ".type": Kind.ATOM,
            "applications.name": Kind.ATOM,
            "enabled_plugins": Kind.ATOM,
            "mem_calculation_strategy": Kind.ATOM,
        },
    ),
    (r"nodes/.*", {"strategy": Kind.ATOM}),
    (r"connections/[^/]+|channels/[^/]+", {"": Kind.MAP, ".type": Kind.ATOM, **_TLS}),
    (r"connections(/username/.*)?|vhosts/[^/]+/connections", {".type": Kind.ATOM}),
    (r"exchanges(/[^/]+)?(/[^/]+)?", {".type": Kind.ATOM}),
    (
        r"queues/quorum/.*/status",
        {
            "": Kind.DOCUMENT,
            **dict.fromkeys((".Node Name", ".Raft State", ".Membership"), Kind.ATOM),
        },
    ),
    ("vhosts", {"": Kind.MAP, **_VHOSTS}),
    (r"vhosts/[^/]+", _VHOSTS),
    (r"parameters.*", {"value.definition": Kind.DOCUMENT}),
    (r"global-parameters.*", {".name": Kind.ATOM}),
    (r"feature-flags", _FLAGS),
    (r"deprecated-features.*", {"": Kind.MAP, **_FLAGS}),
    (r"definitions.*|all-configuration", _DEFINITIONS),
    (r"health.*", {"": Kind.MAP, "status": Kind.ATOM}),
)


#: What was different before 4.1.
_OLDER: tuple[tuple[str, Kinds], ...] = (
    (r"queues(/[^/]+)?(/[^/]+)?|users/[^/]+/queues", {".type": Kind.ATOM}),
    (r"health.*", {"status": Kind.ATOM}),
    (
        r"definitions.*|all-configuration",
        {
            "exchanges.type": Kind.ATOM,
            "global_parameters.name": Kind.ATOM,
            ".limits": Kind.DOCUMENT,
            "metadata": Kind.MAP,
            "value.definition": Kind.DOCUMENT,
            "vhosts": Kind.MAP,
            "vhosts.tags": Kind.ATOM,
            "metadata.tags": Kind.ATOM,
        },
    ),
)


def kinds_of(path: Sequence[str], *, older: bool = False) -> Kinds:
    """The kinds of the fields of an answer, and as that of the empty name the kind of the answer itself. `path`:
    segments below /api. `older`: before 4.1."""
    joined = "/".join(segment.replace("/", "_") for segment in path if segment)
    for pattern, kinds in (*(_OLDER if older else ()), *_BY_PATH):
        if re.fullmatch(pattern, joined):
            return {**_COMMON, **kinds}
    return _COMMON
