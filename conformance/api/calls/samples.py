"""Samples of lengths and rates over time: which fields have them, and ranges that cannot be."""

from conformance.api.call import get

_RANGES = (
    "lengths_age=60&lengths_incr=5", "msg_rates_age=60&msg_rates_incr=5", "data_rates_age=60&data_rates_incr=5",
    "node_stats_age=60&node_stats_incr=5",
    "lengths_age=60&lengths_incr=5&msg_rates_age=60&msg_rates_incr=5&data_rates_age=60&data_rates_incr=5",
)  # fmt: skip

_BAD = (
    "lengths_age=60", "lengths_incr=5", "lengths_age=x&lengths_incr=5", "lengths_age=0&lengths_incr=5",
    "lengths_age=60&lengths_incr=0", "lengths_age=600000&lengths_incr=1", "msg_rates_age=-1&msg_rates_incr=5",
    "lengths_age=&lengths_incr=",
)  # fmt: skip

_PATHS = (
    "overview", "queues", "queues/shop", "queues/shop/classic", "queues/shop/quorum", "queues/shop/stream",
    "exchanges", "exchanges/shop/direct", "exchanges/shop/amq.default", "connections", "channels", "vhosts",
    "vhosts/shop",
    "connections/{connection:publisher}", "channels/{channel:publisher}", "nodes", "nodes/{node}",
    "vhosts/shop/connections", "vhosts/shop/channels", "connections/{connection:publisher}/channels",
)  # fmt: skip

CALLS = [
    *get(*[f"{path}?{query}" for path in _PATHS for query in _RANGES]),
    *get(*[f"{path}?{query}" for path in ("overview", "queues/shop", "queues/shop/classic", "connections",
    "vhosts", "nodes")
           for query in _BAD]),
]  # fmt: skip
