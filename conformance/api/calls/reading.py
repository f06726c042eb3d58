"""Whole lists and single objects of everything that can be read, by each kind of user."""

from conformance.api.call import by_all, get, methods

#: Lists that everybody may ask for, and single objects.
_PATHS = (
    "overview", "whoami", "version", "extensions", "cluster-name",
    "nodes", "nodes/{node}", "nodes/nosuch@host", "nodes/{node}/memory", "nodes/{node}/memory/relative",
    "nodes/{node}/memory/ets", "nodes/{node}/memory/ets/relative", "nodes/{node}/memory/ets/rabbit",
    "nodes/{node}/memory/ets/rabbit/relative",
    "connections", "connections/{connection:publisher}", "connections/{connection:other}", "connections/nosuch",
    "connections/{connection:consumer}/channels", "connections/nosuch/channels",
    "connections/{connection:consumer}/sessions", "connections/nosuch/sessions",
    "connections/username/guest", "connections/username/management", "connections/username/nosuch",
    "vhosts/shop/connections", "vhosts/shop/channels", "vhosts/nosuch/connections", "vhosts/nosuch/channels",
    "channels", "channels/{channel:publisher}", "channels/{channel:consumer}", "channels/{channel:other}",
    "channels/nosuch",
    "consumers", "consumers/shop", "consumers/%2F", "consumers/nosuch",
    "exchanges", "exchanges/shop", "exchanges/nosuch", "exchanges/shop/direct", "exchanges/shop/topic",
    "exchanges/shop/amq.default", "exchanges/shop/inner", "exchanges/shop/a%2Fb%2Bc%20%C3%BC",
    "exchanges/shop/nosuch",
    "exchanges/nosuch/direct", "exchanges/a%2Fb%20%C3%BC/amq.direct",
    "queues", "queues/detailed", "queues/shop", "queues/nosuch", "queues/shop/classic", "queues/shop/quorum",
    "queues/shop/stream", "queues/shop/priority", "queues/shop/sac", "queues/shop/spare", "queues/shop/mine",
    "queues/shop/a%2Fb%2Bc%20%C3%BC", "queues/shop/nosuch", "queues/nosuch/classic",
    "vhosts", "vhosts/shop", "vhosts/a%2Fb%20%C3%BC", "vhosts/nosuch", "vhosts/shop/permissions",
    "vhosts/shop/topic-permissions", "vhosts/nosuch/permissions",
    "users/management/queues", "users/guest/queues", "users/nosuch/queues",
)  # fmt: skip

CALLS = [
    *[call for path in _PATHS for call in by_all(path)],
    *[
        call
        for path in ("overview", "nodes", "nodes/{node}", "connections", "channels", "consumers",
        "exchanges/shop/direct",
                     "queues/shop", "vhosts/shop/channels", "connections/username/guest")
        for call in methods(path, "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH")
        if not (path == "connections/username/guest" and call.method == "DELETE")
        and not (path == "exchanges/shop/direct" and call.method in ("PUT", "DELETE"))
    ],
    *get("connections/{connection:consumer}/channels/", "channels/", "queues/shop/classic/", "nodes/"),
]  # fmt: skip
