"""How lists are paged, sorted, filtered and cut to columns, for each list."""

from conformance.api.call import get

_LISTS = (
    "queues", "queues/shop", "queues/detailed", "exchanges", "exchanges/shop", "connections",
    "vhosts/shop/connections",
    "channels", "vhosts/shop/channels", "vhosts", "users", "users/without-permissions", "permissions",
    "policies/shop",
    "operator-policies", "bindings/shop", "consumers", "consumers/shop", "nodes", "vhost-limits", "user-limits",
    "parameters", "global-parameters", "topic-permissions", "connections/username/guest",
    "connections/{connection:publisher}/channels", "feature-flags", "deprecated-features", "extensions",
    "users/guest/queues", "vhosts/shop/permissions", "users/guest/permissions", "queues/shop/classic/bindings",
)  # fmt: skip

#: Queries for each of them.
_QUERIES = (
    "page=1", "page=1&page_size=2", "page=2&page_size=2", "page=0", "page=x", "page=99", "page=1&page_size=501",
    "page=1&page_size=0", "page=1&name=a", "page=1&name=%5Ea&use_regex=true", "sort=name",
    "sort=name&sort_reverse=true",
    "sort_reverse=true", "sort=nosuch", "columns=name", "columns=name,vhost", "columns=nosuch", "columns=",
    "disable_stats=true", "disable_stats=true&enable_queue_totals=true", "name=a", "page=1&columns=name",
)  # fmt: skip

#: Further queries for one.
_MORE = (
    "queues/shop?page=", "queues/shop?page=1&page_size=", "queues/shop?page=1&page_size=x", "queues/shop?page=-1",
    "queues/shop?page=1&name=(&use_regex=true", "queues/shop?page=1&name=CLASS",
    "queues/shop?page=1&name=CL.SS&use_regex=true",
    "queues/shop?page=1&name=CL.SS&use_regex=false", "queues/shop?page=1&name=", "queues/shop?page=1&name=%C3%BC",
    "queues/shop?sort=messages", "queues/shop?sort=messages&sort_reverse=true",
    "queues/shop?sort=arguments.x-queue-type",
    "queues/shop?sort=message_stats.publish&page=1&page_size=3", "queues/shop?sort=type&sort_reverse=true&page=1",
    "queues/shop?sort=", "queues/shop?sort=name&sort_reverse=x", "queues/shop?columns=name,arguments.x-queue-type",
    "queues/shop?columns=message_stats.publish", "queues/shop?columns=message_stats",
    "queues/shop?columns=name,,type",
    "queues/shop?columns=arguments.x-queue-type,arguments", "queues/shop?columns=name&page=1&page_size=1",
    "queues/shop/classic?columns=name,messages", "queues/shop/classic?disable_stats=true",
    "queues/shop/quorum?disable_stats=true", "queues/shop/stream?disable_stats=true",
    "queues/shop/classic?disable_stats=true&enable_queue_totals=true",
    "queues/shop/quorum?disable_stats=true&enable_queue_totals=true",
    "queues/shop/stream?disable_stats=true&enable_queue_totals=true",
    "queues/shop?disable_stats=true&page=1", "queues/shop?disable_stats=true&enable_queue_totals=true&page=1",
    "queues/shop?disable_stats=true&columns=name", "overview?columns=object_totals.queues",
    "overview?columns=node,cluster_name",
    "overview?disable_stats=true", "overview?disable_stats=true&enable_queue_totals=true",
    "connections?sort=user&sort_reverse=true&columns=user,vhost",
    "connections?columns=client_properties.connection_name",
    "connections/{connection:publisher}?columns=user", "channels/{channel:publisher}?columns=number",
    "exchanges/shop/topic?columns=name,type", "exchanges/shop/topic?disable_stats=true", "vhosts/shop?columns=name",
    "nodes/{node}?columns=name,type", "nodes?columns=name", "connections/{connection:publisher}?disable_stats=true",
    "channels/{channel:publisher}?disable_stats=true", "vhosts?disable_stats=true", "vhosts/shop?disable_stats=true",
    "users/guest?columns=name", "whoami?columns=name", "consumers?columns=queue.name,consumer_tag",
    "consumers?sort=queue.name", "channels?sort=number&sort_reverse=true&columns=number,user",
)  # fmt: skip

CALLS = [*get(*[f"{path}?{query}" for path in _LISTS for query in _QUERIES]), *get(*_MORE)]
