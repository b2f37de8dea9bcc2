"""What ten thousand resumes leave behind: nothing."""

import asyncio
import gc
import logging
import tracemalloc
from collections import Counter

import pytest

from sse_relay.client import Backoff, connect
from tests.client.peers import HEAD, frame, last_id, log, offset_of, raw_server
from tests.reading.gateway import open_files

WARM = 100


def _objects() -> Counter[str]:
    gc.collect()
    return Counter(type(each).__qualname__ for each in gc.get_objects())


@pytest.mark.parametrize("count", [200, pytest.param(10_000, marks=[pytest.mark.evidence, pytest.mark.timeout(300)])])
def test_resumes_over_sockets(caplog: pytest.LogCaptureFixture, count: int) -> None:
    """L6, L7: a stream that is cut after each event, in one way or another, keeps no socket, no task and no memory."""
    caplog.set_level(logging.WARNING, logger="sse_relay")  # captured records are no leak
    end = WARM + count

    async def handle(head: bytes, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        at = offset_of(last_id(head))
        writer.write(HEAD + (frame(at + 1) + b"id: half" if at < end else log(end + 1)[-1]))
        await writer.drain()
        if at % 2:
            writer.close()  # in order; otherwise it is reset

    async def main() -> None:
        seen, found = 0, list[tuple[int, int, int, Counter[str]]]()
        async with raw_server(handle) as url, connect(url, backoff=Backoff(first=0, cap=0)) as events:
            tracemalloc.start()
            async for event in events:
                seen += 1
                assert event.event == "end" or event.data == str(seen)
                if seen in {WARM, end}:
                    objects = _objects()
                    found.append((tracemalloc.get_traced_memory()[0], open_files(), len(asyncio.all_tasks()), objects))
            tracemalloc.stop()
        assert (seen, events.resumes) == (end + 1, end)
        (memory, sockets, tasks, objects), (later, *others, objects_later) = found
        assert later - memory < 200_000
        assert max(count - objects[name] for name, count in objects_later.items()) < 200, objects_later - objects
        for before, after in zip((sockets, tasks), others, strict=True):
            assert after <= before + 2  # of a connection that is being made

    asyncio.run(main())
