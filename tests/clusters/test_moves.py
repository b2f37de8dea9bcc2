"""Slots move without end."""

import asyncio
import logging
import random

import pytest

from sse_relay import Relay
from sse_relay.stores.redis.keys import hash_slot
from tests.deployments.viewing import View, numbers
from tests.stores.redis.clusters import Cluster, Move

pytestmark = [pytest.mark.evidence, pytest.mark.timeout(180)]

_logger = logging.getLogger(__name__)
_LASTS = 60.0  # seconds


@pytest.mark.parametrize("seed", [1])
def test_runs_go_on_while_slots_move(seed: int, replicated: Cluster, prefix: str) -> None:
    """I1, I3, I5: a minute of moves, key by key, under live runs: viewers see each record once, and all complete."""
    chance = random.Random(seed)

    async def main() -> None:
        stores, enough = (replicated.store(prefix), replicated.store(prefix)), asyncio.Event()
        loop = asyncio.get_running_loop()
        async with Relay(stores[0]) as mine, Relay(stores[1]) as yours:
            runs = [await mine.start(numbers(enough), key=f"{place}", idempotency_key="i") for place in range(12)]
            slots = [hash_slot(stores[0]._keys.run(run.id)) for run in runs]
            views = [View(run.id) for run in runs for _ in range(2)]
            following = [asyncio.create_task(view.follow(yours)) for view in views]
            until, moves = loop.time() + _LASTS, 0
            while loop.time() < until:
                slot = chance.choice(slots)
                source = replicated.owner(slot)
                target, other = chance.sample([member for member in replicated.primaries if member is not source], 2)
                await Move(slot, source, target, [other]).whole(chance.choice([0.0, 0.01, 0.1]))
                moves += 1
                await asyncio.sleep(chance.uniform(0.0, 0.2))
            enough.set()
            await asyncio.gather(*following)
        for store in stores:
            await store.aclose()
        seen, silence = sum(len(view.seen) for view in views), max(view.silence for view in views)
        _logger.info("%d moves, %d deliveries, the longest silence %.2f s", moves, seen, silence)
        assert moves > 20
        for view in views:
            view.check()
            assert (view.status, view.refused) == ("completed", [])
            assert len(view.seen) == max(len(other.seen) for other in views if other.run_id == view.run_id)

    asyncio.run(main())
