"""What it costs to read a whole log from Redis as the bytes of native SSE, and only its end."""

import asyncio
from collections.abc import Callable
from contextlib import closing
from time import perf_counter

from benchmarks.measure import Samples, Table, at_least, at_most, interleave, rounded
from benchmarks.redis_floor import FRAME, command, connect
from benchmarks.redis_runs import SEAL, claimed, written
from benchmarks.redis_server import Server
from sse_relay import Relay
from sse_relay.stores.redis import RedisStore

__all__ = ["BARE", "BATCHES", "LEFT", "PAGE", "bare_replay", "replay_table", "replayed", "resumed", "stored"]

BATCHES: tuple[int, ...] = (1, 5, 20, 50)
JUDGED = 20
PAGE = 500
LEFT = 10  # of the events, for who comes back
BARE = "bare socket, a string a page"


async def replayed(relay: Relay, run_id: str, after: int | None = None) -> int:
    """Read a run to its end as an HTTP edge does; tell how many bytes there were."""
    size = 0
    async with relay.subscribe(run_id, after) as events:
        while not events.done:
            if (batch := await events.read()) is not None:
                size += sum(map(len, batch.native()))
    return size


def bare_replay(url: str, count: int) -> int:
    """Read as many whole pages by a bare socket, each of them one string, and put ids in front: the least."""
    size = 0
    with closing(connect(url)) as sock:
        sock.sendall(command(b"SET", b"page", FRAME * PAGE))
        sock.recv(100)
        for first in range(1, count + 1, PAGE):
            sock.sendall(command(b"GET", b"page"))
            text = bytearray()
            while len(text) < len(FRAME) * PAGE + 2 or not text.endswith(b"\n\n\r\n"):
                text += sock.recv(1 << 18)
            body = bytes(text[text.index(b"\n") + 1 : -2])
            frames = [body[at : at + len(FRAME)] for at in range(0, len(body), len(FRAME))]
            size += len(b"".join([b"id: 0123456789abcdef:%d\n%b" % numbered for numbered in enumerate(frames, first)]))
    return size


async def resumed(server: Server, url: str, run_id: str, after: int) -> int:
    """Read the end of a run in a process that reads nothing else; tell what Redis sent for it, in bytes."""
    store = RedisStore.from_url(url)
    try:
        async with Relay(store) as relay:
            await replayed(relay, run_id, after)  # its connections are there by now
            own = -_sent(server) + _sent(server)
            before = _sent(server)
            await replayed(relay, run_id, after)
            return _sent(server) - before - own
    finally:
        await store.aclose()


def _sent(server: Server) -> int:
    return int(server.told("stats")["total_net_output_bytes"])


async def stored(url: str, count: int) -> dict[int, str]:
    """Write a run of so many events in batches of each size; tell their ids."""
    store = RedisStore.from_url(url)
    try:
        grants = await claimed(store, len(BATCHES))
        for grant, batch in zip(grants, BATCHES, strict=True):
            await written(store, [grant], FRAME, count, batch, seal=SEAL)
    finally:
        await store.aclose()
    return {batch: grant.run_id for grant, batch in zip(grants, BATCHES, strict=True)}


def replay_table(runner: asyncio.Runner, server: Server, *, count: int, rounds: int) -> Table:
    """Measure."""
    server.empty()
    ids = runner.run(stored(server.unix, count))
    table = Table(
        f"Replay of {count:,} events of {len(FRAME)} bytes as native SSE ({server.name})",
        (
            "written in batches of",
            "Unix socket, M events/s",
            "target",
            "loopback TCP",
            "its last 10: kB read",
            "target",
        ),
    )
    found = [_timed(runner, url, ids, count, rounds) for url in (server.unix, server.tcp)]
    for name in (BARE, *map(str, BATCHES)):
        unix, tcp = (1 / samples.median(name) for samples in found)
        cells: list[object] = [rounded(unix), at_least(1.5, unix, " M/s") if name == str(JUDGED) else "", rounded(tcp)]
        if name != BARE:
            read = runner.run(resumed(server, server.unix, ids[int(name)], count - LEFT)) / 1000
            cells += [rounded(read, 1), at_most(100, read, " kB")]
        table.add(name, *cells)
    return table


def _timed(runner: asyncio.Runner, url: str, ids: dict[int, str], count: int, rounds: int) -> Samples:
    """Tell the microseconds of an event, by the clock on the wall."""
    store = RedisStore.from_url(url)
    relay = runner.run(Relay(store).__aenter__())

    def ours(run_id: str) -> Callable[[], float]:
        return lambda: _microseconds(lambda: runner.run(replayed(relay, run_id)), count)

    try:
        cases = {str(batch): ours(run_id) for batch, run_id in ids.items()}
        return interleave({BARE: lambda: _microseconds(lambda: bare_replay(url, count), count), **cases}, rounds)
    finally:
        runner.run(relay.drain(0))
        runner.run(store.aclose())


def _microseconds(replay: Callable[[], int], count: int) -> float:
    begun = perf_counter()
    size = replay()
    cost = perf_counter() - begun
    if size < count * len(FRAME):
        raise AssertionError(size)
    return cost * 1e6 / count
