"""
The page: its files, and what it does in headless Chromium.

The picture of the README is made here, at the pace and with the silence that users see:
``SSE_RELAY_PICTURE=docs/images/demo.png python -m pytest tests/demo/test_page.py -k picture``
"""

import asyncio
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import httpx2
import pytest
import uvicorn
from playwright.sync_api import Browser, expect, sync_playwright

from sse_relay.adapters.messages import Message, Receive, Scope, Send, body
from sse_relay.demo import DemoApp, Timings, app
from sse_relay.demo.page import CONTENT_SECURITY_POLICY, load_page
from sse_relay.demo.text import load_text, tokens_of
from tests.demo.conftest import Serve
from tests.demo.visits import FLAGS, Script, Visit

CHROMIUM = shutil.which("chromium")
QUICK = Timings(
    tokens_per_second=400,
    first_token=0.05,
    trouble_after=30,
    idle=0.7,
    heartbeat=0.2,
    lease=1.0,
    grace=0.4,
    stubborn=1.0,
    drain=0.1,
    away=0.3,
)
FAST = Timings(tokens_per_second=20_000, first_token=0.01, drain=0.1)
TEXT = "\n\n".join(load_text().split("\n\n")[:2])
TOKENS = len(list(tokens_of(TEXT)))
DESK = (1280, 800)
TABLET = (960, 1080)
PHONE = (390, 844)
FOREIGN = re.compile(r"(?:https?:)?//(?!www\.w3\.org/2000/svg)[\w.-]+", re.IGNORECASE)

Scheme = Literal["light", "dark"]


class EndedError(Exception):
    """A response was ended early."""


def prefix(count: int) -> str:
    """Tell what so many tokens of the text are, as the page shows them."""
    return "".join(list(tokens_of(TEXT))[:count]).removeprefix("# ")


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


@pytest.fixture
def visit(browser: Browser, url: str) -> Iterator[Callable[..., Visit]]:
    """Open the page; nothing may be complained of, and no request may go elsewhere."""
    visits: list[Visit] = []

    def open_page(
        base: str = url, *, at: str = "", scheme: Scheme = "light", size: tuple[int, int] = DESK, **options: Any
    ) -> Visit:
        context = browser.new_context(
            color_scheme=scheme,
            reduced_motion="reduce",  # an animation is work for the processor
            viewport={"width": size[0], "height": size[1]},
            locale="en-GB",
            **options,
        )
        visits.append(Visit(context.new_page(), base, at=at))
        return visits[-1]

    yield open_page
    for first in visits:
        first.page.context.close()
        for each in (first, *first.others):
            assert not each.complaints
            assert all(request.startswith(each.url) for request in each.requests)


@pytest.fixture
def script() -> Script:
    """A model that waits for the test."""
    return Script(TEXT)


@pytest.fixture
def scripted(serve_demo: Callable[[DemoApp], str], script: Script) -> str:
    """Where a demo of that model listens."""
    return serve_demo(DemoApp(upstream=script, timings=QUICK))


# A run, from its start to its end


def test_the_text_comes_whole_and_ends(visit: Callable[..., Visit]) -> None:
    """Every token is shown in its paragraph, then the end; the figures count what came."""
    page = visit()
    page.start()
    page.ends("completed")
    assert page.text == TEXT.removeprefix("# ")
    assert page.chosen("name") == "end"
    assert page.figure("events") == str(TOKENS + 1)
    assert page.figure("ttft").endswith(" ms")
    assert float(page.figure("speed")) > 50
    assert page.facts == {"records": str(TOKENS + 1)}


