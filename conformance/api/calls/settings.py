"""Parameters, policies, limits, users, permissions, virtual hosts, feature flags, logins and health checks."""

from conformance.api.call import Call, delete, get, post, put

_ODD = "a%2Fb%20%C3%BC"
_POLICY = {"pattern": "x", "definition": {"max-length": 1}}

_PARAMETERS = [
    *get("parameters", "parameters/nosuch", "parameters/nosuch/set", "parameters/nosuch/nosuch",
         "parameters/vhost-limits", "parameters/policy", "parameters/policy/set"),
    *[put(f"parameters/{path}", body) for path, body in (
        ("foo/set/x", {"value": 1}), ("foo/set/x", {}), ("foo/nosuch/x", {"value": 1}), ("foo/set/x", b"junk"),
        ("policy/set/x", {"value": {}}),
    )],
    *delete("parameters/policy/set/x", "parameters/foo/set/x", "parameters/foo/nosuch/x"),
    *[put("parameters/vhost-limits/set/limits", {"value": value}) for value in (
        {"max-queues": 5}, {"max-queues": "x"}, {"nosuch": 1}, [], 7, "7",
    )],
    *get("parameters/vhost-limits/set/limits", "vhost-limits/set"),
    *delete("parameters/vhost-limits/set/limits"), *get("vhost-limits/set"),
    *delete("parameters/vhost-limits/set/limits"),
    *[put(f"parameters/operator_policy/set/{name}", {"value": value}) for name, value in (
        ("p", {"pattern": ".*", "definition": {"max-length": 5}}),
        ("p", {"pattern": ".*", "definition": {"max-length": 6}}),
        ("p2", {"pattern": "(", "definition": {"max-length": 6}}), ("p2", {"pattern": "x"}),
        ("p2", {"pattern": "x", "definition": {"max-length": 6}, "priority": 3, "apply-to": "queues"}),
        ("p2", 7), ("p2", {"pattern": "x", "definition": {"nosuch": 6}}),
    )],
    *get("parameters/operator_policy/set/p", "parameters", "operator-policies/set", "parameters/operator_policy/set",
         "parameters/operator_policy/set?sort=name&sort_reverse=true&columns=name"),
    *delete("parameters/operator_policy/set/p2", "parameters/operator_policy/set/p2",
            "parameters/operator_policy/set/p"),
    put("policies/set/pp", _POLICY), *get("parameters/policy", "parameters/policy/set/pp"),
    *delete("parameters/policy/set/pp", "policies/set/pp"),
]  # fmt: skip

_GLOBAL = [
    *get("global-parameters", "global-parameters/cluster_name", "global-parameters/nosuch"),
    *[call for body in (
        {"value": {"a": [1, "x", None, True, 1.5], "b": {}}}, {"value": "s"}, {}, {"value": []}, {"value": {}},
        {"value": None}, {"value": 7}, b"junk",
    ) for call in (put("global-parameters/own", body), *get("global-parameters/own"))],
    put(f"global-parameters/{_ODD}", {"value": "ü"}), *get(f"global-parameters/{_ODD}"),
    *get("global-parameters?columns=name"),
    *delete("global-parameters/own", "global-parameters/own", f"global-parameters/{_ODD}"),
    *[put("cluster-name", body) for body in ({"name": 7}, {})],
]  # fmt: skip

_POLICIES = [
    *[put(f"{kind}/set/p", body) for kind in ("policies", "operator-policies") for body in (
        {}, b"junk", {"pattern": "x"}, {"definition": {"max-length": 1}},
        {"pattern": "(", "definition": {"max-length": 1}}, {"pattern": 7, "definition": {"max-length": 1}},
        {"pattern": "x", "definition": {}}, {"pattern": "x", "definition": 7},
        {"pattern": "x", "definition": {"nosuch": 1}}, {"pattern": "x", "definition": {"max-length": -1}},
        {"pattern": "x", "definition": {"max-length": "x"}},
        {"pattern": "x", "definition": {"dead-letter-exchange": "x"}},
        {"pattern": "x", "definition": {"max-length": 1}, "apply-to": "nosuch"},
        {"pattern": "x", "definition": {"max-length": 1}, "apply-to": "streams"},
        {"pattern": "x", "definition": {"max-length": 1}, "priority": "x"},
        {"pattern": "x", "definition": {"max-length": 1}, "priority": 1.5},
        {"pattern": "x", "definition": {"max-length": 1}, "priority": None, "apply-to": None},
        {"pattern": "x", "definition": {"max-length": -1}, "priority": "x", "apply-to": "y"},
        {"pattern": "x", "definition": {"overflow": "nosuch"}}, {"pattern": "x", "definition": {"expires": 0}},
        {"pattern": "x", "definition": {"max-age": "1x"}}, {"pattern": "x", "definition": {"delivery-limit": "x"}},
        {"pattern": "x", "definition": {"ha-mode": "all"}}, {"vhost": "set", "name": "q", **_POLICY},
    )],
    *get("policies/set", "policies/set/p", "operator-policies/set/p", "policies/nosuch", "policies/set/nosuch",
         "operator-policies/nosuch"),
    put("policies/nosuch/p", _POLICY), put(f"policies/set/{_ODD}", _POLICY), *get(f"policies/set/{_ODD}"),
    *delete(f"policies/set/{_ODD}", "policies/set/p", "policies/set/p", "operator-policies/set/p"),
]  # fmt: skip

