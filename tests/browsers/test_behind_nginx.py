"""The chat of the examples, in Chromium, behind nginx as it comes: buffering on, a minute of patience, HTTP/1.0."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from fastapi.responses import HTMLResponse
from playwright.sync_api import Browser, BrowserContext, Page

from tests.browsers.nginx import Nginx
from tests.examples.serving import example, running

TOKENS = 40
Source = Callable[[str], AsyncGenerator[str, None]]

# It asks once, and then follows: after a reload from where it has been. What it reads tells when it was said.
PAGE = """<!doctype html><script>
const [mount, chat] = location.hash.slice(1).split(":");
const url = `${mount}/chats/${chat}`;
const said = JSON.parse(sessionStorage.getItem(chat) ?? '{"id": "", "tokens": [], "delays": []}');
const seen = { opened: 0, errors: 0, ended: null };
const take = (data) => {
  const [number, at] = data.split(" ");
  said.tokens.push(Number(number));
  said.delays.push(performance.timeOrigin + performance.now() - 1000 * Number(at));
};
const follow = () => {
  const source = new EventSource(`${url}?after=${said.id}`);
  source.onopen = () => seen.opened++;
  source.onerror = () => seen.errors++;
  source.onmessage = (event) => {
    take(event.data);
    said.id = event.lastEventId;
    sessionStorage.setItem(chat, JSON.stringify(said));
  };
  source.addEventListener("end", (event) => { seen.ended = JSON.parse(event.data).status; source.close(); });
};
const ask = async () => fetch(url, {
  method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ prompt: "Hello." }),
});
const read = async () => {
  const reader = (await ask()).body.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = "";;) {
    const { done, value } = await reader.read();
    if (done) { seen.ended = "read"; return; }
    const lines = (text + value).split("\\n");
    text = lines.pop();
    for (const line of lines) if (/^data: \\d/.test(line)) take(line.slice(6));
  }
};
const begin = async () => { await (await ask()).body.cancel(); follow(); };
if (chat.startsWith("read")) read(); else if (said.id) follow(); else begin();
</script>"""


@contextmanager
def served(source: Source) -> Iterator[str]:
    """Serve the example and a page for it, with a model that says what the test wants."""
    chat = example("chat")
    chat.answer = source
    chat.app.get("/")(lambda: HTMLResponse(PAGE))
    with running(chat.app) as url:
        yield url


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """Open a browser's profile, of somebody who is signed in."""
    context = browser.new_context()
    context.set_default_timeout(15_000)
    yield context
    context.close()


@pytest.fixture
def visit(context: BrowserContext) -> Callable[[str, str], Page]:
    """Open the page for a chat."""

    def open_page(url: str, chat: str) -> Page:
        context.add_cookies([{"name": "user", "value": "ada", "url": url}])
        page = context.new_page()
        page.goto(f"{url}/#{chat}")
        return page

    return open_page


def said(page: Page) -> dict[str, Any]:
    """Wait for the end of the answer; tell what the page has read."""
    page.wait_for_function("seen.ended !== null")
    told: dict[str, Any] = page.evaluate("({...said, ...seen})")
    return told


async def paced(prompt: str) -> AsyncGenerator[str, None]:
    """Say when each token is said."""
    del prompt
    for number in range(TOKENS):
        await asyncio.sleep(0.02)
        yield f"{number} {time.time()}"


@pytest.mark.parametrize("mount", ["", "/zipped"])
@pytest.mark.parametrize("way", ["follow", "read"])
def test_a_first_token_is_not_held_back(nginx: Nginx, visit: Callable[[str, str], Page], mount: str, way: str) -> None:
    """L4: through nginx's buffers, and its compression, the first token is in the page 100 ms after it was said."""
    with served(paced) as upstream, nginx.before(upstream) as url:
        firsts = list[float]()
        for number in range(3):  # the machine may be busy once
            told = said(page := visit(url, f"{mount}:{way}{number}"))
            page.close()
            assert told["tokens"] == list(range(TOKENS))
            firsts.append(told["delays"][0])
        assert min(firsts) < 100, firsts


def test_what_nginx_holds_back_is_late(nginx: Nginx, visit: Callable[[str, str], Page]) -> None:
    """Were it not for `x-accel-buffering`, a compressed stream would come in one piece: the test above can fail."""
    with served(paced) as upstream, nginx.before(upstream) as url:
        told = said(visit(url, "/held:read"))
        assert told["tokens"] == list(range(TOKENS))
        assert told["delays"][0] > 500


def test_a_reload_resumes(nginx: Nginx, visit: Callable[[str, str], Page]) -> None:
    """I1, I3: a page that is reloaded again and again in mid-answer goes on where it was: no token lost, none twice."""
    with served(paced) as upstream, nginx.before(upstream) as url:
        page = visit(url, ":reloaded")
        for seen in (2, 10, 25):
            page.wait_for_function(f"said.tokens.length > {seen}")
            page.reload()
        told = said(page)
        assert told["tokens"] == list(range(TOKENS))
        assert told["ended"] == "completed"
        assert (told["opened"], told["errors"]) == (1, 0)


@pytest.mark.evidence
@pytest.mark.timeout(150)
def test_seventy_silent_seconds_survive(nginx: Nginx, visit: Callable[[str, str], Page]) -> None:
    """L4: nginx cuts what is silent for a minute: heartbeats keep a silent answer open, on its one connection."""

    async def silent(prompt: str) -> AsyncGenerator[str, None]:
        del prompt
        yield f"0 {time.time()}"
        await asyncio.sleep(70)
        yield f"1 {time.time()}"

    with served(silent) as upstream, nginx.before(upstream) as url:
        pages = [visit(url, ":follow"), visit(url, ":read")]
        for page in pages:
            page.set_default_timeout(100_000)
            told = said(page)
            assert told["tokens"] == [0, 1]
            assert (told["opened"], told["errors"]) == (int(page is pages[0]), 0)
            assert told["delays"][1] < 5_000
