"""Whatever an OpenAI-compatible server generates, as deltas."""

import asyncio
from collections.abc import AsyncGenerator
from urllib.parse import urlsplit

import httpx2
from pydantic import BaseModel, ValidationError

from sse_relay import ErrorCatalog, ServerSentEvent, StreamIncompleteError, from_sse
from sse_relay.combinators.stage import Stage
from sse_relay.dialects import Delta, Finish, ReasoningDelta, TextDelta

__all__ = [
    "Upstream",
    "UpstreamAuthenticationError",
    "UpstreamEmptyError",
    "UpstreamError",
    "UpstreamRateLimitError",
    "completions_url",
    "register_errors",
]

_SHOWN = 500
_CONNECT_TIMEOUT = 10.0


class UpstreamError(Exception):
    """The model server refused, or broke its protocol."""


class UpstreamAuthenticationError(UpstreamError):
    """It did not accept the key."""


class UpstreamRateLimitError(UpstreamError):
    """It takes no more requests for now."""


class UpstreamEmptyError(UpstreamError):
    """It answered without a word."""


def register_errors(errors: ErrorCatalog) -> None:
    """Say what clients learn of the errors of this module, and of httpx2's."""
    wrong_key = "The model server did not accept the key: set OPENAI_API_KEY."
    too_many = "The model server takes no more requests now. Try again in a minute."
    for kind, code, message, status in (
        (UpstreamError, "llm_error", "The model server could not answer.", 502),
        (UpstreamAuthenticationError, "llm_authentication", wrong_key, 502),
        (UpstreamRateLimitError, "llm_rate_limit", too_many, 429),
        (httpx2.TransportError, "llm_unreachable", "The model server cannot be reached.", 502),
        (httpx2.TimeoutException, "llm_timeout", "The model server took too long.", 504),
    ):
        errors.register(kind, code, message, status=status, reason="llm_api_error")
    message = "The model gave no answer."
    errors.register(UpstreamEmptyError, "llm_empty_response", message, status=502, reason="invalid_llm_response")


def completions_url(base_url: str) -> str:
    """
    Find where to ask.

    A base URL is what OpenAI's clients call so: it ends before ``/chat/completions``. A bare host means ``/v1``.

    Raises:
        ValueError: It is not an http or https URL with a host.
    """
    try:
        parts = urlsplit(base_url)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:  # a port that is no number, half an IPv6 address
        parts, usable = urlsplit(""), False
    if not usable or parts.query or parts.fragment:
        raise ValueError(f"{base_url!r} is not a base URL; write it as http://host:port/v1")
    path = parts.path.rstrip("/")
    if not path.endswith("/chat/completions"):
        path = f"{path or '/v1'}/chat/completions"
    return parts._replace(path=path).geturl()


class _Delta(BaseModel):
    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None


class _Choice(BaseModel):
    delta: _Delta = _Delta()
    finish_reason: str | None = None


class _Chunk(BaseModel):
    choices: list[_Choice] = []
    error: object = None


def _chunk_of(event: ServerSentEvent) -> _Chunk:
    try:
        return _Chunk.model_validate_json(event.data or "")
    except ValidationError as error:
        raise UpstreamError(f"not a chat completion chunk: {event.data!r:.{_SHOWN}}") from error


class Upstream:
    """
    A server that speaks OpenAI's chat completions.

    Args:
        base_url: As for OpenAI's clients.
        model: Which model to ask for.
        key: Its API key; None: it needs none.

    Raises:
        ValueError: `base_url` is not a URL.
    """

    def __init__(self, base_url: str, model: str, *, key: str | None = None) -> None:
        self.model = model
        self._url = completions_url(base_url)
        headers = {"accept": "text/event-stream", **({"authorization": f"Bearer {key}"} if key else {})}
        # No read timeout: how long a silence may last is said by idle_timeout, in one place.
        self._client = httpx2.AsyncClient(headers=headers, timeout=httpx2.Timeout(None, connect=_CONNECT_TIMEOUT))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def answer(self, prompt: str) -> AsyncGenerator[Delta, None]:
        """
        Ask the model.

        Raises:
            UpstreamError: The server refused, or did not keep to the protocol.
            StreamIncompleteError: It hung up before the end.
            httpx2.TransportError: It could not be reached.
        """
        messages = [{"role": "user", "content": prompt}]
        body = {"model": self.model, "messages": messages, "stream": True}
        response = await self._client.send(self._client.build_request("POST", self._url, json=body), stream=True)
        try:
            if response.status_code != 200:
                raise await _refusal(response)
            deltas = _read(from_sse(response.aiter_bytes()))
            try:
                async for delta in deltas:
                    yield delta
            finally:
                await deltas.aclose()
        finally:
            await response.aclose()


async def _read(events: Stage[ServerSentEvent]) -> AsyncGenerator[Delta, None]:
    said = ended = False
    try:
        async for event in events:
            if event.data == "[DONE]":
                ended = True
                break
            for delta in _deltas(_chunk_of(event)):
                said = said or not isinstance(delta, Finish)
                ended = ended or isinstance(delta, Finish)
                yield delta
    finally:
        await events.aclose()
    if not ended:
        raise StreamIncompleteError("openai-chat")
    if not said:
        raise UpstreamEmptyError("the stream had no text")


def _deltas(chunk: _Chunk) -> list[Delta]:
    if chunk.error is not None:
        raise UpstreamError(f"an error in mid-stream: {chunk.error!r:.{_SHOWN}}")
    deltas: list[Delta] = []
    for choice in chunk.choices:
        thought = choice.delta.reasoning_content or choice.delta.reasoning
        if thought:
            deltas.append(ReasoningDelta(thought))
        if choice.delta.content:
            deltas.append(TextDelta(choice.delta.content))
        if choice.finish_reason:
            deltas.append(Finish(choice.finish_reason))
    return deltas


async def _refusal(response: httpx2.Response) -> UpstreamError:
    """Make the error of an answer that is no stream; the beginning of its body is for the log."""
    body = b""
    try:
        async with asyncio.timeout(_CONNECT_TIMEOUT):
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) >= _SHOWN:
                    break
    except (TimeoutError, httpx2.TransportError):
        pass  # the status says enough
    kind = {401: UpstreamAuthenticationError, 403: UpstreamAuthenticationError, 429: UpstreamRateLimitError}
    text = body[:_SHOWN].decode("utf-8", "replace")
    return kind.get(response.status_code, UpstreamError)(f"status {response.status_code}: {text}")
