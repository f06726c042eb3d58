"""Black-box conformance: the same AMQP conversations on RabbitMQ and on Leveret, compared as transcripts.

Every scenario names the AMQP 0-9-1 clause or the RabbitMQ page that it holds a broker to. The golden
transcripts under `golden/` were recorded on real RabbitMQ servers. See README.md beside this file.
"""
