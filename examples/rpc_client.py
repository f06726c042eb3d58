"""Ask an RPC server for Fibonacci numbers.

    python rpc_client.py [--url amqp://...] [--queue fibonacci] [--direct] N...

Replies come to a queue of this client's own, or with --direct to the broker's amq.rabbitmq.reply-to.
"""

import argparse
import os
import uuid

import pika
from pika.adapters.blocking_connection import BlockingChannel

DIRECT = "amq.rabbitmq.reply-to"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default=os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/"))
    parser.add_argument("--queue", default="fibonacci")
    parser.add_argument("--direct", action="store_true")
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds to wait for a reply")
    parser.add_argument("numbers", nargs="+", type=int, metavar="N")
    options = parser.parse_args()

    with pika.BlockingConnection(pika.URLParameters(options.url)) as connection:
        channel = connection.channel()
        replies = DIRECT if options.direct else channel.queue_declare("", exclusive=True).method.queue
        waiting: dict[str | None, int] = {}

        def show(
            _channel: BlockingChannel, _method: object, reply: pika.BasicProperties, body: bytes
        ) -> None:
            print(f"fibonacci({waiting.pop(reply.correlation_id)}) = {body.decode()}")

        # Direct reply-to needs a consumer before the first request.
        channel.basic_consume(replies, show, auto_ack=True)
        for number in options.numbers:
            request = pika.BasicProperties(reply_to=replies, correlation_id=str(uuid.uuid4()))
            waiting[request.correlation_id] = number
            channel.basic_publish("", options.queue, str(number).encode(), request)
        while before := len(waiting):
            connection.process_data_events(time_limit=options.timeout)
            if len(waiting) == before:
                raise SystemExit(f"no reply within {options.timeout} s")


if __name__ == "__main__":
    main()
