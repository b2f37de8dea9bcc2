"""A seal that is acknowledged when a replica has it."""

import asyncio
import signal

import pytest

from sse_relay import Outcome
from sse_relay.runs.producer import seal_of
from sse_relay.stores.protocol import Answer, Opening
from tests.deployments.sentinels import Group, store_at
from tests.deployments.viewing import persistently
from tests.stores.redis.waiting import eventually

pytestmark = [pytest.mark.evidence, pytest.mark.timeout(90)]

SEAL = seal_of(Outcome("completed"))
LATE = 0.2  # seconds: long for an answer, short for a sentinel


def test_an_acknowledged_seal_outlives_its_primary(group: Group, prefix: str) -> None:
    """I8: with `replicas=1` a seal is not acknowledged before a replica has it; then the primary may die at once."""

    async def main() -> None:
        async with store_at(group.places, prefix, replicas=1) as store:
            opened = await store.open(Opening(60.0, SEAL, SEAL))
            assert opened.grant is not None
            name = store._keys.run(opened.info.id)
            for replica in group.replicas:
                replica.signal(signal.SIGSTOP)
            sealing = asyncio.create_task(store.append(opened.grant, 1, [b"data: 1\n\n"], SEAL))
            await eventually(lambda: group.primary.ask("HEXISTS", name, "outcome"))
            await asyncio.wait({sealing}, timeout=LATE)
            assert not sealing.done()
            group.replicas[0].signal(signal.SIGCONT)
            assert (await sealing).answer in {Answer.OK, Answer.DUPLICATE}
            group.primary.signal(signal.SIGKILL)
            page = await persistently(lambda: store.read(opened.info.id))
            assert page.info.outcome == SEAL.outcome
            assert list(page.frames) == [b"data: 1\n\n", SEAL.frame]

    asyncio.run(main())
