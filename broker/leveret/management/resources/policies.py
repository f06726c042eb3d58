"""`/api/policies` and `/api/operator-policies`.

Policymakers may set policies, administrators operator policies; all users may list both.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
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
from leveret.management.pagination import listed, picked

_DISABLED = "Broker settings disallow editing of operator policies."


class Kind:
    """The resources of policies, or of operator policies."""

    def __init__(self, operator: bool) -> None:
        self.operator = operator

    def everywhere(self, call: Call) -> object:
        """GET: those of all virtual hosts that the user may see."""
        return self._list(call, call.listed_names())

    def in_vhost(self, call: Call) -> object:
        """GET: those of one virtual host."""
        return self._list(call, (call.vhost().name,))

    def _list(self, call: Call, vhosts: Iterable[str]) -> object:
        names = set(vhosts)
        found = [one for one in call.broker.policies.list(operator=self.operator) if one.vhost in names]
        return listed([policy.to_json() for policy in found], call.query, paged=False)

    def _may(self, call: Call) -> None:
        if self.operator:
            if call.broker.settings.management.operator_policy_changes_disabled:
                raise Refusal(405, "method_not_allowed", _DISABLED)
            call.need_administrator()
        else:
            call.need_policymaker()

    def one(self, call: Call) -> object:
        """GET: one policy."""
        vhost, name = call.vhost(), call.path["name"]
        for policy in call.broker.policies.list(vhost.name, self.operator):
            if policy.name == name:
                return picked(policy.to_json(), call.query)
        raise missing()

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
