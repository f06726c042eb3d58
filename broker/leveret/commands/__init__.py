"""The commands: RabbitMQ's command-line tools, which speak to a running node through its control socket.

A process of a command lives for a few milliseconds. Its modules import nothing of the broker, no `asyncio` and no
`argparse`; what only some commands need is imported by them.
"""
