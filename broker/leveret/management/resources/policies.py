"""`/api/policies` and `/api/operator-policies`.

Policies are for policymakers of their virtual host, operator policies for administrators; all may list them.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import Any

from leveret.engine.policies import Policy, PolicyCrash, PolicyError
from leveret.engine.vhost import VirtualHost
from leveret.management.call import Call, Handler, Refusal, Reply, Routes, bad_request, missing
from leveret.management.pagination import listed, picked


class Kind:
    """One of the two; `operator`: which."""

    def __init__(self, operator: bool) -> None:
        self.operator = operator

    def everywhere(self, call: Call) -> Any:
        """GET: those of every virtual host the caller may see."""
        return self._list(call, call.visible_vhosts())

    def in_vhost(self, call: Call) -> Any:
        """GET: those of one virtual host."""
        return self._list(call, (call.vhost(),))

    def _list(self, call: Call, vhosts: Iterable[VirtualHost]) -> Any:
        policies = call.broker.policies
        found = [policy for vhost in vhosts for policy in policies.list(vhost.name, self.operator)]
        return listed([policy.to_json() for policy in found], call.query, paged=False)

    def _may(self, call: Call) -> None:
        if self.operator:
            call.need_administrator()
        else:
            call.need_policymaker()

    def one(self, call: Call) -> Any:
        """GET: one."""
        self._may(call)
        vhost, name = call.vhost(), call.path["name"]
        for policy in call.broker.policies.list(vhost.name, self.operator):
            if policy.name == name:
                return picked(policy.to_json(), call.query)
        raise missing()

    def put(self, call: Call) -> Reply:
        """PUT {pattern, definition, priority, apply-to}: set it, and apply it to what is there."""
        self._may(call)
        vhost, fields = call.target_vhost(), call.fields()
        pattern, definition = call.needed(fields, ("pattern", "definition"))
        policy = Policy(
            vhost.name,
            call.path["name"],
            pattern,
            definition,
            fields.get("priority", 0),
            fields.get("apply-to", "all"),
        )
        try:
            new = call.broker.policies.set(policy, self.operator)
        except PolicyCrash:
            raise Refusal(500, "", "") from None
        except PolicyError as error:
            text = f"Validation failed\n\n{error}"
            escaped = call.broker.profile.policy_errors_escaped and not self.operator
            raise bad_request(html.escape(text, quote=False) if escaped else text) from None
        vhost.apply_policies()
        self._notify_set(call, policy)
        return Reply(201 if new else 204)

    def _notify_set(self, call: Call, policy: Policy) -> None:
        given = policy.to_json()
        shown = {name: given[name] for name in ("apply-to", "priority", "definition", "pattern")}
        if self.operator:
            place = {"name": policy.name, "component": "operator_policy", "vhost": policy.vhost}
            call.notify("parameter.set", value=shown, **place)
        who = {"user_who_performed_action": call.user.name}
        call.notify("policy.set", **shown, **who, vhost=policy.vhost, name=policy.name)

    def delete(self, call: Call) -> None:
        """DELETE: clear it."""
        self._may(call)
        vhost = call.vhost()
        if not call.broker.policies.clear(vhost.name, call.path["name"], self.operator):
            raise missing()
        vhost.apply_policies()
        name = call.path["name"]
        if self.operator:
            call.notify("parameter.cleared", name=name, component="operator_policy", vhost=vhost.name)
        call.notify(
            "operator.policy.cleared" if self.operator else "policy.cleared", vhost=vhost.name, name=name
        )

    def routes(self, path: str) -> Routes:
        """What is served below `path`."""
        one: dict[str, Handler] = {"GET": self.one, "PUT": self.put, "DELETE": self.delete}
        return {
            path: {"GET": self.everywhere},
            f"{path}/{{vhost}}": {"GET": self.in_vhost},
            f"{path}/{{vhost}}/{{name}}": one,
        }


ROUTES: Routes = {
    **Kind(operator=False).routes("policies"),
    **Kind(operator=True).routes("operator-policies"),
}
