"""The browser's own `EventSource`, in headless Chromium: it gets the whole text, and stops by itself."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import pytest
import uvicorn
from playwright.sync_api import Browser, Page

from sse_relay import MemoryStore, Relay
from sse_relay.adapters.messages import Message, Receive, Scope, Send, body, start
from tests.adapters.relays import open_to_all
from tests.adapters.sources import play, silence

WORDS = [f"word{number} " for number in range(60)]
SCRIPTS: dict[str, Callable[[], list[object]]] = {
    "spoken": lambda: [step for word in WORDS for step in (0.01, word)],  # at a pace: it is cut in mid-stream
    "silent": lambda: ["Hmm.", silence()],
}
PAGE = b"""<!doctype html><script>
const said = { text: "", ids: [], ends: [], errors: 0 };
const source = new EventSource("/relay/runs/" + location.pathname.slice(1) + "/events");
source.onmessage = (event) => { said.text += event.data; said.ids.push(event.lastEventId); };
source.addEventListener("end", (event) => said.ends.push(JSON.parse(event.data)));
source.onerror = () => said.errors++;
</script>"""

Cut = Literal["ends the body", "breaks the connection"]


class Site:
    """
    A page with an EventSource, and the routes of a relay, whose connections are cut when a test says so.

    Clients are told to come back after 10 ms, so that nobody waits for the browser's 3 seconds.

    Attributes:
        url: Where it is.
        requests: The last id and the status of each request for events.
    """

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[tuple[str | None, int]] = []
        self._cuts: list[int] = []
        self._cut: Cut = "ends the body"

    def cut(self, how: Cut, *bytes_until_cut: int) -> None:
        """Cut the connections to come after so many bytes each; then no more."""
        self._cut = how
        self._cuts = list(bytes_until_cut)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        if scope["type"] == "lifespan":
            await receive()
            async with Relay(MemoryStore()) as self.relay:
                await send({"type": "lifespan.startup.complete"})
                await receive()
            await send({"type": "lifespan.shutdown.complete"})
        elif not scope["path"].startswith("/relay/"):
            run_id = scope["path"].removeprefix("/")
            if run_id in SCRIPTS:
                await self.relay.start(play(*SCRIPTS[run_id]()), run_id=run_id, idempotency_key=run_id)
            await send(start(200, {b"content-type": b"text/html"}))
            await send(body(PAGE, more=False))
        elif scope["path"].endswith("/events"):
            await open_to_all(self.relay)({**scope, "root_path": "/relay"}, receive, self._noted(scope, send))
        else:
            await open_to_all(self.relay)({**scope, "root_path": "/relay"}, receive, send)

    def _noted(self, scope: Scope, send: Send) -> Send:
        last_id = dict(scope["headers"]).get(b"last-event-id")
        left = self._cuts.pop(0) if self._cuts else None
        first = True

        async def noted(message: Message) -> None:
            nonlocal left, first
            if message["type"] == "http.response.start":
                self.requests.append((last_id and last_id.decode(), message["status"]))
            elif first and message["body"]:
                first = False
                message = {**message, "body": message["body"] + b"retry: 10\n"}
            elif left is not None and len(message["body"]) >= left:
                data, left = message["body"][:left], None
                await send(body(data, more=self._cut == "breaks the connection"))
                raise ConnectionResetError if self._cut == "ends the body" else RuntimeError("cut")
            elif left is not None:
                left -= len(message["body"])
            await send(message)

        return noted


@contextmanager
def served(site: Site) -> Iterator[Site]:
    """Serve it on a free port of this machine."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(site, log_config=None, ws="none", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    until = time.monotonic() + 10
    while not server.started:
        assert time.monotonic() < until, "the server did not start"
        time.sleep(0.01)
    site.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        yield site
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()
        assert not thread.is_alive()


@pytest.fixture
def site() -> Iterator[Site]:
    """Serve a site of the test's own."""
    with served(Site()) as site:
        yield site


@pytest.fixture
def visit(browser: Browser, site: Site) -> Iterator[Callable[[str], Page]]:
    """Open a page that views a run."""
    context = browser.new_context()
    context.set_default_timeout(10_000)

    def open_page(run_id: str) -> Page:
        page = context.new_page()
        page.goto(f"{site.url}/{run_id}")
        return page

    yield open_page
    context.close()


def closed(page: Page) -> dict[str, Any]:
    """Wait until the EventSource has given up for good; tell what it said."""
    page.wait_for_function("source.readyState === EventSource.CLOSED")
    said: dict[str, Any] = page.evaluate("said")
    return said


COMPLETED = {"status": "completed", "reason": None, "error": None}


def test_it_ends_by_itself(site: Site, visit: Callable[[str], Page]) -> None:
    """The seal: after the `end` exactly one more request, answered 204, and then none: it is closed."""
    page = visit("spoken")
    said = closed(page)
    assert said["text"] == "".join(WORDS)
    assert said["ends"] == [COMPLETED]
    assert [status for _, status in site.requests] == [200, 204]
    assert [last_id and last_id.rpartition(":")[2] for last_id, _ in site.requests] == [None, str(len(WORDS) + 1)]
    page.wait_for_timeout(200)  # twenty times what it waits before it comes back
    assert len(site.requests) == 2


@pytest.mark.parametrize("how", ["ends the body", "breaks the connection"])
def test_it_is_cut_again_and_again(site: Site, visit: Callable[[str], Page], how: Cut) -> None:
    """I3: cut by the server in mid-stream, between events and inside them: nothing is lost, and nothing comes twice."""
    site.cut(how, 1, 30, 45, 46, 47, 48, 49, 50, 51, 333, 7)
    said = closed(visit("spoken"))
    assert said["text"] == "".join(WORDS)
    assert len(set(said["ids"])) == len(said["ids"]) == len(WORDS)
    assert said["ends"] == [COMPLETED]
    statuses = [status for _, status in site.requests]
    assert statuses == [200] * 12 + [204]
    offsets = [int(last_id.rpartition(":")[2]) if last_id else 0 for last_id, _ in site.requests]
    assert offsets == sorted(offsets)
    assert len(set(offsets)) > 6  # it did come back to where it was


def test_two_tabs_and_a_reload(site: Site, visit: Callable[[str], Page]) -> None:
    """C: a second tab in mid-run, and a reload of the first: each has the whole text, once."""
    first = visit("spoken")
    first.wait_for_function("said.ids.length > 5")
    second = visit("spoken")
    second.wait_for_function("said.ids.length > 5")
    first.reload()
    for page in (first, second):
        said = closed(page)
        assert said["text"] == "".join(WORDS)
        assert said["ends"] == [COMPLETED]


def test_it_is_stopped_from_another_tab(site: Site, visit: Callable[[str], Page]) -> None:
    """Defect 4: a silent run is stopped from another tab; both see the end at once, and are closed."""
    first, second = visit("silent"), visit("silent")
    for page in (first, second):
        page.wait_for_function("said.text === 'Hmm.'")
    answer = second.evaluate("fetch('/relay/runs/silent/cancel', { method: 'POST' }).then((answer) => answer.text())")
    assert json.loads(answer)["outcome"] == {"status": "cancelled", "reason": "user", "error": None}
    for page in (first, second):
        assert closed(page)["ends"] == [{"status": "cancelled", "reason": "user", "error": None}]


def test_an_unknown_run_closes_it(site: Site, visit: Callable[[str], Page]) -> None:
    """Unknown: one request, answered 404, and no other."""
    said = closed(visit("unknown"))
    assert said == {"text": "", "ids": [], "ends": [], "errors": 1}
    assert site.requests == [(None, 404)]
