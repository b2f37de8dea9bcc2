"""
What an OpenAI chunk costs, beside what it costs by way of the SDK's models.

Of one chunk: the event that comes of a text as a source yields it; or the bytes that come of a record as a log holds
it, as the edge renders them for a viewer: of a page of many, as a replay has them, and of records that come one by one,
for their first viewer, and for another one. Of a whole stream: from the texts of a source to the bytes that go out,
read by one task.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from importlib import import_module
from json.encoder import encode_basestring
from typing import Any

from benchmarks.measure import TIMES, Table, at_least, at_most, cpu_ns, interleave, rounded
from sse_relay import openai_chat
from sse_relay.adapters.rendering import rendered
from sse_relay.dialects import OpenAIChat, RenderContext, TextDelta, event_of
from sse_relay.runs.batch import Batch
from sse_relay.stores.protocol import Page, RunInfo
from sse_relay.wire.encoder import frame
from sse_relay.wire.event import make_data

__all__ = ["tables"]

MODEL = "gpt-x"
TOKEN = " token"
MODELS = "the SDK's models"
TEXT = "from a text"
PAGE = "from a record, in a page of 500"
ALONE = "from a record by itself"
AGAIN = "the same, for another viewer"
OURS = "openai_chat"
_PAGE = 500
LONG = 10_000  # texts: of fewer, what the first ones cost with cold caches is a large part


def tables(*, quick: bool) -> list[Table]:
    """Measure; nothing, where the SDK is not installed."""
    count, rounds = (100, 2) if quick else (LONG, 61)
    try:
        chunk = _by_models()
    except ImportError:
        return []
    return [_one_chunk(chunk, count, rounds), _whole_stream(chunk, count, rounds)]


def _by_models() -> Callable[[str], str]:
    types: Any = import_module("openai.types.chat.chat_completion_chunk")
    known = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL}

    def chunk(text: str) -> str:
        choice = types.Choice(index=0, delta=types.ChoiceDelta(content=text), finish_reason=None)
        made: str = types.ChatCompletionChunk(**known, choices=[choice]).model_dump_json()
        return made

    return chunk


def records(count: int, size: int) -> Iterator[Batch]:
    """Make the batches of a log of texts, which nobody has looked at."""
    info = RunInfo("r" * 32, None, "running", "e" * 8, count, None, 1.0, 2.0)
    frames = [frame(event_of(TextDelta(TOKEN)))] * size
    for first in range(1, count + 1, size):
        yield Batch(Page(info, "e" * 8, first, frames, first - 1))


def shown(batches: Iterable[Batch]) -> Iterator[bytes]:
    """Render batches as the edge does for one viewer."""
    dialect = OpenAIChat(model=MODEL)
    renderer = dialect.renderer(RenderContext("r" * 32, "e" * 8, 1.0))
    renderer.preamble()
    for batch in batches:
        yield from rendered(batch, renderer, dialect)


def _one_chunk(chunk: Callable[[str], str], count: int, rounds: int) -> Table:
    renderer: Any = OpenAIChat(model=MODEL).renderer(RenderContext("r" * 32, "e" * 8, 1.0))
    before, behind = renderer.around_text
    seen = list(records(count, 1))

    def from_text() -> None:
        for _ in range(count):
            make_data(f"{before}{encode_basestring(TOKEN)}{behind}")

    def alone() -> float:
        unseen = list(records(count, 1))  # a live stream's are made for all viewers, native ones too
        return cpu_ns(lambda: deque(shown(unseen), 0)) / count

    def by_models() -> None:
        for _ in range(count):
            chunk(TOKEN)

    runs = {
        TEXT: _each(from_text, count),
        PAGE: _each(lambda: deque(shown(records(count, min(count, _PAGE))), 0), count),
        ALONE: alone,
        AGAIN: _each(lambda: deque(shown(seen), 0), count),
        MODELS: _each(by_models, count),
    }
    samples = interleave(runs, rounds)
    table = Table("One OpenAI chunk of a text delta: ns", ("", "median", "least", "target", "models take"))
    for case in runs:
        least = min(samples.rounds[case])
        verdict = at_most(250, least, " ns") if case in {TEXT, PAGE} else ""
        times = f"{rounded(samples.ratio(MODELS, case), 1)} {TIMES}"
        table.add(case, rounded(samples.median(case), 0), rounded(least, 0), verdict, times)
    return table


def _each(run: Callable[[], object], count: int) -> Callable[[], float]:
    return lambda: cpu_ns(run) / count


def _whole_stream(chunk: Callable[[str], str], count: int, rounds: int) -> Table:
    async def by_models(source: AsyncIterable[str]) -> AsyncIterator[bytes]:
        async for text in source:
            yield f"data: {chunk(text)}\n\n".encode()

    async def write_models() -> None:
        async for _ in by_models(source()):
            pass

    async def write_ours() -> None:
        async for event in openai_chat(source(), model=MODEL):
            event.encode()

    async def source() -> AsyncGenerator[str, None]:
        for _ in range(count):
            yield TOKEN

    with asyncio.Runner() as runner:
        runs = {
            OURS: lambda: runner.run(write_ours()),
            MODELS: lambda: runner.run(write_models()),
        }
        samples = interleave({case: _each(run, count) for case, run in runs.items()}, rounds)
    table = Table("A stream of texts as OpenAI chunks: ns a text, end to end", ("", "median", "models take", "target"))
    faster = samples.ratio(MODELS, OURS)
    table.add(
        OURS, rounded(samples.median(OURS), 0), f"{rounded(faster, 1)} {TIMES}", at_least(10, faster, f" {TIMES}")
    )
    table.add(MODELS, rounded(samples.median(MODELS), 0))
    return table
