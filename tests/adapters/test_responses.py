"""Runs as OpenAI responses: what the routes answer, and the SDK itself, unmodified, against a real server."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import openai
import pytest
from openai.types.responses import Response, ResponseStreamEvent

from sse_relay import ErrorCatalog, MemoryStore, Relay, RunNotFoundError
from sse_relay.adapters.asgi import AccessRequest, ProblemResponse, respond, response_of, responses_app
from sse_relay.adapters.messages import Receive, Scope, Send
from sse_relay.adapters.states import JsonResponse
from sse_relay.dialects import Finish, OpenAIResponses, ReasoningDelta, TextDelta, ToolCallDelta, ToolResult, Usage
from sse_relay.stores.protocol import RunInfo
from sse_relay.testing import FaultyStore
from tests.adapters.relays import ask, memory
from tests.adapters.servers import App, Exchange, on_virtual_time, serve
from tests.adapters.sources import play, silence, stubborn

SECRET = "password=hunter2"
MODEL = "gpt-relay"
ANSWER = (
    ReasoningDelta("Hm"),
    ReasoningDelta("m."),
    TextDelta("Let me "),
    TextDelta("look."),
    ToolCallDelta('{"q":', id="a", name="look", index=0),
    ToolCallDelta(id="b", name="go", index=1),
    ToolCallDelta("1}", index=0),
    ToolCallDelta("{}", index=1),
    ToolResult("a", "found"),
    TextDelta("Found \N{SNOWMAN}."),
    Usage(3, 5),
    Finish("stop"),
)


def for_all(relay: Relay, **options: Any) -> App:
    """Make the routes, for everyone."""
    return responses_app(relay, authorize=lambda _: True, model=MODEL, **options)


def of(run: RunInfo, rest: str = "") -> str:
    """Tell where a run's response is."""
    return f"/v1/responses/resp_{run.id}{rest}"


