"""A Celery application that writes down what it was asked to do."""

import os

from celery import Celery

app = Celery("cluster_app", broker=os.environ["CELERY_BROKER_URL"])
app.conf.task_ignore_result = True


@app.task(name="done")  # type: ignore[untyped-decorator]
def done(number: int) -> None:
    """Append the number to a file."""
    file = os.open(os.environ["TASKS_FILE"], os.O_WRONLY | os.O_APPEND)
    os.write(file, b"%d\n" % number)
    os.close(file)
