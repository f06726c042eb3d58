"""`/api/policies` and `/api/operator-policies`.

Policymakers may set policies, administrators operator policies; all users may list both.
"""

from __future__ import annotations

import html
from collections.abc import Awaitable, Iterable
from typing import Any

from leveret.engine import operations
from leveret.engine.policies import Policy, PolicyError
from leveret.management.call import (
    Call,
    Handler,
    Refusal,
    Reply,
    Resource,
    Routes,
    Shows,
    bad_request,
    missing,
)
from leveret.management.pagination import listed_in_slices, picked

_DISABLED = "Broker settings disallow editing of operator policies."


class Kind:
    """The resources of policies, or of operator policies."""

    def __init__(self, operator: bool) -> None:
        self.operator = operator

    def everywhere(self, call: Call) -> Awaitable[object]:
        """GET: those of all virtual hosts that the user may see."""
        return self._list(call, call.listed_names())

    def in_vhost(self, call: Call) -> Awaitable[object]:
        """GET: those of one virtual host."""
        return self._list(call, (call.vhost().name,))

    async def _list(self, call: Call, vhosts: Iterable[str]) -> object:
        slices, policies = call.site.slices, call.broker.policies
        each = (one for vhost in vhosts for one in policies.each(vhost, self.operator))
        found = [one async for one in slices.walk(each)]
        return await listed_in_slices(slices, found, call.query, Policy.to_json, paged=False)

    def _may(self, call: Call) -> None:
        if self.operator:
            if call.broker.settings.management.operator_policy_changes_disabled:
                raise Refusal(405, "method_not_allowed", _DISABLED)
            call.need_administrator()
        else:
            call.need_policymaker()

    def one(self, call: Call) -> object:
        """GET: one policy."""
        found = call.broker.policies.get(call.vhost().name, call.path["name"], self.operator)
        if found is None:
            raise missing()
        return picked(found.to_json(), call.query)

    def put(self, call: Call) -> Reply:
        """PUT {pattern, definition, priority, apply-to}: set it, and apply it to existing queues and exchanges."""
        vhost, fields = call.target_vhost(), call.fields()
        pattern, definition = call.needed(fields, ("pattern", "definition"))
        # Of any type: Policies.set checks them, with RabbitMQ's texts.
        given: tuple[Any, ...] = (
            pattern,
            definition,
            fields.get("priority", 0),
            fields.get("apply-to", "all"),
        )
        policy = Policy(vhost.name, call.path["name"], *given)
        try:
            new = operations.set_policy(vhost, call.caller, policy, operator=self.operator)
        except PolicyError as error:
            text = f"Validation failed\n\n{error}"
            escaped = call.broker.profile.policy_errors_escaped and not self.operator
            raise bad_request(html.escape(text, quote=False) if escaped else text) from None
        return Reply(201 if new else 204)

    def delete(self, call: Call) -> None:
        """DELETE: clear it, and apply what remains."""
        vhost, name = call.vhost(), call.path["name"]
        if not operations.clear_policy(vhost, call.caller, name, operator=self.operator):
            raise missing()

    def routes(self, path: str) -> Routes:
        """The routes below `path`."""
        one: dict[str, Handler] = {"GET": self.one, "PUT": self.put, "DELETE": self.delete}
        shows = Shows.ONLY_JSON if self.operator else Shows.JSON
        accepts = ("application/json",) if self.operator else ()
        return {
            path: Resource({"GET": self.everywhere}, shows=shows),
            f"{path}/{{vhost}}": Resource({"GET": self.in_vhost}, shows=shows),
            f"{path}/{{vhost}}/{{name}}": Resource(one, shows=shows, accepts=accepts, may=self._may),
        }


ROUTES: Routes = {
    **Kind(operator=False).routes("policies"),
    **Kind(operator=True).routes("operator-policies"),
}
