"""What a log tells."""

from sse_relay import MemoryStore, Outcome, Relay
from sse_relay.commands.story import Story, story_of
from sse_relay.stores.protocol import Seal
from tests.commands.scene import endless, run_async, texts


async def told(count: int, max_events: int | None = None) -> Story:
    """Run a source of so many texts, and read its log."""
    store = MemoryStore(max_events=max_events, on_full="trim")
    async with Relay(store) as relay:
        run = await relay.start(texts(count)())
        await relay.wait(run.id)
        return await story_of(store, run.id)


@run_async
async def test_all_of_a_log() -> None:
    """Every record is counted once, over all pages; the last ones are kept."""
    story = await told(5000)
    assert {name: sum(counts) for name, counts in story.lanes.items()} == {"text": 5000, "end": 1}
    assert not story.gaps
    assert story.epochs == [(story.info.epoch, 1)]
    assert [offset for offset, *_ in story.last] == [4997, 4998, 4999, 5000, 5001]


@run_async
async def test_what_was_trimmed() -> None:
    """What was trimmed is a gap, and never passed over (I7)."""
    story = await told(500, max_events=100)
    ((first, last),) = story.gaps
    assert first == 1
    assert last + sum(map(sum, story.lanes.values())) == 501


@run_async
async def test_a_takeover() -> None:
    """A run that was sealed over its producer's head has two epochs, and a place for each."""
    store = MemoryStore()
    async with Relay(store) as relay:
        run = await relay.start(endless())
        async with relay.subscribe(run.id) as events:
            for _ in range(3):
                await anext(events)
        await store.end(run.id, Seal(Outcome("lost"), b"event: end\ndata: {}\n\n"))
        story = await story_of(store, run.id)
    assert [first for _, first in story.epochs] == [1, 4]
    assert (story.part_of(1), story.part_of(4)) == (0, story.parts - 1)