def error_of(exchange: Exchange) -> tuple[int, str | None, str, str]:
    """Tell a refusal: status, advice about a retry, type and code."""
    error = exchange.json["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    return exchange.status, exchange.headers.get("x-should-retry"), error["type"], error["code"]


UNKNOWN = (404, "false", "invalid_request_error", "run_not_found")


# What the routes answer


@on_virtual_time
async def test_a_response_is_told_as_it_is() -> None:
    """A response is its output so far while it is in progress, and the whole of it afterwards; nobody caches it."""
    async with Relay(memory()) as relay:
        app = for_all(relay)
        run = await relay.start(play(TextDelta("Hel"), 9.0, TextDelta("lo"), Usage(1, 2)))
        await asyncio.sleep(1)
        for status, text, tokens in (("in_progress", "Hel", None), ("completed", "Hello", 3)):
            exchange = await ask(app, of(run))
            said = exchange.json
            assert (said["id"], said["status"], said["model"]) == (f"resp_{run.id}", status, MODEL)
            assert said["output"][0]["content"][0]["text"] == text
            assert (said["usage"] and said["usage"]["total_tokens"]) == tokens
            assert exchange.headers["cache-control"] == "no-store"
            await relay.wait(run.id)
        assert (await ask(app, of(run), method="HEAD")).body == b""


@on_virtual_time
async def test_a_long_response_is_whole() -> None:
    """A response of more records than a page has all of them, and one whose beginning is gone is refused (I7)."""
    async with Relay(memory()) as relay:
        run = await relay.start(play(*(TextDelta(f"{number} ") for number in range(1200))))
        await relay.wait(run.id)
        text = (await ask(for_all(relay), of(run))).json["output"][0]["content"][0]["text"]
        assert text.split() == list(map(str, range(1200)))
    async with Relay(memory(max_events=3, on_full="trim")) as relay:
        run = await relay.start(play(*map(TextDelta, "abcdef")))
        await relay.wait(run.id)
        gone = (410, "false", "invalid_request_error", "history_trimmed")
        assert error_of(await ask(for_all(relay), of(run))) == gone
        exchange = await ask(for_all(relay), of(run, "?stream=true"))
        last = exchange.events[-1]
        assert (last.event, json.loads(last.data or "")["error"]["code"]) == (None, "history_trimmed")


@pytest.mark.parametrize("mount", ["/v1", ""], ids=["at the root", "under /v1"])
@on_virtual_time
async def test_where_it_may_be_mounted(mount: str) -> None:
    """The routes are found at the root and under ``/v1``, and nothing else is."""
    async with Relay(memory()) as relay:
        run = await relay.start(play("a"))
        app = for_all(relay)
        for slash in ("", "/"):
            assert (await ask(app, f"{mount}/responses/resp_{run.id}{slash}")).status == 200
        for path in ("/", "/v1", f"/responses/resp_{run.id}//", f"/v2/responses/resp_{run.id}", "/v1/responses"):
            assert error_of(await ask(app, path)) == (404, "false", "invalid_request_error", "not_found")


@pytest.mark.parametrize(
    "response_id", ["resp_", "resp_unknown", "{}", "resp_resp_{}", "RESP_{}", "resp_%00", "x" * 999]
)
@on_virtual_time
async def test_what_is_not_there(response_id: str) -> None:
    """I11: any other id is unknown, for each action."""
    async with Relay(memory()) as relay:
        run = await relay.start(play("a", silence()))
        app = for_all(relay)
        path = f"/v1/responses/{response_id.format(run.id)}"
        assert error_of(await ask(app, path)) == UNKNOWN
        assert error_of(await ask(app, f"{path}?stream=true")) == UNKNOWN
        assert error_of(await ask(app, f"{path}/cancel", method="POST")) == UNKNOWN
        assert (await relay.info(run.id)).status == "running"


@pytest.mark.parametrize("allowed", [(), ("events",), ("cancel",)])
@on_virtual_time
async def test_what_is_forbidden_looks_unknown(allowed: tuple[str, ...]) -> None:
    """I12: a request that the application does not allow learns what one for an unknown response learns."""
    async with Relay(memory()) as relay:
        run = await relay.start(play("a", silence()), key="mine")
        asked: list[AccessRequest] = []

        async def authorize(request: AccessRequest) -> bool:
            asked.append(request)
            return request.action in allowed

        app = responses_app(relay, authorize=authorize)
        for path, method, action in ((of(run), "GET", "events"), (of(run, "/cancel"), "POST", "cancel")):
            exchange = await ask(app, path, method=method)
            assert (asked[-1].action, asked[-1].run_id, asked[-1].key) == (action, run.id, "mine")
            if action in allowed:
                assert exchange.status == 200
            else:
                assert error_of(exchange) == UNKNOWN
        stream = asyncio.create_task(ask(app, of(run, "?stream=true")))
        await asyncio.sleep(1)
        await relay.cancel(run.id)
        if "events" in allowed:
            assert (await stream).names[-1] == "response.incomplete"
        else:
            assert error_of(await stream) == UNKNOWN


@pytest.mark.parametrize("after", ["-1", "x", "1_0", "1.0", "\N{ARABIC-INDIC DIGIT ONE}", "01", "9" * 99, ""])
@on_virtual_time
async def test_what_is_no_number(after: str) -> None:
    """I11: a place that is not the number of an event is refused, in so many words."""
    async with Relay(memory()) as relay:
        run = await relay.start(play("a"))
        exchange = await ask(for_all(relay), of(run, f"?stream=true&starting_after={after}"))
        assert error_of(exchange) == (400, "false", "invalid_request_error", "invalid_starting_after")


@on_virtual_time
async def test_what_the_routes_refuse() -> None:
    """A wrong method, a relay that drains, an expired run, a failing ``authorize``: each in OpenAI's own shape."""

    def broken(_: AccessRequest) -> bool:
        raise ValueError(SECRET)

    async with Relay(memory(retention=10)) as relay:
        app = for_all(relay)
        run = await relay.start(play("a"))
        await relay.wait(run.id)
        exchange = await ask(app, of(run), method="DELETE")
        assert error_of(exchange) == (405, "false", "invalid_request_error", "method_not_allowed")
        assert exchange.headers["allow"] == "GET, HEAD"
        assert (await ask(app, of(run, "/cancel"))).headers["allow"] == "POST"
        exchange = await ask(responses_app(relay, authorize=broken), of(run))
        assert error_of(exchange) == (500, None, "server_error", "internal_error")
        assert SECRET.encode() not in exchange.body
        assert exchange.headers["x-request-id"]
        await asyncio.sleep(11)
        assert error_of(await ask(app, of(run))) == (410, "false", "invalid_request_error", "run_expired")
        run = await relay.start(play("a", silence()))
    for path in (of(run), of(run, "?stream=true")):
        exchange = await ask(app, path)
        assert error_of(exchange) == (503, None, "server_error", "draining")
        assert exchange.headers["retry-after"] == "1"


@on_virtual_time
async def test_cancelling() -> None:
    """L3: a cancelled response says so each time; a completed one cannot be cancelled, and a failed one stays so."""
    async with Relay(memory()) as relay:
        app = for_all(relay, cancel_grace=2)
        live = await relay.start(play(TextDelta("a"), silence()))
        deaf = await relay.start(stubborn(TextDelta("a")))
        await asyncio.sleep(1)
        for run in (live, deaf, live):
            exchange = await ask(app, of(run, "/cancel"), method="POST")
            assert (exchange.status, exchange.json["status"], exchange.json["error"]) == (200, "cancelled", None)
            assert exchange.json["output"][0]["content"][0]["text"] == "a"
            assert (await relay.info(run.id)).status == "cancelled"
        done, failed = await relay.start(play("a")), await relay.start(play("a", ValueError(SECRET)))
        for run in (done, failed):
            await relay.wait(run.id)
        exchange = await ask(app, of(done, "/cancel"), method="POST")
        assert error_of(exchange) == (400, "false", "invalid_request_error", "response_completed")
        assert (await ask(app, of(failed, "/cancel"), method="POST")).json["status"] == "failed"
        await asyncio.sleep(60)  # until the deaf one has heard


@on_virtual_time
async def test_a_run_tells_its_model() -> None:
    """A function of the run says what the model is, streamed or not."""
    async with Relay(memory()) as relay:
        run = await relay.start(play("a"), metadata={"model": "mine"})
        await relay.wait(run.id)
        app = responses_app(relay, authorize=lambda _: True, model=lambda run: str(run.metadata["model"]))
        assert (await ask(app, of(run))).json["model"] == "mine"
        assert b'"model":"mine"' in (await ask(app, of(run, "?stream=true"))).body


@pytest.mark.parametrize(
    ("options", "error"),
    [({"authorize": None}, TypeError), ({"keepalive": 0}, ValueError), ({"end_status": 300}, ValueError)],
)
def test_wrong_options_are_refused_at_once(options: dict[str, Any], error: type[Exception]) -> None:
    """What is wrong is refused when the routes are made, and not at the first request."""
    with pytest.raises(error):
        responses_app(Relay(), **({"authorize": bool, **options}))


# The SDK, unmodified


class Service:
    """
    An application in front of a model: it creates responses, and leaves the rest to the routes.

    Args:
        relay: Where its runs are.
        make: What its model says.
    """

    def __init__(self, relay: Relay, make: Callable[[], AsyncGenerator[object, None]], **options: Any) -> None:
        self._relay = relay
        self._make = make
        self._options = options
        self._routes = for_all(relay)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if (scope["method"], scope["path"]) != ("POST", "/v1/responses"):
            await self._routes(scope, receive, send)
            return
        asked = json.loads((await receive())["body"])
        if not asked.get("stream"):
            run = await self._relay.start(self._make())
            said = await response_of(self._relay, run.id, model=MODEL, wait=not asked.get("background"))
            await JsonResponse(said)(scope, receive, send)
            return
        dialect = OpenAIResponses(model=MODEL)
        response = await respond(self._relay, self._make(), scope=scope, dialect=dialect, **self._options)
        assert not isinstance(response, ProblemResponse)
        await response(scope, receive, send)


@asynccontextmanager
async def client_of(app: App, **options: Any) -> AsyncGenerator[openai.AsyncOpenAI]:
    """Serve an application on a socket, for the SDK."""
    async with serve(app) as server:
        url = f"http://127.0.0.1:{server._port}/v1"
        async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0, **options) as client:
            yield client


