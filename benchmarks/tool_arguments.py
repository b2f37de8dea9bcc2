"""
What the text of a growing argument costs, beside parsing all that has come at each delta.

By itself, as strings in and strings out; and for who reads a whole stream of a model's deltas by `tool_argument_text`,
an event a delta, from a source that never suspends.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Iterator, Sequence
from functools import partial
from json import dumps

from pydantic_core import from_json

from benchmarks.measure import TIMES, Table, at_least, at_most, cpu_ns, interleave, rounded
from sse_relay import ServerSentEvent, tool_argument_text
from sse_relay.dialects import ToolCallDelta
from sse_relay.dialects.tool_arguments import ArgumentText

__all__ = ["TEXTS", "again_and_again", "arguments", "as_it_grows", "deltas", "fragments", "of_a_stream", "tables"]

LENGTH = 200_000
DELTA = 4
_SENTENCE = "The quick brown fox jumps over the lazy dog. "
_WIDE = "Zwölf Boxkämpfer jagen Viktor — 敏捷的狐狸 🦊.\n"
TEXTS = {
    "prose, with a dash": f'{_SENTENCE * 5}— He said: "Fine."\n\n',
    "dialogue, in short lines": f'He said: "{_SENTENCE}"\n\n',
    "many languages": _WIDE,
    "many languages, escaped": _WIDE,
    "prose, plain ASCII": f'{_SENTENCE * 5}He said: "Fine."\n\n',
    "letters only": "x",
}
ESCAPED = "many languages, escaped"
BARE = {"letters only"}  # the parser copies it whole; ours costs little more than the call of a method


def arguments(name: str, length: int) -> str:
    """Return the JSON of arguments of about a length, whose text is of one kind."""
    unit = TEXTS[name]
    size = len(dumps(unit, ensure_ascii=name == ESCAPED)) - 2
    return dumps({"to": ["Ann"], "message": unit * (length // size)}, ensure_ascii=name == ESCAPED)


def fragments(text: str, size: int = DELTA) -> list[str]:
    """Cut JSON as a model's deltas do."""
    return [text[start : start + size] for start in range(0, len(text), size)]


def as_it_grows(pieces: Iterable[str]) -> Iterator[str]:
    """Give out the text with each delta."""
    return map(ArgumentText("message").feed, pieces)


def deltas(pieces: Iterable[str]) -> list[ToolCallDelta]:
    """Make the deltas of one call, as a model's stream has them: the first one names it, all tell its place."""
    first = ToolCallDelta(id="call_1", name="send_message", index=0)
    return [first, *[ToolCallDelta(piece, index=0) for piece in pieces]]


def of_a_stream(deltas: Sequence[ToolCallDelta]) -> AsyncIterable[ServerSentEvent]:
    """Tell the text of a stream of deltas as an application reads it."""

    async def source() -> AsyncGenerator[ToolCallDelta, None]:
        for delta in deltas:
            yield delta

    return tool_argument_text(source())


def again_and_again(pieces: Iterable[str]) -> Iterator[str]:
    """Parse all that has come at each delta, and give out what is new."""
    text, given = "", 0
    for piece in pieces:
        text += piece
        message = from_json(text, allow_partial="trailing-strings").get("message", "")
        yield message[given:]
        given = len(message)


def tables(*, quick: bool) -> list[Table]:
    """Measure."""
    return [_beside(2, 4000, 10), _growth(2, 4000)] if quick else [_beside(7, LENGTH, 50), _growth(21, LENGTH)]


def _beside(rounds: int, length: int, every: int) -> Table:
    table = Table(
        f"The text of {length:,} characters of arguments in deltas of {DELTA}: ms",
        ("", "pydantic_core at each delta", f"ArgumentText ({TIMES})", "target", f"tool_argument_text ({TIMES})"),
    )
    with asyncio.Runner() as runner:
        for name in TEXTS:
            text = arguments(name, length)
            pieces, some = fragments(text), fragments(text, DELTA * every)
            # To parse at each delta takes up to a minute: every so manieth is parsed, and counts so many times.
            cases = {
                "ours": _costing(partial(as_it_grows, pieces)),
                "stream": _reading(runner, deltas(pieces)),
                "parsed": _costing(partial(again_and_again, some), every),
            }
            samples = interleave(cases, rounds)
            ratio = samples.ratio("parsed", "ours")
            table.add(
                name,
                rounded(samples.median("parsed"), 0),
                f"{rounded(samples.median('ours'), 1)} ({ratio:,.0f}{TIMES})",
                "" if name in BARE else at_least(200, ratio, TIMES),
                f"{rounded(samples.median('stream'), 1)} ({samples.ratio('parsed', 'stream'):,.0f}{TIMES})",
            )
    return table


def _growth(rounds: int, length: int) -> Table:
    table = Table(
        f"Twice the arguments: how many times ({TIMES}) the time of {length:,} characters",
        ("", f"deltas of {DELTA}", "one delta", "target"),
    )
    for name in TEXTS:
        short, long = arguments(name, length), arguments(name, 2 * length)
        cases = {"1": fragments(short), "2": fragments(long), "one 1": [short], "one 2": [long]}
        samples = interleave({case: _costing(partial(as_it_grows, cases[case])) for case in cases}, rounds)
        growth = samples.ratio("2", "1")
        table.add(name, rounded(growth), rounded(samples.ratio("one 2", "one 1")), at_most(2.5, growth, TIMES))
    return table


def _costing(run: Callable[[], Iterable[str]], times: int = 1) -> Callable[[], float]:
    return lambda: times * cpu_ns(lambda: deque(run(), 0)) / 1e6


def _reading(runner: asyncio.Runner, deltas: Sequence[ToolCallDelta]) -> Callable[[], float]:
    async def read() -> None:
        async for _ in of_a_stream(deltas):
            pass

    return lambda: cpu_ns(lambda: runner.run(read())) / 1e6
