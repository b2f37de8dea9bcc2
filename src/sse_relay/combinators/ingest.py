"""
A provider's stream → deltas, and how it ended.

What the provider says, or fails to say, is the outcome of the last event, in neutral terms: its own words go to the log
only. What the source raises passes, and `guard_terminal` makes its outcome: the exceptions of the openai and anthropic
SDKs have entries in every `ErrorCatalog`.
"""

import logging
import secrets
from collections.abc import AsyncGenerator, AsyncIterable, Iterator
from dataclasses import replace
from reprlib import Repr

from sse_relay.combinators.provider_objects import ProviderObjects, Said
from sse_relay.combinators.providers import ANTHROPIC, CHAT, RESPONSES, Provider
from sse_relay.combinators.stage import Stage, close, require_source
from sse_relay.dialects.deltas import Delta, Finish, ToolResult, Usage, event_of
from sse_relay.dialects.native import Native
from sse_relay.dialects.protocol import RenderContext, render_end
from sse_relay.dialects.provider_errors import failed
from sse_relay.exceptions import EventTooLargeError, InvalidEventError, StreamIncompleteError
from sse_relay.outcome import ErrorCatalog, Outcome
from sse_relay.wire.event import ServerSentEvent

__all__ = ["from_anthropic", "from_openai_chat", "from_openai_responses"]

_logger = logging.getLogger("sse_relay")
_errors = ErrorCatalog()
_in_short = Repr()
_in_short.maxstring = _in_short.maxother = 200


def from_openai_chat(source: AsyncIterable[object], *, max_event_bytes: int = 1 << 20) -> Stage[ServerSentEvent]:
    r"""
    Read a stream of OpenAI's Chat Completions, or of whoever speaks like it: deltas, then a typed end.

    The stream is complete at ``[DONE]``, or if each of its choices has said why it finished: many servers send no
    ``[DONE]``, and the SDK shows none. Otherwise it was cut off (``stream_incomplete``). An error in place of a chunk,
    or of the whole stream, is ``failed`` with a code such as ``llm_rate_limit``; so is an answer without a word
    (``llm_empty_response``) and one that is no event stream, or has data that is not JSON.

    **Order and delivery**: the deltas, in order, as canonical events; then the native ``end``, which carries the
    `Outcome`. Deltas ahead of an error are kept. What the source raises passes: `guard_terminal` belongs around this;
    a `Relay` and a response bring their own.
    **Closing**: closes the source, after the terminal without reading on. **Cancellation** of the reader closes it too.
    **Buffering**: `max_event_bytes` of text or bytes, and the deltas of one item.

    Args:
        source: What the provider streams: objects of its SDK, dicts, events, or the response's text or bytes.
        max_event_bytes: The largest event in text or bytes, and the largest body that is JSON as a whole.

    Raises:
        TypeError: `source` is not an async iterable (when called); an item is none of these (when read).
        ValueError: `max_event_bytes` is not positive.

    Example:
        In three lines an application relays a provider, here as its SDK's objects. In place of ``completions()`` stands
        ``await client.chat.completions.create(…, stream=True)``; in a function of the run, so that what joins a run
        asks nobody, and a refusal is the run's outcome:

        >>> async def completions():
        ...     yield {"choices": [{"delta": {"content": "Hi"}, "finish_reason": None}]}
        ...     yield {"choices": [{"delta": {}, "finish_reason": "stop"}]}
        >>> async def main():
        ...     async with Relay() as relay:
        ...         run = await relay.start(lambda run: from_openai_chat(completions()))
        ...         print(await relay.wait(run.id))
        >>> asyncio.run(main())
        Outcome(status='completed', reason='stop', error=None)

        The bytes of a response do as well, such as ``response.aiter_bytes()`` of httpx2:

        >>> async def aiter_bytes():
        ...     yield b'data: {"choices":[{"delta":{"conte'
        ...     yield b'nt":"Hi"}}]}\n\ndata: {"error":{"code":"rate_limit_exceeded"}}\n\n'
        >>> async def main():
        ...     async for event in from_openai_chat(aiter_bytes()):
        ...         print(event.event, event.data if event.outcome is None else event.outcome.error.code)
        >>> asyncio.run(main())
        text {"text":"Hi"}
        end llm_rate_limit
    """
    return _ingest(source, CHAT, max_event_bytes)