def on_a_socket(test: Callable[[], Any]) -> Callable[[], None]:
    """Run a test in real time; no task may be left after it (L7)."""

    async def settled() -> None:
        async with asyncio.timeout(15):
            await test()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    def run() -> None:
        asyncio.run(settled())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


async def create(client: openai.AsyncOpenAI) -> list[ResponseStreamEvent]:
    """Create a response, and read its events to the end."""
    async with await client.responses.create(model="any", input="Hi", stream=True) as stream:
        return [event async for event in stream]


def told(response: Response) -> list[tuple[str, str]]:
    """Tell what a response says: reasoning, text, and calls with their arguments."""
    output: list[tuple[str, str]] = []
    for item in response.output:
        if item.type == "reasoning":
            output.append(("reasoning", "".join(part.text for part in item.summary)))
        elif item.type == "message":
            output.append(("text", "".join(getattr(part, "text", "") for part in item.content)))
        else:
            assert item.type == "function_call"
            output.append((f"{item.call_id} {item.name}", item.arguments))
    return output


WHOLE = [
    ("reasoning", "Hmm."),
    ("text", "Let me look."),
    ("a look", '{"q":1}'),
    ("b go", "{}"),
    ("text", "Found \N{SNOWMAN}."),
]


@on_a_socket
async def test_the_sdk_creates_retrieves_and_resumes_at_every_event() -> None:
    """I1, I3: created, retrieved whole, and resumed after each event: the same ones; after the last, that again."""
    async with Relay() as relay, client_of(Service(relay, lambda: play(*ANSWER))) as client:
        events = await create(client)
        assert [event.sequence_number for event in events] == list(range(len(events)))
        last = events[-1]
        assert last.type == "response.completed"
        assert (told(last.response), last.response.output_text) == (WHOLE, "Let me look.Found \N{SNOWMAN}.")
        assert last.response.usage is not None
        assert last.response.usage.total_tokens == 8
        response_id = last.response.id
        assert await client.responses.retrieve(response_id) == last.response
        for seen in range(len(events)):
            async with await client.responses.retrieve(response_id, stream=True, starting_after=seen) as stream:
                assert [event async for event in stream] == events[min(seen + 1, len(events) - 1) :]
        async with await client.responses.retrieve(response_id, stream=True) as stream:
            assert [event async for event in stream] == events


