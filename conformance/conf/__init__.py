"""Configuration files: what RabbitMQ's cuttlefish says to them, and what Leveret does."""
