"""The Celery application of `benchmarks.celery_tasks`: one task, and a publisher of so many of them.

Usage: python -m benchmarks.celery_app COUNT, with the broker's address in the environment; prints tasks a second.
"""

from __future__ import annotations

import os
import socket
import sys
import time

from celery import Celery

#: The address of the broker, and of the socket to which tasks tell that they ran.
URL_VARIABLE = "LEVERET_BENCH_CELERY_URL"
SOCKET_VARIABLE = "LEVERET_BENCH_CELERY_SOCKET"

app = Celery("benchmark", broker=os.environ.get(URL_VARIABLE, "amqp://"))
app.conf.update(task_ignore_result=True, worker_hijack_root_logger=False, worker_prefetch_multiplier=4)

_ran = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)


@app.task(name="benchmark.work")  # the publisher runs this file as __main__
def work(number: int) -> None:
    """Tell the benchmark that a task ran; waits if it does not read."""
    _ran.sendto(b".", os.environ[SOCKET_VARIABLE])


def main() -> int:
    """Publish tasks, and print how many a second."""
    count = int(sys.argv[1])
    work.delay(0)  # connects, and declares the queue
    began = time.perf_counter()
    for number in range(1, count):
        work.delay(number)
    print((count - 1) / (time.perf_counter() - began))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
