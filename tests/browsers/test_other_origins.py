"""A page of another origin: what the framework's CORS allows it to read, an `EventSource` reads, and resumes."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse
from starlette.routing import Mount, Route

from sse_relay import Relay
from sse_relay.adapters.starlette import lifespan, routes
from tests.examples.serving import running

WORDS = [f"word{number} " for number in range(40)]
PAGE = """<!doctype html><script>
const said = { text: "", opened: 0, errors: 0, ended: false };
const source = new EventSource(location.hash.slice(1));
source.onopen = () => said.opened++;
source.onerror = () => said.errors++;
source.onmessage = (event) => said.text += event.data;
source.addEventListener("end", () => { said.ended = true; source.close(); });
</script>"""


@contextmanager
def served(allow_origins: list[str]) -> Iterator[tuple[str, list[str | None]]]:
    """Serve a run whose viewers are sent away again and again; tell its URL, and the cursors that were sent."""
    relay, cursors = Relay(), list[str | None]()

    async def words() -> AsyncGenerator[str, None]:
        for number, word in enumerate(WORDS):
            while len(cursors) <= number // 10:  # noqa: ASYNC110 - until the page has come once more
                await asyncio.sleep(0.01)
            yield word

    async def start(request: Request) -> JSONResponse:
        del request
        return JSONResponse((await relay.start(words())).id)

    def authorize(access: Any) -> bool:
        cursors.append(dict(access.scope["headers"]).get(b"last-event-id"))
        return True

    app = Starlette(
        routes=[
            Route("/start", start),
            Mount("/relay", routes=routes(relay, authorize=authorize, max_age=0.2, retry=0.02)),
        ],
        middleware=[Middleware(CORSMiddleware, allow_origins=allow_origins)],
        lifespan=lifespan(relay, grace=0.2),
    )
    with running(app) as url:
        yield url, cursors


@pytest.fixture
def page_url() -> Iterator[str]:
    """Serve the page, and nothing else."""

    async def answer(request: Request) -> HTMLResponse:
        del request
        return HTMLResponse(PAGE)

    with running(Starlette(routes=[Route("/", answer)])) as url:
        yield url


@pytest.fixture
def read(browser: Browser, page_url: str) -> Iterator[Callable[[str], dict[str, Any]]]:
    """Start a run, let the page read it, and tell what it has read in the end."""
    context = browser.new_context()
    context.set_default_timeout(10_000)

    def visit(url: str) -> dict[str, Any]:
        run_id = context.request.get(f"{url}/start").json()
        page = context.new_page()
        page.goto(f"{page_url}/#{url}/relay/runs/{run_id}/events")
        page.wait_for_function("source.readyState === EventSource.CLOSED")
        said: dict[str, Any] = page.evaluate("said")
        return said

    yield visit
    context.close()


def test_an_allowed_origin_reads_and_resumes(page_url: str, read: Callable[[str], dict[str, Any]]) -> None:
    """I1, I3: across origins an `EventSource` that is sent away comes back with its cursor, and has all of it, once."""
    with served([page_url]) as (url, cursors):
        said = read(url)
        assert (said["text"], said["ended"]) == ("".join(WORDS), True)
        assert said["opened"] == len(cursors) >= len(WORDS) // 10
        assert cursors[0] is None
        assert len({*cursors}) > 2


def test_another_origin_reads_nothing(read: Callable[[str], dict[str, Any]]) -> None:
    """I12: where the framework does not allow it, the browser tells the page nothing, and does not come back."""
    with served(["http://elsewhere"]) as (url, _):
        assert read(url) == {"text": "", "opened": 0, "errors": 1, "ended": False}
