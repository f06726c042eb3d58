"""`rabbitmqctl eval`: the expressions that scripts of client libraries use, by pattern; all others are refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf, isfinite
from operator import add, mul, sub
from typing import Any

from leveret.control.call import Call, Handler
from leveret.rendering.answers import UNAVAILABLE, Done, Failure, Shown, failed
from leveret.rendering.expressions import Call as Expression
from leveret.rendering.expressions import Match, Sum, Variable, parse
from leveret.rendering.terms import Atom, Quoted
from leveret.settings import ConfigError, checked

_OPERATORS: dict[str, Callable[[Any, Any], int | float]] = {"+": add, "-": sub, "*": mul}

_REFUSED = (
    "Leveret evaluates no Erlang except a few expressions (docs/features/commands.md lists them). Use another command "
    "of 'rabbitmqctl help', the HTTP API, or the settings of the node."
)


def evaluate(call: Call) -> object:
    """Show the value of the last of some expressions."""
    evaluation = Evaluation(call)
    value: object = None
    for expression in parse(call.arguments[0]):
        value = evaluation.value(expression)
    return Done(value) if call.json else Shown(value)


class Evaluation:
    """The values of variables, and what was set in the environment of applications."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.variables: dict[str, object] = {}

    def value(self, expression: object) -> object:
        """The value of an expression. Raises `Failure`."""
        if isinstance(expression, Match):
            value = self.variables[expression.variable] = self.value(expression.value)
            return value
        if isinstance(expression, Variable):
            if expression not in self.variables:
                raise failed(UNAVAILABLE, f"variable '{expression}' is unbound")
            return self.variables[expression]
        if isinstance(expression, Sum):
            return self._sum(expression)
        if isinstance(expression, Expression):
            return self._call(expression)
        if isinstance(expression, tuple):
            return tuple(self.value(item) for item in expression)
        if isinstance(expression, list):
            return [self.value(item) for item in expression]
        return expression

    def _sum(self, expression: Sum) -> object:
        left, right = self.value(expression.left), self.value(expression.right)
        if not isinstance(left, int | float) or not isinstance(right, int | float):
            raise failed(UNAVAILABLE, "badarith")
        try:
            result = _OPERATORS[expression.operator](left, right)
            str(result)
        except (OverflowError, ValueError):  # an integer that is too long, also for a float
            result = inf
        if isinstance(result, float) and not isfinite(result):
            raise failed(UNAVAILABLE, "badarith")
        return result

    def _call(self, expression: Expression) -> object:
        name = f"{expression.module}:{expression.name}" if expression.module else expression.name
        function = _FUNCTIONS.get(name)
        if function is None:
            raise _refused(name, expression.arguments)
        return function(self.call, [self.value(item) for item in expression.arguments])


def _refused(name: str, arguments: Sequence[object]) -> Failure:
    return failed(UNAVAILABLE, f"{name}/{len(arguments)}: {_REFUSED}")


def _set_alarm(call: Call, arguments: list[object]) -> object:
    """Set a resource alarm until it is cleared in the same way."""
    match arguments:
        case [((Atom("resource_limit"), Atom(source), _), [])] if source in ("memory", "disk"):
            call.host.resources.held.add(str(source))
            call.broker.set_alarm(str(source))
            return Atom("ok")
    raise _refused("rabbit_alarm:set_alarm", arguments)


def _clear_alarm(call: Call, arguments: list[object]) -> object:
    match arguments:
        case [(Atom("resource_limit"), Atom(source), _)]:
            call.host.resources.held.discard(str(source))
            call.broker.clear_alarm(str(source))
            call.host.resources.check()
            return Atom("ok")
    raise _refused("rabbit_alarm:clear_alarm", arguments)


def _loopback_users(call: Call, value: object) -> bool:
    if not isinstance(value, list):
        return False
    call.broker.access.loopback_users = frozenset(str(name) for name in value)
    return True


