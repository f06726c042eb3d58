"""Put tasks into a durable work queue and wait until the broker has taken charge of each.

    python work_publisher.py [--url amqp://...] [--queue tasks] TASK...

Every dot in a task's text stands for work to do.  The exit code is 1 if the broker refuses a task.
"""

import argparse
import os

import pika
from pika.exceptions import NackError, UnroutableError


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default=os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/"))
    parser.add_argument("--queue", default="tasks")
    parser.add_argument("tasks", nargs="+", metavar="TASK")
    options = parser.parse_args()

    with pika.BlockingConnection(pika.URLParameters(options.url)) as connection:
        channel = connection.channel()
        channel.queue_declare(options.queue, durable=True)
        channel.confirm_delivery()  # from here on basic_publish returns when the broker has confirmed
        for task in options.tasks:
            persistent = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent)
            try:
                channel.basic_publish("", options.queue, task.encode(), persistent, mandatory=True)
            except (NackError, UnroutableError) as refusal:
                print(f"refused {task!r}: {refusal!r}")
                return 1
            print(f"confirmed {task!r}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