_LIMITS = [
    *[put(f"user-limits/{path}", body) for path, body in (
        ("setter/max-connections", {"value": "x"}), ("setter/nosuch", {"value": 1}),
        ("nosuch/max-connections", {"value": 1}), ("setter/max-connections", {}),
        ("setter/max-connections", {"value": 100}), ("setter/max-channels", {"value": -1}),
    )],
    *get("user-limits/setter", "user-limits/nosuch"),
    *delete("user-limits/setter/max-connections", "user-limits/setter/max-connections",
            "user-limits/nosuch/max-connections"),
    *get("user-limits/setter"),
    *[put(f"vhost-limits/{path}", body) for path, body in (
        ("nosuch/max-queues", {"value": 1}), ("set/max-queues", {}), ("set/max-queues", b"junk"),
        ("set/nosuch", {"value": 1}), ("set/max-queues", {"value": "x"}), ("set/max-queues", {"value": -1}),
        ("set/max-connections", {"value": 5}), ("set/max-queues", {"value": 1.5}),
    )],
    *get("vhost-limits/set", "vhost-limits/nosuch"),
    *delete("vhost-limits/nosuch/max-queues", "vhost-limits/set/max-queues", "vhost-limits/set/max-connections"),
    *get("vhost-limits/set"),
]  # fmt: skip

_USERS = [
    *[put("users/made", body) for body in (
        {"tags": "", "limits": 7}, {"tags": 7}, {"tags": [7]}, {"tags": ["a", None]}, {}, {"tags": "a", "password": 7},
        {"tags": "a", "password_hash": 7}, {"tags": "a", "password_hash": "!!"},
        {"tags": "a", "password": "x", "password_hash": ""}, {"tags": "a", "password_hash": ""},
        {"tags": "a", "hashing_algorithm": "nosuch", "password_hash": ""}, {"tags": "a", "password": ""},
        {"tags": "administrator, x,,y"}, {"tags": ["a", "b"], "password": "p", "limits": {"max-channels": 3}},
        b"junk", b"",
    )],
    *get("users/made", "users/nosuch", "users/made/permissions", "users/made/topic-permissions",
         "users/nosuch/permissions", "users/without-permissions", "users/without-permissions?columns=name"),
    put(f"users/{_ODD}", {"tags": ""}), *get(f"users/{_ODD}"),
    put("users/" + "u" * 300, {"tags": ""}), put("users/tagged", {"tags": [f"t{number}" for number in range(100)]}),
    *[post("users/bulk-delete", body) for body in (
        {"users": ["made", "a/b ü", "nosuch"]}, {"users": []}, {"users": "u"}, {"users": [7]}, {}, b"junk",
    )],
    *get("users/made"), *delete("users/made", "users/nosuch", "users/tagged"),
    # permissions
    *[put(f"permissions/{path}", body) for path, body in (
        ("set/setter", {"configure": "(", "write": "", "read": ""}),
        ("set/setter", {"configure": 7, "write": "", "read": ""}), ("set/setter", {"configure": ""}),
        ("set/nosuch", {"configure": "", "write": "", "read": ""}),
        ("nosuch/setter", {"configure": "", "write": "", "read": ""}),
        ("set/setter", {"configure": "a", "write": "b", "read": "c"}),
    )],
    *get("permissions/set", "permissions/set/setter", "permissions/set/nosuch", "permissions/nosuch/setter",
         "users/setter/permissions"),
    *[put(f"topic-permissions/{path}", body) for path, body in (
        ("set/setter", {"exchange": "amq.topic", "write": "(", "read": ""}), ("set/setter", {"exchange": "amq.topic"}),
        ("set/setter", {"write": "", "read": ""}), ("set/setter", {"exchange": "nosuch", "write": "", "read": ""}),
        ("set/nosuch", {"exchange": "amq.topic", "write": "", "read": ""}),
        ("nosuch/setter", {"exchange": "amq.topic", "write": "", "read": ""}),
        ("set/setter", {"exchange": "amq.topic", "write": "^a", "read": "^b"}),
        ("set/setter", {"exchange": "amq.direct", "write": "", "read": ""}),
        ("set/setter", {"exchange": "t", "write": "", "read": ""}),
    )],
    put("exchanges/set/t", {"type": "topic"}),
    put("topic-permissions/set/setter", {"exchange": "t", "write": "1", "read": "2"}),
    *get("topic-permissions", "topic-permissions/set/setter", "topic-permissions/set/setter/t",
         "topic-permissions/set/setter/nosuch", "topic-permissions/set/nosuch", "topic-permissions/nosuch/setter"),
    *delete("topic-permissions/set/setter/amq.topic", "topic-permissions/set/setter/amq.topic"),
    *get("topic-permissions/set/setter"), *delete("exchanges/set/t"), *get("topic-permissions/set/setter"),
    *delete("topic-permissions/set/setter", "permissions/set/setter", "permissions/set/setter",
            "permissions/set/nosuch"),
]  # fmt: skip

