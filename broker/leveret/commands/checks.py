"""Checks of the arguments of commands before a node is asked (rabbitmq_cli: `validate` of the commands).

A check returns None, or what is wrong: a `Wrong`, a `Fault` whose text has no usage after it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from leveret.commands.table import Command

#: Exit codes (rabbitmq_cli: exit_codes.ex; sysexits.h).
USAGE, DATA, NO_USER, UNAVAILABLE, SOFTWARE, TEMPORARY, CONFIG = 64, 65, 67, 69, 70, 75, 78

Options = dict[str, object]


class Wrong(NamedTuple):
    """An argument that is refused; the usage follows the text."""

    text: str
    code: int = USAGE


class Fault(NamedTuple):
    """An error without the usage."""

    text: str
    code: int = UNAVAILABLE


NOT_ENOUGH = Wrong("not enough arguments.")
TOO_MANY = Wrong("too many arguments.")


def bad(detail: str = "") -> Wrong:
    """A bad argument."""
    return Wrong(f"Bad argument: {detail}" if detail else "Bad argument.", DATA)


def said(text: str) -> Wrong:
    """A text, as Elixir inspects it."""
    return Wrong('"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"')


def check(command: Command, arguments: Sequence[str], options: Options) -> Wrong | Fault | None:
    """Check the number of arguments, then what the command checks of them."""
    before = globals().get(f"_before_{command.check}")
    wrong: Wrong | Fault | None = before(arguments, options) if before else None
    if wrong is not None:
        return wrong
    least, most = command.arguments
    if len(arguments) < least:
        return NOT_ENOUGH
    if most is not None and len(arguments) > most:
        return TOO_MANY
    if command.columns:
        return _columns(command, arguments)
    own = globals().get(f"_{command.check}")
    found: Wrong | Fault | None = own(arguments, options) if own else None
    return found


def columns(arguments: Sequence[str]) -> list[str]:
    """The columns that arguments name, each once; commas separate them, too."""
    names = [name.strip() for argument in arguments for name in argument.split(",")]
    return list(dict.fromkeys(name for name in names if name))


def _columns(command: Command, arguments: Sequence[str]) -> Wrong | None:
    unknown = [name for name in columns(arguments) if name not in command.columns]
    return Wrong(f"Info key(s) {','.join(unknown)} are not supported") if unknown else None


def _base64(text: str) -> bool:
    import binascii

    try:
        binascii.a2b_base64(text.encode(), strict_mode=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _add_user(arguments: Sequence[str], options: Options) -> Wrong | None:
    if len(arguments) == 2 and not arguments[0]:
        return bad("user cannot be an empty string")
    if len(arguments) == 2 and options["pre_hashed_password"] and not _base64(arguments[1]):
        return bad("Could not Base64 decode provided password hash value")
    return None


def _set_user_tags(arguments: Sequence[str], options: Options) -> Wrong | None:
    count = len(arguments) - 1
    return bad(f"A user can have at most 32 tags (received {count})") if count > 32 else None


def _hash_password(arguments: Sequence[str], options: Options) -> Wrong | None:
    if list(arguments) == [""]:
        return bad("password cannot be an empty string")
    algorithm = options.get("hashing_algorithm")
    if algorithm is not None and str(algorithm).lower() not in (
        "sha256",
        "sha-256",
        "sha512",
        "sha-512",
        "md5",
    ):
        return bad(f"unsupported hashing algorithm: {algorithm}")
    return None


def _queue_type(arguments: Sequence[str], options: Options) -> Wrong | None:
    given = options.get("default_queue_type")
    if given is None or given in ("quorum", "stream", "classic"):
        return None
    if not given:
        return bad("Default queue type must not be an empty string")
    return bad(f"Default queue type must be one of: quorum, stream, classic. Provided: {given}")


def _metadata(arguments: Sequence[str], options: Options) -> Wrong | None:
    names = ("description", "tags", "default_queue_type", "protected_from_deletion")
    return _queue_type(arguments, options) if any(name in options for name in names) else NOT_ENOUGH


def _positive(arguments: Sequence[str], options: Options) -> Wrong | None:
    number = _leading_integer(arguments[0])
    if number is None or number < 1:
        return bad("Argument must be a positive integer")
    return None


def _leading_integer(text: str) -> int | None:
    """Elixir's `Integer.parse`: an integer that other characters may follow."""
    sign = text[:1] if text[:1] in ("-", "+") else ""
    digits = text[len(sign) :]
    count = next(
        (at for at, char in enumerate(digits) if not char.isascii() or not char.isdigit()), len(digits)
    )
    return int(sign + digits[:count]) if count else None


