"""Conformance tests: the same AMQP conversations on RabbitMQ and on Leveret, compared as transcripts.

Every scenario names the AMQP 0-9-1 clause or the RabbitMQ page that it checks. The golden transcripts in `golden/` were
recorded on real RabbitMQ servers. See README.md in this folder.
"""
