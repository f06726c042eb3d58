"""Import definitions: users, virtual hosts, policies and topology as one JSON document (docs: definitions).

They are imported in RabbitMQ's order (rabbit_definitions:apply_defs/4), whatever theirs is in the document. Users,
permissions, policies, parameters and properties of virtual hosts replace what is there; queues, exchanges and bindings
that are there stay as they are, and nobody compares. Names in `amq.` are passed over.

The texts are those RabbitMQ 4.3.6 answers `POST /api/definitions` with. Where it fails with 500 the text says what is
wrong. A document that is refused changes nothing.
"""

from __future__ import annotations

import html
import logging
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from leveret.engine import operations
from leveret.engine.access import KINDS
from leveret.engine.definitions.rollback import Rollback
from leveret.engine.names import INTERNAL_USER
from leveret.engine.node_limits import VhostLimitError
from leveret.engine.operations import INTERNAL_CALLER, Caller, NoSuchExchangeError
from leveret.engine.parameters import OPERATOR_POLICY, ParameterError
from leveret.engine.patterns import PatternError, PatternTooLongError, check_pattern
from leveret.engine.policies import Policy, PolicyError
from leveret.engine.tags import TagError, check_number, checked_tags, words
from leveret.engine.users import LimitError, NoSuchUserError, UserError
from leveret.errors import AmqpError, DefinitionsError, VhostMovedError, declarations
from leveret.json_portions import compact
from leveret.plugin_names import instead, plugin_of
from leveret.wire.erlang import Atom, Quoted, Term, from_json, pretty, shown_json, wrapped
from leveret.wire.tables import Field, Table, from_plain
from leveret.work import Suspended

if TYPE_CHECKING:
    from leveret.engine.broker import Broker
    from leveret.engine.vhost import VirtualHost
    from leveret.work import Job, Steps

Item = Mapping[str, Any]

log = logging.getLogger("leveret")

#: Sections that RabbitMQ imports one object after another, and its words for sections in the log.
_ORDERED = ("global_parameters", "policies", "parameters")
_SPOKEN = {
    "topic_permissions": "topic permissions",
    "parameters": "runtime parameters",
    "global_parameters": "global runtime parameters",
}

#: What the log says about definitions of a single virtual host.
_ORPHANS = (
    "some queues, exchanges or bindings in the definition file are missing the virtual host field. Such files are "
    "produced when definitions of a single virtual host are exported. They cannot be used to import definitions at "
    "boot time"
)

#: Characters of a pattern that is too long, as it is shown.
_MOST_SHOWN = 4096

_TYPES = ("classic", "quorum", "stream")

#: Queues that are counted at once, in less than half a millisecond.
_PORTION = 500


def import_definitions(
    broker: Broker, document: object, caller: Caller = INTERNAL_CALLER, vhost: VirtualHost | None = None
) -> list[str]:
    """Import a document; returns warnings: what was passed over. Raises `DefinitionsError`.

    `caller`: who is named by the changes. `vhost`: the virtual host that the definitions are for, None for all: then
    objects name theirs.
    """
    warnings: list[str] = []
    for job in import_steps(broker, document, caller, vhost, warnings):
        if job is not None:
            broker.work.finish()
    return warnings


def import_steps(
    broker: Broker,
    document: object,
    caller: Caller,
    vhost: VirtualHost | None,
    warnings: list[str] | None = None,
) -> Generator[Job | None, None, None]:
    """`import_definitions` in steps: yields after each object, or the job that must end before it can go on.

    If it is given up, nothing is changed, as after an error: then a job takes back what was; a job applies the policies
    if all was imported. `warnings`: those of the import are added.
    """
    if not isinstance(document, Mapping):
        raise DefinitionsError("body_not_json_object")
    importing = _Import(broker, replace(caller, checked=False), vhost, [] if warnings is None else warnings)
    try:
        yield from importing.steps(document)
    except GeneratorExit:
        broker.work.begin(importing.taken_back(), "import of definitions")
        raise
    except BaseException:
        yield from importing.taken_back()
        raise
    importing.rollback.forget()
    try:
        yield from importing.apply_policies()
    except GeneratorExit:  # all is imported: it is too late to give up
        broker.work.begin(importing.apply_policies(), "policies of definitions")
        raise


def check_document(broker: Broker, document: object) -> Item:
    """Return a document whose objects name their virtual hosts. Raises `DefinitionsError` if it is none."""
    if not isinstance(document, Mapping):
        raise DefinitionsError("body_not_json_object")
    _Import(broker, INTERNAL_CALLER, None, []).sections(document)
    return document


