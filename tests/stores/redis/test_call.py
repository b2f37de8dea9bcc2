"""One call of a script: how it is written, and what its answer means."""

import asyncio
from functools import partial
from typing import Any

import pytest
from redis.exceptions import AskError, MovedError, TryAgainError

from sse_relay import StoreUnavailableError
from sse_relay.stores.redis.call import Call, RefusedError
from sse_relay.stores.redis.connection import Connector, Node
from sse_relay.stores.redis.keys import hash_slot
from sse_relay.stores.redis.link import Link
from sse_relay.stores.redis.scripts import Flavour, Script
from tests.stores.redis.clusters import Cluster, Member, Move

COUNT = Script("count", "redis.call('PEXPIRE', KEYS[1], 60000) return redis.call('INCR', KEYS[1])")
LATER = Script("later", "return redis.error_reply('TRYAGAIN the slot is moving')")


def linked(cluster: Cluster, member: Member) -> Link:
    connector = Connector(cluster.client(), 5.0)
    return Link(partial(connector.connect, Node("127.0.0.1", member.port)), 5.0, lambda: None)


async def answer(call: Call) -> Any:
    """Wait as whoever asks does."""
    try:
        return await call.future
    except asyncio.CancelledError:
        await call.left()
        raise


def test_what_was_not_done_is_told_apart(cluster: Cluster, prefix: str) -> None:
    """I5: a node that has not the key has done nothing and says where it is; others get their answers all the same."""

    async def main() -> None:
        name = f"{prefix}:{{p1}}:x"
        owner = cluster.owner(hash_slot(name))
        wrong = linked(cluster, next(member for member in cluster.primaries if member is not owner))
        right = linked(cluster, owner)
        assert await right.call(COUNT, [name]) == 1
        refused = await asyncio.gather(*[wrong.call(COUNT, [name]) for _ in range(3)], return_exceptions=True)
        for told in refused:
            assert isinstance(told, RefusedError)
            assert isinstance(told.__cause__, MovedError)
            assert told.__cause__.port == owner.port
        asked = right.call(LATER, [name]), right.call(COUNT, [name])
        later, counted = list[Any](await asyncio.gather(*asked, return_exceptions=True))
        assert isinstance(later, RefusedError)
        assert isinstance(later.__cause__, TryAgainError)
        assert counted == 2
        for link in (wrong, right):
            await link.aclose()

    asyncio.run(main())


def test_where_a_slot_moves_to_it_is_asked_for(cluster: Cluster, prefix: str) -> None:
    """I5: only a call that asks for it is done where its slot is going to, and it speaks for itself alone."""

    async def main() -> None:
        name = f"{prefix}:{{p2}}:x"
        source = cluster.owner(hash_slot(name))
        target, other = (member for member in cluster.primaries if member is not source)
        there, here = linked(cluster, target), linked(cluster, source)
        moving = Move(hash_slot(name), source, target, [other])
        await moving.begin()
        with pytest.raises(RefusedError) as refused:
            await here.call(COUNT, [name])
        assert isinstance(refused.value.__cause__, AskError)
        calls = [there.call(COUNT, [name], asking=asking) for asking in (True, False, True)]
        first, second, third = await asyncio.gather(*calls, return_exceptions=True)
        assert (first, third) == (1, 2)
        assert isinstance(second, RefusedError)
        while await moving.step():
            pass
        await moving.end()
        for link in (here, there):
            await link.aclose()

    asyncio.run(main())


def test_only_what_was_sent_may_be_done() -> None:
    """I5: a call that fails before it is sent was refused; one that fails afterwards may have been done."""

    async def main() -> None:
        for sent in (False, True):
            call = Call(COUNT, ["k"], [], asking=True)
            if sent:
                assert call.packed(Flavour.OLD_CLUSTER).startswith(b"*1\r\n$6\r\nASKING\r\n*4\r\n$7\r\nEVALSHA\r\n")
            call.failed(OSError("cut"))
            with pytest.raises(StoreUnavailableError, match="OSError: cut") as caught:
                await call.future
            assert isinstance(caught.value, RefusedError) is not sent
            assert isinstance(caught.value.__cause__, OSError)

    asyncio.run(main())


@pytest.mark.parametrize("settles", [False, True])
def test_whoever_is_cancelled_waits_for_what_was_sent(settles: bool) -> None:
    """I9: a write that was sent is waited for a moment, however often that is cancelled; a read is just left."""

    async def main() -> None:
        call = Call(COUNT, ["k"], [], settles=settles)
        asking = asyncio.create_task(answer(call))
        await asyncio.sleep(0)
        call.packed(Flavour.OLD)
        for _ in range(3):
            asking.cancel()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert asking.done() is not settles
        assert call.answered(1) is False
        await asyncio.wait({asking}, timeout=0.1)
        assert asking.cancelled()

    asyncio.run(main())


def test_nobody_waits_long_for_what_was_sent() -> None:
    """I9: where no answer comes, whoever was cancelled leaves after a quarter of a second."""

    async def main() -> None:
        call = Call(COUNT, ["k"], [], settles=True)
        asking = asyncio.create_task(answer(call))
        await asyncio.sleep(0)
        call.packed(Flavour.OLD)
        asking.cancel()
        await asyncio.wait({asking}, timeout=2.0)
        assert asking.cancelled()

    asyncio.run(main())
