"""What the benchmark of latencies reads of deliveries, and when it says that a broker did not keep up."""

from __future__ import annotations

import socket
import time

from pamqp import body, commands, frame, header

from benchmarks.latency import QUEUE, SAMPLE, STAMP, Deliveries, Result, cells


def delivery(tag: int) -> bytes:
    content = STAMP.pack(time.perf_counter_ns())
    frames = (
        commands.Basic.Deliver("c", tag, False, "", QUEUE),
        header.ContentHeader(0, len(content), commands.Basic.Properties()),
        body.ContentBody(content),
    )
    return b"".join(frame.marshal(each, 1) for each in frames)


def test_deliveries_are_counted_and_timed_also_if_they_arrive_in_parts() -> None:
    with socket.socket() as sock:
        data = b"".join(delivery(number + 1) for number in range(2 * SAMPLE + 1))
        found = Deliveries(sock)
        assert found.size * (2 * SAMPLE + 1) == len(data)
        for part in (data[:100], data[100:500], data[500:]):
            found.take(part)
        assert found.count == 2 * SAMPLE + 1
        assert len(found.took) == 3
        assert all(0 < each < 60 for each in found.took)


def test_a_broker_that_does_not_keep_up_has_no_latency() -> None:
    assert cells(1000, [Result(1000, 0.25, 0.5), Result(990, 0.35, 0.7), Result(1000, 1, 2)]) == (
        "0.35",
        "0.70",
    )
    assert cells(1000, [Result(900, 1, 2)]) == ("-", "-")
