"""What each command of `rabbitmqadmin` does, in the words of the original, for `--help`."""

from __future__ import annotations

_TEXT = """\
auth_attempts: Authentication attempt statistics
auth_attempts stats: Displays authentication attempt statistics for a cluster node
bindings: Operations on bindings
bindings declare: Creates a binding between a source exchange and a destination (a queue or an exchange)
bindings delete: Deletes a binding
bindings list: Lists bindings
channels: Operations on channels
channels list: Lists all channels across all virtual hosts
close: Closes connections
close connection: Closes a client connection
close user_connections: Closes all connections that authenticated with a specific username
config_file: Operations on the local configuration file
config_file show_path: Shows the path to the local rabbitmqadmin configuration file
config_file show: Shows the contents of the local rabbitmqadmin configuration file
config_file add_node: Adds a new node entry to the local rabbitmqadmin configuration file
config_file update_node: Updates an existing node entry in the local rabbitmqadmin configuration file (or creates
  one if it does not exist)
config_file delete_node: Deletes a node entry from the local rabbitmqadmin configuration file
connections: Operations on connections
connections close: Closes a client connection
connections close_of_user: Closes all connections that are authenticated with a specific username
connections list: Lists client connections
connections list_of_user: Lists client connections that are authenticated with a specific username
declare: Creates or declares objects
declare user: Creates a user
declare vhost: Creates a virtual host
declare permissions: grants permissions to a user
declare queue: Declares a queue or a stream
declare stream: Declares a stream
declare exchange: Declares an exchange
declare binding: Creates a binding between a source exchange and a destination (a queue or an exchange)
declare parameter: Sets a runtime parameter
declare policy: Creates or updates a policy
declare operator_policy: Creates or updates an operator policy
declare vhost_limit: Set a vhost limit
declare user_limit: Set a user limit
definitions: Operations on definitions (everything except for messages: virtual hosts, queues, streams, exchanges,
  bindings, users, etc)
definitions export: Export cluster-wide definitions
definitions export_from_vhost: Export definitions of a specific virtual host
definitions import: Import cluster-wide definitions (of multiple virtual hosts)
definitions import_into_vhost: Import a virtual host-specific definitions file into a virtual host
delete: Deletes objects
delete user: Deletes a user
delete vhost: Deletes a virtual host
delete permissions: Revokes user permissions to a given vhost
delete queue: Deletes a queue
delete stream: Deletes a stream
delete exchange: Deletes an exchange
delete binding: Deletes a binding
delete parameter: Clears a runtime parameter
delete policy: Deletes a policy
delete operator_policy: Deletes an operator policy
delete vhost_limit: delete a vhost limit
delete user_limit: Clears a user limit
delete shovel: Delete a shovel
deprecated_features: Operations on deprecated features
deprecated_features list: Lists deprecated features
deprecated_features list_used: Lists the deprecated features that are found to be in use in the cluster
exchanges: Operations on exchanges
exchanges bind: Creates a binding between a source exchange and a destination (a queue or an exchange)
exchanges declare: Declares an exchange
exchanges delete: Deletes an exchange
exchanges list: Lists exchanges
exchanges unbind: Deletes a binding
export: See 'definitions export'
export definitions: Export cluster-wide definitions
feature_flags: Operations on feature flags
feature_flags list: Lists feature flags and their cluster state
feature_flags enable: Enables a feature flag
feature_flags enable_all: Enables all stable feature flags
federation: Operations on federation upstreams and links
federation list_all_upstreams: Lists federation upstreams in all virtual hosts
federation declare_upstream: Declares a federation upstream to be used with both exchange and queue federation
federation declare_upstream_for_exchanges: Declares an upstream that will be used only for exchange federation
federation declare_upstream_for_queues: Declares an upstream that will be used only for queue federation
federation delete_upstream: Declares a federation upstream
federation list_all_links: List federation links in all virtual hosts
federation disable_tls_peer_verification_for_all_upstreams: Use only in case of emergency. Disables TLS peer
  verification for all federation upstreams by updating their 'verify' parameter
federation enable_tls_peer_verification_for_all_upstreams: Enables TLS peer verification for all federation
  upstreams by updating their 'verify' parameter and adding [RabbitMQ node-local] certificate and private key file
  paths
get: Fetches message(s) from a queue or stream via polling. Only suitable for development and test environments
get messages: Fetches (via polling, very inefficiently) message(s) from a queue. Only suitable for development and
  test environments
global_parameters: Operations on global runtime parameters
global_parameters clear: Clears (deletes) a global runtime parameter
global_parameters list: Lists global runtime parameters
global_parameters set: Sets a global runtime parameter
health_check: Runs health checks
health_check local_alarms: Checks if there are any resource alarms in effect on the target node
health_check cluster_wide_alarms: Checks if there are any resource alarms in effect across the entire cluster
health_check node_is_quorum_critical: Fails if there are queues/streams with minimum online quorum (queues/streams
  that will lose their quorum if the target node shuts down)
health_check deprecated_features_in_use: Fails if there are any deprecated features in use in the cluster
health_check port_listener: Verifies that there's a reachable TCP listener on the given port on the target node
health_check protocol_listener: Verifies that there's a reachable TCP listener on the given protocol alias on the
  target node
import: See 'definitions import'
import definitions: Prefer 'definitions import'
list: Lists objects
list nodes: Lists cluster members
list users: Lists users in the internal database
list vhosts: Lists virtual hosts
list permissions: Lists user permissions
list connections: Lists client connections
list user_connections: Lists client connections that authenticated with a specific username
list channels: Lists AMQP 0-9-1 channels
list queues: Lists queues and streams
list exchanges: Lists exchanges
list bindings: Lists bindings
list consumers: Lists consumers
list parameters: Lists runtime parameters
list policies: Lists policies
list operator_policies: Lists operator policies
list vhost_limits: Lists virtual host (resource) limits
list user_limits: Lists per-user (resource) limits
list feature_flags: Lists feature flags and their cluster state
list deprecated_features: Lists all deprecated features
list deprecated_features_in_use: Lists the deprecated features that are in used in the cluster
nodes: Node operations
nodes list: Lists cluster nodes
nodes memory_breakdown_in_percent: Provides a memory footprint breakdown (in percent) for the target node
nodes memory_breakdown_in_bytes: Provides a memory footprint breakdown (in bytes) for the target node
operator_policies: Operations on operator policies
operator_policies declare: Creates or updates an operator policy
operator_policies delete: Deletes an operator policy
operator_policies delete_definition_keys: Deletes definition keys from an operator policy, unless it is the only key
operator_policies delete_definition_keys_from_all_in: Deletes a definition key from all operator policies in a
  virtual host, unless it is the only key
operator_policies list: Lists operator policies
operator_policies list_in: Lists operator policies in a specific virtual host
operator_policies list_matching_object: Lists operator policies that match an object (queue, stream, exchange) name
operator_policies patch: Merges a set of keys into existing operator policy definitions
operator_policies update_definition: Updates an operator policy definition key
operator_policies update_definitions_of_all_in: Updates a definition key in all operator policies in a virtual host
parameters: Operations on runtime parameters
parameters clear: Clears (deletes) a runtime parameter
parameters list_all: Lists all runtime parameters across all virtual hosts
parameters list: Lists runtime parameters
parameters list_in: Lists runtime parameters
parameters set: Sets a runtime parameter
passwords: Operations on passwords
passwords salt_and_hash: Usage: rabbitmqadmin passwords salt_and_hash [OPTIONS] <password>
permissions: Operations on user permissions
permissions list: Lists user permissions
permissions declare: grants permissions to a user
permissions delete: Revokes user permissions to a given vhost
plugins: List enabled plugins
plugins list_all: Lists plugins across all cluster nodes
plugins list_on_node: Lists plugins enabled on a specific node
policies: Operations on policies
policies declare: Creates or updates a policy
policies declare_override: Declares a new policy from an existing one, with a higher priority, and merges a set of
  keys into the new overriding policy definition
policies declare_blanket: Creates a low priority blanket policy, a policy that matches all objects not matched by
  any other policy
policies delete: Deletes a policy
policies delete_definition_keys: Deletes a definition key from a policy, unless it is the only key
policies delete_definition_keys_from_all: Deletes definition keys from all policies in the cluster, unless it is the
  only policy key
policies delete_definition_keys_from_all_in: Deletes definition keys from all policies in a virtual host, unless it
  is the only policy key
policies list: Lists policies
policies list_conflicting: Lists policies that have conflicting priorities across all virtual hosts
policies list_conflicting_in: Lists policies that have conflicting priorities in a specific virtual host
policies list_in: Lists policies in a specific virtual host
policies list_matching_object: Lists policies that match an object (queue, stream, exchange) name
policies patch: Merges a set of keys into existing policy definitions
policies update_definition: Updates a policy definition key
policies update_definitions_of_all: Updates a definition key in all policies in the cluster
policies update_definitions_of_all_in: Updates a definition key in all policies in a virtual host
publish: Publishes (inefficiently) message(s) to a queue or a stream. Only suitable for development and test
  environments
publish message: Publishes (inefficiently) message(s) to a queue or a stream. Only suitable for development and test
  environments. Prefer messaging or streaming protocol clients!
purge: Purges queues
purge queue: Purges (permanently removes unacknowledged messages from) a queue
queues: Operations on queues
queues declare: Declares a queue or a stream
queues delete: Deletes a queue
queues list: Lists queues and streams
queues purge: Purges (permanently removes unacknowledged messages from) a queue
queues rebalance: Rebalances queue leaders
queues show: Shows details for a single queue
rebalance: Rebalancing of leader replicas
rebalance queues: Rebalances queue leaders
shell: Shell-related operations
shell completions: Generates shell completion scripts for bash, zsh, fish, elvish, or nushell
show: Overview, memory footprint breakdown, and more
show overview: Displays essential information about target node and its cluster
show churn: Displays object churn metrics
show endpoint: Displays the computed HTTP API endpoint URI. Use for troubleshooting only
show memory_breakdown_in_bytes: Provides a memory footprint breakdown (in bytes) for the target node
show memory_breakdown_in_percent: Provides a memory footprint breakdown (in percent) for the target node
shovels: Operations on shovels
shovels list_all: Lists shovels in all virtual hosts
shovels list: Lists shovels in a specific virtual host
shovels declare_amqp091: Declares a dynamic shovel that uses AMQP 0-9-1 for both source and destination
shovels declare_amqp10: Declares a dynamic shovel that uses AMQP 1.0 for both source and destination
shovels delete: Deletes a dynamic shovel
shovels disable_tls_peer_verification_for_all_source_uris: Use only in case of emergency. Disables TLS peer
  verification for all shovels by updating their source and destination URIs' 'verify' parameter
shovels disable_tls_peer_verification_for_all_destination_uris: Use only in case of emergency. Disables TLS peer
  verification for all shovel destination URIs by updating their 'verify' parameter
shovels enable_tls_peer_verification_for_all_source_uris: Enables TLS peer verification for all shovel source URIs
  by updating their 'verify' parameter and adding [RabbitMQ node-local] certificate and private key file paths
shovels enable_tls_peer_verification_for_all_destination_uris: Enables TLS peer verification for all shovel
  destination URIs by updating their 'verify' parameter and adding [RabbitMQ node-local] certificate and private key
  file paths
streams: Operations on streams
streams declare: Declares a stream
streams delete: Deletes a stream
streams list: Lists streams
streams show: Shows details for a single stream
users: Operations on users
users connections: Lists client connections that authenticated with a specific username
users declare: Creates a user
users delete: Deletes a user
users limits: Lists per-user (resource) limits
users list: Lists users in the internal database
users permissions: Lists user permissions
user_limits: Operations on per-user (resource) limits
user_limits list: Lists per-user (resource) limits
user_limits declare: Set a user limit
user_limits delete: Clears a user limit
vhosts: Virtual host operations
vhosts list: Lists virtual hosts
vhosts declare: Creates a virtual host
vhosts delete: Deletes a virtual host
vhosts delete_multiple: DANGER ZONE. Deletes multiple virtual hosts at once using a name matching pattern
vhosts enable_deletion_protection: Enables deletion protection for a virtual host
vhosts disable_deletion_protection: Disables deletion protection for a virtual host
vhost_limits: Operations on virtual host (resource) limits
vhost_limits list: Lists virtual host (resource) limits
vhost_limits declare: Set a vhost limit
vhost_limits delete: delete a vhost limit
"""


def abouts() -> dict[str, str]:
    """Return group, or group and command -> what it does."""
    found: dict[str, str] = {}
    name = ""
    for line in _TEXT.splitlines():
        if line.startswith("  "):
            found[name] += f" {line.strip()}"
        else:
            name, _, found[name] = line.partition(": ")
    return found
