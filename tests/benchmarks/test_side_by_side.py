"""The benchmarks with clients of others: what they read, and the tables they print."""

from __future__ import annotations

import pytest

from benchmarks import celery_tasks, perftest

SUMMARY = """
id: test-1, sending rate avg: 8000 msg/s
id: test-1, receiving rate avg: 4000 msg/s
id: test-1, consumer latency min/median/75th/95th/99th 1/2/3/4/58258 µs
"""


def test_the_summary_of_perftest_is_read() -> None:
    assert perftest.parsed(SUMMARY, cpu_s=0.4, seconds=10) == perftest.Measured(4000.0, 58.258, 10.0)
    with pytest.raises(perftest.PerfTestError, match="no rate"):
        perftest.parsed("Main thread caught exception", 1.0, 1)


def test_the_table_of_perftest_has_the_ratio_of_rates() -> None:
    one, other = perftest.Measured(50.0, 30.0, 20.0), perftest.Measured(200.0, 4.0, 2.0)
    rows = perftest.table({"work": {"RabbitMQ": one, "Leveret": other}}).splitlines()
    assert rows[2:] == [
        "| work | RabbitMQ | 50 | 30.0 | 20.00 |  |",
        "| work | Leveret | 200 | 4.0 | 2.00 | 4.0 |",
    ]


def test_the_table_of_celery_has_the_ratio_of_cpu() -> None:
    runs = [celery_tasks.Measured(float(number), 10.0, 200.0, 40_000_000, number / 2) for number in (1, 2, 3)]
    found = {
        "RabbitMQ": celery_tasks.Measured(2.0, 10.0, 500.0, 140_000_000, 0.5),
        "Leveret": celery_tasks.medians(runs),
    }
    rows = celery_tasks.table(found).splitlines()
    assert rows[2:] == [
        "| RabbitMQ | 2 | 10 | 500 | 2.5 | 140 | 0.5 |",
        "| Leveret | 2 | 10 | 200 | 1.0 | 40 | 1.5 |",
    ]
