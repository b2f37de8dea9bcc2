"""The benchmarks of runs in Redis measure what they say, and every table of theirs comes out."""

import asyncio
import importlib.util
from typing import Any

import pytest

from benchmarks import (
    redis_footprint,
    redis_live,
    redis_relay,
    redis_replay,
    redis_server,
    redis_waiting,
    redis_writing,
)
from benchmarks.latencies import milliseconds, percentile
from benchmarks.measure import TIMES
from benchmarks.redis_floor import EVENT, FRAME, bare_publish
from benchmarks.redis_server import Server
from sse_relay import Relay
from sse_relay.stores.redis import RedisStore
from sse_relay.wire.encoder import frame
from tests.benchmarks.expecting import has_connections, targets

EVENTS = 10_000


def kept(server: Server) -> int:
    """Count the events that are stored, whatever the layout is."""
    client: Any = server.client
    values: list[bytes] = []
    for key in client.scan_iter(count=1000):
        kind = client.type(key)
        if kind == b"stream":
            values += [value for _, fields in client.xrange(key) for value in fields.values()]
        elif kind == b"string":
            values.append(client.get(key))
    return sum(value.count(FRAME) for value in values)


def test_percentiles_are_of_what_was_measured() -> None:
    """A percentile is one of the times, and of none there is none."""
    times = [number / 1000 for number in range(100, 0, -1)]
    assert list(map(round, milliseconds(times))) == [51, 100]
    assert percentile([7.0], 99) == 7.0
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 50)


def test_all_write_the_same_event() -> None:
    """What sources yield is stored as the 200 bytes that the floors write."""
    assert frame(EVENT) == FRAME
    assert len(FRAME) == 200


@pytest.mark.parametrize("name", redis_writing.CASES)
def test_every_writer_writes_every_event(server: Server, name: str) -> None:
    """Each way to write leaves as many events in the server as it is paid for."""
    server.empty()
    cost = asyncio.run(redis_writing.once(redis_writing.CASES[name], server, server.unix, EVENTS))
    assert cost > 0
    assert kept(server) == EVENTS


@pytest.mark.parametrize("name", redis_waiting.CASES)
def test_every_event_is_timed_until_acknowledged(server: Server, name: str) -> None:
    """Each event of each run has a time of its own, and there is no time but theirs."""
    times, cpu = asyncio.run(redis_waiting.CASES[name](server, server.unix, 5, 50, 0.2))
    assert len(times) == 5 * 10
    assert min(times) > 0
    assert cpu > 0


def test_every_event_is_timed_until_seen(server: Server) -> None:
    """The slow run and the bare message have one time an event."""
    for times in (asyncio.run(redis_waiting.seen(server.unix, 5)), asyncio.run(bare_publish(server.tcp, 5, 0.001))):
        assert len(times) == 5
        assert min(times) > 0


@pytest.mark.parametrize("name", redis_live.CASES)
def test_every_viewer_sees_what_another_process_writes(
    server: Server, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each viewer is late for each event once, by less than the test takes; every process has used its CPU."""
    monkeypatch.setattr(redis_live, "SETTLE", -60)
    load = redis_live.Load(3, 2, 60, 0.5)
    reading = asyncio.run(redis_live.read(name, server, server.unix, load))
    assert len(reading.seconds) == load.events * (2 if name == redis_live.OURS else 1)
    assert 0 < min(reading.seconds) <= max(reading.seconds) < 20
    assert min(reading.reader, reading.server, reading.writer) >= 0


def test_a_writer_that_fails_is_no_figure(server: Server) -> None:
    """A reading whose writer dies raises, and leaves no process behind."""
    load = redis_live.Load(1, 1, 10, 0.1)
    with pytest.raises(RuntimeError, match="writer"):
        asyncio.run(redis_live.read(redis_live.OURS, server, "unix:///nowhere", load))


def test_every_replay_is_whole(server: Server) -> None:
    """A run is the same bytes in whatever batches it was written, and its end is a small part of what is sent."""
    count = 2 * redis_replay.PAGE

    async def main() -> tuple[set[int], int]:
        ids = await redis_replay.stored(server.unix, count)
        store = RedisStore.from_url(server.unix)
        async with Relay(store) as relay:
            sizes = {await redis_replay.replayed(relay, run_id) for run_id in ids.values()}
        await store.aclose()
        return sizes, await redis_replay.resumed(server, server.unix, ids[20], count - redis_replay.LEFT)

    server.empty()
    sizes, resumed = asyncio.run(main())
    with_ids = redis_replay.bare_replay(server.unix, count)
    (size,) = sizes
    assert size > count * len(FRAME)
    assert 0 < size - with_ids < len(FRAME)  # the end
    assert redis_replay.LEFT * len(FRAME) <= resumed < size / 2


def test_the_footprint_holds_the_frames(server: Server) -> None:
    """What a run holds is more than its frames, by both ways to tell."""
    found = asyncio.run(redis_footprint.size(server, server.unix, 20, events=50, length=60, batch=5))
    assert found.payload == 50 * 60
    assert found.payload < found.keys < 10 * found.payload
    assert found.payload < found.used < 10 * found.payload


@pytest.mark.parametrize("name", redis_footprint.IDLE)
def test_idle_runs_are_counted_in_connections_and_commands(server: Server, name: str) -> None:
    """A process with silent runs has connections of its own, and none is left afterwards."""
    before = len(server.client.client_list())
    found = asyncio.run(redis_footprint.idle(name, server, server.unix, 3, 1.1))
    assert found.connections > 0
    assert 0 < found.commands < found.inner  # the sweep is a script
    assert has_connections(server, before)


def test_without_a_server_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no server the benchmark says so."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("SSE_RELAY_REDIS_SERVERS", "")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(RuntimeError, match="install"):
        redis_server.newest()


@pytest.mark.usefixtures("server")
@pytest.mark.evidence
@pytest.mark.timeout(120)  # it starts eleven processes, one after the other
def test_every_table_comes_out() -> None:
    """A quick run gives the seven tables, with all the targets that runs in Redis have."""
    tables = redis_relay.tables(quick=True)
    writing, slow, paced, live, replayed, stored, idle = tables
    assert targets(writing) == [f"≥ 200000/s, ≥ 2.5{TIMES}"]
    assert targets(slow) == [f"≤ 2{TIMES}"] * 2
    assert targets(paced) == ["≤ 15 ms", "≤ 60 ms"]
    assert targets(live) == ["≤ 0.5 ms", "≤ 5 ms", "≤ 40 μs", "≤ 15 ms"]
    assert targets(replayed) == ["≤ 100 kB"] * 2 + ["≥ 1.5 M/s", "≤ 100 kB", "≤ 100 kB"]
    assert targets(stored) == [f"≤ 1.1{TIMES}"] * 3
    assert targets(idle) == ["≤ 3", "≤ 10/s"] * 2
    for table in tables:
        assert all(len(row) == len(table.columns) for row in table.rows)
