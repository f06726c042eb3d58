"""Emit log lines to a topic exchange.

    python log_emitter.py [--url amqp://...] [--exchange logs] KEY=TEXT...

A key is FACILITY.SEVERITY, as in kern.critical.
"""

import argparse
import os

import pika


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default=os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/"))
    parser.add_argument("--exchange", default="logs")
    parser.add_argument("lines", nargs="+", metavar="KEY=TEXT")
    options = parser.parse_args()

    with pika.BlockingConnection(pika.URLParameters(options.url)) as connection:
        channel = connection.channel()
        channel.exchange_declare(options.exchange, "topic", durable=True)
        for line in options.lines:
            key, _, text = line.partition("=")
            channel.basic_publish(options.exchange, key, text.encode())
            print(f"sent {key}: {text}")


if __name__ == "__main__":
    main()
