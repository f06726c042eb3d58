"""Answer requests for Fibonacci numbers until interrupted.

    python rpc_server.py [--url amqp://...] [--queue fibonacci]

The reply goes to the queue named by ``reply_to``, under the request's ``correlation_id``.
"""

import argparse
import os

import pika
from pika.adapters.blocking_connection import BlockingChannel


def fibonacci(n: int) -> int:
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a


def answer(
    channel: BlockingChannel, method: pika.spec.Basic.Deliver, request: pika.BasicProperties, body: bytes
) -> None:
    reply = pika.BasicProperties(correlation_id=request.correlation_id)
    channel.basic_publish("", request.reply_to, str(fibonacci(int(body))).encode(), reply)
    channel.basic_ack(method.delivery_tag)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default=os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/"))
    parser.add_argument("--queue", default="fibonacci")
    options = parser.parse_args()

    with pika.BlockingConnection(pika.URLParameters(options.url)) as connection:
        channel = connection.channel()
        channel.queue_declare(options.queue, durable=True, auto_delete=True)
        channel.basic_qos(prefetch_count=1)  # several servers share the requests evenly
        try:
            channel.basic_consume(options.queue, answer)
            print("awaiting requests", flush=True)
            channel.start_consuming()
        except KeyboardInterrupt:
            channel.stop_consuming()


if __name__ == "__main__":
    main()