def count(document: object) -> int:
    """Return about how many objects a document has, to compare steps with."""
    sections = document.values() if isinstance(document, Mapping) else ()
    return sum(len(section) for section in sections if isinstance(section, list))


class _Import:
    """One import. `vhost`: see `import_definitions`."""

    def __init__(
        self, broker: Broker, caller: Caller, vhost: VirtualHost | None, warnings: list[str]
    ) -> None:
        self.broker = broker
        self.caller = caller
        self.vhost = vhost
        self.rollback = Rollback(broker, caller)
        self.warnings = warnings

    def steps(self, document: Item) -> Steps:
        """Import all sections in RabbitMQ's order, and yield after each object. Raises `DefinitionsError`."""
        sections = self.sections(document)
        for name, take in self._order().items():
            if name == ("permissions" if self.vhost is None else "exchanges"):
                yield from self._check_queue_limits(sections["queues"])
            if sections[name] and self.vhost is None:
                how = "sequentially" if name in _ORDERED else "concurrently"
                log.info("Importing %s %d %s...", how, len(sections[name]), _SPOKEN.get(name, name))
            for item in sections[name]:
                if name == "global_parameters":
                    item = yield from _compact(item)
                while (job := self._suspended(take, item)) is not None:
                    yield job
                yield None

    @staticmethod
    def _suspended(take: Callable[[Item], None], item: Item) -> Job | None:
        """Import an object. If its virtual host is being deleted, or leaves this node, return the job that must end
        first. Raises `DefinitionsError`."""
        try:
            with _reasons():
                take(item)
        except Suspended as waiting:
            return waiting.job
        return None

    def sections(self, document: Item) -> dict[str, list[Item]]:
        """Return the objects of each section. Raises `DefinitionsError`."""
        sections = {name: self._items(name, document.get(name, [])) for name in self._order()}
        if self.vhost is None:
            self._check_orphans(sections)
        return sections

    def taken_back(self) -> Steps:
        """Take back what was changed: a job."""
        yield from self.rollback.steps()
        yield from self.apply_policies()

    def apply_policies(self) -> Steps:
        """Apply the policies of all virtual hosts, once for the whole document. Yields after each of them: a job begins
        for it."""
        for one in list(self.broker.vhosts.values()):
            if self.broker.vhosts.get(one.name) is one:
                one.apply_policies()
                yield None

    def _order(self) -> dict[str, Callable[[Item], None]]:
        topology = {"queues": self._queue, "bindings": self._binding}
        if self.vhost is not None:
            return {
                "exchanges": self._exchange,
                "parameters": self._parameter,
                "policies": self._policy,
                **topology,
            }
        return {
            "users": self._user,
            "vhosts": self._virtual_host,
            "permissions": self._permission,
            "exchanges": self._exchange,
            "topic_permissions": self._topic_permission,
            "global_parameters": self._global_parameter,
            "policies": self._policy,
            "parameters": self._parameter,
            **topology,
        }

    def _items(self, section: str, items: object) -> list[Item]:
        """The objects of a section; RabbitMQ passes over other items, except among queues."""
        if not isinstance(items, list) or (
            section == "queues" and not all(isinstance(item, dict) for item in items)
        ):
            raise DefinitionsError(f"{section} should be a list of objects")
        # A dict, as JSON has it, is recognized sooner than any other mapping.
        return [item for item in items if isinstance(item, dict)]

    def _check_orphans(self, sections: Mapping[str, list[Item]]) -> None:
        """Refuse the definitions of a single virtual host (rabbit_definitions:any_orphaned_in_doc)."""
        for section in ("queues", "exchanges", "bindings"):
            if any("vhost" not in item for item in sections[section]):
                log.error("Definitions import: %s", _ORPHANS)
                raise DefinitionsError("invalid_definitions_file")

    def _check_queue_limits(self, queues: list[Item]) -> Steps:
        """Refuse more queues than a virtual host may have (rabbit_definitions:validate_limits). Yields after each
        portion."""
        new: dict[str, int] = {}
        for number, item in enumerate(queues, 1):
            if number % _PORTION == 0:
                yield None
            vhost = self.vhost or self.broker.vhosts.get(_text(item, "vhost", "vhost should be a string"))
            if vhost is not None and item.get("name") not in vhost.queues:
                new[vhost.name] = new.get(vhost.name, 0) + 1
        for name, count in new.items():
            if name not in self.broker.vhosts:
                continue  # it has left meanwhile: its queues are refused
            limit, there = (
                self.broker.access.vhost_limit(name, "max-queues"),
                len(self.broker.vhosts[name].queues),
            )
            if limit is not None and there + count > limit:
                raise DefinitionsError(
                    f'Adding {count} queue(s) to virtual host "{name}" would exceed the limit of {limit} queue(s).'
                    f"\n\nThis virtual host currently has {there} queue(s) defined.\n\nImport aborted!"
                )

    def _place(self, item: Item) -> VirtualHost:
        """The virtual host of an object. Raises `DefinitionsError`, `Suspended`."""
        if self.vhost is None and "vhost" not in item:
            raise DefinitionsError("Virtual host does not exist and is not specified in definitions file.")
        wanted = self.vhost
        name = wanted.name if wanted is not None else _text(item, "vhost", "vhost should be a string")
        vhost = self._here(name)
        if vhost is None or (wanted is not None and vhost is not wanted):
            raise DefinitionsError(f'Please create virtual host "{name}" prior to importing definitions.')
        return vhost

    def _here(self, name: str) -> VirtualHost | None:
        """The virtual host of a name, None if there is none. Raises `VhostMovedError`, and `Suspended` while it is
        deleted, or leaves this node."""
        vhost = self.broker.vhosts.get(name)
        if vhost is not None:
            vhost.check_kept()
        elif name in self.broker.elsewhere:
            raise VhostMovedError.of(name)
        return vhost

    # --- users and virtual hosts

    def _user(self, item: Item) -> None:
        if "name" not in item:
            raise DefinitionsError("{badkey,name}")
        name = _text(item, "name", "function_clause")
        if not isinstance(item.get("tags", ""), str | list):
            raise DefinitionsError("function_clause")
        if not isinstance(item.get("password", ""), str):
            raise DefinitionsError("badarg")
        self.rollback.user(name)
        operations.put_user(self.broker, self.caller, name, item)

    def _virtual_host(self, item: Item) -> None:
        """Properties that are not there are reset; those in `metadata` count first, and only there a queue type."""
        name, given = _text(item, "name", "function_clause"), item.get("metadata")
        metadata: Item = given if isinstance(given, Mapping) else {}
        tags = metadata.get("tags", item.get("tags", ()))
        if tags is None:
            tags = ()
        if isinstance(tags, str):
            tags = words(tags) if tags else ()
        if not isinstance(tags, list | tuple):
            raise DefinitionsError("function_clause")
        check_number(len(tags))
        tags = [tag.strip() if isinstance(tag, str) else shown_json(tag) for tag in tags]
        kind, tracing = metadata.get("default_queue_type", operations.UNDEFINED), item.get("tracing")
        if kind not in (*_TYPES, operations.UNDEFINED):
            raise DefinitionsError(f"{kind} is not a valid queue type" if kind else EMPTY_QUEUE_TYPE)
        if not isinstance(tracing, bool | None):
            raise DefinitionsError(wrapped((Atom("case_clause"), from_json(tracing))))
        description = metadata.get("description", item.get("description"))
        vhost = self._here(name)  # what is taken back must not be one that comes here meanwhile
        if vhost is not None:
            self.rollback.vhost(vhost)
        new = operations.put_vhost(
            self.broker,
            self.caller,
            name,
            description="" if description is None else _described(description),
            tags=checked_tags(tags),
            default_queue_type=kind,
            tracing=tracing,
        )
        if new:
            self.rollback.new_vhost(name)
        here = name in self.broker.vhosts  # a new one of a cluster is not
        if here and isinstance(metadata.get("protected_from_deletion"), bool):
            protected = metadata["protected_from_deletion"]
            operations.protect_vhost(self.broker.vhosts[name], self.caller, protected)
        user = self.caller.actor.user
        if new and user != INTERNAL_USER and user in self.broker.access.users:
            self.rollback.permissions(user, name)
            operations.set_permissions(self.broker, self.caller, user, name, ".*", ".*", ".*")

    def _permission(self, item: Item) -> None:
        patterns = [self._pattern(item, kind, Quoted) for kind in KINDS]
        user = self._known_user(item)
        vhost = self._place(item)
        self.rollback.permissions(user, vhost.name)
        operations.set_permissions(self.broker, self.caller, user, vhost.name, *patterns)

    def _topic_permission(self, item: Item) -> None:
        write, read = (self._pattern(item, kind, str.encode) for kind in ("write", "read"))
        user = self._known_user(item)
        vhost = self._place(item)
        if "exchange" not in item:
            self.warnings.append(f"Skipping import of topic permissions of user {user!r} without an exchange")
            return
        exchange = _text(item, "exchange", "function_clause")
        self.rollback.topic_permissions(user, vhost.name, exchange)
        operations.set_topic_permissions(self.broker, self.caller, user, vhost.name, exchange, write, read)

    def _pattern(self, item: Item, field: str, shown: Callable[[str], Term]) -> str:
        """A pattern that must be a regular expression. Raises `DefinitionsError`."""
        pattern = _text(item, field, "badarg")
        try:
            check_pattern(pattern, self.broker.profile.pattern_bytes)
        except PatternTooLongError as error:
            term = (Atom("invalid_regexp"), shown(pattern[:_MOST_SHOWN]), Atom(error.reason))
            raise DefinitionsError(wrapped(term)) from None
        except PatternError as error:
            words, position = error.text_of(self.broker.profile.pcre2)
            invalid = (Atom("invalid_regexp"), shown(pattern), (Quoted(words), position))
            raise DefinitionsError(wrapped(invalid)) from None
        return pattern

    def _known_user(self, item: Item) -> str:
        user = _text(item, "user", "function_clause")
        if user not in self.broker.access.users:
            raise NoSuchUserError(user)
        return user

    # --- parameters and policies

    def _global_parameter(self, item: Item) -> None:
        """The identifier of the cluster stays that of this one."""
        name = item.get("name", "undefined")
        if not isinstance(name, str):
            raise DefinitionsError("name should be a string")
        if name.startswith("internal"):
            return
        self.rollback.global_parameter(name)
        operations.set_global_parameter(self.broker, self.caller, name, item.get("value"))

    def _policy(self, item: Item) -> None:
        vhost = self._place(item)
        if "name" not in item:
            text = f"policy in virtual host '{vhost.name}' has undefined name"
            raise DefinitionsError(pretty(Quoted(text)))
        name = _text(item, "name", "name should be a string")
        where = self._where(f'vhost: "{vhost.name}" key: "{name}"', vhost.name, name)
        if "definition" not in item:
            text = "parse error while reading policy definition: undefined. Validator: policy_validator."
            raise self._refused(f"Validation failed\n\n{text}\n", where)
        if not isinstance(item["definition"], dict) or not isinstance(item.get("apply-to", ""), str):
            raise DefinitionsError("definition should be an object, and apply-to a string")
        fields = (item["definition"], item.get("priority", 0), item.get("apply-to", "all"))
        policy = Policy(vhost.name, name, item.get("pattern", Atom("undefined")), *fields)
        self.rollback.policy(vhost.name, name, operator=False)
        try:
            operations.set_policy(vhost, self.caller, policy, apply=False)
        except PolicyError as error:
            raise self._refused(f"Validation failed\n\n{error}", where) from None

    def _parameter(self, item: Item) -> None:
        vhost, component = self._place(item), item.get("component", "undefined")
        if not isinstance(component, str) or not isinstance(item.get("name"), str):
            raise DefinitionsError("component and name should be strings")
        name, value = item["name"], item.get("value", Atom("undefined"))
        plugin = plugin_of(component, self.broker.settings.plugins.enabled)
        if plugin is not None:
            # RabbitMQ would import it: who has enabled the plugin has these parameters, and reads what is missing.
            text = f"Skipping import of parameter '{name}' of {component} in vhost '{vhost.name}': {instead(plugin)}"
            self.warnings.append(text)
            return
        long = f'vhost: "{vhost.name}" / component: "{component}" / key: "{name}"'
        where = self._where(long, vhost.name, component, name)
        if component == OPERATOR_POLICY:
            self.rollback.policy(vhost.name, name, operator=True)
        else:
            self.rollback.limits(vhost.name)
        try:
            operations.set_parameter(self.broker, self.caller, vhost, component, name, value, apply=False)
        except ParameterError as error:
            raise self._refused(str(error), where) from None

    def _where(self, long: str, *names: str) -> str:
        """What an error is about, as the version says it."""
        return f" ({long if self.broker.profile.definition_error_form == 'long' else '/'.join(names)})"

    def _refused(self, text: str, where: str) -> DefinitionsError:
        """The error of a policy or parameter, as the version prints it."""
        form = self.broker.profile.definition_error_form
        if form == "long":
            return DefinitionsError(text + where)
        short = html.escape(text, quote=False) + where
        return DefinitionsError(pretty(short.encode()) if form == "quoted" else short)

    # --- topology

    @property
    def _user_name(self) -> str:
        return self.caller.actor.user

    def _skip(self, what: str, name: str) -> None:
        text = f"Skipping import of {what} whose name begins with 'amq.', name: {name}"
        self.warnings.append(f"{text}, acting user: {self._user_name}")

    def _exchange(self, item: Item) -> None:
        name = item.get("name", "undefined")
        if name == "":
            self.warnings.append(f"Not importing the default exchange, acting user: {self._user_name}")
            return
        if str(name).startswith("amq."):
            self._skip("an exchange", str(name))
            return
        vhost = self._place(item)
        if not isinstance(name, str):
            raise DefinitionsError("function_clause")
        if name in vhost.exchanges:
            return
        if not isinstance(item.get("type", ""), str):
            raise DefinitionsError("badarg")
        arguments = _arguments(item)
        alternate = arguments.get("alternate-exchange")
        if alternate is not None and alternate.kind != "S":
            # RabbitMQ checks this argument only when clients declare; the exchange has no alternate then.
            del arguments["alternate-exchange"]
            self.warnings.append(
                f"Ignoring argument alternate-exchange of exchange '{name}', which is no string"
            )
        operations.declare_exchange(
            vhost,
            self.caller,
            name,
            item.get("type", "undefined"),
            durable=_truth(item, "durable", True),
            auto_delete=_truth(item, "auto_delete", False),
            internal=_truth(item, "internal", False),
            arguments=arguments,
        )
        self.rollback.exchange(vhost, name)

    def _queue(self, item: Item) -> None:
        name = _text(item, "name", "name should be a string")
        if name.startswith("amq."):
            self._skip("a queue", name)
            return
        vhost = self._place(item)
        if name in vhost.queues:
            return
        durable, auto_delete = item.get("durable", True), item.get("auto_delete", False)
        if not isinstance(durable, bool):
            raise DefinitionsError("badarg")
        if not isinstance(auto_delete, bool):
            raise DefinitionsError("function_clause")
        arguments = _arguments(item)
        if item.get("exclusive") is True:  # the default of the virtual host is not for such queues
            arguments.setdefault("x-queue-type", Field("S", b"classic"))
        try:
            operations.declare_queue(
                vhost, self.caller, name, durable=durable, auto_delete=auto_delete, arguments=arguments
            )
        except AmqpError as error:
            if not error.text.startswith(_IGNORED):
                raise
            self.warnings.append(f"Skipping import of queue '{name}': {error.text}")
            return
        self.rollback.queue(vhost, name)

    def _binding(self, item: Item) -> None:
        kind, name = (_text(item, field, "function_clause") for field in ("destination_type", "destination"))
        source = _text({"source": "", **item}, "source", "function_clause")
        key = item.get("routing_key")
        if not isinstance(key, str | None):
            raise DefinitionsError("function_clause")
        if kind not in ("queue", "exchange"):
            raise DefinitionsError("function_clause")
        arguments = _arguments(item)
        if source == "":
            return  # the default exchange binds all queues by itself
        where = (
            self.vhost.name if self.vhost is not None else _text(item, "vhost", "vhost should be a string")
        )
        vhost = self._here(where)
        self._check_ends(where, vhost, source, kind, name)
        assert vhost is not None
        exchange, end = vhost.exchanges[source], (vhost.queues if kind == "queue" else vhost.exchanges)[name]
        if key is None:
            key = self._null_key(exchange.type, source, name)
        if vhost.has_binding(exchange, end, key, arguments):
            return
        bind = operations.bind_queue if kind == "queue" else operations.bind_exchange
        try:
            bind(vhost, self.caller, source, name, key, arguments)
        except AmqpError as error:
            if self.broker.profile.definition_error_form != "long":
                raise
            raise _binding_refused(error) from None
        self.rollback.binding(vhost, source, kind, name, key, arguments)

    def _null_key(self, kind: str, source: str, destination: str) -> str:
        """Return the key of a binding whose routing key is null. RabbitMQ keeps the null, which equals no key; the
        types that read the key refuse it."""
        if kind == "topic":
            raise DefinitionsError("badarg")
        if kind == "x-consistent-hash":
            raise _binding_refused(declarations.weight_not_integer("null"))
        self.warnings.append(f"Binding of '{source}' to '{destination}' has no routing key: it is empty")
        return ""

    def _check_ends(
        self, where: str, vhost: VirtualHost | None, source: str, kind: str, destination: str
    ) -> None:
        """Raise `DefinitionsError` unless both ends of a binding exist."""
        missing: list[Term] = []
        for what, name in (("exchange", source), (kind, destination)):
            places: Mapping[str, object] = {}
            if vhost is not None:
                places = vhost.queues if what == "queue" else vhost.exchanges
            if name not in places:
                resource = (Atom("resource"), from_json(where), Atom(what), from_json(name))
                missing.append((Atom("not_found"), resource))
        if missing:
            raise DefinitionsError(wrapped((Atom("resources_missing"), missing)))


