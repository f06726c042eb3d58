"""What a command says if it does not find its node (rabbit_nodes_common: diagnostics)."""

from __future__ import annotations

from collections.abc import Mapping

from leveret import control_paths


def diagnosis(node: str, environment: Mapping[str, str]) -> str:
    """Return RabbitMQ's text, with the sockets of this machine instead of its port mapper."""
    folders = ", ".join(control_paths.folders(environment))
    others = control_paths.nodes(environment)
    return f"""\
Error: unable to perform an operation on node '{node}'. Please see diagnostics information and suggestions below.

Most common reasons for this are:

 * Target node is unreachable (e.g. due to hostname resolution, TCP connection or firewall issues)
 * CLI tool fails to authenticate with the server (e.g. due to CLI tool's Erlang cookie not matching that of the server)
 * Target node is not running

In addition to the diagnostics info below:

 * See the CLI, clustering and networking guides on https://rabbitmq.com/documentation.html to learn more
 * Consult server logs on node {node}
 * If target node is configured to use long node names, don't forget to use --longnames with CLI tools

DIAGNOSTICS
===========

attempted to contact: [{node}]

{node}:
  * no control socket of this node accepts connections (looked for {control_paths.file_name(node)} in {folders})
  * nodes with a control socket here: {", ".join(others) or "none"}
  * suggestion: start the node, or name it with --node, or run the command as the user that runs the node
"""