def from_openai_responses(source: AsyncIterable[object], *, max_event_bytes: int = 1 << 20) -> Stage[ServerSentEvent]:
    """
    Read a stream of OpenAI's Responses: deltas, then a typed end, as `from_openai_chat` does.

    The stream is complete at ``response.completed`` or ``response.incomplete``; one without them was cut off. Calls of
    tools have the index of their item in the output.

    Example:
        In place of `events` stands ``await client.responses.create(…, stream=True)``, or the bytes of a response:

        >>> async def events():
        ...     yield {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "Hi"}
        ...     yield {"type": "response.incomplete", "response": {"incomplete_details": {"reason": "length"}}}
        >>> async def main():
        ...     print([event.event async for event in from_openai_responses(events())])
        >>> asyncio.run(main())
        ['text', 'finish', 'end']
    """
    return _ingest(source, RESPONSES, max_event_bytes)


def from_anthropic(source: AsyncIterable[object], *, max_event_bytes: int = 1 << 20) -> Stage[ServerSentEvent]:
    """
    Read a stream of Anthropic's Messages: deltas, then a typed end, as `from_openai_chat` does.

    The stream is complete at ``message_stop``; one without it was cut off. Calls of tools have the index of their
    block.

    Example:
        In place of `events` stands ``await client.messages.create(…, stream=True)``, what ``client.messages.stream``
        gives, or the bytes of a response:

        >>> async def events():
        ...     yield {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}}
        ...     yield {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}}
        ...     yield {"type": "message_stop"}
        >>> async def main():
        ...     print([event.event async for event in from_anthropic(events())])
        >>> asyncio.run(main())
        ['text', 'finish', 'usage', 'end']
    """
    return _ingest(source, ANTHROPIC, max_event_bytes)


def _ingest(source: AsyncIterable[object], provider: Provider, max_event_bytes: int) -> Stage[ServerSentEvent]:
    require_source(source)
    return Stage(_ingested(source, _Answer(provider, ProviderObjects(max_event_bytes))), source)


async def _ingested(source: AsyncIterable[object], answer: "_Answer") -> AsyncGenerator[ServerSentEvent, None]:
    try:
        async for item in source:
            for event in answer.read(item):
                yield event
            if answer.outcome is not None:
                break
        else:
            for event in answer.rest():
                yield event
        for event in render_end(Native().renderer(RenderContext()), answer.ended()):
            yield event
    finally:
        await close(source)


class _Answer:
    """What one stream has said so far, and how it ended."""

    __slots__ = ("_finished", "_objects", "_provider", "_read", "outcome")

    def __init__(self, provider: Provider, objects: ProviderObjects) -> None:
        self._provider = provider
        self._read = provider.reader()
        self._objects = objects
        self._finished: dict[int, str | None] = {}  # why each choice that was seen has
        self.outcome: Outcome | None = None

    def read(self, item: object) -> Iterator[ServerSentEvent]:
        """Read one item; what follows a terminal is not read."""
        return self._events(self._objects.of(item))

    def rest(self) -> Iterator[ServerSentEvent]:
        """Read what is left at the end of the source."""
        return self._events(self._objects.rest())

    def _events(self, objects: Iterator[Said]) -> Iterator[ServerSentEvent]:
        try:
            for said in objects:
                for delta in self._read(said):
                    self._note(delta)
                    yield event_of(delta)
                self.outcome = self._end_of(said)
                if self.outcome is not None:
                    return
        except (EventTooLargeError, InvalidEventError, RecursionError) as error:
            self.outcome = _errors.outcome_of(error)

    def ended(self) -> Outcome:
        """Tell how the stream ended, once there is no more of it."""
        outcome, reasons = self.outcome, self._finished
        if outcome is None and self._provider.finish_ends and reasons and None not in reasons.values():
            outcome = Outcome("completed")
        if not reasons and (outcome is None or outcome.status == "completed"):
            return _logged(failed({"code": "empty_response"}), "nothing")
        if outcome is None:
            return _errors.outcome_of(StreamIncompleteError(self._provider.name))
        return outcome.because(reasons.get(0) or next(iter(reasons.values()), None))

    def _note(self, delta: Delta) -> None:
        if isinstance(delta, Finish):
            self._finished[delta.choice] = delta.reason
        elif not isinstance(delta, (ToolResult, Usage)):
            self._finished.setdefault(delta.choice, None)

    def _end_of(self, said: Said) -> Outcome | None:
        if error := said.get("error"):
            return _logged(failed(error), error)
        outcome = self._provider.end_of(said)
        return outcome and (_logged(outcome, said) if outcome.status == "failed" else outcome)


def _logged(outcome: Outcome, said: object) -> Outcome:
    """Give a failure an id under which the log has the provider's own words."""
    error = outcome.error and replace(outcome.error, error_id=secrets.token_hex(16))
    if error is not None:
        words = _in_short.repr(said)
        fields = {"code": error.code, "error_id": error.error_id}
        _logger.warning(
            "a provider's stream failed (%s, error_id=%s): %s", error.code, error.error_id, words, extra=fields
        )
    return replace(outcome, error=error)
