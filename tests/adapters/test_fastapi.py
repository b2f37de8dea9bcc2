"""The HTTP edge under FastAPI: dependencies, background tasks, what its document says, and its own events."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Annotated, Any

import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, Request
from fastapi.sse import EventSourceResponse
from fastapi.sse import ServerSentEvent as FastAPIEvent
from fastapi.testclient import TestClient
from pydantic import BaseModel
from starlette.responses import Response

from sse_relay import EventDecoder, InvalidEventError, Relay, RunNotFoundError, ServerSentEvent, watch_outcome
from sse_relay.adapters.asgi import AccessRequest
from sse_relay.adapters.fastapi import (
    CurrentRelay,
    EventStreamResponse,
    LastEventId,
    Problem,
    RunList,
    RunState,
    from_fastapi,
    lifespan,
    problem_handlers,
    relay_router,
    respond,
    stream_responses,
    to_fastapi,
)
from sse_relay.dialects import Native
from tests.adapters.frameworks import ask, in_real_time, opened, until
from tests.adapters.relays import Totals
from tests.adapters.sources import play, silence

WORDS = ["one ", "two ", "three ", "four "]


def application(relay: Relay, **options: Any) -> FastAPI:
    """Make an application that starts a run at POST ``/chats/{chat}``, shows it at GET, and has ``/relay``."""
    app = FastAPI(lifespan=lifespan(relay, grace=0.2), exception_handlers=problem_handlers())
    app.include_router(relay_router(relay, authorize=lambda _: True, **options), prefix="/relay")

    @app.post("/chats/{chat}", response_class=EventStreamResponse, responses=stream_responses())
    async def start(chat: str, request: Request, relay: CurrentRelay) -> Response:
        return await respond(relay, play(*WORDS), scope=request.scope, key=chat)

    @app.get("/chats/{chat}", response_class=EventStreamResponse, responses=stream_responses())
    async def view(chat: str, relay: CurrentRelay, after: LastEventId) -> Response:
        if (run := await relay.latest(chat)) is None:
            raise RunNotFoundError(chat)
        return EventStreamResponse(relay.subscribe(run.id, after))

    return app


# Streams


@in_real_time
async def test_a_run_is_read_whole_and_from_every_offset() -> None:
    """I3, F: what a client gets that comes back, by header or query, id or offset, is exactly what it has not seen."""
    async with opened(application(Relay())) as server:
        whole = await ask(server, "/chats/7", method="POST")
        assert whole.names == [*WORDS, "end"]
        assert (await ask(server, "/chats/7")).body == whole.body
        for seen, event in enumerate(whole.events[:-1], 1):
            assert event.id is not None
            for query, header in (
                ("", {"last_event_id": event.id}),
                (f"?after={event.id}", {}),
                (f"?after={seen}", {}),
            ):
                assert (await ask(server, f"/chats/7{query}", **header)).events == whole.events[seen:]
        assert (await ask(server, "/chats/7", last_event_id=whole.events[-1].id or "")).status == 204
        run = whole.headers["x-run-id"]
        assert (await ask(server, f"/relay/runs/{run}/events")).body == whole.body


@in_real_time
async def test_the_header_wins_over_the_query() -> None:
    """F: an `EventSource` that reconnects repeats its first query beside its header; the header counts."""
    async with opened(application(Relay())) as server:
        whole = await ask(server, "/chats/7", method="POST")
        rest = await ask(server, "/chats/7?after=1", last_event_id=whole.events[2].id or "")
        assert rest.events == whole.events[3:]


@pytest.mark.parametrize("sent", ["nonsense", "short:1", "k3Jx9-Qa:01", "k3Jx9-Qa:1_0"])
@in_real_time
async def test_what_is_no_cursor_is_a_problem(sent: str) -> None:
    """I11, F: a malformed cursor, in the header or in the query, is 400 as a problem, before the endpoint is asked."""
    async with opened(application(Relay())) as server:
        for answer in (await ask(server, "/chats/7", last_event_id=sent), await ask(server, f"/chats/7?after={sent}")):
            assert answer.status == 400
            assert answer.headers["content-type"] == "application/problem+json"
            assert Problem.model_validate_json(answer.body).code == "invalid_cursor"
        missing = await ask(server, "/chats/7", last_event_id="k3Jx9-Qa:1")
        assert (missing.status, json.loads(missing.body)["code"]) == (404, "run_not_found")


@pytest.mark.parametrize("leaves", [False, True])
@in_real_time
async def test_cleanup_comes_after_the_stream(leaves: bool) -> None:
    """F, L7: source, then background task, then dependency, at the stream's end or when the client leaves."""
    happened, release = list[str](), silence()

    async def session() -> AsyncIterator[str]:
        yield "session"
        happened.append("dependency")

    app = FastAPI(lifespan=lifespan(Relay()))

    @app.get("/", response_class=EventStreamResponse)
    async def stream(said: Annotated[str, Depends(session)], background: BackgroundTasks) -> Response:
        background.add_task(happened.append, "background")
        return EventStreamResponse(watch_outcome(play(said, release), lambda outcome: happened.append(outcome.status)))

    async with opened(app) as server:
        async with server.connect() as client:
            await client.get()
            assert await client.chunk() == b"data: session\n\n"
            assert happened == []
            if not leaves:
                release.set()
                assert b"event: end\n" in await client.rest()
        await until(lambda: "dependency" in happened)
        assert happened == ["cancelled" if leaves else "completed", "background", "dependency"]


