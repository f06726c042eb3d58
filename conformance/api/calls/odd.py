"""What scripts get wrong: queries, names, logins, bodies and paths that are nearly right."""

import base64

from conformance.api.call import Call, delete, get, put


def _basic(octets: bytes) -> str:
    return f"Basic {base64.b64encode(octets).decode()}"


_QUERIES = (
    # repeated and odd parameters
    "columns=name&columns=vhost", "sort=name&sort=type", "page=1&page=2", "page_size=2", "page=1.5",
    "page=+1",
    "page=%201", "page=01", "page=1e1", "page=1&page_size=500", "page=1&page_size=-1", "page=1&page_size=2.5",
    "page=1&pagination=true", "pagination=true", "page=1&use_regex=TRUE&name=%5Ec",
    "page=1&use_regex=1&name=%5Ec",
    "page=1&name=%FF", "page=1&name=%FF&use_regex=true", "page=1&name=%5B&use_regex=true",
    "page=1&name=s.&use_regex=true", "page=1&name=(?i)S&use_regex=true",
    "page=1&name=classic%7Cstream&use_regex=true",
    "page=1&name=%5Cd&use_regex=true", "page=1&name=c%20", "page=1&name=+", "sort_reverse=TRUE&sort=name",
    "sort=name&sort_reverse=1", "sort=.", "sort=name.", "sort=.name", "sort=NAME", "sort=%20name",
    "page=1&sort=nosuch",
    "sort=durable", "sort=arguments", "sort=consumers&sort_reverse=true",
    "columns=NAME", "columns=%20name", "columns=name%2Cvhost", "columns=.", "columns=.name", "columns=name.",
    "columns=name.x", "columns=arguments.", "columns=messages_details.rate",
    "columns=message_stats.publish_details.rate",
    "columns=effective_policy_definition.max-length", "columns=name,name", "columns=*", "columns=%FF",
    "columns",
    "disable_stats=TRUE", "disable_stats=1", "disable_stats", "disable_stats=true&columns=messages",
    "disable_stats=true&sort=messages", "enable_queue_totals=true",
    "disable_stats=true&enable_queue_totals=TRUE",
    "disable_stats=true&enable_queue_totals=true&columns=name,messages&page=1&page_size=2", "&&", "=", "x",
    "?page=1",
    "page=1;page_size=2", "name=classic", "use_regex=true", "page=2147483648", "page=99999999999999999999",
    "page=1&page_size=99999999999999999999", "page=", "page", "page=1&name", "page=1&columns=",
    "page=1&page_size=1&sort=name&sort_reverse=true",
    "page=1&page_size=8&sort=messages&sort_reverse=true&columns=name",
)  # fmt: skip

_RANGES = (
    "lengths_age=60&lengths_incr=60", "lengths_age=5&lengths_incr=60", "lengths_age=60.5&lengths_incr=5",
    "lengths_age=+60&lengths_incr=5", "lengths_age=-60&lengths_incr=5", "lengths_age=60&lengths_incr=-5",
    "lengths_age=600&lengths_incr=1", "lengths_age=600&lengths_incr=600", "lengths_age=3600&lengths_incr=60",
    "msg_rates_age=60", "msg_rates_incr=60", "data_rates_age=x&data_rates_incr=y",
    "node_stats_age=60&node_stats_incr=x",
    "lengths_age=60&lengths_incr=5&lengths_age=600&lengths_incr=60",
)  # fmt: skip