def test_events_show_cursors_and_bytes(visit: Callable[..., Visit]) -> None:
    """Each record has its offset, dense from 1, its whole cursor in the inspector, and bytes that the figures count."""
    page = visit(size=(1600, 1700))  # so that every row is there, and the column of bytes
    page.start("vanish")
    page.ends("failed")
    rows = page.rows
    assert [row["kind"] for row in rows if row["kind"] != "comment"] == ["http", *["text"] * QUICK.trouble_after, "end"]
    records = [row["offset"] for row in rows if row["kind"] in {"text", "end"}]
    assert records == [str(offset + 1) for offset in range(QUICK.trouble_after + 1)]
    assert not [row for row in rows if row["kind"] in {"http", "comment"} and row["offset"]]
    inspector = page.page.locator("#inspector").inner_text()
    assert re.match(rf"id: [0-9a-f]+:{records[-1]}\nevent: end\ndata: {{", inspector)
    assert page.figure("bytes").replace(",", "") == str(sum(int(row["bytes"] or 0) for row in rows))


BEAT = ("comment", "heartbeat", ": ping")


def test_every_end_is_told(visit: Callable[..., Visit]) -> None:
    """However a run ends, the page says how, with its code and error id; what came before it stays, heartbeats too."""
    page = visit()
    for mode, status, code, count in (
        ("fail", "failed", "llm_error", QUICK.trouble_after),
        ("silent", "timed out", "idle_timeout", QUICK.trouble_after),
        ("vanish", "failed", "stream_incomplete", QUICK.trouble_after),
        ("refuse", "failed", "llm_rate_limit", 0),
    ):
        page.start(mode)
        page.ends(status)
        if mode == "silent":
            beats = page.rows[-3:-1]
            assert [(row["kind"], row["name"], row["payload"]) for row in beats] == [BEAT, BEAT]
        assert page.facts["code"] == code
        assert len(page.facts["error id"]) == 32
        assert page.facts["records"] == str(count + 1)
        assert page.text == prefix(count)


# Stop


def test_stop_ends_what_ignores_it(visit: Callable[..., Visit], scripted: str, script: Script) -> None:
    """A source that swallows its cancellation is ended over its head."""
    page = visit(scripted)
    page.start("hang")
    page.shows(script.say(10))
    page.press("Stop")
    page.has("stopping…")
    page.ends("cancelled")


def test_stop_twice_leaves(visit: Callable[..., Visit], serve_demo: Callable[[DemoApp], str], script: Script) -> None:
    """Stop again leaves without waiting; the run is in the list, and can be viewed again."""
    page = visit(serve_demo(DemoApp(upstream=script, timings=Timings(grace=0.8, stubborn=1.5, drain=0.1))))
    page.start("hang")
    page.shows(script.say(10))
    page.press("Stop")
    page.press("Leave")
    page.closes("left")
    outcome = page.page.locator(".runs [aria-current] .outcome")
    expect(outcome).to_have_text("cancelled")
    outcome.click()
    page.ends("cancelled")


# Reload, second viewer, cut, crash: the text is whole and without a double, and the end is told


def test_a_reload_goes_on(visit: Callable[..., Visit], scripted: str, script: Script) -> None:
    """A page that is reloaded in mid-run shows all that was said, and goes on live; after the end, all of it (I3)."""
    page = visit(scripted)
    page.start()
    for count in (30, 60):
        page.shows(script.say(count))
        page.page.reload()
        page.shows(script.text(count))
    whole = script.say_all()
    page.ends("completed")
    assert page.text == whole
    page.page.reload()
    page.ends("completed")
    assert page.text == whole
    assert page.facts == {"records": str(TOKENS + 1)}


def test_a_second_viewer_joins(visit: Callable[..., Visit], scripted: str, script: Script) -> None:
    """A tab that is opened in mid-run shows all that was said, goes on, and stops the run for both (I1, L3)."""
    page = visit(scripted)
    page.start()
    page.shows(script.say(50))
    second = page.second()
    assert second.run_id == page.run_id
    second.shows(script.text(50))
    shown = script.say(60)
    for each in (page, second):
        each.shows(shown)
    second.press("Stop")
    for each in (page, second):
        each.ends("cancelled")
        assert each.text == shown
        assert each.facts == {"records": "61", "reason": "user"}
        assert '"cancelled"' in each.chosen("payload")


