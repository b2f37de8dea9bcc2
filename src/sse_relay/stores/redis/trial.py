"""Do with one run all that is ever done with runs, to see whether a server lets us."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable

from sse_relay.exceptions import StoreUnavailableError
from sse_relay.outcome import Outcome
from sse_relay.stores.protocol import Opening, Seal, StreamStore, Wake
from sse_relay.stores.redis.findings import Finding

__all__ = ["tried"]

_FRAME = b"event: text\ndata: {}\n"
_LONG = b"event: text\ndata: %s\n" % (b"." * 10_000)
_SEAL = Seal(Outcome("completed", "checkup"), b"event: end\ndata: {}\n")
_LEASE = 30.0  # seconds: longer than all of it takes
_ADVICE = {
    "NoPermissionError": "allow this user what docs/redis.md lists",
    "NOPERM": "allow this user what docs/redis.md lists",
    "The user executing": "allow this user what docs/redis.md lists",
    "ACL failure": "allow this user what docs/redis.md lists",
    "ReadOnlyError": "connect to the primary",
    "OutOfMemoryError": "make room, or raise maxmemory",
    "OOM": "make room, or raise maxmemory",
    "NOREPLICAS": "bring the replicas back, or lower min-replicas-to-write",
    "MISCONF": "the server cannot write its snapshots: see its log, and its disk",
}  # by a word of the server's, or of its client's
_ELSE = "do what it says"


async def tried(store: StreamStore, deadline: float) -> list[Finding]:
    """
    Try a server.

    Args:
        store: A store on it that soon forgets its runs.
        deadline: How long the server has for a wake-up, in seconds.
    """
    wakes = asyncio.Queue[Wake]()
    follower = await store.follow(wakes.put_nowait)

    async def heard() -> bool:
        try:
            return bool(await asyncio.wait_for(wakes.get(), deadline))
        except TimeoutError:
            return False

    try:
        woken = await _live(store, follower.watch, heard)
    except StoreUnavailableError as error:
        advice = next((what for word, what in _ADVICE.items() if word in error.detail), _ELSE)
        return [Finding("error", "runs", f"a run cannot be kept here: {error.detail}", advice)]
    finally:
        await follower.aclose()
    kept = Finding("ok", "runs", "a run was made, written, read, stopped and sealed")
    if woken:
        return [kept, Finding("ok", "wake-ups", "what is published is heard")]
    return [
        kept,
        Finding(
            "error", "wake-ups", f"nothing that is published is heard within {deadline:g} s: viewers get all, but late",
            "allow what docs/redis.md lists, channels too; look for what is between us and the server",
        ),
    ]  # fmt: skip


async def _live(store: StreamStore, watch: Callable[[str], None], heard: Callable[[], Awaitable[bool]]) -> bool:
    """Live the life of a run; tell whether it was heard of."""
    key = secrets.token_hex(16)
    run_id = store.new_run_id(key)
    opened = await store.open(Opening(_LEASE, _SEAL, _SEAL, run_id, key, idempotency_key=key, claim=key))
    if (grant := opened.grant) is None:
        raise AssertionError("a key of 128 random bits was taken")
    watch(run_id)
    woken = await heard()  # that it is subscribed
    await store.append(grant, 1, [_FRAME])
    await store.append(grant, 2, [_FRAME])  # what gathers is written otherwise than what begins
    await store.append(grant, 3, [_LONG])  # and so is what is long
    woken = woken and await heard()  # that it was written
    await store.renew([grant])
    await store.read(run_id)
    await store.lookup(key)
    await store.lapsed()
    async for _ in store.runs():
        break
    await store.cancel(run_id, "checkup")
    await store.append(grant, 4, [], _SEAL)
    return woken