@in_real_time
async def test_a_run_outlives_the_request_that_started_it() -> None:
    """F, L5: a client that leaves ends its background task and its dependency, and not the run: that is whole later."""
    happened, release, relay = list[str](), silence(), Relay()

    async def session() -> AsyncIterator[str]:
        yield "session"
        happened.append("dependency")

    app = application(relay)

    @app.get("/", response_class=EventStreamResponse)
    async def stream(
        said: Annotated[str, Depends(session)], request: Request, relay: CurrentRelay, background: BackgroundTasks
    ) -> Response:
        background.add_task(happened.append, "background")
        source = watch_outcome(play(said, release, "b"), lambda outcome: happened.append(outcome.status))
        return await respond(relay, source, scope=request.scope, key="chat")

    async with opened(app) as server:
        async with server.connect() as client:
            await client.get()
            body = b""
            while b"data: session\n\n" not in body:
                body += await client.chunk()
        await until(lambda: "dependency" in happened)
        assert happened == ["background", "dependency"]
        run = await relay.active("chat")
        assert run is not None
        release.set()
        assert (await ask(server, f"/relay/runs/{run.id}/events")).names == ["session", "b", "end"]
        assert happened == ["background", "dependency", "completed"]


@pytest.mark.parametrize("refused", ["dependency", "endpoint", "source", "cursor"])
@in_real_time
async def test_a_refusal_cleans_up_as_well(refused: str) -> None:
    """F, I13: what is refused before its stream is a problem with its status, and every dependency is left."""
    happened = list[str]()

    async def session(relay: CurrentRelay) -> AsyncIterator[Relay]:
        try:
            yield relay
        finally:
            happened.append("left")

    async def allowed() -> None:
        if refused == "dependency":
            raise RunNotFoundError("hunter2")

    app = FastAPI(lifespan=lifespan(Relay()), exception_handlers=problem_handlers())

    @app.get("/", response_class=EventStreamResponse, dependencies=[Depends(allowed)])
    async def stream(relay: Annotated[Relay, Depends(session)], after: LastEventId) -> Response:
        if refused == "endpoint":
            raise RunNotFoundError("hunter2")
        if refused == "source":
            return EventStreamResponse(play(RunNotFoundError("hunter2")))
        return EventStreamResponse(relay.subscribe("hunter2", after))

    async with opened(app) as server:
        answer = await ask(server, "/", **({"last_event_id": "k3Jx9-Qa:1"} if refused == "cursor" else {}))
        assert (answer.status, Problem.model_validate_json(answer.body).code) == (404, "run_not_found")
        assert b"hunter2" not in answer.body
        await until(lambda: happened or refused == "dependency")
        assert happened == ([] if refused == "dependency" else ["left"])


