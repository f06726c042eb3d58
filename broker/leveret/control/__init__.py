"""The commands of RabbitMQ's tools, as a node carries them out: one handler for each command that needs a node.

`serving.py` finds the handler of a request and formats its answer. Handlers call the engine's operations and read its
objects, as the HTTP API does; `host.py` is the port to the node.
"""
