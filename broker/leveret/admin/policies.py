"""Commands of `rabbitmqadmin` that change a part of policies, many of them at once, or look for them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable

from leveret.admin.command import DATA, Command, Failed, Given, Run, json_of, show_rows
from leveret.admin.http import segment

POLICIES, OPERATOR_POLICIES = "policies", "operator-policies"

COLUMNS = "name vhost pattern apply_to=apply-to priority definition=definition+"

#: How much more priority an override has, and the most that a blanket has.
_OVERRIDE_PRIORITY, _BLANKET_PRIORITY = 100, -20

#: Target of a policy -> the targets that it includes.
_INCLUDES = {"queues": ("classic_queues", "quorum_queues", "streams")}

Policy = dict[str, object]


def applies(target: str, other: str) -> bool:
    """Return whether one target of policies includes another (`PolicyTarget::does_apply_to`)."""
    return "all" in (target, other) or target == other or other in _INCLUDES.get(target, ())


def matches(policy: Policy, name: str, target: str) -> bool:
    """Return whether a policy matches an object of a target by its name."""
    try:
        found = re.search(str(policy["pattern"]), name)
    except re.error:
        return False
    return found is not None and applies(str(policy["apply-to"]), target)


def _list(run: Run, path: str) -> list[Policy]:
    found = run.api.get(path)
    return found if isinstance(found, list) else []


def _one(run: Run, kind: str, name: str) -> Policy:
    found = run.api.get(f"/{kind}/{run.where()}/{segment(name)}")
    assert isinstance(found, dict)
    return found


def _put(run: Run, kind: str, policy: Policy) -> None:
    fields = {key: policy[key] for key in ("pattern", "definition", "priority", "apply-to")}
    run.api.send("PUT", f"/{kind}/{segment(str(policy['vhost']))}/{segment(str(policy['name']))}", fields)


def _definition(policy: Policy) -> dict[str, object]:
    found = policy["definition"]
    return dict(found) if isinstance(found, dict) else {}


def _merged(policy: Policy, more: object) -> Policy:
    """Return a policy with more keys. Raises `Failed`."""
    if not isinstance(more, dict):
        raise Failed(DATA, "Failed to parse JSON argument: definition must be a JSON object")
    return {**policy, "definition": {**_definition(policy), **more}}


def _override(run: Run, given: Given) -> None:
    """A policy like another one, with more priority and other keys."""
    policy = _one(run, POLICIES, given["name"])
    name = given.get("override_name") or f"overrides.{given['name']}"[:255]
    priority = int(str(policy["priority"])) + _OVERRIDE_PRIORITY
    _put(
        run,
        POLICIES,
        {**_merged(policy, json_of(given.get("definition", "{}"))), "name": name, "priority": priority},
    )


def _blanket(run: Run, given: Given) -> None:
    """A policy for everything that no other policy matches."""
    lowest = min((int(str(one["priority"])) for one in _list(run, f"/policies/{run.where()}")), default=0)
    policy: Policy = {
        "name": given["name"], "vhost": run.vhost, "pattern": ".*", "apply-to": given["apply_to"],
        "definition": json_of(given["definition"]), "priority": min(lowest - 1, _BLANKET_PRIORITY),
    }  # fmt: skip
    _put(run, POLICIES, policy)


def _patch(kind: str) -> Callable[[Run, Given], None]:
    def patch(run: Run, given: Given) -> None:
        more = json_of(given.get("definition", "{}"))
        _put(run, kind, _merged(_one(run, kind, given["name"]), more))

    return patch


def _update(kind: str) -> Callable[[Run, Given], None]:
    def update(run: Run, given: Given) -> None:
        value = {given["definition_key"]: json_of(given["new_value"])}
        _put(run, kind, _merged(_one(run, kind, given["name"]), value))

    return update


def _update_all(kind: str, *, everywhere: bool = False) -> Callable[[Run, Given], None]:
    def update(run: Run, given: Given) -> None:
        value = {given["definition_key"]: json_of(given["new_value"])}
        for policy in _list(run, f"/{kind}" if everywhere else f"/{kind}/{run.where()}"):
            _put(run, kind, _merged(policy, value))

    return update


def _without(policy: Policy, keys: Iterable[str]) -> Policy:
    return {
        **policy,
        "definition": {key: value for key, value in _definition(policy).items() if key not in keys},
    }


def _delete_keys(kind: str) -> Callable[[Run, Given], None]:
    def delete(run: Run, given: Given) -> None:
        keys = given.get("definition_keys", "").split(",")
        _put(run, kind, _without(_one(run, kind, given["name"]), keys))

    return delete


def _delete_keys_from_all(kind: str, *, everywhere: bool = False) -> Callable[[Run, Given], None]:
    """Policies that would have no keys any more stay as they are."""

    def delete(run: Run, given: Given) -> None:
        keys = given.get("definition_keys", "").split(",")
        for policy in _list(run, f"/{kind}" if everywhere else f"/{kind}/{run.where()}"):
            left = _without(policy, keys)
            if left["definition"]:
                _put(run, kind, left)

    return delete


def _list_in(kind: str) -> Callable[[Run, Given], None]:
    def show(run: Run, given: Given) -> None:
        found = _list(run, f"/{kind}/{run.where()}")
        target = given.get("apply_to")
        show_rows(
            run, [one for one in found if target is None or applies(target, str(one["apply-to"]))], COLUMNS
        )

    return show


def _list_matching(kind: str) -> Callable[[Run, Given], None]:
    def show(run: Run, given: Given) -> None:
        target = {"queue": "queues", "stream": "streams", "exchange": "exchanges"}.get(
            given["type"], given["type"]
        )
        found = [one for one in _list(run, f"/{kind}/{run.where()}") if matches(one, given["name"], target)]
        show_rows(run, sorted(found, key=lambda one: -int(str(one["priority"]))), COLUMNS)

    return show


def _list_conflicting(*, everywhere: bool) -> Callable[[Run, Given], None]:
    """Policies of a virtual host with the same priority."""

    def show(run: Run, given: Given) -> None:
        found = _list(run, "/policies" if everywhere else f"/policies/{run.where()}")
        counts = Counter((one["vhost"], one["priority"]) for one in found)
        show_rows(run, [one for one in found if counts[one["vhost"], one["priority"]] > 1], COLUMNS)

    return show


def _commands(group: str, kind: str) -> dict[str, Command]:
    """The commands that policies and operator policies have."""
    return {
        f"{group} list_in": Command(_list_in(kind), takes="apply_to"),
        f"{group} list_matching_object": Command(_list_matching(kind), "name type"),
        f"{group} patch": Command(_patch(kind), "name", "definition"),
        f"{group} update_definition": Command(_update(kind), "name definition_key new_value"),
        f"{group} update_definitions_of_all_in": Command(_update_all(kind), "definition_key new_value"),
        f"{group} delete_definition_keys": Command(_delete_keys(kind), "name", "definition_keys"),
        f"{group} delete_definition_keys_from_all_in": Command(
            _delete_keys_from_all(kind), takes="definition_keys"
        ),
    }


COMMANDS: dict[str, Command] = {
    **_commands("policies", POLICIES),
    **_commands("operator_policies", OPERATOR_POLICIES),
    "policies declare_override": Command(_override, "name", "override_name definition"),
    "policies declare_blanket": Command(_blanket, "name apply_to definition"),
    "policies list_conflicting": Command(_list_conflicting(everywhere=True)),
    "policies list_conflicting_in": Command(_list_conflicting(everywhere=False)),
    "policies update_definitions_of_all": Command(
        _update_all(POLICIES, everywhere=True), "definition_key new_value"
    ),
    "policies delete_definition_keys_from_all": Command(
        _delete_keys_from_all(POLICIES, everywhere=True), "definition_keys"
    ),
}
