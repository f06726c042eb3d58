"""Random conversations: the same made-up sequences of operations on RabbitMQ and on Leveret, compared step by step."""
