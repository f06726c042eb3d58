"""Calls to the HTTP API, compared with RabbitMQ's answers.

| | |
|---|---|
| `calls/*.py` | the calls, one table for each area |
| `setting.py` | users, topology, connections and messages that both brokers have |
| `client.py` | sends calls and records answers, with names instead of node names and ports |
| `masks.py` | values that are never the same |
| `compare.py` | what differs between two answers |
| `routes.py`, `routes.txt` | the routes of RabbitMQ, and to which one a call belongs |
| `differences.toml` | differences that are meant, with their reasons |
| `command.py` | `python -m conformance api` |
"""
