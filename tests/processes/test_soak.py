"""Several producers and many viewers on one real server, with a fault a second."""

import asyncio
import os

import pytest

from tests.processes.server import KeptServer
from tests.processes.soak import Soak

_LONG = float(os.environ.get("SSE_RELAY_SOAK_SECONDS", "600"))


def _soaked(server: KeptServer, seed: int, lease: float, seconds: float, finish: float) -> Soak:
    soak = Soak(server, "soak", seed, lease)
    asyncio.run(soak.run(seconds, finish))
    print("\n".join(f"{what}: {times}" for what, times in sorted(soak.counts.items())))  # noqa: T201 - the report
    assert soak.counts["runs completed"] > soak.counts["runs lost"] + soak.counts["runs failed"]  # faults are survived
    return soak


@pytest.mark.timeout(60)
def test_a_short_soak(server: KeptServer, seed: int) -> None:
    """I1 to I8, L2, L3: whatever fails for some seconds, nothing is lost, doubled or told in two ways, and all ends."""
    soak = _soaked(server, seed, 2, 11, 15)
    assert soak.counts["deliveries"] > 1000
    assert soak.counts["resumes in another process"]


@pytest.mark.evidence
@pytest.mark.timeout(_LONG + 300)
def test_a_long_soak(server: KeptServer, seed: int) -> None:
    """I1 to I8, L2, L3: whatever fails for ten minutes, nothing is lost, doubled or told in two ways, and all ends."""
    soak = _soaked(server, seed, 3, _LONG, 60)
    assert soak.counts["deliveries"] >= 1_000_000 * _LONG / 600
    assert soak.counts["append fenced"]