_VHOSTS = [
    *[call for body in (
        {"default_queue_type": "undefined"}, {"default_queue_type": "quorum"}, {"description": "x"}, {},
        {"defaultqueuetype": "quorum"}, {"default_queue_type": None}, {"default_queue_type": "nosuch"},
        {"tags": None}, {"tags": ""}, {"tags": "a,b"}, {"tags": ["c"]}, {"tracing": "true"}, {"tracing": True},
        {"protected_from_deletion": True}, b"", b"junk",
    ) for call in (put("vhosts/other", body), *get("vhosts/other?disable_stats=true"))],
    post("vhosts/other/deletion/protection"), *delete("vhosts/other"), *get("vhosts/other?disable_stats=true"),
    *delete("vhosts/other/deletion/protection", "vhosts/other/deletion/protection"),
    post("vhosts/nosuch/deletion/protection"),
    post("vhosts/other/start/{node}"), post("vhosts/other/start/nosuch"), post("vhosts/nosuch/start/{node}"),
    put("vhosts/" + "v" * 300, {}), *delete("vhosts/other", "vhosts/other", "vhosts/" + "v" * 300),
    put("queues/set/" + "q" * 300, {}),
]  # fmt: skip

_NODE = [
    *get("feature-flags", "feature-flags?columns=name,state", "deprecated-features", "deprecated-features/used",
         "extensions", "cluster-name", "auth", "auth/hash_password/x", "auth/attempts", "auth/attempts/nosuch",
         "reset", "health", "health/checks"),
    put("feature-flags/khepri_db/enable", {}), put("feature-flags/nosuch/enable", {}),
    put("feature-flags/khepri_db/enable", {"name": "nosuch"}),
    *get(*[f"health/checks/{check}" for check in (
        "alarms", "local-alarms", "metadata-store/initialized", "metadata-store/initialized/with-data",
        "certificate-expiration/1/weeks", "certificate-expiration/x/weeks", "certificate-expiration/1/x",
        "certificate-expiration/-1/days", "certificate-expiration/1.5/days", "port-listener/1", "port-listener/x",
        "port-listener/-1", "port-listener/{amqp}", "protocol-listener/amqp", "protocol-listener/amqp,http",
        "protocol-listener/nosuch", "protocol-listener/mqtt,amqp", "protocol-listener/", "virtual-hosts",
        "quorum-queues-without-elected-leaders/all-vhosts", "quorum-queues-without-elected-leaders/all-vhosts/",
        "quorum-queues-without-elected-leaders/vhost/%2F", "quorum-queues-without-elected-leaders/vhost/nosuch",
        "quorum-queues-without-elected-leaders/all-vhosts/pattern/(",
        "quorum-queues-without-elected-leaders/vhost/nosuch/pattern/x",
        "quorum-queues-without-elected-leaders/vhost/shop/pattern/%5Eq",
        "node-is-quorum-critical", "node-is-mirror-sync-critical", "is-in-service", "below-node-connection-limit",
        "ready-to-serve-clients", "reached-target-cluster-size",
    )]),
    *get("healthchecks/node", "healthchecks/node/nosuch", "aliveness-test/set", "aliveness-test/nosuch"),
    Call("POST", "login", "", b"username=guest&password=guest", {"Content-Type": "application/x-www-form-urlencoded"}),
    Call("POST", "login", "", b"username=guest&password=guest"),
    Call("POST", "login", "", b"username=guest&password=x", {"Content-Type": "application/x-www-form-urlencoded"}),
    *delete("login", user=""), *delete("connections/nosuch", "connections/username/nosuch", x_reason="because"),
]  # fmt: skip

CALLS = [
    put("vhosts/set", {}), put("users/setter", {"tags": "management", "password": "pw"}),
    *_PARAMETERS, *_GLOBAL, *_POLICIES, *_LIMITS, *_USERS, *_VHOSTS, *_NODE,
    *delete("users/setter", "vhosts/set"),
]  # fmt: skip