def _before_wait(arguments: Sequence[str], options: Options) -> Wrong | None:
    if len(arguments) > 1:
        return TOO_MANY
    if arguments and "pid" in options:
        return said("Cannot specify both pid and pidfile")
    if not arguments and "pid" not in options:
        return said("No pid or pidfile specified")
    return None


def _delete_queue(arguments: Sequence[str], options: Options) -> Wrong | None:
    return None if arguments[0] else bad("queue name cannot be an empty string")


def _feature_flag(arguments: Sequence[str], options: Options) -> Wrong | None:
    return None if arguments[0] else bad("feature flag (or group) name cannot be an empty string")


def _before_format(options: Options) -> Wrong | None:
    if str(options["format"]).lower() not in ("json", "erlang"):
        return bad("Format should be either json or erlang")
    return None


def _before_export_definitions(arguments: Sequence[str], options: Options) -> Wrong | None:
    return _before_format(options)


def _export_definitions(arguments: Sequence[str], options: Options) -> Wrong | None:
    folder = os.path.dirname(arguments[0]) or "."
    if arguments[0] != "-" and not os.path.exists(folder):
        return bad(f"Directory {folder} does not exist")
    return None


def _before_import_definitions(arguments: Sequence[str], options: Options) -> Wrong | None:
    return _before_format(options)


def _import_definitions(arguments: Sequence[str], options: Options) -> Wrong | None:
    if arguments and not os.path.exists(arguments[0]):
        return bad(f"File {arguments[0]} does not exist")
    return None


def _eval(arguments: Sequence[str], options: Options) -> Wrong | None:
    if not arguments:
        return None
    if not arguments[0]:
        return said("Expression must not be blank")
    return _expression(arguments[0])


def _expression(text: str) -> Wrong | None:
    from leveret.commands.expressions import syntax_error

    error = syntax_error(text)
    return said(error) if error else None


def _eval_file(arguments: Sequence[str], options: Options) -> Wrong | None:
    path = arguments[0]
    if not path:
        return said("File path must not be blank")
    try:
        with open(path, encoding="utf-8") as file:
            return _expression(file.read())
    except FileNotFoundError:
        return said(f"File {path} does not exist")
    except PermissionError:
        return said(f"Insufficient permissions to read file {path}")
    except OSError as error:
        return Wrong(f":{(error.strerror or '').lower()}")


def _exec(arguments: Sequence[str], options: Options) -> Wrong | None:
    return None if arguments[0] else said("Expression must not be blank")


def _cipher(options: Options, cipher_end: str, iterations: str) -> Wrong | None:
    from leveret.commands.encryption import CIPHERS, HASHES

    if options.get("cipher", CIPHERS[0]) not in CIPHERS:
        return bad(f"The requested cipher is not supported{cipher_end}")
    if options.get("hash", HASHES[0]) not in HASHES:
        return bad("The requested hash is not supported")
    count = options.get("iterations", 1)
    return bad(iterations) if not isinstance(count, int) or count <= 0 else None


def _encode(arguments: Sequence[str], options: Options) -> Wrong | None:
    return _cipher(options, ".", "The requested number of iterations is incorrect")