@on_a_socket
async def test_the_sdk_creates_without_a_stream() -> None:
    """I1: what is created without a stream is whole when it comes, and the same as it is retrieved afterwards."""
    async with Relay() as relay, client_of(Service(relay, lambda: play(*ANSWER))) as client:
        response = await client.responses.create(model="any", input="Hi")
        assert (response.status, told(response)) == ("completed", WHOLE)
        assert await client.responses.retrieve(response.id) == response


@on_a_socket
async def test_the_sdk_creates_in_the_background_and_polls() -> None:
    """L3: what is created in the background is in progress at once, can be polled and cancelled, and says so."""
    async with Relay() as relay, client_of(Service(relay, lambda: play(TextDelta("Hel"), 60.0))) as client:
        response = await client.responses.create(model="any", input="Hi", background=True)
        assert (response.status, response.output_text) == ("in_progress", "")
        while not (response := await client.responses.retrieve(response.id)).output_text:
            assert response.status == "in_progress"
        assert response.output_text == "Hel"
        assert (await client.responses.cancel(response.id)).status == "cancelled"


@on_virtual_time
async def test_a_run_that_fails_is_a_failed_response() -> None:
    """I13, I2: whoever waits for the whole response learns how it ended, and no word of the exception."""

    async def source() -> AsyncGenerator[object, None]:
        yield TextDelta("Hel")
        raise OSError("secret")

    async with Relay(memory()) as relay:
        run = await relay.start(source())
        said = await response_of(relay, run.id, model=lambda run: f"model of {run.id}")
    assert (said["status"], said["error"]["code"], said["model"]) == (
        "failed", "internal_error", f"model of {run.id}",
    )  # fmt: skip
    assert said["output"][0]["content"][0]["text"] == "Hel"


