"""An agent that calls tools, read and resumed as Letta's agents are, under Starlette: uvicorn letta_agent:app."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from sse_relay import ErrorCatalog, Relay, RunNotFoundError, SSERelayError
from sse_relay.adapters.asgi import EventStreamResponse, ProblemResponse, respond
from sse_relay.dialects import Delta, Finish, Letta, TextDelta, ToolCallDelta, ToolResult

relay = Relay()  # in this process's memory
tools = {"add": lambda a, b: str(a + b)}


async def model(messages: list[str]) -> AsyncGenerator[Delta, None]:
    """Stand in for a model: it calls a tool, then it says what the tool returned."""
    if len(messages) == 1:
        yield ToolCallDelta(id="call_1", name="add", index=0)
        for fragment in ('{"a": 20,', ' "b": 22}'):
            await asyncio.sleep(0.05)
            yield ToolCallDelta(fragment, index=0)
    else:
        for word in f"{messages[0]} That makes {messages[-1]}.".split():
            await asyncio.sleep(0.05)
            yield TextDelta(f"{word} ")


async def agent(question: str) -> AsyncGenerator[Delta, None]:
    """Ask the model again with what its tools returned, until it calls none."""
    messages = [question]
    while True:
        calls: dict[int | None, ToolCallDelta] = {}
        async for delta in model(messages):
            if isinstance(delta, ToolCallDelta):
                call = calls.setdefault(delta.index, ToolCallDelta(id=delta.id, name=delta.name))
                call.arguments += delta.arguments
            yield delta
        if not calls:
            yield Finish("end_turn")
            return
        for call in calls.values():
            messages.append(tools[call.name or ""](**json.loads(call.arguments)))
            yield ToolResult(call.id or "", messages[-1])


def user_of(request: Request) -> str:
    """Tell who asks; stands in for your sign-in."""
    return request.headers.get("authorization", "").removeprefix("Bearer ")


async def send(request: Request) -> Any:  # noqa: ANN401 - an ASGI application
    """POST /v1/agents/{agent}/messages/stream: an agent does one thing at a time, else 409."""
    question, user = (await request.json())["messages"][-1]["content"], user_of(request)
    return await respond(
        relay, agent(question), scope=request.scope, key=f"{user}/{request.path_params['agent']}",
        on_conflict="reject", dialect=Letta(), metadata={"user": user},
    )  # fmt: skip


async def resume(request: Request) -> Any:  # noqa: ANN401 - an ASGI application
    """POST /v1/runs/{run}/stream: what follows the message whose seq_id is `starting_after`."""
    run = await relay.info(request.path_params["run"])
    if run.metadata["user"] != user_of(request):
        raise RunNotFoundError(run.id)
    after = (await request.json()).get("starting_after", 0)
    return EventStreamResponse(relay.subscribe(run.id, after), dialect=Letta(), end_status=200)


async def refuse(_: Request, error: Exception) -> Any:  # noqa: ANN401 - an ASGI application
    """Answer what cannot be done with its HTTP status: 404, 400, 503."""
    return ProblemResponse(ErrorCatalog().resolve(error))


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncGenerator[None, None]:
    """Open the relay while the application runs."""
    async with relay:
        yield


paths = {"/v1/agents/{agent}/messages/stream": send, "/v1/runs/{run}/stream": resume}
routes = [Route(path, answer, methods=["POST"]) for path, answer in paths.items()]
app = Starlette(routes=routes, lifespan=lifespan, exception_handlers={SSERelayError: refuse})
