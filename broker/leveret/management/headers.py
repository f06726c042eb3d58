"""The headers of all responses of the HTTP API (rabbit_mgmt_headers, rabbit_mgmt_cors)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

from leveret.management.call import Resource, Shows
from leveret.management.http_server import SERVER
from leveret.profiles import ApiProfile
from leveret.settings import Management


class Stage(IntEnum):
    """How far a request got; what a response varies by and how long it is kept depend on that."""

    REFUSED = 0  # before its content type was negotiated
    NEGOTIATED = 1
    SHOWN = 2  # the resource was shown


class ResponseHeaders:
    """Makes the headers of responses. `settings`: security headers and CORS."""

    def __init__(self, settings: Management, api: ApiProfile) -> None:
        self.settings = settings
        self.api = api
        policy = settings.csp_policy or api.content_security_policy
        optional = {
            "Strict-Transport-Security": settings.hsts_policy,
            "X-Content-Type-Options": settings.content_type_options,
            "X-XSS-Protection": settings.xss_protection,
            "X-Frame-Options": settings.frame_options,
            "Referrer-Policy": settings.referrer_policy,
        }
        self._constant = {
            "Server": SERVER,
            "Content-Security-Policy": policy,
            **{name: value for name, value in optional.items() if value},
        }

    @property
    def bare(self) -> dict[str, str]:
        """The headers of a response that comes before any resource was found."""
        return {"Server": SERVER, **({"Vary": "accept-encoding"} if self.api.refusals_cached else {})}

    def of(self, resource: Resource, method: str, request: Mapping[str, str], stage: Stage) -> dict[str, str]:
        """The headers of a response. `request`: the headers of the request. Raises `MalformedHeader`."""
        headers = {**self._constant, "Vary": self._vary(resource, stage)}
        if stage is Stage.SHOWN:
            headers["Cache-Control"] = "no-cache"
            if resource.no_store:
                headers |= {"Pragma": "no-cache", "Expires": "0"}
        elif resource.no_store:
            headers |= {"Cache-Control": NO_STORE, "Pragma": "no-cache", "Expires": "0"}
        elif self.api.refusals_cached:
            headers["Cache-Control"] = "public, max-age=0, must-revalidate"
        return headers | self._cors(resource, method, request)

    def allow(self, resource: Resource, *, asked: bool) -> dict[str, str]:
        """The header Allow. `asked`: the response is about methods (405, OPTIONS); older versions send it only then."""
        if self.settings.hide_allow_header or not (asked or self.api.allow_always):
            return {}
        return {"Allow": resource.allow}

    def _vary(self, resource: Resource, stage: Stage) -> str:
        if stage is Stage.REFUSED:
            return "origin, accept-encoding" if self.api.refusals_cached else "origin"
        return (
            "accept, accept-encoding, origin" if resource.shows is Shows.JSON else "accept-encoding, origin"
        )

    def _cors(self, resource: Resource, method: str, request: Mapping[str, str]) -> dict[str, str]:
        """Cross-origin headers, if the origin of the page that asks is allowed."""
        origin, allowed = request.get("Origin"), self.settings.cors_allow_origins
        if origin is None or origin in ("null", "*"):
            return {}
        if origin in allowed:
            headers = {
                "Access-Control-Allow-Origin": origin,
                "Access-Control-Allow-Credentials": "true",
            }
        elif "*" in allowed:
            headers = {"Access-Control-Allow-Origin": "*"}
        else:
            return {}
        return headers | (self._preflight(resource, request) if method == "OPTIONS" else {})

    def _preflight(self, resource: Resource, request: Mapping[str, str]) -> dict[str, str]:
        headers = {"Access-Control-Allow-Methods": resource.allow}
        wanted = request.get("Access-Control-Request-Headers")
        if wanted is not None:  # RabbitMQ omits the age then
            return headers | {"Access-Control-Allow-Headers": wanted}
        return headers | {"Access-Control-Max-Age": str(self.settings.cors_max_age)}


NO_STORE = "no-cache, no-store, max-age=0, must-revalidate"
