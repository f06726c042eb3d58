"""Random conversations: the same random sequences of operations on RabbitMQ and on Leveret, compared step by step."""
