"""Waiting for what a server or another task is about to do."""

import asyncio
from collections.abc import Awaitable, Callable

_PAUSE = 0.005  # seconds


async def eventually(check: Callable[[], object | Awaitable[object]]) -> None:
    """Ask again and again until it holds; the test's own deadline bounds it."""
    while True:
        answer = check()
        if isinstance(answer, Awaitable):
            answer = await answer
        if answer:
            return
        await asyncio.sleep(_PAUSE)