def test_a_cut_is_mended(visit: Callable[..., Visit], scripted: str, script: Script) -> None:
    """However often the connection is cut, the page comes back at its cursor: nothing is lost or doubled (I1, I3)."""
    page = visit(scripted, size=(1600, 1400))
    page.start()
    cursors: list[str] = []
    for cuts, count in enumerate((10, 20, 30), 1):
        page.shows(script.say(count))
        page.press("Cut the connection")
        page.has("cut off")
        assert page.text == script.text(count)
        script.say(count + 5)  # nobody hears it
        page.shows(script.text(count + 5))
        last = [row for row in page.rows if row["kind"] == "http"][-1]
        cursors.append(last["payload"].rpartition(":")[2])
        assert last["payload"].startswith("Last-Event-ID: ")
        assert [row["kind"] for row in page.rows].count("cut") == cuts
    assert cursors == ["10", "20", "30"]
    expect(page.page.locator("#run-note")).to_contain_text("Back after record 30")
    whole = script.say_all()
    page.ends("completed")
    assert page.text == whole


def test_before_the_first_token(visit: Callable[..., Visit], scripted: str, script: Script) -> None:
    """A page that was cut off before it saw anything begins at the beginning; and a run can be stopped there."""
    page = visit(scripted)
    page.start()
    page.press("Cut the connection")
    page.has("cut off")
    whole = script.say_all()
    page.ends("completed")
    assert page.text == whole
    script.say(0)
    page.start()
    page.press("Stop")
    page.ends("cancelled")
    assert page.facts == {"records": "1", "reason": "user"}