def _before_decode(arguments: Sequence[str], options: Options) -> Wrong | None:
    if not arguments:
        return Wrong("not enough arguments: Please provide a value to decode and a passphrase")
    return None


def _decode(arguments: Sequence[str], options: Options) -> Wrong | None:
    text = "The requested number of iterations is incorrect (must be a positive integer)"
    return _cipher(options, "", text)


def _interceptor_priorities(arguments: Sequence[str], options: Options) -> Wrong | None:
    if len(arguments) % 2:
        return bad("Interceptors and priorities must be provided as <interceptor> <priority> pairs")
    for priority in arguments[1::2]:
        if _integer(priority) is None:
            return bad(f'Priority "{priority}" is not a valid integer')
    return None


def _integer(text: str) -> int | None:
    digits = text[1:] if text[:1] in ("-", "+") else text
    return int(text) if digits.isascii() and digits.isdigit() else None


def _fraction(text: str) -> float | None:
    try:
        return float(text) if text and (text[0].isdigit() or text[0] in "+-") and text[-1].isdigit() else None
    except ValueError:
        return None


def _disk_free_limit(arguments: Sequence[str], options: Options) -> Wrong | None:
    from leveret.rendering.sizes import octets  # seldom

    if arguments[0] == "mem_relative":
        if len(arguments) != 2:
            return NOT_ENOUGH if len(arguments) < 2 else TOO_MANY
        fraction = _fraction(arguments[1])
        return None if fraction is not None and fraction >= 0 else bad()
    if len(arguments) > 1:
        return TOO_MANY
    return None if _integer(arguments[0]) is not None or octets(arguments[0]) is not None else bad()


def _memory_high_watermark(arguments: Sequence[str], options: Options) -> Wrong | None:
    if arguments[0] == "absolute":
        if len(arguments) == 1:
            return NOT_ENOUGH
        return TOO_MANY if len(arguments) > 2 else _absolute(arguments[1])
    if len(arguments) > 1:
        return TOO_MANY
    fraction = _fraction(arguments[0])
    if fraction is None:
        return bad()
    if not 0 <= fraction <= 1:
        return bad("The threshold should be a fraction between 0.0 and 1.0")
    return None


def _absolute(text: str) -> Wrong | None:
    from leveret.rendering.sizes import MEMORY_UNITS  # seldom

    if _leading_integer(text) is None:
        return bad()
    if text.lstrip("+-0123456789") in MEMORY_UNITS:
        return None
    return bad("The threshold should be an integer." if "." in text else "Invalid units.")


def _log_level(arguments: Sequence[str], options: Options) -> Fault | None:
    known = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency", "none")
    if arguments[0] in known:
        return None
    text = f"level {arguments[0]} is not supported. Try one of debug, info, warning, error, critical, none"
    return Fault(f"Error:\n{text}")


def _report(arguments: Sequence[str], options: Options) -> Wrong | None:
    if options.get("formatter", "report") != "report":
        return said("Only report formatter is supported")
    return None


#: Units of sizes -> octets, as status and memory_breakdown use them.
INFORMATION_UNITS = {
    "bytes": 1,
    **dict.fromkeys(("k", "kb", "kilobytes"), 10**3), **dict.fromkeys(("ki", "kib"), 2**10),
    **dict.fromkeys(("m", "mb", "megabytes"), 10**6), **dict.fromkeys(("mi", "mib"), 2**20),
    **dict.fromkeys(("g", "gb", "gi", "gib", "gigabytes"), 10**9),
    **dict.fromkeys(("t", "tb", "terabytes"), 10**12), **dict.fromkeys(("ti", "tib"), 2**40),
    **dict.fromkeys(("p", "pb", "petabytes"), 10**15), **dict.fromkeys(("pi", "pib"), 2**50),
}  # fmt: skip