def _ignored(call: Call, value: object) -> bool:
    """Accept a setting that has no effect here: statistics are exact at any time."""
    return True


#: Application and parameter that scripts set -> what it does here. `None`: kept, and read back.
_ENVIRONMENT: dict[tuple[str, str], Callable[[Call, object], bool] | None] = {
    ("rabbit", "channel_max"): None,
    ("rabbit", "loopback_users"): _loopback_users,
    ("rabbit", "collect_statistics_interval"): _ignored,
    ("rabbit", "collect_statistics"): _ignored,
    ("rabbit", "consumer_timeout"): None,
    ("rabbit", "heartbeat"): None,
    ("rabbitmq_management", "sample_retention_policies"): _ignored,
    ("rabbitmq_management_agent", "sample_retention_policies"): _ignored,
    ("rabbitmq_management", "rates_mode"): _ignored,
}


def _set_env(call: Call, arguments: list[object]) -> object:
    """Set a parameter of an application, one of those that scripts set."""
    if len(arguments) not in (3, 4):
        raise _refused("application:set_env", arguments)
    application, name, value = arguments[:3]
    key = (str(application), str(name))
    if key not in _ENVIRONMENT:
        raise failed(UNAVAILABLE, f"application:set_env({key[0]}, {key[1]}, ...): {_REFUSED}")
    effect = _ENVIRONMENT[key]
    if effect is not None and not effect(call, value):
        raise failed(UNAVAILABLE, "badarg")
    if effect is None and not _change(call, key[1], value):
        raise failed(UNAVAILABLE, "badarg")
    return Atom("ok")


def _change(call: Call, name: str, value: object) -> bool:
    """Change a setting that connections read when they are opened. Returns whether it can have this value."""
    import msgspec

    try:
        checked(f"amqp.{name}", value, "eval", name)
    except ConfigError:
        return False
    settings = call.broker.settings
    amqp = msgspec.structs.replace(settings.amqp, **{name: value})
    changed = msgspec.structs.replace(settings, amqp=amqp)
    call.broker.settings = call.broker.context.settings = changed
    return True


def _get_env(call: Call, arguments: list[object]) -> object:
    if len(arguments) not in (2, 3):
        raise _refused("application:get_env", arguments)
    application, name = (str(each) for each in arguments[:2])
    if application != "rabbit":
        return Atom("undefined")
    settings = call.broker.settings
    values: dict[str, object] = {
        "channel_max": settings.amqp.channel_max,
        "frame_max": settings.amqp.frame_max,
        "heartbeat": settings.amqp.heartbeat,
        "consumer_timeout": settings.amqp.consumer_timeout,
        "max_message_size": call.broker.max_message_size,
        "loopback_users": sorted(call.broker.access.loopback_users),
        "vm_memory_high_watermark": call.host.resources.setting,
        "disk_free_limit": call.host.resources.disk_limit,
        "default_user": settings.access.default_user,
        "default_vhost": settings.access.default_vhost,
        "data_dir": Quoted(call.host.data_dir),
    }
    return (Atom("ok"), values[name]) if name in values else Atom("undefined")


_FUNCTIONS: dict[str, Callable[[Call, list[object]], object]] = {
    "node": lambda call, arguments: Atom(call.node),
    "erlang:node": lambda call, arguments: Atom(call.node),
    "rabbit_misc:version": lambda call, arguments: Quoted(call.broker.profile.version),
    "rabbit:is_running": lambda call, arguments: call.host.running,
    "rabbit_nodes:cluster_name": lambda call, arguments: call.broker.cluster_name,
    "application:set_env": _set_env,
    "application:get_env": _get_env,
    "rabbit_alarm:set_alarm": _set_alarm,
    "rabbit_alarm:clear_alarm": _clear_alarm,
    "os:getpid": lambda call, arguments: Quoted(str(_pid())),
}


def _pid() -> int:
    import os

    return os.getpid()


COMMANDS: dict[str, Handler] = {"eval": evaluate, "eval_file": evaluate}
