"""Headers that choose a virtual host or make a request conditional, and fields of queues that HTTP does not have."""

from conformance.api.call import Call, delete, get, put

#: Lists of all virtual hosts.
_LISTS = (
    *(
        "queues?columns=vhost,name",
        "queues/detailed?columns=vhost,name",
        "exchanges?columns=vhost,name",
        "bindings",
    ),
    *(
        "connections?columns=vhost,user_provided_name",
        "channels?columns=vhost,number",
        "consumers?columns=queue",
    ),
    *(
        "policies",
        "operator-policies",
        "parameters",
        "parameters/operator_policy",
        "permissions",
        "topic-permissions",
    ),
    *("vhost-limits", "vhosts?columns=name", "overview?columns=object_totals", "users/guest/permissions"),
    *("users/guest/queues?columns=vhost,name", "definitions?columns=vhosts", "global-parameters", "whoami"),
)

#: Objects of a virtual host: the path has the virtual host already.
_ONES = ("queues/shop/spare?columns=name", "exchanges/shop/direct?columns=name", "vhosts/shop?columns=name")

_ETAGS = ("*", '"nosuch"', 'W/"nosuch"', "nosuch", '"a", "b"')

_QUEUE = {"durable": True, "auto_delete": False}

CALLS: list[Call] = [
    *(
        call
        for vhost in ("shop", "nosuch", "", "%2F", "/")
        for user in ("guest", "management", "monitoring", "stranger")
        for call in get(*_LISTS, user=user, x_vhost=vhost)
    ),
    *(call for vhost in ("shop", "nosuch", "/") for call in get(*_ONES, x_vhost=vhost)),
    *(call for vhost in ("shop", "nosuch") for call in get("nodes?columns=name", x_vhost=vhost)),
    # conditional requests
    *(
        call
        for tag in _ETAGS
        for call in (
            put("queues/shop/conditional", _QUEUE, if_match=tag),
            put("queues/shop/conditional", _QUEUE),
            put("queues/shop/conditional", _QUEUE, if_match=tag),
            put("queues/shop/conditional", _QUEUE, if_none_match=tag),
            *get("queues/shop/conditional?columns=name", if_match=tag),
            *get("queues/shop/conditional?columns=name", if_none_match=tag),
            *delete("queues/shop/conditional", if_none_match=tag),
            *delete("queues/shop/conditional", if_match=tag),
            *delete("queues/shop/conditional"),
            put("queues/shop/conditional", _QUEUE, if_none_match=tag),
            *delete("queues/shop/conditional"),
            put("vhosts/conditional", {}, if_match=tag),
            *delete("vhosts/conditional"),
            *get("vhosts", if_match=tag),
            *get("whoami", if_none_match=tag),
            Call("POST", "rebalance/queues", headers={"if-match": tag}),
            Call("POST", "definitions", body={}, headers={"if-none-match": tag}),
        )
    ),
    *(
        call
        for since in ("Sat, 01 Jan 2000 00:00:00 GMT", "Sat, 01 Jan 2050 00:00:00 GMT", "yesterday")
        for call in (
            *get("whoami", if_modified_since=since),
            *get("whoami", if_unmodified_since=since),
            put("queues/shop/conditional", _QUEUE, if_unmodified_since=since),
            *delete("queues/shop/conditional", if_unmodified_since=since),
            *delete("queues/shop/conditional"),
        )
    ),
    # fields of a queue that AMQP has, and others
    *(
        call
        for more in ({"exclusive": True}, {"exclusive": "x"}, {"passive": True}, {"type": "quorum"},
                     {"internal": True}, {"name": "other"}, {"vhost": "nosuch"}, {"policy": 7}, {"node": None},
                     {"node": "{node}"}, {"node": 7}, {"durable": None}, {"auto_delete": 1},
                     {"arguments": []}, {"arguments": {"x-queue-type": "stream"}, "auto_delete": True})
        for call in (
            put("queues/shop/odd", {**_QUEUE, **more}),
            *get("queues/shop/odd?disable_stats=true&columns=name,durable,auto_delete,exclusive,arguments,type"),
            *delete("queues/shop/odd"),
        )
    ),
]  # fmt: skip
