"""The runs of all partitions, newest first."""

import asyncio
import json
from typing import Any

from sse_relay.stores.redis.keys import PARTITIONS
from sse_relay.stores.redis.listing import newest_first


def fields(created: int) -> bytes:
    known = {"id": str(created), "metadata": "", "dialect": "native", "created": str(created), "updated": "1"}
    flat = [part for pair in {**known, "last": "0", "epochs": "some-epoch"}.items() for part in pair]
    return json.dumps(flat).encode()


def test_partitions_are_merged() -> None:
    """Runs come newest first over all partitions, however many pages each has, and whichever of them are empty."""
    runs = {number: list(range(1000 + number, 1, -97 - number)) for number in range(0, PARTITIONS, 7)}
    asked: list[int] = []

    async def fetch(number: int, before: bytes) -> list[Any]:
        asked.append(number)
        left = [at for at in runs.get(number, []) if before == b"+inf" or at < int(before[1:])]
        if before == b"+inf" and number == 0:
            return [b"(1000", *[]]  # a page of runs that are all gone
        return [f"({left[2]}".encode() if len(left) >= 3 else b"", *[fields(at) for at in left[:3]]]

    async def main() -> list[int]:
        return [int(info.id) async for info in newest_first(fetch)]

    found = asyncio.run(main())
    wanted = [at for number, made in runs.items() for at in made if number or at != 1000]
    assert found == sorted(wanted, reverse=True)
    assert asked.count(1) == 1


def test_what_is_not_asked_for_is_not_fetched() -> None:
    """Whoever looks at the first run only costs one page a partition."""
    asked: list[int] = []

    async def fetch(number: int, before: bytes) -> list[Any]:
        asked.append(number)
        return [b"(5", fields(10 + number), fields(6)]

    async def main() -> str:
        runs = newest_first(fetch)
        info = await anext(runs)
        await runs.aclose()
        return info.id

    assert asyncio.run(main()) == str(10 + PARTITIONS - 1)
    assert asked == list(range(PARTITIONS))
