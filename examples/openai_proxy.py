"""A resumable proxy in front of the OpenAI-compatible server at UPSTREAM, under Starlette: uvicorn openai_proxy:app."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any

import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from sse_relay import Relay, from_openai_chat, from_openai_responses
from sse_relay.adapters.asgi import AccessRequest, relay_app, respond, responses_app
from sse_relay.dialects import Dialect, OpenAIChat, OpenAIResponses

relay = Relay()
upstream = httpx2.AsyncClient(base_url=os.environ["UPSTREAM"], timeout=httpx2.Timeout(10, read=120))


async def stream(asked: httpx2.Request) -> AsyncGenerator[bytes, None]:
    """Ask the upstream: once, however often its client comes and goes."""
    response = await upstream.send(asked, stream=True)
    try:
        async for chunk in response.raise_for_status().aiter_bytes():
            yield chunk
    finally:
        await response.aclose()


def owner_of(scope: Any) -> str:  # noqa: ANN401 - the ASGI interface
    """Tell clients apart by their keys, which nobody else can read from here."""
    return sha256(Request(scope).headers.get("authorization", "").encode()).hexdigest()


def is_owner(access: AccessRequest) -> bool:
    """Say who may view or stop a run."""
    return access.run is not None and access.run.metadata["scope"] == owner_of(access.scope)


async def answer(request: Request) -> Any:  # noqa: ANN401 - an ASGI application
    """Answer with a stream; under the same x-stream-id, ``?after=…`` goes on behind what a chat's client has seen."""
    said, path = await request.json(), request.url.path.removeprefix("/v1")
    key = {"authorization": request.headers.get("authorization", "")}
    asked = upstream.build_request("POST", path, json=said, headers=key)
    if not said.get("stream"):
        whole = await upstream.send(asked)
        return Response(whole.content, whole.status_code, media_type=whole.headers.get("content-type"))
    dialect: Dialect = OpenAIResponses(model=said["model"])
    read = from_openai_responses
    if path == "/chat/completions":
        usage = (said.get("stream_options") or {}).get("include_usage", False)
        dialect, read = OpenAIChat(model=said["model"], include_usage=usage), from_openai_chat
    owner, name = owner_of(request.scope), request.headers.get("x-stream-id")
    return await respond(
        relay, read(stream(asked)), scope=request.scope, key=f"{owner}/{name}" if name else None, dialect=dialect,
        metadata={"scope": owner, "model": said["model"]},
    )  # fmt: skip


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncGenerator[None, None]:
    """Open the relay while the application runs."""
    async with relay, upstream:
        yield


routes = [Route(f"/v1/{path}", answer, methods=["POST"]) for path in ("chat/completions", "responses")]
responses = responses_app(relay, authorize=is_owner, model=lambda run: str(run.metadata["model"]))
mounts = [Mount("/relay", relay_app(relay, authorize=is_owner)), Mount("/", responses)]
app = Starlette(routes=[*routes, *mounts], lifespan=lifespan)
