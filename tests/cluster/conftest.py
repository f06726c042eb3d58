"""A NATS cluster that the tests of one session share, if there is a nats-server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.nats_servers import VERSION, NatsCluster, find_server

MISSING = (
    "NATS IS NOT TESTED: there is no nats-server. Install it: "
    f"go install github.com/nats-io/nats-server/v2@{VERSION}"
)


@pytest.fixture(scope="session")
def nats_server() -> str:
    """The path of nats-server; without one the test is skipped, loudly."""
    found = find_server()
    if found is None:
        pytest.skip(MISSING)
    return found


@pytest.fixture(scope="session")
def nats_cluster(nats_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsCluster]:
    """Three servers with JetStream that syncs always."""
    cluster = NatsCluster(tmp_path_factory.mktemp("nats"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.close()
