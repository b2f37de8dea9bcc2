"""What a start asks of the store: checked, scoped, and safe to ask again."""

import asyncio
import contextvars
from typing import Any

import pytest

from sse_relay import IdempotencyConflictError, Relay, RunNotFoundError, StoreUnavailableError
from sse_relay.dialects import Native
from sse_relay.runs.opening import StartRequest
from sse_relay.testing import run_virtual
from tests.runs.faults import memory, process, view


def request(source: Any, **said: Any) -> StartRequest:
    """Ask for a run."""
    options: dict[str, Any] = {
        "dialect": Native(),
        "key": None,
        "on_conflict": "reject",
        "run_id": None,
        "idempotency_key": None,
        "metadata": None,
        "timeout": None,
        "idle_timeout": None,
        "context": contextvars.copy_context(),
    }
    return StartRequest(source, **(options | said))


def test_an_answer_that_was_lost_is_asked_for_again() -> None:
    """The same claim gets the same run and the same right to produce it (I5)."""

    async def main() -> None:
        handle: Any = process(memory())
        handle.lossy["open"] = 2
        opened, sent_at = await request(lambda _: None, key="k").open(handle, 10.0)
        assert handle.calls["open"] == 3
        assert opened.grant is not None
        assert not opened.info.joined
        assert sent_at == asyncio.get_running_loop().time()
        assert [info.id async for info in handle.runs()] == [opened.info.id]

    run_virtual(main())


def test_a_store_that_stays_away_is_asked_thrice() -> None:
    """Three failures are an error; it took less than a second."""

    async def main() -> None:
        handle: Any = process(memory())
        handle.down = True
        with pytest.raises(StoreUnavailableError):
            await request(lambda _: None).open(handle, 10.0)
        assert handle.calls["open"] == 3
        assert asyncio.get_running_loop().time() < 1

    run_virtual(main())


def test_equal_metadata_is_the_same_start() -> None:
    """The order of names does not matter to an idempotent start; a value does, and the error names the caller's key."""

    async def main() -> None:
        store: Any = memory()
        first, _ = await request(1, idempotency_key="i", metadata={"a": 1, "b": {"c": 2, "d": 3}}).open(store, 10.0)
        same, _ = await request(1, idempotency_key="i", metadata={"b": {"d": 3, "c": 2}, "a": 1}).open(store, 10.0)
        assert same.info.id == first.info.id
        assert same.grant is None
        with pytest.raises(IdempotencyConflictError) as raised:
            await request(1, idempotency_key="i", metadata={"a": 2}).open(store, 10.0)
        assert raised.value.idempotency_key == "i"

    run_virtual(main())


@pytest.mark.parametrize("run_id", ["", "a b", "é", "a" * 129, "a/b", "a\n", "\x00"])
def test_what_can_be_no_run_is_not_asked_for(run_id: str) -> None:
    """A client may send any text as a run's id: none that `start` would refuse gets to the store."""

    async def main() -> None:
        handle: Any = process(memory())
        async with Relay(handle) as relay:
            for asked in (relay.info(run_id), relay.cancel(run_id), relay.wait(run_id), view(relay, run_id)):
                with pytest.raises(RunNotFoundError):
                    await asked
            assert not handle.calls.keys() & {"info", "cancel", "read", "end"}

    run_virtual(main())