@in_real_time
async def test_what_an_endpoint_yields_is_a_stream() -> None:
    """F, I13: what an endpoint yields is streamed by its response class: status, end, errors and cleanup as ever."""
    app = FastAPI(lifespan=lifespan(Relay()))
    closed, sources = silence(), list[object]([ValueError("hunter2")])

    @app.get("/words", response_class=EventStreamResponse)
    async def words() -> AsyncGenerator[object, None]:
        yield "a", 201
        yield {"b": 1}

    @app.get("/error", response_class=EventStreamResponse)
    async def error() -> AsyncGenerator[object, None]:
        async for item in play(*sources):
            yield item

    @app.get("/endless", response_class=EventStreamResponse)
    async def endless() -> AsyncGenerator[object, None]:
        try:
            yield "a"
            await silence().wait()
        finally:
            closed.set()

    async with opened(app) as server:
        answer = await ask(server, "/words")
        assert (answer.status, answer.names) == (201, ["a", '{"b":1}', "end"])
        assert (await ask(server, "/error")).status == 500
        sources.insert(0, "a")
        answer = await ask(server, "/error")
        assert answer.names == ["a", "end"]
        assert b"hunter2" not in answer.body
        async with server.connect() as client:
            await client.get("/endless")
            assert await client.chunk() == b"data: a\n\n"
        await closed.wait()


@in_real_time
async def test_methods() -> None:
    """F: what FastAPI's own routes do not take is 405; the relay's answer HEAD and OPTIONS, too."""
    async with opened(application(Relay())) as server:
        run = (await ask(server, "/chats/7", method="POST")).headers["x-run-id"]
        assert [(await ask(server, "/chats/7", method=method)).status for method in ("HEAD", "OPTIONS")] == [405, 405]
        events = f"/relay/runs/{run}/events"
        head = await ask(server, events, method="HEAD")
        assert (head.status, head.headers["x-run-id"]) == (200, run)
        assert (await ask(server, events, method="OPTIONS")).headers["allow"] == "GET, HEAD, OPTIONS"
        refused = await ask(server, events, method="DELETE")
        assert (refused.status, json.loads(refused.body)["code"]) == (405, "method_not_allowed")


@pytest.mark.parametrize("root_path", ["", "/api"])
@in_real_time
async def test_the_router_answers_as_the_application(root_path: str) -> None:
    """F, I12: under a prefix and a root path each route answers whom `authorize` lets in, and hides the rest."""
    relay, wanted = Relay(), list[tuple[str, str | None, str]]()

    def authorize(access: AccessRequest) -> bool:
        wanted.append((access.action, access.key, access.scope["path"]))
        return access.key != "secret" or access.run is None

    app = FastAPI(lifespan=lifespan(relay, grace=0.2))
    app.include_router(relay_router(relay, authorize=authorize, listing=True), prefix="/tenants/{tenant}")
    async with opened(app, root_path=root_path) as server:
        run = await relay.start(play("a", silence()), key="a/b")
        secret = await relay.start(play("a", silence()), key="secret")
        for path, action in ((f"runs/{run.id}", "info"), ("keys/a/b/active", "active"), ("keys/a/b/latest", "latest")):
            answer = await ask(server, f"/tenants/7/{path}")
            assert RunState.model_validate_json(answer.body).id == run.id
            assert wanted[-1] == (action, "a/b", f"{root_path}/tenants/7/{path}")
        listed = RunList.model_validate_json((await ask(server, "/tenants/7/runs")).body)
        assert [each.id for each in listed.runs] == [run.id]
        for path in (f"runs/{secret.id}", f"runs/{secret.id}/events", "keys/secret/active", "runs/nothing"):
            answer = await ask(server, f"/tenants/7/{path}")
            assert (answer.status, Problem.model_validate_json(answer.body).code) == (404, "run_not_found")
        slash = await ask(server, f"/tenants/7/runs/{run.id}/")
        assert slash.status == 307
        stopped = await ask(server, f"/tenants/7/runs/{run.id}/cancel", method="POST")
        assert RunState.model_validate_json(stopped.body).status == "cancelled"
        assert (await ask(server, f"/tenants/7/runs/{run.id}/events")).names == ["a", "end"]


