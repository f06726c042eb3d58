"""What clients and documents can change in a broker, one function for each operation.

AMQP sessions, HTTP resources, definitions and the start of a node call these. They decode the request and answer it; an
operation does what RabbitMQ does in between, in its order: it checks names, then permissions, then the objects. Then it
changes the objects with all consequences, and notifies the observers (`engine/changes.py`). If it raises an error,
nothing was changed.

An operation takes a virtual host or the broker, and the `Caller`. RabbitMQ's HTTP API calls the functions of its AMQP
channels (rabbit_mgmt_util:direct_request); the only difference is that its caller has no connection. Restoring from a
store does not use operations: it restores what was accepted earlier, perhaps by another profile.
"""

from __future__ import annotations

from leveret.engine.operations.bindings import bind_exchange, bind_queue, unbind_exchange, unbind_queue
from leveret.engine.operations.caller import INTERNAL_CALLER, Caller, stripped
from leveret.engine.operations.exchanges import (
    declare_exchange,
    declare_exchange_passively,
    delete_exchange,
)
from leveret.engine.operations.limits import (
    clear_user_limit,
    clear_vhost_limit,
    clear_vhost_limits,
    set_user_limits,
    set_vhost_limits,
)
from leveret.engine.operations.messages import (
    AckMode,
    DirectClient,
    Got,
    Moved,
    Outcome,
    Peeked,
    begin_publish,
    content_steps,
    get_messages,
    move_messages,
    peek_messages,
    peek_records,
    peek_unacked,
    publish,
)
from leveret.engine.operations.parameters import (
    clear_global_parameter,
    clear_parameter,
    set_cluster_name,
    set_global_parameter,
    set_parameter,
)
from leveret.engine.operations.permissions import (
    NoSuchExchangeError,
    clear_permissions,
    clear_topic_permissions,
    set_permissions,
    set_topic_permissions,
)
from leveret.engine.operations.policies import clear_policy, set_policy
from leveret.engine.operations.queues import (
    declare_queue,
    declare_queue_passively,
    delete_queue,
    purge_queue,
    read_queue,
    remove_queue,
)
from leveret.engine.operations.users import (
    PasswordError,
    add_user,
    begin_to_delete_user,
    change_password,
    clear_password,
    delete_user,
    put_user,
    set_user_tags,
)
from leveret.engine.operations.vhosts import (
    UNDEFINED,
    ProtectedVhostError,
    delete_closed_vhost,
    delete_vhost,
    protect_closed_vhost,
    protect_vhost,
    put_vhost,
)

__all__ = [
    "INTERNAL_CALLER",
    "UNDEFINED",
    "AckMode",
    "Caller",
    "DirectClient",
    "Got",
    "Moved",
    "NoSuchExchangeError",
    "Outcome",
    "PasswordError",
    "Peeked",
    "ProtectedVhostError",
    "add_user",
    "begin_publish",
    "begin_to_delete_user",
    "bind_exchange",
    "bind_queue",
    "change_password",
    "clear_global_parameter",
    "clear_parameter",
    "clear_password",
    "clear_permissions",
    "clear_policy",
    "clear_topic_permissions",
    "clear_user_limit",
    "clear_vhost_limit",
    "clear_vhost_limits",
    "content_steps",
    "declare_exchange",
    "declare_exchange_passively",
    "declare_queue",
    "declare_queue_passively",
    "delete_closed_vhost",
    "delete_exchange",
    "delete_queue",
    "delete_user",
    "delete_vhost",
    "get_messages",
    "move_messages",
    "peek_messages",
    "peek_records",
    "peek_unacked",
    "protect_closed_vhost",
    "protect_vhost",
    "publish",
    "purge_queue",
    "put_user",
    "put_vhost",
    "read_queue",
    "remove_queue",
    "set_cluster_name",
    "set_global_parameter",
    "set_parameter",
    "set_permissions",
    "set_policy",
    "set_topic_permissions",
    "set_user_limits",
    "set_user_tags",
    "set_vhost_limits",
    "stripped",
    "unbind_exchange",
    "unbind_queue",
]