_CHECKS = (
    "port-listener/0", "port-listener/-1", "port-listener/65536", "port-listener/1.5",
    "port-listener/{amqp}/",
    "port-listener/%20{amqp}", "port-listener/", "port-listener", "port-listener/amqp",
    "protocol-listener/", "protocol-listener", "protocol-listener/amqp,", "protocol-listener/,amqp",
    "protocol-listener/amqp%2Chttp", "protocol-listener/amqp%2Fssl", "protocol-listener/http%2Fprometheus",
    "protocol-listener/amqp091,http", "protocol-listener/AMQP,HTTP", "protocol-listener/clustering",
    "protocol-listener/https", "protocol-listener/amqp0.9.1", "protocol-listener/amqp,amqp",
    "certificate-expiration/0/days", "certificate-expiration/-1/days", "certificate-expiration/1.5/days",
    "certificate-expiration/1/DAYS", "certificate-expiration/1/day", "certificate-expiration/99999999/years",
    "certificate-expiration/1/years", "certificate-expiration/1", "certificate-expiration",
    "virtual-hosts/shop", "alarms/", "alarms/x", "local-alarms?x=y", "metadata-store",
    "metadata-store/nosuch",
    "quorum-queues-without-elected-leaders/all-vhosts/pattern/(",
    "quorum-queues-without-elected-leaders/vhost/",
    "quorum-queues-without-elected-leaders/all-vhosts/pattern/",
    "quorum-queues-without-elected-leaders/vhost/shop/pattern/%FF", "quorum-queues-without-elected-leaders",
    "is-in-service/x", "ready-to-serve-clients/", "reached-target-cluster-size/", "",
)  # fmt: skip

_LOGINS = (
    _basic(b"guest:guest") + " ", "Basic  " + _basic(b"guest:guest")[6:],
    "BASIC " + _basic(b"guest:guest")[6:],
    _basic(b"guest:guest") + "x", _basic(b"guest:guest")[:-1], _basic(b"guest:guest") + "=",
    _basic(b"guest:guest:"),
    _basic(b":guest"), _basic(b":"), _basic(b"\xff:\xff"), _basic("ü:ü".encode()), _basic(b"Guest:guest"),
    _basic(b"guest\x00:guest"), _basic(b"guest:guest\n"), "Basic\t" + _basic(b"guest:guest")[6:],
    _basic(b"guest:guest") + ", " + _basic(b"guest:guest"), "Token x", "Bearer", "Bearer ", "Bearer a b",
    "bearer x",
    "Basic =", "guest:guest", "Negotiate x", 'Digest username="guest"',
)  # fmt: skip

_PATHS = (
    "queues/shop/classic//", "queues//shop", "queues/shop//classic", "/api/queues/shop/classic/../classic?columns=name",
    "queues/shop/classic;x=1", "queues/shop/classic%3Bx", "queues/shop/%63lassic", "queues/shop/classic%2F",
    "queues/shop/CLASSIC", "queues/SHOP", "Queues", "queues/shop/classic?", "queues/shop/classic#x",
    "queues/%2f",
    "queues/%2F%2F", "queues/%252F", "queues/shop/classic/unacked", "queues/shop/classic/bindings/",
    "vhosts/", "vhosts//", "vhosts/shop/", "vhosts/%2F/", "vhosts/shop/nosuch", "vhosts/shop/permissions/",
    "exchanges/shop/", "exchanges/shop/amq.default/", "exchanges/shop/%20", "exchanges//", "users//",
    "users/guest/",
    "users/guest%20", "users/GUEST", "permissions/shop", "permissions/shop/", "topic-permissions/shop",
    "parameters/operator_policy/", "parameters//", "policies/shop/", "policies/shop/limits/", "nodes/{node}/",
    "nodes/{node}/nosuch", "connections/", "channels/nosuch/", "bindings/", "bindings/shop/",
    "bindings/shop/e",
    "bindings/shop/e/direct", "bindings/shop/e/direct/q", "bindings/shop/e/direct/q/",
    "bindings/shop/q/classic/e/direct",
    "overview/", "overview/x", "whoami/x", "version/", "extensions/", "cluster-name/", "definitions/shop/",
    "definitions/shop/x", "login/", "auth/hash_password/", "auth/hash_password", "auth/hash_password/a%2Fb",
    "auth/attempts/", "auth/attempts", "feature-flags/", "feature-flags/nosuch",
    "feature-flags/nosuch/enable",
    "deprecated-features/nosuch", "queues/quorum", "queues/quorum/shop", "queues/detailed/",
    "queues/detailed/x",
    "/api/./queues/shop?columns=name", "/api/../api/whoami", "/../api/whoami", "/api/%2e%2e/api/whoami",
    "/api/queues%2Fshop",
    "/API/", "/api/index.htm", "/api/INDEX.HTML", "/apiwhoami", "/robots.txt", "/metrics", "/api/metrics",
    "/health",
    "/nosuch/", "/index.html/", "/cli/index.html/", "/stats/", "/mgmt", "/mgmt/", "/doc", "/doc/stats.html/",
)  # fmt: skip

