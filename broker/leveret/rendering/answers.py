"""What a command answers, and how it is written (rabbitmq_cli: default_output.ex, rabbitmqctl.ex)."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from dataclasses import dataclass

from leveret.rendering.formatters import FORMATTERS, FormatError, Formatter, encoded
from leveret.rendering.terms import Atom, inspect, text_of

Options = Mapping[str, object]

#: Exit codes (sysexits.h).
OK, USAGE, DATA, NO_USER, UNAVAILABLE, SOFTWARE, TEMPORARY = 0, 64, 65, 67, 69, 70, 75


@dataclass(frozen=True, slots=True)
class Done:
    """It is done. `value`: what came of it, as an `{ok, Value}`; JSON says so in an object."""

    value: object = None


@dataclass(frozen=True, slots=True)
class Shown:
    """A value to show as it is. A list that is no property list is shown row by row."""

    value: object


@dataclass(frozen=True, slots=True)
class Rows:
    """A list that is shown while it is made."""

    rows: Iterable[object] | AsyncIterable[object]


@dataclass(frozen=True, slots=True)
class Live:
    """Texts that are written when they come, as long as the command runs."""

    texts: AsyncIterable[str]


@dataclass(frozen=True, slots=True)
class Silent:
    """Nothing to show, as of a check that has passed."""


@dataclass(frozen=True, slots=True)
class Noted:
    """An answer with a text before it, which no formatter changes. The answer may be a function that fails."""

    text: str
    answer: Callable[[], object]


class Failure(Exception):  # noqa: N818  it is an answer
    """The command has failed. `text`: for standard error, empty for nothing."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


def failed(code: int, text: object) -> Failure:
    """A failure with an exit code."""
    return Failure(code, f"Error:\n{text_of(text)}")


def failed_with(term: object) -> Failure:
    """An error term: RabbitMQ's words for the known ones, else the term as Elixir prints it."""
    match term:
        case (Atom("no_such_vhost"), vhost):
            return Failure(DATA, f"Virtual host '{vhost}' does not exist")
        case (Atom("not_found"), kind, vhost, name):
            return Failure(DATA, f"{kind} '{name}' was not found in virtual host '{vhost}'")
        case Atom("not_found"):
            return Failure(DATA, "Object (queue, stream, exchange, etc) was not found")
    return failed(UNAVAILABLE, term if isinstance(term, str) else inspect(term))


def failed_json(fields: Mapping[str, object], code: int = UNAVAILABLE) -> Failure:
    """A failure as JSON."""
    return Failure(code, encoded(dict(fields)))


def check_failed(text: object, options: Options) -> Failure:
    """A health check that has failed."""
    return Failure(UNAVAILABLE, encoded(text) if isinstance(text, dict) else text_of(text))


#: A health check that has failed and says nothing.
QUIET_FAILURE = Failure(UNAVAILABLE, "")


def formatter_of(options: Options, default: str, *, raw: bool = False) -> Formatter:
    """The formatter that the options name, or that of the command."""
    named = str(options.get("formatter", "")).lower()
    return FORMATTERS.get(named, FORMATTERS[default])(options, raw)


def value_of(answer: object, options: Options) -> object:
    """The value that an answer shows. `Silent` for none."""
    if isinstance(answer, Done):
        if options.get("formatter") == "json":
            value = {} if answer.value is None else {"value": answer.value}
            return {"result": "ok", "node": str(options["node"]), **value}
        return Silent() if answer.value is None else answer.value
    return answer.value if isinstance(answer, Shown) else answer


def is_list(value: object) -> bool:
    """Whether a value is shown row by row: a list that is no property list."""
    return isinstance(value, list) and not all(isinstance(one, tuple) and len(one) == 2 for one in value)


def written(answer: object, formatter: Formatter, options: Options) -> Iterable[str]:
    """Yield what is written to standard output. Lists that come from a node are `Rows` of it, and not for this."""
    if isinstance(answer, Noted):
        yield answer.text
        answer = answer.answer()
    value = value_of(answer, options)
    if isinstance(value, Silent):
        return
    if isinstance(value, Rows):
        assert isinstance(value.rows, Iterable)
        yield from _rows(value.rows, formatter)
    elif isinstance(value, list) and is_list(value):
        yield from _rows(value, formatter)
    else:
        try:
            yield formatter.value(value)
        except FormatError as error:
            raise Failure(SOFTWARE, str(error)) from None


def _rows(rows: Iterable[object], formatter: Formatter) -> Iterable[str]:
    for each in rows:
        yield from row_written(each, formatter)
    yield formatter.end()


def row_written(each: object, formatter: Formatter) -> Iterable[str]:
    """Yield what is written for one row. Raises `Failure` after that if the formatter cannot show it."""
    try:
        yield formatter.row(each)
    except FormatError as error:
        yield "".join(getattr(error, "__notes__", []))
        raise Failure(SOFTWARE, str(error)) from None
