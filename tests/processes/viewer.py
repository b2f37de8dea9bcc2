"""A process that views runs, and cancels some, as it is told."""

import asyncio
import sys
from typing import Any

from sse_relay import Relay, StoreUnavailableError
from sse_relay.stores.redis import RedisStore
from tests.processes.lines import commands, errors_only, say
from tests.processes.producer import told
from tests.processes.trail import Trail


async def view(relay: Relay, viewer: int, trail: dict[str, Any], most: int, delay: float) -> None:
    """View a run for so many events, from where somebody has left it; say what was seen."""
    await asyncio.sleep(delay)
    await _view(relay, viewer, Trail(**trail), most)


async def _view(relay: Relay, viewer: int, trail: Trail, left: int) -> None:
    try:
        async with relay.subscribe(trail.run, after=trail.cursor) as events:
            async for event in events:
                trail.saw(event)
                left -= 1
                if left <= 0 and trail.outcome is None:
                    break
        how = "dropped" if trail.outcome is None else "ended"
    except StoreUnavailableError:
        how = "cut"
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told
        how = f"wrong: {error!r}"
    say(viewer=viewer, how=how, trail=trail.told())


async def cancel(relay: Relay, run_id: str) -> None:
    """Cancel a run; when there is no server, that is all."""
    try:
        info = await relay.cancel(run_id, reason="user", grace=1.0)
        say(cancelled=run_id, how=info.status)
    except StoreUnavailableError:
        pass
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told
        say(cancelled=run_id, how=f"wrong: {error!r}")


def task(relay: Relay, command: dict[str, Any]) -> asyncio.Task[None]:
    """Do what is told."""
    if "cancel" in command:
        return asyncio.create_task(cancel(relay, command["cancel"]))
    return asyncio.create_task(view(relay, **command))


async def main(url: str, prefix: str, lease: str) -> None:
    """View until there is nobody to tell more."""
    errors_only()
    store = RedisStore.from_url(url, prefix=prefix, probe=1.0)
    async with Relay(store, lease=float(lease), on_transition=told) as relay:
        tasks = set[asyncio.Task[None]]()
        async for command in commands():
            tasks.add(task(relay, command))
            tasks = {each for each in tasks if not each.done()}
    await asyncio.gather(*tasks)
    await store.aclose()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
