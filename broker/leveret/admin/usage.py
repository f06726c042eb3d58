"""What `rabbitmqadmin --help` prints, for the tool, a group or a command."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from leveret.admin.abouts import abouts
from leveret.admin.command import Command

#: Option -> what its value is called, if that is not the option.
METAVARS = {
    "new_value": "definition_value", "source_exchange_routing_key": "source_exchange_key",
    "destination_exchange_routing_key": "destination_exchange_key", "bind_using_nowait": "bind_nowait",
    "stream_max_segment_size_bytes": "max_segment_length_bytes",
}  # fmt: skip

#: Group -> what its usage calls a command, if that is not COMMAND.
_COMMANDS = {
    "bindings": "binding", "definitions": "export", "exchanges": "exchange", "export": "definitions",
    "get": "message", "global_parameters": "runtime_parameter", "health_check": "check", "import": "definitions",
    "parameters": "runtime_parameter", "permissions": "permission", "plugins": "plugin", "policies": "policy",
    "publish": "message", "purge": "queue", "queues": "queue", "rebalance": "queues", "shovels": "shovels",
    "streams": "stream", "users": "subcommand", "user_limits": "user_limit", "vhost_limits": "vhost_limit",
}  # fmt: skip

_GENERAL = """\
  -V, --vhost <vhost>              target virtual host. Defaults to '/' [env: RABBITMQADMIN_TARGET_VHOST=]
      --non-interactive            pass when invoking from scripts [env: RABBITMQADMIN_NON_INTERACTIVE_MODE=]
      --table-style <table_style>  style preset to apply to output tables: modern, borderless, ascii, dots, psql, \
markdown, sharp [env: RABBITMQADMIN_TABLE_STYLE=]
  -h, --help                       Print help"""

_OPTIONS = """\
  -c, --config <config_file_path>  [env: RABBITMQADMIN_CONFIG_FILE_PATH=] [default: ~/.rabbitmqadmin.conf]
  -N, --node <node_alias>          table of the configuration file [default: default]
  -H, --host <host>                HTTP API hostname to use when connecting [env: RABBITMQADMIN_TARGET_HOST=]
  -P, --port <port>                HTTP API port to use when connecting [env: RABBITMQADMIN_TARGET_PORT=]
  -U, --base-uri <base_uri>        base HTTP API endpoint URI [env: RABBITMQADMIN_BASE_URI=]
      --path-prefix <path_prefix>  use if target node uses a path prefix. Defaults to '/api'
  -u, --username <username>        this user must have the permissions for HTTP API access
  -p, --password <password>        password of this user [env: RABBITMQADMIN_PASSWORD=]
  -k, --insecure                   disables TLS peer (certificate chain) verification
      --use-tls                    use TLS (HTTPS) for HTTP API requests [env: RABBITMQADMIN_USE_TLS=]
      --tls-ca-cert-file <path>    Local path to a CA certificate file in the PEM format
      --tls-cert-file <path>       Local path to a client certificate file in the PEM format
      --tls-key-file <path>        Local path to a client private key file in the PEM format
      --timeout <timeout>          HTTP API request timeout in seconds. Must be greater than 0
  -q, --quiet                      produce less output [env: RABBITMQADMIN_QUIET_MODE=]
"""

_INTRODUCTION = """\
rabbitmqadmin of Leveret, for the HTTP API of Leveret and of RabbitMQ

Usage: rabbitmqadmin [OPTIONS] <COMMAND>

Both versions of RabbitMQ's tool are understood:

  version 2  declare queue --name q      version 1  declare queue name=q durable=true
             list queues                            list queues name messages
             publish message -k q -m hi             publish routing_key=q payload=hi
             get messages -q q                      get queue=q ackmode=ack_requeue_false
             definitions export --file f            export f
             health_check local_alarms              -f raw_json list queues

Commands of version 2 ('rabbitmqadmin COMMAND --help' shows more):
"""


def usage_of(name: str, command: Command, options: str = " [OPTIONS]") -> str:
    """Return the line that shows how a command is written. `options`: what stands for those that may be left out."""
    needed = " ".join([value_of(option) for option in command.needs.split()])
    words = " ".join([f"<{word}>" for word in command.words.split()])
    return " ".join(f"rabbitmqadmin {name}{options} {needed} {words}".split())


def usage_of_group(group: str) -> str:
    """Return the line that shows how the commands of a group are written."""
    return f"rabbitmqadmin {group} [OPTIONS] [{_COMMANDS.get(group, 'COMMAND')}]"


def value_of(option: str) -> str:
    """Return an option with its value, as it is written."""
    return f"--{option.replace('_', '-')} <{METAVARS.get(option, option)}>"


def help_text(words: Sequence[str], command: Command | None = None) -> str:
    """Return the help of a command (its group and its name), of a group, or of the tool."""
    known = abouts()
    if not words:
        groups = sorted({name.partition(" ")[0] for name in known})
        listed = _listed((group, known[group]) for group in groups)
        return f"{_INTRODUCTION}{listed}\n\nOptions:\n{_OPTIONS}{_GENERAL}"
    name = " ".join(words[:2])
    if command is None:
        inside = [(one.partition(" ")[2], known[one]) for one in known if one.startswith(f"{name} ")]
        usage = f"Usage: {usage_of_group(name)}"
        return f"{known.get(name, '')}\n\n{usage}\n\nCommands:\n{_listed(inside)}\n\nOptions:\n{_GENERAL}"
    letters = {option: letter for letter, option in command.short.items()}
    options = [
        f"  {f'-{letters[option]},' if option in letters else '   '} {value_of(option)}"
        for option in (*command.needs.split(), *command.takes.split())
    ]
    options += [f"      --{flag.replace('_', '-')}" for flag in command.flags.split()]
    listed = "\n".join([*options, _GENERAL])
    return f"{known.get(name, '')}\n\nUsage: {usage_of(name, command)}\n\nOptions:\n{listed}"


def _listed(pairs: Iterable[tuple[str, str]]) -> str:
    rows = list(pairs)
    width = max([len(name) for name, _ in rows], default=0)
    return "\n".join([f"  {name:<{width}}  {about}" for name, about in rows])