def _known_unit(options: Options, units: str) -> Wrong | None:
    if str(options["unit"]).lower() in INFORMATION_UNITS:
        return None
    return said(f"unit '{options['unit']}' is not supported. Please use one of: {units}")


def _unit(arguments: Sequence[str], options: Options) -> Wrong | None:
    return _known_unit(options, "bytes, mb, mib, gb, gib, tb, tib")


def _memory_unit(arguments: Sequence[str], options: Options) -> Wrong | None:
    return _known_unit(options, "bytes, mb, gb")


def _time_unit(arguments: Sequence[str], options: Options) -> Wrong | None:
    if str(options["unit"]).lower() in ("days", "weeks", "months", "years"):
        return None
    units = "days, weeks, months, years"
    return said(f"unit '{options['unit']}' is not supported. Please use one of: {units}")


def _before_cipher_suites(arguments: Sequence[str], options: Options) -> Wrong | None:
    if str(options["format"]).lower() not in ("openssl", "erlang", "map"):
        return bad("Format should be either openssl, erlang or map")
    return None


def _before_command_line_arguments(arguments: Sequence[str], options: Options) -> Wrong | None:
    if options.get("formatter") == "json":
        return Wrong("the requested formatter is not supported by this command")
    return None


def _resolve_hostname(arguments: Sequence[str], options: Options) -> Wrong | None:
    family = options["address_family"]
    if str(family).lower() not in ("ipv4", "ipv6", "inet", "inet6"):
        return bad(f"unsupported IP address family {family}. Valid values are: ipv4, ipv6")
    return None


def _before_plugin_mode(arguments: Sequence[str], options: Options) -> Wrong | None:
    online, offline = options.get("online"), options.get("offline")
    if online and offline:
        return bad("Cannot set both online and offline")
    if online is False and offline is False:
        return bad("Cannot set online and offline to false")
    return None


def _before_is_enabled(arguments: Sequence[str], options: Options) -> Wrong | None:
    return _before_plugin_mode(arguments, options) or (None if arguments else NOT_ENOUGH)


def _plugins(arguments: Sequence[str], options: Options) -> Wrong | None:
    if not arguments and not options["all"]:
        return NOT_ENOUGH
    if arguments and options["all"]:
        return bad("Cannot set both --all and a list of plugins")
    return _plugin_set(arguments, options)


def _plugin_set(arguments: Sequence[str], options: Options) -> Wrong | None:
    if options["online"] and options["offline"]:
        return bad("Cannot set both online and offline")
    return None


def _plugin_list(arguments: Sequence[str], options: Options) -> Wrong | None:
    if options["verbose"] and options["minimal"]:
        return bad("Cannot set both verbose and minimal")
    return None


def _membership(arguments: Sequence[str], options: Options) -> Wrong | None:
    status = options.get("membership", "voter")
    return (
        None
        if status in ("promotable", "non_voter", "voter")
        else said(f"voter status '{status}' is not recognised.")
    )


def _grow(arguments: Sequence[str], options: Options) -> Wrong | None:
    if arguments[1] not in ("all", "even"):
        return said(f"strategy '{arguments[1]}' is not recognised.")
    return _membership(arguments, options)


def _grow_to_count(arguments: Sequence[str], options: Options) -> Wrong | None:
    if arguments[1] not in ("all", "even"):
        return said(f"strategy '{arguments[1]}' is not recognised.")
    count = _integer(arguments[0])
    if count is not None and count <= 0:
        return said(f"node count '{count}' must be greater than 0.")
    return _membership(arguments, options)


def _peek(arguments: Sequence[str], options: Options) -> Wrong | None:
    position = _leading_integer(arguments[1])
    return said("position value must be a positive integer") if position is None or position < 1 else None


def _rebalance(arguments: Sequence[str], options: Options) -> Fault | None:
    if arguments[0] in ("all", "quorum", "stream"):
        return None
    return Fault(f"Error:\ntype {arguments[0]} is not supported. Try one of all, quorum, stream.")
