"""
The demo as a bare ASGI app: no framework, and no store yet, so that a stream lives as long as its request.

::

    GET  /                       the page and its files
    GET  /about                  what answers here
    POST /streams                {"prompt": …, "mode": …} → an event stream; its id is in the header x-stream-id
    POST /streams/{id}/cancel    ends that stream, whoever asks
"""

import asyncio
import json
import secrets
from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sse_relay import CancelToken, ErrorCatalog, ErrorInfo, cancellable, guard_terminal, idle_timeout
from sse_relay.adapters.asgi import EventStreamResponse
from sse_relay.adapters.messages import Receive, Scope, Send, body, problem, start
from sse_relay.demo import modes
from sse_relay.demo.modes import Mode, Timings, misbehave
from sse_relay.demo.page import load_page
from sse_relay.demo.text import load_text, paced, tokens_of
from sse_relay.dialects import Delta

if TYPE_CHECKING:
    from sse_relay.demo.upstream import Upstream

__all__ = ["DemoApp", "Question"]

MAX_BODY = 64 * 1024
MAX_PROMPT = 4000
MAX_STREAMS = 256
BODY_TIMEOUT = 10.0


class Question(BaseModel):
    """What a client asks."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    prompt: str = Field(min_length=1, max_length=MAX_PROMPT)
    mode: Mode = "normal"


class _Problem(Exception):  # noqa: N818 - an answer, not a fault
    def __init__(self, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, code, detail)
        self.error = ErrorInfo(code, detail, None, status)
        self.headers = headers or {}


class DemoApp:
    """
    The app: one page, and the streams that it starts.

    Args:
        upstream: What answers; None: the built-in text.
        text: The built-in text; None: the essay.
        timings: How long things take.
    """

    def __init__(
        self, *, upstream: "Upstream | None" = None, text: str | None = None, timings: Timings | None = None
    ) -> None:
        self._upstream = upstream
        self._timings = timings or Timings()
        self._streams: dict[str, CancelToken] = {}  # the live ones only
        self._page = load_page()
        self._tokens = list(tokens_of(text or load_text()))
        self._errors = ErrorCatalog()
        modes.register_errors(self._errors)
        if upstream is not None:
            from sse_relay.demo.upstream import register_errors  # noqa: PLC0415 - httpx2 is needed with an upstream only

            register_errors(self._errors)

    @property
    def live(self) -> int:
        """How many streams have not ended."""
        return len(self._streams)

    def stop_all(self, reason: str) -> None:
        """End every live stream: `cancelled`, with this reason."""
        for token in list(self._streams.values()):
            token.cancel(reason)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"the demo answers http requests, not {scope['type']}")
        try:
            await self._route(scope, receive, send)
        except _Problem as refusal:
            for message in problem(refusal.error, _raw({"cache-control": "no-store", **refusal.headers})):
                await send(message)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            event = (await receive())["type"]
            if event == "lifespan.shutdown" and self._upstream is not None:
                await self._upstream.aclose()
            await send({"type": f"{event}.complete"})
            if event == "lifespan.shutdown":
                return

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix(scope.get("root_path", "")) or "/"
        match path.split("/")[1:]:
            case ["streams"]:
                _require(scope, "POST")
                await self._start(await _question(scope, receive), scope, receive, send)
            case ["streams", stream_id, "cancel"]:
                _require(scope, "POST")
                await self._cancel(stream_id, send)
            case ["about"]:
                _require(scope, "GET", "HEAD")
                await _answer_json(send, self._about())
            case _ if (asset := self._page.get(path)) is not None:
                _require(scope, "GET", "HEAD")
                await _answer(send, 200, asset.headers, asset.content)
            case _:
                raise _Problem(404, "not_found", "There is nothing here.")

    def _about(self) -> dict[str, object]:
        model = self._upstream and self._upstream.model
        source = "upstream" if self._upstream else "text"
        return {
            "source": source,
            "model": model,
            "idle_seconds": self._timings.idle,
            "grace": self._timings.grace,
            "max_prompt": MAX_PROMPT,
        }

    async def _start(self, question: Question, scope: Scope, receive: Receive, send: Send) -> None:
        if len(self._streams) >= MAX_STREAMS:
            raise _Problem(503, "too_many_streams", "Too many streams are live. Try again.", {"retry-after": "5"})
        stream_id = secrets.token_hex(16)
        token = CancelToken()
        timings = self._timings
        patient = self._upstream is not None and question.mode != "silent"
        source = misbehave(self._answer(question.prompt), question.mode, timings)
        stoppable = cancellable(source, token, grace=timings.grace)
        bounded = idle_timeout(stoppable, seconds=timings.upstream_idle if patient else timings.idle)
        response = EventStreamResponse(
            guard_terminal(bounded, errors=self._errors),
            keepalive=timings.heartbeat,
            headers={"x-stream-id": stream_id},
        )
        self._streams[stream_id] = token
        try:
            await response(scope, receive, send)
        finally:
            del self._streams[stream_id]

    def _answer(self, prompt: str) -> AsyncGenerator[Delta, None]:
        if self._upstream is not None:
            return self._upstream.answer(prompt)
        timings = self._timings
        return paced(self._tokens, tokens_per_second=timings.tokens_per_second, first_token=timings.first_token)

    async def _cancel(self, stream_id: str, send: Send) -> None:
        token = self._streams.get(stream_id)
        if token is None:
            raise _Problem(404, "stream_not_found", "There is no such stream, or it has ended.")
        token.cancel("user")
        await _answer_json(send, {"id": stream_id, "cancelled": True}, status=202)


def _require(scope: Scope, *methods: str) -> None:
    if scope["method"] not in methods:
        allowed = ", ".join(methods)
        raise _Problem(405, "method_not_allowed", f"This takes {allowed}.", {"allow": allowed})


async def _question(scope: Scope, receive: Receive) -> Question:
    headers: dict[bytes, bytes] = dict(scope["headers"])
    # Another site's page can send forms and text to here, but JSON only if we said that it may.
    if headers.get(b"content-type", b"").partition(b";")[0].strip().lower() != b"application/json":
        raise _Problem(415, "unsupported_media_type", "Send the question as application/json.")
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            question = await _read(receive)
    except TimeoutError:
        raise _Problem(408, "request_timeout", "The request did not come to its end.") from None
    try:
        return Question.model_validate_json(question)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        raise _Problem(400, "invalid_request", f"{where}: {first['msg']}") from None


async def _read(receive: Receive) -> bytes:
    content = b""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Problem(400, "incomplete_request", "The request did not come to its end.")
        content += message.get("body", b"")
        if len(content) > MAX_BODY:
            raise _Problem(413, "request_too_large", f"A question has {MAX_BODY} bytes at most.")
        more = message.get("more_body", False)
    return content


async def _answer(send: Send, status: int, headers: Mapping[str, str], content: bytes) -> None:
    await send(start(status, _raw({**headers, "content-length": str(len(content))})))
    await send(body(content, more=False))


async def _answer_json(send: Send, said: Mapping[str, object], *, status: int = 200) -> None:
    headers = {"content-type": "application/json", "cache-control": "no-store"}
    await _answer(send, status, headers, json.dumps(said).encode())


def _raw(headers: Mapping[str, str]) -> dict[bytes, bytes]:
    return {name.encode(): value.encode() for name, value in headers.items()}
