"""Calls every method of pyrabbit2's client: a line of JSON for each, with what it returned, printed or raised.

python pyrabbit.py HOST:PORT CONNECTION CHANNEL
"""

import contextlib
import io
import json
import sys

from pyrabbit2.api import Client

VHOST, QUEUE, EXCHANGE, USER = "py rabbit", "a queue", "an/exchange", "py"


def calls(connection, channel):
    """Method -> arguments, in the order in which they are made."""
    yield "is_alive", ("%2F",)
    yield "is_alive", ("nosuch",)
    yield "get_whoami", ()
    yield "get_overview", ()
    yield "get_nodes", ()
    yield "get_users", ()
    yield "get_extensions", ()
    yield "get_cluster_name", ()
    yield "create_vhost", (VHOST,)
    yield "create_vhost", (VHOST,)
    yield "get_all_vhosts", ()
    yield "get_vhost_names", ()
    yield "get_vhost", (VHOST,)
    yield "get_vhost", ("nosuch",)
    yield "create_user", (USER, "secret"), {"tags": "management"}
    yield (
        "create_user",
        (USER, None, "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"),
        {"tags": "monitoring"},
    )
    yield "create_user", ("nobody",)
    for name in (USER, "guest"):
        yield "set_vhost_permissions", (VHOST, name, ".*", ".*", ".*")
    yield "set_vhost_permissions", (VHOST, "nosuch", ".*", ".*", ".*")
    yield "get_permissions", ()
    yield "get_vhost_permissions", (VHOST,)
    yield "get_user_permissions", (USER,)
    yield "get_permission", (VHOST, USER)
    yield "create_exchange", (VHOST, EXCHANGE, "topic")
    yield "create_exchange", (VHOST, EXCHANGE, "fanout")
    yield "create_exchange", (VHOST, "inner", "direct", True, False, True, {"alternate-exchange": EXCHANGE})
    yield "get_exchanges", ()
    yield "get_exchanges", (VHOST,)
    yield "get_exchange", (VHOST, EXCHANGE)
    yield "get_exchange", (VHOST, "nosuch")
    yield "create_queue", (VHOST, QUEUE)
    yield "create_queue", (VHOST, "quorum"), {"durable": True, "arguments": {"x-queue-type": "quorum"}}
    yield "create_queue", (VHOST, "quorum"), {"durable": True}
    yield "get_queue", (VHOST, "nosuch")
    yield "create_binding", (VHOST, EXCHANGE, QUEUE, "a.b", {"k": 1})
    yield "create_binding", (VHOST, EXCHANGE, "quorum")
    yield "create_binding", (VHOST, EXCHANGE, "nosuch", "x")
    yield "get_bindings", ()
    yield "get_queue_bindings", (VHOST, QUEUE)
    yield "get_bindings_from_exchange", (VHOST, EXCHANGE)
    yield "get_bindings_to_exchange", (VHOST, EXCHANGE)
    yield "get_bindings_between_exch_and_queue", (VHOST, EXCHANGE, QUEUE)
    yield "publish", (VHOST, EXCHANGE, "a.b", "one")
    yield "publish", (VHOST, EXCHANGE, "a.b", "b25l", "base64", {"priority": 3, "headers": {"x": [1, None]}})
    yield "publish", (VHOST, EXCHANGE, "nowhere", "lost")
    yield "publish", (VHOST, "nosuch", "a.b", "lost")
    yield "get_messages", (VHOST, QUEUE), {"requeue": True}
    yield "get_messages", (VHOST, QUEUE, 5), {"truncate": 1, "encoding": "base64"}
    yield "get_messages", (VHOST, "nosuch")
    yield "purge_queue", (VHOST, QUEUE)
    yield "purge_queues", ([("quorum", VHOST)],)
    yield "purge_queue", (VHOST, "nosuch")
    yield "get_queues", ()
    yield "get_queues", (VHOST,)
    yield "get_queues", (VHOST, "q"), {"regex": False}
    yield "get_queues", (VHOST, "^q.*m$"), {"regex": True}
    yield "get_queue", (VHOST, "quorum")
    yield "get_queue_depth", ("shop", "classic")
    yield "get_queue_depths", ("shop", ["classic", "quorum"])
    yield "create_policy", (VHOST, "p"), {"pattern": "^q", "definition": {"max-length": 7}, "priority": 1}
    yield "create_policy", (VHOST, "odd"), {"pattern": "^q", "definition": {"nosuch": 7}}
    yield "get_policy", (VHOST, "p")
    yield "get_all_policies", ()
    yield "delete_policy", (VHOST, "p")
    yield "create_shovel", (VHOST, "s"), {"src-uri": "amqp://", "dest-uri": "amqp://"}
    yield "get_all_shovels", ()
    yield "get_shovel", (VHOST, "s")
    yield "delete_shovel", (VHOST, "s")
    yield "get_connections", ()
    yield "get_connection", (connection,)
    yield "get_channels", ()
    yield "get_channel", (channel,)
    yield "delete_connection", (connection,)
    yield "get_connection", ("nosuch",)
    yield "get_definitions", ()
    yield "delete_binding", (VHOST, EXCHANGE, QUEUE, "nosuch")
    yield "delete_queue", (VHOST, QUEUE)
    yield "delete_queue", (VHOST, QUEUE)
    yield "delete_exchange", (VHOST, EXCHANGE)
    yield "delete_exchange", (VHOST, EXCHANGE)
    yield "delete_permission", (VHOST, USER)
    yield "delete_user", (USER,)
    yield "delete_user", ("nobody",)
    yield "delete_vhost", (VHOST,)
    yield "delete_vhost", (VHOST,)


def main(address, connection, channel):
    """Make all the calls; complains about methods that none of them is for."""
    client = Client(address, "guest", "guest", timeout=30)
    made = set()
    for method, arguments, *named in calls(connection, channel):
        made.add(method)
        printed = io.StringIO()
        try:
            with contextlib.redirect_stdout(printed):
                result = getattr(client, method)(*arguments, **(named[0] if named else {}))
        except Exception as error:
            result = f"{type(error).__name__}: {error}"
        name = f"{method} {json.dumps([*arguments, *named])}"
        name = name.replace(channel, "CHANNEL").replace(connection, "CONNECTION")
        print(json.dumps({"call": name, "result": result, "printed": printed.getvalue()}))
    methods = {name for name in vars(Client) if not name.startswith("_") and callable(getattr(Client, name))}
    if methods - made:
        sys.exit(f"never called: {sorted(methods - made)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