_HEADERS = (
    {"Range": "bytes=0-4"}, {"Range": "bytes=x"}, {"Accept-Encoding": "gzip;q=0"}, {"Accept-Encoding": "*"},
    {"Accept-Encoding": "identity;q=0"},
    {"Accept": "application/json, text/plain, */*"}, {"Accept": "*"}, {"Accept": "application"},
    {"Accept": "*/*, junk"},
    {"Accept": "application/json;x"}, {"Accept": "application/json;q=1;x"},
    {"Accept": "application/json;q=.5"},
    {"Accept": "application / json"}, {"Accept": "application/json;"}, {"Accept": 'application/json;q="1"'},
    {"Accept": "application/json;version=1"}, {"Accept": "text/json"}, {"Accept": "application/problem+json"},
    {"Accept": "application/json ; q=0.9"}, {"Accept": "application/json;q=1.0000"},
    {"Accept": "application/json;q=-1"},
    {"Accept": 'application/json;x="a,b"'}, {"Accept": ","}, {"Accept": "application/json,,"},
    {"Accept-Charset": "nosuch"}, {"Accept-Language": "xx"}, {"Accept-Language": "junk;q=2"},
    {"Accept-Charset": "utf-8"},
    {"Content-Type": "nonsense"}, {"X-HTTP-Method-Override": "DELETE"}, {"Cookie": "auth=x; m=y"},
    {"Cookie": "junk"},
    {"If-Match": "*"}, {"If-Match": "junk"}, {"If-None-Match": "junk"}, {"If-None-Match": "W/*"},
    {"If-Modified-Since": "junk"}, {"If-Range": '"x"'}, {"Upgrade": "h2c", "Connection": "Upgrade"},
    {"Origin": "null"}, {"Origin": "http://127.0.0.1"}, {"X-VHost": "shop"}, {"X-VHost": "a%2Fb%20%C3%BC"},
    {"X-Forwarded-For": "1.2.3.4"}, {"Referer": "http://x/"},
)  # fmt: skip

_BODY = {"durable": True}


def _names(kind: str, body: object, *names: str) -> list[Call]:
    """Make and delete something under each of the names."""
    found: list[Call] = []
    for name in names:
        path = f"{kind}/{name}"
        found += [put(path, body), *get(f"{path}?columns=name,vhost&disable_stats=true"), *delete(path)]
    return found


_ODD_NAMES = (
    "%20", "a%20", "a%0Ab", "%00", "a%00", "%FF", "%C3%BC", "%E2%98%83", "a%2Fb", "a+b", "a%2Bb",
    "%25", "%2525",
    "..", "%2E%2E", ".", "a..b", "a;b", "a%3Fb", "a%23b", "a%5Cb", "%22", "<b>", "{x}", "a%5Bb", "a[b",
    "a^b", "a|b", "a'b", "a~b", "a@b", "a=b&c", "x" * 255, "x" * 256,
    "%C3%BC" * 128, "amq.x", "AMQ.x",
)  # fmt: skip