@pytest.mark.parametrize("polite", [True, False], ids=["closed", "torn"])
def test_a_broken_connection_is_tried_again(
    visit: Callable[..., Visit], serve: Serve, script: Script, *, polite: bool
) -> None:
    """A connection that ends before the run does is no end, however politely it was closed; what was cut is whole."""
    demo = DemoApp(upstream=script, timings=QUICK)
    broken = 0

    async def breaking(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal broken
        if not scope.get("path", "").endswith("/events") or broken == 3:
            await demo(scope, receive, send)
            return
        broken += 1
        limit, sent = 500 * broken, 0

        async def send_some(message: Message) -> None:
            nonlocal sent
            content = message.get("body", b"")
            if sent + len(content) <= limit:
                await send(message)
            elif polite:
                await send(body(content[: limit - sent], more=False))
                raise EndedError
            else:
                await send(body(content[: limit - sent]))
                await asyncio.sleep(0.2)  # a browser drops what it has not read when the connection breaks
                raise ConnectionAbortedError
            sent += len(content)

        with suppress(EndedError):
            await demo(scope, receive, send_some)

    config = uvicorn.Config(breaking, log_config=None, ws="none", timeout_graceful_shutdown=1)
    page = visit(serve(uvicorn.Server(config)))
    whole = script.say_all()
    page.start()
    page.ends("completed")
    assert page.text == whole
    assert broken == 3
    if not polite:
        page.forgive("ERR_INCOMPLETE_CHUNKED_ENCODING")


def test_a_crash_ends_in_lost(visit: Callable[..., Visit], scripted: str, script: Script) -> None:
    """When the worker dies, every viewer gets heartbeats, then the typed end, in time; the next run is fine (L2)."""
    page = visit(scripted)
    page.start()
    shown = script.say(30)
    second = page.second()
    for each in (page, second):
        each.shows(shown)
    page.press("Crash the producer")
    expect(page.page.locator("#run-note")).to_contain_text("kill -9")
    script.say_all()  # by a dead worker: nobody hears it
    for each in (page, second):
        each.ends("lost")
        assert [row["kind"] for row in each.rows if row["kind"] != "act"][-3:] == ["comment", "comment", "end"]
        assert each.text == shown
        assert each.facts == {"records": "31", "reason": "lease_expired", "code": "producer_lost"}
    times = {row["kind"]: float(row["time"]) for row in page.rows}
    assert times["end"] - times["act"] < QUICK.lease + 2
    page.start()
    page.ends("completed")
    assert page.text == script.say_all()


def test_a_crash_while_cut_off(visit: Callable[..., Visit], scripted: str, script: Script) -> None:
    """One who was cut off while the producer died learns of it when it comes back."""
    page = visit(scripted)
    page.start()
    shown = script.say(30)
    page.shows(shown)
    page.press("Cut the connection")
    page.press("Crash the producer")
    page.ends("lost")
    assert page.text == shown


# Which run is viewed


def test_the_list_tells_outcomes(visit: Callable[..., Visit], scripted: str, script: Script) -> None:
    """Every run is listed, also others', the newest first, with its end in a word and a colour; a click views it."""
    page = visit(scripted)
    script.say_all()
    page.start("refuse", "Why one?")
    page.ends("failed")
    page.start("normal", "Why two?")
    page.ends("completed")
    script.say(10)
    page.start("normal", "Why three?")
    page.shows(script.text(10))
    expect(page.page.locator(".runs .outcome").first).to_have_text("live")
    assert page.listed() == [("Why three?", "live"), ("Why two?", "completed"), ("Why one?", "failed")]
    colours = page.page.locator(".runs .outcome").evaluate_all("each => each.map(e => getComputedStyle(e).color)")
    assert len(set(colours)) == 3
    expect(page.page.locator(".runs .records").first).to_have_text("10 records")
    other = httpx2.post(f"{scripted}/runs", json={"prompt": "Why there?"}).json()["id"]
    expect(page.page.locator(".runs .prompt").first).to_have_text("Why there?")
    httpx2.post(f"{scripted}/runs/{other}/cancel")
    expect(page.page.locator(".runs .outcome").first).to_have_text("cancelled")
    page.page.get_by_role("link", name="Why two?").click()
    page.ends("completed")
    assert page.text == script.text(TOKENS)
    expect(page.page.get_by_role("heading", name="Why two?")).to_be_visible()
    link = page.page.get_by_role("link", name="Why three?")
    expect(link).not_to_have_attribute("aria-current", "true")
    link.press("Enter")
    expect(page.page.locator(".closing")).to_have_count(0)
    page.shows(script.text(10))
    expect(link).to_be_focused()
    page.page.go_back()
    page.ends("completed")
    page.page.go_forward()
    expect(page.page.locator(".closing")).to_have_count(0)
    page.shows(script.text(10))


def test_the_list_knows_of_the_end_at_once(visit: Callable[..., Visit]) -> None:
    """The end of the run that is viewed does not wait for the list's next look."""
    page = visit()
    page.page.evaluate("() => { window.setTimeout = () => 0; }")  # it looks no more by itself
    page.start("fail")
    page.ends("failed")


def test_an_unknown_run_is_told(visit: Callable[..., Visit]) -> None:
    """An address of a run that is not there is a refusal with its status, and no end of a run."""
    page = visit(at="/#nothing")
    page.closes("refused")
    assert page.facts == {"HTTP": "404 Not Found", "code": "run_not_found"}
    assert page.chosen("name") == "HTTP 404"
    page.forgive("404")


def test_a_refused_start_is_told(
    visit: Callable[..., Visit], scripted: str, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that takes no more runs is told beside the button, and what is viewed stays."""
    page = visit(scripted)
    page.start()
    page.shows(script.say(10))
    monkeypatch.setattr(app, "MAX_LIVE", 1)
    page.press("Start")
    alert = page.page.locator("#refusal[role=alert]")
    expect(alert).to_have_text("Too many runs are live. Try again.")
    monkeypatch.undo()
    page.shows(script.say(20))
    page.start()
    expect(alert).to_be_empty()
    page.forgive("503")


def test_a_server_that_does_not_answer_is_told(visit: Callable[..., Visit], scripted: str, script: Script) -> None:
    """What the server did not hear is said where it was asked, and the reader can still leave."""
    page = visit(scripted)
    page.start()
    page.shows(script.say(10))
    page.page.route(
        re.compile(""), lambda route: route.abort() if route.request.method == "POST" else route.continue_()
    )
    page.press("Start")
    expect(page.page.locator("#refusal")).to_have_text("The server does not answer.")
    page.press("Stop")
    expect(page.page.locator("#run-note")).to_have_text("The server does not answer.")
    page.shows(script.say(20))
    page.press("Leave")
    page.closes("left")
    page.forgive("ERR_FAILED")


FOLLOW = """async (answers) => {
  const { Follower } = await import("./follow.js");
  const heard = [];
  const waits = [];
  const asked = [];
  const patient = [];
  let giveUp = null;
  const silent = (text, signal) => new ReadableStream({
    start(controller) { signal.addEventListener("abort", () => controller.error(signal.reason)); },
    pull(controller) { if (text) controller.enqueue(new TextEncoder().encode(text)); else giveUp(); text = ""; },
  }, { highWaterMark: 0 });
  window.fetch = async (path, { headers, signal }) => {
    asked.push(headers["last-event-id"] ?? null);
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    if (answer === null) throw new TypeError("nobody there");
    if (answer.cut) { follower.cut(); throw signal.reason; }
    if (answer.silent) return new Response(silent(answer.silent, signal));
    return new Response(answer.status === 204 ? null : answer.body ?? "", answer);
  };
  window.setTimeout = (then, wait) => {
    if (wait === 60_000) { giveUp = then; return patient.push(wait); }
    waits.push(wait);
    queueMicrotask(then);
  };
  window.clearTimeout = () => patient.pop();
  const hear = new Proxy({}, { get: (_, name) => (...what) => { if (name === "over") heard.push(...what); } });
  const follower = new Follower("x", { patience: 60, away: 0.2, hear });
  await follower.read();
  return { over: heard, waits, asked, patient };
}"""
PART: dict[str, object] = {"status": 200, "body": 'id: e:1\nevent: text\ndata: {"text":"x"}\n\n'}
END: dict[str, object] = {"status": 200, "body": "id: e:2\nevent: end\ndata: {}\n\n"}


TRIES: list[tuple[Sequence[object], str, list[int], list[str | None]]] = [
    ([END], "end", [], [None]),
    ([PART, END], "end", [400], [None, "e:1"]),
    ([{"silent": PART["body"]}, END], "end", [400], [None, "e:1"]),
    ([PART, None, {"status": 503}, END], "end", [400, 400, 800], [None, "e:1", "e:1", "e:1"]),
    ([{"cut": True}] * 8 + [PART, {"cut": True}, END], "end", [200] * 8 + [400, 200], [None] * 9 + ["e:1", "e:1"]),
    ([{"status": 204}], "refused", [], [None]),
    ([{"status": 404}], "refused", [], [None]),
    ([PART, {"status": 409}], "refused", [400], [None, "e:1"]),
    ([None], "away", [400, 800, 1600, 3200, 6400, 6400], [None] * 7),
    ([{"status": 500}], "away", [400, 800, 1600, 3200, 6400, 6400], [None] * 7),
]


def test_trying_again_is_bounded(visit: Callable[..., Visit]) -> None:
    """A page tries again after any break or silence, later each time: until an end, a 204, a 4xx, or seven failures."""
    page = visit().page
    for answers, over, waits, asked in TRIES:
        assert page.evaluate(FOLLOW, answers) == {"over": [over], "waits": waits, "asked": asked, "patient": []}


# What is shown


def test_a_heading_comes_in_pieces(visit: Callable[..., Visit], serve_demo: Callable[[DemoApp], str]) -> None:
    """A heading's mark that comes alone is not shown as text, and a lone mark at the end is."""
    timings = Timings(tokens_per_second=15, first_token=0.1, drain=0.1)
    page = visit(serve_demo(DemoApp(text="# Why\n\nBecause\n\n#", timings=timings)))
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
    inspector = page.page.locator("#inspector")
    assert re.match(r"GET /runs/\w+/events\n\nHTTP 200 OK\n", inspector.inner_text())
    rows.press("ArrowDown")
    assert inspector.inner_text() == ": ping\n"
    rows.press("ArrowDown")
    assert re.fullmatch(r'id: \w+:1\nevent: text\ndata: {"text":"word"}\n', inspector.inner_text())
    rows.press("End")
    assert page.chosen("name") == "end"


def test_a_reader_who_scrolls_up_is_left_there(visit: Callable[..., Visit], scripted: str, script: Script) -> None:
    """The list follows the newest event until its reader scrolls up."""
    page = visit(scripted)
    page.start()
    page.shows(script.say(60))
    page.page.locator("#row-60").wait_for()
    page.page.locator("#rows").evaluate("rows => { rows.scrollTop = 0; }")
    page.page.locator("#row-0").wait_for()
    script.say_all()
    page.ends("completed")
    expect(page.page.locator("#row-0")).to_be_in_viewport()


def test_the_keyboard_is_enough(visit: Callable[..., Visit], scripted: str, script: Script) -> None:
    """Enter starts, Escape stops, the arrows choose a mode, and focus stays where it was."""
    page = visit(scripted)
    prompt = page.page.get_by_label("Prompt", exact=True)
    prompt.fill("Why?")
    prompt.press("Shift+Enter")
    assert prompt.input_value() == "Why?\n"
    page.has("idle")
    script.say(10)
    prompt.press("Enter")
    page.shows(script.text(10))
    expect(prompt).to_be_focused()
    page.page.keyboard.press("Escape")
    page.ends("cancelled")
    page.page.get_by_role("radio", name="Finish").focus()
    page.page.keyboard.press("ArrowRight")
    expect(page.page.get_by_role("radio", name="Fail")).to_be_checked()
    expect(page.page.locator("#mode-note")).to_contain_text("raises in mid-run")
    page.page.keyboard.press("ArrowRight")
    expect(page.page.locator("#mode-note")).to_contain_text(f"after {QUICK.idle} s")
    page.button("Start").focus()
    page.page.keyboard.press("Enter")
    expect(page.page.locator(".closing")).to_have_count(0)
    expect(page.button("Start")).to_be_focused()
    page.button("Stop").focus()
    page.page.keyboard.press("Enter")
    page.ends("cancelled")
    expect(page.button("Stop")).to_be_focused()
    page.page.keyboard.press("Enter")  # of no use now, and no harm
    page.ends("cancelled")


def test_every_control_has_a_name(visit: Callable[..., Visit]) -> None:
    """Assistive technology gets a name for each control, and news of the status."""
    page = visit()
    page.start("fail", "Why names?")
    page.ends("failed")
    tree = page.page.locator("body").aria_snapshot()
    for named in (
        'textbox "Prompt"',
        'button "Start"',
        'button "Dark theme"',
        'group "What the source will do"',
        'radio "Go silent"',
        'heading "Why names?"',
        'link "Open a second viewer"',
        'group "What to do with the run"',
        'button "Stop" [disabled]',
        'button "Cut the connection" [disabled]',
        'button "Crash the producer" [disabled]',
        'article "Answer"',
        'navigation "Runs"',
        'listbox "Raw events, oldest first"',
        "status: failed",
    ):
        assert named in tree
    assert re.search(r'link "Why names\? .* failed Fail \d+ records"', tree)
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
    ".row.end .payload", ".row.cut .payload", ".row.act .payload", ".row .offset", ".closing strong", ".closing dt",
    ".run h2", ".facts span", ".facts a", ".run .note", ".runs h2", ".runs .prompt", ".runs .age", ".runs .mode",
    ".runs [data-status=failed] .outcome", ".runs [aria-current] .outcome", ".runs .records"]) {
    const element = document.querySelector(selector);
    const grounds = [];
    for (let each = element; each; each = each.parentElement) grounds.unshift(getComputedStyle(each).backgroundColor);
    const [ground, ink] = [paint("#fff", ...grounds), paint("#fff", ...grounds, getComputedStyle(element).color)];
    ratios[selector] = (Math.max(ground, ink) + 0.05) / (Math.min(ground, ink) + 0.05);
  }
  return ratios;
}"""


def test_the_page_is_readable(visit: Callable[..., Visit], scripted: str, script: Script) -> None:
    """Every kind of text has a contrast of 4.5 to its ground, in both themes (WCAG AA)."""
    page = visit(scripted, size=(1600, 1700))
    script.say(QUICK.trouble_after)
    page.start("fail")
    page.ends("failed")
    page.start("silent")
    page.press("Cut the connection")
    page.press("Crash the producer")
    page.ends("lost")
    schemes: tuple[Scheme, ...] = ("light", "dark")
    for scheme in schemes:
        page.page.emulate_media(color_scheme=scheme)
        expect(page.page.locator("html")).to_have_attribute("data-theme", scheme)
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


def test_motion_can_be_refused(visit: Callable[..., Visit], scripted: str, script: Script) -> None:
    """Nothing is animated for those who ask for less motion."""
    page = visit(scripted)
    page.start()
    page.shows(script.say(10))
    assert page.page.evaluate("document.getAnimations().length") == 0
    page.page.emulate_media(reduced_motion="no-preference")
    assert page.page.evaluate("document.getAnimations().length") > 0


def test_the_page_fits(visit: Callable[..., Visit]) -> None:
    """Nothing sticks out sideways at any width, and the button is on the first screen."""
    page = visit()
    page.start("fail")
    page.ends("failed")
    for width, height in (PHONE, (320, 640), (640, 360), (768, 1024), (1119, 600), (1120, 700), DESK, (1920, 1080)):
        page.page.set_viewport_size({"width": width, "height": height})
        expect(page.page.get_by_role("button", name="Start")).to_be_in_viewport(ratio=1)
        assert page.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
        for selector in (".switch", ".figures", ".top", "#form", ".acts", ".runs ol"):
            assert page.page.locator(selector).evaluate("each => each.scrollWidth <= each.clientWidth + 1"), selector


def test_screenshots(visit: Callable[..., Visit], tmp_path: Path) -> None:
    """The page can be looked at, in both themes, at a desk, on a tablet and on a phone."""
    page = visit()
    page.start("fail")
    page.ends("failed")
    schemes: tuple[Scheme, ...] = ("light", "dark")
    for scheme in schemes:
        page.page.emulate_media(color_scheme=scheme)
        for width, height in (DESK, TABLET, PHONE):
            page.page.set_viewport_size({"width": width, "height": height})
            page.page.screenshot(path=tmp_path / f"{scheme}-{width}.png", full_page=True)
    assert len({path.read_bytes() for path in tmp_path.glob("*.png")}) == 6


# What the README's picture lists beside the run that is viewed.
OTHERS = [
    ("How long may a silence be?", "silent"),
    ("Is a clean close an end?", "vanish"),
    ("Who counts to one?", "normal"),
    ("Who may press Stop?", "normal"),
]


def test_picture(visit: Callable[..., Visit], serve_demo: Callable[[DemoApp], str], tmp_path: Path) -> None:
    """The README's picture is small enough for a README."""
    wanted = os.environ.get("SSE_RELAY_PICTURE")
    path = Path(wanted) if wanted else tmp_path / "demo.png"
    timings = Timings(trouble_after=70, idle=3.0) if wanted else replace(QUICK, tokens_per_second=60)
    demo = serve_demo(DemoApp(text=TEXT, timings=timings))
    runs = [httpx2.post(f"{demo}/runs", json={"prompt": prompt, "mode": mode}).json()["id"] for prompt, mode in OTHERS]
    httpx2.post(f"{demo}/runs/{runs[-1]}/cancel")
    page = visit(demo, size=(1320, 780), device_scale_factor=1.25)
    expect(page.page.locator(".runs a")).to_have_count(len(OTHERS))
    expect(page.page.locator(".runs [data-status=running]")).to_have_count(0, timeout=10_000)
    page.start()
    page.page.wait_for_function("() => Number(document.getElementById('events').textContent) > 20")
    page.press("Cut the connection")
    page.has("streaming")
    page.press("Crash the producer")
    httpx2.post(f"{demo}/runs", json={"prompt": "Is there more?", "mode": "silent"})
    page.ends("lost")
    page.page.mouse.move(0, 0)
    page.page.screenshot(path=path)
    assert path.stat().st_size <= 350_000


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
