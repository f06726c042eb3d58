"""Command lines of RabbitMQ's tools, played on a RabbitMQ and on a Leveret, and compared (README.md one level up)."""
