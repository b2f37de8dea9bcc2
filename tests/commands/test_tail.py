"""Follow a stream from a terminal and from a pipe."""

import json
import re
from collections.abc import AsyncGenerator
from typing import get_args

import pytest

from sse_relay import EventDecoder
from sse_relay.adapters.asgi import relay_app
from sse_relay.commands.tail import Form, headers_of, tail
from tests.adapters.servers import serve
from tests.commands.scene import command, endless, failing, on_terminal, place, plain, run_async, texts
from tests.stores.redis.servers import Server

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
EVIL = "\x1b[2J [bold]\u202e"


@run_async
async def test_the_forms(server: Server, prefix: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In a pipe the events come as lines, as JSON, or as they are on the wire; the code is the outcome's."""
    async with place(server, prefix) as there:
        run = await there.relay.start(failing())
        await there.relay.wait(run.id)
        said: dict[str, str] = {}
        for form in get_args(Form):
            code = await tail(run.id, store=there.url, prefix=prefix, headers={}, after=None, form=form)
            assert code == 3
            said[form] = capsys.readouterr().out
    first, last = said["lines"].splitlines()
    assert first == f"{run.epoch}:1\t(unnamed)\tone"
    assert last.startswith(f"{run.epoch}:2\tend\t" + '{"status":"failed"')
    assert json.loads(said["json"].splitlines()[0]) == {"id": f"{run.epoch}:1", "event": None, "data": "one"}
    assert [event.id for event in EventDecoder().feed(said["raw"].encode())] == [f"{run.epoch}:1", f"{run.epoch}:2"]


@run_async
async def test_a_line_stays_a_line(server: Server, prefix: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What a source says cannot steer the terminal, nor look like another event."""

    async def source() -> AsyncGenerator[str]:
        yield f"a\nb{EVIL}"

    async with place(server, prefix) as there:
        run = await there.relay.start(source())
        await tail(run.id, store=there.url, prefix=prefix, headers={}, after=None, form="lines")
    first, _ = capsys.readouterr().out.splitlines()
    assert first.endswith("a\\nb\\x1b[2J [bold]\\u202e")


@pytest.mark.parametrize("columns", [50, 100])
@run_async
async def test_a_terminal(server: Server, prefix: str, columns: int) -> None:
    """On a terminal the events stand above a line with rate, age and cursor; Ctrl-C leaves it, and tells the place."""
    async with place(server, prefix) as there:
        run = await there.relay.start(endless())
        done = await on_terminal("tail", run.id, columns=columns, interrupt_after="3 events", **there.environment)
        assert (await there.relay.info(run.id)).status == "running"
    assert done.code == 130
    lines = plain(done.out).splitlines()
    assert "     3  (unnamed)  word 2" in lines
    place_shown = f"after {run.epoch}:3" if columns == 100 else "after 3"
    assert any(f"/s · 0.0 s ago · {place_shown} · 3 events" in line for line in _CONTROL.sub("", done.out).split("\r"))
    assert lines[-1] == f"sse-relay: the run goes on; follow it with --after {run.epoch}:3"
    assert "Traceback" not in done.out


@run_async
async def test_a_pipe(server: Server, prefix: str) -> None:
    """In a pipe there is no colour and no progress, each event comes at once, and Ctrl-C ends it the same."""
    async with place(server, prefix) as there:
        run = await there.relay.start(endless())
        done = await command("tail", run.id, interrupt_after="word 2", **there.environment)
    assert done.code == 130
    assert "\x1b" not in done.out
    assert len(done.out.splitlines()) == 3
    assert done.err == f"sse-relay: the run goes on; follow it with --after {run.epoch}:3\n"


@run_async
async def test_a_url(server: Server, prefix: str) -> None:
    """A URL is followed with the headers that it needs; without them it looks like nothing (I12)."""
    async with place(server, prefix) as there:
        run = await there.relay.start(texts(3)())
        app = relay_app(
            there.relay, authorize=lambda access: dict(access.scope["headers"]).get(b"authorization") == b"Bearer t"
        )
        async with serve(app) as http:
            url = f"http://127.0.0.1:{http._port}/runs/{run.id}/events"
            done = await command("tail", url, "--header", "Authorization: Bearer t", "--after", "1", "--json")
            hidden = await command("tail", url)
    assert done.code == 0
    assert [json.loads(line)["event"] for line in done.out.splitlines()] == ["text", "text", "end"]
    assert hidden.code == 7
    assert len(hidden.err.splitlines()) == 1


def test_headers() -> None:
    """Headers are typed as they are written in a request."""
    assert headers_of(["Authorization: Bearer a:b", "X-A:1"]) == {"Authorization": "Bearer a:b", "X-A": "1"}


@pytest.mark.parametrize("line", ["", "token", ": x", "a: b\r\nc: d", "ä: x", "a: ü"])
def test_what_is_no_header(line: str) -> None:
    """What is no header is refused, and not repeated: it may be a secret."""
    with pytest.raises(ValueError, match=r"^a header is written as 'Name: value'\Z"):
        headers_of([line])
