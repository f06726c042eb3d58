"""Answers of commands as text: RabbitMQ's formatters (rabbitmq_cli: formatters, default_output.ex).

Values are Erlang terms: str is a binary, `Atom` an atom, `Quoted` a list of characters, tuple, list and dict (a map)
are what they are, None is Elixir's nil. A row is a list of pairs whose keys are atoms or binaries. Both the commands
and the node render, so that this imports nothing of the broker.
"""
