"""Pages beside the API, paths, headers and logins."""

import base64

from conformance.api.call import Call, delete, get, methods, post, put


def _basic(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"


_LOGINS = (
    _basic("guest:guest"), _basic("guest:"), _basic("guest"), _basic("nobody:x"), _basic("none:pw"), "Basic",
    "Basic !",
    "Bearer x", "basic Z3Vlc3Q6Z3Vlc3Q=", "",
)  # fmt: skip

CALLS = [
    *[call for path in ("/", "/index.html", "/api", "/api/", "/api/index.html", "/doc/stats.html", "/cli", "/cli/",
                        "/cli/index.html", "/cli/rabbitmqadmin", "/js/main.js", "/css/main.css",
                        "/img/rabbitmqlogo.svg",
                        "/favicon.ico", "/api/nosuch", "/nosuch", "//api/whoami", "/api//whoami", "/API/whoami")
      for call in [*get(path), *get(path, user=""), *methods(path, "HEAD", "OPTIONS", "PUT")]],
    *[Call("GET", "whoami", "", headers={"Authorization": value}) for value in _LOGINS],
    *[Call("GET", "whoami", headers={"Accept": value}) for value in (
        "text/html", "application/json", "*/*", "application/*", "application/bert",
        "text/plain, application/json;q=0.5", "application/json;q=0", "",
    )],
    *get("whoami", origin="http://elsewhere"), *get("whoami", if_none_match="x"), *get("whoami", x_vhost="shop"),
    Call("OPTIONS", "whoami", headers={"Origin": "http://elsewhere", "Access-Control-Request-Method": "PUT"}),
    *[put("policies/shop/h1", {"pattern": "h", "definition": {"max-length": 1}}, content_type=value) for value in (
        "application/json", "text/plain", "application/x-www-form-urlencoded", "", "nonsense")],
    *[put("vhost-limits/shop/max-queues", {"value": 1000}, content_type=value) for value in ("text/plain", "")],
    *delete("policies/shop/h1"),
    *[post("login", body, user, content_type="application/x-www-form-urlencoded") for body, user in (
        (b"username=guest&password=guest", ""), (b"username=guest&password=no", ""), (b"username=none&password=pw",
        ""),
        (b"", ""), (b"junk", ""),
    )],
    *get("login"), *methods("login", "DELETE", "OPTIONS"),
    *get("whoami/", "whoami?x=%zz", "queues/%zz", "queues/%FF", "queues/shop/%C3%28", "users/%00"),
]  # fmt: skip
