"""
The page: its files, and what it does in headless Chromium.

The picture of the README is made here, at the pace and with the silence that users see:
``SSE_RELAY_PICTURE=docs/images/demo.png python -m pytest tests/demo/test_page.py -k picture``
"""

import asyncio
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import uvicorn
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

from sse_relay.adapters.messages import Receive, Scope, Send, body, start
from sse_relay.demo import DemoApp, Timings
from sse_relay.demo.page import CONTENT_SECURITY_POLICY, load_page
from sse_relay.demo.text import load_text, tokens_of
from tests.demo.conftest import Serve

CHROMIUM = shutil.which("chromium")
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
QUICK = Timings(
    tokens_per_second=400, first_token=0.05, trouble_after=30, idle=0.7, heartbeat=0.2, grace=0.4, stubborn=1.0
)
FAST = Timings(tokens_per_second=20_000, first_token=0.01)
TEXT = "\n\n".join(load_text().split("\n\n")[:4])
DESK = (1280, 800)
PHONE = (390, 844)
FOREIGN = re.compile(r"(?:https?:)?//(?!www\.w3\.org/2000/svg)[\w.-]+", re.IGNORECASE)

Scheme = Literal["light", "dark"]


# The files


def test_the_page_is_served_whole() -> None:
    """Every file that a file of the page refers to is there, and each is referred to."""
    page = load_page()
    assert all(asset.content for asset in page.values())
    source = "".join(asset.content.decode() for asset in page.values())
    named = set(re.findall(r"""(?:src|href)="([^"]+)"|from "\./([^"]+)\"""", source))
    assert {f"/{''.join(names)}" for names in named} == set(page) - {"/"}


def test_nothing_comes_from_elsewhere() -> None:
    """No file of the page names another host, and the policy would not let it."""
    for path, asset in load_page().items():
        text = re.sub(r"^\s*//.*$", "", asset.content.decode(), flags=re.MULTILINE)
        assert not FOREIGN.search(text), path
        assert asset.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert "unsafe" not in CONTENT_SECURITY_POLICY


