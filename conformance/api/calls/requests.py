"""Methods, content types, conditional requests, logins, odd paths and bodies, and what answers say in their headers."""

from conformance.api.call import Call, by_all, delete, get, methods, put

_QUEUE = "queues/shop/requested"
_LIMIT = "vhost-limits/shop/max-connections"
_ORIGIN = {"Origin": "https://console.example"}


def _with(path: str, *headers: dict[str, str], method: str = "GET") -> list[Call]:
    """The same call with other headers."""
    return [Call(method, path, headers=each) for each in headers]


CALLS = [
    # methods
    *[
        call
        for path in (
            "whoami", "version", "nosuch", "auth", "login", "reset/nosuch", "definitions", "definitions/shop",
            "all-configuration", "parameters", "parameters/operator_policy/shop/p", "global-parameters/p",
            "topic-permissions/shop/guest/topic", "users/bulk-delete", "users/without-permissions",
            "users/guest/permissions", "user-limits", "user-limits/guest/max-channels", "vhost-limits", _LIMIT,
            "vhosts/shop/start/x", "vhosts/shop/deletion/protection", "policies/shop/p", "operator-policies/shop/p",
            "feature-flags", "feature-flags/x/enable", "deprecated-features", "deprecated-features/used",
            "config/effective", "auth/attempts/{node}", "auth/attempts/{node}/source", "auth/hash_password/x",
            "extensions", "cluster-name", "aliveness-test/shop", "health/checks/alarms",
            "health/checks/is-in-service", "health/checks/virtual-hosts", "queues/shop/spare/get",
            "queues/shop/spare/actions", "queues/shop/spare/contents", "exchanges/shop/direct/publish",
            "rebalance/queues", "queues/quorum/shop/quorum/status", "queues/quorum/shop/quorum/replicas/add",
            "queues/quorum/shop/quorum/replicas/delete", "queues/quorum/replicas/on/x/grow",
            "permissions/shop/nosuch", "connections/nosuch", "rebalance/nosuch",
        )
        for call in methods(path, "HEAD", "OPTIONS", "PATCH")
    ],
    *methods("whoami", "POST", "PUT", "DELETE", "TRACE"),
    *methods("nosuch", "POST", "PUT", "DELETE"),
    *methods("definitions", "PUT", "DELETE"),
    *methods("health/checks/alarms", "POST", "DELETE"),
    *methods("queues/shop/spare/get", "GET", "PUT", "DELETE"),
    # what is accepted
    *_with(
        "whoami",
        *[{"Accept": accepted} for accepted in (
            "text/html", "*/*;q=0", "application/*", "application/json", "junk", "", "*/*;x=1",
            "application/json;q=2", "text/html, application/json;q=0.1", "application/json;charset=utf-8",
        )],
        {"Accept-Encoding": "br"}, {"Accept-Charset": "latin1"}, {"Accept-Language": "en"},
    ),
    *_with("permissions", {"Accept-Encoding": "identity"}, {"Accept-Encoding": "br"}),
    *[put(_LIMIT, {"value": 1000}, accept=accepted) for accepted in ("*/*", "application/json", "text/html")],
    *[Call("PUT", _QUEUE, body={"durable": True}, headers={"Content-Type": kind}) for kind in (
        "text/plain", "junk", "application/json; charset=utf-8", "application/x-www-form-urlencoded",
    )],
    *delete(_LIMIT, accept="application/json"), *delete(_LIMIT),
    *[call for method, path in (
        ("DELETE", "queues/shop/spare/contents"), ("POST", "rebalance/queues"), ("GET", "queues/shop/spare"),
        ("POST", "queues/shop/spare/get"), ("GET", "health/checks/alarms"), ("GET", "definitions"),
    ) for call in _with(path, {"Accept": "text/html"}, method=method)],
    # bodies
    *[put(_QUEUE, body) for body in (b"junk", b"[]", b"null", b"7", b'"x"', b" ", b"\xff", b'{"durable":true}x',
                                     b'{"a":}', b"\xef\xbb\xbf{}", b'{"durable":true,"durable":true}')],
    *delete(_QUEUE, _QUEUE),
    # conditional requests, and pages of another origin
    *_with("whoami", {"If-None-Match": "*"}, {"If-Match": '"x"'}, {"If-None-Match": '"x"'},
           {"If-Modified-Since": "Tue, 01 Jan 2030 00:00:00 GMT"}, {"Range": "bytes=0-1"}),
    *_with("whoami", _ORIGIN), *_with("whoami", {**_ORIGIN, "Access-Control-Request-Method": "GET"}, method="OPTIONS"),
    # logins
    *[Call("GET", "whoami", headers={"Authorization": given}) for given in (
        "Bearer x", "Digest x", "", "Basic", "Basic !!", "Basic Z3Vlc3Q=", "basic Z3Vlc3Q6Z3Vlc3Q=",
        "Basic Z3Vlc3Q6", "Basic OmE=",
    )],
    *by_all("whoami"), *by_all("version"), *by_all("auth"),
    # the reference and odd paths
    *methods("/api/index.html", "GET", "HEAD", "OPTIONS", "POST"),
    *get(
        "whoami/", "//whoami", "/api//whoami", "/nosuch", "/api/nosuch/", "queues/%2F/a%2", "queues/%2F/a%ff",
        "whoami?columns=%zz", "queues/shop/%00", "queues/shop/spare%20", "queues/%2F", "users/", "definitions/",
        "parameters/", "vhosts/a%2Fb+%C3%BC", "/api", "/api/", "/stats", "/doc/stats.html",
        *[f"{path}?columns=name" for path in (
            "queues/shop/a%2fb%2bc%20%c3%bc", "queues/shop/a%2Fb+c%20%C3%BC", "queues/shop/spare/../spare",
            "queues/shop/./spare", "exchanges/shop/%61mq.direct", "vhosts/a%2Fb%20%C3%BC", "queues/shop/",
            "queues/", "exchanges/shop/",
        )],
    ),
]  # fmt: skip
