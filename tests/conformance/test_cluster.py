"""Some scenarios on a cluster of three nodes: the transcripts are those of one node. `python -m conformance cluster`
plays all. LEVERET_TEST_SEED chooses others."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

import pytest

from conformance import cluster, runner
from conformance.stage import Target
from tests.cluster.processes import nats_server

pytestmark = pytest.mark.skipif(nats_server() is None, reason="needs make build/nats/nats-server")

SEED = os.environ.get("LEVERET_TEST_SEED", "1")


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Target]]:
    """A cluster: its owner, and another node."""
    with cluster.serving(tmp_path_factory.mktemp("cluster")) as found:
        yield found


@pytest.mark.parametrize("place", [cluster.OWNER, cluster.OTHER])
def test_a_cluster_answers_as_one_node(
    targets: Mapping[str, Target], place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    scenarios = cluster.one_of_each(runner.chosen(cluster.PROFILE), f"{SEED} {place}")
    verdict = cluster.play(targets[place], place, scenarios)
    assert verdict.answers > 0
    assert not verdict.differing, capsys.readouterr().out
