"""What the commands' tests have in common: runs in a real server, and a user at a terminal or a pipe."""

import asyncio
import fcntl
import os
import pty
import re
import struct
import sys
import termios
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any

from sse_relay import Relay, ServerSentEvent
from tests.stores.redis.servers import Server

COMMAND = [sys.executable, "-W", "error", "-m", "sse_relay"]
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def run_async(test: "Callable[..., Coroutine[Any, Any, None]]") -> "Callable[..., None]":
    """Run a test in a loop."""

    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


@dataclass(frozen=True)
class Place:
    """
    A store that commands are pointed to.

    Attributes:
        url: Its URL.
        prefix: What its names begin with.
        relay: A relay on it.
    """

    url: str
    prefix: str
    relay: Relay

    @property
    def environment(self) -> dict[str, str]:
        """What a user has set."""
        return {"SSE_RELAY_STORE": self.url, "SSE_RELAY_PREFIX": self.prefix}


@asynccontextmanager
async def place(server: Server, prefix: str, **options: Any) -> AsyncGenerator[Place]:
    """Open a relay on a server."""
    store = server.store(prefix, **options)
    try:
        async with Relay(store) as relay:
            yield Place(f"unix://{server.socket}", prefix, relay)
    finally:
        await store.aclose()


def texts(count: int) -> "Callable[[], AsyncGenerator[ServerSentEvent]]":
    """Make a source of so many texts."""

    async def source() -> AsyncGenerator[ServerSentEvent]:
        for number in range(count):
            yield ServerSentEvent.json({"text": f"w{number}"}, event="text")

    return source


async def endless(first: int = 3) -> AsyncGenerator[str]:
    """Say some words, and then nothing."""
    for number in range(first):
        yield f"word {number}"
    await asyncio.Event().wait()


async def failing() -> AsyncGenerator[str]:
    """Say one word, and fail."""
    yield "one"
    raise RuntimeError("the secret detail")


@dataclass(frozen=True)
class Done:
    """What a command did: its exit code, and what it said."""

    code: int
    out: str
    err: str


async def command(*words: str, interrupt_after: str | None = None, **environment: str) -> Done:
    """Run a command as a pipe; with Ctrl-C once it has said something."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"} | environment
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*COMMAND, *words, stdout=pipe, stderr=pipe, env=env)
    try:
        assert process.stdout is not None
        begun = b""
        while interrupt_after is not None and interrupt_after.encode() not in begun:
            begun += await process.stdout.readuntil(b"\n")
        if interrupt_after is not None:
            process.send_signal(2)
        out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert "Traceback" not in err.decode(), err.decode()
    return Done(process.returncode or 0, (begun + out).decode(), err.decode())


@dataclass(frozen=True)
class CtrlC:
    """
    Ctrl-C at a terminal.

    Attributes:
        when: What has to be drawn, or to be set, before.
        twice: Whether it is pressed again at once.
        within: How many seconds a command then has to end; None: any number.
    """

    when: str | asyncio.Event
    twice: bool = False
    within: float | None = None


async def on_terminal(
    *words: str,
    columns: int,
    interrupt_after: str | CtrlC | None = None,
    **environment: str,
) -> Done:
    """
    Run a command on a terminal of its own; what it drew is `out`, with all control sequences.

    Ctrl-C is pressed once it has drawn a text, or when an event is set.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    env = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "NO_COLOR", "LINES"}}
    env |= {"TERM": "xterm-256color", **environment}
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *words, stdin=theirs, stdout=theirs, stderr=theirs, env=env, start_new_session=True
    )
    os.close(theirs)
    drawn = bytearray()
    loop = asyncio.get_running_loop()
    pressed = CtrlC(interrupt_after) if isinstance(interrupt_after, str) else interrupt_after
    seen = pressed.when if pressed is not None and isinstance(pressed.when, asyncio.Event) else asyncio.Event()

    def read() -> None:
        try:
            drawn.extend(os.read(ours, 65536))
        except OSError:  # the other end is closed
            loop.remove_reader(ours)
        if pressed is not None and isinstance(pressed.when, str) and pressed.when in drawn.decode(errors="replace"):
            seen.set()

    loop.add_reader(ours, read)
    try:
        if pressed is not None:
            await seen.wait()
            for _ in range(1 + pressed.twice):
                process.send_signal(2)
        async with asyncio.timeout(None if pressed is None else pressed.within):
            code = await process.wait()
        read()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        loop.remove_reader(ours)
        os.close(ours)
    return Done(code, drawn.decode(errors="replace"), "")


def plain(drawn: str) -> str:
    """Tell what stays on the terminal: what was erased and drawn again is there once, without colours."""
    kept = [line.rpartition("\x1b[2K")[2] for line in drawn.split("\n")]
    return _CONTROL.sub("", "\n".join(kept)).replace("\r", "")