@on_virtual_time
async def test_what_is_not_kept_is_not_told() -> None:
    """I7: a run that is unknown, or whose beginning is gone, is an error, and never a part of a response."""
    async with Relay(memory(max_events=3, on_full="trim")) as relay:
        run = await relay.start(play(*map(TextDelta, "abcdef")))
        with pytest.raises(LookupError, match="no longer kept"):
            await response_of(relay, run.id)
        with pytest.raises(RunNotFoundError):
            await response_of(relay, "0" * 32)


@on_a_socket
async def test_the_sdks_helper_follows() -> None:
    """The helper that checks each event against what came before takes the whole, and an attached one, too."""
    async with Relay() as relay, client_of(Service(relay, lambda: play(*ANSWER))) as client:
        async with client.responses.stream(model="any", input="Hi") as stream:
            events = [event async for event in stream]
            final = await stream.get_final_response()
        assert told(final) == WHOLE
        snapshots = [event.snapshot for event in events if event.type == "response.output_text.delta"]
        assert snapshots == ["Let me ", "Let me look.", "Found \N{SNOWMAN}."]
        async with client.responses.stream(response_id=final.id, starting_after=10) as stream:
            assert [event.sequence_number async for event in stream] == list(range(11, len(events)))


@on_a_socket
async def test_the_sdk_drops_in_mid_run_and_resumes() -> None:
    """I1: a reader that leaves after each of its first events goes on behind it while the run does."""
    steps: list[asyncio.Event] = [asyncio.Event() for _ in ANSWER]
    script = [part for pair in zip(steps, ANSWER, strict=True) for part in pair]
    async with Relay() as relay, client_of(Service(relay, lambda: play(*script))) as client:
        seen: list[ResponseStreamEvent] = []
        stream = await client.responses.create(model="any", input="Hi", stream=True)
        for step in [*steps, None]:
            async with stream:
                async for event in stream:
                    seen.append(event)
                    if event.sequence_number and step is not None:
                        step.set()  # what comes next was not there when we left
                        break
            opening = seen[0]
            assert opening.type == "response.created"
            after = seen[-1].sequence_number
            if seen[-1].type != "response.completed":
                stream = await client.responses.retrieve(opening.response.id, stream=True, starting_after=after)
        assert [event.sequence_number for event in seen] == list(range(len(seen)))
        last = seen[-1]
        assert last.type == "response.completed"
        assert told(last.response) == WHOLE


@on_a_socket
async def test_the_sdk_cancels() -> None:
    """L3: cancelling ends the stream of everyone who reads it, typed; it may be repeated; afterwards it stays so."""
    source = play(TextDelta("a"), silence())
    async with Relay() as relay, client_of(Service(relay, lambda: source)) as client:
        async with await client.responses.create(model="any", input="Hi", stream=True) as stream:
            opening = await anext(stream)
            assert opening.type == "response.created"
            while (await anext(stream)).type != "response.output_text.delta":
                pass
            cancelled = await client.responses.cancel(opening.response.id)
            assert (cancelled.status, cancelled.output_text) == ("cancelled", "a")
            assert await client.responses.cancel(opening.response.id) == cancelled
            (last,) = [event async for event in stream]
            assert last.type == "response.incomplete"
            assert last.response == cancelled
        assert await client.responses.retrieve(opening.response.id) == cancelled