@in_real_time
async def test_the_relay_is_needed_in_the_state() -> None:
    """F: an application without the lifespan is told what it lacks."""
    app = FastAPI()

    @app.get("/")
    async def endpoint(relay: CurrentRelay) -> None:
        del relay

    with pytest.raises(RuntimeError, match="lifespan="):
        await asyncio.to_thread(TestClient(app).get, "/")


# The document


def test_the_document_describes_the_stream() -> None:
    """F: the OpenAPI document has the stream, its events and header, each error as a problem, and how to come back."""
    document = application(Relay()).openapi()
    operation = document["paths"]["/chats/{chat}"]["get"]
    responses = operation["responses"]
    assert {"200", "204", "400", "404", "409", "410", "503"} <= set(responses)
    assert set(responses["200"]["content"]) == {"text/event-stream"}
    assert {"id", "event", "data", "retry"} == set(
        responses["200"]["content"]["text/event-stream"]["itemSchema"]["properties"]
    )
    assert "x-run-id" in responses["200"]["headers"]
    assert "content" not in responses["204"]
    for status in ("400", "404", "409", "410", "503"):
        schema = responses[status]["content"]["application/problem+json"]["schema"]
        assert set(schema["properties"]) == {"type", "title", "status", "detail", "code", "error_id"}
        assert set(responses[status]["content"]) == {"application/problem+json"}
    assert {(each["name"], each["in"], each["required"]) for each in operation["parameters"]} == {
        ("chat", "path", True), ("Last-Event-ID", "header", False), ("after", "query", False),
    }  # fmt: skip


def test_the_document_describes_the_relay() -> None:
    """F: each action of a relay is in the document once, with its parameters, its statuses and its states."""
    document = application(Relay(), listing=True, dialects=(Native(), Totals())).openapi()
    found = {
        (path.removeprefix("/relay"), method): (
            {each["name"] for each in operation["parameters"]},
            {int(status) for status in operation["responses"]},
        )
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if path.startswith("/relay")
    }
    seen = {"run_id", "Last-Event-ID", "after", "dialect"}
    assert found == {
        ("/runs/{run_id}/events", "get"): (seen, {200, 204, 400, 404, 409, 410, 422, 429, 503}),
        ("/runs/{run_id}", "get"): ({"run_id"}, {200, 404, 410, 422, 503}),
        ("/runs/{run_id}/cancel", "post"): ({"run_id"}, {200, 404, 410, 422, 503}),
        ("/keys/{key}/active", "get"): ({"key"}, {200, 404, 422, 503}),
        ("/keys/{key}/latest", "get"): ({"key"}, {200, 404, 422, 503}),
        ("/runs", "get"): ({"status"}, {200, 400, 404, 422, 503}),
    }
    choices = {
        each["name"]: each["schema"]["enum"]
        for path in ("/relay/runs", "/relay/runs/{run_id}/events")
        for each in document["paths"][path]["get"]["parameters"]
        if "enum" in each["schema"]
    }
    assert choices == {
        "status": ["running", "completed", "failed", "cancelled", "lost", "timed_out"],
        "dialect": ["native", "totals"],
    }
    info = document["paths"]["/relay/runs/{run_id}"]["get"]["responses"]["200"]["content"]
    assert info == {"application/json": {"schema": {"$ref": "#/components/schemas/RunState"}}}


