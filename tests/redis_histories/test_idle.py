"""What a process costs its server while all of its runs are silent, and all of them are watched."""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from redis.asyncio import Redis

import sse_relay.stores.redis
from sse_relay import EventChannel, Relay
from sse_relay.runs.subscription import Subscription
from sse_relay.stores.redis import RedisStore
from tests.redis_histories.clock import OLDER, ServerClockLoop
from tests.runs.faults import said
from tests.stores.redis.servers import Server

DATABASE = 11
LEASE = 30.0  # seconds: what is measured is silence, and not how late a busy machine renews
MOST_CONNECTIONS = 4
SCRIPTS = "".join(path.read_text() for path in Path(sse_relay.stores.redis.__file__).parent.glob("*.lua"))
INSIDE = {name.lower() for name in re.findall(r"redis\.p?call\(\s*'(\w+)'", SCRIPTS + OLDER)}
OURS = {"client", "config", "echo", "eval", "info", "select"}  # of the tests


def most_commands(runs: int) -> float:
    """Tell how many commands a second so many silent runs may cost: their leases and looks at them go by hundreds."""
    return 5 + runs / 200


async def commands(client: Redis) -> dict[str, int]:
    """Tell how often each command was called so far that no script calls."""
    stats = await client.info("commandstats")
    calls = {name.removeprefix("cmdstat_"): int(stat["calls"]) for name, stat in stats.items()}
    return {name: count for name, count in calls.items() if name.partition("|")[0] not in INSIDE | OURS}


async def connections(client: Redis) -> int:
    """Tell how many connections there are, but for those of the tests, which have names."""
    return sum(each["name"] not in {"clock", "test"} for each in await client.client_list())


async def enter(relay: Relay, run_id: str) -> asyncio.Task[list[str | None]]:
    """Let a viewer come, who stays to the end."""
    events = relay.subscribe(run_id)
    await events.enter()
    return asyncio.create_task(read(events))


async def read(events: Subscription) -> list[str | None]:
    """Tell what a viewer sees."""
    try:
        return said([event async for event in events])
    finally:
        await events.aclose()


async def measure(server: Server, runs: int, seconds: float) -> tuple[int, float]:
    """Watch so many silent runs, then let all of them speak; tell the connections and the commands a second between."""
    client = server.client(db=DATABASE, client_name="test")
    await client.flushdb()
    store = RedisStore.from_url(f"unix://{server.socket}?db={DATABASE}", prefix="idle")
    loop = asyncio.get_running_loop()
    async with Relay(store, lease=LEASE) as relay:
        channels = [EventChannel[str]() for _ in range(runs)]
        infos = [await relay.start(channel) for channel in channels]
        viewing = [await enter(relay, info.id) for info in [*infos, *infos[:1] * runs]]
        await asyncio.sleep(5)  # until everything has been looked at once
        before, began = await commands(client), loop.time()
        await asyncio.sleep(seconds)
        after, lasted = await commands(client), loop.time() - began
        connected = await connections(client)
        for channel in channels:
            await channel.push("Hello")
            channel.close()
        seen = await asyncio.gather(*viewing)
        assert not [texts for texts in seen if texts != ["Hello", "end"]]
    await store.aclose()
    await client.aclose()
    return connected, sum(count - before.get(name, 0) for name, count in after.items()) / lasted


def hold(server: Server, runs: int, seconds: float, loop: Callable[[], asyncio.AbstractEventLoop] | None) -> None:
    """Hold a process with so many silent runs to its promise."""
    with asyncio.Runner(loop_factory=loop) as runner:
        connected, rate = runner.run(measure(server, runs, seconds))
    print(f"{server.name}: {runs} runs, {connected} connections, {rate:.1f} commands a second")  # noqa: T201
    assert 0 < connected <= MOST_CONNECTIONS
    assert 0 < rate <= most_commands(runs), f"{runs} silent runs cost {rate:.1f} commands a second"


def test_silence_costs_little(server: Server) -> None:
    """L6: 500 silent runs with 1,000 viewers cost four connections at most, and a few commands a second."""
    hold(server, 500, 60, lambda: ServerClockLoop(server.socket, DATABASE))


@pytest.mark.evidence
@pytest.mark.timeout(300)
def test_the_silence_of_thousands_costs_little(server: Server) -> None:
    """L6: 5,000 live runs with 10,000 viewers cost no more connections, and their share of commands; in real time."""
    hold(server, 5000, 30, None)
