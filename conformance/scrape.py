"""`python -m conformance scrape`: a Prometheus server scrapes Leveret and answers the queries of RabbitMQ's dashboards.

`promtool check metrics` reads every page: what it finds fault with in RabbitMQ's own names is not counted. Then a real
server scrapes `/metrics` and `/metrics/per-object`, and is asked every query of the dashboards that has series here
(`tests/management/dashboards.json`); each must give a result. Both programs are of Debian's package prometheus.
"""

from __future__ import annotations

import argparse
import base64
import json
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pika

from conformance import packages
from conformance.leveret import ROOT, serving

DASHBOARDS = ROOT / "tests" / "management" / "dashboards.json"

PAGES = (
    "metrics",
    "metrics/per-object",
    "metrics/memory-breakdown",
    "metrics/detailed?family=queue_metrics&family=channel_queue_metrics&family=exchange_bindings",
)

#: Metrics that are not here, see docs/features/metrics.md.
LEFT_OUT = re.compile(r'erlang_vm_|rabbitmq_raft_|rabbitmq_global_stream_error_|perftest_|protocol="stream"')

#: How long the server may take to scrape often enough for rates.
PATIENCE_S = 60.0

CONFIGURATION = """
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: rabbitmq
    static_configs: [{{targets: ["{target}"], labels: {{namespace: n}}}}]
  - job_name: per-object
    metrics_path: /metrics/per-object
    static_configs: [{{targets: ["{target}"]}}]
"""


class ScrapeError(Exception):
    """Something that Prometheus does not get or cannot read."""


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The options of the command."""
    command.add_argument("--profile", default="4.3", help="profile of the broker (default: %(default)s)")


def main(options: argparse.Namespace) -> int:
    """Check and scrape; print the number of queries that gave a result. The exit code is 1 on an error."""
    promtool = packages.need("promtool", "prometheus")
    server = packages.need("prometheus")
    try:
        with serving(options.profile, metrics=True) as leveret, _talking(leveret.amqp_url):
            target = f"127.0.0.1:{_port(leveret.http_url)}"
            for page in PAGES:
                _check(promtool, f"http://{target}/{page}")
            with _prometheus(server, target) as url:
                count = _ask_all(url)
    except ScrapeError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{len(PAGES)} pages are well-formed; {count} queries of dashboards give results")
    return 0


@contextmanager
def _talking(url: str) -> Iterator[None]:
    """Have something to count: a publisher with confirms, a consumer, basic.get."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.queue_declare("scraped", durable=True)
    channel.basic_qos(prefetch_count=1)
    channel.basic_consume("scraped", lambda *_: None)
    publisher = connection.channel()
    publisher.confirm_delivery()
    for size in (10, 1000, 100_000):
        publisher.basic_publish("", "scraped", b"x" * size)
    publisher.basic_get("scraped")
    yield
    connection.close()


def _port(http_url: str) -> int:
    """The port of the Prometheus listener."""
    request = urllib.request.Request(f"{http_url}/api/overview")
    request.add_header("Authorization", f"Basic {base64.b64encode(b'guest:guest').decode()}")
    with urllib.request.urlopen(request) as answer:
        listeners = json.load(answer)["listeners"]
    return cast(int, next(each["port"] for each in listeners if each["protocol"] == "http/prometheus"))


def _check(promtool: str, url: str) -> None:
    """Have promtool read a page. Raises `ScrapeError` for what is malformed, or badly named by Leveret."""
    with urllib.request.urlopen(url) as answer:
        page = answer.read()
    checked = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True)
    said = (checked.stdout + checked.stderr).decode().splitlines()
    ours = [line for line in said if not re.match(r"(rabbitmq|telemetry|process|python)_", line)]
    if checked.returncode not in (0, 3) or (checked.returncode == 3 and ours):
        raise ScrapeError("\n".join([f"promtool check metrics: {url}", *said]))


@contextmanager
def _prometheus(program: str, target: str) -> Iterator[str]:
    """A server that scrapes `target` each second; yields its address once it has rates."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "prometheus.yml"
        file.write_text(CONFIGURATION.format(target=target))
        command = [
            program,
            f"--config.file={file}",
            f"--storage.tsdb.path={directory}/data",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=error",
        ]
        with subprocess.Popen(command) as server:
            try:
                _wait_for_rates(f"http://127.0.0.1:{port}")
                yield f"http://127.0.0.1:{port}"
            finally:
                server.terminate()


def _wait_for_rates(url: str) -> None:
    """Wait until each target was scraped three times. Raises `ScrapeError`."""
    query = "min(count_over_time(up[1m]))"
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            found = _ask(url, query)
            if found and float(found[0]["value"][1]) >= 3 and not _ask(url, "up == 0"):
                return
        except (urllib.error.URLError, ConnectionError):
            pass
        time.sleep(0.5)
    raise ScrapeError("Prometheus does not scrape: " + str(_ask(url, "up")))


def _ask_all(url: str) -> int:
    """Ask every query that has series here; returns how many. Raises `ScrapeError` for those without a result."""
    dashboards: dict[str, list[str]] = json.loads(DASHBOARDS.read_text())
    identity = _ask(url, "rabbitmq_identity_info")[0]["metric"]
    variables = {
        "$__rate_interval": "1m",
        "$__range": "1m",
        "$__interval": "1m",
        "$rabbitmq_cluster": identity["rabbitmq_cluster"],
        "$rabbitmq_node": identity["rabbitmq_node"],
        "$namespace": "n",
        "$endpoint": "aggregated",
        "$node": identity["instance"],
    }
    empty, count = [], 0
    for name, queries in dashboards.items():
        for query in queries:
            if LEFT_OUT.search(query) or query.startswith(("label_values", "query_result")):
                continue
            given = query
            for variable, value in variables.items():
                given = given.replace(variable, value)
            # Prometheus 3 writes the limits of a histogram as floats, Prometheus 2 as they come.
            given = re.sub(r'le="([\d.e+]+)"', lambda limit: f'le="{int(float(limit[1]))}"', given)
            count += 1
            # Comparisons choose nodes that are in trouble; their series have to be there.
            if not _ask(url, re.sub(r"\s(?:[<>]=?|[!=]=)\s*[\d.]+\s*$", "", given)):
                empty.append(f"{name}: {query}")
    if empty:
        raise ScrapeError("\n".join(["no result:", *empty]))
    return count


def _ask(url: str, query: str) -> list[dict[str, Any]]:
    """The result of a query. Raises `ScrapeError` if it is malformed."""
    try:
        with urllib.request.urlopen(
            f"{url}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
        ) as answer:
            return cast(list[dict[str, Any]], json.load(answer)["data"]["result"])
    except urllib.error.HTTPError as error:
        if error.code == 503:  # not ready yet
            raise ConnectionError from None
        raise ScrapeError(f"{query}: {error.read().decode()}") from None
