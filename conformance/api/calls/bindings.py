"""Bindings: lists, between two objects, by properties key; making and deleting them."""

from conformance.api.call import by_all, delete, get, post, put

_ODD = "a%2Fb%2Bc%20%C3%BC"

_LISTS = (
    "bindings", "bindings/shop", "bindings/%2F", "bindings/nosuch",
    "queues/shop/classic/bindings", f"queues/shop/{_ODD}/bindings", "queues/shop/nosuch/bindings",
    "queues/nosuch/classic/bindings",
    "exchanges/shop/topic/bindings/source", "exchanges/shop/topic/bindings/destination",
    "exchanges/shop/fanout/bindings/source", "exchanges/shop/fanout/bindings/destination",
    "exchanges/shop/amq.default/bindings/source", "exchanges/shop/amq.default/bindings/destination",
    "exchanges/shop/nosuch/bindings/source", "exchanges/nosuch/topic/bindings/source",
    "bindings/shop/e/topic/q/classic", "bindings/shop/e/topic/q/quorum", "bindings/shop/e/amq.default/q/classic",
    "bindings/shop/e/topic/e/fanout", "bindings/shop/e/fanout/e/inner", "bindings/shop/e/topic/e/direct",
    "bindings/shop/e/nosuch/q/classic", "bindings/shop/e/topic/q/nosuch", "bindings/nosuch/e/topic/q/classic",
    "bindings/shop/e/topic/x/classic",
)  # fmt: skip

_ONE = (
    "bindings/shop/e/direct/q/classic/k",
    "bindings/shop/e/topic/q/quorum/a.*.b",
    "bindings/shop/e/topic/q/quorum/a.%2A.b",
    "bindings/shop/e/topic/e/fanout/~",
    f"bindings/shop/e/direct/q/{_ODD}/k%2Fey%20%2B%C3%BC",
    f"bindings/shop/e/direct/q/{_ODD}/k%252Fey%2520%252B%25C3%25BC",
    "bindings/shop/e/direct/q/classic/nosuch",
    "bindings/shop/e/direct/q/classic/k~nosuch",
    "bindings/shop/e/nosuch/q/classic/k",
    "bindings/shop/e/amq.default/q/classic/classic",
    "bindings/shop/e/topic/e/nosuch/~",
    "bindings/nosuch/e/direct/q/classic/k",
)

_HERE = "bindings/shop/e/headers/q/spare"

CALLS = [
    *[call for path in (*_LISTS, *_ONE) for call in by_all(path)],
    *get(
        "bindings/shop?sort=destination", "bindings/shop?sort=destination&sort_reverse=true",
        "bindings/shop?columns=source,destination,routing_key", "bindings/shop?page=1&page_size=2",
        "bindings?page=1", "queues/shop/classic/bindings?columns=source", "queues/shop/classic/bindings?page=1",
        "bindings/shop/e/direct/q/classic/k?columns=source",
    ),
    # making and deleting
    *[call for path in ("bindings/shop/e/direct/q/spare",) for call in by_all(path, "POST", {"routing_key": "x"})],
    *by_all("bindings/shop/e/direct/q/spare/x", "DELETE"),
    *[post(_HERE, body) for body in (
        b"", {}, {"routing_key": ""}, {"routing_key": "k/ey +ü"}, {"arguments": {"x-match": "any", "a": 1}},
        {"routing_key": "k", "arguments": {"a": [1, {"b": None}], "c": 1.5, "d": True}},
        {"routing_key": "k", "arguments": []}, {"routing_key": "a~b"}, b"null",
    )],
    *get(_HERE, f"{_HERE}/~", f"{_HERE}/k%2Fey%20%2B%C3%BC", f"{_HERE}/a%7Eb", f"{_HERE}/a~b"),
    *[post(_HERE, body) for body in (
        {"routing_key": 7}, {"arguments": {"x-match": "some"}}, {"arguments": "x"}, b"junk", b"[]", b'"{}"',
        {"routing_key": "k" * 300},
    )],
    post("bindings/shop/e/nosuch/q/spare", {}), post("bindings/shop/e/direct/q/nosuch", {}),
    post("bindings/nosuch/e/direct/q/spare", {}), post("bindings/shop/e/amq.default/q/spare", {}),
    post("bindings/shop/e/headers/e/amq.default", {}), post("bindings/shop/e/direct/e/nosuch", {}),
    post("bindings/shop/e/headers/e/fanout", {"routing_key": "e"}),
    *get("bindings/shop/e/headers/e/fanout", "bindings/shop/e/headers/e/fanout/e"),
    put(f"{_HERE}/k", {}), put(_HERE, {}),
    *delete(
        f"{_HERE}/nosuch", "bindings/shop/e/nosuch/q/spare/k", "bindings/shop/e/direct/q/nosuch/k",
        "bindings/nosuch/e/direct/q/spare/k", f"{_HERE}/~", f"{_HERE}/~", f"{_HERE}/k%2Fey%20%2B%C3%BC",
        f"{_HERE}/a%7Eb", "bindings/shop/e/headers/e/fanout/e", "bindings/shop/e/amq.default/q/spare/spare", _HERE,
    ),
    *get(_HERE),
    *delete(f"{_HERE}/~-56y_w", f"{_HERE}/k", f"{_HERE}/a%257Eb", f"{_HERE}/k%252Fey%2B%252B%25C3%25BC"),
    *delete(f"{_HERE}/{'k' * 300}"),
    *get(_HERE),
]  # fmt: skip