CALLS = [
    *get(*[f"queues/shop?{query}" for query in _QUERIES]),
    *get(*[f"{path}?{query}" for path in ("exchanges/shop", "vhosts", "users", "channels")
           for query in _QUERIES[:12]]),
    *get(*[f"queues/shop/classic?{query}" for query in _RANGES],
    *[f"overview?{query}&columns=node" for query in _RANGES]),
    *get(*[f"health/checks/{check}" for check in _CHECKS]),
    *[Call("GET", "whoami", "", headers={"Authorization": value}) for value in _LOGINS],
    *get(*_PATHS),
    *[Call("GET", "vhosts/shop/permissions", headers=each) for each in _HEADERS],
    *[Call("DELETE", "queues/shop/nosuch", headers=each) for each in _HEADERS],
    *[Call(method, "queues/shop/classic/", headers={}) for method in ("HEAD", "OPTIONS", "PATCH", "LINK")],
    *_names("queues/shop", _BODY, *_ODD_NAMES),
    *_names("exchanges/shop", {"type": "fanout"}, *_ODD_NAMES),
    *_names("vhosts", {}, *_ODD_NAMES),
    *_names("users", {"password": "p", "tags": ""}, *_ODD_NAMES),
    *_names("policies/shop", {"pattern": "^nosuch$", "definition": {"max-length": 1}}, *_ODD_NAMES),
    *_names("global-parameters", {"value": 1}, *_ODD_NAMES),
    # bodies with fields of other objects, of other types, and too many
    *[call for body in (
        {**_BODY, "nosuch": 1}, {**_BODY, "vhost": "shop"}, {**_BODY, "name": "x"}, {"durable": "TRUE"},
        {"durable": 1}, {"durable": [True]}, {"durable": None}, {"auto_delete": "true"}, {"arguments": None},
        {"arguments": {"x-queue-type": None}}, {"arguments": {"x-queue-type": 7}},
        {"arguments": {"x-queue-type": ""}},
        {"arguments": {"x-message-ttl": "1000"}}, {"arguments": {"x-message-ttl": 1.0}},
        {"arguments": {"x-message-ttl": 2**32}}, {"arguments": {"x-expires": 0}},
        {"arguments": {"x-max-length": -1}},
        {"arguments": {"x-max-priority": 256}}, {"arguments": {"x-overflow": "nosuch"}},
        {"arguments": {"x-dead-letter-routing-key": "x"}}, {"arguments": {"x-queue-mode": "lazy"}},
        {"arguments": {"x-single-active-consumer": "true"}}, {"arguments": {"": 1}},
        {"arguments": {"a": {"b": [1, None, 1e300, 2**63, -(2**63), 2**64]}}}, {"arguments": {"x" * 256: 1}},
    ) for call in (put("queues/shop/odd-body", body),
    *get("queues/shop/odd-body?columns=arguments,durable,auto_delete"),
                   *delete("queues/shop/odd-body"))],
    *[put("queues/shop/odd-body", body, content_type=kind) for kind in ("text/json", "application/JSON",
    "a/b;c")
      for body in (_BODY,)],
    *delete("queues/shop/odd-body"),
    *[put("queues/shop/odd-body", body) for body in (
        b"{", b'{"durable"', b'{"durable":tru}', b"{'durable':true}", b'{"durable":true,}', b"[" * 5000,
        b"\x00",
        b'{"durable":true}\n', b' {"durable":true} ', b'{"durable":true}{}', b"{}{}", b"NaN", b'{"x":1e999}',
        b'{"x":"\\ud800"}', b'{"x":"\\u0000"}', b'{"a":1,"a":2}', b"true", b"false", b"1.5", b"undefined",
    )],
    *delete("queues/shop/odd-body"),
    # deletions with parameters
    put("queues/shop/odd-delete", _BODY), *get("queues/shop/odd-delete?columns=name"),
    *[call for query in ("if-empty=TRUE", "if-empty=x", "if-unused", "if-empty=true&if-unused=x", "mode=x")
      for call in (*delete(f"queues/shop/odd-delete?{query}"), put("queues/shop/odd-delete", _BODY))],
    *delete("queues/shop/odd-delete", "queues/shop/odd-delete/contents?x=y"),
    # line ends are taken out of names
    *delete("queues/shop/ab", "exchanges/shop/ab"),
]  # fmt: skip