def test_nothing_is_read_as_markup() -> None:
    """What comes over the wire is set as text: the scripts know no other way."""
    for path, asset in load_page().items():
        if path.endswith(".js"):
            found = re.findall(
                r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|Function\(", asset.content.decode()
            )
            assert not found, path


# In the browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start Debian's Chromium; without it the tests are skipped, unless it is required."""
    if CHROMIUM is None:
        if "chromium" in os.environ.get("SSE_RELAY_REQUIRE", ""):
            pytest.fail("chromium is required and not installed")
        pytest.skip("chromium is not installed")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def url(browser: Browser, serve_demo: Callable[[DemoApp], str]) -> str:
    """Where a quick demo listens."""
    return serve_demo(DemoApp(text=TEXT, timings=QUICK))


class Visit:
    """
    One look at the page, and what the browser complained of.

    Attributes:
        page: The page.
        complaints: Errors and warnings.
        hosts: Where its requests went.
    """

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.set_default_timeout(10_000)
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", self._on_request)
        page.goto(url)
        expect(page.locator("#about")).not_to_be_empty()

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def _on_request(self, request: Request) -> None:
        self.requests.append(request.url)

    def start(self, mode: str = "normal") -> None:
        """Press Start, in a mode."""
        self.page.locator(f"input[value={mode}]").check()
        self.page.get_by_role("button", name="Start").click()

    def stop(self) -> None:
        """Press Stop, once there is text."""
        expect(self.page.locator("#status")).to_have_text("streaming")
        self.page.get_by_role("button", name="Stop").click()

    def ends(self, status: str) -> None:
        """Wait for the end, and see that every place tells the same."""
        expect(self.page.locator(".closing strong")).to_have_text(status)
        expect(self.page.locator("#status")).to_have_text(status)
        expect(self.page.get_by_role("button", name="Start")).to_be_visible()
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

    def last_row(self, column: str) -> str:
        """One cell of the last event in the timeline."""
        return self.page.locator(".row").last.locator(f".{column}").inner_text()

    def figure(self, name: str) -> str:
        """One of the figures."""
        return self.page.locator(f"#{name}").inner_text()


@pytest.fixture
def visit(browser: Browser, url: str) -> Iterator[Callable[..., Visit]]:
    """Open the page; nothing but a refusal's status may be complained of, and no request may go elsewhere."""
    visits: list[Visit] = []

    def open_page(at: str = url, *, scheme: Scheme = "light", size: tuple[int, int] = DESK, **options: Any) -> Visit:
        context = browser.new_context(
            color_scheme=scheme, viewport={"width": size[0], "height": size[1]}, locale="en-GB", **options
        )
        visits.append(Visit(context.new_page(), at))
        return visits[-1]

    yield open_page
    for each in visits:
        each.page.context.close()
        assert not [complaint for complaint in each.complaints if "429" not in complaint]
        assert all(request.startswith(each.url) for request in each.requests)


def test_the_text_comes_whole_and_ends(visit: Callable[..., Visit]) -> None:
    """Every token is shown in its paragraph, then the end; the figures count what came."""
    page = visit()
    page.start()
    page.ends("completed")
    assert page.text == TEXT.removeprefix("# ")
    assert page.last_row("name") == "end"
    assert page.figure("events") == str(len(list(tokens_of(TEXT))) + 1)
    assert page.figure("ttft").endswith(" ms")
    assert float(page.figure("speed")) > 50
    assert page.page.locator("#inspector").inner_text().startswith("event: end\ndata: {")


def test_the_bytes_are_all_counted(visit: Callable[..., Visit]) -> None:
    """The bytes of the figures are those of the events."""
    page = visit(size=(1280, 1600))  # so that every row is there
    page.start("vanish")
    page.ends("failed")
    total = sum(int(text) for text in page.page.locator(".row .bytes").all_inner_texts() if text)
    assert page.page.locator(".row").count() == QUICK.trouble_after + 2  # the head, the tokens, the end
    assert page.figure("bytes").replace(",", "") == str(total)


def test_stop_ends_the_stream(visit: Callable[..., Visit]) -> None:
    """Stop ends the stream on the server, and its terminal is shown."""
    page = visit()
    page.start()
    page.stop()
    page.ends("cancelled")
    assert page.facts["reason"] == "user"
    assert '"cancelled"' in page.last_row("payload")


def test_stop_before_the_first_token(visit: Callable[..., Visit], serve_demo: Callable[[DemoApp], str]) -> None:
    """Stop is not lost when the stream has no id yet: it is sent as soon as there is one."""
    page = visit(serve_demo(DemoApp(timings=Timings(first_token=60, heartbeat=0.3))))
    page.start()
    page.page.get_by_role("button", name="Stop").click()
    page.ends("cancelled")


def test_a_failure_is_told(visit: Callable[..., Visit]) -> None:
    """A source that raises is shown as failed, with its code and error id."""
    page = visit()
    page.start("fail")
    page.ends("failed")
    assert page.facts["code"] == "llm_error"
    assert len(page.facts["error id"]) == 32
    assert page.text


def test_silence_is_seen(visit: Callable[..., Visit]) -> None:
    """Heartbeats are rows of their own while a source is silent, then it is timed out."""
    page = visit()
    page.start("silent")
    expect(page.page.locator(".row.comment").first).to_be_visible()
    page.ends("timed out")
    assert page.page.locator(".row.comment .name").first.inner_text() == "heartbeat"
    assert page.page.locator(".row.comment .bytes").first.inner_text() == "7"
    assert page.facts["code"] == "idle_timeout"


def test_stop_ends_what_ignores_it(visit: Callable[..., Visit]) -> None:
    """A source that swallows its cancellation is ended over its head."""
    page = visit()
    page.start("hang")
    page.stop()
    expect(page.page.locator("#status")).to_have_text("stopping…")
    page.ends("cancelled")


def test_a_vanished_upstream_is_told(visit: Callable[..., Visit]) -> None:
    """An upstream that hangs up is shown as failed, not as an end."""
    page = visit()
    page.start("vanish")
    page.ends("failed")
    assert page.facts["code"] == "stream_incomplete"


def test_a_refusal_is_told(visit: Callable[..., Visit]) -> None:
    """A real HTTP error is shown with its status and problem body."""
    page = visit()
    page.start("refuse")
    page.ends("failed")
    assert page.facts["HTTP"] == "429 Too Many Requests"
    assert page.facts["code"] == "llm_rate_limit"
    assert page.last_row("name") == "HTTP 429"
    assert '"title":"Too Many Requests"' in page.page.locator("#inspector").inner_text()


@pytest.mark.parametrize("polite", [True, False], ids=["closed", "cut"])
def test_a_missing_end_is_told(visit: Callable[..., Visit], serve: Serve, *, polite: bool) -> None:
    """A connection that ends before the stream does is shown as that, however politely it was closed."""
    demo = DemoApp()

    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/streams":
            await demo(scope, receive, send)
            return
        await send(start(200, {b"content-type": b"text/event-stream", b"x-stream-id": b"0"}))
        await send(body(b'event: text\ndata: {"text":"Half a"}\n\nevent: end\ndata: {"status":"completed"'))
        if not polite:
            await asyncio.sleep(0.3)  # a browser drops what it has not read when the connection breaks
            raise ConnectionAbortedError
        await send(body(b"", more=False))

    page = visit(serve(uvicorn.Server(uvicorn.Config(broken, log_config=None, ws="none", lifespan="off"))))
    page.start()
    page.ends("disconnected")
    assert page.text == "Half a"
    assert polite or page.complaints
    page.complaints.clear()


def test_a_heading_comes_in_pieces(visit: Callable[..., Visit], serve_demo: Callable[[DemoApp], str]) -> None:
    """A heading's mark that comes alone is not shown as text, and a lone mark at the end is."""
    page = visit(serve_demo(DemoApp(text="# Why\n\nBecause\n\n#", timings=Timings(tokens_per_second=15))))
    page.start()
    page.ends("completed")
    assert page.page.locator("#answer > h2").all_text_contents() == ["Why"]
    assert page.text == "Why\n\nBecause\n\n#"


def test_markup_is_text(visit: Callable[..., Visit], serve_demo: Callable[[DemoApp], str]) -> None:
    """Markup in a text is shown, and never run."""
    text = "# <b>x</b>\n\n<img src=x onerror=\"document.title='gone'\"><script>document.title='gone'</script>"
    page = visit(serve_demo(DemoApp(text=text, timings=QUICK)))
    page.start()
    page.ends("completed")
    assert page.text == text.removeprefix("# ")
    assert page.page.locator("#answer :is(img, script, b)").count() == 0
    assert page.page.title() != "gone"


def test_a_long_stream_stays_light(visit: Callable[..., Visit], serve_demo: Callable[[DemoApp], str]) -> None:
    """Of thousands of events only those in view have a row, and all can be reached."""
    page = visit(serve_demo(DemoApp(text=("word " * 3000).strip(), timings=FAST)))
    page.start()
    page.ends("completed")
    assert page.figure("events") == "3,001"
    assert page.page.locator(".row").count() < 60
    rows = page.page.get_by_role("listbox")
    rows.press("Home")
    expect(page.page.locator("#row-0")).to_be_in_viewport()
    assert page.page.locator("#inspector").inner_text().startswith("HTTP 200")
    rows.press("ArrowDown")
    assert page.page.locator("#inspector").inner_text() == 'event: text\ndata: {"text":"word"}\n'
    rows.press("End")
    assert page.page.locator("[aria-selected=true] .name").inner_text() == "end"


def test_a_reader_who_scrolls_up_is_left_there(
    visit: Callable[..., Visit], serve_demo: Callable[[DemoApp], str]
) -> None:
    """The list follows the newest event until its reader scrolls up."""
    page = visit(serve_demo(DemoApp(text=TEXT, timings=Timings(tokens_per_second=80))))
    page.start()
    page.page.locator("#row-60").wait_for()
    page.page.locator("#rows").evaluate("rows => { rows.scrollTop = 0; }")
    page.ends("completed")
    expect(page.page.locator("#row-0")).to_be_in_viewport()


def test_the_keyboard_is_enough(visit: Callable[..., Visit]) -> None:
    """Enter starts, Escape stops, the arrows choose a mode, and focus stays where it was."""
    page = visit()
    prompt = page.page.get_by_label("Prompt", exact=True)
    prompt.fill("Why?")
    prompt.press("Shift+Enter")
    assert prompt.input_value() == "Why?\n"
    expect(page.page.locator("#status")).to_have_text("idle")
    prompt.press("Enter")
    expect(page.page.locator("#status")).to_have_text("streaming")
    page.page.keyboard.press("Escape")
    page.ends("cancelled")
    page.page.get_by_role("radio", name="Finish").focus()
    page.page.keyboard.press("ArrowRight")
    expect(page.page.get_by_role("radio", name="Fail")).to_be_checked()
    expect(page.page.locator("#mode-note")).to_contain_text("raises in mid-run")
    page.page.get_by_role("button", name="Start").focus()
    page.page.keyboard.press("Enter")
    expect(page.page.get_by_role("button", name="Stop")).to_be_focused()
    page.ends("failed")
    expect(page.page.get_by_role("button", name="Start")).to_be_focused()


def test_every_control_has_a_name(visit: Callable[..., Visit]) -> None:
    """Assistive technology gets a name for each control, and news of the status."""
    page = visit()
    tree = page.page.locator("body").aria_snapshot()
    for named in (
        'textbox "Prompt"',
        'button "Start"',
        'button "Dark theme"',
        'group "What the source will do"',
        'radio "Go silent"',
        'listbox "Raw events, oldest first"',
        "status: idle",
    ):
        assert named in tree
    assert page.page.locator("[role=status]").count() == 1


CONTRAST = """() => {
  const light = (rgb) => rgb.map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const pen = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const paint = (...colours) => {
    for (const colour of colours) { pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1); }
    return light([...pen.getImageData(0, 0, 1, 1).data].slice(0, 3));
  };
  const ratios = {};
  for (const selector of ["h1", ".motto", "#status", "#start", "label[for=prompt]", ".about", ".note", ".key span",
    "input:checked + span", ".figures dt", ".figures dd", ".answer > p", ".row.text .time", ".row.text .name",
    ".row.comment .payload",
    ".row.end .payload", ".closing strong", ".closing dt"]) {
    const element = document.querySelector(selector);
    const grounds = [];
    for (let each = element; each; each = each.parentElement) grounds.unshift(getComputedStyle(each).backgroundColor);
    const [ground, ink] = [paint("#fff", ...grounds), paint("#fff", ...grounds, getComputedStyle(element).color)];
    ratios[selector] = (Math.max(ground, ink) + 0.05) / (Math.min(ground, ink) + 0.05);
  }
  return ratios;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_readable(visit: Callable[..., Visit], scheme: Scheme) -> None:
    """Every kind of text has a contrast of 4.5 to its ground, in both themes (WCAG AA)."""
    page = visit(scheme=scheme, reduced_motion="reduce")
    page.start("silent")
    page.ends("timed out")
    ratios = page.page.evaluate(CONTRAST)
    assert not {selector: ratio for selector, ratio in ratios.items() if ratio < 4.5}


def test_the_theme_is_kept(visit: Callable[..., Visit]) -> None:
    """The theme is the system's until it is switched, and stays so after a reload."""
    page = visit(scheme="dark")
    root = page.page.locator("html")
    expect(root).to_have_attribute("data-theme", "dark")
    page.page.get_by_role("button", name="Dark theme").click()
    expect(root).to_have_attribute("data-theme", "light")
    page.page.reload()
    expect(root).to_have_attribute("data-theme", "light")
    page.page.get_by_role("button", name="Dark theme").click()
    page.page.emulate_media(color_scheme="light")
    expect(root).to_have_attribute("data-theme", "light")


def test_motion_can_be_refused(visit: Callable[..., Visit]) -> None:
    """Nothing is animated for those who ask for less motion."""
    page = visit(reduced_motion="reduce")
    page.start()
    expect(page.page.locator("#status")).to_have_text("streaming")
    assert page.page.evaluate("document.getAnimations().length") == 0
    page.ends("completed")


def test_the_page_fits(visit: Callable[..., Visit]) -> None:
    """Nothing sticks out sideways at any width, and the button is on the first screen."""
    page = visit()
    page.start("fail")
    page.ends("failed")
    for width, height in (PHONE, (320, 640), (640, 360), (768, 1024), (960, 600), DESK, (1920, 1080)):
        page.page.set_viewport_size({"width": width, "height": height})
        expect(page.page.get_by_role("button", name="Start")).to_be_in_viewport(ratio=1)
        assert page.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
        for selector in (".switch", ".figures", ".top", "#form"):
            assert page.page.locator(selector).evaluate("each => each.scrollWidth <= each.clientWidth + 1"), selector


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_screenshots(visit: Callable[..., Visit], tmp_path: Path, scheme: Scheme) -> None:
    """Each state of the page can be looked at, in both themes, at a desk and on a phone."""
    page = visit(scheme=scheme)

    def look(state: str) -> None:
        for name, (width, height) in (("desk", DESK), ("phone", PHONE)):
            page.page.set_viewport_size({"width": width, "height": height})
            page.page.screenshot(path=tmp_path / f"{state}-{name}.png", full_page=True)

    look("idle")
    for mode, status in (("normal", "completed"), ("fail", "failed"), ("silent", "timed out"), ("refuse", "failed")):
        page.start(mode)
        page.ends(status)
        look(mode)
    pictures = {path.name: path.read_bytes() for path in tmp_path.glob("*.png")}
    assert len(set(pictures.values())) == 10


def test_picture(visit: Callable[..., Visit], serve_demo: Callable[[DemoApp], str], tmp_path: Path) -> None:
    """The README's picture is small enough for a README."""
    wanted = os.environ.get("SSE_RELAY_PICTURE")
    path = Path(wanted) if wanted else tmp_path / "demo.png"
    demo = serve_demo(DemoApp(timings=Timings(trouble_after=86) if wanted else QUICK))
    page = visit(demo, size=(1200, 764), device_scale_factor=1.25, reduced_motion="reduce")
    page.page.set_default_timeout(18_000)
    page.start("silent")
    page.page.locator(".closing").wait_for()
    page.page.screenshot(path=path)
    assert path.stat().st_size <= 250_000


# The parser of the page


EVENT: dict[str, object] = {"kind": "event", "name": "message", "data": "x", "id": None}
PARSED: list[tuple[str, list[dict[str, object]]]] = [
    ("data: x\n\n", [EVENT]),
    ("data:x\r\n\r\n", [EVENT]),
    ("data: x\r\r", [EVENT]),
    ("\ufeffdata: x\n\n", [EVENT]),
    ("data: x\n", []),
    ("data\n\n", [{**EVENT, "data": ""}]),
    ("data: x\ndata: y\n\n", [{**EVENT, "data": "x\ny"}]),
    ("data: x\r\ndata:\r\n\r\ndata: x\n\n", [{**EVENT, "data": "x\n"}, EVENT]),
    ("event: end\ndata: x\n\ndata: x\n\n", [{**EVENT, "name": "end"}, EVENT]),
    ("event: lost\n\ndata: x\n\n", [EVENT]),
    ("id: 1\ndata: x\n\ndata: x\n\n", [{**EVENT, "id": "1"}, {**EVENT, "id": "1"}]),
    ("id: 1\0\ndata: x\n\n", [EVENT]),
    ("retry: 5\nfoo: bar\ndata: x\n\n", [EVENT]),
    (": ping\ndata: x\n\n", [{"kind": "comment", "name": "", "data": "ping", "id": None}, EVENT]),
    ("data: 🙂é\u2028\n\n", [{**EVENT, "data": "🙂é\u2028"}]),
    ("data:  x\n\n", [{**EVENT, "data": " x"}]),
]

PARSE = """async ([bytes, size]) => {
  const { EventStreamParser } = await import("./sse.js");
  const parser = new EventStreamParser();
  const entries = [];
  const whole = new Uint8Array(bytes);
  for (let at = 0; at < whole.length; at += size) entries.push(...parser.push(whole.slice(at, at + size)));
  return entries;
}"""


def test_the_parser_reads_any_chunking(visit: Callable[..., Visit]) -> None:
    """The page's parser reads the same events however the bytes are split, with any line ending."""
    page = visit().page
    for text, expected in PARSED:
        content = text.encode()
        for size in range(1, len(content) + 1):
            entries = page.evaluate(PARSE, [list(content), size])
            assert [{name: entry[name] for name in EVENT} for entry in entries] == expected, (text, size)


def test_the_parser_is_bounded(visit: Callable[..., Visit]) -> None:
    """An event that never ends is an error, not a full memory."""
    page = visit().page
    message = page.evaluate(
        """async () => {
          const { EventStreamParser } = await import("./sse.js");
          const parser = new EventStreamParser();
          try { for (;;) parser.push(new Uint8Array(65536).fill(97)); } catch (error) { return error.message; }
        }"""
    )
    assert message == "An event exceeds 1 MiB."