#: What begins the text about a binding that a type of exchange refuses, and what ends it behind the value.
_BINDING_TEXTS = (
    ("Invalid x-match field value ", "; expected all, any, all-with-x, or any-with-x"),
    ("The binding key must be an integer: ", ""),
)
_PRECONDITION = "PRECONDITION_FAILED - "


def _binding_refused(error: AmqpError) -> AmqpError | DefinitionsError:
    """Return the error of a binding as 4.3 shows it: as an Erlang term with the format and its values."""
    text = error.text.removeprefix(_PRECONDITION)
    for start, end in _BINDING_TEXTS:
        if text.startswith(start) and text.endswith(end):
            value = text[len(start) : len(text) - len(end)]
            first, last = f'{{binding_invalid,"{start}~tp{end}",', f"[{value}]}}"
            line_end = "\n" + " " * len("{binding_invalid,") if len(first + last) > 80 else ""
            return DefinitionsError(first + line_end + last)
    return error


EMPTY_QUEUE_TYPE = "default_queue_type must not be an empty string"

#: How the errors about queues begin that RabbitMQ ignores in definitions: it skips the queue.
_IGNORED = ("PRECONDITION_FAILED - invalid property", "INTERNAL_ERROR - Feature `queue_master_locator`")


@contextmanager
def _reasons() -> Iterator[None]:
    """Turn what an operation raises into RabbitMQ's reason. Raises `DefinitionsError`."""
    try:
        yield
    except NoSuchUserError as error:
        raise DefinitionsError(wrapped((Atom("no_such_user"), from_json(error.name)))) from None
    except NoSuchExchangeError as error:
        raise DefinitionsError(wrapped((Atom("no_such_exchange"), from_json(error.name)))) from None
    except TagError as error:
        raise DefinitionsError(str(error)) from None
    except UserError as error:
        reason = error.reason
        if not isinstance(reason, str):
            reason = wrapped((Atom(reason[0]), *map(from_json, reason[1:])))
        raise DefinitionsError(reason) from None
    except VhostLimitError as error:
        exceeded = (Atom("vhost_limit_exceeded"), Quoted(str(error)))
        raise DefinitionsError(wrapped((Atom("case_clause"), (Atom("EXIT"), exceeded)))) from None
    except LimitError as error:
        raise DefinitionsError(wrapped((Atom("errors"), [error.term]))) from None
    except AmqpError as error:
        raise DefinitionsError(f"{error.name.lower()}: {error.explanation}") from None


def _compact(item: Item) -> Generator[None, None, Item]:
    """Return a global parameter whose value is kept as text if it is large."""
    return {**item, "value": (yield from compact(item["value"]))} if "value" in item else item


def _text(item: Item, field: str, reason: str) -> str:
    """A field that must be a string. Raises `DefinitionsError` with the reason."""
    value = item.get(field)
    if not isinstance(value, str):
        raise DefinitionsError(reason)
    return value


def _described(given: object) -> str:
    return given if isinstance(given, str) else shown_json(given)


def _truth(item: Item, field: str, default: bool) -> bool:
    """A field of an exchange that is true or false; RabbitMQ takes any value."""
    value = item.get(field, default)
    return value is True or value == "true"


def _arguments(item: Item) -> Table:
    given = item.get("arguments", {})
    if isinstance(given, list):  # RabbitMQ takes a list as no arguments
        given = {}
    if not isinstance(given, Mapping):
        raise DefinitionsError("function_clause")
    try:
        return from_plain(given)
    except ValueError as error:
        raise DefinitionsError(str(error)) from None
