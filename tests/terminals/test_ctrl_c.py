"""Ctrl-C at every stage of every command, in a terminal: it ends, and leaves the screen as it was."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest

from tests.client.peers import HEAD, frame, raw_server
from tests.commands.conftest import prefix, server
from tests.commands.scene import CtrlC, Done, endless, on_terminal, place, plain, run_async
from tests.stores.redis.proxy import through
from tests.stores.redis.servers import Server
from tests.stores.redis.waiting import eventually

__all__ = ["prefix", "server"]

WITHIN = 12.0  # seconds, on a machine that has other things to do; a store is given up after three
columns = pytest.mark.parametrize("columns", [60, 120])


async def interrupted(*words: str, columns: int, when: str | CtrlC | asyncio.Event, **env: str) -> Done:
    """Run a command, and press Ctrl-C; it ends in time, and nothing is said of it in Python's words."""
    pressed = when if isinstance(when, CtrlC) else CtrlC(when)
    done = await on_terminal(*words, columns=columns, interrupt_after=replace(pressed, within=WITHIN), **env)
    for word in ("Traceback", "Error", "Warning", "Exception"):
        assert word not in done.out
    assert done.out.rpartition("\x1b[?25")[2][:1] in {"h", done.out[:1]}, "the cursor is hidden"
    return done


@asynccontextmanager
async def mute() -> AsyncGenerator[tuple[int, asyncio.Event]]:
    """Serve nobody: take connections, and say nothing. Gives the port, and tells of the first connection."""
    asked = asyncio.Event()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()
        writer.transport.abort()

    listening = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1], asked


STORED = [["tail", "p1-x"], ["show", "p1-x"], ["wait", "p1-x"], ["cancel", "p1-x"], ["runs"], ["doctor"]]


@pytest.mark.parametrize("twice", [False, True], ids=["once", "twice"])
@pytest.mark.parametrize("words", STORED, ids=lambda words: words[0])
@run_async
async def test_a_store_that_swallows_everything(words: list[str], twice: bool) -> None:
    """Whatever waits for a store that takes connections and never answers, ends."""
    async with mute() as (port, asked):
        done = await interrupted(
            *words, "--store", f"redis://127.0.0.1:{port}", columns=60, when=CtrlC(asked, twice=twice)
        )
    assert done.code == 130


@pytest.mark.parametrize("command", ["tail", "doctor"])
@columns
@run_async
async def test_a_server_that_swallows_everything(command: str, columns: int) -> None:
    """Whatever waits for a server that takes connections and never answers, ends."""
    async with mute() as (port, asked):
        done = await interrupted(command, f"http://127.0.0.1:{port}/", columns=columns, when=asked)
    assert done.code == 130


@columns
@run_async
async def test_between_two_connections(columns: int) -> None:
    """Ctrl-C in the pause before a retry ends it, and the place to go on is told."""

    async def handle(_: bytes, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + frame(1))
        await writer.drain()

    async with raw_server(handle) as url:
        done = await interrupted("tail", url, columns=columns, when="the stream was cut")
    assert done.code == 130
    assert plain(done.out).splitlines()[-1].startswith("sse-relay: the run goes on; follow it with --after")


@dataclass(frozen=True)
class Stage:
    """What a command does at a run that goes on, when it is interrupted."""

    words: tuple[str, ...]
    shown: str = ""


STAGES = {
    "tail": Stage(("tail",), "3 events"),
    "wait": Stage(("wait",)),
    "cancel": Stage(("cancel", "--grace", "60")),
}


@pytest.mark.parametrize("stage", STAGES)
@columns
@run_async
async def test_at_a_run_that_goes_on(server: Server, prefix: str, stage: str, columns: int) -> None:
    """Ctrl-C while a run is followed, waited for, or being cancelled ends the command, and not the relay's run."""
    asked = asyncio.Event()

    async def stubborn() -> AsyncGenerator[str]:
        async for word in endless():
            yield word
        await asyncio.Event().wait()

    async with place(server, prefix) as there, through(server.socket) as proxy:
        run = await there.relay.start(stubborn())
        words, shown = STAGES[stage].words, STAGES[stage].shown

        async def tell(check: Callable[[], object | Awaitable[object]]) -> None:
            await eventually(check)
            asked.set()

        telling = asyncio.create_task(tell(lambda: proxy.accepted))
        env = there.environment | {"SSE_RELAY_STORE": f"unix://{proxy.path}"}
        done = await interrupted(words[0], run.id, *words[1:], columns=columns, when=shown or asked, **env)
        await telling
    assert done.code == 130


@columns
@run_async
async def test_the_demo(columns: int) -> None:
    """Ctrl-C is how the demo is ended: that is no error."""
    done = await interrupted("demo", "--port", "0", columns=columns, when="Ctrl-C ends it")
    assert done.code == 0