@on_a_socket
async def test_the_sdk_is_told_what_it_may_not_do() -> None:
    """A completed response is not cancelled, an unknown one is not found: the SDK's own exceptions, and no retry."""
    async with Relay() as relay, client_of(Service(relay, lambda: play("a"))) as client:
        last = (await create(client))[-1]
        assert last.type == "response.completed"
        patient = client.with_options(max_retries=3)
        with pytest.raises(openai.BadRequestError) as refused:
            await patient.responses.cancel(last.response.id)
        assert refused.value.code == "response_completed"
        with pytest.raises(openai.NotFoundError) as refused_too:
            await patient.responses.retrieve("resp_unknown")
        assert (refused_too.value.code, refused_too.value.type) == ("run_not_found", "invalid_request_error")


@on_a_socket
async def test_the_sdk_is_told_of_a_failure() -> None:
    """I13, defect 13: a producer that raises in mid-run is a failed response, and no word of the exception."""
    errors = ErrorCatalog()
    errors.register(TimeoutError, "llm_timeout", "The model took too long.")
    source = play(TextDelta("a"), TimeoutError(SECRET))
    async with Relay(errors=errors) as relay, client_of(Service(relay, lambda: source)) as client:
        last = (await create(client))[-1]
        assert last.type == "response.failed"
        assert (last.response.status, last.response.output_text) == ("failed", "a")
        assert last.response.error is not None
        assert (str(last.response.error.code), last.response.error.message) == (
            "llm_timeout",
            "The model took too long.",
        )
        assert await client.responses.retrieve(last.response.id) == last.response


@on_a_socket
async def test_the_sdk_is_told_that_the_producer_died() -> None:
    """L2, I2: a run whose producer is dead ends as a failed response for whoever reads it; no success, and no hang."""
    store = MemoryStore()
    handle = FaultyStore(store)
    async with Relay(store, lease=1) as relay, client_of(for_all(relay)) as client:
        dead = Relay(handle, lease=1)
        await dead.__aenter__()
        run = await dead.start(play(TextDelta("a"), Finish("stop"), silence()))
        async with await client.responses.retrieve(f"resp_{run.id}", stream=True) as stream:
            while (await anext(stream)).type != "response.output_text.delta":
                pass
            handle.vanish()
            rest = [event async for event in stream]
        last = rest[-1]
        assert last.type == "response.failed"
        assert last.response.error is not None
        assert str(last.response.error.code) == "producer_lost"
        assert not [event.type for event in rest if event.type.endswith((".done", ".completed"))]
        assert (await client.responses.retrieve(f"resp_{run.id}")).status == "failed"
        await dead.drain(0)


@on_a_socket
async def test_the_sdk_goes_on_where_a_server_left_it() -> None:
    """L8, I1, I4: a server that drains in mid-run is the SDK's own error with a code; the next server has the rest."""
    store, rest = MemoryStore(), asyncio.Event()
    async with Relay(store) as elsewhere, client_of(for_all(elsewhere)) as other:
        run = await elsewhere.start(play(TextDelta("a"), rest, TextDelta("b")))
        seen: list[ResponseStreamEvent] = []
        async with Relay(store) as relay, client_of(for_all(relay)) as client:
            stream = await client.responses.retrieve(f"resp_{run.id}", stream=True)
            with pytest.raises(openai.APIError) as interrupted:
                async for event in stream:
                    seen.append(event)
                    if event.type == "response.output_text.delta":
                        await relay.drain(0)
            assert interrupted.value.code == "draining"
        rest.set()
        after = seen[-1].sequence_number
        async with await other.responses.retrieve(f"resp_{run.id}", stream=True, starting_after=after) as stream:
            seen += [event async for event in stream]
        assert [event.sequence_number for event in seen] == list(range(len(seen)))
        last = seen[-1]
        assert last.type == "response.completed"
        assert last.response.output_text == "ab"


@on_a_socket
async def test_the_sdk_bears_heartbeats() -> None:
    """L4: a silent run keeps a client that waits for a third of the silence only, and no heartbeat is an event."""
    source = play(TextDelta("a"), 3.0, TextDelta("b"))
    async with Relay() as relay, client_of(Service(relay, lambda: source, keepalive=0.2), timeout=1) as client:
        events = await create(client)
        last = events[-1]
        assert last.type == "response.completed"
        assert last.response.output_text == "ab"
        assert [event.sequence_number for event in events] == list(range(len(events)))
