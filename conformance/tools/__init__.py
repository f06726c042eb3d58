"""Programs that use the management API, run on a RabbitMQ and on a Leveret: what they print must be the same.

| | |
|---|---|
| `lines.py`, `rabbitmqadmin-*.txt` | the command lines: every subcommand of rabbitmqadmin 1 and 2 |
| `programs.py` | where the programs come from, and how one is run on a broker |
| `output.py` | what a program has printed, as values that can be compared |
| `python_clients.py`, `inside/` | pyrabbit2, every method; Flower's page about the broker |
| `go_client.py` | the tests of rabbit-hole, a client in Go; only with `--go` |
| `differences.toml` | differences that are meant, with their reasons |
| `command.py` | `python -m conformance tools` |

The tests of amqpstorm's management client are a suite: `conformance/suites/amqpstorm.py`.
"""
