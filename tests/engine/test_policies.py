"""What policies may say."""

from __future__ import annotations

from typing import Any

import pytest

from leveret.engine.policies import Policies, Policy, PolicyError
from leveret.profiles import profile


def policy(**definition: Any) -> Policy:
    return Policy("/", "p", "^q", {key.replace("_", "-"): value for key, value in definition.items()})


def test_the_master_locator_is_deprecated() -> None:
    """Seen on 4.3.6."""
    with pytest.raises(PolicyError) as caught:
        Policies(profile("4.3")).set(policy(queue_master_locator="min-masters"))
    assert str(caught.value) == "use of deprecated queue-master-locator argument is not permitted\n"
    assert Policies(profile("4.3"), {"queue_master_locator": True}).set(policy(queue_master_locator="random"))
    assert Policies(profile("4.2")).set(policy(queue_master_locator="random"))
