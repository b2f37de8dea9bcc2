"""How a stream comes over HTTP."""

import asyncio

import pytest

from sse_relay import Relay
from sse_relay.adapters.asgi import relay_app
from sse_relay.adapters.messages import Receive, Scope, Send
from sse_relay.commands.exits import UserError
from sse_relay.commands.stream_check import Observed, Seen, check_stream, judged
from tests.adapters.servers import serve
from tests.commands.scene import endless, run_async

STREAM = {"content-type": "text/event-stream", "cache-control": "no-store", "x-accel-buffering": "no"}


def levels(found: list[Observed]) -> dict[str, str]:
    """Tell how bad each thing is."""
    return {each.subject: each.level for each in found}


@run_async
async def test_a_stream_of_ours() -> None:
    """A live run behind `relay_app` has nothing to mend; without its header it is not there (I12)."""
    async with Relay() as relay:
        run = await relay.start(endless())
        app = relay_app(
            relay,
            authorize=lambda access: dict(access.scope["headers"]).get(b"authorization") == b"Bearer t",
            keepalive=0.05,
        )
        async with serve(app) as server:
            url = f"http://127.0.0.1:{server._port}/runs/{run.id}/events"
            found = await check_stream(url, {"authorization": "Bearer t"}, 0.5)
            hidden = await check_stream(url, {}, 0.5)
    assert levels(found) == dict.fromkeys(
        ["reached", "content-type", "cache-control", "x-accel-buffering", "first byte", "flow"], "ok"
    )
    assert levels(hidden) == {"reached": "error"}
    assert "--header" in hidden[0].advice


@run_async
async def test_a_stream_that_is_held_back() -> None:
    """A stream whose first byte does not come is told to be held back, with what to do."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        await receive()
        headers = [(name.encode(), value.encode()) for name, value in STREAM.items()]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        while (await receive())["type"] != "http.disconnect":
            pass

    async with serve(app) as server:
        found = await check_stream(f"http://127.0.0.1:{server._port}/", {}, 0.3)
    held = found[-1]
    assert (held.subject, held.level) == ("first byte", "warning")
    assert "proxy_buffering off" in held.advice


@run_async
async def test_nobody_there() -> None:
    """A port where nobody listens is an error with what to check."""
    listening = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    listening.close()
    (found,) = await check_stream(f"http://127.0.0.1:{port}/", {}, 0.3)
    assert (found.subject, found.level) == ("reached", "error")


@run_async
async def test_no_url() -> None:
    """A URL that is none is the user's mistake."""
    with pytest.raises(UserError) as refused:
        await check_stream("http://x:port/", {}, 0.3)
    assert refused.value.code == 2


@pytest.mark.parametrize(
    ("headers", "subject", "level"),
    [
        ({"content-type": "text/html"}, "content-type", "error"),
        ({"cache-control": "max-age=60"}, "cache-control", "warning"),
        ({"content-encoding": "gzip"}, "encoding", "warning"),
        ({"x-accel-buffering": "yes"}, "x-accel-buffering", "info"),
    ],
)
def test_headers(headers: dict[str, str], subject: str, level: str) -> None:
    """Each header that does a stream harm is named, with what to do."""
    found = {each.subject: each for each in judged(Seen(200, STREAM | headers, 0.1), 5.0)}
    assert found[subject].level == level
    assert found[subject].advice


@pytest.mark.parametrize(
    ("seen", "subject", "level"),
    [
        (Seen(200, STREAM, 0.1, [(4.0, 10)]), "first byte", "warning"),
        (Seen(200, STREAM, 0.1, [], ended=True), "first byte", "error"),
        (Seen(200, STREAM, 0.1, [(0.1, 10), (0.2, 10), (0.3, 10)]), "flow", "ok"),
        (Seen(200, STREAM, 0.1, [(0.1, 10)], ended=True), "flow", "info"),
        (Seen(200, STREAM, 0.1, [(0.1, 10)]), "flow", "info"),
        (Seen(200, STREAM, 0.1, [(0.1, 10)], cut="reset"), "flow", "error"),
        (Seen(204, {}, 0.1), "reached", "ok"),
        *[(Seen(status, {}, 0.1), "reached", "error") for status in (401, 404, 409, 410, 502)],
    ],
)
def test_how_it_came(seen: Seen, subject: str, level: str) -> None:
    """What is seen of a stream is judged by when it came."""
    assert levels(list(judged(seen, 5.0)))[subject] == level
