"""Sources by a script, and connections that fail."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any, Literal

from sse_relay import watch_outcome
from sse_relay.adapters.asgi import EventStreamResponse
from sse_relay.adapters.messages import Message

Step = object
Mode = Literal["close", "continue"]


async def play(*steps: Step) -> AsyncGenerator[object, None]:
    """A source by its script: a number is a silence in seconds, an exception is raised, an event is waited for."""
    for step in steps:
        match step:
            case float():
                await asyncio.sleep(step)
            case BaseException():
                raise step
            case asyncio.Event():
                await step.wait()
            case _:
                yield step


def silence() -> asyncio.Event:
    """A step of `play` that never ends."""
    return asyncio.Event()


async def stubborn(*items: object, seconds: float = 30) -> AsyncGenerator[object, None]:
    """A source that yields, and then ignores for so long that it is cancelled."""
    for item in items:
        yield item
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while (left := until - loop.time()) > 0:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(left)


class Watched:
    """A source by its script, whose cleanup takes a second, with what became of it."""

    def __init__(self, *steps: Step) -> None:
        self.closed: list[float] = []
        self.outcomes: list[str] = []
        self.stream = watch_outcome(self._play(steps), lambda outcome: self.outcomes.append(outcome.status))

    async def _play(self, steps: tuple[Step, ...]) -> AsyncGenerator[object, None]:
        script = play(*steps)
        try:
            async for item in script:
                yield item
        finally:
            await asyncio.sleep(1)
            await script.aclose()
            self.closed.append(asyncio.get_running_loop().time())

    def response(self, mode: Mode, **options: Any) -> EventStreamResponse:
        """Make the response that streams it."""
        return EventStreamResponse(self.stream, on_disconnect=mode, **options)


async def fail(message: Message) -> None:
    """A `send` to a connection that is gone, after 10 seconds."""
    if asyncio.get_running_loop().time() > 10:
        raise ConnectionResetError


async def hang(message: Message) -> None:
    """A `send` to a client that reads no more, after 10 seconds."""
    if asyncio.get_running_loop().time() > 10:
        await silence().wait()


async def hang_on(message: Message) -> None:
    """The same, behind a middleware that swallows the cancellation."""
    with suppress(asyncio.CancelledError):
        await hang(message)
