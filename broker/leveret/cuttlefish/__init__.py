"""rabbitmq.conf as RabbitMQ's library cuttlefish reads it: syntax, keys, data types, validators.

`syntax` turns files into lines, `schema` knows all keys of RabbitMQ 4.3.6, `datatypes` checks values, and `rules` has
the checks of RabbitMQ's schemas that data types do not express. What the keys mean here: `leveret.rabbitmq_conf`.
"""
