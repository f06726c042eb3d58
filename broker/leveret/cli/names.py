"""The names of commands, and RabbitMQ's names of its tools."""

from __future__ import annotations

#: The commands that are RabbitMQ's tools -> their names.
TOOLS = {
    "ctl": "rabbitmqctl",
    "diagnostics": "rabbitmq-diagnostics",
    "plugins": "rabbitmq-plugins",
    "queues": "rabbitmq-queues",
    "streams": "rabbitmq-streams",
    "upgrade": "rabbitmq-upgrade",
}

#: Commands beside those of `leveret serve`'s parser and of `TOOLS` -> what they do, for `leveret --help`.
OTHERS = {
    "status": "show the status of a node, as `ctl status` does",
    "definitions": "export or import users, queues, bindings and policies",
    "cluster": "show which node of a cluster has which virtual host, or move one",
    "admin": "rabbitmqadmin: commands over the HTTP API",
    "completion": "print a script that completes commands in bash, zsh or fish",
    "link-commands": "make links with RabbitMQ's names of its tools",
}

#: RabbitMQ's server and its tool for the HTTP API.
SERVER, ADMIN = "rabbitmq-server", "rabbitmqadmin"