@in_real_time
async def test_what_is_answered_is_documented() -> None:
    """F: each status that a stream's endpoint has is in the document, with its content type."""
    relay = Relay()
    app = application(relay)
    documented = app.openapi()["paths"]["/chats/{chat}"]["get"]["responses"]
    async with opened(app) as server:
        whole = await ask(server, "/chats/7", method="POST")
        other = (await ask(server, "/chats/8", method="POST")).events[0].id or ""
        cursors = ["", whole.events[0].id, whole.events[-1].id, "nonsense", other]
        answers = [await ask(server, "/chats/7", last_event_id=cursor or "") for cursor in cursors]
        answers.append(await ask(server, "/chats/9"))
        assert [answer.status for answer in answers] == [200, 200, 204, 400, 409, 404]
        for answer in answers:
            content = documented[str(answer.status)].get("content", {})
            assert answer.headers.get("content-type", "").partition(";")[0] in (content or {""})
            if "application/problem+json" in content:
                Problem.model_validate_json(answer.body)


# FastAPI's events


class Model(BaseModel):
    """A model to be sent."""

    text: str = "é"


@pytest.mark.parametrize(
    "event",
    [
        FastAPIEvent(data="text"),
        FastAPIEvent(data={"a": [1, None]}, event="named", id="7"),
        FastAPIEvent(data=Model()),
        FastAPIEvent(data=[Model()]),
        FastAPIEvent(raw_data="a\nb", retry=100, comment="c"),
        FastAPIEvent(raw_data=""),
        FastAPIEvent(data=0),
        FastAPIEvent(comment="ping"),
        FastAPIEvent(),
    ],
    ids=str,
)
@in_real_time
async def test_their_events_say_the_same_as_ours(event: FastAPIEvent) -> None:
    """I10: what a reader gets of FastAPI's event is what it gets of ours, and of ours when that is converted back."""
    ours = from_fastapi(event)
    app = FastAPI()

    @app.get("/theirs", response_class=EventSourceResponse)
    async def theirs() -> AsyncGenerator[FastAPIEvent, None]:
        yield event

    @app.get("/back", response_class=EventSourceResponse)
    async def back() -> AsyncGenerator[FastAPIEvent, None]:
        yield to_fastapi(ours)

    def read(body: bytes) -> list[tuple[Any, ...]]:
        return [(each.event, each.id, each.retry, parsed(each.data)) for each in EventDecoder().feed(body)]

    async with opened(app) as server:
        said = read((await ask(server, "/theirs")).body)
        assert read(ours.encode()) == said
        assert read((await ask(server, "/back")).body) == said
    assert ours.comment == event.comment


def parsed(data: str | None) -> Any:
    """Read JSON, where it is any: FastAPI writes it with spaces, and escapes."""
    try:
        return json.loads(data or "")
    except ValueError:
        return data


@in_real_time
async def test_a_run_through_their_response() -> None:
    """I3: a run may be read through FastAPI's own response; ids, names and data arrive as they are."""
    relay = Relay()
    app = application(relay)

    @app.get("/theirs/{chat}", response_class=EventSourceResponse)
    async def theirs(chat: str) -> AsyncGenerator[FastAPIEvent, None]:
        run = await relay.latest(chat)
        assert run is not None
        events = relay.subscribe(run.id)
        async with events:
            async for event in events:
                yield to_fastapi(event)  # noqa: ASYNC119 - FastAPI reads it to its end

    async with opened(app) as server:
        whole = await ask(server, "/chats/7", method="POST")
        assert (await ask(server, "/theirs/7")).events == whole.events


@pytest.mark.parametrize("field", ["event", "id"])
def test_what_cannot_be_converted_is_refused(field: str) -> None:
    """F: NaN is no JSON, and a name or an id with a line break would write lines of its own."""
    with pytest.raises(InvalidEventError):
        from_fastapi(FastAPIEvent(data=float("nan")))
    with pytest.raises(InvalidEventError, match=field):
        to_fastapi(ServerSentEvent("a").replace(**{field: "b\ndata: c"}))
