"""A look at the demo's page in a browser, and a model that says as much as a test lets it."""

import asyncio
import re
from collections.abc import AsyncGenerator

from playwright.sync_api import ConsoleMessage, Locator, Page, Request, expect

from sse_relay.demo.text import tokens_of
from sse_relay.demo.upstream import Upstream
from sse_relay.dialects import Delta, TextDelta

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Script(Upstream):
    """
    A model that says a text, token by token, and no further than it is let.

    Args:
        text: What it says.
    """

    def __init__(self, text: str) -> None:
        self.model = "script"
        self._tokens = list(tokens_of(text))
        self._allowed = 0
        self._listeners: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    async def aclose(self) -> None:
        """Nothing to close."""

    def say(self, count: int) -> str:
        """Let it say so many tokens, from another thread; returns what it has said then."""
        self._allowed = count
        for loop, event in list(self._listeners):
            loop.call_soon_threadsafe(event.set)
        return self.text(count)

    def say_all(self) -> str:
        """Let it come to its end."""
        return self.say(len(self._tokens))

    def text(self, count: int) -> str:
        """Tell what so many tokens are, as the page shows them."""
        return "".join(self._tokens[:count]).removeprefix("# ")

    async def answer(self, prompt: str) -> AsyncGenerator[Delta, None]:
        """Say it."""
        del prompt
        event = asyncio.Event()
        listener = (asyncio.get_running_loop(), event)
        self._listeners.add(listener)
        try:
            for number, token in enumerate(self._tokens):
                event.clear()
                while number >= self._allowed:
                    await event.wait()
                    event.clear()
                yield TextDelta(token)
        finally:
            self._listeners.discard(listener)


class Visit:
    """
    One look at the page, and what the browser complained of.

    Attributes:
        page: The page.
        url: Where the demo is.
        complaints: Errors and warnings.
        requests: What it asked for.
        others: The second viewers that were opened from here.
    """

    def __init__(self, page: Page, url: str, *, at: str = "") -> None:
        self.page = page
        self.url = url
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.others: list[Visit] = []
        page.set_default_timeout(10_000)
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", self._on_request)
        if page.url == "about:blank":
            page.goto(f"{url}{at}")
        expect(page.locator("#about")).not_to_be_empty()

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def _on_request(self, request: Request) -> None:
        self.requests.append(request.url)

    def button(self, name: str) -> Locator:
        """Find a button."""
        return self.page.get_by_role("button", name=name)

    def press(self, name: str) -> None:
        """Press a button, once it is of use."""
        expect(self.button(name)).not_to_have_attribute("aria-disabled", "true")
        self.button(name).click()

    def start(self, mode: str = "normal", prompt: str | None = None) -> None:
        """Press Start, in a mode; returns when the page views the new run."""
        self.page.locator(f"input[value={mode}]").check()
        if prompt is not None:
            self.page.get_by_label("Prompt", exact=True).fill(prompt)
        before = self.page.url
        self.press("Start")
        self.page.wait_for_url(lambda url: url != before)
        expect(self.page.locator("#run-id")).to_have_text(f"run {self.run_id[:12]}…")

    def has(self, status: str) -> None:
        """Wait until the page is in a status."""
        expect(self.page.locator("#status")).to_have_text(status)

    def shows(self, text: str) -> None:
        """Wait until the page has as much text, and see that it has exactly that."""
        length = len(text.replace("\n", ""))
        self.page.wait_for_function(
            """length => [...document.querySelectorAll("#answer > :is(h2, p)")]
              .reduce((sum, each) => sum + each.textContent.length, 0) >= length""",
            arg=length,
        )
        assert self.text == text

    def ends(self, status: str) -> None:
        """Wait for the run's end, and see that every place tells the same."""
        self.closes(status)
        expect(self.page.locator(".runs [aria-current] .outcome")).to_have_text(status)

    def closes(self, status: str) -> None:
        """Wait until the page reads no more, and says why."""
        expect(self.page.locator(".closing strong")).to_have_text(status)
        self.has(status)
        for name in ("Stop", "Cut the connection", "Crash the producer"):
            expect(self.button(name)).to_have_attribute("aria-disabled", "true")
        assert self.page.locator(".caret").count() == 0

    @property
    def facts(self) -> dict[str, str]:
        """What the closing note lists."""
        names = self.page.locator(".closing dt").all_inner_texts()
        return dict(zip(names, self.page.locator(".closing dd").all_inner_texts(), strict=True))

    @property
    def text(self) -> str:
        """The text that is shown."""
        blocks = self.page.locator("#answer > h2, #answer > p:not(:empty)").all_text_contents()
        return "\n\n".join(blocks)

    @property
    def run_id(self) -> str:
        """The run that the address names."""
        return self.page.url.partition("#")[2]

    @property
    def rows(self) -> list[dict[str, str]]:
        """The rows of the timeline that are drawn."""
        rows: list[dict[str, str]] = self.page.evaluate(
            """() => [...document.querySelectorAll(".row")]
              .sort((one, other) => one.dataset.index - other.dataset.index)
              .map((row) => ({ kind: row.className.replace("row ", ""),
                ...Object.fromEntries([...row.children].map((cell) => [cell.className, cell.textContent])) }))"""
        )
        return rows

    def chosen(self, column: str) -> str:
        """One cell of the chosen event in the timeline; after the end that is the last one."""
        return self.page.locator(f".row[aria-selected=true] .{column}").inner_text()

    def figure(self, name: str) -> str:
        """One of the figures."""
        return self.page.locator(f"#{name}").inner_text()

    def second(self) -> "Visit":
        """Open a second viewer, by the link."""
        with self.page.expect_popup() as popup:
            self.page.get_by_role("link", name="Open a second viewer").click()
        self.others.append(Visit(popup.value, self.url))
        return self.others[-1]

    def listed(self) -> list[tuple[str, str]]:
        """The runs of the list: prompt and outcome."""
        prompts = self.page.locator(".runs .prompt").all_inner_texts()
        return list(zip(prompts, self.page.locator(".runs .outcome").all_inner_texts(), strict=True))

    def forgive(self, pattern: str) -> None:
        """Forget complaints that a test provoked; there has to be one."""
        kept = [complaint for complaint in self.complaints if not re.search(pattern, complaint)]
        assert len(kept) < len(self.complaints), self.complaints
        self.complaints[:] = kept
