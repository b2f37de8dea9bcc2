"""What the sweeps have found."""

import asyncio
from contextlib import ExitStack

from sse_relay import Relay
from sse_relay.testing import FaultyStore, run_virtual
from tests.runs.faults import memory, numbers, silence


def test_a_transition_that_was_cut_off_is_pending_no_more() -> None:
    """L8, L7: an end that is told in the very turn in which the relay closes must not make the next drain spin."""

    async def main() -> None:
        handle = FaultyStore(memory())
        relay = Relay(handle, on_transition=lambda _: None)
        await relay.__aenter__()
        await relay.start(silence())
        await asyncio.sleep(1)
        with ExitStack() as frozen:
            frozen.enter_context(handle.frozen("append", "end"))
            asyncio.get_running_loop().call_later(0.25, frozen.close)  # when the drain gives up on the seals
            await relay.drain(0)
        assert not relay._transitions.pending()  # or `drain` waits for it until its grace is over, in a busy loop

    run_virtual(main())


def test_a_reader_that_left_early_has_no_outcome() -> None:
    """I7: whoever closes a subscription before its end was seen, and reads on, is not told that it came to the end."""

    async def main() -> None:
        async with Relay(memory()) as relay:
            run = await relay.start(numbers(3))
            await relay.wait(run.id)
            async with relay.subscribe(run.id) as events:
                assert (await anext(events)).data == "1"
                await events.aclose()
                assert [event async for event in events] == []
                assert events.outcome is None

    run_virtual(main())
