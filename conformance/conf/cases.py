"""Small configurations: those written by hand, and some values for each key of the schema."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from leveret.cuttlefish.schema import schema

#: Name -> rabbitmq.conf.
WRITTEN: dict[str, str | bytes] = {
    # syntax
    "byte order mark": "\ufeffheartbeat = 30\n",
    "byte order mark and comment": "\ufeff# x\nheartbeat = 30\n",
    "byte order mark in line 2": "\n\ufeffheartbeat = 30\n",
    "empty": "",
    "only a comment": "# hi",
    "carriage returns": "heartbeat = 30\r\nchannel_max = 5\r\n",
    "only carriage returns": "heartbeat = 30\rchannel_max = 5\r",
    "two carriage returns": "heartbeat = 30 \r\r\n",
    "form feed": "heartbeat = 30\n\f\nchannel_max = 1\n",
    "tabs": "\theartbeat\t=\t30\t\n",
    "no-break space": "heartbeat =\u00a030\n",
    "not UTF-8": b"default_user = \xff\n",
    "comment that is not UTF-8": b"# \xff\nheartbeat = 5\n",
    "umlaut in a value": "default_user = j\u00fcrgen\n",
    "umlaut in a key": "f\u00fcr = 1\n",
    "no setting": "heartbeat = 30\nthis is no setting\nchannel_max = 3",
    "no setting in line 1": "oops\n",
    "no value": "heartbeat =\n",
    "no key": " = 1\n",
    "dot at the end of a key": "a. = 1\n",
    "slash in a key": "a/b = 1\n",
    "dash in a key": "a-b_c.1 = 1\n",
    "escaped dot in a key": "default_users.a\\.b.password = x\n",
    "escaped dot in an unknown key": "a\\.b.c = 1\n",
    "case of a key": "Heartbeat = 3\n",
    "trailing space": "heartbeat = 30   \n",
    "trailing space at the end of the file": "heartbeat = 30   ",
    "comment after a value": "heartbeat = 30 # sixty\n",
    "quoted": "default_pass = 'a#b'\n",
    "quoted integer": "heartbeat = '30'\n",
    "quoted nothing": "default_pass = ''\n",
    "quoted nothing for an integer": "heartbeat = ''\n",
    "quoted with a line end": "default_pass = 'a\nb'\n",
    "quoted twice": "default_pass = 'a''b'\n",
    "double quotes": 'heartbeat = "30"\n',
    "three quotes": "default_pass = '''a\nb'''\nheartbeat = 4\n",
    "three quotes and line ends": "default_pass = '''\na\n'''\n",
    "three quotes and more": "default_pass = '''a'''b\n",
    "include of no file": "include nosuch.conf\n",
    "include and comment": "include nosuch.conf # y\n",
    "include and space": "include nosuch.conf  \n",
    "include in quotes": 'include "nosuch.conf"\n',
    "sections": "[section]\nheartbeat=1\n",
    "Erlang terms": "[{rabbit,[{heartbeat,30}]}].\n",
    "JSON": '{"heartbeat": 1}\n',
    "YAML": "heartbeat: 30\n",
    # keys
    "unknown": "heartbeet = 3\n",
    "two unknown": "heartbeet = 3\nfoo.bar = 1\n",
    "unknown twice": "a = 1\na = 2\n",
    "long unknown": "a.b.c.d.e.f = 1\n",
    "unknown and wrong": "heartbeat = x\nlog.console = y\nfoo = 1\n",
    "nodename": "nodename = rabbit@box\n",
    "cookie": "erlang.cookie = abc\n",
    "watermark without a word": "vm_memory_high_watermark = 0.4\n",
    "management.ssl": "management.ssl = false\n",
    "renamed and new": "max_channels_per_connection = 5\nchannel_max = 6\n",
    "renamed": "connection_max = infinity\n",
    "shovel": "shovel.topology.x = 1\n",
    # substitution
    "variable": "default_user = a$(HOME)b\n",
    "variable in spaces": "default_user = $( HOME )\n",
    "two variables": "default_user = $(HOME)$(PATH)\n",
    "quoted variable": "default_user = '$(HOME)'\n",
    "escaped variable": "default_user = \\$(HOME)\n",
    "half a variable": "default_user = $(HOME\n",
    "no variable": "default_user = $(NOSUCH)\n",
    "two that are not there": "default_user = $(A)\ndefault_vhost = $(B)\n",
    "another key": "cluster_name = x\ndefault_user = $(cluster_name)\n",
    "another key with a variable": "cluster_name = $(HOME)\ndefault_user = $(cluster_name)\n",
    "another key without a value": "default_user = $(log.dir)\n",
    "renamed key": "max_channels_per_connection = 5\nheartbeat = $(channel_max)\n",
    # numbers, amounts, times, addresses
    "integer with a point": "heartbeat = 3.5\n",
    "integer with a plus": "heartbeat = +3\n",
    "integer with a space": "heartbeat = 3 0\n",
    "integer with an underscore": "heartbeat = 3_0\n",
    "float without a point": "vm_memory_high_watermark.relative = 1\n",
    "float without a digit": "vm_memory_high_watermark.relative = .5\n",
    "float with an exponent": "vm_memory_high_watermark.relative = 1.0e-1\n",
    "float with an exponent and no point": "vm_memory_high_watermark.relative = 1e-1\n",
    "float above 1": "vm_memory_high_watermark.relative = 1.5\n",
    "share of the disk": "disk_free_limit.relative = 2\n",
    "amount with a space": "disk_free_limit.absolute = 2 GB\n",
    "amount in lower case": "disk_free_limit.absolute = 2gb\n",
    "amount with a point": "disk_free_limit.absolute = 2.5GB\n",
    "amount without a number": "disk_free_limit.absolute = abc\n",
    "amount and share": "disk_free_limit.relative = 1.0\ndisk_free_limit.absolute = 2GB\n",
    "negative amount": "vm_memory_high_watermark.absolute = -1\n",
    "bytes": "frame_max = 1KB\n",
    "bytes with a point": "frame_max = 1.5KB\n",
    "hours and minutes": "default_policies.operator.a.expires = 1h30m\n",
    "seconds with a point": "default_policies.operator.a.expires = 1.5s\n",
    "all units": "default_policies.operator.a.expires = 2w1d3h4m5s6ms\n",
    "no unit": "default_policies.operator.a.expires = 5\n",
    "no time": "default_policies.operator.a.expires = soon\n",
    "host name and port": "listeners.tcp.local = localhost:5672\n",
    "address and port": "listeners.tcp.local = 127.0.0.1:5672\n",
    "address in brackets": "listeners.tcp.local = [::1]:5672\n",
    "IPv6 address": "listeners.tcp.local = ::1:5672\n",
    "large port": "listeners.tcp.local = 127.0.0.1:99999\n",
    "none for a listener": "listeners.tcp.default = none\n",
    "true for listeners": "listeners.tcp = true\n",
    "two ports": "listeners.tcp.1 = 5672\nlisteners.tcp.2 = 5673\n",
    "short address": "prometheus.tcp.ip = 127.1\n",
    "host name": "management.tcp.ip = localhost\n",
    "address of five parts": "prometheus.tcp.ip = 1.2.3.4.5\n",
    # booleans and words
    "yes": "reverse_dns_lookups = yes\n",
    "on": "reverse_dns_lookups = on\n",
    "True": "reverse_dns_lookups = True\n",
    "1": "reverse_dns_lookups = 1\n",
    "console yes": "log.console = yes\n",
    "ssl = false": "management.listener.port = 15672\nmanagement.listener.ssl = false\n",
    "loopback no": "loopback_users.guest = no\n",
    "loopback none and some": "loopback_users = none\nloopback_users.guest = true\n",
    "tag yes": "default_user_tags.administrator = yes\n",
    "statistics": "collect_statistics = all\n",
    "infinity in capitals": "handshake_timeout = Infinity\n",
    "backend of no module": "auth_backends.1 = nosuch\n",
    "queue type of no type": "default_queue_type = lazy\n",
    "queue type by its module": "default_queue_type = rabbit_quorum_queue\n",
    # several keys
    "one permission": "default_permissions.configure = ^app\\..*\n",
    "all permissions": (
        "default_permissions.configure = ^a\ndefault_permissions.read = .*\ndefault_permissions.write = .*\n"
    ),
    "crl source": "ssl_options.crl_sources.a = http\nssl_options.crl_sources.a.path = /x\n",
    "crl directory": "ssl_options.crl_sources.a = dir\nssl_options.crl_sources.a.path = /x\n",
    "certificates that are not there": (
        "listeners.ssl.default = 5671\nssl_options.cacertfile = /nosuch.pem\nssl_options.certfile = /nosuch.pem\n"
    ),
    "pattern of a fuzzy key": "default_limits.vhosts.1.pattern = [\n",
}

#: Type -> values worth trying.
_VALUES = {
    "integer": ("0", "-1", "1", "70000", "99999999999"),
    "boolean": ("true", "false"),
    "atom": ("x",),
    "string": ("x", "/tmp", "127.0.0.1"),
    "binary": ("x",),
    "tagged_binary": ("encrypted:x",),
    "tagged_string": ("encrypted:x",),
    "float": ("0.0", "0.5", "1.0", "-1.0", "2.0"),
    "ip": ("127.0.0.1:1",),
    "bytesize": ("1KB", "0", "-1"),
    "duration": ("1h",),
    "flag": ("on", "off"),
    "byte": ("0", "255"),
    "file": ("/etc/passwd", "x"),
    "list": ("a,b",),
}
_WRONG = ("wrong!", "yes", "1.5", "''")

#: LDAP queries are Erlang terms, which are not looked at here.
_NOT_TRIED = ("auth_ldap.queries.",)


def tried() -> Iterator[str]:
    """Yield configurations of one line: each key of the schema with right and wrong values."""
    for mapping in schema().all():
        if not mapping.key.startswith(_NOT_TRIED):
            key = ".".join("1" if word[0] == "$" else word for word in mapping.words)
            for value in dict.fromkeys(chain(_WRONG, *map(_values, mapping.types))):
                yield f"{key} = {value}\n"


def _values(kind: str) -> tuple[str, ...]:
    name, _, argument = kind.partition(":")
    if name == "enum" or (name == "atom" and argument):
        return tuple(argument.split(","))
    return _VALUES[name]


def configurations() -> dict[str, bytes]:
    """Return all configurations by name: those of one line are their own names."""
    written = {name: text.encode() if isinstance(text, str) else text for name, text in WRITTEN.items()}
    return written | {text.strip(): text.encode() for text in tried()}
